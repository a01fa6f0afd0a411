/* Quantised patterns become integer steps of a plan: which ones, and that results differ from the
 * pattern's evaluation in float32 by at most a step of the output. */
#include "pare/plan.h"
#include "passes/qdq.h"
#include "support/build.h"

#include <math.h>
#include <stdio.h>

static pare_id add_tensor(pare_graph *g, pare_tensor t)
{
    pare_id v;
    OK(pare_graph_add_constant(g, pare_graph_unique(g, "k"), pare_weight_dense(t), &v));
    return v;
}
static pare_id byte(pare_graph *g, pare_dtype d, int x)
{
    pare_tensor t;
    OK(pare_tensor_new(d, 0, NULL, &t));
    *(uint8_t *)t.data = (uint8_t)x;
    return add_tensor(g, t);
}
static pare_id q(pare_graph *g, pare_id x, float scale, pare_dtype d, int zero)
{
    return add_node(g, "QuantizeLinear", "", "q", 3, x, add_scalar(g, scale), byte(g, d, zero));
}
static pare_id dq(pare_graph *g, pare_id x, float scale, pare_dtype d, int zero)
{
    return add_node(g, "DequantizeLinear", "", "dq", 3, x, add_scalar(g, scale), byte(g, d, zero));
}
static pare_id qdq(pare_graph *g, pare_id x, float scale, pare_dtype d, int zero)
{
    return dq(g, q(g, x, scale, d, zero), scale, d, zero);
}

/* A constant of bytes, dequantised; `axis` < 0: one scale. */
static pare_id weight(pare_graph *g, pare_type t, int axis, uint64_t seed)
{
    pare_tensor w, s;
    pare_rng rng = pare_rng_stream(seed, 1);
    t.dtype = PARE_I8;
    OK(pare_tensor_of(&t, &w));
    for (int64_t i = 0; i < pare_tensor_count(&w); i++)
        ((int8_t *)w.data)[i] = (int8_t)((int)pare_rng_below(&rng, 255) - 127);
    if (axis < 0) return dq(g, add_tensor(g, w), 0.01f, PARE_I8, 0);
    OK(pare_tensor_new(PARE_F32, 1, &t.dim[axis], &s));
    for (int64_t i = 0; i < t.dim[axis]; i++)
        ((float *)s.data)[i] = 0.002f + 0.01f * (float)pare_rng_uniform(&rng);
    char attrs[20];
    snprintf(attrs, sizeof attrs, "axis=%d", axis);
    return add_node(g, "DequantizeLinear", attrs, "dq", 2, add_tensor(g, w), add_tensor(g, s));
}

typedef struct net {
    pare_graph *g;
    pare_tensor in[2];
    float step; /* of the output */
} net;

/* How many steps of a plan run this operator. */
static int count(const pare_plan *p, const char *op)
{
    int n = 0;
    for (size_t i = 0; i < pare_plan_steps(p); i++) {
        pare_step_info info;
        pare_plan_step(p, i, &info);
        n += strcmp(info.op, op) == 0;
    }
    return n;
}

/* Output o of a plan as the pattern's evaluation has it, but for n->step. */
static void compare(const net *n, const char *what, const pare_tensor *got, const pare_tensor *want)
{
    assert_int_equal(got->dtype, want->dtype);
    for (int64_t i = 0; i < pare_tensor_count(want); i++) {
        double a = pare_tensor_get_f64(got, i), b = pare_tensor_get_f64(want, i);
        if (!(fabs(a - b) <= 1.0001 * (double)n->step))
            fail_msg("%s: element %lld is %g instead of %g", what, (long long)i, a, b);
    }
}

/* The plan must have `times` steps of `op`, and no float32 Conv, Gemm, MatMul, Add, Relu or Clip
 * but those. */
