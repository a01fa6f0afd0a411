/* Ways to multiply words: vpdpbusd takes four unsigned by four signed bytes into 32 bits; without
 * it, products are of 16-bit numbers, two a lane, or of bytes that are widened on the way.
 * vpmaddubsw, whose 16-bit sums of two products saturate, only where that is excluded. */
#include "kernels/int8_vec.h"

#include <math.h>
#include <string.h>

INLINE uint32_t word(const uint8_t *p)
{
    uint32_t q;
    memcpy(&q, p, 4);
    return q;
}

#if PARE_VEC_BYTES == 64
INLINE ivec spread(uint32_t q) { return (ivec)_mm512_set1_epi32((int)q); }
INLINE ivec dot(ivec acc, ivec x, ivec w)
{
    return (ivec)_mm512_dpbusd_epi32((__m512i)acc, (__m512i)x, (__m512i)w);
}
/* Bytes (pixel, lane) of four pixels to (lane, pixel). */
INLINE ivec turn(ivec x)
{
    const __m512i words = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15),
                  within = _mm512_broadcast_i32x4(
                      _mm_setr_epi8(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15));
    return (ivec)_mm512_shuffle_epi8(_mm512_permutexvar_epi32(words, (__m512i)x), within);
}
enum { WEIGHTS = 1 }; /* vectors of weights for four pixels of a depthwise block */
INLINE ivec dot_turned(ivec acc, ivec x, const char *w) { return dot(acc, turn(x), load_i(w)); }
#else
INLINE ivec dot(ivec acc, ivec x, ivec w)
{
#if PARE_VEC_BYTES == 32
    return acc + (ivec)_mm256_madd_epi16((__m256i)x, (__m256i)w);
#else
    return acc + (ivec)pairs((int16x8_t)x, (int16x8_t)w);
#endif
}
INLINE ivec spread(uint32_t q) { return (ivec){ 0 } + (int32_t)q; }
/* Bytes (pixel, lane) of four pixels to (lane, pixel), the pixels in the order 0, 2, 1, 3: then
 * bytes 0 and 2 of a lane are pixels 0 and 1. */
INLINE ivec turn(ivec x)
{
#if PARE_VEC_BYTES == 32
    const __m256i words = _mm256_setr_epi32(0, 2, 4, 6, 1, 3, 5, 7),
                  within = _mm256_broadcastsi128_si256(
                      _mm_setr_epi8(0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15));
    return (ivec)_mm256_shuffle_epi8(_mm256_permutevar8x32_epi32((__m256i)x, words), within);
#else
    const uint8x16_t within = { 0, 8, 4, 12, 1, 9, 5, 13, 2, 10, 6, 14, 3, 11, 7, 15 };
    return (ivec)vqtbl1q_u8((uint8x16_t)x, within);
#endif
}
typedef uint16_t halves __attribute__((vector_size(PARE_VEC_BYTES)));
enum { WEIGHTS = 2 };
INLINE ivec dot_turned(ivec acc, ivec x, const char *w)
{
    x = turn(x);
    acc = dot(acc, x & 0x00ff00ff, load_i(w));
    return dot(acc, (ivec)((halves)x >> 8), load_i(w + PARE_VEC_BYTES));
}
#endif
enum { GROUP_BYTES = PARE_VEC_BYTES }; /* of packed weights: a word against a block */

/* What a word is, and how it is multiplied: WORD is dot() above. */
enum { WORD, PAIRS, SPLIT };
INLINE ivec multiply(ivec acc, ivec x, ivec w, const int form)
{
#if PARE_VEC_BYTES != 64
    typedef int16_t shorts __attribute__((vector_size(PARE_VEC_BYTES)));
#if PARE_VEC_BYTES == 32
    if (form == PAIRS)
        return dot(acc, (ivec)_mm256_maddubs_epi16((__m256i)x, (__m256i)w),
                   (ivec)_mm256_set1_epi16(1));
#endif
    if (form != WORD) {
        acc = dot(acc, x & 0x00ff00ff, (ivec)((shorts)((halves)w << 8) >> 8));
        return dot(acc, (ivec)((halves)x >> 8), (ivec)((shorts)w >> 8));
    }
#endif
    (void)form;
    return dot(acc, x, w);
}

