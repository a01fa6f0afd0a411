/* InstanceNormalization, GroupNormalization, LayerNormalization, MeanVarianceNormalization: a part
 * of the input is shifted and scaled to mean 0 and variance 1 by its own statistics. They differ in
 * the part, and in what follows. */
#include "ops/attrs.h"
#include "ops/values.h"

#include <math.h>
#include <stdlib.h>

/* Mean and variance (of all, not of a sample) of `count` consecutive elements. */
static void statistics(const pare_tensor *x, int64_t at, int64_t count, double *mean,
                       double *variance)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < count; i++) sum += pare_get(x, at + i);
    *mean = sum / (double)count;
    for (int64_t i = 0; i < count; i++) {
        double e = pare_get(x, at + i) - *mean;
        squares += e * e;
    }
    *variance = squares / (double)count;
}

static int64_t product(const pare_tensor *x, int from)
{
    int64_t n = 1;
    for (int d = from; d < x->rank; d++) n *= x->dim[d];
    return n;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->ops =
        5 * (double)pare_numel(out[0].rank, out[0].dim); /* sum; subtract, square and sum; scale */
}

/* --- InstanceNormalization and GroupNormalization: X [N,C,...], scale, B --- */

typedef struct channel_attrs {
    double epsilon;
    int64_t num_groups; /* not of InstanceNormalization */
} channel_attrs;

static const pare_field instance_fields[] = {
    PARE_REAL(channel_attrs, epsilon, (double)1e-5f, 0, DBL_MAX, "", "added to the variance"),
    PARE_FIELDS_END,
};
static const pare_field group_fields[] = {
    PARE_REAL(channel_attrs, epsilon, (double)1e-5f, 0, DBL_MAX, "", "added to the variance"),
    PARE_INT(channel_attrs, num_groups, 0, INT64_MIN, INT64_MAX, "",
             "groups that channels are divided into"),
    PARE_FIELDS_END,
};

static pare_status channel_types(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_type *x = &in[0].type;
    for (int i = 0; i < 3; i++)
        PARE_TRY(pare_op_dtype(n->op->name, in[i].type.dtype, pare_op_floats));
    if (x->rank < 3)
        return pare_fail(PARE_EFORMAT, "the input has rank %d, at least 3 is needed", x->rank);
    out[0] = *x;
    return PARE_OK;
}

static pare_status instance_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(channel_types(n, in, out));
    PARE_TRY(pare_op_vector("scale", &in[1].type, out[0].dim[1]));
    return pare_op_vector("B", &in[2].type, out[0].dim[1]);
}

/* scale and B have one number a channel (opset 21) or one a group (opset 18). */
static pare_status group_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    int64_t groups = ((const channel_attrs *)n->attrs)->num_groups;
    PARE_TRY(channel_types(n, in, out));
    int64_t channels = out[0].dim[1];
    if (groups < 1 || channels % groups)
        return pare_fail(PARE_EFORMAT, "%lld channels do not divide into %lld groups",
                         (long long)channels, (long long)groups);
    bool by_group = in[1].type.rank == 1 && in[1].type.dim[0] == groups;
    PARE_TRY(pare_op_vector("scale", &in[1].type, by_group ? groups : channels));
    return pare_op_vector("bias", &in[2].type, by_group ? groups : channels);
}

static void normalize_channels(const pare_tensor *in, int64_t groups, double epsilon,
                               pare_tensor *y)
{
    const pare_tensor *x = &in[0];
    int64_t plane = product(x, 2), channels = x->dim[1] / groups;
    bool by_group = in[1].dim[0] == groups;
    for (int64_t i = 0, at = 0; i < x->dim[0] * groups; i++) {
        double mean, variance;
        statistics(x, at, channels * plane, &mean, &variance);
        for (int64_t c = 0; c < channels; c++) {
            int64_t which = by_group ? i % groups : i % groups * channels + c;
            double scale = pare_get(&in[1], which) / sqrt(variance + epsilon),
                   shift = pare_get(&in[2], which);
            for (int64_t p = 0; p < plane; p++, at++)
                pare_put(y, at, (pare_get(x, at) - mean) * scale + shift);
        }
    }
}

static pare_status instance_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    if (in[0].dim[1])
        normalize_channels(in, in[0].dim[1], ((const channel_attrs *)n->attrs)->epsilon, &out[0]);
    return PARE_OK;
}

