/* Progress on stderr, log lines around it, and what signals do during long work. */
#define _GNU_SOURCE
#include "cli/cli.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* There is one terminal, hence one bar. */
static struct {
    bool active, quiet, terminal, drawn;
    char stage[64];
    int64_t first;       /* steps done when the stage began: a resumed stage does not begin at 0 */
    double began, shown; /* seconds */
} bar;

static volatile sig_atomic_t caught;

double cli_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static void on_signal(int number)
{
    if (caught) _exit(128 + number); /* the second one: at once */
    caught = number;
}

int cli_interrupted(void) { return caught; }

static void erase(void)
{
    if (bar.drawn) fputs("\r\033[K", stderr);
    bar.drawn = false;
}

static void log_line(void *user, pare_log_level level, const char *line)
{
    (void)user;
    erase();
    fprintf(stderr, "pare: %s%s\n", level == PARE_LOG_WARNING ? "warning: " : "", line);
}

void cli_log_start(bool quiet)
{
    pare_log_to(log_line, NULL, quiet ? PARE_LOG_WARNING : PARE_LOG_INFO);
}

static const char *duration(double s, char *buf, size_t size)
{
    if (s < 0) s = 0;
    if (s > 3600 * 999.0) s = 3600 * 999.0;
    int t = (int)(s + 0.5);
    if (t < 100)
        snprintf(buf, size, "%d s", t);
    else if (t < 6000)
        snprintf(buf, size, "%d min %02d s", t / 60, t % 60);
    else
        snprintf(buf, size, "%d h %02d min", t / 3600, t / 60 % 60);
    return buf;
}

static bool progress(void *user, const char *stage, int64_t done, int64_t total, const char *detail)
{
    (void)user;
    if (caught) return false;
    if (bar.quiet) return true;
    double now = cli_now();
    if (strncmp(bar.stage, stage, sizeof bar.stage - 1) != 0 || done < bar.first) {
        snprintf(bar.stage, sizeof bar.stage, "%s", stage);
        bar.first = done;
        bar.began = now;
        if (!bar.terminal)
            bar.shown = now; /* short stages stay silent in a log file */
        else
            bar.shown = 0;
    }
    if (now - bar.shown < (bar.terminal ? 0.1 : 10)) return true;
    bar.shown = now;

    char left[40] = "", text[32];
    if (done > bar.first && total > done)
        snprintf(left, sizeof left, ", %s left",
                 duration((now - bar.began) * (double)(total - done) / (double)(done - bar.first),
                          text, sizeof text));
    const char *colon = detail && *detail ? ": " : "";
    detail = cli_text(detail);
    if (!bar.terminal) {
        fprintf(stderr, "pare: %s %lld/%lld%s%s%s\n", cli_text(stage), (long long)done,
                (long long)total, left, colon, detail);
        return true;
    }
    enum { WIDTH = 24 };
    int full = total > 0 ? (int)((double)WIDTH * (double)done / (double)total) : 0;
    if (full > WIDTH) full = WIDTH;
    char line[256]; /* one line of an ordinary terminal: a wrapped bar cannot be erased */
    snprintf(line, sizeof line, "%s [%.*s%.*s] %lld/%lld%s%s%s", cli_text(stage), full,
             "########################", WIDTH - full, "........................", (long long)done,
             (long long)total, left, colon, detail);
    fprintf(stderr, "\r\033[K%.79s", line);
    fflush(stderr);
    bar.drawn = true;
    return true;
}

pare_progress cli_progress_begin(const cli_common *c)
{
    const char *term = getenv("TERM");
    memset(&bar, 0, sizeof bar);
    bar.active = true;
    bar.quiet = c->quiet;
    bar.terminal = isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
    struct sigaction act = { .sa_handler = on_signal, .sa_flags = SA_RESTART };
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
    return (pare_progress){ progress, NULL };
}

void cli_progress_end(void)
{
    if (!bar.active) return;
    erase();
    bar.active = false;
    struct sigaction act = { .sa_handler = SIG_DFL };
    sigaction(SIGINT, &act, NULL);
    sigaction(SIGTERM, &act, NULL);
}
