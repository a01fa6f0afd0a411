/* Every instruction set's kernels give what the plain ones give, on random and awkward sizes, and
 * touch nothing beyond what they say. Those of sparse convolutions are in test_sparse_kernels.c. */
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

enum { GUARD = 64 }; /* floats before and behind every output */
static const float guard = 12345.0f;

static float *fresh(size_t n, pare_rng *rng)
{
    float *x = malloc((n + 1) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++) x[i] = rng ? (float)pare_rng_normal(rng) : 0;
    return x;
}
static float *guarded(size_t n)
{
    float *x = malloc((n + 2 * GUARD) * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n + 2 * GUARD; i++) x[i] = guard;
    return x + GUARD;
}
static void drop_guarded(float *x) { free(x - GUARD); }

/* |got - want| <= tolerance * scale within, with tolerance 0 zeros of the same sign; outside both
 * untouched. NaN matches NaN. */
static void same(const float *got, const float *want, size_t n, double scale, double tolerance,
                 const char *what)
{
    for (size_t i = 0; i < n + 2 * GUARD; i++) {
        float g = got[(ptrdiff_t)i - GUARD], w = want[(ptrdiff_t)i - GUARD];
        if (isnan(g) && isnan(w)) continue;
        if ((!(fabs((double)g - (double)w) <= tolerance * scale) && !(isinf(w) && g == w)) ||
            (tolerance == 0 && !signbit(g) != !signbit(w)))
            fail_msg("%s: float %td of %zu is %.9g instead of %.9g", what, (ptrdiff_t)i - GUARD, n,
                     (double)g, (double)w);
        if ((i < GUARD || i >= n + GUARD) && g != guard)
            fail_msg("%s: float %td of %zu is touched", what, (ptrdiff_t)i - GUARD, n);
    }
}

/* Zeros of both signs: which of them is the largest is defined, too. */
static void zeros(size_t n, float *x)
{
    for (size_t i = 0; i < n; i++) x[i] = i * 7 % 3 ? 0.0f : -0.0f;
}

static void check_conv(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 1);
    size_t taps = 1 + pare_rng_below(&rng, 40), rows = 1 + pare_rng_below(&rng, 30),
           vectors = 1 + pare_rng_below(&rng, 11);
    size_t in = 200 + vectors * k->vl, plane = vectors * k->vl + 3,
           blocks = (rows + k->conv_mr - 1) / k->conv_mr * k->conv_mr;
    float *x = fresh(in + 64, &rng), *w = fresh(blocks * taps, &rng), *bias = fresh(blocks, &rng),
          *residual = fresh(rows * plane, &rng);
    if (seed % 6 == 5) zeros(in, x);
    uint32_t *off = malloc(taps * sizeof *off);
    pare_conv_lanes *lanes = calloc(vectors, sizeof *lanes);
    pare_conv_run *run = calloc(vectors * k->vl, sizeof *run);
    assert_true(off && lanes && run);
    for (size_t t = 0; t < taps; t++) off[t] = (uint32_t)pare_rng_below(&rng, 150);
    uint32_t runs = 0, out = 0;
    for (size_t v = 0; v < vectors; v++) { /* runs rise in memory, with gaps */
        lanes[v] = (pare_conv_lanes){ (uint32_t)pare_rng_below(&rng, in - 150 - k->vl), runs, 0 };
        if (pare_rng_below(&rng, 2)) {
            run[runs++] = (pare_conv_run){ 0, (uint32_t)k->vl, out };
            out += (uint32_t)k->vl;
        } else {
            for (uint32_t lane = (uint32_t)pare_rng_below(&rng, 3); lane < k->vl;) {
                uint32_t n = 1 + (uint32_t)pare_rng_below(&rng, k->vl - lane);
                run[runs++] = (pare_conv_run){ lane, n, out };
                out += n;
                lane += n + 1;
            }
        }
        lanes[v].n_runs = runs - lanes[v].run;
    }
    assert_true(out <= plane);
    for (int act = 0; act < 4; act++) {
        pare_conv_tile t = { .mr = k->conv_mr,
                             .vl = k->vl,
                             .taps = taps,
                             .off = off,
                             .x = x,
                             .vectors = vectors,
                             .lanes = lanes,
                             .run = run,
                             .rows = rows,
                             .w = w,
                             .bias = bias,
                             .plane = plane,
                             .act = (pare_act)act,
                             .lo = -1,
                             .hi = 2,
                             .alpha = 0.1f,
                             .residual = seed % 2 ? residual : NULL };
        char what[160];
        for (int kind = 0; kind < 3; kind++) {
            float *want = guarded(rows * plane), *got = guarded(rows * plane);
            static const char *const names[] = { "conv_tile", "conv_row", "conv_max" };
            if (kind > 0) t.rows = 1;
            t.y = want;
            (kind == 0 ? pare_conv_tile_c : kind == 1 ? pare_conv_row_c : pare_conv_max_c)(&t);
            t.y = got;
            (kind == 0 ? k->conv_tile : kind == 1 ? k->conv_row : k->conv_max)(&t);
            snprintf(what, sizeof what, "%s/%s taps=%zu rows=%zu vectors=%zu act=%d seed=%llu",
                     names[kind], k->isa, taps, rows, vectors, act, (unsigned long long)seed);
            same(got, want, rows * plane, 4 * sqrt((double)taps) + 4, kind == 2 ? 0 : 1e-6, what);
            drop_guarded(want);
            drop_guarded(got);
        }
    }
    free(x), free(w), free(bias), free(residual), free(off), free(lanes), free(run);
}
static void test_conv(void **state)
{
    (void)state;
    each_isa(check_conv, 60);
}

