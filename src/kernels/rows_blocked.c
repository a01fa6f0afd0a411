/* The plain versions: they define the arithmetic. */
#include "kernels/rows_blocked.h"

#include <math.h>

enum { VL = 8 }; /* of the plain table */

void pare_affine_blocked_c(size_t n, const float *x, const float *scale, const float *shift,
                           const float *residual, const pare_finish *f, float *y)
{
    for (size_t i = 0; i < n * VL; i++) {
        float v = x[i] * scale[i % VL] + shift[i % VL];
        if (residual) v += residual[i];
        y[i] = pare_act_apply(f->act, v, f->lo, f->hi, f->alpha);
    }
}

void pare_sum_blocked_c(size_t n, const float *x, float *y)
{
    for (size_t l = 0; l < VL; l++) y[l] = 0;
    for (size_t i = 0; i < n * VL; i++) y[i % VL] += x[i];
}

void pare_largest_blocked_c(size_t n, const float *x, float *y)
{
    for (size_t l = 0; l < VL; l++) y[l] = -INFINITY;
    for (size_t i = 0; i < n * VL; i++)
        if (x[i] > y[i % VL] || isnan(x[i])) y[i % VL] = x[i];
}

void pare_lanes_blocked_c(size_t n, size_t lanes, const float *x, size_t from, float *y, size_t to)
{
    for (size_t p = 0; p < n * VL; p += VL)
        for (size_t l = 0; l < lanes; l++) y[p + to + l] = x[p + from + l];
}

void pare_prelu_blocked_c(size_t n, const float *x, const float *slope, float *y)
{
    for (size_t i = 0; i < n * VL; i++) y[i] = x[i] < 0 ? slope[i % VL] * x[i] : x[i];
}
