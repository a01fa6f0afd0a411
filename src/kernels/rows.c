/* The plain versions: they define the arithmetic. */
#include "kernels/rows.h"
#include "kernels/kernels.h"

#include <math.h>

/* If lo > hi, everything becomes hi. */
static float clip(float x, float lo, float hi)
{
    x = x < lo ? lo : x;
    return x > hi ? hi : x;
}

static float unary(pare_unary f, float x, float a, float b)
{
    switch (f) {
    case PARE_UNARY_RELU: return x < 0 ? 0 : x;
    case PARE_UNARY_LEAKY: return x < 0 ? a * x : x;
    case PARE_UNARY_CLIP: return clip(x, a, b);
    case PARE_UNARY_EXP: return expf(x);
    case PARE_UNARY_SIGMOID: return 1 / (1 + expf(-x));
    case PARE_UNARY_TANH: return tanhf(x);
    case PARE_UNARY_SILU: return x / (1 + expf(-x));
    case PARE_UNARY_HARD_SIGMOID: return clip(a * x + b, 0, 1);
    case PARE_UNARY_HARD_SWISH: return x * clip(x / 6 + 0.5f, 0, 1);
    case PARE_UNARY_ELU: return x < 0 ? a * expm1f(x) : x;
    case PARE_UNARY_NEG: return -x;
    case PARE_UNARY_ABS: return fabsf(x);
    case PARE_UNARY_SQRT: return sqrtf(x);
    case PARE_UNARY_ERF: return erff(x);
    case PARE_UNARY_GELU: return 0.5f * x * (1 + erff(x * 0.707106781f));
    case PARE_UNARY_GELU_TANH:
        return 0.5f * x * (1 + tanhf(0.797884561f * (x + 0.044715f * x * x * x)));
    case PARE_UNARY_SQUARE: return x * x;
    case PARE_UNARY_CUBE: return x * x * x;
    case PARE_UNARY_RECIPROCAL: return 1 / x;
    case PARE_UNARY_POW: return powf(x, a);
    case PARE_UNARY_AFFINE: return a * x + b;
    }
    return x;
}

void pare_unary_c(pare_unary f, size_t n, const float *x, float a, float b, float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = unary(f, x[i], a, b);
}

void pare_binary_c(pare_binary f, size_t n, const float *a, size_t a_step, const float *b,
                   size_t b_step, float *y)
{
    for (size_t i = 0; i < n; i++) {
        float p = a[i * a_step], q = b[i * b_step];
        switch (f) {
        case PARE_BINARY_ADD: y[i] = p + q; break;
        case PARE_BINARY_SUB: y[i] = p - q; break;
        case PARE_BINARY_MUL: y[i] = p * q; break;
        case PARE_BINARY_DIV: y[i] = p / q; break;
        case PARE_BINARY_MAX: y[i] = q > p || isnan(q) ? q : p; break;
        case PARE_BINARY_MIN: y[i] = q < p || isnan(q) ? q : p; break;
        }
    }
}

float pare_sum_c(size_t n, const float *x)
{
    float sum = 0;
    for (size_t i = 0; i < n; i++) sum += x[i];
    return sum;
}

float pare_largest_c(size_t n, const float *x)
{
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++)
        if (x[i] > best || isnan(x[i])) best = x[i];
    return best;
}

void pare_softmax_c(size_t n, const float *x, float *y)
{
    float most = pare_largest_c(n, x), sum = 0;
    for (size_t i = 0; i < n; i++) {
        y[i] = expf(x[i] - most);
        sum += y[i];
    }
    for (size_t i = 0; i < n; i++) y[i] /= sum;
}

void pare_normalize_c(size_t n, const float *x, float epsilon, const float *scale,
                      const float *shift, size_t step, float *y)
{
    float mean = pare_sum_c(n, x) / (float)n, squares = 0;
    for (size_t i = 0; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    float factor = 1 / sqrtf(squares / (float)n + epsilon);
    for (size_t i = 0; i < n; i++)
        y[i] = (x[i] - mean) * factor * scale[i * step] + (shift ? shift[i * step] : 0);
}
