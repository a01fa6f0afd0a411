/* Convolution kernels in vectors: a block of MR output channels times NV vectors of pixels stays in
 * registers while the taps stream past, MR * NV multiply-adds for NV loads and MR broadcasts. */
#include "kernels/conv.h"
#include "kernels/partial.h"

#if PARE_REGISTERS == 32
enum { MR = 8, NV = 3 }; /* 24 of 32 registers are sums */
#else
enum { MR = 6, NV = 2 }; /* 12 of 16 */
#endif
enum {
    AHEAD = 512
}; /* floats: weights of large layers come from memory, and hardware looks ahead one page at most */
enum { ROW_NV = 8 }; /* depthwise: sums of one row only */

/* One vector of sums of output row `row` to its places. The tile comes by value: stores cannot
 * change it then. */
INLINE void put(const pare_conv_tile t, const pare_conv_lanes *lanes, size_t row, vec sum)
{
    vec v = sum + t.bias[row];
    const pare_conv_run *run = t.run + lanes->run;
    uint32_t n = lanes->n_runs;
    float *y = t.y + row * t.plane;
    const float *residual = t.residual ? t.residual + row * t.plane : NULL;
    if (n == 1 && run->n == VL) {
        if (residual) v += load(residual + run->out);
        store(y + run->out, act_apply(t.act, v, t.lo, t.hi, t.alpha));
        return;
    }
    for (uint32_t i = 0; i < n; i++) {
        lanes_mask m = lanes_of((int)run[i].lane, (int)run[i].n);
        int64_t at = (int64_t)run[i].out - (int64_t)run[i].lane;
        vec u = v;
        if (residual) u += load_lanes(residual + at, m, (vec){ 0 });
        store_lanes(y + at, m, act_apply(t.act, u, t.lo, t.hi, t.alpha));
    }
}

/* The sums of one block. A function of its own, so that nothing else competes for registers: one
 * spilled sum halves the speed on AVX2. sum: [MR][nv] */
INLINE void sums(const pare_conv_tile *t, const float *w, const pare_conv_lanes *lanes,
                 const int nv, vec *sum)
{
    const float *x[NV];
    const uint32_t *off = t->off, *end = off + t->taps;
    for (int j = 0; j < nv; j++) x[j] = t->x + lanes[j].in;
    vec acc[MR][NV];
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) acc[r][j] = (vec){ 0 };
    for (; off < end; off++, w += MR) {
        vec b[NV];
        __builtin_prefetch(w + AHEAD);
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) b[j] = load(x[j] + *off);
#pragma GCC unroll 16
        for (int r = 0; r < MR; r++) {
            vec a = broadcast(w[r]);
#pragma GCC unroll 4
            for (int j = 0; j < nv; j++) acc[r][j] += a * b[j];
        }
    }
#pragma GCC unroll 16
    for (int r = 0; r < MR; r++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) sum[r * nv + j] = acc[r][j];
}
#define SUMS(N)                                                                             \
    static __attribute__((noinline)) void sums_##N(const pare_conv_tile *t, const float *w, \
                                                   const pare_conv_lanes *lanes, vec *sum)  \
    {                                                                                       \
        sums(t, w, lanes, N, sum);                                                          \
    }
SUMS(1)
SUMS(2)
#if PARE_REGISTERS == 32
SUMS(3)
#endif

void ISA(pare_conv_tile)(const pare_conv_tile *tile)
{
    const pare_conv_tile t = *tile;
    for (size_t row = 0; row < t.rows;
         row += MR) { /* a block of weights stays in the cache while pixels pass */
        const float *w = t.w + row * t.taps;
        size_t rows = t.rows - row < MR ? t.rows - row : MR, left = t.vectors;
        for (const pare_conv_lanes *l = t.lanes; left > 0;) {
            /* Never a lone vector if it can be helped: 4 are 2 + 2, not 3 + 1. */
            size_t n = left == 4 && NV == 3 ? 2 : left < NV ? left : NV;
            vec sum[MR * NV];
            if (n == 1)
                sums_1(tile, w, l, sum);
            else if (n == 2)
                sums_2(tile, w, l, sum);
#if PARE_REGISTERS == 32
            else
                sums_3(tile, w, l, sum);
#endif
            for (size_t r = 0; r < rows; r++)
                for (size_t j = 0; j < n; j++) put(t, &l[j], row + r, sum[r * n + j]);
            l += n;
            left -= n;
        }
    }
}

INLINE void row_block(const pare_conv_tile t, const pare_conv_lanes *lanes, const int nv)
{
    const float *x[ROW_NV];
    vec acc[ROW_NV];
    for (int j = 0; j < nv; j++) x[j] = t.x + lanes[j].in;
#pragma GCC unroll 8
    for (int j = 0; j < nv; j++) acc[j] = (vec){ 0 };
    for (size_t k = 0; k < t.taps; k++) {
        vec a = broadcast(t.w[k]);
        size_t o = t.off[k];
#pragma GCC unroll 8
        for (int j = 0; j < nv; j++) acc[j] += a * load(x[j] + o);
    }
#pragma GCC unroll 8
    for (int j = 0; j < nv; j++) put(t, &lanes[j], 0, acc[j]);
}