static void check_conv_blocked(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 31);
    enum { TILES = 3, TAPS = 6 };
    size_t vl = k->vl, blocks = 1 + pare_rng_below(&rng, PARE_BLOCKED_MOST),
           channels = 1 + pare_rng_below(&rng, 3 * vl), reach = 40 * vl,
           in_blocks = (channels + vl - 1) / vl, room = TILES * PARE_BLOCKED_PIXELS_MOST * vl,
           y_floats = blocks * room, ahead_floats = pare_rng_below(&rng, 100);
    float *x = fresh(in_blocks * reach, &rng), *w = fresh(TAPS * channels * blocks * vl, &rng),
          *bias = fresh(blocks * vl, &rng), *residual = fresh(y_floats, &rng),
          *ahead = fresh(ahead_floats, &rng);
    int32_t tap[TILES][TAPS], in[TILES][TAPS * PARE_BLOCKED_PIXELS_MOST],
        out[TILES][PARE_BLOCKED_PIXELS_MOST];
    pare_blocked_shape shape[TILES];
    pare_blocked_tile tile[TILES];
    size_t most = 0;
    for (size_t i = 0; i < TILES; i++) {
        size_t taps = pare_rng_below(&rng, TAPS + 1),
               pixels = 1 + pare_rng_below(&rng, k->blocked_pixels);
        bool inside = pare_rng_below(&rng, 2);
        if (taps > most) most = taps;
        for (size_t t = 0; t < taps; t++) tap[i][t] = (int32_t)pare_rng_below(&rng, TAPS);
        for (size_t t = 0; t < taps * pixels; t++) {
            bool zero = !inside && pare_rng_below(&rng, 3) == 0;
            in[i][t] = zero ? PARE_BLOCKED_ZERO : (int32_t)(pare_rng_below(&rng, 38) * vl);
        }
        for (size_t p = 0; p < pixels; p++) out[i][p] = (int32_t)(p * vl);
        shape[i] = (pare_blocked_shape){ .pixels = (uint32_t)pixels,
                                         .taps = (uint32_t)taps,
                                         .inside = inside,
                                         .tap = tap[i],
                                         .in = in[i],
                                         .out = out[i] };
        tile[i] = (pare_blocked_tile){ .shape = &shape[i],
                                       .in = (int32_t)(pare_rng_below(&rng, 2) * vl),
                                       .out = (int32_t)(i * PARE_BLOCKED_PIXELS_MOST * vl) };
    }
    for (int act = 0; act < 4; act++) {
        pare_conv_blocked t = { .vl = vl,
                                .n_tiles = TILES,
                                .tile = tile,
                                .blocks = blocks,
                                .channels = channels,
                                .x = x,
                                .x_block = reach,
                                .w = w,
                                .bias = bias,
                                .residual = seed % 2 ? residual : NULL,
                                .y_block = room,
                                .first = seed % 3 > 0,
                                .last = seed % 5 > 0,
                                .act = (pare_act)act,
                                .lo = -1,
                                .hi = 2,
                                .alpha = 0.1f,
                                .ahead = ahead,
                                .ahead_floats = ahead_floats };
        float *want = guarded(y_floats), *got = guarded(y_floats);
        for (size_t i = 0; i < y_floats; i++) want[i] = got[i] = (float)(i % 7); /* sums so far */
        t.y = want;
        pare_conv_blocked_c(&t);
        t.y = got;
        k->conv_blocked(&t);
        char what[160];
        snprintf(what, sizeof what, "conv_blocked/%s blocks=%zu channels=%zu act=%d seed=%llu",
                 k->isa, blocks, channels, act, (unsigned long long)seed);
        same(got, want, y_floats, 4 * sqrt((double)(most * channels)) + 8, 1e-6, what);
        drop_guarded(want);
        drop_guarded(got);
    }
    free(x), free(w), free(bias), free(residual), free(ahead);
}
static void check_beside(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 32);
    size_t n = 1 + pare_rng_below(&rng, 9), count = pare_rng_below(&rng, 70),
           plane = count + pare_rng_below(&rng, 5);
    float *x = fresh(n * plane, &rng), *want = guarded(n * count), *got = guarded(n * count);
    pare_beside_c(n, count, x, plane, want);
    k->beside(n, count, x, plane, got);
    char what[100];
    snprintf(what, sizeof what, "beside/%s n=%zu count=%zu", k->isa, n, count);
    same(got, want, n * count, 0, 0, what);
    free(x);
    drop_guarded(want);
    drop_guarded(got);
}

