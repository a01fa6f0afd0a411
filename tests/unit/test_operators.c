/* Operators on numbers worked out by hand: what the ONNX node tests do not cover, and what ONNX
 * leaves open.
 */
#include "operate.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#define V(...) \
    (const double[]) { __VA_ARGS__ }
#define DIMS(...) \
    (const int64_t[]) { __VA_ARGS__ }
#define VECTOR(T, N, ...) operand(T, 1, DIMS(N), V(__VA_ARGS__))

/* One output; numbers and count must match exactly (NaN equals NaN). Frees the inputs. */
static void gives(const char *name, const char *attrs, uint32_t n_in, pare_tensor *in,
                  int64_t count, const double *want)
{
    pare_tensor y = { 0 };
    pare_status st = operate(name, attrs, n_in, in, 1, &y);
    if (st != PARE_OK) fail_msg("%s: %s", name, pare_error());
    if (pare_tensor_count(&y) != count)
        fail_msg("%s: %lld elements", name, (long long)pare_tensor_count(&y));
    for (int64_t i = 0; i < count; i++) {
        double got = pare_tensor_get_f64(&y, i);
        if (!(got == want[i] || (got != got && want[i] != want[i])))
            fail_msg("%s: element %lld is %g instead of %g", name, (long long)i, got, want[i]);
    }
    pare_tensor_free(&y);
    for (uint32_t i = 0; i < n_in; i++) pare_tensor_free(&in[i]);
}
#define GIVES(NAME, ATTRS, COUNT, WANT, ...)                                        \
    do {                                                                            \
        pare_tensor in_[] = { __VA_ARGS__ };                                        \
        gives(NAME, ATTRS, (uint32_t)(sizeof in_ / sizeof *in_), in_, COUNT, WANT); \
    } while (0)

static void refuses(const char *name, const char *attrs, uint32_t n_in, pare_tensor *in,
                    pare_status code, const char *word)
{
    pare_tensor y[PARE_MAX_OUT] = { 0 };
    assert_int_equal(operate(name, attrs, n_in, in, 1, y), code);
    if (!strstr(pare_error(), word))
        fail_msg("%s: '%s' does not say '%s'", name, pare_error(), word);
    for (uint32_t i = 0; i < n_in; i++) pare_tensor_free(&in[i]);
}
#define REFUSES(NAME, ATTRS, CODE, WORD, ...)                                        \
    do {                                                                             \
        pare_tensor in_[] = { __VA_ARGS__ };                                         \
        refuses(NAME, ATTRS, (uint32_t)(sizeof in_ / sizeof *in_), in_, CODE, WORD); \
    } while (0)

static void test_broadcast(void **state)
{
    (void)state;
    GIVES("Add", "", 6, V(11, 12, 13, 21, 22, 23), operand(PARE_F32, 2, DIMS(2, 1), V(10, 20)),
          VECTOR(PARE_F32, 3, 1, 2, 3));
    GIVES("Sub", "", 6, V(9, 8, 7, 19, 18, 17), operand(PARE_I8, 2, DIMS(2, 1), V(10, 20)),
          VECTOR(PARE_I8, 3, 1, 2, 3));
    GIVES("Mul", "", 4, V(3, 6, 9, 12), operand(PARE_F16, 0, NULL, V(3)),
          VECTOR(PARE_F16, 4, 1, 2, 3, 4));
    /* 2x1x2 with 1x2x1: no two dimensions can be walked as one */
    GIVES("Add", "", 8, V(11, 12, 21, 22, 13, 14, 23, 24),
          operand(PARE_I64, 3, DIMS(2, 1, 2), V(1, 2, 3, 4)),
          operand(PARE_I64, 3, DIMS(1, 2, 1), V(10, 20)));
    GIVES("Add", "", 0, V(0), operand(PARE_F32, 2, DIMS(0, 3), V(0)), VECTOR(PARE_F32, 3, 1, 2, 3));
    REFUSES("Add", "", PARE_EFORMAT, "2 and 3", VECTOR(PARE_F32, 2, 1, 2),
            VECTOR(PARE_F32, 3, 1, 2, 3));
    REFUSES("Add", "", PARE_EFORMAT, "int32", VECTOR(PARE_F32, 2, 1, 2), VECTOR(PARE_I32, 2, 1, 2));
}

