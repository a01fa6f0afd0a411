/* Three convolutions that a plan makes one (conv_tucker): which are recognised, and that the one
 * gives what the three do, over odd geometries, with everything that a plan fuses behind them, and
 * bitwise the same for 1, 2 and 3 threads. */
#include "codecs/tucker.h"
#include "pare/plan.h"
#include "runtime/offers.h"
#include "support/build.h"

#include <math.h>
#include <stdio.h>

typedef struct shape {
    int n, c, h, w, d1, d2, out, kernel, stride, dilation, pad0, pad1;
    bool bias[3], residual, relu;
} shape;

enum { TRIPLE, STORED };

/* The weight of the core scaled so that outputs are about as large as inputs. */
static pare_id add_weight(pare_graph *g, const char *name, pare_type t, uint64_t seed)
{
    pare_id v = add_random(g, name, t, seed);
    pare_tensor *w = &g->value[v].weight->part[0];
    float scale = 1 / sqrtf((float)(pare_tensor_count(w) / w->dim[0]));
    for (int64_t i = 0; i < pare_tensor_count(w); i++) ((float *)w->data)[i] *= scale;
    return v;
}

static pare_graph *network(const shape *s, int form, uint64_t seed)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, s->n, s->c, s->h, s->w)), w[3], b[3], y;
    w[0] = add_weight(g, "w0", f32_type(4, s->d1, s->c, 1, 1), seed + 1);
    w[1] = add_weight(g, "w1", f32_type(4, s->d2, s->d1, s->kernel, s->kernel), seed + 2);
    w[2] = add_weight(g, "w2", f32_type(4, s->out, s->d2, 1, 1), seed + 3);
    const int rows[] = { s->d1, s->d2, s->out };
    for (int i = 0; i < 3; i++)
        b[i] = s->bias[i] ? add_random(g, "b", f32_type(1, rows[i]), seed + 4 + (uint64_t)i)
                          : PARE_NONE;
    char attrs[128];
    snprintf(attrs, sizeof attrs, "strides=%d/%d,dilations=%d/%d,pads=%d/%d/%d/%d", s->stride,
             s->stride, s->dilation, s->dilation, s->pad0, s->pad1, s->pad1, s->pad0);
    if (form == TRIPLE) {
        y = add_node(g, "Conv", "", "first", 3, x, w[0], b[0]);
        y = add_node(g, "Conv", attrs, "core", 3, y, w[1], b[1]);
        y = add_node(g, "Conv", "", "last", 3, y, w[2], b[2]);
    } else {
        pare_type t = f32_type(4, s->out, s->c, s->kernel, s->kernel);
        pare_weight stored;
        const pare_tensor *part[3];
        for (int i = 0; i < 3; i++) part[i] = &g->value[w[i]].weight->part[0];
        OK(pare_tucker_encode(&t, part[0], part[1], part[2], &stored));
        pare_id v;
        OK(pare_graph_add_constant(g, "stored", stored, &v));
        y = add_node(g, "Conv", attrs, "core", 3, x, v, b[2]);
    }
    OK(pare_infer(g, false));
    if (s->residual) y = add_node(g, "Add", "", "sum", 2, y, add_input(g, "r", g->value[y].type));
    if (s->relu) y = add_node(g, "Relu", "", "y", 1, y);
    OK(pare_graph_mark_output(g, y));
    return g;
}

/* How many steps of the plan ran an implementation. */
static int steps_of(const pare_plan *plan, const char *impl)
{
    int n = 0;
    for (size_t i = 0; i < pare_plan_steps(plan); i++) {
        pare_step_info info;
        pare_plan_step(plan, i, &info);
        n += strcmp(info.impl, impl) == 0;
    }
    return n;
}

static pare_tensor run(const pare_graph *g, const pare_plan_options *o, const pare_tensor *in,
                       int fused)
{
    pare_plan *plan = NULL;
    if (pare_plan_create(g, o, &plan) != PARE_OK) fail_msg("%s", pare_error());
    assert_int_equal(steps_of(plan, "conv_tucker"), fused);
    pare_type type;
    pare_plan_output(plan, 0, &type);
    pare_tensor out;
    OK(pare_tensor_of(&type, &out));
    memset(out.data, 0xff, pare_tensor_bytes(&out)); /* NaN: what is not written shows */
    OK(pare_plan_run(plan, in, &out));
    pare_plan_free(plan);
    return out;
}