static pare_status group_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const channel_attrs *a = n->attrs;
    normalize_channels(in, a->num_groups, a->epsilon, &out[0]);
    return PARE_OK;
}

const pare_op pare_op_instance_norm = {
    .name = "InstanceNormalization",
    .summary = "normalisation of each plane",
    .since = 6,
    .inputs = { 3, 3 },
    .outputs = { 1, 1 },
    .attrs = instance_fields,
    .attrs_size = sizeof(channel_attrs),
    .infer = instance_infer,
    .eval = instance_eval,
    .cost = cost,
};

const pare_op pare_op_group_norm = {
    .name = "GroupNormalization",
    .summary = "normalisation of groups of planes",
    .since = 18,
    .inputs = { 3, 3 },
    .outputs = { 1, 1 },
    .attrs = group_fields,
    .attrs_size = sizeof(channel_attrs),
    .infer = group_infer,
    .eval = group_eval,
    .cost = cost,
};

/* --- LayerNormalization: X, Scale, B to Y, Mean, InvStdDev --- */

static const pare_field layer_fields[] = {
    PARE_INT(pare_layer_norm_attrs, axis, -1, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "first axis that is normalised"),
    PARE_REAL(pare_layer_norm_attrs, epsilon, (double)1e-5f, 0, DBL_MAX, "",
              "added to the variance"),
    PARE_INT(pare_layer_norm_attrs, stash_type, 1, INT64_MIN, INT64_MAX, "",
             "element type of the statistics"),
    PARE_FIELDS_END,
};

/* Does `t` broadcast to the axes of x from `axis` on? */
static pare_status layer_operand(const char *what, const pare_type *t, const pare_type *x, int axis)
{
    char text[PARE_TYPE_TEXT], want[PARE_TYPE_TEXT];
    bool fits = t->rank <= x->rank;
    for (int d = 0; fits && d < t->rank; d++) {
        int of_x = x->rank - t->rank + d;
        fits = t->dim[d] == 1 || (of_x >= axis && t->dim[d] == x->dim[of_x]);
    }
    if (fits) return PARE_OK;
    return pare_fail(PARE_EFORMAT, "%s is %s, which does not broadcast to axes %d to %d of %s",
                     what, pare_type_text(t, text, sizeof text), axis, x->rank - 1,
                     pare_type_text(x, want, sizeof want));
}

static pare_status layer_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_layer_norm_attrs *a = n->attrs;
    const pare_type *x = &in[0].type;
    int axis;
    PARE_TRY(pare_op_dtype("LayerNormalization", x->dtype, pare_op_floats));
    PARE_TRY(pare_op_dtype("the scale of LayerNormalization", in[1].type.dtype, pare_op_floats));
    if (a->stash_type != 1)
        return pare_fail(PARE_EUNSUPPORTED, "stash_type %lld is not supported, only 1 (float32)",
                         (long long)a->stash_type);
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    PARE_TRY(layer_operand("Scale", &in[1].type, x, axis));
    if (pare_op_has(n, in, 2)) {
        PARE_TRY(pare_op_dtype("the bias of LayerNormalization", in[2].type.dtype, pare_op_floats));
        PARE_TRY(layer_operand("B", &in[2].type, x, axis));
    }
    out[0] = *x;
    for (uint32_t o = 1; o < n->n_out; o++) {
        out[o] = *x;
        out[o].dtype = PARE_F32;
        for (int d = axis; d < x->rank; d++) out[o].dim[d] = 1;
    }
    return PARE_OK;
}

/* Element of `t`, broadcast to x's shape, that belongs to element i of x. */
static double broadcast_get(const pare_tensor *t, const pare_tensor *x, int64_t i)
{
    int64_t at = 0, scale = 1;
    for (int d = t->rank - 1, e = x->rank - 1; d >= 0; d--, e--) {
        if (t->dim[d] != 1) at += i % x->dim[e] * scale;
        scale *= t->dim[d];
        i /= x->dim[e];
    }
    return pare_get(t, at);
}

