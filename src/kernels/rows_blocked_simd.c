/* Pixels of one block of channels, a register each. */
#include "kernels/partial.h"
#include "kernels/rows_blocked.h"

#include <math.h>
#include <string.h>

INLINE void affine(const pare_act act, size_t n, const float *x, vec scale, vec shift,
                   const float *residual, const pare_finish f, float *y)
{
    if (residual)
        for (size_t i = 0; i < n * VL; i += VL)
            store(y + i, act_apply(act, load(x + i) * scale + shift + load(residual + i), f.lo,
                                   f.hi, f.alpha));
    else
        for (size_t i = 0; i < n * VL; i += VL)
            store(y + i, act_apply(act, load(x + i) * scale + shift, f.lo, f.hi, f.alpha));
}

void ISA(pare_affine_blocked)(size_t n, const float *x, const float *scale, const float *shift,
                              const float *residual, const pare_finish *f, float *y)
{
    vec a = load(scale), b = load(shift);
    switch (f->act) {
    case PARE_ACT_NONE: affine(PARE_ACT_NONE, n, x, a, b, residual, *f, y); break;
    case PARE_ACT_RELU: affine(PARE_ACT_RELU, n, x, a, b, residual, *f, y); break;
    case PARE_ACT_CLIP: affine(PARE_ACT_CLIP, n, x, a, b, residual, *f, y); break;
    case PARE_ACT_LEAKY: affine(PARE_ACT_LEAKY, n, x, a, b, residual, *f, y); break;
    }
}

void ISA(pare_prelu_blocked)(size_t n, const float *x, const float *slope, float *y)
{
    vec a = load(slope), zero = { 0 };
    for (size_t i = 0; i < n * VL; i += VL) {
        vec v = load(x + i);
        store(y + i, choose(v < zero, a * v, v));
    }
}

enum { SUMS = 4 }; /* independent ones, to hide the latency of an addition */

void ISA(pare_sum_blocked)(size_t n, const float *x, float *y)
{
    vec s[SUMS] = { { 0 } };
    size_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (size_t j = 0; j < SUMS; j++) s[j] += load(x + (i + j) * VL);
    for (; i < n; i++) s[0] += load(x + i * VL);
    store(y, (s[0] + s[1]) + (s[2] + s[3]));
}

void ISA(pare_largest_blocked)(size_t n, const float *x, float *y)
{
    vec best = broadcast(-INFINITY);
    for (size_t i = 0; i < n; i++) best = larger(best, load(x + i * VL));
    store(y, best);
}

void ISA(pare_lanes_blocked)(size_t n, size_t lanes, const float *x, size_t from, float *y,
                             size_t to)
{
    if (lanes == VL) {
        memcpy(y, x, n * VL * sizeof *y);
        return;
    }
    lanes_mask m = lanes_of(0, (int)lanes);
    for (size_t p = 0; p < n * VL; p += VL)
        store_lanes(y + p + to, m, load_lanes(x + p + from, m, (vec){ 0 }));
}
