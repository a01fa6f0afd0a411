/* Windows over one block of channels. The map falls into nine regions: rows with all tap rows
 * inside, those at the upper and lower rim, and the same for columns. In a region the sums of up to
 * MOST neighbouring outputs, in a row or in a column, stay in registers while the taps pass; so the
 * thin regions at the sides keep as many multiplications in flight as the middle. */
#include "kernels/simd.h"
#include "kernels/window_blocked.h"

#include <math.h>
#include <stdbool.h>

#if PARE_REGISTERS == 32
enum { MOST = 12 };
#else
enum { MOST = 8 };
#endif

/* One rectangle of taps and the way from one output to the next, the same for a whole region.
 * Distances are in floats. */
typedef struct region {
    int64_t rows, cols;          /* taps */
    int64_t x_row, x_col, w_row; /* from one tap row to the next, one tap column */
    int64_t x_step, y_step;      /* from one output to the next */
    vec shift, lo, hi;
    bool leaky;
    float alpha;
    float count; /* MEAN: taps in the direction across */
} region;

/* n outputs: x and w of their first tap; `more` is the residual, or the counts of a mean. These
 * come as arguments because a structure just written would have to be read back through memory. */
INLINE void outputs(const pare_window_kind kind, const int n, const region *g, const float *x_at,
                    const float *w_at, const float *more, float *y)
{
    vec acc[MOST];
#pragma GCC unroll 12
    for (int c = 0; c < n; c++) acc[c] = broadcast(kind == PARE_WINDOW_MAX ? -INFINITY : 0);
    /* Every fourth output has a pointer, those between are reached by index registers. */
    int64_t x_col = g->x_col, x_row = g->x_row, w_row = g->w_row, cols = g->cols, step = g->x_step;
    const int64_t ahead[4] = { 0, step, 2 * step, 3 * step };
    for (int64_t i = g->rows; i > 0; i--, x_at += x_row, w_at += w_row) {
        const float *x[3];
#pragma GCC unroll 3
        for (int p = 0; p < 3; p++) x[p] = x_at + 4 * p * step;
        for (int64_t j = 0; j < cols; j++) {
            vec by = broadcast(1);
            if (kind == PARE_WINDOW_SUM) by = load(w_at + j * VL);
#pragma GCC unroll 12
            for (int c = 0; c < n; c++) {
                vec v = load(x[c / 4] + ahead[c % 4]);
                if (kind == PARE_WINDOW_SUM)
                    acc[c] += by * v;
                else if (kind == PARE_WINDOW_MAX)
                    acc[c] = larger(acc[c], v);
                else
                    acc[c] += v;
            }
#pragma GCC unroll 3
            for (int p = 0; p < 3; p++) x[p] += x_col;
        }
    }
    step = g->y_step;
    if (kind == PARE_WINDOW_SUM) {
#pragma GCC unroll 12
        for (int c = 0; c < n; c++) acc[c] += g->shift;
        if (more)
#pragma GCC unroll 12
            for (int c = 0; c < n; c++) acc[c] += load(more + c * step);
        if (g->leaky) {
#pragma GCC unroll 12
            for (int c = 0; c < n; c++) acc[c] = act_apply(PARE_ACT_LEAKY, acc[c], 0, 0, g->alpha);
        } else {
            vec lo = g->lo, hi = g->hi;
#pragma GCC unroll 12
            for (int c = 0; c < n; c++) acc[c] = at_most(at_least(acc[c], lo), hi);
        }
    }
    if (kind == PARE_WINDOW_MEAN)
#pragma GCC unroll 12
        for (int c = 0; c < n; c++) acc[c] /= g->count * more[c];
#pragma GCC unroll 12
    for (int c = 0; c < n; c++) store(y + c * step, acc[c]);
}

/* Functions of their own, so that nothing else competes for registers. */
#define OUTPUTS(NAME, KIND, N)                                                                    \
    static __attribute__((noinline)) void NAME##_##N(const region *g, const float *x,             \
                                                     const float *w, const float *more, float *y) \
    {                                                                                             \
        outputs(KIND, N, g, x, w, more, y);                                                       \
    }
#define EIGHT(X, NAME, KIND) \
    X(NAME, KIND, 1)         \
    X(NAME, KIND, 2)         \
    X(NAME, KIND, 3)         \
    X(NAME, KIND, 4)         \
    X(NAME, KIND, 5)         \
    X(NAME, KIND, 6)         \
    X(NAME, KIND, 7)         \
    X(NAME, KIND, 8)
#if PARE_REGISTERS == 32
#define ALL(X, NAME, KIND) \
    EIGHT(X, NAME, KIND) X(NAME, KIND, 9) X(NAME, KIND, 10) X(NAME, KIND, 11) X(NAME, KIND, 12)
#else
#define ALL(X, NAME, KIND) EIGHT(X, NAME, KIND)
#endif
#define ENTRY(NAME, KIND, N) NAME##_##N,
ALL(OUTPUTS, sum, PARE_WINDOW_SUM)
ALL(OUTPUTS, max, PARE_WINDOW_MAX)
ALL(OUTPUTS, mean, PARE_WINDOW_MEAN)

