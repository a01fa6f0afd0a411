/* QLinearConv with a filter of its own for every channel, blocked: each block's rows are copied
 * into scratch with their padding, and a filter row takes four neighbouring pixels at a time. */
#include "base/team.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/int8_common.h"

#include <stdlib.h>

enum { BAND_BYTES = 24 << 10, SERIAL_MACS = 128 << 10 };

typedef struct packed {
    pare_window g;
    int64_t images, blocks, rows, bands, in_rows;
    size_t row, groups;
    uint8_t pad, flip;
    uint32_t *pixel, *group, *ones;
    int32_t *bias, *w_zero;
    float *scale;
    char *w;
    size_t block_bytes;
    pare_int8_finish finish;
    bool quads, serial;
} packed;

static bool accepts(const pare_prepare *p)
{
    const pare_tensor *w = pare_int8_constant(p, 3);
    if (p->in[0].rank != 4 || !w || w->dim[1] != 1 || w->dim[0] != p->in[0].dim[1] ||
        !pare_int8_constants(p, 3, 8, 6))
        return false;
    pare_window g;
    pare_conv_window(p->node, &p->in[0], &p->in[3], &g);
    return pare_int8_reaches(&g, (int64_t)p->kernels->vl) &&
           (g.dilation[1] == 1 || g.kernel[1] == 1);
}

static double model_ns(const pare_prepare *p)
{
    double n = (double)pare_numel(4, p->out->dim),
           taps = (double)(p->in[3].dim[2] * ((p->in[3].dim[3] + 3) / 4));
    return 500 + n * (0.05 + taps * 0.05) * 16 / (double)p->kernels->vl / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->pixel);
    free(k->group);
    free(k->ones);
    free(k->bias);
    free(k->w_zero);
    free(k->scale);
    free(k->w);
    free(k);
}

static void shape(const pare_prepare *p, packed *k)
{
    const pare_window *g = &k->g;
    int64_t vl = (int64_t)p->kernels->vl,
            width = (g->out[1] - 1) * g->stride[1] + (g->kernel[1] + 3) / 4 * 4,
            halo = (g->kernel[0] - 1) * g->dilation[0] + 1;
    k->row = (size_t)(width * vl);
    k->images = p->in[0].dim[0];
    k->blocks = pare_blocks(p->in[0].dim[1], p->kernels->vl);
    int64_t fit = (BAND_BYTES / (int64_t)k->row - halo) / g->stride[0] + 1;
    k->rows = pare_clamp(fit, 1, g->out[0]);
    k->bands = pare_up(g->out[0], k->rows);
    k->rows = pare_up(g->out[0], k->bands);
    k->bands = pare_up(g->out[0], k->rows);
    k->in_rows = (k->rows - 1) * g->stride[0] + halo;
    k->groups = (size_t)(g->kernel[0] * ((g->kernel[1] + 3) / 4));
    k->serial = pare_numel(4, p->out->dim) * g->kernel[0] * g->kernel[1] < SERIAL_MACS;
}

