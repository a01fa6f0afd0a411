/* conv_penni, conv_sparse and gemm_sparse against the reference evaluation of the decoded weight,
 * over odd geometries, with everything that a plan fuses behind them; and bitwise the same for 1, 2
 * and 3 threads.
 */
#include "codecs/bitmap.h"
#include "codecs/penni.h"
#include "pare/plan.h"
#include "support/build.h"

#include <math.h>
#include <stdio.h>

typedef struct shape {
    int64_t n, c, h, w, out, kernel, stride, dilation, pad0, pad1,
        d; /* d: basis kernels; 0: a bit mask */
    double density;
    bool bias, residual, relu;
} shape;

static pare_graph *network(const shape *s, pare_rng *r)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type wt = f32_type(4, (int)s->out, (int)s->c, (int)s->kernel, (int)s->kernel);
    size_t taps = (size_t)(s->kernel * s->kernel), d = s->d ? (size_t)s->d : taps,
           count = (size_t)(s->out * s->c) * d;
    float *a = malloc((count + 1) * sizeof *a), *basis = malloc(d * taps * sizeof *basis);
    assert_non_null(a);
    assert_non_null(basis);
    for (size_t i = 0; i < count; i++)
        a[i] = pare_rng_uniform(r) < s->density ? (float)pare_rng_normal(r) : 0;
    for (size_t i = 0; i < d * taps; i++) basis[i] = (float)pare_rng_normal(r);
    pare_weight encoded;
    if (s->d)
        OK(pare_penni_encode(&wt, s->d, a, NULL, basis, &encoded));
    else
        OK(pare_bitmap_encode(&wt, a, NULL, &encoded));
    free(a);
    free(basis);
    pare_id w, bias = PARE_NONE;
    pare_id x = add_input(g, "x", f32_type(4, (int)s->n, (int)s->c, (int)s->h, (int)s->w));
    OK(pare_graph_add_constant(g, "w", encoded, &w));
    if (s->bias) bias = add_random(g, "b", f32_type(1, (int)s->out), pare_rng_u64(r));
    char attrs[128];
    snprintf(attrs, sizeof attrs, "strides=%d/%d,dilations=%d/%d,pads=%d/%d/%d/%d", (int)s->stride,
             (int)s->stride, (int)s->dilation, (int)s->dilation, (int)s->pad0, (int)s->pad1,
             (int)s->pad1, (int)s->pad0);
    pare_id out = add_node(g, "Conv", attrs, "conv", s->bias ? 3 : 2, x, w, bias);
    OK(pare_infer(g, false));
    if (s->residual)
        out = add_node(g, "Add", "", "sum", 2, out, add_input(g, "r", g->value[out].type));
    if (s->relu) out = add_node(g, "Relu", "", "y", 1, out);
    OK(pare_graph_mark_output(g, out));
    return g;
}

static pare_tensor run(const pare_graph *g, const char *force, int threads, const pare_tensor *in)
{
    pare_plan *plan = NULL;
    pare_plan_options o = { .threads = threads, .force = force };
    if (pare_plan_create(g, &o, &plan) != PARE_OK) fail_msg("%s", pare_error());
    pare_type type;
    pare_plan_output(plan, 0, &type);
    pare_tensor out;
    assert_int_equal(pare_tensor_of(&type, &out), PARE_OK);
    memset(out.data, 0xff, pare_tensor_bytes(&out)); /* NaN: what is not written shows */
    assert_int_equal(pare_plan_run(plan, in, &out), PARE_OK);
    pare_plan_free(plan);
    return out;
}

