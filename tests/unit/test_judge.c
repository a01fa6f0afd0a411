/* Accuracy and comparison of networks, against what running them one sample at a time gives. */
#define _GNU_SOURCE /* mkdtemp */
#include "base/rng.h"
#include "graph/graph.h"
#include "pare/eval.h"
#include "pare/train.h"
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(e)                                                     \
    do {                                                          \
        if ((e) != PARE_OK) fail_msg("%s: %s", #e, pare_error()); \
    } while (0)

enum { SAMPLES = 70, CLASSES = 10 };
static const int64_t shape[3] = { 1, 12, 12 };
static char folder[] = "judge_XXXXXX", spec[128];
static pare_graph *net;

/* Random pictures as numbers, with random labels. */
static int make_data(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return 1;
    pare_tensor x, y;
    OK(pare_tensor_new(PARE_F32, 4, (int64_t[]){ SAMPLES, 1, 12, 12 }, &x));
    OK(pare_tensor_new(PARE_I64, 1, (int64_t[]){ SAMPLES }, &y));
    pare_rng rng = pare_rng_stream(5, 0);
    for (int64_t i = 0; i < pare_tensor_count(&x); i++)
        ((float *)x.data)[i] = (float)pare_rng_normal(&rng);
    for (int i = 0; i < SAMPLES; i++)
        ((int64_t *)y.data)[i] = i < CLASSES ? i : (int64_t)pare_rng_below(&rng, CLASSES);
    char path[64];
    snprintf(path, sizeof path, "%s/x.npy", folder);
    OK(pare_npy_save(&x, path, true));
    snprintf(path, sizeof path, "%s/y.npy", folder);
    OK(pare_npy_save(&y, path, true));
    snprintf(spec, sizeof spec, "npy:%s/x.npy,%s/y.npy", folder, folder);
    pare_tensor_free(&x);
    pare_tensor_free(&y);
    OK(pare_model_init("lenet", shape, CLASSES, 3, &net));
    return 0;
}

static int drop_data(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "%s/x.npy", folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/y.npy", folder);
    unlink(path);
    rmdir(folder);
    pare_graph_free(net);
    return 0;
}

/* The definition: one sample at a time. */
static void slow_accuracy(const pare_dataset *d, int64_t limit, int64_t *top1, int64_t *top5,
                          double *loss)
{
    pare_plan_options o = { .threads = 1, .batch = 1 };
    pare_plan *plan;
    pare_tensor in, out;
    OK(pare_plan_create(net, &o, &plan));
    OK(pare_tensor_new(PARE_F32, 4, (int64_t[]){ 1, 1, 12, 12 }, &in));
    OK(pare_tensor_new(PARE_F32, 2, (int64_t[]){ 1, CLASSES }, &out));
    *top1 = *top5 = 0;
    *loss = 0;
    for (int64_t i = 0; i < limit; i++) {
        int label, above = 0;
        OK(pare_dataset_batch(d, NULL, &i, 1, NULL, &in, &label));
        OK(pare_plan_run(plan, &in, &out));
        const float *y = out.data;
        double sum = 0;
        for (int k = 0; k < CLASSES; k++) {
            above += y[k] > y[label];
            sum += exp(y[k]);
        }
        *top1 += above == 0;
        *top5 += above < 5;
        *loss += log(sum) - y[label];
    }
    *loss /= (double)limit;
    pare_tensor_free(&in);
    pare_tensor_free(&out);
    pare_plan_free(plan);
}

static void test_accuracy(void **state)
{
    (void)state;
    pare_dataset *d;
    OK(pare_dataset_open(spec, PARE_TEST, &d));
    static const int64_t limits[] = { 0, 1, 63, 64, 65 }, batches[] = { 0, 1, 7, 100 };
    for (size_t i = 0; i < 5; i++)
        for (size_t b = 0; b < 4; b++) {
            int64_t n = limits[i] ? limits[i] : SAMPLES, top1, top5;
            double loss;
            slow_accuracy(d, n, &top1, &top5, &loss);
            pare_accuracy a;
            pare_plan_options o = { .batch = batches[b], .threads = 2 };
            OK(pare_evaluate(net, d, NULL, limits[i], &o, NULL, &a));
            assert_int_equal(a.images, n);
            assert_int_equal(a.top1_correct, top1);
            assert_int_equal(a.top5_correct, top5);
            assert_true(fabs(a.loss - loss) < 1e-4);
            assert_true(fabs(a.top1 - (double)top1 / (double)n) < 1e-12);
        }
    pare_dataset_free(d);
}

/* Skipping the first output shifts all the others: class k is judged by output k + 1, and one class
 * too few remains. */
static void test_skip(void **state)
{
    (void)state;
    pare_dataset *d;
    OK(pare_dataset_open(spec, PARE_TEST, &d));
    pare_accuracy a;
    pare_preprocess pp = { .skip = 1 };
    assert_int_equal(pare_evaluate(net, d, &pp, 0, NULL, NULL, &a), PARE_EFORMAT);
    assert_non_null(strstr(pare_error(), "10"));
    pare_dataset_free(d);
}

static bool stop_at_once(void *user, const char *stage, int64_t done, int64_t total,
                         const char *detail)
{
    (void)user, (void)stage, (void)done, (void)total, (void)detail;
    return false;
}

static void test_cancel(void **state)
{
    (void)state;
    pare_dataset *d;
    OK(pare_dataset_open(spec, PARE_TEST, &d));
    pare_accuracy a;
    pare_progress p = { stop_at_once, NULL };
    assert_int_equal(pare_evaluate(net, d, NULL, 0, NULL, &p, &a), PARE_ECANCELLED);
    pare_dataset_free(d);
}

/* A clone whose first weight of node `which` is changed by `delta`. */
static pare_graph *changed(uint32_t which, float delta, const char **name)
{
    pare_graph *g;
    OK(pare_graph_clone(net, &g));
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        pare_weight *w = pare_node_weight(g, &g->node[i], 1);
        if (!w || which-- > 0) continue;
        OK(pare_tensor_writable(&w->part[0]));
        ((float *)w->part[0].data)[0] += delta;
        *name = g->node[i].name;
        return g;
    }
    fail_msg("the network has too few weights");
    return NULL;
}

