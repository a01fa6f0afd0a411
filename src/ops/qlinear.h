/* Operators on 8-bit integers that only plans contain (qlinear.c says why). */
#ifndef OPS_QLINEAR_H
#define OPS_QLINEAR_H

#include "ops/op.h"

extern const pare_op pare_op_qlinear_add, pare_op_qlinear_global_average_pool;

/* Inputs in the order of the operators of these names in ONNX Runtime's domain com.microsoft. What
 * those do besides is not needed here: zero points are always given, QLinearAdd's operands have one
 * shape, and channels are never last.
 *
 * The factors of a sum, all in steps of the output: y = rint(fma(a, *a, fma(b, *b, *shift))) +
 * y_zero, clamped, for bytes a and b as they are stored; *shift holds their zero points. */
void pare_qlinear_add_factors(double a_scale, double a_zero, double b_scale, double b_zero,
                              double y_scale, float *a, float *b, float *shift);
/* The factor of a mean, steps of the output for one of the sum: y = rint((float)(sum of x - x_zero)
 * * factor) + y_zero, clamped. */
float pare_qlinear_mean_factor(double x_scale, double y_scale, int64_t pixels);

#endif
