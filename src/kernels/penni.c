/* Plain C: the definition of both stages. */
#include "kernels/penni.h"

void pare_penni_basis_c(size_t d, size_t taps, size_t len, const float *x, const uint32_t *off,
                        const float *basis, float *z, size_t ldz)
{
    for (size_t m = 0; m < d; m++)
        for (size_t i = 0; i < len; i++) {
            float sum = 0;
            for (size_t k = 0; k < taps; k++) sum += basis[k * d + m] * x[off[k] + i];
            z[m * ldz + i] = sum;
        }
}

void pare_penni_combine_c(size_t n, size_t len, const uint32_t *start, const pare_penni_term *term,
                          const float *z, size_t ldz, float *acc, size_t lda, int fresh)
{
    for (size_t r = 0; r < n; r++)
        for (size_t i = 0; i < len; i++) {
            float sum = fresh ? 0 : acc[r * lda + i];
            for (uint32_t p = start[r]; p < start[r + 1]; p++)
                sum += term[p].value * z[term[p].row * ldz + i];
            acc[r * lda + i] = sum;
        }
}
