/* Winograd's transforms and products in vectors. A vector is one block's lanes of one pixel, so
 * that the transforms are plain arithmetic of vectors; products keep MT tiles times NB blocks of
 * output channels in registers. */
#include "kernels/reorder.h"
#include "kernels/simd.h"

#include <stdbool.h>

pare_to_blocked_fn ISA(pare_to_blocked);

#define R2 1.41421356237309504880

/* --- weights --- */
INLINE void weights_1d(const int m, const double *w, size_t step, double *u, size_t ustep)
{
    double a = w[0], b = w[step], c = w[2 * step];
    if (m == 2) {
        double even = 0.5 * (a + c), odd = 0.5 * b;
        u[0] = a;
        u[ustep] = even + odd;
        u[2 * ustep] = even - odd;
        u[3 * ustep] = c;
        return;
    }
    double near = (-2 * a - c) / 3, far = (a + 2 * c) / 6, odd = b * (R2 / 6);
    u[0] = a;
    u[ustep] = near - 2 * odd;
    u[2 * ustep] = near + 2 * odd;
    u[3 * ustep] = far + odd;
    u[4 * ustep] = far - odd;
    u[5 * ustep] = c;
}

INLINE void weights(const pare_winograd_weights *t, const int m)
{
    enum { N = 6, AT_ONCE = 16 };
    const size_t n = (size_t)m + 2;
    double scale[VL] = { 0 };
    float beside[AT_ONCE * 9 * VL]; /* [channel][3][3][lane] */
    for (size_t lane = 0; lane < t->lanes; lane++) scale[lane] = (double)t->scale[lane];
    for (size_t c = 0; c < t->channels; c++) {
        double w[9][VL], half[N * 3][VL], u[N * N][VL];
        if (c % AT_ONCE == 0) {
            size_t left = t->channels - c;
            ISA(pare_to_blocked)
            (t->lanes, 9 * (left < AT_ONCE ? left : AT_ONCE), t->channels * 9, t->w + c * 9,
             beside);
        }
        const float *from = beside + c % AT_ONCE * 9 * VL;
        for (size_t i = 0; i < 9; i++)
            for (size_t lane = 0; lane < VL; lane++)
                w[i][lane] = (double)from[i * VL + lane] * scale[lane];
        for (size_t j = 0; j < 3; j++)
            for (size_t lane = 0; lane < VL; lane++)
                weights_1d(m, &w[j][lane], (size_t)3 * VL, &half[j][lane], (size_t)3 * VL);
        for (size_t i = 0; i < n; i++)
            for (size_t lane = 0; lane < VL; lane++)
                weights_1d(m, &half[3 * i][lane], VL, &u[n * i][lane], VL);
        for (size_t p = 0; p < n * n; p++)
            for (size_t lane = 0; lane < VL; lane++)
                t->u[p * t->position + c * t->row + lane] = (float)u[p][lane];
    }
}

void ISA(pare_winograd_weights)(const pare_winograd_weights *t)
{
    if (t->m == 2)
        weights(t, 2);
    else
        weights(t, 4);
}

/* --- input --- */
/* v = B^T x of m + 2 numbers. */
INLINE void input_1d(const int m, const vec *x, vec *v)
{
    if (m == 2) {
        v[0] = x[0] - x[2];
        v[1] = x[1] + x[2];
        v[2] = x[2] - x[1];
        v[3] = x[3] - x[1];
        return;
    }
    const float root = (float)R2, half = (float)(R2 / 2);
    vec near = x[4] - 2 * x[2], near_odd = x[3] - 2 * x[1];
    vec far = x[4] - 0.5f * x[2], far_odd = x[3] - 0.5f * x[1];
    v[0] = x[0] + (x[4] - 2.5f * x[2]);
    v[1] = near + half * near_odd;
    v[2] = near - half * near_odd;
    v[3] = far + root * far_odd;
    v[4] = far - root * far_odd;
    v[5] = x[1] + (x[5] - 2.5f * x[3]);
}

/* One tile of one block from rows `row` floats apart. */
INLINE void input_tile(const int m, const float *x, size_t row, float *v, size_t position)
{
    const int n = m + 2;
    vec half[6][6]; /* columns transformed: [column][position] */
#pragma GCC unroll 6
    for (int j = 0; j < n; j++) {
        vec column[6];
#pragma GCC unroll 6
        for (int i = 0; i < n; i++) column[i] = load(x + (size_t)i * row + (size_t)j * VL);
        input_1d(m, column, half[j]);
    }
#pragma GCC unroll 6
    for (int i = 0; i < n; i++) {
        vec line[6], out[6];
#pragma GCC unroll 6
        for (int j = 0; j < n; j++) line[j] = half[j][i];
        input_1d(m, line, out);
#pragma GCC unroll 6
        for (int j = 0; j < n; j++) store(v + (size_t)(i * n + j) * position, out[j]);
    }
}

