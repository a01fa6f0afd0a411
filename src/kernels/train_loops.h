/* Body of the training loops; included with PARE_ISA (suffix) and PARE_VEC_BYTES defined. See
 * train.h. */
#include "kernels/train.h"

#include <math.h>
#include <string.h>

typedef float vec __attribute__((vector_size(PARE_VEC_BYTES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(PARE_VEC_BYTES), aligned(4), may_alias));
enum { VL = PARE_VEC_BYTES / 4 };

#define AT(p)  (*(vec *)(p))
#define ATC(p) (*(const vec *)(p))
/* c ? a : b for lanes; comparisons of vectors give all ones or zero. */
#define SELECT(c, a, b) ((vec)(((c) & (ivec)(a)) | (~(c) & (ivec)(b))))

#define SPLAT(x) ((vec)((vec){ 0 } + (x)))

/* --- batch normalisation --- */

/* Four running sums keep the additions from waiting for each other. */
static void norm_stats(const pare_map_dims *d, const float *x, double *mean, double *m2)
{
    size_t image = d->blocks * d->hw * d->lanes;
    double count = (double)(d->n * d->hw);
    for (size_t c = 0; c < d->blocks; c++) {
        if (d->lanes == 1) {
            double s = 0, q = 0;
            for (size_t i = 0; i < d->n; i++)
                for (size_t p = 0; p < d->hw; p++) s += (double)x[i * image + c * d->hw + p];
            mean[c] = s / count;
            for (size_t i = 0; i < d->n; i++)
                for (size_t p = 0; p < d->hw; p++) {
                    double e = (double)x[i * image + c * d->hw + p] - mean[c];
                    q += e * e;
                }
            m2[c] = q;
            continue;
        }
        double s[VL] = { 0 }, q[VL] = { 0 };
        for (size_t i = 0; i < d->n; i++) {
            const float *at = x + i * image + c * d->hw * VL;
            vec a0 = { 0 }, a1 = { 0 }, a2 = { 0 }, a3 = { 0 };
            size_t p = 0;
            for (; p + 4 <= d->hw; p += 4) {
                a0 += ATC(at + p * VL);
                a1 += ATC(at + p * VL + VL);
                a2 += ATC(at + p * VL + 2 * VL);
                a3 += ATC(at + p * VL + 3 * VL);
            }
            for (; p < d->hw; p++) a0 += ATC(at + p * VL);
            a0 = (a0 + a1) + (a2 + a3);
            for (int l = 0; l < VL; l++) s[l] += (double)a0[l];
        }
        vec m;
        for (int l = 0; l < VL; l++) {
            mean[c * VL + (size_t)l] = s[l] / count;
            m[l] = (float)(s[l] / count);
        }
        for (size_t i = 0; i < d->n; i++) {
            const float *at = x + i * image + c * d->hw * VL;
            vec a0 = { 0 }, a1 = { 0 }, a2 = { 0 }, a3 = { 0 }, e;
            size_t p = 0;
            for (; p + 4 <= d->hw; p += 4) {
                e = ATC(at + p * VL) - m, a0 += e * e;
                e = ATC(at + p * VL + VL) - m, a1 += e * e;
                e = ATC(at + p * VL + 2 * VL) - m, a2 += e * e;
                e = ATC(at + p * VL + 3 * VL) - m, a3 += e * e;
            }
            for (; p < d->hw; p++) e = ATC(at + p * VL) - m, a0 += e * e;
            a0 = (a0 + a1) + (a2 + a3);
            for (int l = 0; l < VL; l++) q[l] += (double)a0[l];
        }
        for (int l = 0; l < VL; l++) m2[c * VL + (size_t)l] = q[l];
    }
}

static void norm_apply(const pare_map_dims *d, const float *x, const float *scale,
                       const float *shift, float *y)
{
    for (size_t i = 0; i < d->n; i++)
        for (size_t c = 0; c < d->blocks; c++, x += d->hw * d->lanes, y += d->hw * d->lanes) {
            if (d->lanes == 1) {
                for (size_t p = 0; p < d->hw; p++) y[p] = x[p] * scale[c] + shift[c];
                continue;
            }
            vec s = ATC(scale + c * VL), t = ATC(shift + c * VL);
            for (size_t p = 0; p < d->hw; p++) AT(y + p * VL) = ATC(x + p * VL) * s + t;
        }
}

static void norm_reduce(const pare_map_dims *d, const float *x, const float *dz, const float *mean,
                        double *sum, double *dot)
{
    size_t image = d->blocks * d->hw * d->lanes;
    for (size_t c = 0; c < d->blocks; c++) {
        if (d->lanes == 1) {
            double s = 0, q = 0;
            for (size_t i = 0; i < d->n; i++)
                for (size_t p = 0; p < d->hw; p++) {
                    size_t at = i * image + c * d->hw + p;
                    s += (double)dz[at];
                    q += (double)dz[at] * (double)(x[at] - mean[c]);
                }
            sum[c] = s;
            dot[c] = q;
            continue;
        }
        double s[VL] = { 0 }, q[VL] = { 0 };
        vec m = ATC(mean + c * VL);
        for (size_t i = 0; i < d->n; i++) {
            const float *xa = x + i * image + c * d->hw * VL, *za = dz + i * image + c * d->hw * VL;
            vec s0 = { 0 }, s1 = { 0 }, q0 = { 0 }, q1 = { 0 }, z;
            size_t p = 0;
            for (; p + 2 <= d->hw; p += 2) {
                z = ATC(za + p * VL), s0 += z, q0 += z * (ATC(xa + p * VL) - m);
                z = ATC(za + p * VL + VL), s1 += z, q1 += z * (ATC(xa + p * VL + VL) - m);
            }
            for (; p < d->hw; p++) z = ATC(za + p * VL), s0 += z, q0 += z * (ATC(xa + p * VL) - m);
            s0 += s1;
            q0 += q1;
            for (int l = 0; l < VL; l++) s[l] += (double)s0[l], q[l] += (double)q0[l];
        }
        for (int l = 0; l < VL; l++) sum[c * VL + (size_t)l] = s[l], dot[c * VL + (size_t)l] = q[l];
    }
}

static void norm_back(const pare_map_dims *d, const float *x, const float *dz, const float *mean,
                      const float *a, const float *b, const float *c, float *dx)
{
    for (size_t i = 0; i < d->n; i++)
        for (size_t k = 0; k < d->blocks;
             k++, x += d->hw * d->lanes, dz += d->hw * d->lanes, dx += d->hw * d->lanes) {
            if (d->lanes == 1) {
                for (size_t p = 0; p < d->hw; p++)
                    dx[p] = a[k] * dz[p] + (b[k] * (x[p] - mean[k]) + c[k]);
                continue;
            }
            vec va = ATC(a + k * VL), vb = ATC(b + k * VL), vc = ATC(c + k * VL),
                m = ATC(mean + k * VL);
            for (size_t p = 0; p < d->hw; p++)
                AT(dx + p * VL) = va * ATC(dz + p * VL) + (vb * (ATC(x + p * VL) - m) + vc);
        }
}

/* --- element by element --- */

static float act1(pare_act_kind k, float a, float b, float x)
{
    switch (k) {
    case PARE_FN_RELU: return x < 0 ? 0 : x;
    case PARE_FN_CLIP: return x < a ? a : x > b ? b : x;
    case PARE_FN_LEAKY: return x < 0 ? a * x : x;
    case PARE_FN_HSIGMOID: {
        float t = a * x + b;
        return t < 0 ? 0 : t > 1 ? 1 : t;
    }
    case PARE_FN_HSWISH: {
        float t = x / 6 + 0.5f;
        return x * (t < 0 ? 0 : t > 1 ? 1 : t);
    }
    case PARE_FN_SIGMOID: return 1 / (1 + expf(-x));
    case PARE_FN_TANH: return tanhf(x);
    case PARE_FN_ELU: return x < 0 ? a * expm1f(x) : x;
    case PARE_FN_SWISH: return x / (1 + expf(-x));
    case PARE_FN_EXP: return expf(x);
    case PARE_FN_SQRT: return sqrtf(x);
    case PARE_FN_NEG: return -x;
    }
    return x;
}

static float slope1(pare_act_kind k, float a, float b, float x, float y)
{
    switch (k) {
    case PARE_FN_RELU: return y > 0 ? 1 : 0;
    case PARE_FN_CLIP: return x > a && x < b ? 1 : 0;
    case PARE_FN_LEAKY: return x < 0 ? a : 1;
    case PARE_FN_HSIGMOID: return a * x + b > 0 && a * x + b < 1 ? a : 0;
    case PARE_FN_HSWISH: return x <= -3 ? 0 : x >= 3 ? 1 : x / 3 + 0.5f;
    case PARE_FN_SIGMOID: return y * (1 - y);
    case PARE_FN_TANH: return 1 - y * y;
    case PARE_FN_ELU: return x < 0 ? a * expf(x) : 1;
    case PARE_FN_SWISH: {
        float s = 1 / (1 + expf(-x));
        return s * (1 + x * (1 - s));
    }
    case PARE_FN_EXP: return y;
    case PARE_FN_SQRT: return 0.5f / y;
    case PARE_FN_NEG: return -1;
    }
    return 1;
}

static void act(pare_act_kind k, size_t n, float a, float b, const float *x, float *y)
{
    size_t i = 0;
    if (k == PARE_FN_RELU)
        for (; i + VL <= n; i += VL) AT(y + i) = SELECT(ATC(x + i) < 0, (vec){ 0 }, ATC(x + i));
    else if (k == PARE_FN_CLIP)
        for (vec lo = SPLAT(a), hi = SPLAT(b); i + VL <= n; i += VL) {
            vec t = ATC(x + i);
            t = SELECT(t < lo, lo, t);
            AT(y + i) = SELECT(t > hi, hi, t);
        }
    else if (k == PARE_FN_LEAKY)
        for (; i + VL <= n; i += VL) AT(y + i) = SELECT(ATC(x + i) < 0, ATC(x + i) * a, ATC(x + i));
    for (; i < n; i++) y[i] = act1(k, a, b, x[i]);
}

static void act_back(pare_act_kind k, size_t n, float a, float b, const float *x, const float *y,
                     const float *dy, float *dx)
{
    size_t i = 0;
    if (k == PARE_FN_RELU)
        for (; i + VL <= n; i += VL) AT(dx + i) = SELECT(ATC(y + i) > 0, ATC(dy + i), (vec){ 0 });
    else if (k == PARE_FN_CLIP)
        for (vec lo = SPLAT(a), hi = SPLAT(b); i + VL <= n; i += VL)
            AT(dx + i) = SELECT((ATC(x + i) > lo) & (ATC(x + i) < hi), ATC(dy + i), (vec){ 0 });
    for (; i < n; i++) dx[i] = dy[i] * slope1(k, a, b, x ? x[i] : 0, y ? y[i] : 0);
}

#define BINARY(name, op)                                                   \
    static void name(size_t n, const float *a, const float *b, float *y)   \
    {                                                                      \
        size_t i = 0;                                                      \
        for (; i + VL <= n; i += VL) AT(y + i) = ATC(a + i) op ATC(b + i); \
        for (; i < n; i++) y[i] = a[i] op b[i];                            \
    }
BINARY(add, +)
BINARY(sub, -)
BINARY(mul, *)
BINARY(divide, /)
#undef BINARY

/* --- sums over positions, pools --- */

static void channel_sum(const pare_map_dims *d, const float *x, float *sum)
{
    for (size_t i = 0; i < d->n; i++)
        for (size_t c = 0; c < d->blocks; c++, x += d->hw * d->lanes) {
            if (d->lanes == 1) {
                float s = 0;
                for (size_t p = 0; p < d->hw; p++) s += x[p];
                sum[c] += s;
                continue;
            }
            vec s = { 0 };
            for (size_t p = 0; p < d->hw; p++) s += ATC(x + p * VL);
            AT(sum + c * VL) += s;
        }
}

static void mean_of(const pare_map_dims *d, const float *x, float *y)
{
    float count = (float)d->hw;
    for (size_t i = 0; i < d->n * d->blocks; i++, x += d->hw * d->lanes, y += d->lanes) {
        if (d->lanes == 1) {
            float s = 0;
            for (size_t p = 0; p < d->hw; p++) s += x[p];
            *y = s / count;
            continue;
        }
        vec s = { 0 };
        for (size_t p = 0; p < d->hw; p++) s += ATC(x + p * VL);
        AT(y) = s / count;
    }
}

static void mean_back(const pare_map_dims *d, const float *dy, float *dx)
{
    float share = 1 / (float)d->hw;
    for (size_t i = 0; i < d->n * d->blocks; i++, dx += d->hw * d->lanes, dy += d->lanes) {
        if (d->lanes == 1) {
            for (size_t p = 0; p < d->hw; p++) dx[p] = *dy * share;
            continue;
        }
        vec s = ATC(dy) * share;
        for (size_t p = 0; p < d->hw; p++) AT(dx + p * VL) = s;
    }
}

/* The part of a window inside the map: kernel rows (columns) [*from, *to). */
static inline void inside(int64_t at, int64_t size, int64_t k, int64_t dilation, int64_t *from,
                          int64_t *to)
{
    *from = at < 0 ? (-at + dilation - 1) / dilation : 0;
    *to = at + (k - 1) * dilation >= size ? (size - at + dilation - 1) / dilation : k;
    if (*to < *from) *to = *from;
}

/* Walks the windows of a pool: the body sees x (the block), o (offset of the output) and the
 * window's limits.
 */
#define WINDOWS(d, ...)                                                                            \
    for (size_t i_ = 0; i_ < (d)->n * (d)->blocks; i_++)                                           \
        for (int64_t r = 0; r < (d)->oh; r++)                                                      \
            for (int64_t q = 0; q < (d)->ow; q++) {                                                \
                int64_t r0 = r * (d)->sh - (d)->top, q0 = q * (d)->sw - (d)->left, ra, rb, qa, qb; \
                inside(r0, (d)->h, (d)->kh, (d)->dh, &ra, &rb);                                    \
                inside(q0, (d)->w, (d)->kw, (d)->dw, &qa, &qb);                                    \
                size_t block = i_ * (size_t)((d)->h * (d)->w) * (d)->lanes;                        \
                size_t o =                                                                         \
                    (i_ * (size_t)((d)->oh * (d)->ow) + (size_t)(r * (d)->ow + q)) * (d)->lanes;   \
                __VA_ARGS__                                                                        \
            }
#define POOL_AT(d, kr, kq) \
    (block + (size_t)((r0 + (kr) * (d)->dh) * (d)->w + q0 + (kq) * (d)->dw) * (d)->lanes)

static void max_pool(const pare_pool_dims *d, const float *x, float *y)
{
    WINDOWS(d, {
        if (d->lanes == 1) {
            float m = -INFINITY;
            for (int64_t a = ra; a < rb; a++)
                for (int64_t b = qa; b < qb; b++) {
                    float v = x[POOL_AT(d, a, b)];
                    if (v > m) m = v;
                }
            y[o] = m;
        } else {
            vec m = SPLAT(-INFINITY);
            for (int64_t a = ra; a < rb; a++)
                for (int64_t b = qa; b < qb; b++) {
                    vec v = ATC(x + POOL_AT(d, a, b));
                    m = SELECT(v > m, v, m);
                }
            AT(y + o) = m;
        }
    })
}

/* The gradient goes to the first of equal maxima. */
static void max_pool_back(const pare_pool_dims *d, const float *x, const float *dy, float *dx)
{
    memset(dx, 0, d->n * d->blocks * (size_t)(d->h * d->w) * d->lanes * sizeof *dx);
    WINDOWS(d, {
        if (ra >= rb || qa >= qb) continue;
        int32_t tap = 0;
        if (d->lanes == 1) {
            size_t where = POOL_AT(d, ra, qa);
            for (int64_t a = ra; a < rb; a++)
                for (int64_t b = qa; b < qb; b++)
                    if (x[POOL_AT(d, a, b)] > x[where]) where = POOL_AT(d, a, b);
            dx[where] += dy[o];
        } else {
            vec m = ATC(x + POOL_AT(d, ra, qa));
            ivec where = { 0 };
            for (int64_t a = ra; a < rb; a++)
                for (int64_t b = qa; b < qb; b++) {
                    vec v = ATC(x + POOL_AT(d, a, b));
                    ivec more = v > m;
                    m = SELECT(more, v, m);
                    where = (where & ~more) | (more & tap++);
                }
            tap = 0;
            for (int64_t a = ra; a < rb; a++)
                for (int64_t b = qa; b < qb; b++)
                    AT(dx + POOL_AT(d, a, b)) += (vec)((ivec)ATC(dy + o) & (where == tap++));
        }
    })
}

static inline float pool_share(const pare_pool_dims *d, int64_t r0, int64_t q0,
                               int64_t inside_count)
{
    if (!d->count_pad) return 1 / (float)(inside_count > 0 ? inside_count : 1);
    /* with ceil_mode a window may hang over the padding too: that part never counts */
    int64_t rows = 0, cols = 0;
    for (int64_t a = 0; a < d->kh; a++) rows += r0 + a * d->dh < d->h + d->bottom;
    for (int64_t b = 0; b < d->kw; b++) cols += q0 + b * d->dw < d->w + d->right;
    return 1 / (float)(rows * cols);
}

static void avg_pool(const pare_pool_dims *d, const float *x, float *y)
{
    WINDOWS(d, {
        float share = pool_share(d, r0, q0, (rb - ra) * (qb - qa));
        if (d->lanes == 1) {
            float s = 0;
            for (int64_t a = ra; a < rb; a++)
                for (int64_t b = qa; b < qb; b++) s += x[POOL_AT(d, a, b)];
            y[o] = s * share;
        } else {
            vec s = { 0 };
            for (int64_t a = ra; a < rb; a++)
                for (int64_t b = qa; b < qb; b++) s += ATC(x + POOL_AT(d, a, b));
            AT(y + o) = s * share;
        }
    })
}

static void avg_pool_back(const pare_pool_dims *d, const float *dy, float *dx)
{
    memset(dx, 0, d->n * d->blocks * (size_t)(d->h * d->w) * d->lanes * sizeof *dx);
    WINDOWS(d, {
        float share = pool_share(d, r0, q0, (rb - ra) * (qb - qa));
        for (int64_t a = ra; a < rb; a++)
            for (int64_t b = qa; b < qb; b++)
                for (size_t l = 0; l < d->lanes; l++) dx[POOL_AT(d, a, b) + l] += dy[o + l] * share;
    })
}

/* --- updates --- */

static void sgd(size_t n, float *w, float *v, const float *g, float lr, float momentum, float decay,
                float l1, int nesterov)
{
    size_t i = 0;
    for (vec one = SPLAT(l1); i + VL <= n; i += VL) {
        vec x = ATC(w + i), s = SELECT(x > 0, one, SELECT(x < 0, -one, (vec){ 0 }));
        vec t = ATC(g + i) + x * decay + s, m = ATC(v + i) * momentum + t;
        AT(v + i) = m;
        AT(w + i) = x - (nesterov ? (vec)(t + m * momentum) : m) * lr;
    }
    for (; i < n; i++) {
        float t = g[i] + w[i] * decay +
                  (w[i] > 0   ? l1
                   : w[i] < 0 ? -l1
                              : 0),
              m = v[i] * momentum + t;
        v[i] = m;
        w[i] -= (nesterov ? t + m * momentum : m) * lr;
    }
}

static void adamw(size_t n, float *w, float *m, float *v, const float *g, float lr, float decay,
                  float l1, float c1, float c2)
{
    const float beta1 = 0.9f, beta2 = 0.999f, eps = 1e-8f;
    for (size_t i = 0; i < n; i++) {
        float t = g[i] + (w[i] > 0 ? l1 : w[i] < 0 ? -l1 : 0);
        m[i] = beta1 * m[i] + (1 - beta1) * t;
        v[i] = beta2 * v[i] + (1 - beta2) * t * t;
        w[i] -= lr * (decay * w[i] + m[i] / c1 / (sqrtf(v[i] / c2) + eps));
    }
}

static void to_bf16(size_t n, const float *restrict x, uint16_t *restrict y)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t u;
        memcpy(&u, x + i, sizeof u);
        uint32_t rounded = (u + 0x7fff + (u >> 16 & 1)) >> 16, nan = u >> 16 | 0x40;
        y[i] = (uint16_t)((u & 0x7fffffff) > 0x7f800000 ? nan : rounded);
    }
}

#define CAT_(a, b) a##b
#define CAT(a, b)  CAT_(a, b)
#define STR_(a)    #a
#define STR(a)     STR_(a)
const pare_train_kernels CAT(pare_train_kernels_, PARE_ISA) = {
    .isa = STR(PARE_ISA),
    .lanes = VL,
    .norm_stats = norm_stats,
    .norm_apply = norm_apply,
    .norm_reduce = norm_reduce,
    .norm_back = norm_back,
    .act = act,
    .act_back = act_back,
    .add = add,
    .sub = sub,
    .mul = mul,
    .div = divide,
    .to_bf16 = to_bf16,
    .channel_sum = channel_sum,
    .mean = mean_of,
    .mean_back = mean_back,
    .max_pool = max_pool,
    .max_pool_back = max_pool_back,
    .avg_pool = avg_pool,
    .avg_pool_back = avg_pool_back,
    .sgd = sgd,
    .adamw = adamw,
};
