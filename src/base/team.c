/* One team of threads for the process. A job is opened by a single atomic word that also counts who
 * is inside; workers join by incrementing it, so nobody reads the job of a closed one.
 *
 * Every thread has a stretch of the items, which it takes from the front; who has finished takes
 * the last items of others. The stretches are the same for the same loop every time: what a thread
 * has written, and weights that it has read in the run before, is in its own caches when the next
 * step asks for it. */
#define _GNU_SOURCE /* processors of a thread; pthread_atfork under strict ISO */
#include "base/team.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

enum { MOST = 256, SPINS = 3000 }; /* of some 15 to 40 ns each */

/* state: [generation : 32][open : 1][workers inside : 31] */
#define OPEN       (UINT64_C(1) << 31)
#define GENERATION (UINT64_C(1) << 32)

static struct {
    pthread_mutex_t owner; /* held while a loop runs */
    pthread_t id[MOST];
    int workers; /* started; changed under `owner` */
#ifdef __linux__
    cpu_set_t home[MOST]; /* where each might run when it was hired */
    int avoids[MOST];     /* the processor of those that it was told to leave; -1: none */
#endif
    _Alignas(64) _Atomic uint64_t state;
    /* The job: written before it is opened, constant while anybody is inside. */
    size_t count;
    int threads;
    pare_parallel_fn *fn;
    void *user;
    size_t each; /* items in a bundle */
    struct {
        _Alignas(64) _Atomic uint64_t left; /* [end : 32][next : 32], numbers of bundles */
    } stretch[MOST + 1];
    /* Sleeping */
    _Alignas(64) atomic_int sleeping;
    pthread_mutex_t door;
    pthread_cond_t bell;
    bool leave; /* under `door` */
} team = { .owner = PTHREAD_MUTEX_INITIALIZER,
           .door = PTHREAD_MUTEX_INITIALIZER,
           .bell = PTHREAD_COND_INITIALIZER };

static _Thread_local bool inside;

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#endif
}

/* Takes the first bundle of a stretch, or the last. False: none is left. */
static bool take(int of, bool first, size_t *bundle)
{
    _Atomic uint64_t *left = &team.stretch[of].left;
    uint64_t was = atomic_load_explicit(left, memory_order_relaxed), next, end;
    do {
        next = was & UINT32_MAX, end = was >> 32;
        if (next >= end) return false;
    } while (!atomic_compare_exchange_weak_explicit(left, &was,
                                                    first ? was + 1 : was - (UINT64_C(1) << 32),
                                                    memory_order_relaxed, memory_order_relaxed));
    *bundle = (size_t)(first ? next : end - 1);
    return true;
}

static void work(int thread)
{
    size_t bundle;
    for (int i = 0; i < team.threads; i++) {
        int of = (thread + i) % team.threads;
        while (take(of, i == 0, &bundle)) {
            size_t at = bundle * team.each, left = team.count - at;
            for (size_t end = at + (left < team.each ? left : team.each); at < end; at++)
                team.fn(team.user, at, thread);
        }
    }
}

/* Deals the items out. */
static void deal(size_t count, int threads)
{
    team.each = count / UINT32_MAX + 1;
    uint64_t bundles = (count + team.each - 1) / team.each, n = (uint64_t)threads, from = 0;
    for (uint64_t t = 0; t < n; t++) {
        uint64_t to = bundles * (t + 1) / n;
        atomic_store_explicit(&team.stretch[t].left, to << 32 | from, memory_order_relaxed);
        from = to;
    }
}

/* Is there an open job of another generation than `seen`? */
static bool news(uint64_t state, uint64_t seen)
{
    return (state & OPEN) && state / GENERATION != seen;
}

/* Worker `worker` is thread worker + 1 of every job that has so many. */
static void join(int worker, uint64_t *seen)
{
    uint64_t state = atomic_load_explicit(&team.state, memory_order_acquire);
    while (news(state, *seen)) {
        if (!atomic_compare_exchange_weak_explicit(&team.state, &state, state + 1,
                                                   memory_order_acquire, memory_order_acquire))
            continue;
        *seen = state / GENERATION;
        if (worker + 1 < team.threads) work(worker + 1);
        atomic_fetch_sub_explicit(&team.state, 1, memory_order_release);
        return;
    }
}

