/* Every allocation of loading, saving, checking and counting a model fails once: PARE_ENOMEM, and
 * nothing leaks. */
#include "alloc_fail.h"
#include "onnx_seeds.h"

#include <stdio.h>

typedef struct job {
    const uint8_t *bytes;
    size_t size;
} job;

static pare_status load_and_save(void *user)
{
    const job *j = user;
    pare_graph *g = NULL;
    uint8_t *bytes = NULL;
    size_t size;
    PARE_TRY(pare_model_load_memory(j->bytes, j->size, "m.onnx", &g));
    pare_status st = pare_onnx_write(g, &bytes, &size);
    free(bytes);
    pare_graph_free(g);
    return st;
}

static pare_status go_on(void *user, const char *node, const char *op, const char *remedy)
{
    return PARE_OK;
}

static pare_status check_and_count(void *user)
{
    const job *j = user;
    static const pare_onnx_sink sink = { go_on, NULL };
    static const pare_shape shape = { "x", 4, { 1, 2, 8, 4 } };
    pare_graph *g = NULL;
    pare_info info;
    PARE_TRY(pare_onnx_read(j->bytes, j->size, "m.onnx", NULL, (pare_onnx_shapes){ NULL, 0 }, &sink,
                            &g));
    pare_status st = pare_model_info(g, 1, g->value[g->input[0]].type.dim[2] < 0 ? &shape : NULL,
                                     g->value[g->input[0]].type.dim[2] < 0, &info);
    if (st == PARE_OK) pare_info_free(&info);
    pare_graph_free(g);
    return st;
}

static void test_every_allocation(void **state)
{
    (void)state;
    for (int seed = 0; seed < SEED_COUNT; seed++) {
        make m;
        job j;
        j.bytes = seed_bytes(seed, &m, &j.size);
        assert_non_null(j.bytes);
        char what[32];
        snprintf(what, sizeof what, "load of seed %d", seed);
        long n = alloc_fail_each(what, load_and_save, &j);
        assert_true(n > 40);
        snprintf(what, sizeof what, "check of seed %d", seed);
        n = alloc_fail_each(what, check_and_count, &j);
        assert_true(n > 40);
        make_free(&m);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_allocation) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
