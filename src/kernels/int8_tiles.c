/* Convolutions of bytes by tiles: rows of a tile are pixels, 64 bytes of their input each, columns
 * are the lanes of a block. Inputs are copied into panels of such rows first, which costs little
 * beside the many output channels that each row is multiplied with. */
#include "kernels/int8_vec.h"
#include "kernels/tiles.h"

enum {
    WORDS = TILE_BYTES / 4,
};

/* The words of `n` pixels side by side, unsigned, zeros up to a whole tile. */
INLINE void gather(const pare_int8_conv *c, size_t first, size_t n, char *panel, size_t row)
{
    const __m512i change = _mm512_set1_epi8((char)c->flip), zero = _mm512_setzero_si512();
    const size_t last = c->all_words / WORDS * TILE_BYTES;
    for (size_t p = 0; p < n; p++, panel += row) {
        const uint8_t *x = c->x + c->pixel[first + p];
        char *to = panel;
        if (c->all_words % WORDS) _mm512_storeu_si512(panel + last, zero);
        for (size_t r = 0; r < c->runs; r++) {
            const uint8_t *from = x + c->run[r].at;
            size_t words = c->run[r].words;
            for (; words >= WORDS; words -= WORDS, from += TILE_BYTES, to += TILE_BYTES)
                _mm512_storeu_si512(to, _mm512_xor_si512(_mm512_loadu_si512(from), change));
            if (!words) continue;
            __mmask16 m = (__mmask16)((1u << words) - 1);
            _mm512_mask_storeu_epi32(to, m,
                                     _mm512_xor_si512(_mm512_maskz_loadu_epi32(m, from), change));
            to += 4 * words;
        }
    }
}

/* sums[p] = the sum of pixel p's bytes where weights are real. */
INLINE void sum_rows(const pare_int8_conv *c, size_t n, const char *panel, size_t row,
                     int32_t *sums)
{
    for (size_t p = 0; p < n; p++, panel += row) {
        __m512i sum = _mm512_setzero_si512();
        for (size_t q = 0; q < c->all_words; q += WORDS) {
            size_t left = c->all_words - q;
            __mmask16 m = (__mmask16)(left < WORDS ? (1u << left) - 1 : 0xffff);
            sum = _mm512_dpbusd_epi32(sum, _mm512_loadu_si512(panel + 4 * q),
                                      _mm512_maskz_loadu_epi32(m, c->ones + q));
        }
        sums[p] = _mm512_reduce_add_epi32(sum);
    }
}

/* Sums of up to two tiles of pixels by up to two blocks, in the order of the tiles' numbers, each
 * [16][16]. The rows of a panel of weights are words, `step` bytes apart. */
INLINE void multiply(const char *panel, const char *lower, size_t row, size_t all_words,
                     const char *w, size_t step, bool two_rows, bool two_blocks, int32_t *to)
{
    tile_zero(0);
    tile_zero(1);
    tile_zero(2);
    tile_zero(3);
    for (size_t q = 0; q < all_words;
         q += WORDS, panel += TILE_BYTES, lower += TILE_BYTES, w += WORDS * step) {
        tile_load(4, panel, row);
        tile_load(6, w, step);
        tile_dot_bytes(0, 4, 6);
        if (two_blocks) {
            tile_load(7, w + TILE_BYTES, step);
            tile_dot_bytes(1, 4, 7);
        }
        if (!two_rows) continue;
        tile_load(5, lower, row);
        tile_dot_bytes(2, 5, 6);
        if (two_blocks) tile_dot_bytes(3, 5, 7);
    }
    tile_store(0, to, TILE_BYTES);
    if (two_blocks) tile_store(1, to + 256, TILE_BYTES);
    if (!two_rows) return;
    tile_store(2, to + 512, TILE_BYTES);
    if (two_blocks) tile_store(3, to + 768, TILE_BYTES);
}

/* One tile's sums to where they go; `pixel` is the first one's number. */
INLINE void put(const pare_int8_conv *c, const int32_t *sums, const int32_t *of_x, size_t pixel,
                size_t n, size_t block)
{
    const pare_int8_finish *f = &c->finish;
    const size_t channel = block * VL, at = block * c->y_block + pixel * VL;
    const ivec bias = load_i(f->bias + channel), none = { 0 };
    const ivec w_zero = f->w_zero ? load_i(f->w_zero + channel) : none;
    for (size_t p = 0; p < n; p++) {
        ivec sum = load_i(sums + p * VL) + bias;
        if (f->w_zero) sum -= of_x[p] * w_zero;
        if (c->sums)
            *(ivec *)(c->sums + at + p * VL) = sum;
        else
            finish(f, channel, sum, c->y + at + p * VL);
    }
}

