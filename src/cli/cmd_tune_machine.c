/* pare tune-machine: measures once how fast implementations are here, so that plans choose better.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    cli_common common;
    const char *out;
    bool force;
} options;

static const pare_field fields[] = {
    PARE_STR(options, out, NULL, "FILE: where the result goes instead of the user's cache (-o)"),
    PARE_FLAG(options, force, false, "replace an existing file"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Options", fields, 0, NULL }, { NULL, NULL, 0, NULL } };

/* Layers of the kinds that networks have, from small to large. */
static const struct {
    const char *network;
    int64_t shape[3];
} usual[] = {
    { "resnet20", { 3, 32, 32 } },       { "resnet18-cifar", { 3, 32, 32 } },
    { "resnet18-cifar", { 3, 56, 56 } }, { "vgg-small", { 3, 32, 32 } },
    { "mobilenet-v1", { 3, 224, 224 } }, { "lenet", { 1, 28, 28 } },
};
enum { USUAL = sizeof usual / sizeof *usual };

static void print_text(const options *o, const pare_tuning *t)
{
    printf("%-28s %10s %8s\n", "implementation", "factor", "layers");
    for (size_t i = 0; i < t->n; i++)
        printf("%-28s %10.3f %8d\n", cli_text(t->entry[i].impl), t->entry[i].factor,
               t->entry[i].layers);
    printf("kept in %s\n", cli_text(t->path));
    if (o->out) printf("plans use it where PARE_TUNE=%s\n", cli_text(t->path));
}

static pare_status print_json(const pare_tuning *t)
{
    json_t *root = json_object(), *list = json_array();
    cli_set(root, "file", cli_json_text(t->path));
    cli_set(root, "foreign_processors", cli_json_known(t->foreign_processors));
    for (size_t i = 0; i < t->n; i++) {
        json_t *j = json_object();
        cli_set(j, "impl", cli_json_text(t->entry[i].impl));
        cli_set(j, "factor", cli_json_number(t->entry[i].factor));
        cli_set(j, "layers", json_integer(t->entry[i].layers));
        cli_push(list, j);
    }
    cli_set(root, "implementations", list);
    return cli_json_print(root);
}

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    if (o->common.threads > 1)
        return pare_fail(PARE_EINVAL, "--threads %lld: layers are timed on one thread",
                         (long long)o->common.threads);
    if (o->out) PARE_TRY(cli_check_output(o->out, o->force, NULL));
    size_t given = 0, n = 0;
    while (args[given]) given++;
    pare_graph **g = calloc(USUAL + given, sizeof *g);
    pare_status st = g ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for %zu networks", given);
    for (; st == PARE_OK && n < USUAL; n++)
        st = pare_model_init(usual[n].network, usual[n].shape, 10, (uint64_t)o->common.seed, &g[n]);
    for (; st == PARE_OK && n < USUAL + given; n++) st = pare_model_load(args[n - USUAL], &g[n]);
    pare_tuning t;
    if (st == PARE_OK) {
        pare_progress progress = cli_progress_begin(&o->common);
        st = pare_tune_machine((const pare_graph *const *)g, n, o->out, o->force, &progress, &t);
        cli_progress_end();
    }
    if (st == PARE_OK) {
        if (o->common.json)
            st = print_json(&t);
        else
            print_text(o, &t);
        cli_warn_foreign(t.foreign_processors);
        pare_tuning_free(&t);
    }
    for (size_t i = 0; g && i < USUAL + given; i++) pare_graph_free(g[i]);
    free(g);
    return st;
}

const cli_command cli_command_tune_machine = {
    .name = "tune-machine",
    .summary = "measure once how fast implementations are on this machine",
    .arguments = "[MODEL.onnx ...]",
    .examples = "pare tune-machine\npare tune-machine small.onnx\n"
                "pare tune-machine -o tuned.txt && PARE_TUNE=tuned.txt pare bench net.onnx\n",
    .notes =
        "Plans multiply each implementation's modelled time by the factor found here. It is "
        "optional, takes some seconds\n"
        "and wants a quiet machine. Layers are timed on one thread; those of the models given "
        "too, encoded ones among\n"
        "them. PARE_TUNE=off ignores the result, PARE_TUNE=FILE takes it from there. Plans are "
        "the same for the same\n"
        "file. The file in the user's cache is replaced; any other only with --force.\n",
    .min_args = 0,
    .max_args = 64,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
