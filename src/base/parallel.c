/* Two backends: OpenMP, and plain pthreads for the thread sanitizer, which cannot see gcc's OpenMP
 * runtime's locks. */
#define _GNU_SOURCE /* CPU_COUNT, sched_getaffinity */
#include "base/parallel.h"

#include <sched.h>

int pare_cpu_count(void)
{
    cpu_set_t set;
    if (sched_getaffinity(0, sizeof set, &set) != 0) return 1;
    int n = CPU_COUNT(&set);
    return n > 0 ? n : 1;
}

#ifdef _OPENMP
#include <omp.h>

void pare_parallel_for(size_t count, int threads, pare_parallel_fn *fn, void *user)
{
    if ((size_t)threads > count && threads > 0) threads = (int)count;
    if (threads <= 1 || omp_in_parallel()) {
        for (size_t i = 0; i < count; i++) fn(user, i, 0);
        return;
    }
#pragma omp parallel num_threads(threads)
    {
        int t = omp_get_thread_num();
#pragma omp for schedule(dynamic, 1)
        for (size_t i = 0; i < count; i++) fn(user, i, t);
    }
}

#else
#include <pthread.h>
#include <stdatomic.h>

typedef struct team {
    atomic_size_t next;
    size_t count;
    pare_parallel_fn *fn;
    void *user;
} team;

typedef struct member {
    team *team;
    int thread;
} member;

static _Thread_local int inside;

static void *work(void *arg)
{
    member *m = arg;
    inside = 1;
    for (size_t i; (i = atomic_fetch_add(&m->team->next, 1)) < m->team->count;)
        m->team->fn(m->team->user, i, m->thread);
    inside = 0;
    return NULL;
}

void pare_parallel_for(size_t count, int threads, pare_parallel_fn *fn, void *user)
{
    enum { MOST = 64 };
    if (threads > MOST) threads = MOST;
    if ((size_t)threads > count && threads > 0) threads = (int)count;
    if (threads <= 1 || inside) {
        for (size_t i = 0; i < count; i++) fn(user, i, 0);
        return;
    }
    team t = { .count = count, .fn = fn, .user = user };
    pthread_t id[MOST];
    member m[MOST];
    int started = 1;
    for (int i = 0; i < threads; i++) m[i] = (member){ &t, i };
    for (int i = 1; i < threads; i++) {
        if (pthread_create(&id[i], NULL, work, &m[i]) != 0) break;
        started++;
    }
    work(&m[0]);
    for (int i = 1; i < started; i++) pthread_join(id[i], NULL);
}
#endif