static void check(const shape *s, uint64_t seed)
{
    for (int form = TRIPLE; form <= STORED; form++) {
        shape k = *s;
        if (form == STORED) k.bias[0] = k.bias[1] = false;
        pare_graph *g = network(&k, form, seed);
        pare_tensor in[2] = { random_tensor(g->value[g->input[0]].type, seed) };
        if (s->residual) in[1] = random_tensor(g->value[g->input[1]].type, seed + 1);
        char what[200];
        snprintf(what, sizeof what,
                 "seed %d form %d: n=%d c=%d %dx%d ranks %d %d out=%d k=%d s=%d dil=%d pads=%d,%d",
                 (int)seed, form, s->n, s->c, s->h, s->w, s->d1, s->d2, s->out, s->kernel,
                 s->stride, s->dilation, s->pad0, s->pad1);
        bool fusable = form == STORED || !s->bias[0] || (s->pad0 == 0 && s->pad1 == 0);
        pare_plan_options o = { .threads = 1, .force = "reference" };
        pare_tensor want = run(g, &o, in, 0);
        for (int plain = 0; plain < 2; plain++) {
            o = (pare_plan_options){ .threads = 1,
                                     .force = fusable ? "core=conv_tucker" : NULL,
                                     .no_winograd = plain };
            pare_tensor one = run(g, &o, in, fusable);
            assert_close(&one, &want, 1e-5, what);
            for (o.threads = 2; o.threads <= 3; o.threads++) {
                pare_tensor more = run(g, &o, in, fusable);
                if (memcmp(one.data, more.data, pare_tensor_bytes(&one)) != 0)
                    fail_msg("%s differs with %d threads", what, o.threads);
                pare_tensor_free(&more);
            }
            pare_tensor_free(&one);
        }
        pare_tensor_free(&want);
        pare_tensor_free(&in[0]);
        pare_tensor_free(&in[1]);
        pare_graph_free(g);
    }
}

static void test_shapes(void **state)
{
    (void)state;
    static const shape shapes[] = {
        { 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 0, 0, { 1, 1, 1 }, true, true },
        { 1, 7, 9, 7, 3, 5, 17, 3, 1, 1, 1, 1, { 0, 1, 1 }, true, true },
        { 2, 17, 8, 8, 17, 7, 17, 3, 1, 1, 1, 1, { 0, 0, 1 }, false, true },
        { 1, 64, 32, 32, 16, 16, 64, 3, 1, 1, 1, 1, { 0, 0, 1 }, true, true },
        { 2, 128, 16, 16, 32, 32, 128, 3, 1, 1, 1, 1, { 0, 0, 1 }, true, true },
        { 1, 64, 31, 33, 16, 32, 100, 3, 2, 1, 1, 1, { 0, 0, 1 }, false, true },
        { 1, 40, 13, 50, 33, 20, 24, 3, 1, 1, 0, 1, { 0, 0, 0 }, false, false },
        { 1, 40, 30, 20, 20, 20, 24, 3, 1, 1, 0, 0, { 1, 1, 1 }, true, true },
        { 1, 20, 21, 20, 10, 20, 24, 5, 1, 1, 2, 2, { 0, 1, 0 }, true, true },
        { 1, 20, 21, 20, 10, 20, 24, 3, 1, 2, 2, 2, { 0, 1, 0 }, true, true },
        { 1, 20, 21, 23, 10, 20, 24, 2, 3, 1, 0, 0, { 1, 0, 0 }, true, true }, /* stride > kernel */
        { 1, 20, 40, 23, 10, 20, 24, 3, 4, 2, 2, 1, { 0, 0, 0 }, true, true },
        { 3, 5, 1, 1, 5, 5, 5, 3, 1, 1, 1, 1, { 0, 0, 1 }, true, true },
        { 1, 5, 2, 3, 5, 5, 5, 3, 1, 1, 7, 9, { 0, 0, 1 }, true, true }, /* bands of zeros alone */
        { 1, 5, 2, 3, 5, 5, 5, 3, 3, 1, 7, 9, { 0, 0, 1 }, true, true },
        { 1, 150, 70, 12, 130, 129, 140, 3, 1, 1, 1, 1, { 0, 0, 1 }, true, true },
        { 1, 256, 4, 4, 128, 128, 256, 3, 1, 1, 1, 1, { 0, 0, 1 }, true, true },
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) check(&shapes[i], i);
    for (uint64_t seed = 100; seed < 160; seed++) {
        pare_rng r = pare_rng_stream(seed, 0);
        shape s = { .n = 1 + (int)pare_rng_below(&r, 3),
                    .c = 1 + (int)pare_rng_below(&r, 40),
                    .out = 1 + (int)pare_rng_below(&r, 40) };
        s.d1 = 1 + (int)pare_rng_below(&r, (uint64_t)s.c);
        s.d2 = 1 + (int)pare_rng_below(&r, (uint64_t)s.out);
        s.kernel = 1 + (int)pare_rng_below(&r, 5);
        s.stride = 1 + (int)pare_rng_below(&r, 3);
        s.dilation = 1 + (int)pare_rng_below(&r, 3);
        s.pad0 = (int)pare_rng_below(&r, (uint64_t)s.kernel);
        s.pad1 = (int)pare_rng_below(&r, (uint64_t)s.kernel);
        int reach = (s.kernel - 1) * s.dilation + 1;
        s.h = reach + (int)pare_rng_below(&r, 40);
        s.w = reach + (int)pare_rng_below(&r, 40);
        for (int i = 0; i < 3; i++) s.bias[i] = pare_rng_below(&r, 2);
        s.residual = pare_rng_below(&r, 2);
        s.relu = pare_rng_below(&r, 2);
        check(&s, seed);
    }
}

