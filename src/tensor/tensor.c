#include "tensor/tensor.h"

#include "base/pages.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct pare_buffer {
    atomic_int shares;
    void (*release)(void *owner); /* NULL: `owner` is malloc'ed memory */
    void *owner;
    pare_tensor_read_fn *read; /* NULL: the numbers are in memory */
};

static const struct {
    pare_dtype dtype;
    const char *name;
    size_t size;
} dtypes[] = {
    { PARE_F32, "float32", 4 }, { PARE_U8, "uint8", 1 },   { PARE_I8, "int8", 1 },
    { PARE_U16, "uint16", 2 },  { PARE_I16, "int16", 2 },  { PARE_I32, "int32", 4 },
    { PARE_I64, "int64", 8 },   { PARE_BOOL, "bool", 1 },  { PARE_F16, "float16", 2 },
    { PARE_F64, "float64", 8 }, { PARE_U32, "uint32", 4 }, { PARE_U64, "uint64", 8 },
};

const char *pare_dtype_name(pare_dtype t)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == t) return dtypes[i].name;
    return "?";
}

size_t pare_dtype_size(pare_dtype t)
{
    for (size_t i = 0; i < sizeof dtypes / sizeof *dtypes; i++)
        if (dtypes[i].dtype == t) return dtypes[i].size;
    return 0;
}

int64_t pare_numel(int rank, const int64_t *dim)
{
    if (rank < 0 || rank > PARE_MAX_RANK) return -1;
    int64_t n = 1;
    bool zero = false;
    for (int i = 0; i < rank; i++) {
        if (dim[i] < 0) return -1;
        if (dim[i] == 0)
            zero = true;
        else if (!pare_mul_i64(n, dim[i], &n))
            return -1;
    }
    return zero ? 0 : n;
}

const char *pare_type_text(const pare_type *type, char *buffer, size_t size)
{
    size_t at = (size_t)snprintf(buffer, size, "%s", pare_dtype_name(type->dtype));
    if (type->rank < 0) return buffer;
    for (int i = 0; i < type->rank && at < size; i++) {
        const char *front = i ? "," : "[";
        at += type->dim[i] < 0 ? (size_t)snprintf(buffer + at, size - at, "%s?", front)
                               : (size_t)snprintf(buffer + at, size - at, "%s%lld", front,
                                                  (long long)type->dim[i]);
    }
    if (at < size) snprintf(buffer + at, size - at, type->rank ? "]" : "[]");
    return buffer;
}

pare_status pare_type_bytes(const pare_type *type, size_t *out)
{
    int64_t n = pare_numel(type->rank, type->dim), bytes;
    size_t size = pare_dtype_size(type->dtype);
    char text[PARE_TYPE_TEXT];
    if (size == 0)
        return pare_fail(PARE_EUNSUPPORTED, "element type %d is not supported", (int)type->dtype);
    if (n < 0 || !pare_mul_i64(n, (int64_t)size, &bytes))
        return pare_fail(PARE_ELIMIT, "a tensor %s is too large or has a free dimension",
                         pare_type_text(type, text, sizeof text));
    *out = (size_t)bytes;
    return PARE_OK;
}

bool pare_type_known(const pare_type *type)
{
    if (type->rank < 0) return false;
    for (int i = 0; i < type->rank; i++)
        if (type->dim[i] < 0) return false;
    return true;
}

bool pare_same_shape(const pare_type *a, const pare_type *b)
{
    return a->rank == b->rank &&
           memcmp(a->dim, b->dim, (size_t)(a->rank < 0 ? 0 : a->rank) * sizeof *a->dim) == 0;
}

pare_status pare_tensor_room(const pare_type *type, pare_tensor *out)
{
    size_t bytes;
    PARE_TRY(pare_type_bytes(type, &bytes));
    pare_tensor t = { .dtype = type->dtype, .rank = type->rank };
    memcpy(t.dim, type->dim, sizeof t.dim);
    size_t padded;
    if (!pare_add_size(bytes, 127, &padded))
        return pare_fail(PARE_ENOMEM, "a tensor of %zu bytes is too large", bytes);
    padded &= ~(
        size_t)63; /* a whole number of cache lines, never 0: kernels may read a full last vector */
    t.buffer = malloc(sizeof *t.buffer);
    t.data = pare_alloc_large(padded);
    if (!t.buffer || !t.data) {
        free(t.buffer);
        free(t.data);
        return pare_fail(PARE_ENOMEM, "no memory for a tensor of %zu bytes", bytes);
    }
    memset((char *)t.data + bytes, 0, padded - bytes);
    *t.buffer = (pare_buffer){ .owner = t.data };
    atomic_init(&t.buffer->shares, 1);
    *out = t;
    return PARE_OK;
}

