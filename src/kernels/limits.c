/* The plain versions. */
#include "kernels/kernels.h"

enum { SUMS = 8 };

double pare_limit_fma_c(size_t rounds, float x, float *sink)
{
    float a[SUMS] = { 0 }, sum = 0;
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < SUMS; i++) a[i] = a[i] * 0.5f + x;
    for (int i = 0; i < SUMS; i++) sum += a[i];
    *sink = sum;
    return 2.0 * SUMS * (double)rounds;
}

double pare_limit_int8_c(size_t rounds, uint32_t x, int32_t *sink)
{
    uint32_t a[SUMS] = { 0 }, sum = 0;
    for (size_t r = 0; r < rounds; r++)
        for (int i = 0; i < SUMS; i++)
            for (uint32_t b = 0; b < 4; b++) a[i] += (x >> 8 * b & 255) * (b + 1);
    for (int i = 0; i < SUMS; i++) sum += a[i];
    *sink = (int32_t)(sum & INT32_MAX);
    return 2.0 * 4 * SUMS * (double)rounds;
}

float pare_limit_read_c(const float *x, size_t n)
{
    float sum[8] = { 0 }, all = 0;
    for (size_t i = 0; i < n; i += 8)
        for (int k = 0; k < 8; k++) sum[k] += x[i + (size_t)k];
    for (int k = 0; k < 8; k++) all += sum[k];
    return all;
}
