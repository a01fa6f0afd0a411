/* A look-up is one byte shuffle: within 16-byte lanes (AVX2, NEON, tables of four channels), or
 * over all 64 bytes (AVX-512 with VBMI, six channels). Sums of look-ups stay bytes for byte_steps
 * steps, then go into 16-bit words: `all` adds up whole words (even byte + 256 * odd byte, which
 * may wrap), `odd` the odd bytes alone, and in the end even = all - 256 * odd. */
#include "kernels/lowbit.h"
#include "kernels/simd.h"

typedef uint8_t bytes __attribute__((vector_size(PARE_VEC_BYTES), aligned(1), may_alias));
typedef uint16_t words __attribute__((vector_size(PARE_VEC_BYTES), aligned(1), may_alias));
typedef uint8_t few __attribute__((vector_size(VL), aligned(1), may_alias));

INLINE ivec load_i(const void *p) { return *(const ivec *)p; }

#if PARE_VEC_BYTES == 64
#define TARGET __attribute__((target("avx512vbmi")))
enum { SPAN = 6 };
TARGET INLINE bytes look_up(bytes table, bytes index)
{
    return (bytes)_mm512_permutexvar_epi8((__m512i)index, (__m512i)table);
}
INLINE bytes table_at(const uint8_t *p) { return *(const bytes *)p; }
INLINE ivec low_words(words w)
{
    return (ivec)_mm512_cvtepu16_epi32(_mm512_castsi512_si256((__m512i)w));
}
INLINE ivec high_words(words w)
{
    return (ivec)_mm512_cvtepu16_epi32(_mm512_extracti64x4_epi64((__m512i)w, 1));
}
INLINE few low_bytes(ivec v) { return (few)_mm512_cvtepi32_epi8((__m512i)v); }
#elif PARE_VEC_BYTES == 16 && defined(__aarch64__)
#define TARGET
enum { SPAN = 4 };
INLINE bytes look_up(bytes table, bytes index)
{
    return (bytes)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
}
INLINE bytes table_at(const uint8_t *p) { return *(const bytes *)p; }
INLINE ivec low_words(words w) { return (ivec)vmovl_u16(vget_low_u16((uint16x8_t)w)); }
INLINE ivec high_words(words w) { return (ivec)vmovl_high_u16((uint16x8_t)w); }
INLINE few low_bytes(ivec v) { return __builtin_convertvector(v, few); }
#else
#define TARGET
enum { SPAN = 4 };
INLINE bytes look_up(bytes table, bytes index)
{
    return (bytes)_mm256_shuffle_epi8((__m256i)table, (__m256i)index);
}
INLINE bytes table_at(const uint8_t *p)
{
    return (bytes)_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
}
INLINE ivec low_words(words w)
{
    return (ivec)_mm256_cvtepu16_epi32(_mm256_castsi256_si128((__m256i)w));
}
INLINE ivec high_words(words w)
{
    return (ivec)_mm256_cvtepu16_epi32(_mm256_extracti128_si256((__m256i)w, 1));
}
INLINE few low_bytes(ivec v) { return __builtin_convertvector(v, few); }
#endif

/* --- codes and tables --- */
void ISA(pare_lowbit_codes)(size_t vl, size_t pixels, const uint8_t *x, size_t channels, uint8_t lo,
                            uint8_t *to, size_t step)
{
    few real, least = { 0 };
    least += lo;
    for (size_t c = 0; c < VL; c++) real[c] = c < channels ? 0xff : 0;
    for (size_t p = 0; p < pixels; p++, x += VL, to += step)
        *(few *)to = (*(const few *)x - least) & real;
}

#if PARE_VEC_BYTES == 64
INLINE int32_t halves(__m256i v)
{
    __m128i s = _mm_add_epi64(_mm256_castsi256_si128(v), _mm256_extracti128_si256(v, 1));
    return _mm_cvtsi128_si32(s) + _mm_extract_epi32(s, 2);
}
/* 24 codes at a time: eight tables of three, side by side in a register; then each table of six is
 * the sum of two look-ups in that. */