static void test_integer_division(void **state)
{
    (void)state;
    GIVES("Div", "", 4, V(-3, 0, INT32_MIN, 3), VECTOR(PARE_I32, 4, -7, 5, INT32_MIN, -7),
          VECTOR(PARE_I32, 4, 2, 0, -1, -2));
    GIVES("Div", "", 1, V((double)INT64_MIN), VECTOR(PARE_I64, 1, (double)INT64_MIN),
          VECTOR(PARE_I64, 1, -1));
    GIVES("Div", "", 2, V(100, 0), VECTOR(PARE_U8, 2, 200, 200), VECTOR(PARE_U8, 2, 2, 0));
    GIVES("Mod", "", 5, V(1, -2, 0, 0, 2), VECTOR(PARE_I64, 5, -5, 4, 4, (double)INT64_MIN, -4),
          VECTOR(PARE_I64, 5, 3, -3, 0, -1, 3));
    GIVES("Mod", "fmod=1", 3, V(-2, 1, 0), VECTOR(PARE_I64, 3, -5, 4, 4),
          VECTOR(PARE_I64, 3, 3, -3, 0));
    GIVES("Mod", "fmod=1", 2, V(-2, NAN), VECTOR(PARE_F32, 2, -5, 4), VECTOR(PARE_F32, 2, 3, 0));
    GIVES("Mod", "", 3, V(1, -1, NAN), VECTOR(PARE_F32, 3, -5, 5, 4),
          VECTOR(PARE_F32, 3, 3, -3, 0));
    GIVES("Pow", "", 4, V(8, 0, -1, 1), VECTOR(PARE_I32, 4, 2, 2, -1, 0),
          VECTOR(PARE_I64, 4, 3, -1, -3, 0));
    GIVES("Neg", "", 2, V(INT8_MIN, -5), VECTOR(PARE_I8, 2, INT8_MIN, 5));
    GIVES("Abs", "", 2, V(INT16_MIN, 5), VECTOR(PARE_I16, 2, INT16_MIN, -5));
}

static void test_cast_out_of_range(void **state)
{
    (void)state;
    GIVES("Cast", "to=6", 4, V(-1, 0, 1, -1), VECTOR(PARE_F32, 4, -1.9, NAN, 1.9, 1e30));
    GIVES("Cast", "to=2", 3, V(255, 0, 44), VECTOR(PARE_F32, 3, -1, 256, 300));
    GIVES("Cast", "to=9", 3, V(1, 0, 1), VECTOR(PARE_F32, 3, 0.25, 0, NAN));
    GIVES("Cast", "to=1", 1, V(0x1p63), VECTOR(PARE_U64, 1, 0x1p63));
    GIVES("Cast", "to=13", 2, V(0x1p63, 0), VECTOR(PARE_F64, 2, 0x1p63, NAN));
    REFUSES("Cast", "to=8", PARE_EUNSUPPORTED, "8", VECTOR(PARE_F32, 1, 1));
    REFUSES("Cast", "", PARE_EUNSUPPORTED, "0", VECTOR(PARE_F32, 1, 1));
}

static void test_reshape(void **state)
{
    (void)state;
    pare_tensor x = operand(PARE_F32, 2, DIMS(2, 6), V(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11)),
                y = { 0 };
    pare_tensor in[] = { x, VECTOR(PARE_I64, 3, 0, -1, 3) };
    assert_int_equal(operate("Reshape", "", 2, in, 1, &y), PARE_OK);
    assert_int_equal(y.rank, 3);
    assert_int_equal(y.dim[0], 2);
    assert_int_equal(y.dim[1], 2);
    pare_tensor_free(&y);
    pare_tensor_free(&in[0]);
    pare_tensor_free(&in[1]);
    REFUSES("Reshape", "", PARE_EFORMAT, "pieces of 5", VECTOR(PARE_F32, 4, 1, 2, 3, 4),
            VECTOR(PARE_I64, 2, 5, -1));
    REFUSES("Reshape", "", PARE_EFORMAT, "-1 at", VECTOR(PARE_F32, 4, 1, 2, 3, 4),
            VECTOR(PARE_I64, 2, -1, -1));
    REFUSES("Reshape", "", PARE_EFORMAT, "-7", VECTOR(PARE_F32, 4, 1, 2, 3, 4),
            VECTOR(PARE_I64, 2, -7, 2));
    REFUSES("Reshape", "allowzero=1", PARE_EFORMAT, "pieces of 0", VECTOR(PARE_F32, 4, 1, 2, 3, 4),
            VECTOR(PARE_I64, 2, 0, -1));
    REFUSES("Reshape", "", PARE_EFORMAT, "holds 5 elements", VECTOR(PARE_F32, 4, 1, 2, 3, 4),
            VECTOR(PARE_I64, 1, 5));
    REFUSES("Reshape", "", PARE_EFORMAT, "more than 2^63", VECTOR(PARE_F32, 4, 1, 2, 3, 4),
            VECTOR(PARE_I64, 3, 0x1p40, 0x1p40, 0x1p40));
    REFUSES("Reshape", "", PARE_EFORMAT, "more than 2^63", VECTOR(PARE_F32, 4, 1, 2, 3, 4),
            VECTOR(PARE_I64, 3, 0x1p40, 0x1p40, -1));
}

