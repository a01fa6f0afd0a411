/* Linear algebra on small dense matrices, row-major. The only module that knows LAPACK. */
#ifndef LINALG_LINALG_H
#define LINALG_LINALG_H

#include "base/rng.h"
#include "base/status.h"

/* Singular values s[n], falling, and right singular vectors v[n][n], one a row, of the m x n matrix
 * a (not centred). The best rank-d approximation of a is (a V_d^T) V_d with the first d rows. Signs
 * are fixed: the component of largest magnitude of each vector is positive. Made for m much larger
 * than n. Bitwise the same for any number of threads. PARE_EINVAL if an element is not finite. */
pare_status pare_svd_right(size_t m, size_t n, const float *a, double *s, double *v);

/* n orthonormal vectors of n numbers, one a row, uniformly distributed. */
void pare_random_orthonormal(size_t n, pare_rng *rng, double *v);

#endif
