#include "runtime/tucker.h"

#include "codecs/tucker.h"
#include "ops/conv_attrs.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

extern const pare_impl pare_impl_conv_tucker;

/* Three convolutions in a row. */
typedef struct triple {
    pare_id node[3];
    const pare_tensor *weight[3], *bias[3]; /* bias NULL: none. Both may be in a file yet */
} triple;

static bool is_conv(const pare_node *n)
{
    return n->op && strcmp(n->op->name, "Conv") == 0 && n->n_out == 1;
}

/* Fills place `at` of the triple: a float32 convolution of one group and two dimensions with
 * constant weights. */
static bool dense_conv(const pare_graph *g, pare_id node, int at, triple *t)
{
    const pare_node *n = &g->node[node];
    if (!is_conv(n)) return false;
    const pare_weight *w = pare_node_weight(g, n, 1), *b = pare_node_weight(g, n, 2);
    const pare_type *x = &g->value[n->in[0]].type;
    if (g->value[n->in[0]].weight || !w || w->codec || w->type.dtype != PARE_F32 || x->rank != 4 ||
        x->dim[1] != w->type.dim[1])
        return false;
    if (n->n_in > 2 && n->in[2] != PARE_NONE && (!b || b->codec)) return false;
    t->node[at] = node;
    t->weight[at] = &w->part[0];
    t->bias[at] = b ? &b->part[0] : NULL;
    return true;
}

static pare_window window_of(const pare_graph *g, pare_id node)
{
    const pare_node *n = &g->node[node];
    pare_window w;
    pare_conv_window(n, &g->value[n->in[0]].type, &g->value[n->in[1]].type, &w);
    return w;
}

static bool padded(const pare_window *w)
{
    return w->begin[0] || w->begin[1] || w->end[0] || w->end[1];
}

/* One output pixel for each input pixel. */
static bool pointwise(const pare_graph *g, pare_id node)
{
    pare_window w = window_of(g, node);
    return w.kernel[0] == 1 && w.kernel[1] == 1 && w.stride[0] == 1 && w.stride[1] == 1 &&
           !padded(&w);
}

/* The only reader of what a node gives; PARE_NONE: there are others. */
static pare_id only_reader(const pare_graph *g, const pare_uses *uses, pare_id node)
{
    pare_id v = g->node[node].out[0];
    if (v == PARE_NONE || g->value[v].is_output || pare_use_count(uses, v) != 1) return PARE_NONE;
    return uses->reader[uses->start[v]];
}

/* Does a Tucker product begin with this node? A bias of the first convolution passes through the
 * core as a constant unless zeros are put around it. */
static bool find(const pare_graph *g, const pare_uses *uses, pare_id node, triple *t)
{
    for (int i = 0; i < 3; i++) {
        if (i > 0) node = only_reader(g, uses, node);
        if (node == PARE_NONE || !dense_conv(g, node, i, t)) return false;
        if (i != 1 && !pointwise(g, node)) return false;
    }
    pare_window w = window_of(g, t->node[1]);
    return (!t->bias[0] || !padded(&w)) && t->weight[0]->dim[0] <= t->weight[0]->dim[1] &&
           t->weight[2]->dim[1] <= t->weight[2]->dim[0];
}

/* --- times --- */
/* The best modelled time of a convolution with this weight; decoded: of implementations for dense
 * weights, which are not shown any numbers. */
