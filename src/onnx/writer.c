/* From a graph to ONNX bytes: standard operators, raw little-endian weights, and everything that
 * the reader put aside.
 *
 * Messages are built in an arena and point into the graph; the only copy of the weights is the
 * packed file.
 */
#include "base/files.h"
#include "onnx/onnx.h"
#include "tensor/tensor.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct writer {
    const pare_graph *g;
    pare_arena *arena;
    bool *used; /* n_values: read by a written node, or an output */
    int opset;
    pare_graph
        *typed; /* a clone with the types of outputs that the graph does not state, or NULL */
    Onnx__ModelProto *model;
    Onnx__GraphProto *graph;
} writer;

static pare_status no_memory(void) { return pare_fail(PARE_ENOMEM, "no memory to write a model"); }

/* Arena memory for one initialised message. */
#define NEW(w, TYPE, PREFIX, var)                            \
    TYPE *var = pare_arena_alloc((w)->arena, sizeof *(var)); \
    if (!(var)) return no_memory();                          \
    PREFIX##__init(var)

static pare_status ignore_fault(void *user, pare_id node, pare_status st)
{
    (void)user;
    (void)node;
    (void)st;
    return PARE_OK;
}

/* Readers want the type and rank of every output, which a graph made by hand may not state: infers
 * them on a clone (owned by the caller), with free dimensions set to 1. *out stays NULL if nothing
 * is missing. */
static pare_status infer_outputs(const pare_graph *g, pare_graph **out)
{
    bool missing = false, free_dim = false;
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const pare_type *t = &g->value[g->output[i]].type;
        missing |= t->dtype == PARE_UNDEFINED || t->rank < 0;
    }
    if (!missing) return PARE_OK;
    pare_graph *c;
    PARE_TRY(pare_graph_clone(g, &c));
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        pare_type *t = &c->value[c->input[i]].type;
        for (int d = 0; d < t->rank; d++)
            if (t->dim[d] < 0) {
                t->dim[d] = 1;
                free_dim = true;
            }
    }
    pare_status st = pare_infer_each(c, false, ignore_fault, NULL);
    if (st != PARE_OK) {
        pare_graph_free(c);
        return st;
    }
    pare_error_clear();
    for (uint32_t i = 0; free_dim && i < c->n_outputs;
         i++) /* which dimensions follow the free ones is not known */
        for (int d = 0; d < c->value[c->output[i]].type.rank; d++)
            c->value[c->output[i]].type.dim[d] = -1;
    *out = c;
    return PARE_OK;
}

static pare_status write_type(writer *w, const pare_value *v, Onnx__ValueInfoProto *out)
{
    NEW(w, Onnx__TypeProto, onnx__type_proto, type);
    NEW(w, Onnx__TypeProto__Tensor, onnx__type_proto__tensor, tensor);
    out->type = type;
    type->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    type->tensor_type = tensor;
    tensor->has_elem_type = v->type.dtype != PARE_UNDEFINED;
    tensor->elem_type = (int32_t)v->type.dtype;
    if (v->type.rank < 0) return PARE_OK;
    NEW(w, Onnx__TensorShapeProto, onnx__tensor_shape_proto, shape);
    tensor->shape = shape;
    shape->dim = pare_arena_array(w->arena, (size_t)v->type.rank, sizeof *shape->dim);
    if (!shape->dim) return no_memory();
    for (int i = 0; i < v->type.rank; i++) {
        NEW(w, Onnx__TensorShapeProto__Dimension, onnx__tensor_shape_proto__dimension, dim);
        if (v->type.dim[i] >= 0) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            dim->dim_value = v->type.dim[i];
        } else if (v->dim_name[i]) {
            dim->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            dim->dim_param = (char *)v->dim_name[i];
        }
        shape->dim[shape->n_dim++] = dim;
    }
    return PARE_OK;
}

