/* Figures about a network before and after: what pare_compress() reports. */
#ifndef DRIVER_REPORT_H
#define DRIVER_REPORT_H

#include "graph/graph.h"
#include "pare/compress.h"

/* Parameters, bytes of the ONNX file and multiply-accumulates (batch 1) of a network. The rest
 * stays -1, and so does what depends on input dimensions that are free, unless shapes are given. */
pare_status pare_measure_size(const pare_graph *g, const pare_shape *shapes, size_t n_shapes,
                              pare_measure *out);

/* Fills r->layer and r->density: one entry for every node of `before` with a constant weight.
 * Strings go to `arena`. */
pare_status pare_report_layers(const pare_graph *before, const pare_graph *after,
                               const pare_shape *shapes, size_t n_shapes, pare_arena *arena,
                               pare_compress_report *r);

#endif
