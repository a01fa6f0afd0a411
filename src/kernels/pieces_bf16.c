/* Convolutions of one bfloat16 piece by AVX-512's dot products of pairs (AVX512_BF16). Such an
 * instruction does twice the multiply-adds of one on float32, so nothing is won with more pieces,
 * of which three products are needed at least. */
#include "kernels/pieces.h"
#include "kernels/simd.h"

#include <math.h>

enum { NB = PARE_PIECES_TILE, NP = 12 /* 24 of 32 registers are sums */, LINE = 64 };

/* --- cutting --- */
/* 16 numbers, those of `lanes` alone, rounded. */
INLINE __m256i narrow(const float *x, __mmask16 lanes)
{
    return (__m256i)_mm512_cvtneps_pbh(_mm512_maskz_loadu_ps(lanes, x));
}

/* Channels lie in planes: words of 16 pixels are made and scattered. */
static void cut_planes(const pare_pieces_cut *c)
{
    const size_t words = c->width / 2;
    const __m512i places =
        _mm512_mullo_epi32(_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15),
                           _mm512_set1_epi32((int)words));
    for (size_t p = 0; p < c->pixels; p += VL) {
        size_t n = c->pixels - p;
        __mmask16 m = (__mmask16)(n < VL ? (1u << n) - 1 : 0xffff);
        for (size_t k = 0; k < words; k++) {
            __m512i word = _mm512_setzero_si512();
            const float *x = c->x + 2 * k * c->x_block + p;
            if (2 * k < c->channels) word = _mm512_cvtepu16_epi32(narrow(x, m));
            if (2 * k + 1 < c->channels)
                word = _mm512_or_si512(
                    word, _mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow(x + c->x_block, m)), 16));
            _mm512_mask_i32scatter_epi32(c->to + p * c->width + 2 * k, m, places, word, 4);
        }
    }
}

void pare_pieces_cut_bf16(const pare_pieces_cut *c)
{
    if (c->vl == 1) {
        cut_planes(c);
        return;
    }
    const size_t whole = c->channels / VL, rest = c->channels % VL;
    for (size_t p = 0; p < c->pixels; p++) {
        uint16_t *to = c->to + p * c->width;
        const float *x = c->x + p * c->x_pixel;
        size_t b = 0;
        for (; b + 2 <= whole; b += 2, x += 2 * c->x_block)
            _mm512_storeu_si512(
                to + b * VL,
                (__m512i)_mm512_cvtne2ps_pbh(_mm512_loadu_ps(x + c->x_block), _mm512_loadu_ps(x)));
        for (; b < whole; b++, x += c->x_block)
            _mm256_storeu_si256((void *)(to + b * VL), narrow(x, 0xffff));
        size_t k = whole * VL;
        if (rest) {
            size_t n = c->width - k < VL ? c->width - k : VL;
            _mm256_mask_storeu_epi16(to + k, (__mmask16)((1u << n) - 1),
                                     narrow(x, (__mmask16)((1u << rest) - 1)));
            k += n;
        }
        for (; k < c->width; k++) to[k] = 0;
    }
}

/* --- multiplying: nb blocks by np pixels --- */
/* Words [k, end) of x[p]. */
INLINE void words(const uint16_t *const *x, size_t k, size_t end, const uint16_t *w, const int nb,
                  const int np, __m512 acc[][NP])
{
    for (; k < end; k += 2, w += nb * 2 * VL) {
        __m512bh a[NB];
#pragma GCC unroll 2
        for (int b = 0; b < nb; b++) a[b] = (__m512bh)_mm512_loadu_si512(w + b * 2 * VL);
#pragma GCC unroll 12
        for (int p = 0; p < np; p++) {
            int32_t pair;
            __builtin_memcpy(&pair, x[p] + k, sizeof pair);
            __m512bh v = (__m512bh)_mm512_set1_epi32(pair);
#pragma GCC unroll 2
            for (int b = 0; b < nb; b++) acc[b][p] = _mm512_dpbf16_ps(acc[b][p], a[b], v);
        }
    }
}

