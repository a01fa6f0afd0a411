/* Global pools, and ReduceMean, ReduceSum, ReduceMax over height and width, float32, of a
 * channel-blocked activation. The result is a number for each channel, so plain or blocked differ
 * in the lanes beyond the last channel only. */
#include "ops/attr.h"
#include "ops/attrs.h"
#include "runtime/impls/rows_common.h"
#include "runtime/impls/window_common.h"

static bool accepts(const pare_prepare *p)
{
    const pare_type *x = &p->in[0];
    if (x->dtype != PARE_F32 || x->rank != 4) return false;
    if (strncmp(p->node->op->name, "Global", 6) == 0) return true;
    bool present = p->node->n_in > 1 && p->in[1].dtype != PARE_UNDEFINED;
    if (present && !p->weight[1]) return false;
    pare_arg axes = { .type = p->in[1], .value = present ? &p->weight[1]->part[0] : NULL };
    unsigned mask;
    return pare_reduce_mask(p->node, present ? &axes : NULL, x->rank, &mask) == PARE_OK &&
           mask == (1u << 2 | 1u << 3);
}

static bool accepts_blocked(const pare_prepare *p) { return p->out[0].rank == 4 && accepts(p); }

static double model_ns(const pare_prepare *p)
{
    double n = (double)pare_numel(p->in[0].rank, p->in[0].dim);
    return pare_rows_ns(n, 4 * n, 0.06, p->threads);
}

/* Blocks of channels that make an item. */
static size_t blocks_each(const pare_step *s)
{
    size_t n = (size_t)(s->in[0].dim[2] * s->in[0].dim[3]) * s->kernels->vl;
    return n < PARE_ROWS_ITEM ? PARE_ROWS_ITEM / n : 1;
}

static size_t blocks_of(const pare_step *s)
{
    return (size_t)(s->in[0].dim[0] * pare_blocks(s->in[0].dim[1], s->kernels->vl));
}

static void item(void *user, size_t index, int thread)
{
    (void)thread;
    const pare_step *s = user;
    const char *op = s->node->op->name;
    bool largest = strstr(op, "Max") != NULL, mean = strcmp(op, "ReduceSum") != 0;
    size_t vl = s->kernels->vl, channels = (size_t)s->in[0].dim[1],
           pixels = (size_t)(s->in[0].dim[2] * s->in[0].dim[3]), all = blocks_of(s),
           blocks = (size_t)pare_blocks((int64_t)channels, vl), first = index * blocks_each(s),
           end = first + blocks_each(s) < all ? first + blocks_each(s) : all;
    for (size_t b = first; b < end; b++) {
        const float *x = (const float *)s->in[0].data + b * pixels * vl;
        bool stays = s->impl->gives == PARE_BLOCKED;
        size_t channel = b % blocks * vl,
               lanes = stays || channels - channel > vl ? vl : channels - channel,
               at = stays ? b * vl : b / blocks * channels + channel;
        float v[PARE_VL_MOST];
        (largest ? s->kernels->largest_blocked : s->kernels->sum_blocked)(pixels, x, v);
        float *y = (float *)s->out[0].data + at;
        for (size_t l = 0; l < lanes; l++) y[l] = largest || !mean ? v[l] : v[l] / (float)pixels;
    }
}

static pare_status run(const pare_step *s, int threads)
{
    size_t each = blocks_each(s), all = blocks_of(s),
           n = all * (size_t)(s->in[0].dim[2] * s->in[0].dim[3]) * s->kernels->vl;
    pare_team_for((all + each - 1) / each, pare_rows_threads(n, threads), item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_global_pool_blocked = {
    .name = "global_pool_blocked",
    .op = "GlobalAveragePool|GlobalMaxPool|ReduceMean|ReduceSum|ReduceMax",
    .packs = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_PLAIN,
    .accepts = accepts,
    .model_ns = model_ns,
    .run = run,
};

const pare_impl pare_impl_global_pool_stays = {
    .name = "global_pool_stays",
    .op = "GlobalAveragePool|GlobalMaxPool|ReduceMean|ReduceSum|ReduceMax",
    .packs = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts_blocked,
    .model_ns = model_ns,
    .run = run,
};
