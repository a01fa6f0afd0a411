/* Where to cut: the magnitude below which coefficients are dropped, for one layer or across a
 * network. */
#ifndef METHODS_PRUNE_H
#define METHODS_PRUNE_H

#include "base/fields.h"

/* What the user asks for; a member of the options of every method that prunes. */
typedef struct pare_prune_rule {
    double density;     /* share to keep; 0: use `threshold` */
    double threshold;   /* drop |x| below this many standard deviations of the layer's coefficients
                           (zeros   included) */
    double min_density; /* no layer keeps less than this share */
} pare_prune_rule;

/* The coefficients of one layer. */
typedef struct pare_prune_item {
    float *x; /* borrowed */
    int64_t n;
    pare_prune_rule rule;
    float cut; /* out: |x| < cut goes */
} pare_prune_item;

/* Finds the cut of every item. `global`: items with the same density share one cut, so that
 * together they keep that share. Ties at the cut are kept. */
pare_status pare_prune_cuts(pare_prune_item *item, size_t n, bool global);
/* Zeroes what lies below the cut; the number that stays. */
int64_t pare_prune_apply(const pare_prune_item *item);

#endif
