/* Truth values and bits: And Or Xor Not, BitwiseAnd BitwiseOr BitwiseXor BitwiseNot, BitShift, and
 * the comparisons Equal Greater GreaterOrEqual Less LessOrEqual. A comparison with NaN is false. */
#include "ops/binary.h"

#include <string.h>

static const pare_dtype only_bool[] = { PARE_BOOL, PARE_UNDEFINED };

/* --- truth values: any byte that is not 0 is true --- */

#define AND(T, p, q) ((p) && (q))
#define OR(T, p, q)  ((p) || (q))
#define XOR(T, p, q) (!(p) != !(q))
#define BOOL_RUNS(OP, EXPR)                                                            \
    BINARY_RUN(OP##_bool, uint8_t, uint8_t, uint8_t, BINARY_AS_IS, BINARY_AS_IS, EXPR) \
    static pare_run_fn *const OP##_runs[PARE_RUN_TYPES] = { [PARE_BOOL] = OP##_bool };
BOOL_RUNS(and, AND)
BOOL_RUNS(or, OR)
BOOL_RUNS(xor, XOR)

static pare_status bool_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    return pare_binary_infer(n, in, only_bool, out);
}
BINARY_OP(and, "And", "both are true", 7, bool_infer)
BINARY_OP(or, "Or", "one is true", 7, bool_infer)
BINARY_OP(xor, "Xor", "exactly one is true", 7, bool_infer)

/* --- bits --- */

#define BIT_AND(T, p, q) ((T)((p) & (q)))
#define BIT_OR(T, p, q)  ((T)((p) | (q)))
#define BIT_XOR(T, p, q) ((T)((p) ^ (q)))
#define BIT_RUNS(OP, EXPR)                       \
    BINARY_INT_RUNS(OP, EXPR, EXPR, BINARY_SAME) \
    static pare_run_fn *const OP##_runs[PARE_RUN_TYPES] = { BINARY_INT_ENTRIES(OP) };
BIT_RUNS(bitwise_and, BIT_AND)
BIT_RUNS(bitwise_or, BIT_OR)
BIT_RUNS(bitwise_xor, BIT_XOR)

static pare_status bit_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    return pare_binary_infer(n, in, pare_types_ints, out);
}
BINARY_OP(bitwise_and, "BitwiseAnd", "bits set in both", 18, bit_infer)
BINARY_OP(bitwise_or, "BitwiseOr", "bits set in one", 18, bit_infer)
BINARY_OP(bitwise_xor, "BitwiseXor", "bits set in exactly one", 18, bit_infer)

/* --- shifts. An amount outside of 0 to width - 1 moves every bit out: 0, or -1 for a negative
 * number to the right --- */

enum { NOT_GIVEN = -1, LEFT, RIGHT };
typedef struct shift_attrs {
    int direction;
} shift_attrs;
static const pare_field shift_fields[] = {
    PARE_ENUM(shift_attrs, direction, NOT_GIVEN, "LEFT|RIGHT",
              "toward the high or the low bits; required"),
    PARE_FIELDS_END,
};

static int64_t shift_right(int64_t v, uint64_t by)
{
    if (by > 63) by = 63;
    return v < 0 ? ~(~v >> by) : v >> by;
}

/* A negative amount is a huge unsigned one; a signed number fills 64 bits, so that its width is no
 * limit. */
#define SHIFT_LEFT(T, p, q)   ((T)((uint64_t)(q) < 8 * sizeof(T) ? (uint64_t)(p) << (q) : 0))
#define SHIFT_RIGHT(T, p, q)  ((T)((q) < 8 * sizeof(T) ? (p) >> (q) : 0))
#define SHIFT_SIGNED(T, p, q) ((T)shift_right(p, (uint64_t)(q)))
#define SHIFT_RUNS(OP, S, U)               \
    BINARY_INT_RUNS(OP, S, U, BINARY_SAME) \
    static pare_run_fn *const OP##_runs[PARE_RUN_TYPES] = { BINARY_INT_ENTRIES(OP) };
SHIFT_RUNS(left, SHIFT_LEFT, SHIFT_LEFT)
SHIFT_RUNS(right, SHIFT_SIGNED, SHIFT_RIGHT)

