/* pare compress: methods applied in order, retraining in between, a report at
 * the end. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    cli_common common;
    const char *out, *data, *run_dir, *max_drop;
    bool force, measure;
    int64_t epochs;
    pare_strs method, layer, shape;
    double lr;
    pare_train_options train;
    cli_preprocess pp;
    cli_arithmetic arithmetic;
} options;

static const pare_field fields[] = {
    PARE_STR(options, out, NULL, "FILE.onnx: where the small network goes (-o)"),
    PARE_STRS(options, method, "NAME[:OPTION=V,...]: what to do (repeatable, in this order)"),
    PARE_STRS(options, layer,
              "LAYER=OPTION=V,...: for one layer, or LAYER=skip; wildcards allowed (repeatable)"),
    PARE_STR(options, data, NULL,
             "SPEC: labelled data with a training part, as in 'pare help eval'"),
    PARE_INT(options, epochs, -1, 0, 100000, "N",
             "of all retraining together; 0: one-shot; default: the method's"),
    PARE_REAL(options, lr, 0, 0, 1000, "X",
              "learning rate of all retraining; 0: the methods' own (NAME:lr=X)"),
    PARE_STR(options, run_dir, NULL,
             "DIR: checkpoints of every stage; an interrupted run continues from here"),
    PARE_STR(options, max_drop, NULL, "P: exit with 3 if top-1 falls by more (1% or 0.01)"),
    PARE_FLAG(options, measure, true, "time both networks"),
    PARE_STRS(
        options, shape,
        "NAME=1x3x224x224: shape of an input with free dimensions, for the report (repeatable)"),
    PARE_FLAG(options, force, false, "replace an existing file"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = {
    { "Compression", fields, 0, NULL }, CLI_TRAIN(options),      CLI_PREPROCESS(options),
    CLI_FP32_ARITHMETIC(options),       { NULL, NULL, 0, NULL },
};

static json_t *measure_json(const pare_measure *m)
{
    json_t *j = json_object();
    cli_set(j, "params", cli_json_known(m->params));
    cli_set(j, "bytes", cli_json_known(m->bytes));
    cli_set(j, "macs", cli_json_known(m->macs));
    cli_set(j, "top1", cli_json_known(m->top1));
    cli_set(j, "median_ms", cli_json_known(m->median_ms));
    return j;
}

static pare_status print_json(const options *o, const pare_compress_report *r)
{
    json_t *root = json_object(), *layers = json_array();
    cli_set(root, "file", cli_json_text(o->out));
    cli_set(root, "method", cli_json_text(r->method));
    cli_set(root, "seed", cli_json_number((double)r->seed));
    cli_set(root, "before", measure_json(&r->before));
    cli_set(root, "after", measure_json(&r->after));
    cli_set(root, "density", cli_json_known(r->density));
    cli_set(root, "latency_ratio", cli_json_known(r->latency_ratio));
    for (size_t i = 0; i < r->n_layers; i++) {
        const pare_compress_layer *l = &r->layer[i];
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(l->name));
        cli_set(j, "op", cli_json_text(l->op));
        cli_set(j, "codec", cli_json_text(l->codec));
        cli_set(j, "params_before", cli_json_known(l->params_before));
        cli_set(j, "params_after", cli_json_known(l->params_after));
        cli_set(j, "macs_before", cli_json_known(l->macs_before));
        cli_set(j, "macs_after", cli_json_known(l->macs_after));
        cli_set(j, "density", cli_json_known(l->density));
        cli_set(j, "in_before", json_integer(l->in_before));
        cli_set(j, "in_after", json_integer(l->in_after));
        cli_set(j, "out_before", json_integer(l->out_before));
        cli_set(j, "out_after", json_integer(l->out_after));
        cli_set(j, "basis", json_integer(l->basis));
        cli_push(layers, j);
    }
    cli_set(root, "layers", layers);
    return cli_json_print(root);
}

static void print_row(const char *what, const char *before, const char *after, double a, double b)
{
    printf("%-24s %14s %14s", what, before, after);
    if (a > 0 && b >= 0) printf(" %9.1f %%", 100 * b / a);
    putchar('\n');
}

static const char *macs_text(double macs, char text[32])
{
    snprintf(text, 32, macs < 0 ? "-" : "%.0f", macs);
    return text;
}

static void print_text(const options *o, const pare_compress_report *r)
{
    printf("%-32s %-10s %12s %12s %14s %14s %8s  %s\n", "layer", "codec", "params", "after", "MACs",
           "after", "density", "channels");
    for (size_t i = 0; i < r->n_layers; i++) {
        const pare_compress_layer *l = &r->layer[i];
        char before[32], after[32];
        printf("%-32s %-10s %12.0f %12.0f %14s %14s %8.3f  %lld>%lld to %lld>%lld\n",
               cli_text(l->name), cli_text(l->codec), l->params_before, l->params_after,
               macs_text(l->macs_before, before), macs_text(l->macs_after, after), l->density,
               (long long)l->in_before, (long long)l->out_before, (long long)l->in_after,
               (long long)l->out_after);
    }
    char before[32], after[32];
    printf("\n%s\n%-24s %14s %14s %11s\n", cli_text(r->method), "", "before", "after", "share");
    print_row("parameters", cli_count_text(r->before.params), cli_count_text(r->after.params),
              r->before.params, r->after.params);
    print_row("file", cli_bytes_text(r->before.bytes), cli_bytes_text(r->after.bytes),
              r->before.bytes, r->after.bytes);
    print_row("multiply-accumulates", cli_count_text(r->before.macs), cli_count_text(r->after.macs),
              r->before.macs, r->after.macs);
    if (r->before.top1 >= 0)
        print_row("top-1", cli_percent_text(r->before.top1), cli_percent_text(r->after.top1), 0, 0);
    if (r->before.median_ms >= 0) {
        snprintf(before, sizeof before, "%.3f ms", r->before.median_ms);
        snprintf(after, sizeof after, "%.3f ms", r->after.median_ms);
        print_row("time of one run", before, after, r->before.median_ms, r->after.median_ms);
    }
    if (r->latency_ratio > 0) printf("%.2f times as fast\n", r->latency_ratio);
    printf("written to %s\n", cli_text(o->out));
}

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    if (!o->out) return pare_fail(PARE_EINVAL, "where to? give -o FILE.onnx");
    if (!o->method.n)
        return pare_fail(PARE_EINVAL,
                         "which method? for example --method penni; 'pare list methods' shows all");
    PARE_TRY(cli_check_output(o->out, o->force, args[0]));
    pare_compress_options c = {
        .methods = (const char *const *)o->method.v,
        .layers = (const char *const *)o->layer.v,
        .epochs = o->epochs,
        .train = o->train,
        .lr = o->lr,
        .run_dir = o->run_dir,
        .out_path = o->out,
        .force = o->force,
        .max_drop = -1,
        .measure = o->measure,
        .no_winograd = o->arithmetic.no_winograd,
        .no_integers = o->arithmetic.no_integers,
    };
    c.train.seed = o->common.seed;
    c.train.threads = o->common.threads;
    if (o->max_drop) PARE_TRY(cli_fraction("--max-drop", o->max_drop, &c.max_drop));
    if (o->max_drop && !o->data)
        return pare_fail(PARE_EINVAL, "--max-drop compares accuracies and needs --data");

    pare_shape *shapes;
    PARE_TRY(cli_shapes(&o->shape, &shapes, &c.n_shapes));
    c.shapes = shapes;
    pare_graph *graph = NULL;
    pare_dataset *train = NULL, *test = NULL;
    pare_preprocess pp;
    pare_compress_report r;
    memset(&r, 0, sizeof r);
    pare_status st = pare_model_load(args[0], &graph);
    if (st == PARE_OK) st = cli_preprocess_resolve(&o->pp, graph, &pp);
    if (st == PARE_OK && o->data) st = cli_dataset(o->data, PARE_TRAIN, &train);
    if (st == PARE_OK && o->data) st = cli_dataset(o->data, PARE_TEST, &test);
    if (st == PARE_OK) {
        pare_progress progress = cli_progress_begin(&o->common);
        st = pare_compress(graph, train, test, &pp, &c, &progress, &r);
        cli_progress_end();
        if (st == PARE_OK || st == PARE_ETARGET) {
            pare_status printed = PARE_OK;
            if (o->common.json)
                printed = print_json(o, &r);
            else
                print_text(o, &r);
            if (printed != PARE_OK) st = printed;
            pare_compress_report_free(&r);
        }
    }
    free(shapes);
    pare_dataset_free(test);
    pare_dataset_free(train);
    pare_graph_free(graph);
    return st;
}

static void list_methods(void)
{
    const char *name, *summary, *source;
    fputs("\nMethods ('pare list methods' shows their options):\n", stdout);
    for (size_t i = 0; (name = pare_method_list(i, &summary, &source)); i++)
        printf("  %-12s %s (%s)\n", name, summary, source);
}

const cli_command cli_command_compress = {
    .name = "compress",
    .summary = "make a network smaller and faster",
    .arguments = "IN.onnx -o OUT.onnx --method NAME[:OPTION=V,...] [--data SPEC]",
    .examples = "pare compress net.onnx -o small.onnx --method penni --data cifar10:DIR --epochs "
                "20 --run-dir run\n"
                "pare compress net.onnx -o small.onnx --method penni:basis=5,l1=1e-4 --data "
                "cifar10:DIR --max-drop "
                "1%\n"
                "pare compress net.onnx -o small.onnx --method penni --epochs 0\n",
    .notes = "A run with --run-dir that was interrupted, even by kill -9, continues when the same "
             "command is "
             "given again.\n"
             "Any runtime of ONNX can execute the result.\n",
    .min_args = 1,
    .max_args = 1,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
    .more_help = list_methods,
};
