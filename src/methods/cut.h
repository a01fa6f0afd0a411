/* Cutting the constants of a graph down to live channels. What may go is decided elsewhere
 * (channels.h). */
#ifndef METHODS_CUT_H
#define METHODS_CUT_H

#include "methods/channels.h"

/* keep[c]: is channel c of `v` live? *keep is the caller's to free(). */
pare_status pare_cut_keep(const pare_channels *ch, pare_id v, bool **keep, int64_t *kept);

/* Input `slot` of `node` in `g` becomes `w`; a constant with other readers stays theirs. Takes over
 * `w`. */
pare_status pare_cut_put(pare_graph *g, pare_id node, uint32_t slot, pare_weight w);

/* Cuts dimension `axis` of the constant in `slot` to the live channels of `v`, and `axis2` to those
 * of `v2` (PARE_NONE: leave it). The stored form stays: penni and bitmap are cut as such, other
 * codecs become dense.
 */
pare_status pare_cut_slot(const pare_channels *ch, pare_graph *g, pare_id node, uint32_t slot,
                          pare_id v, int axis, pare_id v2, int axis2);

/* Removes every channel that nothing needs and reports how many went, of how many.
 * Free dimensions are taken as 64 (the batch as 1). An error of pare_infer() if that contradicts
 * the network.
 */
pare_status pare_shrink(pare_graph *g, bool exact, int64_t *gone, int64_t *of);

#endif
