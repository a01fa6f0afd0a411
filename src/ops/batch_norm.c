/* BatchNormalization as used when running: y = (x - mean) / sqrt(var + epsilon) * scale + B, for
 * each channel. Training mode and its further outputs are refused. */
#include "ops/values.h"

#include <math.h>

typedef struct attrs {
    double epsilon, momentum;
    bool training_mode;
} attrs;

static const pare_field fields[] = {
    PARE_REAL(attrs, epsilon, (double)1e-5f, 0, DBL_MAX, "", "added to the variance"),
    PARE_REAL(attrs, momentum, (double)0.9f, -DBL_MAX, DBL_MAX, "",
              "of the running statistics, in training"),
    PARE_FLAG(attrs, training_mode, false, "normalise by the batch's own statistics"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    static const char *const names[] = { "X", "scale", "B", "mean", "var" };
    for (int i = 0; i < 5; i++)
        PARE_TRY(pare_note(pare_op_dtype("BatchNormalization", in[i].type.dtype, pare_op_floats),
                           "%s", names[i]));
    if (a->training_mode)
        return pare_fail(PARE_EUNSUPPORTED, "training_mode 1 is not supported, only 0");
    if (n->n_out != 1)
        return pare_fail(PARE_EUNSUPPORTED,
                         "%u outputs: those beyond the first exist in training only", n->n_out);
    const pare_type *x = &in[0].type;
    if (x->rank < 1)
        return pare_fail(PARE_EFORMAT, "the input has rank %d, at least 1 is needed", x->rank);
    int64_t channels = x->rank > 1 ? x->dim[1] : 1;
    for (int i = 1; i < 5; i++) PARE_TRY(pare_op_vector(names[i], &in[i].type, channels));
    out[0] = *x;
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const attrs *a = n->attrs;
    const pare_tensor *x = &in[0];
    int64_t channels = x->rank > 1 ? x->dim[1] : 1, inner = 1;
    for (int d = 2; d < x->rank; d++) inner *= x->dim[d];
    for (int64_t i = 0, at = 0; i < x->dim[0]; i++)
        for (int64_t c = 0; c < channels; c++) {
            double scale = pare_get(&in[1], c) / sqrt(pare_get(&in[4], c) + a->epsilon);
            double mean = pare_get(&in[3], c), shift = pare_get(&in[2], c);
            for (int64_t p = 0; p < inner; p++, at++)
                pare_put(&out[0], at, (pare_get(x, at) - mean) * scale + shift);
        }
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->ops = 2 * (double)pare_numel(out[0].rank, out[0].dim);
}

const pare_op pare_op_batch_norm = {
    .name = "BatchNormalization",
    .summary = "batch normalisation with known statistics",
    .since = 15,
    .inputs = { 5, 5 },
    .outputs = { 1, 5 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
};
