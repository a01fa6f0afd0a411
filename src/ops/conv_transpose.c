/* ConvTranspose: the transpose of a convolution as a linear map. Input element o of a channel adds
 * its multiple of the kernel to the output from o * stride - begin on. Weight [C, M/group,
 * kernel...], one to three spatial dimensions. */
#include "ops/conv_attrs.h"
#include "ops/values.h"

#include <stdlib.h>

typedef pare_conv_transpose_attrs attrs;

static const pare_field fields[] = {
    PARE_ENUM(attrs, auto_pad, PARE_PAD_NOTSET, PARE_PAD_CHOICES, "how padding is chosen"),
    PARE_INTS(attrs, dilations, INT64_MIN, INT64_MAX, "",
              "distance of kernel elements, each dimension"),
    PARE_INT(attrs, group, 1, INT64_MIN, INT64_MAX, "", "groups that channels are divided into"),
    PARE_INTS(attrs, kernel_shape, INT64_MIN, INT64_MAX, "", "extents of the kernel"),
    PARE_INTS(attrs, output_padding, INT64_MIN, INT64_MAX, "",
              "elements more at the end of each dimension"),
    PARE_INTS(attrs, output_shape, INT64_MIN, INT64_MAX, "",
              "extents of the output, from which padding follows"),
    PARE_INTS(attrs, pads, INT64_MIN, INT64_MAX, "",
              "output elements dropped: all begins, then all ends"),
    PARE_INTS(attrs, strides, INT64_MIN, INT64_MAX, "",
              "step of the output for each input element"),
    PARE_FIELDS_END,
};

/* Padding and output extent of dimension d. `more` is output_padding, `want` output_shape or 0. */
static pare_status resolve(pare_window *w, int d, int auto_pad, int64_t more, int64_t want)
{
    int64_t full; /* the output without padding */
    if (!pare_mul_i64(w->stride[d], w->out[d] - 1, &full) ||
        !pare_add_i64(full, more + (w->kernel[d] - 1) * w->dilation[d] + 1, &full))
        return pare_fail(PARE_EFORMAT, "spatial dimension %d of %lld with stride %lld is too large",
                         d, (long long)w->out[d], (long long)w->stride[d]);
    bool same = auto_pad == PARE_PAD_SAME_UPPER || auto_pad == PARE_PAD_SAME_LOWER;
    if (same && !want) want = w->stride[d] * w->out[d];
    if (want) {
        int64_t total = full > want ? full - want : 0; /* a larger output is zeros at the end */
        w->begin[d] = auto_pad == PARE_PAD_SAME_UPPER ? total / 2 : total - total / 2;
        w->end[d] = total - w->begin[d];
        w->in[d] = want;
        return PARE_OK;
    }
    if (auto_pad == PARE_PAD_VALID) w->begin[d] = w->end[d] = 0;
    w->in[d] = full - w->begin[d] - w->end[d];
    if (w->in[d] < 1)
        return pare_fail(PARE_EFORMAT,
                         "in spatial dimension %d padding %lld leaves nothing of the output's %lld",
                         d, (long long)(w->begin[d] + w->end[d]), (long long)full);
    return PARE_OK;
}

pare_status pare_conv_transpose_window(const pare_node *n, const pare_type *x, const pare_type *wt,
                                       pare_window *out)
{
    const attrs *a = n->attrs;
    int s = x->rank - 2;
    if (s < 1)
        return pare_fail(PARE_EFORMAT, "the input has rank %d, at least 3 is needed", x->rank);
    if (s > PARE_MAX_SPATIAL)
        return pare_fail(PARE_EUNSUPPORTED,
                         "%d spatial dimensions are more than the %d that are supported", s,
                         PARE_MAX_SPATIAL);
    if (wt->rank != x->rank)
        return pare_fail(PARE_EFORMAT, "the weight has rank %d, the input %d", wt->rank, x->rank);
    pare_window w = { .spatial = s };
    for (int d = 0; d < s; d++) {
        int64_t more, want;
        w.out[d] = x->dim[2 + d];
        PARE_TRY(pare_window_item(&a->kernel_shape, "kernel_shape", s, d, wt->dim[2 + d], 1,
                                  &w.kernel[d]));
        PARE_TRY(pare_window_item(&a->strides, "strides", s, d, 1, 1, &w.stride[d]));
        PARE_TRY(pare_window_item(&a->dilations, "dilations", s, d, 1, 1, &w.dilation[d]));
        PARE_TRY(pare_window_item(&a->pads, "pads", 2 * s, d, 0, 0, &w.begin[d]));
        PARE_TRY(pare_window_item(&a->pads, "pads", 2 * s, s + d, 0, 0, &w.end[d]));
        PARE_TRY(pare_window_item(&a->output_padding, "output_padding", s, d, 0, 0, &more));
        PARE_TRY(pare_window_item(&a->output_shape, "output_shape", s, d, 0, 1, &want));
        if (w.kernel[d] != wt->dim[2 + d])
            return pare_fail(PARE_EFORMAT,
                             "kernel_shape says %lld in spatial dimension %d, the weight has %lld",
                             (long long)w.kernel[d], d, (long long)wt->dim[2 + d]);
        if (w.out[d] < 1 || w.out[d] > INT32_MAX || w.kernel[d] < 1 || w.kernel[d] > INT32_MAX)
            return pare_fail(PARE_EFORMAT,
                             "spatial dimension %d is %lld in the input and %lld in the weight, "
                             "not within 1 to %d",
                             d, (long long)w.out[d], (long long)w.kernel[d], INT32_MAX);
        PARE_TRY(resolve(&w, d, a->auto_pad, more, want));
    }
    *out = w;
    return PARE_OK;
}

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    const pare_type *x = &in[0].type, *w = &in[1].type;
    PARE_TRY(pare_op_dtype("ConvTranspose", x->dtype, pare_op_floats));
    PARE_TRY(pare_op_dtype("the weight of ConvTranspose", w->dtype, pare_op_floats));
    bool has_bias = pare_op_has(n, in, 2);
    if (w->dtype != x->dtype || (has_bias && in[2].type.dtype != x->dtype))
        return pare_fail(PARE_EFORMAT, "the input is %s, but the %s is %s",
                         pare_dtype_name(x->dtype), w->dtype != x->dtype ? "weight" : "bias",
                         pare_dtype_name(w->dtype != x->dtype ? w->dtype : in[2].type.dtype));
    pare_window g;
    PARE_TRY(pare_conv_transpose_window(n, x, w, &g));
    int64_t channels = x->dim[1], kernels;
    if (a->group < 1)
        return pare_fail(PARE_EFORMAT, "group %lld is not at least 1", (long long)a->group);
    if (w->dim[0] != channels)
        return pare_fail(PARE_EFORMAT, "the input has %lld channels, the weight takes %lld",
                         (long long)channels, (long long)w->dim[0]);
    if (channels < 1 || channels % a->group)
        return pare_fail(PARE_EFORMAT, "%lld input channels do not divide into %lld groups",
                         (long long)channels, (long long)a->group);
    if (w->dim[1] < 1 || !pare_mul_i64(w->dim[1], a->group, &kernels))
        return pare_fail(PARE_EFORMAT, "%lld output channels in each of %lld groups make no sense",
                         (long long)w->dim[1], (long long)a->group);
    if (has_bias) PARE_TRY(pare_op_vector("the bias", &in[2].type, kernels));
    out[0] = *x;
    out[0].dim[1] = kernels;
    for (int d = 0; d < g.spatial; d++) out[0].dim[2 + d] = g.in[d];
    return PARE_OK;
}

