/* Making operators of one float in, one float out: used by functions.c and activations.c only.
 *
 * The expression is written once, in terms of x, with <tgmath.h>'s functions and casts to V: it is
 * compiled for float (float16 passes through it) and for double. */
#ifndef OPS_UNARY_H
#define OPS_UNARY_H

#include "ops/walk.h"

#include <math.h>
#include <tgmath.h>

#define UNARY_AS_IS(v) (v)
#define UNARY_CASE(DTYPE, T, VT, LOAD, STORE, CONSTANTS, EXPR) \
    case DTYPE: {                                              \
        typedef VT V;                                          \
        CONSTANTS                                              \
        const T *from = in[0].data;                            \
        T *to = out[0].data;                                   \
        for (int64_t i = 0; i < count; i++) {                  \
            const V x = LOAD(from[i]);                         \
            to[i] = (T)STORE(EXPR);                            \
        }                                                      \
        break;                                                 \
    }
#define UNARY_FLOAT_CASES(CONSTANTS, EXPR)                                          \
    UNARY_CASE(PARE_F32, float, float, UNARY_AS_IS, UNARY_AS_IS, CONSTANTS, EXPR)   \
    UNARY_CASE(PARE_F64, double, double, UNARY_AS_IS, UNARY_AS_IS, CONSTANTS, EXPR) \
    UNARY_CASE(PARE_F16, uint16_t, float, pare_half_to_float, pare_float_to_half, CONSTANTS, EXPR)
#define UNARY_EVAL(ID, CASES)                                                                 \
    static pare_status ID##_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out) \
    {                                                                                         \
        int64_t count = pare_tensor_count(&in[0]);                                            \
        switch (in[0].dtype) {                                                                \
            CASES                                                                             \
        default: break;                                                                       \
        }                                                                                     \
        return PARE_OK;                                                                       \
    }
#define UNARY_OP(ID, NAME, SUMMARY, SINCE, INFER, FIELDS, SIZE) \
    const pare_op pare_op_##ID = {                              \
        .name = NAME,                                           \
        .summary = SUMMARY,                                     \
        .since = SINCE,                                         \
        .inputs = { 1, 1 },                                     \
        .outputs = { 1, 1 },                                    \
        .attrs = FIELDS,                                        \
        .attrs_size = SIZE,                                     \
        .infer = INFER,                                         \
        .eval = ID##_eval,                                      \
    };

#endif