static void check(net *n, const char *what, const char *op, int times)
{
    enum { INTEGERS, REFERENCE, NO_INTEGERS, WAYS, OUTPUTS = 2 };
    pare_tensor want[OUTPUTS] = { 0 }, got[OUTPUTS] = { 0 };
    pare_graph *copy;
    OK(pare_graph_clone(n->g, &copy));
    evaluate_graph(copy, n->in, want);
    for (int way = 0; way < WAYS; way++) {
        pare_plan *p;
        pare_type t;
        OK(pare_plan_create(n->g,
                            &(pare_plan_options){ .threads = 2,
                                                  .force = way == REFERENCE ? "reference" : NULL,
                                                  .no_integers = way == NO_INTEGERS },
                            &p));
        for (size_t o = 0; o < pare_plan_outputs(p); o++) {
            pare_plan_output(p, o, &t);
            OK(pare_tensor_of(&t, &got[o]));
        }
        OK(pare_plan_run(p, n->in, got));
        if (way != INTEGERS) {
            int made = count(p, "QLinearConv") + count(p, "ConvInteger") + count(p, "QLinearAdd") +
                       count(p, "QLinearGlobalAveragePool");
            assert_int_equal(made, 0);
        } else if (count(p, op) != times)
            fail_msg("%s: %d steps of %s", what, count(p, op), op);
        static const char *const real[] = { "Conv", "Gemm", "MatMul", "Add", "Relu", "Clip" };
        for (size_t i = 0; way == INTEGERS && i < sizeof real / sizeof *real; i++)
            if (count(p, real[i]) > 0 && strcmp(op, real[i]) != 0)
                fail_msg("%s: %s is left", what, real[i]);
        for (size_t o = 0; o < pare_plan_outputs(p); o++) {
            if (way == REFERENCE)
                assert_close(&got[o], &want[o], 0, what);
            else
                compare(n, what, &got[o], &want[o]);
            pare_tensor_free(&got[o]);
        }
        pare_plan_free(p);
    }
    for (int i = 0; i < OUTPUTS; i++) pare_tensor_free(&want[i]);
    for (int i = 0; i < 2; i++) pare_tensor_free(&n->in[i]);
    pare_graph_free(copy);
    pare_graph_free(n->g);
}

static net start(pare_type t, int inputs, pare_id *x)
{
    net n = { .step = 0.05f };
    OK(pare_graph_new(&n.g));
    for (int i = 0; i < inputs; i++) {
        n.in[i] = random_tensor(t, 3 + (uint64_t)i);
        x[i] = add_input(n.g, i ? "b" : "a", t);
    }
    return n;
}

static void test_conv(void **state)
{
    (void)state;
    static const char *const acts[] = { NULL, "Relu", "Clip", "Relu, Clip" };
    for (int act = 0; act < 4; act++)
        for (int kind = 0; kind < 4; kind++) { /* signed? float bias? */
            pare_id x;
            pare_dtype d = kind % 2 ? PARE_I8 : PARE_U8;
            net n = start(f32_type(4, 2, 6, 9, 8), 1, &x);
            x = qdq(n.g, x, 0.03f, d, kind % 2 ? -3 : 121);
            pare_id w = weight(n.g, f32_type(4, 10, 6, 3, 3), kind < 2 ? 0 : -1, 8), b;
            if (kind > 1)
                b = add_random(n.g, "b", f32_type(1, 10), 9);
            else {
                pare_tensor t;
                OK(pare_tensor_new(PARE_I32, 1, (int64_t[]){ 10 }, &t));
                for (int i = 0; i < 10; i++) ((int32_t *)t.data)[i] = 200 * i - 900;
                b = add_node(n.g, "DequantizeLinear", "", "dq", 2, add_tensor(n.g, t),
                             add_scalar(n.g, 0.0003f));
            }
            pare_id y = add_node(n.g, "Conv", "pads=1/1/1/1", "conv", 3, x, w, b);
            if (act % 2) y = add_node(n.g, "Relu", "", "act", 1, y);
            if (act > 1)
                y = add_node(n.g, "Clip", "", "act", 3, y, add_scalar(n.g, -0.5f),
                             add_scalar(n.g, 1.5f));
            y = qdq(n.g, y, n.step, d, 10);
            OK(pare_graph_mark_output(n.g, y));
            char what[60];
            snprintf(what, sizeof what, "Conv, %s, kind %d", acts[act] ? acts[act] : "-", kind);
            check(&n, what, "QLinearConv", 1);
        }
}

