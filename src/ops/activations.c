/* Activation functions but Relu and PRelu: LeakyRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish
 * Softplus Softsign ThresholdedRelu Mish Gelu Shrink. NaN stays NaN. */
#include "ops/attrs.h"
#include "ops/unary.h"

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype(n->op->name, in[0].type.dtype, pare_types_floats));
    out[0] = in[0].type;
    return PARE_OK;
}

/* --- without attributes --- */

#define PLAIN(ID, NAME, SUMMARY, SINCE, EXPR) \
    UNARY_EVAL(ID, UNARY_FLOAT_CASES(, EXPR)) \
    UNARY_OP(ID, NAME, SUMMARY, SINCE, infer, NULL, 0)

/* log(1 + e^x) without overflow */
#define SOFTPLUS (x > 0 ? x + log1p(exp(-x)) : log1p(exp(x)))

PLAIN(sigmoid, "Sigmoid", "1 / (1 + e^-x)", 13, 1 / (1 + exp(-x)))
PLAIN(hard_swish, "HardSwish", "x * clip(x / 6 + 1/2, 0, 1)", 14,
      (x <= -3  ? (V)0
       : x >= 3 ? x
                : x * (x / 6 + (V)0.5)))
PLAIN(softplus, "Softplus", "log(1 + e^x)", 1, SOFTPLUS)
PLAIN(softsign, "Softsign", "x / (1 + |x|)", 1, x / (1 + fabs(x)))
PLAIN(mish, "Mish", "x * tanh(softplus(x))", 18, x *tanh(SOFTPLUS))

/* --- with alpha, beta, gamma --- */

static const pare_field leaky_relu_fields[] = {
    PARE_REAL(pare_alpha_attrs, alpha, (double)0.01f, -FLT_MAX, FLT_MAX, "", "slope below zero"),
    PARE_FIELDS_END,
};
static const pare_field elu_fields[] = {
    PARE_REAL(pare_alpha_attrs, alpha, 1, -FLT_MAX, FLT_MAX, "",
              "minus the limit toward minus infinity"),
    PARE_FIELDS_END,
};
static const pare_field selu_fields[] = {
    PARE_REAL(pare_alpha_attrs, alpha, 1.67326319217681884765625, -FLT_MAX, FLT_MAX, "",
              "scale below zero"),
    PARE_REAL(pare_alpha_attrs, gamma, 1.05070102214813232421875, -FLT_MAX, FLT_MAX, "",
              "scale of everything"),
    PARE_FIELDS_END,
};
static const pare_field threshold_fields[] = {
    PARE_REAL(pare_alpha_attrs, alpha, 1, -FLT_MAX, FLT_MAX, "", "what is not above it becomes 0"),
    PARE_FIELDS_END,
};
static const pare_field hard_sigmoid_fields[] = {
    PARE_REAL(pare_alpha_attrs, alpha, (double)0.2f, -FLT_MAX, FLT_MAX, "", "slope"),
    PARE_REAL(pare_alpha_attrs, beta, 0.5, -FLT_MAX, FLT_MAX, "", "value at 0"),
    PARE_FIELDS_END,
};

#define ALPHA const V alpha = (V)((const pare_alpha_attrs *)n->attrs)->alpha;
#define BETA  const V beta = (V)((const pare_alpha_attrs *)n->attrs)->beta;
#define GAMMA const V gain = (V)((const pare_alpha_attrs *)n->attrs)->gamma;
#define SHAPED(ID, NAME, SUMMARY, SINCE, CONSTANTS, FIELDS, EXPR) \
    UNARY_EVAL(ID, UNARY_FLOAT_CASES(CONSTANTS, EXPR))            \
    UNARY_OP(ID, NAME, SUMMARY, SINCE, infer, FIELDS, sizeof(pare_alpha_attrs))

SHAPED(leaky_relu, "LeakyRelu", "rectifier with a slope below zero", 16, ALPHA, leaky_relu_fields,
       (x < 0 ? alpha * x : x))
SHAPED(elu, "Elu", "x, or alpha (e^x - 1) below zero", 6, ALPHA, elu_fields,
       (x < 0 ? alpha * expm1(x) : x))
SHAPED(selu, "Selu", "scaled Elu", 6, ALPHA GAMMA, selu_fields,
       gain *(x > 0 ? x : alpha * expm1(x)))
SHAPED(celu, "Celu", "Elu with a continuous slope", 12, ALPHA, elu_fields,
       (x < 0 ? alpha * expm1(x / alpha) : x))
SHAPED(thresholded_relu, "ThresholdedRelu", "x above alpha, else 0", 10, ALPHA, threshold_fields,
       (x <= alpha ? (V)0 : x))
SHAPED(hard_sigmoid, "HardSigmoid", "clip(alpha x + beta, 0, 1)", 6, ALPHA BETA,
       hard_sigmoid_fields,
       (alpha * x + beta < 0   ? (V)0
        : alpha * x + beta > 1 ? (V)1
                               : alpha * x + beta))

/* --- Gelu --- */

static const pare_field gelu_fields[] = {
    PARE_ENUM(pare_gelu_attrs, approximate, PARE_GELU_ERF, "none|tanh",
              "by erf, or approximately by tanh"),
    PARE_FIELDS_END,
};
#define SMOOTH \
    const bool by_tanh = ((const pare_gelu_attrs *)n->attrs)->approximate == PARE_GELU_TANH;
UNARY_EVAL(gelu, UNARY_FLOAT_CASES(SMOOTH, (V)0.5 * x *
                                               (1 + (by_tanh ? tanh((V)0.7978845608028654 *
                                                                    (x + (V)0.044715 * x * x * x))
                                                             : erf(x * (V)0.7071067811865476)))))
UNARY_OP(gelu, "Gelu", "Gaussian error linear unit", 20, infer, gelu_fields,
         sizeof(pare_gelu_attrs))

/* --- Shrink, for every number; the arithmetic of integers is that of doubles, truncated --- */

typedef struct shrink_attrs {
    double bias, lambd;
} shrink_attrs;
static const pare_field shrink_fields[] = {
    PARE_REAL(shrink_attrs, bias, 0, -FLT_MAX, FLT_MAX, "", "taken off what remains"),
    PARE_REAL(shrink_attrs, lambd, 0.5, -FLT_MAX, FLT_MAX, "", "what lies within becomes 0"),
    PARE_FIELDS_END,
};

static pare_status shrink_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("Shrink", in[0].type.dtype, pare_types_numbers));
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status shrink_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const shrink_attrs *a = n->attrs;
    int64_t count = pare_tensor_count(&in[0]);
    for (int64_t i = 0; i < count; i++) {
        double x = pare_tensor_get_f64(&in[0], i);
        pare_put_f64(&out[0], i,
                     x != x          ? x
                     : x < -a->lambd ? x + a->bias
                     : x > a->lambd  ? x - a->bias
                                     : 0);
    }
    return PARE_OK;
}
UNARY_OP(shrink, "Shrink", "soft or hard threshold around zero", 9, shrink_infer, shrink_fields,
         sizeof(shrink_attrs))
