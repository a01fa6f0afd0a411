/* Resampling one block of channels: rows are blended, then pixels of a row. */
#ifndef KERNELS_RESIZE_BLOCKED_H
#define KERNELS_RESIZE_BLOCKED_H

#include <stddef.h>
#include <stdint.h>

/* y[i] = sum over k < taps, in order, of weight[k] * row[k][i]; i < n, taps > 0 */
typedef void pare_blend_rows_fn(size_t n, size_t taps, const float *weight, const float *const *row,
                                float *y);
/* y[p][l] = sum over k < taps, in order, of weight[p * taps + k] * x[index[p * taps + k]][l]; p <
 * pixels, taps > 0, l < vl. x and y do not overlap. */
typedef void pare_blend_pixels_fn(size_t pixels, size_t taps, const int32_t *index,
                                  const float *weight, const float *x, float *y);

/* The plain versions, of the pixels for a vl of 8. */
pare_blend_rows_fn pare_blend_rows_c;
pare_blend_pixels_fn pare_blend_pixels_c;

#endif
