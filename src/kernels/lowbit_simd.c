/* A look-up is one byte shuffle: within 16-byte lanes (AVX2, NEON, tables of four channels), or
 * over all 64 bytes (AVX-512 with VBMI, six channels). Sums of look-ups stay bytes as long as they
 * fit, then go into 16-bit words: `all` adds up whole words (even byte + 256 * odd byte, which may
 * wrap), `odd` the odd bytes alone, and in the end even = all - 256 * odd. */
#include "kernels/int8_vec.h"
#include "kernels/lowbit.h"

#include <string.h>

typedef uint8_t vec8 __attribute__((vector_size(PARE_VEC_BYTES), aligned(1), may_alias));
typedef uint16_t vec16 __attribute__((vector_size(PARE_VEC_BYTES), aligned(1), may_alias));
typedef int16_t ivec16 __attribute__((vector_size(PARE_VEC_BYTES), aligned(1), may_alias));
typedef uint8_t half __attribute__((vector_size(2 * VL), aligned(1), may_alias));

#if PARE_VEC_BYTES == 64
#define TARGET __attribute__((target("avx512vbmi")))
enum { SPAN = 6 };
TARGET INLINE vec8 look_up(vec8 table, vec8 index)
{
    return (vec8)_mm512_permutexvar_epi8((__m512i)index, (__m512i)table);
}
INLINE vec8 table_at(const uint8_t *p) { return *(const vec8 *)p; }
#elif PARE_VEC_BYTES == 16 && defined(__aarch64__)
#define TARGET
enum { SPAN = 4 };
INLINE vec8 look_up(vec8 table, vec8 index)
{
    return (vec8)vqtbl1q_u8((uint8x16_t)table, (uint8x16_t)index);
}
INLINE vec8 table_at(const uint8_t *p) { return *(const vec8 *)p; }
#else
#define TARGET
enum { SPAN = 4 };
INLINE vec8 look_up(vec8 table, vec8 index)
{
    return (vec8)_mm256_shuffle_epi8((__m256i)table, (__m256i)index);
}
INLINE vec8 table_at(const uint8_t *p)
{
    return (vec8)_mm256_broadcastsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)p));
}
#endif

/* Keeps the compiler from reading a table anew for each look-up, and from adding up look-ups in an
 * order that takes more registers. */
#if PARE_VEC_BYTES == 64
#define KEEP(v) __asm__("" : "+v"(v))
#elif defined(__aarch64__)
#define KEEP(v) __asm__("" : "+w"(v))
#else
#define KEEP(v) __asm__("" : "+x"(v))
#endif

/* --- codes and tables --- */

/* The sums of the bytes of each quarter. */
INLINE void store_sums(int32_t *y, vec8 v, bool first)
{
#if PARE_VEC_BYTES == 64
    __m512i s = _mm512_sad_epu8((__m512i)v, _mm512_setzero_si512());
    s = _mm512_add_epi64(s, _mm512_unpackhi_epi64(s, s));
    __m128i sum =
        _mm512_castsi512_si128(_mm512_permutexvar_epi32(_mm512_set4_epi32(12, 8, 4, 0), s));
    if (!first) sum = _mm_add_epi32(sum, _mm_loadu_si128((const __m128i *)(void *)y));
    _mm_storeu_si128((__m128i *)(void *)y, sum);
#elif defined(__aarch64__)
    int32x4_t sum = vreinterpretq_s32_u32(vpaddlq_u16(vpaddlq_u8((uint8x16_t)v)));
    vst1q_s32(y, first ? sum : vaddq_s32(sum, vld1q_s32(y)));
#else
    __m256i s = _mm256_sad_epu8((__m256i)v, _mm256_setzero_si256());
    __m128i sum = _mm256_castsi256_si128(
        _mm256_permutevar8x32_epi32(s, _mm256_setr_epi32(0, 2, 4, 6, 0, 2, 4, 6)));
    if (!first) sum = _mm_add_epi32(sum, _mm_loadu_si128((const __m128i *)(void *)y));
    _mm_storeu_si128((__m128i *)(void *)y, sum);
#endif
}

