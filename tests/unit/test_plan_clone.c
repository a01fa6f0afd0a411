/* Clones of a plan: requests of several threads at once give the bytes of one alone, and the packed
 * weights are there once. Weights are freed while they are packed. */
#define _GNU_SOURCE /* mallinfo2 */
#include "codecs/bitmap.h"
#include "pare/plan.h"
#include "support/build.h"

#include <malloc.h>
#include <pthread.h>

enum { CLONES = 4, REQUESTS = 12, INPUTS = 3 };

/* Two convolutions that read one weight, an encoded one, a constant operand that no step packs, and
 * matrix products: what packing has to tell apart. */
static pare_graph *network(void)
{
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, 2, 16, 12, 12));
    pare_id w = add_random(g, "w", f32_type(4, 16, 16, 3, 3), 1);
    pare_id y = add_node(g, "Conv", "pads=1/1/1/1", "conv1", 2, x, w);
    y = add_node(g, "Relu", "", "relu1", 1, y);
    y = add_node(g, "Conv", "pads=1/1/1/1", "conv2", 2, y, w);
    pare_type t = f32_type(4, 24, 16, 3, 3);
    pare_tensor k = random_tensor(t, 3);
    pare_weight coded;
    pare_id v;
    OK(pare_bitmap_encode(&t, k.data, NULL, &coded));
    OK(pare_graph_add_constant(g, "coded", coded, &v));
    pare_tensor_free(&k);
    y = add_node(g, "Conv", "pads=1/1/1/1,strides=2/2", "conv3", 2, y, v);
    y = add_node(g, "Mul", "", "mul", 2, y, add_random(g, "m", f32_type(4, 2, 24, 6, 6), 5));
    y = add_node(g, "MaxPool", "kernel_shape=2/2,strides=2/2", "pool", 1, y);
    y = add_node(g, "Flatten", "", "flatten", 1, y);
    y = add_node(g, "Gemm", "", "gemm", 2, y, add_random(g, "f", f32_type(2, 216, 512), 4));
    y = add_node(g, "Gemm", "", "gemm2", 2, y, add_random(g, "f2", f32_type(2, 512, 10), 4));
    OK(pare_graph_mark_output(g, y));
    return g;
}

static pare_tensor input[INPUTS], want[INPUTS];

static pare_tensor answer(pare_plan *p, int which)
{
    pare_tensor out;
    OK(pare_tensor_of(&(pare_type){ PARE_F32, 2, { 2, 10 } }, &out));
    OK(pare_plan_run(p, &input[which], &out));
    return out;
}

typedef struct client {
    pare_plan *plan;
    int first, wrong;
} client;

static void *requests(void *user)
{
    client *c = user;
    pare_tensor out;
    if (pare_tensor_of(&(pare_type){ PARE_F32, 2, { 2, 10 } }, &out) != PARE_OK) return NULL;
    for (int r = 0; r < REQUESTS; r++) {
        int which = (c->first + r) % INPUTS;
        memset(out.data, 0xee, pare_tensor_bytes(&out));
        if (pare_plan_run(c->plan, &input[which], &out) != PARE_OK ||
            memcmp(out.data, want[which].data, pare_tensor_bytes(&out)) != 0)
            c->wrong++;
    }
    pare_tensor_free(&out);
    return NULL;
}

static void test_requests_at_once(void **state)
{
    (void)state;
    pare_graph *g = network();
    for (int threads = 1; threads <= 3; threads++) {
        pare_plan *plan;
        OK(pare_plan_create(g, &(pare_plan_options){ .threads = threads }, &plan));
        for (int i = 0; i < INPUTS; i++) want[i] = answer(plan, i);
        client c[CLONES] = { { .plan = plan } };
        pthread_t id[CLONES];
        for (int i = 0; i < CLONES; i++) {
            c[i].first = i;
            if (i) OK(pare_plan_clone(c[i - 1].plan, &c[i].plan)); /* clones of clones */
        }
        for (int i = 0; i < CLONES; i++)
            assert_int_equal(pthread_create(&id[i], NULL, requests, &c[i]), 0);
        for (int i = 0; i < CLONES; i++) pthread_join(id[i], NULL);
        for (int i = 0; i < CLONES; i++) assert_int_equal(c[i].wrong, 0);
        /* What is shared lives as long as the last of them, in whatever order they go. */
        for (int i = 0; i < CLONES - 1; i++) pare_plan_free(c[i].plan);
        pare_tensor last = answer(c[CLONES - 1].plan, 1);
        assert_memory_equal(last.data, want[1].data, pare_tensor_bytes(&last));
        pare_tensor_free(&last);
        pare_plan_free(c[CLONES - 1].plan);
        for (int i = 0; i < INPUTS; i++) pare_tensor_free(&want[i]);
    }
    pare_graph_free(g);
}

static size_t in_use(void)
{
    struct mallinfo2 m = mallinfo2();
    return m.uordblks + m.hblkhd;
}

static void test_weights_are_shared(void **state)
{
    (void)state;
    pare_graph *g = network();
    pare_plan *plan, *clone;
    OK(pare_plan_create(g, &(pare_plan_options){ .threads = 1 }, &plan));
    pare_plan_memory a, b;
    pare_plan_memory_use(plan, &a);
    size_t before = in_use();
    OK(pare_plan_clone(plan, &clone));
    size_t grown = in_use() - before;
    pare_plan_memory_use(clone, &b);
    assert_true(a.weights > 216 * 512 * sizeof(float) && b.weights == a.weights);
    assert_true(grown < a.weights / 2 + a.activations + a.scratch);
    pare_plan_free(plan);
    pare_plan_free(clone);
    pare_graph_free(g);
}

/* The same results, and the memory of the stored weights is gone. */
static void test_take(void **state)
{
    (void)state;
    for (int threads = 1; threads <= 3; threads++) {
        pare_graph *g = network();
        pare_plan *plan, *taker;
        pare_plan_options o = { .threads = threads };
        OK(pare_plan_create(g, &o, &plan));
        pare_tensor kept[2] = { pare_tensor_ref(&g->value[pare_graph_find(g, "w")].weight->part[0]),
                                pare_tensor_ref(
                                    &g->value[pare_graph_find(g, "m")].weight->part[0]) };
        OK(pare_plan_take(g, &o, &taker));
        pare_tensor a = answer(plan, 0), b = answer(taker, 0);
        assert_memory_equal(a.data, b.data, pare_tensor_bytes(&a));
        /* Of the packed weight only this share is left, so it may be written; the other is read. */
        void *w = kept[0].data, *m = kept[1].data;
        pare_plan_free(plan);
        OK(pare_tensor_writable(&kept[0]));
        OK(pare_tensor_writable(&kept[1]));
        assert_ptr_equal(kept[0].data, w);
        assert_ptr_not_equal(kept[1].data, m);
        for (int i = 0; i < 2; i++) pare_tensor_free(&kept[i]);
        pare_tensor_free(&a);
        pare_tensor_free(&b);
        pare_plan_free(taker);
    }
    pare_graph *g = network(); /* freed on error too */
    pare_plan *plan;
    assert_int_equal(pare_plan_take(g, &(pare_plan_options){ .threads = -1 }, &plan), PARE_EINVAL);
}

int main(void)
{
    for (int i = 0; i < INPUTS; i++)
        input[i] = random_tensor(f32_type(4, 2, 16, 12, 12), 100 + (uint64_t)i);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_requests_at_once),
        cmocka_unit_test(test_weights_are_shared),
        cmocka_unit_test(test_take),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    for (int i = 0; i < INPUTS; i++) pare_tensor_free(&input[i]);
    return failed;
}
