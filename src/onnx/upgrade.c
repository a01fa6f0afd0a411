/* Operators as older (and a few newer) opsets wrote them, to the one form inside: see ops/op.h.
 * What has no equal there is refused by name. Nodes of opset 17 pass untouched but for their
 * reductions' axes. */
#include "onnx/onnx.h"
#include "tensor/tensor.h"

#include <math.h>
#include <string.h>

/* A list that was an attribute and is input `slot` now; stays absent when it was not given. */
static pare_status ints_to_input(pare_draft *d, const char *name, uint32_t slot)
{
    const int64_t *v;
    size_t n;
    bool found;
    PARE_TRY(pare_draft_take_ints(d, name, &v, &n, &found));
    return found ? pare_draft_ints_input(d, slot, name, v, n) : PARE_OK;
}

static pare_status axes_to_input(pare_draft *d)
{
    if (d->n_in > 1) return PARE_OK; /* a file ahead of its opset: harmless, and exporters do it */
    return ints_to_input(d, "axes", 1);
}

/* As an attribute, an empty list meant all axes, which is what an absent input means now. */
static pare_status reduce(pare_draft *d)
{
    const int64_t *v;
    size_t n = 0;
    bool found;
    if (d->n_in > 1) return PARE_OK;
    PARE_TRY(pare_draft_take_ints(d, "axes", &v, &n, &found));
    return n ? pare_draft_ints_input(d, 1, "axes", v, n) : PARE_OK;
}

static pare_status split(pare_draft *d)
{
    return d->n_in > 1 ? PARE_OK : ints_to_input(d, "split", 1);
}

static pare_status pad(pare_draft *d)
{
    double value = 0;
    PARE_TRY(ints_to_input(d, "pads", 1));
    PARE_TRY(pare_draft_take_real(d, "value", &value, NULL));
    float v = (float)value;
    return v != 0 ? pare_draft_reals_input(d, 2, "value", &v, 1, true) : PARE_OK;
}

static pare_status slice(pare_draft *d)
{
    PARE_TRY(ints_to_input(d, "starts", 1));
    PARE_TRY(ints_to_input(d, "ends", 2));
    return ints_to_input(d, "axes", 3);
}

static pare_status clip(pare_draft *d)
{
    static const char *const names[] = { "min", "max" };
    for (uint32_t i = 0; i < 2; i++) {
        double bound;
        bool found;
        PARE_TRY(pare_draft_take_real(d, names[i], &bound, &found));
        float v = found ? (float)bound : 0;
        if (found) PARE_TRY(pare_draft_reals_input(d, i + 1, names[i], &v, 1, true));
    }
    return PARE_OK;
}

static pare_status dropout(pare_draft *d)
{
    double ratio;
    bool found;
    PARE_TRY(pare_draft_take_real(d, "ratio", &ratio, &found));
    float v = found ? (float)ratio : 0;
    return found ? pare_draft_reals_input(d, 1, "ratio", &v, 1, true) : PARE_OK;
}

static pare_status top_k(pare_draft *d)
{
    int64_t k;
    bool found;
    PARE_TRY(pare_draft_take_int(d, "k", &k, &found));
    return found ? pare_draft_ints_input(d, 1, "k", &k, 1)
                 : pare_fail(PARE_EFORMAT, "attribute 'k' is missing");
}

static pare_status batch_norm(pare_draft *d) { return pare_draft_expect_int(d, "spatial", 1); }

/* Its axis splits the shape into a matrix, whose rows are normalised. The reader rewrites it once
 * ranks are known. */
static pare_status softmax(pare_draft *d)
{
    d->flattens = true;
    d->axis = 1;
    return pare_draft_take_int(d, "axis", &d->axis, NULL);
}

/* Before opset 11: X and scales; coordinates asymmetric; nearest rounds toward the denser side
 * (down when enlarging, up when shrinking), which one attribute can only say if all dimensions
 * agree. */
