/* Convolution over blocks of channels in vectors: nb blocks of np pixels stay in registers while
 * channels and taps stream past, nb * np multiply-adds for nb loads and np broadcasts. */
#include "kernels/conv_blocked.h"
#include "kernels/simd.h"

#include <math.h>
#include <string.h>

#if PARE_REGISTERS == 32
enum { NP = 12 }; /* 24 of 32 registers are sums: with 28, gcc spills some */
#else
enum { NP = 6 }; /* 12 of 16 */
#endif
enum { NB = PARE_BLOCKED_MOST, LINE = 16 /* floats of a cache line */ };

static const float zeros[VL];

/* Keeps the compiler from loading across: what it hoists would not fit beside the sums. */
#define KEEP_ORDER __asm__ volatile("" ::: "memory")

/* Channel c of x[p][c], w[c][nb]. */
INLINE void channel(const float *const *x, const float *w, size_t c, const int nb, const int np,
                    vec acc[][NP])
{
    vec a[NB];
#pragma GCC unroll 2
    for (int b = 0; b < nb; b++) a[b] = load(w + (c * (size_t)nb + (size_t)b) * VL);
#pragma GCC unroll 12
    for (int p = 0; p < np; p++) {
        vec v = broadcast(x[p][c]);
#pragma GCC unroll 2
        for (int b = 0; b < nb; b++) acc[b][p] += a[b] * v;
    }
}

/* Where the pixels of a tile read channel 0 of a block. */
INLINE void places(const pare_blocked_shape *s, const int32_t *in, const float *base, const int np,
                   const float **x)
{
    if (s->inside)
#pragma GCC unroll 12
        for (int p = 0; p < np; p++) x[p] = base + in[p];
    else
#pragma GCC unroll 12
        for (int p = 0; p < np; p++) x[p] = in[p] == PARE_BLOCKED_ZERO ? zeros : base + in[p];
    KEEP_ORDER;
}

/* A tile. A function of its own for every size, so that nothing else competes for registers.
 * Returns how far fetching ahead has come. */
INLINE const float *one(const pare_conv_blocked *t, const pare_blocked_tile *tile,
                        const float *ahead, size_t lines, const int nb, const int np)
{
    const pare_blocked_shape *s = tile->shape;
    const int32_t *out = s->out, *in = s->in;
    const float *end = t->ahead + t->ahead_floats;
    float *y = t->y + tile->out;
    vec acc[NB][NP];
    if (t->first) {
#pragma GCC unroll 2
        for (int b = 0; b < nb; b++)
#pragma GCC unroll 12
            for (int p = 0; p < np; p++) acc[b][p] = load(t->bias + b * VL);
    } else {
#pragma GCC unroll 2
        for (int b = 0; b < nb; b++)
#pragma GCC unroll 12
            for (int p = 0; p < np; p++)
                acc[b][p] = load(y + ((size_t)b * t->y_block + (size_t)out[p]));
    }
    const size_t whole = t->channels / VL, rest = t->channels % VL;
    for (uint32_t k = 0; k < s->taps; k++, in += np) {
        const float *w = t->w + (size_t)s->tap[k] * t->channels * (size_t)(nb * VL),
                    *base = t->x + tile->in, *x[NP];
        for (size_t i = whole; i > 0; i--, w += VL * nb * VL, base += t->x_block) {
            for (size_t j = 0; j < lines && ahead < end; j++, ahead += LINE)
                __builtin_prefetch(ahead, 0, 2);
            places(s, in, base, np, x);
#pragma GCC unroll 16
            for (size_t c = 0; c < VL; c++) channel(x, w, c, nb, np, acc);
        }
        if (rest == 0) continue;
        places(s, in, base, np, x);
#pragma GCC unroll 1
        for (size_t c = 0; c < rest; c++) channel(x, w, c, nb, np, acc);
    }
    if (t->last && t->residual)
#pragma GCC unroll 2
        for (int b = 0; b < nb; b++)
#pragma GCC unroll 12
            for (int p = 0; p < np; p++)
                acc[b][p] +=
                    load(t->residual + tile->out + ((size_t)b * t->y_block + (size_t)out[p]));
    /* No test of the activation between the stores: beyond infinity there is nothing. */
    const bool relu = t->act == PARE_ACT_RELU, clip = t->act == PARE_ACT_CLIP;
    const vec lo = broadcast(!t->last ? -INFINITY
                             : relu   ? 0
                             : clip   ? t->lo
                                      : -INFINITY),
              hi = broadcast(t->last && clip ? t->hi : INFINITY);
#pragma GCC unroll 2
    for (int b = 0; b < nb; b++)
#pragma GCC unroll 12
        for (int p = 0; p < np; p++)
            store(y + ((size_t)b * t->y_block + (size_t)out[p]),
                  at_most(at_least(acc[b][p], lo), hi));
    if (t->last && t->act == PARE_ACT_LEAKY)
        for (int b = 0; b < nb; b++)
            for (int p = 0; p < np; p++) {
                float *at = y + ((size_t)b * t->y_block + (size_t)out[p]);
                store(at, act_apply(t->act, load(at), t->lo, t->hi, t->alpha));
            }
    return ahead;
}

