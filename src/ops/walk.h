/* What the element-wise and data-moving operators share: lists of types, walking broadcast
 * operands, strided copies, reading and writing one number of any type. */
#ifndef OPS_WALK_H
#define OPS_WALK_H

#include "ops/op.h"

/* Lists for pare_op_dtype, ended by PARE_UNDEFINED. */
extern const pare_dtype pare_types_all[];     /* every type, bool included */
extern const pare_dtype pare_types_numbers[]; /* without bool */
extern const pare_dtype pare_types_floats[];
extern const pare_dtype pare_types_ints[];
extern const pare_dtype pare_types_index[]; /* int32, int64 */

bool pare_dtype_is_float(pare_dtype t);

/* Inputs from .. to-1 must have the type of input `from`. PARE_EFORMAT names both. */
pare_status pare_op_same_dtype(const pare_node *n, const pare_arg *in, uint32_t from, uint32_t to);
/* An input that must hold exactly one number (rank 0 or 1). */
pare_status pare_op_scalar(const pare_arg *in, const char *what);
/* Cost of operators that only move data. */
void pare_op_no_cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c);
/* A tensor of an evaluation as the shape rule saw it; type undefined if the optional input is
 * absent. */
pare_arg pare_arg_of(const pare_tensor *t);
static inline bool pare_arg_given(const pare_node *n, const pare_arg *in, uint32_t i)
{
    return i < n->n_in && in[i].type.dtype != PARE_UNDEFINED;
}

/* Walks the output in runs, along which each operand either advances by one element or stays where
 * it is.
 *
 *   pare_walk w;
 *   for (bool more = pare_walk_begin(&w, in, 2, &out[0]); more; more = pare_walk_next(&w))
 *       for (int64_t i = 0; i < w.run; i++) y[w.out + i] = a[w.at[0] + i * w.step[0]] + b[w.at[1] +
 * i * w.step[1]];
 *
 * Operands of equal shapes are one single run. */
typedef struct pare_walk {
    int n, rank;      /* operands; outer dimensions left after merging */
    int64_t run, out; /* elements of a run; its first element in the output */
    int64_t dim[PARE_MAX_RANK], index[PARE_MAX_RANK];
    int64_t at[PARE_MAX_IN], step[PARE_MAX_IN];
    int64_t stride[PARE_MAX_IN][PARE_MAX_RANK];
} pare_walk;
bool pare_walk_begin(pare_walk *w, const pare_tensor *in, int n, const pare_tensor *out);
bool pare_walk_next(pare_walk *w);

/* Element strides of a dense tensor of these dimensions. */
void pare_strides(int rank, const int64_t *dim, int64_t *stride);

/* Copies to dense `dst` of dimensions dim[rank] (rank <= 2 * PARE_MAX_RANK) the elements of `src`
 * found at the sum of index * stride; strides in elements, 0 and negative ones allowed. */
void pare_copy_strided(int rank, const int64_t *dim, const int64_t *stride, size_t element,
                       const void *src, void *dst);

/* Element i from a number, converted as Cast does. Bool is v != 0. */
void pare_put_f64(pare_tensor *t, int64_t i, double v);
void pare_put_i64(pare_tensor *t, int64_t i, int64_t v); /* uint64 takes the bits */
/* Toward zero; NaN gives 0, what does not fit the nearest int64. */
int64_t pare_truncate(double v);
/* count elements of src to the type of dst, as Cast does. */
void pare_convert(const pare_tensor *src, pare_tensor *dst);

#endif
