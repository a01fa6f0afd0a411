/* The stages of a sparse convolution, compiled once per instruction set.
 *
 * Basis: a block of pixels stays in registers for up to 5 basis kernels, so that each load of x
 * serves them all. Combine: 8 vectors of sums, which hide the latency of a multiply-add. There
 * loads are the limit, not arithmetic, so four values come with one load and are spread by
 * permutation, and their four offsets come as one 64-bit number. */
#include "kernels/partial.h"
#include "kernels/sparse.h"

#include <string.h>

enum { D_MOST = 5, BASIS_V = PARE_REGISTERS == 32 ? 4 : 2 };

#if PARE_VEC_BYTES == 64
INLINE vec quad(const float *p) { return (vec)_mm512_broadcast_f32x4(_mm_loadu_ps(p)); }
#define SPREAD(q, i) (vec) _mm512_permute_ps((__m512)(q), (i)*0x55)
INLINE lanes_mask lanes_bits(uint16_t bits) { return (lanes_mask)bits; }
INLINE lanes_mask lanes_at(const lanes_mask *m) { return _load_mask16((__mmask16 *)(uintptr_t)m); }
#elif PARE_VEC_BYTES == 32
INLINE vec quad(const float *p) { return (vec)_mm256_broadcast_ps((const __m128 *)p); }
#define SPREAD(q, i) (vec) _mm256_permute_ps((__m256)(q), (i)*0x55)
INLINE lanes_mask lanes_bits(uint16_t bits)
{
    ivec bit = { 1, 2, 4, 8, 16, 32, 64, 128 };
    return (bits & bit) == bit;
}
INLINE lanes_mask lanes_at(const lanes_mask *m) { return *m; }
#else
INLINE vec quad(const float *p) { return load(p); }
#define SPREAD(q, i) broadcast((q)[i])
INLINE lanes_mask lanes_bits(uint16_t bits)
{
    ivec bit = { 1, 2, 4, 8 };
    return (bits & bit) == bit;
}
INLINE lanes_mask lanes_at(const lanes_mask *m) { return *m; }
#endif

/* The masks of a tile as the loads want them, a row for each tap. */
typedef struct masks {
    lanes_mask m[PARE_SPARSE_MASKED_TAPS][PARE_SPARSE_VECTORS];
} masks;

INLINE void masks_of(const pare_sparse_source *s, masks *out)
{
    if (!s->mask) return;
    for (size_t i = 0; i < s->vectors; i++)
        for (size_t t = 0; t < s->taps; t++) out->m[t][i] = lanes_bits(s->mask[i * s->taps + t]);
}

/* d basis kernels of a table that is `ld` wide, v vectors of pixels; `mask`: of the first. Rows of
 * z are `ldz` apart. */
INLINE void basis_block(size_t d, int v, size_t taps, const int32_t *off, const lanes_mask *mask,
                        const float *x, const float *table, size_t ld, float *z, size_t ldz)
{
    vec acc[D_MOST][BASIS_V], zero = { 0 };
    for (size_t k = 0; k < d; k++)
        for (int i = 0; i < v; i++) acc[k][i] = zero;
    for (size_t t = 0; t < taps; t++, table += ld) {
        const float *from = x + off[t];
        vec in[BASIS_V];
        for (int i = 0; i < v; i++)
            in[i] =
                mask ? load_lanes(from + i * VL, lanes_at(mask + i), zero) : load(from + i * VL);
        if (mask) mask += PARE_SPARSE_VECTORS;
        for (size_t k = 0; k < d; k++)
            for (int i = 0; i < v; i++) acc[k][i] += table[k] * in[i];
    }
    for (size_t k = 0; k < d; k++)
        for (int i = 0; i < v; i++) store(z + k * ldz + i * VL, acc[k][i]);
}

INLINE void basis_rows(size_t d, int masked, const pare_sparse_source *s, const masks *m,
                       const float *x, const float *table, size_t ld, float *z)
{
    size_t at = 0, ldz = s->vectors * VL;
    for (; at + BASIS_V <= s->vectors; at += BASIS_V)
        basis_block(d, BASIS_V, s->taps, s->off, masked ? m->m[0] + at : NULL, x + at * VL, table,
                    ld, z + at * VL, ldz);
    if (BASIS_V > 2 && at + 2 <= s->vectors) {
        basis_block(d, 2, s->taps, s->off, masked ? m->m[0] + at : NULL, x + at * VL, table, ld,
                    z + at * VL, ldz);
        at += 2;
    }
    if (at < s->vectors)
        basis_block(d, 1, s->taps, s->off, masked ? m->m[0] + at : NULL, x + at * VL, table, ld,
                    z + at * VL, ldz);
}

INLINE void basis_all(int masked, const pare_sparse_source *s, const masks *m, size_t channels,
                      const pare_sparse_channel *channel, const float *tables, float *z)
{
    size_t row = s->vectors * VL;
    for (size_t c = 0; c < channels; c++) {
        const float *x = s->x + channel[c].input * s->plane, *table = tables + channel[c].table;
        size_t ld = channel[c].used, d = ld;
        for (; d >= D_MOST; d -= D_MOST, table += D_MOST, z += D_MOST * row)
            basis_rows(D_MOST, masked, s, m, x, table, ld, z);
        switch (d) {
        case 4: basis_rows(4, masked, s, m, x, table, ld, z); break;
        case 3: basis_rows(3, masked, s, m, x, table, ld, z); break;
        case 2: basis_rows(2, masked, s, m, x, table, ld, z); break;
        case 1: basis_rows(1, masked, s, m, x, table, ld, z); break;
        }
        z += d * row;
    }
}

