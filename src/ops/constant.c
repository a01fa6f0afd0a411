/* Numbers out of nothing: Constant ConstantOfShape Range EyeLike. */
#include "ops/walk.h"

#include <math.h>
#include <string.h>

/* --- Constant --- */

typedef struct constant_attrs {
    pare_tensor value;
    double value_float; /* NaN: not given */
    int64_t value_int;
    pare_reals value_floats;
    pare_ints value_ints;
} constant_attrs;
static const pare_field constant_fields[] = {
    PARE_TENSOR(constant_attrs, value, "the tensor"),
    PARE_REAL(constant_attrs, value_float, NAN, -HUGE_VAL, HUGE_VAL, "", "a float32 scalar"),
    PARE_INT(constant_attrs, value_int, PARE_INT_UNSET, INT64_MIN, INT64_MAX, "",
             "an int64 scalar"),
    PARE_REALS(constant_attrs, value_floats, -HUGE_VAL, HUGE_VAL, "", "a float32 vector"),
    PARE_INTS(constant_attrs, value_ints, INT64_MIN, INT64_MAX, "", "an int64 vector"),
    PARE_FIELDS_END,
};

static pare_status constant_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const constant_attrs *a = n->attrs;
    if (a->value.data)
        out[0] = pare_tensor_type(&a->value);
    else if (a->value_floats.v)
        out[0] = (pare_type){ PARE_F32, 1, { (int64_t)a->value_floats.n } };
    else if (a->value_ints.v)
        out[0] = (pare_type){ PARE_I64, 1, { (int64_t)a->value_ints.n } };
    else if (a->value_int != PARE_INT_UNSET)
        out[0] = (pare_type){ .dtype = PARE_I64 };
    else if (a->value_float == a->value_float)
        out[0] = (pare_type){ .dtype = PARE_F32 };
    else
        return pare_fail(PARE_EFORMAT, "the attribute value is missing");
    return PARE_OK;
}

static pare_status constant_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const constant_attrs *a = n->attrs;
    if (a->value.data)
        memcpy(out[0].data, a->value.data, pare_tensor_bytes(&a->value));
    else if (a->value_floats.v)
        for (size_t i = 0; i < a->value_floats.n; i++)
            pare_put_f64(&out[0], (int64_t)i, a->value_floats.v[i]);
    else if (a->value_ints.v)
        for (size_t i = 0; i < a->value_ints.n; i++)
            pare_put_i64(&out[0], (int64_t)i, a->value_ints.v[i]);
    else if (a->value_int != PARE_INT_UNSET)
        pare_put_i64(&out[0], 0, a->value_int);
    else
        pare_put_f64(&out[0], 0, a->value_float);
    return PARE_OK;
}

const pare_op pare_op_constant = {
    .name = "Constant",
    .summary = "a tensor from the attributes",
    .since = 13,
    .inputs = { 0, 0 },
    .outputs = { 1, 1 },
    .attrs = constant_fields,
    .attrs_size = sizeof(constant_attrs),
    .infer = constant_infer,
    .eval = constant_eval,
    .cost = pare_op_no_cost,
};

/* --- ConstantOfShape: one number (default: float32 zero) everywhere --- */

typedef struct fill_attrs {
    pare_tensor value;
} fill_attrs;
static const pare_field fill_fields[] = {
    PARE_TENSOR(fill_attrs, value, "the number, as a tensor of one element"),
    PARE_FIELDS_END,
};

static pare_status fill_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const fill_attrs *a = n->attrs;
    int rank;
    if (a->value.data && pare_tensor_count(&a->value) != 1)
        return pare_fail(PARE_EFORMAT, "value has %lld elements instead of 1",
                         (long long)pare_tensor_count(&a->value));
    PARE_TRY(pare_op_known_ints(&in[0], "the shape", out[0].dim, PARE_MAX_RANK, &rank));
    for (int d = 0; d < rank; d++)
        if (out[0].dim[d] < 0)
            return pare_fail(PARE_EFORMAT, "dimension %d is %lld", d, (long long)out[0].dim[d]);
    out[0].rank = rank;
    out[0].dtype = a->value.data ? a->value.dtype : PARE_F32;
    return PARE_OK;
}

static pare_status fill_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const fill_attrs *a = n->attrs;
    int64_t count = pare_tensor_count(&out[0]);
    size_t element = pare_dtype_size(out[0].dtype);
    static const char zero[8];
    const void *one = a->value.data ? a->value.data : zero;
    for (int64_t i = 0; i < count; i++)
        memcpy((char *)out[0].data + (size_t)i * element, one, element);
    return PARE_OK;
}

const pare_op pare_op_constant_of_shape = {
    .name = "ConstantOfShape",
    .summary = "one number in a shape that is computed",
    .since = 9,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = fill_fields,
    .attrs_size = sizeof(fill_attrs),
    .infer = fill_infer,
    .eval = fill_eval,
    .cost = pare_op_no_cost,
};

