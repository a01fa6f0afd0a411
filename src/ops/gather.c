/* Taking elements by index: Gather (whole slices), GatherElements (one by one), GatherND (by tuples
 * of indices). Negative indices count from the end; one out of range is an error of the data. */
#include "ops/attrs.h"
#include "ops/walk.h"

#include <string.h>

static const pare_field axis_fields[] = {
    PARE_INT(pare_axis_attrs, axis, 0, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "dimension that the indices count along"),
    PARE_FIELDS_END,
};

static pare_status index_at(const pare_tensor *indices, int64_t i, int64_t dim, int64_t *out)
{
    int64_t v = pare_tensor_get_i64(indices, i);
    if (v < -dim || v >= dim)
        return pare_fail(PARE_EFORMAT, "index %lld is not within %lld elements", (long long)v,
                         (long long)dim);
    *out = v < 0 ? v + dim : v;
    return PARE_OK;
}

static pare_status rank_fits(int rank)
{
    if (rank > PARE_MAX_RANK)
        return pare_fail(PARE_EUNSUPPORTED, "the output's rank %d is more than %d", rank,
                         PARE_MAX_RANK);
    return PARE_OK;
}

/* --- Gather --- */

static pare_status gather_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_axis_attrs *a = n->attrs;
    const pare_type *x = &in[0].type, *index = &in[1].type;
    int axis, k = 0;
    PARE_TRY(pare_op_dtype("Gather with indices", index->dtype, pare_types_index));
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    PARE_TRY(rank_fits(x->rank - 1 + index->rank));
    out[0].dtype = x->dtype;
    for (int d = 0; d < axis; d++) out[0].dim[k++] = x->dim[d];
    for (int d = 0; d < index->rank; d++) out[0].dim[k++] = index->dim[d];
    for (int d = axis + 1; d < x->rank; d++) out[0].dim[k++] = x->dim[d];
    out[0].rank = k;
    return PARE_OK;
}

static pare_status gather_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_axis_attrs *a = n->attrs;
    const pare_tensor *x = &in[0];
    int axis;
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    if (pare_tensor_count(&out[0]) == 0) return PARE_OK;
    int64_t outer = pare_numel(axis, x->dim), dim = x->dim[axis], count = pare_tensor_count(&in[1]);
    size_t slice =
        (size_t)pare_numel(x->rank - axis - 1, x->dim + axis + 1) * pare_dtype_size(x->dtype);
    const char *from = x->data;
    char *to = out[0].data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < count; i++, to += slice) {
            int64_t at = 0;
            PARE_TRY(index_at(&in[1], i, dim, &at));
            memcpy(to, from + (size_t)(o * dim + at) * slice, slice);
        }
    return PARE_OK;
}

const pare_op pare_op_gather = {
    .name = "Gather",
    .summary = "slices by index",
    .since = 13,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .attrs = axis_fields,
    .attrs_size = sizeof(pare_axis_attrs),
    .infer = gather_infer,
    .eval = gather_eval,
    .cost = pare_op_no_cost,
};

/* --- GatherElements --- */

static pare_status elements_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_axis_attrs *a = n->attrs;
    const pare_type *x = &in[0].type, *index = &in[1].type;
    int axis;
    PARE_TRY(pare_op_dtype("GatherElements with indices", index->dtype, pare_types_index));
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    if (index->rank != x->rank)
        return pare_fail(PARE_EFORMAT, "the indices have rank %d, the input %d", index->rank,
                         x->rank);
    for (int d = 0; d < x->rank; d++)
        if (d != axis && index->dim[d] > x->dim[d])
            return pare_fail(PARE_EFORMAT, "dimension %d of the indices is %lld, of the input %lld",
                             d, (long long)index->dim[d], (long long)x->dim[d]);
    out[0] = *index;
    out[0].dtype = x->dtype;
    return PARE_OK;
}

static pare_status elements_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const pare_axis_attrs *a = n->attrs;
    const pare_tensor *x = &in[0], *index = &in[1];
    int axis;
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    int64_t count = pare_tensor_count(index), stride[PARE_MAX_RANK], where[PARE_MAX_RANK] = { 0 };
    size_t element = pare_dtype_size(x->dtype);
    pare_strides(x->rank, x->dim, stride);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = 0;
        PARE_TRY(index_at(index, i, x->dim[axis], &at));
        at *= stride[axis];
        for (int d = 0; d < x->rank; d++)
            if (d != axis) at += where[d] * stride[d];
        memcpy((char *)out[0].data + (size_t)i * element,
               (const char *)x->data + (size_t)at * element, element);
        for (int d = x->rank - 1; d >= 0; d--) {
            if (++where[d] < index->dim[d]) break;
            where[d] = 0;
        }
    }
    return PARE_OK;
}

