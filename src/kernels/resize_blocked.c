#include "kernels/resize_blocked.h"

enum { VL = 8 }; /* of the plain table */

void pare_blend_rows_c(size_t n, size_t taps, const float *weight, const float *const *row,
                       float *y)
{
    for (size_t i = 0; i < n; i++) {
        float sum = 0;
        for (size_t k = 0; k < taps; k++) sum += weight[k] * row[k][i];
        y[i] = sum;
    }
}

void pare_blend_pixels_c(size_t pixels, size_t taps, const int32_t *index, const float *weight,
                         const float *x, float *y)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t l = 0; l < VL; l++) {
            float sum = 0;
            for (size_t k = 0; k < taps; k++)
                sum += weight[p * taps + k] * x[(size_t)index[p * taps + k] * VL + l];
            y[p * VL + l] = sum;
        }
}
