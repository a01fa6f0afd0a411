/* Winograd's minimal filtering F(m x m, 3 x 3), m = 2 or 4, of 3 x 3 convolutions of stride 1 over
 * channel-blocked maps: y = A^T [ (G w G^T) * (B^T x B) ] A for every tile of m x m outputs, where
 * the product of the P = (m + 2)^2 positions is summed over the input channels.
 *
 * A map is [ceil(channels / vl)][rows][columns][vl]; lanes beyond the channels hold anything. Tile
 * i is column i % tiles_x of row i / tiles_x of the grid of tiles, its outputs begin at m times
 * that. Points of interpolation: 0, 1, -1, infinity; and 0, +-sqrt(1/2), +-sqrt(2), infinity, whose
 * error is a fifth of that of 0, +-1, +-2 at the same cost. docs/kernels/winograd.md has bounds. */
#ifndef KERNELS_WINOGRAD_H
#define KERNELS_WINOGRAD_H

#include "kernels/finish.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PARE_WINOGRAD_CHUNK = 128, /* input channels summed on their own, which bounds the rounding */
    PARE_WINOGRAD_BLOCKS = 4,  /* blocks of output channels of a product, at most */
};

/* u[position][c][lane] = (G w[lane][c] G^T)[position] * scale[lane] in double, rounded once. Lanes
 * from `lanes` to vl are zeros.
 *
 *   w         [lanes][channels][3][3]
 *   u         c-th row `row` floats behind the first, position `position` floats behind */
typedef struct pare_winograd_weights {
    int m;
    size_t vl, lanes, channels;
    const float *w, *scale;
    float *u;
    size_t row, position;
} pare_winograd_weights;
typedef void pare_winograd_weights_fn(const pare_winograd_weights *t);

/* v[position][block][tile][lane] = (B^T x B)[position], the map continued by zeros.
 *
 *   top, left   rows and columns of padding before the map, >= 0
 *   first       the tile that is tile 0 of v
 *   position    floats between positions of v, >= blocks * tiles * vl */
typedef struct pare_winograd_input {
    int m;
    size_t vl, blocks;
    const float *x;
    int64_t in_y, in_x, top, left, tiles_x;
    size_t first, tiles;
    float *v;
    size_t position;
} pare_winograd_input;
typedef void pare_winograd_input_fn(const pare_winograd_input *t);

/* r[tile][o] = sum over c of u[c][o] * v[c / vl][tile][c % vl] for o < blocks * vl: one position.
 * Chunks of PARE_WINOGRAD_CHUNK channels are summed in order, then the sums of the chunks. Reads no
 * lane of v beyond the channels. What follows u is fetched into the cache meanwhile: the weights
 * that the caller goes on with should lie there.
 *
 *   u     [channels][blocks * vl] */
typedef struct pare_winograd_product {
    size_t vl, blocks, channels, tiles;
    const float *v, *u;
    float *r;
} pare_winograd_product;
typedef void pare_winograd_product_fn(const pare_winograd_product *t);

/* y = act(A^T r A + shift + residual) for the outputs of tiles that lie within the map.
 *
 *   r         [position][tile][blocks * vl], `position` floats from position to position
 *   shift     blocks * vl
 *   y         the first block's map; residual likewise (NULL: none) */
typedef struct pare_winograd_output {
    int m;
    size_t vl, blocks;
    const float *r;
    size_t position;
    int64_t out_y, out_x, tiles_x;
    size_t first, tiles;
    const float *shift, *residual;
    float *y;
    pare_finish finish;
} pare_winograd_output;
typedef void pare_winograd_output_fn(const pare_winograd_output *t);

#endif
