/* Positions and numbers into each other: OneHot (numbers to positions), NonZero (positions to
 * numbers), and Trilu, which keeps elements by position. */
#include "ops/attrs.h"
#include "ops/walk.h"

#include <string.h>

/* --- OneHot --- */

static const pare_field one_hot_fields[] = {
    PARE_INT(pare_axis_attrs, axis, -1, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "where the new dimension goes"),
    PARE_FIELDS_END,
};

static pare_status one_hot_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_axis_attrs *a = n->attrs;
    const pare_type *x = &in[0].type;
    int axis;
    PARE_TRY(pare_op_dtype("OneHot", x->dtype, pare_types_numbers));
    PARE_TRY(pare_op_dtype("OneHot with a depth", in[1].type.dtype, pare_types_numbers));
    PARE_TRY(pare_op_dtype("OneHot with values", in[2].type.dtype, pare_types_all));
    PARE_TRY(pare_op_scalar(&in[1], "depth"));
    if (in[2].type.rank != 1 || in[2].type.dim[0] != 2)
        return pare_fail(PARE_EFORMAT, "values must be a vector of 2: off and on");
    if (!in[1].value)
        return pare_fail(PARE_EUNSUPPORTED,
                         "depth is only known when running, so no shape can be planned");
    int64_t depth = pare_tensor_get_i64(in[1].value, 0);
    if (depth < 0) return pare_fail(PARE_EFORMAT, "depth is %lld", (long long)depth);
    if (x->rank == PARE_MAX_RANK)
        return pare_fail(PARE_EUNSUPPORTED, "one more dimension than %d is more than %d", x->rank,
                         PARE_MAX_RANK);
    PARE_TRY(pare_op_axis(a->axis, x->rank + 1, &axis));
    out[0].dtype = in[2].type.dtype;
    out[0].rank = x->rank + 1;
    for (int d = 0, from = 0; d < out[0].rank; d++)
        out[0].dim[d] = d == axis ? depth : x->dim[from++];
    return PARE_OK;
}

static pare_status one_hot_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_axis_attrs *a = n->attrs;
    int axis;
    PARE_TRY(pare_op_axis(a->axis, out[0].rank, &axis));
    if (pare_tensor_count(&out[0]) == 0) return PARE_OK;
    int64_t outer = pare_numel(axis, out[0].dim), depth = out[0].dim[axis],
            inner = pare_numel(out[0].rank - axis - 1, out[0].dim + axis + 1);
    size_t size = pare_dtype_size(out[0].dtype);
    const char *value = in[2].data;
    char *y = out[0].data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t k = 0; k < depth; k++)
            for (int64_t i = 0; i < inner; i++, y += size) {
                int64_t v = pare_tensor_get_i64(&in[0], o * inner + i);
                bool on = v == k || (v < 0 && v + depth == k); /* out of range: nowhere */
                memcpy(y, value + (on ? size : 0), size);
            }
    return PARE_OK;
}

const pare_op pare_op_one_hot = {
    .name = "OneHot",
    .summary = "a mark at each index",
    .since = 11,
    .inputs = { 3, 3 },
    .outputs = { 1, 1 },
    .attrs = one_hot_fields,
    .attrs_size = sizeof(pare_axis_attrs),
    .infer = one_hot_infer,
    .eval = one_hot_eval,
    .cost = pare_op_no_cost,
};

/* --- NonZero: [rank, count], column by column the indices of an element; its shape depends on the
 * data ---
 */

static pare_status non_zero_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("NonZero", in[0].type.dtype, pare_types_all));
    if (!in[0].value)
        return pare_fail(PARE_EUNSUPPORTED,
                         "its input is only known when running, so no shape can be planned");
    int64_t count = pare_tensor_count(in[0].value), found = 0;
    for (int64_t i = 0; i < count; i++) found += pare_tensor_get_f64(in[0].value, i) != 0;
    out[0] = (pare_type){ PARE_I64, 2, { in[0].type.rank, found } };
    return PARE_OK;
}

static pare_status non_zero_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int rank = in[0].rank;
    int64_t count = pare_tensor_count(&in[0]), columns = out[0].dim[1], at = 0,
            where[PARE_MAX_RANK] = { 0 };
    int64_t *y = out[0].data;
    for (int64_t i = 0; i < count; i++) {
        if (pare_tensor_get_f64(&in[0], i) != 0) {
            for (int d = 0; d < rank; d++) y[d * columns + at] = where[d];
            at++;
        }
        for (int d = rank - 1; d >= 0; d--) {
            if (++where[d] < in[0].dim[d]) break;
            where[d] = 0;
        }
    }
    return PARE_OK;
}

const pare_op pare_op_non_zero = {
    .name = "NonZero",
    .summary = "indices of what is not zero",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .infer = non_zero_infer,
    .eval = non_zero_eval,
    .cost = pare_op_no_cost,
};

/* --- Trilu --- */

typedef struct trilu_attrs {
    bool upper;
} trilu_attrs;
static const pare_field trilu_fields[] = {
    PARE_FLAG(trilu_attrs, upper, 1, "keeps what is above the diagonal, else what is below"),
    PARE_FIELDS_END,
};

static pare_status trilu_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("Trilu", in[0].type.dtype, pare_types_all));
    if (in[0].type.rank < 2)
        return pare_fail(PARE_EFORMAT, "the input has rank %d instead of at least 2",
                         in[0].type.rank);
    if (pare_arg_given(n, in, 1)) {
        PARE_TRY(pare_op_dtype("Trilu with k", in[1].type.dtype, pare_types_index));
        PARE_TRY(pare_op_scalar(&in[1], "k"));
    }
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status trilu_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const trilu_attrs *a = n->attrs;
    int64_t count = pare_tensor_count(&in[0]);
    if (count == 0) return PARE_OK;
    int64_t k = n->n_in > 1 && in[1].data ? pare_tensor_get_i64(&in[1], 0) : 0;
    int64_t rows = in[0].dim[in[0].rank - 2], columns = in[0].dim[in[0].rank - 1];
    size_t size = pare_dtype_size(in[0].dtype);
    for (int64_t i = 0; i < count; i++) {
        int64_t diagonal = i % columns - i / columns % rows; /* 0 on the main one */
        bool keep = a->upper ? diagonal >= k : diagonal <= k;
        if (keep)
            memcpy((char *)out[0].data + (size_t)i * size,
                   (const char *)in[0].data + (size_t)i * size, size);
        else
            memset((char *)out[0].data + (size_t)i * size, 0, size);
    }
    return PARE_OK;
}

const pare_op pare_op_trilu = {
    .name = "Trilu",
    .summary = "a triangle of each matrix",
    .since = 14,
    .inputs = { 1, 2 },
    .outputs = { 1, 1 },
    .attrs = trilu_fields,
    .attrs_size = sizeof(trilu_attrs),
    .infer = trilu_infer,
    .eval = trilu_eval,
    .cost = pare_op_no_cost,
};