/* --- what is recognised --- */
typedef struct variant {
    const char *what;
    const char *first, *core; /* attributes; the core is 3x3 unless it is given */
    int group;                /* of the core */
    bool bias, act, output, twice, infinite, one;
} variant;

static void test_recognised(void **state)
{
    (void)state;
    static const variant variants[] = {
        { .what = "as it should be", "", "pads=1/1/1/1", 1, .one = true },
        { .what = "stride and dilation",
          "",
          "pads=2/2/2/2,strides=2/2,dilations=2/2",
          1,
          .one = true },
        { .what = "bias in front of a core without padding", "", "", 1, .bias = true, .one = true },
        { .what = "bias in front of padding", "", "pads=0/1/0/0", 1, .bias = true },
        { .what = "bias in front of automatic padding",
          "",
          "auto_pad=SAME_UPPER",
          1,
          .bias = true },
        { .what = "automatic padding", "", "auto_pad=SAME_LOWER", 1, .one = true },
        { .what = "stride in front", "strides=2/2", "pads=1/1/1/1", 1 },
        { .what = "padding in front", "pads=1/0/0/0", "", 1 },
        { .what = "groups", "", "pads=1/1/1/1", 2 },
        { .what = "activation between", "", "pads=1/1/1/1", 1, .act = true },
        { .what = "an output between", "", "pads=1/1/1/1", 1, .output = true },
        { .what = "read twice", "", "pads=1/1/1/1", 1, .twice = true },
        { .what = "not finite", "", "pads=1/1/1/1", 1, .infinite = true },
    };
    for (size_t i = 0; i < sizeof variants / sizeof *variants; i++) {
        const variant *v = &variants[i];
        pare_graph *g;
        OK(pare_graph_new(&g));
        char core[100];
        snprintf(core, sizeof core, "group=%d%s%s", v->group, *v->core ? "," : "", v->core);
        pare_id x = add_input(g, "x", f32_type(4, 1, 32, 20, 20)), y, between,
                w = add_weight(g, "w", f32_type(4, 16, 16 / v->group, 3, 3), 2);
        if (v->infinite) ((float *)g->value[w].weight->part[0].data)[5] = INFINITY;
        y = add_node(g, "Conv", v->first, "first", 3, x,
                     add_weight(g, "u", f32_type(4, 16, 32, 1, 1), 1),
                     v->bias ? add_random(g, "b", f32_type(1, 16), 7) : PARE_NONE);
        if (v->act) y = add_node(g, "Relu", "", "act", 1, y);
        between = y = add_node(g, "Conv", core, "core", 3, y, w, PARE_NONE);
        y = add_node(g, "Conv", "", "last", 3, y, add_weight(g, "v", f32_type(4, 40, 16, 1, 1), 3),
                     PARE_NONE);
        if (v->twice) {
            pare_id other = add_node(g, "Relu", "", "other", 1, between);
            OK(pare_graph_mark_output(g, other));
        }
        OK(pare_graph_mark_output(g, y));
        if (v->output) OK(pare_graph_mark_output(g, between));
        pare_plan *plan;
        pare_plan_options o = { .threads = 1, .force = "core=conv_tucker" };
        pare_status st = pare_plan_create(g, &o, &plan);
        if (st != (v->one ? PARE_OK : PARE_EINVAL))
            fail_msg("%s: %s", v->what, st == PARE_OK ? "was made one" : pare_error());
        if (st == PARE_OK) pare_plan_free(plan);
        static const char *const others[] = { "last=conv_*", "core=conv_gemm", "reference" };
        for (size_t k = 0; k < sizeof others / sizeof *others; k++) {
            o.force = others[k];
            OK(pare_plan_create(g, &o, &plan));
            if (k > 0 && steps_of(plan, "conv_tucker") > 0)
                fail_msg("%s was made one in spite of %s", v->what, o.force);
            pare_plan_free(plan);
        }
        pare_graph_free(g);
    }
}

/* Left to the model: a large map is worth it, a small one with many channels is not; and names of
 * other implementations keep the three. */
static void test_chosen(void **state)
{
    (void)state;
    static const struct {
        shape s;
        const char *force;
        int one;
    } cases[] = {
        { { 1, 64, 64, 64, 32, 32, 64, 3, 1, 1, 1, 1, { 0, 0, 1 }, true, true }, NULL, 1 },
        { { 1, 64, 64, 64, 32, 32, 64, 3, 1, 1, 1, 1, { 0, 0, 1 }, true, true }, "conv_gemm", 0 },
        { { 1, 512, 2, 2, 128, 128, 512, 3, 1, 1, 1, 1, { 0, 0, 1 }, true, true }, NULL, 0 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pare_graph *g = network(&cases[i].s, TRIPLE, i);
        pare_plan *plan;
        OK(pare_plan_create(g, &(pare_plan_options){ .threads = 1, .force = cases[i].force },
                            &plan));
        if (strcmp(pare_isa_name(), "c") != 0)
            assert_int_equal(steps_of(plan, "conv_tucker"), cases[i].one);
        pare_plan_free(plan);
        pare_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_shapes),
                                        cmocka_unit_test(test_recognised),
                                        cmocka_unit_test(test_chosen) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
