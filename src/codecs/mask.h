/* Bit masks that say which elements of a sequence are stored. Not a codec: what bitmap and penni
 * share.
 *
 *   element  0 1 2 3 4 5 6 7   8 9 ...
 *   byte     [      0      ] [   1
 *   bit      0 1 2 3 4 5 6 7   0 1 ...      (bit 0 is the lowest)
 *
 * A mask is a uint8 tensor [ceil(n / 8)]; bits past the last element are 0. The elements whose bit
 * is set follow in a float32 tensor [number of set bits], in order; the others are 0. */
#ifndef CODECS_MASK_H
#define CODECS_MASK_H

#include "tensor/tensor.h"

static inline bool pare_mask_get(const uint8_t *mask, int64_t i)
{
    return mask[i >> 3] >> (i & 7) & 1;
}
static inline void pare_mask_set(uint8_t *mask, int64_t i)
{
    mask[i >> 3] |= (uint8_t)(1u << (i & 7));
}

/* Set bits among the first n. */
int64_t pare_mask_count(const uint8_t *mask, int64_t n);

/* Is `mask` a mask of n elements and does `values` hold its finite kept ones? PARE_EFORMAT with
 * both numbers.
 */
pare_status pare_mask_check(const pare_tensor *mask, const pare_tensor *values, int64_t n);

/* Makes both tensors from n numbers: keeps element i if keep[i], or, when `keep` is NULL, if x[i]
 * is not 0.
 */
pare_status pare_mask_pack(const float *x, const bool *keep, int64_t n, pare_tensor *mask,
                           pare_tensor *values);

/* The n numbers again, 0 where the bit is not set. */
void pare_mask_unpack(const pare_tensor *mask, const pare_tensor *values, int64_t n, float *x);

/* How many of a float tensor's elements are not 0. */
int64_t pare_nonzeros(const pare_tensor *t);
/* Are all elements of a float tensor finite? PARE_EFORMAT names the first that is not. */
pare_status pare_check_finite(const pare_tensor *t, const char *what);

/* pare_mask_unpack as an ONNX function body: from "mask" and "values" to "padded", all elements
 * with zeros where none is kept, up to the end of the last byte. Bit b of byte x is x/2^b -
 * 2*(x/2^(b+1)) in integers; the running count of set bits, times the bit, is where an element's
 * value stands in the table [0, values], so that no value at all is fine too. */
#define PARE_MASK_BODY                                                                \
    { "Cast", { "mask" }, { "bytes" }, { "to=7" } },                                  \
        { "Constant", { NULL }, { "column" }, { "value=i64:-1,1" } },                 \
        { "Reshape", { "bytes", "column" }, { "rows" }, { NULL } },                   \
        { "Constant", { NULL }, { "low" }, { "value=i64:1,2,4,8,16,32,64,128" } },    \
        { "Constant", { NULL }, { "high" }, { "value=i64:2,4,8,16,32,64,128,256" } }, \
        { "Constant", { NULL }, { "two" }, { "value=i64:2" } },                       \
        { "Div", { "rows", "low" }, { "down" }, { NULL } },                           \
        { "Div", { "rows", "high" }, { "half" }, { NULL } },                          \
        { "Mul", { "half", "two" }, { "even" }, { NULL } },                           \
        { "Sub", { "down", "even" }, { "bits8" }, { NULL } },                         \
        { "Constant", { NULL }, { "flat" }, { "value=i64:-1" } },                     \
        { "Reshape", { "bits8", "flat" }, { "bits" }, { NULL } },                     \
        { "Constant", { NULL }, { "axis" }, { "value=scalar i64:0" } },               \
        { "CumSum", { "bits", "axis" }, { "count" }, { NULL } },                      \
        { "Mul", { "count", "bits" }, { "index" }, { NULL } },                        \
        { "Constant", { NULL }, { "zero" }, { "value=f32:0" } },                      \
        { "Concat", { "zero", "values" }, { "table" }, { "axis=0" } },                \
    {                                                                                 \
        "Gather", { "table", "index" }, { "padded" }, { "axis=0" }                    \
    }

#endif
