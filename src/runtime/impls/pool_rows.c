/* MaxPool and AveragePool, float32, one or two spatial dimensions: the rows of a window are reduced into one
 * row, then that row's columns. */
#include "base/parallel.h"
#include "ops/attr.h"
#include "ops/conv_attrs.h"
#include "runtime/impl.h"

#include <math.h>
#include <stdlib.h>

enum { ITEM_READS = 100 << 10, SERIAL_READS = 100 << 10 };

typedef struct packed {
    pare_window w; /* two dimensions: y, x */
    bool average;
    int64_t planes, chunk;         /* planes in an item */
    size_t row_floats, out_floats; /* scratch: the reduced row with its padding, two rows of output */
    float *count_x, *count_y;      /* AveragePool: elements that a window covers, each dimension */
    bool serial;
} packed;

static bool window_of(const pare_prepare *p, pare_window *out)
{
    static const pare_ints none = { 0 };
    const pare_node *n = p->node;
    const int *pad = pare_attr(n, "auto_pad", PARE_FIELD_ENUM);
    const pare_ints *list[4];
    static const char *const names[4] = { "kernel_shape", "strides", "pads", "dilations" };
    for (int i = 0; i < 4; i++) {
        list[i] = pare_attr(n, names[i], PARE_FIELD_INTS);
        if (!list[i]) list[i] = &none;
    }
    pare_window w, full;
    if (p->in[0].rank > 4 || pare_window_of(&p->in[0], NULL, pad ? *pad : 0, list[0], list[1], list[2],
                                            list[3], pare_attr_int(n, "ceil_mode", 0) != 0, &w) != PARE_OK)
        return false;
    pare_window_3d(&w, &full);
    for (int d = 0; d < 2; d++) { /* the first of the three has extent 1 */
        if (full.begin[d + 1] < 0 || full.end[d + 1] < 0) return false;
        out->in[d] = full.in[d + 1], out->out[d] = full.out[d + 1], out->kernel[d] = full.kernel[d + 1];
        out->stride[d] = full.stride[d + 1], out->dilation[d] = full.dilation[d + 1],
        out->begin[d] = full.begin[d + 1], out->end[d] = full.end[d + 1];
    }
    out->spatial = 2;
    return true;
}

static bool accepts(const pare_prepare *p)
{
    pare_window w;
    return p->in[0].dtype == PARE_F32 && p->node->n_out == 1 && window_of(p, &w);
}

static double reads_of(const pare_window *w, double planes)
{
    return planes * (double)w->out[0] *
           ((double)w->in[1] * (double)w->kernel[0] + (double)w->out[1] * (double)w->kernel[1]);
}

static double model_ns(const pare_prepare *p)
{
    pare_window w;
    if (!window_of(p, &w)) return 1e17;
    return 300 + 0.1 * reads_of(&w, (double)p->in[0].dim[0] * (double)p->in[0].dim[1]) / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->count_x);
    free(k->count_y);
    free(k);
}

/* How many elements a window at each output covers: of the input, or with its padding. 1 where that is none.
 */
