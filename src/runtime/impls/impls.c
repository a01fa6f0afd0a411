/* Every implementation, in the order in which they are asked. A new one is a file beside this one
 * and one line here. The last accepts everything. */
#include "runtime/impl.h"

#define IMPLS(X)           \
    X(conv_penni)          \
    X(conv_gemm)           \
    X(conv_depthwise)      \
    X(gemm_packed)         \
    X(conv_transpose_gemm) \
    X(pool_taps)           \
    X(reduce_rows)         \
    X(channel_affine)      \
    X(broadcast)           \
    X(elementwise)         \
    X(concat_blocks)       \
    X(strided_copy)        \
    X(copy)                \
    X(reference)

#define DECLARE(name) extern const pare_impl pare_impl_##name;
IMPLS(DECLARE)
#define ENTRY(name) &pare_impl_##name,
const pare_impl *const pare_impls[] = { IMPLS(ENTRY) NULL };
