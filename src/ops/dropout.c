/* Dropout as it is when running: the input unchanged, and a mask that keeps everything. Training
 * mode with a ratio above 0 is refused: its result would be random. */
#include "ops/values.h"

#include <string.h>

typedef struct attrs {
    int64_t seed;
} attrs;

static const pare_field fields[] = {
    PARE_INT(attrs, seed, PARE_INT_UNSET, INT64_MIN, INT64_MAX, "",
             "of the random mask, in training"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    if (in[0].type.dtype == PARE_UNDEFINED) return pare_fail(PARE_EFORMAT, "the input is absent");
    if (pare_op_has(n, in, 2)) {
        const pare_type *t = &in[2].type;
        if (t->dtype != PARE_BOOL || pare_numel(t->rank, t->dim) != 1) {
            char text[PARE_TYPE_TEXT];
            return pare_fail(PARE_EFORMAT, "training_mode is %s instead of one bool",
                             pare_type_text(t, text, sizeof text));
        }
        if (!in[2].value)
            return pare_fail(PARE_EUNSUPPORTED, "training_mode is only known when running");
        bool training = pare_tensor_get_i64(in[2].value, 0) != 0, drops = true;
        if (pare_op_has(n, in, 1))
            drops = !in[1].value || pare_numel(in[1].type.rank, in[1].type.dim) != 1 ||
                    pare_get(in[1].value, 0) != 0;
        if (training && drops)
            return pare_fail(PARE_EUNSUPPORTED, "training_mode 1 is not supported, only 0");
    }
    out[0] = in[0].type;
    if (n->n_out > 1) {
        out[1] = in[0].type;
        out[1].dtype = PARE_BOOL;
    }
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    memcpy(out[0].data, in[0].data, pare_tensor_bytes(&in[0]));
    if (n->n_out > 1 && out[1].data) memset(out[1].data, 1, pare_tensor_bytes(&out[1]));
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    c->ops = 0;
}

const pare_op pare_op_dropout = {
    .name = "Dropout",
    .summary = "nothing, when running",
    .since = 13,
    .inputs = { 1, 3 },
    .outputs = { 1, 2 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
};
