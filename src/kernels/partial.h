/* Loading and storing some lanes of a vector: the one thing that vector types cannot say, hence
 * intrinsics (without any that fit, a loop). Lanes outside [lane, lane + n) are not touched in
 * memory and load as zeros (or `other`). */
#ifndef KERNELS_PARTIAL_H
#define KERNELS_PARTIAL_H

#include "kernels/simd.h"

#if PARE_VEC_BYTES == 64
typedef __mmask16 lanes_mask;
INLINE lanes_mask lanes_of(int lane, int n) { return (lanes_mask)(((1u << n) - 1) << lane); }
INLINE vec load_lanes(const float *p, lanes_mask m, vec other)
{
    return (vec)_mm512_mask_loadu_ps((__m512)other, m, p);
}
INLINE void store_lanes(float *p, lanes_mask m, vec v) { _mm512_mask_storeu_ps(p, m, (__m512)v); }
#elif PARE_VEC_BYTES == 32
typedef ivec lanes_mask;
INLINE lanes_mask lanes_of(int lane, int n)
{
    ivec index = { 0, 1, 2, 3, 4, 5, 6, 7 };
    return (index >= lane) & (index < lane + n);
}
INLINE vec load_lanes(const float *p, lanes_mask m, vec other)
{
    return choose(m, (vec)_mm256_maskload_ps(p, (__m256i)m), other);
}
INLINE void store_lanes(float *p, lanes_mask m, vec v)
{
    _mm256_maskstore_ps(p, (__m256i)m, (__m256)v);
}
#else
typedef ivec lanes_mask;
INLINE lanes_mask lanes_of(int lane, int n)
{
    ivec index = { 0, 1, 2, 3 };
    return (index >= lane) & (index < lane + n);
}
INLINE vec load_lanes(const float *p, lanes_mask m, vec other)
{
    for (int i = 0; i < VL; i++)
        if (m[i]) other[i] = p[i];
    return other;
}
INLINE void store_lanes(float *p, lanes_mask m, vec v)
{
    for (int i = 0; i < VL; i++)
        if (m[i]) p[i] = v[i];
}
#endif

/* Lanes l for which 0 <= at + l < size. */
INLINE lanes_mask lanes_within(int64_t at, int64_t size)
{
    int64_t lo = at < 0 ? -at : 0, hi = size - at;
    if (lo > VL) lo = VL;
    if (hi > VL) hi = VL;
    return hi > lo ? lanes_of((int)lo, (int)(hi - lo)) : lanes_of(0, 0);
}

#endif
