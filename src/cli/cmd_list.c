/* pare list: the members of the families: methods, codecs, operators,
 * implementations. */
#include "cli/cli.h"

#include <stdio.h>
#include <string.h>

typedef struct family {
    const char *name;
    /* Name, summary and remark of member i; NULL past the last. */
    const char *(*member)(size_t i, const char **summary, const char **remark);
    void (*print_more)(size_t i);     /* below the line of member i, or NULL */
    void (*add)(json_t *j, size_t i); /* to the object of member i, or NULL */
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

static void print_options(size_t method)
{
    pare_method_option o;
    for (size_t i = 0; pare_method_option_list(method, i, &o); i++) {
        printf("  %-14s %s (", o.name, o.help);
        if (o.choices)
            printf("%s, ", o.choices);
        else if (!o.flag && o.max > o.min)
            printf("%g to %g%s%s, ", o.min, o.max, *o.unit ? " " : "", o.unit);
        printf("default %s%s)\n", o.flag ? (*o.preset == '0' ? "no" : "yes") : o.preset,
               o.per_layer ? "; per layer" : "");
    }
}

static void add_options(json_t *method, size_t k)
{
    json_t *list = json_array();
    pare_method_option o;
    for (size_t i = 0; pare_method_option_list(k, i, &o); i++) {
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(o.name));
        cli_set(j, "help", cli_json_text(o.help));
        cli_set(j, "default", cli_json_text(o.preset));
        cli_set(j, "choices", cli_json_text(o.choices));
        cli_set(j, "unit", cli_json_text(*o.unit ? o.unit : NULL));
        cli_set(j, "per_layer", json_boolean(o.per_layer));
        cli_push(list, j);
    }
    cli_set(method, "options", list);
}

static const family families[] = {
    { "methods", pare_method_list, print_options, add_options },
    { "codecs", codec_member, NULL, NULL },
    { "operators", operator_member, NULL, NULL },
    { "kernels", pare_impl_list, NULL, NULL },
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
            if (f->print_more) f->print_more(i);
            continue;
        }
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(name));
        cli_set(j, "summary", cli_json_text(summary));
        cli_set(j, "remark", cli_json_text(remark));
        if (f->add) f->add(j, i);
        cli_push(list, j);
    }
    if (!o->json) return PARE_OK;
    cli_set(root, f->name, list);
    return cli_json_print(root);
}

const cli_command cli_command_list = {
    .name = "list",
    .summary = "list methods with their options, codecs, operators or kernels",
    .arguments = "methods|codecs|operators|kernels",
    .examples = "pare list methods\npare list operators --json\n",
    .min_args = 1,
    .max_args = 1,
    .options_size = sizeof(cli_common),
    .run = run,
};