static void check_pointwise(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 33);
    size_t vl = k->vl, pixels = pare_rng_below(&rng, 40), blocks = 1 + pare_rng_below(&rng, 5),
           channels = 1 + pare_rng_below(&rng, 3 * vl), in_blocks = (channels + vl - 1) / vl,
           x_block = (pixels + pare_rng_below(&rng, 3)) * vl;
    bool inner = seed % 2; /* blocks of a pixel side by side, or pixels of a block */
    size_t y_pixel = inner ? blocks * vl : vl, y_block = inner ? vl : (pixels + 1) * vl,
           y_floats = blocks * (pixels + 1) * vl;
    float *x = fresh(in_blocks * x_block, &rng), *w = fresh(channels * blocks * vl, &rng),
          *bias = fresh(blocks * vl, &rng), *residual = fresh(y_floats, &rng);
    size_t ahead_floats = pare_rng_below(&rng, 500);
    float *ahead = fresh(ahead_floats, &rng);
    for (int act = 0; act < 4; act++) {
        pare_pointwise t = { .vl = vl,
                             .pixels = pixels,
                             .blocks = blocks,
                             .channels = channels,
                             .x = x,
                             .x_block = x_block,
                             .w = w,
                             .bias = bias,
                             .residual = seed % 3 ? residual : NULL,
                             .y_block = y_block,
                             .y_pixel = y_pixel,
                             .onto = seed % 4 == 3,
                             .finish = { (pare_act)act, -1, 2, 0.1f },
                             .ahead = ahead,
                             .ahead_floats = ahead_floats };
        float *want = guarded(y_floats), *got = guarded(y_floats);
        for (size_t i = 0; i < y_floats; i++) want[i] = got[i] = (float)(i % 7); /* sums so far */
        t.y = want;
        pare_pointwise_c(&t);
        t.y = got;
        k->pointwise(&t);
        char what[160];
        snprintf(what, sizeof what, "pointwise/%s pixels=%zu blocks=%zu channels=%zu act=%d",
                 k->isa, pixels, blocks, channels, act);
        same(got, want, y_floats, 4 * sqrt((double)channels) + 8, 1e-6, what);
        drop_guarded(want);
        drop_guarded(got);
    }
    free(x), free(w), free(bias), free(residual), free(ahead);
}

static void test_conv_blocked(void **state)
{
    (void)state;
    each_isa(check_conv_blocked, 120);
    each_isa(check_beside, 60);
    each_isa(check_pointwise, 150);
}

static void check_fill(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 2);
    pare_conv_fill f = { .channels = 1 + pare_rng_below(&rng, 3),
                         .in_y = 1 + (int64_t)pare_rng_below(&rng, 9),
                         .in_x = 1 + (int64_t)pare_rng_below(&rng, 50),
                         .stride_y = 1 + (int64_t)pare_rng_below(&rng, 3),
                         .stride_x = 1 + (int64_t)pare_rng_below(&rng, 3),
                         .row_phases = 1 + pare_rng_below(&rng, 2),
                         .col_planes = 1 + pare_rng_below(&rng, 3),
                         .width = 1 + pare_rng_below(&rng, 60),
                         .pad = seed % 2 ? 0 : -INFINITY };
    f.channel = (size_t)(f.in_y * f.in_x);
    size_t total = 0;
    for (size_t i = 0; i < f.row_phases; i++) {
        f.first[i] = (int64_t)pare_rng_below(&rng, 7) - 3;
        f.rows[i] = 1 + pare_rng_below(&rng, 8);
        f.skip[i] = 0; /* what is skipped may hold what rows before wrote beyond their ends */
        total += f.rows[i] * f.width * f.col_planes * f.channels;
    }
    for (size_t j = 0; j < f.col_planes; j++) f.shift[j] = (int64_t)pare_rng_below(&rng, 9) - 5;
    float *x = fresh(f.channels * f.channel, &rng), *want = guarded(total + k->vl),
          *got = guarded(total + k->vl);
    f.x = x;
    f.to = want;
    pare_conv_fill_c(&f);
    f.to = got;
    k->conv_fill(&f);
    for (size_t i = 0; i < k->vl; i++)
        got[total + i] = want[total + i] = guard; /* may be written, by contract */
    char what[160];
    snprintf(what, sizeof what, "conv_fill/%s x %lldx%lld width=%zu stride_x=%lld seed=%llu",
             k->isa, (long long)f.in_y, (long long)f.in_x, f.width, (long long)f.stride_x,
             (unsigned long long)seed);
    same(got, want, total + k->vl, 0, 0, what);
    free(x);
    drop_guarded(want);
    drop_guarded(got);
}
static void test_fill(void **state)
{
    (void)state;
    each_isa(check_fill, 300);
}

static void check_gemm(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 3);
    size_t m = 1 + pare_rng_below(&rng, 20), n = 1 + pare_rng_below(&rng, 200),
           kk = pare_rng_below(&rng, 60), ldc = n + pare_rng_below(&rng, 9);
    size_t panels = (n + k->gemm_nr - 1) / k->gemm_nr * k->gemm_nr;
    bool transposed = seed % 3 == 0;
    float *a = fresh(m * kk + 1, &rng), *b = fresh(panels * kk, &rng), *shift = fresh(panels, &rng),
          *residual = fresh(m * ldc, &rng);
    float *want = guarded(m * ldc), *got = guarded(m * ldc);
    pare_gemm_tile t = { .nr = k->gemm_nr,
                         .m = m,
                         .n = n,
                         .k = kk,
                         .a = a,
                         .row = transposed ? 1 : kk,
                         .step = transposed ? m : 1,
                         .b = b,
                         .shift = shift,
                         .residual = seed % 2 ? residual : NULL,
                         .ldc = ldc,
                         .act = (pare_act)(seed % 4),
                         .lo = -2,
                         .hi = 1,
                         .alpha = 0.5f };
    t.c = want;
    pare_gemm_tile_c(&t);
    t.c = got;
    k->gemm_tile(&t);
    char what[160];
    snprintf(what, sizeof what, "gemm_tile/%s m=%zu n=%zu k=%zu seed=%llu", k->isa, m, n, kk,
             (unsigned long long)seed);
    same(got, want, m * ldc, 4 * sqrt((double)kk) + 4, 1e-6, what);
    free(a), free(b), free(shift), free(residual);
    drop_guarded(want);
    drop_guarded(got);
}
static void test_gemm(void **state)
{
    (void)state;
    each_isa(check_gemm, 100);
}

