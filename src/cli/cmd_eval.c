/* pare eval: how often a network is right. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    cli_common common;
    const char *data, *force;
    int64_t limit, batch;
    cli_preprocess pp;
    cli_arithmetic arithmetic;
} options;

static const pare_field fields[] = {
    PARE_STR(options, data, NULL,
             "SPEC: cifar10:DIR, mnist:DIR, npy:X.npy,Y.npy, images:DIR[,LABELS.csv] or glyphs"),
    PARE_INT(options, limit, 0, 0, 1e12, "N", "only the first N samples; 0: all"),
    PARE_INT(options, batch, 64, 1, 65536, "N", "samples a run, where the model leaves that open"),
    PARE_STR(options, force, NULL,
             "PATTERN: use implementations of these names (LAYER=PATTERN for one layer)"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Data", fields, 0, NULL },
                                    CLI_PREPROCESS(options),
                                    CLI_ARITHMETIC(options),
                                    { NULL, NULL, 0, NULL } };

static pare_status print(const options *o, const char *file, const pare_accuracy *a)
{
    if (!o->common.json) {
        printf("images  %lld\n", (long long)a->images);
        printf("top-1   %s (%lld)\n", cli_percent_text(a->top1), (long long)a->top1_correct);
        printf("top-5   %s (%lld)\n", cli_percent_text(a->top5), (long long)a->top5_correct);
        printf("loss    %.5f\n", a->loss);
        printf("time    %.2f s, %.1f images/s\n", a->seconds,
               a->seconds > 0 ? (double)a->images / a->seconds : 0);
        return PARE_OK;
    }
    json_t *root = json_object();
    cli_set(root, "file", cli_json_text(file));
    cli_set(root, "data", cli_json_text(o->data));
    cli_set(root, "images", json_integer(a->images));
    cli_set(root, "correct", json_integer(a->top1_correct));
    cli_set(root, "top1", cli_json_number(a->top1));
    cli_set(root, "top5", cli_json_number(a->top5));
    cli_set(root, "loss", cli_json_number(a->loss));
    cli_set(root, "seconds", cli_json_number(a->seconds));
    return cli_json_print(root);
}

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    if (!o->data) return pare_fail(PARE_EINVAL, "which data? for example --data cifar10:DIR");
    pare_graph *graph = NULL;
    pare_dataset *data = NULL;
    pare_preprocess pp;
    pare_accuracy a;
    pare_status st = pare_model_load(args[0], &graph);
    if (st == PARE_OK) st = cli_preprocess_resolve(&o->pp, graph, &pp);
    if (st == PARE_OK) st = cli_dataset(o->data, PARE_TEST, &data);
    if (st == PARE_OK) {
        pare_plan_options plan = { .threads = (int)o->common.threads,
                                   .batch = o->batch,
                                   .force = o->force,
                                   .no_winograd = o->arithmetic.no_winograd,
                                   .precision = (pare_precision)o->arithmetic.precision,
                                   .no_integers = o->arithmetic.no_integers };
        pare_progress progress = cli_progress_begin(&o->common);
        st = pare_evaluate(graph, data, &pp, o->limit, &plan, &progress, &a);
        cli_progress_end();
    }
    if (st == PARE_OK) st = print(o, args[0], &a);
    pare_dataset_free(data);
    pare_graph_free(graph);
    return st;
}

const cli_command cli_command_eval = {
    .name = "eval",
    .summary = "measure top-1 and top-5 accuracy on labelled data",
    .arguments = "MODEL.onnx --data SPEC",
    .examples = "pare eval net.onnx --data cifar10:data/cifar10\n"
                "pare eval net.onnx --data images:val,val.csv --preprocess models.json:net --json\n"
                "pare eval net.onnx --data npy:x.npy,y.npy --limit 1000\n",
    .min_args = 1,
    .max_args = 1,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
