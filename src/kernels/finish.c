/* Plain C: the definition. */
#include "kernels/finish.h"

void pare_finish_row_c(size_t n, const float *acc, float shift, const float *residual,
                       const pare_finish *f, float *y)
{
    for (size_t i = 0; i < n; i++) {
        float v = acc[i] + shift;
        if (residual) v += residual[i];
        switch (f->act) {
        case PARE_ACT_RELU: v = v < 0 ? 0 : v; break;
        case PARE_ACT_CLIP: v = v < f->lo ? f->lo : v > f->hi ? f->hi : v; break;
        case PARE_ACT_LEAKY: v = v < 0 ? v * f->alpha : v; break;
        case PARE_ACT_NONE: break;
        }
        y[i] = v;
    }
}
