/* Plans: layout of memory, views, outputs, clones, errors. Against node-by-node evaluation. */
#include "base/rng.h"
#include "codecs/bitmap.h"
#include "pare/plan.h"
#include "runtime/offsets.h"
#include "support/build.h"

static void check_layout(uint64_t seed, size_t n)
{
    pare_rng rng = pare_rng_stream(seed, n);
    pare_range *r = calloc(n + 1, sizeof *r);
    assert_non_null(r);
    size_t sum = 0, peak = 0;
    for (size_t i = 0; i < n; i++) {
        r[i].size = pare_rng_below(&rng, 5) == 0 ? 0 : 1 + pare_rng_below(&rng, 5000);
        r[i].first = (uint32_t)pare_rng_below(&rng, 60);
        r[i].last = r[i].first + (uint32_t)pare_rng_below(&rng, 12);
        sum += (r[i].size + 63) / 64 * 64;
    }
    size_t total = 1;
    OK(pare_offsets(r, n, &total));
    for (uint32_t s = 0; s < 72; s++) {
        size_t alive = 0;
        for (size_t i = 0; i < n; i++)
            if (r[i].first <= s && s <= r[i].last) alive += (r[i].size + 63) / 64 * 64;
        if (alive > peak) peak = alive;
    }
    assert_true(total <= sum && total >= peak);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(r[i].offset % PARE_OFFSETS_ALIGN, 0);
        assert_true(r[i].offset + r[i].size <= total);
        for (size_t j = 0; j < i; j++) {
            if (r[i].last < r[j].first || r[j].last < r[i].first || !r[i].size || !r[j].size)
                continue;
            if (r[i].offset < r[j].offset + r[j].size && r[j].offset < r[i].offset + r[i].size)
                fail_msg("seed %llu: ranges %zu and %zu of %zu overlap", (unsigned long long)seed,
                         i, j, n);
        }
    }
    free(r);
}

static void test_layout(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 50; seed++) check_layout(seed, seed * 3 % 101);
    size_t total = 1;
    OK(pare_offsets(NULL, 0, &total));
    assert_int_equal(total, 0);
    pare_range huge[2] = { { .size = SIZE_MAX - 10 }, { .size = 100 } };
    assert_int_equal(pare_offsets(huge, 2, &total), PARE_ENOMEM);
}

static void test_layout_reuses(void **state)
{
    (void)state;
    pare_range chain[4] = {
        { 640, 0, 1, 0 }, { 640, 1, 2, 0 }, { 640, 2, 3, 0 }, { 640, 3, 4, 0 }
    };
    size_t total;
    OK(pare_offsets(chain, 4, &total));
    assert_int_equal(total, 1280);
}

/* x -> relu a -> relu b (output) -> relu c (output); x itself is an output through nothing. */
static pare_graph *small(void)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", (pare_type){ PARE_F32, 2, { -1, 5 } });
    pare_id a = add_node(g, "Relu", "", "a", 1, x), b = add_node(g, "Relu", "", "b", 1, a),
            c = add_node(g, "Relu", "", "c", 1, b);
    OK(pare_graph_mark_output(g, b));
    OK(pare_graph_mark_output(g, c));
    OK(pare_graph_mark_output(g, x));
    return g;
}

/* Runs `g` by a plan and node by node, for 1 to 3 threads, and through a clone. */
static void compare(const pare_graph *g, const pare_plan_options *o, const pare_tensor *in)
{
    pare_graph *copy;
    OK(pare_graph_clone(g, &copy));
    pare_tensor want[8] = { 0 }, first[8] = { 0 };
    evaluate_graph(copy, in, want);
    for (int threads = 1; threads <= 3; threads++) {
        pare_plan_options p = *o;
        p.threads = threads;
        pare_plan *plan, *other;
        OK(pare_plan_create(g, &p, &plan));
        OK(pare_plan_clone(plan, &other));
        pare_tensor out[8] = { 0 };
        for (uint32_t i = 0; i < g->n_outputs; i++) {
            pare_type t;
            pare_plan_output(plan, i, &t);
            OK(pare_tensor_of(&t, &out[i]));
        }
        OK(pare_plan_run(plan, in, out));
        if (threads == 2) {
            pare_plan_free(plan);
            plan = NULL;
        }
        OK(pare_plan_run(other, in, out));
        for (uint32_t i = 0; i < g->n_outputs; i++) {
            assert_close(&out[i], &want[i], 1e-5, "plan against node by node");
            if (threads == 1)
                first[i] = pare_tensor_ref(&out[i]);
            else
                assert_memory_equal(out[i].data, first[i].data, pare_tensor_bytes(&out[i]));
            pare_tensor_free(&out[i]);
        }
        pare_plan_free(plan);
        pare_plan_free(other);
    }
    for (int i = 0; i < 8; i++) pare_tensor_free(&want[i]), pare_tensor_free(&first[i]);
    pare_graph_free(copy);
}

