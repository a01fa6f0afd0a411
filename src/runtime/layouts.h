/* Which layout every activation of a plan lies in, and the steps that reorder where two meet. */
#ifndef RUNTIME_LAYOUTS_H
#define RUNTIME_LAYOUTS_H

#include "runtime/core.h"

/* Bytes of a value in the channel-blocked layout; vl numbers make a block. PARE_ELIMIT: too many.
 */
pare_status pare_blocked_bytes(const pare_type *type, size_t vl, size_t *out);

/* Picks one of the offers of every step, w->offer[w->chosen], so that modelled time and reorders
 * together are as little as a local search finds. The same choice for the same plan on every run.
 */
pare_status pare_layouts_choose(pare_core *c);

/* Puts reorder steps into c->work where a step reads what lies in the other layout. */
pare_status pare_layouts_meet(pare_core *c);

/* The layout in which step w reads value v. */
pare_layout pare_reads(const pare_core *c, const pare_work *w, pare_id v);

#endif
