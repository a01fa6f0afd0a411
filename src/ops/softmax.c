/* Softmax, LogSoftmax, Hardmax along one axis, as of opset 13 (older ones flatten first: the
 * reader's business). */
#include "ops/values.h"

#include <math.h>

typedef struct attrs {
    int64_t axis;
} attrs;

static const pare_field fields[] = {
    PARE_INT(attrs, axis, -1, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "", "the axis that is normalised"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    int axis;
    PARE_TRY(pare_op_dtype("a softmax", in[0].type.dtype, pare_op_floats));
    PARE_TRY(pare_op_axis(((const attrs *)n->attrs)->axis, in[0].type.rank, &axis));
    out[0] = in[0].type;
    return PARE_OK;
}

/* One line along the axis: `count` elements, `step` apart, from `at` on. */
typedef void line_fn(const pare_tensor *x, int64_t at, int64_t step, int64_t count, pare_tensor *y);

static pare_status walk(const pare_node *n, const pare_tensor *x, line_fn *line, pare_tensor *y)
{
    int axis;
    PARE_TRY(pare_op_axis(((const attrs *)n->attrs)->axis, x->rank, &axis));
    int64_t count = x->dim[axis], step = 1, outer = 1;
    for (int d = 0; d < axis; d++) outer *= x->dim[d];
    for (int d = axis + 1; d < x->rank; d++) step *= x->dim[d];
    for (int64_t o = 0; count && o < outer; o++)
        for (int64_t i = 0; i < step; i++) line(x, o * count * step + i, step, count, y);
    return PARE_OK;
}

static double largest(const pare_tensor *x, int64_t at, int64_t step, int64_t count, int64_t *arg)
{
    double best = pare_get(x, at);
    *arg = 0;
    for (int64_t i = 1; i < count; i++) {
        double e = pare_get(x, at + i * step);
        if (e > best) best = e, *arg = i;
    }
    return best;
}

/* The largest is taken off first, so that no exponential overflows. */
static void soft_line(const pare_tensor *x, int64_t at, int64_t step, int64_t count, pare_tensor *y)
{
    int64_t arg;
    double top = largest(x, at, step, count, &arg), sum = 0;
    for (int64_t i = 0; i < count; i++) sum += exp(pare_get(x, at + i * step) - top);
    for (int64_t i = 0; i < count; i++)
        pare_put(y, at + i * step, exp(pare_get(x, at + i * step) - top) / sum);
}

static void log_line(const pare_tensor *x, int64_t at, int64_t step, int64_t count, pare_tensor *y)
{
    int64_t arg;
    double top = largest(x, at, step, count, &arg), sum = 0;
    for (int64_t i = 0; i < count; i++) sum += exp(pare_get(x, at + i * step) - top);
    for (int64_t i = 0; i < count; i++)
        pare_put(y, at + i * step, pare_get(x, at + i * step) - top - log(sum));
}

static void hard_line(const pare_tensor *x, int64_t at, int64_t step, int64_t count, pare_tensor *y)
{
    int64_t arg;
    largest(x, at, step, count, &arg);
    for (int64_t i = 0; i < count; i++) pare_put(y, at + i * step, i == arg ? 1 : 0);
}

static pare_status soft_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, &in[0], soft_line, &out[0]);
}
static pare_status log_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, &in[0], log_line, &out[0]);
}
static pare_status hard_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(n, &in[0], hard_line, &out[0]);
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->ops = 3 * (double)pare_numel(out[0].rank, out[0].dim); /* exponential, sum, division */
}

const pare_op pare_op_softmax = {
    .name = "Softmax",
    .summary = "exponentials that sum to one",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = soft_eval,
    .cost = cost,
};

const pare_op pare_op_log_softmax = {
    .name = "LogSoftmax",
    .summary = "logarithm of the softmax",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = log_eval,
    .cost = cost,
};

const pare_op pare_op_hardmax = {
    .name = "Hardmax",
    .summary = "one at the first largest element, zero elsewhere",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = hard_eval,
};
