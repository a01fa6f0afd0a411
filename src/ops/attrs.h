/* Attribute structs that passes, implementations and training read: `const pare_alpha_attrs *a =
 * n->attrs`. Structs that only the operator's own file needs are there. */
#ifndef OPS_ATTRS_H
#define OPS_ATTRS_H

#include "ops/op.h"

/* LeakyRelu, Elu, Celu, ThresholdedRelu: alpha. Selu: alpha, gamma. HardSigmoid: alpha, beta. */
typedef struct pare_alpha_attrs {
    double alpha, beta, gamma;
} pare_alpha_attrs;

/* Gelu */
enum { PARE_GELU_ERF, PARE_GELU_TANH };
typedef struct pare_gelu_attrs {
    int approximate;
} pare_gelu_attrs;

/* LayerNormalization */
typedef struct pare_layer_norm_attrs {
    int64_t axis, stash_type;
    double epsilon;
} pare_layer_norm_attrs;

/* Concat, Split, Flatten, Gather, GatherElements, OneHot: axis (as in the file, possibly negative).
 */
typedef struct pare_axis_attrs {
    int64_t axis;
    int64_t num_outputs; /* Split only; PARE_INT_UNSET if not given */
} pare_axis_attrs;

/* Transpose: perm.v NULL reverses the dimensions. */
typedef struct pare_transpose_attrs {
    pare_ints perm;
} pare_transpose_attrs;

/* Cast: a pare_dtype. */
typedef struct pare_cast_attrs {
    int64_t to;
    bool saturate; /* of float8 only, so without effect here */
} pare_cast_attrs;

/* The reductions; the axes are input 1. */
typedef struct pare_reduce_attrs {
    bool keepdims, noop_with_empty_axes;
} pare_reduce_attrs;

/* ArgMax, ArgMin */
typedef struct pare_arg_attrs {
    int64_t axis;
    bool keepdims, select_last_index;
} pare_arg_attrs;

/* Pad; the amounts are input 1, the constant input 2, the axes input 3. */
enum { PARE_PADDING_CONSTANT, PARE_PADDING_REFLECT, PARE_PADDING_EDGE, PARE_PADDING_WRAP };
typedef struct pare_pad_attrs {
    int mode;
} pare_pad_attrs;

/* Reshape */
typedef struct pare_reshape_attrs {
    bool allowzero;
} pare_reshape_attrs;

/* The axes that reduction `n` sums over for an input of rank `rank`, as a bit mask. `axes` is input
 * 1 or NULL if it is absent. Cannot fail for a node that was inferred. */
pare_status pare_reduce_mask(const pare_node *n, const pare_arg *axes, int rank, unsigned *mask);

#endif