static void check(const shape *s, uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, 7);
    pare_graph *g = network(s, &r);
    pare_tensor in[2] = { random_tensor(g->value[g->input[0]].type, seed) };
    if (s->residual) in[1] = random_tensor(g->value[g->input[1]].type, seed + 1);
    const char *force = s->d ? "conv=conv_penni" : "conv=conv_sparse";
    pare_tensor want = run(g, "conv=reference", 1, in), one = run(g, force, 1, in);
    float scale = sqrtf((float)(s->c * (s->d + 1) * s->kernel * s->kernel)) * 4 + 4;
    for (int64_t i = 0; i < pare_tensor_count(&want); i++) {
        float a = ((float *)want.data)[i], b = ((float *)one.data)[i];
        if (!(fabsf(a - b) <= 2e-6f * scale))
            fail_msg("seed %llu: n=%d c=%d %dx%d out=%d k=%d s=%d dil=%d pads=%d,%d d=%d "
                     "density=%g: [%lld] "
                     "is %g instead of %g",
                     (unsigned long long)seed, (int)s->n, (int)s->c, (int)s->h, (int)s->w,
                     (int)s->out, (int)s->kernel, (int)s->stride, (int)s->dilation, (int)s->pad0,
                     (int)s->pad1, (int)s->d, s->density, (long long)i, b, a);
    }
    for (int threads = 2; threads <= 3; threads++) {
        pare_tensor more = run(g, force, threads, in);
        assert_memory_equal(one.data, more.data, pare_tensor_bytes(&one));
        pare_tensor_free(&more);
    }
    pare_tensor_free(&want);
    pare_tensor_free(&one);
    pare_tensor_free(&in[0]);
    pare_tensor_free(&in[1]);
    pare_graph_free(g);
}

static void test_shapes(void **state)
{
    (void)state;
    static const shape shapes[] = {
        { 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 1, 1, true, false, false },
        { 1, 3, 9, 7, 5, 3, 1, 1, 1, 1, 5, 0.5, true, true, true },
        { 2, 7, 8, 8, 17, 3, 2, 1, 1, 1, 5, 0.2, false, false, true },
        { 3, 17, 5, 6, 3, 3, 3, 1, 0, 1, 9, 0.1, true, false, false },
        { 1, 4, 11, 13, 6, 3, 1, 2, 2, 2, 3, 0.3, true, true, false },
        { 1, 4, 12, 9, 6, 5, 2, 2, 3, 1, 6, 0.3, true, false, true },
        { 1, 8, 4, 4, 40, 3, 1, 1, 1, 1, 5, 0.05, true, true,
          true }, /* one tile, cut over channels */
        { 1, 64, 32, 32, 64, 3, 1, 1, 1, 1, 5, 0.1, true, true,
          true }, /* many tiles, many blocks */
        { 1, 64, 8, 8, 64, 3, 1, 1, 1, 1, 5, 0.02, true, true, true },
        { 2, 48, 4, 4, 96, 3, 1, 1, 1, 1, 5, 0.2, true, false, true },
        { 1, 5, 6, 6, 4, 1, 4, 1, 0, 0, 1, 0.5, false, false, false }, /* stride > kernel */
        { 1, 5, 6, 6, 4, 3, 1, 1, 1, 1, 5, 0, true, false, true },     /* nothing kept */
        { 1, 5, 6, 6, 4, 3, 1, 1, 1, 1, 0, 0, true, true, true },
        { 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, 0, 1, true, false, false },
        { 2, 7, 9, 5, 17, 1, 1, 1, 0, 0, 0, 0.3, true, true, true }, /* 1x1 */
        { 1, 256, 4, 4, 256, 1, 1, 1, 0, 0, 0, 0.1, true, true, true },
        { 1, 96, 14, 14, 64, 1, 2, 1, 0, 0, 0, 0.1, false, true, true },
        { 1, 3, 33, 31, 8, 7, 2, 1, 3, 3, 0, 0.4, true, false, true },
        { 1, 64, 14, 14, 96, 3, 1, 1, 1, 1, 0, 0.1, true, true, true },
        { 2, 512, 4, 4, 256, 3, 1, 1, 1, 1, 5, 0.03, true, true, true }, /* chunks */
        { 1, 512, 8, 8, 256, 3, 2, 1, 1, 1, 5, 0.03, true, true, true },
        { 1, 17, 20, 20, 7, 3, 1, 3, 3, 3, 0, 0.3, true, true, true },
        { 1, 3, 12, 12, 5, 9, 1, 1, 4, 4, 81, 0.3, true, false,
          true }, /* too many taps for masks */
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i], i);
    for (uint64_t seed = 100; seed < 240; seed++) {
        pare_rng r = pare_rng_stream(seed, 0);
        shape s = { .n = 1 + (int64_t)pare_rng_below(&r, 3),
                    .c = 1 + (int64_t)pare_rng_below(&r, 20),
                    .out = 1 + (int64_t)pare_rng_below(&r, 20) };
        s.kernel = 1 + (int64_t)pare_rng_below(&r, 5);
        s.stride = 1 + (int64_t)pare_rng_below(&r, 4);
        s.dilation = 1 + (int64_t)pare_rng_below(&r, 3);
        s.pad0 = (int64_t)pare_rng_below(&r, (uint64_t)s.kernel);
        s.pad1 = (int64_t)pare_rng_below(&r, (uint64_t)s.kernel);
        int64_t reach = (s.kernel - 1) * s.dilation + 1;
        s.h = reach + (int64_t)pare_rng_below(&r, 20);
        s.w = reach + (int64_t)pare_rng_below(&r, 20);
        s.d = seed % 3 ? 1 + (int64_t)pare_rng_below(&r, (uint64_t)(s.kernel * s.kernel)) : 0;
        s.density = pare_rng_uniform(&r);
        s.bias = pare_rng_below(&r, 2);
        s.relu = pare_rng_below(&r, 2);
        check(&s, seed);
    }
}

