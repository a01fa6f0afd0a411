/* Winograd's rounding stays below the bounds that docs/kernels/winograd.md states, on varied and on
 * adverse inputs, and the plan leaves it away when asked. What it computes is tested with the other
 * implementations in test_impls.c. */
#include "pare/plan.h"
#include "support/build.h"

#include <math.h>
#include <stdio.h>

static const double u = 0x1p-24;

typedef enum kind {
    VARIED,      /* normal, about zero */
    OFFSET,      /* 1000 and a little */
    ALTERNATING, /* signs like a chessboard's, in weights too */
    ONE_SIDED,   /* positive, of many magnitudes */
    WORST,       /* weights that the transform magnifies most */
    KINDS,
} kind;

static float input(kind k, pare_rng *rng, int64_t y, int64_t x)
{
    switch (k) {
    case OFFSET: return 1000 + (float)pare_rng_normal(rng);
    case ALTERNATING: return (y + x) % 2 ? 1 : -1;
    case ONE_SIDED: return expf(3 * (float)pare_rng_normal(rng));
    default: return (float)pare_rng_normal(rng);
    }
}

static float weight(kind k, pare_rng *rng, int64_t y, int64_t x)
{
    /* The eigenvector of largest eigenvalue of lambda's form for F(4, 3), nearly. */
    static const double worst[] = { 0.265, 0, 0.964 };
    switch (k) {
    case OFFSET: return (float)pare_rng_normal(rng) + (y == 1 && x == 1 ? -4 : 0.5f);
    case ALTERNATING: return (y + x) % 2 ? 1 : -1;
    case WORST: return (float)(pare_rng_normal(rng) * worst[y] * worst[x]);
    default: return (float)pare_rng_normal(rng);
    }
}

typedef struct layer {
    int c, h, w, m;
} layer;

static pare_graph *network(const layer *l, kind k, uint64_t seed, pare_tensor *in)
{
    pare_graph *g;
    pare_id w;
    pare_rng rng = pare_rng_stream(seed, 1);
    pare_type xt = f32_type(4, 1, l->c, l->h, l->w), wt = f32_type(4, l->m, l->c, 3, 3);
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", xt);
    w = add_random(g, "w", wt, seed);
    float *to = g->value[w].weight->part[0].data;
    for (int64_t i = 0; i < (int64_t)l->m * l->c * 9; i++)
        to[i] = weight(k, &rng, i % 9 / 3, i % 3);
    *in = random_tensor(xt, seed);
    to = in->data;
    for (int64_t i = 0; i < pare_tensor_count(in); i++)
        to[i] = input(k, &rng, i / l->w % l->h, i % l->w);
    pare_id y = add_node(g, "Conv", "pads=1/1/1/1", "conv", 2, x, w);
    OK(pare_infer(g, false));
    OK(pare_graph_mark_output(g, y));
    return g;
}

/* In double; also what the bounds are relative to. */
static double exact(const layer *l, const float *x, const float *w, int m, int oy, int ox)
{
    double sum = 0;
    for (int c = 0; c < l->c; c++)
        for (int i = 0; i < 3; i++)
            for (int j = 0; j < 3; j++) {
                int y = oy + i - 1, at = ox + j - 1;
                if (y < 0 || y >= l->h || at < 0 || at >= l->w) continue;
                sum += (double)x[(c * l->h + y) * l->w + at] * w[((m * l->c + c) * 3 + i) * 3 + j];
            }
    return sum;
}

static void check(const layer *l, kind k, int form, uint64_t seed)
{
    pare_tensor in, out;
    pare_graph *g = network(l, k, seed, &in);
    char force[40], what[160];
    snprintf(force, sizeof force, "conv_winograd%d", form);
    snprintf(what, sizeof what, "%s, %d channels %dx%d, kind %d, seed %llu", force, l->c, l->h,
             l->w, (int)k, (unsigned long long)seed);
    pare_plan *plan;
    OK(pare_plan_create(g, &(pare_plan_options){ .threads = 1, .force = force }, &plan));
    pare_type type;
    pare_plan_output(plan, 0, &type);
    OK(pare_tensor_of(&type, &out));
    OK(pare_plan_run(plan, &in, &out));

    const float *w = g->value[g->node[0].in[1]].weight->part[0].data, *x = in.data, *y = out.data;
    double largest = 0, error2 = 0, output2 = 0;
    for (int64_t i = 0; i < pare_tensor_count(&in); i++)
        largest = fmax(largest, fabs((double)x[i]));
    double chunks = (l->c + 127) / 128, chunk = l->c < 128 ? l->c : 128;
    double kappa = form == 2 ? 4 : 13.75, lambda = form == 2 ? 3.42 : 16.2;
    for (int m = 0; m < l->m; m++) {
        double sum = 0;
        for (int i = 0; i < l->c * 9; i++) sum += fabs((double)w[m * l->c * 9 + i]);
        double bound = kappa * kappa * (chunk + chunks + 21) * u * largest * sum;
        for (int i = 0; i < l->h * l->w; i++) {
            double want = exact(l, x, w, m, i / l->w, i % l->w),
                   error = fabs(y[m * l->h * l->w + i] - want);
            if (!(error <= bound)) fail_msg("%s: off by %g, not %g at most", what, error, bound);
            error2 += error * error;
            output2 += want * want;
        }
    }
    double deviation = sqrt(error2 / output2),
           predicted = lambda / 2 * sqrt(chunk / 2 + chunks / 2 + 10) * u;
    if ((k == VARIED || k == WORST) && !(deviation <= predicted))
        fail_msg("%s: off by %g of the outputs' deviation, not %g", what, deviation, predicted);
    pare_plan_free(plan);
    pare_tensor_free(&in);
    pare_tensor_free(&out);
    pare_graph_free(g);
}

static void test_bounds(void **state)
{
    (void)state;
    static const layer layers[] = {
        { 1, 9, 9, 3 }, { 3, 16, 13, 5 }, { 16, 12, 12, 18 }, { 64, 9, 8, 7 }, { 300, 8, 8, 33 }
    };
    for (size_t i = 0; i < sizeof layers / sizeof *layers; i++)
        for (int k = 0; k < KINDS; k++)
            for (uint64_t seed = 1; seed <= 3; seed++) {
                check(&layers[i], (kind)k, 2, seed);
                check(&layers[i], (kind)k, 4, seed);
            }
}

static void test_flag(void **state)
{
    (void)state;
    pare_tensor in;
    pare_graph *g = network(&(layer){ 64, 28, 28, 64 }, VARIED, 1, &in);
    for (int no = 0; no < 2; no++) {
        pare_plan *plan;
        pare_step_info info;
        bool any = false;
        const char *force = no ? NULL : "conv_winograd*";
        OK(pare_plan_create(
            g, &(pare_plan_options){ .threads = 1, .no_winograd = no, .force = force }, &plan));
        for (size_t s = 0; s < pare_plan_steps(plan); s++) {
            pare_plan_step(plan, s, &info);
            any |= strncmp(info.impl, "conv_winograd", 13) == 0;
        }
        assert_true(any == !no);
        pare_plan_free(plan);
    }
    pare_plan *plan;
    assert_int_equal(
        pare_plan_create(g, &(pare_plan_options){ .force = "conv_winograd*", .no_winograd = true },
                         &plan),
        PARE_EINVAL);
    pare_tensor_free(&in);
    pare_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_bounds),
                                        cmocka_unit_test(test_flag) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
