/* CumSum: running sums along an axis that is an input. Floats accumulate in double, integers wrap.
 */
#include "ops/walk.h"

typedef struct attrs {
    bool exclusive, reverse;
} attrs;
static const pare_field fields[] = {
    PARE_FLAG(attrs, exclusive, 0, "without the element itself"),
    PARE_FLAG(attrs, reverse, 0, "from the end"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    int axis;
    PARE_TRY(pare_op_dtype("CumSum", in[0].type.dtype, pare_types_numbers));
    PARE_TRY(pare_op_dtype("CumSum with an axis", in[1].type.dtype, pare_types_index));
    PARE_TRY(pare_op_scalar(&in[1], "axis"));
    if (in[1].value)
        PARE_TRY(pare_op_axis(pare_tensor_get_i64(in[1].value, 0), in[0].type.rank, &axis));
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const attrs *a = n->attrs;
    const pare_tensor *x = &in[0];
    int axis;
    PARE_TRY(pare_op_axis(pare_tensor_get_i64(&in[1], 0), x->rank, &axis));
    if (pare_tensor_count(x) == 0) return PARE_OK;
    int64_t outer = pare_numel(axis, x->dim), dim = x->dim[axis],
            inner = pare_numel(x->rank - axis - 1, x->dim + axis + 1);
    bool floats = pare_dtype_is_float(x->dtype);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            double sum = 0;
            uint64_t total = 0;
            for (int64_t k = 0; k < dim; k++) {
                int64_t at = (o * dim + (a->reverse ? dim - 1 - k : k)) * inner + i;
                double before = sum;
                uint64_t earlier = total;
                if (floats)
                    sum += pare_tensor_get_f64(x, at);
                else
                    total += (uint64_t)pare_tensor_get_i64(x, at);
                if (floats)
                    pare_put_f64(&out[0], at, a->exclusive ? before : sum);
                else
                    pare_put_i64(&out[0], at, (int64_t)(a->exclusive ? earlier : total));
            }
        }
    return PARE_OK;
}

const pare_op pare_op_cum_sum = {
    .name = "CumSum",
    .summary = "running sums",
    .since = 14,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
};
