/* The loss and its gradient; the learning rate of a step. Pure functions. */
#ifndef TRAIN_LOSS_H
#define TRAIN_LOSS_H

#include "pare/train.h"

/* Mean cross-entropy of `n` rows of logits against `label` (with smoothing), mixed with the
 * distance to a teacher's logits at a temperature when there are some. `d` (NULL: not wanted)
 * receives the gradient of the mean. Sums in order.
 * @param skip     outputs before that of class 0; labels are moved by it
 * @param correct  receives how many rows have their largest output (past `skip`) at the label */
double pare_loss(const pare_train_options *o, size_t n, size_t classes, size_t skip,
                 const float *logits, const int *label, const float *teacher, float *d,
                 int64_t *correct);

/* Learning rate of step `step` of `steps` (in all epochs together, of `steps_per_epoch` each). */
double pare_train_rate(const pare_train_options *o, int64_t step, int64_t steps,
                       int64_t steps_per_epoch);

#endif
