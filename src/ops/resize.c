/* Resize: every axis on its own, by the nearest element, linearly or by a cubic.
 *
 * Output index -> position in the input (coordinate_transformation_mode) -> a few neighbours and
 * their weights. The positions are computed in float32, as other runtimes do, so that "nearest"
 * picks the same elements. */
#include "ops/resize.h"
#include "ops/values.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    HALF_PIXEL,
    HALF_PIXEL_SYMMETRIC,
    PYTORCH_HALF_PIXEL,
    ALIGN_CORNERS,
    ASYMMETRIC,
    TF_CROP_AND_RESIZE,
    TF_HALF_PIXEL_FOR_NN
};
#define COORDINATES                                                                            \
    "half_pixel|half_pixel_symmetric|pytorch_half_pixel|align_corners|asymmetric|tf_crop_and_" \
    "resize|tf_"                                                                               \
    "half_pixel_for_nn"
enum { NEAREST, LINEAR, CUBIC };
enum { ROUND_PREFER_FLOOR, ROUND_PREFER_CEIL, FLOOR, CEIL };
enum { STRETCH, NOT_LARGER, NOT_SMALLER };
enum { X, ROI, SCALES, SIZES };

typedef struct attrs {
    bool antialias, exclude_outside;
    pare_ints axes;
    int coordinate_transformation_mode, keep_aspect_ratio_policy, mode, nearest_mode;
    double cubic_coeff_a, extrapolation_value;
} attrs;

static const pare_field fields[] = {
    PARE_FLAG(attrs, antialias, false, "widen the filter when shrinking"),
    PARE_INTS(attrs, axes, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
              "axes that roi, scales and sizes are for; default all"),
    PARE_ENUM(attrs, coordinate_transformation_mode, HALF_PIXEL, COORDINATES,
              "where an output element lies in the input"),
    PARE_REAL(attrs, cubic_coeff_a, -0.75, -DBL_MAX, DBL_MAX, "", "the cubic's parameter"),
    PARE_FLAG(attrs, exclude_outside, false, "neighbours outside have no weight"),
    PARE_REAL(attrs, extrapolation_value, 0, -DBL_MAX, DBL_MAX, "",
              "outside of the input, with tf_crop_and_resize"),
    PARE_ENUM(attrs, keep_aspect_ratio_policy, STRETCH, "stretch|not_larger|not_smaller",
              "what sizes mean"),
    PARE_ENUM(attrs, mode, NEAREST, "nearest|linear|cubic", "interpolation"),
    PARE_ENUM(attrs, nearest_mode, ROUND_PREFER_FLOOR,
              "round_prefer_floor|round_prefer_ceil|floor|ceil", "rounding"),
    PARE_FIELDS_END,
};

/* One axis: extents; the factor; the output's extent before rounding; the region that is cropped.
 */
typedef struct span {
    int64_t in, out;
    float scale, width, roi[2];
} span;

/* Which axes the operands are for, in their order. */
static pare_status axes_of(const attrs *a, int rank, int *axis, int *count)
{
    bool seen[PARE_MAX_RANK] = { false };
    *count =
        a->axes.v ? (int)(a->axes.n < PARE_MAX_RANK + 1 ? a->axes.n : PARE_MAX_RANK + 1) : rank;
    if (*count > rank)
        return pare_fail(PARE_EFORMAT, "%zu axes for an input of rank %d", a->axes.n, rank);
    for (int i = 0; i < *count; i++) {
        if (a->axes.v)
            PARE_TRY(pare_op_axis(a->axes.v[i], rank, &axis[i]));
        else
            axis[i] = i;
        if (seen[axis[i]]) return pare_fail(PARE_EFORMAT, "axis %d is listed twice", axis[i]);
        seen[axis[i]] = true;
    }
    return PARE_OK;
}

/* An operand that is absent may also be there and empty. */
static bool given(const pare_type *t)
{
    return t->dtype != PARE_UNDEFINED && pare_numel(t->rank, t->dim) != 0;
}

static pare_status by_scales(const pare_tensor *scales, const int *axis, int count, span *s)
{
    for (int i = 0; i < count; i++) {
        span *p = &s[axis[i]];
        float scale = (float)pare_get(scales, i), width = scale * (float)p->in;
        if (!(scale > 0) || !(width <= (float)INT32_MAX))
            return pare_fail(PARE_EFORMAT, "scale %g of axis %d makes no sense for its extent %lld",
                             (double)scale, axis[i], (long long)p->in);
        *p = (span){ .in = p->in, .out = (int64_t)floorf(width), .scale = scale, .width = width };
    }
    return PARE_OK;
}