static void fill(const pare_prepare *p, packed *k, int16_t *w)
{
    const pare_window *g = &k->g;
    const pare_tensor *from = pare_int8_constant(p, 3), *w_zero = pare_int8_constant(p, 5),
                      *bias = pare_int8_constant(p, 8);
    size_t vl = p->kernels->vl, across = (size_t)((g->kernel[1] + 3) / 4);
    int32_t shift = k->w_zero && from->dtype == PARE_U8 ? 128 : 0;
    int32_t zero_x = (int32_t)pare_int8_at(pare_int8_constant(p, 2), 0) + (k->flip ? 128 : 0);
    for (size_t i = 0; i < k->groups; i++) {
        size_t y = i / across, x = i % across * 4;
        k->group[i] = (uint32_t)(y * (size_t)g->dilation[0] * k->row + x * vl);
        for (size_t l = 0; k->ones && l < 4 && x + l < (size_t)g->kernel[1]; l++)
            k->ones[i] |= (uint32_t)1 << 8 * l;
    }
    for (int64_t b = 0; b < k->blocks; b++) {
        memset(w, 0, vl * k->groups * 4 * sizeof *w);
        for (size_t l = 0; l < vl; l++) {
            int64_t m = b * (int64_t)vl + (int64_t)l;
            if (m >= from->dim[0]) break;
            int32_t zero = (int32_t)pare_int8_at(w_zero, m), whole = 0;
            for (int64_t y = 0; y < g->kernel[0]; y++)
                for (int64_t x = 0; x < g->kernel[1]; x++) {
                    int32_t v = (int32_t)pare_tensor_get_f64(
                        from, (m * g->kernel[0] + y) * g->kernel[1] + x);
                    size_t at = ((size_t)y * across + (size_t)x / 4) * 4 + (size_t)x % 4;
                    whole += v - zero;
                    w[l * k->groups * 4 + at] = (int16_t)(k->w_zero ? v - shift : v - zero);
                }
            k->bias[m] = (int32_t)((uint32_t)(int32_t)pare_int8_at(bias, m) -
                                   (uint32_t)zero_x * (uint32_t)whole);
            if (k->w_zero) k->w_zero[m] = zero - shift;
            k->scale[m] = pare_int8_scale(p, m);
        }
        pare_int8_pack(vl, 1, k->quads, vl, k->groups * 4 / pare_int8_word(k->quads), w,
                       k->w + (size_t)b * k->block_bytes);
    }
    for (int64_t y = 0; y < k->rows; y++)
        for (int64_t x = 0; x < g->out[1]; x++)
            k->pixel[y * g->out[1] + x] =
                (uint32_t)((size_t)(y * g->stride[0]) * k->row + (size_t)(x * g->stride[1]) * vl);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    pare_conv_window(p->node, &p->in[0], &p->in[3], &k->g);
    shape(p, k);
    size_t vl = p->kernels->vl, rows = (size_t)k->blocks * vl;
    k->quads = p->kernels->int8_quads;
    k->flip = pare_int8_flip(p->in[0].dtype);
    k->pad = (uint8_t)(int32_t)pare_int8_at(pare_int8_constant(p, 2), 0);
    k->block_bytes = pare_int8_packed(vl, vl, k->groups * 4 / pare_int8_word(k->quads));
    k->pixel = malloc((size_t)(k->rows * k->g.out[1]) * sizeof *k->pixel);
    k->group = malloc(k->groups * sizeof *k->group);
    k->bias = calloc(rows, sizeof *k->bias);
    k->scale = calloc(rows, sizeof *k->scale);
    k->w = calloc((size_t)k->blocks, k->block_bytes);
    int16_t *w = malloc(vl * k->groups * 4 * sizeof *w);
    bool memory = k->pixel && k->group && k->bias && k->scale && k->w && w;
    if (pare_int8_needs_zero(p, 3, 5, k->quads)) {
        k->w_zero = calloc(rows, sizeof *k->w_zero);
        k->ones = calloc(k->groups, sizeof *k->ones);
        memory = memory && k->w_zero && k->ones;
    }
    if (memory) fill(p, k, w);
    free(w);
    if (!memory) {
        release(k);
        return pare_fail(PARE_ENOMEM, "no memory for the filters of %zu channels", rows);
    }
    k->finish = (pare_int8_finish){ .bias = k->bias, .scale = k->scale, .w_zero = k->w_zero };
    k->finish.zero = (int32_t)pare_int8_at(pare_int8_constant(p, 7), 0);
    pare_int8_limits(p->out[0].dtype, &p->epilogue, k->finish.zero, &k->finish.lo, &k->finish.hi);
    *out = k;
    *bytes = (size_t)k->blocks * k->block_bytes;
    *scratch_bytes = (size_t)k->in_rows * k->row;
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_window *g = &k->g;
    size_t vl = s->kernels->vl, in = (size_t)(g->in[0] * g->in[1]) * vl,
           out = (size_t)(g->out[0] * g->out[1]) * vl;
    int64_t band = (int64_t)index % k->bands, y0 = band * k->rows,
            rows = g->out[0] - y0 < k->rows ? g->out[0] - y0 : k->rows;
    size_t plane = index / (size_t)k->bands, block = plane % (size_t)k->blocks;
    uint8_t *scratch = (uint8_t *)s->scratch + (size_t)thread * s->scratch_bytes;
    int64_t halo = (g->kernel[0] - 1) * g->dilation[0] + 1;
    pare_int8_copy_band(g, vl, k->pad, y0 * g->stride[0] - g->begin[0],
                        (rows - 1) * g->stride[0] + halo,
                        (const uint8_t *)s->in[0].data + plane * in, scratch, k->row);
    pare_int8_depthwise d = {
        .vl = vl,
        .quads = k->quads,
        .x = scratch,
        .flip = k->flip,
        .pixels = (size_t)(rows * g->out[1]),
        .pixel = k->pixel,
        .group = k->group,
        .groups = k->groups,
        .w = k->w + block * k->block_bytes,
        .ones = k->ones,
        .finish = k->finish,
        .y = (uint8_t *)s->out[0].data + plane * out + (size_t)(y0 * g->out[1]) * vl,
    };
    d.finish.bias += block * vl;
    d.finish.scale += block * vl;
    if (k->w_zero) d.finish.w_zero += block * vl;
    s->kernels->int8_depthwise(&d);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for((size_t)(k->images * k->blocks * k->bands), k->serial ? 1 : threads, item,
                  (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_conv_int8_depthwise = {
    .name = "conv_int8_depthwise",
    .op = "QLinearConv",
    .packs = true,
    .fuses = true, /* a Clip only */
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
