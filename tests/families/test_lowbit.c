/* Convolutions of few bits: every pair of bit widths against the operator's eval, and what the
 * graph must say before they are run as such. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "base/cpu.h"
#include "kernels/kernels.h"
#include "pare/plan.h"
#include "passes/ranges.h"
#include "support/build.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

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
static pare_tensor bytes_tensor(pare_dtype d, pare_type type, int least, int step, int levels,
                                uint64_t seed)
{
    pare_tensor t;
    pare_rng rng = pare_rng_stream(seed, 5);
    type.dtype = d;
    OK(pare_tensor_of(&type, &t));
    for (int64_t i = 0; i < pare_tensor_count(&t); i++)
        ((uint8_t *)t.data)[i] =
            (uint8_t)(least + step * (int)pare_rng_below(&rng, (uint32_t)levels));
    return t;
}

/* The implementation that runs the only QLinearConv. */
static const char *who_runs(const pare_plan *p)
{
    for (size_t i = 0; i < pare_plan_steps(p); i++) {
        pare_step_info info;
        pare_plan_step(p, i, &info);
        if (strcmp(info.op, "QLinearConv") == 0) return info.impl;
    }
    return "none";
}

typedef struct shape {
    int channels, kernels, size, kernel; /* maps of size x (size + 3) */
    const char *attrs;
    int weight_bits, input_bits;
    int outputs; /* a Clip leaves so many values; 0: none */
} shape;

/* QLinearConv of few bits; input and weights are signed or not by turns. */
static pare_graph *network(const shape *s, pare_tensor *in)
{
    bool is_signed = (s->channels + s->weight_bits) % 2, w_unsigned = s->kernels % 2;
    pare_dtype xt = is_signed ? PARE_I8 : PARE_U8, wt = w_unsigned ? PARE_U8 : PARE_I8;
    int codes = 1 << s->input_bits, levels = 1 << s->weight_bits,
        x_least = is_signed ? -codes / 2 : 0,
        w_least = w_unsigned            ? 20
                  : s->weight_bits == 1 ? -1
                                        : -levels / 2,
        w_step = w_unsigned            ? 7
                 : s->weight_bits == 1 ? 2
                                       : 1,
        w_zero = w_unsigned ? 20 + 7 * (levels / 2) : s->weight_bits == 3;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type xtype = f32_type(4, 2, s->channels, s->size, s->size + 3),
              wtype = f32_type(4, s->kernels, s->channels, s->kernel, s->kernel);
    xtype.dtype = xt;
    pare_id x = add_input(g, "x", xtype);
    *in = bytes_tensor(xt, xtype, 0, 1, 256, 3);
    x = add_node(g, "Clip", "", "codes", 3, x, byte(g, xt, x_least),
                 byte(g, xt, x_least + codes - 1));
    pare_tensor w = bytes_tensor(wt, wtype, w_least, w_step, levels, 4);
    float unit = 0.2f / sqrtf((float)(s->channels * s->kernel * s->kernel)) /
                 (float)(codes * levels * w_step);
    pare_id y = add_node(g, "QLinearConv", s->attrs, "conv", 8, x, add_scalar(g, unit),
                         byte(g, xt, x_least + codes / 3), add_tensor(g, w), add_scalar(g, 1),
                         byte(g, wt, w_zero), add_scalar(g, 0.004f), byte(g, PARE_U8, 99));
    if (s->outputs)
        y = add_node(g, "Clip", "", "few", 3, y, byte(g, PARE_U8, 98),
                     byte(g, PARE_U8, 97 + s->outputs));
    OK(pare_graph_mark_output(g, y));
    return g;
}

static pare_status planned(const pare_graph *g, int threads, pare_plan **p)
{
    return pare_plan_create(
        g, &(pare_plan_options){ .threads = threads, .force = "conv=conv_lowbit" }, p);
}

