/* Removes nodes that pass their first input on unchanged: Identity, Dropout when running, and
 * Reshape, Flatten, Squeeze, Unsqueeze, Expand, Tile, Cast, Pad, Transpose, Slice, Resize, Concat,
 * ... whose output has the input's type and values. */
#include "ops/attr.h"
#include "passes/pass.h"

/* Operators that only rename dimensions: the same type means the same tensor. */
static bool same_if_same_type(const char *op)
{
    static const char *const names[] = { "Identity", "Reshape", "Flatten", "Squeeze", "Unsqueeze",
                                         "Expand",   "Tile",    "Cast",    "Pad",     NULL };
    for (const char *const *n = names; *n; n++)
        if (strcmp(*n, op) == 0) return true;
    return false;
}

/* A known input that holds zeros (paddings: negative and positive ones could cancel out in the
 * shape). */
static bool known_zeros(const pare_graph *g, const pare_node *n, uint32_t slot)
{
    const pare_weight *w = pare_node_weight(g, n, slot);
    if (!w || w->codec) return false;
    for (int64_t i = 0; i < pare_tensor_count(&w->part[0]); i++)
        if (pare_tensor_get_f64(&w->part[0], i) != 0) return false;
    return true;
}

/* A permutation moves nothing if the dimensions larger than 1 keep their order. */
static bool keeps_order(const pare_node *n, const pare_type *x)
{
    const pare_ints *perm = pare_attr(n, "perm", PARE_FIELD_INTS);
    int64_t last = -1;
    for (int d = 0; d < x->rank; d++) {
        int64_t from = perm && perm->v && (size_t)d < perm->n ? perm->v[d] : x->rank - 1 - d;
        if (from < 0 || from >= x->rank || x->dim[from] == 1) continue;
        if (from < last) return false;
        last = from;
    }
    return true;
}

static bool is_identity(const pare_graph *g, const pare_uses *uses, const pare_node *n)
{
    if (n->n_in == 0 || n->in[0] == PARE_NONE || n->n_out == 0 || n->out[0] == PARE_NONE)
        return false;
    for (uint32_t i = 1; i < n->n_out; i++) /* exporters name the mask of Dropout */
        if (n->out[i] != PARE_NONE &&
            (g->value[n->out[i]].is_output || pare_use_count(uses, n->out[i]) > 0))
            return false;
    const pare_type *x = &g->value[n->in[0]].type, *y = &g->value[n->out[0]].type;
    const char *op = n->op->name;
    if (x->dtype != y->dtype || !pare_same_shape(x, y)) return false;
    if (strcmp(op, "Dropout") == 0) /* training_mode false, or a ratio of 0 */
        return n->n_in < 3 || n->in[2] == PARE_NONE || known_zeros(g, n, 2) || known_zeros(g, n, 1);
    if (strcmp(op, "Pad") == 0) return n->n_in > 1 && known_zeros(g, n, 1);
    if (strcmp(op, "Transpose") == 0) return keeps_order(n, x);
    if (strcmp(op, "Concat") == 0 || strcmp(op, "Sum") == 0 || strcmp(op, "Max") == 0 ||
        strcmp(op, "Min") == 0)
        return n->n_in == 1;
    return same_if_same_type(op);
}

static pare_status run(pare_graph *g, bool *changed)
{
    pare_uses uses;
    PARE_TRY(pare_graph_uses(g, &uses));
    pare_status st = PARE_OK;
    for (uint32_t i = 0; st == PARE_OK && i < g->n_nodes; i++) {
        pare_node *n = &g->node[i];
        if (!n->op || !is_identity(g, &uses, n)) continue;
        pare_id x = n->in[0], y = n->out[0];
        /* An output that is an input or a constant, or the same as another output, keeps its node:
         * it is a copy. */
        if (g->value[y].is_output && (g->value[x].producer == PARE_NONE || g->value[x].is_output))
            continue;
        st = pare_graph_replace(g, y, x);
        if (st != PARE_OK) break;
        pare_graph_remove(g, i);
        *changed = true;
    }
    pare_uses_free(&uses);
    return st;
}

const pare_pass pare_pass_drop_identities = {
    .name = "drop_identities",
    .summary = "removes nodes that pass their input on unchanged",
    .shapes = true,
    .run = run,
};