static void check_rows(const pare_kernels *k, uint64_t seed)
{
    static const size_t sizes[] = { 0, 1, 3, 7, 8, 9, 15, 16, 17, 31, 33, 64, 100, 257 };
    pare_rng rng = pare_rng_stream(seed, 4);
    for (size_t s = 0; s < sizeof sizes / sizeof *sizes; s++) {
        size_t n = sizes[s];
        float *x = fresh(n + 1, &rng), *y = fresh(n + 1, &rng);
        for (size_t i = 0; i < n; i++) {
            x[i] *= seed % 2 ? 3 : 40; /* also far outside of what exp can give */
            if (seed % 5 == 0 && i % 7 == 3) x[i] = NAN;
            if (seed % 5 == 1 && i % 7 == 3) y[i] = NAN;
        }
        char what[120];
        for (int f = 0; f <= PARE_UNARY_AFFINE; f++) {
            float *want = guarded(n), *got = guarded(n), scale = 1;
            pare_unary_c((pare_unary)f, n, x, 0.3f, 0.8f, want);
            k->unary((pare_unary)f, n, x, 0.3f, 0.8f, got);
            snprintf(what, sizeof what, "unary %d/%s n=%zu seed=%llu", f, k->isa, n,
                     (unsigned long long)seed);
            for (size_t i = 0; i < n; i++) /* relative to each number, where it is large */
                if (isfinite(want[i]) && fabsf(want[i]) > 1) {
                    if (!(fabsf(got[i] - want[i]) <= 1e-5f * fabsf(want[i])))
                        fail_msg("%s: %.9g instead of %.9g", what, (double)got[i], (double)want[i]);
                    got[i] = want[i] = 1;
                }
            same(got, want, n, (double)scale, 2e-6, what);
            drop_guarded(want);
            drop_guarded(got);
        }
        for (int f = 0; f <= PARE_BINARY_MIN; f++)
            for (size_t step = 0; step < 4; step++) {
                float *want = guarded(n), *got = guarded(n);
                pare_binary_c((pare_binary)f, n, x, step & 1, y, step >> 1, want);
                k->binary((pare_binary)f, n, x, step & 1, y, step >> 1, got);
                snprintf(what, sizeof what, "binary %d/%s n=%zu steps %zu seed=%llu", f, k->isa, n,
                         step, (unsigned long long)seed);
                same(got, want, n, 0, 0, what);
                drop_guarded(want);
                drop_guarded(got);
            }
        float a = pare_largest_c(n, y), b = k->largest(n, y), sum = pare_sum_c(n, y),
              got = k->sum(n, y);
        if (a != b && !(isnan(a) && isnan(b)))
            fail_msg("largest/%s n=%zu: %g instead of %g", k->isa, n, (double)b, (double)a);
        if (!(fabsf(sum - got) <= 1e-5f * (float)(n + 1)) && !isnan(sum))
            fail_msg("sum/%s n=%zu: %g instead of %g", k->isa, n, (double)got, (double)sum);
        free(x);
        free(y);
    }
}
static void test_rows(void **state)
{
    (void)state;
    each_isa(check_rows, 10);
}

static void check_whole_rows(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 8);
    size_t n = 1 + pare_rng_below(&rng, seed % 2 ? 40 : 300);
    float *x = fresh(n, &rng), *scale = fresh(n, &rng), *shift = fresh(n, &rng), *want = guarded(n),
          *got = guarded(n);
    for (size_t i = 0; i < n; i++) x[i] = 5 + x[i] * (seed % 3 ? 2 : 50);
    if (seed % 7 == 0) x[n / 2] = -INFINITY; /* as masks have it */
    if (seed % 11 == 0) x[n - 1] = NAN;
    char what[120];
    snprintf(what, sizeof what, "softmax/%s n=%zu seed=%llu", k->isa, n, (unsigned long long)seed);
    pare_softmax_c(n, x, want);
    k->softmax(n, x, got);
    same(got, want, n, 1, 1e-6, what);
    memcpy(got, x, n * sizeof *x);
    k->softmax(n, got, got);
    same(got, want, n, 1, 1e-6, what);
    if (seed % 7 != 0 && n > 1) {
        snprintf(what, sizeof what, "normalize/%s n=%zu seed=%llu", k->isa, n,
                 (unsigned long long)seed);
        pare_normalize_c(n, x, 1e-5f, scale, seed % 5 ? shift : NULL, seed % 2, want);
        k->normalize(n, x, 1e-5f, scale, seed % 5 ? shift : NULL, seed % 2, got);
        same(got, want, n, 4, 1e-5, what);
    }
    free(x), free(scale), free(shift);
    drop_guarded(want), drop_guarded(got);
}
static void test_whole_rows(void **state)
{
    (void)state;
    each_isa(check_whole_rows, 100);
}

