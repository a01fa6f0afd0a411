/* Encoded weights in ONNX: a weight with a codec is the result of calling a model-local function on
 * its parts.
 *
 *   <value> = pare.codec::penni(<value>.mask, <value>.values, <value>.basis, <value>.shape)
 *
 * The function's body is made from the codec's table of standard operators, so that other runtimes
 * compute the dense weight; pare recognises the call by domain and name and takes the parts as they
 * are. */
#include "codecs/codecs.h"
#include "onnx/onnx.h"
#include "tensor/tensor.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A decoded weight may be far larger than its parts, in hostile hands without bound. */
#define DENSE_MOST ((size_t)1 << 30)

/* --- reading --- */
pare_status pare_function_known(const Onnx__FunctionProto *f)
{
    const char *domain = f->domain ? f->domain : "", *name = f->name ? f->name : "";
    if (strcmp(domain, PARE_CODEC_DOMAIN) != 0)
        return pare_fail(PARE_EUNSUPPORTED, "model-local function '%s::%s' is not supported",
                         domain, name);
    if (!pare_codec_find(name))
        return pare_fail(PARE_EUNSUPPORTED, "codec '%s' is not known to this version of pare",
                         name);
    return PARE_OK;
}

static pare_status shape_of(const pare_weight *w, pare_type *type)
{
    const pare_tensor *t = &w->part[0];
    if (t->dtype != PARE_I64 || t->rank != 1 || t->dim[0] > PARE_MAX_RANK) {
        char text[PARE_TYPE_TEXT];
        return pare_fail(PARE_EFORMAT, "its shape is given as %s instead of int64[0 to %d]",
                         pare_type_text(&w->type, text, sizeof text), PARE_MAX_RANK);
    }
    *type = (pare_type){ .dtype = PARE_F32, .rank = (int)t->dim[0] };
    for (int i = 0; i < type->rank; i++) {
        type->dim[i] = pare_tensor_get_i64(t, i);
        if (type->dim[i] < 0)
            return pare_fail(PARE_EFORMAT, "dimension %d of its shape is %lld", i,
                             (long long)type->dim[i]);
    }
    size_t bytes;
    PARE_TRY(pare_type_bytes(type, &bytes));
    if (bytes > DENSE_MOST)
        return pare_fail(PARE_ELIMIT, "decoded it has %zu bytes, more than %zu", bytes, DENSE_MOST);
    return PARE_OK;
}

/* A dense constant that the call names, or NULL with the reason. */
static const pare_weight *argument(const pare_graph *g, const Onnx__NodeProto *n, size_t i,
                                   const char *part)
{
    pare_id v = pare_graph_find(g, n->input[i]);
    const pare_weight *w = v == PARE_NONE ? NULL : g->value[v].weight;
    if (w && !w->codec) return w;
    (void)pare_fail(PARE_EFORMAT, "its part '%s' ('%s') is not an initialiser", part, n->input[i]);
    return NULL;
}

pare_status pare_function_call(const pare_graph *g, const Onnx__NodeProto *n, pare_weight *out)
{
    const pare_codec *codec = pare_codec_find(n->op_type ? n->op_type : "");
    if (!codec)
        return pare_fail(PARE_EUNSUPPORTED, "codec '%s' is not known to this version of pare",
                         n->op_type ? n->op_type : "");
    pare_weight w = { .codec = codec };
    size_t parts = (size_t)pare_weight_parts(&w);
    if (n->n_input != parts + 1 || n->n_output != 1 || !*n->output[0] || n->n_attribute)
        return pare_fail(PARE_EFORMAT,
                         "a call of codec '%s' has %zu inputs, %zu outputs and %zu attributes "
                         "instead of %zu, 1 and 0",
                         codec->name, n->n_input, n->n_output, n->n_attribute, parts + 1);
    const pare_weight *shape = argument(g, n, parts, "shape");
    if (!shape) return PARE_EFORMAT;
    PARE_TRY(shape_of(shape, &w.type));
    pare_status st = PARE_OK;
    for (size_t i = 0; st == PARE_OK && i < parts; i++) {
        const pare_weight *part = argument(g, n, i, codec->parts[i]);
        if (part)
            w.part[i] = pare_tensor_ref(&part->part[0]);
        else
            st = PARE_EFORMAT;
    }
    if (st == PARE_OK) st = pare_note(codec->check(&w), "codec '%s'", codec->name);
    if (st == PARE_OK)
        *out = w;
    else
        pare_weight_free(&w);
    return st;
}

/* --- writing --- */
#define NEW(TYPE, PREFIX, var)                                                          \
    TYPE *var = pare_arena_alloc(arena, sizeof *(var));                                 \
    if (!(var)) return pare_fail(PARE_ENOMEM, "no memory to write a codec's function"); \
    PREFIX##__init(var)

/* "%shape" and "%out" stand for the function's last input and its result. */
static char *name_of(const char *s)
{
    return (char *)(strcmp(s, "%shape") == 0 ? "pare_shape"
                    : strcmp(s, "%out") == 0 ? "pare_out"
                                             : s);
}

static pare_status copy_names(const char *const *names, size_t most, pare_arena *arena,
                              char ***list, size_t *count)
{
    size_t n = 0;
    while (n < most && names[n]) n++;
    *list = pare_arena_array(arena, n, sizeof **list);
    if (!*list) return pare_fail(PARE_ENOMEM, "no memory to write a codec's function");
    for (size_t i = 0; i < n; i++) (*list)[i] = name_of(names[i]);
    *count = n;
    return PARE_OK;
}

