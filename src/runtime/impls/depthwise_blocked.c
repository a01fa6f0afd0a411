/* Conv, float32, dense, one input and one output channel in each group, over channel-blocked
 * activations: a vector is one pixel of a block of channels. */
#include "runtime/impls/conv_common.h"
#include "runtime/impls/window_common.h"

#include <stdlib.h>

typedef struct packed {
    pare_windows w;
    float *taps, *shift; /* [blocks][taps][vl], [blocks][vl] */
} packed;

static bool windows(const pare_prepare *p, pare_windows *out)
{
    if (!pare_conv_is_plain(p) || p->in[0].rank != 4) return false;
    if (p->in[1].dim[1] != 1 || p->in[1].dim[0] != p->in[0].dim[1]) return false;
    pare_window w;
    pare_conv_window(p->node, &p->in[0], &p->in[1], &w);
    return pare_windows_of(&w, &p->in[0], p->kernels->vl, out);
}

static bool accepts(const pare_prepare *p)
{
    pare_windows w;
    return windows(p, &w);
}

static double model_ns(const pare_prepare *p)
{
    pare_windows w;
    return windows(p, &w) ? pare_windows_ns(&w, 0.27, p->threads) : 1e17;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->taps);
    free(k);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    size_t vl = p->kernels->vl;
    int64_t channels = p->in[0].dim[1], taps = p->in[1].dim[2] * p->in[1].dim[3],
            blocks = pare_blocks(channels, vl);
    size_t count, all = 0;
    packed *k = calloc(1, sizeof *k);
    bool fits = pare_mul_size((size_t)(blocks * (taps + 1)), vl, &count) &&
                pare_mul_size(count, sizeof *k->taps, &all);
    if (k && fits) k->taps = aligned_alloc(64, (all + 63) & ~(size_t)63);
    if (!k || !k->taps) {
        release(k);
        return pare_fail(PARE_ENOMEM, "no memory for packed weights of %lld channels",
                         (long long)channels);
    }
    memset(k->taps, 0, all);
    windows(p, &k->w);
    k->shift = k->taps + (size_t)(blocks * taps) * vl;
    const float *w = p->weight[1]->part[0].data;
    for (int64_t c = 0; c < channels; c++) {
        int64_t block = c / (int64_t)vl, lane = c % (int64_t)vl;
        float scale, shift;
        pare_conv_affine(p, c, &scale, &shift);
        for (int64_t t = 0; t < taps; t++)
            k->taps[(block * taps + t) * (int64_t)vl + lane] = w[c * taps + t] * scale;
        k->shift[c] = shift;
    }
    *out = k;
    *bytes = all;
    *scratch_bytes = 0;
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    (void)thread;
    const pare_step *s = user;
    const packed *k = s->packed;
    pare_window_blocked t = k->w.t;
    t.kind = PARE_WINDOW_SUM;
    t.x = s->in[0].data;
    t.w = k->taps;
    t.shift = k->shift;
    t.residual = s->epilogue.residual ? s->in[s->node->n_in].data : NULL;
    t.y = s->out[0].data;
    t.act = s->epilogue.act;
    t.lo = s->epilogue.lo, t.hi = s->epilogue.hi, t.alpha = s->epilogue.alpha;
    pare_windows_item(&k->w, s->kernels, index, &t);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for((size_t)k->w.items, k->w.serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_depthwise_blocked = {
    .name = "depthwise_blocked",
    .op = "Conv",
    .packs = true,
    .fuses = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
