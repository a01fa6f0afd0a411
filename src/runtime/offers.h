/* Every implementation of every layer of a network, timed beside what its model says. */
#ifndef RUNTIME_OFFERS_H
#define RUNTIME_OFFERS_H

#include "pare/plan.h"

/* `impl` is a name that lives as long as the program. */
typedef void pare_offer_fn(void *user, const char *impl, double modelled_ns, double measured_ns);
/* On one thread, free first dimensions set to 1. The models' own numbers, not tuned ones.
 * PARE_EINVAL: another free dimension; PARE_EUNSUPPORTED: a shape depends on data; PARE_ENOMEM. */
pare_status pare_plan_offers(const pare_graph *graph, pare_offer_fn *fn, void *user);
/* The instruction set that plans use: "avx512". */
const char *pare_isa_name(void);

#endif