static double elu(double x) { return x < 0 ? expm1(x) : x; }
static double sigmoid(double x) { return 1 / (1 + exp(-x)); }
static double silu(double x) { return x / (1 + exp(-x)); }
static double gelu(double x) { return x / 2 * (1 + erf(x * sqrt(0.5))); }
static double gelu_tanh(double x)
{
    return x / 2 * (1 + tanh(sqrt(2 / acos(-1)) * (x + 0.044715 * x * x * x)));
}

/* Every function against double precision, for numbers of all magnitudes and signs. Errors are in
 * units of 2^-24 of the result; of Gelu, whose sum cancels below zero, of x. */
static void check_functions(const pare_kernels *k, uint64_t seed)
{
    static const struct {
        pare_unary f;
        double (*exact)(double);
        double least, most, units;
        bool of_x;
    } functions[] = {
        { PARE_UNARY_EXP, exp, -87, 88, 4, false },
        { PARE_UNARY_SIGMOID, sigmoid, -87, 200, 6, false },
        { PARE_UNARY_SILU, silu, -80, 200, 6, false },
        { PARE_UNARY_TANH, tanh, -200, 200, 6, false },
        { PARE_UNARY_ERF, erf, -200, 200, 6, false },
        { PARE_UNARY_ELU, elu, -200, 200, 8, false },
        { PARE_UNARY_GELU, gelu, -200, 200, 6, true },
        { PARE_UNARY_GELU_TANH, gelu_tanh, -200, 200, 6, true },
    };
    for (size_t f = 0; f < sizeof functions / sizeof *functions; f++)
        for (uint32_t bits = (uint32_t)seed * 997; bits < 0xff000000; bits += 300007) {
            float x, y;
            memcpy(&x, &bits, sizeof x);
            if (!(x >= functions[f].least && x <= functions[f].most) || fabsf(x) < 1e-30f) continue;
            k->unary(functions[f].f, 1, &x, 1, 0, &y);
            double want = functions[f].exact((double)x),
                   unit = ldexp(functions[f].of_x ? fabs((double)x) : fabs(want), -24);
            if (!(fabs((double)y - want) <= functions[f].units * unit))
                fail_msg("unary %d/%s of %.9g: %.9g instead of %.9g, %.1f units", functions[f].f,
                         k->isa, (double)x, (double)y, want, fabs((double)y - want) / unit);
        }
}
static void test_functions(void **state)
{
    (void)state;
    each_isa(check_functions, 3);
}

/* What measures the machine does what it says: else its rates would be another loop's. */
static void check_limits(const pare_kernels *k, uint64_t seed)
{
    float sum;
    int32_t exact;
    size_t rounds = 60 + 7 * (size_t)seed, n = 256 * (size_t)(seed + 1);
    double lanes = k->limit_fma(rounds, 3, &sum) / (2 * (double)rounds);
    assert_true(lanes >= 8 && fabs((double)sum / (6 * lanes) - 1) < 1e-5);
    double ops = k->limit_int8(rounds, 0xff800201, &exact);
    assert_int_equal(exact, (int64_t)(ops / 8 * (1 + 2 * 2 + 3 * 128 + 4 * 255)) & INT32_MAX);
    float *x = malloc(n * sizeof *x);
    double want = 0;
    for (size_t i = 0; i < n; i++) want += x[i] = (float)(i % 512);
    assert_true(k->limit_read(x, n) == want && pare_limit_read_c(x, n) == want);
    free(x);
}
static void test_limits(void **state)
{
    (void)state;
    each_isa(check_limits, 5);
}

/* The definition is too short to be wrong in the same way: lane l of pixel p is plane l's number p.
 */