static void test_products(void **state)
{
    (void)state;
    for (int kind = 0; kind < 6; kind++) { /* Gemm transB, Gemm, MatMul; with and without Q */
        pare_id x, y;
        bool matmul = kind % 3 == 2, columns = kind % 3 != 0, bytes = kind < 3;
        net n = start(matmul ? f32_type(3, 2, 5, 33) : f32_type(2, 7, 33), 1, &x);
        x = qdq(n.g, x, 0.03f, PARE_U8, 121);
        pare_id w = weight(n.g, columns ? f32_type(2, 33, 20) : f32_type(2, 20, 33), columns, 8),
                b = add_random(n.g, "b", f32_type(1, 20), 9);
        if (matmul)
            y = add_node(n.g, "MatMul", "", "fc", 2, x, w);
        else
            y = add_node(n.g, "Gemm", columns ? "" : "transB=1", "fc", 3, x, w, b);
        if (bytes)
            y = qdq(n.g, y, n.step, PARE_U8, 100);
        else
            n.step = 1e-5f;
        OK(pare_graph_mark_output(n.g, y));
        char what[60];
        snprintf(what, sizeof what, "product, kind %d", kind);
        check(&n, what, bytes ? "QLinearConv" : "ConvInteger", 1);
    }
}

static void test_others(void **state)
{
    (void)state;
    for (int relu = 0; relu < 2; relu++) {
        pare_id x[2];
        net n = start(f32_type(4, 1, 20, 6, 7), 2, x);
        x[0] = qdq(n.g, x[0], 0.03f, PARE_I8, -5), x[1] = qdq(n.g, x[1], 0.02f, PARE_I8, 11);
        pare_id y = add_node(n.g, "Add", "", "add", 2, x[0], x[1]);
        if (relu) y = add_node(n.g, "Relu", "", "act", 1, y);
        OK(pare_graph_mark_output(n.g, qdq(n.g, y, n.step, PARE_I8, relu ? -128 : 0)));
        check(&n, "Add", "QLinearAdd", 1);
    }
    pare_id x[2];
    net n = start(f32_type(4, 2, 20, 6, 7), 1, x);
    x[0] = qdq(n.g, x[0], 0.03f, PARE_U8, 100);
    pare_id y = add_node(n.g, "GlobalAveragePool", "", "mean", 1, x[0]);
    OK(pare_graph_mark_output(n.g, qdq(n.g, y, n.step, PARE_U8, 120)));
    check(&n, "mean", "QLinearGlobalAveragePool", 1);

    /* Moves change places with the DequantizeLinear, exactly. */
    n = start(f32_type(4, 2, 32, 6, 8), 2, x);
    n.step = 0;
    x[0] = qdq(n.g, x[0], 0.03f, PARE_U8, 100), x[1] = qdq(n.g, x[1], 0.03f, PARE_U8, 100);
    y = add_node(n.g, "Concat", "axis=1", "cat", 2, x[0], x[1]);
    y = qdq(n.g, y, 0.03f, PARE_U8, 100);
    y = add_node(n.g, "MaxPool", "kernel_shape=2/2,strides=2/2", "pool", 1, y);
    y = qdq(n.g, y, 0.03f, PARE_U8, 100);
    y = add_node(n.g, "Transpose", "perm=0/2/3/1", "move", 1, y);
    y = add_node(n.g, "Flatten", "", "flat", 1, y);
    OK(pare_graph_mark_output(n.g, y));
    check(&n, "moves", "DequantizeLinear", 1);

    /* Another scale behind a move, and a sum read twice: left as they are. */
    n = start(f32_type(4, 1, 3, 6, 8), 1, x);
    n.step = 0;
    y = add_node(n.g, "MaxPool", "kernel_shape=2/2", "pool", 1, qdq(n.g, x[0], 0.03f, PARE_U8, 9));
    OK(pare_graph_mark_output(n.g, qdq(n.g, y, 0.05f, PARE_U8, 9)));
    check(&n, "another scale", "QuantizeLinear", 2);
    n = start(f32_type(4, 1, 3, 6, 8), 1, x);
    n.step = 0;
    x[0] = qdq(n.g, x[0], 0.03f, PARE_U8, 9);
    y = add_node(n.g, "Add", "", "add", 2, x[0], x[0]);
    y = add_node(n.g, "Mul", "", "mul", 2, y, qdq(n.g, y, 0.03f, PARE_U8, 9));
    OK(pare_graph_mark_output(n.g, y));
    check(&n, "read twice", "Add", 1);
}

/* What looks like a number for each kernel and is one for each row; a scale that is no number; one
 * that is not quite the sums'. */
