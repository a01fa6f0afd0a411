/* Loops of a team: every item once, thread numbers within bounds, nesting, several callers, uneven
 * items. */
#include "base/team.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_item_once),
        cmocka_unit_test(test_nesting_is_a_plain_loop),
        cmocka_unit_test(test_two_callers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
