/* What the dense float32 convolutions share: what they accept, and the epilogue as the kernels want
 * it. */
#ifndef IMPLS_CONV_COMMON_H
#define IMPLS_CONV_COMMON_H

#include "runtime/impls/conv_layout.h"

/* A float32 Conv with constant dense weight and constant or no bias. */
static inline bool pare_conv_is_plain(const pare_prepare *p)
{
    const pare_weight *w = p->weight[1], *b = p->weight[2];
    if (p->in[0].dtype != PARE_F32 || !w || w->codec) return false;
    return p->in[2].dtype == PARE_UNDEFINED || (b && !b->codec);
}

/* scale and shift of output channel c: bias and the plan's epilogue in one. */
static inline void pare_conv_affine(const pare_prepare *p, int64_t c, float *scale, float *shift)
{
    float bias = p->weight[2] ? ((const float *)p->weight[2]->part[0].data)[c] : 0;
    *scale = p->epilogue.scale ? p->epilogue.scale[c] : 1;
    *shift = p->epilogue.scale ? bias * *scale + p->epilogue.shift[c] : bias;
}

/* The members of a tile that a step decides. */
static inline pare_conv_tile pare_conv_tile_of(const pare_step *s, const pare_conv_layout *l)
{
    return (pare_conv_tile){ .mr = s->kernels->conv_mr,
                             .vl = s->kernels->vl,
                             .taps = l->taps,
                             .off = l->off,
                             .plane = (size_t)(l->out_y * l->out_x),
                             .act = s->epilogue.act,
                             .lo = s->epilogue.lo,
                             .hi = s->epilogue.hi,
                             .alpha = s->epilogue.alpha };
}

#endif