static void check_reorder(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 4);
    size_t vl = k->vl, lanes = 1 + pare_rng_below(&rng, vl), pixels = 1 + pare_rng_below(&rng, 70),
           plane = pixels + pare_rng_below(&rng, 5);
    if (seed % 3 == 0) lanes = vl;
    float *x = fresh(lanes * plane, &rng), *blocked = guarded(pixels * vl),
          *want = guarded(pixels * vl), *back = guarded(lanes * plane),
          *plain = guarded(lanes * plane);
    char what[80];
    snprintf(what, sizeof what, "reorder/%s %zu lanes, %zu pixels", k->isa, lanes, pixels);
    for (size_t p = 0; p < pixels; p++)
        for (size_t l = 0; l < vl; l++) want[p * vl + l] = l < lanes ? x[l * plane + p] : 0;
    k->to_blocked(lanes, pixels, plane, x, blocked);
    same(blocked, want, pixels * vl, 0, 0, what);
    for (size_t l = 0; l < lanes; l++)
        for (size_t p = 0; p < pixels; p++) plain[l * plane + p] = x[l * plane + p];
    k->to_plain(lanes, pixels, plane, blocked, back); /* leaves what lies between the planes */
    same(back, plain, lanes * plane, 0, 0, what);
    drop_guarded(blocked);
    drop_guarded(want);
    drop_guarded(back);
    drop_guarded(plain);
    free(x);
}
static void check_resize(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 10);
    size_t taps = 1 + pare_rng_below(&rng, 5), n = 1 + pare_rng_below(&rng, 80),
           pixels = 1 + pare_rng_below(&rng, 30), in = 1 + pare_rng_below(&rng, 20);
    float *x = fresh(taps * n + in * k->vl, &rng), *weight = fresh(taps * pixels, &rng),
          *want = guarded(n + pixels * k->vl), *got = guarded(n + pixels * k->vl);
    const float *row[5];
    for (size_t i = 0; i < taps; i++) row[i] = x + i * n;
    char what[100];
    snprintf(what, sizeof what, "blend_rows/%s n=%zu taps=%zu", k->isa, n, taps);
    pare_blend_rows_c(n, taps, weight, row, want);
    k->blend_rows(n, taps, weight, row, got);
    same(got, want, n, 4, 1e-6, what);
    int32_t *index = malloc(taps * pixels * sizeof *index);
    assert_non_null(index);
    for (size_t i = 0; i < taps * pixels; i++) index[i] = (int32_t)pare_rng_below(&rng, in);
    drop_guarded(want), drop_guarded(got);
    want = guarded(pixels * k->vl), got = guarded(pixels * k->vl);
    snprintf(what, sizeof what, "blend_pixels/%s pixels=%zu taps=%zu", k->isa, pixels, taps);
    for (size_t p = 0; p < pixels; p++) /* for any vl; the plain version has one of 8 */
        for (size_t l = 0; l < k->vl; l++) {
            float sum = 0;
            for (size_t i = 0; i < taps; i++)
                sum += weight[p * taps + i] * x[(size_t)index[p * taps + i] * k->vl + l];
            want[p * k->vl + l] = sum;
        }
    k->blend_pixels(pixels, taps, index, weight, x, got);
    same(got, want, pixels * k->vl, 4, 1e-6, what);
    free(x), free(weight), free(index);
    drop_guarded(want), drop_guarded(got);
}
static void test_resize(void **state)
{
    (void)state;
    each_isa(check_resize, 60);
}

static void check_transpose(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 9);
    size_t rows = 1 + pare_rng_below(&rng, 40), columns = 1 + pare_rng_below(&rng, 40),
           from_row = columns + pare_rng_below(&rng, 5), to_row = rows + pare_rng_below(&rng, 5),
           size = columns * to_row;
    float *x = fresh(rows * from_row, &rng), *want = guarded(size), *got = guarded(size);
    char what[100];
    snprintf(what, sizeof what, "transpose/%s of %zu x %zu, seed %llu", k->isa, rows, columns,
             (unsigned long long)seed);
    pare_transpose_c(rows, columns, x, from_row, want, to_row);
    k->transpose(rows, columns, x, from_row, got, to_row);
    same(got, want, size, 0, 0, what);
    free(x);
    drop_guarded(want), drop_guarded(got);
}
static void test_transpose(void **state)
{
    (void)state;
    each_isa(check_transpose, 60);
}

static void test_reorder(void **state)
{
    (void)state;
    each_isa(check_reorder, 40);
}

/* Windows of every kind, with padding, strides and dilations that leave taps outside; the plain
 * version with this table's vl defines the result. */
static void check_window_blocked(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 5);
    int64_t below[] = { 4, 4, 3, 3, 3, 3, 5, 5, 12, 40 }, v[10];
    for (int i = 0; i < 10; i++) v[i] = (int64_t)pare_rng_below(&rng, (uint64_t)below[i]);
    pare_window_blocked t = { .vl = k->vl,
                              .kernel_y = 1 + v[0],
                              .kernel_x = 1 + v[1],
                              .stride_y = 1 + v[2],
                              .stride_x = 1 + v[3],
                              .dil_y = 1 + v[4],
                              .dil_x = 1 + v[5],
                              .pad_y = v[6],
                              .pad_x = v[7],
                              .in_y = 1 + v[8],
                              .in_x = 1 + v[9],
                              .lo = -1,
                              .hi = 2,
                              .alpha = 0.1f };
    int64_t wide = t.in_x + t.pad_x + 3, reach = (t.kernel_x - 1) * t.dil_x;
    int64_t out_y = (t.in_y + t.pad_y + 1) / t.stride_y + 1;
    t.out_x = wide / t.stride_x + 1; /* windows that lie outside altogether, too */
    t.first = (int64_t)pare_rng_below(&rng, (uint64_t)out_y);
    t.end = t.first + 1 + (int64_t)pare_rng_below(&rng, (uint64_t)(out_y - t.first));
    while (t.inner < t.out_x && t.inner * t.stride_x < t.pad_x) t.inner++;
    for (t.outer = t.inner; t.outer < t.out_x && t.outer * t.stride_x - t.pad_x + reach < t.in_x;)
        t.outer++;
    size_t vl = k->vl, in = (size_t)(t.in_y * t.in_x) * vl, out = (size_t)(out_y * t.out_x) * vl;
    float *x = fresh(in, &rng), *w = fresh((size_t)(t.kernel_y * t.kernel_x) * vl, &rng),
          *shift = fresh(vl, &rng), *residual = fresh(out, &rng),
          *share = fresh((size_t)(out_y + t.out_x), &rng);
    if (seed % 6 == 5) zeros(in, x);
    if (seed % 4 == 0) x[pare_rng_below(&rng, in)] = NAN;
    t.x = x;
    for (int kind = 0; kind < 6; kind++) { /* the sum with every activation */
        t.kind = kind < 4 ? PARE_WINDOW_SUM : kind == 4 ? PARE_WINDOW_MAX : PARE_WINDOW_MEAN;
        bool sums = t.kind == PARE_WINDOW_SUM;
        t.w = sums ? w : NULL;
        t.shift = sums ? shift : NULL;
        t.residual = sums && seed % 2 ? residual : NULL;
        t.count_y = kind == 5 ? share : NULL;
        t.count_x = kind == 5 ? share + out_y : NULL;
        t.act = kind < 4 ? (pare_act)kind : PARE_ACT_NONE;
        float *want = guarded(out), *got = guarded(out);
        t.y = want;
        pare_window_blocked_c(&t);
        t.y = got;
        k->window_blocked(&t);
        char what[160];
        snprintf(what, sizeof what,
                 "window_blocked/%s kind %d %lldx%lld kernel %lldx%lld seed=%llu", k->isa, kind,
                 (long long)t.in_y, (long long)t.in_x, (long long)t.kernel_y, (long long)t.kernel_x,
                 (unsigned long long)seed);
        same(got, want, out, 8, kind == 4 ? 0 : 1e-6, what);
        drop_guarded(want);
        drop_guarded(got);
    }
    free(x), free(w), free(shift), free(residual), free(share);
}
static void test_window_blocked(void **state)
{
    (void)state;
    each_isa(check_window_blocked, 400);
}