TARGET void ISA(pare_lowbit_tables)(const pare_lowbit_tables *t)
{
    __m512i third[3], low[4], high[4];
    __mmask64 has[3];
    uint8_t number[64];
    for (size_t k = 0; k < 3; k++) {
        has[k] = 0;
        for (size_t i = 0; i < 64; i++) {
            number[i] = (uint8_t)(i / 8 * 3 + k);
            has[k] |= (__mmask64)(i >> k & 1) << i;
        }
        third[k] = _mm512_loadu_si512(number);
    }
    for (size_t g = 0; g < 4; g++) {
        for (size_t i = 0; i < 64; i++) number[i] = (uint8_t)(16 * g + i % 8);
        low[g] = _mm512_loadu_si512(number);
        for (size_t i = 0; i < 64; i++) number[i] = (uint8_t)(16 * g + 8 + i / 8);
        high[g] = _mm512_loadu_si512(number);
    }
    uint8_t *table = t->table;
    for (size_t p = 0; p < t->pixels; p++) {
        const uint8_t *codes = t->codes + p * t->codes_step;
        __m256i sum = _mm256_setzero_si256();
        for (size_t first = 0; first < t->groups; first += 4) {
            __m256i near = _mm256_maskz_loadu_epi8(0xffffff, codes + SPAN * first);
            __m512i r = _mm512_castsi256_si512(near);
            sum = _mm256_add_epi64(sum, _mm256_sad_epu8(near, _mm256_setzero_si256()));
            __m512i e = _mm512_add_epi8(_mm512_maskz_permutexvar_epi8(has[0], third[0], r),
                                        _mm512_maskz_permutexvar_epi8(has[1], third[1], r));
            e = _mm512_add_epi8(e, _mm512_maskz_permutexvar_epi8(has[2], third[2], r));
            size_t n = t->groups - first < 4 ? t->groups - first : 4;
#pragma GCC unroll 4
            for (size_t g = 0; g < 4; g++)
                if (g < n)
                    _mm512_storeu_si512(table + 64 * g,
                                        _mm512_add_epi8(_mm512_permutexvar_epi8(low[g], e),
                                                        _mm512_permutexvar_epi8(high[g], e)));
            table += 64 * n;
        }
        if (t->sum) t->sum[p] = halves(sum);
    }
}
#elif PARE_VEC_BYTES == 16
void ISA(pare_lowbit_tables)(const pare_lowbit_tables *t) { pare_lowbit_tables_c(t); }
#else
/* Eight codes at a time: two tables. Beyond the last group codes are 0. */
void ISA(pare_lowbit_tables)(const pare_lowbit_tables *t)
{
    __m256i index[4]; /* 0x80 gives 0 */
    uint8_t number[32];
    for (size_t k = 0; k < 4; k++) {
        for (size_t i = 0; i < 32; i++) number[i] = i >> k & 1 ? (uint8_t)(i / 16 * 4 + k) : 0x80;
        index[k] = _mm256_loadu_si256((const __m256i *)(const void *)number);
    }
    uint8_t *table = t->table;
    for (size_t p = 0; p < t->pixels; p++) {
        const uint8_t *codes = t->codes + p * t->codes_step;
        __m256i sum = _mm256_setzero_si256();
        for (size_t g = 0; g < t->groups; g += 2) {
            __m256i r = _mm256_broadcastq_epi64(
                _mm_loadl_epi64((const __m128i *)(const void *)(codes + SPAN * g)));
            sum = _mm256_add_epi64(sum, _mm256_sad_epu8(r, _mm256_setzero_si256()));
            __m256i s = _mm256_add_epi8(
                _mm256_add_epi8(_mm256_shuffle_epi8(r, index[0]), _mm256_shuffle_epi8(r, index[1])),
                _mm256_add_epi8(_mm256_shuffle_epi8(r, index[2]),
                                _mm256_shuffle_epi8(r, index[3])));
            if (g + 2 <= t->groups)
                _mm256_storeu_si256((__m256i *)(void *)table, s), table += 32;
            else
                _mm_storeu_si128((__m128i *)(void *)table, _mm256_castsi256_si128(s)), table += 16;
        }
        if (t->sum) t->sum[p] = _mm256_extract_epi32(sum, 0);
    }
}
#endif

void ISA(pare_lowbit_box)(size_t n, const int32_t *x, size_t stride, const uint32_t *tap,
                          size_t taps, int32_t *y)
{
    size_t i = 0;
    for (; stride == 1 && i + VL <= n; i += VL) {
        ivec sum = { 0 };
        for (size_t t = 0; t < taps; t++) sum += load_i(x + i + tap[t]);
        *(ivec *)(y + i) = sum;
    }
    pare_lowbit_box_c(n - i, x + i * stride, stride, tap, taps, y + i);
}

