/* QLinearAdd, QLinearGlobalAveragePool: what integer plans contain besides ONNX's own operators.
 * Not in the registry: no file is read or written with them. Scales and zero points are those of
 * whole tensors. The pass qdq puts them where DequantizeLinear, the operator and QuantizeLinear
 * stood; they round once where those three round two or three times, so a result that lies at the
 * border of two integers may come out as the other one. */
#include "ops/qlinear.h"

#include "ops/quant.h"

#include <math.h>

/* --- QLinearAdd: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero; one shape --- */

static pare_status add_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype(n->op->name, in[0].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype(n->op->name, in[3].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype(n->op->name, in[7].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_quant("the first input", in[0].type.dtype, &in[1], &in[2], true, 0));
    PARE_TRY(pare_op_quant("the second input", in[3].type.dtype, &in[4], &in[5], true, 0));
    PARE_TRY(pare_op_quant("the output", in[7].type.dtype, &in[6], &in[7], true, 0));
    if (!pare_same_shape(&in[0].type, &in[3].type))
        return pare_fail(PARE_EFORMAT, "the inputs have two shapes");
    out[0] = in[0].type;
    out[0].dtype = in[7].type.dtype;
    return PARE_OK;
}

void pare_qlinear_add_factors(double a_scale, double a_zero, double b_scale, double b_zero,
                              double y_scale, float *a, float *b, float *shift)
{
    *a = (float)a_scale / (float)y_scale;
    *b = (float)b_scale / (float)y_scale;
    *shift = (float)-(a_zero * (double)*a + b_zero * (double)*b);
}

static pare_status add_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    float a, b, shift;
    pare_qlinear_add_factors(pare_get(&in[1], 0), pare_get(&in[2], 0), pare_get(&in[4], 0),
                             pare_get(&in[5], 0), pare_get(&in[6], 0), &a, &b, &shift);
    double zero = pare_get(&in[7], 0);
    for (int64_t i = 0, count = pare_tensor_count(&in[0]); i < count; i++) {
        float v = fmaf((float)pare_get(&in[3], i), b, shift);
        v = fmaf((float)pare_get(&in[0], i), a, v);
        pare_put(&out[0], i, pare_saturate(out[0].dtype, v, zero));
    }
    return PARE_OK;
}

static void add_cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->ops = 4 * (double)pare_numel(out[0].rank, out[0].dim);
}

const pare_op pare_op_qlinear_add = {
    .name = "QLinearAdd",
    .summary = "sum of 8-bit integers with scales",
    .since = 1,
    .inputs = { 8, 8 },
    .outputs = { 1, 1 },
    .infer = add_infer,
    .eval = add_eval,
    .cost = add_cost,
};

/* --- QLinearGlobalAveragePool: x, x_scale, x_zero, y_scale, y_zero --- */

static pare_status mean_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype(n->op->name, in[0].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype(n->op->name, in[4].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_quant("the input", in[0].type.dtype, &in[1], &in[2], true, 0));
    PARE_TRY(pare_op_quant("the output", in[4].type.dtype, &in[3], &in[4], true, 0));
    if (in[0].type.rank < 3)
        return pare_fail(PARE_EFORMAT, "the input has rank %d, at least 3 is needed",
                         in[0].type.rank);
    out[0] = in[0].type;
    out[0].dtype = in[4].type.dtype;
    for (int d = 2; d < out[0].rank; d++) out[0].dim[d] = 1;
    return PARE_OK;
}

float pare_qlinear_mean_factor(double x_scale, double y_scale, int64_t pixels)
{
    return (float)(x_scale / (y_scale * (double)pixels));
}

static pare_status mean_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int64_t planes = pare_tensor_count(&out[0]), pixels = 1;
    for (int d = 2; d < in[0].rank; d++) pixels *= in[0].dim[d];
    float factor = pare_qlinear_mean_factor(pare_get(&in[1], 0), pare_get(&in[3], 0), pixels);
    for (int64_t i = 0; i < planes; i++) {
        double sum = 0;
        for (int64_t p = 0; p < pixels; p++)
            sum += pare_get(&in[0], i * pixels + p) - pare_get(&in[2], 0);
        pare_put(&out[0], i, pare_saturate(out[0].dtype, (float)sum * factor, pare_get(&in[4], 0)));
    }
    return PARE_OK;
}

static void mean_cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->ops = (double)pare_numel(in[0].rank, in[0].dim);
}

const pare_op pare_op_qlinear_global_average_pool = {
    .name = "QLinearGlobalAveragePool",
    .summary = "mean of each plane of 8-bit integers with scales",
    .since = 1,
    .inputs = { 5, 5 },
    .outputs = { 1, 1 },
    .infer = mean_infer,
    .eval = mean_eval,
    .cost = mean_cost,
};
