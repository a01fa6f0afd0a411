/* Follows a chain of single readers: out = act(op * scale + shift + residual), or Clip of bytes. */
#include "runtime/fuse.h"

#include "ops/attr.h"
#include "ops/attrs.h"
#include "passes/affine.h"

#include <math.h>
#include <stdlib.h>

void pare_chain_alone(const pare_graph *g, pare_id anchor, pare_chain *out)
{
    *out = (pare_chain){
        .node = { anchor }, .n = 1, .out = g->node[anchor].out[0], .residual = PARE_NONE
    };
}

void pare_chain_free(pare_chain *c)
{
    free(c->scale);
    free(c->shift);
    c->scale = c->shift = NULL;
}

static bool activation(const pare_graph *g, const pare_node *n, pare_epilogue *e)
{
    if (strcmp(n->op->name, "Relu") == 0) {
        e->act = PARE_ACT_RELU;
    } else if (strcmp(n->op->name, "LeakyRelu") == 0) {
        e->act = PARE_ACT_LEAKY;
        e->alpha = (float)pare_attr_real(n, "alpha", 0.01);
    } else if (strcmp(n->op->name, "Clip") == 0) {
        float lo, hi;
        if (!pare_input_real(g, n, 1, -INFINITY, &lo) || !pare_input_real(g, n, 2, INFINITY, &hi))
            return false;
        if (!(lo <= hi)) return false; /* the kernels' comparisons suppose that */
        e->act = PARE_ACT_CLIP;
        e->lo = lo;
        e->hi = hi;
    } else
        return false;
    return true;
}

static bool gives_bytes(const pare_graph *g, const pare_node *n)
{
    pare_dtype t = g->value[n->out[0]].type.dtype;
    return strcmp(n->op->name, "QLinearConv") == 0 ||
           (strcmp(n->op->name, "QuantizeLinear") == 0 && (t == PARE_U8 || t == PARE_I8));
}

/* Clip between constants behind an operator that gives bytes: its bounds, as whole numbers. */
static bool clips_bytes(const pare_graph *g, const pare_node *n, pare_id v, pare_epilogue *e)
{
    if (strcmp(n->op->name, "Clip") != 0 || n->in[0] != v) return false;
    float bound[2] = { -INFINITY, INFINITY };
    for (uint32_t i = 0; i < 2; i++) {
        if (i + 1 >= n->n_in || n->in[i + 1] == PARE_NONE) continue;
        const pare_weight *w = pare_node_weight(g, n, i + 1);
        if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1) return false;
        bound[i] = (float)pare_tensor_get_f64(&w->part[0], 0);
    }
    if (!(bound[0] <= bound[1])) return false; /* as for activation() */
    *e = (pare_epilogue){ .act = PARE_ACT_CLIP, .lo = bound[0], .hi = bound[1] };
    return true;
}

/* The other operand, if `n` adds two values of one type, v being one of them; PARE_NONE otherwise.
 */
static pare_id other_operand(const pare_graph *g, const pare_node *n, pare_id v)
{
    if (n->n_in != 2 || (strcmp(n->op->name, "Add") != 0 && strcmp(n->op->name, "Sum") != 0))
        return PARE_NONE;
    pare_id r = n->in[0] == v ? n->in[1] : n->in[0];
    const pare_value *a = &g->value[v], *b = &g->value[r];
    if (r == v || (b->weight && b->weight->codec)) return PARE_NONE;
    return b->type.dtype == PARE_F32 && pare_same_shape(&a->type, &b->type) ? r : PARE_NONE;
}

/* Does `n` multiply v, which the sigmoid `a` gives, with what that was computed from? */
static bool gates(const pare_graph *g, const pare_node *a, const pare_node *n, pare_id v)
{
    if (strcmp(a->op->name, "Sigmoid") != 0 && strcmp(a->op->name, "HardSigmoid") != 0)
        return false;
    if (strcmp(n->op->name, "Mul") != 0 || g->value[a->in[0]].weight) return false;
    return (n->in[0] == v && n->in[1] == a->in[0]) || (n->in[1] == v && n->in[0] == a->in[0]);
}

static bool is_product(const pare_node *n)
{
    return strcmp(n->op->name, "MatMul") == 0 || strcmp(n->op->name, "Gemm") == 0;
}

static bool by_erf(const pare_node *n)
{
    return strcmp(n->op->name, "Gelu") == 0 &&
           ((const pare_gelu_attrs *)n->attrs)->approximate == PARE_GELU_ERF;
}

