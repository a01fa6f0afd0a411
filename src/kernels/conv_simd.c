/* Convolution kernels in vectors: a block of MR output channels times NV vectors of pixels stays in registers
 * while the taps stream past, MR * NV multiply-adds for NV loads and MR broadcasts. */
#include "kernels/conv.h"
#include "kernels/simd.h"

#include <string.h>

#if PARE_VEC_BYTES == 64
enum { MR = 8, NV = 3 }; /* 24 of 32 registers are sums */
#else
enum { MR = 6, NV = 2 }; /* 12 of 16 */
#endif
enum { ROW_NV = 8 }; /* depthwise: sums of one row only */

/* One vector of sums of output row `row` to its places. */
INLINE void put(const pare_conv_tile *t, const pare_conv_lanes *lanes, size_t row, vec sum)
{
    vec v = sum + t->bias[row];
    const pare_conv_run *run = &t->run[lanes->run];
    size_t at = row * t->plane;
    if (lanes->n_runs == 1 && run->n == VL) {
        if (t->residual) v += load(t->residual + at + run->out);
        store(t->y + at + run->out, act_apply(t->act, v, t->lo, t->hi, t->alpha));
        return;
    }
    float lane[VL];
    if (t->residual) {
        memset(lane, 0, sizeof lane);
        for (uint32_t i = 0; i < lanes->n_runs; i++)
            for (uint32_t l = 0; l < run[i].n; l++) lane[run[i].lane + l] = t->residual[at + run[i].out + l];
        v += load(lane);
    }
    store(lane, act_apply(t->act, v, t->lo, t->hi, t->alpha));
    for (uint32_t i = 0; i < lanes->n_runs; i++) {
        float *y = t->y + at + run[i].out;
        const float *from = lane + run[i].lane;
        for (uint32_t l = 0; l < run[i].n; l++) y[l] = from[l];
    }
}

INLINE void block(const pare_conv_tile *t, const pare_conv_lanes *lanes, size_t row, const int nv)
{
    const float *w = t->w + row * t->taps, *x[NV];
    const uint32_t *off = t->off;
    for (int j = 0; j < nv; j++) x[j] = t->x + lanes[j].in;
    vec acc[MR][NV];
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) acc[r][j] = (vec){ 0 };
    for (size_t k = 0; k < t->taps; k++) {
        vec b[NV];
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) b[j] = load(x[j] + off[k]);
#pragma GCC unroll 16
        for (int r = 0; r < MR; r++) {
            vec a = broadcast(w[k * MR + r]);
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++) acc[r][j] += a * b[j];
        }
    }
    vec sum[MR * NV];
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) sum[r * nv + j] = acc[r][j];
    size_t rows = t->rows - row < MR ? t->rows - row : MR;
    for (size_t r = 0; r < rows; r++)
        for (int j = 0; j < nv; j++) put(t, &lanes[j], row + r, sum[r * (size_t)nv + (size_t)j]);
}

void ISA(pare_conv_tile)(const pare_conv_tile *t)
{
    for (size_t row = 0; row < t->rows;
         row += MR) { /* a block of weights stays in the cache while pixels pass */
        size_t left = t->vectors;
        for (const pare_conv_lanes *l = t->lanes; left > 0;) {
            /* Never a lone vector if it can be helped: 4 are 2 + 2, not 3 + 1. */
            size_t n = left == 4 && NV == 3 ? 2 : left < NV ? left : NV;
            if (n == 3)
                block(t, l, row, 3 <= NV ? 3 : NV);
            else if (n == 2)
                block(t, l, row, 2);
            else
                block(t, l, row, 1);
            l += n;
            left -= n;
        }
    }
}

INLINE void row_block(const pare_conv_tile *t, const pare_conv_lanes *lanes, const int nv)
{
    const float *x[ROW_NV];
    vec acc[ROW_NV];
    for (int j = 0; j < nv; j++) x[j] = t->x + lanes[j].in;
#pragma GCC unroll 8
    for (int j = 0; j < nv; j++) acc[j] = (vec){ 0 };
    for (size_t k = 0; k < t->taps; k++) {
        vec a = broadcast(t->w[k]);
        size_t o = t->off[k];
#pragma GCC unroll 8
        for (int j = 0; j < nv; j++) acc[j] += a * load(x[j] + o);
    }
#pragma GCC unroll 8
    for (int j = 0; j < nv; j++) put(t, &lanes[j], 0, acc[j]);
}

void ISA(pare_conv_row)(const pare_conv_tile *t)
{
    size_t j = 0;
    for (; j + ROW_NV <= t->vectors; j += ROW_NV) row_block(t, t->lanes + j, ROW_NV);
    for (; j + 4 <= t->vectors; j += 4) row_block(t, t->lanes + j, 4);
    for (; j < t->vectors; j++) row_block(t, t->lanes + j, 1);
}

void ISA(pare_take)(const float *src, size_t stride, size_t n, float *dst)
{
    size_t i = 0;
    if (stride == 1) {
        memcpy(dst, src, n * sizeof *dst);
        return;
    }
    if (stride == 2) {
        for (; i + VL < n;
             i += VL) { /* two vectors in, their even lanes out; the last of n must not be read past */
            vec a = load(src + 2 * i), b = load(src + 2 * i + VL);
#if PARE_VEC_BYTES == 64
            store(dst + i, __builtin_shuffle(
                               a, b, (ivec){ 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30 }));
#else
            store(dst + i, __builtin_shuffle(a, b, (ivec){ 0, 2, 4, 6, 8, 10, 12, 14 }));
#endif
        }
    }
    for (; i < n; i++) dst[i] = src[i * stride];
}