static void check_divergence(const pare_dataset *d, const char *what)
{
    for (uint32_t which = 0; which < 4; which++) {
        const char *name;
        pare_graph *b = changed(which, 3, &name);
        pare_verify_options o = { .outputs = true };
        pare_verification v;
        assert_int_equal(pare_verify(net, b, d, NULL, &o, NULL, &v), PARE_EMISMATCH);
        assert_false(v.match);
        assert_true(v.max_rel_error > 1e-4);
        assert_non_null(v.first_divergent);
        if (strcmp(v.first_divergent, name) != 0)
            fail_msg("%s: '%s' was changed, '%s' is blamed", what, name, v.first_divergent);
        free(v.first_divergent);
        pare_graph_free(b);
    }
}

static void test_verify_random(void **state)
{
    (void)state;
    pare_verification v;
    OK(pare_verify(net, net, NULL, NULL, NULL, NULL, &v));
    assert_true(v.match && v.max_rel_error == 0 && !v.first_divergent && v.top1_a < 0 &&
                v.images > 0);
    check_divergence(NULL, "random");
}

static void test_verify_data(void **state)
{
    (void)state;
    pare_dataset *d;
    OK(pare_dataset_open(spec, PARE_TEST, &d));
    pare_verification v;
    pare_accuracy a;
    OK(pare_evaluate(net, d, NULL, 0, NULL, NULL, &a));
    OK(pare_verify(net, net, d, NULL, NULL, NULL, &v));
    assert_true(v.match && v.images == SAMPLES);
    assert_true(v.top1_a == a.top1 && v.top1_b == a.top1);
    check_divergence(d, "data");
    pare_dataset_free(d);
}

/* By accuracy only: outputs that differ are reported and do not decide; accuracy that falls does.
 */