/* false: the process ends. */
static bool await(uint64_t seen)
{
    for (int i = 0; i < SPINS; i++) {
        if (news(atomic_load_explicit(&team.state, memory_order_relaxed), seen)) return true;
        relax();
    }
    pthread_mutex_lock(&team.door);
    atomic_fetch_add(&team.sleeping, 1);
    while (!team.leave && !news(atomic_load(&team.state), seen))
        pthread_cond_wait(&team.bell, &team.door);
    atomic_fetch_sub(&team.sleeping, 1);
    bool stay = !team.leave;
    pthread_mutex_unlock(&team.door);
    return stay;
}

static void *life(void *worker)
{
    inside = true; /* loops within items are ordinary ones */
    for (uint64_t seen = UINT64_MAX; await(seen);) join((int)(intptr_t)worker, &seen);
    return NULL;
}

/* A forked child has none of the threads. */
static void forget(void)
{
    team.workers = 0;
    atomic_store(&team.state, 0);
    atomic_store(&team.sleeping, 0);
    pthread_mutex_init(&team.owner, NULL);
    pthread_mutex_init(&team.door, NULL);
    pthread_cond_init(&team.bell, NULL);
}

/* Starts threads until there are `want`. Fewer is no error: the loop runs on what there is. */
static void hire(int want)
{
    static bool prepared;
    if (!prepared) prepared = pthread_atfork(NULL, NULL, forget) == 0;
    while (team.workers < want && pthread_create(&team.id[team.workers], NULL, life,
                                                 (void *)(intptr_t)team.workers) == 0) {
#ifdef __linux__
        int i = team.workers;
        if (pthread_getaffinity_np(team.id[i], sizeof team.home[i], &team.home[i]) != 0)
            CPU_ZERO(&team.home[i]);
        team.avoids[i] = -1;
#endif
        team.workers++;
    }
}

/* Keeps the workers off the caller's processor, where enough others are left. A thread that wakes
 * after some milliseconds is often put where the waking thread runs, and two threads then share one
 * processor for the whole network: a run on 2 threads took longer than on one. Never beyond where a
 * worker might run when it was hired, and the next caller finds it free to run there again. */
static void make_way(int threads)
{
#ifdef __linux__
    int here = sched_getcpu();
    for (int i = 0; i < team.workers; i++) {
        cpu_set_t may = team.home[i];
        bool leave = here >= 0 && here < CPU_SETSIZE && CPU_ISSET((size_t)here, &may) &&
                     CPU_COUNT(&may) >= threads;
        int avoids = leave ? here : -1;
        if (avoids == team.avoids[i]) continue;
        if (leave) CPU_CLR((size_t)here, &may);
        if (pthread_setaffinity_np(team.id[i], sizeof may, &may) == 0) team.avoids[i] = avoids;
    }
#else
    (void)threads;
#endif
}

/* Before the library goes, so do its threads. */
__attribute__((destructor)) static void dismiss(void)
{
    pthread_mutex_lock(&team.door);
    team.leave = true;
    pthread_cond_broadcast(&team.bell);
    pthread_mutex_unlock(&team.door);
    for (int i = 0; i < team.workers; i++) pthread_join(team.id[i], NULL);
    team.workers = 0;
}

void pare_team_for(size_t count, int threads, pare_parallel_fn *fn, void *user)
{
    if (threads <= 1 || count <= 1 || inside || pthread_mutex_trylock(&team.owner) != 0) {
        for (size_t i = 0; i < count; i++) fn(user, i, 0);
        return;
    }
    inside = true;
    if (threads > MOST + 1) threads = MOST + 1;
    if (team.workers < threads - 1) hire(threads - 1);
    team.count = count;
    team.threads = threads;
    team.fn = fn;
    team.user = user;
    deal(count, threads);
    uint64_t state = atomic_load(&team.state);
    atomic_store(&team.state, (state / GENERATION + 1) * GENERATION | OPEN);
    if (atomic_load(&team.sleeping) > 0) {
        make_way(threads);
        pthread_mutex_lock(&team.door);
        pthread_cond_broadcast(&team.bell);
        pthread_mutex_unlock(&team.door);
    }
    work(0);
    atomic_fetch_and(&team.state, ~OPEN);
    for (int i = 0; (atomic_load_explicit(&team.state, memory_order_acquire) & (OPEN - 1)) != 0;
         i++) {
        if (i < SPINS)
            relax();
        else
            sched_yield();
    }
    inside = false;
    pthread_mutex_unlock(&team.owner);
}
