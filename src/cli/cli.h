/* What the commands of the program share. A command is one file, cmd_<verb>.c, and one line in
 * main.c.
 *
 * Results go to stdout, talk to stderr. Commands use the public headers and src/base only, so they
 * prove that the library suffices. */
#ifndef CLI_CLI_H
#define CLI_CLI_H

#include "base/fields.h"
#include "pare/pare.h"

#include <jansson.h>

/* Options that every command has; the first member of every command's options. */
typedef struct cli_common {
    bool json, quiet, help;
    int64_t threads, seed;
} cli_common;

/* A table of options inside the struct of a command. The help of an option whose value is text
 * begins with the placeholder of the value and a colon: "FILE: where the result goes". An empty
 * help hides the option. */
typedef struct cli_group {
    const char *title; /* heading in the help; NULL ends a list of groups */
    const pare_field *fields;
    size_t offset;                   /* of the group's struct in the command's */
    void (*defaults)(void *options); /* sets the group's struct where the table's defaults are not
                                        the last word */
} cli_group;

typedef struct cli_command {
    const char *name, *summary;
    const char *arguments; /* of the usage line */
    const char *examples;  /* one command a line */
    const char *notes;     /* paragraphs below the options, or NULL */
    int min_args, max_args;
    size_t options_size;
    const cli_group *groups;                              /* besides the common one */
    pare_status (*run)(const void *options, char **args); /* args: NULL-terminated */
    void (*more_help)(void); /* prints what only running code can list (methods), or NULL */
} cli_command;

extern const cli_command *const cli_commands[];        /* NULL-terminated; main.c */
const cli_command *cli_command_find(const char *name); /* NULL: there is none */

/* --- options.c --- */
extern const cli_group cli_common_group;
/* Parses the arguments behind the verb. *options (zeroed, options_size bytes) is filled; args gets
 * the positional ones, NULL-terminated: room for argc + 1. PARE_EINVAL says what is wrong and what
 * was perhaps meant. */
pare_status cli_parse(const cli_command *c, int argc, char **argv, pare_arena *arena, void *options,
                      char **args);
void cli_defaults(const cli_command *c, void *options);
/* The nearest of a list of names; NULL if none is near. next(i) is NULL past the last. */
const char *cli_nearest(const char *name, const char *(*next)(const void *user, size_t i),
                        const void *user);

/* --- help.c --- */
void cli_help(const cli_command *c);
void cli_help_all(void);
void cli_man(void);
void cli_bash(void);
void cli_zsh(void);

/* --- progress.c --- */
/* A bar on a terminal, a line every ten seconds elsewhere. From here to cli_progress_end() SIGINT
 * and SIGTERM ask the work to stop at its next checkpoint, and a second one ends the program. One
 * at a time. */
pare_progress cli_progress_begin(const cli_common *c);
void cli_progress_end(void);
/* The signal that asked to stop, or 0. */
int cli_interrupted(void);
void cli_log_start(bool quiet); /* the library's log lines go to stderr, around the bar */
double cli_now(void);           /* seconds of a monotonic clock */

/* --- output.c --- */
/* Text of untrusted origin for a terminal: control characters become '?'. Valid until the eighth
 * call after.
 */
const char *cli_text(const char *s);
/* Sets a member; takes over v. A failure is remembered and fails cli_json_print(). */
void cli_set(json_t *object, const char *key, json_t *v);
void cli_push(json_t *array, json_t *v);
json_t *cli_json_text(const char *s); /* NULL gives null; bytes that are not UTF-8 become '?' */
json_t *cli_json_number(double v);    /* whole numbers as integers; NaN and infinities as null */
json_t *cli_json_known(double v);     /* the same, and negative numbers (unknown) as null */
json_t *cli_json_shape(const pare_type *t);
pare_status cli_json_print(json_t *root); /* one object on stdout; frees it */
/* "float32 [1,3,32,32]" into buf. */
const char *cli_type_text(const pare_type *t, char *buf, size_t size);
/* 1234567 -> "1.235 M"; bytes -> "1.2 MiB". Valid as cli_text(). */
const char *cli_count_text(double v);
const char *cli_bytes_text(double v);
/* "91.73 %", or "-" for an unknown (negative) fraction. */
const char *cli_percent_text(double fraction);

/* --- shared.c: option groups that several commands have in common --- */
typedef struct cli_preprocess {
    const char *preprocess, *resize, *crop;
    pare_reals mean, scale;
    int order, layout; /* -1: not given */
    int64_t skip;
} cli_preprocess;
extern const pare_field cli_preprocess_fields[];
#define CLI_PREPROCESS(T)                                                               \
    {                                                                                   \
        "From pictures to network inputs", cli_preprocess_fields, offsetof(T, pp), NULL \
    }
/* What --preprocess says, else the model's metadata, else nothing; single options override. */
pare_status cli_preprocess_resolve(const cli_preprocess *o, const pare_graph *graph,
                                   pare_preprocess *out);

/* For commands without pictures, where these options would change nothing: PARE_EINVAL names the
 * first that was given. */
pare_status cli_preprocess_unused(const cli_preprocess *o, const char *why);

/* How plans may compute; of pare_plan_options. */
typedef struct cli_arithmetic {
    bool no_winograd, no_integers;
    int precision; /* pare_precision */
} cli_arithmetic;
extern const pare_field cli_arithmetic_fields[], cli_fp32_fields[];
#define CLI_ARITHMETIC(T)                                                  \
    {                                                                      \
        "Arithmetic", cli_arithmetic_fields, offsetof(T, arithmetic), NULL \
    }
/* Without the precision, for commands whose --precision is that of training. */
#define CLI_FP32_ARITHMETIC(T)                                       \
    {                                                                \
        "Arithmetic", cli_fp32_fields, offsetof(T, arithmetic), NULL \
    }
const char *cli_precision_name(int precision);

/* Of pare_train_options, without epochs, seed, threads and run_dir. A method of compression has its
 * own rates for each phase. */
extern const pare_field cli_train_fields[], cli_rate_fields[];
void cli_train_defaults(void *options);
#define CLI_TRAIN(T)                                                           \
    {                                                                          \
        "Retraining", cli_train_fields, offsetof(T, train), cli_train_defaults \
    }

#define CLI_RATES(T)                                                             \
    {                                                                            \
        "Learning rate", cli_rate_fields, offsetof(T, train), cli_train_defaults \
    }

/* "NAME=1x3x224x224" or "1x3x224x224"; `n` of them. *out is the caller's to free(). */
pare_status cli_shapes(const pare_strs *text, pare_shape **out, size_t *n);
/* Warns if --batch cannot have the effect asked for because the first dimension of the model's
 * inputs is fixed. */
void cli_warn_batch(const char *file, const pare_graph *graph, int64_t batch,
                    const pare_shape *shapes, size_t n_shapes);
/* Refuses early what would fail after long work: `path` exists without force (PARE_EINVAL), is one
 * of the inputs (PARE_EINVAL), or lies in a folder where nothing can be written (PARE_EIO). */
pare_status cli_check_output(const char *path, bool force, const char *input);
/* Warns if other processes used so many processors that figures deserve no trust. */
void cli_warn_foreign(double processors);
/* "1%" or "0.01" */
pare_status cli_fraction(const char *option, const char *text, double *out);
/* Opens the part of a set; the message says that it comes from --data. */
pare_status cli_dataset(const char *spec, pare_split split, pare_dataset **out);

#endif