/* Against the definition with this table's vl. */
static void check_rows_blocked(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 6);
    size_t vl = k->vl, n = pare_rng_below(&rng, 40), all = n * vl;
    float *x = fresh(all, &rng), *scale = fresh(vl, &rng), *shift = fresh(vl, &rng),
          *residual = fresh(all, &rng), *want = guarded(all), *got = guarded(all);
    if (seed % 6 == 5) zeros(all, x);
    if (seed % 3 == 0 && all) x[pare_rng_below(&rng, all)] = NAN;
    char what[80];
    for (int act = 0; act < 8; act++) {
        pare_finish f = { .act = (pare_act)(act % 4), .lo = -0.5f, .hi = 1, .alpha = 0.3f };
        const float *r = act < 4 ? NULL : residual;
        for (size_t i = 0; i < all; i++)
            want[i] = pare_act_apply(f.act, x[i] * scale[i % vl] + shift[i % vl] + (r ? r[i] : 0),
                                     f.lo, f.hi, f.alpha);
        k->affine_blocked(n, x, scale, shift, r, &f, got);
        snprintf(what, sizeof what, "affine_blocked/%s n=%zu act %d", k->isa, n, act);
        same(got, want, all, 8, 1e-6, what);
    }
    for (size_t i = 0; i < all; i++) want[i] = x[i] < 0 ? scale[i % vl] * x[i] : x[i];
    k->prelu_blocked(n, x, scale, got);
    snprintf(what, sizeof what, "prelu_blocked/%s n=%zu", k->isa, n);
    same(got, want, all, 0, 0, what);
    float *sum = guarded(vl), *most = guarded(vl);
    k->sum_blocked(n, x, sum);
    k->largest_blocked(n, x, most);
    for (size_t l = 0; l < vl; l++) {
        double s = 0;
        float best = -INFINITY;
        for (size_t i = l; i < all; i += vl) {
            s += (double)x[i];
            if (x[i] > best || isnan(x[i])) best = x[i];
        }
        if (!(fabs(s - (double)sum[l]) < 1e-5) && !(isnan(s) && isnan(sum[l])))
            fail_msg("sum_blocked/%s n=%zu: %g instead of %g", k->isa, n, (double)sum[l], s);
        bool same_most = (most[l] == best && !signbit(most[l]) == !signbit(best)) ||
                         (isnan(most[l]) && isnan(best));
        if (!same_most)
            fail_msg("largest_blocked/%s n=%zu: %g, not %g", k->isa, n, (double)most[l],
                     (double)best);
    }
    for (size_t i = 0; i < GUARD; i++)
        assert_true(sum[-1 - (ptrdiff_t)i] == guard && sum[vl + i] == guard &&
                    most[-1 - (ptrdiff_t)i] == guard && most[vl + i] == guard);
    size_t lanes = 1 + pare_rng_below(&rng, vl), from = pare_rng_below(&rng, vl - lanes + 1),
           to = pare_rng_below(&rng, vl - lanes + 1);
    for (size_t i = 0; i < all; i++) {
        want[i] = got[i] = guard;
        if (i % vl >= to && i % vl < to + lanes) want[i] = x[i - to + from];
    }
    k->lanes_blocked(n, lanes, x, from, got, to);
    same(got, want, all, 0, 0, "lanes_blocked");
    free(x), free(scale), free(shift), free(residual);
    drop_guarded(want), drop_guarded(got), drop_guarded(sum), drop_guarded(most);
}
static void test_rows_blocked(void **state)
{
    (void)state;
    each_isa(check_rows_blocked, 100);
}

/* A whole small convolution through all four kernels, each compared with its plain version on the
 * same input. Lanes beyond the channels are NaN. */
