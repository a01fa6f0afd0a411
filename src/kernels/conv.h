/* Convolution as a sum over taps, for pixels in vectors and output channels in blocks.
 *
 * A tap is one (input channel, kernel row, kernel column). For every output pixel the input value of tap k
 * lies off[k] floats behind that of tap 0: the caller lays its input out so that this holds, and that
 * neighbouring pixels are neighbours in memory. So one kernel serves every convolution whose input was laid
 * out, and 1x1 without any layout. */
#ifndef KERNELS_CONV_H
#define KERNELS_CONV_H

#include "kernels/act.h"

#include <stddef.h>
#include <stdint.h>

/* Lanes [lane, lane + n) of a vector are real outputs; they are written to y + out and following. */
typedef struct pare_conv_run {
    uint32_t lane, n;
    uint32_t out;
} pare_conv_run;

/* One vector of pixels: where its tap 0 lies, and its real lanes (the others are computed and dropped). */
typedef struct pare_conv_lanes {
    uint32_t in;
    uint32_t run, n_runs; /* index of the first */
} pare_conv_lanes;

/* y[r][pixel] = act(sum over k of w[r][k] * x[off[k] + pixel] + bias[r] + residual[r][pixel]), sums in order
 * of k.
 *
 *   w     [ceil(rows / mr)][taps][mr], rows beyond the last are zeros
 *   bias  ceil(rows / mr) * mr
 *   y     row r begins r * plane floats behind y; residual likewise (NULL: none), not overlapping y
 *   Whole vectors are read from x, also for lanes that are dropped: the caller makes room. */
typedef struct pare_conv_tile {
    size_t mr, vl; /* of the table; the plain version takes any */
    size_t taps;
    const uint32_t *off;
    const float *x;
    size_t vectors;
    const pare_conv_lanes *lanes;
    const pare_conv_run *run;
    size_t rows;
    const float *w, *bias;
    float *y;
    const float *residual;
    size_t plane;
    pare_act act;
    float lo, hi, alpha;
} pare_conv_tile;
typedef void pare_conv_tile_fn(const pare_conv_tile *t);

/* The same for one row whose weights are w[taps] (depthwise): faster with few taps. rows must be 1, mr is
 * ignored. */
typedef void pare_conv_row_fn(const pare_conv_tile *t);

/* dst[i] = src[i * stride], i < n. Reads nothing beyond src[(n - 1) * stride]. */
typedef void pare_take_fn(const float *src, size_t stride, size_t n, float *dst);

enum { PARE_CONV_MR_MOST = 16, PARE_VL_MOST = 16 };

#endif
