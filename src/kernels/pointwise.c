/* Definition of the 1x1 convolution over blocks of channels. */
#include "kernels/pointwise.h"

#include "kernels/kernels.h"

void pare_pointwise_c(const pare_pointwise *t)
{
    const pare_finish *f = &t->finish;
    for (size_t b = 0; b < t->blocks; b++)
        for (size_t p = 0; p < t->pixels; p++)
            for (size_t l = 0; l < t->vl; l++) {
                size_t at = b * t->y_block + p * t->y_pixel + l;
                float sum = t->onto ? t->y[at] : t->bias[b * t->vl + l];
                for (size_t c = 0; c < t->channels; c++)
                    sum += t->w[(c * t->blocks + b) * t->vl + l] *
                           t->x[c / t->vl * t->x_block + p * t->vl + c % t->vl];
                if (t->residual) sum += t->residual[at];
                t->y[at] = pare_act_apply(f->act, sum, f->lo, f->hi, f->alpha);
            }
}