const pare_op pare_op_gather_elements = {
    .name = "GatherElements",
    .summary = "elements by index along one dimension",
    .since = 13,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .attrs = axis_fields,
    .attrs_size = sizeof(pare_axis_attrs),
    .infer = elements_infer,
    .eval = elements_eval,
    .cost = pare_op_no_cost,
};

/* --- GatherND: x [batch..., s..., rest...], indices [batch..., q..., k] -> [batch..., q...,
 * rest...] --- */

typedef struct nd_attrs {
    int64_t batch_dims;
} nd_attrs;
static const pare_field nd_fields[] = {
    PARE_INT(nd_attrs, batch_dims, 0, 0, PARE_MAX_RANK - 1, "",
             "leading dimensions that both inputs share"),
    PARE_FIELDS_END,
};

static pare_status nd_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const nd_attrs *a = n->attrs;
    const pare_type *x = &in[0].type, *index = &in[1].type;
    int batch = (int)a->batch_dims, k = 0;
    PARE_TRY(pare_op_dtype("GatherND with indices", index->dtype, pare_types_index));
    if (index->rank < 1 || batch >= x->rank || batch >= index->rank)
        return pare_fail(PARE_EFORMAT, "batch_dims is %d, the ranks are %d and %d", batch, x->rank,
                         index->rank);
    int64_t tuple = index->dim[index->rank - 1];
    if (tuple > x->rank - batch)
        return pare_fail(PARE_EFORMAT, "tuples of %lld indices for %d dimensions", (long long)tuple,
                         x->rank - batch);
    PARE_TRY(rank_fits(index->rank - 1 + x->rank - batch - (int)tuple));
    for (int d = 0; d < batch; d++)
        if (x->dim[d] != index->dim[d])
            return pare_fail(PARE_EFORMAT, "batch dimension %d is %lld and %lld", d,
                             (long long)x->dim[d], (long long)index->dim[d]);
    out[0].dtype = x->dtype;
    for (int d = 0; d < index->rank - 1; d++) out[0].dim[k++] = index->dim[d];
    for (int d = batch + (int)tuple; d < x->rank; d++) out[0].dim[k++] = x->dim[d];
    out[0].rank = k;
    return PARE_OK;
}

static pare_status nd_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const nd_attrs *a = n->attrs;
    const pare_tensor *x = &in[0], *index = &in[1];
    if (pare_tensor_count(&out[0]) == 0) return PARE_OK;
    int batch = (int)a->batch_dims, tuple = (int)index->dim[index->rank - 1], first = batch + tuple;
    int64_t batches = pare_numel(batch, x->dim),
            each = pare_numel(index->rank - 1 - batch, index->dim + batch), stride[PARE_MAX_RANK];
    size_t slice = (size_t)pare_numel(x->rank - first, x->dim + first) * pare_dtype_size(x->dtype);
    pare_strides(x->rank, x->dim, stride);
    int64_t rest = pare_numel(x->rank - first, x->dim + first),
            whole = pare_numel(x->rank - batch, x->dim + batch);
    char *to = out[0].data;
    for (int64_t b = 0; b < batches; b++)
        for (int64_t i = 0; i < each; i++, to += slice) {
            int64_t at = 0, v = 0;
            for (int t = 0; t < tuple; t++) {
                PARE_TRY(index_at(index, (b * each + i) * tuple + t, x->dim[batch + t], &v));
                at += v * stride[batch + t];
            }
            memcpy(to, (const char *)x->data + (size_t)((b * whole + at) / rest) * slice, slice);
        }
    return PARE_OK;
}

const pare_op pare_op_gather_nd = {
    .name = "GatherND",
    .summary = "slices by tuples of indices",
    .since = 13,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .attrs = nd_fields,
    .attrs_size = sizeof(nd_attrs),
    .infer = nd_infer,
    .eval = nd_eval,
    .cost = pare_op_no_cost,
};
