/* Every instruction set's table look-up kernels give exactly what the plain ones give, and touch
 * nothing beyond what they say. */
#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/kernels.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 128, MARK = 0xa5 };

static uint8_t *guarded(size_t n)
{
    uint8_t *x = aligned_alloc(64, (n + 2 * GUARD + 63) / 64 * 64);
    assert_non_null(x);
    memset(x, MARK, n + 2 * GUARD);
    return x + GUARD;
}
static void compare(uint8_t *got, uint8_t *want, size_t n, const char *what)
{
    for (ptrdiff_t i = -GUARD; i < (ptrdiff_t)n + GUARD; i++) {
        if (got[i] != want[i])
            fail_msg("%s: byte %td of %zu is %d instead of %d", what, i, n, got[i], want[i]);
        if ((i < 0 || i >= (ptrdiff_t)n) && got[i] != MARK)
            fail_msg("%s: byte %td of %zu is touched", what, i, n);
    }
    free(got - GUARD);
    free(want - GUARD);
}

static void each_isa(void (*check)(const pare_kernels *k, uint64_t seed), uint64_t seeds)
{
    unsigned cpu = pare_cpu_detect();
    for (unsigned mask = 0; mask <= cpu; mask++) {
        if (mask & ~cpu) continue;
        pare_kernels k;
        pare_kernels_init(&k, mask);
        for (uint64_t seed = 1; k.lowbit_span && seed <= seeds; seed++) check(&k, seed);
    }
}

static void check_tables(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 21);
    size_t vl = k->vl, pixels = pare_rng_below(&rng, 20), channels = 1 + pare_rng_below(&rng, 70),
           blocks = (channels + vl - 1) / vl,
           groups = (channels + k->lowbit_span - 1) / k->lowbit_span,
           step = (blocks * vl > groups * k->lowbit_span ? blocks * vl : groups * k->lowbit_span);
    step = (step + 23) / 24 * 24;
    uint8_t lo = (uint8_t)pare_rng_below(&rng, 256);
    char what[100];
    snprintf(what, sizeof what, "%s %zu pixels, %zu channels seed=%llu", k->isa, pixels, channels,
             (unsigned long long)seed);
    uint8_t *x = malloc(pixels * vl + 1), *codes = calloc(pixels * step + PARE_LOWBIT_SLACK, 1);
    assert_true(x && codes);
    for (size_t b = 0; b < blocks; b++) {
        size_t left = channels - b * vl < vl ? channels - b * vl : vl;
        for (size_t i = 0; i < pixels * vl; i++) /* lanes beyond the channels hold anything */
            x[i] = (uint8_t)(i % vl < left ? lo + pare_rng_below(&rng, 16)
                                           : pare_rng_below(&rng, 256));
        size_t n = pixels ? (pixels - 1) * step + vl : 0;
        uint8_t *got = guarded(n), *want = guarded(n);
        pare_lowbit_codes_c(vl, pixels, x, left, lo, want, step);
        k->lowbit_codes(vl, pixels, x, left, lo, got, step);
        for (size_t p = 0; p < pixels; p++) memcpy(codes + p * step + b * vl, want + p * step, vl);
        compare(got, want, n, what);
    }
    size_t bytes = pixels * groups << k->lowbit_span;
    uint8_t *got = guarded(bytes), *want = guarded(bytes);
    int32_t sum[32], should[32];
    pare_lowbit_tables t = { k->lowbit_span, pixels, groups, codes, step, want, should };
    pare_lowbit_tables_c(&t);
    t.table = got, t.sum = sum;
    k->lowbit_tables(&t);
    compare(got, want, bytes, what);
    assert_memory_equal(sum, should, pixels * sizeof *sum);

    uint32_t tap[4] = { 0, 3, 17, 40 };
    int32_t numbers[200];
    for (int i = 0; i < 200; i++) numbers[i] = (int32_t)pare_rng_below(&rng, 1000);
    size_t n = pare_rng_below(&rng, 40), stride = 1 + seed % 3, size = n * sizeof(int32_t);
    got = guarded(size), want = guarded(size);
    pare_lowbit_box_c(n, numbers, stride, tap, 4, (int32_t *)(void *)want);
    k->lowbit_box(n, numbers, stride, tap, 4, (int32_t *)(void *)got);
    compare(got, want, size, what);
    free(x);
    free(codes);
}
static void test_tables(void **state)
{
    (void)state;
    each_isa(check_tables, 100);
}

