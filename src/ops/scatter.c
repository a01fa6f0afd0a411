/* Writing elements by index into a copy of the input: ScatterElements and ScatterND.
 *
 * Updates apply in order; of several to one place without a reduction the last remains. Negative
 * indices count from the end; one out of range is an error of the data. */
#include "ops/walk.h"

#include <string.h>

enum { NONE, ADD, MUL, MAX, MIN };
#define REDUCTIONS "none|add|mul|max|min"

typedef struct elements_attrs {
    int64_t axis;
    int reduction;
} elements_attrs;
static const pare_field elements_fields[] = {
    PARE_INT(elements_attrs, axis, 0, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "",
             "dimension that the indices count along"),
    PARE_ENUM(elements_attrs, reduction, NONE, REDUCTIONS, "what an update does to what was there"),
    PARE_FIELDS_END,
};

typedef struct nd_attrs {
    int reduction;
} nd_attrs;
static const pare_field nd_fields[] = {
    PARE_ENUM(nd_attrs, reduction, NONE, REDUCTIONS, "what an update does to what was there"),
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

/* y[at] becomes its reduction with u[from]. */
static void update(int reduction, pare_tensor *y, int64_t at, const pare_tensor *u, int64_t from)
{
    size_t size = pare_dtype_size(y->dtype);
    bool larger;
    if (pare_dtype_is_float(y->dtype)) {
        double a = pare_tensor_get_f64(y, at), b = pare_tensor_get_f64(u, from);
        if (reduction == ADD || reduction == MUL) {
            pare_put_f64(y, at, reduction == ADD ? a + b : a * b);
            return;
        }
        larger = b > a;
        if (a == b || a != a) return;
    } else {
        int64_t a = pare_tensor_get_i64(y, at), b = pare_tensor_get_i64(u, from);
        if (reduction == ADD || reduction == MUL) {
            pare_put_i64(y, at,
                         (int64_t)(reduction == ADD ? (uint64_t)a + (uint64_t)b
                                                    : (uint64_t)a * (uint64_t)b));
            return;
        }
        larger = y->dtype == PARE_U64 ? (uint64_t)b > (uint64_t)a : b > a;
        if (a == b) return;
    }
    if (larger == (reduction == MAX))
        memcpy((char *)y->data + (size_t)at * size, (const char *)u->data + (size_t)from * size,
               size);
}

static pare_status types(const pare_node *n, const pare_arg *in, int reduction)
{
    PARE_TRY(pare_op_dtype(n->op->name, in[0].type.dtype,
                           reduction == NONE ? pare_types_all : pare_types_numbers));
    PARE_TRY(pare_op_dtype("scattering with indices", in[1].type.dtype, pare_types_index));
    if (in[2].type.dtype != in[0].type.dtype)
        return pare_fail(PARE_EFORMAT, "the updates are %s, the input %s",
                         pare_dtype_name(in[2].type.dtype), pare_dtype_name(in[0].type.dtype));
    return PARE_OK;
}

/* --- ScatterElements --- */

static pare_status elements_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const elements_attrs *a = n->attrs;
    const pare_type *x = &in[0].type, *index = &in[1].type;
    int axis;
    PARE_TRY(types(n, in, a->reduction));
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    char text[2][PARE_TYPE_TEXT];
    if (!pare_same_shape(index, &in[2].type))
        return pare_fail(PARE_EFORMAT, "indices %s and updates %s differ in shape",
                         pare_type_text(index, text[0], PARE_TYPE_TEXT),
                         pare_type_text(&in[2].type, text[1], PARE_TYPE_TEXT));
    if (index->rank != x->rank)
        return pare_fail(PARE_EFORMAT, "the indices have rank %d, the input %d", index->rank,
                         x->rank);
    for (int d = 0; d < x->rank; d++)
        if (d != axis && index->dim[d] > x->dim[d])
            return pare_fail(PARE_EFORMAT, "dimension %d of the indices is %lld, of the input %lld",
                             d, (long long)index->dim[d], (long long)x->dim[d]);
    out[0] = *x;
    return PARE_OK;
}

