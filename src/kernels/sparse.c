/* Plain C: the definition of the stages. */
#include "kernels/sparse.h"

static float tap(const pare_sparse_source *s, size_t channel, size_t t, size_t i)
{
    if (s->mask && !(s->mask[i / s->vl * s->taps + t] >> i % s->vl & 1)) return 0;
    return s->x[(ptrdiff_t)(channel * s->plane + i) + s->off[t]];
}

void pare_sparse_basis_c(const pare_sparse_source *s, size_t channels,
                         const pare_sparse_channel *channel, const float *tables, float *z)
{
    size_t pixels = s->vectors * s->vl;
    for (size_t c = 0; c < channels; c++) {
        const float *table = tables + channel[c].table;
        for (size_t m = 0; m < channel[c].used; m++, z += pixels)
            for (size_t i = 0; i < pixels; i++) {
                float sum = 0;
                for (size_t t = 0; t < s->taps; t++)
                    sum += table[t * channel[c].used + m] * tap(s, channel[c].input, t, i);
                z[i] = sum;
            }
    }
}

void pare_sparse_shift_c(const pare_sparse_source *s, size_t rows, const pare_sparse_shift *row,
                         float *z)
{
    size_t pixels = s->vectors * s->vl;
    for (size_t r = 0; r < rows; r++, z += pixels)
        for (size_t i = 0; i < pixels; i++) z[i] = tap(s, row[r].input, row[r].tap, i);
}

void pare_sparse_combine_c(const pare_sparse_combine *c)
{
    size_t members = PARE_SPARSE_SUMS / c->vectors, pixels = c->vectors * c->vl,
           step = members < 4 ? 4 : members, at = 0;
    for (size_t g = 0; g < c->groups; g++) {
        size_t terms = c->step[g] * step;
        for (size_t j = 0; j < members; j++) {
            size_t r = c->row[g * members + j];
            for (size_t i = 0; i < pixels; i++) {
                float sum = c->first ? 0 : c->acc[r * pixels + i];
                for (size_t t = j; t < terms; t += members)
                    sum += c->value[at + t] * c->z[(size_t)c->off[at + t] * 2 + i];
                if (!c->last)
                    c->acc[r * pixels + i] = sum;
                else if (r < c->rows && i < c->pixels) {
                    float more = c->residual ? c->residual[r * c->plane + i] : 0;
                    c->y[r * c->plane + i] =
                        pare_act_apply(c->act, sum + c->shift[r] + more, c->lo, c->hi, c->alpha);
                }
            }
        }
        at += terms;
    }
}

void pare_sparse_dot_c(const pare_sparse_dot *d)
{
    size_t at = 0;
    for (size_t g = 0; g < d->groups; at += d->step[g++] * PARE_SPARSE_SUMS)
        for (size_t j = 0; j < PARE_SPARSE_SUMS; j++) {
            size_t r = d->row[g * PARE_SPARSE_SUMS + j];
            if (r >= d->rows) continue;
            float sum = d->shift[r];
            for (size_t t = 0; t < d->step[g]; t++) {
                size_t term = at + t * PARE_SPARSE_SUMS + j;
                sum += d->value[term] * d->x[d->off[term]];
            }
            d->y[r] = sum;
        }
}
