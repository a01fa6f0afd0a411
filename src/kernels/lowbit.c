#include "kernels/lowbit.h"

#include <math.h>

void pare_lowbit_codes_c(size_t vl, size_t pixels, const uint8_t *x, size_t channels, uint8_t lo,
                         uint8_t *to, size_t step)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < vl; c++)
            to[p * step + c] = c < channels ? (uint8_t)(x[p * vl + c] - lo) : 0;
}

void pare_lowbit_tables_c(const pare_lowbit_tables *t)
{
    size_t entries = (size_t)1 << t->span;
    for (size_t p = 0; p < t->pixels; p++) {
        const uint8_t *r = t->codes + p * t->codes_step;
        uint8_t *table = t->table + p * t->groups * entries;
        if (t->sum) t->sum[p] = 0;
        for (size_t g = 0; g < t->groups; g++, r += t->span, table += entries) {
            for (size_t i = 0; i < entries; i++) {
                table[i] = 0;
                for (size_t k = 0; k < t->span; k++)
                    if (i >> k & 1) table[i] = (uint8_t)(table[i] + r[k]);
            }
            if (t->sum) t->sum[p] += table[entries - 1];
        }
    }
}

void pare_lowbit_box_c(size_t n, const int32_t *x, size_t stride, const uint32_t *tap, size_t taps,
                       int32_t *y)
{
    for (size_t i = 0; i < n; i++) {
        y[i] = 0;
        for (size_t t = 0; t < taps; t++) y[i] += x[i * stride + tap[t]];
    }
}

static uint8_t finish(const pare_int8_finish *f, size_t channel, int32_t sum)
{
    float v = (float)sum * f->scale[channel];
    v = v > f->lo ? v : f->lo;
    v = v < f->hi ? v : f->hi;
    return (uint8_t)((int32_t)nearbyintf(v) + f->zero);
}

void pare_lowbit_conv_c(const pare_lowbit_conv *c)
{
    size_t filters = 4 * c->vl;
    for (size_t p = 0; p < c->pixels; p++)
        for (size_t row = 0; row < c->vectors * filters; row++) {
            int32_t *partial = &c->partial[p * c->vectors * filters + row];
            uint32_t sum = c->first ? 0 : (uint32_t)*partial << c->shift;
            const uint8_t *w =
                c->w + row / filters * c->w_step + pare_lowbit_byte(c->vl, row % filters);
            for (size_t s = 0; s < c->steps; s++)
                sum += c->table[c->pixel[p] + c->at[s] + w[s * filters]];
            if (!c->last) {
                *partial = (int32_t)sum;
                continue;
            }
            if (row / c->vl >= c->blocks) continue;
            sum = sum * (uint32_t)c->alpha[row] + (uint32_t)c->finish.bias[row];
            if (c->box) sum += (uint32_t)c->box[c->place[p]] * (uint32_t)c->beta[row];
            size_t at = row / c->vl * c->y_block + c->place[p] * c->vl + row % c->vl;
            if (c->sums)
                c->sums[at] = (int32_t)sum;
            else
                c->y[at] = finish(&c->finish, row, (int32_t)sum);
        }
}
