/* Timing one implementation of one step on scratch data, for PARE_CHOOSE_MEASURE. */
#ifndef RUNTIME_MEASURE_H
#define RUNTIME_MEASURE_H

#include "runtime/core.h"

/* *ns: the best of a few runs after one to warm up. PARE_ENOMEM if scratch memory is not to be had.
 */
pare_status pare_measure(const pare_core *c, const pare_work *w, const pare_impl *impl,
                         const pare_prepare *p, double *ns);

#endif