static void test_slice_extremes(void **state)
{
    (void)state;
    double near = (double)INT64_MIN;
    GIVES("Slice", "", 3, V(3, 2, 1), VECTOR(PARE_F32, 3, 1, 2, 3), VECTOR(PARE_I64, 1, 9),
          VECTOR(PARE_I64, 1, near), VECTOR(PARE_I64, 1, 0), VECTOR(PARE_I64, 1, -1));
    GIVES("Slice", "", 1, V(3), VECTOR(PARE_F32, 3, 1, 2, 3), VECTOR(PARE_I64, 1, -1),
          VECTOR(PARE_I64, 1, near), VECTOR(PARE_I64, 1, 0), VECTOR(PARE_I64, 1, near));
    GIVES("Slice", "", 1, V(2), VECTOR(PARE_U8, 3, 1, 2, 3), VECTOR(PARE_I32, 1, 1),
          VECTOR(PARE_I32, 1, 1e9), VECTOR(PARE_I32, 1, -1), VECTOR(PARE_I32, 1, INT32_MAX));
    REFUSES("Slice", "", PARE_EFORMAT, "is 0", VECTOR(PARE_F32, 3, 1, 2, 3), VECTOR(PARE_I64, 1, 0),
            VECTOR(PARE_I64, 1, 2), VECTOR(PARE_I64, 1, 0), VECTOR(PARE_I64, 1, 0));
    REFUSES("Slice", "", PARE_EFORMAT, "axis 4", VECTOR(PARE_F32, 3, 1, 2, 3),
            VECTOR(PARE_I64, 1, 0), VECTOR(PARE_I64, 1, 2), VECTOR(PARE_I64, 1, 4));
}

static void test_pad(void **state)
{
    (void)state;
    GIVES("Pad", "mode=reflect", 9, V(2, 3, 2, 1, 2, 3, 2, 1, 2), VECTOR(PARE_F32, 3, 1, 2, 3),
          VECTOR(PARE_I64, 2, 3, 3));
    GIVES("Pad", "mode=wrap", 7, V(2, 3, 1, 2, 3, 1, 2), VECTOR(PARE_F32, 3, 1, 2, 3),
          VECTOR(PARE_I64, 2, 2, 2));
    GIVES("Pad", "mode=edge", 4, V(1, 1, 1, 2), VECTOR(PARE_F32, 3, 1, 2, 3),
          VECTOR(PARE_I64, 2, 2, -1));
    GIVES("Pad", "", 3, V(3, 7, 7), VECTOR(PARE_I32, 3, 1, 2, 3), VECTOR(PARE_I64, 2, -2, 2),
          VECTOR(PARE_I32, 1, 7));
    GIVES("Pad", "", 6, V(0, 1, 0, 0, 2, 0), operand(PARE_F32, 2, DIMS(2, 1), V(1, 2)),
          VECTOR(PARE_I64, 2, 1, 1), (pare_tensor){ 0 }, VECTOR(PARE_I64, 1, -1));
    GIVES("Pad", "", 2, V(0, 0), VECTOR(PARE_F32, 3, 1, 2, 3), VECTOR(PARE_I64, 2, 4, -5));
    REFUSES("Pad", "", PARE_EFORMAT, "-4", VECTOR(PARE_F32, 3, 1, 2, 3),
            VECTOR(PARE_I64, 2, 0, -4));
}

