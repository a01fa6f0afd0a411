/* Writing and reading checkpoints.
 *
 *   "PARECKP1"  header (pare_checkpoint's numbers, counts)  params  optimiser  best  checksum
 *
 * All little endian, as on every machine pare runs on. The newest is <path>, the one before it
 * <path>.old. */
#include "train/checkpoint.h"

#include "base/files.h"
#include "base/rng.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const char magic[8] = { 'P', 'A', 'R', 'E', 'C', 'K', 'P', '1' };

typedef struct header {
    char magic[8];
    uint64_t key, numbers, state;
    int64_t epoch, step, updates;
    double loss_sum, loss, top1, best_top1;
    uint64_t has_best;
} header;

uint64_t pare_hash(uint64_t h, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (; size >= 8; p += 8, size -= 8) {
        uint64_t w;
        memcpy(&w, p, 8);
        h = pare_mix64(h ^ w) + UINT64_C(0x9e3779b97f4a7c15);
    }
    uint64_t w = size;
    for (size_t i = 0; i < size; i++) w = w << 8 | p[i];
    return pare_mix64(h ^ w) + UINT64_C(0x9e3779b97f4a7c15);
}

/* Calls fn on every float array of the parameters (running statistics too), in order. */
static void each_array(const tparams *ps, void (*fn)(void *user, float *x, size_t n), void *user)
{
    for (int i = 0; i < ps->n; i++) {
        tparam *p = ps->p[i];
        if (!p->trains && !p->running) continue;
        for (int k = 0; k < pare_weight_parts(&p->weight); k++) {
            pare_tensor *t = &p->weight.part[k];
            if (t->dtype == PARE_F32) fn(user, t->data, (size_t)pare_tensor_count(t));
        }
    }
}

static void add_count(void *user, float *x, size_t n) { *(size_t *)user += n; }

static void take(void *user, float *x, size_t n)
{
    float **to = user;
    if (n) memcpy(*to, x, n * sizeof *x);
    *to += n;
}

static void give(void *user, float *x, size_t n)
{
    const float **from = user;
    if (n) memcpy(x, *from, n * sizeof *x);
    *from += n;
}

size_t pare_checkpoint_floats(const tparams *ps)
{
    size_t n = 0;
    each_array(ps, add_count, &n);
    return n;
}

void pare_checkpoint_copy(const tparams *ps, float *to) { each_array(ps, take, &to); }
void pare_checkpoint_restore(tparams *ps, const float *from) { each_array(ps, give, &from); }

static size_t state_floats(const tparams *ps)
{
    size_t n = 0;
    for (int i = 0; i < ps->n_slots; i++) n += ps->slot[i].n * (ps->slot[i].v ? 2 : 1);
    return n;
}

pare_status pare_checkpoint_save(const char *path, const pare_checkpoint *c, const tparams *ps,
                                 const float *best)
{
    size_t numbers = pare_checkpoint_floats(ps), state = state_floats(ps);
    size_t size = sizeof(header) + (numbers * (c->has_best ? 2 : 1) + state) * sizeof(float) +
                  sizeof(uint64_t);
    uint8_t *data = malloc(size);
    if (!data) return pare_fail(PARE_ENOMEM, "no memory for a checkpoint of %zu bytes", size);
    header h = { .key = c->key,
                 .numbers = numbers,
                 .state = state,
                 .epoch = c->epoch,
                 .step = c->step,
                 .updates = c->updates };
    h.loss_sum = c->loss_sum, h.loss = c->loss, h.top1 = c->top1, h.best_top1 = c->best_top1,
    h.has_best = c->has_best;
    memcpy(h.magic, magic, sizeof magic);
    memcpy(data, &h, sizeof h);
    float *at = (float *)(data + sizeof h);
    pare_checkpoint_copy(ps, at);
    at += numbers;
    for (int i = 0; i < ps->n_slots; i++) {
        const tslot *s = &ps->slot[i];
        take(&at, s->m, s->n);
        if (s->v) take(&at, s->v, s->n);
    }
    if (c->has_best) memcpy(at, best, numbers * sizeof *best);
    uint64_t sum = pare_hash(0, data, size - sizeof sum);
    memcpy(data + size - sizeof sum, &sum, sizeof sum);
    char *old = pare_format("%s.old", path);
    pare_status st = old ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", path);
    if (st == PARE_OK && rename(path, old) != 0 && errno != ENOENT)
        st = pare_fail(PARE_EIO, "cannot rename '%s' to '%s': %s", path, old, strerror(errno));
    if (st == PARE_OK) st = pare_write_file(path, data, size, true);
    free(old);
    free(data);
    return st;
}