/* --- convolution: NB blocks by P pixels --- */
INLINE void tile(const pare_int8_conv *c, const char *w, const char *ahead, size_t pace,
                 size_t block, size_t first, const int form, int NB, int P, bool w_zero, bool flip)
{
    const uint8_t *at[16];
    ivec acc[16][4], of_x[16], change = spread(0x80808080);
#pragma GCC unroll 16
    for (int p = 0; p < P; p++) {
        at[p] = c->x + c->pixel[first + (size_t)p];
        of_x[p] = (ivec){ 0 };
#pragma GCC unroll 4
        for (int b = 0; b < NB; b++) acc[p][b] = load_i(c->finish.bias + (block + (size_t)b) * VL);
    }
    const uint32_t *ones = c->ones;
    for (size_t r = 0; r < c->runs; r++) {
        size_t x = c->run[r].at, end = x + 4 * (size_t)c->run[r].words;
        for (; x < end; x += 4, w += NB * GROUP_BYTES, ahead += pace) {
            ivec wv[4], one = change;
            __builtin_prefetch(ahead, 0, 2);
#pragma GCC unroll 4
            for (int b = 0; b < NB; b++) wv[b] = load_i(w + b * GROUP_BYTES);
            if (w_zero) one = spread(*ones++);
#pragma GCC unroll 16
            for (int p = 0; p < P; p++) {
                ivec in = spread(word(at[p] + x));
                if (flip) in ^= change;
#pragma GCC unroll 4
                for (int b = 0; b < NB; b++) acc[p][b] = multiply(acc[p][b], in, wv[b], form);
                if (w_zero) of_x[p] = dot(of_x[p], in, one);
            }
        }
    }
#pragma GCC unroll 4
    for (int b = 0; b < NB; b++) {
        size_t channel = (block + (size_t)b) * VL,
               y = (block + (size_t)b) * c->y_block + first * VL;
        if (w_zero)
#pragma GCC unroll 16
            for (int p = 0; p < P; p++) acc[p][b] -= of_x[p] * load_i(c->finish.w_zero + channel);
        if (c->sums)
#pragma GCC unroll 16
            for (int p = 0; p < P; p++) *(ivec *)(c->sums + y + p * VL) = acc[p][b];
        else
            finish_pixels(&c->finish, channel, &acc[0][b], P, 4, c->y + y);
    }
}

/* All pixels against NB blocks: as many at a time as registers allow, then fewer. Every tile of
 * pixels asks for its share of the weights that come next. */
INLINE void pixels(const pare_int8_conv *c, const char *w, size_t block, const int form, int NB,
                   int A, int B, int C, bool w_zero, bool flip)
{
    size_t p = 0, n = c->pixels, size = c->all_words * (size_t)NB * GROUP_BYTES;
    size_t pace = (size_t)NB * GROUP_BYTES / (n / (size_t)A + 1);
    const char *ahead = w + size;
    for (; p + (size_t)A <= n; p += (size_t)A, ahead += c->all_words * pace)
        tile(c, w, ahead, pace, block, p, form, NB, A, w_zero, flip);
    for (; p + (size_t)B <= n; p += (size_t)B)
        tile(c, w, ahead, pace, block, p, form, NB, B, w_zero, flip);
    for (; p + (size_t)C <= n; p += (size_t)C)
        tile(c, w, ahead, pace, block, p, form, NB, C, w_zero, flip);
    for (; p < n; p++) tile(c, w, ahead, pace, block, p, form, NB, 1, w_zero, flip);
}

#define VARIANT(name, FORM, NB, A, B, C, W_ZERO, FLIP)                                 \
    static __attribute__((noinline)) void name(const pare_int8_conv *c, const char *w, \
                                               size_t block)                           \
    {                                                                                  \
        pixels(c, w, block, FORM, NB, A, B, C, W_ZERO, FLIP);                          \
    }
typedef void variant(const pare_int8_conv *c, const char *w, size_t block);

