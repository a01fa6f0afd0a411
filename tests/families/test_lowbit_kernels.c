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

/* What must not be touched between the rows that are written. */
static uint8_t *copied(const uint8_t *x, size_t n)
{
    uint8_t *y = guarded(n);
    memcpy(y, x, n);
    return y;
}
static uint8_t *random_bytes(size_t n, uint32_t range, pare_rng *rng)
{
    uint8_t *x = guarded(n);
    for (size_t i = 0; i < n; i++) x[i] = (uint8_t)pare_rng_below(rng, range);
    return x;
}

static void check_codes(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 20);
    size_t vl = k->vl, pixels = pare_rng_below(&rng, 20),
           channels = 1 + pare_rng_below(&rng, seed % 5 ? 70 : 400),
           blocks = (channels + vl - 1) / vl, step = blocks * vl + seed % 3,
           block = pixels * vl + seed % 7;
    uint8_t lo = (uint8_t)pare_rng_below(&rng, 256);
    char what[100];
    snprintf(what, sizeof what, "codes/%s %zu pixels, %zu channels seed=%llu", k->isa, pixels,
             channels, (unsigned long long)seed);
    uint8_t *x = random_bytes(blocks * block, 256, &rng); /* lanes beyond hold anything */
    for (size_t c = 0; c < channels; c++)
        for (size_t p = 0; p < pixels; p++)
            x[c / vl * block + p * vl + c % vl] = (uint8_t)(lo + pare_rng_below(&rng, 16));
    size_t n = pixels * step, sums = pixels * sizeof(int32_t);
    uint8_t *got = guarded(n), *want = guarded(n), *got_sum = guarded(sums),
            *want_sum = guarded(sums);
    pare_lowbit_codes c = { vl,   pixels, channels,
                            x,    block,  lo,
                            want, step,   (int32_t *)(void *)want_sum };
    pare_lowbit_codes_c(&c);
    c.to = got, c.sum = (int32_t *)(void *)got_sum;
    k->lowbit_codes(&c);
    compare(got, want, n, what);
    compare(got_sum, want_sum, sums, what);
    free(x - GUARD);
}

static void check_tables(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 21);
    size_t pixels = pare_rng_below(&rng, 20), groups = 1 + pare_rng_below(&rng, 12);
    char what[100];
    snprintf(what, sizeof what, "tables/%s %zu pixels, %zu groups seed=%llu", k->isa, pixels,
             groups, (unsigned long long)seed);
    size_t room = 600 + groups * k->lowbit_span + PARE_LOWBIT_SLACK,
           bytes = pixels * groups << k->lowbit_span;
    uint8_t *codes = random_bytes(room, 16, &rng), *got = guarded(bytes), *want = guarded(bytes);
    uint32_t pixel[20];
    for (size_t p = 0; p < pixels; p++) pixel[p] = pare_rng_below(&rng, 600);
    pare_lowbit_tables t = { k->lowbit_span, pixels, groups, codes, pixel, want };
    pare_lowbit_tables_c(&t);
    t.table = got;
    k->lowbit_tables(&t);
    compare(got, want, bytes, what);
    free(codes - GUARD);

    uint32_t tap[4] = { 0, 3, 17, 40 };
    int32_t numbers[200];
    for (int i = 0; i < 200; i++) numbers[i] = (int32_t)pare_rng_below(&rng, 1000);
    size_t n = pare_rng_below(&rng, 40), stride = 1 + seed % 3, size = n * sizeof(int32_t);
    got = guarded(size), want = guarded(size);
    pare_lowbit_box_c(n, numbers, stride, tap, 4, (int32_t *)(void *)want);
    k->lowbit_box(n, numbers, stride, tap, 4, (int32_t *)(void *)got);
    compare(got, want, size, what);
}

