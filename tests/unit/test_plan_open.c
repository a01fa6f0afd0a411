/* Plans of a network whose weights stay in its file: the same bits as of one in memory, errors
 * where the file is gone short, and refusal of whoever would read the weights himself. */
#define _DEFAULT_SOURCE
#include "alloc_fail.h"
#include "graph/graph.h"
#include "pare/eval.h"
#include "pare/plan.h"
#include "support/build.h"

#include <stdio.h>
#include <unistd.h>

enum { OUTPUTS = 2 };
static char path[] = "/tmp/pare-open-XXXXXX";

/* Weights of every kind of layer, most of them long enough to stay. */
static pare_graph *network(void)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, 1, 3, 21, 19)), y, z, p[4], shared, both;
    y = add_node(g, "Conv", "strides=2/2,pads=3/3/3/3", "first", 3, x,
                 add_random(g, "first_w", f32_type(4, 33, 3, 7, 7), 1),
                 add_random(g, "first_b", f32_type(1, 33), 2));
    y = add_node(g, "Relu", "", "relu", 1, y);
    y = add_node(g, "Conv", "pads=1/1/1/1", "square", 2, y,
                 add_random(g, "square_w", f32_type(4, 40, 33, 3, 3), 3));
    for (int i = 0; i < 4; i++) {
        p[i] = add_random(g, "bn", f32_type(1, 40), 7 + (uint64_t)i);
        for (int c = 0; i == 3 && c < 40; c++)
            ((float *)g->value[p[i]].weight->part[0].data)[c] = 1.0f + (float)c;
    }
    y = add_node(g, "BatchNormalization", "", "bn", 5, y, p[0], p[1], p[2], p[3]);
    shared = add_random(g, "shared_w", f32_type(4, 40, 40, 1, 1), 12);
    y = add_node(g, "Conv", "", "one", 2, y, shared);
    y = add_node(g, "Conv", "", "again", 2, y, shared);
    y = add_node(g, "Conv", "group=2,pads=1/1/1/1", "grouped", 2, y,
                 add_random(g, "grouped_w", f32_type(4, 40, 20, 3, 3), 13));
    y = add_node(g, "ConvTranspose", "", "transposed", 2, y,
                 add_random(g, "transposed_w", f32_type(4, 40, 12, 3, 3), 14));
    both = add_random(g, "both_w", f32_type(4, 11, 12, 13, 12), 15);
    z = add_node(g, "Conv", "", "pixel", 2, y, both);
    z = add_node(g, "Flatten", "", "flatten", 1, z);
    z = add_node(g, "Gemm", "transB=1,alpha=0.5", "rows", 2, z,
                 add_random(g, "rows_w", f32_type(2, 131, 11), 16));
    z = add_node(g, "MatMul", "", "columns", 2, z,
                 add_random(g, "columns_w", f32_type(2, 131, 77), 17));
    OK(pare_graph_mark_output(g, z));
    OK(pare_graph_mark_output(g, add_node(g, "Mul", "", "product", 2, both, add_scalar(g, 2))));
    return g;
}

static void write_network(void)
{
    pare_graph *g = network();
    OK(pare_model_save(g, path, true));
    pare_graph_free(g);
}

static bool stays(const pare_graph *g, const char *name)
{
    pare_id v = pare_graph_find(g, name);
    assert_true(v != PARE_NONE && g->value[v].weight);
    return pare_tensor_is_stored(&g->value[v].weight->part[0]);
}

static void make_outputs(pare_tensor out[OUTPUTS])
{
    out[0] = random_tensor(f32_type(2, 1, 77), 5);
    out[1] = random_tensor(f32_type(4, 11, 12, 13, 12), 5);
}

static void free_outputs(pare_tensor out[OUTPUTS])
{
    for (int i = 0; i < OUTPUTS; i++) pare_tensor_free(&out[i]);
}

static pare_status run(pare_graph *g, const char *force, int threads, const pare_tensor *in,
                       pare_tensor *out)
{
    pare_plan *plan;
    PARE_TRY(pare_plan_take(g, &(pare_plan_options){ .threads = threads, .force = force }, &plan));
    pare_status st = pare_plan_run(plan, in, out);
    pare_plan_free(plan);
    return st;
}

static void test_which_stay(void **state)
{
    (void)state;
    pare_graph *g;
    write_network();
    OK(pare_model_open(path, &g));
    static const char *const stay[] = { "first_w", "square_w",     "shared_w", "grouped_w",
                                        "rows_w",  "transposed_w", "columns_w" };
    for (size_t i = 0; i < sizeof stay / sizeof *stay; i++) assert_true(stays(g, stay[i]));
    assert_false(stays(g, "first_b"));
    assert_false(stays(g, "both_w"));
    assert_int_equal(pare_model_save(g, "/tmp/pare-open-never", true), PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "stayed in the network's file"));
    pare_info info;
    assert_int_equal(pare_model_info(g, 1, NULL, 0, &info), PARE_EINVAL);
    OK(pare_graph_load(g));
    assert_false(stays(g, "rows_w"));
    OK(pare_model_info(g, 1, NULL, 0, &info));
    pare_info_free(&info);
    pare_graph_free(g);
}