static pare_status old_resize(pare_draft *d, bool shrinks)
{
    static const char asymmetric[] = "asymmetric", floor_name[] = "floor", ceil_name[] = "ceil";
    Onnx__AttributeProto **list = pare_arena_array(d->g->arena, d->n_attrs + 2, sizeof *list);
    Onnx__AttributeProto *extra = pare_arena_array(d->g->arena, 2, sizeof *extra);
    if (!list || !extra) return pare_fail(PARE_ENOMEM, "no memory for its attributes");
    if (d->n_attrs) memcpy(list, d->attr, d->n_attrs * sizeof *list);
    for (int i = 0; i < 2; i++) {
        const char *text = i == 0 ? asymmetric : shrinks ? ceil_name : floor_name;
        onnx__attribute_proto__init(&extra[i]);
        extra[i].name = (char *)(i == 0 ? "coordinate_transformation_mode" : "nearest_mode");
        extra[i].has_type = extra[i].has_s = true;
        extra[i].type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        extra[i].s.data = (uint8_t *)text;
        extra[i].s.len = strlen(text);
        list[d->n_attrs++] = &extra[i];
    }
    d->attr = list;
    d->op = "Resize";
    d->in[2] = d->in[1];
    d->in[1] = PARE_NONE;
    d->n_in = 3;
    return PARE_OK;
}

static pare_status upsample(pare_draft *d)
{
    if (d->opset < 9) {
        const float *v;
        size_t n;
        bool found;
        PARE_TRY(pare_draft_take_reals(d, "scales", &v, &n, &found));
        if (!found) return pare_fail(PARE_EFORMAT, "attribute 'scales' is missing");
        PARE_TRY(pare_draft_reals_input(d, 1, "scales", v, n, false));
    }
    if (d->n_in != 2) return pare_fail(PARE_EFORMAT, "it has %u inputs instead of 2", d->n_in);
    return old_resize(d, false);
}

static bool linear(const pare_draft *d)
{
    for (size_t i = 0; i < d->n_attrs; i++) {
        const Onnx__AttributeProto *a = d->attr[i];
        if (a && a->name && strcmp(a->name, "mode") == 0)
            return a->s.len == 6 && memcmp(a->s.data, "linear", 6) == 0;
    }
    return false;
}

/* Does every dimension keep its size or shrink? */
static pare_status shrinks(const pare_tensor *scales, bool *out)
{
    bool less = false, more = false;
    for (int64_t i = 0; i < pare_tensor_count(scales); i++) {
        double s = pare_tensor_get_f64(scales, i);
        less |= s < 1;
        more |= s > 1;
    }
    *out = less;
    if (less && more)
        return pare_fail(PARE_EUNSUPPORTED,
                         "Resize before opset 11 that shrinks and enlarges at once");
    return PARE_OK;
}

/* Only "nearest" rounds, so only there do the scales matter. */
static pare_status resize10(pare_draft *d)
{
    if (d->n_in != 2 || !pare_draft_has(d, 1))
        return pare_fail(PARE_EFORMAT, "it has %u inputs instead of 2", d->n_in);
    const pare_weight *w = d->g->value[d->in[1]].weight;
    bool less = false;
    if (w && w->type.dtype != PARE_F32)
        return pare_fail(PARE_EFORMAT, "its scales are %s instead of float32",
                         pare_dtype_name(w->type.dtype));
    if (w && !w->codec && !linear(d)) PARE_TRY(shrinks(&w->part[0], &less));
    d->rounds = !w && !linear(d);
    return old_resize(d, less);
}

/* Refuses a newer attribute by name unless the operator knows it or it says what holds anyway. */
static pare_status only(pare_draft *d, const char *name, int64_t value)
{
    const pare_op *op = pare_op_find(d->op);
    if (op && pare_field_find(op->attrs, name, strlen(name))) return PARE_OK;
    return pare_draft_expect_int(d, name, value);
}

