/* Help, man page and shell completion, all from the tables of the commands. */
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The name as typed. */
static const char *typed(const pare_field *f, char *buf, size_t size)
{
    snprintf(buf, size, "%s", f->name);
    for (char *p = buf; *p; p++)
        if (*p == '_') *p = '-';
    return buf;
}

static bool has_text(const pare_field *f)
{
    return f->kind == PARE_FIELD_STR || f->kind == PARE_FIELD_STRS;
}

/* "FILE: where ..." -> "where ..." */
static const char *meaning(const pare_field *f)
{
    const char *colon = has_text(f) ? strstr(f->help, ": ") : NULL;
    return colon ? colon + 2 : f->help;
}

static const char *placeholder(const pare_field *f, char *buf, size_t size)
{
    if (f->kind == PARE_FIELD_BOOL) return "";
    if (f->kind == PARE_FIELD_ENUM || (!has_text(f) && *f->text)) return f->text;
    if (!has_text(f)) return "N";
    const char *colon = strstr(f->help, ": ");
    if (!colon) return "TEXT";
    snprintf(buf, size, "%.*s", (int)(colon - f->help), f->help);
    return buf;
}

/* " (default 8)", or "" where there is none worth telling. */
static const char *preset(const pare_field *f, const void *object, char *buf, size_t size)
{
    const void *at = pare_field_get(f, object);
    size_t len;
    const char *c;
    buf[0] = 0;
    switch (f->kind) {
    case PARE_FIELD_INT:
        if (*(const int64_t *)at != PARE_INT_UNSET && *(const int64_t *)at >= 0)
            snprintf(buf, size, " (default %lld)", (long long)*(const int64_t *)at);
        break;
    case PARE_FIELD_REAL:
        if (!isnan(*(const double *)at)) snprintf(buf, size, " (default %g)", *(const double *)at);
        break;
    case PARE_FIELD_BOOL:
        if (*(const bool *)at) snprintf(buf, size, " (default yes; --no-... switches it off)");
        break;
    case PARE_FIELD_ENUM:
        if (*(const int *)at >= 0 && (c = pare_field_choice(f, *(const int *)at, &len)))
            snprintf(buf, size, " (default %.*s)", (int)len, c);
        break;
    case PARE_FIELD_STR:
        if (*(const char *const *)at)
            snprintf(buf, size, " (default %s)", *(const char *const *)at);
        break;
    default: break;
    }
    return buf;
}

static void print_group(const cli_group *g, const void *options)
{
    printf("\n%s:\n", g->title);
    for (const pare_field *f = g->fields; f->name; f++) {
        if (!*f->help) continue;
        char name[48], place[48], value[128], left[128];
        snprintf(left, sizeof left, "--%s %s", typed(f, name, sizeof name),
                 placeholder(f, place, sizeof place));
        preset(f, (const char *)options + g->offset, value, sizeof value);
        printf("  %-28s %s%s\n", left, meaning(f), value);
    }
}

static void print_lines(const char *indent, const char *text)
{
    for (const char *p = text; p && *p;) {
        size_t n = strcspn(p, "\n");
        printf("%s%.*s\n", n ? indent : "", (int)n, p);
        p += n + (p[n] == '\n');
    }
}

/* Options with their defaults, for showing; NULL if out of memory. */
static void *default_options(const cli_command *c)
{
    void *o = calloc(1, c->options_size);
    if (o) cli_defaults(c, o);
    return o;
}

void cli_help(const cli_command *c)
{
    printf("pare %s: %s\n\nExamples:\n", c->name, c->summary);
    print_lines("  ", c->examples);
    printf("\nUsage: pare %s %s%s[options]\n", c->name, c->arguments, *c->arguments ? " " : "");
    void *o = default_options(c);
    if (!o) return;
    for (const cli_group *g = c->groups; g && g->title; g++)
        if (*g->fields->help) print_group(g, o); /* a hidden group has no heading either */
    print_group(&cli_common_group, o);
    free(o);
    if (c->notes) {
        putchar('\n');
        print_lines("", c->notes);
    }
    if (c->more_help) c->more_help();
}

