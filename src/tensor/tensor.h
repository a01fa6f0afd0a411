/* Tensors inside the library: sharing, copying, and walking shapes. The public part is
 * pare/tensor.h. */
#ifndef TENSOR_TENSOR_H
#define TENSOR_TENSOR_H

#include "base/status.h"
#include "pare/tensor.h"

/* Another share of the same memory. */
pare_tensor pare_tensor_ref(const pare_tensor *t);
/* Makes `t` the only owner of its memory, copying if it is shared or borrowed. */
pare_status pare_tensor_writable(pare_tensor *t);
pare_status pare_tensor_copy(const pare_tensor *t, pare_tensor *out);
/* Same as pare_tensor_new from a type; every dimension must be known. */
pare_status pare_tensor_of(const pare_type *type, pare_tensor *out);
/* The same with undefined numbers, for who fills them all; what pads the last cache line is zero.
 */
pare_status pare_tensor_room(const pare_type *type, pare_tensor *out);

/* Wraps memory that stays the caller's. */
pare_tensor pare_tensor_borrow(const pare_type *type, void *data);

/* Wraps memory that somebody else allocated: `release(owner)` is called when the last share is
 * dropped. On error the caller still owns it. For mapped files and unpacked messages. */
pare_status pare_tensor_adopt(const pare_type *type, void *data, void (*release)(void *owner),
                              void *owner, pare_tensor *out);

/* A stored tensor has its numbers elsewhere, in a file: `data` is NULL, and `read` copies `size` of
 * its bytes from `at` on; several threads may ask at once. Only a plan's packing and pare_tensor_
 * load(), copy() and part() expect one. On error the caller still owns `owner`. */
typedef pare_status pare_tensor_read_fn(void *owner, size_t at, void *into, size_t size);
pare_status pare_tensor_store(const pare_type *type, pare_tensor_read_fn *read,
                              void (*release)(void *owner), void *owner, pare_tensor *out);
bool pare_tensor_is_stored(const pare_tensor *t);
/* `size` bytes from `at` on: in `room` if the tensor is stored, else where they lie. */
pare_status pare_tensor_part(const pare_tensor *t, size_t at, size_t size, void *room,
                             const void **out);
/* The tensor in memory: another share, or a new one that was read. */
pare_status pare_tensor_load(const pare_tensor *t, pare_tensor *out);

pare_type pare_tensor_type(const pare_tensor *t);
/* Elements and bytes of a tensor that exists (its size was checked when it was made). */
int64_t pare_tensor_count(const pare_tensor *t);
size_t pare_tensor_bytes(const pare_tensor *t);

/* Checked bytes of a type: PARE_ELIMIT if a dimension is negative or the product overflows. */
pare_status pare_type_bytes(const pare_type *type, size_t *out);
bool pare_type_known(const pare_type *type); /* every dimension >= 0 */
bool pare_same_shape(const pare_type *a, const pare_type *b);
/* "float32[1,3,32,32]" into `buffer`, which it returns; free dimensions print as ?. */
const char *pare_type_text(const pare_type *type, char *buffer, size_t size);
enum { PARE_TYPE_TEXT = 220 };

/* A scalar or vector of int64, for shape arithmetic. */
pare_status pare_tensor_i64(const int64_t *v, int rank, int64_t n, pare_tensor *out);
/* Element i as an integer / real, whatever the numeric type. */
int64_t pare_tensor_get_i64(const pare_tensor *t, int64_t i);
double pare_tensor_get_f64(const pare_tensor *t, int64_t i);

float pare_half_to_float(uint16_t h);
uint16_t pare_float_to_half(float f); /* round to nearest even */

#endif
