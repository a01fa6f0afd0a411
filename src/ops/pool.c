/* MaxPool, AveragePool, LpPool: one to three spatial dimensions. Padding takes no part in a maximum
 * or an Lp norm; an average counts it if asked to, but never what ceil_mode lets a window reach
 * beyond it. */
#include "ops/conv_attrs.h"
#include "ops/values.h"

#include <math.h>

typedef struct attrs {
    int auto_pad;
    bool ceil_mode, count_include_pad, storage_order;
    int64_t p;
    pare_ints dilations, kernel_shape, pads, strides;
} attrs;

#define GEOMETRY                                                                                \
    PARE_ENUM(attrs, auto_pad, PARE_PAD_NOTSET, PARE_PAD_CHOICES, "how padding is chosen"),     \
        PARE_FLAG(attrs, ceil_mode, false, "round the output's extent up"),                     \
        PARE_INTS(attrs, dilations, INT64_MIN, INT64_MAX, "",                                   \
                  "distance of elements, each dimension"),                                      \
        PARE_INTS(attrs, kernel_shape, INT64_MIN, INT64_MAX, "", "extents of the window"),      \
        PARE_INTS(attrs, pads, INT64_MIN, INT64_MAX, "", "padding: all begins, then all ends"), \
        PARE_INTS(attrs, strides, INT64_MIN, INT64_MAX, "", "step of the window, each dimension")

static const pare_field max_fields[] = {
    GEOMETRY,
    PARE_FLAG(attrs, storage_order, false, "indices count columns first"),
    PARE_FIELDS_END,
};
static const pare_field average_fields[] = {
    GEOMETRY,
    PARE_FLAG(attrs, count_include_pad, false, "padding counts as zeros"),
    PARE_FIELDS_END,
};
static const pare_field lp_fields[] = {
    GEOMETRY,
    PARE_INT(attrs, p, 2, 1, INT32_MAX, "", "exponent of the norm"),
    PARE_FIELDS_END,
};

static pare_status window(const attrs *a, const pare_type *x, pare_window *out)
{
    return pare_window_of(x, NULL, a->auto_pad, &a->kernel_shape, &a->strides, &a->pads,
                          &a->dilations, a->ceil_mode, out);
}

static pare_status shape(const pare_node *n, const pare_type *x, pare_type *out)
{
    pare_window w;
    PARE_TRY(window(n->attrs, x, &w));
    for (int d = 0; d < w.spatial; d++) {
        int64_t extent = (w.kernel[d] - 1) * w.dilation[d] + 1,
                most = w.begin[d] > w.end[d] ? w.begin[d] : w.end[d];
        if (most >= extent)
            return pare_fail(PARE_EFORMAT,
                             "in spatial dimension %d the padding %lld is not less than the "
                             "window's extent %lld",
                             d, (long long)most, (long long)extent);
    }
    *out = *x;
    for (int d = 0; d < w.spatial; d++) out->dim[2 + d] = w.out[d];
    return PARE_OK;
}

/* One window: where its elements lie in each dimension. */
typedef struct view {
    int64_t start[3], lo[3],
        hi[3]; /* element k of [lo, hi) is at start + k * dilation, inside the input */
} view;

static view view_at(const pare_window *g, const int64_t *o)
{
    view v;
    for (int d = 0; d < 3; d++) {
        v.start[d] = o[d] * g->stride[d] - g->begin[d];
        pare_window_range(g->in[d], v.start[d], g->dilation[d], g->kernel[d], &v.lo[d], &v.hi[d]);
    }
    return v;
}

/* What one window of a plane comes to. *arg: where the maximum is, within the plane. */
typedef double reduce_fn(const attrs *a, const pare_window *g, const view *v, const pare_tensor *x,
                         int64_t plane, int64_t *arg);

static pare_status walk(const pare_node *n, const pare_tensor *x, reduce_fn *reduce, pare_tensor *y,
                        int64_t *index)
{
    const attrs *a = n->attrs;
    pare_type t = pare_tensor_type(x);
    pare_window narrow, g;
    PARE_TRY(window(a, &t, &narrow));
    pare_window_3d(&narrow, &g);
    int64_t planes = x->dim[0] * x->dim[1], in_plane = g.in[0] * g.in[1] * g.in[2], at = 0;
    for (int64_t p = 0; p < planes; p++)
        for (int64_t o0 = 0; o0 < g.out[0]; o0++)
            for (int64_t o1 = 0; o1 < g.out[1]; o1++)
                for (int64_t o2 = 0; o2 < g.out[2]; o2++, at++) {
                    view v = view_at(&g, (const int64_t[]){ o0, o1, o2 });
                    int64_t arg = 0;
                    pare_put(y, at, reduce(a, &g, &v, x, p * in_plane, &arg));
                    if (index) index[at] = p * in_plane + arg;
                }
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    const attrs *a = n->attrs;
    c->ops = (double)pare_numel(out[0].rank, out[0].dim);
    for (size_t d = 0; d < a->kernel_shape.n; d++) c->ops *= (double)a->kernel_shape.v[d];
}

/* --- MaxPool --- */

