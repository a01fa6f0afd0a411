/* What convolutions with sparse weights share: tiles of pixels, rows of z, streams of terms. The
 * codecs differ in what a row of z is: a basis response (PENNI) or a shifted channel. */
#ifndef IMPLS_SPARSE_CONV_H
#define IMPLS_SPARSE_CONV_H

#include "ops/conv_attrs.h"
#include "runtime/impl.h"

/* A weight as a sparse matrix [n][c * d] whose columns are rows of z: pair (c, m) is channel c
 * under basis kernel m, or under tap m. */
typedef struct pare_sparse_form {
    const uint8_t *mask; /* row-major, codecs/mask.h */
    const float *values;
    size_t nonzeros, n, c, d;
    const float *basis; /* [d][taps]; NULL: pairs are taps, d of them */
    float factor;       /* of all values */
} pare_sparse_form;

/* A float32 Conv of two dimensions and one group with constant or no bias. */
bool pare_sparse_conv_accepts(const pare_prepare *p);
double pare_sparse_conv_ns(const pare_prepare *p, const pare_sparse_form *f);
double pare_sparse_conv_macs(const pare_prepare *p, const pare_sparse_form *f);
pare_status pare_sparse_conv_prepare(const pare_prepare *p, const pare_sparse_form *f,
                                     void **packed, size_t *packed_bytes, size_t *scratch_bytes);
void pare_sparse_conv_release(void *packed);
pare_status pare_sparse_conv_run(const pare_step *s, int threads);

#endif