static void test_verify_accuracy(void **state)
{
    (void)state;
    pare_dataset *d;
    OK(pare_dataset_open(spec, PARE_TEST, &d));
    const char *name;
    pare_graph *b = changed(0, 50, &name);
    pare_accuracy first, second;
    OK(pare_evaluate(net, d, NULL, 0, NULL, NULL, &first));
    OK(pare_evaluate(b, d, NULL, 0, NULL, NULL, &second));
    assert_true(first.top1 != second.top1);
    const pare_graph *good = first.top1 > second.top1 ? net : b, *bad = good == b ? net : b;
    double drop = fabs(first.top1 - second.top1);
    pare_verify_options o = { .max_drop = drop + 1e-3 };
    pare_verification v;
    OK(pare_verify(good, bad, d, NULL, &o, NULL, &v));
    assert_true(v.match && v.max_rel_error > 1e-4);
    free(v.first_divergent);
    o.max_drop = drop - 1e-3;
    assert_int_equal(pare_verify(good, bad, d, NULL, &o, NULL, &v), PARE_EMISMATCH);
    assert_false(v.match);
    free(v.first_divergent);
    pare_graph_free(b);
    pare_dataset_free(d);
}

static void test_verify_nan(void **state)
{
    (void)state;
    const char *name;
    pare_graph *b = changed(1, NAN, &name);
    pare_verification v;
    assert_int_equal(pare_verify(net, b, NULL, NULL, NULL, NULL, &v), PARE_EMISMATCH);
    assert_false(v.match);
    assert_true(v.max_rel_error == INFINITY);
    free(v.first_divergent);
    /* the same NaN on both sides is no proof of anything either */
    assert_int_equal(pare_verify(b, b, NULL, NULL, NULL, NULL, &v), PARE_EMISMATCH);
    free(v.first_divergent);
    pare_graph_free(b);
}

static void test_verify_interface(void **state)
{
    (void)state;
    pare_graph *other;
    OK(pare_model_init("lenet", shape, CLASSES + 1, 3, &other));
    pare_verification v;
    assert_int_equal(pare_verify(net, other, NULL, NULL, NULL, NULL, &v), PARE_EMISMATCH);
    assert_non_null(strstr(pare_error(), "11"));
    free(v.first_divergent);
    pare_graph_free(other);
}

static void test_bind_input(void **state)
{
    (void)state;
    pare_graph *g;
    OK(pare_graph_clone(net, &g));
    pare_tensor t, wrong;
    OK(pare_tensor_new(PARE_F32, 4, (int64_t[]){ 2, 1, 12, 12 }, &t));
    OK(pare_tensor_new(PARE_F32, 4, (int64_t[]){ 2, 1, 13, 12 }, &wrong));
    assert_int_equal(pare_model_bind_input(g, "nothing", &t), PARE_EINVAL);
    assert_int_equal(pare_model_bind_input(g, NULL, &wrong), PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "13"));
    OK(pare_model_bind_input(g, NULL, &t));
    assert_int_equal(g->n_inputs, 0);
    pare_tensor_free(&t);
    pare_tensor_free(&wrong);
    pare_graph_free(g);
}

static void test_lists(void **state)
{
    (void)state;
    const char *a, *b;
    size_t operators = 0, codecs = 0, impls = 0;
    while (pare_operator_list(operators, &a)) operators++;
    while (pare_codec_list(codecs, &a)) codecs++;
    while (pare_impl_list(impls, &a, &b)) impls++;
    assert_true(operators > 10 && codecs >= 2 && impls >= 1);
    assert_null(pare_operator_list(operators + 5, &a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_accuracy),    cmocka_unit_test(test_skip),
        cmocka_unit_test(test_cancel),      cmocka_unit_test(test_verify_random),
        cmocka_unit_test(test_verify_data), cmocka_unit_test(test_verify_accuracy),
        cmocka_unit_test(test_verify_nan),  cmocka_unit_test(test_verify_interface),
        cmocka_unit_test(test_bind_input),  cmocka_unit_test(test_lists),
    };
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
