/* Relu: y = max(x, 0). Any shape; NaN stays NaN. */
#include "ops/op.h"

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype ok[] = { PARE_F32, PARE_F64, PARE_I32,      PARE_I64,
                                     PARE_I8,  PARE_I16, PARE_UNDEFINED };
    PARE_TRY(pare_op_dtype("Relu", in[0].type.dtype, ok));
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int64_t count = pare_tensor_count(&in[0]);
#define CASE(DTYPE, T)                                                     \
    case DTYPE: {                                                          \
        const T *x = in[0].data;                                           \
        T *y = out[0].data;                                                \
        for (int64_t i = 0; i < count; i++) y[i] = x[i] < 0 ? (T)0 : x[i]; \
        break;                                                             \
    }
    switch (in[0].dtype) {
        CASE(PARE_F32, float)
        CASE(PARE_F64, double)
        CASE(PARE_I32, int32_t)
        CASE(PARE_I64, int64_t)
        CASE(PARE_I8, int8_t)
        CASE(PARE_I16, int16_t)
    default: break;
    }
#undef CASE
    return PARE_OK;
}

const pare_op pare_op_relu = {
    .name = "Relu",
    .summary = "rectifier",
    .since = 14,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .infer = infer,
    .eval = eval,
};
