/* pare help: in general, for one command, and as man page and completions (used by the build). */
#include "cli/cli.h"

typedef struct options {
    cli_common common;
    bool man, bash, zsh;
} options;

static const pare_field fields[] = {
    PARE_FLAG(options, man, false, ""),
    PARE_FLAG(options, bash, false, ""),
    PARE_FLAG(options, zsh, false, ""),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Help", fields, 0, NULL }, { NULL, NULL, 0, NULL } };

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    const cli_command *c = args[0] ? cli_command_find(args[0]) : NULL;
    if (args[0] && !c)
        return pare_fail(PARE_EINVAL, "there is no command '%.80s'; 'pare help' lists them",
                         args[0]);
    if (o->man)
        cli_man();
    else if (o->bash)
        cli_bash();
    else if (o->zsh)
        cli_zsh();
    else if (c)
        cli_help(c);
    else
        cli_help_all();
    return PARE_OK;
}

const cli_command cli_command_help = {
    .name = "help",
    .summary = "show how commands are used",
    .arguments = "[COMMAND]",
    .examples = "pare help\npare help compress\n",
    .min_args = 0,
    .max_args = 1,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
