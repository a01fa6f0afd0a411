/* Exact Winograd of bytes in vectors: transforms are arithmetic of whole vectors (16-bit numbers of
 * two blocks of the input, 32-bit sums of one block of the output); products keep MT tiles times NB
 * blocks of output channels in registers, two channels in a lane. */
#include "kernels/int8_vec.h"
#include "kernels/int8_winograd.h"

#include <string.h>

typedef int16_t shorts __attribute__((vector_size(PARE_VEC_BYTES), aligned(2), may_alias));
typedef uint32_t uvec __attribute__((vector_size(PARE_VEC_BYTES), aligned(4), may_alias));
enum { N = 6, M = 4, PAIR = 2 * VL };

/* --- weights --- */
INLINE void weights_1d(const int16_t *w, size_t step, int16_t *u, size_t ustep)
{
    int16_t a = w[0], b = w[step], c = w[2 * step];
    u[0] = (int16_t)(6 * a);
    u[ustep] = (int16_t)(-a - b - c);
    u[2 * ustep] = (int16_t)(-a + b - c);
    u[3 * ustep] = (int16_t)(a + 2 * b + 4 * c);
    u[4 * ustep] = (int16_t)(a - 2 * b + 4 * c);
    u[5 * ustep] = (int16_t)(6 * c);
}

void ISA(pare_int8_winograd_weights)(const pare_int8_winograd_weights *t)
{
    for (size_t c = 0; c < (t->channels + 1) / 2 * 2; c++) {
        int16_t w[9][VL] = { { 0 } }, half[N * 3][VL], u[N * N][VL];
        for (size_t lane = 0; c < t->channels && lane < t->lanes; lane++)
            for (size_t i = 0; i < 9; i++) w[i][lane] = t->w[(lane * t->channels + c) * 9 + i];
        for (size_t j = 0; j < 3; j++)
            for (size_t lane = 0; lane < VL; lane++)
                weights_1d(&w[j][lane], (size_t)3 * VL, &half[j][lane], (size_t)3 * VL);
        for (size_t i = 0; i < N; i++)
            for (size_t lane = 0; lane < VL; lane++)
                weights_1d(&half[3 * i][lane], VL, &u[N * i][lane], VL);
        int16_t *to = t->u + c / 2 * t->row + c % 2;
        for (size_t p = 0; p < N * N; p++)
            for (size_t lane = 0; lane < VL; lane++) to[p * t->position + 2 * lane] = u[p][lane];
    }
}

/* --- input --- */
/* The same pixel of two blocks. */
INLINE shorts widen(const uint8_t *a, const uint8_t *b, const bool is_signed)
{
#if PARE_VEC_BYTES == 64
    __m256i x = _mm256_inserti128_si256(
        _mm256_castsi128_si256(_mm_loadu_si128((const __m128i *)(const void *)a)),
        _mm_loadu_si128((const __m128i *)(const void *)b), 1);
    return (shorts)(is_signed ? _mm512_cvtepi8_epi16(x) : _mm512_cvtepu8_epi16(x));
#elif PARE_VEC_BYTES == 32
    __m128i x = _mm_unpacklo_epi64(_mm_loadl_epi64((const __m128i *)(const void *)a),
                                   _mm_loadl_epi64((const __m128i *)(const void *)b));
    return (shorts)(is_signed ? _mm256_cvtepi8_epi16(x) : _mm256_cvtepu8_epi16(x));
#else
    uint8_t x[8];
    memcpy(x, a, 4);
    memcpy(x + 4, b, 4);
    uint8x8_t both = vld1_u8(x);
    return is_signed ? (shorts)vmovl_s8(vreinterpret_s8_u8(both)) : (shorts)vmovl_u8(both);
#endif
}

/* v = B^T x */
INLINE void input_1d(const shorts *x, shorts *v)
{
    shorts far = x[4] - x[2], odd = (x[3] - x[1]) << 1;
    shorts near = x[4] - (x[2] << 2), near_odd = x[3] - (x[1] << 2);
    v[0] = ((x[0] - x[2]) << 2) + far;
    v[1] = near + near_odd;
    v[2] = near - near_odd;
    v[3] = far + odd;
    v[4] = far - odd;
    v[5] = (x[5] - x[3]) - (odd << 1);
}

/* One tile of two blocks, whose rows are `row` bytes apart. */
INLINE void input_tile(const uint8_t *a, const uint8_t *b, size_t row, const bool is_signed,
                       int16_t *v, size_t position)
{
    shorts half[N][N]; /* columns transformed: [column][position] */
#pragma GCC unroll 6
    for (size_t j = 0; j < N; j++) {
        shorts column[N];
#pragma GCC unroll 6
        for (size_t i = 0; i < N; i++)
            column[i] = widen(a + i * row + j * VL, b + i * row + j * VL, is_signed);
        input_1d(column, half[j]);
    }
#pragma GCC unroll 6
    for (size_t i = 0; i < N; i++) {
        shorts line[N], out[N];
#pragma GCC unroll 6
        for (size_t j = 0; j < N; j++) line[j] = half[j][i];
        input_1d(line, out);
#pragma GCC unroll 6
        for (size_t j = 0; j < N; j++) *(shorts *)(v + (i * N + j) * position) = out[j];
    }
}

