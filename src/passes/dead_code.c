/* Removes nodes that no output depends on, and the names of optional outputs that nobody reads.
 * Inputs stay.
 */
#include "passes/pass.h"

#include <stdlib.h>

static pare_status run(pare_graph *g, bool *changed)
{
    uint32_t *readers = calloc((size_t)g->n_values + 1, sizeof *readers);
    if (!readers)
        return pare_fail(PARE_ENOMEM, "no memory for the readers of %u values", g->n_values);
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; g->node[i].op && k < g->node[i].n_in; k++)
            if (g->node[i].in[k] != PARE_NONE) readers[g->node[i].in[k]]++;
    for (uint32_t i = g->n_nodes; i-- > 0;) { /* readers stand behind their producers */
        pare_node *n = &g->node[i];
        if (!n->op) continue;
        bool needed = false;
        for (uint32_t k = 0; k < n->n_out; k++) {
            pare_id v = n->out[k];
            if (v == PARE_NONE) continue;
            bool used = readers[v] > 0 || g->value[v].is_output;
            needed |= used;
            if (!used && k > 0) {
                g->value[v].producer = PARE_NONE;
                n->out[k] = PARE_NONE;
                *changed = true;
            }
        }
        if (needed) continue;
        for (uint32_t k = 0; k < n->n_in; k++)
            if (n->in[k] != PARE_NONE) readers[n->in[k]]--;
        pare_graph_remove(g, i);
        *changed = true;
    }
    free(readers);
    return PARE_OK;
}

const pare_pass pare_pass_dead_code = {
    .name = "dead_code",
    .summary = "removes nodes that no output depends on",
    .run = run,
};
