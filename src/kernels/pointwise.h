/* 1x1 convolution over blocks of channels, of pixels that lie side by side: no lists of taps or
 * pixels, so that short sums are not dwarfed by what surrounds them. */
#ifndef KERNELS_POINTWISE_H
#define KERNELS_POINTWISE_H

#include "kernels/finish.h"

#include <stdbool.h>
#include <stddef.h>

/* For pixel p < pixels, block b < blocks and lane l < vl, channels being added in order:
 *
 *   y[b][p][l] = act((onto ? y[b][p][l] : bias[b][l])
 *                    + sum over c of w[c][b][l] * x[c / vl][p][c % vl] + residual[b][p][l])
 *
 *   x          pixels vl floats apart, blocks of channels x_block
 *   w          [channels][blocks][vl]
 *   bias       [blocks][vl]
 *   y          pixels y_pixel floats apart, blocks y_block; residual likewise (NULL: none), not
 *              overlapping y */
typedef struct pare_pointwise {
    size_t vl, pixels, blocks, channels;
    const float *x;
    size_t x_block;
    const float *w, *bias;
    float *y;
    const float *residual;
    size_t y_block, y_pixel;
    bool onto;
    pare_finish finish;
    const float *ahead; /* weights to fetch meanwhile, for a later call; `ahead_floats` of them */
    size_t ahead_floats;
} pare_pointwise;
typedef void pare_pointwise_fn(const pare_pointwise *t);

#endif