/* The part of a block's map that a tile needs, continued by `pad`. */
static void copy_edge(const pare_int8_winograd_input *t, const uint8_t *x, int64_t y0, int64_t x0,
                      uint8_t *to)
{
    for (int64_t i = 0; i < N; i++)
        for (int64_t j = 0; j < N; j++, to += VL) {
            int64_t y = y0 + i, at = x0 + j;
            if (y >= 0 && y < t->in_y && at >= 0 && at < t->in_x)
                memcpy(to, x + (y * t->in_x + at) * VL, VL);
            else
                memset(to, t->pad, VL);
        }
}

INLINE void input(const pare_int8_winograd_input *t, const bool is_signed)
{
    size_t row = (size_t)t->in_x * VL, map = (size_t)t->in_y * row;
    for (size_t block = 0; block < t->blocks; block += 2) {
        /* The last has no partner: its own numbers serve. */
        const uint8_t *a = t->x + block * map, *b = block + 1 < t->blocks ? a + map : a;
        int16_t *v = t->v + block / 2 * t->tiles * PAIR;
        int64_t ty = (int64_t)t->first / t->tiles_x, tx = (int64_t)t->first % t->tiles_x;
        for (size_t i = 0; i < t->tiles; i++, v += PAIR) {
            int64_t y0 = ty * M - t->top, x0 = tx * M - t->left;
            if (++tx == t->tiles_x) tx = 0, ty++;
            if (y0 >= 0 && y0 + N <= t->in_y && x0 >= 0 && x0 + N <= t->in_x) {
                int64_t at = (y0 * t->in_x + x0) * VL;
                input_tile(a + at, b + at, row, is_signed, v, t->position);
                continue;
            }
            uint8_t edge[2][N * N * VL];
            copy_edge(t, a, y0, x0, edge[0]);
            copy_edge(t, b, y0, x0, edge[1]);
            input_tile(edge[0], edge[1], (size_t)N * VL, is_signed, v, t->position);
        }
    }
}

void ISA(pare_int8_winograd_input)(const pare_int8_winograd_input *t)
{
    if (t->is_signed)
        input(t, true);
    else
        input(t, false);
}

/* --- product --- */
#if PARE_REGISTERS == 32
enum { NB_MOST = 4, MT_MOST = 14 };
#define MT(nb) ((nb) == 1 ? 14 : (nb) == 2 ? 12 : (nb) == 3 ? 8 : 6)
#else
enum { NB_MOST = 2, MT_MOST = 12 };
#define MT(nb) ((nb) == 1 ? 12 : 6)
#endif

/* Two products a lane. */
INLINE uvec dot(uvec acc, uvec x, uvec w)
{
#if PARE_VEC_BYTES == 64
    return (uvec)_mm512_dpwssd_epi32((__m512i)acc, (__m512i)x, (__m512i)w);
#elif PARE_VEC_BYTES == 32
    return acc + (uvec)_mm256_madd_epi16((__m256i)x, (__m256i)w);
#else
    return acc + (uvec)pairs((int16x8_t)x, (int16x8_t)w);
#endif
}

/* All channels for mt tiles and nb blocks. */
INLINE void micro(const pare_int8_winograd_product *t, const int16_t *u, const int16_t *v,
                  const char *fetch, size_t fetches, uint32_t *r, const int nb, const int mt)
{
    const size_t width = t->blocks * VL, group = t->tiles * PAIR;
    uvec acc[MT_MOST][NB_MOST];
#pragma GCC unroll 14
    for (int i = 0; i < mt; i++)
#pragma GCC unroll 4
        for (int b = 0; b < nb; b++) acc[i][b] = (uvec){ 0 };
    for (size_t c = 0; c < t->channels; c += PAIR, v += group) {
        size_t left = (t->channels - c + 1) / 2;
        const int16_t *at = v, *end = v + 2 * (left < VL ? left : VL);
        for (; at < end; at += 2, u += 2 * width) {
            for (size_t f = 0; f < fetches; f++, fetch += 64) __builtin_prefetch(fetch, 0, 2);
            uvec w[NB_MOST];
#pragma GCC unroll 4
            for (int b = 0; b < nb; b++) w[b] = *(const uvec *)(u + (size_t)b * PAIR);
#pragma GCC unroll 14
            for (int i = 0; i < mt; i++) {
                uint32_t x;
                memcpy(&x, at + (size_t)i * PAIR, sizeof x);
                uvec both = (uvec){ 0 } + x;
#pragma GCC unroll 4
                for (int b = 0; b < nb; b++) acc[i][b] = dot(acc[i][b], both, w[b]);
            }
        }
    }
#pragma GCC unroll 14
    for (int i = 0; i < mt; i++)
#pragma GCC unroll 4
        for (int b = 0; b < nb; b++) *(uvec *)(r + (size_t)i * width + (size_t)b * VL) = acc[i][b];
}

