/* pare_compress() as a whole, without training: reports, options, refusals, run folders. */
#define _GNU_SOURCE
#include "data_files.h"
#include "driver/run_dir.h"
#include "graph/graph.h"
#include "ops/op.h"
#include "pare/compress.h"

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

static pare_graph *net;
static pare_dataset *digits;
static const pare_preprocess pp = {
    .n_mean = 1, .n_scale = 1, .mean = { 128 }, .scale = { 0.01f }
};

static int open_all(void **state)
{
    pare_log_to(NULL, NULL, PARE_LOG_WARNING);
    if (scratch_make(state) != 0) return 1;
    OK(pare_model_init("resnet8", (int64_t[]){ 3, 32, 32 }, 10, 3, &net));
    OK(pare_dataset_open("glyphs:test=64", PARE_TEST, &digits));
    return 0;
}

static int close_all(void **state)
{
    pare_graph_free(net);
    pare_dataset_free(digits);
    return scratch_remove(state);
}

static pare_compress_options options(const char *const *methods, const char *out)
{
    pare_compress_options o = {
        .methods = methods, .out_path = out, .max_drop = -1, .force = true
    };
    pare_train_defaults(&o.train);
    o.train.threads = 1;
    return o;
}

static pare_status run(const pare_compress_options *o, pare_compress_report *r)
{
    return pare_compress(net, NULL, digits, &pp, o, NULL, r);
}

static void read_all(const char *path, char **data, long *size)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    fseek(f, 0, SEEK_END);
    *size = ftell(f);
    rewind(f);
    *data = malloc((size_t)*size);
    assert_true(*data && fread(*data, 1, (size_t)*size, f) == (size_t)*size);
    fclose(f);
}

static void assert_same_file(const char *a, const char *b)
{
    char *x, *y;
    long n, m;
    read_all(a, &x, &n);
    read_all(b, &y, &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, (size_t)n);
    free(x);
    free(y);
}

static void test_report(void **state)
{
    const char *methods[] = { "penni:density=0.2,basis=4", NULL };
    const char *out = in_scratch("report.onnx");
    pare_compress_options o = options(methods, out);
    pare_compress_report r;
    OK(run(&o, &r));
    assert_true(r.after.params < 0.5 * r.before.params && r.after.params > 0);
    assert_true(r.after.bytes < 0.5 * r.before.bytes);
    assert_true(r.after.macs < 0.6 * r.before.macs && r.after.macs > 0);
    assert_true(r.before.top1 >= 0 && r.after.top1 >= 0);
    assert_true(r.before.median_ms == -1 && r.latency_ratio == -1);
    assert_true(r.density > 0.1 && r.density < 0.25);
    assert_non_null(strstr(r.method, "density=0.2"));
    assert_non_null(strstr(r.method, "swap=2"));
    char *data;
    long size;
    read_all(out, &data, &size);
    free(data);
    assert_int_equal(size, (long)r.after.bytes);
    int penni = 0;
    double params = 0;
    for (size_t i = 0; i < r.n_layers; i++) {
        const pare_compress_layer *l = &r.layer[i];
        assert_true(l->in_after <= l->in_before && l->out_after <= l->out_before &&
                    l->out_after > 0);
        assert_true(l->macs_before > 0 && l->macs_after >= 0);
        params += l->params_after;
        if (strcmp(l->codec, "penni") == 0) {
            penni++;
            assert_true(l->basis >= 1 && l->basis <= 4);
        }
    }
    assert_true(penni >= 5 && params < r.after.params); /* batch-norm and biases are no layers */
    pare_graph *g;
    OK(pare_model_load(out, &g));
    assert_string_equal(pare_model_meta(g, "pare.method"), r.method);
    assert_string_equal(pare_model_meta(g, "pare.seed"), "1");
    pare_preprocess kept;
    bool found;
    OK(pare_preprocess_from_model(g, &kept, &found));
    assert_true(found && kept.n_mean == 1 && kept.mean[0] == 128);
    pare_graph_free(g);
    pare_compress_report_free(&r);
}

