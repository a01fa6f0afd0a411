/* Failing with one sentence for the user, and sizes that cannot wrap. */
#ifndef BASE_STATUS_H
#define BASE_STATUS_H

#include "pare/base.h"

/* Records the message (per thread) and returns `code`. Lower case, no full stop, name the thing and
 * both numbers. */
pare_status pare_fail(pare_status code, const char *fmt, ...) PARE_PRINTF(2, 3);
/* Puts where we were in front of the message: "<fmt>: <message>". Returns `st`; does nothing for
 * PARE_OK. */
pare_status pare_note(pare_status st, const char *fmt, ...) PARE_PRINTF(2, 3);
/* Forgets the message, when a failure was expected and dealt with. */
void pare_error_clear(void);

void pare_log(pare_log_level level, const char *fmt, ...) PARE_PRINTF(2, 3);

/* Calls progress->fn if there is one. PARE_ECANCELLED if it asks to stop. */
pare_status pare_report(const pare_progress *p, const char *stage, int64_t done, int64_t total,
                        const char *fmt, ...) PARE_PRINTF(5, 6);

#define PARE_TRY(e)                             \
    do {                                        \
        pare_status try_st_ = (e);              \
        if (try_st_ != PARE_OK) return try_st_; \
    } while (0)

/* a * b and a + b in size_t and int64_t; false (and *out untouched) if the result does not fit. */
static inline bool pare_mul_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool pare_add_size(size_t a, size_t b, size_t *out)
{
    size_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool pare_mul_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_mul_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}
static inline bool pare_add_i64(int64_t a, int64_t b, int64_t *out)
{
    int64_t r;
    if (__builtin_add_overflow(a, b, &r)) return false;
    *out = r;
    return true;
}

#endif
