/* Places: views share memory, outputs are written where the caller wants them, the rest lies in one
 * block. */
#include "runtime/core.h"

#include <stdlib.h>

static bool computed(const pare_graph *g, pare_id v) { return g->value[v].producer != PARE_NONE; }

pare_status pare_roots(pare_core *c, const char *force, bool *is_view)
{
    const pare_graph *g = c->graph;
    bool *lies_in_output = calloc((size_t)g->n_values + 1, sizeof *lies_in_output);
    if (!lies_in_output)
        return pare_fail(PARE_ENOMEM, "no memory for the places of %u values", g->n_values);
    for (uint32_t v = 0; v < g->n_values; v++) {
        c->root[v] = v;
        lies_in_output[v] = g->value[v].is_output;
    }
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        if (!n->op->view || n->n_out != 1 || n->in[0] == PARE_NONE ||
            pare_force_names(force, n->name))
            continue;
        const pare_weight *w = g->value[n->in[0]].weight;
        if (w && w->codec) continue;
        pare_id from = c->root[n->in[0]], to = n->out[0];
        if (g->value[to].is_output) {
            /* The producer writes into the caller's memory: possible once, and only for what a step
             * computes.
             */
            if (lies_in_output[from] || !computed(g, from)) continue;
            lies_in_output[from] = true;
        }
        c->root[to] = from;
        is_view[i] = true;
    }
    free(lies_in_output);
    return PARE_OK;
}

/* The value whose memory an input slot reads, PARE_NONE for constants and absent inputs. */
static void touch(const pare_core *c, pare_range *range, pare_id v, uint32_t step)
{
    if (v == PARE_NONE) return;
    pare_range *r = &range[c->root[v]];
    if (step < r->first) r->first = step;
    if (step > r->last) r->last = step;
}

pare_status pare_place_all(pare_core *c)
{
    const pare_graph *g = c->graph;
    size_t n = g->n_values;
    pare_range *range = calloc(n + 1, sizeof *range);
    if (!range) return pare_fail(PARE_ENOMEM, "no memory for the live ranges of %zu values", n);
    for (size_t v = 0; v < n; v++) range[v].first = UINT32_MAX;
    for (uint32_t s = 0; s < c->n_work; s++) {
        const pare_work *w = &c->work[s];
        for (uint32_t i = 0; i < w->node->n_in; i++) touch(c, range, w->node->in[i], s);
        touch(c, range, w->chain.residual, s);
        touch(c, range, w->chain.out, s);
        for (uint32_t i = 1; i < w->node->n_out; i++) touch(c, range, w->node->out[i], s);
    }
    for (uint32_t i = 0; i < g->n_inputs; i++)
        c->place[g->input[i]] = (pare_place){ PARE_PLACE_INPUT, i };
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        pare_id root = c->root[g->output[i]];
        if (computed(g, root) && range[root].first != UINT32_MAX)
            c->place[root] = (pare_place){ PARE_PLACE_OUTPUT, i };
    }
    pare_status st = PARE_OK;
    for (uint32_t v = 0; st == PARE_OK && v < n; v++) {
        if (g->value[v].weight) {
            c->place[v] = (pare_place){ PARE_PLACE_CONST, v };
        } else if (c->place[v].kind == PARE_PLACE_NONE && c->root[v] == v &&
                   range[v].first != UINT32_MAX) {
            st = pare_type_bytes(&g->value[v].type, &range[v].size);
            c->place[v].kind = PARE_PLACE_BLOCK;
        }
    }
    if (st == PARE_OK) st = pare_layout(range, n, &c->block_bytes);
    for (size_t v = 0; st == PARE_OK && v < n; v++)
        if (c->place[v].kind == PARE_PLACE_BLOCK) c->place[v].at = range[v].offset;
    for (size_t v = 0; st == PARE_OK && v < n; v++)
        if (c->root[v] != v) c->place[v] = c->place[c->root[v]];
    free(range);
    return st;
}
