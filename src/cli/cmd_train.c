/* pare train: from random or given weights to a trained network. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    cli_common common;
    const char *out, *data, *run_dir, *teacher;
    bool force, keep_best;
    int64_t epochs;
    pare_train_options train;
    cli_preprocess pp;
} options;

static const pare_field fields[] = {
    PARE_STR(options, out, NULL, "FILE.onnx: where the trained network goes (-o)"),
    PARE_STR(options, data, NULL,
             "SPEC: labelled data with a training part, as in 'pare help eval'"),
    PARE_INT(options, epochs, -1, 0, 100000, "N", "passes over the training part"),
    PARE_STR(options, run_dir, NULL, "DIR: checkpoints; an interrupted run continues from here"),
    PARE_STR(options, teacher, NULL, "FILE.onnx: network to distil from (see --distill)"),
    PARE_FLAG(options, keep_best, false,
              "write the epoch with the best test accuracy, not the last"),
    PARE_FLAG(options, force, false, "replace an existing file"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = {
    { "Training", fields, 0, NULL }, CLI_TRAIN(options),      CLI_RATES(options),
    CLI_PREPROCESS(options),         { NULL, NULL, 0, NULL },
};

static pare_status print(const options *o, const pare_train_report *r)
{
    if (!o->common.json) {
        printf("%s: %lld epochs%s", cli_text(o->out), (long long)r->epochs,
               r->resumed_from > 0 ? " (resumed)" : "");
        printf(", top-1 %s (best %s), loss %.4f, %.0f images/s\n", cli_percent_text(r->top1),
               cli_percent_text(r->best_top1), r->loss, r->images_per_second);
        return PARE_OK;
    }
    json_t *root = json_object();
    cli_set(root, "file", cli_json_text(o->out));
    cli_set(root, "epochs", json_integer(r->epochs));
    cli_set(root, "resumed_from", json_integer(r->resumed_from));
    cli_set(root, "top1", cli_json_known(r->top1));
    cli_set(root, "best_top1", cli_json_known(r->best_top1));
    cli_set(root, "loss", cli_json_number(r->loss));
    cli_set(root, "images_per_second", cli_json_number(r->images_per_second));
    cli_set(root, "seed", json_integer(o->common.seed));
    return cli_json_print(root);
}

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    if (!o->out) return pare_fail(PARE_EINVAL, "where to? give -o FILE.onnx");
    if (!o->data) return pare_fail(PARE_EINVAL, "which data? for example --data cifar10:DIR");
    PARE_TRY(cli_check_output(o->out, o->force, args[0]));
    pare_train_options t = o->train;
    if (o->epochs >= 0) t.epochs = o->epochs;
    t.seed = o->common.seed;
    t.threads = o->common.threads;
    t.run_dir = o->run_dir;
    if (t.distill > 0 && !o->teacher) return pare_fail(PARE_EINVAL, "--distill needs a --teacher");

    pare_graph *graph = NULL, *teacher = NULL;
    pare_dataset *train = NULL, *test = NULL;
    pare_preprocess pp;
    pare_train_report r;
    pare_status st = pare_model_load(args[0], &graph);
    if (st == PARE_OK && o->teacher) st = pare_model_load(o->teacher, &teacher);
    if (st == PARE_OK) st = cli_preprocess_resolve(&o->pp, graph, &pp);
    if (st == PARE_OK) st = cli_dataset(o->data, PARE_TRAIN, &train);
    if (st == PARE_OK) st = cli_dataset(o->data, PARE_TEST, &test);
    if (st == PARE_OK) {
        pare_progress progress = cli_progress_begin(&o->common);
        st = pare_train(graph, train, test, &pp, teacher, &t, o->keep_best, &progress, &r);
        cli_progress_end();
    }
    if (st == PARE_OK) st = pare_preprocess_to_model(&pp, graph);
    if (st == PARE_OK) st = pare_model_save(graph, o->out, o->force);
    if (st == PARE_OK) st = print(o, &r);
    pare_dataset_free(test);
    pare_dataset_free(train);
    pare_graph_free(teacher);
    pare_graph_free(graph);
    return st;
}

const cli_command cli_command_train = {
    .name = "train",
    .summary = "train a network from random or given weights",
    .arguments = "IN.onnx -o OUT.onnx --data SPEC",
    .examples =
        "pare init resnet8 -o start.onnx\n"
        "pare train start.onnx -o net.onnx --data cifar10:DIR --epochs 30 --lr 0.1 --schedule "
        "cosine "
        "--run-dir run\n"
        "pare train small.onnx -o tuned.onnx --data cifar10:DIR --teacher net.onnx --distill 0.7\n",
    .notes = "A run with --run-dir that was interrupted, even by kill -9, continues when the same "
             "command is "
             "given again,\n"
             "and ends with the same weights as an uninterrupted one.\n",
    .min_args = 1,
    .max_args = 1,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
