/* Vectors of sums of bytes, and how they become bytes again: what the sources of 8-bit kernels
 * (int8*_simd.c) share. */
#ifndef KERNELS_INT8_VEC_H
#define KERNELS_INT8_VEC_H

#include "kernels/int8.h"
#include "kernels/simd.h"

typedef uint8_t bytes __attribute__((vector_size(VL), aligned(1), may_alias));

INLINE ivec load_i(const void *p) { return *(const ivec *)p; }

#if PARE_VEC_BYTES == 16
/* Sums of products of two neighbours. */
INLINE int32x4_t pairs(int16x8_t a, int16x8_t b)
{
    return vpaddq_s32(vmull_s16(vget_low_s16(a), vget_low_s16(b)), vmull_high_s16(a, b));
}
#endif

/* NaN gives lo: the instructions return their second operand then. */
INLINE vec limit(vec v, float lo, float hi)
{
#if PARE_VEC_BYTES == 64
    return (vec)_mm512_min_ps(_mm512_max_ps((__m512)v, _mm512_set1_ps(lo)), _mm512_set1_ps(hi));
#elif PARE_VEC_BYTES == 32
    return (vec)_mm256_min_ps(_mm256_max_ps((__m256)v, _mm256_set1_ps(lo)), _mm256_set1_ps(hi));
#else
    v = choose(v > lo, v, broadcast(lo));
    return choose(v < hi, v, broadcast(hi));
#endif
}

/* rint(v) + zero for |v| < 2^22: adding 1.5 * 2^23 leaves the rounded number in the low bits. */
INLINE ivec whole(vec v, int32_t zero)
{
    const float magic = 12582912.0f;
    ivec bits = (ivec)(v + magic);
    return bits + (zero - 0x4b400000);
}

INLINE bytes low_bytes(ivec v)
{
#if PARE_VEC_BYTES == 64
    return (bytes)_mm512_cvtepi32_epi8((__m512i)v);
#elif PARE_VEC_BYTES == 32
    __m256i low = (__m256i)(v & 0xff);
    __m128i half = _mm_packus_epi32(_mm256_castsi256_si128(low), _mm256_extracti128_si256(low, 1));
    bytes b;
    _mm_storel_epi64((__m128i *)(void *)&b, _mm_packus_epi16(half, half));
    return b;
#else
    return __builtin_convertvector(v, bytes);
#endif
}

/* `sum` with its bias, of the lanes from `channel` on. */
INLINE void finish(const pare_int8_finish *f, size_t channel, ivec sum, uint8_t *y)
{
    vec v = __builtin_convertvector(sum, vec) * load(f->scale + channel);
    *(bytes *)y = low_bytes(whole(limit(v, f->lo, f->hi), f->zero));
}

#if PARE_VEC_BYTES == 32
/* Sums of two pixels as numbers of 16 bits that are bytes, the halves of both interleaved. */
INLINE __m256i two_pixels(const pare_int8_finish *f, vec scale, ivec a, ivec b)
{
    vec va = limit(__builtin_convertvector(a, vec) * scale, f->lo, f->hi),
        vb = limit(__builtin_convertvector(b, vec) * scale, f->lo, f->hi);
    __m256i y = _mm256_packs_epi32(_mm256_cvtps_epi32((__m256)va), _mm256_cvtps_epi32((__m256)vb));
    y = _mm256_add_epi16(y, _mm256_set1_epi16((short)f->zero));
    return _mm256_and_si256(y, _mm256_set1_epi16(255));
}
#endif

/* finish() of n <= 16 pixels that lie side by side; sums of a pixel are `step` vectors apart. */
INLINE void finish_pixels(const pare_int8_finish *f, size_t channel, const ivec *sum, const int n,
                          const int step, uint8_t *y)
{
    int p = 0;
#if PARE_VEC_BYTES == 32
    const vec scale = load(f->scale + channel);
    const __m256i order = _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7);
#pragma GCC unroll 4
    for (; p + 4 <= n; p += 4) {
        __m256i a = two_pixels(f, scale, sum[p * step], sum[(p + 1) * step]),
                b = two_pixels(f, scale, sum[(p + 2) * step], sum[(p + 3) * step]);
        a = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, b), order);
        _mm256_storeu_si256((__m256i *)(void *)(y + p * VL), a);
    }
#pragma GCC unroll 2
    for (; p + 2 <= n; p += 2) {
        __m256i a = two_pixels(f, scale, sum[p * step], sum[(p + 1) * step]);
        a = _mm256_permutevar8x32_epi32(_mm256_packus_epi16(a, a), order);
        _mm_storeu_si128((__m128i *)(void *)(y + p * VL), _mm256_castsi256_si128(a));
    }
#endif
#pragma GCC unroll 16
    for (; p < n; p++) finish(f, channel, sum[p * step], y + p * VL);
}

#endif
