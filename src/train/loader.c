/* Two batches in memory: one in the hands of the trainer, one being filled by a thread. */
#include "train/loader.h"

#include "base/rng.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>

typedef struct slot {
    pare_tensor x;
    int *label;
    int64_t n;
    pare_status st;
    char error[512]; /* messages belong to the thread that failed */
} slot;

struct pare_loader {
    const pare_dataset *set;
    const pare_preprocess *pp;
    int64_t count; /* samples of the set */
    int64_t *order;
    slot slot[2];
    pare_load_plan plan;
    int64_t taken; /* batches handed out in this pass */
    int64_t ready; /* batches filled in this pass */
    bool quit, running, busy, threaded;
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
};

static void fill(pare_loader *l, int64_t batch, slot *s)
{
    int64_t first = (l->plan.first + batch) * l->plan.batch, n = l->plan.limit - first;
    s->n = n < l->plan.batch ? n : l->plan.batch;
    pare_tensor x = s->x;
    x.dim[0] = s->n;
    s->st = pare_dataset_batch(l->set, l->pp, l->order + first, s->n,
                               l->plan.augmented ? &l->plan.augment : NULL, &x, s->label);
    if (s->st != PARE_OK) strncpy(s->error, pare_error(), sizeof s->error - 1);
}

static void *work(void *arg)
{
    pare_loader *l = arg;
    pthread_mutex_lock(&l->lock);
    for (;;) {
        /* one batch may be filled ahead of the one that was handed out last */
        while (!l->quit && (!l->running || l->ready >= l->plan.batches || l->ready > l->taken))
            pthread_cond_wait(&l->changed, &l->lock);
        if (l->quit) break;
        int64_t batch = l->ready;
        l->busy = true;
        pthread_mutex_unlock(&l->lock);
        fill(l, batch, &l->slot[batch % 2]);
        pthread_mutex_lock(&l->lock);
        l->busy = false;
        l->ready = batch + 1;
        pthread_cond_broadcast(&l->changed);
    }
    pthread_mutex_unlock(&l->lock);
    return NULL;
}

pare_status pare_loader_new(const pare_dataset *set, const pare_preprocess *pp,
                            const pare_type *type, int64_t batch, pare_loader **out)
{
    pare_dataset_info info;
    pare_dataset_about(set, &info);
    pare_loader *l = calloc(1, sizeof *l);
    if (!l) return pare_fail(PARE_ENOMEM, "no memory for a loader");
    l->set = set;
    l->pp = pp;
    l->count = info.count;
    pthread_mutex_init(&l->lock, NULL);
    pthread_cond_init(&l->changed, NULL);
    l->order = malloc(((size_t)info.count + 1) * sizeof *l->order);
    pare_type t = *type;
    t.dim[0] = batch;
    pare_status st = l->order ? PARE_OK
                              : pare_fail(PARE_ENOMEM, "no memory for the order of %lld samples",
                                          (long long)info.count);
    for (int i = 0; st == PARE_OK && i < 2; i++) {
        st = pare_tensor_of(&t, &l->slot[i].x);
        l->slot[i].label = calloc((size_t)batch, sizeof(int));
        if (st == PARE_OK && !l->slot[i].label)
            st = pare_fail(PARE_ENOMEM, "no memory for %lld labels", (long long)batch);
    }
    /* Without a thread batches are filled when asked for. */
    if (st == PARE_OK) l->threaded = pthread_create(&l->thread, NULL, work, l) == 0;
    if (st != PARE_OK) {
        pare_loader_free(l);
        return st;
    }
    *out = l;
    return PARE_OK;
}

void pare_loader_free(pare_loader *l)
{
    if (!l) return;
    if (l->threaded) {
        pthread_mutex_lock(&l->lock);
        l->quit = true;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
        pthread_join(l->thread, NULL);
    }
    pthread_mutex_destroy(&l->lock);
    pthread_cond_destroy(&l->changed);
    for (int i = 0; i < 2; i++) {
        pare_tensor_free(&l->slot[i].x);
        free(l->slot[i].label);
    }
    free(l->order);
    free(l);
}

pare_status pare_loader_start(pare_loader *l, const pare_load_plan *plan)
{
    if (plan->limit > l->count || plan->batch > l->slot[0].x.dim[0])
        return pare_fail(PARE_EINTERNAL, "a pass over %lld of %lld samples", (long long)plan->limit,
                         (long long)l->count);
    pthread_mutex_lock(&l->lock);
    l->running = false;
    while (l->busy) pthread_cond_wait(&l->changed, &l->lock);
    l->plan = *plan;
    l->taken = l->ready = 0;
    for (int64_t i = 0; i < l->count; i++) l->order[i] = i;
    if (plan->shuffle) {
        pare_rng r =
            pare_rng_stream(plan->augment.seed ^ UINT64_C(0x5b1ce), (uint64_t)plan->augment.epoch);
        for (int64_t i = l->count - 1; i > 0; i--) {
            int64_t k = (int64_t)pare_rng_below(&r, (uint64_t)i + 1), t = l->order[i];
            l->order[i] = l->order[k];
            l->order[k] = t;
        }
    }
    l->running = true;
    pthread_cond_broadcast(&l->changed);
    pthread_mutex_unlock(&l->lock);
    return PARE_OK;
}

pare_status pare_loader_next(pare_loader *l, const float **x, const int **label, int64_t *n)
{
    *n = 0;
    if (l->taken >= l->plan.batches) return PARE_OK;
    slot *s = &l->slot[l->taken % 2];
    if (l->threaded) {
        pthread_mutex_lock(&l->lock);
        while (l->ready <= l->taken) pthread_cond_wait(&l->changed, &l->lock);
        l->taken++;
        pthread_cond_broadcast(&l->changed);
        pthread_mutex_unlock(&l->lock);
    } else
        fill(l, l->taken++, s);
    if (s->st != PARE_OK) return pare_fail(s->st, "%s", s->error);
    *x = s->x.data;
    *label = s->label;
    *n = s->n;
    return PARE_OK;
}