static double best_ns(const pare_core *c, const pare_node *n, const pare_type *x,
                      const pare_type *y, const pare_weight *w, bool decoded)
{
    const pare_graph *g = c->graph;
    pare_weight dense = { .type = w->type, .part = { pare_tensor_borrow(&w->type, NULL) } };
    const pare_weight *weight[PARE_MAX_IN + 1] = { NULL, decoded ? &dense : w,
                                                   pare_node_weight(g, n, 2) };
    pare_type in[PARE_MAX_IN + 1] = { *x, w->type };
    if (weight[2]) in[2] = weight[2]->type;
    pare_prepare p = { .node = n,
                       .in = in,
                       .out = y,
                       .weight = weight,
                       .kernels = &c->kernels,
                       .threads = PARE_MODEL_THREADS,
                       .no_winograd = c->no_winograd,
                       .precision = c->precision };
    double best = INFINITY;
    for (const pare_impl *const *i = pare_impls; *i; i++) {
        bool for_codec = (*i)->codec && strcmp((*i)->codec, "*") != 0;
        if (!(*i)->op || !(*i)->model_ns || !pare_impl_for(*i, "Conv")) continue;
        if (decoded ? for_codec : !for_codec || strcmp((*i)->codec, w->codec->name) != 0) continue;
        if (!(*i)->accepts(&p)) continue;
        best = fmin(best, (*i)->model_ns(&p) * pare_tuned_factor(c->tuned, (*i)->name));
    }
    return best;
}

static double apart_ns(const pare_core *c, const triple *t)
{
    const pare_graph *g = c->graph;
    double sum = 0;
    for (int i = 0; i < 3; i++) {
        const pare_node *n = &g->node[t->node[i]];
        sum += best_ns(c, n, &g->value[n->in[0]].type, &g->value[n->out[0]].type,
                       g->value[n->in[1]].weight, true);
    }
    return sum;
}

/* --- the rewrite --- */
/* What the biases (in memory; empty: none) add up to behind the last convolution; *out empty if
 * there are none. */
static pare_status bias_of(const pare_weight *w, const pare_tensor *bias, pare_tensor *out)
{
    *out = (pare_tensor){ 0 };
    const float *b[3], *core = w->part[PARE_TUCKER_CORE].data, *u = w->part[PARE_TUCKER_OUT].data;
    for (int i = 0; i < 3; i++) b[i] = bias[i].data;
    if (!b[0] && !b[1] && !b[2]) return PARE_OK;
    pare_tucker_dims s = pare_tucker_dims_of(w);
    PARE_TRY(pare_tensor_new(PARE_F32, 1, &s.n, out));
    double *sum = calloc((size_t)s.n, sizeof *sum);
    if (!sum) {
        pare_tensor_free(out);
        return pare_fail(PARE_ENOMEM, "no memory for %lld biases", (long long)s.n);
    }
    for (int64_t e = 0; e < s.d2; e++) {
        double inner = b[1] ? (double)b[1][e] : 0;
        for (int64_t d = 0; b[0] && d < s.d1; d++)
            for (int64_t k = 0; k < s.k; k++)
                inner += (double)b[0][d] * (double)core[(e * s.d1 + d) * s.k + k];
        for (int64_t n = 0; n < s.n; n++) sum[n] += inner * (double)u[n * s.d2 + e];
    }
    for (int64_t n = 0; n < s.n; n++)
        ((float *)out->data)[n] = (float)(sum[n] + (b[2] ? (double)b[2][n] : 0));
    free(sum);
    return PARE_OK;
}

/* Adds a constant; takes over `w`. */
static pare_status constant(pare_graph *g, const char *node, const char *suffix, pare_weight w,
                            pare_id *out)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s%s", node, suffix);
    const char *unique = pare_graph_unique(g, name);
    return pare_graph_add_constant(g, unique, w, out);
}

