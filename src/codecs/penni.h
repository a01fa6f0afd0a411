/* The codec "penni": all two-dimensional kernels of a convolution as sparse sums of a few shared
 * basis kernels. Li, Hanson, Li, Chen: PENNI, Pruned Kernel Sharing for Efficient CNN Inference,
 * ICML 2020.
 *
 *   W[n][c][p] = sum over m < d of a[n][c][m] * basis[m][p]      p < k: position within the kernel
 *
 *   mask    uint8 [ceil(N*C*d / 8)]  which coefficients a[N][C][d] are kept, row-major (mask.h)
 *   values  float32 [kept]           their values, in order; a kept one may be 0 while it is being
 * trained basis   float32 [d, k]           basis kernels, 1 <= d <= k
 *
 * Logical weight [N, C, k0] to [N, C, k0, k1, k2]; k is the product of the kernel's extents. A 1x1
 * layer has d = k = 1 and the basis 1: then the coefficients are its weights. */
#ifndef CODECS_PENNI_H
#define CODECS_PENNI_H

#include "tensor/codec.h"

enum { PARE_PENNI_MASK, PARE_PENNI_VALUES, PARE_PENNI_BASIS };

extern const pare_codec pare_codec_penni;

typedef struct pare_penni_dims {
    int64_t n, c, d, k; /* output channels, input channels, basis kernels, kernel positions */
} pare_penni_dims;
/* Of a weight that passed `check`. */
pare_penni_dims pare_penni_dims_of(const pare_weight *w);

/* Encodes coefficients a[N][C][d] and basis[d][k] (both copied) as a weight of logical type `type`.
 * Keeps coefficient i if keep[i], or, when `keep` is NULL, if it is not 0. */
pare_status pare_penni_encode(const pare_type *type, int64_t d, const float *a, const bool *keep,
                              const float *basis, pare_weight *out);
/* The coefficients again: n * c * d numbers, 0 where none is kept. */
void pare_penni_coefficients(const pare_weight *w, float *a);

#endif
