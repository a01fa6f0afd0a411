/* Rows of floats in vectors. */
#include "kernels/rows.h"
#include "kernels/simd.h"

#include <math.h>
#include <string.h>

INLINE vec clip(vec x, vec lo, vec hi) { return at_most(at_least(x, lo), hi); }

/* e^x: x = n ln 2 + r with |r| <= ln 2 / 2, the series of e^r to the seventh power, then 2^n in two
 * factors, so that neither leaves the range of exponents. Relative error below 2e-7; beyond the
 * range of float 0 (nearly) and infinity. */
INLINE vec exponential(vec x)
{
    vec magic =
        broadcast(12582912.0f); /* 1.5 * 2^23: adding it rounds to an integer in the lowest bits */
    vec c = clip(x, broadcast(-103.0f), broadcast(89.0f));
    vec t = c * broadcast(1.44269504f) + magic, n = t - magic;
    vec r = c - n * broadcast(0.693359375f) - n * broadcast(-2.12194440e-4f);
    vec p = broadcast(1.0f / 5040);
    p = p * r + broadcast(1.0f / 720);
    p = p * r + broadcast(1.0f / 120);
    p = p * r + broadcast(1.0f / 24);
    p = p * r + broadcast(1.0f / 6);
    p = p * r + broadcast(0.5f);
    p = p * r + broadcast(1.0f);
    p = p * r + broadcast(1.0f);
    ivec whole = (ivec)t - (ivec)magic, half = whole >> 1;
    return p * (vec)((half + 127) << 23) * (vec)((whole - half + 127) << 23);
}

INLINE vec unary(const pare_unary f, vec x, vec a, vec b)
{
    vec zero = { 0 }, one = broadcast(1.0f);
    switch (f) {
    case PARE_UNARY_RELU: return at_least(x, zero);
    case PARE_UNARY_LEAKY: return choose(x < zero, a * x, x);
    case PARE_UNARY_CLIP: return clip(x, a, b);
    case PARE_UNARY_EXP: return exponential(x);
    case PARE_UNARY_SIGMOID: return one / (one + exponential(-x));
    case PARE_UNARY_TANH: return one - broadcast(2.0f) / (one + exponential(x + x));
    case PARE_UNARY_SILU: return x / (one + exponential(-x));
    case PARE_UNARY_HARD_SIGMOID: return clip(a * x + b, zero, one);
    case PARE_UNARY_HARD_SWISH:
        return x * clip(x * broadcast(1.0f / 6) + broadcast(0.5f), zero, one);
    case PARE_UNARY_ELU: return choose(x < zero, a * (exponential(x) - one), x);
    case PARE_UNARY_NEG: return -x;
    case PARE_UNARY_ABS: return (vec)((ivec)x & 0x7fffffff);
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
