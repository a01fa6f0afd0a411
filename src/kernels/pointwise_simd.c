/* 1x1 convolution in vectors: nb blocks of np pixels stay in registers while channels stream past.
 * Tiles of one call differ by one pixel at most, so that none has too few sums to hide their
 * latency. */
#include "kernels/pointwise.h"
#include "kernels/simd.h"

#include <math.h>

/* Pixels of a tile of one block and of two, at most: sums, weights and an input fill the registers.
 */
#if PARE_REGISTERS == 32
enum { NP1 = 14, NP2 = 12 };
#else
enum { NP1 = 12, NP2 = 6 };
#endif
enum { NB = 2, LINE = 16 /* floats of a cache line */ };

/* Weights of a later call: some lines beside every block of channels. */
typedef struct fetch {
    const float *at, *end;
    size_t lines;
} fetch;

/* Channel c of the block that x begins with. */
INLINE void channel(const float *x, const float *w, size_t row, size_t c, const int nb,
                    const int np, vec acc[][NP1])
{
    vec a[NB];
#pragma GCC unroll 2
    for (int b = 0; b < nb; b++) a[b] = load(w + c * row + (size_t)b * VL);
#pragma GCC unroll 14
    for (int p = 0; p < np; p++) {
        vec v = broadcast(x[(size_t)p * VL + c]);
#pragma GCC unroll 2
        for (int b = 0; b < nb; b++) acc[b][p] += a[b] * v;
    }
}

/* np pixels of nb blocks. A function of its own for every size, so that nothing else competes for
 * registers. */
INLINE void tile(const pare_pointwise *t, fetch *ahead, size_t pixel, size_t block, const int nb,
                 const int np)
{
    const size_t row = t->blocks * VL, whole = t->channels / VL, rest = t->channels % VL;
    const size_t at = block * t->y_block + pixel * t->y_pixel;
    const float *x = t->x + pixel * VL, *w = t->w + block * VL;
    float *y = t->y + at;
    vec acc[NB][NP1];
#pragma GCC unroll 2
    for (int b = 0; b < nb; b++)
#pragma GCC unroll 14
        for (int p = 0; p < np; p++)
            acc[b][p] = load(t->onto ? y + (size_t)b * t->y_block + (size_t)p * t->y_pixel
                                     : t->bias + (block + (size_t)b) * VL);
    for (size_t i = 0; i < whole; i++, x += t->x_block, w += VL * row) {
        for (size_t j = 0; j < ahead->lines && ahead->at < ahead->end; j++, ahead->at += LINE)
            __builtin_prefetch(ahead->at, 0, 2);
#pragma GCC unroll 8
        for (size_t c = 0; c < VL; c++) channel(x, w, row, c, nb, np, acc);
    }
#pragma GCC unroll 1
    for (size_t c = 0; c < rest; c++) channel(x, w, row, c, nb, np, acc);
    if (t->residual)
#pragma GCC unroll 2
        for (int b = 0; b < nb; b++)
#pragma GCC unroll 14
            for (int p = 0; p < np; p++)
                acc[b][p] +=
                    load(t->residual + at + (size_t)b * t->y_block + (size_t)p * t->y_pixel);
    /* No test of the activation between the stores: beyond infinity there is nothing. */
    const pare_finish *f = &t->finish;
    const bool relu = f->act == PARE_ACT_RELU, clip = f->act == PARE_ACT_CLIP;
    const vec lo = broadcast(relu   ? 0
                             : clip ? f->lo
                                    : -INFINITY),
              hi = broadcast(clip ? f->hi : INFINITY);
#pragma GCC unroll 2
    for (int b = 0; b < nb; b++)
#pragma GCC unroll 14
        for (int p = 0; p < np; p++)
            store(y + (size_t)b * t->y_block + (size_t)p * t->y_pixel,
                  at_most(at_least(acc[b][p], lo), hi));
    if (f->act == PARE_ACT_LEAKY)
        for (int b = 0; b < nb; b++)
            for (int p = 0; p < np; p++) {
                float *to = y + (size_t)b * t->y_block + (size_t)p * t->y_pixel;
                store(to, act_apply(f->act, load(to), f->lo, f->hi, f->alpha));
            }
}

typedef void tile_fn(const pare_pointwise *t, fetch *ahead, size_t pixel, size_t block);
#define SIZE(B, P)                                                                              \
    static __attribute__((noinline)) void tile_##B##_##P(const pare_pointwise *t, fetch *ahead, \
                                                         size_t pixel, size_t block)            \
    {                                                                                           \
        tile(t, ahead, pixel, block, B, P);                                                     \
    }
#define SIX(B) SIZE(B, 1) SIZE(B, 2) SIZE(B, 3) SIZE(B, 4) SIZE(B, 5) SIZE(B, 6)
#define SIX_NAMES(B) \
    tile_##B##_1, tile_##B##_2, tile_##B##_3, tile_##B##_4, tile_##B##_5, tile_##B##_6
#define TWELVE(B) SIX(B) SIZE(B, 7) SIZE(B, 8) SIZE(B, 9) SIZE(B, 10) SIZE(B, 11) SIZE(B, 12)
#define TWELVE_NAMES(B)                                                                   \
    SIX_NAMES(B), tile_##B##_7, tile_##B##_8, tile_##B##_9, tile_##B##_10, tile_##B##_11, \
        tile_##B##_12
TWELVE(1)
#if PARE_REGISTERS == 32
SIZE(1, 13)
SIZE(1, 14)
TWELVE(2)
static tile_fn *const one[NP1] = { TWELVE_NAMES(1), tile_1_13, tile_1_14 };
static tile_fn *const two[NP2] = { TWELVE_NAMES(2) };
#else
SIX(2)
static tile_fn *const one[NP1] = { TWELVE_NAMES(1) };
static tile_fn *const two[NP2] = { SIX_NAMES(2) };
#endif

void ISA(pare_pointwise)(const pare_pointwise *t)
{
    fetch ahead = { t->ahead, t->ahead + t->ahead_floats, 0 };
    for (size_t b = 0; b < t->blocks; b += NB) {
        bool pair = b + 1 < t->blocks;
        size_t most = pair ? NP2 : NP1, tiles = (t->pixels + most - 1) / most;
        if (b == 0) {
            size_t times = tiles * (t->channels / VL) * ((t->blocks + NB - 1) / NB),
                   lines = (t->ahead_floats + LINE - 1) / LINE;
            ahead.lines = (lines + times) / (times + 1);
        }
        for (size_t i = 0, from = 0; i < tiles; i++) {
            size_t to = t->pixels * (i + 1) / tiles, n = to - from;
            tile_fn *run = pair ? two[n - 1] : one[n - 1];
            run(t, &ahead, from, b);
            from = to;
        }
    }
}
