/* Repeating: Expand (dimensions of 1, as broadcasting does) and Tile (the whole tensor). */
#include "ops/walk.h"

#include <string.h>

static pare_status expand_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    pare_type t[2] = { in[0].type, { .dtype = in[0].type.dtype } };
    PARE_TRY(pare_op_known_ints(&in[1], "the shape", t[1].dim, PARE_MAX_RANK, &t[1].rank));
    for (int d = 0; d < t[1].rank; d++)
        if (t[1].dim[d] < 0)
            return pare_fail(PARE_EFORMAT, "dimension %d of the shape is %lld", d,
                             (long long)t[1].dim[d]);
    out[0].dtype = in[0].type.dtype;
    return pare_op_broadcast(t, 2, &out[0]);
}

static pare_status expand_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int64_t own[PARE_MAX_RANK], stride[PARE_MAX_RANK];
    int missing = out[0].rank - in[0].rank;
    pare_strides(in[0].rank, in[0].dim, own);
    for (int d = 0; d < out[0].rank; d++) {
        int at = d - missing;
        stride[d] = at < 0 || in[0].dim[at] == 1 ? 0 : own[at];
    }
    pare_copy_strided(out[0].rank, out[0].dim, stride, pare_dtype_size(in[0].dtype), in[0].data,
                      out[0].data);
    return PARE_OK;
}

const pare_op pare_op_expand = {
    .name = "Expand",
    .summary = "broadcasts to a shape",
    .since = 13,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .infer = expand_infer,
    .eval = expand_eval,
    .cost = pare_op_no_cost,
};

static pare_status tile_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    int64_t repeats[PARE_MAX_RANK];
    int count;
    PARE_TRY(pare_op_known_ints(&in[1], "repeats", repeats, PARE_MAX_RANK, &count));
    if (count != in[0].type.rank)
        return pare_fail(PARE_EFORMAT, "%d repeats for a rank of %d", count, in[0].type.rank);
    out[0] = in[0].type;
    for (int d = 0; d < count; d++)
        if (repeats[d] < 0 || !pare_mul_i64(out[0].dim[d], repeats[d], &out[0].dim[d]))
            return pare_fail(PARE_EFORMAT, "dimension %d of %lld cannot be repeated %lld times", d,
                             (long long)in[0].type.dim[d], (long long)repeats[d]);
    return PARE_OK;
}

static pare_status tile_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    /* Each dimension becomes two: the repeats, which stay where they are, and the input's own. */
    int64_t own[PARE_MAX_RANK], dim[2 * PARE_MAX_RANK], stride[2 * PARE_MAX_RANK];
    int rank = in[0].rank;
    if (pare_tensor_count(&out[0]) == 0) return PARE_OK;
    pare_strides(rank, in[0].dim, own);
    for (int d = 0; d < rank; d++) {
        dim[2 * d] = out[0].dim[d] / in[0].dim[d];
        stride[2 * d] = 0;
        dim[2 * d + 1] = in[0].dim[d];
        stride[2 * d + 1] = own[d];
    }
    pare_copy_strided(2 * rank, dim, stride, pare_dtype_size(in[0].dtype), in[0].data, out[0].data);
    return PARE_OK;
}

const pare_op pare_op_tile = {
    .name = "Tile",
    .summary = "repeats the tensor",
    .since = 13,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .infer = tile_infer,
    .eval = tile_eval,
    .cost = pare_op_no_cost,
};
