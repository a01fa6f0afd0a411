/* pare list: the members of the families: methods, codecs, operators,
 * implementations. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

typedef struct family {
    const char *name;
    /* Name, summary and remark of member i; NULL past the last. */
    const char *(*member)(size_t i, const char **summary, const char **remark);
} family;

static const char *operator_member(size_t i, const char **summary, const char **remark)
{
    *remark = "";
    return pare_operator_list(i, summary);
}

static const char *codec_member(size_t i, const char **summary, const char **remark)
{
    *remark = "";
    return pare_codec_list(i, summary);
}

static const family families[] = {
    { "methods", pare_method_list },
    { "codecs", codec_member },
    { "operators", operator_member },
    { "kernels", pare_impl_list },
};

static pare_status run(const void *opt, char **args)
{
    const cli_common *o = opt;
    const family *f = NULL;
    for (size_t k = 0; k < sizeof families / sizeof *families; k++)
        if (strcmp(families[k].name, args[0]) == 0) f = &families[k];
    if (!f)
        return pare_fail(PARE_EINVAL,
                         "'%.80s' cannot be listed; known: methods, codecs, operators, kernels",
                         args[0]);
    json_t *root = o->json ? json_object() : NULL, *list = o->json ? json_array() : NULL;
    const char *name, *summary, *remark;
    for (size_t i = 0; (name = f->member(i, &summary, &remark)); i++) {
        if (!o->json) {
            printf("%-24s %s%s%s%s\n", name, summary ? summary : "", remark && *remark ? " (" : "",
                   remark ? remark : "", remark && *remark ? ")" : "");
            continue;
        }
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(name));
        cli_set(j, "summary", cli_json_text(summary));
        cli_set(j, "remark", cli_json_text(remark));
        cli_push(list, j);
    }
    if (!o->json) return PARE_OK;
    cli_set(root, f->name, list);
    return cli_json_print(root);
}

const cli_command cli_command_list = {
    .name = "list",
    .summary = "list methods, codecs, operators or kernels",
    .arguments = "methods|codecs|operators|kernels",
    .examples = "pare list methods\npare list operators --json\n",
    .min_args = 1,
    .max_args = 1,
    .options_size = sizeof(cli_common),
    .run = run,
};
