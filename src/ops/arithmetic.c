/* Two numbers in, one out, with multidirectional broadcasting: Add Sub Mul Div Mod Pow PRelu.
 *
 * Integers wrap. What ONNX leaves open is defined here: x / 0 and x mod 0 are 0 for integers; the
 * most negative number divided by -1 is itself. */
#include "ops/binary.h"

#include <math.h>
#include <string.h>

#define RUNS(OP, REAL, SIGNED, UNSIGNED)                                                          \
    BINARY_RUN(OP##_f32, float, float, float, BINARY_AS_IS, BINARY_AS_IS, REAL)                   \
    BINARY_RUN(OP##_f64, double, double, double, BINARY_AS_IS, BINARY_AS_IS, REAL)                \
    BINARY_RUN(OP##_f16, uint16_t, float, uint16_t, pare_half_to_float, pare_float_to_half, REAL) \
    BINARY_INT_RUNS(OP, SIGNED, UNSIGNED, BINARY_SAME)                                            \
    static pare_run_fn *const OP##_runs[PARE_RUN_TYPES] = { [PARE_F32] = OP##_f32,                \
                                                            [PARE_F64] = OP##_f64,                \
                                                            [PARE_F16] = OP##_f16,                \
                                                            BINARY_INT_ENTRIES(OP) };

static int64_t divide_signed(int64_t a, int64_t b)
{
    if (b == 0) return 0;
    return b == -1 ? (int64_t)(0 - (uint64_t)a) : a / b;
}
static uint64_t divide_unsigned(uint64_t a, uint64_t b) { return b ? a / b : 0; }
/* The sign of the divisor, as Python's %. */
static int64_t mod_signed(int64_t a, int64_t b)
{
    if (b == 0 || b == -1) return 0;
    int64_t r = a % b;
    return r != 0 && (r < 0) != (b < 0) ? r + b : r;
}
/* The sign of the dividend, as C's %. */
static int64_t rem_signed(int64_t a, int64_t b) { return b == 0 || b == -1 ? 0 : a % b; }
static uint64_t mod_unsigned(uint64_t a, uint64_t b) { return b ? a % b : 0; }

/* The sign of the divisor, as Python's; of 0, too. */
static double mod_real(double a, double b)
{
    double r = fmod(a, b);
    if (r == 0) return copysign(0, b);
    return (r < 0) != (b < 0) ? r + b : r;
}

#define ADD_REAL(T, p, q)     ((p) + (q))
#define ADD_INT(T, p, q)      ((T)((uint64_t)(p) + (uint64_t)(q)))
#define SUB_REAL(T, p, q)     ((p) - (q))
#define SUB_INT(T, p, q)      ((T)((uint64_t)(p) - (uint64_t)(q)))
#define MUL_REAL(T, p, q)     ((p) * (q))
#define MUL_INT(T, p, q)      ((T)((uint64_t)(p) * (uint64_t)(q)))
#define DIV_REAL(T, p, q)     ((p) / (q))
#define DIV_SIGNED(T, p, q)   ((T)divide_signed(p, q))
#define DIV_UNSIGNED(T, p, q) ((T)divide_unsigned(p, q))
#define MOD_REAL(T, p, q)                                                     \
    ((sizeof(p) == sizeof(float)) ? (float)mod_real((double)(p), (double)(q)) \
                                  : mod_real((double)(p), (double)(q)))
#define REM_REAL(T, p, q) \
    ((sizeof(p) == sizeof(float)) ? fmodf((float)(p), (float)(q)) : fmod((double)(p), (double)(q)))
#define MOD_SIGNED(T, p, q)   ((T)mod_signed(p, q))
#define REM_SIGNED(T, p, q)   ((T)rem_signed(p, q))
#define MOD_UNSIGNED(T, p, q) ((T)mod_unsigned(p, q))
#define PRELU(T, p, q)        ((p) < 0 ? (p) * (q) : (p))
#define PRELU_SIGNED(T, p, q) ((T)((p) < 0 ? (int64_t)((uint64_t)(p) * (uint64_t)(q)) : (p)))
#define FIRST(T, p, q)        ((T)((p) + 0 * (q))) /* no unsigned number is negative */

RUNS(add, ADD_REAL, ADD_INT, ADD_INT)
RUNS(sub, SUB_REAL, SUB_INT, SUB_INT)
RUNS(mul, MUL_REAL, MUL_INT, MUL_INT)
RUNS(div, DIV_REAL, DIV_SIGNED, DIV_UNSIGNED)
RUNS(mod, MOD_REAL, MOD_SIGNED, MOD_UNSIGNED)
RUNS(rem, REM_REAL, REM_SIGNED, MOD_UNSIGNED)
RUNS(prelu, PRELU, PRELU_SIGNED, FIRST)

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    return pare_binary_infer(n, in, pare_types_numbers, out);
}

BINARY_OP(add, "Add", "sum of two", 14, infer)
BINARY_OP(sub, "Sub", "difference", 14, infer)
BINARY_OP(mul, "Mul", "product of two", 14, infer)
BINARY_OP(div, "Div", "quotient, toward zero for integers", 14, infer)

/* --- Mod --- */

typedef struct mod_attrs {
    bool fmod;
} mod_attrs;
static const pare_field mod_fields[] = {
    PARE_FLAG(mod_attrs, fmod, 0, "sign of the dividend, as in C; else that of the divisor"),
    PARE_FIELDS_END,
};

static pare_status mod_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const mod_attrs *a = n->attrs;
    return pare_binary_eval(a->fmod ? rem_runs : mod_runs, in, out);
}

