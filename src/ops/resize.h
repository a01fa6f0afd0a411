/* Resize along one axis as weighted sums, for who runs it faster than eval. */
#ifndef OPS_RESIZE_H
#define OPS_RESIZE_H

#include "ops/op.h"

enum { PARE_RESIZE_TAPS_MOST = 32 };

/* How many input elements an output element along axis d is the sum of; 0: the axis stays as it is;
 * -1: it is no such sum (tf_crop_and_resize). `scales` or `sizes` may be NULL. The node was
 * inferred. */
int64_t pare_resize_taps(const pare_node *n, const pare_type *x, const pare_tensor *scales,
                         const pare_tensor *sizes, int d);
/* With 1 to PARE_RESIZE_TAPS_MOST of them: output element i is the sum over k < taps of weight[i *
 * taps + k] * element index[i * taps + k] of the input; no weight is 0 (0 times infinity would be
 * NaN, and eval leaves such elements out). */
void pare_resize_axis(const pare_node *n, const pare_type *x, const pare_tensor *scales,
                      const pare_tensor *sizes, int d, int32_t *index, float *weight);

#endif