/* The element type of 4 bits that a QuantizeLinear gives; 0: another. Its attribute, where there is
 * one, is made that of bytes. */
static int narrow_output(pare_draft *d)
{
    for (size_t i = 0; i < d->n_attrs; i++) {
        Onnx__AttributeProto *a = d->attr[i];
        if (!a || !a->name || strcmp(a->name, "output_dtype") != 0 || !pare_onnx_is_narrow(a->i))
            continue;
        int type = (int)a->i;
        a->i = type == PARE_ONNX_INT4 ? PARE_I8 : PARE_U8;
        return type;
    }
    for (size_t i = 0; pare_draft_has(d, 2) && i < d->narrow->n; i++)
        if (d->narrow->id[i] == d->in[2])
            return d->g->value[d->in[2]].type.dtype == PARE_I8 ? PARE_ONNX_INT4 : PARE_ONNX_UINT4;
    return 0;
}

static pare_status quantize(pare_draft *d)
{
    const pare_op *op = pare_op_find(d->op);
    if (strcmp(d->op, "QuantizeLinear") == 0) d->narrows = narrow_output(d);
    PARE_TRY(only(d, "block_size", 0));
    PARE_TRY(only(d, "output_dtype", 0));
    PARE_TRY(only(d, "precision", 0));
    if (!op || !pare_field_find(op->attrs, "saturate", 8))
        pare_draft_take(d, "saturate"); /* concerns float8 only */
    return PARE_OK;
}

static const struct {
    const char *op;
    int from, until; /* opsets of which the rule holds, until exclusive */
    pare_status (*rule)(pare_draft *d);
} rules[] = {
    { "ReduceSum", 1, 13, reduce },
    { "ReduceMean", 1, 18, reduce },
    { "ReduceMax", 1, 18, reduce },
    { "ReduceMin", 1, 18, reduce },
    { "ReduceProd", 1, 18, reduce },
    { "ReduceL1", 1, 18, reduce },
    { "ReduceL2", 1, 18, reduce },
    { "ReduceLogSum", 1, 18, reduce },
    { "ReduceLogSumExp", 1, 18, reduce },
    { "ReduceSumSquare", 1, 18, reduce },
    { "Squeeze", 1, 13, axes_to_input },
    { "Unsqueeze", 1, 13, axes_to_input },
    { "Split", 1, 13, split },
    { "Pad", 1, 11, pad },
    { "Slice", 1, 10, slice },
    { "Clip", 1, 11, clip },
    { "Dropout", 1, 12, dropout },
    { "TopK", 1, 10, top_k },
    { "BatchNormalization", 1, 9, batch_norm },
    { "Softmax", 1, 13, softmax },
    { "LogSoftmax", 1, 13, softmax },
    { "Hardmax", 1, 13, softmax },
    { "Upsample", 1, 11, upsample },
    { "Resize", 10, 11, resize10 },
    { "QuantizeLinear", 19, 99, quantize },
    { "DequantizeLinear", 19, 99, quantize },
};

pare_status pare_upgrade(pare_draft *d)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (d->opset >= rules[i].from && d->opset < rules[i].until &&
            strcmp(d->op, rules[i].op) == 0)
            return rules[i].rule(d);
    return PARE_OK;
}

pare_status pare_upgrade_resize(pare_graph *g, pare_id resize_out, const pare_tensor *scales)
{
    bool less;
    PARE_TRY(shrinks(scales, &less));
    pare_node *n = &g->node[g->value[resize_out].producer];
    const pare_field *f = pare_field_find(n->op->attrs, "nearest_mode", strlen("nearest_mode"));
    return less && f ? pare_field_set_str(f, "ceil", strlen("ceil"), g->arena, n->attrs) : PARE_OK;
}