/* Four pixels at a time, the last four once more where less are left. */
void ISA(pare_lowbit_codes)(const pare_lowbit_codes *c)
{
    enum { FIT = 255 / PARE_LOWBIT_MOST }; /* blocks whose sums are bytes */
    if (c->pixels < 4) {
        pare_lowbit_codes_c(c);
        return;
    }
    const size_t blocks = (c->channels + VL - 1) / VL, step = c->step;
    vec8 real, least = { 0 };
    least += c->lo;
    for (size_t l = 0; l < 4 * VL; l++)
        real[l] = (blocks - 1) * VL + l % VL < c->channels ? 0xff : 0;
    for (size_t p = 0; p < c->pixels; p += 4) {
        if (p + 4 > c->pixels) p = c->pixels - 4;
        const uint8_t *x = c->x + p * VL;
        uint8_t *to = c->to + p * step;
        for (size_t b = 0, first = 0; b < blocks; first = b) {
            size_t end = blocks - b < FIT ? blocks : b + FIT;
            vec8 acc = { 0 };
            for (; b < end; b++, x += c->x_block, to += VL) {
                vec8 r = *(const vec8 *)x - least;
                if (b + 1 == blocks) r &= real;
                acc += r;
                bytes part[4];
                memcpy(part, &r, sizeof r);
                for (size_t i = 0; i < 4; i++) *(bytes *)(to + i * step) = part[i];
            }
            if (c->sum) store_sums(c->sum + p, acc, first == 0);
        }
    }
}

#if PARE_VEC_BYTES == 64
/* 24 codes at a time: eight tables of three, side by side in a register; then each table of six is
 * the sum of two look-ups in that. */
TARGET void ISA(pare_lowbit_tables)(const pare_lowbit_tables *t)
{
    vec8 i, third, low, high;
    for (int b = 0; b < 64; b++) i[b] = (uint8_t)b;
    third = (i >> 3) * 3;
    low = i & 7;
    high = 8 + (i >> 3);
    const size_t pixels = t->pixels, groups = t->groups, step = 64 * pixels;
    const uint32_t *pixel = t->pixel;
    for (size_t first = 0; first < groups; first += 4) {
        uint8_t *table = t->table + first * step;
        const uint8_t *codes = t->codes + SPAN * first;
        size_t n = groups - first < 4 ? groups - first : 4;
        for (size_t p = 0; p < pixels; p++, table += 64) {
            __m512i r = _mm512_castsi256_si512(
                _mm256_loadu_si256((const __m256i *)(const void *)(codes + pixel[p])));
            vec8 e = (vec8)_mm512_maskz_permutexvar_epi8(0xaaaaaaaaaaaaaaaa, (__m512i)third, r);
            e += (vec8)_mm512_maskz_permutexvar_epi8(0xcccccccccccccccc, (__m512i)(third + 1), r);
            e += (vec8)_mm512_maskz_permutexvar_epi8(0xf0f0f0f0f0f0f0f0, (__m512i)(third + 2), r);
#pragma GCC unroll 4
            for (uint8_t g = 0; g < 4; g++)
                if (g < n)
                    *(vec8 *)(table + g * step) =
                        look_up(e, low + (uint8_t)(16 * g)) + look_up(e, high + (uint8_t)(16 * g));
        }
    }
}
#elif PARE_VEC_BYTES == 16
void ISA(pare_lowbit_tables)(const pare_lowbit_tables *t) { pare_lowbit_tables_c(t); }
#else
/* Eight codes at a time: two tables. */
void ISA(pare_lowbit_tables)(const pare_lowbit_tables *t)
{
    vec8 index[4]; /* 0x80 gives 0 */
    for (int k = 0; k < 4; k++)
        for (int i = 0; i < 32; i++) index[k][i] = (uint8_t)(i >> k & 1 ? i / 16 * 4 + k : 0x80);
    const size_t pixels = t->pixels, groups = t->groups, step = 16 * pixels;
    const uint32_t *pixel = t->pixel;
    for (size_t g = 0; g < groups; g += 2) {
        uint8_t *table = t->table + g * step;
        const uint8_t *codes = t->codes + SPAN * g;
        for (size_t p = 0; p < pixels; p++, table += 16) {
            vec8 r = (vec8)_mm256_broadcastq_epi64(
                _mm_loadl_epi64((const __m128i *)(const void *)(codes + pixel[p])));
            vec8 s = look_up(r, index[0]) + look_up(r, index[1]);
            s += look_up(r, index[2]) + look_up(r, index[3]);
            _mm_storeu_si128((__m128i *)(void *)table, _mm256_castsi256_si128((__m256i)s));
            if (g + 1 < groups)
                _mm_storeu_si128((__m128i *)(void *)(table + step),
                                 _mm256_extracti128_si256((__m256i)s, 1));
        }
    }
}
#endif

