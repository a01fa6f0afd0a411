/* Every instruction set's kernels on bytes give exactly what the plain ones give, and touch nothing
 * beyond what they say. */
#include "base/rng.h"
#include "support/isa.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 128, MARK = 0xa5 };

static uint8_t *random_bytes(size_t n, pare_rng *rng)
{
    uint8_t *x = malloc(n + 1);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) /* extremes more often than by chance */
        x[i] = (uint8_t)(pare_rng_below(rng, 4)
                             ? pare_rng_below(rng, 256)
                             : 128 * pare_rng_below(rng, 2) + 127 * pare_rng_below(rng, 2));
    return x;
}
static uint8_t *guarded(size_t n)
{
    uint8_t *x = malloc(n + 2 * GUARD);
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

/* Finishing for `rows` channels. */
static pare_int8_finish finish_of(size_t rows, bool zero, pare_rng *rng)
{
    int32_t *bias = malloc(rows * sizeof *bias), *w_zero = malloc(rows * sizeof *w_zero);
    float *scale = malloc(rows * sizeof *scale);
    assert_true(bias && scale && w_zero);
    for (size_t r = 0; r < rows; r++) {
        bias[r] = (int32_t)pare_rng_below(rng, 200000) - 100000;
        scale[r] = (float)pare_rng_uniform(rng) * 0.002f;
        w_zero[r] = (int32_t)pare_rng_below(rng, 256) - 128;
    }
    pare_int8_finish f = { .bias = bias, .scale = scale, .lo = -20, .hi = 235, .zero = 20 };
    if (zero)
        f.w_zero = w_zero;
    else
        free(w_zero);
    return f;
}
static void drop_finish(pare_int8_finish *f)
{
    free((void *)f->bias);
    free((void *)f->scale);
    free((void *)f->w_zero);
}

static int16_t *random_weights(size_t n, bool quads, pare_rng *rng)
{
    int16_t *w = malloc((n + 1) * sizeof *w);
    assert_non_null(w);
    for (size_t i = 0; i < n; i++)
        w[i] = (int16_t)(quads ? (int)pare_rng_below(rng, 256) - 128
                               : (int)pare_rng_below(rng, 511) - 255);
    return w;
}

static void check_conv(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 11);
    size_t runs = 1 + pare_rng_below(&rng, 5), blocks = 1 + pare_rng_below(&rng, 10),
           pixels = pare_rng_below(&rng, 40), quads = 0, rows = blocks * k->vl, in = 4096;
    bool zero = k->int8_quads && seed % 3 == 0;
    pare_int8_run run[5];
    for (size_t r = 0; r < runs; r++) {
        run[r] = (pare_int8_run){ (uint32_t)pare_rng_below(&rng, 1000),
                                  1 + (uint32_t)pare_rng_below(&rng, 20) };
        quads += run[r].quads;
    }
    uint8_t *x = random_bytes(in, &rng);
    uint32_t pixel[64], *ones = malloc(quads * sizeof *ones);
    for (size_t p = 0; p < pixels; p++) pixel[p] = (uint32_t)pare_rng_below(&rng, 2000);
    for (size_t q = 0; q < quads; q++) ones[q] = q % 3 ? 0x01010101 : 0x00000101;
    int16_t *w = random_weights(rows * quads * 4, k->int8_quads, &rng);
    void *packed = calloc(pare_int8_packed(k->vl, k->int8_quads, rows, quads), 1);
    pare_int8_pack(k->vl, k->int8_tile, k->int8_quads, rows, quads, w, packed);
    pare_int8_conv c = { .vl = k->vl,
                         .tile = k->int8_tile,
                         .quads = k->int8_quads,
                         .x = x,
                         .flip = seed % 2 ? 0x80 : 0,
                         .pixels = pixels,
                         .pixel = pixel,
                         .run = run,
                         .runs = runs,
                         .all_quads = quads,
                         .blocks = blocks,
                         .w = packed,
                         .ones = ones,
                         .finish = finish_of(rows, zero, &rng),
                         .y_block = pixels * k->vl };
    for (int sums = 0; sums < 2; sums++) {
        size_t n = blocks * pixels * k->vl * (sums ? 4 : 1);
        uint8_t *got = guarded(n), *want = guarded(n);
        char what[160];
        snprintf(what, sizeof what, "int8_conv/%s %zu pixels, %zu blocks, %zu quads%s seed=%llu",
                 k->isa, pixels, blocks, quads, sums ? ", sums" : "", (unsigned long long)seed);
        c.y = want, c.sums = sums ? (int32_t *)(void *)want : NULL;
        pare_int8_conv_c(&c);
        c.y = got, c.sums = sums ? (int32_t *)(void *)got : NULL;
        k->int8_conv(&c);
        compare(got, want, n, what);
    }
    drop_finish(&c.finish);
    free(x);
    free(ones);
    free(w);
    free(packed);
}
static void test_conv(void **state)
{
    (void)state;
    each_isa(check_conv, 200);
}

