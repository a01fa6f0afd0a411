/* Convolution as a sum over taps, for pixels in vectors and output channels in blocks.
 *
 * A tap is one (input channel, kernel row, kernel column). For every output pixel the input value
 * of tap k lies off[k] floats behind that of tap 0: the caller lays its input out so that this
 * holds, and that neighbouring pixels are neighbours in memory. So one kernel serves every
 * convolution whose input was laid out, and 1x1 without any layout. */
#ifndef KERNELS_CONV_H
#define KERNELS_CONV_H

#include "kernels/act.h"

#include <stddef.h>
#include <stdint.h>

/* Lanes [lane, lane + n) of a vector are real outputs; they are written to y + out and following.
 */
typedef struct pare_conv_run {
    uint32_t lane, n;
    uint32_t out;
} pare_conv_run;

/* One vector of pixels: where its tap 0 lies, and its real lanes (the others are computed and
 * dropped). */
typedef struct pare_conv_lanes {
    uint32_t in;
    uint32_t run, n_runs; /* index of the first */
} pare_conv_lanes;

/* y[r][pixel] = act(sum over k of w[r][k] * x[off[k] + pixel] + bias[r] + residual[r][pixel]), sums
 * in order of k.
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

/* The same for one row whose weights are w[taps] (depthwise): faster with few taps. rows must be 1,
 * mr is ignored. */
typedef void pare_conv_row_fn(const pare_conv_tile *t);

/* The same as pare_conv_row_fn with the largest of the taps instead of their weighted sum: y = max
 * over k of x[off[k] + pixel]. NaN is larger than all. w, bias, residual and the activation are not
 * used. */
typedef void pare_conv_max_fn(const pare_conv_tile *t);

/* Lays out a band of the input: for every channel c, row phase i, column plane j, in this order,
 * rows of `width` floats
 *
 *   row r, column q  =  x[c * channel + y * in_x + q * stride_x + shift[j]],  y = r * stride_y +
 * first[i],
 *
 * and `pad` where row or column lie outside. Writes up to a vector beyond the end. */
enum { PARE_CONV_PLANES = 32 }; /* row phases or column planes, at most */
typedef struct pare_conv_fill {
    const float *x;
    size_t channels, channel;
    int64_t in_y, in_x, stride_y, stride_x;
    size_t row_phases, col_planes, width;
    int64_t first[PARE_CONV_PLANES]; /* input row of row 0 */
    size_t rows[PARE_CONV_PLANES],
        skip[PARE_CONV_PLANES]; /* rows to fill; rows to leave behind them */
    int64_t shift[PARE_CONV_PLANES];
    float pad;
    float *to;
} pare_conv_fill;
typedef void pare_conv_fill_fn(const pare_conv_fill *f);

enum { PARE_CONV_MR_MOST = 16, PARE_VL_MOST = 16 };

#endif