INLINE void input(const pare_winograd_input *t, const int m)
{
    const int64_t n = m + 2;
    size_t row = (size_t)t->in_x * VL, map = (size_t)t->in_y * row;
    for (size_t block = 0; block < t->blocks; block++) {
        const float *x = t->x + block * map;
        float *v = t->v + block * t->tiles * VL;
        int64_t ty = (int64_t)t->first / t->tiles_x, tx = (int64_t)t->first % t->tiles_x;
        for (size_t i = 0; i < t->tiles; i++, v += VL) {
            int64_t y0 = ty * m - t->top, x0 = tx * m - t->left;
            if (++tx == t->tiles_x) tx = 0, ty++;
            if (y0 >= 0 && y0 + n <= t->in_y && x0 >= 0 && x0 + n <= t->in_x) {
                input_tile(m, x + (y0 * t->in_x + x0) * VL, row, v, t->position);
                continue;
            }
            float edge[6 * 6 * VL];
            for (int64_t r = 0; r < n; r++)
                for (int64_t j = 0; j < n; j++) {
                    int64_t at_y = y0 + r, at_x = x0 + j;
                    bool inside = at_y >= 0 && at_y < t->in_y && at_x >= 0 && at_x < t->in_x;
                    store(edge + (r * n + j) * VL,
                          inside ? load(x + (at_y * t->in_x + at_x) * VL) : (vec){ 0 });
                }
            input_tile(m, edge, (size_t)n * VL, v, t->position);
        }
    }
}

void ISA(pare_winograd_input)(const pare_winograd_input *t)
{
    if (t->m == 2)
        input(t, 2);
    else
        input(t, 4);
}

/* --- product --- */
enum { MT_MOST = 14, LINE = 16 }; /* floats in a line of the cache */
/* Most tiles of a product of nb blocks: as many sums as registers hold beside weights and one
 * broadcast. */
#if PARE_REGISTERS == 32
#define MT(nb) ((nb) == 1 ? 14 : (nb) == 2 ? 12 : (nb) == 3 ? 8 : 6)
enum { NB_MOST = 4 };
#else
#define MT(nb) ((nb) == 1 ? 12 : 6)
enum { NB_MOST = 2 };
#endif

/* A chunk of channels for mt tiles and nb blocks. */
INLINE void micro(const pare_winograd_product *t, const float *u, const float *v, size_t channels,
                  bool first, const float *fetch, size_t fetches, float *r, const int nb,
                  const int mt)
{
    const size_t width = t->blocks * VL, block = t->tiles * VL;
    vec acc[MT_MOST][PARE_WINOGRAD_BLOCKS];
#pragma GCC unroll 14
    for (int i = 0; i < mt; i++)
#pragma GCC unroll 4
        for (int b = 0; b < nb; b++) acc[i][b] = (vec){ 0 };
    for (size_t c = 0; c < channels; c += VL, v += block) {
        size_t lanes = channels - c < VL ? channels - c : VL;
        const float *at = v;
        for (size_t l = 0; l < lanes; l++, at++, u += width) {
            for (size_t f = 0; f < fetches; f++, fetch += LINE) __builtin_prefetch(fetch, 0, 2);
            vec w[PARE_WINOGRAD_BLOCKS];
#pragma GCC unroll 4
            for (int b = 0; b < nb; b++) w[b] = load(u + (size_t)b * VL);
#pragma GCC unroll 14
            for (int i = 0; i < mt; i++) {
                vec x = broadcast(at[(size_t)i * VL]);
#pragma GCC unroll 4
                for (int b = 0; b < nb; b++) acc[i][b] += x * w[b];
            }
        }
    }
#pragma GCC unroll 14
    for (int i = 0; i < mt; i++)
#pragma GCC unroll 4
        for (int b = 0; b < nb; b++) {
            float *to = r + (size_t)i * width + (size_t)b * VL;
            if (!first) acc[i][b] += load(to);
            store(to, acc[i][b]);
        }
}

/* All tiles for one chunk of channels and nb of the blocks. */
INLINE void panel(const pare_winograd_product *t, const float *u, const float *v, size_t channels,
                  bool first, float *r, const int nb)
{
    const size_t width = t->blocks * VL, step = (size_t)MT(nb);
    /* The next panel is fetched meanwhile, evenly: some lines beside every channel. */
    size_t groups = (t->tiles + step - 1) / step, lines = (width + LINE - 1) / LINE,
           each = (lines + groups - 1) / groups, i = 0, left = lines;
    const float *next = u + channels * width;
#define STEP(n)                                                                      \
    do {                                                                             \
        size_t now = left < each ? left : each;                                      \
        micro(t, u, v + i * VL, channels, first, next, now, r + i * width, nb, (n)); \
        next += now * channels * LINE;                                               \
        left -= now;                                                                 \
        i += (n);                                                                    \
    } while (0)
    while (i + step <= t->tiles) STEP(MT(nb));
#if PARE_REGISTERS == 32
    if (nb == 1 && i + 7 <= t->tiles) STEP(7);
    if (nb == 2 && i + 6 <= t->tiles) STEP(6);
#else
    if (nb == 1 && i + 6 <= t->tiles) STEP(6);
#endif
    if (i + 4 <= t->tiles) STEP(4);
    if (i + 2 <= t->tiles) STEP(2);
    while (i < t->tiles) STEP(1);
#undef STEP
}