static pare_status by_sizes(const attrs *a, const pare_tensor *sizes, const int *axis, int count,
                            span *s)
{
    double common = 0; /* of all axes, where the aspect ratio is kept */
    for (int i = 0; i < count; i++) {
        span *p = &s[axis[i]];
        int64_t size = pare_tensor_get_i64(sizes, i);
        if (size < 0 || size > INT32_MAX || (p->in == 0) != (size == 0))
            return pare_fail(PARE_EFORMAT,
                             "size %lld of axis %d makes no sense for its extent %lld",
                             (long long)size, axis[i], (long long)p->in);
        double scale = p->in ? (double)size / (double)p->in : 1;
        if (i == 0 || (a->keep_aspect_ratio_policy == NOT_LARGER ? scale < common : scale > common))
            common = scale;
        *p = (span){ .in = p->in, .out = size, .scale = (float)scale, .width = (float)size };
    }
    if (a->keep_aspect_ratio_policy == STRETCH) return PARE_OK;
    for (int i = 0; i < count; i++) {
        span *p = &s[axis[i]];
        double width = common * (double)p->in;
        if (width > INT32_MAX)
            return pare_fail(PARE_EFORMAT, "axis %d of %lld grows to %g, more than %d", axis[i],
                             (long long)p->in, width, INT32_MAX);
        *p = (span){ .in = p->in,
                     .out = (int64_t)floor(width + 0.5),
                     .scale = (float)common,
                     .width = (float)width };
    }
    return PARE_OK;
}

/* What infer and eval agree on. `scales` and `sizes`: one of them NULL. */
static pare_status resolve(const attrs *a, const pare_type *x, const pare_tensor *scales,
                           const pare_tensor *sizes, span *s)
{
    int axis[PARE_MAX_RANK], count;
    PARE_TRY(axes_of(a, x->rank, axis, &count));
    for (int d = 0; d < x->rank; d++)
        s[d] = (span){ .in = x->dim[d],
                       .out = x->dim[d],
                       .scale = 1,
                       .width = (float)x->dim[d],
                       .roi = { 0, 1 } };
    PARE_TRY(scales ? by_scales(scales, axis, count, s) : by_sizes(a, sizes, axis, count, s));
    for (int d = 0; d < x->rank; d++)
        if (s[d].in == 0 && s[d].out > 0)
            return pare_fail(PARE_EFORMAT,
                             "axis %d is empty, nothing gives the %lld elements asked for", d,
                             (long long)s[d].out);
    return PARE_OK;
}

static pare_status vector_of(const char *what, const pare_arg *v, int count)
{
    PARE_TRY(pare_op_vector(what, &v->type, count));
    if (!v->value)
        return pare_fail(PARE_EUNSUPPORTED,
                         "%s is only known when running, so no shape can be planned", what);
    return PARE_OK;
}

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype any[] = { PARE_F32, PARE_F64, PARE_F16,      PARE_U8,  PARE_I8,
                                      PARE_U16, PARE_I16, PARE_I32,      PARE_I64, PARE_BOOL,
                                      PARE_U32, PARE_U64, PARE_UNDEFINED };
    const attrs *a = n->attrs;
    const pare_type *x = &in[X].type;
    PARE_TRY(pare_op_dtype("Resize", x->dtype, a->mode == NEAREST ? any : pare_op_floats));
    int axis[PARE_MAX_RANK], count;
    PARE_TRY(axes_of(a, x->rank, axis, &count));
    bool scaled = pare_op_has(n, in, SCALES) && given(&in[SCALES].type);
    bool sized = pare_op_has(n, in, SIZES) && given(&in[SIZES].type);
    if (scaled == sized)
        return pare_fail(PARE_EFORMAT, "%d of scales and sizes are given instead of 1",
                         scaled + sized);
    if (scaled) {
        PARE_TRY(pare_op_dtype("scales", in[SCALES].type.dtype, pare_op_floats));
        PARE_TRY(vector_of("scales", &in[SCALES], count));
        if (a->keep_aspect_ratio_policy != STRETCH)
            return pare_fail(PARE_EFORMAT,
                             "keep_aspect_ratio_policy goes with sizes, but scales are given");
    } else {
        static const pare_dtype ok[] = { PARE_I64, PARE_UNDEFINED };
        PARE_TRY(pare_op_dtype("sizes", in[SIZES].type.dtype, ok));
        PARE_TRY(vector_of("sizes", &in[SIZES], count));
    }
    if (a->coordinate_transformation_mode == TF_CROP_AND_RESIZE) {
        PARE_TRY(pare_op_dtype("tf_crop_and_resize", x->dtype, pare_op_floats));
        PARE_TRY(pare_op_dtype("roi", pare_op_has(n, in, ROI) ? in[ROI].type.dtype : PARE_UNDEFINED,
                               pare_op_floats));
        PARE_TRY(pare_op_vector("roi", &in[ROI].type, 2 * count));
    }
    span s[PARE_MAX_RANK];
    PARE_TRY(resolve(a, x, scaled ? in[SCALES].value : NULL, sized ? in[SIZES].value : NULL, s));
    out[0] = *x;
    for (int d = 0; d < x->rank; d++) out[0].dim[d] = s[d].out;
    return PARE_OK;
}

