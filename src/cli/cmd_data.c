/* pare data get: the public image sets, from their official addresses, checked.
 */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

typedef struct options {
    cli_common common;
    const char *to, *from;
} options;

static const pare_field fields[] = {
    PARE_STR(options, to, NULL, "DIR: folder for the files; created when missing"),
    PARE_STR(options, from, NULL, "URL: where the same files lie instead (a mirror)"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Download", fields, 0, NULL }, { NULL, NULL, 0, NULL } };

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    if (strcmp(args[0], "get") != 0)
        return pare_fail(PARE_EINVAL,
                         "'%.80s' is not known here; only 'pare data get NAME --to DIR' is",
                         args[0]);
    if (!o->to) return pare_fail(PARE_EINVAL, "where to? give --to DIR");
    pare_progress progress = cli_progress_begin(&o->common);
    pare_status st = pare_data_get(args[1], o->to, o->from, &progress);
    cli_progress_end();
    if (st != PARE_OK) return st;
    const char *kind = strcmp(args[1], "cifar10") == 0 ? "cifar10" : "mnist";
    if (o->common.json) {
        json_t *root = json_object();
        cli_set(root, "name", cli_json_text(args[1]));
        cli_set(root, "dir", cli_json_text(o->to));
        return cli_json_print(root);
    }
    printf("use it as --data %s:%s\n", kind, cli_text(o->to));
    return PARE_OK;
}

const cli_command cli_command_data = {
    .name = "data",
    .summary = "download a public data set, with checksum and resume",
    .arguments = "get cifar10|mnist|fashion-mnist --to DIR",
    .examples =
        "pare data get cifar10 --to data/cifar10\npare data get mnist --to data/mnist --from "
        "https://mirror.example/mnist\n",
    .min_args = 2,
    .max_args = 2,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
