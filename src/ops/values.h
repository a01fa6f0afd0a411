/* Elements of tensors as doubles, whatever their type, and operands that may be absent: how the
 * operators of neural networks read and write. Meant for eval, which is slow and obvious; no
 * implementation uses it. */
#ifndef OPS_VALUES_H
#define OPS_VALUES_H

#include "ops/op.h"

/* float32, float64, float16: for pare_op_dtype(). */
extern const pare_dtype pare_op_floats[];

/* Is input `i` present? For infer. */
static inline bool pare_op_has(const pare_node *n, const pare_arg *in, uint32_t i)
{
    return i < n->n_in && in[i].type.dtype != PARE_UNDEFINED;
}

/* Input `i`, NULL if absent. For eval. */
static inline const pare_tensor *pare_op_in(const pare_node *n, const pare_tensor *in, uint32_t i)
{
    return i < n->n_in && in[i].data ? &in[i] : NULL;
}

static inline double pare_get(const pare_tensor *t, int64_t i)
{
    if (t->dtype == PARE_F32) return (double)((const float *)t->data)[i];
    return pare_tensor_get_f64(t, i);
}

/* Rounds to the element type once. Integers must be whole and in range already. */
static inline void pare_put(pare_tensor *t, int64_t i, double v)
{
    switch (t->dtype) {
    case PARE_F32: ((float *)t->data)[i] = (float)v; break;
    case PARE_F64: ((double *)t->data)[i] = v; break;
    case PARE_F16: ((uint16_t *)t->data)[i] = pare_float_to_half((float)v); break;
    case PARE_U8: ((uint8_t *)t->data)[i] = (uint8_t)v; break;
    case PARE_I8: ((int8_t *)t->data)[i] = (int8_t)v; break;
    case PARE_U16: ((uint16_t *)t->data)[i] = (uint16_t)v; break;
    case PARE_I16: ((int16_t *)t->data)[i] = (int16_t)v; break;
    case PARE_I32: ((int32_t *)t->data)[i] = (int32_t)v; break;
    default: break; /* no operator here writes other types */
    }
}

/* Room for `n` doubles, at least one; *out is the caller's to free(). */
pare_status pare_op_doubles(int64_t n, double **out);

/* sum[i] += w * (x[at + i * step] - zero) for i < n. */
void pare_row_add(double *sum, int64_t n, double w, const pare_tensor *x, int64_t at, int64_t step,
                  double zero);

/* The product of a[a_at + i * a_step] and b[b_at + i * b_step], summed over i < n. */
double pare_row_dot(int64_t n, const pare_tensor *a, int64_t a_at, int64_t a_step,
                    const pare_tensor *b, int64_t b_at, int64_t b_step);

/* Fails with PARE_EFORMAT unless `t` is a vector of `n` elements. */
pare_status pare_op_vector(const char *what, const pare_type *t, int64_t n);

#endif
