/* Transpose: dimensions in another order. */
#include "ops/attrs.h"
#include "ops/walk.h"

static const pare_field fields[] = {
    PARE_INTS(pare_transpose_attrs, perm, 0, PARE_MAX_RANK - 1, "",
              "the input's dimension for each of the output; default: reversed"),
    PARE_FIELDS_END,
};

static int from(const pare_transpose_attrs *a, int rank, int d)
{
    return a->perm.v ? (int)a->perm.v[d] : rank - 1 - d;
}

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_transpose_attrs *a = n->attrs;
    int rank = in[0].type.rank;
    unsigned seen = 0;
    if (a->perm.v && a->perm.n != (size_t)rank)
        return pare_fail(PARE_EFORMAT, "perm has %zu entries for an input of rank %d", a->perm.n,
                         rank);
    out[0].dtype = in[0].type.dtype;
    out[0].rank = rank;
    for (int d = 0; d < rank; d++) {
        int f = from(a, rank, d);
        if (f >= rank || seen & 1u << f)
            return pare_fail(PARE_EFORMAT, "perm has %d at %d: not a permutation of %d dimensions",
                             f, d, rank);
        seen |= 1u << f;
        out[0].dim[d] = in[0].type.dim[f];
    }
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int rank = in[0].rank;
    int64_t stride[PARE_MAX_RANK], of[PARE_MAX_RANK];
    pare_strides(rank, in[0].dim, of);
    for (int d = 0; d < rank; d++) stride[d] = of[from(n->attrs, rank, d)];
    pare_copy_strided(rank, out[0].dim, stride, pare_dtype_size(in[0].dtype), in[0].data,
                      out[0].data);
    return PARE_OK;
}

const pare_op pare_op_transpose = {
    .name = "Transpose",
    .summary = "dimensions in another order",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(pare_transpose_attrs),
    .infer = infer,
    .eval = eval,
    .cost = pare_op_no_cost,
};
