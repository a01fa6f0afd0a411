/* Exact rewrites of a graph: the function it computes stays the same. In the order of the registry
 * (passes.c). */
#ifndef PASSES_PASS_H
#define PASSES_PASS_H

#include "ops/op.h"

typedef struct pare_pass {
    const char *name, *summary;
    bool shapes; /* needs pare_infer to have run with all shapes bound */
    pare_status (*run)(pare_graph *g, bool *changed);
} pare_pass;

extern const pare_pass *const pare_passes[];
const pare_pass *pare_pass_find(const char *name);
/* All passes in order, until nothing changes (at most 10 rounds). Infers with folding in between.
 */
pare_status pare_passes_run(pare_graph *g);

#endif