void ISA(pare_lowbit_box)(size_t n, const int32_t *x, size_t stride, const uint32_t *tap,
                          size_t taps, int32_t *y)
{
    size_t i = 0;
    for (; stride == 1 && n >= VL && i < n; i += VL) {
        if (i + VL > n) i = n - VL;
        ivec sum = { 0 };
        for (size_t t = 0; t < taps; t++) sum += load_i(x + i + tap[t]);
        *(ivec *)(y + i) = sum;
    }
    if (i >= n) return;
    pare_lowbit_box_c(n - i, x + i * stride, stride, tap, taps, y + i);
}

/* --- convolution: a vector of filters by P pixels --- */

/* One group under T taps: P + T - 1 tables. */
TARGET INLINE void look_up_all(vec8 *acc, const uint8_t *x, const uint8_t *w, int P, int T)
{
    vec8 index[PARE_LOWBIT_TAPS];
#pragma GCC unroll 3
    for (int t = 0; t < T; t++) index[t] = *(const vec8 *)(w + t * PARE_VEC_BYTES);
#pragma GCC unroll 10
    for (int i = 0; i < P + T - 1; i++) {
        vec8 table = table_at(x + (i << SPAN));
        if (T > 1) KEEP(table);
#pragma GCC unroll 3
        for (int t = 0; t < T; t++)
            if (t <= i && i - t < P) {
                acc[i - t] += look_up(table, index[t]);
                KEEP(acc[i - t]);
            }
    }
}

TARGET INLINE const uint8_t *run_of(const pare_lowbit_conv *c, const uint8_t *x, const uint8_t *w,
                                    vec16 *all, vec16 *odd, int P, int T)
{
    const size_t groups = c->groups, step = c->group_step, fit = c->fit[T - 1];
    for (size_t g = 0; g < groups;) {
        vec8 acc[PARE_LOWBIT_PIXELS];
        size_t stop = groups - g < fit ? groups : g + fit;
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) acc[p] = (vec8){ 0 };
        for (; g < stop; g++, x += step, w += T * PARE_VEC_BYTES) look_up_all(acc, x, w, P, T);
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) {
            all[p] += (vec16)acc[p];
            odd[p] += (vec16)acc[p] >> 8;
        }
    }
    return w;
}

TARGET INLINE void tile(const pare_lowbit_conv *c, int P)
{
    const uint8_t *w = c->w;
    vec16 all[PARE_LOWBIT_PIXELS], odd[PARE_LOWBIT_PIXELS];
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) all[p] = odd[p] = (vec16){ 0 };
    for (const pare_lowbit_run *r = c->run, *end = r + c->runs; r < end; r++) {
        const uint8_t *x = c->row[r->row] + r->at;
        switch (r->taps) {
        case 1: w = run_of(c, x, w, all, odd, P, 1); break;
        case 2: w = run_of(c, x, w, all, odd, P, 2); break;
        default: w = run_of(c, x, w, all, odd, P, 3);
        }
    }
    uint16_t *sum = c->sum;
#pragma GCC unroll 8
    for (int p = 0; p < P; p++, sum += 4 * VL) {
        vec16 o = odd[p] << c->shift, e = (all[p] << c->shift) - (o << 8);
        if (!c->first) e += *(const vec16 *)sum, o += *(const vec16 *)(sum + 2 * VL);
        *(vec16 *)sum = e;
        *(vec16 *)(sum + 2 * VL) = o;
    }
}

#define TILE(P) \
    TARGET static __attribute__((noinline)) void tile_##P(const pare_lowbit_conv *c) { tile(c, P); }
TILE(1)
TILE(2)
TILE(3)
TILE(4)
TILE(5)
TILE(6)
TILE(7)
TILE(8)

void ISA(pare_lowbit_conv)(const pare_lowbit_conv *c)
{
    static pare_lowbit_conv_fn *const tiles[PARE_LOWBIT_PIXELS] = {
        tile_1, tile_2, tile_3, tile_4, tile_5, tile_6, tile_7, tile_8
    };
    tiles[c->pixels - 1](c);
}