/* The core's node becomes the whole convolution. Takes over `w` and `bias`. */
static pare_status merge(pare_graph *g, const triple *t, pare_weight w, pare_tensor bias)
{
    const char *name = g->node[t->node[1]].name;
    pare_id *in = pare_arena_array(g->arena, 3, sizeof *in);
    if (!in) {
        pare_weight_free(&w);
        pare_tensor_free(&bias);
        return pare_fail(PARE_ENOMEM, "no memory for the inputs of node '%s'", name);
    }
    in[0] = g->node[t->node[0]].in[0];
    in[2] = PARE_NONE;
    pare_status st = constant(g, name, "_tucker", w, &in[1]);
    if (st == PARE_OK && bias.data)
        st = constant(g, name, "_tucker_bias", pare_weight_dense(bias), &in[2]);
    else
        pare_tensor_free(&bias);
    if (st != PARE_OK) return st;
    pare_node *n = &g->node[t->node[1]];
    pare_id y = g->node[t->node[2]].out[0];
    g->value[n->out[0]].producer = PARE_NONE;
    n->in = in;
    n->n_in = in[2] == PARE_NONE ? 2 : 3;
    n->out[0] = y;
    pare_graph_remove(g, t->node[0]);
    pare_graph_remove(g, t->node[2]);
    g->value[y].producer = t->node[1];
    return PARE_OK;
}

/* Reads what still is in a file and merges; not where a number is not finite. */
static pare_status load_and_merge(pare_graph *g, const triple *t, const pare_type *type,
                                  bool *changed)
{
    pare_tensor weight[3] = { 0 }, bias[3] = { 0 }, sum;
    pare_status st = PARE_OK;
    for (int i = 0; st == PARE_OK && i < 3; i++) {
        st = pare_tensor_load(t->weight[i], &weight[i]);
        if (st == PARE_OK && t->bias[i]) st = pare_tensor_load(t->bias[i], &bias[i]);
    }
    pare_weight w;
    bool finite = false;
    if (st == PARE_OK) {
        st = pare_tucker_encode(type, &weight[0], &weight[1], &weight[2], &w);
        finite = st == PARE_OK;
        if (st == PARE_EFORMAT) pare_error_clear(), st = PARE_OK;
    }
    if (finite) {
        st = bias_of(&w, bias, &sum);
        if (st == PARE_OK)
            st = merge(g, t, w, sum);
        else
            pare_weight_free(&w);
        *changed = true;
    }
    for (int i = 0; i < 3; i++) {
        pare_tensor_free(&weight[i]);
        pare_tensor_free(&bias[i]);
    }
    return st;
}

static pare_status consider(pare_core *c, const char *force, const triple *t, bool *changed)
{
    pare_graph *g = c->graph;
    bool forced = false;
    for (int i = 0; i < 3; i++) {
        bool here;
        if (!pare_force_allows(force, &g->node[t->node[i]], &pare_impl_conv_tucker, &here))
            return PARE_OK;
        forced |= here;
    }
    pare_type type = pare_tensor_type(t->weight[1]);
    type.dim[0] = t->weight[2]->dim[0];
    type.dim[1] = t->weight[0]->dim[1];
    const pare_weight w = { .codec = &pare_codec_tucker,
                            .type = type,
                            .part = { *t->weight[0], *t->weight[1], *t->weight[2] } };
    const pare_node *n = &g->node[t->node[1]];
    const pare_type *x = &g->value[g->node[t->node[0]].in[0]].type,
                    *y = &g->value[g->node[t->node[2]].out[0]].type;
    if (!forced &&
        !(fmin(best_ns(c, n, x, y, &w, false), best_ns(c, n, x, y, &w, true)) < apart_ns(c, t)))
        return PARE_OK;
    return load_and_merge(g, t, &type, changed);
}

pare_status pare_tucker_forms(pare_core *c, const char *force)
{
    if (pare_force_reference(force)) return PARE_OK;
    pare_graph *g = c->graph;
    pare_uses uses;
    PARE_TRY(pare_graph_uses(g, &uses));
    pare_status st = PARE_OK;
    bool changed = false;
    for (uint32_t i = 0; st == PARE_OK && i < g->n_nodes; i++) {
        triple t;
        if (find(g, &uses, i, &t)) st = consider(c, force, &t, &changed);
    }
    pare_uses_free(&uses);
    return st == PARE_OK && changed ? pare_graph_sort(g) : st;
}
