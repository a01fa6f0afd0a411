/* MaxPool and AveragePool, float32, one or two spatial dimensions: planes are laid out as for a
 * depthwise convolution, whose taps are compared, or summed and divided by how many there were. */
#include "base/team.h"
#include "runtime/impls/conv_layout.h"
#include "runtime/impls/pool_common.h"

#include <math.h>
#include <stdlib.h>

enum { BUFFER_BYTES = 64 << 10, ITEM_READS = 200 << 10, SERIAL_READS = 200 << 10 };

typedef struct packed {
    pare_conv_layout l;
    int64_t planes, chunk, chunks; /* planes in an item */
    float *one, *zero;             /* AveragePool: weights, bias */
    float *divisor;                /* AveragePool: [out_y][out_x] */
    bool serial;
} packed;

static bool layout(const pare_prepare *p, pare_window *w, pare_conv_layout *l, double *cycles)
{
    if (p->in[0].dtype != PARE_F32 || p->node->n_out != 1 || p->in[0].rank > 4) return false;
    pare_conv_wish wish = { .rows_out = 1,
                            .one_row = true,
                            .compares = !pare_pool_is_average(p->node),
                            .budget = BUFFER_BYTES,
                            .bands = 1 };
    return pare_pool_window(p, w) && pare_conv_layout_window(w, 1, l) &&
           pare_conv_layout_choose(l, p->kernels, &wish, cycles);
}

static bool accepts(const pare_prepare *p)
{
    pare_window w;
    pare_conv_layout l;
    double cycles;
    return layout(p, &w, &l, &cycles);
}

static double model_ns(const pare_prepare *p)
{
    pare_window w;
    pare_conv_layout l;
    double cycles = 0;
    if (!layout(p, &w, &l, &cycles)) return 1e17;
    return 300 + (double)p->in[0].dim[0] * (double)p->in[0].dim[1] * (1.5 * cycles + 100) * 0.28 /
                     p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    pare_conv_layout_free(&k->l);
    free(k->one);
    free(k->zero);
    free(k->divisor);
    free(k);
}

static pare_status prepare_average(const pare_prepare *p, const pare_window *w, packed *k)
{
    const pare_conv_layout *l = &k->l;
    bool padding = pare_attr_int(p->node, "count_include_pad", 0) != 0;
    k->one = malloc(l->taps * sizeof *k->one);
    k->zero = calloc(1, sizeof *k->zero);
    k->divisor = malloc((size_t)(l->out_y * l->out_x) * sizeof *k->divisor);
    if (!k->one || !k->zero || !k->divisor)
        return pare_fail(PARE_ENOMEM, "no memory for a pool of %zu taps", l->taps);
    for (size_t i = 0; i < l->taps; i++) k->one[i] = 1;
    for (int64_t y = 0; y < l->out_y; y++)
        for (int64_t x = 0; x < l->out_x; x++)
            k->divisor[y * l->out_x + x] =
                (float)((w->spatial == 2 ? pare_pool_count(w, 0, y, padding) : 1) *
                        pare_pool_count(w, w->spatial - 1, x, padding));
    return PARE_OK;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    pare_window w;
    double cycles;
    layout(p, &w, &k->l, &cycles);
    pare_status st = pare_conv_layout_build(&k->l, p->kernels->vl);
    if (st == PARE_OK && pare_pool_is_average(p->node)) st = prepare_average(p, &w, k);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    k->planes = p->in[0].dim[0] * p->in[0].dim[1];
    double reads =
        (double)(k->l.out_y * k->l.out_x) * (double)k->l.taps + (double)(k->l.in_y * k->l.in_x);
    k->chunk = (int64_t)(ITEM_READS / reads) + 1;
    if (k->chunk > k->planes) k->chunk = k->planes;
    k->chunks = (k->planes + k->chunk - 1) / k->chunk;
    k->serial = reads * (double)k->planes < SERIAL_READS;
    *out = k;
    *bytes = sizeof *k + k->l.taps * sizeof *k->l.off;
    *scratch_bytes = k->l.buffer_floats * sizeof(float);
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_conv_layout *l = &k->l;
    bool average = pare_pool_is_average(s->node);
    float *buffer = (float *)((char *)s->scratch + (size_t)thread * s->scratch_bytes);
    size_t in = (size_t)(l->in_y * l->in_x), out = (size_t)(l->out_y * l->out_x);
    int64_t first = (int64_t)index * k->chunk,
            end = first + k->chunk < k->planes ? first + k->chunk : k->planes;
    pare_conv_tile t = { .vl = s->kernels->vl,
                         .taps = l->taps,
                         .off = l->off,
                         .rows = 1,
                         .w = k->one,
                         .bias = k->zero,
                         .plane = out };
    for (int64_t band = 0; band < l->bands; band++) {
        const pare_conv_band *b = band == l->bands - 1 ? &l->last : &l->full;
        pare_conv_fill f;
        pare_conv_layout_fill_of(l, band, average ? 0 : -INFINITY, buffer, &f);
        t.vectors = b->vectors;
        t.lanes = b->lanes;
        t.run = b->run;
        for (int64_t i = first; i < end; i++) {
            t.x = (const float *)s->in[0].data + (size_t)i * in;
            t.y = (float *)s->out[0].data + (size_t)i * out + (size_t)(band * l->rows * l->out_x);
            if (l->mode != PARE_CONV_DIRECT) {
                pare_conv_layout_fill(l, s->kernels, &f, t.x);
                t.x = buffer;
            }
            (average ? s->kernels->conv_row : s->kernels->conv_max)(&t);
        }
    }
    for (int64_t i = first; average && i < end; i++) {
        float *y = (float *)s->out[0].data + (size_t)i * out;
        s->kernels->binary(PARE_BINARY_DIV, out, y, 1, k->divisor, 1, y);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for((size_t)k->chunks, k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_pool_taps = {
    .name = "pool_taps",
    .op = "MaxPool|AveragePool",
    .packs = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
