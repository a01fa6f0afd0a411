/* Writes x / 2 * (1 + erf(x / sqrt(2))), as exporters spell it out, as Gelu. */
#include "ops/attrs.h"
#include "passes/match.h"
#include "passes/pass.h"

/* x if v is x / sqrt(2), else PARE_NONE. */
static pare_id scaled(const pare_graph *g, pare_id v)
{
    const double root = 1.4142135623730951;
    const pare_node *n = pare_match(g, v, "Div", 2);
    if (n) return pare_match_is(g, n->in[1], root) ? n->in[0] : PARE_NONE;
    n = pare_match(g, v, "Mul", 2);
    for (int i = 0; n && i < 2; i++)
        if (pare_match_is(g, n->in[i], 1 / root)) return n->in[1 - i];
    return PARE_NONE;
}

/* x if v is 1 + erf(x / sqrt(2)), else PARE_NONE. */
static pare_id smooth_step(const pare_graph *g, pare_id v)
{
    const pare_node *n = pare_match(g, v, "Add", 2);
    for (int i = 0; n && i < 2; i++) {
        const pare_node *erf = pare_match(g, n->in[1 - i], "Erf", 1);
        if (erf && pare_match_is(g, n->in[i], 1)) return scaled(g, erf->in[0]);
    }
    return PARE_NONE;
}

/* x if the node is the last product of a Gelu of x: the factors are x, 1/2 and the step, in any
 * order. */
static pare_id gelu(const pare_graph *g, const pare_node *n)
{
    if (!n->op || strcmp(n->op->name, "Mul") != 0) return PARE_NONE;
    for (int i = 0; i < 2; i++) {
        const pare_node *inner = pare_match(g, n->in[i], "Mul", 2);
        if (!inner) continue;
        pare_id factor[3] = { n->in[1 - i], inner->in[0], inner->in[1] };
        for (int e = 0; e < 3; e++) {
            pare_id x = smooth_step(g, factor[e]), a = factor[(e + 1) % 3], b = factor[(e + 2) % 3];
            if (x == PARE_NONE || g->value[x].type.dtype != PARE_F32) continue;
            if ((a == x && pare_match_is(g, b, 0.5)) || (b == x && pare_match_is(g, a, 0.5)))
                return x;
        }
    }
    return PARE_NONE;
}

static pare_status run(pare_graph *g, bool *changed)
{
    static const pare_gelu_attrs by_erf = { .approximate = PARE_GELU_ERF };
    for (uint32_t i = 0, n = g->n_nodes; i < n; i++) {
        pare_id x = gelu(g, &g->node[i]);
        if (x == PARE_NONE || g->value[x].weight ||
            !pare_same_shape(&g->value[x].type, &g->value[g->node[i].out[0]].type))
            continue;
        PARE_TRY(pare_match_replace(g, i, pare_op_find("Gelu"), &by_erf, 1, &x));
        *changed = true;
    }
    return PARE_OK;
}

const pare_pass pare_pass_find_gelu = {
    .name = "find_gelu",
    .summary = "writes Gelu for the operators that spell it out",
    .shapes = true,
    .run = run,
};
