/* Planning never holds the dense forms of all encoded weights at once. */
#include "codecs/bitmap.h"
#include "pare/plan.h"
#include "support/build.h"

#include <malloc.h>
#include <stdatomic.h>

void *__real_aligned_alloc(size_t align, size_t size);
void *__wrap_aligned_alloc(size_t align, size_t size);
int __real_posix_memalign(void **p, size_t align, size_t size);
int __wrap_posix_memalign(void **p, size_t align, size_t size);
void *__real_malloc(size_t size);
void *__wrap_malloc(size_t size);
void *__real_calloc(size_t n, size_t size);
void *__wrap_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t size);
void *__wrap_realloc(void *p, size_t size);
char *__real_strdup(const char *s);
char *__wrap_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
char *__wrap_strndup(const char *s, size_t n);

static atomic_size_t peak; /* bytes in use whenever something large was asked for */

static void note(size_t size)
{
    if (size < 1 << 16) return;
    struct mallinfo2 m = mallinfo2();
    if (m.uordblks + m.hblkhd > atomic_load(&peak)) atomic_store(&peak, m.uordblks + m.hblkhd);
}
void *__wrap_aligned_alloc(size_t align, size_t size)
{
    void *p = __real_aligned_alloc(align, size);
    note(size);
    return p;
}
int __wrap_posix_memalign(void **p, size_t align, size_t size)
{
    int e = __real_posix_memalign(p, align, size);
    note(size);
    return e;
}
void *__wrap_malloc(size_t size)
{
    void *p = __real_malloc(size);
    note(size);
    return p;
}
void *__wrap_calloc(size_t n, size_t size) { return __real_calloc(n, size); }
void *__wrap_realloc(void *p, size_t size) { return __real_realloc(p, size); }
char *__wrap_strdup(const char *s) { return __real_strdup(s); }
char *__wrap_strndup(const char *s, size_t n) { return __real_strndup(s, n); }

enum { LAYERS = 12, N = 512 };

static void test_not_all_at_once(void **state)
{
    (void)state;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type t = f32_type(2, N, N);
    pare_id x = add_input(g, "x", f32_type(2, 1, N));
    for (int i = 0; i < LAYERS; i++) {
        pare_tensor w = random_tensor(t, (uint64_t)i);
        for (int k = 0; k < N * N; k++)
            if (k % 32) ((float *)w.data)[k] = 0;
        pare_weight coded;
        pare_id v;
        OK(pare_bitmap_encode(&t, w.data, NULL, &coded));
        OK(pare_graph_add_constant(g, pare_graph_unique(g, "w"), coded, &v));
        pare_tensor_free(&w);
        x = add_node(g, "Gemm", "", "fc", 2, x, v);
    }
    OK(pare_graph_mark_output(g, x));
    struct mallinfo2 m = mallinfo2();
    size_t before = m.uordblks + m.hblkhd, dense = N * N * sizeof(float);
    atomic_store(&peak, before);
    pare_plan *plan;
    OK(pare_plan_take(g, &(pare_plan_options){ .threads = 1 }, &plan));
    pare_step_info info;
    pare_plan_step(plan, 0, &info);
    assert_string_equal(info.impl, "gemm_sparse");
    if (atomic_load(&peak) - before > LAYERS * dense / 2)
        fail_msg("%zu bytes more at the peak, %zu of one layer", atomic_load(&peak) - before,
                 dense);
    pare_plan_free(plan);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_not_all_at_once) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
