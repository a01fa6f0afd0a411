/* PRelu of float32 with a constant slope for each channel, or one in all. */
#include "runtime/impls/rows_common.h"

#include <stdlib.h>

typedef struct packed {
    size_t planes, channels, pixels; /* a plane: one channel, or one block of them, of an image */
    size_t each;                     /* planes in an item */
    float slope[];                   /* of each plane of an image; blocked: vl of each */
} packed;

static bool accepts(const pare_prepare *p)
{
    const pare_type *x = &p->in[0], *t = &p->in[1];
    const pare_weight *w = p->weight[1];
    if (x->dtype != PARE_F32 || x->rank < 2 || !w || w->codec || t->dtype != PARE_F32) return false;
    for (int d = 0; d < t->rank; d++) {
        int own = d + x->rank - t->rank;
        if (t->dim[d] != 1 && (own != 1 || t->dim[d] != x->dim[1])) return false;
    }
    return true;
}

static bool accepts_blocked(const pare_prepare *p) { return p->in[0].rank == 4 && accepts(p); }

static double model_ns(const pare_prepare *p) { return pare_rows_output_ns(p, PARE_PLAIN, 8, 0.3); }
static double model_blocked_ns(const pare_prepare *p)
{
    return pare_rows_output_ns(p, PARE_BLOCKED, 8, 0.3);
}

/* lanes: channels of a plane */
static pare_status make(const pare_prepare *p, size_t lanes, void **out, size_t *bytes,
                        size_t *scratch_bytes)
{
    const pare_type *x = &p->in[0];
    const pare_tensor *slope = &p->weight[1]->part[0];
    size_t channels = (size_t)x->dim[1], planes = (channels + lanes - 1) / lanes, size;
    if (!pare_mul_size(planes * lanes, sizeof(float), &size) ||
        !pare_add_size(size, sizeof(packed), &size))
        return pare_fail(PARE_ENOMEM, "%zu channels are too many", channels);
    packed *k = calloc(1, size);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for the slopes of %zu channels", channels);
    bool one = pare_tensor_count(slope) == 1;
    for (size_t c = 0; c < channels; c++) k->slope[c] = ((const float *)slope->data)[one ? 0 : c];
    k->channels = planes;
    k->planes = planes * (size_t)x->dim[0];
    k->pixels = (size_t)pare_numel(x->rank - 2, x->dim + 2);
    size_t plane = k->pixels * lanes;
    k->each = plane < PARE_ROWS_ITEM ? PARE_ROWS_ITEM / plane : 1;
    *out = k;
    *bytes = size;
    *scratch_bytes = 0;
    return PARE_OK;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    return make(p, 1, out, bytes, scratch_bytes);
}

static pare_status prepare_blocked(const pare_prepare *p, void **out, size_t *bytes,
                                   size_t *scratch_bytes)
{
    return make(p, p->kernels->vl, out, bytes, scratch_bytes);
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    bool blocked = s->impl->takes == PARE_BLOCKED;
    size_t vl = blocked ? s->kernels->vl : 1, end = (index + 1) * k->each;
    for (size_t i = index * k->each; i < end && i < k->planes; i++) {
        const float *x = (const float *)s->in[0].data + i * k->pixels * vl,
                    *slope = k->slope + i % k->channels * vl;
        float *y = (float *)s->out[0].data + i * k->pixels * vl;
        if (blocked)
            s->kernels->prelu_blocked(k->pixels, x, slope, y);
        else
            s->kernels->unary(PARE_UNARY_LEAKY, k->pixels, x, *slope, 0, y);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    size_t vl = s->impl->takes == PARE_BLOCKED ? s->kernels->vl : 1;
    pare_team_for((k->planes + k->each - 1) / k->each,
                  pare_rows_threads(k->planes * k->pixels * vl, threads), item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_prelu = {
    .name = "prelu",
    .op = "PRelu",
    .packs = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};

const pare_impl pare_impl_prelu_blocked = {
    .name = "prelu_blocked",
    .op = "PRelu",
    .packs = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts_blocked,
    .model_ns = model_blocked_ns,
    .prepare = prepare_blocked,
    .run = run,
};