static void check_winograd(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 5);
    int m = seed % 2 ? 2 : 4;
    size_t vl = k->vl, positions = (size_t)((m + 2) * (m + 2));
    size_t channels = 1 + pare_rng_below(&rng, seed % 5 ? 40 : 300),
           blocks = 1 + pare_rng_below(&rng, PARE_WINOGRAD_BLOCKS), width = blocks * vl,
           lanes = 1 + pare_rng_below(&rng, vl), blocks_in = (channels + vl - 1) / vl;
    int64_t in_y = 1 + (int64_t)pare_rng_below(&rng, 13),
            in_x = 1 + (int64_t)pare_rng_below(&rng, 20), top = (int64_t)pare_rng_below(&rng, 4),
            left = (int64_t)pare_rng_below(&rng, 4), out_y = in_y + 2 * top - 2,
            out_x = in_x + 2 * left - 2;
    if (out_y < 1) top = 1, out_y = in_y;
    if (out_x < 1) left = 1, out_x = in_x;
    int64_t tiles_x = (out_x + m - 1) / m, all = (out_y + m - 1) / m * tiles_x;
    size_t first = pare_rng_below(&rng, (uint64_t)all),
           tiles = 1 + pare_rng_below(&rng, (uint64_t)all - first);
    char what[200];
    snprintf(what, sizeof what,
             "winograd/%s F%d channels=%zu blocks=%zu %lldx%lld pads %lld %lld tiles %zu+%zu",
             k->isa, m, channels, blocks, (long long)in_y, (long long)in_x, (long long)top,
             (long long)left, first, tiles);

    size_t n = positions * channels * width;
    float *w = fresh(lanes * channels * 9, &rng), *scale = fresh(vl, &rng), *u = fresh(n, &rng),
          *want = guarded(n), *got = guarded(n);
    pare_winograd_weights weights = { m,     vl,   lanes, channels,        w,
                                      scale, want, width, width * channels };
    memcpy(want, u, n * sizeof *u); /* other blocks' weights stay */
    memcpy(got, u, n * sizeof *u);
    pare_winograd_weights_c(&weights);
    weights.u = got;
    k->winograd_weights(&weights);
    same(got, want, n, 4, 1e-6, what);
    drop_guarded(want), drop_guarded(got);

    size_t map = blocks_in * (size_t)(in_y * in_x) * vl, position = blocks_in * tiles * vl + 3;
    float *x = fresh(map, &rng);
    for (size_t i = 0; i < map; i++)
        if (i / ((size_t)(in_y * in_x) * vl) * vl + i % vl >= channels) x[i] = NAN;
    n = positions * position;
    float *v = guarded(n);
    got = guarded(n);
    pare_winograd_input in = { m,    vl,      blocks_in, x,     in_y, in_x,    top,
                               left, tiles_x, first,     tiles, v,    position };
    pare_winograd_input_c(&in);
    in.v = got;
    k->winograd_input(&in);
    for (size_t p = 0; p < positions; p++) /* how far NaN spreads among the lanes is open */
        for (size_t i = 0; i < blocks_in * tiles * vl; i++)
            if (i / (tiles * vl) * vl + i % vl >= channels)
                got[p * position + i] = v[p * position + i] = NAN;
    same(got, v, n, 20, 1e-6, what);
    drop_guarded(got);

    size_t r_position = tiles * width + 5;
    n = positions * r_position;
    float *r = guarded(n);
    got = guarded(n);
    for (size_t p = 0; p < positions; p++) {
        pare_winograd_product product = { vl,
                                          blocks,
                                          channels,
                                          tiles,
                                          v + p * position,
                                          u + p * channels * width,
                                          r + p * r_position };
        pare_winograd_product_c(&product);
        product.r = got + p * r_position;
        k->winograd_product(&product);
    }
    same(got, r, n, 40 * sqrt((double)channels) + 10, 1e-6, what);
    drop_guarded(got);

    n = blocks * (size_t)(out_y * out_x) * vl;
    float *shift = fresh(width, &rng), *residual = fresh(n, &rng);
    for (int act = 0; act < 4; act++) {
        want = guarded(n), got = guarded(n);
        pare_winograd_output out = { .m = m,
                                     .vl = vl,
                                     .blocks = blocks,
                                     .r = r,
                                     .position = r_position,
                                     .out_y = out_y,
                                     .out_x = out_x,
                                     .tiles_x = tiles_x,
                                     .first = first,
                                     .tiles = tiles,
                                     .shift = shift,
                                     .residual = seed % 3 ? residual : NULL,
                                     .y = want,
                                     .finish = { (pare_act)act, -1, 2, 0.1f } };
        pare_winograd_output_c(&out);
        out.y = got;
        k->winograd_output(&out);
        same(got, want, n, 200 * sqrt((double)channels) + 20, 1e-6, what);
        drop_guarded(want), drop_guarded(got);
    }
    drop_guarded(v), drop_guarded(r);
    free(w), free(scale), free(u), free(x), free(shift), free(residual);
}
static void test_winograd(void **state)
{
    (void)state;
    each_isa(check_winograd, 200);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_blocked),   cmocka_unit_test(test_conv),
        cmocka_unit_test(test_fill),           cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_rows),           cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_window_blocked), cmocka_unit_test(test_rows_blocked),
        cmocka_unit_test(test_winograd),       cmocka_unit_test(test_limits),
        cmocka_unit_test(test_whole_rows),     cmocka_unit_test(test_functions),
        cmocka_unit_test(test_transpose),      cmocka_unit_test(test_resize),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