const pare_op pare_op_mod = {
    .name = "Mod",
    .summary = "remainder",
    .since = 13,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .attrs = mod_fields,
    .attrs_size = sizeof(mod_attrs),
    .infer = infer,
    .eval = mod_eval,
};

/* --- PRelu: the slope broadcasts to x, never the other way --- */

static pare_status prelu_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(infer(n, in, out));
    if (!pare_same_shape(&out[0], &in[0].type)) {
        char x[PARE_TYPE_TEXT], slope[PARE_TYPE_TEXT];
        return pare_fail(PARE_EFORMAT, "slope %s does not broadcast to %s",
                         pare_type_text(&in[1].type, slope, sizeof slope),
                         pare_type_text(&in[0].type, x, sizeof x));
    }
    return PARE_OK;
}

BINARY_OP(prelu, "PRelu", "rectifier with a learned slope", 16, prelu_infer)

/* --- Pow: base and exponent may differ in type; the result has the base's --- */

static pare_status pow_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype base[] = { PARE_F32, PARE_F64, PARE_F16,
                                       PARE_I32, PARE_I64, PARE_UNDEFINED };
    PARE_TRY(pare_op_dtype("Pow", in[0].type.dtype, base));
    PARE_TRY(pare_op_dtype("Pow with an exponent", in[1].type.dtype, pare_types_numbers));
    pare_type t[] = { in[0].type, in[1].type };
    out[0].dtype = in[0].type.dtype;
    return pare_op_broadcast(t, 2, &out[0]);
}

/* Wraps; a negative exponent gives the truncated quotient, so 0 unless the base is 1 or -1. */
static int64_t int_pow(int64_t base, uint64_t e, bool negative)
{
    if (negative) {
        if (base != 1 && base != -1) return 0;
        e &= 1;
    }
    uint64_t result = 1, square = (uint64_t)base;
    for (; e; e >>= 1, square *= square)
        if (e & 1) result *= square;
    return (int64_t)result;
}

static pare_status pow_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    bool ints = !pare_dtype_is_float(in[0].dtype) && !pare_dtype_is_float(in[1].dtype);
    bool floats = in[0].dtype == PARE_F32 && in[1].dtype == PARE_F32;
    pare_walk w;
    for (bool more = pare_walk_begin(&w, in, 2, &out[0]); more; more = pare_walk_next(&w))
        for (int64_t i = 0; i < w.run; i++) {
            int64_t a = w.at[0] + i * w.step[0], b = w.at[1] + i * w.step[1], y = w.out + i;
            if (floats) {
                ((float *)out[0].data)[y] =
                    powf(((const float *)in[0].data)[a], ((const float *)in[1].data)[b]);
            } else if (ints) {
                int64_t e = pare_tensor_get_i64(&in[1], b);
                pare_put_i64(&out[0], y,
                             int_pow(pare_tensor_get_i64(&in[0], a), (uint64_t)e,
                                     e < 0 && in[1].dtype != PARE_U64));
            } else {
                pare_put_f64(&out[0], y,
                             pow(pare_tensor_get_f64(&in[0], a), pare_tensor_get_f64(&in[1], b)));
            }
        }
    return PARE_OK;
}

const pare_op pare_op_pow = {
    .name = "Pow",
    .summary = "power",
    .since = 15,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .infer = pow_infer,
    .eval = pow_eval,
};
