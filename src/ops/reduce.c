/* Reductions over some axes: ReduceSum Mean Max Min Prod L1 L2 LogSum LogSumExp SumSquare.
 *
 * Floats accumulate in double, integers in 64 bits that wrap. The axes are input 1 and must be
 * known; over nothing, a reduction gives its neutral element. */
#include "ops/attrs.h"
#include "ops/walk.h"

#include <math.h>
#include <string.h>

enum { SUM, MEAN, MAX, MIN, PROD, L1, L2, LOG_SUM, LOG_SUM_EXP, SUM_SQUARE };

static const pare_field fields[] = {
    PARE_FLAG(pare_reduce_attrs, keepdims, 1, "reduced dimensions stay as 1"),
    PARE_FLAG(pare_reduce_attrs, noop_with_empty_axes, 0,
              "without axes nothing is reduced, instead of everything"),
    PARE_FIELDS_END,
};

pare_status pare_reduce_mask(const pare_node *n, const pare_arg *axes, int rank, unsigned *mask)
{
    const pare_reduce_attrs *a = n->attrs;
    int64_t v[PARE_MAX_RANK];
    int count = 0, axis;
    *mask = 0;
    if (axes && pare_numel(axes->type.rank, axes->type.dim) != 0)
        PARE_TRY(pare_op_known_ints(axes, "axes", v, PARE_MAX_RANK, &count));
    for (int i = 0; i < count; i++) {
        PARE_TRY(pare_op_axis(v[i], rank, &axis));
        *mask |= 1u << axis;
    }
    if (count == 0 && !a->noop_with_empty_axes) *mask = (1u << rank) - 1;
    return PARE_OK;
}

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_reduce_attrs *a = n->attrs;
    const pare_type *x = &in[0].type;
    unsigned mask;
    PARE_TRY(pare_op_dtype(n->op->name, x->dtype, pare_types_all));
    PARE_TRY(pare_reduce_mask(n, pare_arg_given(n, in, 1) ? &in[1] : NULL, x->rank, &mask));
    out[0].dtype = x->dtype;
    out[0].rank = 0;
    for (int d = 0; d < x->rank; d++)
        if (!(mask & 1u << d))
            out[0].dim[out[0].rank++] = x->dim[d];
        else if (a->keepdims)
            out[0].dim[out[0].rank++] = 1;
    return PARE_OK;
}

/* One run of `n` elements from element `at` on, `step` apart, into an accumulator. */
#define REAL_RUN(NAME, T, LOAD)                                                                   \
    static double NAME(int kind, double acc, double top, const void *data, int64_t at, int64_t n, \
                       int64_t step)                                                              \
    {                                                                                             \
        const T *x = (const T *)data + at;                                                        \
        switch (kind) {                                                                           \
            EACH(SUM, T, LOAD, acc + v)                                                           \
            EACH(MAX, T, LOAD, v > acc || v != v ? v : acc)                                       \
            EACH(MIN, T, LOAD, v < acc || v != v ? v : acc)                                       \
            EACH(PROD, T, LOAD, acc *v)                                                           \
            EACH(L1, T, LOAD, acc + fabs(v))                                                      \
            EACH(SUM_SQUARE, T, LOAD, acc + v * v)                                                \
            EACH(LOG_SUM_EXP, T, LOAD, acc + exp(v - top))                                        \
        }                                                                                         \
        return acc;                                                                               \
    }
#define EACH(KIND, T, LOAD, EXPR)                       \
    case KIND:                                          \
        for (int64_t i = 0; i < n; i++) {               \
            const double v = (double)LOAD(x[i * step]); \
            acc = EXPR;                                 \
        }                                               \
        break;
#define AS_IS(v) (v)
REAL_RUN(run_f32, float, AS_IS)
REAL_RUN(run_f64, double, AS_IS)
REAL_RUN(run_f16, uint16_t, pare_half_to_float)
#undef EACH

/* The same for integers, as 64 bits; `sign` flips the order so that unsigned comparison serves both
 * kinds of numbers. */
static uint64_t int_run(int kind, uint64_t acc, const pare_tensor *x, int64_t at, int64_t n,
                        int64_t step, uint64_t sign)
{
    for (int64_t i = 0; i < n; i++) {
        uint64_t v = (uint64_t)pare_tensor_get_i64(x, at + i * step);
        switch (kind) {
        case SUM: acc += v; break;
        case MAX: acc = (v ^ sign) > (acc ^ sign) ? v : acc; break;
        case MIN: acc = (v ^ sign) < (acc ^ sign) ? v : acc; break;
        case PROD: acc *= v; break;
        case L1: acc += sign && v >> 63 ? 0 - v : v; break;
        case SUM_SQUARE: acc += v * v; break;
        }
    }
    return acc;
}

