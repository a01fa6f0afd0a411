/* Between the plain and the channel-blocked layout of an activation; matrices transposed. */
#ifndef KERNELS_REORDER_H
#define KERNELS_REORDER_H

#include <stddef.h>

/* `lanes` planes (1 <= lanes <= vl) of `pixels` numbers, `plane` numbers apart, and the same
 * numbers as `pixels` groups of vl lanes, one behind the other. The source has no other lanes;
 * those of the target become 0. Nothing overlaps. */
typedef void pare_to_blocked_fn(size_t lanes, size_t pixels, size_t plane, const float *from,
                                float *to);
/* The reverse; lanes beyond `lanes` are not read into anything. */
typedef void pare_to_plain_fn(size_t lanes, size_t pixels, size_t plane, const float *from,
                              float *to);

/* to[c * to_row + r] = from[r * from_row + c], r < rows, c < columns. Nothing overlaps. */
typedef void pare_transpose_fn(size_t rows, size_t columns, const float *from, size_t from_row,
                               float *to, size_t to_row);

/* The plain versions, for a vl of 8. */
pare_to_blocked_fn pare_to_blocked_c;
pare_to_plain_fn pare_to_plain_c;
pare_transpose_fn pare_transpose_c;

#endif
