/* The codec "tucker": the weight of a convolution as a Tucker-2 product, that is as a 1x1
 * convolution, one of the kernel's size between fewer channels, and a 1x1 convolution.
 *
 *   W[n][c][p] = sum over e < D2 of u_out[n][e] *
 *                (sum over d < D1 of core[e][d][p] * u_in[d][c])    p: position within the kernel
 *
 *   u_in   float32 [D1, C]             1 <= D1 <= C
 *   core   float32 [D2, D1, kernel...]
 *   u_out  float32 [N, D2]             1 <= D2 <= N
 *
 * Logical weight [N, C, k0] to [N, C, k0, k1, k2], of one group. Stride, padding and dilation of
 * the convolution are those of the core. */
#ifndef CODECS_TUCKER_H
#define CODECS_TUCKER_H

#include "tensor/codec.h"

enum { PARE_TUCKER_IN, PARE_TUCKER_CORE, PARE_TUCKER_OUT };

extern const pare_codec pare_codec_tucker;

typedef struct pare_tucker_dims {
    int64_t n, c, d1, d2, k; /* output and input channels, ranks behind and before, positions */
} pare_tucker_dims;
/* Of a weight that passed `check`. */
pare_tucker_dims pare_tucker_dims_of(const pare_weight *w);

/* Encodes three tensors (shares are taken; shapes as above but for trailing dimensions of 1) as a
 * weight of logical type `type`. */
pare_status pare_tucker_encode(const pare_type *type, const pare_tensor *u_in,
                               const pare_tensor *core, const pare_tensor *u_out, pare_weight *out);

#endif
