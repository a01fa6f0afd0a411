/* What tune-machine keeps: written and read back, damaged files passed over, and plans that follow
 * it. */
#define _POSIX_C_SOURCE 200809L /* setenv */
#include "base/files.h"
#include "pare/eval.h"
#include "runtime/offers.h"
#include "runtime/tuned.h"
#include "support/build.h"

#include <stdio.h>
#include <unistd.h>

static char path[] = "/tmp/pare-tuned-XXXXXX";
static int warnings, absent; /* that `path` is damaged, that a named file is not there */

static void count(void *user, pare_log_level level, const char *line)
{
    (void)user;
    if (level == PARE_LOG_WARNING && strstr(line, path)) warnings++;
    if (level == PARE_LOG_WARNING && strstr(line, "/nowhere/at/all")) absent++;
}

static pare_graph *network(void)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, 1, 32, 14, 14));
    pare_id y = add_node(g, "Conv", "pads=1/1/1/1", "conv", 2, x,
                         add_random(g, "w", f32_type(4, 32, 32, 3, 3), 1));
    OK(pare_graph_mark_output(g, y));
    return g;
}

/* The implementation that the convolution gets; a static string. */
static const char *choice(void)
{
    pare_graph *g = network();
    pare_plan *p;
    OK(pare_plan_take(g, &(pare_plan_options){ .threads = 1 }, &p));
    pare_step_info info = { 0 };
    for (size_t i = 0; i < pare_plan_steps(p); i++) {
        pare_plan_step(p, i, &info);
        if (strcmp(info.name, "conv") == 0) break;
    }
    pare_plan_free(p);
    return info.impl;
}

static void keep(const char *impl, double factor)
{
    pare_tuned t = { .n = 1, .entry = { { .factor = factor, .layers = 3 } } };
    snprintf(t.entry[0].impl, sizeof t.entry[0].impl, "%s", impl);
    OK(pare_tuned_save(&t, pare_isa_name(), path, true));
}

static void test_plans_follow(void **state)
{
    (void)state;
    setenv("PARE_TUNE", "off", 1);
    const char *usual = choice();
    setenv("PARE_TUNE", path, 1);
    keep(usual, 900);
    const char *other = choice();
    assert_string_not_equal(other, usual);
    assert_string_equal(choice(), other);
    keep(usual, 0.01);
    assert_string_equal(choice(), usual);
    setenv("PARE_TUNE", "off", 1);
    keep(usual, 900);
    assert_string_equal(choice(), usual);
    setenv("PARE_TUNE", "/nowhere/at/all", 1);
    assert_string_equal(choice(), usual);
    assert_string_equal(choice(), usual);
    assert_int_equal(absent, 1); /* once a process */
    assert_int_equal(warnings, 0);
}

static void test_damaged(void **state)
{
    (void)state;
    const char *isa = pare_isa_name();
    setenv("PARE_TUNE", path, 1);
    keep("conv_gemm", 2.5);
    pare_tuned *t = pare_tuned_load(isa);
    assert_non_null(t);
    assert_true(pare_tuned_factor(t, "conv_gemm") == 2.5 && pare_tuned_factor(t, "conv") == 1);
    assert_true(t->entry[0].layers == 3 && pare_tuned_factor(NULL, "conv_gemm") == 1);
    free(t);
    assert_null(pare_tuned_load("z80"));
    uint8_t *good;
    size_t size;
    OK(pare_read_file(path, 1 << 20, &good, &size));
    for (size_t cut = 0; cut < size; cut++) { /* cut off anywhere but between two entries */
        OK(pare_write_file(path, good, cut, true));
        t = pare_tuned_load(isa);
        assert_true(!t || t->n == 0);
        free(t);
    }
    static const char *const ends[] = { "impl x nan 1\n", "impl x -1 1\n",  "impl x 1e9 1\n",
                                        "impl x 1\n",     "impl x 1 1 1\n", "what\n",
                                        "impl x 1 1" };
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++) {
        char text[1024];
        int n = snprintf(text, sizeof text, "%s%s", (char *)good, ends[i]);
        OK(pare_write_file(path, text, (size_t)n, true));
        t = pare_tuned_load(isa);
        if (t) fail_msg("'%s' was read", ends[i]);
    }
    good[size - 2] = 0; /* a 0 within */
    OK(pare_write_file(path, good, size, true));
    assert_null(pare_tuned_load(isa));
    assert_int_equal(warnings, 1); /* once a process */
    free(good);
}

static void test_tuning(void **state)
{
    (void)state;
    pare_graph *g = network();
    const pare_graph *list[] = { g };
    pare_tuning t;
    setenv("PARE_TUNE", path, 1);
    assert_int_equal(pare_tune_machine(list, 1, NULL, false, NULL, &t), PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "exists"));
    OK(pare_tune_machine(list, 1, NULL, true, NULL, &t));
    assert_string_equal(t.path, path);
    assert_true(t.n > 0 && (t.foreign_processors >= 0 || t.foreign_processors == -1));
    pare_tuned *kept = pare_tuned_load(pare_isa_name());
    assert_non_null(kept);
    assert_int_equal(kept->n, t.n);
    for (size_t i = 0; i < t.n; i++) {
        assert_true(t.entry[i].factor > 0 && t.entry[i].layers > 0);
        assert_string_equal(kept->entry[i].impl, t.entry[i].impl);
    }
    free(kept);
    pare_tuning_free(&t);
    setenv("PARE_TUNE", "off", 1);
    assert_int_equal(pare_tune_machine(list, 1, NULL, true, NULL, &t), PARE_EINVAL);
    setenv("PARE_TUNE", "", 1);
    setenv("XDG_CACHE_HOME", "/somewhere", 1);
    char at[1024];
    assert_true(pare_tuned_path("avx2", at, sizeof at));
    assert_true(strncmp(at, "/somewhere/pare/machine-", 24) == 0 && strstr(at, "-avx2.txt"));
    assert_int_equal(pare_tune_machine(list, 1, "/proc/no/such.txt", true, NULL, &t), PARE_EIO);
    /* the file in the cache is replaced without being asked */
    char cache[] = "/tmp/pare-cache-XXXXXX", folder[64];
    assert_non_null(mkdtemp(cache));
    setenv("XDG_CACHE_HOME", cache, 1);
    for (int i = 0; i < 2; i++) {
        OK(pare_tune_machine(list, 1, NULL, false, NULL, &t));
        pare_tuning_free(&t);
    }
    assert_true(pare_tuned_path(pare_isa_name(), at, sizeof at));
    assert_int_equal(pare_tune_machine(list, 1, at, false, NULL, &t), PARE_EINVAL);
    unlink(at);
    snprintf(folder, sizeof folder, "%s/pare", cache);
    rmdir(folder);
    assert_int_equal(rmdir(cache), 0);
    pare_graph_free(g);
}

int main(void)
{
    int fd = mkstemp(path);
    pare_log_to(count, NULL, PARE_LOG_WARNING);
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_plans_follow),
                                        cmocka_unit_test(test_damaged),
                                        cmocka_unit_test(test_tuning) };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    close(fd);
    unlink(path);
    return failed;
}