static void test_biases(void **state)
{
    (void)state;
    for (int kind = 0; kind < 4; kind++) {
        static const char *const what[] = { "a bias for each column", "a bias for each row",
                                            "a bias without a scale", "a scale 1 + 5e-5" };
        pare_id x;
        net n = start(f32_type(2, 4, 4), 1, &x);
        x = qdq(n.g, x, 0.03f, PARE_U8, 121);
        pare_id w = weight(n.g, f32_type(2, 4, 4), -1, 8), b;
        pare_tensor t;
        if (kind < 2) {
            pare_type column = kind ? f32_type(2, 4, 1) : f32_type(2, 1, 4);
            OK(pare_tensor_of(&column, &t));
            for (int i = 0; i < 4; i++) ((float *)t.data)[i] = 1 + (float)i;
            b = add_tensor(n.g, t);
        } else {
            OK(pare_tensor_new(PARE_I32, 1, (int64_t[]){ 4 }, &t));
            for (int i = 0; i < 4; i++) ((int32_t *)t.data)[i] = kind == 2 ? 0 : 1000000 * i;
            b = add_node(n.g, "DequantizeLinear", "", "dq", 2, add_tensor(n.g, t),
                         add_scalar(n.g, kind == 2 ? NAN : 0.0003f * 1.00005f));
        }
        pare_id y = add_node(n.g, "Gemm", "", "fc", 3, x, w, b);
        if (kind < 3)
            y = qdq(n.g, y, n.step, PARE_U8, 100);
        else
            n.step = 0.002f; /* of 900 */
        OK(pare_graph_mark_output(n.g, y));
        check(&n, what[kind], kind == 3 ? "ConvInteger" : kind ? "Gemm" : "QLinearConv", 1);
    }
}

/* The sums' steps are 0.4: a bias in whole ones would be off by many of the output's. */
static void test_coarse_sums(void **state)
{
    (void)state;
    for (int bytes = 0; bytes < 2; bytes++) {
        pare_id x;
        net n = start(f32_type(2, 4, 4), 1, &x);
        for (int i = 0; i < 16; i++) ((float *)n.in[0].data)[i] *= 100;
        x = qdq(n.g, x, 40, PARE_U8, 121);
        pare_id y = add_node(n.g, "Gemm", "", "fc", 3, x, weight(n.g, f32_type(2, 4, 4), -1, 8),
                             add_random(n.g, "b", f32_type(1, 4), 9));
        if (bytes)
            y = qdq(n.g, y, n.step, PARE_U8, 128);
        else
            n.step = 1e-4f;
        OK(pare_graph_mark_output(n.g, y));
        check(&n, bytes ? "coarse sums to bytes" : "coarse sums", bytes ? "Gemm" : "ConvInteger",
              1);
    }
}

/* Bytes that stay as they are because the real numbers know more: a window that misses the input is
 * -inf, and a byte too large for float32 infinite. */
static void test_left_alone(void **state)
{
    (void)state;
    pare_id x;
    net n = start(f32_type(4, 1, 2, 1, 1), 1, &x);
    n.step = 1e-5f;
    x = qdq(n.g, x, 0.03f, PARE_U8, 121);
    x = add_node(n.g, "MaxPool", "kernel_shape=2/2,dilations=2/2,pads=1/1/1/1", "pool", 1, x);
    x = add_node(n.g, "Sigmoid", "", "s", 1, x); /* 0 or 0.026 */
    OK(pare_graph_mark_output(n.g, x));
    check(&n, "a window beside the input", "MaxPool", 1);
    n = start(f32_type(4, 1, 2, 3, 3), 1, &x);
    n.step = 0;
    for (int i = 0; i < 18; i++) ((float *)n.in[0].data)[i] *= 1e38f;
    x = qdq(n.g, x, 1e37f, PARE_U8, 0);
    OK(pare_graph_mark_output(n.g, q(n.g, x, 1e37f, PARE_U8, 0)));
    check(&n, "a byte beyond float32", "QuantizeLinear", 2);
}

