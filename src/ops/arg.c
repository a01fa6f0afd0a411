/* ArgMax and ArgMin: where along an axis the largest or smallest element stands; the first one of
 * equals, or the last. NaN counts as the largest and as the smallest. */
#include "ops/attrs.h"
#include "ops/order.h"

static const pare_field fields[] = {
    PARE_INT(pare_arg_attrs, axis, 0, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "dimension to search along"),
    PARE_FLAG(pare_arg_attrs, keepdims, 1, "the dimension stays as 1"),
    PARE_FLAG(pare_arg_attrs, select_last_index, 0, "the last one of equals"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_arg_attrs *a = n->attrs;
    const pare_type *x = &in[0].type;
    int axis;
    PARE_TRY(pare_op_dtype(n->op->name, x->dtype, pare_types_numbers));
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    if (x->dim[axis] == 0) return pare_fail(PARE_EFORMAT, "axis %d is empty", axis);
    out[0].dtype = PARE_I64;
    out[0].rank = 0;
    for (int d = 0; d < x->rank; d++)
        if (d != axis)
            out[0].dim[out[0].rank++] = x->dim[d];
        else if (a->keepdims)
            out[0].dim[out[0].rank++] = 1;
    return PARE_OK;
}

static pare_status find(const pare_node *n, const pare_tensor *in, pare_tensor *out, bool largest)
{
    const pare_arg_attrs *a = n->attrs;
    const pare_tensor *x = &in[0];
    int axis;
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    if (pare_tensor_count(x) == 0) return PARE_OK;
    int64_t outer = pare_numel(axis, x->dim), dim = x->dim[axis],
            inner = pare_numel(x->rank - axis - 1, x->dim + axis + 1);
    bool floats = pare_dtype_is_float(x->dtype);
    int64_t *y = out[0].data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            int64_t best = 0;
            uint64_t top = 0;
            for (int64_t k = 0; k < dim; k++) {
                uint64_t key = pare_order_key(x, (o * dim + k) * inner + i);
                if (!largest && !(floats && key == UINT64_MAX)) key = ~key;
                if (k == 0 || (a->select_last_index ? key >= top : key > top)) {
                    top = key;
                    best = k;
                }
            }
            y[o * inner + i] = best;
        }
    return PARE_OK;
}

static pare_status arg_max_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return find(n, in, out, true);
}
static pare_status arg_min_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return find(n, in, out, false);
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    *c = (pare_cost){ .ops = (double)pare_numel(in[0].rank, in[0].dim) };
}

#define ARG(ID, NAME, SUMMARY)                \
    const pare_op pare_op_##ID = {            \
        .name = NAME,                         \
        .summary = SUMMARY,                   \
        .since = 13,                          \
        .inputs = { 1, 1 },                   \
        .outputs = { 1, 1 },                  \
        .attrs = fields,                      \
        .attrs_size = sizeof(pare_arg_attrs), \
        .infer = infer,                       \
        .eval = ID##_eval,                    \
        .cost = cost,                         \
    };
ARG(arg_max, "ArgMax", "index of the largest")
ARG(arg_min, "ArgMin", "index of the smallest")