static pare_status layer_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_layer_norm_attrs *a = n->attrs;
    const pare_tensor *x = &in[0], *shift = pare_op_in(n, in, 2);
    int axis;
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    int64_t count = product(x, axis), parts = count ? product(x, 0) / count : 0;
    for (int64_t p = 0, at = 0; p < parts; p++) {
        double mean, variance;
        statistics(x, at, count, &mean, &variance);
        double scale = 1 / sqrt(variance + a->epsilon);
        for (int64_t i = 0; i < count; i++, at++)
            pare_put(&out[0], at,
                     (pare_get(x, at) - mean) * scale * broadcast_get(&in[1], x, at) +
                         (shift ? broadcast_get(shift, x, at) : 0));
        if (n->n_out > 1 && out[1].data) pare_put(&out[1], p, mean);
        if (n->n_out > 2 && out[2].data) pare_put(&out[2], p, scale);
    }
    return PARE_OK;
}

const pare_op pare_op_layer_norm = {
    .name = "LayerNormalization",
    .summary = "normalisation over the last axes",
    .since = 17,
    .inputs = { 2, 3 },
    .outputs = { 1, 3 },
    .attrs = layer_fields,
    .attrs_size = sizeof(pare_layer_norm_attrs),
    .infer = layer_infer,
    .eval = layer_eval,
    .cost = cost,
};

/* --- MeanVarianceNormalization over a set of axes --- */

typedef struct mvn_attrs {
    pare_ints axes;
} mvn_attrs;

static const pare_field mvn_fields[] = {
    PARE_INTS(mvn_attrs, axes, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
              "axes that are averaged over; default 0, 2, 3"),
    PARE_FIELDS_END,
};

static pare_status mvn_axes(const mvn_attrs *a, int rank, bool *over)
{
    static int64_t usual[] = { 0, 2, 3 };
    pare_ints axes = a->axes.v ? a->axes : (pare_ints){ 3, usual };
    for (int d = 0; d < rank; d++) over[d] = false;
    for (size_t i = 0; i < axes.n; i++) {
        int axis;
        PARE_TRY(pare_op_axis(axes.v[i], rank, &axis));
        over[axis] = true;
    }
    return PARE_OK;
}

static pare_status mvn_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    bool over[PARE_MAX_RANK];
    PARE_TRY(pare_op_dtype("MeanVarianceNormalization", in[0].type.dtype, pare_op_floats));
    PARE_TRY(mvn_axes(n->attrs, in[0].type.rank, over));
    out[0] = in[0].type;
    return PARE_OK;
}

/* Number of the part that element i belongs to: its index without the axes averaged over. */
static int64_t part_of(const pare_tensor *x, const bool *over, int64_t i)
{
    int64_t part = 0, scale = 1;
    for (int d = x->rank - 1; d >= 0; d--) {
        if (!over[d]) {
            part += i % x->dim[d] * scale;
            scale *= x->dim[d];
        }
        i /= x->dim[d];
    }
    return part;
}

static pare_status mvn_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_tensor *x = &in[0];
    bool over[PARE_MAX_RANK];
    PARE_TRY(mvn_axes(n->attrs, x->rank, over));
    int64_t parts = 1, count = pare_tensor_count(x);
    for (int d = 0; d < x->rank; d++)
        if (!over[d]) parts *= x->dim[d];
    if (count == 0) return PARE_OK;
    double *mean = NULL, *square = NULL, each = (double)(count / parts);
    pare_status st = pare_op_doubles(parts, &mean);
    if (st == PARE_OK) st = pare_op_doubles(parts, &square);
    if (st == PARE_OK) {
        for (int64_t p = 0; p < parts; p++) mean[p] = square[p] = 0;
        for (int64_t i = 0; i < count; i++) mean[part_of(x, over, i)] += pare_get(x, i) / each;
        for (int64_t i = 0; i < count; i++) {
            int64_t p = part_of(x, over, i);
            double e = pare_get(x, i) - mean[p];
            square[p] += e * e / each;
        }
        for (int64_t i = 0; i < count; i++) {
            int64_t p = part_of(x, over, i);
            pare_put(&out[0], i, (pare_get(x, i) - mean[p]) / (sqrt(square[p]) + 1e-9));
        }
    }
    free(mean);
    free(square);
    return st;
}

const pare_op pare_op_mean_variance_norm = {
    .name = "MeanVarianceNormalization",
    .summary = "mean 0 and variance 1 over some axes",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = mvn_fields,
    .attrs_size = sizeof(mvn_attrs),
    .infer = mvn_infer,
    .eval = mvn_eval,
    .cost = cost,
};