/* `ahead`: weights that come next, of which this tile asks for `lines` lines of the cache. */
INLINE void tile(const pare_pieces_conv *c, const uint16_t *w, size_t block, size_t first,
                 const char *ahead, size_t lines, const int nb, const int np)
{
    const uint16_t *x[NP];
    __m512 acc[NB][NP];
#pragma GCC unroll 12
    for (int p = 0; p < np; p++) {
        x[p] = c->x + c->pixel[first + (size_t)p];
#pragma GCC unroll 2
        for (int b = 0; b < nb; b++)
            acc[b][p] = _mm512_loadu_ps(c->bias + (block + (size_t)b) * VL);
    }
    size_t done = 0;
    for (size_t r = 0; r < c->runs; r++) {
        size_t k = c->run[r].at, end = k + 2 * (size_t)c->run[r].words;
        size_t until = lines * (r + 1) / c->runs;
        for (; done < until; done++) __builtin_prefetch(ahead + done * LINE, 0, 2);
        words(x, k, end, w, nb, np, acc);
        w += (end - k) * (size_t)nb * VL;
    }
    const pare_finish *f = &c->finish;
    const size_t at = block * c->y_block + first * VL;
#pragma GCC unroll 2
    for (int b = 0; b < nb; b++)
#pragma GCC unroll 12
        for (int p = 0; p < np; p++) {
            size_t to = at + (size_t)b * c->y_block + (size_t)p * VL;
            vec v = (vec)acc[b][p];
            if (c->residual) v += load(c->residual + to);
            acc[b][p] = (__m512)v;
        }
    const vec low = broadcast(f->act == PARE_ACT_RELU ? 0 : -INFINITY);
    const bool more = f->act == PARE_ACT_CLIP || f->act == PARE_ACT_LEAKY;
#pragma GCC unroll 2
    for (int b = 0; b < nb; b++)
#pragma GCC unroll 12
        for (int p = 0; p < np; p++)
            store(c->y + at + (size_t)b * c->y_block + (size_t)p * VL,
                  at_least((vec)acc[b][p], low));
    if (!more) return;
    for (int b = 0; b < nb; b++)
        for (int p = 0; p < np; p++) {
            float *to = c->y + at + (size_t)b * c->y_block + (size_t)p * VL;
            store(to, act_apply(f->act, load(to), f->lo, f->hi, f->alpha));
        }
}

typedef void tile_fn(const pare_pieces_conv *c, const uint16_t *w, size_t block, size_t first,
                     const char *ahead, size_t lines);
#define SIZE(B, P)                                                                \
    static __attribute__((noinline)) void tile_##B##_##P(                         \
        const pare_pieces_conv *c, const uint16_t *w, size_t block, size_t first, \
        const char *ahead, size_t lines)                                          \
    {                                                                             \
        tile(c, w, block, first, ahead, lines, B, P);                             \
    }
#define SIZES(B) \
    SIZE(B, 1)   \
    SIZE(B, 2)   \
    SIZE(B, 3)   \
    SIZE(B, 4)   \
    SIZE(B, 5) SIZE(B, 6) SIZE(B, 7) SIZE(B, 8) SIZE(B, 9) SIZE(B, 10) SIZE(B, 11) SIZE(B, 12)
#define NAMES(B)                                                                        \
    tile_##B##_1, tile_##B##_2, tile_##B##_3, tile_##B##_4, tile_##B##_5, tile_##B##_6, \
        tile_##B##_7, tile_##B##_8, tile_##B##_9, tile_##B##_10, tile_##B##_11, tile_##B##_12
SIZES(1)
SIZES(2)
static tile_fn *const table[NB][NP] = { { NAMES(1) }, { NAMES(2) } };

void pare_pieces_conv_bf16(const pare_pieces_conv *c)
{
    const uint16_t *w = c->w;
    const size_t tiles = (c->pixels + NP - 1) / NP;
    for (size_t block = 0; block < c->blocks; block += NB) {
        size_t nb = c->blocks - block < NB ? c->blocks - block : NB, size = nb * c->words * 2 * VL,
               last = block + 2 * NB <= c->blocks ? NB : c->blocks - block - nb;
        /* The next tile's weights, shared out between the tiles of pixels. */
        size_t lines = last * c->words * 2 * VL * sizeof *w / LINE;
        const char *ahead = (const char *)(w + size);
        for (size_t i = 0, from = 0; i < tiles; i++) {
            size_t to = c->pixels * (i + 1) / tiles, l0 = lines * i / tiles,
                   l1 = lines * (i + 1) / tiles;
            table[nb - 1][to - from - 1](c, w, block, from, ahead + l0 * LINE, l1 - l0);
            from = to;
        }
        w += size;
    }
}