static void test_gather_checks_data(void **state)
{
    (void)state;
    GIVES("Gather", "", 2, V(3, 1), VECTOR(PARE_F32, 3, 1, 2, 3), VECTOR(PARE_I64, 2, -1, 0));
    REFUSES("Gather", "", PARE_EFORMAT, "index 3", VECTOR(PARE_F32, 3, 1, 2, 3),
            VECTOR(PARE_I64, 1, 3));
    REFUSES("Gather", "", PARE_EFORMAT, "index -4", VECTOR(PARE_F32, 3, 1, 2, 3),
            VECTOR(PARE_I64, 1, -4));
}

static void test_reductions(void **state)
{
    (void)state;
    const double *x = V(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12);
    /* 2x3x2 over the outer and the inner dimension: two loops of reduction around each other */
    GIVES("ReduceSum", "keepdims=0", 3, V(18, 26, 34), operand(PARE_F32, 3, DIMS(2, 3, 2), x),
          VECTOR(PARE_I64, 2, 0, -1));
    GIVES("ReduceMax", "keepdims=0", 4, V(5, 6, 11, 12), operand(PARE_I32, 3, DIMS(2, 3, 2), x),
          VECTOR(PARE_I64, 1, 1));
    GIVES("ReduceMean", "", 1, V(-1), VECTOR(PARE_I8, 3, -1, -2, -2));
    GIVES("ReduceMin", "", 1, V(NAN), VECTOR(PARE_F32, 3, 1, NAN, 3));
    GIVES("ReduceProd", "", 1, V(1), operand(PARE_F32, 1, DIMS(0), V(0)));
    GIVES("ReduceMax", "", 1, V(-HUGE_VAL), operand(PARE_F32, 1, DIMS(0), V(0)));
    GIVES("ReduceMin", "", 1, V(127), operand(PARE_I8, 1, DIMS(0), V(0)));
    GIVES("ReduceL1", "", 1, V(3), operand(PARE_F32, 0, NULL, V(-3)));
    GIVES("ReduceLogSumExp", "", 1, V(1000), VECTOR(PARE_F32, 2, 1000, -1000));
    GIVES("ReduceSum", "noop_with_empty_axes=1", 2, V(1, 2), VECTOR(PARE_F32, 2, 1, 2));
}

static void test_order(void **state)
{
    (void)state;
    GIVES("ArgMax", "", 1, V(1), VECTOR(PARE_F32, 4, 1, NAN, 9, NAN));
    GIVES("ArgMin", "", 1, V(1), VECTOR(PARE_F32, 4, 1, NAN, -9, NAN));
    GIVES("ArgMin", "select-last-index=1", 1, V(3), VECTOR(PARE_F32, 4, 0, 1, 5, -0.0));
    GIVES("ArgMin", "", 1, V(0), VECTOR(PARE_U64, 2, 5, 0x1.fffffffffffffp63));
    GIVES("TopK", "", 3, V(3, 2, 2), VECTOR(PARE_I8, 4, 2, 3, -1, 2), VECTOR(PARE_I64, 1, 3));
    GIVES("TopK", "largest=0", 2, V(-HUGE_VAL, -0.0), VECTOR(PARE_F32, 4, NAN, -HUGE_VAL, -0.0, 0),
          VECTOR(PARE_I64, 1, 2));
    REFUSES("TopK", "", PARE_EFORMAT, "k is 3", VECTOR(PARE_F32, 2, 1, 2), VECTOR(PARE_I64, 1, 3));
    GIVES("Max", "", 2, V(NAN, 3), VECTOR(PARE_F32, 2, 1, 3), VECTOR(PARE_F32, 2, NAN, 2),
          VECTOR(PARE_F32, 2, 5, 1));
    GIVES("Min", "", 1, V(1), VECTOR(PARE_U64, 1, 0x1p63), VECTOR(PARE_U64, 1, 1));
}