void ISA(pare_conv_row)(const pare_conv_tile *tile)
{
    const pare_conv_tile t = *tile;
    size_t j = 0;
    for (; j + ROW_NV <= t.vectors; j += ROW_NV) row_block(t, t.lanes + j, ROW_NV);
    for (; j + 4 <= t.vectors; j += 4) row_block(t, t.lanes + j, 4);
    for (; j + 2 <= t.vectors; j += 2) row_block(t, t.lanes + j, 2);
    if (j < t.vectors) row_block(t, t.lanes + j, 1);
}

INLINE void max_block(const pare_conv_tile t, const pare_conv_lanes *lanes, const int nv)
{
    const float *x[4];
    vec best[4];
#pragma GCC unroll 4
    for (int j = 0; j < nv; j++) {
        x[j] = t.x + lanes[j].in;
        best[j] = load(x[j] + t.off[0]);
    }
    for (size_t k = 1; k < t.taps; k++)
#pragma GCC unroll 4
        for (int j = 0; j < nv; j++) best[j] = larger(best[j], load(x[j] + t.off[k]));
    for (int j = 0; j < nv; j++)
        for (uint32_t i = 0; i < lanes[j].n_runs; i++) {
            pare_conv_run r = t.run[lanes[j].run + i];
            store_lanes(t.y + ((int64_t)r.out - (int64_t)r.lane), lanes_of((int)r.lane, (int)r.n),
                        best[j]);
        }
}

void ISA(pare_conv_max)(const pare_conv_tile *tile)
{
    const pare_conv_tile t = *tile;
    size_t j = 0;
    for (; j + 4 <= t.vectors; j += 4) max_block(t, t.lanes + j, 4);
    for (; j < t.vectors; j++) max_block(t, t.lanes + j, 1);
}

/* One row of a plane: source column of destination column q is q * stride + shift. */
INLINE void fill_row(const float *row, int64_t in_x, int64_t stride, int64_t shift, int64_t width,
                     vec pad, float *to)
{
    if (stride == 1) {
        for (int64_t q = 0; q < width; q += VL) {
            int64_t s = q + shift;
            if (s >= 0 && s + VL <= in_x)
                store(to + q, load(row + s));
            else
                store(to + q, load_lanes(row + s, lanes_within(s, in_x), pad));
        }
        return;
    }
    if (stride == 2) {
        for (int64_t q = 0; q < width; q += VL) { /* two vectors in, their even lanes out */
            int64_t s = 2 * q + shift;
            vec a, b;
            if (s >= 0 && s + 2 * VL <= in_x) {
                a = load(row + s);
                b = load(row + s + VL);
            } else {
                a = load_lanes(row + s, lanes_within(s, in_x), pad);
                b = load_lanes(row + s + VL, lanes_within(s + VL, in_x), pad);
            }
#if PARE_VEC_BYTES == 64
            store(to + q, __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22,
                                                  24, 26, 28, 30));
#elif PARE_VEC_BYTES == 32
            store(to + q, __builtin_shufflevector(a, b, 0, 2, 4, 6, 8, 10, 12, 14));
#else
            store(to + q, __builtin_shufflevector(a, b, 0, 2, 4, 6));
#endif
        }
        return;
    }
    for (int64_t q = 0; q < width; q++) {
        int64_t s = q * stride + shift;
        to[q] = s >= 0 && s < in_x ? row[s] : pad[0];
    }
}

/* In the order of memory, so that what a row writes beyond its end is overwritten by the next. */
void ISA(pare_conv_fill)(const pare_conv_fill *f)
{
    const int64_t in_x = f->in_x, in_y = f->in_y, stride_x = f->stride_x, stride_y = f->stride_y,
                  width = (int64_t)f->width;
    const size_t channels = f->channels, row_phases = f->row_phases, col_planes = f->col_planes;
    const vec pad = broadcast(f->pad);
    const float *x = f->x;
    float *to = f->to;
    for (size_t c = 0; c < channels; c++, x += f->channel)
        for (size_t i = 0; i < row_phases; i++)
            for (size_t j = 0; j < col_planes; j++) {
                const int64_t shift = f->shift[j];
                int64_t y = f->first[i];
                for (size_t r = f->rows[i]; r > 0; r--, to += width, y += stride_y) {
                    if (y >= 0 && y < in_y) {
                        fill_row(x + y * in_x, in_x, stride_x, shift, width, pad, to);
                        continue;
                    }
                    for (int64_t q = 0; q < width; q += VL) store(to + q, pad);
                }
                to += f->skip[i] * f->width;
            }
}
