/* Definition of the convolution over blocks of channels. */
#include "kernels/conv_blocked.h"

#include "kernels/kernels.h"

static void pixel(const pare_conv_blocked *t, const pare_blocked_tile *tile, size_t p, size_t b)
{
    const pare_blocked_shape *s = tile->shape;
    ptrdiff_t at = tile->out + s->out[p] + (ptrdiff_t)(b * t->y_block);
    for (size_t l = 0; l < t->vl; l++) {
        float *y = t->y + at + l, sum = t->first ? t->bias[b * t->vl + l] : *y;
        for (size_t k = 0; k < s->taps; k++) {
            int32_t in = s->in[k * s->pixels + p];
            if (in == PARE_BLOCKED_ZERO) continue;
            const float *x = t->x + ((ptrdiff_t)tile->in + in),
                        *w = t->w + ((size_t)s->tap[k] * t->channels * t->blocks + b) * t->vl + l;
            for (size_t c = 0; c < t->channels; c++)
                sum += w[c * t->blocks * t->vl] * x[c / t->vl * t->x_block + c % t->vl];
        }
        if (t->last && t->residual) sum += t->residual[at + (ptrdiff_t)l];
        *y = t->last ? pare_act_apply(t->act, sum, t->lo, t->hi, t->alpha) : sum;
    }
}

void pare_conv_blocked_c(const pare_conv_blocked *t)
{
    for (size_t i = 0; i < t->n_tiles; i++)
        for (size_t p = 0; p < t->tile[i].shape->pixels; p++)
            for (size_t b = 0; b < t->blocks; b++) pixel(t, &t->tile[i], p, b);
}

void pare_beside_c(size_t n, size_t count, const float *x, size_t plane, float *to)
{
    for (size_t i = 0; i < count; i++)
        for (size_t c = 0; c < n; c++) to[i * n + c] = x[c * plane + i];
}
