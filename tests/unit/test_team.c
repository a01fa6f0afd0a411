/* Loops of a team: every item once, thread numbers within bounds, nesting, several callers, uneven
 * items, processors. */
#define _GNU_SOURCE /* sched_setaffinity */
#include "base/team.h"

#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

enum { ITEMS = 500 };

typedef struct job {
    atomic_int done[ITEMS];
    atomic_int busy[64]; /* is this thread number in use? */
    int threads;
    atomic_int wrong;
} job;

static void item(void *user, size_t i, int thread)
{
    job *j = user;
    if (thread < 0 || thread >= j->threads || atomic_fetch_add(&j->busy[thread], 1) != 0)
        atomic_fetch_add(&j->wrong, 1);
    atomic_fetch_add(&j->done[i], 1);
    for (volatile int spin = 0; spin < (int)(i % 7) * 50; spin++) {
    }
    if (thread >= 0 && thread < j->threads) atomic_fetch_sub(&j->busy[thread], 1);
}

static void check(size_t count, int threads)
{
    job *j = calloc(1, sizeof *j);
    assert_non_null(j);
    j->threads = threads < 1 ? 1 : threads;
    pare_team_for(count, threads, item, j);
    for (size_t i = 0; i < ITEMS; i++)
        if (atomic_load(&j->done[i]) != (i < count))
            fail_msg("item %zu of %zu ran %d times", i, count, atomic_load(&j->done[i]));
    assert_int_equal(atomic_load(&j->wrong), 0);
    free(j);
}

static void test_every_item_once(void **state)
{
    (void)state;
    for (int round = 0; round < 200; round++)
        for (int threads = 0; threads <= 5; threads++) check((size_t)(round * 7 % ITEMS), threads);
}

typedef struct slow {
    atomic_int done;
    int count;
    bool alone; /* nobody else took the other items within some seconds */
} slow;

/* The first item waits for all others, half of which are dealt to the thread that it holds up. */
static void one_waits(void *user, size_t i, int thread)
{
    slow *s = user;
    (void)thread;
    time_t start = time(NULL);
    while (i == 0 && !s->alone && atomic_load(&s->done) < s->count - 1)
        s->alone = time(NULL) - start > 20;
    atomic_fetch_add(&s->done, 1);
}

static void test_items_of_a_slow_thread_are_taken(void **state)
{
    (void)state;
    for (int count = 2; count < 40; count++) {
        slow s = { .count = count };
        pare_team_for((size_t)count, 2, one_waits, &s);
        assert_int_equal(atomic_load(&s.done), count);
        assert_false(s.alone);
    }
}

static void nested(void *user, size_t i, int thread)
{
    job *j = user;
    pare_team_for(1, 4, item, j);
    (void)i;
    (void)thread;
}

static void test_nesting_is_a_plain_loop(void **state)
{
    (void)state;
    job *j = calloc(1, sizeof *j);
    assert_non_null(j);
    j->threads = 64;
    pare_team_for(20, 1, nested, j);
    assert_int_equal(atomic_load(&j->done[0]), 20);
    assert_int_equal(atomic_load(&j->wrong), 0);
    free(j);
}

static void *caller(void *unused)
{
    (void)unused;
    for (int round = 0; round < 100; round++) check(50, 3);
    return NULL;
}

static void test_two_callers(void **state)
{
    (void)state;
    pthread_t id[3];
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_create(&id[i], NULL, caller, NULL), 0);
    for (int i = 0; i < 3; i++) assert_int_equal(pthread_join(id[i], NULL), 0);
}

#ifdef __linux__
typedef struct homes {
    cpu_set_t one;
    atomic_int strays; /* items of workers that may run elsewhere */
} homes;

static void at_home(void *user, size_t i, int thread)
{
    homes *h = user;
    cpu_set_t may;
    (void)i;
    for (volatile int spin = 0; spin < 100000; spin++) {
    }
    if (thread > 0 && sched_getaffinity(0, sizeof may, &may) == 0 && !CPU_EQUAL(&may, &h->one))
        atomic_fetch_add(&h->strays, 1);
}

/* Workers stay where whoever hired them might run, whoever calls later. In a child, which has no
 * workers yet. */
static void test_workers_stay_home(void **state)
{
    (void)state;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        homes h = { .strays = 0 };
        cpu_set_t all;
        unsigned first = 0;
        if (sched_getaffinity(0, sizeof all, &all) != 0) _exit(0);
        while (first < CPU_SETSIZE - 1 && !CPU_ISSET(first, &all)) first++;
        CPU_ZERO(&h.one);
        CPU_SET(first, &h.one);
        for (int round = 0; round < 20; round++) { /* others call from round 1 on */
            sched_setaffinity(0, sizeof h.one, &h.one);
            if (round) sched_setaffinity(0, sizeof all, &all); /* but runs there still */
            pare_team_for(50, 2, at_home, &h);
            nanosleep(&(struct timespec){ .tv_nsec = 2000000 }, NULL); /* they sleep */
        }
        _exit(atomic_load(&h.strays) != 0);
    }
    int status = -1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
#ifdef __linux__
        cmocka_unit_test(test_workers_stay_home),
#endif
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_items_of_a_slow_thread_are_taken),
        cmocka_unit_test(test_nesting_is_a_plain_loop),
        cmocka_unit_test(test_two_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