static float *counts(const pare_window *w, int d, bool padding)
{
    float *count = malloc((size_t)w->out[d] * sizeof *count);
    for (int64_t o = 0; count && o < w->out[d]; o++) {
        int64_t lo, hi, start = o * w->stride[d] - w->begin[d];
        if (padding)
            pare_window_range(w->begin[d] + w->in[d] + w->end[d], start + w->begin[d], w->dilation[d],
                              w->kernel[d], &lo, &hi);
        else
            pare_window_range(w->in[d], start, w->dilation[d], w->kernel[d], &lo, &hi);
        count[o] = hi > lo ? (float)(hi - lo) : 1;
    }
    return count;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    window_of(p, &k->w);
    const pare_window *w = &k->w;
    k->average = p->node->op->name[0] == 'A';
    k->planes = p->in[0].dim[0] * p->in[0].dim[1];
    bool padding = pare_attr_int(p->node, "count_include_pad", 0) != 0;
    if (k->average) {
        k->count_y = counts(w, 0, padding);
        k->count_x = counts(w, 1, padding);
        if (!k->count_x || !k->count_y) {
            release(k);
            return pare_fail(PARE_ENOMEM, "no memory for a step");
        }
    }
    int64_t reach = (w->out[1] - 1) * w->stride[1] + (w->kernel[1] - 1) * w->dilation[1] + 1,
            have = w->begin[1] + w->in[1];
    k->row_floats = (size_t)(reach > have ? reach : have);
    k->out_floats = (size_t)w->out[1];
    double reads = reads_of(w, 1);
    k->chunk = (int64_t)(ITEM_READS / (reads + 1)) + 1;
    if (k->chunk > k->planes) k->chunk = k->planes;
    k->serial = reads * (double)k->planes < SERIAL_READS;
    *out = k;
    *bytes = sizeof *k;
    *scratch_bytes = (k->row_floats + 2 * k->out_floats) * sizeof(float);
    return PARE_OK;
}

static void plane(const pare_step *s, const packed *k, const float *x, float *y, float *row, float *column)
{
    const pare_window *w = &k->w;
    const pare_kernels *kernels = s->kernels;
    pare_binary f = k->average ? PARE_BINARY_ADD : PARE_BINARY_MAX;
    size_t in_x = (size_t)w->in[1], out_x = (size_t)w->out[1];
    float *middle = row + w->begin[1], *divisor = column + out_x;
    for (int64_t oy = 0; oy < w->out[0]; oy++, y += out_x) {
        int64_t lo, hi, start = oy * w->stride[0] - w->begin[0];
        pare_window_range(w->in[0], start, w->dilation[0], w->kernel[0], &lo, &hi);
        for (size_t i = 0; lo >= hi && i < in_x; i++) middle[i] = k->average ? 0 : -INFINITY;
        for (int64_t i = lo; i < hi; i++) {
            const float *from = x + (size_t)(start + i * w->dilation[0]) * in_x;
            if (i == lo)
                memcpy(middle, from, in_x * sizeof *middle);
            else
                kernels->binary(f, in_x, middle, 1, from, 1, middle);
        }
        for (int64_t i = 0; i < w->kernel[1]; i++) {
            const float *from = row + i * w->dilation[1];
            if (i == 0) {
                kernels->take(from, (size_t)w->stride[1], out_x, y);
                continue;
            }
            if (w->stride[1] != 1) {
                kernels->take(from, (size_t)w->stride[1], out_x, column);
                from = column;
            }
            kernels->binary(f, out_x, y, 1, from, 1, y);
        }
        if (!k->average) continue;
        kernels->unary(PARE_UNARY_AFFINE, out_x, k->count_x, k->count_y[oy], 0, divisor);
        kernels->binary(PARE_BINARY_DIV, out_x, y, 1, divisor, 1, y);
    }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_window *w = &k->w;
    float *row = (float *)((char *)s->scratch + (size_t)thread * s->scratch_bytes);
    for (size_t i = 0; i < k->row_floats; i++) row[i] = k->average ? 0 : -INFINITY; /* padding stays so */
    int64_t first = (int64_t)index * k->chunk,
            end = first + k->chunk < k->planes ? first + k->chunk : k->planes;
    for (int64_t i = first; i < end; i++)
        plane(s, k, (const float *)s->in[0].data + (size_t)i * (size_t)(w->in[0] * w->in[1]),
              (float *)s->out[0].data + (size_t)i * (size_t)(w->out[0] * w->out[1]), row,
              row + k->row_floats);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_parallel_for((size_t)((k->planes + k->chunk - 1) / k->chunk), k->serial ? 1 : threads, item,
                      (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_pool_rows = {
    .name = "pool_rows",
    .op = "MaxPool|AveragePool",
    .packs = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
