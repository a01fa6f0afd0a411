/* Tucker-2 products that a network writes as three convolutions. */
#ifndef RUNTIME_TUCKER_H
#define RUNTIME_TUCKER_H

#include "runtime/core.h"

/* Makes one Conv whose weight has the codec "tucker" of every three in a row (1x1, any kernel, 1x1,
 * nothing between) where that is modelled to be faster, and three of one where that is. Exact but
 * for the order of sums. Changes c->graph; types must be inferred, and are afterwards. */
pare_status pare_tucker_forms(pare_core *c, const char *force);

#endif