static void test_layers(void **state)
{
    const char *methods[] = { "penni:density=0.2", NULL };
    const char *first = NULL;
    for (uint32_t i = 0; !first && i < net->n_nodes; i++)
        if (strcmp(net->node[i].op->name, "Conv") == 0) first = net->node[i].name;
    char skip[100], few[] = "*=basis=2";
    snprintf(skip, sizeof skip, "%s=skip", first);
    const char *layers[] = { few, skip, NULL };
    pare_compress_options o = options(methods, in_scratch("layers.onnx"));
    o.layers = layers;
    pare_compress_report r;
    OK(run(&o, &r));
    for (size_t i = 0; i < r.n_layers; i++) {
        if (strcmp(r.layer[i].name, first) == 0) assert_string_equal(r.layer[i].codec, "dense");
        assert_true(r.layer[i].basis <= 2);
    }
    pare_compress_report_free(&r);
    const char *bad[][2] = { { "nonesuch=skip", NULL }, { "*=nonesuch=1", NULL },
                             { "*=basis=0", NULL },     { "conv", NULL },
                             { "*=steps=5", NULL },     { "*=basis=2,lr=3", NULL } };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        o.layers = bad[i];
        assert_int_equal(run(&o, &r), PARE_EINVAL);
        assert_true(strlen(pare_error()) > 0);
    }
    assert_non_null(strstr(pare_error(), "option 'lr' holds for the whole run"));
}

/* One rate for all methods is what the report says and what counts. */
static void test_rate(void **state)
{
    const char *methods[] = { "magnitude:lr=0.2", "penni", NULL };
    pare_compress_options o = options(methods, in_scratch("rate.onnx"));
    pare_compress_report r;
    o.lr = 0.5;
    o.run_dir = in_scratch("rate");
    OK(run(&o, &r));
    const char *first = strstr(r.method, ",lr=0.5,");
    assert_non_null(first);
    assert_non_null(strstr(first + 1, ",lr=0.5,"));
    pare_compress_report_free(&r);
    OK(run(&o, &r)); /* again, from its folder */
    pare_compress_report_free(&r);
    o.lr = 0.25; /* which belongs to another rate */
    assert_int_equal(run(&o, &r), PARE_EINVAL);
    o.lr = 1000;
    o.run_dir = NULL;
    assert_int_equal(run(&o, &r), PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "lr"));
}

static void test_refusals(void **state)
{
    const char *good[] = { "penni", NULL };
    pare_compress_report r;
    static const char *const bad[] = { "nonesuch", "penni:nonesuch=1", "penni:basis=x", "", ":" };
    const char *out = in_scratch("refused.onnx");
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *methods[] = { bad[i], NULL };
        pare_compress_options o = options(methods, out);
        assert_int_equal(run(&o, &r), PARE_EINVAL);
    }
    pare_compress_options o = options(NULL, out);
    assert_int_equal(run(&o, &r), PARE_EINVAL);
    o = options(good, NULL);
    assert_int_equal(run(&o, &r), PARE_EINVAL);
    o = options(good, in_scratch("nonesuch/out.onnx"));
    assert_int_equal(run(&o, &r), PARE_EIO);
    assert_int_not_equal(access(out, F_OK), 0);
    FILE *f = fopen(out, "w");
    fputs("precious", f);
    fclose(f);
    o = options(good, out);
    o.force = false;
    assert_int_equal(run(&o, &r), PARE_EINVAL);
    char *data;
    long size;
    read_all(out, &data, &size);
    assert_true(size == 8 && memcmp(data, "precious", 8) == 0);
    free(data);
}

/* A finished run is repeated from its stages, with the same bytes; a damaged stage is done again.
 */
static void test_run_folder(void **state)
{
    const char *methods[] = { "magnitude:density=0.9", "penni:density=0.3", NULL },
               *other[] = { "penni:density=0.31", NULL };
    const char *dir = in_scratch("run");
    pare_compress_options o = options(methods, in_scratch("a.onnx"));
    pare_compress_report r;
    OK(run(&o, &r)); /* without a folder */
    pare_compress_report_free(&r);
    o.run_dir = dir;
    o.out_path = in_scratch("b.onnx");
    OK(run(&o, &r));
    pare_compress_report_free(&r);
    assert_int_equal(access(in_scratch("run/stage-01-1-magnitude-prune.onnx"), F_OK), 0);
    o.out_path = in_scratch("c.onnx");
    OK(run(&o, &r));
    pare_compress_report_free(&r);
    assert_same_file(in_scratch("b.onnx"), in_scratch("c.onnx"));
    FILE *f = fopen(in_scratch("run/stage-04-2-penni-shrink.onnx"), "r+b");
    assert_non_null(f);
    fseek(f, 1000, SEEK_SET);
    fputc('!', f);
    fclose(f);
    OK(run(&o, &r));
    pare_compress_report_free(&r);
    assert_same_file(in_scratch("b.onnx"), in_scratch("c.onnx"));
    o.methods = other;
    assert_int_equal(run(&o, &r), PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "another"));
}

