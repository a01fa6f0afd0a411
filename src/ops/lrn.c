/* LRN: y = x / (bias + alpha / size * s)^beta, s the sum of squares of the `size` channels around
 * x's own. */
#include "ops/values.h"

#include <math.h>

typedef struct attrs {
    double alpha, beta, bias;
    int64_t size;
} attrs;

static const pare_field fields[] = {
    PARE_REAL(attrs, alpha, (double)1e-4f, -DBL_MAX, DBL_MAX, "", "weight of the sum"),
    PARE_REAL(attrs, beta, 0.75, -DBL_MAX, DBL_MAX, "", "exponent"),
    PARE_REAL(attrs, bias, 1, -DBL_MAX, DBL_MAX, "", "added to the sum"),
    PARE_INT(attrs, size, 0, INT64_MIN, INT64_MAX, "", "channels that are summed"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    PARE_TRY(pare_op_dtype("LRN", in[0].type.dtype, pare_op_floats));
    if (in[0].type.rank < 2)
        return pare_fail(PARE_EFORMAT, "the input has rank %d, at least 2 is needed",
                         in[0].type.rank);
    if (a->size < 1 || a->size > INT32_MAX)
        return pare_fail(PARE_EFORMAT, "size %lld is not within 1 to %d", (long long)a->size,
                         INT32_MAX);
    out[0] = in[0].type;
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const attrs *a = n->attrs;
    const pare_tensor *x = &in[0];
    int64_t channels = x->dim[1], plane = 1;
    for (int d = 2; d < x->rank; d++) plane *= x->dim[d];
    for (int64_t i = 0, at = 0; i < x->dim[0]; i++)
        for (int64_t c = 0; c < channels; c++) {
            int64_t lo = c - (a->size - 1) / 2,
                    hi = c + a->size / 2; /* an even size has one more behind */
            if (lo < 0) lo = 0;
            if (hi > channels - 1) hi = channels - 1;
            for (int64_t p = 0; p < plane; p++, at++) {
                double sum = 0;
                for (int64_t k = lo; k <= hi; k++) {
                    double e = pare_get(x, (i * channels + k) * plane + p);
                    sum += e * e;
                }
                pare_put(&out[0], at,
                         pare_get(x, at) /
                             pow(a->bias + a->alpha / (double)a->size * sum, a->beta));
            }
        }
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    const attrs *a = n->attrs;
    c->ops = (double)pare_numel(out[0].rank, out[0].dim) * (2 * (double)a->size + 3);
}

const pare_op pare_op_lrn = {
    .name = "LRN",
    .summary = "normalisation across neighbouring channels",
    .since = 13,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
};