void ISA(pare_sparse_basis)(const pare_sparse_source *s, size_t channels,
                            const pare_sparse_channel *channel, const float *tables, float *z)
{
    masks m;
    masks_of(s, &m);
    if (s->mask)
        basis_all(1, s, &m, channels, channel, tables, z);
    else
        basis_all(0, s, &m, channels, channel, tables, z);
}

void ISA(pare_sparse_shift)(const pare_sparse_source *s, size_t rows, const pare_sparse_shift *row,
                            float *z)
{
    masks m;
    masks_of(s, &m);
    vec zero = { 0 };
    for (size_t r = 0; r < rows; r++) {
        const float *x = s->x + (ptrdiff_t)(row[r].input * s->plane) + s->off[row[r].tap];
        for (size_t i = 0; i < s->vectors; i++, x += VL, z += VL)
            store(z, s->mask ? load_lanes(x, lanes_at(&m.m[row[r].tap][i]), zero) : load(x));
    }
}

/* The sums of row r become outputs. */
INLINE void put(const pare_sparse_combine *c, int v, size_t r, vec *sum)
{
    if (r >= c->rows) return;
    vec shift = broadcast(c->shift[r]), zero = { 0 };
    float *y = c->y + r * c->plane;
    const float *residual = c->residual ? c->residual + r * c->plane : NULL;
    for (int i = 0; i < v; i++) {
        size_t at = (size_t)i * VL;
        if (at >= c->pixels) return;
        vec s = sum[i] + shift;
        if (at + VL <= c->pixels) {
            if (residual) s += load(residual + at);
            store(y + at, act_apply(c->act, s, c->lo, c->hi, c->alpha));
        } else {
            lanes_mask m = lanes_of(0, (int)(c->pixels - at));
            if (residual) s += load_lanes(residual + at, m, zero);
            store_lanes(y + at, m, act_apply(c->act, s, c->lo, c->hi, c->alpha));
        }
    }
}

/* g rows of v vectors. The loops over members are unrolled: sums are to stay in registers. */
INLINE void combine(int v, int g, const pare_sparse_combine *c)
{
    const float *value = c->value;
    const uint16_t *off = c->off;
    const char *z = (const char *)c->z;
    int terms = g < 4 ? 4 : g;
    for (size_t n = 0; n < c->groups; n++) {
        const uint32_t *row = c->row + n * (size_t)g;
        vec sum[PARE_SPARSE_SUMS], zero = { 0 };
#pragma GCC unroll 8
        for (int i = 0; i < PARE_SPARSE_SUMS; i++)
            sum[i] =
                c->first ? zero : load(c->acc + (row[i / v] * (size_t)v + (size_t)(i % v)) * VL);
        for (uint32_t s = c->step[n]; s; s--, value += terms, off += terms) {
#pragma GCC unroll 2
            for (int h = 0; h < terms; h += 4) {
                vec q = quad(value + h);
                uint64_t o;
                memcpy(&o, off + h, sizeof o);
#define TERM(k)                                                                           \
    do {                                                                                  \
        vec w = SPREAD(q, k);                                                             \
        const float *in = (const float *)(z + (size_t)((o >> (16 * (k))) & 0xffff) * 8);  \
        _Pragma("GCC unroll 8") for (int i = 0; i < v; i++) sum[(h + (k)) % g * v + i] += \
            w * load(in + i * VL);                                                        \
    } while (0)
                TERM(0);
                TERM(1);
                TERM(2);
                TERM(3);
#undef TERM
            }
        }
        if (c->last) {
#pragma GCC unroll 8
            for (int j = 0; j < g; j++) put(c, v, row[j], sum + j * v);
        } else {
#pragma GCC unroll 8
            for (int i = 0; i < PARE_SPARSE_SUMS; i++)
                store(c->acc + (row[i / v] * (size_t)v + (size_t)(i % v)) * VL, sum[i]);
        }
    }
}

void ISA(pare_sparse_combine)(const pare_sparse_combine *c)
{
    switch (c->vectors) {
    case 1: combine(1, 8, c); break;
    case 2: combine(2, 4, c); break;
    case 4: combine(4, 2, c); break;
    case 8: combine(8, 1, c); break;
    }
}

/* Scalars: gathering eight numbers takes as long as eight loads, and the processor runs eight sums
 * side by side. */
void ISA(pare_sparse_dot)(const pare_sparse_dot *d)
{
    const float *value = d->value, *x = d->x;
    const uint16_t *off = d->off;
    for (size_t g = 0; g < d->groups; g++) {
        const uint32_t *row = d->row + g * PARE_SPARSE_SUMS;
        float sum[PARE_SPARSE_SUMS];
#pragma GCC unroll 8
        for (int j = 0; j < PARE_SPARSE_SUMS; j++) sum[j] = row[j] < d->rows ? d->shift[row[j]] : 0;
        for (uint32_t s = d->step[g]; s; s--, value += PARE_SPARSE_SUMS, off += PARE_SPARSE_SUMS) {
#pragma GCC unroll 8
            for (int j = 0; j < PARE_SPARSE_SUMS; j++) sum[j] += value[j] * x[off[j]];
        }
        for (int j = 0; j < PARE_SPARSE_SUMS; j++)
            if (row[j] < d->rows) d->y[row[j]] = sum[j];
    }
}
