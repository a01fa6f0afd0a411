/* Winograd's minimal filtering F(4x4, 3x3) of bytes, without rounding: 36 products of 16-bit
 * numbers give 16 outputs that would take 144 products of bytes.
 *
 * With the points 0, +-1, +-2, infinity, B^T and scaled rows of G and A^T are whole numbers:
 *
 *       4  0 -5  0  1  0         6  0  0
 *       0 -4 -4  1  1  0        -1 -1 -1         1  4  4  1  1  0    24 y0
 * B^T = 0  4 -4 -1  1  0    G = -1  1 -1   A^T = 0  2 -2  1 -1  0    12 y1
 *       0 -2 -1  2  1  0         1  2  4         0  1  1  1  1  0     6 y2
 *       0  2 -1 -2  1  0         1 -2  4         0  1 -1  2 -2  1     6 y3
 *       0  4  0 -5  0  1         0  0  6
 *
 * Bytes and their weights less zero points (|w| <= 255) stay below 2^15 through both transforms:
 * rows of B^T sum up to 10 at most, those of G to 7. From there on numbers are modulo 2^32. An
 * output comes out multiplied by 9 * 2^s, s at most 6: the product with the inverse of 9 modulo
 * 2^32 undoes the 9, and a shift to the right by s, with sign, the rest, provided that the sum
 * lies in [-2^25, 2^25), as the weights of a filter can show.
 *
 * Maps are [block][rows][columns][vl] bytes; a tile of outputs begins at 4 times its column
 * i % tiles_x and row i / tiles_x of the grid. Channels go in groups of 2 * vl. */
#ifndef KERNELS_INT8_WINOGRAD_H
#define KERNELS_INT8_WINOGRAD_H

#include "kernels/int8.h"

#define PARE_INT8_WINOGRAD_MOST (1 << 25) /* sums of products must be smaller */
enum { PARE_INT8_WINOGRAD_POSITIONS = 36 };

/* u[position][c / 2][lane][c % 2] = (G w[lane][c] G^T)[position]; lanes from `lanes` to vl, and
 * what would be the partner of the last of an odd number of channels, are zeros.
 *
 *   w         [lanes][channels][3][3]
 *   u         pairs of channels `row` numbers apart, positions `position` apart */
typedef struct pare_int8_winograd_weights {
    size_t vl, lanes, channels;
    const int16_t *w;
    int16_t *u;
    size_t row, position;
} pare_int8_winograd_weights;
typedef void pare_int8_winograd_weights_fn(const pare_int8_winograd_weights *t);

/* v[position][group][tile][2 * vl] = (B^T x B)[position], the map continued by `pad`. What has no
 * block is unspecified.
 *
 *   top, left   rows and columns of padding before the map, >= 0
 *   first       the tile that is tile 0 of v
 *   position    numbers between positions of v */
typedef struct pare_int8_winograd_input {
    size_t vl, blocks;
    bool is_signed;
    uint8_t pad;
    const uint8_t *x;
    int64_t in_y, in_x, top, left, tiles_x;
    size_t first, tiles;
    int16_t *v;
    size_t position;
} pare_int8_winograd_input;
typedef void pare_int8_winograd_input_fn(const pare_int8_winograd_input *t);

/* r[tile][o] = sum over c of u[c / 2][o][c % 2] * v[group][tile][c % (2 * vl)] modulo 2^32, for
 * o < blocks * vl: one position. What follows u is fetched into the cache meanwhile. */
typedef struct pare_int8_winograd_product {
    size_t vl, blocks, channels, tiles;
    const int16_t *v, *u;
    uint32_t *r;
} pare_int8_winograd_product;
typedef void pare_int8_winograd_product_fn(const pare_int8_winograd_product *t);

/* The outputs of tiles that lie within the map; finish.w_zero is NULL.
 *
 *   r         [position][tile][blocks * vl], `position` numbers from position to position
 *   y         the first block's map */
typedef struct pare_int8_winograd_output {
    size_t vl, blocks;
    const uint32_t *r;
    size_t position;
    int64_t out_y, out_x, tiles_x;
    size_t first, tiles;
    pare_int8_finish finish;
    uint8_t *y;
} pare_int8_winograd_output;
typedef void pare_int8_winograd_output_fn(const pare_int8_winograd_output *t);

pare_int8_winograd_weights_fn pare_int8_winograd_weights_c;
pare_int8_winograd_input_fn pare_int8_winograd_input_c;
pare_int8_winograd_product_fn pare_int8_winograd_product_c;
pare_int8_winograd_output_fn pare_int8_winograd_output_c;

#endif
