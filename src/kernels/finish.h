/* The end of a convolution or product: shift, residual and activation on the way to memory. */
#ifndef KERNELS_FINISH_H
#define KERNELS_FINISH_H

#include "kernels/act.h"

#include <stddef.h>

typedef struct pare_finish {
    pare_act act;
    float lo, hi; /* CLIP */
    float alpha;  /* LEAKY */
} pare_finish;

/* y[i] = act(acc[i] + shift + residual[i]), i < n; residual may be NULL, and may be y. */
typedef void pare_finish_row_fn(size_t n, const float *acc, float shift, const float *residual,
                                const pare_finish *f, float *y);
pare_finish_row_fn pare_finish_row_c;

#endif
