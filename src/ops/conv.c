/* Conv, ConvInteger, QLinearConv: correlation of [N,C,spatial...] with [M,C/group,kernel...], one
 * to three spatial dimensions. All three share one sum in double, exact for 8-bit operands. */
#include "ops/conv_attrs.h"
#include "ops/quant.h"

#include <stdlib.h>

/* What all three check: channels, groups, geometry. out gets the shape only. */
static pare_status shape(const pare_node *n, const pare_type *x, const pare_type *w, pare_type *out)
{
    const pare_conv_attrs *a = n->attrs;
    if (x->rank < 3)
        return pare_fail(PARE_EFORMAT, "the input has rank %d, at least 3 is needed", x->rank);
    if (w->rank != x->rank)
        return pare_fail(PARE_EFORMAT, "the weight has rank %d, the input %d", w->rank, x->rank);
    int64_t channels = x->dim[1], kernels = w->dim[0], product;
    if (channels < 1 || kernels < 1)
        return pare_fail(PARE_EFORMAT,
                         "%lld input and %lld output channels: at least 1 of each is needed",
                         (long long)channels, (long long)kernels);
    if (a->group < 1)
        return pare_fail(PARE_EFORMAT, "group %lld is not at least 1", (long long)a->group);
    if (!pare_mul_i64(w->dim[1], a->group, &product) || product != channels)
        return pare_fail(
            PARE_EFORMAT,
            "the input has %lld channels, the weight takes %lld in each of %lld groups",
            (long long)channels, (long long)w->dim[1], (long long)a->group);
    if (kernels % a->group)
        return pare_fail(PARE_EFORMAT, "%lld output channels do not divide into %lld groups",
                         (long long)kernels, (long long)a->group);
    pare_window g;
    PARE_TRY(pare_window_of(x, w->dim + 2, a->auto_pad, &a->kernel_shape, &a->strides, &a->pads,
                            &a->dilations, false, &g));
    out->rank = x->rank;
    out->dim[0] = x->dim[0];
    out->dim[1] = kernels;
    for (int d = 0; d < g.spatial; d++) out->dim[2 + d] = g.out[d];
    return PARE_OK;
}

/* Adds to `sum` (one output plane) what one kernel gives on `channels` planes of x from element
 * x_at on. */
static void add_plane(const pare_window *g, const pare_tensor *x, int64_t x_at, double x_zero,
                      const pare_tensor *w, int64_t w_at, double w_zero, int64_t channels,
                      double *sum)
{
    int64_t in_plane = g->in[0] * g->in[1] * g->in[2];
    for (int64_t c = 0; c < channels; c++, x_at += in_plane)
        for (int64_t k0 = 0; k0 < g->kernel[0]; k0++)
            for (int64_t k1 = 0; k1 < g->kernel[1]; k1++)
                for (int64_t k2 = 0; k2 < g->kernel[2]; k2++) {
                    double v = pare_get(w, w_at++) - w_zero;
                    int64_t k[3] = { k0, k1, k2 }, start[3], lo[3], hi[3];
                    for (int d = 0; d < 3; d++) {
                        start[d] = k[d] * g->dilation[d] - g->begin[d];
                        pare_window_range(g->in[d], start[d], g->stride[d], g->out[d], &lo[d],
                                          &hi[d]);
                    }
                    for (int64_t i = lo[0]; i < hi[0]; i++)
                        for (int64_t j = lo[1]; j < hi[1]; j++) {
                            int64_t row = (start[0] + i * g->stride[0]) * g->in[1] + start[1] +
                                          j * g->stride[1];
                            pare_row_add(sum + (i * g->out[1] + j) * g->out[2] + lo[2],
                                         hi[2] - lo[2], v, x,
                                         x_at + row * g->in[2] + start[2] + lo[2] * g->stride[2],
                                         g->stride[2], x_zero);
                        }
                }
}

/* Turns the sums of output channel m into `count` elements of out, from `at` on. */
typedef void finish_fn(const pare_node *n, const pare_tensor *in, int64_t m, const double *sum,
                       int64_t count, pare_tensor *out, int64_t at);

