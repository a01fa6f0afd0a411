/* Writes (x - mean) / sqrt(mean of (x - mean)^2 + epsilon) * scale + shift over the last
 * dimensions, as exporters spell it out, as LayerNormalization. */
#include "ops/attr.h"
#include "ops/attrs.h"
#include "passes/match.h"
#include "passes/pass.h"

typedef struct norm {
    pare_id x, scale, shift;
    int first; /* dimension of those that are normalised */
    double epsilon;
} norm;

/* The input of a mean over the last dimensions, from *first on; PARE_NONE if v is none. */
static pare_id mean(const pare_graph *g, pare_id v, int *first)
{
    const pare_node *n = pare_match(g, v, "ReduceMean", 2);
    const pare_weight *w = n ? pare_node_weight(g, n, 1) : NULL;
    if (!w || w->codec || pare_attr_int(n, "keepdims", 1) == 0) return PARE_NONE;
    int rank = g->value[n->in[0]].type.rank;
    pare_arg axes = { .type = pare_tensor_type(&w->part[0]), .value = &w->part[0] };
    unsigned mask;
    if (pare_reduce_mask(n, &axes, rank, &mask) != PARE_OK) {
        pare_error_clear();
        return PARE_NONE;
    }
    for (*first = rank; *first > 0 && (mask >> (*first - 1) & 1);) --*first;
    return *first < rank && (mask & ((1u << *first) - 1)) == 0 ? n->in[0] : PARE_NONE;
}

/* x if v is x - mean(x), else PARE_NONE. */
static pare_id centred(const pare_graph *g, pare_id v, int *first)
{
    const pare_node *n = pare_match(g, v, "Sub", 2);
    return n && mean(g, n->in[1], first) == n->in[0] ? n->in[0] : PARE_NONE;
}

/* The operand that v squares, else PARE_NONE. */
static pare_id squared(const pare_graph *g, pare_id v)
{
    const pare_node *n = pare_match(g, v, "Pow", 2);
    if (n) return pare_match_is(g, n->in[1], 2) ? n->in[0] : PARE_NONE;
    n = pare_match(g, v, "Mul", 2);
    return n && n->in[0] == n->in[1] ? n->in[0] : PARE_NONE;
}

/* (x - mean) / sqrt(variance + epsilon) */
static bool normal(const pare_graph *g, pare_id v, norm *f)
{
    const pare_node *quotient = pare_match(g, v, "Div", 2),
                    *root = quotient ? pare_match(g, quotient->in[1], "Sqrt", 1) : NULL,
                    *sum = root ? pare_match(g, root->in[0], "Add", 2) : NULL;
    int first;
    if (!sum || (f->x = centred(g, quotient->in[0], &f->first)) == PARE_NONE) return false;
    for (int i = 0; i < 2; i++) {
        pare_id squares = mean(g, sum->in[1 - i], &first);
        if (squares == PARE_NONE || first != f->first) continue;
        pare_id c = squared(g, squares);
        return c != PARE_NONE && centred(g, c, &first) == f->x && first == f->first &&
               pare_match_number(g, sum->in[i], &f->epsilon) && f->epsilon >= 0;
    }
    return false;
}

/* A constant with one number for each that is normalised? */
static bool for_each(const pare_graph *g, pare_id v, const norm *f)
{
    const pare_type *t = &g->value[v].type, *x = &g->value[f->x].type;
    if (!g->value[v].weight || t->dtype != PARE_F32 || t->rank != x->rank - f->first) return false;
    for (int d = 0; d < t->rank; d++)
        if (t->dim[d] != x->dim[f->first + d]) return false;
    return true;
}

static bool layer_norm(const pare_graph *g, const pare_node *n, norm *f)
{
    if (!n->op || strcmp(n->op->name, "Add") != 0) return false;
    for (int i = 0; i < 2; i++) {
        const pare_node *product = pare_match(g, n->in[i], "Mul", 2);
        for (int j = 0; product && j < 2; j++) {
            if (!normal(g, product->in[j], f)) continue;
            f->scale = product->in[1 - j], f->shift = n->in[1 - i];
            return g->value[f->x].type.dtype == PARE_F32 && !g->value[f->x].weight &&
                   for_each(g, f->scale, f) && for_each(g, f->shift, f);
        }
    }
    return false;
}

static pare_status run(pare_graph *g, bool *changed)
{
    const pare_op *op = pare_op_find("LayerNormalization");
    for (uint32_t i = 0, n = g->n_nodes; i < n; i++) {
        norm f;
        if (!layer_norm(g, &g->node[i], &f)) continue;
        pare_layer_norm_attrs attrs;
        pare_fields_default(op->attrs, &attrs);
        attrs.axis = f.first;
        attrs.epsilon = f.epsilon;
        pare_id in[3] = { f.x, f.scale, f.shift };
        PARE_TRY(pare_match_replace(g, i, op, &attrs, 3, in));
        *changed = true;
    }
    return PARE_OK;
}

const pare_pass pare_pass_find_layer_norm = {
    .name = "find_layer_norm",
    .summary = "writes LayerNormalization for the operators that spell it out",
    .shapes = true,
    .run = run,
};