/* "i64:1,2,4" or "scalar f32:0" */
static pare_status parse_tensor(const char *text, pare_arena *arena, Onnx__TensorProto *t)
{
    bool scalar = strncmp(text, "scalar ", 7) == 0;
    if (scalar) text += 7;
    bool real = strncmp(text, "f32:", 4) == 0;
    text += 4;
    size_t n = 1;
    for (const char *p = text; *p; p++) n += *p == ',';
    void *data = pare_arena_array(arena, n, 8);
    t->dims = pare_arena_array(arena, 1, sizeof *t->dims);
    if (!data || !t->dims) return pare_fail(PARE_ENOMEM, "no memory to write a codec's function");
    char *p = (char *)text;
    for (size_t i = 0; i < n; i++, p += *p == ',') {
        if (real)
            ((float *)data)[i] = strtof(p, &p);
        else
            ((int64_t *)data)[i] = strtoll(p, &p, 10);
    }
    t->n_dims = scalar ? 0 : 1;
    t->dims[0] = (int64_t)n;
    t->has_data_type = t->has_raw_data = true;
    t->data_type = real ? PARE_F32 : PARE_I64;
    t->raw_data.data = data;
    t->raw_data.len = n * (real ? 4 : 8);
    return PARE_OK;
}

static pare_status parse_attribute(const char *op_name, const char *text, pare_arena *arena,
                                   Onnx__AttributeProto **out)
{
    NEW(Onnx__AttributeProto, onnx__attribute_proto, a);
    size_t len = strcspn(text, "=");
    const char *value = text + len + 1;
    a->name = pare_arena_strn(arena, text, len);
    if (!a->name) return pare_fail(PARE_ENOMEM, "no memory to write a codec's function");
    a->has_type = true;
    *out = a;
    if (strchr(value, ':')) {
        NEW(Onnx__TensorProto, onnx__tensor_proto, t);
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        a->t = t;
        return parse_tensor(value, arena, t);
    }
    const pare_op *op = pare_op_find(op_name);
    const pare_field *f = op ? pare_field_find(op->attrs, a->name, len) : NULL;
    if (strchr(value, ',') || (f && f->kind == PARE_FIELD_INTS)) {
        Onnx__TensorProto list = ONNX__TENSOR_PROTO__INIT;
        char typed[128];
        snprintf(typed, sizeof typed, "i64:%s", value);
        PARE_TRY(parse_tensor(typed, arena, &list));
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        a->n_ints = (size_t)list.dims[0];
        a->ints = (int64_t *)list.raw_data.data;
        return PARE_OK;
    }
    a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
    a->has_i = true;
    a->i = strtoll(value, NULL, 10);
    return PARE_OK;
}

static pare_status write_step(const pare_fn_node *step, pare_arena *arena, Onnx__NodeProto **out)
{
    NEW(Onnx__NodeProto, onnx__node_proto, n);
    n->op_type = (char *)step->op;
    n->name = name_of(step->out[0]);
    PARE_TRY(
        copy_names(step->in, sizeof step->in / sizeof *step->in, arena, &n->input, &n->n_input));
    PARE_TRY(copy_names(step->out, sizeof step->out / sizeof *step->out, arena, &n->output,
                        &n->n_output));
    size_t most = sizeof step->attrs / sizeof *step->attrs;
    n->attribute = pare_arena_array(arena, most, sizeof *n->attribute);
    if (!n->attribute) return pare_fail(PARE_ENOMEM, "no memory to write a codec's function");
    for (; n->n_attribute < most && step->attrs[n->n_attribute]; n->n_attribute++)
        PARE_TRY(parse_attribute(step->op, step->attrs[n->n_attribute], arena,
                                 &n->attribute[n->n_attribute]));
    *out = n;
    return PARE_OK;
}

pare_status pare_function_write(const pare_codec *codec, int opset, pare_arena *arena,
                                Onnx__FunctionProto **out)
{
    NEW(Onnx__FunctionProto, onnx__function_proto, f);
    NEW(Onnx__OperatorSetIdProto, onnx__operator_set_id_proto, o);
    const char *names[PARE_MAX_PARTS + 1] = { NULL };
    static const char *const result[] = { "%out", NULL };
    size_t parts = 0, steps = 0;
    for (; codec->parts[parts]; parts++) names[parts] = codec->parts[parts];
    names[parts] = "%shape";
    f->name = (char *)codec->name;
    f->domain = (char *)PARE_CODEC_DOMAIN;
    f->doc_string = (char *)codec->summary;
    PARE_TRY(copy_names(names, parts + 1, arena, &f->input, &f->n_input));
    PARE_TRY(copy_names(result, 1, arena, &f->output, &f->n_output));
    o->domain = (char *)"";
    o->has_version = true;
    o->version = opset;
    f->opset_import = pare_arena_copy(arena, &o, sizeof o);
    f->n_opset_import = 1;
    while (codec->onnx_body[steps].op) steps++;
    f->node = pare_arena_array(arena, steps, sizeof *f->node);
    if (!f->opset_import || !f->node)
        return pare_fail(PARE_ENOMEM, "no memory to write a codec's function");
    for (; f->n_node < steps; f->n_node++)
        PARE_TRY(write_step(&codec->onnx_body[f->n_node], arena, &f->node[f->n_node]));
    *out = f;
    return PARE_OK;
}
