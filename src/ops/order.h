/* Numbers of any type as unsigned keys of the same order: used by top_k.c and arg.c only. */
#ifndef OPS_ORDER_H
#define OPS_ORDER_H

#include "ops/walk.h"

#include <string.h>

/* Equal keys for equal numbers (-0 is 0); NaN is above everything, as in numpy. */
static inline uint64_t pare_order_key(const pare_tensor *t, int64_t i)
{
    const uint64_t top = UINT64_C(1) << 63;
    if (!pare_dtype_is_float(t->dtype))
        return (uint64_t)pare_tensor_get_i64(t, i) ^ (t->dtype == PARE_U64 ? 0 : top);
    double v = pare_tensor_get_f64(t, i) + 0.0;
    if (v != v) return UINT64_MAX;
    uint64_t bits;
    memcpy(&bits, &v, sizeof bits);
    return bits & top ? ~bits : bits | top;
}

#endif
