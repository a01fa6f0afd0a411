/* Every operator. A new one is a file beside this one and one line here, in alphabetical order. */
#include "ops/op.h"

#include <string.h>

#define OPS(X)             \
    X(average_pool)        \
    X(batch_norm)          \
    X(conv)                \
    X(conv_integer)        \
    X(gemm)                \
    X(global_average_pool) \
    X(global_lp_pool)      \
    X(global_max_pool)     \
    X(hardmax)             \
    X(log_softmax)         \
    X(lp_pool)             \
    X(matmul)              \
    X(matmul_integer)      \
    X(max_pool)            \
    X(qlinear_conv)        \
    X(qlinear_matmul)      \
    X(relu)                \
    X(softmax)

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
