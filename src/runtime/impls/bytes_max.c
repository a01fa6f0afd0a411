/* MaxPool of 8-bit integers in two dimensions, blocked. Windows inside the input take one
 * kernel call a row, those that reach beyond it one each, with the taps that are left. */
#include "base/team.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/int8_common.h"
#include "runtime/impls/pool_common.h"

#include <stdlib.h>

enum { MOST_TAPS = 64, SERIAL_READS = 64 << 10 };

static bool accepts(const pare_prepare *p)
{
    pare_window w;
    return p->in[0].rank == 4 && pare_int8_is_byte(p->in[0].dtype) && p->node->n_out == 1 &&
           pare_pool_window(p, &w) && w.kernel[0] <= MOST_TAPS && w.kernel[1] <= MOST_TAPS &&
           pare_int8_reaches(&w, (int64_t)p->kernels->vl);
}

static double model_ns(const pare_prepare *p)
{
    pare_window w;
    if (!pare_pool_window(p, &w)) return 1e17;
    double n = (double)pare_numel(4, p->out->dim) * (double)(w.kernel[0] * w.kernel[1]);
    return 300 + n * 0.01 / (n < SERIAL_READS ? 1 : p->threads);
}

typedef struct packed {
    pare_window g;
    bool serial;
} packed;

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    pare_pool_window(p, &k->g);
    k->serial = pare_numel(4, p->out->dim) * k->g.kernel[0] * k->g.kernel[1] < SERIAL_READS;
    *out = k;
    *bytes = sizeof *k;
    *scratch_bytes = (size_t)k->g.in[1] * p->kernels->vl;
    return PARE_OK;
}

/* One row of outputs of one block: the largest of each column, then of neighbouring columns. */
static void row(const pare_step *s, const pare_window *g, const uint8_t *x, int64_t oy,
                uint8_t *columns, uint8_t *y)
{
    size_t vl = s->kernels->vl;
    uint8_t flip = pare_int8_flip(s->in[0].dtype);
    uint32_t tap[MOST_TAPS];
    size_t taps = 0;
    int64_t top = oy * g->stride[0] - g->begin[0], lo, hi;
    pare_window_range(g->in[0], top, g->dilation[0], g->kernel[0], &lo, &hi);
    for (int64_t ky = lo; ky < hi; ky++)
        tap[taps++] = (uint32_t)((size_t)((ky - lo) * g->dilation[0] * g->in[1]) * vl);
    size_t first_row = taps ? (size_t)((top + lo * g->dilation[0]) * g->in[1]) * vl : 0;
    s->kernels->int8_max((size_t)g->in[1], x + first_row, vl, tap, taps, flip, columns);
    for (int64_t ox = 0; ox < g->out[1];) {
        int64_t left = ox * g->stride[1] - g->begin[1], from, to, n = 1;
        pare_window_range(g->in[1], left, g->dilation[1], g->kernel[1], &from, &to);
        taps = 0;
        for (int64_t kx = from; kx < to; kx++)
            tap[taps++] = (uint32_t)((size_t)((kx - from) * g->dilation[1]) * vl);
        if (from == 0 && to == g->kernel[1]) { /* as many whole windows as follow */
            int64_t room = g->in[1] - left - (g->kernel[1] - 1) * g->dilation[1] - 1;
            n = room / g->stride[1] + 1;
            if (n > g->out[1] - ox) n = g->out[1] - ox;
        }
        size_t at = taps ? (size_t)(left + from * g->dilation[1]) * vl : 0;
        s->kernels->int8_max((size_t)n, columns + at, (size_t)g->stride[1] * vl, tap, taps, flip,
                             y + (size_t)ox * vl);
        ox += n;
    }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const pare_window *g = &((const packed *)s->packed)->g;
    size_t vl = s->kernels->vl;
    const uint8_t *x = (const uint8_t *)s->in[0].data + index * (size_t)(g->in[0] * g->in[1]) * vl;
    uint8_t *y = (uint8_t *)s->out[0].data + index * (size_t)(g->out[0] * g->out[1]) * vl;
    uint8_t *columns = (uint8_t *)s->scratch + (size_t)thread * s->scratch_bytes;
    for (int64_t oy = 0; oy < g->out[0]; oy++)
        row(s, g, x, oy, columns, y + (size_t)(oy * g->out[1]) * vl);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    size_t vl = s->kernels->vl,
           blocks = (size_t)(s->in[0].dim[0] * pare_blocks(s->in[0].dim[1], vl));
    pare_team_for(blocks, k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_bytes_max = {
    .name = "bytes_max",
    .op = "MaxPool",
    .packs = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};
