/* pare info: what a network is made of. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    cli_common common;
    int64_t batch;
    pare_strs shape;
} options;

static const pare_field fields[] = {
    PARE_INT(options, batch, 1, 1, 1000000, "N", "for a free first dimension"),
    PARE_STRS(options, shape,
              "NAME=1x3x224x224: shape of an input with other free dimensions (repeatable)"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Shapes", fields, 0, NULL }, { NULL, NULL, 0, NULL } };

static json_t *io_json(const struct pare_io *io, size_t n)
{
    json_t *list = json_array();
    for (size_t i = 0; i < n; i++) {
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(io[i].name));
        cli_set(j, "dtype", cli_json_text(pare_dtype_name(io[i].type.dtype)));
        cli_set(j, "shape", cli_json_shape(&io[i].type));
        cli_push(list, j);
    }
    return list;
}

static pare_status print_json(const char *file, const pare_info *info)
{
    json_t *root = json_object(), *layers = json_array();
    cli_set(root, "file", cli_json_text(file));
    cli_set(root, "opset", json_integer(info->opset));
    cli_set(root, "params", cli_json_number(info->params));
    cli_set(root, "bytes", cli_json_number(info->bytes));
    cli_set(root, "macs", cli_json_number(info->macs));
    cli_set(root, "dense_macs", cli_json_number(info->dense_macs));
    cli_set(root, "peak_activation_bytes", cli_json_number(info->peak_activation_bytes));
    cli_set(root, "inputs", io_json(info->input, info->n_inputs));
    cli_set(root, "outputs", io_json(info->output, info->n_outputs));
    for (size_t i = 0; i < info->n_layers; i++) {
        const pare_layer_info *l = &info->layer[i];
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(l->name));
        cli_set(j, "op", cli_json_text(l->op));
        cli_set(j, "codec", cli_json_text(l->codec));
        cli_set(j, "shape", cli_json_shape(&l->shape));
        cli_set(j, "params", cli_json_number(l->params));
        cli_set(j, "bytes", cli_json_number(l->bytes));
        cli_set(j, "macs", cli_json_number(l->macs));
        cli_set(j, "dense_macs", cli_json_number(l->dense_macs));
        cli_set(j, "density", cli_json_number(l->density));
        cli_push(layers, j);
    }
    cli_set(root, "layers", layers);
    return cli_json_print(root);
}

static void print_text(const pare_info *info)
{
    char type[160];
    printf("%-32s %-18s %-8s %-24s %12s %12s %16s\n", "layer", "operator", "codec", "output",
           "params", "bytes", "MACs");
    for (size_t i = 0; i < info->n_layers; i++) {
        const pare_layer_info *l = &info->layer[i];
        printf("%-32s %-18s %-8s %-24s %12.0f %12.0f %16.0f\n", cli_text(l->name), cli_text(l->op),
               cli_text(l->codec), cli_type_text(&l->shape, type, sizeof type), l->params, l->bytes,
               l->macs);
    }
    putchar('\n');
    for (size_t i = 0; i < info->n_inputs; i++)
        printf("input   %s: %s\n", cli_text(info->input[i].name),
               cli_type_text(&info->input[i].type, type, sizeof type));
    for (size_t i = 0; i < info->n_outputs; i++)
        printf("output  %s: %s\n", cli_text(info->output[i].name),
               cli_type_text(&info->output[i].type, type, sizeof type));
    printf("opset %d, %zu layers\n", info->opset, info->n_layers);
    printf("parameters                %s\n", cli_count_text(info->params));
    printf("bytes of parameters       %s\n", cli_bytes_text(info->bytes));
    printf("multiply-accumulates      %s", cli_count_text(info->macs));
    if (info->dense_macs > info->macs) printf(" (decoded: %s)", cli_count_text(info->dense_macs));
    printf("\npeak of live activations  %s\n", cli_bytes_text(info->peak_activation_bytes));
}

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    pare_graph *graph = NULL;
    pare_shape *shapes = NULL;
    size_t n_shapes;
    pare_info info;
    pare_status st = cli_shapes(&o->shape, &shapes, &n_shapes);
    if (st == PARE_OK) st = pare_model_load(args[0], &graph);
    if (st == PARE_OK) cli_warn_batch(args[0], graph, o->batch, shapes, n_shapes);
    if (st == PARE_OK &&
        (st = pare_model_info(graph, o->batch, shapes, n_shapes, &info)) == PARE_OK) {
        if (o->common.json)
            st = print_json(args[0], &info);
        else
            print_text(&info);
        pare_info_free(&info);
    }
    pare_graph_free(graph);
    free(shapes);
    return st;
}

const cli_command cli_command_info = {
    .name = "info",
    .summary = "list layers, shapes, parameters, bytes and multiply-accumulates",
    .arguments = "MODEL.onnx",
    .examples =
        "pare info net.onnx\npare info net.onnx --batch 8 --json\npare info detector.onnx --shape "
        "images=1x3x640x640\n",
    .notes = "Counting rule: one multiply-accumulate for each product that is added up in "
             "convolutions and "
             "matrix\n"
             "products; bias, normalisation and activation are not counted. For an encoded weight, "
             "what its "
             "stored form\n"
             "needs: zero coefficients cost nothing. Bytes are those of the stored weights.\n",
    .min_args = 1,
    .max_args = 1,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