static void test_bits(void **state)
{
    (void)state;
    GIVES("BitShift", "direction=LEFT", 3, V(2, 0, 0), VECTOR(PARE_U8, 3, 1, 1, 128),
          VECTOR(PARE_U8, 3, 1, 8, 1));
    GIVES("BitShift", "direction=RIGHT", 3, V(1, 0, 0), VECTOR(PARE_U64, 3, 2, 5, 5),
          VECTOR(PARE_U64, 3, 1, 64, 200));
    GIVES("BitShift", "direction=RIGHT", 3, V(-4, -1, 0), VECTOR(PARE_I64, 3, -8, -8, 8),
          VECTOR(PARE_I64, 3, 1, 64, -1));
    REFUSES("BitShift", "", PARE_EFORMAT, "direction", VECTOR(PARE_U8, 1, 1),
            VECTOR(PARE_U8, 1, 1));
    GIVES("Xor", "", 2, V(0, 1), VECTOR(PARE_BOOL, 2, 2, 0),
          VECTOR(PARE_BOOL, 2, 1, 1)); /* 2 is true as well */
    GIVES("BitwiseNot", "", 2, V(-1, 5), VECTOR(PARE_I16, 2, 0, -6));
    GIVES("Greater", "", 2, V(0, 1), VECTOR(PARE_U64, 2, 1, 0x1p63),
          VECTOR(PARE_U64, 2, 0x1p63, 1));
}

static void test_scatter_checks_data(void **state)
{
    (void)state;
    GIVES("ScatterElements", "reduction=max", 3, V(5, 2, 9), VECTOR(PARE_F32, 3, 5, 2, 3),
          VECTOR(PARE_I64, 3, 0, -1, 2), VECTOR(PARE_F32, 3, 4, 9, 8));
    REFUSES("ScatterElements", "", PARE_EFORMAT, "index 3", VECTOR(PARE_F32, 3, 1, 2, 3),
            VECTOR(PARE_I64, 1, 3), VECTOR(PARE_F32, 1, 1));
    REFUSES("ScatterND", "", PARE_EFORMAT, "index -4", VECTOR(PARE_F32, 3, 1, 2, 3),
            operand(PARE_I64, 2, DIMS(1, 1), V(-4)), VECTOR(PARE_F32, 1, 1));
    REFUSES("ScatterND", "", PARE_EFORMAT, "2 instead of 1", VECTOR(PARE_F32, 3, 1, 2, 3),
            operand(PARE_I64, 2, DIMS(1, 1), V(0)), VECTOR(PARE_F32, 2, 1, 1));
}

static void test_sizes_that_do_not_fit(void **state)
{
    (void)state;
    double half = 0x1p62;
    REFUSES("Tile", "", PARE_EFORMAT, "repeated", VECTOR(PARE_F32, 4, 1, 2, 3, 4),
            VECTOR(PARE_I64, 1, half));
    REFUSES("Range", "", PARE_EFORMAT, "delta", operand(PARE_I64, 0, NULL, V(0)),
            operand(PARE_I64, 0, NULL, V(5)), operand(PARE_I64, 0, NULL, V(0)));
    REFUSES("Range", "", PARE_EFORMAT, "number of elements", operand(PARE_F32, 0, NULL, V(0)),
            operand(PARE_F32, 0, NULL, V(5)), operand(PARE_F32, 0, NULL, V(0)));
    REFUSES("Range", "", PARE_ELIMIT, "too many", operand(PARE_I64, 0, NULL, V((double)INT64_MIN)),
            operand(PARE_I64, 0, NULL, V(half)), operand(PARE_I64, 0, NULL, V(1)));
    REFUSES("Pad", "", PARE_EFORMAT, "cannot be padded", VECTOR(PARE_F32, 1, 1),
            VECTOR(PARE_I64, 2, half, half));
    REFUSES("ConstantOfShape", "", PARE_ELIMIT, "too large", VECTOR(PARE_I64, 3, half, half, half));
}

static void test_einsum(void **state)
{
    (void)state;
    REFUSES("Einsum", "equation=ij;jk", PARE_EFORMAT, "';'",
            operand(PARE_F32, 2, DIMS(1, 1), V(0)));
    REFUSES("Einsum", "equation=ij->k", PARE_EFORMAT, "no input has",
            operand(PARE_F32, 2, DIMS(1, 1), V(0)));
    REFUSES("Einsum", "equation=i", PARE_EFORMAT, "has 1 dimensions",
            operand(PARE_F32, 2, DIMS(1, 1), V(0)));
    REFUSES("Einsum", "equation=ii->i", PARE_EFORMAT, "2 in one place",
            operand(PARE_F32, 2, DIMS(2, 3), V(0, 0, 0, 0, 0, 0)));
    GIVES("Einsum", "equation=ii", 1, V(5), operand(PARE_I32, 2, DIMS(2, 2), V(1, 2, 3, 4)));
    GIVES("Einsum", "equation=...j->...", 2, V(3, 7),
          operand(PARE_F32, 2, DIMS(2, 2), V(1, 2, 3, 4)));
}

