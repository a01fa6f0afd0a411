/* Convolution over blocks of channels: a vector is one block of output channels of a pixel. */
#ifndef KERNELS_CONV_BLOCKED_H
#define KERNELS_CONV_BLOCKED_H

#include "kernels/act.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Output pixels whose sums stay in registers together: any pixels, neighbours or not. Tiles that
 * are moved copies of each other share a shape. */
typedef struct pare_blocked_shape {
    uint32_t pixels;
    uint32_t taps;      /* taps that read x for one of the pixels at least */
    bool inside;        /* all of them read x for all pixels */
    const int32_t *tap; /* [taps] which taps of the weights */
    const int32_t *in;  /* [taps][pixels] floats behind the tile's x; PARE_BLOCKED_ZERO: zeros */
    const int32_t *out; /* [pixels] floats behind the tile's y */
} pare_blocked_shape;

typedef struct pare_blocked_tile {
    const pare_blocked_shape *shape;
    int32_t in, out; /* floats behind x and y; only sums with those of the shape are valid */
} pare_blocked_tile;

/* For every block b of output channels, pixel p of every tile and lane l:
 *
 *   sum = first ? bias[b][l] : y[b][p][l]
 *         + sum over taps t, channels c of w[t][c][b][l] * x[c / vl][p + t][c % vl]
 *   y[b][p][l] = last ? act(sum + residual[b][p][l]) : sum
 *
 * in order of taps, then channels. A tap outside of the input adds nothing, or zero times the
 * weight.
 *
 *   w      [taps][channels][blocks][vl]
 *   y      blocks y_block floats apart; residual likewise (NULL: none), not overlapping y */
typedef struct pare_conv_blocked {
    size_t vl; /* of the table; the plain version takes any */
    size_t n_tiles;
    const pare_blocked_tile *tile;
    size_t blocks, channels; /* blocks <= PARE_BLOCKED_MOST */
    const float *x;
    size_t x_block;
    const float *w, *bias;
    float *y;
    const float *residual;
    size_t y_block;
    bool first, last;
    pare_act act;
    float lo, hi, alpha;
    const float *ahead; /* weights to fetch meanwhile, for a later call; `ahead_floats` of them */
    size_t ahead_floats;
} pare_conv_blocked;
typedef void pare_conv_blocked_fn(const pare_conv_blocked *t);

/* Channels side by side: to[i * n + c] = x[c * plane + i], c < n, i < count; x and to apart. */
typedef void pare_beside_fn(size_t n, size_t count, const float *x, size_t plane, float *to);

enum { PARE_BLOCKED_ZERO = INT32_MIN, PARE_BLOCKED_MOST = 2, PARE_BLOCKED_PIXELS_MOST = 12 };

#endif