#if PARE_VEC_BYTES == 64
enum { TILE = 4 };
VARIANT(u1, WORD, 1, 14, 7, 3, false, false)
VARIANT(u2, WORD, 2, 12, 6, 3, false, false)
VARIANT(u3, WORD, 3, 8, 4, 2, false, false)
VARIANT(u4, WORD, 4, 6, 4, 2, false, false)
VARIANT(s1, WORD, 1, 14, 7, 3, false, true)
VARIANT(s2, WORD, 2, 12, 6, 3, false, true)
VARIANT(s3, WORD, 3, 8, 4, 2, false, true)
VARIANT(s4, WORD, 4, 6, 4, 2, false, true)
VARIANT(zu1, WORD, 1, 12, 6, 3, true, false)
VARIANT(zu2, WORD, 2, 8, 4, 2, true, false)
VARIANT(zu3, WORD, 3, 6, 3, 2, true, false)
VARIANT(zu4, WORD, 4, 4, 2, 1, true, false)
VARIANT(zs1, WORD, 1, 12, 6, 3, true, true)
VARIANT(zs2, WORD, 2, 8, 4, 2, true, true)
VARIANT(zs3, WORD, 3, 6, 3, 2, true, true)
VARIANT(zs4, WORD, 4, 4, 2, 1, true, true)
static variant *choice(const pare_int8_conv *c, size_t blocks)
{
    static variant *const variants[2][2][TILE] = {
        { { u1, u2, u3, u4 }, { s1, s2, s3, s4 } },
        { { zu1, zu2, zu3, zu4 }, { zs1, zs2, zs3, zs4 } },
    };
    return variants[c->finish.w_zero != NULL][c->flip != 0][blocks - 1];
}
#else
VARIANT(u1, WORD, 1, 12, 6, 3, false, false)
VARIANT(u2, WORD, 2, 6, 4, 2, false, false)
VARIANT(pu1, PAIRS, 1, 12, 6, 3, false, false)
VARIANT(pu2, PAIRS, 2, 6, 4, 2, false, false)
VARIANT(ps1, PAIRS, 1, 12, 6, 3, false, true)
VARIANT(ps2, PAIRS, 2, 6, 4, 2, false, true)
VARIANT(bu1, SPLIT, 1, 2, 1, 1, false, false)
VARIANT(bu2, SPLIT, 2, 2, 1, 1, false, false)
VARIANT(bs1, SPLIT, 1, 2, 1, 1, false, true)
VARIANT(bs2, SPLIT, 2, 2, 1, 1, false, true)
static variant *choice(const pare_int8_conv *c, size_t blocks)
{
    static variant *const of_bytes[2][2][2] = { { { bu1, bu2 }, { bs1, bs2 } },
                                                { { pu1, pu2 }, { ps1, ps2 } } };
    if (!c->quads) return blocks == 1 ? u1 : u2;
    return of_bytes[c->pairs][c->flip != 0][blocks - 1];
}
#endif

void ISA(pare_int8_conv)(const pare_int8_conv *c)
{
    const char *w = c->w;
    for (size_t block = 0; block < c->blocks;) {
        size_t n = c->blocks - block < c->tile ? c->blocks - block : c->tile;
        choice(c, n)(c, w, block);
        w += n * c->all_words * GROUP_BYTES;
        block += n;
    }
}

/* --- depthwise --- */
INLINE void depthwise(const pare_int8_depthwise *c, size_t first, int P, bool w_zero, bool flip)
{
    const uint8_t *at[8];
    ivec acc[8], of_x[8], change = spread(0x80808080);
#pragma GCC unroll 8
    for (int p = 0; p < P; p++) {
        at[p] = c->x + c->pixel[first + (size_t)p];
        acc[p] = load_i(c->finish.bias);
        of_x[p] = (ivec){ 0 };
    }
    for (size_t g = 0; g < c->groups; g++) {
        const char *w = (const char *)c->w + g * WEIGHTS * PARE_VEC_BYTES;
        ivec one = change;
        if (w_zero) one = spread(c->ones[g]);
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) {
            ivec q = load_i(at[p] + c->group[g]);
            if (flip) q ^= change;
            acc[p] = dot_turned(acc[p], q, w);
            if (w_zero) of_x[p] = dot(of_x[p], turn(q), one);
        }
    }
    if (w_zero)
#pragma GCC unroll 8
        for (int p = 0; p < P; p++) acc[p] -= of_x[p] * load_i(c->finish.w_zero);
    finish_pixels(&c->finish, 0, acc, P, 1, c->y + first * VL);
}

INLINE void depthwise_all(const pare_int8_depthwise *c, bool w_zero, bool flip)
{
    enum { P = 6 };
    size_t p = 0;
    for (; p + P <= c->pixels; p += P) depthwise(c, p, P, w_zero, flip);
    for (; p < c->pixels; p++) depthwise(c, p, 1, w_zero, flip);
}

void ISA(pare_int8_depthwise)(const pare_int8_depthwise *c)
{
    bool w_zero = PARE_VEC_BYTES == 64 && c->finish.w_zero;
    if (w_zero && c->flip)
        depthwise_all(c, true, true);
    else if (w_zero)
        depthwise_all(c, true, false);
    else if (c->flip)
        depthwise_all(c, false, true);
    else
        depthwise_all(c, false, false);
}

/* --- element by element --- */
void ISA(pare_int8_widen)(size_t n, const uint8_t *x, bool is_signed, int16_t *y)
{
    if (is_signed)
        for (size_t i = 0; i < n; i++) y[i] = (int8_t)x[i];
    else
        for (size_t i = 0; i < n; i++) y[i] = x[i];
}

