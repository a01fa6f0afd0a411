/* Rows of floats in vectors. */
#include "kernels/partial.h"
#include "kernels/rows.h"
#include "kernels/simd.h"

#include <math.h>
#include <string.h>

INLINE vec clip(vec x, vec lo, vec hi) { return at_most(at_least(x, lo), hi); }

/* e^r by its series to the seventh power, and n, of x = n ln 2 + r with |r| <= ln 2 / 2; x within
 * [least, most]. */
INLINE vec series(vec x, float least, float most, ivec *n)
{
    vec magic =
        broadcast(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer in the lowest bits */
    vec c = clip(x, broadcast(least), broadcast(most));
    vec t = c * broadcast(1.44269504f) + magic, whole = t - magic;
    vec r = c - whole * broadcast(0.693359375f) - whole * broadcast(-2.12194440e-4f);
    vec p = broadcast(1.0f / 5040);
    p = p * r + broadcast(1.0f / 720);
    p = p * r + broadcast(1.0f / 120);
    p = p * r + broadcast(1.0f / 24);
    p = p * r + broadcast(1.0f / 6);
    p = p * r + broadcast(0.5f);
    p = p * r + broadcast(1.0f);
    *n = (ivec)t - (ivec)magic;
    return p * r + broadcast(1.0f);
}

/* e^x, 2^n in two factors, so that neither leaves the range of exponents. Relative error below
 * 2e-7; beyond the range of float 0 (nearly) and infinity. */
INLINE vec exponential(vec x)
{
    ivec n;
    vec p = series(x, -103.0f, 89.0f, &n);
    ivec half = n >> 1;
    return p * (vec)((half + 127) << 23) * (vec)((n - half + 127) << 23);
}

/* 1 / (1 + e^-x): e^-x below 2^-126 is as good as 0 here, so one factor will do. n = 128 gives
 * infinity, and with that 0. */
INLINE vec logistic(vec x)
{
    ivec n;
    vec one = broadcast(1.0f), p = series(-x, -87.0f, 89.0f, &n);
    return one / (one + p * (vec)((n + 127) << 23));
}

/* An odd function that comes near 1: x times a quotient of polynomials in x^2, fitted for the
 * smallest largest relative error (below 2^-25 before rounding) with coefficients that are all
 * positive, so that nothing cancels. At x = most the quotient has grown above 1, to be cut. */
INLINE vec sigmoidal(vec x, float most, const float *p, int np, const float *q, int nq)
{
    vec c = clip(x, broadcast(-most), broadcast(most)), u = c * c, top = broadcast(p[np - 1]),
        bottom = broadcast(q[nq - 1]);
#pragma GCC unroll 8
    for (int i = np - 2; i >= 0; i--) top = top * u + broadcast(p[i]);
#pragma GCC unroll 8
    for (int i = nq - 2; i >= 0; i--) bottom = bottom * u + broadcast(q[i]);
    return clip(c * top / bottom, broadcast(-1.0f), broadcast(1.0f));
}

/* Relative error below 4e-7. */
INLINE vec error_function(vec x)
{
    static const float p[] = { 1.128379146f,    0.1907511632f,   0.05278544517f,
                               0.003778071798f, 0.000284751112f, 2.041917318e-6f },
                       q[] = { 1.0f,           0.502381545f,    0.1142435486f,
                               0.01499436917f, 0.001164797659f, 3.800052421e-5f };
    return sigmoidal(x, 4.2f, p, 6, q, 6);
}

/* Relative error below 4e-7. */
INLINE vec tangent(vec x)
{
    static const float p[] = { 0.9999999793f, 0.1337977698f, 0.003494099285f, 2.058433567e-5f,
                               1.331987473e-8f },
                       q[] = { 1.0f, 0.467130924f, 0.02587133339f, 0.0003283189499f,
                               7.762427832e-7f };
    return sigmoidal(x, 10.0f, p, 5, q, 5);
}

/* e^x - 1 of x <= 0, by way of tanh(x / 2), since the difference would cancel near 0. */
INLINE vec less_one(vec x)
{
    vec t = tangent(x * broadcast(0.5f));
    return (t + t) / (broadcast(1.0f) - t);
}

INLINE vec unary(const pare_unary f, vec x, vec a, vec b)
{
    vec zero = { 0 }, one = broadcast(1.0f);
    switch (f) {
    case PARE_UNARY_RELU: return at_least(x, zero);
    case PARE_UNARY_LEAKY: return choose(x < zero, a * x, x);
    case PARE_UNARY_CLIP: return clip(x, a, b);
    case PARE_UNARY_EXP: return exponential(x);
    case PARE_UNARY_SIGMOID: return logistic(x);
    case PARE_UNARY_TANH: return tangent(x);
    case PARE_UNARY_SILU: return x * logistic(x);
    case PARE_UNARY_HARD_SIGMOID: return clip(a * x + b, zero, one);
    case PARE_UNARY_HARD_SWISH:
        return x * clip(x * broadcast(1.0f / 6) + broadcast(0.5f), zero, one);
    case PARE_UNARY_ELU: return choose(x < zero, a * less_one(x), x);
    case PARE_UNARY_NEG: return -x;
    case PARE_UNARY_ABS: return (vec)((ivec)x & 0x7fffffff);
    case PARE_UNARY_ERF: return error_function(x);
    case PARE_UNARY_GELU: {
        vec half = broadcast(0.5f) * x;
        return half + half * error_function(x * broadcast(0.707106781f));
    }
    case PARE_UNARY_GELU_TANH: {
        vec half = broadcast(0.5f) * x, cube = x * x * x;
        return half + half * tangent(broadcast(0.797884561f) * (x + broadcast(0.044715f) * cube));
    }
    case PARE_UNARY_SQUARE: return x * x;
    case PARE_UNARY_CUBE: return x * x * x;
    case PARE_UNARY_RECIPROCAL: return one / x;
    case PARE_UNARY_AFFINE: return a * x + b;
    default: return x;
    }
}

/* A loop for each function, so that the choice is made once. The tail goes through a whole vector.
 */
INLINE void unary_loop(const pare_unary f, size_t n, const float *x, float a, float b, float *y)
{
    vec va = broadcast(a), vb = broadcast(b);
    size_t i = 0;
    for (; i + VL <= n; i += VL) store(y + i, unary(f, load(x + i), va, vb));
    if (i == n) return;
    float tail[VL] = { 0 };
    memcpy(tail, x + i, (n - i) * sizeof *x);
    store(tail, unary(f, load(tail), va, vb));
    memcpy(y + i, tail, (n - i) * sizeof *y);
}

void ISA(pare_unary)(pare_unary f, size_t n, const float *x, float a, float b, float *y)
{
    switch (f) {
    case PARE_UNARY_SQRT:
        for (size_t i = 0; i < n; i++) y[i] = sqrtf(x[i]);
        break;
#define CASE(F) \
    case F: unary_loop(F, n, x, a, b, y); break;
        CASE(PARE_UNARY_RELU)
        CASE(PARE_UNARY_LEAKY)
        CASE(PARE_UNARY_CLIP)
        CASE(PARE_UNARY_EXP)
        CASE(PARE_UNARY_SIGMOID)
        CASE(PARE_UNARY_TANH)
        CASE(PARE_UNARY_SILU)
        CASE(PARE_UNARY_HARD_SIGMOID)
        CASE(PARE_UNARY_HARD_SWISH)
        CASE(PARE_UNARY_ELU)
        CASE(PARE_UNARY_NEG)
        CASE(PARE_UNARY_ABS)
    case PARE_UNARY_POW:
        for (size_t i = 0; i < n; i++) y[i] = powf(x[i], a);
        break;
        CASE(PARE_UNARY_ERF)
        CASE(PARE_UNARY_GELU)
        CASE(PARE_UNARY_GELU_TANH)
        CASE(PARE_UNARY_SQUARE)
        CASE(PARE_UNARY_CUBE)
        CASE(PARE_UNARY_RECIPROCAL)
        CASE(PARE_UNARY_AFFINE)
#undef CASE
    }
}

INLINE vec binary(const pare_binary f, vec a, vec b)
{
    switch (f) {
    case PARE_BINARY_ADD: return a + b;
    case PARE_BINARY_SUB: return a - b;
    case PARE_BINARY_MUL: return a * b;
    case PARE_BINARY_DIV: return a / b;
    case PARE_BINARY_MAX: return choose((b > a) | (b != b), b, a);
    default: return choose((b < a) | (b != b), b, a);
    }
}

INLINE void binary_loop(const pare_binary f, size_t n, const float *a, size_t a_step,
                        const float *b, size_t b_step, float *y)
{
    size_t i = 0, whole = n - n % VL;
    if (a_step && b_step) {
        for (; i < whole; i += VL) store(y + i, binary(f, load(a + i), load(b + i)));
    } else if (a_step) {
        vec k = broadcast(*b);
        for (; i < whole; i += VL) store(y + i, binary(f, load(a + i), k));
    } else {
        vec k = broadcast(*a);
        if (b_step)
            for (; i < whole; i += VL) store(y + i, binary(f, k, load(b + i)));
        else
            for (vec v = binary(f, k, broadcast(*b)); i < whole; i += VL) store(y + i, v);
    }
    if (i == n) return;
    float p[VL] = { 0 }, q[VL] = { 0 };
    for (size_t l = 0; i + l < n; l++) p[l] = a[(i + l) * a_step], q[l] = b[(i + l) * b_step];
    store(p, binary(f, load(p), load(q)));
    for (size_t l = 0; i + l < n; l++) y[i + l] = p[l];
}

void ISA(pare_binary)(pare_binary f, size_t n, const float *a, size_t a_step, const float *b,
                      size_t b_step, float *y)
{
    switch (f) {
    case PARE_BINARY_ADD: binary_loop(PARE_BINARY_ADD, n, a, a_step, b, b_step, y); break;
    case PARE_BINARY_SUB: binary_loop(PARE_BINARY_SUB, n, a, a_step, b, b_step, y); break;
    case PARE_BINARY_MUL: binary_loop(PARE_BINARY_MUL, n, a, a_step, b, b_step, y); break;
    case PARE_BINARY_DIV: binary_loop(PARE_BINARY_DIV, n, a, a_step, b, b_step, y); break;
    case PARE_BINARY_MAX: binary_loop(PARE_BINARY_MAX, n, a, a_step, b, b_step, y); break;
    case PARE_BINARY_MIN: binary_loop(PARE_BINARY_MIN, n, a, a_step, b, b_step, y); break;
    }
}

float ISA(pare_sum)(size_t n, const float *x)
{
    vec s[4] = { { 0 }, { 0 }, { 0 }, { 0 } };
    size_t i = 0;
    for (; i + 4 * VL <= n; i += 4 * VL)
        for (int j = 0; j < 4; j++) s[j] += load(x + i + (size_t)j * VL);
    for (; i + VL <= n; i += VL) s[0] += load(x + i);
    float lane[VL], sum = 0;
    store(lane, (s[0] + s[1]) + (s[2] + s[3]));
    for (int l = 0; l < VL; l++) sum += lane[l];
    for (; i < n; i++) sum += x[i];
    return sum;
}

float ISA(pare_largest)(size_t n, const float *x)
{
    vec best = broadcast(-INFINITY);
    size_t i = 0;
    for (; i + VL <= n; i += VL) best = binary(PARE_BINARY_MAX, best, load(x + i));
    float lane[VL], r = -INFINITY;
    store(lane, best);
    for (int l = 0; l < VL; l++)
        if (lane[l] > r || lane[l] != lane[l]) r = lane[l];
    for (; i < n; i++)
        if (x[i] > r || x[i] != x[i]) r = x[i];
    return r;
}

/* The sum, or the largest, of the lanes: halves are joined until one is left. */
INLINE float total(vec s)
{
    float lane[VL];
    store(lane, s);
#pragma GCC unroll 4
    for (int half = VL / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int l = 0; l < half; l++) lane[l] += lane[l + half];
    return lane[0];
}
INLINE float most_of(vec s)
{
    float lane[VL];
    store(lane, s);
#pragma GCC unroll 4
    for (int half = VL / 2; half > 0; half /= 2)
#pragma GCC unroll 8
        for (int l = 0; l < half; l++)
            lane[l] = lane[l + half] > lane[l] ? lane[l + half] : lane[l];
    return lane[0];
}

/* NaN spreads through the sum, so the largest need not care for it. */
void ISA(pare_softmax)(size_t n, const float *x, float *y)
{
    vec least = broadcast(-INFINITY), zero = { 0 }, best[2] = { least, least },
        sum[2] = { zero, zero };
    size_t i = 0;
    lanes_mask rest = lanes_of(0, (int)(n % VL));
    for (; i + 2 * VL <= n; i += 2 * VL)
        for (size_t j = 0; j < 2; j++) best[j] = at_least(load(x + i + j * VL), best[j]);
    if (i + VL <= n) best[0] = at_least(load(x + i), best[0]), i += VL;
    if (i < n) best[1] = at_least(load_lanes(x + i, rest, least), best[1]);
    vec most = broadcast(most_of(at_least(best[0], best[1])));
    for (i = 0; i + 2 * VL <= n; i += 2 * VL)
        for (size_t j = 0; j < 2; j++) {
            vec e = exponential(load(x + i + j * VL) - most);
            store(y + i + j * VL, e);
            sum[j] += e;
        }
    if (i + VL <= n) {
        vec e = exponential(load(x + i) - most);
        store(y + i, e);
        sum[0] += e;
        i += VL;
    }
    if (i < n) {
        store_lanes(y + i, rest, exponential(load_lanes(x + i, rest, zero) - most));
        sum[1] += load_lanes(y + i, rest, zero);
    }
    vec factor = broadcast(1 / total(sum[0] + sum[1]));
    for (i = 0; i + VL <= n; i += VL) store(y + i, load(y + i) * factor);
    if (i < n) store_lanes(y + i, rest, load_lanes(y + i, rest, zero) * factor);
}

INLINE void normalize(const size_t step, size_t n, const float *x, vec mean, vec factor,
                      const float *scale, const float *shift, float *y)
{
    vec a = broadcast(*scale) * factor, b = broadcast(shift ? *shift : 0), zero = { 0 };
    size_t i = 0;
    for (; i + VL <= n; i += VL) {
        if (step) a = load(scale + i) * factor;
        if (step && shift) b = load(shift + i);
        store(y + i, (load(x + i) - mean) * a + b);
    }
    if (i == n) return;
    lanes_mask rest = lanes_of(0, (int)(n - i));
    if (step) a = load_lanes(scale + i, rest, zero) * factor;
    if (step && shift) b = load_lanes(shift + i, rest, zero);
    store_lanes(y + i, rest, (load_lanes(x + i, rest, zero) - mean) * a + b);
}

void ISA(pare_normalize)(size_t n, const float *x, float epsilon, const float *scale,
                         const float *shift, size_t step, float *y)
{
    float mean = ISA(pare_sum)(n, x) / (float)n, squares;
    vec m = broadcast(mean), s[2] = { { 0 }, { 0 } };
    size_t i = 0;
    for (; i + 2 * VL <= n; i += 2 * VL)
        for (size_t j = 0; j < 2; j++) {
            vec d = load(x + i + j * VL) - m;
            s[j] += d * d;
        }
    for (; i + VL <= n; i += VL) {
        vec d = load(x + i) - m;
        s[0] += d * d;
    }
    squares = total(s[0] + s[1]);
    for (; i < n; i++) squares += (x[i] - mean) * (x[i] - mean);
    vec factor = broadcast(1 / sqrtf(squares / (float)n + epsilon));
    if (step)
        normalize(1, n, x, m, factor, scale, shift, y);
    else
        normalize(0, n, x, m, factor, scale, shift, y);
}
