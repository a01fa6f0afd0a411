/* pare_bench beside a stand-in for ONNX Runtime: how it is found, that its outputs are compared,
 * what is filled in. Never how long something takes. */
#define _GNU_SOURCE /* setenv, dladdr */
#include "pare/eval.h"
#include "support/build.h"

#include <dlfcn.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define LIBRARY PARE_BINARY_DIR "/tests/libonnxruntime.so.0"

static char logged[400]; /* the last line */

static void keep(void *user, pare_log_level level, const char *line)
{
    (void)user, (void)level;
    snprintf(logged, sizeof logged, "%s", line);
}

static pare_graph *network(void)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, 1, 3, 8, 8)), y;
    y = add_node(g, "Relu", "", "y", 1, x);
    OK(pare_graph_mark_output(g, y));
    return g;
}

static pare_status bench(const char *path, const char *python, pare_bench_model *m)
{
    pare_graph *g = network();
    const char *file = "net.onnx";
    const pare_graph *list[] = { g };
    pare_bench_peers peers = { .file = &file, .ort = path, .python = python };
    pare_bench_options o = {
        .seconds = 0.001, .min_runs = 3, .peers = &peers, .plan = { .threads = 1 }
    };
    pare_status st = pare_bench(list, 1, &o, NULL, m);
    pare_graph_free(g);
    return st;
}

static void test_figures(void **state)
{
    (void)state;
    pare_bench_model m;
    unsetenv("FAKE_ORT");
    OK(bench(LIBRARY, NULL, &m));
    assert_int_equal(m.n_peers, 1);
    assert_string_equal(m.peer[0].name, "ONNX Runtime");
    assert_string_equal(m.peer[0].version, "0.0.1-stand-in");
    assert_string_equal(m.peer[0].path, LIBRARY);
    assert_true(m.peer[0].max_rel_diff == 0);
    assert_true(m.peer[0].p10_ms <= m.peer[0].median_ms && m.peer[0].median_ms <= m.peer[0].p90_ms);
    assert_true(m.peer[0].ratio_p10 <= m.peer[0].ratio && m.peer[0].ratio <= m.peer[0].ratio_p90);
    assert_true(m.peer[0].ratio > 0 && m.peer[0].runs >= 3 && m.runs >= 3);
    assert_true(m.ratio_to_first == 1 && m.n_layers == 0 && !m.layer);
    assert_true(m.load_ms > 0);
    pare_bench_free(&m, 1);
    assert_null(m.peer);
}

static void test_differences(void **state)
{
    (void)state;
    pare_bench_model m;
    setenv("FAKE_ORT", "off", 1);
    OK(bench(LIBRARY, NULL, &m));
    assert_true(m.peer[0].max_rel_diff > 0.1 && m.peer[0].max_rel_diff < 1);
    pare_bench_free(&m, 1);
    setenv("FAKE_ORT", "nan", 1);
    OK(bench(LIBRARY, NULL, &m));
    assert_true(isinf(m.peer[0].max_rel_diff));
    pare_bench_free(&m, 1);
    setenv("FAKE_ORT", "shape", 1);
    logged[0] = 0;
    OK(bench(LIBRARY, NULL, &m)); /* the caller judges, with the figures in hand */
    assert_true(isinf(m.peer[0].max_rel_diff));
    assert_non_null(strstr(logged, "[2,3,8,8]"));
    pare_bench_free(&m, 1);
    setenv("FAKE_ORT", "refuse", 1);
    assert_int_equal(bench(LIBRARY, NULL, &m), PARE_EUNSUPPORTED);
    assert_non_null(strstr(pare_error(), "refuses this file"));
    unsetenv("FAKE_ORT");
}

static void test_finding(void **state)
{
    (void)state;
    pare_bench_model m;
    OK(bench(PARE_BINARY_DIR "/tests", NULL, &m)); /* a folder */
    pare_bench_free(&m, 1);
    setenv("PARE_ORT", LIBRARY, 1);
    OK(bench(NULL, NULL, &m));
    pare_bench_free(&m, 1);
    assert_int_equal(bench("/nowhere", NULL, &m), PARE_EIO);
    assert_int_equal(bench(PARE_SOURCE_DIR, NULL, &m), PARE_EIO);
    Dl_info other;
    assert_true(dladdr(dlsym(RTLD_DEFAULT, "getpid"), &other));
    assert_int_equal(bench(other.dli_fname, NULL, &m), PARE_EIO);
    assert_non_null(strstr(pare_error(), "OrtGetApiBase"));
    unsetenv("PARE_ORT");
    char folder[] = "/tmp/pare[1]-XXXXXX", link[64]; /* no pattern */
    assert_non_null(mkdtemp(folder));
    snprintf(link, sizeof link, "%s/libonnxruntime.so.1", folder);
    OK(symlink(LIBRARY, link));
    OK(bench(folder, NULL, &m));
    pare_bench_free(&m, 1);
    unlink(link);
    rmdir(folder);
    /* a bare name is a file here, never a library of the system */
    assert_int_equal(bench("libm.so.6", NULL, &m), PARE_EIO);
    assert_non_null(strstr(pare_error(), "./libm.so.6"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_figures),
                                        cmocka_unit_test(test_differences),
                                        cmocka_unit_test(test_finding) };
    pare_log_to(keep, NULL, PARE_LOG_WARNING);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
