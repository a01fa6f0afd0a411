/* Graphs: names, order, replacing, cloning. */
#include "graph/graph.h"
#include "ops/op.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pare_graph *chain(int n)
{
    pare_graph *g = NULL;
    assert_int_equal(pare_graph_new(&g), PARE_OK);
    pare_type t = { PARE_F32, 2, { -1, 4 } };
    pare_id v;
    assert_int_equal(pare_graph_add_input(g, "x", &t, &v), PARE_OK);
    for (int i = 0; i < n; i++) {
        pare_id o;
        assert_int_equal(pare_graph_add_value(g, pare_graph_unique(g, "y"), NULL, &o), PARE_OK);
        assert_int_equal(
            pare_graph_add_node(g, pare_op_find("Relu"), "", NULL, 0, 1, &v, 1, &o, NULL), PARE_OK);
        v = o;
    }
    assert_int_equal(pare_graph_mark_output(g, v), PARE_OK);
    return g;
}

static void test_infer_and_clone(void **state)
{
    (void)state;
    pare_graph *g = chain(100), *c;
    assert_int_equal(pare_graph_clone(g, &c), PARE_OK);
    pare_graph_free(g);
    assert_int_equal(pare_bind_shapes(c, 3, NULL, 0), PARE_OK);
    assert_int_equal(pare_infer(c, false), PARE_OK);
    assert_int_equal(c->value[c->output[0]].type.dim[0], 3);
    assert_int_equal(pare_graph_check(c), PARE_OK);
    pare_graph_free(c);
}

/* In time that does not grow with the square: a file may have 200,000 values. */
static void test_many_names(void **state)
{
    (void)state;
    pare_graph *g = chain(200000), *c;
    assert_string_equal(g->value[2].name, "y_1");
    for (uint32_t v = 0; v < g->n_values; v++)
        assert_int_equal(pare_graph_find(g, g->value[v].name), v);
    assert_int_equal(pare_graph_clone(g, &c), PARE_OK);
    assert_int_equal(pare_graph_find(c, pare_graph_unique(c, "y")), PARE_NONE);
    pare_graph_free(c);
    pare_graph_free(g);
}

static void test_sort_finds_cycle(void **state)
{
    (void)state;
    pare_graph *g = chain(3);
    g->node[0].in[0] = g->node[2].out[0];
    assert_int_equal(pare_graph_sort(g), PARE_EFORMAT);
    assert_non_null(strstr(pare_error(), "cycle"));
    pare_graph_free(g);
}

static void test_replace_output_keeps_name(void **state)
{
    (void)state;
    pare_graph *g = chain(2);
    const char *name = g->value[g->output[0]].name;
    pare_id mid = g->node[0].out[0], last = g->output[0];
    assert_int_equal(pare_graph_replace(g, last, mid), PARE_OK);
    pare_graph_remove(g, 1);
    assert_int_equal(pare_graph_sort(g), PARE_OK);
    assert_int_equal(pare_graph_check(g), PARE_OK);
    assert_string_equal(g->value[g->output[0]].name, name);
    assert_int_equal(g->n_nodes, 1);
    pare_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_infer_and_clone),
        cmocka_unit_test(test_many_names),
        cmocka_unit_test(test_sort_finds_cycle),
        cmocka_unit_test(test_replace_output_keeps_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
