/* PENNI's two stages: every instruction set against the plain C definition. */
#include "base/cpu.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "kernels/penni.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { LEN_MOST = 256, GUARD = 16 };

static float *floats(size_t n, pare_rng *r)
{
    float *p = aligned_alloc(64, (n * sizeof *p + 127) / 64 * 64);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++) p[i] = r ? (float)(2 * pare_rng_uniform(r) - 1) : NAN;
    return p;
}

static void same(const float *want, const float *got, size_t rows, size_t len, size_t ld,
                 float scale, const char *what)
{
    for (size_t r = 0; r < rows; r++) {
        for (size_t i = 0; i < len; i++)
            if (!(fabsf(want[r * ld + i] - got[r * ld + i]) <= 1e-6f * scale))
                fail_msg("%s: row %zu pixel %zu: %g instead of %g", what, r, i, got[r * ld + i],
                         want[r * ld + i]);
        for (size_t i = len; i < ld; i++)
            if (!isnan(got[r * ld + i])) fail_msg("%s: wrote past the end of row %zu", what, r);
    }
}

static void check_basis(const pare_kernels *k, size_t d, size_t taps, size_t len, uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, len);
    size_t ld = len + GUARD, span = 64;
    float *x = floats(len + span, &r), *basis = floats(taps * d, &r), *want = floats(d * ld, NULL),
          *got = floats(d * ld, NULL);
    uint32_t off[49];
    for (size_t t = 0; t < taps; t++) off[t] = (uint32_t)pare_rng_below(&r, span);
    pare_penni_basis_c(d, taps, len, x, off, basis, want, ld);
    k->penni_basis(d, taps, len, x, off, basis, got, ld);
    char what[96];
    snprintf(what, sizeof what, "penni_basis/%s d=%zu taps=%zu len=%zu seed=%llu", k->isa, d, taps,
             len, (unsigned long long)seed);
    same(want, got, d, len, ld, (float)taps, what);
    free(x);
    free(basis);
    free(want);
    free(got);
}

static void check_combine(const pare_kernels *k, size_t n, size_t rows, size_t len, int fresh,
                          uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, len + n);
    size_t ld = len + GUARD;
    float *z = floats(rows * ld, &r), *want = floats(n * ld, NULL), *got = floats(n * ld, NULL);
    uint32_t *start = calloc(n + 1, sizeof *start);
    pare_penni_term *term = malloc((n * rows + 1) * sizeof *term);
    assert_non_null(start);
    assert_non_null(term);
    for (size_t i = 0; i < n; i++) {
        start[i + 1] = start[i];
        for (size_t j = 0; j < rows; j++)
            if (pare_rng_uniform(&r) < 0.3)
                term[start[i + 1]++] = (pare_penni_term){ (float)pare_rng_normal(&r), (uint32_t)j };
        for (size_t p = 0; !fresh && p < len; p++)
            want[i * ld + p] = got[i * ld + p] = (float)pare_rng_normal(&r);
    }
    pare_penni_combine_c(n, len, start, term, z, ld, want, ld, fresh);
    k->penni_combine(n, len, start, term, z, ld, got, ld, fresh);
    char what[96];
    snprintf(what, sizeof what, "penni_combine/%s n=%zu rows=%zu len=%zu fresh=%d seed=%llu",
             k->isa, n, rows, len, fresh, (unsigned long long)seed);
    same(want, got, n, len, ld, 4 * (float)(rows + 1), what);
    free(z);
    free(want);
    free(got);
    free(start);
    free(term);
}

static void test_every_isa(void **state)
{
    (void)state;
    for (unsigned cpu = pare_cpu_detect(), mask = 0; mask <= cpu; mask++) {
        if (mask & ~cpu) continue;
        pare_kernels k;
        pare_kernels_init(&k, mask);
        for (size_t len = 16; len <= LEN_MOST; len += 16) {
            for (size_t d = 1; d <= 11; d++) check_basis(&k, d, d % 3 ? 9 : 25, len, d);
            for (size_t n = 0; n < 9; n += 4)
                for (int fresh = 0; fresh < 2; fresh++)
                    check_combine(&k, n, 7 * n, len, fresh, len);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_every_isa) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
