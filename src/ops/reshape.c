/* The same numbers under another shape: Reshape Flatten Squeeze Unsqueeze Identity. */
#include "ops/attrs.h"
#include "ops/walk.h"

#include <string.h>

static pare_status copy_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    size_t bytes = pare_tensor_bytes(&in[0]);
    if (bytes) memcpy(out[0].data, in[0].data, bytes);
    return PARE_OK;
}

#define VIEW(ID, NAME, SUMMARY, SINCE, LEAST, MOST, FIELDS, SIZE) \
    const pare_op pare_op_##ID = {                                \
        .name = NAME,                                             \
        .summary = SUMMARY,                                       \
        .since = SINCE,                                           \
        .inputs = { LEAST, MOST },                                \
        .outputs = { 1, 1 },                                      \
        .attrs = FIELDS,                                          \
        .attrs_size = SIZE,                                       \
        .infer = ID##_infer,                                      \
        .eval = copy_eval,                                        \
        .cost = pare_op_no_cost,                                  \
        .view = true,                                             \
    };

/* --- Identity --- */

static pare_status identity_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    out[0] = in[0].type;
    return PARE_OK;
}
VIEW(identity, "Identity", "its input", 14, 1, 1, NULL, 0)

/* --- Reshape: 0 copies the input's dimension (unless allowzero), one -1 takes what is left --- */

static const pare_field reshape_fields[] = {
    PARE_FLAG(pare_reshape_attrs, allowzero, 0, "0 is an empty dimension instead of a copied one"),
    PARE_FIELDS_END,
};

static pare_status reshape_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_reshape_attrs *a = n->attrs;
    int64_t want[PARE_MAX_RANK], count = pare_numel(in[0].type.rank, in[0].type.dim);
    int rank, open = -1;
    char text[PARE_TYPE_TEXT];
    PARE_TRY(pare_op_known_ints(&in[1], "the new shape", want, PARE_MAX_RANK, &rank));
    for (int d = 0; d < rank; d++) {
        if (want[d] == 0 && !a->allowzero) {
            if (d >= in[0].type.rank)
                return pare_fail(PARE_EFORMAT,
                                 "the new shape copies dimension %d of an input of rank %d", d,
                                 in[0].type.rank);
            want[d] = in[0].type.dim[d];
        } else if (want[d] == -1) {
            if (open >= 0)
                return pare_fail(PARE_EFORMAT, "the new shape has a -1 at %d and at %d", open, d);
            open = d;
        } else if (want[d] < 0)
            return pare_fail(PARE_EFORMAT, "the new shape has the dimension %lld",
                             (long long)want[d]);
    }
    if (open >= 0) want[open] = 1;
    int64_t got = pare_numel(rank, want);
    if (got < 0) return pare_fail(PARE_EFORMAT, "the new shape holds more than 2^63 elements");
    if (open >= 0) {
        if (got == 0 || count % got)
            return pare_fail(PARE_EFORMAT, "%s cannot be cut into pieces of %lld",
                             pare_type_text(&in[0].type, text, sizeof text), (long long)got);
        want[open] = count / got;
    } else if (got != count)
        return pare_fail(PARE_EFORMAT, "the new shape holds %lld elements, the input %s %lld",
                         (long long)got, pare_type_text(&in[0].type, text, sizeof text),
                         (long long)count);
    out[0].dtype = in[0].type.dtype;
    out[0].rank = rank;
    memcpy(out[0].dim, want, (size_t)rank * sizeof *want);
    return PARE_OK;
}
VIEW(reshape, "Reshape", "another shape of as many elements", 14, 2, 2, reshape_fields,
     sizeof(pare_reshape_attrs))

/* --- Flatten: two dimensions, cut before `axis` --- */

static const pare_field flatten_fields[] = {
    PARE_INT(pare_axis_attrs, axis, 1, -PARE_MAX_RANK, PARE_MAX_RANK, "",
             "first dimension of the second part"),
    PARE_FIELDS_END,
};

static pare_status flatten_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_axis_attrs *a = n->attrs;
    int rank = in[0].type.rank, axis = rank;
    if (a->axis != rank)
        PARE_TRY(pare_op_axis(a->axis, rank, &axis)); /* here the rank itself is legal, too */
    out[0].dtype = in[0].type.dtype;
    out[0].rank = 2;
    out[0].dim[0] = pare_numel(axis, in[0].type.dim);
    out[0].dim[1] = pare_numel(rank - axis, in[0].type.dim + axis);
    return PARE_OK;
}
VIEW(flatten, "Flatten", "a matrix of all elements", 13, 1, 1, flatten_fields,
     sizeof(pare_axis_attrs))

/* --- Squeeze, Unsqueeze --- */

/* The axes of input 1 within `rank` as a bit mask. */
static pare_status axes_mask(const pare_arg *axes, int rank, unsigned *mask)
{
    int64_t v[PARE_MAX_RANK];
    int count, axis;
    PARE_TRY(pare_op_known_ints(axes, "axes", v, PARE_MAX_RANK, &count));
    *mask = 0;
    for (int i = 0; i < count; i++) {
        PARE_TRY(pare_op_axis(v[i], rank, &axis));
        if (*mask & 1u << axis) return pare_fail(PARE_EFORMAT, "axis %d is named twice", axis);
        *mask |= 1u << axis;
    }
    return PARE_OK;
}

static pare_status squeeze_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_type *x = &in[0].type;
    unsigned mask = 0;
    if (pare_arg_given(n, in, 1))
        PARE_TRY(axes_mask(&in[1], x->rank, &mask));
    else
        for (int d = 0; d < x->rank; d++)
            if (x->dim[d] == 1) mask |= 1u << d;
    out[0].dtype = x->dtype;
    out[0].rank = 0;
    for (int d = 0; d < x->rank; d++) {
        if (!(mask & 1u << d))
            out[0].dim[out[0].rank++] = x->dim[d];
        else if (x->dim[d] != 1)
            return pare_fail(PARE_EFORMAT, "axis %d to be removed is %lld instead of 1", d,
                             (long long)x->dim[d]);
    }
    return PARE_OK;
}
VIEW(squeeze, "Squeeze", "drops dimensions of 1", 13, 1, 2, NULL, 0)

static pare_status unsqueeze_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_type *x = &in[0].type;
    int64_t count = pare_numel(in[1].type.rank, in[1].type.dim);
    if (count > PARE_MAX_RANK - x->rank)
        return pare_fail(PARE_EUNSUPPORTED, "%lld more dimensions than %d are more than %d",
                         (long long)count, x->rank, PARE_MAX_RANK);
    unsigned mask;
    int rank = x->rank + (int)count;
    PARE_TRY(axes_mask(&in[1], rank, &mask));
    out[0].dtype = x->dtype;
    out[0].rank = rank;
    for (int d = 0, from = 0; d < rank; d++) out[0].dim[d] = mask & 1u << d ? 1 : x->dim[from++];
    return PARE_OK;
}
VIEW(unsqueeze, "Unsqueeze", "inserts dimensions of 1", 13, 2, 2, NULL, 0)
