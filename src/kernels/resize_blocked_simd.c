#include "kernels/resize_blocked.h"
#include "kernels/simd.h"

INLINE void rows(size_t n, size_t taps, const float *weight, const float *const *row, float *y)
{
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        vec sum = broadcast(weight[0]) * load(row[0] + i);
        for (size_t k = 1; k < taps; k++) sum += broadcast(weight[k]) * load(row[k] + i);
        store(y + i, sum);
    }
    for (; i < n; i++) {
        float sum = weight[0] * row[0][i];
        for (size_t k = 1; k < taps; k++) sum += weight[k] * row[k][i];
        y[i] = sum;
    }
}

void ISA(pare_blend_rows)(size_t n, size_t taps, const float *weight, const float *const *row,
                          float *y)
{
    if (taps == 2)
        rows(n, 2, weight, row, y);
    else
        rows(n, taps, weight, row, y);
}

INLINE void pixels_of(size_t pixels, size_t taps, const int32_t *index, const float *weight,
                      const float *x, float *y)
{
    for (size_t p = 0; p < pixels; p++, index += taps, weight += taps) {
        vec sum = broadcast(weight[0]) * load(x + (size_t)index[0] * VL);
        for (size_t k = 1; k < taps; k++)
            sum += broadcast(weight[k]) * load(x + (size_t)index[k] * VL);
        store(y + p * VL, sum);
    }
}

void ISA(pare_blend_pixels)(size_t pixels, size_t taps, const int32_t *index, const float *weight,
                            const float *x, float *y)
{
    if (taps == 1)
        pixels_of(pixels, 1, index, weight, x, y);
    else if (taps == 2)
        pixels_of(pixels, 2, index, weight, x, y);
    else
        pixels_of(pixels, taps, index, weight, x, y);
}
