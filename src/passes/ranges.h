/* Between which numbers the graph itself proves a value to lie, whatever is fed in. */
#ifndef PASSES_RANGES_H
#define PASSES_RANGES_H

#include "graph/graph.h"

/* NaN aside, lo <= x <= hi. */
typedef struct pare_bounds {
    double lo, hi;
} pare_bounds;

/* range[v] for every value of a graph that is in order and has its types. */
void pare_ranges(const pare_graph *g, pare_bounds *range);

#endif
