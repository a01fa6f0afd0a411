/* Convolutions whose weights are mostly zeros, on one tile of pixels: rows z of numbers that the
 * terms of many output channels share, and their sparse sums.
 *
 *   x --basis (PENNI) or shift (any sparse weight)--> z [rows][pixels] --combine--> y
 *
 * A tile is `vectors` whole vectors of neighbouring output pixels. Whatever the tiling, the sum of
 * an output runs through its terms in the order of the stream. */
#ifndef KERNELS_SPARSE_H
#define KERNELS_SPARSE_H

#include "kernels/act.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PARE_SPARSE_VECTORS = 8, /* vectors in a tile, at most: 1, 2, 4 or 8 */
    PARE_SPARSE_SUMS = 8,    /* vectors of sums at once: a group is 8 / vectors output channels */
    PARE_SPARSE_MASKED_TAPS = 64
};

/* Where the pixels of a tile find their inputs: the value of tap t for pixel i of input channel c
 * is x[c * plane + off[t] + i], or zero where the mask says that it lies outside of the picture. */
typedef struct pare_sparse_source {
    size_t vl, vectors; /* vl: of the table; the plain version takes any up to 16 */
    const float *x;
    size_t plane, taps;
    const int32_t *off;
    /* [vectors][taps], bit i for pixel i of the vector; memory behind a cleared bit is not
     * touched. NULL: whole vectors are read for every tap. With masks, taps are at most
     * PARE_SPARSE_MASKED_TAPS. */
    const uint16_t *mask;
} pare_sparse_source;

/* An input channel's part in the basis stage: its next `used` rows of z. */
typedef struct pare_sparse_channel {
    uint32_t input; /* c of the source */
    uint32_t used;  /* basis kernels that some output channel needs */
    uint32_t table; /* where its basis kernels lie: [taps][used] behind `tables` */
} pare_sparse_channel;

/* z[row + m][i] = sum over t of table[t][m] * (tap t of pixel i), m < used, for one channel after
 * another. z: rows of vectors * vl floats, 64-byte aligned. */
typedef void pare_sparse_basis_fn(const pare_sparse_source *s, size_t channels,
                                  const pare_sparse_channel *channel, const float *tables,
                                  float *z);

/* z[row][i] = tap `tap` of channel `input`. */
typedef struct pare_sparse_shift {
    uint32_t input, tap;
} pare_sparse_shift;
typedef void pare_sparse_shift_fn(const pare_sparse_source *s, size_t rows,
                                  const pare_sparse_shift *row, float *z);

/* Sums of one block of z for all rows (output channels) of a chunk, in groups of
 * PARE_SPARSE_SUMS / vectors rows:
 *
 *   sum[r] = (first ? 0 : acc[r]) + sum over the terms of r of value * z[off * 8 bytes]
 *   y[r * plane + i] = act(sum[r] + shift[r] + residual[r * plane + i]), i < pixels, if last;
 *   otherwise acc[r] = sum[r]
 *
 * The terms of a group lie interleaved, row by row, padded to the longest with zeros that weigh a
 * row of zeros; then to a multiple of 4. One step is max(4, rows of a group) terms. */
typedef struct pare_sparse_combine {
    size_t vl, vectors, groups;
    const uint32_t *step; /* of each group */
    const uint32_t *row;  /* [groups][rows of a group]; `rows` for one that is not there */
    size_t rows;
    const float *value;  /* 16-byte aligned */
    const uint16_t *off; /* 8-byte aligned; in units of 8 bytes */
    const float *z;
    float *acc; /* [rows + 1][vectors * vl], 64-byte aligned; not used when first and last */
    int first, last;
    const float *shift;
    float *y;
    const float *residual; /* NULL: none; not overlapping y */
    size_t plane, pixels;
    pare_act act;
    float lo, hi, alpha;
} pare_sparse_combine;
typedef void pare_sparse_combine_fn(const pare_sparse_combine *c);

/* One product of a sparse matrix and a vector: y[r] = shift[r] + sum over the terms of r of value *
 * x[off], for groups of PARE_SPARSE_SUMS rows whose terms lie interleaved as above (a step is one
 * term of each). Rows that are not there are numbered `rows`. */
typedef struct pare_sparse_dot {
    size_t groups, rows;
    const uint32_t *step, *row;
    const float *value;
    const uint16_t *off;
    const float *x, *shift;
    float *y;
} pare_sparse_dot;
typedef void pare_sparse_dot_fn(const pare_sparse_dot *d);

pare_sparse_dot_fn pare_sparse_dot_c;
pare_sparse_basis_fn pare_sparse_basis_c;
pare_sparse_shift_fn pare_sparse_shift_c;
pare_sparse_combine_fn pare_sparse_combine_c;

#endif
