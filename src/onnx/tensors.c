/* TensorProto from and to a tensor: every way in which ONNX stores numbers, in one place.
 *
 * The numbers present must be as many as the shape says before memory is taken, so a small file
 * cannot ask for much. */
#include "onnx/onnx.h"
#include "tensor/tensor.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__,
               "raw_data is little endian and copied as it is");

const char *pare_onnx_dtype_name(int t)
{
    static const char *const others[] = {
        [8] = "string",      [14] = "complex64",      [15] = "complex128",
        [16] = "bfloat16",   [17] = "float8e4m3fn",   [18] = "float8e4m3fnuz",
        [19] = "float8e5m2", [20] = "float8e5m2fnuz", [21] = "uint4",
        [22] = "int4",       [23] = "float4e2m1",
    };
    if (pare_dtype_size((pare_dtype)t)) return pare_dtype_name((pare_dtype)t);
    if (t >= 0 && t < (int)(sizeof others / sizeof *others) && others[t]) return others[t];
    return "of an unknown type";
}

/* As what pare reads elements. */
static pare_dtype read_as(int t)
{
    return t == PARE_ONNX_UINT4 ? PARE_U8 : t == PARE_ONNX_INT4 ? PARE_I8 : (pare_dtype)t;
}

static size_t stored_bytes(const Onnx__TensorProto *t, size_t bytes)
{
    return pare_onnx_is_narrow(t->data_type) ? bytes / 2 + bytes % 2 : bytes;
}

/* In place: from the first bytes, two numbers each, the lower half first, to a byte for each. */
static void widen(const Onnx__TensorProto *t, pare_tensor *r)
{
    if (!pare_onnx_is_narrow(t->data_type)) return;
    uint8_t *at = r->data;
    for (size_t i = pare_tensor_bytes(r); i-- > 0;) {
        uint8_t v = at[i / 2] >> (i % 2 ? 4 : 0) & 15;
        at[i] = t->data_type == PARE_ONNX_INT4 && v > 7 ? (uint8_t)(v - 16) : v;
    }
}

static pare_status type_of(const Onnx__TensorProto *t, pare_type *type)
{
    if (t->segment) return pare_fail(PARE_EUNSUPPORTED, "tensors in segments are not supported");
    if (!t->has_data_type || t->data_type == 0)
        return pare_fail(PARE_EFORMAT, "it has no element type");
    if (pare_dtype_size(read_as(t->data_type)) == 0)
        return pare_fail(PARE_EUNSUPPORTED, "elements %s (%d) are not supported",
                         pare_onnx_dtype_name(t->data_type), t->data_type);
    if (t->n_dims > PARE_MAX_RANK)
        return pare_fail(PARE_EUNSUPPORTED, "rank %zu is above %d", t->n_dims, PARE_MAX_RANK);
    *type = (pare_type){ .dtype = read_as(t->data_type), .rank = (int)t->n_dims };
    for (size_t i = 0; i < t->n_dims; i++) {
        if (t->dims[i] < 0)
            return pare_fail(PARE_EFORMAT, "dimension %zu is %lld", i, (long long)t->dims[i]);
        type->dim[i] = t->dims[i];
    }
    return PARE_OK;
}

static pare_status count_is(size_t have, int64_t want, const char *what)
{
    if ((int64_t)have == want) return PARE_OK;
    return pare_fail(PARE_EFORMAT, "it has %zu numbers in %s, its shape needs %lld", have, what,
                     (long long)want);
}

static pare_status misfit(long long v, pare_dtype t)
{
    return pare_fail(PARE_EFORMAT, "%lld does not fit %s", v, pare_dtype_name(t));
}

