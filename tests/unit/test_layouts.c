/* The search for layouts, on offers made up for it. */
#include "runtime/layouts.h"
#include "support/build.h"

enum { STEPS = 3 };

static const pare_impl plain = { .name = "plain" }, blocked = { .name = "blocked",
                                                                .takes = PARE_BLOCKED,
                                                                .gives = PARE_BLOCKED };

/* What is chosen for each step of a chain whose offers take so many nanoseconds. */
static void choose(pare_type t, double plain_ns, const pare_impl *other, double other_ns,
                   const pare_impl *chosen[STEPS])
{
    pare_work work[STEPS] = { 0 };
    pare_id root[STEPS + 1];
    pare_core c = { .work = work, .n_work = STEPS, .root = root, .kernels.vl = 16 };
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", t);
    for (int i = 0; i < STEPS; i++) x = add_node(g, "Relu", "", "y", 1, x);
    OK(pare_graph_mark_output(g, x));
    OK(pare_infer(g, false));
    c.graph = g;
    for (pare_id v = 0; v < g->n_values; v++) root[v] = v;
    for (int i = 0; i < STEPS; i++) {
        work[i].node = &g->node[i];
        work[i].chain = (pare_chain){ .n = 1, .out = g->node[i].out[0], .residual = PARE_NONE };
        work[i].offer[pare_layout_pair(&plain)] = (pare_offer){ .impl = &plain, .ns = plain_ns };
        if (other) work[i].offer[pare_layout_pair(other)] = (pare_offer){ other, false, other_ns };
    }
    OK(pare_layouts_choose(&c));
    for (int i = 0; i < STEPS; i++) chosen[i] = work[i].offer[work[i].chosen].impl;
    pare_graph_free(g);
}

static void expect(pare_type t, double plain_ns, double blocked_ns, const pare_impl *want)
{
    const pare_impl *got[STEPS];
    choose(t, plain_ns, &blocked, blocked_ns, got);
    for (int i = 0; i < STEPS; i++)
        if (got[i] != want)
            fail_msg("of %g and %g ns step %d takes %s", plain_ns, blocked_ns, i, got[i]->name);
}

static void test_the_faster_wins(void **state)
{
    (void)state;
    pare_type t = f32_type(4, 1, 16, 8, 8);
    expect(t, 5e4, 1e4, &blocked);
    expect(t, 1e4, 5e4, &plain);
    expect(t, 1e4 + 100, 1e4, &plain); /* two reorders cost more than what is won */
    /* However long both take. */
    expect(t, 50e6, 12e6, &blocked);
    expect(t, 12e6, 50e6, &plain);
    expect(t, 30e9, 20e9, &blocked);
    /* 1e18: the last resort. */
    expect(t, 1e18, 20e9, &blocked);
    expect(t, 20e9, 1e18, &plain);
}

/* Three channels fill a block of sixteen as slowly as sixteen do. */
static void test_padding_costs(void **state)
{
    (void)state;
    expect(f32_type(4, 1, 3, 224, 224), 100e3, 90e3, &plain);
    expect(f32_type(4, 1, 16, 224, 42), 100e3, 90e3, &blocked); /* as many numbers */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_the_faster_wins),
                                        cmocka_unit_test(test_padding_costs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