/* --- Range --- */

static pare_status range_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype ok[] = { PARE_F32, PARE_F64, PARE_F16,      PARE_I16,
                                     PARE_I32, PARE_I64, PARE_UNDEFINED };
    static const char *const what[] = { "start", "limit", "delta" };
    PARE_TRY(pare_op_dtype("Range", in[0].type.dtype, ok));
    PARE_TRY(pare_op_same_dtype(n, in, 0, 3));
    for (int i = 0; i < 3; i++) {
        PARE_TRY(pare_op_scalar(&in[i], what[i]));
        if (!in[i].value)
            return pare_fail(PARE_EUNSUPPORTED,
                             "%s is only known when running, so no shape can be planned", what[i]);
    }
    int64_t count = 0;
    if (pare_dtype_is_float(in[0].type.dtype)) {
        double start = pare_tensor_get_f64(in[0].value, 0),
               stop = pare_tensor_get_f64(in[1].value, 0),
               delta = pare_tensor_get_f64(in[2].value, 0), steps = ceil((stop - start) / delta);
        if (!(fabs(steps) < 0x1p62))
            return pare_fail(PARE_EFORMAT,
                             "from %g to %g in steps of %g is not a number of elements", start,
                             stop, delta);
        count = steps > 0 ? (int64_t)steps : 0;
    } else {
        int64_t start = pare_tensor_get_i64(in[0].value, 0),
                stop = pare_tensor_get_i64(in[1].value, 0),
                delta = pare_tensor_get_i64(in[2].value, 0);
        if (delta == 0) return pare_fail(PARE_EFORMAT, "delta is 0");
        bool up = delta > 0;
        uint64_t span = up ? (stop > start ? (uint64_t)stop - (uint64_t)start : 0)
                           : (start > stop ? (uint64_t)start - (uint64_t)stop : 0);
        uint64_t step = up ? (uint64_t)delta : 0 - (uint64_t)delta,
                 steps = span / step + (span % step != 0);
        if (steps > INT64_MAX)
            return pare_fail(PARE_ELIMIT, "%llu elements are too many", (unsigned long long)steps);
        count = (int64_t)steps;
    }
    out[0] = (pare_type){ in[0].type.dtype, 1, { count } };
    return PARE_OK;
}

static pare_status range_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int64_t count = out[0].dim[0];
    if (pare_dtype_is_float(in[0].dtype)) {
        double start = pare_tensor_get_f64(&in[0], 0), delta = pare_tensor_get_f64(&in[2], 0);
        for (int64_t i = 0; i < count; i++) pare_put_f64(&out[0], i, start + (double)i * delta);
    } else {
        uint64_t at = (uint64_t)pare_tensor_get_i64(&in[0], 0),
                 delta = (uint64_t)pare_tensor_get_i64(&in[2], 0);
        for (int64_t i = 0; i < count; i++, at += delta) pare_put_i64(&out[0], i, (int64_t)at);
    }
    return PARE_OK;
}

const pare_op pare_op_range = {
    .name = "Range",
    .summary = "numbers in equal steps",
    .since = 11,
    .inputs = { 3, 3 },
    .outputs = { 1, 1 },
    .infer = range_infer,
    .eval = range_eval,
    .cost = pare_op_no_cost,
};

/* --- EyeLike --- */

typedef struct eye_attrs {
    int64_t dtype, k;
} eye_attrs;
static const pare_field eye_fields[] = {
    PARE_INT(eye_attrs, dtype, 0, 0, 1000, "",
             "ONNX number of the element type; default: the input's"),
    PARE_INT(eye_attrs, k, 0, -0x1p62, 0x1p62, "",
             "diagonal of the ones: above 0 to the right, below to the left"),
    PARE_FIELDS_END,
};

static pare_status eye_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const eye_attrs *a = n->attrs;
    if (in[0].type.rank != 2)
        return pare_fail(PARE_EFORMAT, "the input has rank %d instead of 2", in[0].type.rank);
    out[0] = in[0].type;
    if (a->dtype) out[0].dtype = (pare_dtype)a->dtype;
    return pare_op_dtype("EyeLike", out[0].dtype, pare_types_all);
}

static pare_status eye_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const eye_attrs *a = n->attrs;
    int64_t rows = out[0].dim[0], columns = out[0].dim[1];
    for (int64_t r = 0; r < rows; r++)
        for (int64_t c = 0; c < columns; c++) pare_put_i64(&out[0], r * columns + c, c - r == a->k);
    return PARE_OK;
}

const pare_op pare_op_eye_like = {
    .name = "EyeLike",
    .summary = "ones on a diagonal",
    .since = 9,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = eye_fields,
    .attrs_size = sizeof(eye_attrs),
    .infer = eye_infer,
    .eval = eye_eval,
    .cost = pare_op_no_cost,
};
