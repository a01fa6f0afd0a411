/* Old and new forms of operators mean what their opset says, and leave as the oldest opset from 17
 * on that fits.
 *
 * The models have no inputs but an initialiser `x`, so that folding computes them. */
#include "onnx/onnx.h"
#include "onnx_make.h"
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

/* x = 1, 2, 3 ... negative where odd, of the given shape; y is the output. */
static make start(int opset, int rank, const int64_t *dim)
{
    make m = make_new(opset);
    float x[64];
    int64_t n = pare_numel(rank, dim);
    for (int64_t i = 0; i < n; i++) x[i] = (float)(i % 2 ? -(i + 1) : i + 1);
    make_init(&m, "x", PARE_F32, rank, dim, x, (size_t)n * sizeof *x);
    make_output(&m, "y", PARE_F32, -1, NULL);
    return m;
}

static pare_graph *loaded(make *m)
{
    size_t size;
    const uint8_t *bytes = make_bytes(m, &size);
    pare_graph *g;
    if (pare_model_load_memory(bytes, size, "m.onnx", &g) != PARE_OK) fail_msg("%s", pare_error());
    return g;
}

static void check_output(const pare_graph *g, int64_t n, const float *want, const char *what)
{
    pare_graph *c;
    assert_int_equal(pare_graph_clone(g, &c), PARE_OK);
    if (pare_infer(c, true) != PARE_OK) fail_msg("%s: %s", what, pare_error());
    const pare_weight *w = c->value[c->output[0]].weight;
    if (!w) fail_msg("%s: y was not folded", what);
    if (pare_tensor_count(&w->part[0]) != n)
        fail_msg("%s: %lld numbers", what, (long long)pare_tensor_count(&w->part[0]));
    for (int64_t i = 0; i < n; i++) {
        double got = pare_tensor_get_f64(&w->part[0], i);
        if (fabs(got - (double)want[i]) > 1e-6)
            fail_msg("%s: y[%lld] is %g, not %g", what, (long long)i, got, (double)want[i]);
    }
    pare_graph_free(c);
}

/* Reads, computes, writes, reads, computes; the file written has opset `opset`. */
static void expect(make *m, int opset, int64_t n, const float *want, const char *what)
{
    pare_graph *g = loaded(m), *h;
    check_output(g, n, want, what);
    uint8_t *bytes;
    size_t size;
    if (pare_onnx_write(g, &bytes, &size) != PARE_OK) fail_msg("%s: %s", what, pare_error());
    if (pare_model_load_memory(bytes, size, "again.onnx", &h) != PARE_OK)
        fail_msg("%s: %s", what, pare_error());
    free(bytes);
    if (h->opset != opset)
        fail_msg("%s: written with opset %d instead of %d", what, h->opset, opset);
    check_output(h, n, want, what);
    pare_graph_free(g);
    pare_graph_free(h);
    make_free(m);
}

static void refuse(make *m, const char *part)
{
    size_t size;
    const uint8_t *bytes = make_bytes(m, &size);
    pare_graph *g;
    assert_int_not_equal(pare_model_load_memory(bytes, size, "m.onnx", &g), PARE_OK);
    if (!strstr(pare_error(), part)) fail_msg("'%s' lacks '%s'", pare_error(), part);
    make_free(m);
}

#define I64(...) ((int64_t[]){ __VA_ARGS__ })
#define F32(...) ((float[]){ __VA_ARGS__ })

static void test_reductions(void **state)
{
    (void)state;
    static const int attribute[] = { 7, 11, 13, 17 };
    for (int i = 0; i < 4; i++) {
        make m = start(attribute[i], 2, I64(2, 2));
        make_ints(&m, make_node(&m, "ReduceMax", "", "x", "y"), "axes", 1, I64(1));
        expect(&m, 17, 2, F32(1, 3), "ReduceMax with axes as attribute");
    }
    make m = start(18, 2, I64(2, 2));
    make_init(&m, "axes", PARE_I64, 1, I64(1), I64(0), 8);
    make_node(&m, "ReduceMax", "", "x axes", "y");
    expect(&m, 17, 2, F32(3, -2), "ReduceMax with axes as input");
    m = start(18, 2, I64(2, 2));
    make_int(&m, make_node(&m, "ReduceMax", "", "x", "y"), "noop_with_empty_axes", 1);
    expect(&m, 18, 4, F32(1, -2, 3, -4), "ReduceMax that does nothing");
    m = start(11, 2, I64(2, 2));
    make_ints(&m, make_node(&m, "ReduceSum", "", "x", "y"), "axes", 1, I64(-1));
    expect(&m, 17, 2, F32(-1, -1), "ReduceSum with axes as attribute");
    m = start(11, 2, I64(2, 2));
    make_node(&m, "ReduceSum", "", "x", "y");
    expect(&m, 17, 1, F32(-2), "ReduceSum over everything");
}