/* All numbers equal eval's, for any number of threads. */
static void layer(shape s)
{
    pare_tensor in, want = { 0 };
    pare_graph *g = network(&s, &in), *copy;
    OK(pare_graph_clone(g, &copy));
    evaluate_graph(copy, &in, &want);
    for (int threads = 1; threads <= 3; threads++) {
        char what[200];
        snprintf(
            what, sizeof what,
            "%d channels to %d, size %d, kernel %d %s, weights %d bits, inputs %d, %d outputs, "
            "%d threads",
            s.channels, s.kernels, s.size, s.kernel, s.attrs, s.weight_bits, s.input_bits,
            s.outputs, threads);
        pare_plan *p;
        pare_tensor got;
        OK(planned(g, threads, &p));
        assert_string_equal(who_runs(p), "conv_lowbit");
        pare_type t = pare_tensor_type(&want);
        OK(pare_tensor_of(&t, &got));
        OK(pare_plan_run(p, &in, &got));
        assert_close(&got, &want, 0, what);
        pare_tensor_free(&got);
        pare_plan_free(p);
    }
    pare_tensor_free(&in);
    pare_tensor_free(&want);
    pare_graph_free(copy);
    pare_graph_free(g);
}

static void test_bits(void **state)
{
    (void)state;
    static const int channels[] = { 1, 3, 16, 17, 48, 64, 100 };
    static const char *const attrs[] = { "pads=1/1/1/1", "strides=2/2,pads=2/0/1/1",
                                         "dilations=2/2", "pads=1/1/1/1,strides=1/3" };
    int i = 0;
    for (int n = 1; n <= 4; n++)
        for (int m = 1; m <= 4; m++)
            for (int c = 0; c < 7; c++, i++)
                layer((shape){ channels[c], 5 + 37 * (i % 5), 7, 3, attrs[i % 4], n, m, i % 6 });
    for (int n = 1; n <= 4; n++) layer((shape){ 64, 100, 1, 1, "", n, 2, 0 });
    layer((shape){ 160, 16, 9, 9, "pads=4/4/4/4", 4, 4, 0 });   /* more than 16 bits of a sum */
    layer((shape){ 200, 130, 12, 3, "pads=1/1/1/1", 2, 3, 0 }); /* several parts of channels */
    layer((shape){ 20, 130, 60, 3, "pads=1/1/1/1", 1, 2, 4 });  /* several bands */
}

static void test_shapes(void **state)
{
    (void)state;
    for (int size = 1; size <= 18; size++) {
        layer((shape){ 7, 70, size, 3, "pads=1/1/1/1", 1, 2, size % 5 });
        layer((shape){ 13, 9, size, 5, "pads=2/2/2/2,strides=3/2", 2, 2, size % 4 });
        layer((shape){ 6, 33, size, 1, "strides=2/4", 1, 3, 0 });
    }
    layer((shape){ 3, 8, 9, 2, "strides=5/7", 2, 2, 0 });
    layer((shape){ 17, 8, 9, 7, "pads=3/9/3/9,dilations=1/2,strides=1/4", 1, 2, 0 });
    layer((shape){ 5, 6, 8, 4, "pads=9/9/9/9,dilations=3/5,strides=2/5", 1, 4, 0 });
    layer((shape){ 3, 8, 7, 3, "strides=2147483647/2147483647", 1, 2, 0 });
    layer((shape){ 3, 8, 7, 3, "dilations=500/300,pads=500/300/500/300", 1, 2, 0 });
    layer((shape){ 3, 8, 7, 1, "pads=0/400/0/400,strides=1/150,dilations=9/2147483647", 1, 2, 0 });
}