/* The dimension that an operator's scales and shifts belong to: of products the columns. */
static int affine_axis(const pare_graph *g, const pare_node *anchor)
{
    return strcmp(anchor->op->name, "MatMul") == 0 ? g->value[anchor->out[0]].type.rank - 1 : 1;
}

static pare_status absorb_affine(const pare_graph *g, const pare_node *n, pare_id v, int axis,
                                 pare_chain *c)
{
    size_t channels = (size_t)g->value[v].type.dim[axis], bytes;
    if (!pare_mul_size(channels, 2 * sizeof(double), &bytes))
        return pare_fail(PARE_ENOMEM, "%zu channels are too many", channels);
    double *scale = malloc(bytes), *shift = scale ? scale + channels : NULL;
    if (scale && !c->scale) {
        c->scale = malloc(channels * sizeof *c->scale);
        c->shift = malloc(channels * sizeof *c->shift);
        for (size_t i = 0; c->scale && c->shift && i < channels; i++)
            c->scale[i] = 1, c->shift[i] = 0;
    }
    if (!scale || !c->scale || !c->shift) {
        free(scale);
        return pare_fail(PARE_ENOMEM, "no memory for the scales of %zu channels", channels);
    }
    pare_affine_get(g, n, v, axis, scale, shift);
    for (size_t i = 0; i < channels; i++) {
        c->shift[i] = (float)((double)c->shift[i] * scale[i] + shift[i]);
        c->scale[i] = (float)((double)c->scale[i] * scale[i]);
    }
    free(scale);
    c->epilogue.scale = c->scale;
    c->epilogue.shift = c->shift;
    return PARE_OK;
}

pare_status pare_chain_from(const pare_graph *g, const pare_uses *uses, pare_id anchor,
                            const bool *taken, pare_chain *out)
{
    pare_chain c;
    pare_chain_alone(g, anchor, &c);
    pare_status st = PARE_OK;
    const pare_node *a = &g->node[anchor];
    if (a->n_out == 1 && c.out != PARE_NONE && gives_bytes(g, a)) {
        pare_id reader =
            pare_use_count(uses, c.out) == 1 ? uses->reader[uses->start[c.out]] : anchor;
        const pare_node *n = &g->node[reader];
        if (reader != anchor && !taken[reader] && !g->value[c.out].is_output && n->op &&
            n->out[0] != PARE_NONE && clips_bytes(g, n, c.out, &c.epilogue)) {
            c.node[c.n++] = reader;
            c.out = n->out[0];
        }
        *out = c;
        return PARE_OK;
    }
    bool plain = a->n_out == 1 && c.out != PARE_NONE && g->value[c.out].type.dtype == PARE_F32 &&
                 g->value[c.out].type.rank >= 2;
    int axis = plain ? affine_axis(g, a) : 1;
    while (plain && c.n < PARE_CHAIN_MOST && c.epilogue.act == PARE_ACT_NONE && !c.epilogue.gelu) {
        const pare_value *v = &g->value[c.out];
        if (v->is_output || pare_use_count(uses, c.out) != 1) break;
        pare_id reader = uses->reader[uses->start[c.out]];
        const pare_node *n = &g->node[reader];
        if (taken[reader] || !n->op || n->out[0] == PARE_NONE) break;
        if (c.n == 1 && gates(g, a, n, c.out)) {
            c.epilogue.gate = true;
            c.node[c.n++] = reader;
            c.out = n->out[0];
            break;
        }
        pare_id residual = c.residual == PARE_NONE ? other_operand(g, n, c.out) : PARE_NONE;
        if (c.residual == PARE_NONE && pare_affine_is(g, n, c.out, axis) &&
            pare_same_shape(&v->type, &g->value[n->out[0]].type)) {
            st = absorb_affine(g, n, c.out, axis, &c);
            if (st != PARE_OK) break;
        } else if (residual != PARE_NONE) {
            c.residual = residual;
            c.epilogue.residual = true;
        } else if (is_product(a) && by_erf(n)) {
            c.epilogue.gelu = true;
        } else if (!activation(g, n, &c.epilogue))
            break;
        c.node[c.n++] = reader;
        c.out = n->out[0];
    }
    if (st != PARE_OK) {
        pare_chain_free(&c);
        return st;
    }
    *out = c;
    return PARE_OK;
}
