/* pare_bench: what it fills in, never how long something takes. */
#include "pare/eval.h"
#include "support/build.h"

#include <stdio.h>

static pare_graph *network(int channels)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", (pare_type){ PARE_F32, 4, { -1, 3, 8, 8 } });
    pare_id y = add_node(g, "Conv", "pads=1/1/1/1", "conv", 2, x,
                         add_random(g, "w", f32_type(4, channels, 3, 3, 3), 1));
    y = add_node(g, "Relu", "", "relu", 1, y);
    y = add_node(g, "GlobalAveragePool", "", "pool", 1, y);
    OK(pare_graph_mark_output(g, y));
    return g;
}

static void test_two_models(void **state)
{
    (void)state;
    pare_graph *g[2] = { network(4), network(8) };
    pare_bench_model m[2];
    pare_bench_options o = {
        .seconds = 0.02, .min_runs = 7, .layers = true, .plan = { .threads = 1, .batch = 2 }
    };
    OK(pare_bench((const pare_graph *const *)g, 2, &o, NULL, m));
    assert_true(m[0].runs >= 7 && m[1].runs == m[0].runs);
    assert_true(m[0].ratio_to_first == 1 && m[0].ratio_p10 == 1 && m[0].ratio_p90 == 1);
    for (int i = 0; i < 2; i++) {
        assert_true(m[i].p10_ms <= m[i].median_ms && m[i].median_ms <= m[i].p90_ms &&
                    m[i].p10_ms > 0);
        assert_true(m[i].gflops > 0 && m[i].peak_mib > 0 && m[i].ratio_to_first > 0);
        assert_true(m[i].load_ms > 0);
        assert_int_equal(m[i].n_layers, 2);
        assert_string_equal(m[i].layer[0].name, "conv");
        assert_string_equal(m[i].layer[0].op, "Conv");
        assert_true(*m[i].layer[0].impl && *m[i].layer[0].why);
        assert_true(m[i].layer[0].macs == 2.0 * 64 * 27 * (i ? 8 : 4));
        assert_string_equal(m[i].layer[1].name, "pool");
    }
    pare_bench_free(m, 2);
    assert_null(m[0].layer);
    pare_bench_free(m, 2);
    o.layers = false;
    OK(pare_bench((const pare_graph *const *)g, 2, &o, NULL, m));
    assert_true(m[1].n_layers == 0 && !m[1].layer);
    pare_bench_free(m, 2);
    pare_graph_free(g[0]);
    pare_graph_free(g[1]);
}

static void test_roofline(void **state)
{
    (void)state;
    pare_graph *g = network(4);
    const pare_graph *list[] = { g };
    for (int threads = 1; threads <= 3; threads += 2) {
        pare_bench_model m;
        pare_bench_options o = {
            .seconds = 0.001, .min_runs = 1, .roofline = true, .plan = { .threads = threads }
        };
        OK(pare_bench(list, 1, &o, NULL, &m));
        assert_true(m.peaks.gflops > 0 && m.peaks.int8_gops > 0 && m.peaks.bandwidth_gbs > 0);
        assert_true(m.peaks.working_set >= 64 << 10);
        for (size_t i = 0; i < m.n_layers; i++) /* no layer is above the peak */
            assert_true(2e-6 * m.layer[i].macs / m.layer[i].ms <= m.peaks.gflops * 1.0001);
        /* 3 channels in and 4 out of 8x8; 108 weights, packed with padding */
        assert_true(m.layer[0].activation_bytes == 4 * 64 * (3 + 4));
        assert_true(m.layer[0].weight_bytes >= 108 * 4 && m.layer[0].weight_bytes < 108 * 4 * 20);
        assert_true(m.layer[1].activation_bytes == 4 * (64 * 4 + 4) && !m.layer[0].int8);
        pare_bench_free(&m, 1);
    }
    pare_graph_free(g);
}

static bool stop(void *user, const char *stage, int64_t done, int64_t total, const char *detail)
{
    assert_string_equal(stage, "bench");
    assert_true(done >= 0 && done <= total);
    (void)user;
    (void)detail;
    return false;
}

static void test_errors(void **state)
{
    (void)state;
    pare_graph *g = network(4);
    pare_bench_model m;
    assert_int_equal(pare_bench(NULL, 0, NULL, NULL, &m), PARE_EINVAL);
    const pare_graph *list[] = { g };
    assert_int_equal(pare_bench(list, 1, &(pare_bench_options){ .seconds = -1 }, NULL, &m),
                     PARE_EINVAL);
    assert_int_equal(
        pare_bench(list, 1,
                   &(pare_bench_options){ .seconds = 0.01, .plan = { .force = "nothing" } }, NULL,
                   &m),
        PARE_EINVAL);
    const pare_graph *two[] = { g, g }; /* which one is it? */
    pare_graph *free_size;
    OK(pare_graph_new(&free_size));
    OK(pare_graph_mark_output(
        free_size, add_node(free_size, "Relu", "", "y", 1,
                            add_input(free_size, "x", (pare_type){ PARE_F32, 2, { 1, -1 } }))));
    two[1] = free_size;
    pare_bench_model of_two[2];
    assert_int_equal(pare_bench(two, 2, NULL, NULL, of_two), PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "network 2 of 2: input 'x'"));
    pare_graph_free(free_size);
    pare_progress p = { stop, NULL };
    assert_int_equal(pare_bench(list, 1,
                                &(pare_bench_options){ .seconds = 60, .plan = { .threads = 1 } },
                                &p, &m),
                     PARE_ECANCELLED);
    pare_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_two_models),
                                        cmocka_unit_test(test_roofline),
                                        cmocka_unit_test(test_errors) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
