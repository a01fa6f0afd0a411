/* GlobalAveragePool, GlobalMaxPool, GlobalLpPool: every plane of [N,C,spatial...] to one number. */
#include "ops/values.h"

#include <math.h>

typedef struct attrs {
    int64_t p;
} attrs;

static const pare_field lp_fields[] = {
    PARE_INT(attrs, p, 2, 1, INT32_MAX, "", "exponent of the norm"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const pare_type *x = &in[0].type;
    PARE_TRY(pare_op_dtype("a global pool", x->dtype, pare_op_floats));
    if (x->rank < 3)
        return pare_fail(PARE_EFORMAT, "the input has rank %d, at least 3 is needed", x->rank);
    *out = *x;
    for (int d = 2; d < x->rank; d++) {
        if (x->dim[d] < 1)
            return pare_fail(PARE_EFORMAT,
                             "spatial dimension %d of the input is %lld, at least 1 is needed",
                             d - 2, (long long)x->dim[d]);
        out->dim[d] = 1;
    }
    return PARE_OK;
}

static int64_t plane_of(const pare_tensor *x)
{
    int64_t plane = 1;
    for (int d = 2; d < x->rank; d++) plane *= x->dim[d];
    return plane;
}

static pare_status average_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int64_t plane = plane_of(&in[0]), count = pare_tensor_count(&out[0]);
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t p = 0; p < plane; p++) sum += pare_get(&in[0], i * plane + p);
        pare_put(&out[0], i, sum / (double)plane);
    }
    return PARE_OK;
}

static pare_status max_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    int64_t plane = plane_of(&in[0]), count = pare_tensor_count(&out[0]);
    for (int64_t i = 0; i < count; i++) {
        double best = pare_get(&in[0], i * plane);
        for (int64_t p = 1; p < plane && !isnan(best); p++) {
            double e = pare_get(&in[0], i * plane + p);
            if (!(e <= best)) best = e;
        }
        pare_put(&out[0], i, best);
    }
    return PARE_OK;
}

static pare_status lp_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    if (a->p < 1) return pare_fail(PARE_EFORMAT, "p %lld is not at least 1", (long long)a->p);
    return infer(n, in, out);
}

static pare_status lp_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    double power = (double)((const attrs *)n->attrs)->p;
    int64_t plane = plane_of(&in[0]), count = pare_tensor_count(&out[0]);
    for (int64_t i = 0; i < count; i++) {
        double sum = 0;
        for (int64_t p = 0; p < plane; p++)
            sum += pow(fabs(pare_get(&in[0], i * plane + p)), power);
        pare_put(&out[0], i, pow(sum, 1 / power));
    }
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->ops = (double)pare_numel(in[0].rank, in[0].dim);
}

const pare_op pare_op_global_average_pool = {
    .name = "GlobalAveragePool",
    .summary = "mean of each plane",
    .since = 1,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .infer = infer,
    .eval = average_eval,
    .cost = cost,
};

const pare_op pare_op_global_max_pool = {
    .name = "GlobalMaxPool",
    .summary = "largest element of each plane",
    .since = 1,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .infer = infer,
    .eval = max_eval,
    .cost = cost,
};

const pare_op pare_op_global_lp_pool = {
    .name = "GlobalLpPool",
    .summary = "Lp norm of each plane",
    .since = 2,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = lp_fields,
    .attrs_size = sizeof(attrs),
    .infer = lp_infer,
    .eval = lp_eval,
    .cost = cost,
};