static int32_t *random_ints(size_t n, int32_t least, uint32_t range, pare_rng *rng)
{
    int32_t *x = malloc((n + 1) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = least + (int32_t)pare_rng_below(rng, range);
    return x;
}

static void check_conv(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 22);
    size_t vl = k->vl, span = k->lowbit_span, pixels = pare_rng_below(&rng, 40),
           vectors = 1 + pare_rng_below(&rng, 2), steps = 1 + pare_rng_below(&rng, 60),
           most = 1 + pare_rng_below(&rng, PARE_LOWBIT_MOST), rows = vectors * 4 * vl,
           blocks = 4 * vectors - pare_rng_below(&rng, 4), tables = 64, w_bytes = steps * 4 * vl;
    uint8_t *table = aligned_alloc(64, tables << span), *w = malloc(vectors * w_bytes);
    uint32_t pixel[40], place[40], at[60];
    assert_true(table && w);
    for (size_t i = 0; i < tables << span; i++)
        table[i] = (uint8_t)pare_rng_below(&rng, (uint32_t)(span * most + 1));
    for (size_t i = 0; i < vectors * w_bytes; i++) w[i] = (uint8_t)pare_rng_below(&rng, 1u << span);
    for (size_t p = 0; p < pixels; p++) {
        pixel[p] = (uint32_t)(pare_rng_below(&rng, 32) << span);
        place[p] = (uint32_t)(pixels - 1 - p);
    }
    for (size_t s = 0; s < steps; s++) at[s] = (uint32_t)(pare_rng_below(&rng, 32) << span);
    int32_t *alpha = random_ints(rows, 1, 9, &rng), *beta = random_ints(rows, -20, 40, &rng),
            *bias = random_ints(rows, -1000, 2000, &rng), *box = random_ints(pixels, 0, 500, &rng);
    float *scale = malloc(rows * sizeof *scale);
    assert_non_null(scale);
    for (size_t r = 0; r < rows; r++)
        scale[r] = r == 5 ? NAN : (float)pare_rng_uniform(&rng) * 0.03f;
    size_t partials = pixels * rows * sizeof(int32_t);
    pare_lowbit_conv c = {
        .vl = vl,
        .span = span,
        .table = table,
        .pixels = pixels,
        .pixel = pixel,
        .place = place,
        .at = at,
        .steps = steps,
        .byte_steps = 255 / (span * most),
        .vectors = vectors,
        .w = w,
        .w_step = w_bytes,
        .shift = seed % 2,
        .blocks = blocks,
        .alpha = alpha,
        .beta = beta,
        .box = seed % 3 ? box : NULL,
        .finish = { .bias = bias, .scale = scale, .lo = -20, .hi = 90, .zero = 20 },
        .y_block = pixels * vl
    };
    for (int form = 0; form < 4; form++) { /* a first part, a part between, the last, sums */
        char what[160];
        snprintf(what, sizeof what,
                 "lowbit_conv/%s %zu pixels, %zu blocks, %zu steps, form %d seed=%llu", k->isa,
                 pixels, blocks, steps, form, (unsigned long long)seed);
        size_t n = blocks * pixels * vl * (form == 3 ? 4 : 1);
        uint8_t *got = guarded(n), *want = guarded(n), *mine = guarded(partials),
                *plain = guarded(partials);
        for (size_t i = 0; form && i < partials / sizeof(int32_t); i++)
            ((int32_t *)(void *)mine)[i] = ((int32_t *)(void *)plain)[i] = (int32_t)(i * 37 % 5000);
        c.first = form == 0, c.last = form > 1;
        c.y = want, c.sums = form == 3 ? (int32_t *)(void *)want : NULL;
        c.partial = (int32_t *)(void *)plain;
        pare_lowbit_conv_c(&c);
        c.y = got, c.sums = form == 3 ? (int32_t *)(void *)got : NULL;
        c.partial = (int32_t *)(void *)mine;
        k->lowbit_conv(&c);
        if (c.last) memcpy(mine, plain, partials); /* whether it is written then is its affair */
        compare(mine, plain, partials, what);
        compare(got, want, n, what);
    }
    free(table);
    free(w);
    free(alpha);
    free(beta);
    free(bias);
    free(box);
    free(scale);
}
static void test_conv(void **state)
{
    (void)state;
    each_isa(check_conv, 150);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tables),
                                        cmocka_unit_test(test_conv) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
