/* Slice: a range with a step along some axes. Starts, ends, axes and steps are inputs that must be
 * known. */
#include "ops/walk.h"

#include <string.h>

/* First element, count and step along each dimension. */
typedef struct cut {
    int64_t first[PARE_MAX_RANK], count[PARE_MAX_RANK], step[PARE_MAX_RANK];
} cut;

static int64_t limit(int64_t v, int64_t least, int64_t most)
{
    return v < least ? least : v > most ? most : v;
}

/* Counted from the end if negative; adding to a negative number cannot overflow. */
static int64_t from_end(int64_t v, int64_t dim) { return v < 0 ? v + dim : v; }

static pare_status resolve(const pare_node *n, const pare_arg *in, cut *c)
{
    const pare_type *x = &in[0].type;
    int64_t start[PARE_MAX_RANK], end[PARE_MAX_RANK], axes[PARE_MAX_RANK], steps[PARE_MAX_RANK];
    int n_start, n_end, n_axes, n_steps;
    PARE_TRY(pare_op_known_ints(&in[1], "starts", start, PARE_MAX_RANK, &n_start));
    PARE_TRY(pare_op_known_ints(&in[2], "ends", end, PARE_MAX_RANK, &n_end));
    n_axes = n_steps = n_start;
    for (int i = 0; i < n_start; i++) {
        axes[i] = i;
        steps[i] = 1;
    }
    if (pare_arg_given(n, in, 3))
        PARE_TRY(pare_op_known_ints(&in[3], "axes", axes, PARE_MAX_RANK, &n_axes));
    if (pare_arg_given(n, in, 4))
        PARE_TRY(pare_op_known_ints(&in[4], "steps", steps, PARE_MAX_RANK, &n_steps));
    if (n_end != n_start || n_axes != n_start || n_steps != n_start)
        return pare_fail(PARE_EFORMAT, "%d starts, %d ends, %d axes and %d steps do not match",
                         n_start, n_end, n_axes, n_steps);
    for (int d = 0; d < x->rank; d++) {
        c->first[d] = 0;
        c->count[d] = x->dim[d];
        c->step[d] = 1;
    }
    unsigned seen = 0;
    for (int i = 0; i < n_start; i++) {
        int d;
        PARE_TRY(pare_op_axis(axes[i], x->rank, &d));
        if (seen & 1u << d) return pare_fail(PARE_EFORMAT, "axis %d is named twice", d);
        seen |= 1u << d;
        if (steps[i] == 0) return pare_fail(PARE_EFORMAT, "the step along axis %d is 0", d);
        int64_t dim = x->dim[d], a = from_end(start[i], dim), b = from_end(end[i], dim);
        if (dim == 0) continue; /* nothing to choose from */
        uint64_t span, step;
        if (steps[i] > 0) {
            a = limit(a, 0, dim);
            b = limit(b, 0, dim);
            span = b > a ? (uint64_t)(b - a) : 0;
            step = (uint64_t)steps[i];
        } else {
            a = limit(a, 0, dim - 1);
            b = limit(b, -1, dim - 1);
            span = a > b ? (uint64_t)(a - b) : 0;
            step = 0 - (uint64_t)steps[i];
        }
        c->first[d] = a;
        c->count[d] = (int64_t)(span / step + (span % step != 0));
        c->step[d] = c->count[d] > 1
                         ? steps[i]
                         : 0; /* of one element there is no next; a huge step would overflow */
    }
    return PARE_OK;
}

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    cut c;
    PARE_TRY(resolve(n, in, &c));
    out[0] = in[0].type;
    memcpy(out[0].dim, c.count, (size_t)out[0].rank * sizeof *c.count);
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    pare_arg arg[5] = { 0 };
    for (uint32_t i = 0; i < n->n_in; i++) arg[i] = pare_arg_of(&in[i]);
    cut c;
    PARE_TRY(resolve(n, arg, &c));
    if (pare_tensor_count(&out[0]) == 0) return PARE_OK;
    int64_t stride[PARE_MAX_RANK], at = 0;
    pare_strides(in[0].rank, in[0].dim, stride);
    for (int d = 0; d < in[0].rank; d++) {
        at += c.first[d] * stride[d];
        stride[d] *= c.step[d];
    }
    size_t element = pare_dtype_size(in[0].dtype);
    pare_copy_strided(in[0].rank, c.count, stride, element,
                      (const char *)in[0].data + at * (int64_t)element, out[0].data);
    return PARE_OK;
}

const pare_op pare_op_slice = {
    .name = "Slice",
    .summary = "ranges with steps",
    .since = 13,
    .inputs = { 3, 5 },
    .outputs = { 1, 1 },
    .infer = infer,
    .eval = eval,
    .cost = pare_op_no_cost,
};
