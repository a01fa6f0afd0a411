/* Pad: a border around the tensor, or less of it where an amount is negative.
 *
 * Amounts, the constant and (opset 18) the axes are inputs; amounts and axes must be known. */
#include "ops/attrs.h"
#include "ops/walk.h"

#include <string.h>

static const pare_field fields[] = {
    PARE_ENUM(pare_pad_attrs, mode, PARE_PADDING_CONSTANT, "constant|reflect|edge|wrap",
              "what the border holds"),
    PARE_FIELDS_END,
};

static pare_status resolve(const pare_node *n, const pare_arg *in, int64_t *begin, int64_t *end)
{
    int rank = in[0].type.rank, n_pads, n_axes = rank;
    int64_t pads[2 * PARE_MAX_RANK], axes[PARE_MAX_RANK];
    PARE_TRY(pare_op_known_ints(&in[1], "pads", pads, 2 * PARE_MAX_RANK, &n_pads));
    for (int d = 0; d < rank; d++) {
        axes[d] = d;
        begin[d] = end[d] = 0;
    }
    if (pare_arg_given(n, in, 3))
        PARE_TRY(pare_op_known_ints(&in[3], "axes", axes, PARE_MAX_RANK, &n_axes));
    if (n_pads != 2 * n_axes)
        return pare_fail(PARE_EFORMAT, "%d pads for %d axes, not twice as many", n_pads, n_axes);
    unsigned seen = 0;
    for (int i = 0; i < n_axes; i++) {
        int d;
        PARE_TRY(pare_op_axis(axes[i], rank, &d));
        if (seen & 1u << d) return pare_fail(PARE_EFORMAT, "axis %d is named twice", d);
        seen |= 1u << d;
        begin[d] = pads[i];
        end[d] = pads[i + n_axes];
    }
    return PARE_OK;
}

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_pad_attrs *a = n->attrs;
    int64_t begin[PARE_MAX_RANK], end[PARE_MAX_RANK];
    PARE_TRY(pare_op_dtype("Pad", in[0].type.dtype, pare_types_all));
    PARE_TRY(resolve(n, in, begin, end));
    if (pare_arg_given(n, in, 2)) {
        PARE_TRY(pare_op_scalar(&in[2], "the constant"));
        if (in[2].type.dtype != in[0].type.dtype)
            return pare_fail(PARE_EFORMAT, "the constant is %s, the input %s",
                             pare_dtype_name(in[2].type.dtype), pare_dtype_name(in[0].type.dtype));
    }
    out[0] = in[0].type;
    for (int d = 0; d < out[0].rank; d++) {
        int64_t dim = in[0].type.dim[d], sum;
        if (!pare_add_i64(dim, begin[d], &sum) || !pare_add_i64(sum, end[d], &sum) || sum < 0)
            return pare_fail(PARE_EFORMAT, "dimension %d of %lld cannot be padded by %lld and %lld",
                             d, (long long)dim, (long long)begin[d], (long long)end[d]);
        if (dim == 0 && sum > 0 && a->mode != PARE_PADDING_CONSTANT)
            return pare_fail(
                PARE_EFORMAT,
                "dimension %d is empty, so nothing can be repeated in its %lld elements of padding",
                d, (long long)sum);
        out[0].dim[d] = sum;
    }
    return PARE_OK;
}

/* The input's index for index i (before the begin is taken off: may lie outside) of `dim`; -1: the
 * constant.
 */
static int64_t source(int mode, int64_t i, int64_t dim)
{
    if (i >= 0 && i < dim) return i;
    switch (mode) {
    case PARE_PADDING_EDGE: return i < 0 ? 0 : dim - 1;
    case PARE_PADDING_WRAP: return (i % dim + dim) % dim;
    case PARE_PADDING_REFLECT: {
        if (dim == 1) return 0;
        int64_t period = 2 * (dim - 1), r = (i % period + period) % period;
        return r < dim ? r : period - r;
    }
    default: return -1;
    }
}

static void put(char *to, const char *from, int64_t element) { memcpy(to, from, (size_t)element); }

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_pad_attrs *a = n->attrs;
    static const char zero[8];
    pare_arg arg[4] = { 0 };
    for (uint32_t i = 0; i < n->n_in; i++) arg[i] = pare_arg_of(&in[i]);
    int64_t begin[PARE_MAX_RANK], end[PARE_MAX_RANK], stride[PARE_MAX_RANK],
        index[PARE_MAX_RANK] = { 0 };
    PARE_TRY(resolve(n, arg, begin, end));
    int rank = in[0].rank;
    int64_t count = pare_tensor_count(&out[0]), element = (int64_t)pare_dtype_size(in[0].dtype);
    if (count == 0) return PARE_OK;
    if (rank == 0) {
        put(out[0].data, in[0].data, element);
        return PARE_OK;
    }
    pare_strides(rank, in[0].dim, stride);
    const char *constant = n->n_in > 2 && in[2].data ? in[2].data : zero;
    char *to = out[0].data;
    int64_t row = out[0].dim[rank - 1], dim = in[0].dim[rank - 1], shift = begin[rank - 1];
    for (int64_t rows = count / row; rows > 0; rows--) {
        int64_t at = 0; /* where the row's elements come from, -1: nowhere */
        for (int d = 0; d < rank - 1 && at >= 0; d++) {
            int64_t s = source(a->mode, index[d] - begin[d], in[0].dim[d]);
            at = s < 0 ? -1 : at + s * stride[d];
        }
        const char *from = at < 0 ? NULL : (const char *)in[0].data + at * element;
        /* [0, left) and [right, row) are border */
        int64_t left = shift > 0 ? (shift < row ? shift : row) : 0;
        int64_t right = from && dim + shift > left ? (dim + shift < row ? dim + shift : row) : left;
        for (int64_t i = 0; i < row; i++) {
            if (i == left && right > left) {
                memcpy(to + i * element, from + (i - shift) * element,
                       (size_t)((right - left) * element));
                i = right - 1;
                continue;
            }
            int64_t s = from ? source(a->mode, i - shift, dim) : -1;
            put(to + i * element, s < 0 ? constant : from + s * element, element);
        }
        to += row * element;
        for (int d = rank - 2; d >= 0; d--) {
            if (++index[d] < out[0].dim[d]) break;
            index[d] = 0;
        }
    }
    return PARE_OK;
}

const pare_op pare_op_pad = {
    .name = "Pad",
    .summary = "border of a constant, or of the tensor's own elements",
    .since = 13,
    .inputs = { 2, 4 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(pare_pad_attrs),
    .infer = infer,
    .eval = eval,
    .cost = pare_op_no_cost,
};
