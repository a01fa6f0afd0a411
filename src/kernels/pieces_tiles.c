/* Convolutions of one, two or three bfloat16 pieces by tiles: rows of a tile are pixels, 32 numbers
 * of a piece each, columns are the lanes of a block.
 *
 * Sums lie in y until the last words are added: words go by in chunks, so that of 32 pixels the
 * pieces stay in the first-level cache while all blocks are multiplied with them. */
#include "kernels/pieces.h"
#include "kernels/tiles.h"

#include <string.h>

enum {
    WORDS = TILE_BYTES / 4,
    CHUNK_WORDS = 192,       /* of all pieces together */
    PANEL_BYTES = 192 << 10, /* of inputs: they stay in the second-level cache beside weights */
    BLOCK_BYTES = VL * 4,    /* a word of a block, and its sums */
};

/* --- cutting --- */
/* The 16 bits of the nearest piece of x, ties away from zero, above zeros. */
INLINE __m512i nearest(__m512i x) /* finite, and not too large to go up */
{
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000), half = _mm512_set1_epi32(0x8000);
    return _mm512_and_si512(_mm512_add_epi32(x, half), upper);
}

INLINE __m512 number(__m512i bits) { return (__m512)bits; }

/* Pieces of 16 numbers, `n` of which are stored for each piece. */
INLINE void cut(__m512 x, const size_t pieces, uint16_t *to, size_t piece, __mmask16 n)
{
    const __m512i exponent = _mm512_set1_epi32(0x7f800000),
                  upper = _mm512_set1_epi32((int)0xffff0000), bits = (__m512i)x;
    __m512i h = nearest(bits);
    /* What is infinite or would become so is cut off; NaN must not turn into infinity then. */
    __mmask16 stays = _mm512_cmpeq_epi32_mask(_mm512_and_si512(h, exponent), exponent),
              finite = _mm512_cmpneq_epi32_mask(_mm512_and_si512(bits, exponent), exponent),
              nan = _mm512_cmp_ps_mask(x, x, _CMP_UNORD_Q);
    h = _mm512_mask_and_epi32(h, stays, bits, upper);
    h = _mm512_mask_or_epi32(h, nan, _mm512_and_si512(bits, upper), _mm512_set1_epi32(0x400000));
    x = _mm512_maskz_sub_ps(finite, x, number(h));
    for (size_t i = 0;; x = _mm512_sub_ps(x, number(h))) {
        _mm256_mask_storeu_epi16(to + i * piece, n,
                                 _mm512_cvtepi32_epi16(_mm512_srli_epi32(h, 16)));
        if (++i == pieces) return;
        h = nearest((__m512i)x);
    }
}

INLINE void cut_all(const pare_pieces_cut *c, const size_t pieces)
{
    for (size_t p = 0; p < c->pixels; p++) {
        uint16_t *to = c->to + p * c->width;
        const float *x = c->x + p * c->x_pixel;
        for (size_t k = 0; k < c->width; k += VL, x += c->x_block) {
            size_t n = c->width - k, real = k < c->channels ? c->channels - k : 0;
            __m512 v = _mm512_setzero_ps();
            if (real) v = _mm512_maskz_loadu_ps((__mmask16)(real < VL ? (1u << real) - 1 : -1u), x);
            cut(v, pieces, to + k, c->piece, (__mmask16)(n < VL ? (1u << n) - 1 : -1u));
        }
    }
}

void pare_pieces_cut_tiles(const pare_pieces_cut *c)
{
    if (c->pieces == 2)
        cut_all(c, 2);
    else
        cut_all(c, 3);
}

/* --- multiplying --- */
/* Words of a chunk: whole tiles. */
static size_t chunk_words(size_t pieces, size_t words)
{
    size_t n = CHUNK_WORDS / pieces / WORDS * WORDS;
    return n < words ? n : words;
}

/* Bytes from row to row of a panel: whole lines, an odd number, so that rows do not all fall on the
 * same places of the cache. */
static size_t row_bytes(size_t chunk) { return (chunk / WORDS | 1) * TILE_BYTES; }

static size_t panel_pixels(size_t pieces, size_t chunk, size_t pixels)
{
    size_t n = PANEL_BYTES / (row_bytes(chunk) * pieces);
    n = n < 2 * TILE_ROWS ? 2 * TILE_ROWS : n;
    return n < pixels ? n : pixels;
}

