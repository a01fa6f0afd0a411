/* Clip: min(max(x, low), high). The bounds are optional inputs of one number each; NaN stays NaN,
 * and where low is above high the result is high. */
#include "ops/walk.h"

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const char *const what[] = { "", "min", "max" };
    PARE_TRY(pare_op_dtype("Clip", in[0].type.dtype, pare_types_numbers));
    for (uint32_t i = 1; i < 3; i++) {
        if (!pare_arg_given(n, in, i)) continue;
        PARE_TRY(pare_op_scalar(&in[i], what[i]));
        if (in[i].type.dtype != in[0].type.dtype)
            return pare_fail(PARE_EFORMAT, "%s is %s, but the input is %s", what[i],
                             pare_dtype_name(in[i].type.dtype), pare_dtype_name(in[0].type.dtype));
    }
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int64_t count = pare_tensor_count(&in[0]);
    bool low = n->n_in > 1 && in[1].data, high = n->n_in > 2 && in[2].data;
#define CASE(DTYPE, T)                              \
    case DTYPE: {                                   \
        const T *x = in[0].data;                    \
        T *y = out[0].data;                         \
        T least = low ? *(const T *)in[1].data : 0; \
        T most = high ? *(const T *)in[2].data : 0; \
        for (int64_t i = 0; i < count; i++) {       \
            T v = x[i];                             \
            if (low && v < least) v = least;        \
            if (high && v > most) v = most;         \
            y[i] = v;                               \
        }                                           \
        break;                                      \
    }
    switch (in[0].dtype) {
        CASE(PARE_F32, float)
        CASE(PARE_F64, double)
        CASE(PARE_I8, int8_t)
        CASE(PARE_I16, int16_t)
        CASE(PARE_I32, int32_t)
        CASE(PARE_I64, int64_t)
        CASE(PARE_U8, uint8_t)
        CASE(PARE_U16, uint16_t)
        CASE(PARE_U32, uint32_t)
        CASE(PARE_U64, uint64_t)
    case PARE_F16: {
        const uint16_t *x = in[0].data;
        uint16_t *y = out[0].data;
        float least = low ? pare_half_to_float(*(const uint16_t *)in[1].data) : 0;
        float most = high ? pare_half_to_float(*(const uint16_t *)in[2].data) : 0;
        for (int64_t i = 0; i < count; i++) {
            float v = pare_half_to_float(x[i]);
            if (low && v < least) v = least;
            if (high && v > most) v = most;
            y[i] = pare_float_to_half(v);
        }
        break;
    }
    default: break;
    }
#undef CASE
    return PARE_OK;
}

const pare_op pare_op_clip = {
    .name = "Clip",
    .summary = "limits to a range",
    .since = 13,
    .inputs = { 1, 3 },
    .outputs = { 1, 1 },
    .infer = infer,
    .eval = eval,
};
