/* MaxPool and AveragePool, float32, over channel-blocked activations. */
#include "runtime/impls/pool_common.h"
#include "runtime/impls/window_common.h"

#include <stdlib.h>

typedef struct packed {
    pare_windows w;
    float *count; /* AveragePool: taps counted, of rows, then of columns */
} packed;

static bool windows(const pare_prepare *p, pare_window *w, pare_windows *out)
{
    return p->node->n_out == 1 && pare_pool_window(p, w) &&
           pare_windows_of(w, &p->in[0], p->kernels->vl, out);
}

static bool accepts(const pare_prepare *p)
{
    pare_window w;
    pare_windows all;
    return windows(p, &w, &all);
}

static double model_ns(const pare_prepare *p)
{
    pare_window w;
    pare_windows all;
    if (!windows(p, &w, &all)) return 1e17;
    return pare_windows_ns(&all, pare_pool_is_average(p->node) ? 0.28 : 0.36, p->threads);
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->count);
    free(k);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    pare_window w;
    windows(p, &w, &k->w);
    k->w.t.kind = PARE_WINDOW_MAX;
    size_t count_bytes = 0;
    if (pare_pool_is_average(p->node)) {
        bool padding = pare_attr_int(p->node, "count_include_pad", 0) != 0;
        count_bytes = (size_t)(w.out[0] + w.out[1]) * sizeof *k->count;
        k->count = malloc(count_bytes);
        if (!k->count) {
            release(k);
            return pare_fail(PARE_ENOMEM, "no memory for a pool of %lld rows", (long long)w.out[0]);
        }
        float *at = k->count;
        for (int d = 0; d < 2; d++)
            for (int64_t o = 0; o < w.out[d]; o++)
                *at++ = (float)pare_pool_count(&w, d, o, padding);
        k->w.t.kind = PARE_WINDOW_MEAN;
        k->w.t.count_y = k->count;
        k->w.t.count_x = k->count + w.out[0];
    }
    *out = k;
    *bytes = sizeof *k + count_bytes;
    *scratch_bytes = 0;
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    (void)thread;
    const pare_step *s = user;
    const packed *k = s->packed;
    pare_window_blocked t = k->w.t;
    t.x = s->in[0].data;
    t.y = s->out[0].data;
    pare_windows_item(&k->w, s->kernels, index, &t);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for((size_t)k->w.items, k->w.serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_pool_blocked = {
    .name = "pool_blocked",
    .op = "MaxPool|AveragePool",
    .packs = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