size_t pare_pieces_room_tiles(size_t pieces, size_t words, size_t pixels)
{
    size_t chunk = chunk_words(pieces, words);
    return panel_pixels(pieces, chunk, pixels) * row_bytes(chunk) * pieces + 64;
}

/* Rows of a chunk of words in memory, pieces `piece` bytes apart. */
typedef struct panel {
    const char *at;
    size_t row, piece;
} panel;

/* Words [from, from + n) of `pixels` pixels side by side; zeros behind the last run. */
INLINE panel gather(const pare_pieces_conv *c, size_t first, size_t pixels, size_t from, size_t n)
{
    char *room = (char *)(((uintptr_t)c->room + 63) / 64 * 64);
    const size_t row = row_bytes(chunk_words(c->pieces, c->words));
    size_t start = 0; /* the run of the first word, and where it begins */
    for (; start < c->runs && from >= c->run[start].words; start++) from -= c->run[start].words;
    for (size_t i = 0; i < c->pieces; i++)
        for (size_t p = 0; p < pixels; p++) {
            const uint16_t *x = c->x + i * c->x_piece + c->pixel[first + p];
            char *to = room + (i * pixels + p) * row;
            size_t left = n, skip = from;
            for (size_t r = start; r < c->runs && left > 0; r++, skip = 0) {
                const uint16_t *at = x + c->run[r].at + 2 * skip;
                size_t some = c->run[r].words - skip;
                some = some < left ? some : left;
                left -= some;
                for (; some >= WORDS; some -= WORDS, at += 2 * WORDS, to += TILE_BYTES)
                    _mm512_storeu_si512(to, _mm512_loadu_si512(at));
                __mmask16 m = (__mmask16)((1u << some) - 1);
                _mm512_mask_storeu_epi32(to, m, _mm512_maskz_loadu_epi32(m, at));
                to += 4 * some;
            }
            for (; left > 0; left--, to += 4) memset(to, 0, 4);
        }
    return (panel){ room, row, pixels * row };
}

/* Do all pixels lie equally far apart, so that rows of tiles can be loaded where they are? */
static bool lie_in_rows(const pare_pieces_conv *c, size_t first, size_t pixels)
{
    if (c->runs != 1 || c->run[0].words != c->words) return false;
    const uint32_t *at = c->pixel + first, step = pixels > 1 ? at[1] - at[0] : 0;
    for (size_t p = 1; p < pixels; p++)
        if (at[p] - at[p - 1] != step) return false;
    return true;
}

/* Adds the products of up to two tiles of pixels by up to two blocks to their sums in y, or to
 * zero. The rows of weights are words, `step` bytes apart. */
INLINE void multiply(const panel *x, size_t upper, size_t lower, const char *w, size_t step,
                     size_t w_piece, size_t words, const size_t pieces, bool two_rows,
                     bool two_blocks, bool fresh, float *y, size_t y_block)
{
    float *under = y + (lower - upper) * VL;
    if (fresh) {
        tile_zero(0);
        tile_zero(1);
        tile_zero(2);
        tile_zero(3);
    } else {
        tile_load(0, y, BLOCK_BYTES);
        if (two_blocks) tile_load(1, y + y_block, BLOCK_BYTES);
        if (two_rows) tile_load(2, under, BLOCK_BYTES);
        if (two_rows && two_blocks) tile_load(3, under + y_block, BLOCK_BYTES);
    }
    /* Pairs of pieces, the inputs' and the weights', in an order that changes one of them at a
     * time. */
    static const unsigned char pairs[PARE_PIECES_MOST][6][2] = {
        { { 0, 0 } },
        { { 1, 0 }, { 0, 0 }, { 0, 1 } },
        { { 1, 1 }, { 1, 0 }, { 2, 0 }, { 0, 0 }, { 0, 2 }, { 0, 1 } },
    };
    for (size_t k = 0; k < words; k += WORDS) {
#pragma GCC unroll 6
        for (size_t s = 0; s < pieces * (pieces + 1) / 2; s++) {
            const unsigned char *pair = pairs[pieces - 1][s];
            if (s == 0 || pair[0] != pair[-2]) {
                const char *at = x->at + pair[0] * x->piece + k * 4;
                tile_load(4, at + upper * x->row, x->row);
                if (two_rows) tile_load(5, at + lower * x->row, x->row);
            }
            if (s == 0 || pair[1] != pair[-1]) {
                const char *at = w + pair[1] * w_piece + k * step;
                tile_load(6, at, step);
                if (two_blocks) tile_load(7, at + BLOCK_BYTES, step);
            }
            tile_dot_bf16(0, 4, 6);
            if (two_blocks) tile_dot_bf16(1, 4, 7);
            if (two_rows) tile_dot_bf16(2, 5, 6);
            if (two_rows && two_blocks) tile_dot_bf16(3, 5, 7);
        }
    }
    tile_store(0, y, BLOCK_BYTES);
    if (two_blocks) tile_store(1, y + y_block, BLOCK_BYTES);
    if (two_rows) tile_store(2, under, BLOCK_BYTES);
    if (two_rows && two_blocks) tile_store(3, under + y_block, BLOCK_BYTES);
}

