/* How far two tensors are apart, relative to the largest number of the first. */
#ifndef DRIVER_SPREAD_H
#define DRIVER_SPREAD_H

#include "tensor/tensor.h"

#include <math.h>

/* The difference of an output, over all samples. */
typedef struct pare_spread {
    double difference, largest; /* max |a-b|, max |a| */
} pare_spread;

/* Adds the elements [first, first + n) of two tensors. A NaN, or an infinity that the other does
 * not have, differs infinitely. */
static inline void pare_spread_add(const pare_tensor *a, const pare_tensor *b, int64_t first,
                                   int64_t n, pare_spread *s)
{
    for (int64_t i = first; i < first + n; i++) {
        double x = pare_tensor_get_f64(a, i), y = pare_tensor_get_f64(b, i);
        double d = x == y ? 0 : fabs(x - y);
        if (!(d <= INFINITY)) d = INFINITY;
        if (d > s->difference) s->difference = d;
        if (isfinite(x) && fabs(x) > s->largest) s->largest = fabs(x);
    }
}

static inline double pare_spread_relative(const pare_spread *s)
{
    if (s->difference == 0) return 0;
    return s->largest > 0 ? s->difference / s->largest : INFINITY;
}

#endif
