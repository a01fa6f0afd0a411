/* One way to execute an operator, and the ordered list of all of them.
 *
 * The plan asks the candidates of a node in list order; among those that accept and take and give
 * the layouts that suit the neighbours, the smallest modelled (or measured) time wins, the earlier
 * one on a tie. The last entry accepts everything:
 * the operator's own eval on decoded weights. */
#ifndef RUNTIME_IMPL_H
#define RUNTIME_IMPL_H

#include "kernels/kernels.h"
#include "ops/op.h"
#include "pare/plan.h"
#include "passes/ranges.h"

#include <string.h>

/* What the plan fused behind an operator: out = act(op(in) * scale + shift + residual); op includes
 * its own bias. */
typedef struct pare_epilogue {
    const float *scale, *shift; /* out's dim[1] numbers each, indexed by channel, of MatMul one for
                                   each column; both NULL: none. The plan's memory */
    pare_act act;
    float lo, hi;  /* CLIP */
    float alpha;   /* LEAKY */
    bool gelu;     /* instead of act, behind MatMul and Gemm only: x / 2 * (1 + erf(x / sqrt(2))) */
    bool gate;     /* out = in[0] * op(in[0]), as in SiLU; then nothing else is fused */
    bool residual; /* one more operand of the output's type: in[n_in] of the step, added before act
                    */
} pare_epilogue;

/* How the numbers of an activation lie in memory. Layouts exist inside a plan only: types and
 * graphs never speak of them, and every tensor of a step keeps its logical N C H W dimensions. */
typedef enum pare_layout {
    PARE_PLAIN,   /* row-major N C H W */
    PARE_BLOCKED, /* [N][ceil(C / vl)][H][W][vl], vl = kernels->vl for every element type. Lanes
                     beyond C hold anything: readers must not let them reach a result */
} pare_layout;

/* A node as an implementation sees it when the plan is made. */
typedef struct pare_prepare {
    const pare_node *node;
    const pare_type *in, *out;        /* all dimensions known; in[i].dtype UNDEFINED = absent */
    const pare_weight *const *weight; /* per input slot; NULL: computed at run time */
    pare_bounds x;                    /* what the numbers of in[0] are proven to lie in */
    pare_epilogue epilogue;
    const pare_kernels *kernels;
    int threads;
    bool no_winograd;
    pare_precision precision; /* what sums of products may be rounded to */
} pare_prepare;

typedef struct pare_step {
    const pare_node *node; /* in the plan's own graph */
    const struct pare_impl *impl;
    const void *packed; /* what prepare made; shared by clones, read-only */
    pare_epilogue epilogue;
    const pare_kernels *kernels;
    const pare_tensor *in; /* data pointers set; [n_in] is the residual when there is one */
    pare_tensor *out;
    void *scratch;        /* threads * scratch_bytes, 64-byte aligned */
    size_t scratch_bytes; /* for each thread */
} pare_step;

typedef struct pare_impl {
    const char *name;  /* "conv_gemm": shown by profiles, matched by --force */
    const char *op;    /* ONNX name, or several: "Gemm|MatMul"; NULL: any */
    const char *codec; /* name of the codec of input 1; NULL: dense weights only; "*": decodes
                          whatever it is */
    bool packs;        /* run reads no constant inputs: all it needs of them is in `packed` */
    /* accepts looks whether input 0 is a constant; others that pack or take blocks are only asked
     * where it is not */
    bool first_constant;
    bool streams;      /* prepare reads input 1 with pare_tensor_part() */
    bool fuses;        /* honours the epilogue; otherwise accepts is only asked with an empty one */
    pare_layout takes; /* layout of every computed input of rank 4, the residual among them */
    pare_layout gives; /* layout of output 0; PARE_BLOCKED: accepts sees to it that its rank is 4 */
    pare_precision precision; /* to which it rounds float32 factors */
    bool (*accepts)(const pare_prepare *p);
    double (*model_ns)(const pare_prepare *p); /* one run on p->threads, which is always two when
                                                  implementations are chosen; finite. NULL: 1e18
                                                  (last resort) */
    /* Packs weights; asks for scratch. *packed is freed with release (NULL: free()). NULL: nothing
     * to prepare. */
    pare_status (*prepare)(const pare_prepare *p, void **packed, size_t *packed_bytes,
                           size_t *scratch_bytes);
    void (*release)(void *packed);
    pare_status (*run)(const pare_step *s,
                       int threads); /* cannot fail but for data-dependent errors */
    double (*macs)(
        const pare_prepare *p); /* multiply-accumulates it executes; NULL: the operator's cost */
} pare_impl;

extern const pare_impl *const pare_impls[]; /* NULL-terminated; impls.c */

/* Values of this type can be blocked. */
static inline bool pare_blockable(const pare_type *t)
{
    return t->rank == 4 && (t->dtype == PARE_F32 || t->dtype == PARE_U8 || t->dtype == PARE_I8);
}

/* Is operator `op` one that `impl` names? */
static inline bool pare_impl_for(const pare_impl *impl, const char *op)
{
    size_t len = strlen(op);
    for (const char *at = impl->op; at; at = *at ? at + 1 : NULL) {
        size_t n = strcspn(at, "|");
        if (n == len && memcmp(at, op, n) == 0) return true;
        at += n;
        if (!*at) break;
    }
    return !impl->op;
}

#endif
