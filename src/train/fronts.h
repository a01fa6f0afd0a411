/* What each operator becomes on a tape: one function an operator, listed in fronts.c. */
#ifndef TRAIN_FRONTS_H
#define TRAIN_FRONTS_H

#include "train/engine.h"

/* X(ONNX name, function) */
#define TAPE_FRONTS(X)                     \
    X(Add, tape_add)                       \
    X(AveragePool, tape_average_pool)      \
    X(BatchNormalization, tape_batch_norm) \
    X(Clip, tape_clip)                     \
    X(Concat, tape_move)                   \
    X(Conv, tape_conv)                     \
    X(ConvTranspose, tape_conv_transpose)  \
    X(DepthToSpace, tape_move)             \
    X(Div, tape_div)                       \
    X(Dropout, tape_dropout)               \
    X(Elu, tape_elu)                       \
    X(Exp, tape_exp)                       \
    X(Expand, tape_move)                   \
    X(Flatten, tape_view)                  \
    X(Gather, tape_move)                   \
    X(Gemm, tape_gemm)                     \
    X(GlobalAveragePool, tape_global_pool) \
    X(HardSigmoid, tape_hard_sigmoid)      \
    X(HardSwish, tape_hard_swish)          \
    X(Identity, tape_identity)             \
    X(LRN, tape_lrn)                       \
    X(LeakyRelu, tape_leaky_relu)          \
    X(MatMul, tape_matmul)                 \
    X(MaxPool, tape_max_pool)              \
    X(Mul, tape_mul)                       \
    X(Neg, tape_neg)                       \
    X(PRelu, tape_prelu)                   \
    X(Pad, tape_move)                      \
    X(ReduceMean, tape_reduce_mean)        \
    X(Relu, tape_relu)                     \
    X(Reshape, tape_view)                  \
    X(Sigmoid, tape_sigmoid)               \
    X(Slice, tape_move)                    \
    X(Softmax, tape_softmax)               \
    X(SpaceToDepth, tape_move)             \
    X(Split, tape_move)                    \
    X(Sqrt, tape_sqrt)                     \
    X(Squeeze, tape_view)                  \
    X(Sub, tape_sub)                       \
    X(Sum, tape_sum)                       \
    X(Tanh, tape_tanh)                     \
    X(Tile, tape_move)                     \
    X(Transpose, tape_move)                \
    X(Unsqueeze, tape_view)

#define TAPE_DECLARE(op, fn) pare_status fn(tbuilder *b, const pare_node *n);
TAPE_FRONTS(TAPE_DECLARE)

#endif