void ISA(pare_winograd_product)(const pare_winograd_product *t)
{
    const size_t width = t->blocks * VL;
    for (size_t c = 0; c < t->channels; c += PARE_WINOGRAD_CHUNK) {
        size_t n = t->channels - c < PARE_WINOGRAD_CHUNK ? t->channels - c : PARE_WINOGRAD_CHUNK;
        const float *u = t->u + c * width, *v = t->v + c * t->tiles;
        for (size_t b = 0; b < t->blocks;) {
            size_t nb = t->blocks - b < NB_MOST ? t->blocks - b : NB_MOST;
            float *r = t->r + b * VL;
            const float *w = u + b * VL;
            switch (nb) {
            case 1: panel(t, w, v, n, c == 0, r, 1); break;
            case 2: panel(t, w, v, n, c == 0, r, 2); break;
#if PARE_REGISTERS == 32
            case 3: panel(t, w, v, n, c == 0, r, 3); break;
            default: panel(t, w, v, n, c == 0, r, 4); break;
#endif
            }
            b += nb;
        }
    }
}

/* --- output --- */
/* y = A^T r: m numbers of m + 2. */
INLINE void output_1d(const int m, const vec *r, vec *y)
{
    if (m == 2) {
        y[0] = r[0] + (r[1] + r[2]);
        y[1] = r[3] + (r[1] - r[2]);
        return;
    }
    const float root = (float)R2, half = (float)(R2 / 2);
    vec near = r[1] + r[2], far = r[3] + r[4], near_odd = r[1] - r[2], far_odd = r[3] - r[4];
    y[0] = r[0] + (near + far);
    y[1] = half * near_odd + root * far_odd;
    y[2] = 0.5f * near + 2 * far;
    y[3] = r[5] + (half / 2 * near_odd + 2 * root * far_odd);
}

INLINE void output(const pare_winograd_output *t, const int m, const pare_act act)
{
    const int n = m + 2;
    const pare_finish *f = &t->finish;
    size_t width = t->blocks * VL, map = (size_t)(t->out_y * t->out_x) * VL;
    for (size_t b = 0; b < t->blocks; b++) {
        vec shift = load(t->shift + b * VL);
        int64_t ty = (int64_t)t->first / t->tiles_x, tx = (int64_t)t->first % t->tiles_x;
        for (size_t i = 0; i < t->tiles; i++) {
            const float *r = t->r + i * width + b * VL;
            vec half[6][4]; /* columns transformed: [column][row of the output] */
#pragma GCC unroll 6
            for (int j = 0; j < n; j++) {
                vec column[6];
#pragma GCC unroll 6
                for (int k = 0; k < n; k++) column[k] = load(r + (size_t)(k * n + j) * t->position);
                output_1d(m, column, half[j]);
            }
            int64_t y0 = ty * m, x0 = tx * m, rows = t->out_y - y0, columns = t->out_x - x0;
            if (++tx == t->tiles_x) tx = 0, ty++;
            size_t at = b * map + (size_t)(y0 * t->out_x + x0) * VL;
#pragma GCC unroll 4
            for (int k = 0; k < m; k++, at += (size_t)t->out_x * VL) {
                vec line[6], y[4];
#pragma GCC unroll 6
                for (int j = 0; j < n; j++) line[j] = half[j][k];
                output_1d(m, line, y);
                if (k >= rows) break;
#pragma GCC unroll 4
                for (int j = 0; j < m; j++) {
                    if (j >= columns) break;
                    vec sum = y[j] + shift;
                    if (t->residual) sum += load(t->residual + at + (size_t)j * VL);
                    store(t->y + at + (size_t)j * VL, act_apply(act, sum, f->lo, f->hi, f->alpha));
                }
            }
        }
    }
}

void ISA(pare_winograd_output)(const pare_winograd_output *t)
{
    pare_act act = t->finish.act;
    if (t->m == 2 && act == PARE_ACT_RELU)
        output(t, 2, PARE_ACT_RELU);
    else if (t->m == 2)
        output(t, 2, act);
    else if (act == PARE_ACT_RELU)
        output(t, 4, PARE_ACT_RELU);
    else
        output(t, 4, act);
}
