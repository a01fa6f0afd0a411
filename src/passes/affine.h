/* Nodes that only scale and shift whole channels: y[n][c][...] = scale[c] * x[n][c][...] +
 * shift[c].
 *
 * BatchNormalization, and Mul, Add, Sub, Div with a constant of one number or one per channel.
 * Instead of the channels, dimension 1, it may be the columns, the last. Passes fold them into the
 * weights in front; the plan fuses what is left into the step in front.
 */
#ifndef PASSES_AFFINE_H
#define PASSES_AFFINE_H

#include "ops/op.h"

/* Is `n` such a node with x = value `v`, whose type is known, along dimension `axis`? No arrays are
 * written unless it is. scale, shift: v's dim[axis] numbers each. */
bool pare_affine_is(const pare_graph *g, const pare_node *n, pare_id v, int axis);
void pare_affine_get(const pare_graph *g, const pare_node *n, pare_id v, int axis, double *scale,
                     double *shift);

#endif