/* --- convolution: F vectors of filters by P pixels --- */
TARGET INLINE void tile(const pare_lowbit_conv *c, size_t first, int F, int P)
{
    enum { MOST_F = 2, MOST_P = 8 };
    const uint8_t *x[MOST_P], *w = c->w;
    words all[MOST_P][MOST_F], odd[MOST_P][MOST_F];
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) {
        x[p] = c->table + c->pixel[first + (size_t)p];
#pragma GCC unroll 2
        for (int f = 0; f < F; f++) all[p][f] = odd[p][f] = (words){ 0 };
    }
    for (size_t s = 0; s < c->steps;) {
        bytes acc[MOST_P][MOST_F];
        size_t stop = c->steps - s < c->byte_steps ? c->steps : s + c->byte_steps;
#pragma GCC unroll 8
        for (int p = 0; p < P; p++)
#pragma GCC unroll 2
            for (int f = 0; f < F; f++) acc[p][f] = (bytes){ 0 };
        for (; s < stop; s++, w += PARE_VEC_BYTES) {
            size_t at = c->at[s];
            bytes index[MOST_F];
#pragma GCC unroll 2
            for (int f = 0; f < F; f++) index[f] = *(const bytes *)(w + (size_t)f * c->w_step);
#pragma GCC unroll 8
            for (int p = 0; p < P; p++) {
                bytes table = table_at(x[p] + at);
#pragma GCC unroll 2
                for (int f = 0; f < F; f++) acc[p][f] += look_up(table, index[f]);
            }
        }
#pragma GCC unroll 8
        for (int p = 0; p < P; p++)
#pragma GCC unroll 2
            for (int f = 0; f < F; f++) {
                all[p][f] += (words)acc[p][f];
                odd[p][f] += (words)acc[p][f] >> 8;
            }
    }
#pragma GCC unroll 8
    for (int p = 0; p < P; p++)
#pragma GCC unroll 2
        for (int f = 0; f < F; f++) {
            words o = odd[p][f], e = all[p][f] - (o << 8);
            ivec sum[4] = { low_words(e), high_words(e), low_words(o), high_words(o) };
            int32_t *partial = c->partial + ((first + (size_t)p) * (size_t)F + (size_t)f) * 4 * VL;
#pragma GCC unroll 4
            for (int b = 0; b < 4; b++) {
                if (!c->first) sum[b] += load_i(partial + b * VL) << c->shift;
                *(ivec *)(partial + b * VL) = sum[b];
            }
        }
}

/* Pixels [first, first + n) from sums to results. */
static __attribute__((noinline)) void finish(const pare_lowbit_conv *c, size_t first, size_t n)
{
    const pare_int8_finish f = c->finish;
    const size_t blocks = c->blocks, step = c->vectors * 4 * VL, y_block = c->y_block;
    const uint32_t *place = c->place + first;
    const int32_t *box = c->box;
    vec lo = broadcast(f.lo), hi = broadcast(f.hi);
    for (size_t b = 0; b < blocks; b++) {
        const int32_t *sum = c->partial + first * step + b * VL;
        ivec alpha = load_i(c->alpha + b * VL), beta = load_i(c->beta + b * VL),
             bias = load_i(f.bias + b * VL);
        vec scale = load(f.scale + b * VL);
        uint8_t *y = c->y + b * y_block;
        int32_t *sums = c->sums ? c->sums + b * y_block : NULL;
#pragma GCC unroll 2
        for (size_t p = 0; p < n; p++, sum += step) {
            ivec v = load_i(sum) * alpha + bias;
            if (box) v += beta * box[place[p]];
            if (sums) {
                *(ivec *)(sums + place[p] * VL) = v;
                continue;
            }
            /* Operands in this order turn NaN into lo, as the plain version does. */
            vec r = at_most(hi, at_least(lo, __builtin_convertvector(v, vec) * scale));
            /* Adding 1.5 * 2^23 leaves the rounded number in the low bits. */
            *(few *)(y + place[p] * VL) =
                low_bytes((ivec)(r + 12582912.0f) + (f.zero - 0x4b400000));
        }
    }
}

/* Asks for the share of what comes next that belongs to pixels [first, end). */
INLINE void ask_ahead(const pare_lowbit_conv *c, size_t first, size_t end)
{
    size_t from = c->ahead_bytes * first / c->pixels, to = c->ahead_bytes * end / c->pixels;
    for (; from < to; from += 64) __builtin_prefetch(c->ahead + from, 0, 2);
}

#define VARIANT(name, F, P)                                                        \
    TARGET static __attribute__((noinline)) void name(const pare_lowbit_conv *c)   \
    {                                                                              \
        enum { GROUP = 16 }; /* pixels whose sums stay in the first-level cache */ \
        for (size_t p = 0, from = 0; from < c->pixels; from = p) {                 \
            size_t end = c->pixels - from < GROUP ? c->pixels : from + GROUP;      \
            ask_ahead(c, from, end);                                               \
            for (; p + P <= end; p += P) tile(c, p, F, P);                         \
            for (; P > 4 && p + 4 <= end; p += 4) tile(c, p, F, 4);                \
            for (; p + 2 <= end; p += 2) tile(c, p, F, 2);                         \
            for (; p < end; p++) tile(c, p, F, 1);                                 \
            if (c->last) finish(c, from, end - from);                              \
        }                                                                          \
    }
VARIANT(one, 1, 8)
VARIANT(two, 2, 4)

void ISA(pare_lowbit_conv)(const pare_lowbit_conv *c) { (c->vectors == 2 ? two : one)(c); }
