/* Linear algebra: orthonormality, reconstruction, optimality of the truncation, fixed signs, bad
 * numbers. */
#include "linalg/linalg.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MAX_M = 60, MAX_N = 25 };

static void assert_orthonormal(size_t n, const double *v)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            double dot = 0;
            for (size_t k = 0; k < n; k++) dot += v[i * n + k] * v[j * n + k];
            assert_true(fabs(dot - (i == j)) < 1e-12);
        }
}

static void test_svd(void **state)
{
    static const size_t sizes[][2] = { { 1, 1 },  { 1, 9 },   { 9, 9 },
                                       { 60, 9 }, { 60, 25 }, { 4, 25 } };
    for (uint64_t seed = 0; seed < 10; seed++)
        for (size_t z = 0; z < sizeof sizes / sizeof *sizes; z++) {
            size_t m = sizes[z][0], n = sizes[z][1];
            static float a[MAX_M * MAX_N];
            static double s[MAX_N], v[MAX_N * MAX_N], s2[MAX_N], v2[MAX_N * MAX_N];
            pare_rng r = pare_rng_stream(seed, z);
            double total = 0;
            for (size_t i = 0; i < m * n; i++) {
                a[i] = (float)(pare_rng_normal(&r) +
                               0.5); /* a mean, which a centred decomposition would lose */
                total += (double)a[i] * (double)a[i];
            }
            assert_int_equal(pare_svd_right(m, n, a, s, v), PARE_OK);
            assert_orthonormal(n, v);
            for (size_t d = 0; d <= n;
                 d++) { /* Eckart and Young: what rank d leaves is the sum of the other s^2 */
                double left = 0, want = 0;
                for (size_t i = d; i < n; i++) want += s[i] * s[i];
                for (size_t row = 0; row < m; row++) {
                    double x[MAX_N];
                    for (size_t j = 0; j < n; j++) x[j] = (double)a[row * n + j];
                    for (size_t i = 0; i < d; i++) {
                        double dot = 0;
                        for (size_t j = 0; j < n; j++) dot += (double)a[row * n + j] * v[i * n + j];
                        for (size_t j = 0; j < n; j++) x[j] -= dot * v[i * n + j];
                    }
                    for (size_t j = 0; j < n; j++) left += x[j] * x[j];
                }
                assert_true(fabs(left - want) < 1e-9 * (1 + total));
            }
            for (size_t i = 0; i + 1 < n; i++) assert_true(s[i] >= s[i + 1]);
            for (size_t i = 0; i < m * n; i++) a[i] = -a[i];
            assert_int_equal(pare_svd_right(m, n, a, s2, v2), PARE_OK);
            assert_memory_equal(v, v2, n * n * sizeof *v); /* the sign does not follow the data's */
        }
}

static void test_bad_numbers(void **state)
{
    float a[4] = { 1, NAN, 2, 3 };
    double s[2], v[4];
    assert_int_equal(pare_svd_right(2, 2, a, s, v), PARE_EINVAL);
    a[1] = INFINITY;
    assert_int_equal(pare_svd_right(2, 2, a, s, v), PARE_EINVAL);
    assert_int_equal(pare_svd_right(1, 5000, a, s, v), PARE_ELIMIT);
    float zero[6] = { 0 };
    assert_int_equal(pare_svd_right(3, 2, zero, s, v), PARE_OK);
    assert_true(s[0] == 0 && s[1] == 0);
    assert_orthonormal(2, v);
}

static void test_random_orthonormal(void **state)
{
    static double v[MAX_N * MAX_N], w[MAX_N * MAX_N];
    for (size_t n = 1; n <= MAX_N; n += 3) {
        pare_rng r = pare_rng_stream(7, n), same = r;
        pare_random_orthonormal(n, &r, v);
        assert_orthonormal(n, v);
        pare_random_orthonormal(n, &same, w);
        assert_memory_equal(v, w, n * n * sizeof *v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_svd),
        cmocka_unit_test(test_bad_numbers),
        cmocka_unit_test(test_random_orthonormal),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