/* The loops over the reduced dimensions, merged; entry 0 is innermost. */
typedef struct space {
    int rank;
    int64_t dim[PARE_MAX_RANK], stride[PARE_MAX_RANK], count;
} space;

static void space_add(space *s, int64_t dim, int64_t stride)
{
    s->count *= dim;
    if (dim == 1) return;
    if (s->rank && stride == s->stride[s->rank - 1] * s->dim[s->rank - 1]) {
        s->dim[s->rank - 1] *= dim;
        return;
    }
    s->dim[s->rank] = dim;
    s->stride[s->rank++] = stride;
}

/* Next position, beginning with dimension `from`; false after the last. */
static bool space_next(const space *s, int from, int64_t *index, int64_t *at)
{
    for (int d = from; d < s->rank; d++) {
        *at += s->stride[d];
        if (++index[d] < s->dim[d]) return true;
        *at -= s->stride[d] * s->dim[d];
        index[d] = 0;
    }
    return false;
}

typedef double real_run_fn(int kind, double acc, double top, const void *data, int64_t at,
                           int64_t n, int64_t step);

static double reduce_real(real_run_fn *run, int kind, double acc, double top, const pare_tensor *x,
                          const space *s, int64_t at)
{
    int64_t index[PARE_MAX_RANK] = { 0 }, n = s->rank ? s->dim[0] : 1,
            step = s->rank ? s->stride[0] : 1;
    do acc = run(kind, acc, top, x->data, at, n, step);
    while (space_next(s, 1, index, &at));
    return acc;
}

static double real(int kind, const pare_tensor *x, const space *s, int64_t at)
{
    real_run_fn *run = x->dtype == PARE_F32 ? run_f32 : x->dtype == PARE_F64 ? run_f64 : run_f16;
    bool some = s->count > 0;
    double top = 0;
    switch (kind) {
    case MEAN: return (some ? reduce_real(run, SUM, 0, 0, x, s, at) : 0) / (double)s->count;
    case MAX: return some ? reduce_real(run, MAX, -HUGE_VAL, 0, x, s, at) : -HUGE_VAL;
    case MIN: return some ? reduce_real(run, MIN, HUGE_VAL, 0, x, s, at) : HUGE_VAL;
    case PROD: return some ? reduce_real(run, PROD, 1, 0, x, s, at) : 1;
    case L2: return sqrt(some ? reduce_real(run, SUM_SQUARE, 0, 0, x, s, at) : 0);
    case LOG_SUM: return log(some ? reduce_real(run, SUM, 0, 0, x, s, at) : 0);
    case LOG_SUM_EXP: /* around the largest, so that nothing overflows */
        if (!some) return -HUGE_VAL;
        top = reduce_real(run, MAX, -HUGE_VAL, 0, x, s, at);
        if (!(fabs(top) <= DBL_MAX)) return top;
        return top + log(reduce_real(run, LOG_SUM_EXP, 0, top, x, s, at));
    default: return some ? reduce_real(run, kind, 0, 0, x, s, at) : 0;
    }
}

static uint64_t reduce_int(int kind, uint64_t acc, const pare_tensor *x, const space *s, int64_t at,
                           uint64_t sign)
{
    if (s->count == 0) return acc;
    int64_t index[PARE_MAX_RANK] = { 0 }, n = s->rank ? s->dim[0] : 1,
            step = s->rank ? s->stride[0] : 1;
    do acc = int_run(kind, acc, x, at, n, step, sign);
    while (space_next(s, 1, index, &at));
    return acc;
}

/* The smallest and the largest number of an integer type, as 64 bits. */
static void extremes(pare_dtype t, uint64_t *least, uint64_t *most)
{
    unsigned bits = 8 * (unsigned)pare_dtype_size(t);
    bool has_sign = t == PARE_I8 || t == PARE_I16 || t == PARE_I32 || t == PARE_I64;
    *least = has_sign ? ~UINT64_C(0) << (bits - 1) : 0;
    *most = t == PARE_BOOL ? 1 : has_sign ? ~*least : ~UINT64_C(0) >> (64 - bits);
}