static void test_same_bits(void **state)
{
    (void)state;
    static const char *const force[] = {
        NULL,
        "reference",
        "conv_gemm*",
        "first=conv_blocked_first,square=conv_winograd2,one=conv_blocked,again=conv_blocked",
        "square=conv_winograd4,grouped=conv_gemm*",
        "square=conv_blocked",
        "pixel=gemm_packed,rows=reference,columns=gemm_packed",
    };
    pare_tensor in = random_tensor(f32_type(4, 1, 3, 21, 19), 9), want[OUTPUTS], got[OUTPUTS];
    write_network();
    for (size_t f = 0; f < sizeof force / sizeof *force; f++)
        for (int threads = 1; threads <= 3; threads += 2) {
            pare_graph *g;
            make_outputs(want);
            make_outputs(got);
            OK(pare_model_load(path, &g));
            OK(run(g, force[f], threads, &in, want));
            OK(pare_model_open(path, &g));
            OK(run(g, force[f], threads, &in, got));
            for (int i = 0; i < OUTPUTS; i++)
                if (memcmp(want[i].data, got[i].data, pare_tensor_bytes(&got[i])) != 0)
                    fail_msg("output %d differs with '%s', %d threads", i, force[f] ? force[f] : "",
                             threads);
            free_outputs(want);
            free_outputs(got);
        }
    pare_tensor_free(&in);
}

/* The file may be unlinked and the network freed; plans of it do not disturb one another. */
static void test_lives_on(void **state)
{
    (void)state;
    pare_tensor in = random_tensor(f32_type(4, 1, 3, 21, 19), 9), first[OUTPUTS], second[OUTPUTS];
    make_outputs(first);
    make_outputs(second);
    pare_graph *g;
    pare_plan *one, *two;
    write_network();
    OK(pare_model_open(path, &g));
    unlink(path);
    OK(pare_plan_create(g, &(pare_plan_options){ .threads = 1 }, &one));
    OK(pare_plan_create(g, &(pare_plan_options){ .threads = 1, .no_winograd = true }, &two));
    pare_plan_free(two);
    OK(pare_plan_create(g, &(pare_plan_options){ .threads = 1, .choice = PARE_CHOOSE_MEASURE },
                        &two));
    pare_plan_free(two);
    OK(pare_plan_create(g, &(pare_plan_options){ .threads = 1 }, &two));
    pare_graph_free(g);
    OK(pare_plan_run(one, &in, first));
    OK(pare_plan_run(two, &in, second));
    assert_memory_equal(first[0].data, second[0].data, pare_tensor_bytes(&first[0]));
    pare_plan_free(one);
    pare_plan_free(two);
    free_outputs(first);
    free_outputs(second);
    pare_tensor_free(&in);
}

static void test_shrunken_file(void **state)
{
    (void)state;
    static const char *const force[] = { NULL, "reference", "conv_gemm*", "square=conv_blocked" };
    for (size_t f = 0; f < sizeof force / sizeof *force; f++)
        for (int threads = 1; threads <= 2; threads++) {
            pare_graph *g;
            pare_plan *plan;
            write_network();
            OK(pare_model_open(path, &g));
            assert_int_equal(truncate(path, 2000), 0);
            pare_plan_options o = { .threads = threads, .force = force[f] };
            assert_int_equal(pare_plan_take(g, &o, &plan), PARE_EIO);
            assert_non_null(strstr(pare_error(), "the model file: ended at byte"));
        }
}

static pare_status attempt(void *user)
{
    pare_tensor *t = user; /* the input, then outputs */
    pare_graph *g;
    PARE_TRY(pare_model_open(path, &g));
    return run(g, NULL, 1, t, t + 1);
}

static void test_every_allocation(void **state)
{
    (void)state;
    pare_tensor t[1 + OUTPUTS] = { random_tensor(f32_type(4, 1, 3, 21, 19), 9) };
    make_outputs(t + 1);
    write_network();
    assert_true(alloc_fail_each("an opened network", attempt, t) > 200);
    free_outputs(t + 1);
    pare_tensor_free(&t[0]);
}

int main(void)
{
    int fd = mkstemp(path);
    if (fd < 0) return 1;
    close(fd);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_which_stay),       cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_lives_on),         cmocka_unit_test(test_shrunken_file),
        cmocka_unit_test(test_every_allocation),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(path);
    return failed;
}
