/* Every implementation, in the order in which they are asked. A new one is a file beside this one
 * and one line here. The last accepts everything. */
#include "runtime/impl.h"

#define IMPLS(X)              \
    X(conv_penni)             \
    X(conv_sparse)            \
    X(conv_tucker)            \
    X(conv_gemm)              \
    X(conv_blocked)           \
    X(conv_blocked_first)     \
    X(conv_winograd4)         \
    X(conv_winograd2)         \
    X(conv_bf16)              \
    X(conv_bf16_first)        \
    X(conv_bf16x2)            \
    X(conv_bf16x3)            \
    X(conv_depthwise)         \
    X(depthwise_blocked)      \
    X(conv_lowbit)            \
    X(conv_int8_depthwise)    \
    X(conv_int8)              \
    X(conv_int8_winograd)     \
    X(conv_int8_to_plain)     \
    X(conv_int8_from_plain)   \
    X(conv_int8_plain)        \
    X(conv_int8_pairs)        \
    X(conv_int8_pairs_first)  \
    X(bytes_quantize)         \
    X(bytes_quantize_blocked) \
    X(bytes_to_reals)         \
    X(bytes_to_reals_blocked) \
    X(bytes_add)              \
    X(bytes_add_blocked)      \
    X(bytes_mean)             \
    X(bytes_max)              \
    X(bytes_concat)           \
    X(gemm_sparse)            \
    X(gemm_packed)            \
    X(gemm_bf16)              \
    X(gemm_bf16x2)            \
    X(gemm_bf16x3)            \
    X(matmul_panels)          \
    X(conv_transpose_gemm)    \
    X(pool_taps)              \
    X(pool_blocked)           \
    X(reduce_rows)            \
    X(layer_norm)             \
    X(global_pool_blocked)    \
    X(global_pool_stays)      \
    X(channel_affine)         \
    X(channel_affine_blocked) \
    X(broadcast)              \
    X(broadcast_blocked)      \
    X(elementwise)            \
    X(elementwise_blocked)    \
    X(prelu)                  \
    X(prelu_blocked)          \
    X(concat_blocks)          \
    X(concat_blocked)         \
    X(resize_blocked)         \
    X(transpose_from_blocked) \
    X(transpose_to_blocked)   \
    X(strided_copy)           \
    X(copy)                   \
    X(reference)

#define DECLARE(name) extern const pare_impl pare_impl_##name;
IMPLS(DECLARE)
#define ENTRY(name) &pare_impl_##name,
const pare_impl *const pare_impls[] = { IMPLS(ENTRY) NULL };
