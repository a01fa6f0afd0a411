#include "ops/values.h"

#include <stdlib.h>

const pare_dtype pare_op_floats[] = { PARE_F32, PARE_F64, PARE_F16, PARE_UNDEFINED };

pare_status pare_op_doubles(int64_t n, double **out)
{
    size_t bytes;
    double *p = NULL;
    if (n >= 0 && pare_mul_size((size_t)(n ? n : 1), sizeof *p, &bytes)) p = malloc(bytes);
    if (!p) return pare_fail(PARE_ENOMEM, "no memory for %lld sums", (long long)n);
    *out = p;
    return PARE_OK;
}

void pare_row_add(double *sum, int64_t n, double w, const pare_tensor *x, int64_t at, int64_t step,
                  double zero)
{
#define CASE(DTYPE, T)                                                              \
    case DTYPE: {                                                                   \
        const T *p = (const T *)x->data + at;                                       \
        for (int64_t i = 0; i < n; i++) sum[i] += w * ((double)p[i * step] - zero); \
        break;                                                                      \
    }
    switch (x->dtype) {
        CASE(PARE_F32, float)
        CASE(PARE_F64, double)
        CASE(PARE_U8, uint8_t)
        CASE(PARE_I8, int8_t)
    default:
        for (int64_t i = 0; i < n; i++) sum[i] += w * (pare_get(x, at + i * step) - zero);
    }
#undef CASE
}

double pare_row_dot(int64_t n, const pare_tensor *a, int64_t a_at, int64_t a_step,
                    const pare_tensor *b, int64_t b_at, int64_t b_step)
{
    double sum = 0;
    if (a->dtype == PARE_F32 && b->dtype == PARE_F32) {
        const float *p = (const float *)a->data + a_at, *q = (const float *)b->data + b_at;
        for (int64_t i = 0; i < n; i++) sum += (double)p[i * a_step] * (double)q[i * b_step];
    } else {
        for (int64_t i = 0; i < n; i++)
            sum += pare_get(a, a_at + i * a_step) * pare_get(b, b_at + i * b_step);
    }
    return sum;
}

pare_status pare_op_vector(const char *what, const pare_type *t, int64_t n)
{
    char text[PARE_TYPE_TEXT];
    if (t->rank == 1 && t->dim[0] == n) return PARE_OK;
    return pare_fail(PARE_EFORMAT, "%s is %s instead of a vector of %lld", what,
                     pare_type_text(t, text, sizeof text), (long long)n);
}
