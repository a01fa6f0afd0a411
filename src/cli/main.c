/* The program: finds the command, parses its options, runs it, and turns its status into an exit
 * code. */
#define _GNU_SOURCE
#include "cli/cli.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COMMANDS(X) \
    X(info)         \
    X(check)        \
    X(run)          \
    X(eval)         \
    X(bench)        \
    X(tune_machine) \
    X(train)        \
    X(init)         \
    X(compress)     \
    X(verify)       \
    X(data)         \
    X(list)         \
    X(doctor)       \
    X(demo)         \
    X(version)      \
    X(help)

#define DECLARE(name) extern const cli_command cli_command_##name;
COMMANDS(DECLARE)
#define ENTRY(name) &cli_command_##name,
const cli_command *const cli_commands[] = { COMMANDS(ENTRY) NULL };

const cli_command *cli_command_find(const char *name)
{
    for (const cli_command *const *c = cli_commands; *c; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}

static const char *command_name(const void *user, size_t i)
{
    (void)user;
    return i < sizeof cli_commands / sizeof *cli_commands && cli_commands[i] ? cli_commands[i]->name
                                                                             : NULL;
}

static int exit_code(pare_status st)
{
    switch (st) {
    case PARE_OK: return 0;
    case PARE_EINTERNAL: return 1;
    case PARE_EINVAL: return 2;
    case PARE_ETARGET: return 3;
    case PARE_EFORMAT:
    case PARE_EUNSUPPORTED: return 4;
    case PARE_EIO: return 5;
    case PARE_ENOMEM:
    case PARE_ELIMIT: return 6;
    case PARE_EMISMATCH: return 7;
    case PARE_ECANCELLED: return 128 + (cli_interrupted() ? cli_interrupted() : SIGINT);
    }
    return 1;
}

/* A file opened while stdout is closed would become stdout, and results would be written into it. A
 * read-only /dev/null keeps the number taken and still makes every write fail. */
static void hold_standard_streams(void)
{
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && errno == EBADF && open("/dev/null", O_RDONLY) != fd) _exit(5);
}

/* Results that did not arrive are a failure: a full disk, a closed pipe. */
static pare_status finish_stdout(void)
{
    bool bad = ferror(stdout) != 0;
    errno = 0;
    if (fflush(stdout) != 0) bad = true;
    if (!bad) return PARE_OK;
    return pare_fail(PARE_EIO, "cannot write to the standard output%s%s", errno ? ": " : "",
                     errno ? strerror(errno) : "");
}

/* `verb` NULL: before a command was found. */
static int report(const char *verb, pare_status st)
{
    if (st != PARE_OK) {
        const char *message = pare_error();
        if (st == PARE_EINTERNAL) fputs("pare: a bug of pare's own; please report it\n", stderr);
        fprintf(stderr, "pare: %s%s%s\n", verb ? verb : "", verb ? ": " : "",
                *message ? message : "failed without saying why");
    }
    return exit_code(st);
}

static pare_status run_command(const cli_command *c, int argc, char **argv)
{
    pare_status st = PARE_OK;
    pare_arena *arena = pare_arena_new(0);
    void *options = calloc(1, c->options_size);
    char **args = calloc((size_t)argc + 1, sizeof *args);
    if (!arena || !options || !args) st = pare_fail(PARE_ENOMEM, "no memory for the options");
    if (st == PARE_OK) st = cli_parse(c, argc, argv, arena, options, args);
    if (st == PARE_OK) {
        const cli_common *common = options;
        cli_log_start(common->quiet);
        if (common->help)
            cli_help(c);
        else
            st = c->run(options, args);
        cli_progress_end();
    }
    free(args);
    free(options);
    pare_arena_free(arena);
    return st;
}

/* Weights are read, packed and freed one after another: from one heap, the packed form of one takes
 * the place of the stored form of another, and the system need not clear as many fresh pages. */
static void keep_freed_memory(void)
{
#ifdef __GLIBC__
    mallopt(M_MMAP_THRESHOLD, 32 << 20); /* the most it takes; where it drifts by itself anyway */
    mallopt(M_TRIM_THRESHOLD, 256 << 20);
    mallopt(M_TOP_PAD, 4 << 20);
#endif
}

static int program(int argc, char **argv)
{
    hold_standard_streams();
    keep_freed_memory();
    signal(SIGPIPE, SIG_IGN); /* a closed pipe shows as a failed write */
    if (argc < 2) {
        cli_help_all();
        pare_status st = finish_stdout();
        return st == PARE_OK ? 2 : report(NULL, st);
    }
    const char *verb = argv[1];
    if (strcmp(verb, "--help") == 0 || strcmp(verb, "-h") == 0) verb = "help";
    if (strcmp(verb, "--version") == 0 || strcmp(verb, "-V") == 0) verb = "version";
    const cli_command *c = cli_command_find(verb);
    if (!c) {
        const char *near = cli_nearest(verb, command_name, NULL);
        return report(
            NULL,
            near ? pare_fail(PARE_EINVAL, "unknown command '%.80s'; did you mean '%s'?", verb, near)
                 : pare_fail(PARE_EINVAL, "unknown command '%.80s'; 'pare help' lists them", verb));
    }
    pare_status st = run_command(c, argc - 2, argv + 2);
    if (st == PARE_OK)
        st = finish_stdout();
    else
        fflush(stdout);
    return report(c->name, st);
}

/* Leak checkers do their work in exit handlers. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define LEAVE exit
#else
#define LEAVE _exit
#endif

/* Everything is flushed by now. Destructors of libraries are passed over: OpenBLAS's joins threads
 * that, where memory is limited, never started, and so waits for ever. */
int main(int argc, char **argv) { LEAVE(program(argc, argv)); }