typedef const float *tile_fn(const pare_conv_blocked *t, const pare_blocked_tile *tile,
                             const float *ahead, size_t lines);
#define SIZE(B, P)                                                                               \
    static __attribute__((noinline)) const float *one_##B##_##P(                                 \
        const pare_conv_blocked *t, const pare_blocked_tile *tile, const float *a, size_t lines) \
    {                                                                                            \
        return one(t, tile, a, lines, B, P);                                                     \
    }
#define SIZES(B) SIZE(B, 1) SIZE(B, 2) SIZE(B, 3) SIZE(B, 4) SIZE(B, 5) SIZE(B, 6)
#define NAMES(B) one_##B##_1, one_##B##_2, one_##B##_3, one_##B##_4, one_##B##_5, one_##B##_6
SIZES(1)
SIZES(2)
#if PARE_REGISTERS == 32
#define MORE(B) SIZE(B, 7) SIZE(B, 8) SIZE(B, 9) SIZE(B, 10) SIZE(B, 11) SIZE(B, 12)
#define MORE_NAMES(B) \
    one_##B##_7, one_##B##_8, one_##B##_9, one_##B##_10, one_##B##_11, one_##B##_12
MORE(1)
MORE(2)
static tile_fn *const table[NB][NP] = { { NAMES(1), MORE_NAMES(1) }, { NAMES(2), MORE_NAMES(2) } };
#else
static tile_fn *const table[NB][NP] = { { NAMES(1) }, { NAMES(2) } };
#endif

void ISA(pare_conv_blocked)(const pare_conv_blocked *t)
{
    size_t bodies = 0, lines = 0;
    if (t->ahead_floats > 0) {
        for (size_t i = 0; i < t->n_tiles; i++) bodies += t->tile[i].shape->taps;
        bodies *= (t->channels + VL - 1) / VL;
        lines = ((t->ahead_floats + LINE - 1) / LINE + bodies) / (bodies + 1);
    }
    const float *ahead = t->ahead;
    for (size_t i = 0; i < t->n_tiles; i++)
        ahead = table[t->blocks - 1][t->tile[i].shape->pixels - 1](t, &t->tile[i], ahead, lines);
}

/* With a constant number of channels the compiler finds the shuffles. */
INLINE void beside(const size_t n, size_t count, const float *restrict x, size_t plane,
                   float *restrict to)
{
    for (size_t i = 0; i < count; i++)
#pragma GCC unroll 4
        for (size_t c = 0; c < n; c++) to[i * n + c] = x[c * plane + i];
}

void ISA(pare_beside)(size_t n, size_t count, const float *x, size_t plane, float *to)
{
    switch (n) {
    case 1: memcpy(to, x, count * sizeof *to); break;
    case 2: beside(2, count, x, plane, to); break;
    case 3: beside(3, count, x, plane, to); break;
    case 4: beside(4, count, x, plane, to); break;
    default:
        for (size_t c = 0; c < n; c++)
            for (size_t i = 0; i < count; i++) to[i * n + c] = x[c * plane + i];
    }
}