/* The walk over images and output channels; *_zero may be NULL. */
static pare_status walk(const pare_node *n, const pare_tensor *in, const pare_tensor *x,
                        const pare_tensor *w, const pare_tensor *x_zero, const pare_tensor *w_zero,
                        finish_fn *finish, pare_tensor *out)
{
    const pare_conv_attrs *a = n->attrs;
    pare_type xt = pare_tensor_type(x), wt = pare_tensor_type(w);
    pare_window narrow, g;
    pare_conv_window(n, &xt, &wt, &narrow);
    pare_window_3d(&narrow, &g);
    int64_t in_plane = g.in[0] * g.in[1] * g.in[2], out_plane = g.out[0] * g.out[1] * g.out[2];
    int64_t kernel = g.kernel[0] * g.kernel[1] * g.kernel[2];
    int64_t kernels = w->dim[0], channels = w->dim[1], group_kernels = kernels / a->group;
    double *sum;
    PARE_TRY(pare_op_doubles(out_plane, &sum));
    for (int64_t i = 0; i < x->dim[0]; i++)
        for (int64_t m = 0; m < kernels; m++) {
            for (int64_t p = 0; p < out_plane; p++) sum[p] = 0;
            int64_t first = i * x->dim[1] + m / group_kernels * channels;
            add_plane(&g, x, first * in_plane, pare_quant_at(x_zero, 0), w, m * channels * kernel,
                      pare_quant_at(w_zero, m), channels, sum);
            finish(n, in, m, sum, out_plane, out, (i * kernels + m) * out_plane);
        }
    free(sum);
    return PARE_OK;
}

static void macs(const pare_type *w, const pare_type *out, pare_cost *c)
{
    c->macs = (double)pare_numel(out->rank, out->dim);
    for (int d = 1; d < w->rank; d++) c->macs *= (double)w->dim[d];
}

/* --- Conv: X, W, B --- */

static pare_status conv_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("Conv", in[0].type.dtype, pare_op_floats));
    PARE_TRY(pare_op_dtype("the weight of Conv", in[1].type.dtype, pare_op_floats));
    out[0].dtype = in[0].type.dtype;
    for (uint32_t i = 1; i < 3; i++) {
        if (i == 2 && !pare_op_has(n, in, i)) continue;
        if (in[i].type.dtype != out[0].dtype)
            return pare_fail(PARE_EFORMAT, "the %s is %s, the input %s", i == 1 ? "weight" : "bias",
                             pare_dtype_name(in[i].type.dtype), pare_dtype_name(out[0].dtype));
    }
    PARE_TRY(shape(n, &in[0].type, &in[1].type, &out[0]));
    return pare_op_has(n, in, 2) ? pare_op_vector("the bias", &in[2].type, out[0].dim[1]) : PARE_OK;
}

static void conv_finish(const pare_node *n, const pare_tensor *in, int64_t m, const double *sum,
                        int64_t count, pare_tensor *out, int64_t at)
{
    const pare_tensor *bias = pare_op_in(n, in, 2);
    double b = bias ? pare_get(bias, m) : 0;
    for (int64_t p = 0; p < count; p++) pare_put(out, at + p, sum[p] + b);
}

static pare_status conv_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, in, &in[0], &in[1], NULL, NULL, conv_finish, &out[0]);
}

static void conv_cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    macs(&in[1], &out[0], c);
}

const pare_op pare_op_conv = {
    .name = "Conv",
    .summary = "convolution",
    .since = 11,
    .inputs = { 2, 3 },
    .outputs = { 1, 1 },
    .attrs = pare_conv_fields,
    .attrs_size = sizeof(pare_conv_attrs),
    .infer = conv_infer,
    .eval = conv_eval,
    .cost = conv_cost,
};

/* --- ConvInteger: x, w, x_zero_point, w_zero_point to int32 --- */

