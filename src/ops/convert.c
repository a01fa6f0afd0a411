/* Numbers from one element type to another, as Cast does; used by every operator that writes any
 * type.
 *
 * ONNX leaves open what a float outside an integer's range gives. Here: truncated toward zero,
 * limited to 64 bits (NaN is 0), then the low bits are taken, as between integers. */
#include "ops/walk.h"

#include <string.h>

int64_t pare_truncate(double v)
{
    if (v != v) return 0;
    if (v <= -0x1p63) return INT64_MIN;
    return v < 0x1p63 ? (int64_t)v : INT64_MAX;
}

/* uint64 reaches further up than int64. */
static uint64_t truncate_u64(double v)
{
    return v >= 0x1p64 ? UINT64_MAX : v >= 0x1p63 ? (uint64_t)v : (uint64_t)pare_truncate(v);
}

#define EACH_INT(X)       \
    X(PARE_U8, uint8_t)   \
    X(PARE_I8, int8_t)    \
    X(PARE_U16, uint16_t) \
    X(PARE_I16, int16_t) X(PARE_I32, int32_t) X(PARE_U32, uint32_t) X(PARE_I64, int64_t)

/* n elements from element `at` on, from doubles. */
static void put_reals(pare_tensor *t, int64_t at, const double *v, int64_t n)
{
    switch (t->dtype) {
#define CASE(DTYPE, T)                                                                   \
    case DTYPE:                                                                          \
        for (int64_t i = 0; i < n; i++) ((T *)t->data)[at + i] = (T)pare_truncate(v[i]); \
        break;
        EACH_INT(CASE)
#undef CASE
    case PARE_U64:
        for (int64_t i = 0; i < n; i++) ((uint64_t *)t->data)[at + i] = truncate_u64(v[i]);
        break;
    case PARE_BOOL:
        for (int64_t i = 0; i < n; i++) ((uint8_t *)t->data)[at + i] = v[i] != 0;
        break;
    case PARE_F32:
        for (int64_t i = 0; i < n; i++) ((float *)t->data)[at + i] = (float)v[i];
        break;
    case PARE_F64: memcpy((double *)t->data + at, v, (size_t)n * sizeof *v); break;
    case PARE_F16:
        for (int64_t i = 0; i < n; i++)
            ((uint16_t *)t->data)[at + i] = pare_float_to_half((float)v[i]);
        break;
    case PARE_UNDEFINED: break;
    }
}

/* The same from 64-bit integers; `is_unsigned` tells how to read them for the float types. */
static void put_ints(pare_tensor *t, int64_t at, const int64_t *v, int64_t n, bool is_unsigned)
{
    switch (t->dtype) {
#define CASE(DTYPE, T)                                                    \
    case DTYPE:                                                           \
        for (int64_t i = 0; i < n; i++) ((T *)t->data)[at + i] = (T)v[i]; \
        break;
        EACH_INT(CASE)
        CASE(PARE_U64, uint64_t)
#undef CASE
    case PARE_BOOL:
        for (int64_t i = 0; i < n; i++) ((uint8_t *)t->data)[at + i] = v[i] != 0;
        break;
#define CASE(DTYPE, T, STORE)                     \
    case DTYPE:                                   \
        for (int64_t i = 0; i < n; i++) {         \
            ((T *)t->data)[at + i] = STORE(v[i]); \
        }                                         \
        break;
#define TO_F32(x) (is_unsigned ? (float)(uint64_t)(x) : (float)(x))
#define TO_F64(x) (is_unsigned ? (double)(uint64_t)(x) : (double)(x))
#define TO_F16(x) pare_float_to_half(TO_F32(x))
        CASE(PARE_F32, float, TO_F32)
        CASE(PARE_F64, double, TO_F64)
        CASE(PARE_F16, uint16_t, TO_F16)
#undef CASE
    case PARE_UNDEFINED: break;
    }
}

void pare_put_f64(pare_tensor *t, int64_t i, double v) { put_reals(t, i, &v, 1); }
void pare_put_i64(pare_tensor *t, int64_t i, int64_t v)
{
    put_ints(t, i, &v, 1, t->dtype == PARE_U64);
}

void pare_convert(const pare_tensor *src, pare_tensor *dst)
{
    enum { CHUNK = 256 };
    int64_t count = pare_tensor_count(src);
    if (src->dtype == dst->dtype) {
        if (count) memcpy(dst->data, src->data, pare_tensor_bytes(src));
        return;
    }
    bool real = pare_dtype_is_float(src->dtype);
    for (int64_t at = 0; at < count; at += CHUNK) {
        int64_t n = count - at < CHUNK ? count - at : CHUNK;
        double f[CHUNK];
        int64_t v[CHUNK];
        if (real) {
            for (int64_t i = 0; i < n; i++) f[i] = pare_tensor_get_f64(src, at + i);
            put_reals(dst, at, f, n);
        } else {
            for (int64_t i = 0; i < n; i++) v[i] = pare_tensor_get_i64(src, at + i);
            put_ints(dst, at, v, n, src->dtype == PARE_U64);
        }
    }
}