/* One generation. *found: the file exists, whole or not. */
static pare_status load(const char *path, pare_checkpoint *c, tparams *ps, float *best, bool *found)
{
    *found = pare_file_exists(path);
    if (!*found) return PARE_OK;
    size_t numbers = pare_checkpoint_floats(ps), state = state_floats(ps), size;
    uint8_t *data;
    PARE_TRY(pare_read_file(path, SIZE_MAX / 2, &data, &size));
    header h;
    uint64_t sum;
    pare_status st = PARE_OK;
    if (size < sizeof h + sizeof sum)
        st = pare_fail(PARE_EFORMAT, "checkpoint '%s' is damaged: it has only %zu bytes", path,
                       size);
    else {
        memcpy(&h, data, sizeof h);
        memcpy(&sum, data + size - sizeof sum, sizeof sum);
        if (memcmp(h.magic, magic, sizeof magic) != 0)
            st = pare_fail(PARE_EFORMAT, "'%s' is not a checkpoint", path);
        else if (pare_hash(0, data, size - sizeof sum) != sum)
            st = pare_fail(PARE_EFORMAT, "checkpoint '%s' is damaged: its checksum does not match",
                           path);
        else if (h.key != c->key)
            st = pare_fail(
                PARE_EFORMAT,
                "checkpoint '%s' belongs to another run (its network, options or data differ); "
                "remove it or choose another run folder",
                path);
        else if (h.numbers != numbers || h.state != state || h.has_best > 1 ||
                 size != sizeof h + (numbers * (h.has_best ? 2 : 1) + state) * sizeof(float) +
                             sizeof sum)
            st = pare_fail(PARE_EFORMAT, "checkpoint '%s' holds %llu numbers instead of %zu", path,
                           (unsigned long long)h.numbers, numbers);
    }
    if (st == PARE_OK) {
        c->epoch = h.epoch, c->step = h.step, c->updates = h.updates, c->loss_sum = h.loss_sum;
        c->loss = h.loss, c->top1 = h.top1, c->best_top1 = h.best_top1, c->has_best = h.has_best;
        const float *at = (const float *)(data + sizeof h);
        pare_checkpoint_restore(ps, at);
        at += numbers;
        for (int i = 0; i < ps->n_slots; i++) {
            tslot *s = &ps->slot[i];
            give(&at, s->m, s->n);
            if (s->v) give(&at, s->v, s->n);
        }
        if (h.has_best) memcpy(best, at, numbers * sizeof *best);
    }
    free(data);
    return st;
}

pare_status pare_checkpoint_load(const char *path, pare_checkpoint *c, tparams *ps, float *best,
                                 bool *found)
{
    pare_status st = load(path, c, ps, best, found);
    if (st == PARE_OK && *found) return PARE_OK;
    char *old = pare_format("%s.old", path);
    if (!old) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", path);
    bool newer = *found, found_old = false;
    if (st == PARE_OK)
        st = load(old, c, ps, best, found);
    else if (st == PARE_EFORMAT && newer && pare_file_exists(old)) {
        char *message = pare_format("%s", pare_error());
        if (load(old, c, ps, best, &found_old) == PARE_OK && found_old) {
            pare_log(PARE_LOG_WARNING, "%s; going on from '%s'",
                     message ? message : "the newest checkpoint is unusable", old);
            remove(path); /* or the next save would make it the older generation */
            *found = true;
            st = PARE_OK;
        } else if (message)
            st = pare_fail(PARE_EFORMAT, "%s", message);
        free(message);
    }
    free(old);
    return st;
}