/* Patterns that only look like those of integers. */
static void test_nearly(void **state)
{
    (void)state;
    pare_id x[2], y;
    pare_type t = f32_type(4, 1, 6, 5, 7);
    net n = start(t, 1, x);
    n.step = 0;
    y = qdq(n.g, x[0], 0.03f, PARE_U8, 100);
    OK(pare_graph_mark_output(n.g, q(n.g, y, 0.03f, PARE_U8, 90)));
    check(&n, "another zero point", "QuantizeLinear", 2);

    n = start(t, 2, x);
    n.step = 0;
    x[0] = qdq(n.g, x[0], 0.03f, PARE_U8, 100), x[1] = qdq(n.g, x[1], 0.03f, PARE_U8, 90);
    y = add_node(n.g, "Concat", "axis=1", "cat", 2, x[0], x[1]);
    OK(pare_graph_mark_output(n.g, y));
    check(&n, "parts of two kinds", "DequantizeLinear", 2);

    n = start(t, 1, x); /* the convolution's own result is wanted, too */
    x[0] = qdq(n.g, x[0], 0.03f, PARE_U8, 100);
    y = add_node(n.g, "Conv", "", "conv", 2, x[0], weight(n.g, f32_type(4, 6, 6, 3, 3), 0, 1));
    OK(pare_graph_mark_output(n.g, y));
    OK(pare_graph_mark_output(n.g, qdq(n.g, y, n.step, PARE_U8, 100)));
    check(&n, "an output in between", "Conv", 1);

    n = start(t, 1, x); /* as many scales as kernels, but along another axis */
    x[0] = qdq(n.g, x[0], 0.03f, PARE_U8, 100);
    y = add_node(n.g, "Conv", "", "conv", 2, x[0], weight(n.g, f32_type(4, 6, 6, 3, 3), 1, 1));
    OK(pare_graph_mark_output(n.g, qdq(n.g, y, n.step, PARE_U8, 100)));
    check(&n, "scales of input channels", "Conv", 1);

    n = start(t, 1, x); /* the same bytes twice, both outputs */
    n.step = 0;
    y = q(n.g, x[0], 0.03f, PARE_U8, 100);
    OK(pare_graph_mark_output(n.g, y));
    OK(pare_graph_mark_output(n.g, q(n.g, dq(n.g, y, 0.03f, PARE_U8, 100), 0.03f, PARE_U8, 100)));
    check(&n, "one tensor under two names", "QuantizeLinear", 2);

    n = start(t, 2, x); /* numbers that each serve a plane */
    x[0] = qdq(n.g, x[0], 0.03f, PARE_U8, 100);
    y = qdq(n.g, add_node(n.g, "GlobalAveragePool", "", "mean", 1, x[1]), 0.02f, PARE_U8, 128);
    y = add_node(n.g, "Add", "", "add", 2, x[0], y);
    OK(pare_graph_mark_output(n.g, qdq(n.g, y, n.step, PARE_U8, 100)));
    check(&n, "operands of two shapes", "Add", 1);

    n = start(f32_type(3, 2, 6, 9), 1, x);
    x[0] = qdq(n.g, x[0], 0.03f, PARE_U8, 100);
    y = add_node(n.g, "Conv", "", "conv", 2, x[0], weight(n.g, f32_type(3, 5, 6, 3), 0, 1));
    OK(pare_graph_mark_output(n.g, qdq(n.g, y, n.step, PARE_U8, 100)));
    check(&n, "one dimension", "Conv", 1);
}

/* What is saved stays ONNX: only a plan's own graph is rewritten. */
static void test_graph_is_left(void **state)
{
    (void)state;
    pare_id x;
    net n = start(f32_type(4, 1, 3, 5, 5), 1, &x);
    pare_id y = add_node(n.g, "Conv", "", "conv", 2, qdq(n.g, x, 0.03f, PARE_U8, 9),
                         weight(n.g, f32_type(4, 4, 3, 3, 3), 0, 2));
    OK(pare_graph_mark_output(n.g, qdq(n.g, y, 0.05f, PARE_U8, 128)));
    pare_plan *p;
    OK(pare_plan_create(n.g, NULL, &p));
    assert_int_equal(count(p, "QLinearConv"), 1);
    int convs = 0;
    for (uint32_t i = 0; i < n.g->n_nodes; i++) convs += strcmp(n.g->node[i].op->name, "Conv") == 0;
    assert_int_equal(convs, 1);
    pare_plan_free(p);
    pare_tensor_free(&n.in[0]);
    pare_graph_free(n.g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),        cmocka_unit_test(test_products),
        cmocka_unit_test(test_others),      cmocka_unit_test(test_biases),
        cmocka_unit_test(test_coarse_sums), cmocka_unit_test(test_nearly),
        cmocka_unit_test(test_left_alone),  cmocka_unit_test(test_graph_is_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
