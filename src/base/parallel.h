/* Loops over independent items. The only user of OpenMP.
 *
 * Work is cut by the caller into `count` items by size, never by the number of threads, and an item
 * never depends on which thread runs it: so results are bitwise the same for any number of threads.
 */
#ifndef BASE_PARALLEL_H
#define BASE_PARALLEL_H

#include <stddef.h>

typedef void pare_parallel_fn(void *user, size_t item, int thread);

/* Runs fn(user, i, t) for every i < count; t < threads tells which thread, for scratch memory. fn
 * must not fail. threads <= 1, or a call from inside another one: an ordinary loop with t = 0. */
void pare_parallel_for(size_t count, int threads, pare_parallel_fn *fn, void *user);

/* Processors this process may use; at least 1. */
int pare_cpu_count(void);

#endif