/* --- the old softmax --- */
/* A node with at most one attribute that is not its default, an integer or flag. */
static pare_status add_step(pare_graph *g, const char *op_name, const char *attr, int64_t v,
                            uint32_t n_in, const pare_id *in, pare_id out)
{
    const pare_op *op = pare_op_find(op_name);
    if (!op) return pare_fail(PARE_EUNSUPPORTED, "operator '%s' is not supported", op_name);
    void *attrs = NULL;
    if (op->attrs_size) {
        attrs = pare_arena_alloc(g->arena, op->attrs_size);
        if (!attrs) return pare_fail(PARE_ENOMEM, "no memory for attributes");
        pare_fields_default(op->attrs, attrs);
        const pare_field *f = attr ? pare_field_find(op->attrs, attr, strlen(attr)) : NULL;
        if (f) PARE_TRY(pare_field_set_int(f, v, attrs));
    }
    return pare_graph_add_node(g, op, "", attrs, op->attrs_size, n_in, in, 1, &out, NULL);
}

static pare_status new_value(pare_graph *g, const char *base, const char *what, pare_id *out)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s.%s", base, what);
    return pare_graph_add_value(g, pare_graph_unique(g, name), NULL, out);
}

static pare_status new_byte(pare_graph *g, const char *base, const char *what, bool is_signed,
                            int8_t v, pare_id *out)
{
    char name[256];
    pare_tensor t;
    snprintf(name, sizeof name, "%.200s.%s", base, what);
    PARE_TRY(pare_tensor_new(is_signed ? PARE_I8 : PARE_U8, 0, NULL, &t));
    memcpy(t.data, &v, 1);
    return pare_graph_add_constant(g, pare_graph_unique(g, name), pare_weight_dense(t), out);
}

pare_status pare_upgrade_narrow(pare_graph *g, pare_id quantize_out, int type)
{
    pare_id node = g->value[quantize_out].producer, in[3];
    const char *base = g->value[quantize_out].name;
    bool is_signed = type == PARE_ONNX_INT4;
    PARE_TRY(new_value(g, base, "wide", &in[0]));
    PARE_TRY(new_byte(g, base, "low", is_signed, is_signed ? -8 : 0, &in[1]));
    PARE_TRY(new_byte(g, base, "high", is_signed, is_signed ? 7 : 15, &in[2]));
    g->node[node].out[0] = in[0];
    g->value[in[0]].producer = node;
    g->value[quantize_out].producer = PARE_NONE;
    return add_step(g, "Clip", NULL, 0, 3, in, quantize_out);
}

/* Flatten, the softmax of the rows, and back to the shape before: for an axis that is not the last.
 */
static pare_status unfold(pare_graph *g, pare_id node, int64_t axis)
{
    pare_id in = g->node[node].in[0], out = g->node[node].out[0], flat, rows, shape;
    const char *base = g->node[node].name;
    PARE_TRY(new_value(g, base, "flat", &flat));
    PARE_TRY(new_value(g, base, "rows", &rows));
    PARE_TRY(new_value(g, base, "shape", &shape));
    g->node[node].in[0] = flat;
    g->node[node].out[0] = rows;
    g->value[rows].producer = node;
    g->value[out].producer = PARE_NONE;
    PARE_TRY(add_step(g, "Flatten", "axis", axis, 1, &in, flat));
    PARE_TRY(add_step(g, "Shape", NULL, 0, 1, &in, shape));
    return add_step(g, "Reshape", "allowzero", 1, 2, (pare_id[]){ rows, shape }, out);
}

pare_status pare_upgrade_softmax(pare_graph *g, pare_id softmax_out, int64_t axis, int rank)
{
    pare_id node = g->value[softmax_out].producer;
    if (node == PARE_NONE) return PARE_OK;
    if (rank >= 0 && (axis < -rank || axis >= rank) && !(rank == 0 && axis == 0))
        return pare_fail(PARE_EFORMAT, "axis %lld is not within -%d to %d", (long long)axis, rank,
                         rank - 1);
    if (axis == -1 || axis == rank - 1) return PARE_OK; /* the node was made with the last axis */
    return unfold(g, node, axis);
}