pare_status pare_tensor_of(const pare_type *type, pare_tensor *out)
{
    PARE_TRY(pare_tensor_room(type, out));
    memset(out->data, 0, pare_tensor_bytes(out));
    return PARE_OK;
}

pare_status pare_tensor_new(pare_dtype dtype, int rank, const int64_t *dim, pare_tensor *out)
{
    pare_type type = { .dtype = dtype, .rank = rank };
    if (rank < 0 || rank > PARE_MAX_RANK)
        return pare_fail(PARE_EINVAL, "rank %d is not within 0 to %d", rank, PARE_MAX_RANK);
    for (int i = 0; i < rank; i++) type.dim[i] = dim[i];
    if (pare_numel(rank, dim) < 0)
        return pare_fail(PARE_EINVAL, "a dimension is negative or the tensor is too large");
    return pare_tensor_of(&type, out);
}

pare_status pare_tensor_adopt(const pare_type *type, void *data, void (*release)(void *),
                              void *owner, pare_tensor *out)
{
    pare_tensor t = pare_tensor_borrow(type, data);
    t.buffer = malloc(sizeof *t.buffer);
    if (!t.buffer) return pare_fail(PARE_ENOMEM, "no memory for a tensor's header");
    *t.buffer = (pare_buffer){ .release = release, .owner = owner };
    atomic_init(&t.buffer->shares, 1);
    *out = t;
    return PARE_OK;
}

pare_status pare_tensor_store(const pare_type *type, pare_tensor_read_fn *read,
                              void (*release)(void *), void *owner, pare_tensor *out)
{
    PARE_TRY(pare_tensor_adopt(type, NULL, release, owner, out));
    out->buffer->read = read;
    return PARE_OK;
}

bool pare_tensor_is_stored(const pare_tensor *t) { return t->buffer && t->buffer->read; }

pare_status pare_tensor_part(const pare_tensor *t, size_t at, size_t size, void *room,
                             const void **out)
{
    if (!pare_tensor_is_stored(t)) {
        *out = (const char *)t->data + at;
        return PARE_OK;
    }
    *out = room;
    return t->buffer->read(t->buffer->owner, at, room, size);
}

pare_status pare_tensor_load(const pare_tensor *t, pare_tensor *out)
{
    if (pare_tensor_is_stored(t)) return pare_tensor_copy(t, out);
    *out = pare_tensor_ref(t);
    return PARE_OK;
}

void pare_tensor_free(pare_tensor *t)
{
    if (!t) return;
    if (t->buffer && atomic_fetch_sub(&t->buffer->shares, 1) == 1) {
        if (t->buffer->release)
            t->buffer->release(t->buffer->owner);
        else
            free(t->buffer->owner);
        free(t->buffer);
    }
    *t = (pare_tensor){ 0 };
}

pare_tensor pare_tensor_ref(const pare_tensor *t)
{
    if (t->buffer) atomic_fetch_add(&t->buffer->shares, 1);
    return *t;
}

pare_tensor pare_tensor_borrow(const pare_type *type, void *data)
{
    pare_tensor t = { .dtype = type->dtype, .rank = type->rank, .data = data };
    memcpy(t.dim, type->dim, sizeof t.dim);
    return t;
}

pare_type pare_tensor_type(const pare_tensor *t)
{
    pare_type type = { .dtype = t->dtype, .rank = t->rank };
    memcpy(type.dim, t->dim, sizeof type.dim);
    return type;
}

int64_t pare_tensor_count(const pare_tensor *t) { return pare_numel(t->rank, t->dim); }
size_t pare_tensor_bytes(const pare_tensor *t)
{
    return (size_t)pare_tensor_count(t) * pare_dtype_size(t->dtype);
}