static pare_status write_values(writer *w, const pare_id *ids, uint32_t n,
                                Onnx__ValueInfoProto ***list, size_t *count)
{
    *list = pare_arena_array(w->arena, n, sizeof **list);
    if (!*list) return no_memory();
    for (uint32_t i = 0; i < n; i++) {
        const pare_value *v = &w->g->value[ids[i]];
        Onnx__ValueInfoProto *p =
            pare_proto_revive(&onnx__value_info_proto__descriptor, v->extra, w->arena);
        if (!p) return no_memory();
        p->name = (char *)v->name;
        if (w->typed && (v->type.dtype == PARE_UNDEFINED || v->type.rank < 0))
            v = &w->typed->value[ids[i]];
        PARE_TRY(write_type(w, v, p));
        (*list)[(*count)++] = p;
    }
    return PARE_OK;
}

static pare_status write_constant(writer *w, const pare_value *v)
{
    NEW(w, Onnx__TensorProto, onnx__tensor_proto, t);
    Onnx__ValueInfoProto *rest =
        pare_proto_revive(&onnx__value_info_proto__descriptor, v->extra, w->arena);
    if (!rest) return no_memory();
    t->doc_string = rest->doc_string;
    t->base.n_unknown_fields = rest->base.n_unknown_fields;
    t->base.unknown_fields = rest->base.unknown_fields;
    PARE_TRY(pare_tensor_write(&v->weight->part[0], v->name, w->arena, t));
    w->graph->initializer[w->graph->n_initializer++] = t;
    return PARE_OK;
}

static pare_status write_opset(writer *w, const char *domain, int64_t version)
{
    Onnx__ModelProto *m = w->model;
    NEW(w, Onnx__OperatorSetIdProto, onnx__operator_set_id_proto, o);
    Onnx__OperatorSetIdProto **list =
        pare_arena_array(w->arena, m->n_opset_import + 1, sizeof *list);
    if (!list) return no_memory();
    if (m->n_opset_import) memcpy(list, m->opset_import, m->n_opset_import * sizeof *list);
    o->domain = (char *)domain;
    o->has_version = true;
    o->version = version;
    list[m->n_opset_import++] = o;
    m->opset_import = list;
    return PARE_OK;
}

/* "<value>.<part>", or with a number behind it where a value that is written has that name. */
static char *part_name(writer *w, const char *value, const char *part)
{
    size_t size = strlen(value) + strlen(part) + 16;
    char *name = pare_arena_alloc(w->arena, size);
    for (unsigned i = 0; name; i++) {
        if (i)
            snprintf(name, size, "%s.%s_%u", value, part, i);
        else
            snprintf(name, size, "%s.%s", value, part);
        pare_id other = pare_graph_find(w->g, name);
        if (other == PARE_NONE || (!w->used[other] && w->g->value[other].producer == PARE_NONE &&
                                   !w->g->value[other].is_input))
            break;
    }
    return name;
}

static pare_status write_function(writer *w, const pare_codec *codec)
{
    Onnx__ModelProto *m = w->model;
    for (size_t i = 0; i < m->n_functions; i++)
        if (strcmp(m->functions[i]->name, codec->name) == 0) return PARE_OK;
    Onnx__FunctionProto **list = pare_arena_array(w->arena, m->n_functions + 1, sizeof *list);
    if (!list) return no_memory();
    if (m->n_functions) memcpy(list, m->functions, m->n_functions * sizeof *list);
    PARE_TRY(pare_function_write(codec, w->opset, w->arena, &list[m->n_functions]));
    m->functions = list;
    m->n_functions++;
    return PARE_OK;
}