/* --- results --- */
INLINE ivec from_words(const uint16_t *x)
{
#if PARE_VEC_BYTES == 64
    return (ivec)_mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)x));
#elif defined(__aarch64__)
    return (ivec)vmovl_u16(vld1_u16(x));
#else
    return (ivec)_mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)x));
#endif
}

void ISA(pare_lowbit_widen)(size_t n, const uint16_t *sum, bool first, int shift, int32_t *wide)
{
    for (size_t i = 0; i < n; i += VL) {
        ivec v = from_words(sum + i) << shift;
        if (!first) v += load_i(wide + i);
        *(ivec *)(wide + i) = v;
    }
}

/* count + 1 where v >= least */
INLINE ivec16 count_up(ivec16 count, ivec16 v, ivec16 least)
{
#if PARE_VEC_BYTES == 64
    return (ivec16)_mm512_mask_add_epi16((__m512i)count,
                                         _mm512_cmpge_epi16_mask((__m512i)v, (__m512i)least),
                                         (__m512i)count, _mm512_set1_epi16(1));
#else
    return count + 1 + (least > v);
#endif
}

INLINE half low_halves(ivec16 v)
{
#if PARE_VEC_BYTES == 64
    return (half)_mm512_cvtepi16_epi8((__m512i)v);
#elif PARE_VEC_BYTES == 32
    v &= 0xff;
    return (half)_mm_packus_epi16(_mm256_castsi256_si128((__m256i)v),
                                  _mm256_extracti128_si256((__m256i)v, 1));
#else
    return __builtin_convertvector(v, half);
#endif
}

/* Filters from 2 * vl * h on. */
INLINE void compare(const pare_lowbit_steps *c, size_t h, size_t steps, bool boxes)
{
    const size_t pixels = c->pixels, y_block = c->y_block, first = h * 2 * VL;
    const uint16_t *sum = c->sum + first;
    const int32_t *box = c->box;
    uint8_t *y = c->y + 2 * h * y_block;
    const bool both = 2 * h + 1 < c->blocks;
    vec16 alpha = *(const vec16 *)(c->alpha + first), beta = *(const vec16 *)(c->beta + first);
    ivec16 least = { 0 }, step[PARE_LOWBIT_STEPS];
    least += c->least;
    for (size_t i = 0; i < steps; i++) step[i] = *(const ivec16 *)(c->step + i * 4 * VL + first);
    for (size_t p = 0; p < pixels; p++, sum += 4 * VL, y += VL) {
        vec16 v = *(const vec16 *)sum * alpha; /* may wrap on the way */
        ivec16 count = least;
        if (boxes) v += beta * (uint16_t)box[p];
#pragma GCC unroll 3
        for (size_t i = 0; i < steps; i++) count = count_up(count, (ivec16)v, step[i]);
        bytes block[2];
        half pair = low_halves(count);
        memcpy(block, &pair, sizeof pair);
        *(bytes *)y = block[0];
        if (both) *(bytes *)(y + y_block) = block[1];
    }
}

void ISA(pare_lowbit_steps)(const pare_lowbit_steps *c)
{
    for (size_t h = 0; 2 * h < c->blocks; h++) {
        if (c->steps == 3 && c->box)
            compare(c, h, 3, true);
        else
            compare(c, h, c->steps, c->box != NULL);
    }
}

void ISA(pare_lowbit_finish)(const pare_lowbit_finish *c)
{
    const pare_int8_finish f = c->finish;
    const int32_t *box = c->box;
    const bool wide = c->wide;
    const size_t pixels = c->pixels;
    for (size_t b = 0; b < c->blocks; b++) {
        size_t channel = b * VL, at = channel;
        ivec alpha = load_i(c->alpha + channel), beta = load_i(c->beta + channel),
             bias = load_i(f.bias + channel);
        uint8_t *y = c->y + b * c->y_block;
        for (size_t p = 0; p < pixels; p++, at += 4 * VL) {
            ivec v = wide ? load_i(c->wide + at) : from_words(c->sum + at);
            v = v * alpha + bias;
            if (box) v += beta * box[p];
            finish(&f, channel, v, y + p * VL);
        }
    }
}