/* Words [from, from + n) of pixels [first, first + pixels), which `x` holds, with all blocks. */
INLINE void multiply_chunk(const pare_pieces_conv *c, size_t first, size_t pixels, const panel *x,
                           size_t from, size_t n, const size_t pieces)
{
    /* Tiles of nearly equal heights, in pairs. */
    const size_t tiles = (pixels + TILE_ROWS - 1) / TILE_ROWS;
    size_t configured[2] = { 0, 0 };
    for (size_t t = 0; t < tiles; t += 2) {
        const bool two_rows = t + 1 < tiles;
        const size_t upper = pixels * t / tiles, lower = pixels * (t + 1) / tiles,
                     end = two_rows ? pixels * (t + 2) / tiles : lower,
                     height[2] = { lower - upper, two_rows ? end - lower : lower - upper };
        if (height[0] != configured[0] || height[1] != configured[1])
            tile_configure_square(configured[0] = height[0], configured[1] = height[1]);
        const char *w = (const char *)c->w;
        for (size_t block = 0; block < c->blocks; block += PARE_PIECES_TILE) {
            const bool two_blocks = block + 1 < c->blocks;
            const size_t step = (two_blocks ? 2 : 1) * (size_t)BLOCK_BYTES,
                         w_piece = c->words * step;
            multiply(x, upper, lower, w + from * step, step, w_piece, n, pieces, two_rows,
                     two_blocks, from == 0, c->y + block * c->y_block + (first + upper) * VL,
                     c->y_block);
            w += pieces * w_piece;
        }
    }
}

/* Sums in y to what they are to be. */
static void finish(const pare_pieces_conv *c, size_t first, size_t pixels)
{
    const pare_finish *f = &c->finish;
    for (size_t b = 0; b < c->blocks; b++) {
        const vec bias = load(c->bias + b * VL);
        for (size_t p = first; p < first + pixels; p++) {
            size_t at = b * c->y_block + p * VL;
            vec v = load(c->y + at) + bias;
            if (c->residual) v += load(c->residual + at);
            store(c->y + at, act_apply(f->act, v, f->lo, f->hi, f->alpha));
        }
    }
}

INLINE void convolve(const pare_pieces_conv *c, const size_t pieces)
{
    const size_t chunk = chunk_words(pieces, c->words),
                 most = panel_pixels(pieces, chunk, c->pixels);
    for (size_t first = 0; first < c->pixels; first += most) {
        const size_t pixels = c->pixels - first < most ? c->pixels - first : most;
        const bool there = lie_in_rows(c, first, pixels);
        for (size_t from = 0; from < c->words; from += chunk) {
            size_t n = c->words - from < chunk ? c->words - from : chunk;
            panel x;
            if (there) {
                x.at = (const char *)(c->x + c->pixel[first] + c->run[0].at + 2 * from);
                x.row = pixels > 1 ? (c->pixel[first + 1] - c->pixel[first]) * sizeof *c->x : 0;
                x.piece = c->x_piece * sizeof *c->x;
            } else
                x = gather(c, first, pixels, from, n);
            multiply_chunk(c, first, pixels, &x, from, n, pieces);
        }
        finish(c, first, pixels);
    }
    if (c->pixels) tile_release();
}

void pare_pieces_conv_tiles(const pare_pieces_conv *c)
{
    switch (c->pieces) {
    case 1: convolve(c, 1); break;
    case 2: convolve(c, 2); break;
    default: convolve(c, 3);
    }
}
