/* Windows over one block of channels: depthwise convolution, largest and mean. */
#ifndef KERNELS_WINDOW_BLOCKED_H
#define KERNELS_WINDOW_BLOCKED_H

#include "kernels/act.h"

#include <stddef.h>
#include <stdint.h>

typedef enum pare_window_kind {
    PARE_WINDOW_SUM,  /* act(sum of w * x + shift + residual) */
    PARE_WINDOW_MAX,  /* the largest x, NaN if there is one; -inf where no tap lies in the map */
    PARE_WINDOW_MEAN, /* (sum of x) / (count_y * count_x) */
} pare_window_kind;

/* For output rows [first, end), every output column and every lane, over the taps that lie inside
 * the map, in order of tap rows, then tap columns:
 *
 *   tap (i, j) of output (oy, ox) is x[oy * stride_y - pad_y + i * dil_y]
 *                                     [ox * stride_x - pad_x + j * dil_x]
 *
 *   x         [in_y][in_x][vl]
 *   w         SUM: [kernel_y][kernel_x][vl]
 *   shift     SUM: [vl]
 *   residual  SUM: [out_y][out_x][vl] or NULL; may be y
 *   count_y   MEAN: [out_y], count_x: [out_x]
 *   y         [out_y][out_x][vl]; x and y do not overlap */
typedef struct pare_window_blocked {
    pare_window_kind kind;
    size_t vl; /* of the table; the plain version takes any up to PARE_VL_MOST */
    int64_t in_y, in_x, out_x, kernel_y, kernel_x, stride_y, stride_x, dil_y, dil_x, pad_y, pad_x;
    int64_t inner, outer; /* all tap columns of the output columns [inner, outer) lie inside */
    int64_t first, end;
    const float *x, *w, *shift, *residual, *count_y, *count_x;
    float *y;
    pare_act act;
    float lo, hi, alpha;
} pare_window_blocked;
typedef void pare_window_blocked_fn(const pare_window_blocked *t);

/* The taps i < count for which 0 <= at + i * step < size, as [*from, *to). */
static inline void pare_taps_inside(int64_t at, int64_t step, int64_t count, int64_t size,
                                    int64_t *from, int64_t *to)
{
    int64_t lo = 0, hi = count;
    while (lo < hi && at + lo * step < 0) lo++;
    while (lo < hi && at + (hi - 1) * step >= size) hi--;
    *from = lo;
    *to = hi;
}

#endif