/* Where element i of the output lies in the input. *outside: to be filled with the extrapolation
 * value. */
static float position(const attrs *a, const span *p, int64_t i, bool *outside)
{
    float at = (float)i, in = (float)p->in, scale = p->scale, x = at;
    switch (a->coordinate_transformation_mode) {
    case HALF_PIXEL: x = (at + 0.5f) / scale - 0.5f; break;
    case HALF_PIXEL_SYMMETRIC:
        x = in / 2 * (1 - (float)p->out / p->width) + (at + 0.5f) / scale - 0.5f;
        break;
    case PYTORCH_HALF_PIXEL: x = p->out > 1 ? (at + 0.5f) / scale - 0.5f : 0; break;
    case ALIGN_CORNERS: x = p->width == 1 ? 0 : at * (in - 1) / (p->width - 1); break;
    case ASYMMETRIC: x = at / scale; break;
    case TF_HALF_PIXEL_FOR_NN: x = (at + 0.5f) / scale; break;
    case TF_CROP_AND_RESIZE:
        if (p->out > 1)
            x = p->roi[0] * (in - 1) +
                at * (p->roi[1] - p->roi[0]) * (in - 1) / (float)(p->out - 1);
        else
            x = 0.5f * (p->roi[0] + p->roi[1]) * (in - 1);
        *outside = !(x >= 0 && x <= in - 1);
        break;
    }
    return x;
}

static int64_t clamp(int64_t i, int64_t count) { return i < 0 ? 0 : i < count ? i : count - 1; }

static int64_t nearest(const attrs *a, const span *p, float x)
{
    float r = x;
    switch (a->nearest_mode) {
    case ROUND_PREFER_FLOOR: r = ceilf(x - 0.5f); break;
    case ROUND_PREFER_CEIL: r = floorf(x + 0.5f); break;
    case FLOOR: r = floorf(x); break;
    case CEIL: r = ceilf(x); break;
    }
    return r > 0 ? clamp((int64_t)fminf(r, (float)p->in), p->in) : 0;
}

/* Nothing happens along such an axis. */
static bool is_identity(const attrs *a, const span *p)
{
    return p->in == p->out && p->scale == 1 &&
           a->coordinate_transformation_mode != TF_CROP_AND_RESIZE;
}

/* --- nearest: elements are moved, whatever they are --- */

static pare_status pick(const attrs *a, const span *s, const pare_tensor *x, pare_tensor *y)
{
    int rank = x->rank;
    int64_t total = 0, count = pare_tensor_count(y);
    for (int d = 0; d < rank; d++) total += y->dim[d];
    int64_t *from = malloc(((size_t)total + 1) *
                           sizeof *from); /* each axis in turn: index, or -1 for outside */
    if (!from) return pare_fail(PARE_ENOMEM, "no memory for %lld indices", (long long)total);
    int64_t *list[PARE_MAX_RANK], *next = from;
    for (int d = 0; d < rank; next += y->dim[d++]) {
        list[d] = next;
        for (int64_t i = 0; i < y->dim[d]; i++) {
            bool outside = false;
            float at = is_identity(a, &s[d]) ? (float)0 : position(a, &s[d], i, &outside);
            next[i] = outside ? -1 : is_identity(a, &s[d]) ? i : nearest(a, &s[d], at);
        }
    }
    size_t size = pare_dtype_size(x->dtype);
    for (int64_t i = 0; i < count; i++) {
        int64_t rest = i, at = 0, scale = 1;
        bool outside = false;
        for (int d = rank - 1; d >= 0; d--) {
            int64_t f = list[d][rest % y->dim[d]];
            outside |= f < 0;
            at += f * scale;
            scale *= x->dim[d];
            rest /= y->dim[d];
        }
        if (outside)
            pare_put(y, i, a->extrapolation_value);
        else
            memcpy((char *)y->data + (size_t)i * size, (const char *)x->data + (size_t)at * size,
                   size);
    }
    free(from);
    return PARE_OK;
}

