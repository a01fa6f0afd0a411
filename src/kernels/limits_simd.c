/* Enough independent sums that the latency of an operation never shows, few enough for registers.
 */
#include "kernels/limits.h"
#include "kernels/simd.h"

enum { SUMS = 12, READS = 8 };

double ISA(pare_limit_fma)(size_t rounds, float x, float *sink)
{
    vec a[SUMS], half = broadcast(0.5f), add = broadcast(x);
    for (int i = 0; i < SUMS; i++) a[i] = (vec){ 0 };
    for (size_t r = 0; r < rounds; r++)
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) a[i] = a[i] * half + add;
    for (int i = 1; i < SUMS; i++) a[0] += a[i];
    float lane[VL], sum = 0;
    store(lane, a[0]);
    for (int l = 0; l < VL; l++) sum += lane[l];
    *sink = sum;
    return 2.0 * VL * SUMS * (double)rounds;
}

#if PARE_VEC_BYTES == 64
typedef __m512i bytes;
#define SET(x)          _mm512_set1_epi32(x)
#define STEP(sum, a, b) _mm512_dpbusd_epi32(sum, a, b)
#elif PARE_VEC_BYTES == 32
typedef __m256i bytes;
#define SET(x) _mm256_set1_epi32(x)
#define STEP(sum, a, b) \
    _mm256_add_epi32(sum, _mm256_madd_epi16(_mm256_maddubs_epi16(a, b), _mm256_set1_epi16(1)))
#else
typedef uint32x4_t bytes;
#define SET(x)          vdupq_n_u32(x)
INLINE bytes step(bytes sum, uint8x16_t a, uint8x16_t b)
{
    sum = vpadalq_u16(sum, vmull_u8(vget_low_u8(a), vget_low_u8(b)));
    return vpadalq_u16(sum, vmull_high_u8(a, b));
}
#define STEP(sum, a, b) step(sum, (uint8x16_t)(a), (uint8x16_t)(b))
#endif
#if defined(__aarch64__)
#define OPAQUE(v) __asm__ volatile("" : "+w"(v))
#else
#define OPAQUE(v) __asm__ volatile("" : "+x"(v))
#endif

double ISA(pare_limit_int8)(size_t rounds, uint32_t x, int32_t *sink)
{
    bytes a[SUMS], f = SET(x), g = SET(0x04030201);
    for (int i = 0; i < SUMS; i++) a[i] = SET(0);
    for (size_t r = 0; r < rounds; r++) {
        /* A product that never changes would be computed once. */
        OPAQUE(f);
#pragma GCC unroll 12
        for (int i = 0; i < SUMS; i++) a[i] = STEP(a[i], f, g);
    }
    int32_t lane[PARE_VEC_BYTES / 4];
    uint32_t sum = 0;
    for (int i = 0; i < SUMS; i++) {
        *(ivec *)lane = (ivec)a[i];
        for (int l = 0; l < PARE_VEC_BYTES / 4; l++) sum += (uint32_t)lane[l];
    }
    *sink = (int32_t)(sum & INT32_MAX);
    return 2.0 * PARE_VEC_BYTES * SUMS * (double)rounds;
}

float ISA(pare_limit_read)(const float *x, size_t n)
{
    vec sum[READS];
    for (int i = 0; i < READS; i++) sum[i] = (vec){ 0 };
    for (size_t at = 0; at < n; at += READS * VL)
#pragma GCC unroll 8
        for (int i = 0; i < READS; i++) sum[i] += load(x + at + (size_t)i * VL);
    for (int i = 1; i < READS; i++) sum[0] += sum[i];
    float lane[VL], all = 0;
    store(lane, sum[0]);
    for (int l = 0; l < VL; l++) all += lane[l];
    return all;
}
