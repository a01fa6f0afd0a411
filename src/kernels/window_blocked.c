/* The plain version: it defines the arithmetic. */
#include "kernels/window_blocked.h"
#include "kernels/kernels.h"

#include <math.h>

static void pixel(const pare_window_blocked *t, int64_t oy, int64_t ox)
{
    size_t vl = t->vl, at = (size_t)(oy * t->out_x + ox) * vl;
    int64_t iy = oy * t->stride_y - t->pad_y, ix = ox * t->stride_x - t->pad_x, y0, y1, x0, x1;
    pare_taps_inside(iy, t->dil_y, t->kernel_y, t->in_y, &y0, &y1);
    pare_taps_inside(ix, t->dil_x, t->kernel_x, t->in_x, &x0, &x1);
    float v[PARE_VL_MOST];
    for (size_t l = 0; l < vl; l++) v[l] = t->kind == PARE_WINDOW_MAX ? -INFINITY : 0;
    for (int64_t i = y0; i < y1; i++)
        for (int64_t j = x0; j < x1; j++) {
            const float *x =
                t->x + (size_t)((iy + i * t->dil_y) * t->in_x + ix + j * t->dil_x) * vl;
            for (size_t l = 0; l < vl; l++)
                if (t->kind == PARE_WINDOW_SUM)
                    v[l] += t->w[(size_t)(i * t->kernel_x + j) * vl + l] * x[l];
                else if (t->kind == PARE_WINDOW_MEAN)
                    v[l] += x[l];
                else if (x[l] > v[l] || isnan(x[l]))
                    v[l] = x[l];
        }
    for (size_t l = 0; l < vl; l++) {
        if (t->kind == PARE_WINDOW_MEAN) v[l] /= t->count_y[oy] * t->count_x[ox];
        if (t->kind == PARE_WINDOW_SUM) {
            v[l] += t->shift[l];
            if (t->residual) v[l] += t->residual[at + l];
            v[l] = pare_act_apply(t->act, v[l], t->lo, t->hi, t->alpha);
        }
        t->y[at + l] = v[l];
    }
}

void pare_window_blocked_c(const pare_window_blocked *t)
{
    for (int64_t oy = t->first; oy < t->end; oy++)
        for (int64_t ox = 0; ox < t->out_x; ox++) pixel(t, oy, ox);
}
