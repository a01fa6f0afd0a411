/* From a core to a plan that can run. */
#ifndef RUNTIME_RUN_H
#define RUNTIME_RUN_H

#include "runtime/core.h"

/* A plan with its own memory; takes a share of the core. */
pare_status pare_plan_of(pare_core *c, pare_plan **out);
void pare_core_free(pare_core *c); /* drops a share */

#endif