pare_status pare_tensor_copy(const pare_tensor *t, pare_tensor *out)
{
    pare_type type = pare_tensor_type(t);
    pare_tensor copy;
    if (!t->data && !pare_tensor_is_stored(t)) return pare_tensor_of(&type, out);
    PARE_TRY(pare_tensor_room(&type, &copy));
    const void *from;
    pare_status st = pare_tensor_part(t, 0, pare_tensor_bytes(t), copy.data, &from);
    if (st != PARE_OK) {
        pare_tensor_free(&copy);
        return st;
    }
    if (from != copy.data) memcpy(copy.data, from, pare_tensor_bytes(t));
    *out = copy;
    return PARE_OK;
}

pare_status pare_tensor_writable(pare_tensor *t)
{
    if (t->buffer && !t->buffer->release && atomic_load(&t->buffer->shares) == 1) return PARE_OK;
    pare_tensor copy;
    PARE_TRY(pare_tensor_copy(t, &copy));
    pare_tensor_free(t);
    *t = copy;
    return PARE_OK;
}

pare_status pare_tensor_i64(const int64_t *v, int rank, int64_t n, pare_tensor *out)
{
    pare_tensor t;
    PARE_TRY(pare_tensor_new(PARE_I64, rank, &n, &t));
    if (rank == 0 || n) memcpy(t.data, v, pare_tensor_bytes(&t));
    *out = t;
    return PARE_OK;
}

int64_t pare_tensor_get_i64(const pare_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case PARE_U8:
    case PARE_BOOL: return ((const uint8_t *)t->data)[i];
    case PARE_I8: return ((const int8_t *)t->data)[i];
    case PARE_U16: return ((const uint16_t *)t->data)[i];
    case PARE_I16: return ((const int16_t *)t->data)[i];
    case PARE_I32: return ((const int32_t *)t->data)[i];
    case PARE_U32: return ((const uint32_t *)t->data)[i];
    case PARE_I64:
    case PARE_U64: return ((const int64_t *)t->data)[i];
    default: {
        double v = pare_tensor_get_f64(t, i);
        if (!(v > -0x1p63)) return INT64_MIN; /* also NaN: the conversion would be undefined */
        return v < 0x1p63 ? (int64_t)v : INT64_MAX;
    }
    }
}

double pare_tensor_get_f64(const pare_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case PARE_F32: return (double)((const float *)t->data)[i];
    case PARE_F64: return ((const double *)t->data)[i];
    case PARE_F16: return (double)pare_half_to_float(((const uint16_t *)t->data)[i]);
    case PARE_U64: return (double)((const uint64_t *)t->data)[i];
    default: return (double)pare_tensor_get_i64(t, i);
    }
}

float pare_half_to_float(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000) << 16, exp = (h >> 10) & 31, man = h & 1023, bits;
    if (exp == 31)
        bits = sign | 0x7f800000 | man << 13;
    else if (exp)
        bits = sign | (exp + 112) << 23 | man << 13;
    else if (man) { /* subnormal: shift the leading one into place */
        int shift = __builtin_clz(man) - 21;
        bits = sign | (uint32_t)(113 - shift) << 23 | ((man << shift) & 1023) << 13;
    } else
        bits = sign;
    float f;
    memcpy(&f, &bits, sizeof f);
    return f;
}

uint16_t pare_float_to_half(float f)
{
    uint32_t bits;
    memcpy(&bits, &f, sizeof bits);
    uint32_t sign = (bits >> 16) & 0x8000, mag = bits & 0x7fffffff;
    if (mag > 0x7f800000) return (uint16_t)(sign | 0x7e00);  /* NaN */
    if (mag >= 0x477ff000) return (uint16_t)(sign | 0x7c00); /* rounds to infinity */
    if (mag < 0x33000001) return (uint16_t)sign;             /* rounds to zero */
    uint32_t man = (mag & 0x7fffff) | 0x800000;
    int exp = (int)(mag >> 23) - 112, drop = exp > 0 ? 13 : 14 - exp;
    uint32_t kept = man >> drop, rest = man & ((1u << drop) - 1), half = 1u << (drop - 1);
    if (rest > half || (rest == half && (kept & 1))) kept++;
    if (exp > 0)
        kept += ((uint32_t)exp - 1)
                << 10; /* the leading one of `kept` adds the last exponent step */
    return (uint16_t)(sign | kept);
}