typedef void outputs_fn(const region *g, const float *x, const float *w, const float *more,
                        float *y);
static outputs_fn *const table[3][MOST] = {
    [PARE_WINDOW_SUM] = { ALL(ENTRY, sum, ) },
    [PARE_WINDOW_MAX] = { ALL(ENTRY, max, ) },
    [PARE_WINDOW_MEAN] = { ALL(ENTRY, mean, ) },
};

/* `count` outputs in a line; the last two groups share what is left. `more` advances by `ahead`. */
INLINE void line(outputs_fn *const *by_count, int64_t count, const region *g, const float *x,
                 const float *w, const float *more, int64_t ahead, float *y)
{
    for (int64_t n; count > 0; count -= n) {
        n = count <= MOST ? count : count < 2 * MOST ? (count + 1) / 2 : MOST;
        by_count[n - 1](g, x, w, more, y);
        x += n * g->x_step;
        y += n * g->y_step;
        if (more) more += n * ahead;
    }
}

/* A part of one dimension: outputs [from, to), whose taps [first, first + taps) lie inside. */
typedef struct part {
    int64_t from, to, first, taps;
} part;

/* The outputs from `at` on, up to `end`, that share their taps: many in the middle, one at a rim.
 */
INLINE part next_part(int64_t at, int64_t end, int64_t stride, int64_t pad, int64_t dil,
                      int64_t kernel, int64_t in, int64_t inner, int64_t outer)
{
    part p = { at, at + 1, 0, kernel };
    if (at >= inner && at < outer) {
        p.to = outer < end ? outer : end;
        return p;
    }
    int64_t last;
    pare_taps_inside(at * stride - pad, dil, kernel, in, &p.first, &last);
    p.taps = last - p.first;
    return p;
}

void ISA(pare_window_blocked)(const pare_window_blocked *t)
{
    region g = { .x_row = t->dil_y * t->in_x * VL, .x_col = t->dil_x * VL };
    bool sums = t->kind == PARE_WINDOW_SUM, means = t->kind == PARE_WINDOW_MEAN;
    if (sums) {
        /* Without bounds, or with one, clipping is exactly what the other activations are. */
        bool clips = t->act == PARE_ACT_CLIP;
        g.w_row = t->kernel_x * VL;
        g.shift = load(t->shift);
        g.leaky = t->act == PARE_ACT_LEAKY;
        g.alpha = t->alpha;
        g.lo = broadcast(clips ? t->lo : t->act == PARE_ACT_RELU ? 0 : -INFINITY);
        g.hi = broadcast(clips ? t->hi : INFINITY);
    }
    int64_t reach = t->in_y - 1 - (t->kernel_y - 1) * t->dil_y + t->pad_y,
            top = (t->pad_y + t->stride_y - 1) / t->stride_y,
            bottom = reach < 0 ? 0 : reach / t->stride_y + 1;
    int64_t x_down = t->stride_y * t->in_x * VL, x_right = t->stride_x * VL, y_down = t->out_x * VL;
    outputs_fn *const *by_count = table[t->kind];
    part r, c;
    for (int64_t oy = t->first; oy < t->end; oy = r.to) {
        r = next_part(oy, t->end, t->stride_y, t->pad_y, t->dil_y, t->kernel_y, t->in_y, top,
                      bottom);
        int64_t iy = oy * t->stride_y - t->pad_y + r.first * t->dil_y;
        g.rows = r.taps;
        for (int64_t ox = 0; ox < t->out_x; ox = c.to) {
            c = next_part(ox, t->out_x, t->stride_x, t->pad_x, t->dil_x, t->kernel_x, t->in_x,
                          t->inner, t->outer);
            int64_t ix = ox * t->stride_x - t->pad_x + c.first * t->dil_x,
                    at = (oy * t->out_x + ox) * VL;
            const float *x = t->x + (iy * t->in_x + ix) * VL,
                        *w = sums ? t->w + (r.first * t->kernel_x + c.first) * VL : x,
                        *residual = sums && t->residual ? t->residual + at : NULL;
            float *y = t->y + at;
            g.cols = c.taps;
            if (c.to - c.from == 1) { /* upright */
                g.x_step = x_down, g.y_step = y_down;
                if (means) g.count = t->count_x[ox];
                line(by_count, r.to - r.from, &g, x, w, means ? t->count_y + oy : residual,
                     means ? 1 : y_down, y);
                continue;
            }
            g.x_step = x_right, g.y_step = VL;
            for (int64_t i = oy; i < r.to; i++, x += x_down, y += y_down) {
                if (means) g.count = t->count_y[i];
                line(by_count, c.to - c.from, &g, x, w, means ? t->count_x + ox : residual,
                     means ? 1 : VL, y);
                if (residual) residual += y_down;
            }
        }
    }
}
