/* Training runs: they learn, resume to the same bytes after an interruption, obey hooks, refuse bad
 * checkpoints. */
#define _GNU_SOURCE /* mkdtemp */
#include "base/files.h"
#include "base/rng.h"
#include "codecs/penni.h"
#include "pare/eval.h"
#include "train/loss.h"
#include "train/onednn.h"
#include "train/trainer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#define OK(e) assert_ok(e, #e)
static void assert_ok(pare_status st, const char *what)
{
    if (st != PARE_OK) fail_msg("%s: %s", what, pare_error());
}

/* A set of noisy squares and stripes, 1 x 12 x 12, four classes; in files of a temporary folder. */
enum { SIDE = 12, COUNT = 96, CLASSES = 4 };
static char folder[64];
static pare_dataset *set;

static char *in_folder(const char *name)
{
    char *s = pare_format("%s/%s", folder, name);
    assert_non_null(s);
    return s;
}

static int make_data(void **state)
{
    (void)state;
    strcpy(folder, "/tmp/pare-train-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    pare_tensor x, y;
    OK(pare_tensor_new(PARE_F32, 4, (int64_t[]){ COUNT, 1, SIDE, SIDE }, &x));
    OK(pare_tensor_new(PARE_I64, 1, (int64_t[]){ COUNT }, &y));
    pare_rng rng = pare_rng_stream(1, 2);
    for (int i = 0; i < COUNT; i++) {
        int label = i % CLASSES, at = (int)pare_rng_below(&rng, 6);
        ((int64_t *)y.data)[i] = label;
        for (int r = 0; r < SIDE; r++)
            for (int c = 0; c < SIDE; c++) {
                bool on = label == 0   ? r % 4 < 2
                          : label == 1 ? c % 4 < 2
                          : label == 2 ? (r + c) % 4 < 2
                                       : r >= at && r < at + 6 && c >= at && c < at + 6;
                ((float *)x.data)[(i * SIDE + r) * SIDE + c] =
                    (float)(on + 0.5 * pare_rng_normal(&rng));
            }
    }
    char *xs = in_folder("x.npy"), *ys = in_folder("y.npy"),
         *spec = pare_format("npy:%s,%s", xs, ys);
    OK(pare_npy_save(&x, xs, false));
    OK(pare_npy_save(&y, ys, false));
    OK(pare_dataset_open(spec, PARE_TRAIN, &set));
    free(xs);
    free(ys);
    free(spec);
    pare_tensor_free(&x);
    pare_tensor_free(&y);
    return 0;
}

static int drop_data(void **state)
{
    (void)state;
    static const char *const names[] = { "x.npy",      "y.npy",      "t.ckpt",
                                         "t.ckpt.old", "train.ckpt", "train.ckpt.old" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        char *s = in_folder(names[i]);
        unlink(s);
        free(s);
    }
    pare_dataset_free(set);
    return rmdir(folder);
}

static void forget_runs(void)
{
    static const char *const names[] = { "t.ckpt", "t.ckpt.old" };
    for (size_t i = 0; i < 2; i++) {
        char *s = in_folder(names[i]);
        unlink(s);
        free(s);
    }
}

static bool can_train(void)
{
    pare_dnn *d;
    if (pare_dnn_new(pare_train_kernels_for(0), 1, &d) != PARE_OK) return false;
    pare_dnn_free(d);
    return true;
}

static pare_graph *network(const char *name)
{
    pare_graph *g;
    OK(pare_model_init(name, (int64_t[]){ 1, SIDE, SIDE }, CLASSES, 7, &g));
    return g;
}

static pare_train_options options(void)
{
    pare_train_options o;
    pare_train_defaults(&o);
    o.batch = 32;
    o.epochs = 3;
    o.lr = 0.05;
    o.augment_pad = 1;
    o.threads = 1;
    return o;
}

static pare_status train(pare_graph *g, const pare_train_options *o,
                         const pare_trainer_hooks *hooks, const pare_progress *p,
                         pare_train_report *r)
{
    return pare_trainer_run(g, set, set, NULL, NULL, o, hooks, "t", false, p, r);
}

static void same_weights(const pare_graph *a, const pare_graph *b)
{
    assert_int_equal(a->n_values, b->n_values);
    for (uint32_t v = 0; v < a->n_values; v++) {
        const pare_weight *x = a->value[v].weight, *y = b->value[v].weight;
        for (int k = 0; x && k < pare_weight_parts(x); k++)
            if (memcmp(x->part[k].data, y->part[k].data, pare_tensor_bytes(&x->part[k])) != 0)
                fail_msg("'%s' differs", a->value[v].name);
    }
}

static void test_learns(void **state)
{
    (void)state;
    if (!can_train()) skip();
    static const char *const names[] = { "resnet8", "lenet", "mlp", "mobilenet-v1", "vgg-small" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++) {
        pare_graph *g = network(names[i]);
        pare_train_options o = options();
        pare_train_report r;
        o.epochs = i < 3 ? 12 : 1;
        o.optimizer = i == 1 || i == 2;
        if (o.optimizer) o.lr = 0.003;
        o.augment_pad = 0;
        o.augment_flip = false;
        OK(train(g, &o, NULL, NULL, &r));
        if (i < 3 && !(r.top1 > 0.9 && r.loss < 0.5))
            fail_msg("%s: top-1 %.3f, loss %.3f", names[i], r.top1, r.loss);
        assert_int_equal(r.epochs, o.epochs);
        /* the trainer's own forward judges as everybody's does */
        pare_accuracy a;
        OK(pare_evaluate(g, set, &(pare_preprocess){ 0 }, 0, NULL, NULL, &a));
        assert_true(a.top1 == r.top1);
        pare_graph_free(g);
    }
}

/* Stops at the n-th report. */
static bool stop_at(void *user, const char *stage, int64_t done, int64_t total, const char *detail)
{
    (void)stage, (void)done, (void)total, (void)detail;
    return --*(int *)user > 0;
}

static void test_resumes(void **state)
{
    (void)state;
    if (!can_train()) skip();
    for (int optimizer = 0; optimizer < 2; optimizer++) {
        pare_graph *whole = network("resnet8"), *cut = NULL;
        pare_train_options o = options();
        pare_train_report r;
        o.optimizer = optimizer;
        if (optimizer) o.lr = 0.001;
        o.threads = 2;
        OK(train(whole, &o, NULL, NULL, &r));
        double loss = r.loss;
        /* once interrupted after its first epoch; each time from the starting weights, as after a
         * kill */
        o.run_dir = folder;
        o.threads = 1;
        forget_runs();
        int reports = 1;
        pare_status st = PARE_ECANCELLED;
        for (int runs = 0; st == PARE_ECANCELLED; runs++) {
            assert_true(runs < 20);
            pare_graph_free(cut);
            cut = network("resnet8");
            int left = reports;
            st = train(cut, &o, NULL, &(pare_progress){ stop_at, &left }, &r);
        }
        OK(st);
        assert_true(r.resumed_from > 0);
        assert_true(r.loss == loss);
        same_weights(whole, cut);
        /* a finished run is found finished */
        pare_graph_free(cut);
        cut = network("resnet8");
        OK(train(cut, &o, NULL, NULL, &r));
        assert_int_equal(r.resumed_from, o.epochs);
        same_weights(whole, cut);
        pare_graph_free(cut);
        pare_graph_free(whole);
    }
}

static void overwrite(const char *name, size_t at)
{
    char *path = in_folder(name);
    uint8_t *data;
    size_t size;
    OK(pare_read_file(path, SIZE_MAX / 2, &data, &size));
    data[at < size ? at : size / 2] ^= 1;
    OK(pare_write_file(path, data, size, true));
    free(data);
    free(path);
}

static void test_bad_checkpoints(void **state)
{
    (void)state;
    if (!can_train()) skip();
    forget_runs();
    pare_graph *whole = network("mlp"), *g = network("mlp");
    pare_train_options o = options();
    pare_train_report r;
    OK(train(whole, &o, NULL, NULL, &r));
    o.run_dir = folder;
    OK(train(g, &o, NULL, NULL, &r));
    /* the newest is damaged: the one before it serves, and the result is the same */
    overwrite("t.ckpt", 5000);
    pare_graph_free(g);
    g = network("mlp");
    OK(train(g, &o, NULL, NULL, &r));
    assert_int_equal(r.resumed_from, o.epochs - 1);
    same_weights(whole, g);
    /* both are damaged */
    overwrite("t.ckpt", 5000);
    overwrite("t.ckpt.old", 5000);
    assert_int_equal(train(g, &o, NULL, NULL, &r), PARE_EFORMAT);
    assert_non_null(strstr(pare_error(), "damaged"));
    overwrite("t.ckpt", 5000);
    /* another run's */
    o.lr *= 2;
    assert_int_equal(train(g, &o, NULL, NULL, &r), PARE_EFORMAT);
    assert_non_null(strstr(pare_error(), "another run"));
    /* cut short, at many places */
    o.lr /= 2;
    char *path = in_folder("t.ckpt"), *old = in_folder("t.ckpt.old");
    uint8_t *data;
    size_t size;
    OK(pare_read_file(path, SIZE_MAX / 2, &data, &size));
    unlink(old);
    for (size_t n = 0; n < size; n += 1 + size / 29) {
        OK(pare_write_file(path, data, n, true));
        assert_int_equal(train(g, &o, NULL, NULL, &r), PARE_EFORMAT);
    }
    free(data);
    free(path);
    free(old);
    pare_graph_free(g);
    pare_graph_free(whole);
}

/* --- hooks --- */

typedef struct watch {
    pare_id weight;
    int epochs;
    pare_tensor part[2][PARE_MAX_PARTS]; /* as last seen */
} watch;

static const char *rests(void *user, int64_t epoch)
{
    (void)user;
    return epoch % 2 ? "values" : "basis";
}

static pare_status look(void *user, int64_t epoch, pare_graph *g)
{
    watch *w = user;
    const pare_weight *now = g->value[w->weight].weight;
    int frozen = epoch % 2 ? PARE_PENNI_VALUES : PARE_PENNI_BASIS,
        free_part = epoch % 2 ? PARE_PENNI_BASIS : PARE_PENNI_VALUES;
    pare_tensor *seen = w->part[0];
    assert_memory_equal(seen[frozen].data, now->part[frozen].data,
                        pare_tensor_bytes(&seen[frozen]));
    assert_memory_not_equal(seen[free_part].data, now->part[free_part].data,
                            pare_tensor_bytes(&seen[free_part]));
    w->epochs++;
    /* doubles the values and halves the basis: the next epoch must start from that */
    pare_weight changed = pare_weight_ref(now);
    for (int k = PARE_PENNI_VALUES; k <= PARE_PENNI_BASIS; k++) {
        OK(pare_tensor_writable(&changed.part[k]));
        for (int64_t i = 0; i < pare_tensor_count(&changed.part[k]); i++)
            ((float *)changed.part[k].data)[i] *= k == PARE_PENNI_VALUES ? 2 : 0.5f;
        pare_tensor_free(&seen[k]);
        seen[k] = pare_tensor_ref(&changed.part[k]);
    }
    return pare_graph_set_weight(g, w->weight, changed);
}

static void test_hooks(void **state)
{
    (void)state;
    if (!can_train()) skip();
    pare_graph *g = network("resnet8");
    watch w = { .weight = PARE_NONE };
    for (uint32_t v = 0; v < g->n_values; v++)
        if (strcmp(g->value[v].name, "layer1.0.conv1.weight") == 0) w.weight = v;
    assert_true(w.weight != PARE_NONE);
    pare_type type = g->value[w.weight].type;
    float a[16 * 16 * 3], basis[3 * 9];
    pare_rng rng = pare_rng_stream(1, 1);
    for (size_t i = 0; i < sizeof a / sizeof *a; i++) a[i] = (float)(0.1 * pare_rng_normal(&rng));
    for (size_t i = 0; i < sizeof basis / sizeof *basis; i++)
        basis[i] = (float)(0.3 * pare_rng_normal(&rng));
    pare_weight e;
    OK(pare_penni_encode(&type, 3, a, NULL, basis, &e));
    OK(pare_graph_set_weight(g, w.weight, e));
    for (int k = 0; k < 3; k++) w.part[0][k] = pare_tensor_ref(&e.part[k]);
    pare_train_options o = options();
    o.epochs = 4;
    pare_train_report r;
    pare_trainer_hooks hooks = { .l1 = 1e-3,
                                 .l1_codec = "penni",
                                 .l1_part = "values",
                                 .frozen = rests,
                                 .epoch_end = look,
                                 .user = &w };
    OK(train(g, &o, &hooks, NULL, &r));
    assert_int_equal(w.epochs, 4);
    for (int k = 0; k < 3; k++) pare_tensor_free(&w.part[0][k]);
    /* with learning held so low that only the penalty moves them, coefficients shrink by it */
    o.epochs = 1;
    o.lr = 1e-3;
    o.momentum = o.weight_decay = 0;
    o.nesterov = false;
    o.schedule = 0;
    pare_weight before = pare_weight_ref(g->value[w.weight].weight);
    hooks = (pare_trainer_hooks){ .l1 = 1e3, .l1_codec = "penni", .l1_part = "values" };
    o.max_steps = 1;
    OK(train(g, &o, &hooks, NULL, &r));
    const float *x = before.part[PARE_PENNI_VALUES].data,
                *y = g->value[w.weight].weight->part[PARE_PENNI_VALUES].data;
    for (int64_t i = 0; i < pare_tensor_count(&before.part[PARE_PENNI_VALUES]); i++)
        assert_true(fabsf(y[i] - (x[i] - (x[i] > 0 ? 1.0f : -1.0f))) < 0.1f);
    pare_weight_free(&before);
    pare_graph_free(g);
}

static void test_distills(void **state)
{
    (void)state;
    if (!can_train()) skip();
    pare_graph *teacher = network("resnet8"), *g = network("mlp");
    pare_train_options o = options();
    pare_train_report r;
    o.augment_pad = 0;
    o.augment_flip = false;
    o.epochs = 8;
    OK(train(teacher, &o, NULL, NULL, &r));
    o.distill = 0.9;
    o.lr = 0.01;
    OK(pare_trainer_run(g, set, set, NULL, teacher, &o, NULL, "t", true, NULL, &r));
    assert_true(r.best_top1 > 0.8);
    o.distill = 0.5;
    assert_int_equal(train(g, &o, NULL, NULL, &r), PARE_EINVAL); /* no teacher */
    pare_graph_free(teacher);
    pare_graph_free(g);
}

static void test_bad_options(void **state)
{
    (void)state;
    if (!can_train()) skip();
    pare_graph *g = network("mlp"), *few;
    pare_train_options o = options();
    pare_train_report r;
    o.lr = NAN;
    assert_int_equal(train(g, &o, NULL, NULL, &r), PARE_EINVAL);
    o = options();
    o.batch = 0;
    assert_int_equal(train(g, &o, NULL, NULL, &r), PARE_EINVAL);
    OK(pare_model_init("mlp", (int64_t[]){ 1, SIDE, SIDE }, 3, 1, &few));
    o = options();
    assert_int_equal(train(few, &o, NULL, NULL, &r), PARE_EINVAL);
    assert_non_null(strstr(pare_error(), "3 outputs"));
    pare_graph_free(few);
    assert_int_equal(pare_model_init("resnet9000", (int64_t[]){ 3, 8, 8 }, 10, 1, &few),
                     PARE_EINVAL);
    assert_int_equal(pare_model_init("lenet", (int64_t[]){ 3, 4, 4 }, 10, 1, &few), PARE_EINVAL);
    assert_int_equal(pare_model_init("mlp", (int64_t[]){ 3, -4, 4 }, 10, 1, &few), PARE_EINVAL);
    pare_graph_free(g);
}

/* --- pure functions --- */

static void test_loss_gradient(void **state)
{
    (void)state;
    pare_train_options o;
    pare_train_defaults(&o);
    o.label_smoothing = 0.1;
    o.distill = 0.4;
    o.temperature = 3;
    enum { N = 3, K = 5 };
    float x[N * K], q[N * K], d[N * K];
    int label[N] = { 0, 3, 2 };
    pare_rng rng = pare_rng_stream(4, 4);
    for (int i = 0; i < N * K; i++)
        x[i] = (float)pare_rng_normal(&rng), q[i] = (float)pare_rng_normal(&rng);
    for (int skip = 0; skip < 2; skip++) {
        int64_t right;
        pare_loss(&o, N, K, (size_t)skip, x, label, q, d, &right);
        for (int i = 0; i < N * K; i++) {
            float keep = x[i];
            x[i] = keep + 1e-2f;
            double up = pare_loss(&o, N, K, (size_t)skip, x, label, q, NULL, NULL),
                   high = (double)x[i];
            x[i] = keep - 1e-2f;
            double down = pare_loss(&o, N, K, (size_t)skip, x, label, q, NULL, NULL),
                   low = (double)x[i];
            x[i] = keep;
            assert_true(fabs((up - down) / (high - low) - (double)d[i]) < 1e-4);
        }
    }
    o.distill = 0;
    assert_true(fabs(pare_loss(&o, N, K, 0, q, label, NULL, NULL, NULL) -
                     pare_loss(&o, N, K, 0, q, label, q, NULL, NULL)) < 1e-12);
}

static void test_schedules(void **state)
{
    (void)state;
    pare_train_options o;
    pare_train_defaults(&o);
    o.lr = 1;
    o.schedule = 1;
    assert_true(pare_train_rate(&o, 0, 100, 10) == 1 && pare_train_rate(&o, 49, 100, 10) == 1);
    assert_true(fabs(pare_train_rate(&o, 50, 100, 10) - 0.1) < 1e-12 &&
                fabs(pare_train_rate(&o, 80, 100, 10) - 0.01) < 1e-12);
    o.schedule = 2;
    assert_true(pare_train_rate(&o, 0, 100, 10) == 1 &&
                fabs(pare_train_rate(&o, 50, 100, 10) - 0.5) < 1e-12);
    assert_true(pare_train_rate(&o, 99, 100, 10) < 1e-3);
    o.warmup = 1;
    assert_true(fabs(pare_train_rate(&o, 0, 100, 10) - 0.1) < 1e-12 &&
                fabs(pare_train_rate(&o, 9, 100, 10) - 1) < 1e-12);
    o.warmup = 0;
    o.schedule = 3;
    assert_true(fabs(pare_train_rate(&o, 0, 100, 10) - 0.04) < 1e-12 &&
                fabs(pare_train_rate(&o, 30, 100, 10) - 1) < 1e-12);
    o.schedule = 0;
    assert_true(pare_train_rate(&o, 77, 100, 10) == 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_learns),          cmocka_unit_test(test_resumes),
        cmocka_unit_test(test_bad_checkpoints), cmocka_unit_test(test_hooks),
        cmocka_unit_test(test_distills),        cmocka_unit_test(test_bad_options),
        cmocka_unit_test(test_schedules),       cmocka_unit_test(test_loss_gradient),
    };
    pare_log_to(NULL, NULL, PARE_LOG_WARNING);
    return cmocka_run_group_tests(tests, make_data, drop_data);
}
