/* How the output pixels of a convolution over blocks of channels are cut into the tiles of
 * kernels/conv_blocked.h.
 *
 * Every tile is nearly full, whatever the width of the map: pixels run on from row to row. Where
 * taps fall outside of the input, pixels that miss the same taps share tiles, so that these taps
 * are left out, if that saves time; other tiles read zeros there:
 *
 *   7x7 map, 3x3 kernel, padded:   A A A A A A A     A: without the first row of taps
 *                                  L M M M M M R     L, R: without the first, last column
 *                                  :           :     M: all taps
 *                                  B B B B B B B     B: without the last row */
#ifndef IMPLS_CONV_TILES_H
#define IMPLS_CONV_TILES_H

#include "base/status.h"
#include "kernels/conv_blocked.h"

/* Two dimensions: y, x. */
typedef struct pare_tiles_of {
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], pad[2];
    int64_t in_step[2], out_step[2]; /* floats from row to row, from column to column */
    int64_t most;                    /* pixels of a tile */
} pare_tiles_of;

typedef struct pare_tiles {
    size_t n;
    pare_blocked_tile *tile;
    pare_blocked_shape *shape;
    int32_t *numbers; /* of the shapes */
} pare_tiles;

typedef struct pare_tiles_cost {
    double cycles; /* for each input channel and two blocks of output channels */
    double tiles;
} pare_tiles_cost;

/* Adds the cost of output rows [from, to). */
void pare_tiles_cost_of(const pare_tiles_of *g, int64_t from, int64_t to, pare_tiles_cost *cost);

/* Makes the tiles of every band of `rows` output rows; those of band i are t->tile[at[i]] to
 * t->tile[at[i + 1] - 1]. `at` has room for one more than there are bands. */
pare_status pare_tiles_make(const pare_tiles_of *g, int64_t rows, pare_tiles *t, size_t *at);
void pare_tiles_free(pare_tiles *t);

#endif
