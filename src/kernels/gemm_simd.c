/* Matrix product in vectors: MR rows times NV vectors of columns stay in registers while k runs. */
#include "kernels/gemm.h"
#include "kernels/simd.h"

#if PARE_REGISTERS == 32
enum { MR = 6, NV = 4 }; /* 24 of 32 registers are sums */
#else
enum { MR = 6, NV = 2 }; /* 12 of 16 */
#endif
enum { NR = NV * VL };

/* mr rows of nv vectors of columns from (i0, j0) on. */
INLINE void block(const pare_gemm_tile *t, size_t i0, size_t j0, const int mr, const int nv)
{
    const float *a = t->a + i0 * t->row, *b = t->b + j0 * t->k;
    size_t row = t->row, step = t->step;
    vec acc[MR][NV];
    /* What is written is seldom in a cache, and every row is far from the one before. */
    for (size_t r = 0; r < (size_t)mr; r++)
        for (size_t v = 0; v < (size_t)nv; v++)
            __builtin_prefetch(t->c + (i0 + r) * t->ldc + j0 + v * VL, 1);
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) acc[r][v] = (vec){ 0 };
    for (size_t k = 0; k < t->k; k++) {
        vec x[NV];
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) x[v] = load(b + k * NR + (size_t)v * VL);
#pragma GCC unroll 8
        for (int r = 0; r < mr; r++) {
            vec s = broadcast(a[(size_t)r * row + k * step]);
#pragma GCC unroll 4
            for (int v = 0; v < nv; v++) acc[r][v] += s * x[v];
        }
    }
    vec sum[MR * NV];
#pragma GCC unroll 8
    for (int r = 0; r < mr; r++)
#pragma GCC unroll 4
        for (int v = 0; v < nv; v++) sum[r * nv + v] = acc[r][v];
    for (size_t r = 0; r < (size_t)mr; r++)
        for (size_t v = 0; v < (size_t)nv; v++) {
            size_t j = j0 + v * VL, at = (i0 + r) * t->ldc + j, n = t->n - j < VL ? t->n - j : VL;
            vec y = sum[r * (size_t)nv + v] + load(t->shift + j);
            if (n == VL) {
                if (t->residual) y += load(t->residual + at);
                store(t->c + at, act_apply(t->act, y, t->lo, t->hi, t->alpha));
                continue;
            }
            float lane[VL] = { 0 };
            if (t->residual) {
                for (size_t l = 0; l < n; l++) lane[l] = t->residual[at + l];
                y += load(lane);
            }
            store(lane, act_apply(t->act, y, t->lo, t->hi, t->alpha));
            for (size_t l = 0; l < n; l++) t->c[at + l] = lane[l];
        }
}

/* All rows of a panel, of which nv vectors hold columns. */
INLINE void panel(const pare_gemm_tile *t, size_t j, const int nv)
{
    size_t i = 0;
    for (; i + MR <= t->m; i += MR) block(t, i, j, MR, nv);
    if (i + 4 <= t->m) block(t, i, j, 4, nv), i += 4;
    if (i + 2 <= t->m) block(t, i, j, 2, nv), i += 2;
    if (i < t->m) block(t, i, j, 1, nv);
}

void ISA(pare_gemm_tile)(const pare_gemm_tile *t)
{
    for (size_t j = 0; j < t->n; j += NR) {
        size_t left = t->n - j;
#if PARE_REGISTERS == 32
        if (left <= VL)
            panel(t, j, 1);
        else if (left <= 2 * VL)
            panel(t, j, 2);
        else if (left <= 3 * VL)
            panel(t, j, 3);
        else
            panel(t, j, 4);
#else
        if (left <= VL)
            panel(t, j, 1);
        else
            panel(t, j, 2);
#endif
    }
}
