/* Products of float32 with a constant right operand: Gemm, MatMul, and Conv to a single pixel, as
 * one product of matrices. */
#ifndef IMPLS_GEMM_SHAPE_H
#define IMPLS_GEMM_SHAPE_H

#include "ops/attr.h"
#include "runtime/impls/conv_common.h"

typedef struct pare_gemm_shape {
    int64_t m, n, k;
    int64_t a_row, a_step, b_row, b_step; /* of A [m][k] and B [k][n] */
    double alpha, beta;
} pare_gemm_shape;

static inline bool pare_gemm_is(const pare_prepare *p, char first)
{
    return p->node->op->name[0] == first;
}

static inline void pare_gemm_of_gemm(const pare_prepare *p, pare_gemm_shape *s)
{
    bool ta = pare_attr_int(p->node, "transA", 0) != 0,
         tb = pare_attr_int(p->node, "transB", 0) != 0;
    const int64_t *a = p->in[0].dim, *b = p->in[1].dim;
    *s = (pare_gemm_shape){ .m = a[ta],
                            .k = a[!ta],
                            .n = b[!tb],
                            .alpha = pare_attr_real(p->node, "alpha", 1),
                            .beta = pare_attr_real(p->node, "beta", 1) };
    s->a_row = ta ? 1 : s->k, s->a_step = ta ? s->m : 1;
    s->b_row = tb ? 1 : s->n, s->b_step = tb ? s->k : 1;
}

/* All leading dimensions of A are rows. */
static inline void pare_gemm_of_matmul(const pare_prepare *p, pare_gemm_shape *s)
{
    const pare_type *a = &p->in[0], *b = &p->in[1];
    *s = (pare_gemm_shape){ .m = 1, .k = b->dim[0], .n = b->dim[1], .alpha = 1 };
    for (int d = 0; d < a->rank - 1; d++) s->m *= a->dim[d];
    s->a_row = s->k, s->a_step = 1;
    s->b_row = s->n, s->b_step = 1;
}

/* A convolution whose kernel covers the whole input once: images are rows. */
static inline bool pare_gemm_of_conv(const pare_prepare *p, pare_gemm_shape *s)
{
    pare_window w;
    if (!pare_conv_is_plain(p) || p->in[1].dim[1] != p->in[0].dim[1]) return false;
    pare_conv_window(p->node, &p->in[0], &p->in[1], &w);
    *s = (pare_gemm_shape){
        .m = p->in[0].dim[0], .n = p->in[1].dim[0], .k = p->in[1].dim[1], .alpha = 1, .beta = 1
    };
    for (int d = 0; d < w.spatial; d++) {
        if (w.out[d] != 1 || w.in[d] != w.kernel[d] || w.begin[d] != 0) return false;
        s->k *= w.kernel[d];
    }
    s->a_row = s->k, s->a_step = 1;
    s->b_row = 1, s->b_step = s->k;
    return true;
}

/* False: of another kind. */
static inline bool pare_gemm_shape_of(const pare_prepare *p, pare_gemm_shape *s)
{
    const bool gemm = pare_gemm_is(p, 'G');
    const pare_weight *b = p->weight[1], *c = p->weight[2];
    if (pare_gemm_is(p, 'C')) return pare_gemm_of_conv(p, s);
    if (p->in[0].dtype != PARE_F32 || !b || b->codec || p->in[1].rank != 2 ||
        p->in[0].rank < (gemm ? 1 : 2))
        return false;
    if (gemm && p->in[2].dtype != PARE_UNDEFINED) {
        const pare_type *t = &p->in[2]; /* one row, or one number */
        if (!c || c->codec || (t->rank >= 2 && t->dim[0] != 1)) return false;
    }
    if (gemm)
        pare_gemm_of_gemm(p, s);
    else
        pare_gemm_of_matmul(p, s);
    return true;
}

/* What column j of B is multiplied with, and what is added to column j of the product, the plan's
 * epilogue in both. */
static inline float pare_gemm_scale(const pare_prepare *p, const pare_gemm_shape *s, int64_t j)
{
    return (float)(s->alpha * (p->epilogue.scale ? (double)p->epilogue.scale[j] : 1));
}
static inline float pare_gemm_shift(const pare_prepare *p, const pare_gemm_shape *s, int64_t j)
{
    const pare_weight *bias = pare_gemm_is(p, 'M') ? NULL : p->weight[2];
    double shift = 0;
    if (bias) {
        int64_t step = pare_tensor_count(&bias->part[0]) > 1;
        shift = s->beta * (double)((const float *)bias->part[0].data)[j * step];
    }
    if (!p->epilogue.scale) return (float)shift;
    return (float)(shift * (double)p->epilogue.scale[j] + (double)p->epilogue.shift[j]);
}

#endif