/* All tiles for nb of the blocks. */
INLINE void panel(const pare_int8_winograd_product *t, size_t block, const int nb)
{
    const size_t width = t->blocks * VL, step = (size_t)MT(nb), both = (t->channels + 1) / 2;
    const int16_t *u = t->u + block * PAIR;
    uint32_t *r = t->r + block * VL;
    /* The next panel is fetched meanwhile, evenly: some lines beside every pair of channels. */
    size_t groups = (t->tiles + step - 1) / step, lines = (width * 4 + 63) / 64,
           each = (lines + groups - 1) / groups, i = 0, left = lines;
    const char *next = (const char *)(t->u + both * width * 2);
#define STEP(n)                                                          \
    do {                                                                 \
        size_t now = left < each ? left : each;                          \
        micro(t, u, t->v + i * PAIR, next, now, r + i * width, nb, (n)); \
        next += now * both * 64;                                         \
        left -= now;                                                     \
        i += (n);                                                        \
    } while (0)
    while (i + step <= t->tiles) STEP(MT(nb));
    if (i + 4 <= t->tiles) STEP(4);
    if (i + 2 <= t->tiles) STEP(2);
    while (i < t->tiles) STEP(1);
#undef STEP
}

void ISA(pare_int8_winograd_product)(const pare_int8_winograd_product *t)
{
    for (size_t b = 0; b < t->blocks;) {
        size_t nb = t->blocks - b < NB_MOST ? t->blocks - b : NB_MOST;
        switch (nb) {
        case 1: panel(t, b, 1); break;
        case 2: panel(t, b, 2); break;
#if PARE_REGISTERS == 32
        case 3: panel(t, b, 3); break;
        default: panel(t, b, 4); break;
#endif
        }
        b += nb;
    }
}

/* --- output --- */
/* y = A^T r */
INLINE void output_1d(const uvec *r, uvec *y)
{
    uvec near = r[1] + r[2], far = r[3] + r[4], near_odd = r[1] - r[2], far_odd = r[3] - r[4];
    y[0] = r[0] + (near << 2) + far;
    y[1] = (near_odd << 1) + far_odd;
    y[2] = near + far;
    y[3] = near_odd + (far_odd << 1) + r[5];
}

void ISA(pare_int8_winograd_output)(const pare_int8_winograd_output *t)
{
    size_t width = t->blocks * VL, map = (size_t)(t->out_y * t->out_x) * VL;
    for (size_t b = 0; b < t->blocks; b++) {
        ivec bias = load_i(t->finish.bias + b * VL);
        int64_t ty = (int64_t)t->first / t->tiles_x, tx = (int64_t)t->first % t->tiles_x;
        for (size_t i = 0; i < t->tiles; i++) {
            const uint32_t *r = t->r + i * width + b * VL;
            uvec half[N][M]; /* columns transformed: [column][row of the output] */
#pragma GCC unroll 6
            for (size_t j = 0; j < N; j++) {
                uvec column[N];
#pragma GCC unroll 6
                for (size_t k = 0; k < N; k++)
                    column[k] = *(const uvec *)(r + (k * N + j) * t->position);
                output_1d(column, half[j]);
            }
            int64_t y0 = ty * M, x0 = tx * M, rows = t->out_y - y0, columns = t->out_x - x0;
            if (++tx == t->tiles_x) tx = 0, ty++;
            uint8_t *to = t->y + b * map + (size_t)(y0 * t->out_x + x0) * VL;
            static const int shift[M] = { 3, 2, 1, 1 };
#pragma GCC unroll 4
            for (int k = 0; k < M; k++, to += (size_t)t->out_x * VL) {
                uvec line[N], y[M];
#pragma GCC unroll 6
                for (size_t j = 0; j < N; j++) line[j] = half[j][k];
                output_1d(line, y);
                if (k >= rows) break;
#pragma GCC unroll 4
                for (int j = 0; j < M; j++) {
                    if (j >= columns) break;
                    ivec sum = (ivec)(y[j] * 0x38e38e39u) >> (shift[k] + shift[j]);
                    finish(&t->finish, b * VL, sum + bias, to + j * VL);
                }
            }
        }
    }
}
