/* The plain versions of the convolution kernels: they define the arithmetic, and run where nothing better
 * does. */
#include "kernels/conv.h"
#include "kernels/kernels.h"

static void put(const pare_conv_tile *t, const pare_conv_lanes *lanes, size_t row, const float *sum)
{
    for (uint32_t i = 0; i < lanes->n_runs; i++) {
        const pare_conv_run *r = &t->run[lanes->run + i];
        size_t at = row * t->plane + r->out;
        for (uint32_t l = 0; l < r->n; l++) {
            float v = sum[r->lane + l] + t->bias[row];
            if (t->residual) v += t->residual[at + l];
            t->y[at + l] = pare_act_apply(t->act, v, t->lo, t->hi, t->alpha);
        }
    }
}

void pare_conv_tile_c(const pare_conv_tile *t)
{
    for (size_t row = 0; row < t->rows; row++) {
        const float *w = t->w + row / t->mr * t->mr * t->taps + row % t->mr;
        for (size_t j = 0; j < t->vectors; j++) {
            float sum[PARE_VL_MOST] = { 0 };
            const float *x = t->x + t->lanes[j].in;
            for (size_t k = 0; k < t->taps; k++)
                for (size_t l = 0; l < t->vl; l++) sum[l] += w[k * t->mr] * x[t->off[k] + l];
            put(t, &t->lanes[j], row, sum);
        }
    }
}

void pare_conv_row_c(const pare_conv_tile *t)
{
    for (size_t j = 0; j < t->vectors; j++) {
        float sum[PARE_VL_MOST] = { 0 };
        const float *x = t->x + t->lanes[j].in;
        for (size_t k = 0; k < t->taps; k++)
            for (size_t l = 0; l < t->vl; l++) sum[l] += t->w[k] * x[t->off[k] + l];
        put(t, &t->lanes[j], 0, sum);
    }
}

void pare_take_c(const float *src, size_t stride, size_t n, float *dst)
{
    for (size_t i = 0; i < n; i++) dst[i] = src[i * stride];
}