static void test_lists_that_became_inputs(void **state)
{
    (void)state;
    make m = start(7, 2, I64(2, 2));
    make_ints(&m, make_node(&m, "Unsqueeze", "", "x", "u"), "axes", 1, I64(0));
    make_ints(&m, make_node(&m, "Squeeze", "", "u", "y"), "axes", 1, I64(0));
    expect(&m, 17, 4, F32(1, -2, 3, -4), "Unsqueeze, Squeeze 7");
    m = start(11, 1, I64(4));
    make_ints(&m, make_node(&m, "Split", "", "x", "a y"), "split", 2, I64(1, 3));
    expect(&m, 17, 3, F32(-2, 3, -4), "Split 11");
    m = start(18, 1, I64(4));
    make_int(&m, make_node(&m, "Split", "", "x", "a y"), "num_outputs", 2);
    expect(&m, 18, 2, F32(3, -4), "Split 18");
    m = start(7, 1, I64(2));
    Onnx__NodeProto *n = make_node(&m, "Pad", "", "x", "y");
    make_ints(&m, n, "pads", 2, I64(1, 1));
    make_real(&m, n, "value", 5);
    expect(&m, 17, 4, F32(5, 1, -2, 5), "Pad 7");
    m = start(9, 1, I64(4));
    n = make_node(&m, "Slice", "", "x", "y");
    make_ints(&m, n, "starts", 1, I64(1));
    make_ints(&m, n, "ends", 1, I64(-1));
    expect(&m, 17, 2, F32(-2, 3), "Slice 9");
    m = start(7, 1, I64(4));
    make_real(&m, make_node(&m, "Clip", "", "x", "y"), "max", 2);
    expect(&m, 17, 4, F32(1, -2, 2, -4), "Clip 7");
    m = start(9, 1, I64(4));
    make_int(&m, make_node(&m, "TopK", "", "x", "y i"), "k", 2);
    expect(&m, 17, 2, F32(3, 1), "TopK 9");
    m = start(9, 1, I64(2));
    make_real(&m, make_node(&m, "Dropout", "", "x", "y"), "ratio", 0.25F);
    expect(&m, 17, 2, F32(1, -2), "Dropout 9");
}

/* Softmax before opset 13 normalises rows of a matrix: [2,2,1] with axis 1 is two rows of two. */
static void test_old_softmax(void **state)
{
    (void)state;
    const float a = (float)(1 / (1 + exp(-3))), b = (float)(1 / (1 + exp(-7)));
    for (int axis = 0; axis < 4; axis++) {
        make m = start(11, 3, I64(2, 2, 1));
        Onnx__NodeProto *n = make_node(&m, "Softmax", "s", "x", "y");
        if (axis) make_int(&m, n, "axis", axis == 3 ? -2 : axis);
        if (axis == 2)
            expect(&m, 17, 4, F32(1, 1, 1, 1), "Softmax 11 over the last axis");
        else
            expect(&m, 17, 4, F32(a, 1 - a, b, 1 - b), "Softmax 11 over a matrix");
    }
    make m = start(11, 2, I64(2, 2));
    make_node(&m, "Softmax", "s", "x", "y");
    pare_graph *g = loaded(&m);
    assert_int_equal(g->n_nodes, 1); /* the usual classifier stays one node */
    pare_graph_free(g);
    expect(&m, 17, 4, F32(a, 1 - a, b, 1 - b), "Softmax 11 of a matrix");
    m = start(11, 1, I64(2));
    make_int(&m, make_node(&m, "Softmax", "s", "x", "y"), "axis", 5);
    refuse(&m, "node 's': axis 5 is not within -1 to 0");
}

static void test_resizing(void **state)
{
    (void)state;
    make m = start(7, 1, I64(2));
    Onnx__NodeProto *n = make_node(&m, "Upsample", "", "x", "y");
    make_reals(&m, n, "scales", 1, F32(2));
    expect(&m, 17, 4, F32(1, 1, -2, -2), "Upsample 7");
    m = start(9, 1, I64(2));
    make_init(&m, "s", PARE_F32, 1, I64(1), F32(2), 4);
    make_text(&m, make_node(&m, "Upsample", "", "x s", "y"), "mode", "linear");
    expect(&m, 17, 4, F32(1, -0.5F, -2, -2), "Upsample 9, linear");
    m = start(10, 1, I64(4));
    make_init(&m, "s", PARE_F32, 1, I64(1), F32(0.6F), 4);
    make_node(&m, "Resize", "", "x s", "y"); /* element 1 / 0.6 = 1.67 rounds up when shrinking */
    expect(&m, 17, 2, F32(1, 3), "Resize 10 that shrinks");
    /* The same with scales that a node gives: they are known once constants are folded. */
    m = start(10, 1, I64(4));
    make_init(&m, "a", PARE_F32, 1, I64(1), F32(0.3F), 4);
    make_node(&m, "Add", "", "a a", "s");
    make_node(&m, "Resize", "", "x s", "y");
    expect(&m, 17, 2, F32(1, 3), "Resize 10 that shrinks by a computed scale");
    m = start(10, 1, I64(2));
    make_init(&m, "a", PARE_F32, 1, I64(1), F32(1), 4);
    make_node(&m, "Add", "", "a a", "s");
    make_text(&m, make_node(&m, "Resize", "", "x s", "y"), "mode", "linear");
    expect(&m, 17, 4, F32(1, -0.5F, -2, -2), "Resize 10, linear, by a computed scale");
    m = start(10, 1, I64(2));
    make_input(&m, "a", PARE_F32, 1, I64(1));
    make_node(&m, "Add", "", "a a", "s");
    make_node(&m, "Resize", "r", "x s", "y");
    refuse(&m, "scales is only known when running");
    m = start(10, 2, I64(2, 2));
    make_init(&m, "s", PARE_F32, 1, I64(2), F32(0.5F, 2), 8);
    make_node(&m, "Resize", "r", "x s", "y");
    refuse(&m, "node 'r': Resize before opset 11 that shrinks and enlarges at once");
}

