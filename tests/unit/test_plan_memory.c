/* Every allocation of planning, cloning and running fails in turn: PARE_ENOMEM and no leak. */
#include "alloc_fail.h"
#include "codecs/bitmap.h"
#include "pare/plan.h"
#include "support/build.h"

/* Something of everything that a plan does: folding, fusion, views, an encoded weight, reference
 * evaluation.
 */
static pare_graph *network(void)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, 1, 3, 9, 9));
    pare_id y = add_node(g, "Conv", "pads=1/1/1/1", "conv", 2, x,
                         add_random(g, "w", f32_type(4, 4, 3, 3, 3), 1));
    pare_id p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = add_random(g, "bn", f32_type(1, 4), 7);
        for (int c = 0; c < 4; c++)
            ((float *)g->value[p[i]].weight->part[0].data)[c] = 1.0f + (float)c;
    }
    y = add_node(g, "BatchNormalization", "", "bn", 5, y, p[0], p[1], p[2], p[3]);
    pare_id r = add_node(g, "Relu", "", "relu", 1, y);
    pare_type t = f32_type(4, 4, 4, 3, 3);
    pare_tensor k = random_tensor(t, 3);
    pare_weight coded;
    pare_id v;
    OK(pare_bitmap_encode(&t, k.data, NULL, &coded));
    OK(pare_graph_add_constant(g, "coded", coded, &v));
    pare_tensor_free(&k);
    y = add_node(g, "Conv", "pads=1/1/1/1", "conv2", 2, r, v);
    y = add_node(g, "BatchNormalization", "", "bn2", 5, y, p[0], p[1], p[2], p[3]);
    y = add_node(g, "Relu", "", "relu2", 1, add_node(g, "Add", "", "add", 2, y, r));
    y = add_node(g, "Conv", "group=4,pads=1/1/1/1", "depthwise", 2, y,
                 add_random(g, "d", f32_type(4, 4, 1, 3, 3), 1));
    y = add_node(g, "AveragePool", "kernel_shape=3/3,pads=1/1/1/1", "pool", 1, y);
    y = add_node(g, "MaxPool", "kernel_shape=3/3,strides=2/2", "pool2", 1, y);
    y = add_node(g, "Flatten", "", "flatten", 1, add_node(g, "Sigmoid", "", "sigmoid", 1, y));
    y = add_node(g, "Gemm", "", "gemm", 2, y, add_random(g, "f", f32_type(2, 64, 5), 4));
    y = add_node(g, "Softmax", "", "softmax", 1,
                 add_node(g, "CumSum", "", "sum", 2, y, add_ints(g, 1, (int64_t[]){ 1 })));
    OK(pare_graph_mark_output(g, y));
    return g;
}

typedef struct work {
    const pare_graph *g;
    const pare_tensor *in;
    pare_tensor *out;
    pare_choice choice;
} work;

static pare_status attempt(void *user)
{
    const work *w = user;
    pare_plan *plan = NULL, *clone = NULL;
    pare_status st = pare_plan_create(
        w->g, &(pare_plan_options){ .threads = 1, .profile = true, .choice = w->choice }, &plan);
    if (st == PARE_OK) st = pare_plan_clone(plan, &clone);
    if (st == PARE_OK) st = pare_plan_run(clone, w->in, w->out);
    pare_plan_free(clone);
    pare_plan_free(plan);
    return st;
}

static void test_every_allocation(void **state)
{
    (void)state;
    pare_graph *g = network();
    pare_tensor in = random_tensor(f32_type(4, 1, 3, 9, 9), 9),
                out = random_tensor(f32_type(2, 1, 5), 9);
    work w = { g, &in, &out, PARE_CHOOSE_MODEL };
    assert_true(alloc_fail_each("a plan", attempt, &w) > 100);
    w.choice = PARE_CHOOSE_MEASURE;
    assert_true(alloc_fail_each("a measured plan", attempt, &w) > 100);
    pare_tensor_free(&in);
    pare_tensor_free(&out);
    pare_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_allocation) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
