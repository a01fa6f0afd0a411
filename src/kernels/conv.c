/* The plain versions of the convolution kernels: they define the arithmetic, and run where nothing
 * better does. */
#include "kernels/conv.h"
#include "kernels/kernels.h"

#include <math.h>
#include <stdbool.h>

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

void pare_conv_max_c(const pare_conv_tile *t)
{
    for (size_t j = 0; j < t->vectors; j++) {
        const pare_conv_lanes *lanes = &t->lanes[j];
        const float *x = t->x + lanes->in;
        for (uint32_t i = 0; i < lanes->n_runs; i++) {
            const pare_conv_run *r = &t->run[lanes->run + i];
            for (uint32_t l = 0; l < r->n; l++) {
                float best = x[t->off[0] + r->lane + l];
                for (size_t k = 1; k < t->taps; k++) {
                    float v = x[t->off[k] + r->lane + l];
                    if (v > best || isnan(v)) best = v;
                }
                t->y[r->out + l] = best;
            }
        }
    }
}

void pare_conv_fill_c(const pare_conv_fill *f)
{
    float *to = f->to;
    for (size_t c = 0; c < f->channels; c++)
        for (size_t i = 0; i < f->row_phases; i++)
            for (size_t j = 0; j < f->col_planes; j++) {
                for (size_t r = 0; r < f->rows[i]; r++, to += f->width) {
                    int64_t y = (int64_t)r * f->stride_y + f->first[i];
                    bool inside = y >= 0 && y < f->in_y;
                    const float *row = f->x + c * f->channel + (inside ? y * f->in_x : 0);
                    for (size_t q = 0; q < f->width; q++) {
                        int64_t x = (int64_t)q * f->stride_x + f->shift[j];
                        to[q] = inside && x >= 0 && x < f->in_x ? row[x] : f->pad;
                    }
                }
                to += f->skip[i] * f->width;
            }
}
