/* The stages of sparse convolutions: every instruction set against the plain C definition, between
 * guards that stay untouched. */
#include "base/rng.h"
#include "support/isa.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { GUARD = 16, CHANNELS = 5, PLANE = 301, REACH = 150 };

/* n numbers, random or NaN, with GUARD more of NaN behind them. */
static float *floats(size_t n, pare_rng *r)
{
    float *p = aligned_alloc(64, ((n + GUARD) * sizeof *p + 63) / 64 * 64);
    assert_non_null(p);
    for (size_t i = 0; i < n + GUARD; i++)
        p[i] = r && i < n ? (float)(2 * pare_rng_uniform(r) - 1) : NAN;
    return p;
}

static void same(const float *want, const float *got, size_t n, double scale, const char *what)
{
    for (size_t i = 0; i < n + GUARD; i++) {
        if (isnan(want[i]) && isnan(got[i])) continue;
        if (i >= n) fail_msg("%s: wrote past the end", what);
        if (!(fabs((double)want[i] - (double)got[i]) <= 1e-6 * scale))
            fail_msg("%s: number %zu is %g instead of %g", what, i, (double)got[i],
                     (double)want[i]);
    }
}

/* x has NaN wherever a mask forbids to look, and ends where the last pixel that it allows ends. */
typedef struct scene {
    pare_sparse_source s;
    float *x;
    int32_t off[49];
    uint16_t mask[PARE_SPARSE_VECTORS * 49];
} scene;

static void set(scene *c, const pare_kernels *k, size_t vectors, size_t taps, bool masked,
                pare_rng *r)
{
    size_t all = CHANNELS * PLANE + vectors * k->vl + 2 * REACH;
    c->x = floats(all, r);
    c->s = (pare_sparse_source){ .vl = k->vl,
                                 .vectors = vectors,
                                 .x = c->x + REACH,
                                 .plane = PLANE,
                                 .taps = taps,
                                 .off = c->off,
                                 .mask = masked ? c->mask : NULL };
    for (size_t t = 0; t < taps; t++) c->off[t] = (int32_t)pare_rng_below(r, 2 * REACH) - REACH;
    for (size_t i = 0; i < vectors * taps; i++)
        c->mask[i] = pare_rng_below(r, 3) ? (uint16_t)pare_rng_below(r, 1u << k->vl)
                                          : (uint16_t)((1u << k->vl) - 1);
    if (!masked) return;
    bool *seen = calloc(all, sizeof *seen);
    assert_non_null(seen);
    for (size_t ch = 0; ch < CHANNELS; ch++)
        for (size_t v = 0; v < vectors; v++)
            for (size_t t = 0; t < taps; t++)
                for (size_t i = 0; i < k->vl; i++)
                    if (c->mask[v * taps + t] >> i & 1)
                        seen[(ptrdiff_t)(ch * PLANE + v * k->vl + i + REACH) + c->off[t]] = true;
    for (size_t i = 0; i < all; i++)
        if (!seen[i]) c->x[i] = NAN;
    free(seen);
}

static void check_rows(const pare_kernels *k, size_t vectors, size_t taps, bool masked,
                       uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, vectors * 100 + taps);
    scene c;
    set(&c, k, vectors, taps, masked, &r);
    pare_sparse_channel channel[CHANNELS];
    pare_sparse_shift shift[3 * CHANNELS];
    uint32_t rows = 0, table = 0;
    for (size_t i = 0; i < CHANNELS; i++) {
        uint32_t used = 1 + (uint32_t)pare_rng_below(&r, 12);
        channel[i] = (pare_sparse_channel){ (uint32_t)pare_rng_below(&r, CHANNELS), used, table };
        table += used * (uint32_t)taps;
        rows += used;
    }
    for (size_t i = 0; i < 3 * CHANNELS; i++)
        shift[i] = (pare_sparse_shift){ (uint32_t)pare_rng_below(&r, CHANNELS),
                                        (uint32_t)pare_rng_below(&r, taps) };
    size_t n = rows * vectors * k->vl, m = 3 * CHANNELS * vectors * k->vl;
    float *tables = floats(table, &r), *want = floats(n > m ? n : m, NULL),
          *got = floats(n > m ? n : m, NULL);
    char what[120];
    snprintf(what, sizeof what, "basis/%s vectors=%zu taps=%zu masked=%d seed=%llu", k->isa,
             vectors, taps, masked, (unsigned long long)seed);
    pare_sparse_basis_c(&c.s, CHANNELS, channel, tables, want);
    k->sparse_basis(&c.s, CHANNELS, channel, tables, got);
    same(want, got, n, (double)taps, what);
    memcpy(what, "shift", 5);
    for (size_t i = 0; i < (n > m ? n : m); i++) want[i] = got[i] = NAN;
    pare_sparse_shift_c(&c.s, 3 * CHANNELS, shift, want);
    k->sparse_shift(&c.s, 3 * CHANNELS, shift, got);
    same(want, got, m, 0, what);
    free(tables), free(want), free(got), free(c.x);
}

