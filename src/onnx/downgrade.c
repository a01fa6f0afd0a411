/* The inner form of a node to the one that a published opset has: the inverse of upgrade.c, for the
 * writer only. */
#include "onnx/onnx.h"
#include "tensor/tensor.h"

#include <string.h>

/* Reductions that took their axes as an attribute until opset 18; ReduceSum changed with opset 13.
 */
static bool old_reduction(const pare_node *n)
{
    return strncmp(n->op->name, "Reduce", 6) == 0 && strcmp(n->op->name, "ReduceSum") != 0;
}

/* Was the attribute given another value than its default? */
static bool given(const pare_node *n, const char *name)
{
    const pare_field *f = pare_field_find(n->op->attrs, name, strlen(name));
    return f && !pare_field_is_default(f, n->attrs);
}

static bool given_as(const pare_node *n, const char *name, const char *choice)
{
    const pare_field *f = pare_field_find(n->op->attrs, name, strlen(name));
    if (!f || f->kind != PARE_FIELD_ENUM) return false;
    size_t len = 0;
    const char *s = pare_field_choice(f, *(const int *)pare_field_get(f, n->attrs), &len);
    return s && len == strlen(choice) && memcmp(s, choice, len) == 0;
}

static bool has_input(const pare_node *n, uint32_t slot)
{
    return slot < n->n_in && n->in[slot] != PARE_NONE;
}

static bool dilated(const pare_node *n)
{
    const pare_field *f = pare_field_find(n->op->attrs, "dilations", 9);
    const pare_ints *v = f ? pare_field_get(f, n->attrs) : NULL;
    for (size_t i = 0; v && i < v->n; i++)
        if (v->v[i] != 1) return true;
    return false;
}

static int reduction_opset(const pare_graph *g, const pare_node *n)
{
    const pare_weight *axes = pare_node_weight(g, n, 1);
    if (!has_input(n, 1)) return given(n, "noop_with_empty_axes") ? 18 : PARE_OPSET_WRITTEN;
    if (!axes || axes->codec || pare_tensor_count(&axes->part[0]) == 0) return 18;
    return PARE_OPSET_WRITTEN;
}

static int quantize_opset(const pare_graph *g, const pare_node *n)
{
    int opset = PARE_OPSET_WRITTEN;
    if (given(n, "saturate")) opset = 19;
    if (has_input(n, 1) && g->value[n->in[1]].type.dtype == PARE_F16) opset = 19;
    pare_dtype zero = has_input(n, 2) ? g->value[n->in[2]].type.dtype : PARE_UNDEFINED;
    if (zero == PARE_U16 || zero == PARE_I16 || given(n, "block_size") || given(n, "output_dtype"))
        opset = 21;
    return opset;
}

int pare_downgrade_opset(const pare_graph *g, const pare_node *n)
{
    const char *op = n->op->name;
    if (old_reduction(n)) return reduction_opset(g, n);
    if (strcmp(op, "ReduceSum") == 0) return PARE_OPSET_WRITTEN;
    int opset = n->op->since > PARE_OPSET_WRITTEN ? n->op->since : PARE_OPSET_WRITTEN;
    int want = opset;
    if (strcmp(op, "Split") == 0 && given(n, "num_outputs")) want = 18;
    if (strncmp(op, "Scatter", 7) == 0 &&
        (given_as(n, "reduction", "max") || given_as(n, "reduction", "min")))
        want = 18;
    if (strcmp(op, "Pad") == 0 && has_input(n, 3)) want = 18;
    if (strcmp(op, "Pad") == 0 && given_as(n, "mode", "wrap")) want = 19;
    if (strcmp(op, "Resize") == 0 &&
        (given(n, "antialias") || given(n, "axes") || given(n, "keep_aspect_ratio_policy")))
        want = 18;
    if (strcmp(op, "Resize") == 0 &&
        given_as(n, "coordinate_transformation_mode", "half_pixel_symmetric"))
        want = 19;
    if (strcmp(op, "LpPool") == 0 && (given(n, "ceil_mode") || dilated(n))) want = 18;
    if (strcmp(op, "AveragePool") == 0 && dilated(n)) want = 19;
    if (strcmp(op, "Cast") == 0 && given(n, "saturate")) want = 19;
    /* Scales by channel, not by group. */
    if (strcmp(op, "GroupNormalization") == 0 && has_input(n, 1) &&
        g->value[n->in[1]].type.dim[0] == g->value[n->in[0]].type.dim[1])
        want = 21;
    if (strcmp(op, "QuantizeLinear") == 0 || strcmp(op, "DequantizeLinear") == 0)
        want = quantize_opset(g, n);
    return want > opset ? want : opset;
}

static void drop_attribute(Onnx__NodeProto *p, const char *name)
{
    size_t kept = 0;
    for (size_t i = 0; i < p->n_attribute; i++)
        if (strcmp(p->attribute[i]->name, name) != 0) p->attribute[kept++] = p->attribute[i];
    p->n_attribute = kept;
}

static pare_status add_attribute(Onnx__NodeProto *p, const char *name,
                                 Onnx__AttributeProto__AttributeType type, pare_arena *arena,
                                 Onnx__AttributeProto **out)
{
    Onnx__AttributeProto *a = pare_arena_alloc(arena, sizeof *a);
    Onnx__AttributeProto **list = pare_arena_array(arena, p->n_attribute + 1, sizeof *list);
    if (!a || !list) return pare_fail(PARE_ENOMEM, "no memory to write attribute '%s'", name);
    onnx__attribute_proto__init(a);
    a->name = (char *)name;
    a->has_type = true;
    a->type = type;
    if (p->n_attribute) memcpy(list, p->attribute, p->n_attribute * sizeof *list);
    list[p->n_attribute++] = a;
    p->attribute = list;
    *out = a;
    return PARE_OK;
}

pare_status pare_downgrade(const pare_graph *g, const pare_node *n, int opset, pare_arena *arena,
                           Onnx__NodeProto *p)
{
    Onnx__AttributeProto *a;
    if (old_reduction(n) && opset < 18) {
        drop_attribute(p, "noop_with_empty_axes");
        const pare_weight *axes = pare_node_weight(g, n, 1);
        if (!axes) return PARE_OK;
        PARE_TRY(add_attribute(p, "axes", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS, arena, &a));
        a->n_ints = (size_t)pare_tensor_count(&axes->part[0]);
        a->ints = pare_arena_array(arena, a->n_ints, sizeof *a->ints);
        if (!a->ints) return pare_fail(PARE_ENOMEM, "no memory to write attribute 'axes'");
        for (size_t i = 0; i < a->n_ints; i++)
            a->ints[i] = pare_tensor_get_i64(&axes->part[0], (int64_t)i);
        p->n_input = 1;
    }
    /* From opset 18 on, parts of equal size must be counted. */
    if (strcmp(n->op->name, "Split") == 0 && opset >= 18 && !has_input(n, 1) &&
        !given(n, "num_outputs")) {
        PARE_TRY(
            add_attribute(p, "num_outputs", ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT, arena, &a));
        a->has_i = true;
        a->i = (int64_t)n->n_out;
    }
    return PARE_OK;
}

bool pare_downgrade_drops_input(const pare_node *n, uint32_t slot, int opset)
{
    return slot == 1 && old_reduction(n) && opset < 18;
}