static void test_tables(void **state)
{
    (void)state;
    each_isa(check_codes, 100);
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
    size_t vl = k->vl, span = k->lowbit_span, filters = 4 * vl,
           pixels = 1 + pare_rng_below(&rng, PARE_LOWBIT_PIXELS),
           groups = 1 + pare_rng_below(&rng, 30), most = 1 + pare_rng_below(&rng, PARE_LOWBIT_MOST),
           byte = 255 / (span * most), step = 12u << span;
    pare_lowbit_run run[4];
    size_t taps = 0, runs = 1 + pare_rng_below(&rng, 4);
    for (size_t r = 0; r < runs; r++) {
        size_t longest = byte < PARE_LOWBIT_TAPS ? byte : PARE_LOWBIT_TAPS;
        run[r].taps = 1 + pare_rng_below(&rng, (uint32_t)longest);
        run[r].row = pare_rng_below(&rng, 3);
        run[r].at = pare_rng_below(&rng, 2) << span;
        taps += run[r].taps;
    }
    size_t n = pixels * filters * sizeof(uint16_t);
    uint8_t *table = random_bytes(3 * groups * step, (uint32_t)(span * most + 1), &rng),
            *w = random_bytes(taps * groups * filters, 1u << span, &rng),
            *before = random_bytes(n, 256, &rng);
    const uint8_t *row[] = { table, table + groups * step, table + 2 * groups * step };
    pare_lowbit_conv c = { .vl = vl,
                           .span = span,
                           .pixels = pixels,
                           .row = row,
                           .run = run,
                           .runs = runs,
                           .groups = groups,
                           .group_step = step,
                           .w = w,
                           .first = seed % 3 == 0,
                           .shift = (int)pare_rng_below(&rng, 4) };
    for (size_t t = 0; t < PARE_LOWBIT_TAPS; t++) c.fit[t] = byte / (t + 1);
    char what[120];
    snprintf(what, sizeof what, "conv/%s %zu pixels, %zu groups, %zu taps seed=%llu", k->isa,
             pixels, groups, taps, (unsigned long long)seed);
    uint8_t *got = copied(before, n), *want = copied(before, n);
    c.sum = (uint16_t *)(void *)want;
    pare_lowbit_conv_c(&c);
    c.sum = (uint16_t *)(void *)got;
    k->lowbit_conv(&c);
    compare(got, want, n, what);
    free(table - GUARD);
    free(w - GUARD);
    free(before - GUARD);
}

static void check_finish(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 23);
    size_t vl = k->vl, filters = 4 * vl, pixels = pare_rng_below(&rng, PARE_LOWBIT_PIXELS + 1),
           blocks = 1 + pare_rng_below(&rng, 4), y_block = pixels * vl + seed % 5,
           n = pixels * filters, bytes = blocks * y_block,
           steps = pare_rng_below(&rng, PARE_LOWBIT_STEPS + 1);
    char what[120];
    snprintf(what, sizeof what, "finish/%s %zu pixels, %zu blocks, %zu steps seed=%llu", k->isa,
             pixels, blocks, steps, (unsigned long long)seed);
    uint8_t *sum = random_bytes(2 * n, 256, &rng);
    int32_t *wide = random_ints(n, -100000, 200000, &rng), *box = random_ints(pixels, 0, 500, &rng),
            *alpha = random_ints(filters, 1, 9, &rng), *beta = random_ints(filters, -20, 40, &rng),
            *bias = random_ints(filters, -1000, 2000, &rng);
    float scale[64];
    int16_t step[(2 + PARE_LOWBIT_STEPS) * 64];
    for (size_t f = 0; f < filters; f++)
        scale[f] = f == 5 ? NAN : (float)pare_rng_uniform(&rng) * 0.03f;
    for (size_t i = 0; i < (2 + PARE_LOWBIT_STEPS) * filters; i++)
        step[i] = (int16_t)pare_rng_below(&rng, 65536);

    uint8_t *got = guarded(4 * n), *want = guarded(4 * n);
    for (int first = 1; first >= 0; first--) {
        pare_lowbit_widen_c(n, (uint16_t *)(void *)sum, first, seed % 4, (int32_t *)(void *)want);
        k->lowbit_widen(n, (uint16_t *)(void *)sum, first, seed % 4, (int32_t *)(void *)got);
    }
    compare(got, want, 4 * n, what);

    pare_lowbit_finish c = {
        .vl = vl,
        .pixels = pixels,
        .blocks = blocks,
        .sum = (uint16_t *)(void *)sum,
        .wide = seed % 2 ? wide : NULL,
        .alpha = alpha,
        .beta = beta,
        .box = seed % 3 ? box : NULL,
        .finish = { .bias = bias, .scale = scale, .lo = -20, .hi = 90, .zero = 20 },
        .y_block = y_block
    };
    got = guarded(bytes), want = guarded(bytes);
    c.y = want;
    pare_lowbit_finish_c(&c);
    c.y = got;
    k->lowbit_finish(&c);
    compare(got, want, bytes, what);

    pare_lowbit_steps s = { .vl = vl,
                            .pixels = pixels,
                            .blocks = blocks,
                            .sum = (uint16_t *)(void *)sum,
                            .alpha = step,
                            .beta = step + filters,
                            .box = c.box,
                            .step = step + 2 * filters,
                            .steps = steps,
                            .least = (uint8_t)pare_rng_below(&rng, 256),
                            .y_block = y_block };
    got = guarded(bytes), want = guarded(bytes);
    s.y = want;
    pare_lowbit_steps_c(&s);
    s.y = got;
    k->lowbit_steps(&s);
    compare(got, want, bytes, what);
    free(sum - GUARD);
    free(wide);
    free(box);
    free(alpha);
    free(beta);
    free(bias);
}

static void test_conv(void **state)
{
    (void)state;
    each_isa(check_conv, 200);
    each_isa(check_finish, 100);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_tables),
                                        cmocka_unit_test(test_conv) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
