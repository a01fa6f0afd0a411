/* Any number of inputs that broadcast together: Sum Mean Min Max. NaN wins in Min and Max; sums are
 * double.
 */
#include "ops/walk.h"

static pare_status infer(const pare_node *n, const pare_arg *in, const pare_dtype *list,
                         pare_type *out)
{
    pare_type t[PARE_MAX_IN];
    PARE_TRY(pare_op_dtype(n->op->name, in[0].type.dtype, list));
    PARE_TRY(pare_op_same_dtype(n, in, 0, n->n_in));
    for (uint32_t i = 0; i < n->n_in; i++) t[i] = in[i].type;
    out[0].dtype = in[0].type.dtype;
    return pare_op_broadcast(t, (int)n->n_in, &out[0]);
}

static pare_status sum_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    return infer(n, in, pare_types_floats, out);
}
static pare_status order_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    return infer(n, in, pare_types_numbers, out);
}

/* Two float32 of one shape, as residual networks add them: in float the same sum as rounded from
 * double. */
static bool plain_pair(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    if (n->n_in != 2 || in[0].dtype != PARE_F32) return false;
    pare_type a = pare_tensor_type(&in[0]), b = pare_tensor_type(&in[1]);
    if (!pare_same_shape(&a, &b)) return false;
    const float *p = in[0].data, *q = in[1].data;
    float *y = out[0].data;
    int64_t count = pare_tensor_count(&in[0]);
    for (int64_t i = 0; i < count; i++) y[i] = p[i] + q[i];
    return true;
}

static void add_up(const pare_node *n, const pare_tensor *in, pare_tensor *out, double divisor)
{
    pare_walk w;
    for (bool more = pare_walk_begin(&w, in, (int)n->n_in, &out[0]); more;
         more = pare_walk_next(&w))
        for (int64_t i = 0; i < w.run; i++) {
            double sum = 0;
            for (uint32_t k = 0; k < n->n_in; k++)
                sum += pare_tensor_get_f64(&in[k], w.at[k] + i * w.step[k]);
            pare_put_f64(&out[0], w.out + i, sum / divisor);
        }
}

static pare_status sum_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    if (!plain_pair(n, in, out)) add_up(n, in, out, 1);
    return PARE_OK;
}

static pare_status mean_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    add_up(n, in, out, (double)n->n_in);
    return PARE_OK;
}

/* For float32, which networks clip with: one plain loop an input. */
static void extreme_f32(const pare_node *n, const pare_tensor *in, pare_tensor *out, int sign)
{
    pare_walk w;
    for (bool more = pare_walk_begin(&w, in, (int)n->n_in, &out[0]); more;
         more = pare_walk_next(&w)) {
        float *y = (float *)out[0].data + w.out;
        for (uint32_t k = 0; k < n->n_in; k++) {
            const float *x = (const float *)in[k].data + w.at[k];
            int64_t step = w.step[k];
            if (k == 0)
                for (int64_t i = 0; i < w.run; i++) y[i] = x[i * step];
            else if (sign > 0)
                for (int64_t i = 0; i < w.run; i++)
                    y[i] = y[i] >= x[i * step] || y[i] != y[i] ? y[i] : x[i * step];
            else
                for (int64_t i = 0; i < w.run; i++)
                    y[i] = y[i] <= x[i * step] || y[i] != y[i] ? y[i] : x[i * step];
        }
    }
}

/* sign: -1 for the smallest, 1 for the largest */
static void extreme(const pare_node *n, const pare_tensor *in, pare_tensor *out, int sign)
{
    if (in[0].dtype == PARE_F32) {
        extreme_f32(n, in, out, sign);
        return;
    }
    bool floats = pare_dtype_is_float(in[0].dtype);
    uint64_t flip =
        in[0].dtype == PARE_U64 ? UINT64_C(1) << 63 : 0; /* so that signed comparison orders it */
    pare_walk w;
    for (bool more = pare_walk_begin(&w, in, (int)n->n_in, &out[0]); more;
         more = pare_walk_next(&w))
        for (int64_t i = 0; i < w.run; i++) {
            if (floats) {
                double best = pare_tensor_get_f64(&in[0], w.at[0] + i * w.step[0]);
                for (uint32_t k = 1; k < n->n_in; k++) {
                    double v = pare_tensor_get_f64(&in[k], w.at[k] + i * w.step[k]);
                    if (v != v || (sign > 0 ? v > best : v < best)) best = v;
                }
                pare_put_f64(&out[0], w.out + i, best);
            } else {
                int64_t best =
                    (int64_t)((uint64_t)pare_tensor_get_i64(&in[0], w.at[0] + i * w.step[0]) ^
                              flip);
                for (uint32_t k = 1; k < n->n_in; k++) {
                    int64_t v =
                        (int64_t)((uint64_t)pare_tensor_get_i64(&in[k], w.at[k] + i * w.step[k]) ^
                                  flip);
                    if (sign > 0 ? v > best : v < best) best = v;
                }
                pare_put_i64(&out[0], w.out + i, (int64_t)((uint64_t)best ^ flip));
            }
        }
}

static pare_status min_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    extreme(n, in, out, -1);
    return PARE_OK;
}

static pare_status max_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    extreme(n, in, out, 1);
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    *c = (pare_cost){ .ops = (double)n->n_in * (double)pare_numel(out[0].rank, out[0].dim) };
}

#define VARIADIC(ID, NAME, SUMMARY, INFER) \
    const pare_op pare_op_##ID = {         \
        .name = NAME,                      \
        .summary = SUMMARY,                \
        .since = 13,                       \
        .inputs = { 1, PARE_MAX_IN },      \
        .outputs = { 1, 1 },               \
        .infer = INFER,                    \
        .eval = ID##_eval,                 \
        .cost = cost,                      \
    };
VARIADIC(sum, "Sum", "sum of any number", sum_infer)
VARIADIC(mean, "Mean", "mean of any number", sum_infer)
VARIADIC(min, "Min", "smallest of any number", order_infer)
VARIADIC(max, "Max", "largest of any number", order_infer)
