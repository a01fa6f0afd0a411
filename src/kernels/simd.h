/* What every vector source (*_simd.c) shares: compiled once per instruction set, PARE_ISA is the
 * suffix of its names, PARE_VEC_BYTES the width of a register. */
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H

#include "kernels/act.h"
#include "kernels/kernels.h"

#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/* Registers for sums, weights and inputs: tile sizes follow from them. */
#if PARE_VEC_BYTES == 32
#define PARE_REGISTERS 16
#else
#define PARE_REGISTERS 32
#endif

#define PARE_CAT2(a, b) a##_##b
#define PARE_CAT1(a, b) PARE_CAT2(a, b)
#define ISA(name)       PARE_CAT1(name, PARE_ISA)

enum { VL = PARE_VEC_BYTES / 4 };
/* Unaligned, and allowed to alias floats. */
typedef float vec __attribute__((vector_size(PARE_VEC_BYTES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(PARE_VEC_BYTES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *p) { return *(const vec *)p; }
INLINE void store(float *p, vec v) { *(vec *)p = v; }
INLINE vec broadcast(float x)
{
    return x - (vec){ 0 };
} /* x + 0 would turn -0 into 0, and so costs an addition */

/* mask lanes (all ones where true) of a, the others of b. */
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)(((ivec)a & mask) | ((ivec)b & ~mask)); }

/* v < lo ? lo : v, and v > hi ? hi : v; NaN stays. The x86 instructions do exactly that with
 * operands in this order, in one step where comparing and choosing takes three. */
INLINE vec at_least(vec v, vec lo)
{
#if PARE_VEC_BYTES == 64 && defined(__AVX512F__)
    return (vec)_mm512_max_ps((__m512)lo, (__m512)v);
#elif PARE_VEC_BYTES == 32 && defined(__AVX__)
    return (vec)_mm256_max_ps((__m256)lo, (__m256)v);
#else /* aarch64's fmax prefers numbers to NaN, so it will not do */
    return choose(v < lo, lo, v);
#endif
}
INLINE vec at_most(vec v, vec hi)
{
#if PARE_VEC_BYTES == 64 && defined(__AVX512F__)
    return (vec)_mm512_min_ps((__m512)hi, (__m512)v);
#elif PARE_VEC_BYTES == 32 && defined(__AVX__)
    return (vec)_mm256_min_ps((__m256)hi, (__m256)v);
#else
    return choose(v > hi, hi, v);
#endif
}

/* x if it is larger than `best` or NaN; NaN stays. The instruction gives its second operand where
 * both are zero or one is NaN. */
INLINE vec larger(vec best, vec x)
{
#if PARE_VEC_BYTES == 64 && defined(__AVX512F__)
    __mmask16 number = _mm512_cmp_ps_mask((__m512)x, (__m512)x, _CMP_ORD_Q);
    return (vec)_mm512_mask_max_ps((__m512)x, number, (__m512)x, (__m512)best);
#else
    return choose((x > best) | (x != x), x, best);
#endif
}

INLINE vec act_apply(pare_act act, vec v, float lo, float hi, float alpha)
{
    vec zero = { 0 };
    switch (act) {
    case PARE_ACT_RELU: return at_least(v, zero);
    case PARE_ACT_CLIP: return at_most(at_least(v, broadcast(lo)), broadcast(hi));
    case PARE_ACT_LEAKY: return choose(v < zero, v * alpha, v);
    default: return v;
    }
}

#endif