/* Six inputs of 256 numbers that ask for 2^48 products. */
static void test_einsum_is_limited(void **state)
{
    (void)state;
    const pare_op *op = pare_op_find("Einsum");
    struct {
        const char *equation;
    } attrs = { "abcdefgh,ijklmnop,qrstuvwx,yzABCDEF,GHIJKLMN,OPQRSTUV->" };
    assert_int_equal(op->attrs_size, sizeof attrs);
    pare_node n = {
        .name = "n", .op = op, .attrs = &attrs, .attrs_size = sizeof attrs, .n_in = 6, .n_out = 1
    };
    pare_arg in[6] = { { { PARE_U8, 8, { 2, 2, 2, 2, 2, 2, 2, 2 } }, NULL } };
    for (int i = 1; i < 6; i++) in[i] = in[0];
    pare_type out = { 0 };
    assert_int_equal(op->infer(&n, in, &out), PARE_ELIMIT);
    n.n_in = 4;
    attrs.equation = "abcdefgh,ijklmnop,qrstuvwx,yzABCDEF->";
    assert_int_equal(op->infer(&n, in, &out), PARE_OK);
    assert_int_equal(out.rank, 0);
}

static void test_split_and_concat(void **state)
{
    (void)state;
    pare_tensor x = operand(PARE_I32, 2, DIMS(2, 5), V(0, 1, 2, 3, 4, 5, 6, 7, 8, 9)),
                part[2] = { { 0 } };
    assert_int_equal(operate("Split", "axis=1,num-outputs=2", 1, &x, 2, part), PARE_OK);
    assert_int_equal(part[0].dim[1], 3);
    assert_int_equal(part[1].dim[1], 2);
    pare_tensor whole;
    assert_int_equal(operate("Concat", "axis=-1", 2, part, 1, &whole), PARE_OK);
    assert_memory_equal(whole.data, x.data, pare_tensor_bytes(&x));
    REFUSES("Split", "axis=1,num-outputs=3", PARE_EFORMAT, "num_outputs", pare_tensor_ref(&x));
    REFUSES("Concat", "", PARE_EFORMAT, "axis", pare_tensor_ref(&x));
    pare_tensor_free(&part[0]);
    pare_tensor_free(&part[1]);
    pare_tensor_free(&whole);
    pare_tensor_free(&x);
}

static void test_every_operator_is_complete(void **state)
{
    (void)state;
    for (const pare_op *const *op = pare_ops; *op; op++) {
        assert_non_null((*op)->infer);
        assert_non_null((*op)->eval);
        assert_non_null((*op)->summary);
        assert_true((*op)->since > 0 && (*op)->outputs.min > 0 &&
                    (*op)->inputs.max <= PARE_MAX_IN && (*op)->outputs.max <= PARE_MAX_OUT);
        assert_true(((*op)->attrs != NULL) == ((*op)->attrs_size > 0));
        if (op[1] && strcmp((*op)->name, op[1]->name) == 0)
            fail_msg("%s is registered twice", (*op)->name);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_broadcast),
        cmocka_unit_test(test_integer_division),
        cmocka_unit_test(test_cast_out_of_range),
        cmocka_unit_test(test_reshape),
        cmocka_unit_test(test_slice_extremes),
        cmocka_unit_test(test_pad),
        cmocka_unit_test(test_gather_checks_data),
        cmocka_unit_test(test_reductions),
        cmocka_unit_test(test_order),
        cmocka_unit_test(test_bits),
        cmocka_unit_test(test_scatter_checks_data),
        cmocka_unit_test(test_sizes_that_do_not_fit),
        cmocka_unit_test(test_einsum),
        cmocka_unit_test(test_einsum_is_limited),
        cmocka_unit_test(test_split_and_concat),
        cmocka_unit_test(test_every_operator_is_complete),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
