/* pare demo: the whole path on pictures that pare draws itself. Nothing is downloaded, no file is
 * needed. */
#define _GNU_SOURCE /* mkdtemp */
#include "cli/cli.h"

#include "base/cpu.h"
#include "base/files.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct options {
    cli_common common;
    const char *out, *network, *data, *method;
    bool force;
    int64_t epochs, retrain;
} options;

static const pare_field fields[] = {
    PARE_STR(options, out, NULL,
             "DIR: keep big.onnx and small.onnx here; default: nothing is kept"),
    PARE_FLAG(options, force, false, "replace existing files"),
    PARE_STR(options, network, "resnet8", "NAME: network to start from, as in 'pare help init'"),
    PARE_STR(options, data, "glyphs", "SPEC: pictures, as in 'pare help eval'"),
    PARE_STR(options, method, "penni:basis=2,density=0.2", "NAME[:OPTION=V,...]: how to compress"),
    PARE_INT(options, epochs, 3, 0, 1000, "N", "epochs of training"),
    PARE_INT(options, retrain, 7, 0, 1000, "N", "epochs of retraining while compressing"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Demonstration", fields, 0, NULL }, { NULL, NULL, 0, NULL } };

/* What the steps hand on. */
typedef struct state {
    const options *o;
    char *folder, *big_path, *small_path;
    bool temporary;
    pare_dataset *train, *test;
    pare_preprocess pp;
    pare_graph *big, *small; /* small: read back from its file */
    pare_compress_report report;
    pare_verification verification;
    pare_bench_model time[2];
    bool timed;
    double seconds[4]; /* train, compress, verify, bench */
} state;

static void say(const state *s, const char *text)
{
    if (!s->o->common.quiet) fprintf(stderr, "pare: %s\n", text);
}

static pare_status prepare(state *s)
{
    if (s->o->out) {
        PARE_TRY(pare_make_dirs(s->o->out));
        s->folder = strdup(s->o->out);
    } else {
        const char *tmp = getenv("TMPDIR");
        s->folder = pare_format("%s/pare-demo-XXXXXX", tmp && *tmp ? tmp : "/tmp");
        if (s->folder && !mkdtemp(s->folder))
            return pare_fail(PARE_EIO, "cannot make a folder '%s'", s->folder);
        s->temporary = s->folder != NULL;
    }
    if (s->folder) {
        s->big_path = pare_format("%s/big.onnx", s->folder);
        s->small_path = pare_format("%s/small.onnx", s->folder);
    }
    if (!s->folder || !s->big_path || !s->small_path)
        return pare_fail(PARE_ENOMEM, "no memory for file names");
    PARE_TRY(cli_check_output(s->big_path, s->o->force, NULL));
    PARE_TRY(cli_check_output(s->small_path, s->o->force, NULL));
    PARE_TRY(cli_dataset(s->o->data, PARE_TRAIN, &s->train));
    PARE_TRY(cli_dataset(s->o->data, PARE_TEST, &s->test));
    s->pp =
        (pare_preprocess){ .n_mean = 1, .mean = { 127.5f }, .n_scale = 1, .scale = { 1 / 64.0f } };
    return PARE_OK;
}

static pare_train_options training(const state *s)
{
    pare_train_options t;
    pare_train_defaults(&t);
    t.epochs = s->o->epochs;
    t.batch = 64;
    t.lr = 0.05;
    t.warmup = 0.5;
    t.schedule = 2;
    t.augment_flip = false; /* a mirrored 2 is no 2 */
    t.augment_pad = 0;
    t.eval_limit = 1000;
    t.seed = s->o->common.seed;
    t.threads = s->o->common.threads;
    return t;
}

static pare_status train_big(state *s, const pare_progress *progress)
{
    pare_dataset_info info;
    pare_dataset_about(s->test, &info);
    int64_t shape[3] = { info.channels, info.height, info.width };
    PARE_TRY(
        pare_model_init(s->o->network, shape, info.classes, (uint64_t)s->o->common.seed, &s->big));
    pare_train_options t = training(s);
    pare_train_report r;
    if (t.epochs > 0)
        PARE_TRY(pare_train(s->big, s->train, s->test, &s->pp, NULL, &t, false, progress, &r));
    PARE_TRY(pare_preprocess_to_model(&s->pp, s->big));
    return pare_model_save(s->big, s->big_path, s->o->force);
}

static pare_status compress(state *s, const pare_progress *progress)
{
    const char *methods[] = { s->o->method, NULL };
    pare_compress_options c = {
        .methods = methods,
        .epochs = s->o->retrain,
        .train = training(s),
        .out_path = s->small_path,
        .force = s->o->force,
        .max_drop = -1,
    };
    PARE_TRY(pare_compress(s->big, s->train, s->test, &s->pp, &c, progress, &s->report));
    return pare_model_load(s->small_path, &s->small);
}

static pare_status verify(state *s, const pare_progress *progress)
{
    pare_verify_options v = { .max_drop = 1 - 1e-9, .plan_a.threads = (int)s->o->common.threads };
    v.plan_b = v.plan_a;
    return pare_verify(s->big, s->small, s->test, &s->pp, &v, progress, &s->verification);
}

static pare_status bench(state *s, const pare_progress *progress)
{
    const pare_graph *graphs[2] = { s->big, s->small };
    pare_bench_options b = { .seconds = 1, .plan = { .threads = 1, .batch = 1 } };
    PARE_TRY(pare_bench(graphs, 2, &b, progress, s->time));
    s->timed = true;
    return PARE_OK;
}

static pare_status work(state *s, const pare_progress *progress)
{
    static const struct {
        const char *text;
        pare_status (*run)(state *s, const pare_progress *progress);
    } steps[] = {
        { "training a network on drawn pictures", train_big },
        { "compressing it", compress },
        { "reading the result back and comparing", verify },
        { "timing both, interleaved", bench },
    };
    for (int i = 0; i < 4; i++) {
        say(s, steps[i].text);
        double start = cli_now();
        PARE_TRY(steps[i].run(s, progress));
        s->seconds[i] = cli_now() - start;
    }
    return PARE_OK;
}

static void row(const char *what, const char *before, const char *after, double a, double b)
{
    char share[32] = "";
    if (a > 0) snprintf(share, sizeof share, "%.1f %%", 100 * b / a);
    printf("| %-24s | %12s | %12s | %8s |\n", what, before, after, share);
}

static void print_text(const state *s)
{
    char cpu[160], a[32], b[32];
    const pare_measure *x = &s->report.before, *y = &s->report.after;
    printf("\n%s on %s, %s\n%s\n\n", cli_text(s->o->network), cli_text(s->o->data),
           cli_text(s->report.method), cli_text(pare_cpu_name(cpu, sizeof cpu)));
    row("", "before", "after", 0, 0);
    printf("|--------------------------|--------------|--------------|----------|\n");
    row("parameters", cli_count_text(x->params), cli_count_text(y->params), x->params, y->params);
    row("file", cli_bytes_text(x->bytes), cli_bytes_text(y->bytes), x->bytes, y->bytes);
    row("multiply-accumulates", cli_count_text(x->macs), cli_count_text(y->macs), x->macs, y->macs);
    snprintf(a, sizeof a, "%.4f ms", s->time[0].median_ms);
    snprintf(b, sizeof b, "%.4f ms", s->time[1].median_ms);
    row("time, 1 picture 1 thread", a, b, s->time[0].median_ms, s->time[1].median_ms);
    row("top-1, test pictures", cli_percent_text(s->verification.top1_a),
        cli_percent_text(s->verification.top1_b), 0, 0);
    printf("\n%lld test pictures compared after reading the file back; %.2f times as fast.\n",
           (long long)s->verification.images,
           s->time[1].ratio_to_first > 0 ? 1 / s->time[1].ratio_to_first : 0);
    printf("training %.0f s, compression %.0f s, comparison %.0f s, timing %.0f s\n", s->seconds[0],
           s->seconds[1], s->seconds[2], s->seconds[3]);
    if (!s->temporary)
        printf("%s and %s are kept\n", cli_text(s->big_path), cli_text(s->small_path));
}

static json_t *side_json(const pare_measure *m, double top1, double ms)
{
    json_t *j = json_object();
    cli_set(j, "params", cli_json_known(m->params));
    cli_set(j, "bytes", cli_json_known(m->bytes));
    cli_set(j, "macs", cli_json_known(m->macs));
    cli_set(j, "top1", cli_json_known(top1));
    cli_set(j, "median_ms", cli_json_known(ms));
    return j;
}

static pare_status print_json(const state *s)
{
    json_t *root = json_object();
    cli_set(root, "network", cli_json_text(s->o->network));
    cli_set(root, "data", cli_json_text(s->o->data));
    cli_set(root, "method", cli_json_text(s->report.method));
    cli_set(root, "seed", json_integer(s->o->common.seed));
    cli_set(root, "before",
            side_json(&s->report.before, s->verification.top1_a, s->time[0].median_ms));
    cli_set(root, "after",
            side_json(&s->report.after, s->verification.top1_b, s->time[1].median_ms));
    cli_set(root, "ratio_to_first", cli_json_number(s->time[1].ratio_to_first));
    cli_set(root, "images", json_integer(s->verification.images));
    return cli_json_print(root);
}

static void release(state *s)
{
    if (s->temporary) {
        if (s->big_path) unlink(s->big_path);
        if (s->small_path) unlink(s->small_path);
        rmdir(s->folder);
    }
    if (s->timed) pare_bench_free(s->time, 2);
    pare_compress_report_free(&s->report);
    free(s->verification.first_divergent);
    pare_graph_free(s->small);
    pare_graph_free(s->big);
    pare_dataset_free(s->test);
    pare_dataset_free(s->train);
    free(s->small_path);
    free(s->big_path);
    free(s->folder);
}

static pare_status run(const void *opt, char **args)
{
    state s = { .o = opt };
    (void)args;
    pare_status st = prepare(&s);
    if (st == PARE_OK) {
        pare_progress progress = cli_progress_begin(&s.o->common);
        st = work(&s, &progress);
        cli_progress_end();
    }
    if (st == PARE_OK) {
        if (s.o->common.json)
            st = print_json(&s);
        else
            print_text(&s);
    }
    release(&s);
    return st;
}

const cli_command cli_command_demo = {
    .name = "demo",
    .summary = "the whole path on pictures that pare draws itself",
    .arguments = "",
    .examples =
        "pare demo\npare demo --out demo --seed 7\npare demo --network lenet --data mnist:DIR\n",
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
