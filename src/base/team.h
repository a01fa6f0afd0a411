/* Short loops over independent items, for running networks: a layer may take ten microseconds.
 *
 * The same contract as pare_parallel_for, other costs. The calling thread never waits for a worker
 * that has not begun an item: if workers are slow to come (the machine is busy), it does the work
 * itself. Workers watch for work for some tens of microseconds before they sleep. Training stays
 * with pare_parallel_for, whose threads oneDNN uses too. */
#ifndef BASE_TEAM_H
#define BASE_TEAM_H

#include "base/parallel.h"

/* Runs fn(user, i, t) for every i < count, t < threads. An ordinary loop with t = 0 when threads <=
 * 1, inside another such loop, while another thread's loop has the team, or when no thread can be
 * started. */
void pare_team_for(size_t count, int threads, pare_parallel_fn *fn, void *user);

#endif