/* Adds to `sum` (one output plane) the input plane at x_at spread by the kernel at w_at. */
static void add_plane(const pare_window *g, const pare_tensor *x, int64_t x_at,
                      const pare_tensor *w, int64_t w_at, double *sum)
{
    for (int64_t k0 = 0; k0 < g->kernel[0]; k0++)
        for (int64_t k1 = 0; k1 < g->kernel[1]; k1++)
            for (int64_t k2 = 0; k2 < g->kernel[2]; k2++) {
                double v = pare_get(w, w_at++);
                int64_t k[3] = { k0, k1, k2 }, start[3], lo[3], hi[3];
                for (int d = 0; d < 3; d++) {
                    start[d] = k[d] * g->dilation[d] - g->begin[d];
                    pare_window_range(g->in[d], start[d], g->stride[d], g->out[d], &lo[d], &hi[d]);
                }
                for (int64_t i = lo[0]; i < hi[0]; i++)
                    for (int64_t j = lo[1]; j < hi[1]; j++) {
                        int64_t row =
                            (start[0] + i * g->stride[0]) * g->in[1] + start[1] + j * g->stride[1];
                        double *to = sum + row * g->in[2];
                        int64_t from = x_at + (i * g->out[1] + j) * g->out[2];
                        for (int64_t l = lo[2]; l < hi[2]; l++)
                            to[start[2] + l * g->stride[2]] += v * pare_get(x, from + l);
                    }
            }
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const attrs *a = n->attrs;
    const pare_tensor *x = &in[0], *w = &in[1], *bias = pare_op_in(n, in, 2);
    pare_type xt = pare_tensor_type(x), wt = pare_tensor_type(w);
    pare_window narrow, g;
    PARE_TRY(pare_conv_transpose_window(n, &xt, &wt, &narrow));
    pare_window_3d(&narrow, &g);
    int64_t x_plane = g.out[0] * g.out[1] * g.out[2], y_plane = g.in[0] * g.in[1] * g.in[2];
    int64_t kernel = g.kernel[0] * g.kernel[1] * g.kernel[2];
    int64_t channels = x->dim[1] / a->group, kernels = w->dim[1], all = kernels * a->group;
    double *sum;
    PARE_TRY(pare_op_doubles(y_plane, &sum));
    for (int64_t i = 0; i < x->dim[0]; i++)
        for (int64_t m = 0; m < all; m++) {
            int64_t first = m / kernels * channels;
            double b = bias ? pare_get(bias, m) : 0;
            for (int64_t p = 0; p < y_plane; p++) sum[p] = 0;
            for (int64_t c = first; c < first + channels; c++)
                add_plane(&g, x, (i * x->dim[1] + c) * x_plane, w,
                          (c * kernels + m % kernels) * kernel, sum);
            for (int64_t p = 0; p < y_plane; p++)
                pare_put(&out[0], (i * all + m) * y_plane + p, sum[p] + b);
        }
    free(sum);
    return PARE_OK;
}

/* Every input element meets every kernel element of its group. */
static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->macs = (double)pare_numel(in[0].rank, in[0].dim);
    for (int d = 1; d < in[1].rank; d++) c->macs *= (double)in[1].dim[d];
}

const pare_op pare_op_conv_transpose = {
    .name = "ConvTranspose",
    .summary = "transposed convolution",
    .since = 11,
    .inputs = { 2, 3 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
};
