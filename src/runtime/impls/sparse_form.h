/* A weight stored sparse as one matrix, whatever its codec. */
#ifndef IMPLS_SPARSE_FORM_H
#define IMPLS_SPARSE_FORM_H

#include "tensor/codec.h"

/* Matrix [n][c * d] whose columns are rows of z: pair (c, m) is channel c under basis kernel m
 * (codec penni), or under tap m (codec bitmap). The pointers are the weight's. */
typedef struct pare_sparse_form {
    const uint8_t *mask; /* row-major, codecs/mask.h */
    const float *values;
    size_t nonzeros, n, c, d;
    const float *basis; /* [d][taps]; NULL: pairs are taps, d of them */
    float factor;       /* of all values */
} pare_sparse_form;

/* Of a weight [n][c][kh][kw] with codec bitmap or penni. */
pare_sparse_form pare_sparse_form_of(const pare_weight *w);

#endif