/* An encoded weight: its parts as initialisers, and the call that turns them into the value. */
static pare_status write_encoded(writer *w, const pare_value *v)
{
    const pare_codec *codec = v->weight->codec;
    uint32_t parts = (uint32_t)pare_weight_parts(v->weight);
    NEW(w, Onnx__NodeProto, onnx__node_proto, call);
    call->input = pare_arena_array(w->arena, parts + 1, sizeof *call->input);
    call->output = pare_arena_array(w->arena, 1, sizeof *call->output);
    int64_t *dims = pare_arena_copy(w->arena, v->weight->type.dim, sizeof v->weight->type.dim);
    if (!call->input || !call->output || !dims) return no_memory();
    pare_type shape_type = { .dtype = PARE_I64, .rank = 1, .dim = { v->weight->type.rank } };
    for (uint32_t i = 0; i <= parts; i++) {
        NEW(w, Onnx__TensorProto, onnx__tensor_proto, t);
        pare_tensor shape = pare_tensor_borrow(&shape_type, dims);
        char *name = part_name(w, v->name, i < parts ? codec->parts[i] : "shape");
        if (!name) return no_memory();
        PARE_TRY(pare_tensor_write(i < parts ? &v->weight->part[i] : &shape, name, w->arena, t));
        call->input[call->n_input++] = name;
        w->graph->initializer[w->graph->n_initializer++] = t;
    }
    call->output[call->n_output++] = (char *)v->name;
    call->name = (char *)v->name;
    call->op_type = (char *)codec->name;
    call->domain = (char *)PARE_CODEC_DOMAIN;
    w->graph->node[w->graph->n_node++] = call;
    return write_function(w, codec);
}

static pare_status write_constants(writer *w)
{
    size_t n = 0;
    for (uint32_t i = 0; i < w->g->n_values; i++)
        if (w->used[i] && w->g->value[i].weight)
            n += 1 + (size_t)pare_weight_parts(w->g->value[i].weight);
    w->graph->initializer = pare_arena_array(w->arena, n, sizeof *w->graph->initializer);
    if (!w->graph->initializer) return no_memory();
    for (uint32_t i = 0; i < w->g->n_values; i++) {
        const pare_value *v = &w->g->value[i];
        if (w->used[i] && v->weight)
            PARE_TRY(v->weight->codec ? write_encoded(w, v) : write_constant(w, v));
    }
    return w->model->n_functions ? write_opset(w, PARE_CODEC_DOMAIN, 1) : PARE_OK;
}

static char **names(writer *w, const pare_id *ids, uint32_t n)
{
    static char absent[] = "";
    char **list = pare_arena_array(w->arena, n, sizeof *list);
    for (uint32_t i = 0; list && i < n; i++)
        list[i] = ids[i] == PARE_NONE ? absent : (char *)w->g->value[ids[i]].name;
    return list;
}

static pare_status write_node(writer *w, const pare_node *n)
{
    Onnx__NodeProto *p = pare_proto_revive(&onnx__node_proto__descriptor, n->extra, w->arena);
    if (!p) return no_memory();
    p->name = (char *)n->name;
    p->op_type = (char *)n->op->name;
    p->input = names(w, n->in, n->n_in);
    p->output = names(w, n->out, n->n_out);
    if (!p->input || !p->output) return no_memory();
    p->n_input = n->n_in;
    p->n_output = n->n_out;
    PARE_TRY(pare_note(pare_attrs_write(n, w->arena, p), "node '%s'", n->name));
    PARE_TRY(pare_downgrade(w->g, n, w->opset, w->arena, p));
    w->graph->node[w->graph->n_node++] = p;
    return PARE_OK;
}

static pare_status write_graph(writer *w)
{
    const pare_graph *g = w->g;
    w->graph = pare_proto_revive(&onnx__graph_proto__descriptor, g->graph_extra, w->arena);
    if (!w->graph) return no_memory();
    w->model->graph = w->graph;
    w->graph->name = (char *)(g->name && *g->name ? g->name : "graph");
    size_t calls = 0; /* they come first, so that the nodes stay in topological order */
    for (uint32_t i = 0; i < g->n_values; i++)
        calls += w->used[i] && g->value[i].weight && g->value[i].weight->codec;
    w->graph->node = pare_arena_array(w->arena, calls + g->n_nodes, sizeof *w->graph->node);
    if (!w->graph->node) return no_memory();
    PARE_TRY(write_constants(w));
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->node[i].op) PARE_TRY(write_node(w, &g->node[i]));
    PARE_TRY(write_values(w, g->input, g->n_inputs, &w->graph->input, &w->graph->n_input));
    return write_values(w, g->output, g->n_outputs, &w->graph->output, &w->graph->n_output);
}

