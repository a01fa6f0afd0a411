/* What every vector source (*_simd.c) shares: compiled once per instruction set, PARE_ISA is the
 * suffix of its names, PARE_VEC_BYTES the width of a register. */
#ifndef KERNELS_SIMD_H
#define KERNELS_SIMD_H

#include "kernels/act.h"
#include "kernels/kernels.h"

#define PARE_CAT2(a, b) a##_##b
#define PARE_CAT1(a, b) PARE_CAT2(a, b)
#define ISA(name)       PARE_CAT1(name, PARE_ISA)

enum { VL = PARE_VEC_BYTES / 4 };
/* Unaligned, and allowed to alias floats. */
typedef float vec __attribute__((vector_size(PARE_VEC_BYTES), aligned(4), may_alias));
typedef int32_t ivec __attribute__((vector_size(PARE_VEC_BYTES), aligned(4), may_alias));

#define INLINE static inline __attribute__((always_inline))

INLINE vec load(const float *p) { return *(const vec *)p; }
INLINE void store(float *p, vec v) { *(vec *)p = v; }
INLINE vec broadcast(float x)
{
    return x - (vec){ 0 };
} /* x + 0 would turn -0 into 0, and so costs an addition */

/* mask lanes (all ones where true) of a, the others of b. */
INLINE vec choose(ivec mask, vec a, vec b) { return (vec)(((ivec)a & mask) | ((ivec)b & ~mask)); }

INLINE vec act_apply(pare_act act, vec v, float lo, float hi, float alpha)
{
    vec zero = { 0 };
    switch (act) {
    case PARE_ACT_RELU: return (vec)((ivec)v & ~(v < zero));
    case PARE_ACT_CLIP: {
        vec below = broadcast(lo), above = broadcast(hi);
        v = choose(v < below, below, v);
        return choose(v > above, above, v);
    }
    case PARE_ACT_LEAKY: return choose(v < zero, v * alpha, v);
    default: return v;
    }
}

#endif
