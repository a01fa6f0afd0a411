/* Recognising patterns of nodes backwards from what they give. */
#ifndef PASSES_MATCH_H
#define PASSES_MATCH_H

#include "ops/op.h"

#include <string.h>

/* The node that computes v if it is `op` with one output (n_in >= inputs); NULL otherwise. */
static inline const pare_node *pare_match(const pare_graph *g, pare_id v, const char *op,
                                          uint32_t inputs)
{
    if (v == PARE_NONE || g->value[v].producer == PARE_NONE) return NULL;
    const pare_node *n = &g->node[g->value[v].producer];
    bool is = n->op && strcmp(n->op->name, op) == 0 && n->n_out == 1 && n->n_in >= inputs;
    for (uint32_t i = 0; is && i < inputs; i++) is = n->in[i] != PARE_NONE;
    return is ? n : NULL;
}

/* Is v a constant of one number? */
static inline bool pare_match_number(const pare_graph *g, pare_id v, double *number)
{
    const pare_weight *w = v == PARE_NONE ? NULL : g->value[v].weight;
    if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1) return false;
    *number = pare_tensor_get_f64(&w->part[0], 0);
    return true;
}

/* Is v that number, as float32 has it? */
static inline bool pare_match_is(const pare_graph *g, pare_id v, double number)
{
    double k;
    return pare_match_number(g, v, &k) && (float)k == (float)number;
}

/* The slot of a two-operand node whose other operand is `v`; -1: v is neither. */
static inline int pare_match_other(const pare_node *n, pare_id v)
{
    return n->in[0] == v ? 1 : n->in[1] == v ? 0 : -1;
}

/* Puts a node with the attributes `attrs` in the place of node `was`, whose only output it gives.
 * What `was` alone read is dead code then. */
pare_status pare_match_replace(pare_graph *g, pare_id was, const pare_op *op, const void *attrs,
                               uint32_t n_in, const pare_id *in);

#endif
