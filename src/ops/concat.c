/* Concat and its inverse Split. */
#include "ops/attrs.h"
#include "ops/walk.h"

#include <string.h>

/* Copies block `i` of each of `outer` rows between a whole tensor and a part that starts at `at`
 * along the axis. */
typedef struct cut {
    int64_t outer;
    size_t whole, inner; /* bytes of a row of the whole; bytes of one step along the axis */
} cut;

static cut cut_at(const pare_tensor *whole, int axis)
{
    size_t inner = (size_t)pare_numel(whole->rank - axis - 1, whole->dim + axis + 1) *
                   pare_dtype_size(whole->dtype);
    return (cut){ pare_numel(axis, whole->dim), (size_t)whole->dim[axis] * inner, inner };
}

/* --- Concat --- */

static const pare_field concat_fields[] = {
    PARE_INT(pare_axis_attrs, axis, PARE_INT_UNSET, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "dimension along which to join; required"),
    PARE_FIELDS_END,
};

static pare_status concat_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_axis_attrs *a = n->attrs;
    int axis;
    if (a->axis == PARE_INT_UNSET) return pare_fail(PARE_EFORMAT, "the attribute axis is missing");
    PARE_TRY(pare_op_axis(a->axis, in[0].type.rank, &axis));
    PARE_TRY(pare_op_same_dtype(n, in, 0, n->n_in));
    out[0] = in[0].type;
    for (uint32_t i = 1; i < n->n_in; i++) {
        const pare_type *t = &in[i].type;
        if (t->rank != out[0].rank)
            return pare_fail(PARE_EFORMAT, "input %u has rank %d, input 0 %d", i, t->rank,
                             out[0].rank);
        for (int d = 0; d < t->rank; d++)
            if (d != axis && t->dim[d] != out[0].dim[d])
                return pare_fail(PARE_EFORMAT, "dimension %d of input %u is %lld, of input 0 %lld",
                                 d, i, (long long)t->dim[d], (long long)out[0].dim[d]);
        if (!pare_add_i64(out[0].dim[axis], t->dim[axis], &out[0].dim[axis]))
            return pare_fail(PARE_ELIMIT, "the inputs together are too large");
    }
    return PARE_OK;
}

static pare_status concat_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_axis_attrs *a = n->attrs;
    int axis;
    PARE_TRY(pare_op_axis(a->axis, out[0].rank, &axis));
    if (pare_tensor_count(&out[0]) == 0) return PARE_OK;
    cut c = cut_at(&out[0], axis);
    char *to = out[0].data;
    for (uint32_t i = 0; i < n->n_in; i++) {
        size_t part = (size_t)in[i].dim[axis] * c.inner;
        const char *from = in[i].data;
        for (int64_t o = 0; part && o < c.outer; o++)
            memcpy(to + (size_t)o * c.whole, from + (size_t)o * part, part);
        to += part;
    }
    return PARE_OK;
}

const pare_op pare_op_concat = {
    .name = "Concat",
    .summary = "joins along a dimension",
    .since = 13,
    .inputs = { 1, PARE_MAX_IN },
    .outputs = { 1, 1 },
    .attrs = concat_fields,
    .attrs_size = sizeof(pare_axis_attrs),
    .infer = concat_infer,
    .eval = concat_eval,
    .cost = pare_op_no_cost,
};

/* --- Split: sizes from input 1, else equal parts, the last one smaller if num_outputs says so ---
 */

static const pare_field split_fields[] = {
    PARE_INT(pare_axis_attrs, axis, 0, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "dimension along which to cut"),
    PARE_INT(pare_axis_attrs, num_outputs, PARE_INT_UNSET, 1, PARE_MAX_OUT, "",
             "number of parts, when their sizes are not given"),
    PARE_FIELDS_END,
};

static pare_status split_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_axis_attrs *a = n->attrs;
    int axis, given = 0;
    int64_t size[PARE_MAX_OUT], sum = 0;
    PARE_TRY(pare_op_axis(a->axis, in[0].type.rank, &axis));
    int64_t whole = in[0].type.dim[axis];
    if (a->num_outputs != PARE_INT_UNSET && a->num_outputs != n->n_out)
        return pare_fail(PARE_EFORMAT, "num_outputs is %lld, but there are %u outputs",
                         (long long)a->num_outputs, n->n_out);
    if (pare_arg_given(n, in, 1)) {
        PARE_TRY(pare_op_known_ints(&in[1], "split", size, PARE_MAX_OUT, &given));
        if ((uint32_t)given != n->n_out)
            return pare_fail(PARE_EFORMAT, "split has %d sizes for %u outputs", given, n->n_out);
    } else {
        if (a->num_outputs == PARE_INT_UNSET && whole % n->n_out)
            return pare_fail(PARE_EFORMAT, "%lld elements do not split into %u equal parts",
                             (long long)whole, n->n_out);
        int64_t each = whole / n->n_out + (whole % n->n_out != 0), left = whole;
        for (uint32_t i = 0; i < n->n_out; i++) {
            size[i] = left < each ? left : each;
            left -= size[i];
        }
    }
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (size[i] < 0 || !pare_add_i64(sum, size[i], &sum))
            return pare_fail(PARE_EFORMAT, "split has the size %lld", (long long)size[i]);
        out[i] = in[0].type;
        out[i].dim[axis] = size[i];
    }
    if (sum != whole)
        return pare_fail(PARE_EFORMAT, "the parts have %lld elements, dimension %d has %lld",
                         (long long)sum, axis, (long long)whole);
    return PARE_OK;
}

static pare_status split_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_axis_attrs *a = n->attrs;
    int axis;
    PARE_TRY(pare_op_axis(a->axis, in[0].rank, &axis));
    if (pare_tensor_count(&in[0]) == 0) return PARE_OK;
    cut c = cut_at(&in[0], axis);
    const char *from = in[0].data;
    for (uint32_t i = 0; i < n->n_out; i++) {
        size_t part = (size_t)out[i].dim[axis] * c.inner;
        char *to = out[i].data;
        for (int64_t o = 0; part && o < c.outer; o++)
            memcpy(to + (size_t)o * part, from + (size_t)o * c.whole, part);
        from += part;
    }
    return PARE_OK;
}

const pare_op pare_op_split = {
    .name = "Split",
    .summary = "cuts along a dimension",
    .since = 13,
    .inputs = { 1, 2 },
    .outputs = { 1, PARE_MAX_OUT },
    .attrs = split_fields,
    .attrs_size = sizeof(pare_axis_attrs),
    .infer = split_infer,
    .eval = split_eval,
    .cost = pare_op_no_cost,
};
