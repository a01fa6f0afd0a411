/* From DequantizeLinear -> operator -> QuantizeLinear to one operator on integers. */
#ifndef PASSES_QDQ_H
#define PASSES_QDQ_H

#include "graph/graph.h"

/* Rewrites what it recognises; types must be inferred, and are stale afterwards. Not one of the
 * exact passes: a result at the border of two integers may round the other way (qdq.c). */
pare_status pare_qdq(pare_graph *g);

#endif