INLINE ivec widen(const uint8_t *x, bool is_signed)
{
#if PARE_VEC_BYTES == 64
    __m128i b = _mm_loadu_si128((const __m128i *)(const void *)x);
    return (ivec)(is_signed ? _mm512_cvtepi8_epi32(b) : _mm512_cvtepu8_epi32(b));
#elif PARE_VEC_BYTES == 32
    __m128i b = _mm_loadl_epi64((const __m128i *)(const void *)x);
    return (ivec)(is_signed ? _mm256_cvtepi8_epi32(b) : _mm256_cvtepu8_epi32(b));
#else
    typedef int8_t signed_bytes __attribute__((vector_size(VL), aligned(1), may_alias));
    return is_signed ? __builtin_convertvector(*(const signed_bytes *)x, ivec)
                     : __builtin_convertvector(*(const bytes *)x, ivec);
#endif
}

void ISA(pare_quantize)(size_t n, const float *x, float scale, float lo, float hi, int32_t zero,
                        uint8_t *y)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        *(bytes *)(y + i) = low_bytes(whole(limit(load(x + i) / broadcast(scale), lo, hi), zero));
    pare_quantize_c(n - i, x + i, scale, lo, hi, zero, y + i);
}

void ISA(pare_dequantize)(size_t n, const uint8_t *x, bool is_signed, int32_t zero, float scale,
                          float *y)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL)
        store(y + i, __builtin_convertvector(widen(x + i, is_signed) - zero, vec) * scale);
    pare_dequantize_c(n - i, x + i, is_signed, zero, scale, y + i);
}

INLINE vec fused(vec a, vec b, vec c)
{
#if PARE_VEC_BYTES == 64
    return (vec)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif PARE_VEC_BYTES == 32
    return (vec)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return (vec)vfmaq_f32((float32x4_t)c, (float32x4_t)a, (float32x4_t)b);
#endif
}

INLINE size_t add(const pare_int8_add *p, size_t n, const uint8_t *a, const uint8_t *b, uint8_t *y,
                  bool signed_a, bool signed_b)
{
    size_t i = 0;
    vec scale_a = broadcast(p->scale_a), scale_b = broadcast(p->scale_b),
        shift = broadcast(p->shift);
    for (; i + VL <= n; i += VL) {
        vec v = __builtin_convertvector(widen(b + i, signed_b), vec);
        v = fused(v, scale_b, shift);
        v = fused(__builtin_convertvector(widen(a + i, signed_a), vec), scale_a, v);
        *(bytes *)(y + i) = low_bytes(whole(limit(v, p->lo, p->hi), p->zero));
    }
    return i;
}

void ISA(pare_int8_add)(const pare_int8_add *p, size_t n, const uint8_t *a, const uint8_t *b,
                        uint8_t *y)
{
    size_t i = 0;
    if (p->signed_a && p->signed_b)
        i = add(p, n, a, b, y, true, true);
    else if (!p->signed_a && !p->signed_b)
        i = add(p, n, a, b, y, false, false);
    pare_int8_add_c(p, n - i, a + i, b + i, y + i);
}

void ISA(pare_int8_sum)(size_t n, const uint8_t *x, uint8_t flip, int32_t *sum)
{
    ivec a = load_i(sum), b = { 0 };
    size_t i = 0;
    for (; i + 2 <= n; i += 2) {
        a += widen(x + i * VL, flip != 0);
        b += widen(x + (i + 1) * VL, flip != 0);
    }
    if (i < n) a += widen(x + i * VL, flip != 0);
    *(ivec *)sum = a + b;
}

INLINE void max_all(size_t pixels_, const uint8_t *x, size_t step, const uint32_t *tap, size_t taps,
                    uint8_t flip, uint8_t *y)
{
    typedef uint8_t wide __attribute__((vector_size(PARE_VEC_BYTES), aligned(1), may_alias));
    bytes change = { 0 };
    change += flip;
    if (step == VL) { /* pixels lie side by side */
        wide all = { 0 };
        all += flip;
        enum { N = PARE_VEC_BYTES / VL };
        for (; pixels_ >= N; pixels_ -= N, x += PARE_VEC_BYTES, y += PARE_VEC_BYTES) {
            wide most = { 0 };
            for (size_t t = 0; t < taps; t++) {
                wide v = *(const wide *)(x + tap[t]) ^ all, more = (wide)(v > most);
                most = (v & more) | (most & ~more);
            }
            *(wide *)y = most ^ all;
        }
    }
    for (size_t p = 0; p < pixels_; p++) {
        bytes most = { 0 };
        for (size_t t = 0; t < taps; t++) {
            bytes v = *(const bytes *)(x + p * step + tap[t]) ^ change;
            bytes more = (bytes)(v > most);
            most = (v & more) | (most & ~more);
        }
        *(bytes *)(y + p * VL) = most ^ change;
    }
}

void ISA(pare_int8_max)(size_t n, const uint8_t *x, size_t step, const uint32_t *tap, size_t taps,
                        uint8_t flip, uint8_t *y)
{
    max_all(n, x, step, tap, taps, flip, y);
}
