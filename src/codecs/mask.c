#include "codecs/mask.h"

#include <math.h>

int64_t pare_mask_count(const uint8_t *mask, int64_t n)
{
    int64_t count = 0;
    for (int64_t i = 0; i < n / 8; i++) count += __builtin_popcount(mask[i]);
    for (int64_t i = n / 8 * 8; i < n; i++) count += pare_mask_get(mask, i);
    return count;
}

int64_t pare_nonzeros(const pare_tensor *t)
{
    const float *x = t->data;
    int64_t n = pare_tensor_count(t), count = 0;
    for (int64_t i = 0; i < n; i++) count += x[i] != 0;
    return count;
}

pare_status pare_check_finite(const pare_tensor *t, const char *what)
{
    const float *x = t->data;
    int64_t n = pare_tensor_count(t);
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return pare_fail(PARE_EFORMAT, "%s: element %lld is %f, not a finite number", what,
                             (long long)i, (double)x[i]);
    return PARE_OK;
}

pare_status pare_mask_check(const pare_tensor *mask, const pare_tensor *values, int64_t n)
{
    char text[PARE_TYPE_TEXT];
    pare_type type = pare_tensor_type(mask);
    int64_t bytes = n / 8 + (n % 8 != 0);
    if (mask->dtype != PARE_U8 || mask->rank != 1 || mask->dim[0] != bytes)
        return pare_fail(PARE_EFORMAT, "the mask is %s, %lld elements need uint8[%lld]",
                         pare_type_text(&type, text, sizeof text), (long long)n, (long long)bytes);
    type = pare_tensor_type(values);
    if (values->dtype != PARE_F32 || values->rank != 1)
        return pare_fail(PARE_EFORMAT, "the values are %s instead of a float32 vector",
                         pare_type_text(&type, text, sizeof text));
    int64_t set = pare_mask_count(mask->data, n);
    if (set != values->dim[0])
        return pare_fail(PARE_EFORMAT, "the mask keeps %lld elements, but %lld values are stored",
                         (long long)set, (long long)values->dim[0]);
    for (int64_t i = n; i < bytes * 8; i++)
        if (pare_mask_get(mask->data, i))
            return pare_fail(PARE_EFORMAT, "the mask keeps element %lld of only %lld", (long long)i,
                             (long long)n);
    return pare_check_finite(values, "values");
}

pare_status pare_mask_pack(const float *x, const bool *keep, int64_t n, pare_tensor *mask,
                           pare_tensor *values)
{
    int64_t kept = 0, bytes = n / 8 + (n % 8 != 0);
    for (int64_t i = 0; i < n; i++) kept += keep ? keep[i] : x[i] != 0;
    pare_tensor m, v;
    PARE_TRY(pare_tensor_new(PARE_U8, 1, &bytes, &m));
    pare_status st = pare_tensor_new(PARE_F32, 1, &kept, &v);
    if (st != PARE_OK) {
        pare_tensor_free(&m);
        return st;
    }
    float *at = v.data;
    for (int64_t i = 0; i < n; i++) {
        if (!(keep ? keep[i] : x[i] != 0)) continue;
        pare_mask_set(m.data, i);
        *at++ = x[i];
    }
    *mask = m;
    *values = v;
    return PARE_OK;
}

void pare_mask_unpack(const pare_tensor *mask, const pare_tensor *values, int64_t n, float *x)
{
    const uint8_t *m = mask->data;
    const float *v = values->data;
    for (int64_t i = 0; i < n; i++) x[i] = pare_mask_get(m, i) ? *v++ : 0;
}
