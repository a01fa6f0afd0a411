/* Cast and CastLike: another element type; convert.c says how numbers change. */
#include "ops/attrs.h"
#include "ops/walk.h"

static const pare_field fields[] = {
    PARE_INT(pare_cast_attrs, to, 0, 0, 1000, "", "ONNX number of the new type; required"),
    PARE_FLAG(pare_cast_attrs, saturate, 1, "for float8 only"),
    PARE_FIELDS_END,
};
static const pare_field like_fields[] = {
    PARE_FLAG(pare_cast_attrs, saturate, 1, "for float8 only"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_cast_attrs *a = n->attrs;
    PARE_TRY(pare_op_dtype("Cast", in[0].type.dtype, pare_types_all));
    if (pare_dtype_size((pare_dtype)a->to) == 0)
        return pare_fail(PARE_EUNSUPPORTED, "Cast to element type %lld is not supported",
                         (long long)a->to);
    out[0] = in[0].type;
    out[0].dtype = (pare_dtype)a->to;
    return PARE_OK;
}

static pare_status like_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("CastLike", in[0].type.dtype, pare_types_all));
    PARE_TRY(pare_op_dtype("CastLike to the type", in[1].type.dtype, pare_types_all));
    out[0] = in[0].type;
    out[0].dtype = in[1].type.dtype;
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    pare_convert(&in[0], &out[0]);
    return PARE_OK;
}

const pare_op pare_op_cast = {
    .name = "Cast",
    .summary = "another element type",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(pare_cast_attrs),
    .infer = infer,
    .eval = eval,
    .cost = pare_op_no_cost,
};

const pare_op pare_op_cast_like = {
    .name = "CastLike",
    .summary = "the element type of another input",
    .since = 15,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .attrs = like_fields,
    .attrs_size = sizeof(pare_cast_attrs),
    .infer = like_infer,
    .eval = eval,
    .cost = pare_op_no_cost,
};
