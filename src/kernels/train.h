/* Inner loops of training that oneDNN does not do: normalisation, activations, pools, sums,
 * updates.
 *
 * Maps are blocked: n images of [blocks][hw][lanes] floats, channel c in block c / lanes, lane c %
 * lanes. `lanes` is pare_train_kernels.lanes or 1 (then a block is a channel: plain NCHW).
 * Per-channel arrays have blocks * lanes entries. Padding lanes are computed like all others and
 * mean nothing. Nothing here fails, allocates or threads. */
#ifndef KERNELS_TRAIN_H
#define KERNELS_TRAIN_H

#include <stddef.h>
#include <stdint.h>

typedef struct pare_map_dims {
    size_t n, blocks, hw, lanes;
} pare_map_dims;

/* y = f(x). Backward: dx = dy * f'(x), from y alone where `from_y` of pare_act_needs says so. */
typedef enum pare_act_kind {
    PARE_FN_RELU, /* max(x, 0) */
    PARE_FN_CLIP, /* min(max(x, a), b); the gradient is dy inside and on the limits' inner side only
                   */
    PARE_FN_LEAKY,    /* x < 0 ? a x : x */
    PARE_FN_HSIGMOID, /* min(max(a x + b, 0), 1) */
    PARE_FN_HSWISH,   /* x min(max(x / 6 + 1/2, 0), 1) */
    PARE_FN_SIGMOID,
    PARE_FN_TANH,
    PARE_FN_ELU,   /* x < 0 ? a (e^x - 1) : x */
    PARE_FN_SWISH, /* x sigmoid(x) */
    PARE_FN_EXP,
    PARE_FN_SQRT,
    PARE_FN_NEG,
} pare_act_kind;
static inline int pare_act_from_y(pare_act_kind k)
{
    return k == PARE_FN_RELU || k == PARE_FN_SIGMOID || k == PARE_FN_TANH || k == PARE_FN_EXP ||
           k == PARE_FN_SQRT;
}

/* One dimension a pair: out * stride - begin + k * dilation = in. */
typedef struct pare_pool_dims {
    size_t n, blocks, lanes;
    int64_t h, w, oh, ow, kh, kw, sh, sw, dh, dw, top, left;
    int count_pad; /* average: divide by the kernel's size, padding included (within [-top, h +
                      bottom)) */
    int64_t bottom, right;
} pare_pool_dims;

typedef struct pare_train_kernels {
    const char *isa;
    size_t lanes;
    /* Mean and sum of squared deviations of n * hw numbers a channel. */
    void (*norm_stats)(const pare_map_dims *d, const float *x, double *mean, double *m2);
    void (*norm_apply)(const pare_map_dims *d, const float *x, const float *scale,
                       const float *shift, float *y);
    /* Sums of dz and of dz * (x - mean), a channel. */
    void (*norm_reduce)(const pare_map_dims *d, const float *x, const float *dz, const float *mean,
                        double *sum, double *dot);
    /* dx = a dz + b (x - mean) + c */
    void (*norm_back)(const pare_map_dims *d, const float *x, const float *dz, const float *mean,
                      const float *a, const float *b, const float *c, float *dx);
    void (*act)(pare_act_kind k, size_t n, float a, float b, const float *x, float *y);
    void (*act_back)(pare_act_kind k, size_t n, float a, float b, const float *x, const float *y,
                     const float *dy, float *dx);
    void (*add)(size_t n, const float *a, const float *b,
                float *y); /* y may be a or b, as in the next three */
    void (*sub)(size_t n, const float *a, const float *b, float *y);
    void (*mul)(size_t n, const float *a, const float *b, float *y);
    void (*div)(size_t n, const float *a, const float *b, float *y);
    /* The nearest bfloat16, to even at half way; NaN stays NaN. */
    void (*to_bf16)(size_t n, const float *x, uint16_t *y);
    void (*channel_sum)(const pare_map_dims *d, const float *x, float *sum); /* sum[c] += */
    void (*mean)(const pare_map_dims *d, const float *x,
                 float *y); /* over hw; y [n][blocks][lanes] */
    void (*mean_back)(const pare_map_dims *d, const float *dy, float *dx);
    void (*max_pool)(const pare_pool_dims *d, const float *x, float *y);
    void (*max_pool_back)(const pare_pool_dims *d, const float *x, const float *dy, float *dx);
    void (*avg_pool)(const pare_pool_dims *d, const float *x, float *y);
    void (*avg_pool_back)(const pare_pool_dims *d, const float *dy, float *dx);
    /* v = momentum v + g + decay w + l1 sign(w); w -= lr (nesterov ? g' + momentum v : v) */
    void (*sgd)(size_t n, float *w, float *v, const float *g, float lr, float momentum, float decay,
                float l1, int nesterov);
    /* w -= lr (decay w + m^/ (sqrt(v^) + eps)); c1, c2: the bias corrections 1 - beta^t */
    void (*adamw)(size_t n, float *w, float *m, float *v, const float *g, float lr, float decay,
                  float l1, float c1, float c2);
} pare_train_kernels;

/* The table for the instruction sets in `cpu` (pare_cpu_detect()). */
const pare_train_kernels *pare_train_kernels_for(unsigned cpu);

#endif
