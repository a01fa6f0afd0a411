/* ConvTranspose, float32, with constant weights: a product, then a scatter.
 *
 * A run of input pixels of one row times the weights of a block of output channels gives, for every
 * pixel, the multiple of the kernel that it adds to each of these channels:
 *
 *   t [pixel][channel of the block, kernel element]  =  x [pixel][channel in] * w [channel in][...]
 *
 * t stays in cache and is added to the output where the pixel's window lies. A block of output
 * channels is one item of work from beginning to end, so sums have one order for any number of
 * threads. */
#include "base/team.h"
#include "ops/attr.h"
#include "ops/conv_attrs.h"
#include "runtime/impl.h"

#include <stdlib.h>

enum { PIXELS = 64, SERIAL_MACS = 100 << 10 };

typedef struct packed {
    pare_window g; /* of the convolution: in = this output's extents, out = the input's */
    int64_t group, channels, kernels; /* channels in and out of one group */
    int64_t taps, block, blocks,
        width;              /* kernel elements; channels of a block; floats of a row of t */
    float *b, *zero, *bias; /* panels, block after block; shifts of the product; all channels */
    bool serial;
} packed;

static bool accepts(const pare_prepare *p)
{
    const pare_weight *w = p->weight[1], *bias = p->weight[2];
    if (p->in[0].dtype != PARE_F32 || !w || w->codec) return false;
    return p->in[2].dtype == PARE_UNDEFINED || (bias && !bias->codec);
}

static pare_status geometry(const pare_prepare *p, packed *k)
{
    pare_window narrow;
    PARE_TRY(pare_conv_transpose_window(p->node, &p->in[0], &p->in[1], &narrow));
    *k = (packed){ .group = pare_attr_int(p->node, "group", 1), .kernels = p->in[1].dim[1] };
    pare_window_3d(&narrow, &k->g);
    k->channels = p->in[0].dim[1] / k->group;
    k->taps = k->g.kernel[0] * k->g.kernel[1] * k->g.kernel[2];
    /* A block fills its panels as well as possible, within four of them. */
    int64_t nr = (int64_t)p->kernels->gemm_nr;
    double best = 0;
    for (int64_t m = 1; m <= k->kernels && (m == 1 || m * k->taps <= 4 * nr); m++) {
        int64_t used = m * k->taps, width = (used + nr - 1) / nr * nr;
        if ((double)used / (double)width <= best) continue;
        best = (double)used / (double)width;
        k->block = m;
        k->width = width;
    }
    k->blocks = (k->kernels + k->block - 1) / k->block;
    return PARE_OK;
}

static double macs_of(const pare_prepare *p, const packed *k)
{
    return (double)pare_numel(p->in[0].rank, p->in[0].dim) * (double)(k->blocks * k->width);
}

static double model_ns(const pare_prepare *p)
{
    packed k;
    if (geometry(p, &k) != PARE_OK) return 1e18;
    double macs = macs_of(p, &k), scattered = macs / (double)k.channels,
           bytes = 4 * (double)pare_numel(p->out[0].rank, p->out[0].dim);
    return 300 + (macs / (4.0 * (double)p->kernels->vl) + scattered + bytes / 25) / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->b);
    free(k->zero);
    free(k->bias);
    free(k);
}

/* Floats of one block's panels. */
static size_t panels(const packed *k) { return (size_t)k->channels * (size_t)k->width; }

static void pack(const pare_prepare *p, packed *k)
{
    const float *w = p->weight[1]->part[0].data;
    int64_t nr = (int64_t)p->kernels->gemm_nr;
    for (int64_t c = 0; c < k->group * k->channels; c++)
        for (int64_t m = 0; m < k->kernels; m++) {
            int64_t at = c / k->channels * k->blocks + m / k->block, i = c % k->channels;
            for (int64_t t = 0; t < k->taps; t++) {
                int64_t j = m % k->block * k->taps + t;
                k->b[(size_t)at * panels(k) + (size_t)((j / nr * k->channels + i) * nr + j % nr)] =
                    w[(c * k->kernels + m) * k->taps + t];
            }
        }
    const pare_weight *bias = p->in[2].dtype == PARE_UNDEFINED ? NULL : p->weight[2];
    if (bias)
        memcpy(k->bias, bias->part[0].data, (size_t)(k->group * k->kernels) * sizeof *k->bias);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a transposed convolution");
    pare_status st = geometry(p, k);
    if (st != PARE_OK) {
        free(k);
        return st;
    }
    size_t each, all = 0, outputs = (size_t)(k->group * k->kernels);
    if (pare_mul_size((size_t)k->channels, (size_t)k->width, &each) &&
        pare_mul_size((size_t)(k->group * k->blocks), each, &all)) {
        k->b = calloc(all + 1, sizeof *k->b);
        k->zero = calloc((size_t)k->width, sizeof *k->zero);
        k->bias = calloc(outputs, sizeof *k->bias);
    }
    if (!k->b || !k->zero || !k->bias) {
        release(k);
        return pare_fail(PARE_ENOMEM, "no memory for packed weights of %zu numbers", all);
    }
    pack(p, k);
    k->serial = macs_of(p, k) < SERIAL_MACS;
    *out = k;
    *bytes = (all + (size_t)k->width + outputs) * sizeof(float);
    *scratch_bytes = PIXELS * (size_t)k->width * sizeof(float);
    return PARE_OK;
}

