/* PENNI's stages, compiled once per instruction set. A block of pixels stays in registers: in the
 * basis stage for up to 5 basis kernels at once, so that each load of x serves them all; in the
 * combine stage for all terms of a channel. Blocks of 8 vectors give enough independent sums to
 * hide the latency of a multiply-add.
 */
#include "kernels/penni.h"

typedef float vec __attribute__((vector_size(PARE_VEC_BYTES), aligned(4), may_alias));
enum { VL = PARE_VEC_BYTES / 4, D_MOST = 5, BASIS_V = PARE_VEC_BYTES == 64 ? 4 : 2, COMBINE_V = 8 };

#define CAT2(a, b) a##_##b
#define CAT1(a, b) CAT2(a, b)
#define CAT(a)     CAT1(a, PARE_ISA)
#define INLINE     static inline __attribute__((always_inline))

INLINE void basis_block(size_t d, int v, size_t ld, size_t taps, const float *x,
                        const uint32_t *off, const float *basis, float *z, size_t ldz)
{
    vec acc[D_MOST][BASIS_V];
    for (size_t m = 0; m < d; m++)
        for (int i = 0; i < v; i++) acc[m][i] = (vec){ 0 };
    for (size_t k = 0; k < taps; k++) {
        vec in[BASIS_V];
        for (int i = 0; i < v; i++) in[i] = *(const vec *)(x + off[k] + i * VL);
        for (size_t m = 0; m < d; m++)
            for (int i = 0; i < v; i++) acc[m][i] += basis[k * ld + m] * in[i];
    }
    for (size_t m = 0; m < d; m++)
        for (int i = 0; i < v; i++) *(vec *)(z + m * ldz + i * VL) = acc[m][i];
}

INLINE void basis_rows(size_t d, size_t ld, size_t taps, size_t len, const float *x,
                       const uint32_t *off, const float *basis, float *z, size_t ldz)
{
    size_t i = 0;
    for (; i + BASIS_V * VL <= len; i += BASIS_V * VL)
        basis_block(d, BASIS_V, ld, taps, x + i, off, basis, z + i, ldz);
    for (; i < len; i += VL) basis_block(d, 1, ld, taps, x + i, off, basis, z + i, ldz);
}

void CAT(pare_penni_basis)(size_t d, size_t taps, size_t len, const float *x, const uint32_t *off,
                           const float *basis, float *z, size_t ldz)
{
    size_t ld = d;
    for (; d >= D_MOST; d -= D_MOST, basis += D_MOST, z += D_MOST * ldz)
        basis_rows(D_MOST, ld, taps, len, x, off, basis, z, ldz);
    switch (d) {
    case 4: basis_rows(4, ld, taps, len, x, off, basis, z, ldz); break;
    case 3: basis_rows(3, ld, taps, len, x, off, basis, z, ldz); break;
    case 2: basis_rows(2, ld, taps, len, x, off, basis, z, ldz); break;
    case 1: basis_rows(1, ld, taps, len, x, off, basis, z, ldz); break;
    }
}

INLINE void combine_block(int v, const pare_penni_term *p, const pare_penni_term *end,
                          const float *z, size_t ldz, float *out, int fresh)
{
    vec acc[COMBINE_V];
    for (int i = 0; i < v; i++) acc[i] = fresh ? (vec){ 0 } : *(const vec *)(out + i * VL);
    for (; p < end; p++) {
        const float *in = z + p->row * ldz;
        for (int i = 0; i < v; i++) acc[i] += p->value * *(const vec *)(in + i * VL);
    }
    for (int i = 0; i < v; i++) *(vec *)(out + i * VL) = acc[i];
}

void CAT(pare_penni_combine)(size_t n, size_t len, const uint32_t *start,
                             const pare_penni_term *term, const float *z, size_t ldz, float *acc,
                             size_t lda, int fresh)
{
    for (size_t i = 0; i < len;) {
        size_t left = (len - i) / VL;
        int v = left >= COMBINE_V ? COMBINE_V : (int)left;
        for (size_t r = 0; r < n; r++) {
            const pare_penni_term *p = term + start[r], *end = term + start[r + 1];
            float *out = acc + r * lda + i;
            switch (v) {
            case 8: combine_block(8, p, end, z + i, ldz, out, fresh); break;
            case 7: combine_block(7, p, end, z + i, ldz, out, fresh); break;
            case 6: combine_block(6, p, end, z + i, ldz, out, fresh); break;
            case 5: combine_block(5, p, end, z + i, ldz, out, fresh); break;
            case 4: combine_block(4, p, end, z + i, ldz, out, fresh); break;
            case 3: combine_block(3, p, end, z + i, ldz, out, fresh); break;
            case 2: combine_block(2, p, end, z + i, ldz, out, fresh); break;
            default: combine_block(1, p, end, z + i, ldz, out, fresh); break;
            }
        }
        i += (size_t)v * VL;
    }
}