static void test_run_folder_is_locked(void **state)
{
    pare_run_dir *a, *b;
    const char *dir = in_scratch("locked");
    OK(pare_run_dir_open(dir, "k", &a));
    assert_int_equal(pare_run_dir_open(dir, "k", &b), PARE_EIO);
    OK(pare_run_dir_save(a, "one", net));
    pare_run_dir_close(a);
    OK(pare_run_dir_open(dir, "k", &b));
    pare_graph *g = NULL;
    bool found;
    OK(pare_run_dir_load(b, "two", &g, &found));
    assert_true(!found && !g);
    OK(pare_run_dir_load(b, "one", &g, &found));
    assert_true(found && g);
    pare_graph_free(g);
    pare_run_dir_close(b);
    assert_int_equal(pare_run_dir_open(dir, "other", &b), PARE_EINVAL);
    FILE *f = fopen(in_scratch("locked/state.json"), "w");
    fputs("{\"format\": 9}", f);
    fclose(f);
    assert_int_equal(pare_run_dir_open(dir, "k", &b), PARE_EFORMAT);
}

static bool stop(void *user, const char *stage, int64_t done, int64_t total, const char *detail)
{
    return false;
}

static void test_target_and_cancel(void **state)
{
    const char *methods[] = { "penni:density=0.01", NULL };
    pare_compress_options o = options(methods, in_scratch("target.onnx"));
    pare_compress_report r;
    o.max_drop = 0;
    pare_status st = run(&o, &r);
    assert_int_equal(st, r.before.top1 > r.after.top1 ? PARE_ETARGET : PARE_OK);
    assert_int_equal(access(o.out_path, F_OK), 0);
    pare_compress_report_free(&r);
    pare_progress p = { stop, NULL };
    o.out_path = in_scratch("cancelled.onnx");
    assert_int_equal(pare_compress(net, NULL, digits, &pp, &o, &p, &r), PARE_ECANCELLED);
    assert_int_not_equal(access(o.out_path, F_OK), 0);
}

/* Asks to stop at every n-th report. */
typedef struct impatient {
    int n, reports;
} impatient;

static bool stop_now_and_then(void *user, const char *stage, int64_t done, int64_t total,
                              const char *detail)
{
    impatient *i = user;
    return ++i->reports % i->n != 0;
}

/* Retraining on drawn digits. Interrupted again and again, the result has the same bytes. */
static void test_retraining_resumes(void **state)
{
    pare_dataset *train;
    OK(pare_dataset_open("glyphs:train=96", PARE_TRAIN, &train));
    const char *methods[] = { "penni:density=0.3,swap=1,steps=2", NULL };
    pare_compress_options o = options(methods, in_scratch("whole.onnx"));
    o.epochs = 5;
    o.train.batch = 32;
    o.run_dir = in_scratch("whole");
    pare_compress_report r;
    pare_status st = pare_compress(net, train, NULL, &pp, &o, NULL, &r);
    if (st == PARE_EUNSUPPORTED) { /* built without oneDNN */
        pare_dataset_free(train);
        skip();
    }
    OK(st);
    pare_compress_report_free(&r);
    o.out_path = in_scratch("parts.onnx");
    o.run_dir = in_scratch("parts");
    o.train.threads = 2;
    impatient user = { .n = 3 }; /* a full run reports at least once an epoch, five times in all */
    pare_progress p = { stop_now_and_then, &user };
    int interruptions = 0;
    while ((st = pare_compress(net, train, NULL, &pp, &o, &p, &r)) == PARE_ECANCELLED &&
           interruptions < 100)
        interruptions++;
    OK(st);
    pare_compress_report_free(&r);
    assert_true(interruptions > 0);
    assert_same_file(in_scratch("whole.onnx"), o.out_path);
    pare_dataset_free(train);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_report),
        cmocka_unit_test(test_layers),
        cmocka_unit_test(test_rate),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_run_folder),
        cmocka_unit_test(test_run_folder_is_locked),
        cmocka_unit_test(test_target_and_cancel),
        cmocka_unit_test(test_retraining_resumes),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
