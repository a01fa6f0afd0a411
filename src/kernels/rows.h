/* Loops over rows of floats: element-wise functions, maxima and sums, softmax and normalisation.
 * Rows may not overlap unless said. */
#ifndef KERNELS_ROWS_H
#define KERNELS_ROWS_H

#include <stddef.h>

/* y[i] = f(x[i]); y may be x. Parameters a and b by function; NaN stays NaN. */
typedef enum pare_unary {
    PARE_UNARY_RELU,
    PARE_UNARY_LEAKY, /* x < 0 ? a * x : x */
    PARE_UNARY_CLIP,  /* to [a, b] */
    PARE_UNARY_EXP,
    PARE_UNARY_SIGMOID,
    PARE_UNARY_TANH,
    PARE_UNARY_SILU,         /* x * sigmoid(x) */
    PARE_UNARY_HARD_SIGMOID, /* a * x + b, to [0, 1] */
    PARE_UNARY_HARD_SWISH,   /* x * (x / 6 + 1/2), the factor to [0, 1] */
    PARE_UNARY_ELU,          /* x < 0 ? a * (exp(x) - 1) : x */
    PARE_UNARY_NEG,
    PARE_UNARY_ABS,
    PARE_UNARY_SQRT,
    PARE_UNARY_ERF,
    PARE_UNARY_GELU,      /* x / 2 * (1 + erf(x / sqrt(2))) */
    PARE_UNARY_GELU_TANH, /* x / 2 * (1 + tanh(sqrt(2 / pi) * (x + 0.044715 x^3))) */
    PARE_UNARY_SQUARE,
    PARE_UNARY_CUBE,
    PARE_UNARY_RECIPROCAL,
    PARE_UNARY_POW,    /* x^a */
    PARE_UNARY_AFFINE, /* a * x + b */
} pare_unary;
typedef void pare_unary_fn(pare_unary f, size_t n, const float *x, float a, float b, float *y);

/* y[i] = a[i] op b[i]; a step of 0 repeats element 0 of that operand, else it is 1. y may be a or
 * b. */
typedef enum pare_binary {
    PARE_BINARY_ADD,
    PARE_BINARY_SUB,
    PARE_BINARY_MUL,
    PARE_BINARY_DIV,
    PARE_BINARY_MAX, /* NaN is larger than all */
    PARE_BINARY_MIN, /* and smaller than all */
} pare_binary;
typedef void pare_binary_fn(pare_binary f, size_t n, const float *a, size_t a_step, const float *b,
                            size_t b_step, float *y);

/* The sum of x[0..n) in some fixed order; the largest (NaN if there is one, -inf if n is 0). */
typedef float pare_sum_fn(size_t n, const float *x);
typedef float pare_largest_fn(size_t n, const float *x);

/* y[i] = exp(x[i] - the largest) / the sum of those, i < n, n > 0; y may be x. */
typedef void pare_softmax_fn(size_t n, const float *x, float *y);

/* y[i] = (x[i] - mean) / sqrt(variance + epsilon) * scale[i * step] + shift[i * step], i < n, n >
 * 0; variance is the mean of (x - mean)^2, step 0 or 1. shift NULL: none. y may be x. */
typedef void pare_normalize_fn(size_t n, const float *x, float epsilon, const float *scale,
                               const float *shift, size_t step, float *y);

#endif