/* Adds t, of `n` pixels from `at` on in row (i, j) of the input, to one output plane. */
static void scatter(const packed *k, const float *t, int64_t i, int64_t j, int64_t at, int64_t n,
                    float *y)
{
    const pare_window *g = &k->g;
    for (int64_t a = 0; a < g->kernel[0]; a++)
        for (int64_t b = 0; b < g->kernel[1]; b++, t += g->kernel[2]) {
            int64_t row0 = i * g->stride[0] - g->begin[0] + a * g->dilation[0],
                    row1 = j * g->stride[1] - g->begin[1] + b * g->dilation[1];
            if (row0 < 0 || row0 >= g->in[0] || row1 < 0 || row1 >= g->in[1]) continue;
            float *row = y + (row0 * g->in[1] + row1) * g->in[2];
            for (int64_t c = 0; c < g->kernel[2]; c++) {
                int64_t start = at * g->stride[2] - g->begin[2] + c * g->dilation[2], lo, hi;
                pare_window_range(g->in[2], start, g->stride[2], n, &lo, &hi);
                for (int64_t q = lo; q < hi; q++)
                    row[start + q * g->stride[2]] += t[q * k->width + c];
            }
        }
}

/* One block of output channels of one image. */
static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_window *g = &k->g;
    int64_t block = (int64_t)index % k->blocks, group = (int64_t)index / k->blocks % k->group,
            image = (int64_t)index / k->blocks / k->group;
    int64_t first = block * k->block,
            m = k->kernels - first < k->block ? k->kernels - first : k->block;
    int64_t x_plane = g->out[0] * g->out[1] * g->out[2], y_plane = g->in[0] * g->in[1] * g->in[2];
    const float *x =
        (const float *)s->in[0].data + (image * k->group + group) * k->channels * x_plane;
    const float *bias = k->bias + group * k->kernels + first;
    float *y =
        (float *)s->out[0].data + ((image * k->group + group) * k->kernels + first) * y_plane;
    float *t = (float *)((char *)s->scratch + (size_t)thread * s->scratch_bytes);
    for (int64_t o = 0; o < m; o++)
        for (int64_t q = 0; q < y_plane; q++) y[o * y_plane + q] = bias[o];
    for (int64_t r = 0; r < g->out[0] * g->out[1]; r++)
        for (int64_t at = 0; at < g->out[2]; at += PIXELS) {
            int64_t n = g->out[2] - at < PIXELS ? g->out[2] - at : PIXELS;
            s->kernels->gemm_tile(&(pare_gemm_tile){
                .nr = s->kernels->gemm_nr,
                .m = (size_t)n,
                .n = (size_t)(m * k->taps),
                .k = (size_t)k->channels,
                .a = x + r * g->out[2] + at,
                .row = 1,
                .step = (size_t)x_plane,
                .b = k->b + (size_t)(group * k->blocks + block) * panels(k),
                .shift = k->zero,
                .c = t,
                .ldc = (size_t)k->width,
                .act = PARE_ACT_NONE,
            });
            for (int64_t o = 0; o < m; o++)
                scatter(k, t + o * k->taps, r / g->out[1], r % g->out[1], at, n, y + o * y_plane);
        }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    size_t items = (size_t)(s->in[0].dim[0] * k->group * k->blocks);
    pare_team_for(items, k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_conv_transpose_gemm = {
    .name = "conv_transpose_gemm",
    .op = "ConvTranspose",
    .packs = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
