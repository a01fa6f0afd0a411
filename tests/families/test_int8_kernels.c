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
/* Compares; `want` stays. */
static void keep(uint8_t *got, const uint8_t *want, size_t n, const char *what)
{
    for (ptrdiff_t i = -GUARD; i < (ptrdiff_t)n + GUARD; i++) {
        if (got[i] != want[i])
            fail_msg("%s: byte %td of %zu is %d instead of %d", what, i, n, got[i], want[i]);
        if ((i < 0 || i >= (ptrdiff_t)n) && got[i] != MARK)
            fail_msg("%s: byte %td of %zu is touched", what, i, n);
    }
    free(got - GUARD);
}
static void compare(uint8_t *got, uint8_t *want, size_t n, const char *what)
{
    keep(got, want, n, what);
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
/* Neighbours get as large as pairs may: all, one, or half each. */
static void limit_pairs(size_t n, int16_t *w, pare_rng *rng)
{
    for (size_t i = 0; i + 1 < n; i += 2) {
        int most = PARE_INT8_PAIR, a = pare_rng_below(rng, 4) ? 64 : (int)pare_rng_below(rng, 129),
            b = most - a;
        bool negative = pare_rng_below(rng, 2), other = pare_rng_below(rng, 4) == 0;
        w[i] = (int16_t)(negative ? -a : a > 127 ? 127 : a);
        w[i + 1] = (int16_t)(negative != other ? -b : b > 127 ? 127 : b);
    }
}

/* Weights of `rows` output channels in tiles of `tile` blocks, also as *w, a row for each. */
static void *random_packed(const pare_kernels *k, size_t tile, bool quads, bool pairs, size_t rows,
                           size_t words, int16_t **w, pare_rng *rng)
{
    size_t n = rows * words * pare_int8_word(quads);
    *w = random_weights(n, quads, rng);
    if (pairs) limit_pairs(n, *w, rng);
    void *packed = calloc(pare_int8_packed(k->vl, rows, words) + PARE_INT8_BEYOND, 1);
    assert_non_null(packed);
    pare_int8_pack(k->vl, tile, quads, rows, words, *w, packed);
    return packed;
}

/* Against sums written down here, without the packing: what both versions could get wrong. */
static void check_meaning(const pare_int8_conv *c, const int16_t *w, const void *got,
                          const char *what)
{
    const int32_t *sums = got;
    for (size_t row = 0; row < c->blocks * c->vl; row++)
        for (size_t p = 0; p < c->pixels; p++) {
            size_t word = pare_int8_word(c->quads);
            const int16_t *at = w + row * c->all_words * word;
            int32_t want = c->finish.bias[row];
            for (size_t r = 0; r < c->runs; r++)
                for (size_t i = 0; i < word * c->run[r].words; i++) {
                    const uint8_t *x = c->x + c->pixel[p] + c->run[r].at;
                    want +=
                        (c->quads ? x[i] ^ c->flip : ((const int16_t *)(const void *)x)[i]) * *at++;
                }
            if (sums[row / c->vl * c->y_block + p * c->vl + row % c->vl] != want)
                fail_msg("%s: not the sum of products", what);
        }
}

static void check_conv(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 11);
    size_t runs = 1 + pare_rng_below(&rng, 5), blocks = 1 + pare_rng_below(&rng, 10),
           pixels = pare_rng_below(&rng, 80), words = 0, rows = blocks * k->vl, in = 4096;
    bool zero = k->int8_quads && seed % 3 == 0, quads = k->int8_quads || seed % 3 != 0,
         pairs = seed % 3 == 2;
    pare_int8_run run[5];
    for (size_t r = 0; r < runs; r++) {
        run[r] = (pare_int8_run){ 2 * (uint32_t)pare_rng_below(&rng, 500),
                                  1 + (uint32_t)pare_rng_below(&rng, 20) };
        words += run[r].words;
    }
    uint8_t *x = random_bytes(in, &rng);
    uint32_t pixel[80], *ones = malloc(words * sizeof *ones);
    int16_t *numbers = (int16_t *)(void *)x;
    for (size_t i = 0; !quads && i < in / 2; i++)
        numbers[i] = (int16_t)((int)pare_rng_below(&rng, 384) - 128);
    for (size_t p = 0; p < pixels; p++) pixel[p] = 2 * (uint32_t)pare_rng_below(&rng, 1000);
    for (size_t q = 0; q < words; q++) ones[q] = q % 3 ? 0x01010101 : 0x00000101;
    int16_t *w;
    void *packed = random_packed(k, k->int8_tile, quads, pairs, rows, words, &w, &rng);
    pare_int8_conv c = { .vl = k->vl,
                         .tile = k->int8_tile,
                         .quads = quads,
                         .pairs = pairs,
                         .x = x,
                         .flip = quads && seed % 2 ? 0x80 : 0,
                         .pixels = pixels,
                         .pixel = pixel,
                         .run = run,
                         .runs = runs,
                         .all_words = words,
                         .blocks = blocks,
                         .w = packed,
                         .ones = ones,
                         .finish = finish_of(rows, zero, &rng),
                         .y_block = pixels * k->vl };
    if (k->int8_tiles) c.room = malloc(pare_int8_room(words, pixels));
    for (int sums = 0; sums < 2; sums++) {
        size_t n = blocks * pixels * k->vl * (sums ? 4 : 1);
        uint8_t *got = guarded(n), *want = guarded(n);
        char what[160];
        snprintf(what, sizeof what, "int8_conv/%s%s %zu pixels, %zu blocks, %zu words%s seed=%llu",
                 k->isa,
                 pairs   ? " pairs"
                 : quads ? " quads"
                         : "",
                 pixels, blocks, words, sums ? ", sums" : "", (unsigned long long)seed);
        c.y = want, c.sums = sums ? (int32_t *)(void *)want : NULL;
        pare_int8_conv_c(&c);
        c.y = got, c.sums = sums ? (int32_t *)(void *)got : NULL;
        k->int8_conv(&c);
        if (sums && !zero) check_meaning(&c, w, got, what);
        keep(got, want, n, what);
        if (k->int8_tiles) {
            got = guarded(n);
            c.y = got, c.sums = sums ? (int32_t *)(void *)got : NULL;
            k->int8_tiles(&c);
            keep(got, want, n, what);
        }
        free(want - GUARD);
    }
    drop_finish(&c.finish);
    free(c.room);
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
    int16_t *w;
    void *packed = random_packed(k, 1, k->int8_quads, false, vl,
                                 groups * 4 / pare_int8_word(k->int8_quads), &w, &rng);
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

/* Winograd's four steps, each against the plain one, some with the largest numbers there are. Then
 * the whole against the sum over taps. */
static void check_winograd(const pare_kernels *k, uint64_t seed)
{
    enum { POSITIONS = PARE_INT8_WINOGRAD_POSITIONS };
    pare_rng rng = pare_rng_stream(seed, 15);
    bool extreme = seed % 10 == 1;
    size_t vl = k->vl, channels = extreme ? 113 : 1 + pare_rng_below(&rng, 5 * (uint64_t)vl),
           blocks_in = (channels + vl - 1) / vl, blocks = 1 + pare_rng_below(&rng, 5),
           group = 2 * vl, padded = (channels + group - 1) / group * group,
           pairs = (channels + 1) / 2, width = blocks * vl;
    int64_t h = 1 + (int64_t)pare_rng_below(&rng, 15), w = 1 + (int64_t)pare_rng_below(&rng, 15),
            out_y = h + 1 - (int64_t)pare_rng_below(&rng, 2), out_x = w, tiles_x = (out_x + 3) / 4,
            all = (out_y + 3) / 4 * tiles_x, first = (int64_t)pare_rng_below(&rng, (uint64_t)all);
    size_t tiles = 1 + pare_rng_below(&rng, (uint64_t)(all - first));
    char what[160];
    snprintf(what, sizeof what, "int8_winograd/%s %zu channels, %zu blocks, %lldx%lld seed=%llu",
             k->isa, channels, blocks, (long long)h, (long long)w, (unsigned long long)seed);

    /* Weights of one block after the other, the last short. */
    size_t u_position = pairs * width * 2 + 32, u_size = POSITIONS * u_position * 2;
    int16_t *weights = random_weights(width * channels * 9, false, &rng);
    for (size_t i = 0; extreme && i < width * channels * 9; i++) weights[i] = 127;
    uint8_t *got = guarded(u_size), *u = guarded(u_size);
    size_t last = 1 + pare_rng_below(&rng, (uint64_t)vl);
    for (size_t b = 0; b < blocks; b++) {
        pare_int8_winograd_weights t = { .vl = vl,
                                         .lanes = b + 1 < blocks ? vl : last,
                                         .channels = channels,
                                         .w = weights + b * vl * channels * 9,
                                         .row = width * 2,
                                         .position = u_position };
        t.u = (int16_t *)(void *)u + b * vl * 2;
        pare_int8_winograd_weights_c(&t);
        t.u = (int16_t *)(void *)got + b * vl * 2;
        k->int8_winograd_weights(&t);
    }
    keep(got, u, u_size, what);

    pare_int8_winograd_input in = { .vl = vl,
                                    .blocks = blocks_in,
                                    .is_signed = seed % 2 == 0,
                                    .pad = 77,
                                    .in_y = h,
                                    .in_x = w,
                                    .top = 1,
                                    .left = 1,
                                    .tiles_x = tiles_x,
                                    .first = (size_t)first,
                                    .tiles = tiles,
                                    .position = padded * tiles + 32 };
    uint8_t *x = random_bytes(blocks_in * vl * (size_t)(h * w), &rng);
    if (extreme) memset(x, 255, blocks_in * vl * (size_t)(h * w));
    in.x = x;
    size_t v_size = POSITIONS * in.position * 2;
    uint8_t *v = guarded(v_size);
    got = guarded(v_size);
    in.v = (int16_t *)(void *)v;
    pare_int8_winograd_input_c(&in);
    in.v = (int16_t *)(void *)got;
    k->int8_winograd_input(&in);
    if (blocks_in % 2) /* what has no block is unspecified */
        for (size_t i = 0; i < POSITIONS * tiles; i++) {
            size_t at = i / tiles * in.position + (padded / group - 1) * tiles * group +
                        i % tiles * group + vl;
            memcpy(v + at * 2, got + at * 2, vl * 2);
        }
    keep(got, v, v_size, what);

    size_t r_position = tiles * width, r_size = POSITIONS * r_position * 4;
    uint8_t *r = guarded(r_size);
    got = guarded(r_size);
    for (size_t p = 0; p < POSITIONS; p++) {
        pare_int8_winograd_product t = { .vl = vl,
                                         .blocks = blocks,
                                         .channels = channels,
                                         .tiles = tiles,
                                         .v = (int16_t *)(void *)v + p * in.position,
                                         .u = (int16_t *)(void *)u + p * u_position };
        t.r = (uint32_t *)(void *)r + p * r_position;
        pare_int8_winograd_product_c(&t);
        t.r = (uint32_t *)(void *)got + p * r_position;
        k->int8_winograd_product(&t);
    }
    keep(got, r, r_size, what);

    pare_int8_winograd_output o = { .vl = vl,
                                    .blocks = blocks,
                                    .r = (uint32_t *)(void *)r,
                                    .position = r_position,
                                    .out_y = out_y,
                                    .out_x = out_x,
                                    .tiles_x = tiles_x,
                                    .first = (size_t)first,
                                    .tiles = tiles,
                                    .finish = finish_of(width, false, &rng) };
    size_t map = (size_t)(out_y * out_x), y_size = blocks * map * vl;
    uint8_t *y = guarded(y_size);
    got = guarded(y_size);
    o.y = y;
    pare_int8_winograd_output_c(&o);
    o.y = got;
    k->int8_winograd_output(&o);
    keep(got, y, y_size, what);

    for (size_t lane = 0; lane < width; lane++) {
        if (lane / vl + 1 == blocks && lane % vl >= last) continue;
        for (int64_t at = 0; at < (int64_t)map; at++) {
            int64_t oy = at / out_x, ox = at % out_x, tile = oy / 4 * tiles_x + ox / 4;
            if (tile < first || tile >= first + (int64_t)tiles) continue;
            int32_t sum = 0;
            for (size_t c = 0; c < channels; c++)
                for (int64_t i = 0; i < 9; i++) {
                    int64_t iy = oy + i / 3 - 1, ix = ox + i % 3 - 1;
                    bool inside = iy >= 0 && iy < h && ix >= 0 && ix < w;
                    uint8_t byte =
                        inside
                            ? x[((c / vl * (size_t)h + (size_t)iy) * (size_t)w + (size_t)ix) * vl +
                                c % vl]
                            : in.pad;
                    sum += (in.is_signed ? (int8_t)byte : byte) *
                           weights[(lane * channels + c) * 9 + (size_t)i];
                }
            if (y[(lane / vl * map + (size_t)at) * vl + lane % vl] !=
                pare_int8_finish_c(&o.finish, lane, (uint32_t)sum))
                fail_msg("%s: output %zu, %lld is not the sum over taps", what, lane,
                         (long long)at);
        }
    }
    drop_finish(&o.finish);
    free(weights);
    free(x);
    free(u - GUARD);
    free(v - GUARD);
    free(r - GUARD);
    free(y - GUARD);
}
static void test_winograd(void **state)
{
    (void)state;
    each_isa(check_winograd, 40);
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

    got = guarded(2 * n), want = guarded(2 * n);
    pare_int8_widen_c(n, a, seed % 2, (int16_t *)(void *)want);
    k->int8_widen(n, a, seed % 2, (int16_t *)(void *)got);
    compare(got, want, 2 * n, what);

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
        cmocka_unit_test(test_depthwise),
        cmocka_unit_test(test_winograd),
        cmocka_unit_test(test_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
