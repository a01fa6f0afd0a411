/* The two stages of a PENNI convolution on one tile of pixels (docs/methods/penni.md).
 *
 * Lengths are in floats and multiples of 16; rows of z and acc start 64-byte aligned and have room
 * for `len`.
 */
#ifndef KERNELS_PENNI_H
#define KERNELS_PENNI_H

#include <stddef.h>
#include <stdint.h>

/* Basis stage of one input channel: z[m][i] = sum over k of basis[k][m] * x[off[k] + i], m < d, i <
 * len. off    where tap k of the first pixel lies in x; reads x[off[k] .. off[k] + len) basis  taps
 * x d, row-major ldz    floats from one row of z to the next */
typedef void pare_penni_basis_fn(size_t d, size_t taps, size_t len, const float *x,
                                 const uint32_t *off, const float *basis, float *z, size_t ldz);

/* One kept coefficient of an output channel: its value and the row of z that it weighs. */
typedef struct pare_penni_term {
    float value;
    uint32_t row;
} pare_penni_term;

/* Combine stage: acc[n][i] += sum over the terms t of channel n of t.value * z[t.row][i], in the
 * terms' order. start   n + 1 offsets into term fresh   acc counts as zero */
typedef void pare_penni_combine_fn(size_t n, size_t len, const uint32_t *start,
                                   const pare_penni_term *term, const float *z, size_t ldz,
                                   float *acc, size_t lda, int fresh);

pare_penni_basis_fn pare_penni_basis_c;
pare_penni_combine_fn pare_penni_combine_c;

#endif
