#include "kernels/lowbit.h"

#include <math.h>

void pare_lowbit_codes_c(const pare_lowbit_codes *c)
{
    size_t lanes = (c->channels + c->vl - 1) / c->vl * c->vl;
    for (size_t p = 0; p < c->pixels; p++) {
        int32_t sum = 0;
        for (size_t i = 0; i < lanes; i++) {
            uint8_t x = c->x[i / c->vl * c->x_block + p * c->vl + i % c->vl],
                    code = i < c->channels ? (uint8_t)(x - c->lo) : 0;
            c->to[p * c->step + i] = code;
            sum += code;
        }
        if (c->sum) c->sum[p] = sum;
    }
}

void pare_lowbit_tables_c(const pare_lowbit_tables *t)
{
    size_t entries = (size_t)1 << t->span;
    uint8_t *table = t->table;
    for (size_t g = 0; g < t->groups; g++)
        for (size_t p = 0; p < t->pixels; p++, table += entries) {
            const uint8_t *r = t->codes + t->pixel[p] + g * t->span;
            for (size_t i = 0; i < entries; i++) {
                table[i] = 0;
                for (size_t k = 0; k < t->span; k++)
                    if (i >> k & 1) table[i] = (uint8_t)(table[i] + r[k]);
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

void pare_lowbit_conv_c(const pare_lowbit_conv *c)
{
    size_t filters = 4 * c->vl;
    for (size_t p = 0; p < c->pixels; p++)
        for (size_t f = 0; f < filters; f++) {
            unsigned sum = 0;
            const uint8_t *w = c->w + pare_lowbit_byte(c->vl, f);
            for (const pare_lowbit_run *r = c->run; r < c->run + c->runs; r++) {
                const uint8_t *x = c->row[r->row] + r->at;
                for (size_t g = 0; g < c->groups; g++, x += c->group_step)
                    for (size_t t = 0; t < r->taps; t++, w += filters)
                        sum += x[((p + t) << c->span) + *w];
            }
            uint16_t *to = &c->sum[p * filters + f];
            *to = (uint16_t)((c->first ? 0u : *to) + (sum << c->shift));
        }
}

void pare_lowbit_widen_c(size_t n, const uint16_t *sum, bool first, int shift, int32_t *wide)
{
    for (size_t i = 0; i < n; i++)
        wide[i] = (int32_t)((first ? 0 : (uint32_t)wide[i]) + ((uint32_t)sum[i] << shift));
}

static uint8_t finish(const pare_int8_finish *f, size_t channel, int32_t sum)
{
    float v = (float)sum * f->scale[channel];
    v = v > f->lo ? v : f->lo;
    v = v < f->hi ? v : f->hi;
    return (uint8_t)((int32_t)nearbyintf(v) + f->zero);
}

void pare_lowbit_finish_c(const pare_lowbit_finish *c)
{
    for (size_t p = 0; p < c->pixels; p++)
        for (size_t f = 0; f < c->blocks * c->vl; f++) {
            size_t at = p * 4 * c->vl + f;
            uint32_t v = c->wide ? (uint32_t)c->wide[at] : c->sum[at];
            v = v * (uint32_t)c->alpha[f] + (uint32_t)c->finish.bias[f];
            if (c->box) v += (uint32_t)c->box[p] * (uint32_t)c->beta[f];
            c->y[f / c->vl * c->y_block + p * c->vl + f % c->vl] =
                finish(&c->finish, f, (int32_t)v);
        }
}

void pare_lowbit_steps_c(const pare_lowbit_steps *c)
{
    for (size_t p = 0; p < c->pixels; p++)
        for (size_t f = 0; f < c->blocks * c->vl; f++) {
            uint32_t v = c->sum[p * 4 * c->vl + f] * (uint32_t)c->alpha[f];
            if (c->box) v += (uint32_t)c->box[p] * (uint32_t)c->beta[f];
            uint8_t y = c->least;
            for (size_t i = 0; i < c->steps; i++)
                y = (uint8_t)(y + ((int16_t)v >= c->step[i * 4 * c->vl + f]));
            c->y[f / c->vl * c->y_block + p * c->vl + f % c->vl] = y;
        }
}