void cli_help_all(void)
{
    fputs(
        "pare: takes a trained network (ONNX), makes it smaller and faster, and proves that it "
        "still does "
        "its job\n\n"
        "Examples:\n"
        "  pare demo                                     the whole path on pictures that pare "
        "draws itself\n"
        "  pare check net.onnx                           what stands in the way, all at once\n"
        "  pare info net.onnx                            layers, parameters, multiply-accumulates\n"
        "  pare compress net.onnx -o small.onnx --method penni --data cifar10:DIR --epochs 20\n"
        "  pare verify net.onnx small.onnx --data cifar10:DIR --max-drop 1%\n"
        "\nCommands:\n",
        stdout);
    for (const cli_command *const *c = cli_commands; *c; c++)
        printf("  %-10s %s\n", (*c)->name, (*c)->summary);
    fputs(
        "\n'pare help COMMAND' shows options and examples. Results go to stdout, talk to stderr.\n"
        "Exit codes: 0 done; 1 internal error; 2 usage; 3 target not met (best so far written); 4 "
        "input "
        "rejected;\n"
        "5 input or output failed; 6 limit or memory; 7 verification mismatch; 130, 143 "
        "interrupted.\n",
        stdout);
}

/* Text for troff: '-' as a minus that can be copied, no line that begins with a control character.
 */
static void roff(const char *s)
{
    bool start = true;
    for (; *s; s++) {
        if (start && (*s == '.' || *s == '\'')) fputs("\\&", stdout);
        if (*s == '-')
            fputs("\\-", stdout);
        else if (*s == '\\')
            fputs("\\e", stdout);
        else
            putchar(*s);
        start = *s == '\n';
    }
}

static void man_group(const cli_group *g, const void *options)
{
    for (const pare_field *f = g->fields; f->name; f++) {
        if (!*f->help) continue;
        char name[48], place[48], value[128];
        fputs(".TP\n\\fB\\-\\-", stdout);
        roff(typed(f, name, sizeof name));
        fputs("\\fR ", stdout);
        roff(placeholder(f, place, sizeof place));
        putchar('\n');
        roff(meaning(f));
        roff(preset(f, (const char *)options + g->offset, value, sizeof value));
        putchar('\n');
    }
}

void cli_man(void)
{
    printf(".TH PARE 1 \"\" \"pare %s\" \"User commands\"\n", pare_version());
    fputs(".SH NAME\npare \\- compress trained networks and run them fast\n"
          ".SH SYNOPSIS\n.B pare\nCOMMAND [arguments] [options]\n"
          ".SH DESCRIPTION\nTakes a trained convolutional network (ONNX), compresses it by methods "
          "from the "
          "literature, retrains it,\n"
          "runs it fast on a CPU, and proves that it still does its job. Results go to standard "
          "output, "
          "progress and\n"
          "remarks to standard error.\n.SH COMMANDS\n",
          stdout);
    for (const cli_command *const *p = cli_commands; *p; p++) {
        const cli_command *c = *p;
        void *o = default_options(c);
        if (!o) return;
        fputs(".SS pare ", stdout);
        roff(c->name);
        putchar(' ');
        roff(c->arguments);
        putchar('\n');
        roff(c->summary);
        fputs(".\n.PP\n.nf\n", stdout);
        roff(c->examples);
        fputs(".fi\n", stdout);
        for (const cli_group *g = c->groups; g && g->title; g++) man_group(g, o);
        if (c->notes) {
            fputs(".PP\n", stdout);
            roff(c->notes);
        }
        free(o);
    }
    fputs(".SH COMMON OPTIONS\n", stdout);
    cli_common common = { 0 };
    pare_fields_default(cli_common_group.fields, &common);
    man_group(&cli_common_group, &common);
    fputs(".SH EXIT STATUS\n"
          "0 done; 1 internal error; 2 usage or configuration; 3 ran, but a target was not met "
          "(the best so "
          "far was\n"
          "written); 4 an input was rejected; 5 input or output failed; 6 a limit was reached or "
          "memory ran "
          "out;\n"
          "7 verification found a mismatch; 130 and 143 interrupted after a checkpoint.\n"
          ".SH ENVIRONMENT\n.TP\nPARE_CPU\nc, avx2, avx512 or amx: the most that kernels may use; "
          "amx also where the processor does not "
          "report tiles (for an emulator).\n"
          ".TP\nPARE_TUNE\nThe file of tune\\-machine that plans follow, instead of the one in the "
          "user's cache; off: none.\n"
          ".TP\nPARE_ORT\nThe shared library of ONNX Runtime, or the folder with it, for bench "
          "\\-\\-peers.\n"
          ".TP\nXDG_CACHE_HOME\nWhere the user's cache is: the folder pare in it, or in ~/.cache, "
          "holds what tune\\-machine found.\n",
          stdout);
}