/* Gemm or MatMul of A [m][k] with a sparse operand of n outputs. */
static void product(const char *op, const char *attrs, int m, int k, int n, double density,
                    bool bias, bool residual, uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, 9);
    bool by_output = strstr(attrs, "transB=1") != NULL;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type wt = by_output ? f32_type(2, n, k) : f32_type(2, k, n), at = f32_type(2, m, k);
    float *values = calloc((size_t)(n * k) + 1, sizeof *values);
    assert_non_null(values);
    for (int i = 0; i < n * k; i++)
        if (pare_rng_uniform(&r) < density) values[i] = (float)pare_rng_normal(&r);
    pare_weight encoded;
    OK(pare_bitmap_encode(&wt, values, NULL, &encoded));
    free(values);
    pare_id w, x = add_input(g, "x", at),
               b = bias ? add_random(g, "b", f32_type(1, n), seed) : PARE_NONE;
    OK(pare_graph_add_constant(g, "w", encoded, &w));
    pare_id y = add_node(g, op, attrs, "fc", bias ? 3 : 2, x, w, b);
    OK(pare_infer(g, false));
    if (residual) y = add_node(g, "Add", "", "sum", 2, y, add_input(g, "r", g->value[y].type));
    y = add_node(g, "Relu", "", "y", 1, y);
    OK(pare_graph_mark_output(g, y));
    pare_tensor in[2] = { random_tensor(at, seed) };
    if (residual) in[1] = random_tensor(f32_type(2, m, n), seed + 1);
    pare_tensor want = run(g, "fc=reference", 1, in), one = run(g, "fc=gemm_sparse", 1, in);
    for (int64_t i = 0; i < pare_tensor_count(&want); i++) {
        float e = ((float *)want.data)[i], got = ((float *)one.data)[i];
        if (!(fabsf(e - got) <= 2e-6f * (4 * sqrtf((float)k) + 4)))
            fail_msg("%s %s %dx%dx%d: [%lld] is %g instead of %g", op, attrs, m, k, n, (long long)i,
                     (double)got, (double)e);
    }
    for (int threads = 2; threads <= 3; threads++) {
        pare_tensor more = run(g, "fc=gemm_sparse", threads, in);
        assert_memory_equal(one.data, more.data, pare_tensor_bytes(&one));
        pare_tensor_free(&more);
    }
    pare_tensor_free(&want);
    pare_tensor_free(&one);
    pare_tensor_free(&in[0]);
    pare_tensor_free(&in[1]);
    pare_graph_free(g);
}