static void test_outputs(void **state)
{
    (void)state;
    pare_graph *g = small();
    pare_tensor x = random_tensor(f32_type(2, 3, 5), 1);
    compare(g, &(pare_plan_options){ .batch = 3 }, &x);
    compare(g, &(pare_plan_options){ .batch = 3, .choice = PARE_CHOOSE_MEASURE, .profile = true },
            &x);
    pare_tensor_free(&x);
    pare_graph_free(g);
}

static void test_errors(void **state)
{
    (void)state;
    pare_graph *g = small();
    pare_plan *plan = NULL;
    assert_int_equal(
        pare_plan_create(g, &(pare_plan_options){ .force = "nothing_of_the_kind" }, &plan),
        PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "nothing_of_the_kind"));
    assert_int_equal(
        pare_plan_create(g, &(pare_plan_options){ .force = "nolayer=reference" }, &plan),
        PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "nolayer"));
    assert_int_equal(pare_plan_create(g, &(pare_plan_options){ .threads = -1 }, &plan),
                     PARE_EINVAL);
    OK(pare_plan_create(g, &(pare_plan_options){ .force = "reference,b=ref*", .batch = 2 }, &plan));
    pare_step_info info;
    pare_plan_step(plan, 0, &info);
    assert_string_equal(info.impl, "reference");
    assert_string_equal(info.why, "forced");
    pare_tensor x = random_tensor(f32_type(2, 3, 5), 1), out[3] = { 0 };
    assert_int_equal(pare_plan_run(plan, &x, out), PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "float32[3,5]"));
    pare_tensor_free(&x);
    pare_plan_free(plan);
    pare_graph_free(g);
}

static void test_views(void **state)
{
    (void)state;
    if (!pare_op_find("Flatten")) skip();
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, 2, 3, 4, 5));
    pare_id f = add_node(g, "Flatten", "", "f", 1, x), r = add_node(g, "Relu", "", "r", 1, f);
    pare_id s = add_node(g, "Flatten", "axis=0", "s", 1, r),
            t = add_node(g, "Flatten", "axis=2", "t", 1, r);
    pare_id u = add_node(g, "Flatten", "axis=1", "u", 1, x), w = add_node(g, "Relu", "", "w", 1, s);
    OK(pare_graph_mark_output(g, s));
    OK(pare_graph_mark_output(g, t));
    OK(pare_graph_mark_output(g, u));
    OK(pare_graph_mark_output(g, w));
    pare_tensor in = random_tensor(f32_type(4, 2, 3, 4, 5), 3);
    compare(g, &(pare_plan_options){ 0 }, &in);
    pare_tensor_free(&in);
    pare_graph_free(g);
}

/* Conv with an encoded weight -> BatchNormalization -> Add -> Relu is one step, run dense on the
 * decoded weight. */
