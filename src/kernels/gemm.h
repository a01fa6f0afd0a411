/* Products of matrices: a few rows of A, broadcast, against packed panels of B. */
#ifndef KERNELS_GEMM_H
#define KERNELS_GEMM_H

#include "kernels/act.h"

#include <stddef.h>

/* c[i][j] = act(sum over k of a[i][k] * b[k][j] + shift[j] + residual[i][j]), sums in order of k; i
 * < m, j < n.
 *
 *   a         a[i * row + k * step]
 *   b         panels [ceil(n / nr)][k][nr], columns beyond n are zeros
 *   shift     ceil(n / nr) * nr numbers
 *   c         ldc floats from row to row; residual likewise (NULL: none), not overlapping c */
typedef struct pare_gemm_tile {
    size_t nr; /* of the table; the plain version takes any up to PARE_GEMM_NR_MOST */
    size_t m, n, k;
    const float *a;
    size_t row, step;
    const float *b, *shift;
    float *c;
    const float *residual;
    size_t ldc;
    pare_act act;
    float lo, hi, alpha;
} pare_gemm_tile;
typedef void pare_gemm_tile_fn(const pare_gemm_tile *t);

enum { PARE_GEMM_NR_MOST = 64 };

#endif
