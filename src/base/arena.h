/* An arena: many small allocations that are freed together. Not for tensors, which are shared. */
#ifndef BASE_ARENA_H
#define BASE_ARENA_H

#include <stddef.h>

typedef struct pare_arena pare_arena;

/* `budget`: bytes that may be handed out in total, 0 for no bound. NULL if memory ran out. */
pare_arena *pare_arena_new(size_t budget);
/* Drops a share; the last one frees everything. NULL is fine. */
void pare_arena_free(pare_arena *a);
/* Another share: what was handed out so far stays valid until it, too, is freed. */
pare_arena *pare_arena_share(pare_arena *a);
/* Keeps `base` alive as long as `a`; takes over the share of `base`. At most one base. */
void pare_arena_rest_on(pare_arena *a, pare_arena *base);

/* Zeroed, 16-byte aligned. NULL if memory or the budget ran out; a size of 0 gives a valid pointer.
 */
void *pare_arena_alloc(pare_arena *a, size_t size);
/* count * size with a check against overflow. */
void *pare_arena_array(pare_arena *a, size_t count, size_t size);
/* Copies; NULL if out of memory. `n` bytes of `s` plus a terminating 0. */
char *pare_arena_strn(pare_arena *a, const char *s, size_t n);
char *pare_arena_str(pare_arena *a, const char *s);
void *pare_arena_copy(pare_arena *a, const void *p, size_t size);

/* Did an allocation fail because of the budget (and not because memory ran out)? */
int pare_arena_over_budget(const pare_arena *a);
size_t pare_arena_used(const pare_arena *a);

#endif
