/* The per-thread error sentence and the one log sink. */
#include "base/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { MESSAGE_MAX = 1024, WHOLE_MAX = 3 * 4096 }; /* room for two paths of any length */
static _Thread_local char message[MESSAGE_MAX];

static struct {
    pare_log_fn *fn;
    void *user;
    pare_log_level least;
} sink = { NULL, NULL, PARE_LOG_WARNING };

const char *pare_error(void) { return message; }

void pare_error_clear(void) { message[0] = 0; }

#ifndef PARE_VERSION
#define PARE_VERSION "unknown"
#endif
const char *pare_version(void) { return PARE_VERSION; }

/* Names in messages come from untrusted files: control characters would let them drive a terminal.
 */
static void make_printable(char *s)
{
    for (; *s; s++)
        if ((unsigned char)*s < 0x20 || *s == 0x7f) *s = '?';
}

/* Long names must not push the reason, which comes last, out of the sentence: the middle goes
 * instead. */
static void keep(const char *whole)
{
    static const char gap[] = " ... ";
    size_t len = strlen(whole), most = sizeof message - 1, back = most / 3;
    if (len <= most) {
        memcpy(message, whole, len + 1);
    } else {
        size_t front = most - back - (sizeof gap - 1);
        memcpy(message, whole, front);
        memcpy(message + front, gap, sizeof gap - 1);
        memcpy(message + most - back, whole + len - back, back + 1);
    }
    make_printable(message);
}

pare_status pare_fail(pare_status code, const char *fmt, ...)
{
    char whole[WHOLE_MAX]; /* also because an argument may be the message before */
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(whole, sizeof whole, fmt, ap);
    va_end(ap);
    keep(whole);
    return code;
}

pare_status pare_note(pare_status st, const char *fmt, ...)
{
    if (st == PARE_OK) return st;
    char whole[WHOLE_MAX + MESSAGE_MAX + 2];
    va_list ap;
    va_start(ap, fmt);
    int n = vsnprintf(whole, WHOLE_MAX, fmt, ap);
    va_end(ap);
    if (n < 0) return st;
    size_t len = strlen(whole);
    snprintf(whole + len, sizeof whole - len, ": %s", message);
    keep(whole);
    return st;
}

void pare_log_to(pare_log_fn *fn, void *user, pare_log_level least)
{
    sink.fn = fn;
    sink.user = user;
    sink.least = least;
}

void pare_log(pare_log_level level, const char *fmt, ...)
{
    if (level < sink.least) return;
    char line[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    make_printable(line);
    if (sink.fn) {
        sink.fn(sink.user, level, line);
        return;
    }
    static const char *const names[] = { "debug", "info", "warning" };
    fprintf(stderr, "pare: %s: %s\n", names[level], line);
}

pare_status pare_report(const pare_progress *p, const char *stage, int64_t done, int64_t total,
                        const char *fmt, ...)
{
    if (!p || !p->fn) return PARE_OK;
    char detail[MESSAGE_MAX];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(detail, sizeof detail, fmt, ap);
    va_end(ap);
    if (p->fn(p->user, stage, done, total, detail)) return PARE_OK;
    return pare_fail(PARE_ECANCELLED, "%s stopped at %lld of %lld", stage, (long long)done,
                     (long long)total);
}
