/* Command lines by table: --name value, --name=value, --flag, --no-flag, and -o, -q, -h for the
 * commonest three. */
#include "cli/cli.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const pare_field common_fields[] = {
    PARE_FLAG(cli_common, json, false, "print the result as one JSON object"),
    PARE_FLAG(cli_common, quiet, false, "no progress and no remarks on stderr (-q)"),
    PARE_INT(cli_common, threads, 0, 0, 1024, "N",
             "threads; 0: all processors. Results do not depend on it"),
    PARE_INT(cli_common, seed, 1, 0, 1e15, "N", "seed of everything random"),
    PARE_FLAG(cli_common, help, false, "show this help (-h)"),
    PARE_FIELDS_END,
};
const cli_group cli_common_group = { "Common options", common_fields, 0, NULL };

static void set_defaults(const cli_group *g, void *options)
{
    void *at = (char *)options + g->offset;
    pare_fields_default(g->fields, at);
    if (g->defaults) g->defaults(at);
}

void cli_defaults(const cli_command *c, void *options)
{
    set_defaults(&cli_common_group, options);
    for (const cli_group *g = c->groups; g && g->title; g++) set_defaults(g, options);
}

static const pare_field *find(const cli_command *c, const char *name, size_t len, size_t *offset)
{
    const pare_field *f = pare_field_find(cli_common_group.fields, name, len);
    *offset = 0;
    for (const cli_group *g = c->groups; !f && g && g->title; g++) {
        f = pare_field_find(g->fields, name, len);
        *offset = g->offset;
    }
    return f;
}

/* Edit distance of two short names, rows kept in one array. */
static size_t distance(const char *a, const char *b)
{
    enum { MOST = 40 };
    size_t n = strlen(b), row[MOST + 1];
    if (n > MOST || strlen(a) > MOST) return MOST;
    for (size_t j = 0; j <= n; j++) row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];
        row[0] = i;
        for (size_t j = 1; j <= n; j++) {
            size_t change = diagonal + (a[i - 1] != b[j - 1]),
                   best = row[j] < row[j - 1] ? row[j] : row[j - 1];
            diagonal = row[j];
            row[j] = best + 1 < change ? best + 1 : change;
        }
    }
    return row[n];
}

const char *cli_nearest(const char *name, const char *(*next)(const void *user, size_t i),
                        const void *user)
{
    const char *best = NULL, *candidate;
    size_t least = strlen(name) / 3 + 2; /* farther than this is not a slip of the finger */
    for (size_t i = 0; (candidate = next(user, i)); i++) {
        size_t d = distance(name, candidate);
        if (d < least) least = d, best = candidate;
    }
    return best;
}

/* Field i of a command, counted over all its groups. */
static const char *option_name(const void *user, size_t i)
{
    const cli_command *c = user;
    const cli_group *g = &cli_common_group, *rest = c->groups;
    for (;;) {
        for (const pare_field *f = g->fields; f->name; f++)
            if (i-- == 0) return f->name;
        g = rest;
        if (!g || !g->title) return NULL;
        rest = g + 1;
    }
}

static pare_status unknown(const cli_command *c, const char *arg, size_t len)
{
    char name[48];
    snprintf(name, sizeof name, "%.*s", (int)(len > 40 ? 40 : len), arg);
    for (char *p = name; *p; p++)
        if (*p == '-') *p = '_';
    const char *near = cli_nearest(name, option_name, c);
    if (!near)
        return pare_fail(PARE_EINVAL, "unknown option '--%.*s'; 'pare help %s' lists them",
                         (int)(len > 80 ? 80 : len), arg, c->name);
    snprintf(name, sizeof name, "%s", near);
    for (char *p = name; *p; p++)
        if (*p == '_') *p = '-';
    return pare_fail(PARE_EINVAL, "unknown option '--%.*s'; did you mean '--%s'?",
                     (int)(len > 80 ? 80 : len), arg, name);
}

/* Sets one option; the message of a bad value names it as typed. */
static pare_status set(const pare_field *f, const char *value, pare_arena *arena, void *at)
{
    char name[48];
    snprintf(name, sizeof name, "--%s", f->name);
    for (char *p = name; *p; p++)
        if (*p == '_') *p = '-';
    pare_field typed = *f;
    typed.name = name;
    return pare_field_parse(&typed, value, strlen(value), ',', arena, at);
}

pare_status cli_parse(const cli_command *c, int argc, char **argv, pare_arena *arena, void *options,
                      char **args)
{
    static const struct {
        char letter;
        const char *name;
    } letters[] = { { 'o', "out" }, { 'q', "quiet" }, { 'h', "help" } };

    cli_defaults(c, options);
    int n = 0;
    bool only_args = false;
    for (int i = 0; i < argc; i++) {
        const char *arg = argv[i];
        if (only_args || arg[0] != '-' || !arg[1]) {
            args[n++] = argv[i];
            continue;
        }
        if (strcmp(arg, "--") == 0) {
            only_args = true;
            continue;
        }
        const char *name, *value = NULL;
        size_t len;
        if (arg[1] == '-') {
            name = arg + 2;
            len = strcspn(name, "=");
            if (name[len]) value = name + len + 1;
        } else {
            size_t k = 0, known = sizeof letters / sizeof *letters;
            while (k < known && letters[k].letter != arg[1]) k++;
            name = k < known ? letters[k].name : "";
            len = strlen(name);
            if (arg[2]) value = arg + 2;
        }
        size_t offset;
        const pare_field *f = find(c, name, len, &offset);
        bool off = false;
        if (!f && len > 3 && strncmp(name, "no-", 3) == 0 && !value) {
            f = find(c, name + 3, len - 3, &offset);
            if (f && f->kind == PARE_FIELD_BOOL)
                off = true;
            else
                f = NULL;
        }
        if (!f && arg[1] != '-')
            return pare_fail(PARE_EINVAL, "unknown option '%.80s'; 'pare help %s' lists them", arg,
                             c->name);
        if (!f) return unknown(c, name, len);
        if (f->kind == PARE_FIELD_BOOL && !value) value = off ? "no" : "yes";
        if (!value && i + 1 < argc) value = argv[++i];
        if (!value) return pare_fail(PARE_EINVAL, "option '%.80s' needs a value", arg);
        PARE_TRY(set(f, value, arena, (char *)options + offset));
    }
    args[n] = NULL;
    if (((const cli_common *)options)->help) return PARE_OK;
    if (n < c->min_args)
        return pare_fail(PARE_EINVAL, "too few arguments; usage: pare %s %s", c->name,
                         c->arguments);
    if (n > c->max_args)
        return pare_fail(PARE_EINVAL, "too many arguments, from '%.80s' on; usage: pare %s %s",
                         args[c->max_args], c->name, c->arguments);
    return PARE_OK;
}
