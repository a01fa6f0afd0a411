/* Windows over one block of channels: the sums of up to MOST neighbouring output columns stay in
 * registers while the taps pass. Every multiplication reads its own number from memory, so the
 * inner columns run at one load each; maps are small enough to come from the first-level cache. */
#include "kernels/simd.h"
#include "kernels/window_blocked.h"

#include <math.h>

enum { MOST = 8 };

/* One rectangle of taps, the same for n columns. */
typedef struct taps {
    const float *x, *w; /* the first tap's, x of the first column */
    int64_t rows, cols;
    int64_t x_row, x_col, w_row, x_step; /* floats from one to the next: tap rows, tap columns,
                                            tap rows of w, output columns */
} taps;

/* NaN is larger than all, and stays. */
INLINE vec larger(vec best, vec x) { return choose((x > best) | (x != x), x, best); }

INLINE void columns(const pare_window_blocked *t, const pare_window_kind kind, const int n,
                    const taps *k, int64_t oy, int64_t ox)
{
    vec acc[MOST];
#pragma GCC unroll 8
    for (int c = 0; c < n; c++) acc[c] = broadcast(kind == PARE_WINDOW_MAX ? -INFINITY : 0);
    int64_t x_col = k->x_col, x_step = k->x_step, cols = k->cols;
    for (int64_t i = 0; i < k->rows; i++) {
        const float *x = k->x + i * k->x_row,
                    *w = kind == PARE_WINDOW_SUM ? k->w + i * k->w_row : NULL;
        for (int64_t j = 0; j < cols; j++, x += x_col) {
            vec by = broadcast(1);
            if (kind == PARE_WINDOW_SUM) by = load(w + j * VL);
#pragma GCC unroll 8
            for (int c = 0; c < n; c++) {
                vec v = load(x + c * x_step);
                if (kind == PARE_WINDOW_SUM)
                    acc[c] += by * v;
                else if (kind == PARE_WINDOW_MAX)
                    acc[c] = larger(acc[c], v);
                else
                    acc[c] += v;
            }
        }
    }
    float *y = t->y + (oy * t->out_x + ox) * VL;
    const float *residual = t->residual ? t->residual + (oy * t->out_x + ox) * VL : NULL;
#pragma GCC unroll 8
    for (int c = 0; c < n; c++) {
        vec v = acc[c];
        if (kind == PARE_WINDOW_MEAN) v /= t->count_y[oy] * t->count_x[ox + c];
        if (kind == PARE_WINDOW_SUM) {
            v += load(t->shift);
            if (residual) v += load(residual + c * VL);
            v = act_apply(t->act, v, t->lo, t->hi, t->alpha);
        }
        store(y + c * VL, v);
    }
}

/* A column at the rim: some of its taps lie outside. */
INLINE void rim(const pare_window_blocked *t, const pare_window_kind kind, taps k, int64_t oy,
                int64_t ox)
{
    int64_t ix = ox * t->stride_x - t->pad_x, from, to;
    pare_taps_inside(ix, t->dil_x, t->kernel_x, t->in_x, &from, &to);
    k.x += (ix + from * t->dil_x) * VL;
    if (kind == PARE_WINDOW_SUM) k.w += from * VL;
    k.cols = to - from;
    columns(t, kind, 1, &k, oy, ox);
}

INLINE void rows(const pare_window_blocked *tile, const pare_window_kind kind)
{
    const pare_window_blocked local = *tile, *t = &local; /* stores cannot change it then */
    taps k = { .x_row = t->dil_y * t->in_x * VL,
               .x_col = t->dil_x * VL,
               .w_row = t->kernel_x * VL,
               .x_step = t->stride_x * VL };
    for (int64_t oy = t->first; oy < t->end; oy++) {
        int64_t iy = oy * t->stride_y - t->pad_y, from, to, ox = 0;
        pare_taps_inside(iy, t->dil_y, t->kernel_y, t->in_y, &from, &to);
        const float *x = t->x + (iy + from * t->dil_y) * t->in_x * VL;
        k.rows = to - from;
        if (kind == PARE_WINDOW_SUM) k.w = t->w + from * t->kernel_x * VL;
        k.x = x;
        for (; ox < t->inner; ox++) rim(t, kind, k, oy, ox);
        k.cols = t->kernel_x;
        while (ox < t->outer) {
            k.x = x + (ox * t->stride_x - t->pad_x) * VL;
            switch (t->outer - ox) {
#define CASE(N)                          \
    case N:                              \
        columns(t, kind, N, &k, oy, ox); \
        ox += N;                         \
        break;
                CASE(1)
                CASE(2)
                CASE(3)
                CASE(4)
                CASE(5)
                CASE(6)
                CASE(7)
#undef CASE
            default:
                columns(t, kind, MOST, &k, oy, ox);
                ox += MOST;
                break;
            }
        }
        k.x = x;
        for (; ox < t->out_x; ox++) rim(t, kind, k, oy, ox);
    }
}

static void sum(const pare_window_blocked *t) { rows(t, PARE_WINDOW_SUM); }
static void largest(const pare_window_blocked *t) { rows(t, PARE_WINDOW_MAX); }
static void mean(const pare_window_blocked *t) { rows(t, PARE_WINDOW_MEAN); }

void ISA(pare_window_blocked)(const pare_window_blocked *t)
{
    switch (t->kind) {
    case PARE_WINDOW_SUM: sum(t); break;
    case PARE_WINDOW_MAX: largest(t); break;
    case PARE_WINDOW_MEAN: mean(t); break;
    }
}