static pare_status elements_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const elements_attrs *a = n->attrs;
    const pare_tensor *x = &in[0], *index = &in[1];
    int axis;
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    int64_t count = pare_tensor_count(index), stride[PARE_MAX_RANK], where[PARE_MAX_RANK] = { 0 };
    size_t bytes = pare_tensor_bytes(x), size = pare_dtype_size(x->dtype);
    if (bytes) memcpy(out[0].data, x->data, bytes);
    pare_strides(x->rank, x->dim, stride);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = 0;
        PARE_TRY(index_at(index, i, x->dim[axis], &at));
        at *= stride[axis];
        for (int d = 0; d < x->rank; d++)
            if (d != axis) at += where[d] * stride[d];
        if (a->reduction == NONE)
            memcpy((char *)out[0].data + (size_t)at * size,
                   (const char *)in[2].data + (size_t)i * size, size);
        else
            update(a->reduction, &out[0], at, &in[2], i);
        for (int d = x->rank - 1; d >= 0; d--) {
            if (++where[d] < index->dim[d]) break;
            where[d] = 0;
        }
    }
    return PARE_OK;
}

const pare_op pare_op_scatter_elements = {
    .name = "ScatterElements",
    .summary = "writes elements by index along one dimension",
    .since = 16,
    .inputs = { 3, 3 },
    .outputs = { 1, 1 },
    .attrs = elements_fields,
    .attrs_size = sizeof(elements_attrs),
    .infer = elements_infer,
    .eval = elements_eval,
    .cost = pare_op_no_cost,
};

/* --- ScatterND: indices [q..., k], updates [q..., rest...] into x [s1 ... sk, rest...] --- */

static pare_status nd_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const nd_attrs *a = n->attrs;
    const pare_type *x = &in[0].type, *index = &in[1].type, *u = &in[2].type;
    PARE_TRY(types(n, in, a->reduction));
    if (index->rank < 1)
        return pare_fail(PARE_EFORMAT, "the indices have rank 0 instead of at least 1");
    int64_t tuple = index->dim[index->rank - 1];
    if (tuple > x->rank)
        return pare_fail(PARE_EFORMAT, "tuples of %lld indices for %d dimensions", (long long)tuple,
                         x->rank);
    int q = index->rank - 1;
    if (u->rank != q + x->rank - (int)tuple)
        return pare_fail(PARE_EFORMAT, "the updates have rank %d instead of %d", u->rank,
                         q + x->rank - (int)tuple);
    for (int d = 0; d < u->rank; d++) {
        int64_t want = d < q ? index->dim[d] : x->dim[(int)tuple + d - q];
        if (u->dim[d] != want)
            return pare_fail(PARE_EFORMAT, "dimension %d of the updates is %lld instead of %lld", d,
                             (long long)u->dim[d], (long long)want);
    }
    out[0] = *x;
    return PARE_OK;
}

static pare_status nd_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const nd_attrs *a = n->attrs;
    const pare_tensor *x = &in[0], *index = &in[1];
    size_t bytes = pare_tensor_bytes(x), size = pare_dtype_size(x->dtype);
    if (bytes) memcpy(out[0].data, x->data, bytes);
    if (pare_tensor_count(&in[2]) == 0) return PARE_OK;
    int tuple = (int)index->dim[index->rank - 1];
    int64_t count = pare_numel(index->rank - 1, index->dim),
            slice = pare_numel(x->rank - tuple, x->dim + tuple), stride[PARE_MAX_RANK];
    pare_strides(x->rank, x->dim, stride);
    for (int64_t i = 0; i < count; i++) {
        int64_t at = 0, v = 0;
        for (int t = 0; t < tuple; t++) {
            PARE_TRY(index_at(index, i * tuple + t, x->dim[t], &v));
            at += v * stride[t];
        }
        if (a->reduction == NONE) {
            memcpy((char *)out[0].data + (size_t)at * size,
                   (const char *)in[2].data + (size_t)(i * slice) * size, (size_t)slice * size);
            continue;
        }
        for (int64_t k = 0; k < slice; k++)
            update(a->reduction, &out[0], at + k, &in[2], i * slice + k);
    }
    return PARE_OK;
}

const pare_op pare_op_scatter_nd = {
    .name = "ScatterND",
    .summary = "writes slices by tuples of indices",
    .since = 16,
    .inputs = { 3, 3 },
    .outputs = { 1, 1 },
    .attrs = nd_fields,
    .attrs_size = sizeof(nd_attrs),
    .infer = nd_infer,
    .eval = nd_eval,
    .cost = pare_op_no_cost,
};