static void words_of(const cli_group *g, const char *before)
{
    for (const pare_field *f = g->fields; f->name; f++) {
        char name[48];
        if (*f->help) printf("%s--%s", before, typed(f, name, sizeof name));
    }
}

void cli_bash(void)
{
    fputs("# bash completion for pare, made by `pare help --bash`\n"
          "_pare() {\n"
          "    local cur=${COMP_WORDS[COMP_CWORD]} verb=${COMP_WORDS[1]} words=\n"
          "    COMPREPLY=()\n"
          "    if [ \"$COMP_CWORD\" -eq 1 ]; then\n"
          "        COMPREPLY=($(compgen -W \"",
          stdout);
    for (const cli_command *const *c = cli_commands; *c; c++)
        printf("%s%s", c == cli_commands ? "" : " ", (*c)->name);
    fputs("\" -- \"$cur\"))\n        return\n    fi\n    case $verb in\n", stdout);
    for (const cli_command *const *c = cli_commands; *c; c++) {
        printf("    %s) words=\"", (*c)->name);
        words_of(&cli_common_group, " ");
        for (const cli_group *g = (*c)->groups; g && g->title; g++) words_of(g, " ");
        fputs("\" ;;\n", stdout);
    }
    fputs("    esac\n"
          "    case $cur in\n"
          "    -*) COMPREPLY=($(compgen -W \"$words\" -- \"$cur\")) ;;\n"
          "    *) COMPREPLY=($(compgen -f -- \"$cur\")) ;;\n"
          "    esac\n"
          "}\n"
          "complete -o filenames -F _pare pare\n",
          stdout);
}

/* Inside [...] of _arguments, ':' and brackets need a backslash; inside '...' a quote is left out.
 */
static void zsh_text(const char *s)
{
    for (; *s; s++) {
        if (*s == '[' || *s == ']' || *s == ':' || *s == '\\') putchar('\\');
        if (*s != '\'') putchar(*s);
    }
}

static void zsh_group(const cli_group *g)
{
    for (const pare_field *f = g->fields; f->name; f++) {
        char name[48];
        if (!*f->help) continue;
        printf(" \\\n            '%s--%s%s[", f->kind == PARE_FIELD_STRS ? "*" : "",
               typed(f, name, sizeof name), f->kind == PARE_FIELD_BOOL ? "" : "=");
        zsh_text(meaning(f));
        putchar(']');
        if (f->kind == PARE_FIELD_ENUM) {
            fputs(":choice:(", stdout);
            for (const char *p = f->text; *p; p++) putchar(*p == '|' ? ' ' : *p);
            putchar(')');
        } else if (has_text(f)) {
            fputs(":value:_files", stdout);
        } else if (f->kind != PARE_FIELD_BOOL) {
            fputs(":number:", stdout);
        }
        putchar('\'');
    }
}

void cli_zsh(void)
{
    fputs("#compdef pare\n# zsh completion for pare, made by `pare help --zsh`\n"
          "_pare() {\n    local -a verbs=(",
          stdout);
    for (const cli_command *const *c = cli_commands; *c; c++) {
        printf("\n        '%s:", (*c)->name);
        zsh_text((*c)->summary);
        putchar('\'');
    }
    fputs(")\n    if (( CURRENT == 2 )); then\n        _describe command verbs\n        return\n   "
          " fi\n"
          "    local verb=$words[2]\n    shift words\n    (( CURRENT-- ))\n    case $verb in\n",
          stdout);
    for (const cli_command *const *c = cli_commands; *c; c++) {
        printf("    %s)\n        _arguments", (*c)->name);
        zsh_group(&cli_common_group);
        for (const cli_group *g = (*c)->groups; g && g->title; g++) zsh_group(g);
        fputs(" \\\n            '*:file:_files' ;;\n", stdout);
    }
    fputs("    esac\n}\n_pare \"$@\"\n", stdout);
}