/* Against sums written down here, without the packing: what both versions could get wrong. */
static void check_meaning(const pare_kernels *k, uint64_t seed)
{
    enum { QUADS = 3, PIXELS = 5, BLOCKS = 3 };
    pare_rng rng = pare_rng_stream(seed, 12);
    size_t rows = BLOCKS * k->vl;
    uint8_t *x = random_bytes(PIXELS * 4 * QUADS, &rng);
    int16_t *w = random_weights(rows * QUADS * 4, k->int8_quads, &rng);
    void *packed = calloc(pare_int8_packed(k->vl, k->int8_quads, rows, QUADS), 1);
    pare_int8_pack(k->vl, k->int8_tile, k->int8_quads, rows, QUADS, w, packed);
    uint32_t pixel[PIXELS];
    for (uint32_t p = 0; p < PIXELS; p++) pixel[p] = p * 4 * QUADS;
    int32_t *sums = calloc(rows * PIXELS, sizeof *sums);
    pare_int8_conv c = { .vl = k->vl,
                         .tile = k->int8_tile,
                         .quads = k->int8_quads,
                         .x = x,
                         .flip = seed % 2 ? 0x80 : 0,
                         .pixels = PIXELS,
                         .pixel = pixel,
                         .run = &(pare_int8_run){ 0, QUADS },
                         .runs = 1,
                         .all_quads = QUADS,
                         .blocks = BLOCKS,
                         .w = packed,
                         .finish = finish_of(rows, false, &rng),
                         .y_block = PIXELS * k->vl,
                         .sums = sums };
    k->int8_conv(&c);
    for (size_t r = 0; r < rows; r++)
        for (size_t p = 0; p < PIXELS; p++) {
            int32_t want = c.finish.bias[r];
            for (size_t i = 0; i < 4 * QUADS; i++)
                want += (x[p * 4 * QUADS + i] ^ c.flip) * w[r * 4 * QUADS + i];
            assert_int_equal(sums[(r / k->vl * PIXELS + p) * k->vl + r % k->vl], want);
        }
    drop_finish(&c.finish);
    free(x);
    free(w);
    free(packed);
    free(sums);
}
static void test_meaning(void **state)
{
    (void)state;
    each_isa(check_meaning, 20);
}

static void check_depthwise(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 13);
    size_t groups = 1 + pare_rng_below(&rng, 12), pixels = pare_rng_below(&rng, 30), vl = k->vl,
           in = 200 * vl;
    bool zero = k->int8_quads && seed % 3 == 0;
    uint8_t *x = random_bytes(in, &rng);
    uint32_t pixel[32], group[16], ones[16];
    for (size_t p = 0; p < pixels; p++) pixel[p] = (uint32_t)(pare_rng_below(&rng, 90) * vl);
    for (size_t g = 0; g < groups; g++) {
        group[g] = (uint32_t)(pare_rng_below(&rng, 90) * vl);
        ones[g] = g % 2 ? 0x00010101 : 1;
    }
    int16_t *w = random_weights(vl * groups * 4, k->int8_quads, &rng);
    void *packed = calloc(pare_int8_packed(vl, k->int8_quads, vl, groups), 1);
    pare_int8_pack(vl, 1, k->int8_quads, vl, groups, w, packed);
    pare_int8_depthwise d = { .vl = vl,
                              .quads = k->int8_quads,
                              .x = x,
                              .flip = seed % 2 ? 0x80 : 0,
                              .pixels = pixels,
                              .pixel = pixel,
                              .group = group,
                              .groups = groups,
                              .w = packed,
                              .ones = ones,
                              .finish = finish_of(vl, zero, &rng) };
    uint8_t *got = guarded(pixels * vl), *want = guarded(pixels * vl);
    char what[120];
    snprintf(what, sizeof what, "int8_depthwise/%s %zu pixels, %zu groups seed=%llu", k->isa,
             pixels, groups, (unsigned long long)seed);
    d.y = want;
    pare_int8_depthwise_c(&d);
    d.y = got;
    k->int8_depthwise(&d);
    compare(got, want, pixels * vl, what);
    drop_finish(&d.finish);
    free(x);
    free(w);
    free(packed);
}
static void test_depthwise(void **state)
{
    (void)state;
    each_isa(check_depthwise, 100);
}

