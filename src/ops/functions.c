/* Mathematical functions of each element: Abs Neg Sign Sqrt Exp Log Floor Ceil Round Reciprocal
 * Erf, the trigonometric and hyperbolic ones, IsNaN, IsInf. */
#include "ops/unary.h"

static pare_status float_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype(n->op->name, in[0].type.dtype, pare_types_floats));
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status number_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype(n->op->name, in[0].type.dtype, pare_types_numbers));
    out[0] = in[0].type;
    return PARE_OK;
}

#define FUNCTION(ID, NAME, SUMMARY, SINCE, EXPR) \
    UNARY_EVAL(ID, UNARY_FLOAT_CASES(, EXPR))    \
    UNARY_OP(ID, NAME, SUMMARY, SINCE, float_infer, NULL, 0)

FUNCTION(sqrt, "Sqrt", "square root", 13, sqrt(x))
FUNCTION(exp, "Exp", "exponential", 13, exp(x))
FUNCTION(log, "Log", "natural logarithm", 13, log(x))
FUNCTION(floor, "Floor", "largest whole number not above", 13, floor(x))
FUNCTION(ceil, "Ceil", "smallest whole number not below", 13, ceil(x))
FUNCTION(round, "Round", "nearest whole number, halves to even", 11, nearbyint(x))
FUNCTION(reciprocal, "Reciprocal", "1 / x", 13, 1 / x)
FUNCTION(erf, "Erf", "error function", 13, erf(x))
FUNCTION(sin, "Sin", "sine", 7, sin(x))
FUNCTION(cos, "Cos", "cosine", 7, cos(x))
FUNCTION(tan, "Tan", "tangent", 7, tan(x))
FUNCTION(asin, "Asin", "arc sine", 7, asin(x))
FUNCTION(acos, "Acos", "arc cosine", 7, acos(x))
FUNCTION(atan, "Atan", "arc tangent", 7, atan(x))
FUNCTION(sinh, "Sinh", "hyperbolic sine", 9, sinh(x))
FUNCTION(cosh, "Cosh", "hyperbolic cosine", 9, cosh(x))
FUNCTION(tanh, "Tanh", "hyperbolic tangent", 13, tanh(x))
FUNCTION(asinh, "Asinh", "inverse hyperbolic sine", 9, asinh(x))
FUNCTION(acosh, "Acosh", "inverse hyperbolic cosine", 9, acosh(x))
FUNCTION(atanh, "Atanh", "inverse hyperbolic tangent", 9, atanh(x))

/* Integers wrap: the most negative one is its own Neg and Abs. */
#define INT_CASE(DTYPE, T, EXPR) UNARY_CASE(DTYPE, T, int64_t, UNARY_AS_IS, UNARY_AS_IS, , EXPR)
#define SIGNED_CASES(EXPR)            \
    INT_CASE(PARE_I8, int8_t, EXPR)   \
    INT_CASE(PARE_I16, int16_t, EXPR) \
    INT_CASE(PARE_I32, int32_t, EXPR) INT_CASE(PARE_I64, int64_t, EXPR)
#define UNSIGNED_CASES(EXPR)           \
    INT_CASE(PARE_U8, uint8_t, EXPR)   \
    INT_CASE(PARE_U16, uint16_t, EXPR) \
    INT_CASE(PARE_U32, uint32_t, EXPR) INT_CASE(PARE_U64, uint64_t, EXPR)

UNARY_EVAL(abs,
           UNARY_FLOAT_CASES(, fabs(x))
               SIGNED_CASES((int64_t)(x < 0 ? 0 - (uint64_t)x : (uint64_t)x)) UNSIGNED_CASES(x))
UNARY_OP(abs, "Abs", "absolute value", 13, number_infer, NULL, 0)
UNARY_EVAL(neg, UNARY_FLOAT_CASES(, -x) SIGNED_CASES((int64_t)(0 - (uint64_t)x)))
UNARY_EVAL(sign, UNARY_FLOAT_CASES(, (x != x ? x : (V)((x > 0) - (x < 0))))
                     SIGNED_CASES((x > 0) - (x < 0)) UNSIGNED_CASES(x != 0))
UNARY_OP(sign, "Sign", "-1, 0 or 1", 13, number_infer, NULL, 0)

static pare_status neg_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype ok[] = { PARE_F32, PARE_F64, PARE_F16, PARE_I8,
                                     PARE_I16, PARE_I32, PARE_I64, PARE_UNDEFINED };
    PARE_TRY(pare_op_dtype("Neg", in[0].type.dtype, ok));
    out[0] = in[0].type;
    return PARE_OK;
}
UNARY_OP(neg, "Neg", "-x", 13, neg_infer, NULL, 0)

/* --- tests of a float --- */

typedef struct isinf_attrs {
    bool detect_negative, detect_positive;
} isinf_attrs;
static const pare_field isinf_fields[] = {
    PARE_FLAG(isinf_attrs, detect_negative, 1, "minus infinity counts"),
    PARE_FLAG(isinf_attrs, detect_positive, 1, "plus infinity counts"),
    PARE_FIELDS_END,
};

static pare_status test_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(float_infer(n, in, out));
    out[0].dtype = PARE_BOOL;
    return PARE_OK;
}

static pare_status isnan_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int64_t count = pare_tensor_count(&in[0]);
    uint8_t *y = out[0].data;
    for (int64_t i = 0; i < count; i++) {
        double x = pare_tensor_get_f64(&in[0], i);
        y[i] = x != x;
    }
    return PARE_OK;
}
UNARY_OP(isnan, "IsNaN", "is it not a number", 13, test_infer, NULL, 0)

static pare_status isinf_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const isinf_attrs *a = n->attrs;
    int64_t count = pare_tensor_count(&in[0]);
    uint8_t *y = out[0].data;
    for (int64_t i = 0; i < count; i++) {
        double x = pare_tensor_get_f64(&in[0], i);
        y[i] = (a->detect_positive && x > DBL_MAX) || (a->detect_negative && x < -DBL_MAX);
    }
    return PARE_OK;
}
UNARY_OP(isinf, "IsInf", "is it infinite", 10, test_infer, isinf_fields, sizeof(isinf_attrs))