static void test_encoded_weight_is_fused(void **state)
{
    (void)state;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type xt = f32_type(4, 2, 4, 10, 10), wt = f32_type(4, 4, 4, 3, 3);
    pare_tensor k = random_tensor(wt, 4), x = random_tensor(xt, 5);
    for (int i = 0; i < 144; i += 3) ((float *)k.data)[i] = 0;
    pare_weight coded;
    pare_id v, in = add_input(g, "x", xt), p[4];
    OK(pare_bitmap_encode(&wt, k.data, NULL, &coded));
    OK(pare_graph_add_constant(g, "w", coded, &v));
    for (int i = 0; i < 4; i++) {
        p[i] = add_random(g, "bn", f32_type(1, 4), 7);
        for (int c = 0; c < 4; c++)
            ((float *)g->value[p[i]].weight->part[0].data)[c] = 1.0f + (float)(c * i) / 2;
    }
    pare_id y = add_node(g, "Conv", "pads=1/1/1/1", "conv", 2, in, v);
    y = add_node(g, "BatchNormalization", "", "bn", 5, y, p[0], p[1], p[2], p[3]);
    y = add_node(g, "Relu", "", "relu", 1, add_node(g, "Add", "", "add", 2, in, y));
    OK(pare_graph_mark_output(g, y));
    compare(g, &(pare_plan_options){ 0 }, &x);
    compare(g, &(pare_plan_options){ .choice = PARE_CHOOSE_MEASURE }, &x);
    compare(g, &(pare_plan_options){ .force = "reference" }, &x);
    pare_plan *plan;
    OK(pare_plan_create(g, NULL, &plan));
    pare_step_info info;
    assert_int_equal(pare_plan_steps(plan), 1);
    pare_plan_step(plan, 0, &info);
    assert_string_equal(info.codec, "bitmap");
    assert_non_null(strstr(info.why, "composed"));
    assert_true(info.macs == 2.0 * 100 * 144);
    pare_plan_memory memory;
    pare_plan_memory_use(plan, &memory);
    assert_true(memory.weights > 0 && memory.activations == 0);
    pare_plan_free(plan);
    pare_tensor_free(&k);
    pare_tensor_free(&x);
    pare_graph_free(g);
}

/* A residual that is computed after the convolution it is added to. */
static void test_late_residual(void **state)
{
    (void)state;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type xt = f32_type(4, 1, 4, 6, 6), wt = f32_type(4, 4, 4, 1, 1);
    pare_tensor x = random_tensor(xt, 5);
    pare_id in = add_input(g, "x", xt);
    pare_id a = add_node(g, "Conv", "", "a", 2, in, add_random(g, "w", wt, 1)),
            b = add_node(g, "Conv", "", "b", 2, in, add_random(g, "w", wt, 2));
    pare_id c = add_node(g, "Relu", "", "c", 1, b);
    pare_id s = add_node(g, "Add", "", "s", 2, a, c), t = add_node(g, "Add", "", "t", 2, s, s),
            u = add_node(g, "Mul", "", "u", 2, t, c);
    OK(pare_graph_mark_output(g, u));
    compare(g, &(pare_plan_options){ 0 }, &x);
    pare_plan *plan;
    OK(pare_plan_create(g, NULL, &plan));
    assert_int_equal(pare_plan_steps(plan), 4); /* b+c, a+s, t, u */
    pare_plan_free(plan);
    /* A layer that a rule names is a step of its own, and obeys or is refused. */
    OK(pare_plan_create(g, &(pare_plan_options){ .force = "c=elementwise,a=conv_gemm" }, &plan));
    assert_int_equal(pare_plan_steps(plan), 5);
    pare_plan_free(plan);
    compare(g, &(pare_plan_options){ .force = "c=elementwise" }, &x);
    assert_int_equal(pare_plan_create(g, &(pare_plan_options){ .force = "c=conv_gemm" }, &plan),
                     PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "'c'"));
    pare_tensor_free(&x);
    pare_graph_free(g);
}

