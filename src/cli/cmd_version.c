/* pare version: the version, alone on a line. */
#include "cli/cli.h"

#include <stdio.h>

static pare_status run(const void *opt, char **args)
{
    const cli_common *o = opt;
    (void)args;
    if (!o->json) {
        printf("pare %s\n", pare_version());
        return PARE_OK;
    }
    json_t *root = json_object();
    cli_set(root, "version", cli_json_text(pare_version()));
    return cli_json_print(root);
}

const cli_command cli_command_version = {
    .name = "version",
    .summary = "print the version",
    .arguments = "",
    .examples = "pare version\n",
    .options_size = sizeof(cli_common),
    .run = run,
};
