/* Makes the n-th allocation of a test fail, for every n in turn. Include it in exactly one file of
 * a test program: tests/CMakeLists.txt sees the include and lets the linker wrap malloc and its
 * relatives in all of libpare. Leaks on the error paths are found by the address sanitizer's leak
 * check at exit. */
#ifndef TESTS_ALLOC_FAIL_H
#define TESTS_ALLOC_FAIL_H

#include "pare/base.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>

#include <cmocka.h>

void *__real_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__real_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **p, size_t align, size_t size);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);

static struct {
    atomic_long at, count; /* the allocation that fails, 0 for none; those made so far */
    atomic_bool on;        /* and all after it */
} alloc_fail;

static int alloc_fails(void)
{
    long n = atomic_fetch_add(&alloc_fail.count, 1) + 1, at = atomic_load(&alloc_fail.at);
    return at && (n == at || (n > at && atomic_load(&alloc_fail.on)));
}

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
void *__wrap_malloc(size_t size) { return alloc_fails() ? NULL : __real_malloc(size); }
void *__wrap_calloc(size_t n, size_t size) { return alloc_fails() ? NULL : __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size)
{
    return alloc_fails() ? NULL : __real_realloc(p, size);
}
void *__wrap_aligned_alloc(size_t align, size_t size)
{
    return alloc_fails() ? NULL : __real_aligned_alloc(align, size);
}

int __wrap_posix_memalign(void **p, size_t align, size_t size);
int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
    return alloc_fails() ? ENOMEM : __real_posix_memalign(p, align, size);
}

char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);
char *__wrap_strdup(const char *s) { return alloc_fails() ? NULL : __real_strdup(s); }
char *__wrap_strndup(const char *s, size_t n)
{
    return alloc_fails() ? NULL : __real_strndup(s, n);
}

/* Counts from now on; allocation `at` fails (0: none), and with `on` every later one too. */
static inline void alloc_fail_set(long at, int on)
{
    atomic_store(&alloc_fail.at, at);
    atomic_store(&alloc_fail.on, on != 0);
    atomic_store(&alloc_fail.count, 0);
}
static inline long alloc_fail_count(void) { return atomic_load(&alloc_fail.count); }

/* Runs `attempt` with its first, second, ... allocation failing, until it gets by without reaching
 * the one that would. Each attempt must succeed or say PARE_ENOMEM, and free what it got. Returns
 * the number of attempts. */
static inline long alloc_fail_each(const char *what, pare_status (*attempt)(void *user), void *user)
{
    long attempts = 0;
    for (int on = 0; on < 2; on++)
        for (long n = 1;; n++) {
            alloc_fail_set(n, on);
            pare_status st = attempt(user);
            long made = alloc_fail_count();
            alloc_fail_set(0, 0);
            attempts++;
            if (made < n && st != PARE_OK)
                fail_msg("%s fails without any failing allocation: %s", what, pare_error());
            if (made < n) break;
            if (st != PARE_OK && st != PARE_ENOMEM)
                fail_msg("%s, allocation %ld%s: status %d '%s'", what, n, on ? " and later" : "",
                         (int)st, pare_error());
        }
    return attempts;
}

#endif
