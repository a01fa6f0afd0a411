/* Loops over the pixels of one block of channels. A pixel is vl numbers, one for each lane. */
#ifndef KERNELS_ROWS_BLOCKED_H
#define KERNELS_ROWS_BLOCKED_H

#include "kernels/finish.h"

#include <stddef.h>

/* y[p][l] = act(x[p][l] * scale[l] + shift[l] + residual[p][l]), p < n; residual may be NULL. y may
 * be x or the residual. */
typedef void pare_affine_blocked_fn(size_t n, const float *x, const float *scale,
                                    const float *shift, const float *residual, const pare_finish *f,
                                    float *y);

/* y[p][l] = x[p][l] < 0 ? slope[l] * x[p][l] : x[p][l], p < n. y may be x. */
typedef void pare_prelu_blocked_fn(size_t n, const float *x, const float *slope, float *y);

/* y[l] = the sum of x[p][l] over p < n in some fixed order; the largest (NaN if there is one, -inf
 * if n is 0). */
typedef void pare_reduce_blocked_fn(size_t n, const float *x, float *y);

/* y[p][to + l] = x[p][from + l], l < lanes, p < n: some lanes of a block into another; from + lanes
 * and to + lanes <= vl. The other lanes of y are not touched. */
typedef void pare_lanes_blocked_fn(size_t n, size_t lanes, const float *x, size_t from, float *y,
                                   size_t to);

/* The plain versions, for a vl of 8. */
pare_affine_blocked_fn pare_affine_blocked_c;
pare_prelu_blocked_fn pare_prelu_blocked_c;
pare_reduce_blocked_fn pare_sum_blocked_c;
pare_reduce_blocked_fn pare_largest_blocked_c;
pare_lanes_blocked_fn pare_lanes_blocked_c;

#endif