/* --- linear and cubic: one axis after another, in double --- */

/* The filter at distance t from its middle. */
static double filter(const attrs *a, double t)
{
    t = fabs(t);
    if (a->mode == LINEAR) return t < 1 ? 1 - t : 0;
    double c = a->cubic_coeff_a;
    if (t < 1) return ((c + 2) * t - (c + 3)) * t * t + 1;
    return t < 2 ? ((c * t - 5 * c) * t + 8 * c) * t - 4 * c : 0;
}

/* How much narrower the filter is than the input's grid: 1, or less when shrinking with antialias.
 */
static double narrowing(const attrs *a, const span *p)
{
    return a->antialias && p->scale < 1 ? (double)p->scale : 1;
}

/* Neighbours on each side of a position. */
static int64_t reach_of(const attrs *a, const span *p)
{
    return (int64_t)ceil((a->mode == LINEAR ? 1 : 2) / narrowing(a, p));
}

/* weight[k] of the neighbours floor(x) + 1 - reach + k, k < 2 * reach. */
static void weights(const attrs *a, const span *p, float x, int64_t reach, double *weight)
{
    double sum = 0, narrow = narrowing(a, p), base = floor((double)x);
    for (int64_t k = 0; k < 2 * reach; k++) {
        double at = base + (double)(1 - reach + k);
        weight[k] = filter(a, narrow * (at - (double)x));
        if (a->exclude_outside && (at < 0 || at > (double)(p->in - 1))) weight[k] = 0;
        sum += weight[k];
    }
    if ((a->exclude_outside || a->antialias) && sum != 0)
        for (int64_t k = 0; k < 2 * reach; k++) weight[k] /= sum;
}

/* y[outer][p->out][inner] = x[outer][p->in][inner] filtered along the middle axis. */
static pare_status filter_axis(const attrs *a, const span *p, const double *x, int64_t outer,
                               int64_t inner, double *y)
{
    int64_t reach = reach_of(a, p);
    double *weight;
    PARE_TRY(pare_op_doubles(2 * reach, &weight));
    for (int64_t i = 0; i < p->out; i++) {
        bool outside = false; /* filled in at the end */
        float at = position(a, p, i, &outside);
        if (outside) continue;
        weights(a, p, at, reach, weight);
        int64_t first = (int64_t)floorf(at) + 1 - reach;
        for (int64_t o = 0; o < outer; o++)
            for (int64_t j = 0; j < inner; j++) {
                double sum = 0;
                for (int64_t k = 0; k < 2 * reach; k++) {
                    if (weight[k] == 0) continue;
                    sum += weight[k] * x[(o * p->in + clamp(first + k, p->in)) * inner + j];
                }
                y[(o * p->out + i) * inner + j] = sum;
            }
    }
    free(weight);
    return PARE_OK;
}

/* Is any coordinate of output element i outside of the input? */
static bool is_outside(const attrs *a, const span *s, const pare_tensor *y, int64_t i)
{
    bool any = false;
    for (int d = y->rank - 1; d >= 0; d--) {
        bool outside = false;
        position(a, &s[d], i % y->dim[d], &outside);
        any |= outside;
        i /= y->dim[d];
    }
    return any;
}

