/* pare verify: does one network still do what another did? */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    cli_common common;
    const char *data, *max_drop;
    double tolerance;
    int64_t limit, batch;
    pare_strs shape;
    cli_preprocess pp;
    cli_arithmetic arithmetic;
} options;

static const pare_field fields[] = {
    PARE_STR(options, data, NULL,
             "SPEC: compare on this data (as in 'pare help eval'); default: random inputs"),
    PARE_REAL(options, tolerance, 1e-4, 1e-12, 1e6, "X",
              "largest |a-b| / max|a| of an output that still matches"),
    PARE_STR(options, max_drop, NULL,
             "P: judge by accuracy instead of outputs: top-1 may fall by this much (1% or 0.01)"),
    PARE_INT(options, limit, 0, 0, 1e12, "N", "only the first N samples; 0: all"),
    PARE_INT(options, batch, 0, 0, 65536, "N",
             "samples a run, where the models leave that open; 0: 64 with --data, else 1"),
    PARE_STRS(options, shape,
              "NAME=1x3x224x224: shape of an input with other free dimensions (repeatable)"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Comparison", fields, 0, NULL },
                                    CLI_PREPROCESS(options),
                                    CLI_ARITHMETIC(options),
                                    { NULL, NULL, 0, NULL } };

static pare_status print(const options *o, char **args, const pare_verification *v)
{
    if (o->common.json) {
        json_t *root = json_object();
        cli_set(root, "a", cli_json_text(args[0]));
        cli_set(root, "b", cli_json_text(args[1]));
        cli_set(root, "match", json_boolean(v->match));
        cli_set(root, "max_rel_error", cli_json_number(v->max_rel_error));
        cli_set(root, "first_divergent", cli_json_text(v->first_divergent));
        cli_set(root, "top1_a", cli_json_known(v->top1_a));
        cli_set(root, "top1_b", cli_json_known(v->top1_b));
        cli_set(root, "images", json_integer(v->images));
        return cli_json_print(root);
    }
    printf("match            %s\n", v->match ? "yes" : "no");
    printf("largest error    %.3g of the largest output\n", v->max_rel_error);
    if (v->first_divergent) printf("first divergent  %s\n", cli_text(v->first_divergent));
    if (v->top1_a >= 0)
        printf("top-1            %s and %s\n", cli_percent_text(v->top1_a),
               cli_percent_text(v->top1_b));
    printf("inputs compared  %lld\n", (long long)v->images);
    return PARE_OK;
}

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    pare_verify_options vo = { .tolerance = o->tolerance,
                               .outputs = o->max_drop == NULL,
                               .limit = o->limit,
                               .seed = (uint64_t)o->common.seed };
    vo.plan_a = (pare_plan_options){ .threads = (int)o->common.threads,
                                     .batch = o->batch,
                                     .no_winograd = o->arithmetic.no_winograd,
                                     .precision = (pare_precision)o->arithmetic.precision,
                                     .no_integers = o->arithmetic.no_integers };
    if (o->max_drop) PARE_TRY(cli_fraction("--max-drop", o->max_drop, &vo.max_drop));
    if (o->max_drop && !o->data)
        return pare_fail(PARE_EINVAL, "--max-drop compares accuracies and needs --data");
    if (o->limit && !o->data)
        return pare_fail(PARE_EINVAL, "--limit counts samples and needs --data");
    if (!o->data) PARE_TRY(cli_preprocess_unused(&o->pp, "random inputs are taken as they are"));
    pare_shape *shapes;
    PARE_TRY(cli_shapes(&o->shape, &shapes, &vo.plan_a.n_shapes));
    vo.plan_a.shapes = shapes;
    vo.plan_b = vo.plan_a;
    pare_graph *a = NULL, *b = NULL;
    pare_dataset *data = NULL;
    pare_preprocess pp;
    pare_verification v = { 0 };
    pare_status st = pare_model_load(args[0], &a);
    if (st == PARE_OK) st = pare_model_load(args[1], &b);
    if (st == PARE_OK)
        st = cli_preprocess_resolve(&o->pp, pare_model_meta(a, "pare.preprocess") ? a : b, &pp);
    if (st == PARE_OK && o->data) st = cli_dataset(o->data, PARE_TEST, &data);
    if (st == PARE_OK) {
        pare_progress progress = cli_progress_begin(&o->common);
        st = pare_verify(a, b, data, &pp, &vo, &progress, &v);
        cli_progress_end();
        if (st == PARE_OK || st == PARE_EMISMATCH) {
            pare_status printed = print(o, args, &v);
            if (printed != PARE_OK) st = printed;
        }
        free(v.first_divergent);
    }
    free(shapes);
    pare_dataset_free(data);
    pare_graph_free(a);
    pare_graph_free(b);
    return st;
}

const cli_command cli_command_verify = {
    .name = "verify",
    .summary = "compare two networks: outputs, accuracy, first layer that diverges",
    .arguments = "A.onnx B.onnx [--data SPEC]",
    .examples = "pare verify net.onnx rewritten.onnx\n"
                "pare verify net.onnx small.onnx --data cifar10:data/cifar10 --max-drop 1%\n",
    .notes = "Without --max-drop the outputs must agree within --tolerance. With it, accuracy "
             "decides and "
             "the difference\n"
             "of the outputs is only reported. Exit code 7: no match.\n",
    .min_args = 2,
    .max_args = 2,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