/* Pixels [first, first + n), which `panel` holds, against all blocks. */
static void multiply_panel(const pare_int8_conv *c, size_t first, size_t n, const char *panel,
                           size_t row, const int32_t *of_x, int32_t *sums)
{
    /* Tiles of nearly equal heights, in pairs. */
    const size_t tiles = (n + TILE_ROWS - 1) / TILE_ROWS;
    const char *w = c->w;
    size_t upper = 0, lower = 0; /* as configured */
    for (size_t block = 0; block < c->blocks; block += c->tile) {
        size_t beside = c->blocks - block < c->tile ? c->blocks - block : c->tile,
               step = beside * TILE_BYTES;
        for (size_t b = 0; b < beside; b += 2)
            for (size_t t = 0; t < tiles; t += 2) {
                size_t at = n * t / tiles, middle = n * (t + 1) / tiles;
                bool two_rows = t + 1 < tiles, two_blocks = b + 1 < beside;
                size_t end = two_rows ? n * (t + 2) / tiles : middle, height = middle - at,
                       rest = two_rows ? end - middle : height;
                if (height != upper || rest != lower)
                    tile_configure_square(upper = height, lower = rest);
                multiply(panel + at * row, panel + middle * row, row, c->all_words,
                         w + b * TILE_BYTES, step, two_rows, two_blocks, sums);
                for (size_t i = 0; i < 4; i++) {
                    if ((i & 1 && !two_blocks) || (i & 2 && !two_rows)) continue;
                    size_t p = i & 2 ? middle : at;
                    put(c, sums + 256 * i, of_x + p, first + p, i & 2 ? rest : height,
                        block + b + (i & 1));
                }
            }
        w += c->all_words * step;
    }
}

void pare_int8_conv_tiles(const pare_int8_conv *c)
{
    const size_t row = pare_int8_panel_row(c->all_words),
                 most = pare_int8_panel_pixels(c->all_words, c->pixels);
    char *panel = (char *)(((uintptr_t)c->room + 63) / 64 * 64);
    int32_t *sums = (int32_t *)(void *)(panel + most * row), *of_x = sums + 4 * TILE_ROWS * VL;
    for (size_t first = 0; first < c->pixels; first += most) {
        size_t n = c->pixels - first < most ? c->pixels - first : most;
        gather(c, first, n, panel, row);
        if (c->finish.w_zero) sum_rows(c, n, panel, row, of_x);
        multiply_panel(c, first, n, panel, row, of_x, sums);
    }
    tile_release();
}

double pare_limit_int8_tiles(size_t rounds, uint32_t x, int32_t *sink)
{
    uint32_t of_x[TILE_ROWS * WORDS], weights[TILE_ROWS * WORDS], sums[TILE_ROWS * WORDS], sum = 0;
    for (size_t i = 0; i < TILE_ROWS * WORDS; i++) of_x[i] = x, weights[i] = 0x04030201;
    tile_configure_square(TILE_ROWS, TILE_ROWS);
    tile_load(4, of_x, TILE_BYTES);
    tile_load(6, weights, TILE_BYTES);
    for (size_t r = 0; r < rounds; r++) {
        tile_dot_bytes(0, 4, 6);
        tile_dot_bytes(1, 4, 6);
        tile_dot_bytes(2, 4, 6);
        tile_dot_bytes(3, 4, 6);
    }
#define ADD_UP(t)                    \
    tile_store(t, sums, TILE_BYTES); \
    for (size_t i = 0; i < TILE_ROWS * WORDS; i++) sum += sums[i]
    ADD_UP(0);
    ADD_UP(1);
    ADD_UP(2);
    ADD_UP(3);
#undef ADD_UP
    tile_release();
    *sink = (int32_t)(sum & INT32_MAX);
    return 2.0 * 4 * TILE_ROWS * TILE_ROWS * TILE_BYTES * (double)rounds;
}
