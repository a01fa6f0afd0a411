/* Status codes, error text, logging, progress: what every other public header builds on. */
#ifndef PARE_BASE_H
#define PARE_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
#define PARE_BEGIN extern "C" {
#define PARE_END   }
#else
#define PARE_BEGIN
#define PARE_END
#endif

#if defined(__GNUC__)
#define PARE_API               __attribute__((visibility("default")))
#define PARE_NODISCARD         __attribute__((warn_unused_result))
#define PARE_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define PARE_API
#define PARE_NODISCARD
#define PARE_PRINTF(fmt, args)
#endif

PARE_BEGIN

/** What a call came to. Everything but PARE_OK leaves one sentence in pare_error(). */
typedef enum pare_status {
    PARE_OK = 0,
    PARE_EINTERNAL,    /**< a bug of pare's own */
    PARE_EINVAL,       /**< an option, configuration or argument of the caller's is wrong */
    PARE_ETARGET,      /**< ran, but a target was not met; the best so far was kept */
    PARE_EFORMAT,      /**< an input file is malformed or contradicts itself */
    PARE_EUNSUPPORTED, /**< an input is well formed but uses what pare does not know */
    PARE_EIO,          /**< missing file, permission, full disk, short read or write */
    PARE_ENOMEM,       /**< memory ran out */
    PARE_ELIMIT,       /**< a limit set against hostile input was reached */
    PARE_EMISMATCH,    /**< a verification found a difference beyond its tolerance */
    PARE_ECANCELLED    /**< the progress callback asked to stop; work so far is checkpointed */
} pare_status;

/** The sentence for the last failure on this thread; "" if there was none. Valid until the next
 * failure. */
PARE_API const char *pare_error(void);

/** "0.1.0" */
PARE_API const char *pare_version(void);

/** Severity of a log line. */
typedef enum pare_log_level { PARE_LOG_DEBUG, PARE_LOG_INFO, PARE_LOG_WARNING } pare_log_level;

/** Receives finished log lines, without a newline. May be called from any thread. */
typedef void pare_log_fn(void *user, pare_log_level level, const char *line);

/** Sends log lines of at least `least` to `fn` (NULL: to stderr). The default is warnings to
 * stderr. */
PARE_API void pare_log_to(pare_log_fn *fn, void *user, pare_log_level least);

/** Reports progress of long work.
 * @param stage  what is being done, a word or two ("retrain", "prune")
 * @param done   steps of this stage that are finished
 * @param total  steps of this stage
 * @param detail further figures in words ("loss 0.31, top-1 91.2 %"), or ""
 * @return false to cancel: the call checkpoints and returns PARE_ECANCELLED */
typedef bool pare_progress_fn(void *user, const char *stage, int64_t done, int64_t total,
                              const char *detail);

/** A progress callback and its context; fn may be NULL. */
typedef struct pare_progress {
    pare_progress_fn *fn; /**< NULL: silent */
    void *user;           /**< handed to fn */
} pare_progress;

PARE_END
#endif