static pare_status integer_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("ConvInteger", in[0].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype("ConvInteger", in[1].type.dtype, pare_op_bytes));
    out[0].dtype = PARE_I32;
    PARE_TRY(shape(n, &in[0].type, &in[1].type, &out[0]));
    if (pare_op_has(n, in, 2)) PARE_TRY(pare_op_zero("the input", in[0].type.dtype, &in[2], 0));
    if (pare_op_has(n, in, 3))
        PARE_TRY(pare_op_zero("the weight", in[1].type.dtype, &in[3], out[0].dim[1]));
    return PARE_OK;
}

static void integer_finish(const pare_node *n, const pare_tensor *in, int64_t m, const double *sum,
                           int64_t count, pare_tensor *out, int64_t at)
{
    /* Sums beyond 32 bits wrap as they do in every integer implementation. */
    for (int64_t p = 0; p < count; p++)
        ((int32_t *)out->data)[at + p] = (int32_t)(uint32_t)(int64_t)sum[p];
}

static pare_status integer_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, in, &in[0], &in[1], pare_op_in(n, in, 2), pare_op_in(n, in, 3), integer_finish,
                &out[0]);
}

const pare_op pare_op_conv_integer = {
    .name = "ConvInteger",
    .summary = "convolution of 8-bit integers into 32 bits",
    .since = 10,
    .inputs = { 2, 4 },
    .outputs = { 1, 1 },
    .attrs = pare_conv_fields,
    .attrs_size = sizeof(pare_conv_attrs),
    .infer = integer_infer,
    .eval = integer_eval,
    .cost = conv_cost,
};

/* --- QLinearConv: x, x_scale, x_zero, w, w_scale, w_zero, y_scale, y_zero, B (int32, scale x_scale
 * * w_scale) --- */

static pare_status qlinear_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("QLinearConv", in[0].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype("QLinearConv", in[3].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype("QLinearConv", in[7].type.dtype, pare_op_bytes));
    out[0].dtype = in[7].type.dtype;
    PARE_TRY(shape(n, &in[0].type, &in[3].type, &out[0]));
    PARE_TRY(pare_op_quant("the input", in[0].type.dtype, &in[1], &in[2], true, 0));
    PARE_TRY(pare_op_quant("the weight", in[3].type.dtype, &in[4], &in[5], true, out[0].dim[1]));
    PARE_TRY(pare_op_quant("the output", out[0].dtype, &in[6], &in[7], true, 0));
    if (!pare_op_has(n, in, 8)) return PARE_OK;
    if (in[8].type.dtype != PARE_I32)
        return pare_fail(PARE_EFORMAT, "the bias is %s instead of int32",
                         pare_dtype_name(in[8].type.dtype));
    return pare_op_vector("the bias", &in[8].type, out[0].dim[1]);
}

static void qlinear_finish(const pare_node *n, const pare_tensor *in, int64_t m, const double *sum,
                           int64_t count, pare_tensor *out, int64_t at)
{
    float x_scale = (float)pare_get(&in[1], 0), w_scale = (float)pare_quant_at(&in[4], m);
    float scale = x_scale * w_scale / (float)pare_get(&in[6], 0);
    const pare_tensor *bias = pare_op_in(n, in, 8);
    double b = bias ? pare_get(bias, m) : 0, zero = pare_get(&in[7], 0);
    for (int64_t p = 0; p < count; p++)
        pare_put(out, at + p, pare_saturate(out->dtype, (float)(sum[p] + b) * scale, zero));
}

static pare_status qlinear_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, in, &in[0], &in[3], &in[2], &in[5], qlinear_finish, &out[0]);
}

static void qlinear_cost(const pare_node *n, const pare_type *in, const pare_type *out,
                         pare_cost *c)
{
    macs(&in[3], &out[0], c);
    c->ops = (double)pare_numel(out[0].rank, out[0].dim);
}

const pare_op pare_op_qlinear_conv = {
    .name = "QLinearConv",
    .summary = "convolution of 8-bit integers with scales",
    .since = 10,
    .inputs = { 8, 9 },
    .outputs = { 1, 1 },
    .attrs = pare_conv_fields,
    .attrs_size = sizeof(pare_conv_attrs),
    .infer = qlinear_infer,
    .eval = qlinear_eval,
    .cost = qlinear_cost,
};
