/* Element types, tensor types and tensors: dense, row-major, at most 8 dimensions. */
#ifndef PARE_TENSOR_H
#define PARE_TENSOR_H

#include "pare/base.h"

PARE_BEGIN

/** Element types; the numbers are those of ONNX's TensorProto.DataType. */
typedef enum pare_dtype {
    PARE_UNDEFINED = 0,
    PARE_F32 = 1,
    PARE_U8 = 2,
    PARE_I8 = 3,
    PARE_U16 = 4,
    PARE_I16 = 5,
    PARE_I32 = 6,
    PARE_I64 = 7,
    PARE_BOOL = 9,
    PARE_F16 = 10,
    PARE_F64 = 11,
    PARE_U32 = 12,
    PARE_U64 = 13
} pare_dtype;

enum { PARE_MAX_RANK = 8 };

/** Element type and shape. A dimension of -1 is free; rank -1 means that the rank is unknown. */
typedef struct pare_type {
    pare_dtype dtype;
    int rank;
    int64_t dim[PARE_MAX_RANK];
} pare_type;

/** Reference-counted memory, immutable once shared. */
typedef struct pare_buffer pare_buffer;

/** A tensor: type, data and a share of the memory that holds the data.
 * Zero-initialised it is empty and may be freed. `buffer` is NULL where the memory is borrowed. */
typedef struct pare_tensor {
    pare_dtype dtype;
    int rank;
    int64_t dim[PARE_MAX_RANK];
    void *data; /**< 64-byte aligned when pare allocated it */
    pare_buffer *buffer;
} pare_tensor;

/** "float32" and so on; "?" for unknown numbers. */
PARE_API const char *pare_dtype_name(pare_dtype t);
/** Bytes of one element, 0 for unknown types. */
PARE_API size_t pare_dtype_size(pare_dtype t);

/** Number of elements; -1 if a dimension is free or the product does not fit 63 bits. */
PARE_API int64_t pare_numel(int rank, const int64_t *dim);

/** Allocates a zeroed tensor; `out` is the caller's to pare_tensor_free() and untouched on error.
 * @retval PARE_ENOMEM  the memory is not to be had
 * @retval PARE_EINVAL  a dimension is negative, the rank above 8, or the size overflows */
PARE_API PARE_NODISCARD pare_status pare_tensor_new(pare_dtype dtype, int rank, const int64_t *dim,
                                                    pare_tensor *out);

/** Drops this share of the memory and empties `t`. Fine on an empty tensor and on NULL. */
PARE_API void pare_tensor_free(pare_tensor *t);

PARE_END
#endif
