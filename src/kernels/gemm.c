/* The plain version of the matrix product: it defines the arithmetic. */
#include "kernels/gemm.h"
#include "kernels/kernels.h"

void pare_gemm_tile_c(const pare_gemm_tile *t)
{
    for (size_t j0 = 0; j0 < t->n; j0 += t->nr) {
        const float *b = t->b + j0 * t->k;
        size_t n = t->n - j0 < t->nr ? t->n - j0 : t->nr;
        for (size_t i = 0; i < t->m; i++) {
            float sum[PARE_GEMM_NR_MOST] = { 0 };
            for (size_t k = 0; k < t->k; k++) {
                float a = t->a[i * t->row + k * t->step];
                for (size_t j = 0; j < n; j++) sum[j] += a * b[k * t->nr + j];
            }
            for (size_t j = 0; j < n; j++) {
                size_t at = i * t->ldc + j0 + j;
                float v = sum[j] + t->shift[j0 + j];
                if (t->residual) v += t->residual[at];
                t->c[at] = pare_act_apply(t->act, v, t->lo, t->hi, t->alpha);
            }
        }
    }
}