/* Outputs that nobody named, and data that only running can reject. */
static void test_unnamed_and_data_errors(void **state)
{
    (void)state;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(2, 3, 8));
    pare_type it = { .dtype = PARE_I64, .rank = 1, .dim = { 2 } };
    pare_id i = add_input(g, "i", it), y = add_node(g, "Gather", "axis=1", "gather", 2, x, i),
            out[2], k = add_ints(g, 1, (int64_t[]){ 1 });
    OK(pare_graph_add_value(g, "values", NULL, &out[0]));
    out[1] = PARE_NONE;
    const pare_op *op = pare_op_find("TopK");
    assert_non_null(op);
    void *attrs = pare_arena_alloc(g->arena, op->attrs_size);
    pare_fields_default(op->attrs, attrs);
    OK(pare_graph_add_node(g, op, "top", attrs, op->attrs_size, 2, (pare_id[]){ y, k }, 2, out,
                           NULL));
    OK(pare_graph_mark_output(g, out[0]));
    pare_plan *plan;
    OK(pare_plan_create(g, NULL, &plan));
    pare_tensor in[2] = { random_tensor(f32_type(2, 3, 8), 1) }, result;
    OK(pare_tensor_of(&it, &in[1]));
    OK(pare_tensor_of(&(pare_type){ PARE_F32, 2, { 3, 1 } }, &result));
    ((int64_t *)in[1].data)[0] = 7;
    OK(pare_plan_run(plan, in, &result));
    for (int r = 0; r < 3; r++) {
        const float *row = (const float *)in[0].data + 8 * r;
        assert_true(((float *)result.data)[r] == (row[7] > row[0] ? row[7] : row[0]));
    }
    ((int64_t *)in[1].data)[1] = 8;
    assert_int_equal(pare_plan_run(plan, in, &result), PARE_EFORMAT);
    assert_non_null(strstr(pare_error(), "gather"));
    pare_tensor_free(&in[0]);
    pare_tensor_free(&in[1]);
    pare_tensor_free(&result);
    pare_plan_free(plan);
    pare_graph_free(g);
}

/* The bounds of a Clip behind QLinearConv the wrong way round: nothing is fused, and what runs the
 * convolution alone is asked without it. */
static void test_reversed_bounds(void **state)
{
    (void)state;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type xt = { PARE_U8, 4, { 1, 3, 4, 4 } }, wt = { PARE_U8, 4, { 5, 3, 1, 1 } };
    pare_id x = add_input(g, "x", xt), w = add_input(g, "w", wt), byte[3];
    for (int i = 0; i < 3; i++) {
        pare_tensor t;
        OK(pare_tensor_new(PARE_U8, 0, NULL, &t));
        *(uint8_t *)t.data = (uint8_t)(i == 0 ? 3 : 200 - 100 * (i - 1));
        OK(pare_graph_add_constant(g, pare_graph_unique(g, "byte"), pare_weight_dense(t),
                                   &byte[i]));
    }
    pare_id s = add_scalar(g, 0.5f);
    pare_id y = add_node(g, "QLinearConv", "", "conv", 8, x, s, byte[0], w, s, byte[0], s, byte[0]);
    OK(pare_graph_mark_output(g, add_node(g, "Clip", "", "clip", 3, y, byte[1], byte[2])));
    pare_tensor in[2];
    OK(pare_tensor_of(&xt, &in[0]));
    OK(pare_tensor_of(&wt, &in[1]));
    compare(g, &(pare_plan_options){ 0 }, in);
    pare_tensor_free(&in[0]);
    pare_tensor_free(&in[1]);
    pare_graph_free(g);
}

/* Sums of products of bytes that 32 bits do not hold. */
static void test_long_sums(void **state)
{
    (void)state;
    pare_type xt = { PARE_U8, 4, { 1, 33280, 1, 1 } }, wt = { PARE_U8, 4, { 2, 33280, 1, 1 } };
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_tensor x, w, zero;
    OK(pare_tensor_of(&xt, &x));
    OK(pare_tensor_of(&wt, &w));
    OK(pare_tensor_new(PARE_U8, 0, NULL, &zero));
    memset(x.data, 255, pare_tensor_bytes(&x));
    memset(w.data, 255, pare_tensor_bytes(&w));
    pare_id in = add_input(g, "x", xt), v, z, one = add_scalar(g, 1), step = add_scalar(g, 1e7f);
    OK(pare_graph_add_constant(g, "w", pare_weight_dense(w), &v));
    OK(pare_graph_add_constant(g, "zero", pare_weight_dense(zero), &z));
    OK(pare_graph_mark_output(
        g, add_node(g, "QLinearConv", "", "conv", 8, in, one, z, v, one, z, step, z)));
    compare(g, &(pare_plan_options){ 0 }, &x);
    pare_tensor_free(&x);
    pare_graph_free(g);
}

