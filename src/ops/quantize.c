/* QuantizeLinear, DequantizeLinear, DynamicQuantizeLinear: between reals and integers with a scale
 * and a zero point, for the whole tensor or for each index of one axis. Blocks within an axis
 * (opset 21) have scales of their own. */
#include "ops/quant.h"

#include <math.h>

typedef struct attrs {
    int64_t axis, block_size, output_dtype;
    bool saturate;
} attrs;

static const pare_field quantize_fields[] = {
    PARE_INT(attrs, axis, 1, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "axis that the scales belong to"),
    PARE_INT(attrs, block_size, 0, INT64_MIN, INT64_MAX, "",
             "elements that share a scale within the axis"),
    PARE_INT(attrs, output_dtype, 0, INT64_MIN, INT64_MAX, "",
             "element type of the output where no zero point gives it"),
    PARE_FLAG(attrs, saturate, true, "clamp 8-bit floating point; integers always are"),
    PARE_FIELDS_END,
};
static const pare_field dequantize_fields[] = {
    PARE_INT(attrs, axis, 1, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "axis that the scales belong to"),
    PARE_INT(attrs, block_size, 0, INT64_MIN, INT64_MAX, "",
             "elements that share a scale within the axis"),
    PARE_FIELDS_END,
};

static const pare_dtype integers[] = { PARE_U8, PARE_I8, PARE_U16, PARE_I16, PARE_UNDEFINED };

/* Which scale an element has: element i = (o * extent + e) * inner + j of x has scale
 * (o * blocks + e / block) * inner + j, without o and j if the scales are a vector, 0 if there is
 * one only.
 */
typedef struct layout {
    enum { ONE, AXIS, BLOCKS } kind;
    int64_t extent, inner, block, blocks;
} layout;

static pare_status layout_of(const attrs *a, const pare_type *x, const pare_type *scale, layout *l)
{
    int axis;
    char text[PARE_TYPE_TEXT];
    *l = (layout){ .kind = ONE };
    if (a->block_size == 0 && scale->rank <= 1 && pare_numel(scale->rank, scale->dim) == 1)
        return PARE_OK;
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    *l = (layout){
        .kind = a->block_size ? BLOCKS : AXIS, .extent = x->dim[axis], .inner = 1, .block = 1
    };
    for (int d = axis + 1; d < x->rank; d++) l->inner *= x->dim[d];
    if (a->block_size == 0) {
        l->blocks = l->extent;
        return pare_op_vector("the scale", scale, l->extent);
    }
    if (a->block_size < 0)
        return pare_fail(PARE_EFORMAT, "block_size %lld is not at least 0",
                         (long long)a->block_size);
    pare_type want = *x;
    want.dim[axis] = l->blocks = l->extent / a->block_size + (l->extent % a->block_size != 0);
    l->block = a->block_size;
    if (pare_same_shape(scale, &want)) return PARE_OK;
    return pare_fail(PARE_EFORMAT, "the scale is %s for %lld blocks of %lld in axis %d",
                     pare_type_text(scale, text, sizeof text), (long long)l->blocks,
                     (long long)l->block, axis);
}

static int64_t scale_at(const layout *l, int64_t i)
{
    if (l->kind == ONE) return 0;
    int64_t e = i / l->inner % l->extent / l->block;
    return l->kind == AXIS ? e
                           : (i / l->inner / l->extent * l->blocks + e) * l->inner + i % l->inner;
}

/* The zero point has the scale's shape; one number is one number, whatever its rank. */
static pare_status zero_shape(const pare_type *zero, const pare_type *scale)
{
    char a[PARE_TYPE_TEXT], b[PARE_TYPE_TEXT];
    if (pare_same_shape(zero, scale)) return PARE_OK;
    if (zero->rank <= 1 && scale->rank <= 1 && pare_numel(zero->rank, zero->dim) == 1 &&
        pare_numel(scale->rank, scale->dim) == 1)
        return PARE_OK;
    return pare_fail(PARE_EFORMAT, "the zero point is %s, the scale %s",
                     pare_type_text(zero, a, sizeof a), pare_type_text(scale, b, sizeof b));
}

/* --- QuantizeLinear: x, scale, zero point --- */

static pare_status quantize_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype ok[] = { PARE_F32, PARE_F16, PARE_I32, PARE_UNDEFINED };
    static const pare_dtype scales[] = { PARE_F32, PARE_F16, PARE_UNDEFINED };
    const attrs *a = n->attrs;
    layout l;
    bool has_zero = pare_op_has(n, in, 2);
    PARE_TRY(pare_op_dtype("QuantizeLinear", in[0].type.dtype, ok));
    PARE_TRY(pare_op_dtype("a scale", in[1].type.dtype, scales));
    PARE_TRY(layout_of(a, &in[0].type, &in[1].type, &l));
    pare_dtype to = has_zero ? in[2].type.dtype : PARE_U8;
    if (a->output_dtype) {
        if (has_zero && a->output_dtype != (int64_t)to)
            return pare_fail(PARE_EFORMAT, "output_dtype is %lld, the zero point has type %d",
                             (long long)a->output_dtype, (int)to);
        if (a->output_dtype < 0 || a->output_dtype > PARE_U64)
            return pare_fail(PARE_EUNSUPPORTED, "output_dtype %lld is not supported",
                             (long long)a->output_dtype);
        to = (pare_dtype)a->output_dtype;
    }
    PARE_TRY(pare_op_dtype("QuantizeLinear to elements", to, integers));
    if (has_zero) PARE_TRY(zero_shape(&in[2].type, &in[1].type));
    out[0] = in[0].type;
    out[0].dtype = to;
    return PARE_OK;
}