static pare_status max_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype ok[] = {
        PARE_F32, PARE_F64, PARE_F16, PARE_I8, PARE_U8, PARE_UNDEFINED
    };
    PARE_TRY(pare_op_dtype("MaxPool", in[0].type.dtype, ok));
    PARE_TRY(shape(n, &in[0].type, &out[0]));
    if (n->n_out > 1) {
        out[1] = out[0];
        out[1].dtype = PARE_I64;
    }
    return PARE_OK;
}

/* The first largest element; NaN is larger than all. A dilated window may miss the input
 * altogether: the least value. */
static double max_reduce(const attrs *a, const pare_window *g, const view *v, const pare_tensor *x,
                         int64_t plane, int64_t *arg)
{
    double best = x->dtype == PARE_U8 ? 0 : x->dtype == PARE_I8 ? -128 : -INFINITY;
    bool any = false;
    for (int64_t k0 = v->lo[0]; k0 < v->hi[0]; k0++)
        for (int64_t k1 = v->lo[1]; k1 < v->hi[1]; k1++)
            for (int64_t k2 = v->lo[2]; k2 < v->hi[2]; k2++) {
                int64_t i0 = v->start[0] + k0 * g->dilation[0],
                        i1 = v->start[1] + k1 * g->dilation[1];
                int64_t i2 = v->start[2] + k2 * g->dilation[2];
                double e = pare_get(x, plane + (i0 * g->in[1] + i1) * g->in[2] + i2);
                if (any && (e <= best || isnan(best))) continue;
                any = true;
                best = e;
                *arg = a->storage_order ? (i2 * g->in[1] + i1) * g->in[0] + i0
                                        : (i0 * g->in[1] + i1) * g->in[2] + i2;
            }
    return best;
}

static pare_status max_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, &in[0], max_reduce, &out[0], n->n_out > 1 ? out[1].data : NULL);
}

const pare_op pare_op_max_pool = {
    .name = "MaxPool",
    .summary = "largest element of each window",
    .since = 12,
    .inputs = { 1, 1 },
    .outputs = { 1, 2 },
    .attrs = max_fields,
    .attrs_size = sizeof(attrs),
    .infer = max_infer,
    .eval = max_eval,
    .cost = cost,
};

/* --- AveragePool --- */

static pare_status average_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("AveragePool", in[0].type.dtype, pare_op_floats));
    return shape(n, &in[0].type, &out[0]);
}

static double power_sum(const pare_window *g, const view *v, const pare_tensor *x, int64_t plane,
                        double p)
{
    double sum = 0;
    for (int64_t k0 = v->lo[0]; k0 < v->hi[0]; k0++)
        for (int64_t k1 = v->lo[1]; k1 < v->hi[1]; k1++)
            for (int64_t k2 = v->lo[2]; k2 < v->hi[2]; k2++) {
                int64_t i0 = v->start[0] + k0 * g->dilation[0],
                        i1 = v->start[1] + k1 * g->dilation[1];
                double e = pare_get(x, plane + (i0 * g->in[1] + i1) * g->in[2] + v->start[2] +
                                           k2 * g->dilation[2]);
                sum += p > 0 ? pow(fabs(e), p) : e;
            }
    return sum;
}

/* A dilated window that misses the input altogether averages to 0. */
static double average_reduce(const attrs *a, const pare_window *g, const view *v,
                             const pare_tensor *x, int64_t plane, int64_t *arg)
{
    double count = 1;
    for (int d = 0; d < 3; d++) {
        int64_t lo = v->lo[d], hi = v->hi[d];
        if (a->count_include_pad)
            pare_window_range(g->begin[d] + g->in[d] + g->end[d], v->start[d] + g->begin[d],
                              g->dilation[d], g->kernel[d], &lo, &hi);
        count *= (double)(hi - lo);
    }
    return count > 0 ? power_sum(g, v, x, plane, 0) / count : 0;
}

static pare_status average_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, &in[0], average_reduce, &out[0], NULL);
}

const pare_op pare_op_average_pool = {
    .name = "AveragePool",
    .summary = "mean of each window",
    .since = 11,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = average_fields,
    .attrs_size = sizeof(attrs),
    .infer = average_infer,
    .eval = average_eval,
    .cost = cost,
};

/* --- LpPool --- */

static pare_status lp_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    PARE_TRY(pare_op_dtype("LpPool", in[0].type.dtype, pare_op_floats));
    if (a->p < 1) return pare_fail(PARE_EFORMAT, "p %lld is not at least 1", (long long)a->p);
    return shape(n, &in[0].type, &out[0]);
}

static double lp_reduce(const attrs *a, const pare_window *g, const view *v, const pare_tensor *x,
                        int64_t plane, int64_t *arg)
{
    return pow(power_sum(g, v, x, plane, (double)a->p), 1 / (double)a->p);
}

static pare_status lp_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, &in[0], lp_reduce, &out[0], NULL);
}

const pare_op pare_op_lp_pool = {
    .name = "LpPool",
    .summary = "Lp norm of each window",
    .since = 11,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = lp_fields,
    .attrs_size = sizeof(attrs),
    .infer = lp_infer,
    .eval = lp_eval,
    .cost = cost,
};