/* A constant of type t, dense or encoded. */
static pare_id addend(pare_graph *g, pare_type t, bool encoded, uint64_t seed)
{
    if (!encoded) return add_random(g, "k", t, seed);
    pare_tensor k = random_tensor(t, seed);
    pare_weight coded;
    pare_id v;
    OK(pare_bitmap_encode(&t, k.data, NULL, &coded));
    OK(pare_graph_add_constant(g, pare_graph_unique(g, "k"), coded, &v));
    pare_tensor_free(&k);
    return v;
}

/* Convolutions, sums of what is computed or constant, views, and outputs anywhere: what is fused,
 * shared, laid out in blocks or freed after packing differs from graph to graph. */
static void test_random_graphs(void **state)
{
    (void)state;
    enum { NODES = 14, OUTPUTS = 8 };
    for (uint64_t seed = 1; seed <= 120; seed++) {
        pare_rng r = pare_rng_stream(seed, 5);
        int n = 1 + (int)(seed % 2), c = (int[]){ 4, 16, 17 }[seed % 3];
        pare_type t = f32_type(4, n, c, 6, 6), flat = f32_type(3, n, c, 36);
        pare_graph *g;
        OK(pare_graph_new(&g));
        pare_id v[NODES + 1] = { add_input(g, "x", t) }, y = v[0], marked[OUTPUTS];
        uint32_t outputs = 0;
        for (uint32_t k = 0; k < NODES; k++, v[k] = y) {
            /* mostly the last ones: chains */
            pare_id a = v[k - (uint32_t)pare_rng_below(&r, k < 2 ? 1 : 3)],
                    b = v[pare_rng_below(&r, k + 1)], back = y;
            switch (pare_rng_below(&r, 8)) {
            case 0: y = add_node(g, "Relu", "", "relu", 1, a); break;
            case 1:
            case 2:
                y = add_node(g, "Conv", "", "conv", 2, a,
                             add_random(g, "w", f32_type(4, c, c, 1, 1), seed + k));
                break;
            case 3:
                y = add_node(g, "Conv", "pads=1/1/1/1", "conv", 2, a,
                             add_random(g, "w", f32_type(4, c, c, 3, 3), seed + k));
                break;
            case 4: y = add_node(g, "Add", "", "add", 2, a, b); break;
            case 5: y = add_node(g, "Add", "", "add", 2, a, addend(g, t, k % 2, seed + k)); break;
            case 6:
                y = add_node(g, "Mul", "", "mul", 2, a,
                             add_random(g, "s", f32_type(3, c, 1, 1), seed + k));
                break;
            default:
                back = add_node(g, "Reshape", "", "flat", 2, a, add_ints(g, 3, flat.dim));
                y = add_node(g, "Reshape", "", "back", 2, back, add_ints(g, 4, t.dim));
            }
            if (outputs + 2 < OUTPUTS && pare_rng_below(&r, 4) == 0) marked[outputs++] = y;
            if (outputs + 2 < OUTPUTS && back != v[k] && k % 2) marked[outputs++] = back;
        }
        marked[outputs++] = y;
        for (uint32_t i = 0; i < outputs; i++)
            if (!g->value[marked[i]].is_output) OK(pare_graph_mark_output(g, marked[i]));
        pare_tensor x = random_tensor(t, seed);
        compare(g, &(pare_plan_options){ .no_winograd = true }, &x);
        compare(g, &(pare_plan_options){ .force = "conv_blocked" }, &x);
        pare_tensor_free(&x);
        pare_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layout),          cmocka_unit_test(test_layout_reuses),
        cmocka_unit_test(test_outputs),         cmocka_unit_test(test_errors),
        cmocka_unit_test(test_views),           cmocka_unit_test(test_encoded_weight_is_fused),
        cmocka_unit_test(test_late_residual),   cmocka_unit_test(test_unnamed_and_data_errors),
        cmocka_unit_test(test_reversed_bounds), cmocka_unit_test(test_random_graphs),
        cmocka_unit_test(test_long_sums),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