static void integer(int kind, const pare_tensor *x, const space *s, int64_t at, pare_tensor *y,
                    int64_t i)
{
    uint64_t least, most;
    extremes(x->dtype, &least, &most);
    uint64_t sign = least ? UINT64_C(1) << 63 : 0, v = 0;
    switch (kind) {
    case MEAN:
        v = reduce_int(SUM, 0, x, s, at, sign);
        if (s->count == 0)
            v = 0;
        else if (sign)
            v = (uint64_t)((int64_t)v / s->count);
        else
            v /= (uint64_t)s->count;
        break;
    case MAX: v = reduce_int(MAX, least, x, s, at, sign); break;
    case MIN: v = reduce_int(MIN, most, x, s, at, sign); break;
    case PROD: v = reduce_int(PROD, 1, x, s, at, sign); break;
    case L2: pare_put_f64(y, i, sqrt((double)reduce_int(SUM_SQUARE, 0, x, s, at, sign))); return;
    case LOG_SUM:
        v = reduce_int(SUM, 0, x, s, at, sign);
        pare_put_f64(y, i, log(sign ? (double)(int64_t)v : (double)v));
        return;
    case LOG_SUM_EXP: {
        int64_t index[PARE_MAX_RANK] = { 0 };
        double sum = 0, top;
        if (s->count == 0) return;
        v = reduce_int(MAX, least, x, s, at, sign);
        top = sign ? (double)(int64_t)v : (double)v;
        do sum += exp(pare_tensor_get_f64(x, at) - top);
        while (space_next(s, 0, index, &at));
        pare_put_f64(y, i, top + log(sum));
        return;
    }
    default: v = reduce_int(kind, 0, x, s, at, sign); break;
    }
    pare_put_i64(y, i, (int64_t)v);
}

static pare_status reduce(const pare_node *n, const pare_tensor *in, pare_tensor *out, int kind)
{
    const pare_tensor *x = &in[0];
    int64_t stride[PARE_MAX_RANK], index[PARE_MAX_RANK] = { 0 }, at = 0,
                                   count = pare_tensor_count(&out[0]);
    unsigned mask;
    pare_arg axes = { 0 };
    if (n->n_in > 1 && in[1].data) axes = pare_arg_of(&in[1]);
    PARE_TRY(pare_reduce_mask(n, axes.value ? &axes : NULL, x->rank, &mask));
    if (count == 0) return PARE_OK;
    if (mask == 0 && x->rank > 0) { /* nothing is reduced: its input */
        memcpy(out[0].data, x->data, pare_tensor_bytes(x));
        return PARE_OK;
    }
    bool empty = pare_tensor_count(x) == 0;
    space kept = { .count = 1 }, gone = { .count = !empty };
    pare_strides(x->rank, x->dim, stride);
    for (int d = x->rank - 1; d >= 0 && !empty; d--)
        space_add(mask & 1u << d ? &gone : &kept, x->dim[d], stride[d]);
    bool floats = pare_dtype_is_float(x->dtype);
    for (int64_t i = 0; i < count; i++) {
        if (floats)
            pare_put_f64(&out[0], i, real(kind, x, &gone, at));
        else
            integer(kind, x, &gone, at, &out[0], i);
        space_next(&kept, 0, index, &at);
    }
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    *c = (pare_cost){ .ops = (double)pare_numel(in[0].rank, in[0].dim) };
}

#define REDUCTION(ID, NAME, SUMMARY, KIND)                                                    \
    static pare_status ID##_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out) \
    {                                                                                         \
        return reduce(n, in, out, KIND);                                                      \
    }                                                                                         \
    const pare_op pare_op_##ID = {                                                            \
        .name = NAME,                                                                         \
        .summary = SUMMARY,                                                                   \
        .since = 18,                                                                          \
        .inputs = { 1, 2 },                                                                   \
        .outputs = { 1, 1 },                                                                  \
        .attrs = fields,                                                                      \
        .attrs_size = sizeof(pare_reduce_attrs),                                              \
        .infer = infer,                                                                       \
        .eval = ID##_eval,                                                                    \
        .cost = cost,                                                                         \
    };
REDUCTION(reduce_sum, "ReduceSum", "sum over axes", SUM)
REDUCTION(reduce_mean, "ReduceMean", "mean over axes", MEAN)
REDUCTION(reduce_max, "ReduceMax", "largest over axes", MAX)
REDUCTION(reduce_min, "ReduceMin", "smallest over axes", MIN)
REDUCTION(reduce_prod, "ReduceProd", "product over axes", PROD)
REDUCTION(reduce_l1, "ReduceL1", "sum of absolute values over axes", L1)
REDUCTION(reduce_l2, "ReduceL2", "root of the sum of squares over axes", L2)
REDUCTION(reduce_log_sum, "ReduceLogSum", "logarithm of the sum over axes", LOG_SUM)
REDUCTION(reduce_log_sum_exp, "ReduceLogSumExp", "logarithm of the sum of exponentials over axes",
          LOG_SUM_EXP)
REDUCTION(reduce_sum_square, "ReduceSumSquare", "sum of squares over axes", SUM_SQUARE)
