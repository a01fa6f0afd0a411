/* pare check: everything that stands in the way of a model, at once, before any
 * work. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    cli_common common;
    pare_strs shape;
} options;

static const pare_field fields[] = {
    PARE_STRS(options, shape,
              "NAME=1x3x224x224: shape of an input with free dimensions (repeatable)"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Shapes", fields, 0, NULL }, { NULL, NULL, 0, NULL } };

static pare_status print_json(const char *file, const pare_problems *p)
{
    json_t *root = json_object(), *list = json_array();
    cli_set(root, "file", cli_json_text(file));
    for (size_t i = 0; i < p->count; i++) {
        json_t *j = json_object();
        cli_set(j, "node", cli_json_text(p->problem[i].node));
        cli_set(j, "op", cli_json_text(p->problem[i].op));
        cli_set(j, "reason", cli_json_text(p->problem[i].reason));
        cli_set(j, "remedy", cli_json_text(p->problem[i].remedy));
        cli_push(list, j);
    }
    cli_set(root, "problems", list);
    return cli_json_print(root);
}

static void print_text(const char *file, const pare_problems *p)
{
    for (size_t i = 0; i < p->count; i++) {
        const pare_problem *q = &p->problem[i];
        if (*q->node || *q->op)
            printf("%s%s%s%s: %s\n", cli_text(q->node), *q->op ? " (" : "", cli_text(q->op),
                   *q->op ? ")" : "", cli_text(q->reason));
        else
            printf("model: %s\n", cli_text(q->reason));
        if (q->remedy && *q->remedy) printf("    remedy: %s\n", cli_text(q->remedy));
    }
    if (p->count == 0) printf("%s: no problems\n", cli_text(file));
}

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    pare_shape *shapes;
    size_t n_shapes;
    PARE_TRY(cli_shapes(&o->shape, &shapes, &n_shapes));
    pare_problems p;
    pare_status st = pare_model_check(args[0], shapes, n_shapes, &p);
    free(shapes);
    if (st != PARE_OK) return st;
    if (o->common.json)
        st = print_json(args[0], &p);
    else
        print_text(args[0], &p);
    if (st == PARE_OK && p.count)
        st = pare_fail(PARE_EUNSUPPORTED, "'%s' has %zu problem%s", args[0], p.count,
                       p.count == 1 ? "" : "s");
    pare_problems_free(&p);
    return st;
}

const cli_command cli_command_check = {
    .name = "check",
    .summary = "list every problem of a model at once, with a remedy",
    .arguments = "MODEL.onnx",
    .examples = "pare check net.onnx\npare check net.onnx --json\n",
    .notes = "Exit code 0: pare can load the model. 4: it cannot; every reason is listed.\n",
    .min_args = 1,
    .max_args = 1,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
