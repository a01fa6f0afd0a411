/* One walk in order. What is not known to narrow a range has that of its type. */
#include "passes/ranges.h"

#include "ops/quant.h"

#include <math.h>
#include <string.h>

static bool is(const pare_node *n, const char *op) { return strcmp(n->op->name, op) == 0; }

static pare_bounds of_type(pare_dtype t)
{
    switch (t) {
    case PARE_U8: return (pare_bounds){ 0, 255 };
    case PARE_I8: return (pare_bounds){ -128, 127 };
    default: return (pare_bounds){ -INFINITY, INFINITY };
    }
}

/* A constant number in slot `slot`; `otherwise` if the slot is empty. false: not a constant. */
static bool number(const pare_graph *g, const pare_node *n, uint32_t slot, double otherwise,
                   double *x)
{
    *x = otherwise;
    if (slot >= n->n_in || n->in[slot] == PARE_NONE) return true;
    const pare_weight *w = pare_node_weight(g, n, slot);
    if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1) return false;
    *x = pare_tensor_get_f64(&w->part[0], 0);
    return !isnan(*x);
}

/* min(max(x, lo), hi), as Clip. */
static pare_bounds limited(pare_bounds x, double lo, double hi)
{
    return (pare_bounds){ fmin(fmax(x.lo, lo), hi), fmin(fmax(x.hi, lo), hi) };
}

/* Rounding and dividing by a positive scale keep order, so the bounds become bounds. NaN becomes
 * the type's smallest number. */
static pare_bounds quantised(const pare_graph *g, const pare_node *n, pare_bounds x, pare_dtype to)
{
    double scale, zero;
    pare_bounds all = of_type(to);
    if (g->value[n->in[0]].type.dtype != PARE_F32 || !number(g, n, 1, NAN, &scale) ||
        !number(g, n, 2, 0, &zero) || !(scale > 0) || !isfinite(scale))
        return all;
    all.hi = pare_saturate(to, (float)x.hi / (float)scale, zero);
    return all;
}

static bool moves(const pare_node *n)
{
    static const char *const names[] = { "Reshape", "Flatten",  "Squeeze",      "Unsqueeze",
                                         "Slice",   "Identity", "DepthToSpace", "Transpose" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (is(n, names[i])) return true;
    return false;
}

static pare_bounds of_node(const pare_graph *g, const pare_node *n, const pare_bounds *range,
                           pare_dtype t)
{
    pare_bounds all = of_type(t);
    if (n->n_in == 0 || n->in[0] == PARE_NONE) return all;
    pare_bounds x = range[n->in[0]];
    double lo, hi;
    if (moves(n)) return x;
    if (is(n, "Relu")) return limited(x, 0, INFINITY);
    if (is(n, "Clip"))
        return number(g, n, 1, -INFINITY, &lo) && number(g, n, 2, INFINITY, &hi)
                   ? limited(x, lo, hi)
                   : all;
    if (is(n, "QuantizeLinear")) return quantised(g, n, x, t);
    if (is(n, "MaxPool")) /* a window may lie in the padding altogether */
        return (pare_bounds){ all.lo, x.hi };
    if (is(n, "Concat")) {
        for (uint32_t i = 1; i < n->n_in; i++) {
            x.lo = fmin(x.lo, range[n->in[i]].lo);
            x.hi = fmax(x.hi, range[n->in[i]].hi);
        }
        return x;
    }
    return all;
}

void pare_ranges(const pare_graph *g, pare_bounds *range)
{
    for (uint32_t v = 0; v < g->n_values; v++) range[v] = of_type(g->value[v].type.dtype);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        if (n->op && n->n_out == 1 && n->out[0] != PARE_NONE)
            range[n->out[0]] = of_node(g, n, range, g->value[n->out[0]].type.dtype);
    }
}