static void test_products(void **state)
{
    (void)state;
    for (uint64_t i = 0; i < 40; i++) {
        int m = (int[]){ 1, 1, 3, 8, 17, 40 }[i % 6], k = (int[]){ 1, 7, 64, 300, 17 }[i % 5],
            n = (int[]){ 1, 17, 8, 33, 130, 1000, 3 }[i % 7];
        double density = (double[]){ 0.1, 0.5, 0, 1 }[i % 4];
        product("MatMul", "", m, k, n, density, false, i % 3 == 1, i);
        product("Gemm", i % 2 ? "transB=1,alpha=0.5" : "beta=2", m, k, n, density, i % 3 > 0,
                i % 4 == 1, i);
    }
    product("Gemm", "transB=1", 1, 2000, 1000, 0.2, true, true, 1); /* several items */
    product("Gemm", "transB=1", 20, 2000, 600, 0.2, true, true, 2);
}

/* What is encoded is not always the weight. */
static void test_other_inputs(void **state)
{
    (void)state;
    pare_type xt = f32_type(4, 1, 8, 9, 9), wt = f32_type(4, 16, 8, 3, 3);
    for (int bias = 0; bias < 2; bias++) {
        pare_graph *g;
        OK(pare_graph_new(&g));
        pare_tensor dense = random_tensor(xt, 1), in = random_tensor(bias ? xt : wt, 2),
                    values = random_tensor(f32_type(1, 16), 3);
        pare_weight bits;
        pare_id x, w, b = PARE_NONE, y;
        if (bias) {
            pare_type bt = f32_type(1, 16);
            OK(pare_bitmap_encode(&bt, values.data, NULL, &bits));
            OK(pare_graph_add_constant(g, "b", bits, &b));
            x = add_input(g, "x", xt);
            w = add_random(g, "w", wt, 4);
        } else { /* the weight is computed */
            OK(pare_bitmap_encode(&xt, dense.data, NULL, &bits));
            OK(pare_graph_add_constant(g, "x", bits, &x));
            w = add_input(g, "w", wt);
        }
        y = add_node(g, "Conv", "", "conv", 3, x, w, b);
        OK(pare_infer(g, false));
        OK(pare_graph_mark_output(g, y));
        pare_tensor want = run(g, "reference", 1, &in), got = run(g, NULL, 2, &in);
        assert_close(&got, &want, 1e-5, "an input that is no weight, encoded");
        pare_tensor_free(&want);
        pare_tensor_free(&got);
        pare_tensor_free(&in);
        pare_tensor_free(&dense);
        pare_tensor_free(&values);
        pare_graph_free(g);
    }
}

/* Taps so far apart that offsets into a band's planes would need more than 31 bits. */
static void test_far_taps(void **state)
{
    (void)state;
    pare_type xt = f32_type(4, 1, 1, 1, 32000), wt = f32_type(4, 2, 1, 3, 2);
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_tensor w = random_tensor(wt, 1), in = random_tensor(xt, 2);
    pare_weight bits;
    pare_id x = add_input(g, "x", xt), v;
    OK(pare_bitmap_encode(&wt, w.data, NULL, &bits));
    OK(pare_graph_add_constant(g, "w", bits, &v));
    OK(pare_graph_mark_output(
        g, add_node(g, "Conv", "dilations=32767/1,pads=0/0/65540/0", "conv", 2, x, v)));
    pare_plan *plan = NULL;
    assert_int_equal(
        pare_plan_create(g, &(pare_plan_options){ .force = "conv=conv_sparse" }, &plan),
        PARE_EINVAL);
    OK(pare_infer(g, false));
    pare_tensor want = run(g, "reference", 1, &in), got = run(g, NULL, 2, &in);
    assert_close(&got, &want, 1e-5, "taps far apart");
    pare_tensor_free(&want);
    pare_tensor_free(&got);
    pare_tensor_free(&in);
    pare_tensor_free(&w);
    pare_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes),
                                        cmocka_unit_test(test_products),
                                        cmocka_unit_test(test_other_inputs),
                                        cmocka_unit_test(test_far_taps) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
