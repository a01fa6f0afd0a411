/* Places: views share memory, outputs are written where the caller wants them, the rest lies in one
 * block. */
#include "runtime/layouts.h"

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

static void touch(pare_range *r, uint32_t step)
{
    if (step < r->first) r->first = step;
    if (step > r->last) r->last = step;
}

/* Bytes of what lies in a slot. */
static pare_status slot_bytes(const pare_core *c, size_t slot, size_t *out)
{
    size_t n = c->graph->n_values;
    return slot < n ? pare_type_bytes(&c->graph->value[slot].type, out)
                    : pare_blocked_bytes(&c->graph->value[slot - n].type, c->kernels.vl, out);
}

pare_status pare_place_all(pare_core *c)
{
    const pare_graph *g = c->graph;
    size_t n = g->n_values, slots = 2 * n;
    pare_range *range = calloc(slots + 1, sizeof *range);
    if (!range) return pare_fail(PARE_ENOMEM, "no memory for the live ranges of %zu values", n);
    for (size_t v = 0; v < slots; v++) range[v].first = UINT32_MAX;
    for (uint32_t s = 0; s < c->n_work; s++) {
        const pare_work *w = &c->work[s];
        for (uint32_t i = 0; i < w->node->n_in + 1; i++) {
            pare_id v = i < w->node->n_in ? w->node->in[i] : w->chain.residual;
            if (v != PARE_NONE) touch(&range[pare_slot(c, v, pare_reads(c, w, v))], s);
        }
        touch(&range[pare_slot(c, w->chain.out, w->impl->gives)], s);
        for (uint32_t i = 1; i < w->node->n_out; i++)
            if (w->node->out[i] != PARE_NONE)
                touch(&range[pare_slot(c, w->node->out[i], PARE_PLAIN)], s);
    }
    for (uint32_t i = 0; i < g->n_inputs; i++)
        c->place[g->input[i]] = (pare_place){ PARE_PLACE_INPUT, i };
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        pare_id root = c->root[g->output[i]];
        if (computed(g, root) && range[root].first != UINT32_MAX)
            c->place[root] = (pare_place){ PARE_PLACE_OUTPUT, i };
    }
    pare_status st = PARE_OK;
    for (size_t v = 0; st == PARE_OK && v < slots; v++) {
        if (v < n && g->value[v].weight) {
            c->place[v] = (pare_place){ PARE_PLACE_CONST, v };
        } else if (c->place[v].kind == PARE_PLACE_NONE && range[v].first != UINT32_MAX) {
            st = slot_bytes(c, v, &range[v].size);
            c->place[v].kind = PARE_PLACE_BLOCK;
        }
    }
    if (st == PARE_OK) st = pare_offsets(range, slots, &c->block_bytes);
    for (size_t v = 0; st == PARE_OK && v < slots; v++)
        if (c->place[v].kind == PARE_PLACE_BLOCK) c->place[v].at = range[v].offset;
    for (size_t v = 0; st == PARE_OK && v < n; v++)
        if (c->root[v] != v) c->place[v] = c->place[c->root[v]];
    free(range);
    return st;
}