/* int32_data holds the small types too; float16 as its bits. */
static pare_status from_int32(const Onnx__TensorProto *t, pare_tensor *out)
{
#define CASE(DTYPE, T, LO, HI)                                 \
    case DTYPE:                                                \
        for (size_t i = 0; i < t->n_int32_data; i++) {         \
            int32_t v = t->int32_data[i];                      \
            if (v < (LO) || v > (HI)) return misfit(v, DTYPE); \
            ((T *)out->data)[i] = (T)v;                        \
        }                                                      \
        break;
    switch (out->dtype) {
        CASE(PARE_I32, int32_t, INT32_MIN, INT32_MAX)
        CASE(PARE_I16, int16_t, INT16_MIN, INT16_MAX)
        CASE(PARE_I8, int8_t, INT8_MIN, INT8_MAX)
        CASE(PARE_U16, uint16_t, 0, UINT16_MAX)
        CASE(PARE_F16, uint16_t, 0, UINT16_MAX)
        CASE(PARE_U8, uint8_t, 0, UINT8_MAX)
        CASE(PARE_BOOL, uint8_t, 0, 1)
    default: break;
    }
#undef CASE
    return PARE_OK;
}

static pare_status from_typed(const Onnx__TensorProto *t, int64_t count, pare_tensor *out)
{
    pare_type type;
    PARE_TRY(type_of(t, &type));
    size_t have = 0;
    const char *what = "raw_data";
    const void *data = NULL;
    switch (type.dtype) {
    case PARE_F32: have = t->n_float_data, what = "float_data", data = t->float_data; break;
    case PARE_F64: have = t->n_double_data, what = "double_data", data = t->double_data; break;
    case PARE_I64: have = t->n_int64_data, what = "int64_data", data = t->int64_data; break;
    case PARE_U64: have = t->n_uint64_data, what = "uint64_data", data = t->uint64_data; break;
    case PARE_U32: have = t->n_uint64_data, what = "uint64_data"; break;
    default: have = t->n_int32_data, what = "int32_data"; break;
    }
    bool narrow = pare_onnx_is_narrow(t->data_type);
    PARE_TRY(count_is(have, narrow ? count / 2 + count % 2 : count, what));
    pare_tensor r;
    PARE_TRY(pare_tensor_of(&type, &r));
    pare_status st = PARE_OK;
    if (data)
        memcpy(r.data, data, pare_tensor_bytes(&r));
    else if (type.dtype == PARE_U32)
        for (size_t i = 0; st == PARE_OK && i < have; i++) {
            if (t->uint64_data[i] > UINT32_MAX) st = misfit((long long)t->uint64_data[i], PARE_U32);
            ((uint32_t *)r.data)[i] = (uint32_t)t->uint64_data[i];
        }
    else if (narrow)
        for (size_t i = 0; st == PARE_OK && i < have; i++) {
            if (t->int32_data[i] < 0 || t->int32_data[i] > UINT8_MAX)
                st = misfit(t->int32_data[i], PARE_U8);
            ((uint8_t *)r.data)[i] = (uint8_t)t->int32_data[i];
        }
    else
        st = from_int32(t, &r);
    if (st == PARE_OK) widen(t, &r);
    if (st != PARE_OK)
        pare_tensor_free(&r);
    else
        *out = r;
    return st;
}

/* A decimal number as external_data spells offset and length. */
static pare_status number(const char *key, const char *text, uint64_t *out)
{
    char *end;
    errno = 0;
    unsigned long long v =
        *text >= '0' && *text <= '9' ? strtoull(text, &end, 10) : (end = (char *)text, 0);
    if (end == text || *end || errno)
        return pare_fail(PARE_EFORMAT, "external data: %s '%.40s' is not a number", key, text);
    *out = v;
    return PARE_OK;
}

