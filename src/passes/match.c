#include "passes/match.h"

pare_status pare_match_replace(pare_graph *g, pare_id was, const pare_op *op, const void *attrs,
                               uint32_t n_in, const pare_id *in)
{
    pare_id out = g->node[was].out[0];
    const char *name = g->node[was].name;
    pare_graph_remove(g, was);
    return pare_graph_add_node(g, op, name, attrs, op->attrs_size, n_in, in, 1, &out, NULL);
}
