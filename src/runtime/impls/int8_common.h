/* What the 8-bit implementations share: reading scales and zero points. */
#ifndef IMPLS_INT8_COMMON_H
#define IMPLS_INT8_COMMON_H

#include "ops/conv_attrs.h"
#include "runtime/impl.h"
#include "tensor/tensor.h"

static inline bool pare_int8_is_byte(pare_dtype t) { return t == PARE_U8 || t == PARE_I8; }

/* The dense constant of a slot, NULL if it is absent, encoded or only known when running. */
static inline const pare_tensor *pare_int8_constant(const pare_prepare *p, uint32_t slot)
{
    const pare_weight *w = slot < p->node->n_in ? p->weight[slot] : NULL;
    return w && !w->codec ? &w->part[0] : NULL;
}

/* Element c of a constant, or its only one; 0 if there is none. */
static inline double pare_int8_at(const pare_tensor *t, int64_t c)
{
    return t ? pare_tensor_get_f64(t, pare_tensor_count(t) == 1 ? 0 : c) : 0;
}

static inline uint8_t pare_int8_flip(pare_dtype t) { return t == PARE_I8 ? 0x80 : 0; }

/* The bounds of an element of type t, less its zero point. */
static inline void pare_int8_bounds(pare_dtype t, int32_t zero, float *lo, float *hi)
{
    *lo = (float)((t == PARE_I8 ? -128 : 0) - zero);
    *hi = (float)((t == PARE_I8 ? 127 : 255) - zero);
}

/* The bounds that finishing sets: of the output's type, and of a fused Clip. */
static inline void pare_int8_limits(pare_dtype t, const pare_epilogue *e, int32_t zero, float *lo,
                                    float *hi)
{
    pare_int8_bounds(t, zero, lo, hi);
    if (e->act != PARE_ACT_CLIP) return;
    if (e->lo - (float)zero > *lo) *lo = e->lo - (float)zero;
    if (e->hi - (float)zero < *hi) *hi = e->hi - (float)zero;
}

/* Is everything but input 0 a constant, the weight in slot `w` (and the input) bytes, the scales up
 * to slot `scales` float32, and no sum longer than 32 bits? */
static inline bool pare_int8_constants(const pare_prepare *p, uint32_t w_slot, uint32_t bias_slot,
                                       uint32_t scales)
{
    const pare_tensor *w = pare_int8_constant(p, w_slot), *bias = pare_int8_constant(p, bias_slot);
    if (!w || !pare_int8_is_byte(p->in[0].dtype) || !pare_int8_is_byte(w->dtype)) return false;
    for (uint32_t i = 1; i < p->node->n_in; i++)
        if (p->in[i].dtype != PARE_UNDEFINED && !pare_int8_constant(p, i)) return false;
    for (uint32_t i = 1; i <= scales; i++)
        if (p->in[i].dtype == PARE_F16) return false;
    double sum = 255.0 * 255, most = 0;
    for (int d = 1; d < w->rank; d++) sum *= (double)w->dim[d];
    for (int64_t i = 0; bias && i < pare_tensor_count(bias); i++) {
        double b = pare_int8_at(bias, i);
        most = b > most ? b : -b > most ? -b : most;
    }
    return sum + most < 2147483648.0;
}

/* Does a weight have a zero point that its packed form cannot take in? 16 bits can. */
static inline bool pare_int8_needs_zero(const pare_prepare *p, uint32_t w_slot, uint32_t zero_slot,
                                        bool quads)
{
    const pare_tensor *zero = pare_int8_constant(p, zero_slot);
    if (!quads) return false;
    double none = pare_int8_constant(p, w_slot)->dtype == PARE_U8 ? 128 : 0;
    if (!zero) return none != 0;
    for (int64_t i = 0; i < pare_tensor_count(zero); i++)
        if (pare_int8_at(zero, i) != none) return true;
    return false;
}

/* Do offsets into an image with its padding have 32 bits, `lanes` bytes a pixel? Nothing that is
 * computed from the geometry overflows then. */
static inline bool pare_int8_reaches(const pare_window *g, int64_t lanes)
{
    double bytes = (double)lanes;
    for (int d = 0; d < 2; d++) /* 3: of a quad */
        bytes *= (double)g->in[d] + (double)g->begin[d] + (double)g->end[d] + 3;
    return bytes < INT32_MAX;
}

/* From sums to the output of QLinearConv, in float32 as its eval computes it. */
static inline float pare_int8_scale(const pare_prepare *p, int64_t m)
{
    float x = (float)pare_int8_at(pare_int8_constant(p, 1), 0),
          w = (float)pare_int8_at(pare_int8_constant(p, 4), m);
    return x * w / (float)pare_int8_at(pare_int8_constant(p, 6), 0);
}

/* Rows [y0, y0 + rows) of one padded block of channels: from x, [in0][in1][lanes], to `to`, whose
 * rows are `row` bytes apart and begin with column -begin[1]. */
static inline void pare_int8_copy_band(const pare_window *g, size_t lanes, uint8_t pad, int64_t y0,
                                       int64_t rows, const uint8_t *x, uint8_t *to, size_t row)
{
    size_t begin = (size_t)g->begin[1] * lanes, real = (size_t)g->in[1] * lanes;
    if (begin > row) begin = row;
    if (real > row - begin) real = row - begin;
    for (int64_t r = 0; r < rows; r++, to += row) {
        int64_t y = y0 + r;
        if (y < 0 || y >= g->in[0]) {
            memset(to, pad, row);
            continue;
        }
        memset(to, pad, begin);
        memcpy(to + begin, x + (size_t)(y * g->in[1]) * lanes, real);
        memset(to + begin + real, pad, row - begin - real);
    }
}

#endif