static pare_status write_model(writer *w)
{
    const pare_graph *g = w->g;
    Onnx__ModelProto *m = w->model =
        pare_proto_revive(&onnx__model_proto__descriptor, g->model_extra, w->arena);
    if (!m) return no_memory();
    m->has_ir_version = true;
    m->ir_version = w->opset >= 21 ? 10 : w->opset >= 19 ? 9 : 8;
    if (!m->producer_name || !*m->producer_name) {
        m->producer_name = (char *)"pare";
        m->producer_version = (char *)pare_version();
    }
    PARE_TRY(write_opset(w, "", w->opset));
    m->metadata_props = pare_arena_array(w->arena, g->n_meta, sizeof *m->metadata_props);
    if (!m->metadata_props) return no_memory();
    for (uint32_t i = 0; i < g->n_meta; i++) {
        NEW(w, Onnx__StringStringEntryProto, onnx__string_string_entry_proto, e);
        e->key = (char *)g->meta[i].key;
        e->value = (char *)g->meta[i].value;
        m->metadata_props[m->n_metadata_props++] = e;
    }
    return write_graph(w);
}

static void choose_opset(writer *w)
{
    w->opset = PARE_OPSET_WRITTEN;
    for (uint32_t i = 0; i < w->g->n_nodes; i++) {
        int opset = w->g->node[i].op ? pare_downgrade_opset(w->g, &w->g->node[i]) : 0;
        if (opset > w->opset) w->opset = opset;
    }
}

static void mark_used(writer *w)
{
    const pare_graph *g = w->g;
    for (uint32_t i = 0; i < g->n_outputs; i++) w->used[g->output[i]] = true;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        for (uint32_t k = 0; n->op && k < n->n_in; k++)
            if (n->in[k] != PARE_NONE && !pare_downgrade_drops_input(n, k, w->opset))
                w->used[n->in[k]] = true;
    }
}

pare_status pare_onnx_write(const pare_graph *g, uint8_t **data, size_t *size)
{
    PARE_TRY(pare_graph_in_memory(g));
    writer w = { .g = g, .arena = pare_arena_new(0) };
    w.used = w.arena ? pare_arena_array(w.arena, g->n_values, sizeof *w.used) : NULL;
    pare_status st = w.used ? PARE_OK : no_memory();
    if (st == PARE_OK) {
        choose_opset(&w);
        mark_used(&w);
        st = infer_outputs(g, &w.typed);
    }
    if (st == PARE_OK) st = write_model(&w);
    uint8_t *bytes = NULL;
    size_t n = 0;
    if (st == PARE_OK) {
        n = onnx__model_proto__get_packed_size(w.model);
        if (n > INT_MAX)
            st = pare_fail(PARE_ELIMIT, "the model needs %zu bytes, an ONNX file holds at most %d",
                           n, INT_MAX);
        else if (!(bytes = malloc(n)))
            st = no_memory();
        else
            onnx__model_proto__pack(w.model, bytes);
    }
    pare_graph_free(w.typed);
    pare_arena_free(w.arena);
    if (st != PARE_OK) return st;
    *data = bytes;
    *size = n;
    return PARE_OK;
}

pare_status pare_model_save(const pare_graph *g, const char *path, bool force)
{
    uint8_t *data;
    size_t size;
    if (!force && pare_file_exists(path))
        return pare_fail(PARE_EINVAL, "'%s' exists; give --force to replace it", path);
    PARE_TRY(pare_note(pare_onnx_write(g, &data, &size), "%s", path));
    pare_status st = pare_write_file(path, data, size, force);
    free(data);
    return st;
}