static pare_status from_external(pare_tensor_source *src, const Onnx__TensorProto *t,
                                 const pare_type *type, pare_tensor *out)
{
    const char *location = NULL;
    uint64_t offset = 0, length = UINT64_MAX;
    for (size_t i = 0; i < t->n_external_data; i++) {
        const char *key = t->external_data[i]->key, *value = t->external_data[i]->value;
        if (!key || !value)
            return pare_fail(PARE_EFORMAT, "external data with a key or value missing");
        if (strcmp(key, "location") == 0)
            location = value;
        else if (strcmp(key, "offset") == 0)
            PARE_TRY(number(key, value, &offset));
        else if (strcmp(key, "length") == 0)
            PARE_TRY(number(key, value, &length));
    }
    if (!location) return pare_fail(PARE_EFORMAT, "external data without a location");
    if (!src->folder)
        return pare_fail(PARE_EUNSUPPORTED, "external data '%s' is not read for a model in memory",
                         location);
    size_t bytes;
    PARE_TRY(pare_type_bytes(type, &bytes));
    bytes = stored_bytes(t, bytes);
    if (length != UINT64_MAX && length != bytes)
        return pare_fail(PARE_EFORMAT,
                         "external data '%s' has length %llu, the shape needs %zu bytes", location,
                         (unsigned long long)length, bytes);
    if (bytes > src->left)
        return pare_fail(PARE_ELIMIT,
                         "external data of %zu bytes, but %zu of the %zu that are read are left",
                         bytes, src->left, PARE_ONNX_DATA_MOST);
    /* Memory is taken only when the file is known to hold as much. */
    PARE_TRY(pare_external_read(src->folder, location, offset, NULL, bytes));
    pare_tensor r;
    PARE_TRY(pare_tensor_room(type, &r));
    pare_status st = pare_external_read(src->folder, location, offset, r.data, bytes);
    if (st != PARE_OK) {
        pare_tensor_free(&r);
        return st;
    }
    src->left -= bytes;
    widen(t, &r);
    *out = r;
    return PARE_OK;
}

pare_status pare_tensor_read(pare_tensor_source *src, const Onnx__TensorProto *t, pare_tensor *out)
{
    pare_type type;
    PARE_TRY(type_of(t, &type));
    int64_t count = pare_numel(type.rank, type.dim);
    size_t bytes;
    PARE_TRY(pare_type_bytes(&type, &bytes));
    bytes = stored_bytes(t, bytes);
    bool typed = t->n_float_data || t->n_int32_data || t->n_int64_data || t->n_double_data ||
                 t->n_uint64_data;
    bool external =
        t->has_data_location && t->data_location == ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    size_t have = src->cut && src->cut->size ? src->cut->size
                  : t->has_raw_data          ? t->raw_data.len
                                             : 0;
    bool raw = have > 0;
    if (typed + external + raw > 1)
        return pare_fail(PARE_EFORMAT, "its numbers are stored in more than one way");
    if (external)
        PARE_TRY(from_external(src, t, &type, out));
    else if (typed)
        return from_typed(t, count, out);
    else {
        if (have != bytes)
            return pare_fail(PARE_EFORMAT, "it has %zu bytes of data, its shape needs %zu", have,
                             bytes);
        if (src->file && src->cut && src->cut->size && type.dtype == PARE_F32)
            return pare_onnx_file_tensor(src->file, src->cut->at, &type, out);
        pare_tensor r;
        PARE_TRY(pare_tensor_room(&type, &r));
        pare_status st = PARE_OK;
        if (src->cut && src->cut->size)
            st = pare_onnx_bytes_read(src->bytes, src->cut->at, r.data, have);
        else if (have)
            memcpy(r.data, t->raw_data.data, have);
        if (st != PARE_OK) {
            pare_tensor_free(&r);
            return st;
        }
        widen(t, &r);
        *out = r;
    }
    if (type.dtype == PARE_BOOL) /* any other byte would be neither true nor false to C */
        for (int64_t i = 0; i < count; i++)
            ((uint8_t *)out->data)[i] = ((uint8_t *)out->data)[i] != 0;
    return PARE_OK;
}

pare_status pare_tensor_write(const pare_tensor *t, const char *name, pare_arena *arena,
                              Onnx__TensorProto *out)
{
    out->dims = pare_arena_copy(arena, t->dim, (size_t)t->rank * sizeof *t->dim);
    out->name = (char *)name;
    if (!out->dims)
        return pare_fail(PARE_ENOMEM, "no memory to write '%s'", name ? name : "a tensor");
    out->n_dims = (size_t)t->rank;
    out->has_data_type = true;
    out->data_type = (int32_t)t->dtype;
    out->has_raw_data = true;
    out->raw_data.data = t->data;
    out->raw_data.len = pare_tensor_bytes(t);
    return PARE_OK;
}
