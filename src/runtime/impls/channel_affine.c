/* BatchNormalization that could not be folded: every plane times a number plus a number, or every
 * block of planes times a vector plus a vector, with what is fused behind. */
#include "ops/attr.h"
#include "runtime/impls/rows_common.h"

#include <math.h>
#include <stdlib.h>

typedef struct packed {
    size_t planes, channels, plane;
    float *scale, *shift;
} packed;

static bool accepts(const pare_prepare *p)
{
    if (p->in[0].dtype != PARE_F32 || p->in[0].rank < 2 || p->node->n_out != 1) return false;
    if (pare_attr_int(p->node, "training_mode", 0) != 0) return false;
    for (int i = 1; i < 5; i++)
        if (!p->weight[i] || p->weight[i]->codec || p->in[i].dtype != PARE_F32) return false;
    return true;
}

static bool accepts_blocked(const pare_prepare *p) { return p->in[0].rank == 4 && accepts(p); }

static double model_ns(const pare_prepare *p) { return pare_rows_output_ns(p, PARE_PLAIN, 8, 0.3); }
static double model_blocked_ns(const pare_prepare *p)
{
    return pare_rows_output_ns(p, PARE_BLOCKED, 8, 0.3);
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->scale);
    free(k);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    /* Zeros behind them, for the lanes of the last block. */
    size_t channels = (size_t)p->in[0].dim[1], room = channels + p->kernels->vl;
    if (k) k->scale = calloc(2 * room, sizeof *k->scale);
    if (!k || !k->scale) {
        release(k);
        return pare_fail(PARE_ENOMEM, "no memory for the scales of %zu channels", channels);
    }
    k->channels = channels;
    k->shift = k->scale + room;
    k->planes = (size_t)p->in[0].dim[0] * channels;
    k->plane = (size_t)pare_numel(p->in[0].rank, p->in[0].dim) / k->planes;
    const float *v[5] = { NULL };
    for (int i = 1; i < 5; i++) v[i] = p->weight[i]->part[0].data;
    double epsilon = pare_attr_real(p->node, "epsilon", 1e-5);
    for (size_t c = 0; c < channels; c++) {
        double scale = (double)v[1][c] / sqrt((double)v[4][c] + epsilon),
               shift = (double)v[2][c] - (double)v[3][c] * scale;
        double then = p->epilogue.scale ? (double)p->epilogue.scale[c] : 1,
               add = p->epilogue.scale ? (double)p->epilogue.shift[c] : 0;
        k->scale[c] = (float)(scale * then);
        k->shift[c] = (float)(shift * then + add);
    }
    *out = k;
    *bytes = 2 * room * sizeof(float);
    *scratch_bytes = 0;
    return PARE_OK;
}

/* As many planes as make an item. */
static size_t planes_of(const packed *k)
{
    size_t n = PARE_ROWS_ITEM / k->plane;
    return n < 1 ? 1 : n;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    size_t first = index * planes_of(k), end = first + planes_of(k);
    for (size_t i = first; i < end && i < k->planes; i++) {
        size_t c = i % k->channels, at = i * k->plane;
        float *y = (float *)s->out[0].data + at;
        s->kernels->unary(PARE_UNARY_AFFINE, k->plane, (const float *)s->in[0].data + at,
                          k->scale[c], k->shift[c], y);
        if (s->epilogue.residual) {
            const float *r = (const float *)s->in[s->node->n_in].data + at;
            s->kernels->binary(PARE_BINARY_ADD, k->plane, y, 1, r, 1, y);
        }
        pare_rows_act(s, k->plane, y);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    size_t items = (k->planes + planes_of(k) - 1) / planes_of(k);
    pare_team_for(items, pare_rows_threads(k->planes * k->plane, threads), item, (void *)s);
    return PARE_OK;
}

static void item_blocked(void *user, size_t index, int thread)
{
    (void)thread;
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_epilogue *e = &s->epilogue;
    pare_finish f = { .act = e->act, .lo = e->lo, .hi = e->hi, .alpha = e->alpha };
    size_t vl = s->kernels->vl, blocks = (k->channels + vl - 1) / vl,
           all = k->planes / k->channels * blocks, each = PARE_ROWS_ITEM / (k->plane * vl) + 1;
    for (size_t i = index * each; i < (index + 1) * each && i < all; i++) {
        size_t at = i * k->plane * vl, c = i % blocks * vl;
        const float *r = e->residual ? (const float *)s->in[s->node->n_in].data + at : NULL;
        s->kernels->affine_blocked(k->plane, (const float *)s->in[0].data + at, k->scale + c,
                                   k->shift + c, r, &f, (float *)s->out[0].data + at);
    }
}

static pare_status run_blocked(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    size_t vl = s->kernels->vl, all = k->planes / k->channels * ((k->channels + vl - 1) / vl),
           each = PARE_ROWS_ITEM / (k->plane * vl) + 1;
    pare_team_for((all + each - 1) / each, pare_rows_threads(all * k->plane * vl, threads),
                  item_blocked, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_channel_affine = {
    .name = "channel_affine",
    .op = "BatchNormalization",
    .packs = true,
    .fuses = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};

const pare_impl pare_impl_channel_affine_blocked = {
    .name = "channel_affine_blocked",
    .op = "BatchNormalization",
    .packs = true,
    .fuses = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts_blocked,
    .model_ns = model_blocked_ns,
    .prepare = prepare,
    .release = release,
    .run = run_blocked,
};