/* Look-ups are taken where they are faster, and only there. */
static void test_choice(void **state)
{
    (void)state;
    pare_kernels k;
    pare_kernels_init(&k, pare_cpu_detect());
    if (k.isa[0] == 'c' || k.vl < 8) skip(); /* their times are not modelled */
    static const struct {
        int weight_bits, input_bits;
        bool expect;
    } cases[] = { { 1, 1, true }, { 1, 2, true }, { 2, 2, true }, { 1, 4, true }, { 4, 4, false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        shape s = { 64, 64, 56, 3, "pads=1/1/1/1", cases[i].weight_bits, cases[i].input_bits, 4 };
        pare_tensor in;
        pare_graph *g = network(&s, &in);
        pare_plan *p;
        OK(pare_plan_create(g, NULL, &p));
        if ((strcmp(who_runs(p), "conv_lowbit") == 0) != cases[i].expect)
            fail_msg("weights %d bits, inputs %d: %s", s.weight_bits, s.input_bits, who_runs(p));
        pare_plan_free(p);
        pare_tensor_free(&in);
        pare_graph_free(g);
    }
}

/* Too much memory or too many bits: other implementations have it. */
static void test_refused(void **state)
{
    (void)state;
    static const shape shapes[] = {
        { 3, 8, 7, 3, "dilations=20000/20000,pads=20000/20000/20000/20000", 1, 2, 0 },
        { 64, 8, 2, 3, "dilations=1/250000,pads=1/250000/1/250000", 1, 2, 0 },
        { 1, 1, 40, 40, "", 4, 4, 0 },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        pare_tensor in;
        pare_graph *g = network(&shapes[i], &in);
        pare_plan *p = NULL;
        assert_int_not_equal(planned(g, 1, &p), PARE_OK);
        assert_null(p);
        pare_tensor_free(&in);
        pare_graph_free(g);
    }
}

/* A network's end in front of a convolution with weights of one bit; gives the plan's choice. */
typedef enum proof {
    NOTHING,
    CLIP,
    RELU_CLIP,
    WIDE_CLIP,
    SIGNED_CLIP,
    POOL,
    CONV_CLIP,
    RUNNING_CLIP
} proof;

static pare_id quantised(pare_graph *g, pare_id x, float scale, pare_dtype d)
{
    pare_id q = add_node(g, "QuantizeLinear", "", "q", 3, x, add_scalar(g, scale), byte(g, d, 0));
    return add_node(g, "DequantizeLinear", "", "dq", 3, q, add_scalar(g, scale), byte(g, d, 0));
}
static pare_id convolved(pare_graph *g, pare_id x, int levels, const char *name)
{
    pare_tensor w = bytes_tensor(PARE_I8, f32_type(4, 64, 64, 3, 3), -1, 2, levels, 4);
    pare_id dq =
        add_node(g, "DequantizeLinear", "", "w", 2, add_tensor(g, w), add_scalar(g, 0.02f));
    return add_node(g, "Conv", "pads=1/1/1/1", name, 2, x, dq);
}

static void proven(proof p, bool expect)
{
    const float s = 0.3f;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type t = f32_type(4, 1, 64, 12, 12);
    pare_tensor in[2] = { random_tensor(t, 1), random_tensor(f32_type(0), 2) }, want = { 0 }, got;
    pare_id x = add_input(g, "x", t),
            top = p == RUNNING_CLIP ? add_input(g, "t", f32_type(0)) : PARE_NONE;
    ((float *)in[0].data)[3] = NAN;
    pare_dtype d = p == SIGNED_CLIP ? PARE_I8 : PARE_U8;
    if (p == CONV_CLIP) x = convolved(g, quantised(g, x, s, PARE_U8), 100, "first");
    if (p == RELU_CLIP) x = add_node(g, "Relu", "", "relu", 1, x);
    if (p != NOTHING)
        x = add_node(g, "Clip", "", "clip", 3, x, add_scalar(g, p == SIGNED_CLIP ? -2 * s : 0),
                     p == RUNNING_CLIP ? top : add_scalar(g, (p == WIDE_CLIP ? 16 : 3) * s));
    x = quantised(g, x, s, d);
    if (p == POOL) x = add_node(g, "MaxPool", "kernel_shape=3/3,pads=1/1/1/1", "pool", 1, x);
    pare_id y = quantised(g, convolved(g, x, 2, "conv"), 0.05f, PARE_I8);
    OK(pare_graph_mark_output(g, y));
    pare_plan *lowbit = NULL, *bytes;
    pare_status st =
        pare_plan_create(g, &(pare_plan_options){ .force = "conv=conv_lowbit" }, &lowbit);
    if ((st == PARE_OK) != expect)
        fail_msg("proof %d: %s", p, st == PARE_OK ? "accepted" : pare_error());
    if (expect) {
        OK(pare_plan_create(g, &(pare_plan_options){ .force = "conv=conv_int8" }, &bytes));
        pare_type out;
        pare_plan_output(bytes, 0, &out);
        OK(pare_tensor_of(&out, &want));
        OK(pare_tensor_of(&out, &got));
        OK(pare_plan_run(bytes, in, &want));
        OK(pare_plan_run(lowbit, in, &got));
        assert_memory_equal(got.data, want.data, pare_tensor_bytes(&want));
        pare_tensor_free(&want);
        pare_tensor_free(&got);
        pare_plan_free(bytes);
    }
    pare_plan_free(lowbit);
    pare_tensor_free(&in[0]);
    pare_tensor_free(&in[1]);
    pare_graph_free(g);
}

static void test_proofs(void **state)
{
    (void)state;
    proven(NOTHING, false);
    proven(CLIP, true);
    proven(RELU_CLIP, true);
    proven(WIDE_CLIP, false);   /* 17 codes */
    proven(SIGNED_CLIP, false); /* NaN becomes -128 */
    proven(POOL, true);
    proven(CONV_CLIP, true);
    proven(RUNNING_CLIP, false);
}

static void test_ranges(void **state)
{
    (void)state;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type t = f32_type(2, 3, 4), u = t;
    u.dtype = PARE_U8;
    pare_id x = add_input(g, "x", t), b = add_input(g, "b", u);
    pare_id relu = add_node(g, "Relu", "", "r", 1, x);
    pare_id clip = add_node(g, "Clip", "", "c", 3, relu, add_scalar(g, -1), add_scalar(g, 2));
    pare_id q =
        add_node(g, "QuantizeLinear", "", "q", 3, clip, add_scalar(g, 0.5f), byte(g, PARE_U8, 10));
    pare_id odd =
        add_node(g, "QuantizeLinear", "", "q", 3, clip, add_scalar(g, -0.5f), byte(g, PARE_U8, 10));
    pare_id cat = add_node(g, "Concat", "axis=0", "cat", 2, q, b);
    pare_id few = add_node(g, "Clip", "", "f", 3, cat, byte(g, PARE_U8, 3), byte(g, PARE_U8, 5));
    pare_id move = add_node(g, "Transpose", "", "t", 1, few);
    OK(pare_graph_mark_output(g, move));
    OK(pare_graph_mark_output(g, odd));
    OK(pare_infer(g, false));
    pare_bounds *r = calloc(g->n_values, sizeof *r);
    assert_non_null(r);
    pare_ranges(g, r);
    const struct {
        pare_id v;
        double lo, hi;
    } want[] = { { x, -INFINITY, INFINITY },
                 { b, 0, 255 },
                 { relu, 0, INFINITY },
                 { clip, 0, 2 },
                 { q, 0, 14 },
                 { odd, 0, 255 },
                 { cat, 0, 255 },
                 { few, 3, 5 },
                 { move, 3, 5 } };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (r[want[i].v].lo != want[i].lo || r[want[i].v].hi != want[i].hi)
            fail_msg("value %zu: %g to %g", i, r[want[i].v].lo, r[want[i].v].hi);
    free(r);
    pare_graph_free(g);
}

int main(void)
{
    setenv("PARE_TUNE", "off", 1); /* which machine this is must not matter */
    const struct CMUnitTest ranges[] = { cmocka_unit_test(test_ranges) };
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_choice), cmocka_unit_test(test_bits),
        cmocka_unit_test(test_shapes), cmocka_unit_test(test_refused),
        cmocka_unit_test(test_proofs),
    };
    pare_kernels k;
    pare_kernels_init(&k, pare_cpu_detect());
    int failed = cmocka_run_group_tests(ranges, NULL, NULL);
    if (k.lowbit_span) /* else there is no such implementation */
        failed += cmocka_run_group_tests(tests, NULL, NULL);
    return failed;
}