static void check_rows(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 14);
    size_t n = seed < 40 ? (size_t)seed - 1 : pare_rng_below(&rng, 400), vl = k->vl;
    uint8_t *a = random_bytes(n, &rng), *b = random_bytes(n, &rng), *got = guarded(n),
            *want = guarded(n);
    float *x = malloc((n + 1) * sizeof *x);
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)pare_rng_normal(&rng) * 3;
        if (i % 5 == 1) x[i] = 0.025f * (float)(i % 300); /* halves: ties */
        if (i % 17 == 3) x[i] = NAN;
        if (i % 17 == 5) x[i] = i % 2 ? 3e38f : -INFINITY;
    }
    char what[100];
    snprintf(what, sizeof what, "%s n=%zu seed=%llu", k->isa, n, (unsigned long long)seed);
    pare_quantize_c(n, x, 0.05f, -7, 248, 7, want);
    k->quantize(n, x, 0.05f, -7, 248, 7, got);
    compare(got, want, n, what);

    got = guarded(4 * n), want = guarded(4 * n);
    pare_dequantize_c(n, a, seed % 2, 3, 0.1f, (float *)(void *)want);
    k->dequantize(n, a, seed % 2, 3, 0.1f, (float *)(void *)got);
    compare(got, want, 4 * n, what);

    pare_int8_add add = { .signed_a = seed % 2,
                          .signed_b = seed % 4 > 1,
                          .scale_a = 0.5f,
                          .scale_b = 0.75f * (float)pare_rng_uniform(&rng),
                          .shift = 3.5f,
                          .lo = -100,
                          .hi = 120,
                          .zero = 5 };
    got = guarded(n), want = guarded(n);
    pare_int8_add_c(&add, n, a, b, want);
    k->int8_add(&add, n, a, b, got);
    compare(got, want, n, what);

    size_t pixels = n / vl;
    int32_t sum[64], should[64];
    for (size_t l = 0; l < vl; l++) {
        sum[l] = should[l] = (int32_t)l;
        for (size_t i = 0; i < pixels; i++)
            should[l] += seed % 2 ? (int8_t)a[i * vl + l] : a[i * vl + l];
    }
    k->int8_sum(pixels, a, seed % 2 ? 0x80 : 0, sum);
    assert_memory_equal(sum, should, vl * sizeof *sum);

    if (pixels > 6) {
        uint32_t tap[3] = { 0, (uint32_t)(2 * vl), (uint32_t)(5 * vl) };
        size_t taps = seed % 4, m = (pixels - 6 + 1) / 2;
        got = guarded(m * vl), want = guarded(m * vl);
        for (size_t p = 0; p < m; p++)
            for (size_t l = 0; l < vl; l++) {
                int most = seed % 2 ? -128 : 0;
                for (size_t t = 0; t < taps; t++) {
                    uint8_t v = a[p * 2 * vl + tap[t] + l];
                    int value = seed % 2 ? (int8_t)v : v;
                    most = value > most ? value : most;
                }
                want[p * vl + l] = (uint8_t)most;
            }
        k->int8_max(m, a, 2 * vl, tap, taps, seed % 2 ? 0x80 : 0, got);
        compare(got, want, m * vl, what);
    }
    free(a);
    free(b);
    free(x);
}
static void test_rows(void **state)
{
    (void)state;
    each_isa(check_rows, 120);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_meaning),
        cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
