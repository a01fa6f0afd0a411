/* Folds what scales and shifts channels (BatchNormalization, Mul, Add, ... with constants) into the
 * dense constant weights of the Conv, ConvTranspose or Gemm in front. Exact also at borders,
 * because it follows the convolution.
 *
 * Encoded weights are left alone: folding would decode them. There the plan fuses the scales into
 * the step instead. */
#include "ops/attr.h"
#include "passes/affine.h"
#include "passes/pass.h"

#include <stdio.h>
#include <stdlib.h>

/* Which index of the weight is the output channel, and how many channels a group has. */
typedef struct target {
    bool transposed; /* [in][out / group][...] (ConvTranspose), or Gemm's [in][out] */
    int64_t groups;
} target;

/* Can channel scales be folded into node n? The bias, if there is one, must be one number per
 * channel. */
static bool foldable(const pare_graph *g, const pare_node *n, target *t)
{
    const char *op = n->op->name;
    *t = (target){ .groups = 1 };
    if (strcmp(op, "Conv") == 0) {
        t->groups = pare_attr_int(n, "group", 1);
    } else if (strcmp(op, "ConvTranspose") == 0) {
        t->groups = pare_attr_int(n, "group", 1);
        t->transposed = true;
    } else if (strcmp(op, "Gemm") == 0) {
        t->transposed = pare_attr_int(n, "transB", 0) == 0;
        bool bias = n->n_in > 2 && n->in[2] != PARE_NONE;
        if (pare_attr_real(n, "alpha", 1) != 1 || (bias && pare_attr_real(n, "beta", 1) != 1))
            return false;
        if (!bias && pare_attr_real(n, "beta", 1) == 0) return false;
    } else
        return false;
    const pare_weight *w = pare_node_weight(g, n, 1);
    if (!w || w->codec || w->part[0].dtype != PARE_F32 || w->part[0].rank < 2) return false;
    if (n->n_in < 3 || n->in[2] == PARE_NONE) return true;
    const pare_weight *b = pare_node_weight(g, n, 2);
    return b && !b->codec && b->part[0].dtype == PARE_F32 && b->part[0].rank == 1 &&
           b->part[0].dim[0] == g->value[n->out[0]].type.dim[1];
}

static void scale_weight(const target *t, const pare_tensor *w, int64_t channels,
                         const double *scale)
{
    float *x = w->data;
    int64_t inner = 1;
    for (int d = 2; d < w->rank; d++) inner *= w->dim[d];
    for (int64_t i = 0; i < w->dim[0]; i++)
        for (int64_t j = 0; j < w->dim[1]; j++) {
            int64_t c = i;
            if (t->transposed) c = i / (w->dim[0] / t->groups) * (channels / t->groups) + j;
            float *row = x + (i * w->dim[1] + j) * inner;
            for (int64_t k = 0; k < inner; k++) row[k] = (float)((double)row[k] * scale[c]);
        }
}

/* A new constant for one input slot: other readers of the old one must not see the change. Takes
 * over `t`. */
static pare_status set_input(pare_graph *g, pare_id node, uint32_t slot, const char *suffix,
                             pare_tensor t)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s%s", g->node[node].name, suffix);
    const char *unique = pare_graph_unique(g, name);
    pare_id id;
    PARE_TRY(pare_graph_add_constant(g, unique, pare_weight_dense(t), &id));
    pare_node *n = &g->node[node];
    if (slot >= n->n_in) {
        pare_id *in = pare_arena_array(g->arena, slot + 1, sizeof *in);
        if (!in) return pare_fail(PARE_ENOMEM, "no memory for an input of node '%s'", n->name);
        for (uint32_t i = 0; i < slot; i++) in[i] = i < n->n_in ? n->in[i] : PARE_NONE;
        n->in = in;
        n->n_in = slot + 1;
    }
    n->in[slot] = id;
    return PARE_OK;
}

static pare_status fold(pare_graph *g, pare_id node, const target *t, int64_t channels,
                        const double *scale, const double *shift)
{
    pare_tensor w, b;
    const pare_node *n = &g->node[node];
    PARE_TRY(pare_tensor_copy(&pare_node_weight(g, n, 1)->part[0], &w));
    scale_weight(t, &w, channels, scale);
    PARE_TRY(set_input(g, node, 1, "_folded_weight", w));
    n = &g->node[node];
    PARE_TRY(pare_tensor_new(PARE_F32, 1, &channels, &b));
    const pare_weight *old = pare_node_weight(g, n, 2);
    float *y = b.data;
    for (int64_t c = 0; c < channels; c++) {
        double bias = old ? (double)((const float *)old->part[0].data)[c] : 0;
        y[c] = (float)(bias * scale[c] + shift[c]);
    }
    return set_input(g, node, 2, "_folded_bias", b);
}

static pare_status run(pare_graph *g, bool *changed)
{
    pare_uses uses;
    PARE_TRY(pare_graph_uses(g, &uses));
    pare_status st = PARE_OK;
    uint32_t n_values = g->n_values; /* uses knows of these only; new ones are constants */
    for (uint32_t i = 0; st == PARE_OK && i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        target t;
        if (!n->op || n->n_out != 1 || n->out[0] == PARE_NONE || !foldable(g, n, &t)) continue;
        pare_id v = n->out[0];
        if (v >= n_values || g->value[v].is_output || pare_use_count(&uses, v) != 1) continue;
        pare_id reader = uses.reader[uses.start[v]];
        const pare_node *r = &g->node[reader];
        if (!r->op || !pare_affine_is(g, r, v, 1) ||
            !pare_same_shape(&g->value[v].type, &g->value[r->out[0]].type))
            continue;
        int64_t channels = g->value[v].type.dim[1];
        double *scale = malloc((size_t)channels * 2 * sizeof *scale);
        if (!scale) {
            st = pare_fail(PARE_ENOMEM, "no memory for the scales of %lld channels",
                           (long long)channels);
            break;
        }
        pare_affine_get(g, r, v, 1, scale, scale + channels);
        st = fold(g, i, &t, channels, scale, scale + channels);
        free(scale);
        if (st != PARE_OK) break;
        /* The node now gives what its reader gave. */
        pare_id y = g->node[reader].out[0];
        pare_graph_remove(g, reader);
        g->value[v].producer = PARE_NONE;
        g->node[i].out[0] = y;
        g->value[y].producer = i;
        *changed = true;
    }
    pare_uses_free(&uses);
    return st;
}

const pare_pass pare_pass_fold_affine = {
    .name = "fold_affine",
    .summary = "folds batch normalisation and per-channel constants into the weights in front",
    .shapes = true,
    .run = run,
};
