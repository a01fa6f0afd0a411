/* Right singular vectors, through the eigenvectors of a^T a.
 *
 * Squaring loses singular values below about 1e-8 of the largest; float32 data do not carry those
 * anyway. In return the long sums run here, in one fixed order, and LAPACK sees only n x n: its
 * result cannot depend on the BLAS's threads. */
#include "linalg/linalg.h"

#include <lapacke.h>
#include <math.h>
#include <stdlib.h>

static void fix_sign(size_t n, double *v)
{
    size_t big = 0;
    for (size_t i = 1; i < n; i++)
        if (fabs(v[i]) > fabs(v[big]) * (1 + 1e-9)) big = i; /* near ties go to the first */
    if (v[big] < 0)
        for (size_t i = 0; i < n; i++) v[i] = -v[i];
}

pare_status pare_svd_right(size_t m, size_t n, const float *a, double *s, double *v)
{
    size_t count;
    if (!pare_mul_size(n, n, &count) || n > 4096)
        return pare_fail(PARE_ELIMIT, "a matrix of %zu columns is too wide to decompose", n);
    double *gram = calloc(count + n, sizeof *gram);
    if (!gram) return pare_fail(PARE_ENOMEM, "no memory to decompose a matrix of %zu columns", n);
    double *lambda = gram + count;
    for (size_t r = 0; r < m; r++)
        for (size_t i = 0; i < n; i++) {
            double x = (double)a[r * n + i];
            for (size_t j = 0; j <= i; j++) gram[i * n + j] += x * (double)a[r * n + j];
        }
    pare_status st = PARE_OK;
    for (size_t i = 0; i < n; i++)
        if (!isfinite(gram[i * n + i]))
            st = pare_fail(PARE_EINVAL, "a matrix to decompose has values that are not finite");
    /* The lower triangle row-major is the upper one column-major; eigenvectors come as columns,
     * that is, rows here. */
    if (st == PARE_OK) {
        int info =
            LAPACKE_dsyev(LAPACK_COL_MAJOR, 'V', 'U', (lapack_int)n, gram, (lapack_int)n, lambda);
        if (info == LAPACK_WORK_MEMORY_ERROR)
            st = pare_fail(PARE_ENOMEM, "no memory to decompose a matrix of %zu columns", n);
        else if (info != 0)
            st = pare_fail(PARE_EINTERNAL, "LAPACK dsyev gave up with %d on %zu columns", info, n);
    }
    for (size_t i = 0; st == PARE_OK && i < n; i++) { /* eigenvalues rise */
        s[i] = sqrt(fmax(0, lambda[n - 1 - i]));
        for (size_t j = 0; j < n; j++) v[i * n + j] = gram[(n - 1 - i) * n + j];
        fix_sign(n, v + i * n);
    }
    free(gram);
    return st;
}

void pare_random_orthonormal(size_t n, pare_rng *rng, double *v)
{
    for (size_t i = 0; i < n; i++) {
        double *row = v + i * n, norm = 0;
        while (norm < 1e-6) { /* a vector almost within the earlier ones' span is drawn again */
            for (size_t j = 0; j < n; j++) row[j] = pare_rng_normal(rng);
            for (int twice = 0; twice < 2; twice++) /* once more for what rounding left */
                for (size_t k = 0; k < i; k++) {
                    double dot = 0;
                    for (size_t j = 0; j < n; j++) dot += row[j] * v[k * n + j];
                    for (size_t j = 0; j < n; j++) row[j] -= dot * v[k * n + j];
                }
            norm = 0;
            for (size_t j = 0; j < n; j++) norm += row[j] * row[j];
            norm = sqrt(norm);
        }
        for (size_t j = 0; j < n; j++) row[j] /= norm;
    }
}