static pare_status shift_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const shift_attrs *a = n->attrs;
    if (a->direction == NOT_GIVEN)
        return pare_fail(PARE_EFORMAT, "the attribute direction is missing");
    return pare_binary_infer(n, in, pare_types_ints, out);
}
static pare_status shift_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const shift_attrs *a = n->attrs;
    return pare_binary_eval(a->direction == LEFT ? left_runs : right_runs, in, out);
}

const pare_op pare_op_bit_shift = {
    .name = "BitShift",
    .summary = "bits moved up or down",
    .since = 11,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .attrs = shift_fields,
    .attrs_size = sizeof(shift_attrs),
    .infer = shift_infer,
    .eval = shift_eval,
};

/* --- comparisons --- */

#define EQUAL(T, p, q)    ((p) == (q))
#define GREATER(T, p, q)  ((p) > (q))
#define AT_LEAST(T, p, q) ((p) >= (q))
#define LESS(T, p, q)     ((p) < (q))
#define AT_MOST(T, p, q)  ((p) <= (q))
#define COMPARE_RUNS(OP, EXPR)                                                             \
    BINARY_RUN(OP##_f32, float, float, uint8_t, BINARY_AS_IS, BINARY_AS_IS, EXPR)          \
    BINARY_RUN(OP##_f64, double, double, uint8_t, BINARY_AS_IS, BINARY_AS_IS, EXPR)        \
    BINARY_RUN(OP##_f16, uint16_t, float, uint8_t, pare_half_to_float, BINARY_AS_IS, EXPR) \
    BINARY_INT_RUNS(OP, EXPR, EXPR, BINARY_BOOL)                                           \
    static pare_run_fn *const OP##_runs[PARE_RUN_TYPES] = { [PARE_F32] = OP##_f32,         \
                                                            [PARE_F64] = OP##_f64,         \
                                                            [PARE_F16] = OP##_f16,         \
                                                            [PARE_BOOL] = OP##_u8,         \
                                                            BINARY_INT_ENTRIES(OP) };
COMPARE_RUNS(equal, EQUAL)
COMPARE_RUNS(greater, GREATER)
COMPARE_RUNS(greater_or_equal, AT_LEAST)
COMPARE_RUNS(less, LESS)
COMPARE_RUNS(less_or_equal, AT_MOST)

static pare_status equal_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_binary_infer(n, in, pare_types_all, out));
    out[0].dtype = PARE_BOOL;
    return PARE_OK;
}
static pare_status order_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_binary_infer(n, in, pare_types_numbers, out));
    out[0].dtype = PARE_BOOL;
    return PARE_OK;
}
BINARY_OP(equal, "Equal", "a = b", 13, equal_infer)
BINARY_OP(greater, "Greater", "a > b", 13, order_infer)
BINARY_OP(greater_or_equal, "GreaterOrEqual", "a >= b", 16, order_infer)
BINARY_OP(less, "Less", "a < b", 13, order_infer)
BINARY_OP(less_or_equal, "LessOrEqual", "a <= b", 16, order_infer)

/* --- Not, BitwiseNot --- */

static pare_status logical_not_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("Not", in[0].type.dtype, only_bool));
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status logical_not_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const uint8_t *x = in[0].data;
    uint8_t *y = out[0].data;
    int64_t count = pare_tensor_count(&in[0]);
    for (int64_t i = 0; i < count; i++) y[i] = !x[i];
    return PARE_OK;
}

const pare_op pare_op_logical_not = {
    .name = "Not",
    .summary = "true where its input is false",
    .since = 1,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .infer = logical_not_infer,
    .eval = logical_not_eval,
};

static pare_status bitwise_not_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("BitwiseNot", in[0].type.dtype, pare_types_ints));
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status bitwise_not_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const uint8_t *x = in[0].data; /* every bit alike, so the element type does not matter */
    uint8_t *y = out[0].data;
    size_t bytes = pare_tensor_bytes(&in[0]);
    for (size_t i = 0; i < bytes; i++) y[i] = (uint8_t)~x[i];
    return PARE_OK;
}

const pare_op pare_op_bitwise_not = {
    .name = "BitwiseNot",
    .summary = "every bit turned",
    .since = 18,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .infer = bitwise_not_infer,
    .eval = bitwise_not_eval,
};