static pare_status quantize_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_tensor *x = &in[0], *zero = pare_op_in(n, in, 2);
    pare_type xt = pare_tensor_type(x), st = pare_tensor_type(&in[1]);
    layout l;
    int64_t count = pare_tensor_count(x);
    PARE_TRY(layout_of(n->attrs, &xt, &st, &l));
    for (int64_t i = 0; i < count; i++) {
        int64_t c = scale_at(&l, i);
        float v = (float)pare_get(x, i) / (float)pare_get(&in[1], c);
        pare_put(&out[0], i, pare_saturate(out[0].dtype, v, pare_quant_at(zero, c)));
    }
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->ops = 2 * (double)pare_numel(out[0].rank, out[0].dim);
}

const pare_op pare_op_quantize_linear = {
    .name = "QuantizeLinear",
    .summary = "reals to integers by scale and zero point",
    .since = 13,
    .inputs = { 2, 3 },
    .outputs = { 1, 1 },
    .attrs = quantize_fields,
    .attrs_size = sizeof(attrs),
    .infer = quantize_infer,
    .eval = quantize_eval,
    .cost = cost,
};

/* --- DequantizeLinear: x, scale, zero point --- */

static pare_status dequantize_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype ok[] = {
        PARE_U8, PARE_I8, PARE_U16, PARE_I16, PARE_I32, PARE_UNDEFINED
    };
    static const pare_dtype scales[] = { PARE_F32, PARE_F16, PARE_UNDEFINED };
    layout l;
    PARE_TRY(pare_op_dtype("DequantizeLinear", in[0].type.dtype, ok));
    PARE_TRY(pare_op_dtype("a scale", in[1].type.dtype, scales));
    PARE_TRY(layout_of(n->attrs, &in[0].type, &in[1].type, &l));
    if (pare_op_has(n, in, 2)) {
        if (in[2].type.dtype != in[0].type.dtype)
            return pare_fail(PARE_EFORMAT, "the zero point is %s, the input %s",
                             pare_dtype_name(in[2].type.dtype), pare_dtype_name(in[0].type.dtype));
        PARE_TRY(zero_shape(&in[2].type, &in[1].type));
    }
    out[0] = in[0].type;
    out[0].dtype = in[1].type.dtype;
    return PARE_OK;
}

static pare_status dequantize_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_tensor *x = &in[0], *zero = pare_op_in(n, in, 2);
    pare_type xt = pare_tensor_type(x), st = pare_tensor_type(&in[1]);
    layout l;
    int64_t count = pare_tensor_count(x);
    PARE_TRY(layout_of(n->attrs, &xt, &st, &l));
    for (int64_t i = 0; i < count; i++) {
        int64_t c = scale_at(&l, i);
        float v = (float)(pare_get(x, i) - pare_quant_at(zero, c)) * (float)pare_get(&in[1], c);
        pare_put(&out[0], i, (double)v);
    }
    return PARE_OK;
}

const pare_op pare_op_dequantize_linear = {
    .name = "DequantizeLinear",
    .summary = "integers to reals by scale and zero point",
    .since = 13,
    .inputs = { 2, 3 },
    .outputs = { 1, 1 },
    .attrs = dequantize_fields,
    .attrs_size = sizeof(attrs),
    .infer = dequantize_infer,
    .eval = dequantize_eval,
    .cost = cost,
};

/* --- DynamicQuantizeLinear: x to uint8, with the scale and zero point that fit its range and zero
 * --- */

static pare_status dynamic_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype ok[] = { PARE_F32, PARE_UNDEFINED };
    PARE_TRY(pare_op_dtype("DynamicQuantizeLinear", in[0].type.dtype, ok));
    out[0] = in[0].type;
    out[0].dtype = PARE_U8;
    if (n->n_out > 1) out[1] = (pare_type){ .dtype = PARE_F32 };
    if (n->n_out > 2) out[2] = (pare_type){ .dtype = PARE_U8 };
    return PARE_OK;
}

static pare_status dynamic_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const float *x = in[0].data;
    int64_t count = pare_tensor_count(&in[0]);
    float lo = 0, hi = 0;
    for (int64_t i = 0; i < count; i++) {
        if (x[i] < lo) lo = x[i];
        if (x[i] > hi) hi = x[i];
    }
    float scale = lo == hi ? 1 : (hi - lo) / 255; /* all zeros: any scale will do */
    double zero = pare_saturate(PARE_U8, -lo / scale, 0);
    for (int64_t i = 0; i < count; i++)
        pare_put(&out[0], i, pare_saturate(PARE_U8, x[i] / scale, zero));
    if (n->n_out > 1 && out[1].data) pare_put(&out[1], 0, (double)scale);
    if (n->n_out > 2 && out[2].data) pare_put(&out[2], 0, zero);
    return PARE_OK;
}

const pare_op pare_op_dynamic_quantize_linear = {
    .name = "DynamicQuantizeLinear",
    .summary = "reals to uint8 by their own range",
    .since = 11,
    .inputs = { 1, 1 },
    .outputs = { 1, 3 },
    .infer = dynamic_infer,
    .eval = dynamic_eval,
    .cost = cost,
};
