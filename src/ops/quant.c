#include "ops/quant.h"

#include <math.h>

const pare_dtype pare_op_bytes[] = { PARE_U8, PARE_I8, PARE_UNDEFINED };

/* One number, or a vector of `channels`. */
static pare_status shape(const char *what, const char *part, const pare_type *t, int64_t channels)
{
    int64_t n = pare_numel(t->rank, t->dim);
    if (n == 1 && t->rank <= 1) return PARE_OK;
    if (channels && t->rank == 1 && n == channels) return PARE_OK;
    char text[PARE_TYPE_TEXT];
    pare_type_text(t, text, sizeof text);
    if (!channels)
        return pare_fail(PARE_EFORMAT, "the %s of %s is %s instead of one number", part, what,
                         text);
    return pare_fail(PARE_EFORMAT, "the %s of %s is %s instead of one number or %lld", part, what,
                     text, (long long)channels);
}

pare_status pare_op_zero(const char *what, pare_dtype t, const pare_arg *zero, int64_t channels)
{
    if (zero->type.dtype == PARE_UNDEFINED) return PARE_OK;
    if (zero->type.dtype != t)
        return pare_fail(PARE_EFORMAT, "the zero point of %s is %s instead of %s", what,
                         pare_dtype_name(zero->type.dtype), pare_dtype_name(t));
    return shape(what, "zero point", &zero->type, channels);
}

pare_status pare_op_quant(const char *what, pare_dtype t, const pare_arg *scale,
                          const pare_arg *zero, bool need_zero, int64_t channels)
{
    if (scale->type.dtype != PARE_F32 && scale->type.dtype != PARE_F16)
        return pare_fail(PARE_EUNSUPPORTED,
                         "the scale of %s is %s, only float32 and float16 are supported", what,
                         scale->type.dtype == PARE_UNDEFINED ? "absent"
                                                             : pare_dtype_name(scale->type.dtype));
    PARE_TRY(shape(what, "scale", &scale->type, channels));
    if (need_zero && zero->type.dtype == PARE_UNDEFINED)
        return pare_fail(PARE_EFORMAT, "the zero point of %s is absent", what);
    return pare_op_zero(what, t, zero, channels);
}

double pare_saturate(pare_dtype t, float v, double zero)
{
    double lo = 0, hi = 255;
    switch (t) {
    case PARE_I8: lo = -128, hi = 127; break;
    case PARE_U16: hi = 65535; break;
    case PARE_I16: lo = -32768, hi = 32767; break;
    default: break;
    }
    double r = (double)nearbyintf(v) + zero;
    if (!(r > lo)) return lo;
    return r < hi ? r : hi;
}
