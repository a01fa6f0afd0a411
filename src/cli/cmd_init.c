/* pare init: a starting network with random weights. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    cli_common common;
    const char *out;
    bool force;
    pare_ints shape;
    int64_t classes;
} options;

static const pare_field fields[] = {
    PARE_STR(options, out, NULL, "FILE.onnx: where the network goes (-o)"),
    PARE_FLAG(options, force, false, "replace an existing file"),
    PARE_INTS(options, shape, 1, 65535, "C,H,W",
              "of one input; default 3,32,32, and 1,28,28 for lenet"),
    PARE_INT(options, classes, 10, 1, 100000, "N", "outputs"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Network", fields, 0, NULL }, { NULL, NULL, 0, NULL } };

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    if (!o->out) return pare_fail(PARE_EINVAL, "where to? give -o FILE.onnx");
    if (o->shape.v && o->shape.n != 3)
        return pare_fail(PARE_EINVAL, "--shape: %zu numbers, where C,H,W are expected", o->shape.n);
    PARE_TRY(cli_check_output(o->out, o->force, NULL));
    pare_graph *graph = NULL;
    int64_t usual[3] = { strcmp(args[0], "lenet") == 0 ? 1 : 3, 32, 32 };
    if (usual[0] == 1) usual[1] = usual[2] = 28;
    pare_status st = pare_model_init(args[0], o->shape.v ? o->shape.v : usual, (int)o->classes,
                                     (uint64_t)o->common.seed, &graph);
    if (st == PARE_OK) st = pare_model_save(graph, o->out, o->force);
    pare_info info;
    if (st == PARE_OK && (st = pare_model_info(graph, 1, NULL, 0, &info)) == PARE_OK) {
        if (o->common.json) {
            json_t *root = json_object();
            cli_set(root, "file", cli_json_text(o->out));
            cli_set(root, "network", cli_json_text(args[0]));
            cli_set(root, "params", cli_json_number(info.params));
            cli_set(root, "macs", cli_json_number(info.macs));
            cli_set(root, "seed", json_integer(o->common.seed));
            st = cli_json_print(root);
        } else {
            printf("%s: %s, %s parameters, %s multiply-accumulates\n", cli_text(o->out),
                   cli_text(args[0]), cli_count_text(info.params), cli_count_text(info.macs));
        }
        pare_info_free(&info);
    }
    pare_graph_free(graph);
    return st;
}

const cli_command cli_command_init = {
    .name = "init",
    .summary = "write a starting network with random weights",
    .arguments = "NETWORK -o FILE.onnx",
    .examples = "pare init resnet20 -o resnet20.onnx\npare init lenet -o lenet.onnx --shape "
                "1,28,28 --seed 7\n",
    .notes = "Networks: resnet20, resnet8, resnet18-cifar, vgg-small, mobilenet-v1, lenet.\n",
    .min_args = 1,
    .max_args = 1,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
