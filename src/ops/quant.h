/* Scales and zero points: what the quantised operators share. Arithmetic as in ONNX Runtime, in
 * float32, so that the integers agree bit for bit. */
#ifndef OPS_QUANT_H
#define OPS_QUANT_H

#include "ops/values.h"

/* int8 and uint8: for pare_op_dtype(). */
extern const pare_dtype pare_op_bytes[];

/* Checks scale and zero point of one operand of type `t`: one number each, or `channels` of them
 * where that is not 0. An absent zero point is 0; `need_zero` refuses that. */
pare_status pare_op_quant(const char *what, pare_dtype t, const pare_arg *scale,
                          const pare_arg *zero, bool need_zero, int64_t channels);
/* The zero point alone, for operators without scales. */
pare_status pare_op_zero(const char *what, pare_dtype t, const pare_arg *zero, int64_t channels);

/* Element c of a vector, or the only element; 0 if `t` is NULL. */
static inline double pare_quant_at(const pare_tensor *t, int64_t c)
{
    return t ? pare_get(t, pare_tensor_count(t) == 1 ? 0 : c) : 0;
}

/* round(v) + zero, to nearest even, clamped to the range of `t`; NaN gives the smallest. */
double pare_saturate(pare_dtype t, float v, double zero);

#endif
