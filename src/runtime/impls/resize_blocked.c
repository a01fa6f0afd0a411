/* Resize of rows and columns, float32, over channel-blocked activations: a row of the output is
 * blended of some rows of the input, then its pixels of some of those. */
#include "base/team.h"
#include "ops/resize.h"
#include "runtime/impl.h"

#include <stdlib.h>

enum { ITEM_FLOATS = 32 << 10, SERIAL_FLOATS = 48 << 10, AREA_MOST = 1 << 26 };

typedef struct axis {
    int64_t in, out, taps; /* taps 0: unchanged */
    int32_t *index;
    float *weight; /* out * taps each */
} axis;

typedef struct packed {
    int64_t images, blocks, band, bands; /* band: output rows in an item */
    axis y, x;
} packed;

static const pare_tensor *constant(const pare_prepare *p, uint32_t slot)
{
    const pare_weight *w = slot < p->node->n_in ? p->weight[slot] : NULL;
    return w && !w->codec && pare_tensor_count(&w->part[0]) > 0 ? &w->part[0] : NULL;
}

/* Only the taps' numbers are known then. */
static bool plan(const pare_prepare *p, packed *k)
{
    const pare_type *x = &p->in[0];
    const pare_tensor *scales = constant(p, 2), *sizes = constant(p, 3);
    if (x->dtype != PARE_F32 || x->rank != 4 || (!scales && !sizes)) return false;
    int64_t taps[4];
    for (int d = 0; d < 4; d++) {
        taps[d] = pare_resize_taps(p->node, x, scales, scales ? NULL : sizes, d);
        if (taps[d] < 0 || taps[d] > (d < 2 ? 0 : PARE_RESIZE_TAPS_MOST)) return false;
    }
    *k = (packed){ .images = x->dim[0],
                   .blocks = (x->dim[1] - 1) / (int64_t)p->kernels->vl + 1,
                   .y = { .in = x->dim[2], .out = p->out[0].dim[2], .taps = taps[2] },
                   .x = { .in = x->dim[3], .out = p->out[0].dim[3], .taps = taps[3] } };
    if (k->x.in > AREA_MOST || k->x.out > AREA_MOST || k->y.in > AREA_MOST || k->y.out > AREA_MOST)
        return false; /* indices and scratch memory grow with them */
    int64_t row = k->x.out * (int64_t)p->kernels->vl;
    k->band = row < ITEM_FLOATS ? ITEM_FLOATS / row : 1;
    k->bands = (k->y.out + k->band - 1) / k->band;
    return true;
}

static bool accepts(const pare_prepare *p)
{
    packed k;
    return plan(p, &k);
}

static double model_ns(const pare_prepare *p)
{
    packed k;
    plan(p, &k);
    double vectors = (double)k.images * (double)k.blocks * (double)k.y.out,
           cost = 2 + (double)k.y.taps * (double)k.x.in + (2 + (double)k.x.taps) * (double)k.x.out;
    return 300 + vectors * cost * 0.4 / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->x.index), free(k->x.weight);
    free(k->y.index), free(k->y.weight);
    free(k);
}

static pare_status prepare_axis(const pare_prepare *p, int d, axis *a, size_t *bytes)
{
    const pare_tensor *scales = constant(p, 2), *sizes = constant(p, 3);
    size_t n = (size_t)(a->out * a->taps);
    if (a->taps == 0) return PARE_OK;
    a->index = malloc(n * sizeof *a->index);
    a->weight = malloc(n * sizeof *a->weight);
    if (!a->index || !a->weight)
        return pare_fail(PARE_ENOMEM, "no memory for the weights of %zu elements", n);
    pare_resize_axis(p->node, &p->in[0], scales, scales ? NULL : sizes, d, a->index, a->weight);
    *bytes += n * (sizeof *a->index + sizeof *a->weight);
    return PARE_OK;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = malloc(sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    plan(p, k);
    *bytes = sizeof *k;
    pare_status st = prepare_axis(p, 2, &k->y, bytes);
    if (st == PARE_OK) st = prepare_axis(p, 3, &k->x, bytes);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    *scratch_bytes = (size_t)k->x.in * p->kernels->vl * sizeof(float);
    *out = k;
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    int64_t block = (int64_t)index / k->bands, first = (int64_t)index % k->bands * k->band,
            end = first + k->band < k->y.out ? first + k->band : k->y.out;
    size_t vl = s->kernels->vl, in_row = (size_t)k->x.in * vl, out_row = (size_t)k->x.out * vl;
    const float *x = (const float *)s->in[0].data + (size_t)(block * k->y.in) * in_row;
    float *y = (float *)s->out[0].data + (size_t)(block * k->y.out) * out_row,
          *scratch = (float *)(void *)((char *)s->scratch + (size_t)thread * s->scratch_bytes);
    for (int64_t oy = first; oy < end; oy++) {
        const float *from[PARE_RESIZE_TAPS_MOST] = { x + (size_t)oy * in_row };
        float *to = y + (size_t)oy * out_row;
        int64_t at = oy * k->y.taps;
        for (int64_t i = 0; i < k->y.taps; i++) from[i] = x + (size_t)k->y.index[at + i] * in_row;
        if (k->y.taps > 1) {
            float *blended = k->x.taps ? scratch : to;
            s->kernels->blend_rows(in_row, (size_t)k->y.taps, k->y.weight + at, from, blended);
            from[0] = blended;
        }
        if (k->x.taps)
            s->kernels->blend_pixels((size_t)k->x.out, (size_t)k->x.taps, k->x.index, k->x.weight,
                                     from[0], to);
        else if (from[0] != to)
            memcpy(to, from[0], out_row * sizeof *to);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    int64_t items = k->images * k->blocks * k->bands,
            floats = items * k->band * k->x.out * (int64_t)s->kernels->vl;
    pare_team_for((size_t)items, floats < SERIAL_FLOATS ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_resize_blocked = {
    .name = "resize_blocked",
    .op = "Resize",
    .packs = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
