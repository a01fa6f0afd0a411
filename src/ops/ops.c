/* Every operator. A new one is a file beside this one and one line here, in alphabetical order. */
#include "ops/op.h"

#include <string.h>

#define OPS(X)                 \
    X(abs)                     \
    X(acos)                    \
    X(acosh)                   \
    X(add)                     \
    X(and)                     \
    X(arg_max)                 \
    X(arg_min)                 \
    X(asin)                    \
    X(asinh)                   \
    X(atan)                    \
    X(atanh)                   \
    X(average_pool)            \
    X(batch_norm)              \
    X(bit_shift)               \
    X(bitwise_and)             \
    X(bitwise_not)             \
    X(bitwise_or)              \
    X(bitwise_xor)             \
    X(cast)                    \
    X(cast_like)               \
    X(ceil)                    \
    X(celu)                    \
    X(clip)                    \
    X(concat)                  \
    X(constant)                \
    X(constant_of_shape)       \
    X(conv)                    \
    X(conv_integer)            \
    X(conv_transpose)          \
    X(cos)                     \
    X(cosh)                    \
    X(cum_sum)                 \
    X(depth_to_space)          \
    X(dequantize_linear)       \
    X(div)                     \
    X(dropout)                 \
    X(dynamic_quantize_linear) \
    X(einsum)                  \
    X(elu)                     \
    X(equal)                   \
    X(erf)                     \
    X(exp)                     \
    X(expand)                  \
    X(eye_like)                \
    X(flatten)                 \
    X(floor)                   \
    X(gather)                  \
    X(gather_elements)         \
    X(gather_nd)               \
    X(gelu)                    \
    X(gemm)                    \
    X(global_average_pool)     \
    X(global_lp_pool)          \
    X(global_max_pool)         \
    X(greater)                 \
    X(greater_or_equal)        \
    X(group_norm)              \
    X(hard_sigmoid)            \
    X(hard_swish)              \
    X(hardmax)                 \
    X(identity)                \
    X(instance_norm)           \
    X(isinf)                   \
    X(isnan)                   \
    X(layer_norm)              \
    X(leaky_relu)              \
    X(less)                    \
    X(less_or_equal)           \
    X(log)                     \
    X(log_softmax)             \
    X(logical_not)             \
    X(lp_pool)                 \
    X(lrn)                     \
    X(matmul)                  \
    X(matmul_integer)          \
    X(max)                     \
    X(max_pool)                \
    X(mean)                    \
    X(mean_variance_norm)      \
    X(min)                     \
    X(mish)                    \
    X(mod)                     \
    X(mul)                     \
    X(neg)                     \
    X(non_zero)                \
    X(one_hot)                 \
    X(or)                      \
    X(pad)                     \
    X(pow)                     \
    X(prelu)                   \
    X(qlinear_conv)            \
    X(qlinear_matmul)          \
    X(quantize_linear)         \
    X(range)                   \
    X(reciprocal)              \
    X(reduce_l1)               \
    X(reduce_l2)               \
    X(reduce_log_sum)          \
    X(reduce_log_sum_exp)      \
    X(reduce_max)              \
    X(reduce_mean)             \
    X(reduce_min)              \
    X(reduce_prod)             \
    X(reduce_sum)              \
    X(reduce_sum_square)       \
    X(relu)                    \
    X(reshape)                 \
    X(resize)                  \
    X(round)                   \
    X(scatter_elements)        \
    X(scatter_nd)              \
    X(selu)                    \
    X(shape)                   \
    X(shrink)                  \
    X(sigmoid)                 \
    X(sign)                    \
    X(sin)                     \
    X(sinh)                    \
    X(size)                    \
    X(slice)                   \
    X(softmax)                 \
    X(softplus)                \
    X(softsign)                \
    X(space_to_depth)          \
    X(split)                   \
    X(sqrt)                    \
    X(squeeze)                 \
    X(sub)                     \
    X(sum)                     \
    X(tan)                     \
    X(tanh)                    \
    X(thresholded_relu)        \
    X(tile)                    \
    X(top_k)                   \
    X(transpose)               \
    X(trilu)                   \
    X(unsqueeze)               \
    X(where)                   \
    X(xor)

#define DECLARE(name) extern const pare_op pare_op_##name;
OPS(DECLARE)
#define ENTRY(name) &pare_op_##name,
const pare_op *const pare_ops[] = { OPS(ENTRY) NULL };

const pare_op *pare_op_find(const char *name)
{
    for (const pare_op *const *op = pare_ops; *op; op++)
        if (strcmp((*op)->name, name) == 0) return *op;
    return NULL;
}