static pare_status blend(const attrs *a, const span *s, const pare_tensor *x, pare_tensor *y)
{
    int64_t dim[PARE_MAX_RANK], count = pare_tensor_count(x);
    double *now;
    PARE_TRY(pare_op_doubles(count, &now));
    for (int64_t i = 0; i < count; i++) now[i] = pare_get(x, i);
    memcpy(dim, x->dim, sizeof dim);
    pare_status st = PARE_OK;
    /* Shrinking axes first: nothing on the way is larger than the larger of input and output. */
    for (int pass = 0; pass < 2; pass++)
        for (int d = 0; st == PARE_OK && d < x->rank; d++) {
            if ((s[d].out < s[d].in) != (pass == 0) || is_identity(a, &s[d])) continue;
            int64_t outer = 1, inner = 1;
            for (int e = 0; e < d; e++) outer *= dim[e];
            for (int e = d + 1; e < x->rank; e++) inner *= dim[e];
            double *then = NULL;
            st = pare_op_doubles(outer * s[d].out * inner, &then);
            for (int64_t i = 0; st == PARE_OK && i < outer * s[d].out * inner; i++) then[i] = 0;
            if (st == PARE_OK) st = filter_axis(a, &s[d], now, outer, inner, then);
            free(now);
            now = then;
            dim[d] = s[d].out;
        }
    count = pare_tensor_count(y);
    bool crop = a->coordinate_transformation_mode == TF_CROP_AND_RESIZE;
    for (int64_t i = 0; st == PARE_OK && i < count; i++)
        pare_put(y, i, crop && is_outside(a, s, y, i) ? a->extrapolation_value : now[i]);
    free(now);
    return st;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const attrs *a = n->attrs;
    if (pare_tensor_count(&out[0]) == 0) return PARE_OK;
    const pare_tensor *scales = pare_op_in(n, in, SCALES), *sizes = pare_op_in(n, in, SIZES);
    if (scales && pare_tensor_count(scales) == 0) scales = NULL;
    pare_type x = pare_tensor_type(&in[X]);
    span s[PARE_MAX_RANK];
    PARE_TRY(resolve(a, &x, scales, scales ? NULL : sizes, s));
    if (a->coordinate_transformation_mode == TF_CROP_AND_RESIZE) {
        int axis[PARE_MAX_RANK], count;
        PARE_TRY(axes_of(a, x.rank, axis, &count));
        for (int d = 0; d < x.rank; d++) s[d].roi[0] = 0, s[d].roi[1] = 1;
        for (int i = 0; i < count; i++)
            for (int e = 0; e < 2; e++)
                s[axis[i]].roi[e] = (float)pare_get(&in[ROI], i + e * count);
    }
    return a->mode == NEAREST ? pick(a, s, &in[X], &out[0]) : blend(a, s, &in[X], &out[0]);
}

/* The axis d; false: it is cropped, or unchanged. */
static bool span_of(const pare_node *n, const pare_type *x, const pare_tensor *scales,
                    const pare_tensor *sizes, int d, span *p)
{
    const attrs *a = n->attrs;
    span s[PARE_MAX_RANK];
    if (a->coordinate_transformation_mode == TF_CROP_AND_RESIZE ||
        resolve(a, x, scales, sizes, s) != PARE_OK)
        return false;
    *p = s[d];
    return !is_identity(a, p);
}

int64_t pare_resize_taps(const pare_node *n, const pare_type *x, const pare_tensor *scales,
                         const pare_tensor *sizes, int d)
{
    const attrs *a = n->attrs;
    span p;
    if (a->coordinate_transformation_mode == TF_CROP_AND_RESIZE) return -1;
    if (!span_of(n, x, scales, sizes, d, &p)) return 0;
    return a->mode == NEAREST ? 1 : 2 * reach_of(a, &p);
}

void pare_resize_axis(const pare_node *n, const pare_type *x, const pare_tensor *scales,
                      const pare_tensor *sizes, int d, int32_t *index, float *weight)
{
    const attrs *a = n->attrs;
    int64_t taps = pare_resize_taps(n, x, scales, sizes, d);
    span p;
    if (!span_of(n, x, scales, sizes, d, &p)) return;
    for (int64_t i = 0; i < p.out; i++, index += taps, weight += taps) {
        bool outside;
        float at = position(a, &p, i, &outside);
        double w[PARE_RESIZE_TAPS_MOST];
        int64_t first =
                    a->mode == NEAREST ? nearest(a, &p, at) : (int64_t)floorf(at) + 1 - taps / 2,
                used = 0;
        if (a->mode == NEAREST)
            w[0] = 1;
        else
            weights(a, &p, at, taps / 2, w);
        for (int64_t k = 0; k < taps; k++)
            if (w[k] != 0) used = k;
        for (int64_t k = 0; k < taps; k++) {
            index[k] = (int32_t)clamp(first + (w[k] != 0 ? k : used), p.in);
            if (w[k] == 0) w[k] = w[used] /= 2; /* the same sum, in two */
        }
        for (int64_t k = 0; k < taps; k++) weight[k] = (float)w[k];
    }
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    const attrs *a = n->attrs;
    c->ops = (double)pare_numel(out[0].rank, out[0].dim);
    for (int d = 0; d < in[X].rank && a->mode != NEAREST; d++)
        if (in[X].dim[d] != out[0].dim[d]) c->ops *= a->mode == LINEAR ? 2 : 4;
}

const pare_op pare_op_resize = {
    .name = "Resize",
    .summary = "resampling of any axes",
    .since = 13,
    .inputs = { 1, 4 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
};