static void check_combine(const pare_kernels *k, size_t vectors, uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, vectors);
    size_t members = PARE_SPARSE_SUMS / vectors, unit = members < 4 ? 4 : members,
           tile = vectors * k->vl, rows = pare_rng_below(&r, 20),
           groups = (rows + members - 1) / members, z_rows = 1 + pare_rng_below(&r, 50),
           pixels = 1 + pare_rng_below(&r, tile), plane = pixels + pare_rng_below(&r, 20),
           terms = 0;
    uint32_t step[20], row[40];
    for (size_t i = 0; i < groups * members; i++) row[i] = (uint32_t)(i < rows ? i : rows);
    for (size_t i = rows; i-- > 1;) { /* in any order */
        size_t j = pare_rng_below(&r, i + 1);
        uint32_t t = row[i];
        row[i] = row[j], row[j] = t;
    }
    for (size_t i = 0; i < groups; i++) terms += unit * (step[i] = (uint32_t)pare_rng_below(&r, 9));
    float *value = floats(terms, &r), *z = floats(z_rows * tile, &r), *shift = floats(rows, &r),
          *residual = floats(rows * plane, &r), *acc = floats((rows + 1) * tile, &r);
    uint16_t *off = aligned_alloc(64, (terms * sizeof *off + 127) / 64 * 64);
    assert_non_null(off);
    for (size_t i = 0; i < terms; i++) off[i] = (uint16_t)(pare_rng_below(&r, z_rows) * tile / 2);
    pare_sparse_combine c = { .vl = k->vl,
                              .vectors = vectors,
                              .groups = groups,
                              .step = step,
                              .row = row,
                              .rows = rows,
                              .value = value,
                              .off = off,
                              .z = z,
                              .first = seed % 2 == 0,
                              .last = seed % 3 > 0,
                              .shift = shift,
                              .residual = seed % 5 ? residual : NULL,
                              .plane = plane,
                              .pixels = pixels,
                              .act = (pare_act)(seed % 4),
                              .lo = -0.5f,
                              .hi = 0.75f,
                              .alpha = 0.2f };
    float *want_acc = floats((rows + 1) * tile, NULL), *got_acc = floats((rows + 1) * tile, NULL),
          *want = floats(rows * plane, NULL), *got = floats(rows * plane, NULL);
    for (size_t i = 0; i < (rows + 1) * tile; i++) want_acc[i] = got_acc[i] = acc[i];
    c.acc = want_acc, c.y = want;
    pare_sparse_combine_c(&c);
    c.acc = got_acc, c.y = got;
    k->sparse_combine(&c);
    char what[120];
    snprintf(what, sizeof what, "combine/%s vectors=%zu rows=%zu pixels=%zu seed=%llu", k->isa,
             vectors, rows, pixels, (unsigned long long)seed);
    same(want, got, rows * plane, (double)terms + 4, what);
    for (size_t i = rows * tile; i < (rows + 1) * tile; i++) want_acc[i] = got_acc[i] = NAN;
    same(want_acc, got_acc, (rows + 1) * tile, (double)terms + 4, what);
    free(value), free(z), free(shift), free(residual), free(acc), free(off);
    free(want), free(got), free(want_acc), free(got_acc);
}

static void check_dot(const pare_kernels *k, uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, 77);
    size_t rows = pare_rng_below(&r, 40), groups = (rows + PARE_SPARSE_SUMS - 1) / PARE_SPARSE_SUMS,
           inputs = 1 + pare_rng_below(&r, 70), terms = 0;
    uint32_t step[5], row[40];
    for (size_t i = 0; i < groups * PARE_SPARSE_SUMS; i++)
        row[i] = (uint32_t)(i < rows ? rows - 1 - i : rows);
    for (size_t i = 0; i < groups; i++)
        terms += PARE_SPARSE_SUMS * (step[i] = (uint32_t)pare_rng_below(&r, 30));
    float *value = floats(terms, &r), *x = floats(inputs, &r), *shift = floats(rows, &r),
          *want = floats(rows, NULL), *got = floats(rows, NULL);
    uint16_t *off = malloc((terms + 1) * sizeof *off);
    assert_non_null(off);
    for (size_t i = 0; i < terms; i++) off[i] = (uint16_t)pare_rng_below(&r, inputs);
    pare_sparse_dot d = { .groups = groups,
                          .rows = rows,
                          .step = step,
                          .row = row,
                          .value = value,
                          .off = off,
                          .x = x,
                          .shift = shift };
    d.y = want;
    pare_sparse_dot_c(&d);
    d.y = got;
    k->sparse_dot(&d);
    char what[80];
    snprintf(what, sizeof what, "dot/%s rows=%zu seed=%llu", k->isa, rows,
             (unsigned long long)seed);
    same(want, got, rows, 34, what);
    free(value), free(x), free(shift), free(want), free(got), free(off);
}

static void check_all(const pare_kernels *k, uint64_t unused)
{
    (void)unused;
    for (uint64_t seed = 0; seed < 60; seed++) check_dot(k, seed);
    for (size_t vectors = 1; vectors <= PARE_SPARSE_VECTORS; vectors *= 2) {
        for (uint64_t seed = 0; seed < 24; seed++)
            check_rows(k, vectors, (size_t[]){ 1, 9, 4, 49 }[seed % 4], seed & 4, seed);
        for (uint64_t seed = 0; seed < 60; seed++) check_combine(k, vectors, seed);
    }
}
static void test_every_isa(void **state)
{
    (void)state;
    each_isa(check_all, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_isa) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