static void test_refused_forms(void **state)
{
    (void)state;
    make m = start(8, 2, I64(1, 2));
    for (const char *name = "abcd"; *name; name++)
        make_init(&m, pare_arena_strn(m.arena, name, 1), PARE_F32, 1, I64(2), F32(1, 1), 8);
    Onnx__NodeProto *n = make_node(&m, "BatchNormalization", "bn", "x a b c d", "y");
    make_int(&m, n, "spatial", 0);
    refuse(&m, "node 'bn': attribute 'spatial' = 0 is not supported, only 1");
    m = start(7, 1, I64(2));
    make_node(&m, "Upsample", "u", "x", "y");
    refuse(&m, "node 'u': attribute 'scales' is missing");
}

/* Elements of 4 bits lie two to a byte, the lower half first. */
static void test_narrow_weights(void **state)
{
    (void)state;
    static const uint8_t bytes[] = { 0x78, 0xf3 }; /* the last half byte is nobody's */
    static const struct {
        int dtype;
        float want[3];
    } types[] = { { PARE_ONNX_INT4, { -16, 14, 6 } }, { PARE_ONNX_UINT4, { 16, 14, 6 } } };
    float two = 2;
    int64_t dim = 3;
    for (size_t i = 0; i < 2; i++)
        for (int form = 0; form < 3; form++) { /* raw, as integers, of a Constant */
            make m = make_new(21);
            make_init(&m, "two", PARE_F32, 0, NULL, &two, sizeof two);
            Onnx__TensorProto *t =
                form < 2 ? make_init(&m, "w", types[i].dtype, 1, &dim, bytes, sizeof bytes)
                         : make_tensor(&m, "", types[i].dtype, 1, &dim, bytes, sizeof bytes);
            int32_t integers[] = { bytes[0], bytes[1] };
            if (form == 1) {
                t->has_raw_data = false;
                t->raw_data.len = 0;
                t->n_int32_data = 2;
                t->int32_data = integers;
            } else if (form == 2) {
                Onnx__AttributeProto *a =
                    make_attr(&m, make_node(&m, "Constant", "", "", "w"), "value",
                              ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR);
                a->t = t;
            }
            make_node(&m, "DequantizeLinear", "", "w two", "y");
            make_output(&m, "y", PARE_F32, -1, NULL);
            expect(&m, 17, 3, types[i].want, form == 1 ? "integers" : "bytes");
        }
}

/* A QuantizeLinear to 4 bits clamps to them, whether its zero point or an attribute says so. */
static void test_narrow_outputs(void **state)
{
    (void)state;
    static const int64_t dim = 6;
    static const float half = 0.5f, shifted[] = { 1, -2, 3, -4, 3, -4.5f },
                       positive[] = { 1, 0, 3, 0, 5, 0 }, most[] = { 1, 0, 3, 0, 5, 0, 7, 0, 7.5f };
    make m = start(21, 1, &dim);
    make_init(&m, "half", PARE_F32, 0, NULL, &half, sizeof half);
    make_init(&m, "one", PARE_ONNX_INT4, 0, NULL, "\x01", 1);
    make_node(&m, "QuantizeLinear", "q", "x half one", "q");
    make_node(&m, "DequantizeLinear", "", "q half one", "y");
    expect(&m, 17, dim, shifted, "a zero point of 4 bits");
    m = start(21, 1, &dim);
    make_init(&m, "half", PARE_F32, 0, NULL, &half, sizeof half);
    make_int(&m, make_node(&m, "QuantizeLinear", "q", "x half", "q"), "output_dtype",
             PARE_ONNX_UINT4);
    make_node(&m, "DequantizeLinear", "", "q half", "y");
    expect(&m, 21, dim, positive, "an attribute of 4 bits");
    m = start(21, 1, &(int64_t){ 9 });
    make_init(&m, "half", PARE_F32, 0, NULL, &half, sizeof half);
    make_int(&m, make_node(&m, "QuantizeLinear", "q", "x half", "q"), "output_dtype",
             PARE_ONNX_UINT4);
    make_node(&m, "DequantizeLinear", "", "q half", "y");
    expect(&m, 21, 9, most, "above 4 bits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_reductions),     cmocka_unit_test(test_lists_that_became_inputs),
        cmocka_unit_test(test_old_softmax),    cmocka_unit_test(test_resizing),
        cmocka_unit_test(test_refused_forms),  cmocka_unit_test(test_narrow_weights),
        cmocka_unit_test(test_narrow_outputs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
