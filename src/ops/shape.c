/* Shape and Size: of their input only the type is needed, its data may be absent. */
#include "ops/walk.h"

typedef struct shape_attrs {
    int64_t start, end;
} shape_attrs;
static const pare_field fields[] = {
    PARE_INT(shape_attrs, start, 0, INT64_MIN, INT64_MAX, "", "first dimension"),
    PARE_INT(shape_attrs, end, PARE_INT_UNSET, INT64_MIN, INT64_MAX, "",
             "dimension after the last; default: all"),
    PARE_FIELDS_END,
};

static int limit(int64_t v, int rank)
{
    if (v < 0) v += rank;
    return v < 0 ? 0 : v > rank ? rank : (int)v;
}

static void range(const shape_attrs *a, int rank, int *start, int *end)
{
    *start = limit(a->start, rank);
    *end = a->end == PARE_INT_UNSET ? rank : limit(a->end, rank);
    if (*end < *start) *end = *start;
}

static pare_status shape_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    int start, end;
    range(n->attrs, in[0].type.rank, &start, &end);
    out[0] = (pare_type){ PARE_I64, 1, { end - start } };
    return PARE_OK;
}

static pare_status shape_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int start, end;
    range(n->attrs, in[0].rank, &start, &end);
    for (int d = start; d < end; d++) ((int64_t *)out[0].data)[d - start] = in[0].dim[d];
    return PARE_OK;
}

const pare_op pare_op_shape = {
    .name = "Shape",
    .summary = "dimensions as numbers",
    .since = 15,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(shape_attrs),
    .infer = shape_infer,
    .eval = shape_eval,
    .cost = pare_op_no_cost,
};

static pare_status size_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    out[0] = (pare_type){ .dtype = PARE_I64 };
    return PARE_OK;
}

static pare_status size_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    *(int64_t *)out[0].data = pare_tensor_count(&in[0]);
    return PARE_OK;
}

const pare_op pare_op_size = {
    .name = "Size",
    .summary = "number of elements",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .infer = size_infer,
    .eval = size_eval,
    .cost = pare_op_no_cost,
};
