/* From an unpacked ONNX model to a graph, all or nothing; or, with a sink, as far as possible.
 *
 * Two passes over the nodes: the first names every value, so that the second finds its inputs in
 * files whose nodes are in no order. Then the graph is sorted and its shapes are inferred once, on
 * a clone, with free dimensions set to 1. */
#include "base/files.h"
#include "onnx/onnx.h"
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>

/* A Softmax of before opset 13, whose axis means "flatten from here on": found by its output. */
typedef struct old_softmax {
    pare_id out;
    int64_t axis;
} old_softmax;

typedef struct reader {
    pare_graph *g;
    pare_arena *arena; /* of the unpacked message and whatever lives as long */
    const Onnx__ModelProto *model;
    pare_tensor_source source;
    pare_onnx_cut *cut; /* one an initialiser */
    size_t n_cuts;
    pare_onnx_file *file; /* where weights may stay; NULL: they are all read */
    const pare_onnx_sink *sink;
    pare_onnx_shapes shapes;
    int opset;
    old_softmax *softmax; /* one a node at most */
    size_t n_softmax;
    pare_id *resize; /* outputs of those that wait for their scales; likewise */
    size_t n_resize;
    pare_narrow narrow; /* an initialiser or node each at most */
} reader;

/* Stops at a problem, or hands it to the sink and goes on. Our own faults and the machine's always
 * stop. */
static pare_status tell(reader *r, pare_status st, const char *node, const char *op,
                        const char *remedy)
{
    if (st == PARE_OK) return st;
    if (r->sink &&
        (st == PARE_EFORMAT || st == PARE_EUNSUPPORTED || st == PARE_ELIMIT || st == PARE_EIO)) {
        return r->sink->problem(r->sink->user, node ? node : "", op ? op : "", remedy);
    }
    return node ? pare_note(st, "node '%s'", node) : st;
}

#define EXPORT_AGAIN "export the model again with a current exporter"

/* --- model level --- */
static bool default_domain(const char *domain)
{
    return !domain || !*domain || strcmp(domain, "ai.onnx") == 0;
}

static pare_status read_versions(reader *r)
{
    const Onnx__ModelProto *m = r->model;
    if (!m->has_ir_version || !m->graph)
        return pare_fail(PARE_EFORMAT, "it is not an ONNX model: it has no %s",
                         m->graph ? "IR version" : "graph");
    if (m->ir_version < PARE_IR_OLDEST || m->ir_version > PARE_IR_NEWEST)
        PARE_TRY(tell(r,
                      pare_fail(PARE_EUNSUPPORTED, "IR version %lld is not supported, %d to %d are",
                                (long long)m->ir_version, PARE_IR_OLDEST, PARE_IR_NEWEST),
                      NULL, NULL, EXPORT_AGAIN));
    bool found = false;
    for (size_t i = 0; i < m->n_opset_import; i++) {
        const Onnx__OperatorSetIdProto *o = m->opset_import[i];
        if (!default_domain(o->domain)) continue;
        if (found)
            PARE_TRY(tell(r,
                          pare_fail(PARE_EFORMAT, "two opsets are imported, %d and %lld", r->opset,
                                    (long long)o->version),
                          NULL, NULL, "keep one opset_import of the default domain"));
        found = true;
        if (o->version < PARE_OPSET_OLDEST || o->version > PARE_OPSET_NEWEST)
            PARE_TRY(
                tell(r,
                     pare_fail(PARE_EUNSUPPORTED, "opset %lld is not supported, %d to %d are",
                               (long long)o->version, PARE_OPSET_OLDEST, PARE_OPSET_NEWEST),
                     NULL, NULL,
                     "convert the model with onnx.version_converter, or export it with opset 17"));
        r->opset = o->version < PARE_OPSET_OLDEST   ? PARE_OPSET_OLDEST
                   : o->version > PARE_OPSET_NEWEST ? PARE_OPSET_NEWEST
                                                    : (int)o->version;
    }
    if (!found) {
        PARE_TRY(tell(r, pare_fail(PARE_EFORMAT, "it imports no opset of the default domain"), NULL,
                      NULL, EXPORT_AGAIN));
        r->opset = PARE_OPSET_WRITTEN;
    }
    r->g->opset = r->opset;
    return PARE_OK;
}

static pare_status copy_text(reader *r, const char *s, const char **out)
{
    *out = pare_arena_str(r->g->arena, s ? s : "");
    return *out ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for a name");
}

/* Keeps what the graph has no place for: producer, doc strings, unknown fields, imports of other
 * domains. */
static pare_status read_rest(reader *r)
{
    Onnx__ModelProto m = *r->model;
    Onnx__GraphProto g = *m.graph;
    m.graph = NULL;
    m.n_functions = 0;
    m.has_ir_version = false;
    Onnx__OperatorSetIdProto **others =
        pare_arena_array(r->arena, m.n_opset_import, sizeof *others);
    if (!others) return pare_fail(PARE_ENOMEM, "no memory for the opsets");
    size_t n_others = 0;
    for (size_t i = 0; i < m.n_opset_import; i++) {
        const char *domain = m.opset_import[i]->domain;
        if (!default_domain(domain) && strcmp(domain, PARE_CODEC_DOMAIN) != 0)
            others[n_others++] = m.opset_import[i];
    }
    m.opset_import = others;
    m.n_opset_import = n_others;
    for (size_t i = 0; i < m.n_metadata_props; i++) {
        const Onnx__StringStringEntryProto *e = m.metadata_props[i];
        PARE_TRY(pare_graph_set_meta(r->g, e->key ? e->key : "", e->value ? e->value : ""));
    }
    m.n_metadata_props = 0;
    PARE_TRY(pare_proto_rest(&m.base, r->g->arena, &r->g->model_extra));
    g.n_node = g.n_initializer = g.n_sparse_initializer = g.n_input = g.n_output = g.n_value_info =
        0;
    PARE_TRY(copy_text(r, g.name, &r->g->name));
    g.name = NULL;
    return pare_proto_rest(&g.base, r->g->arena, &r->g->graph_extra);
}

static pare_status keep_value_rest(reader *r, const Onnx__ValueInfoProto *p, pare_id v)
{
    Onnx__ValueInfoProto rest = *p;
    rest.name = NULL;
    rest.type = NULL;
    return pare_proto_rest(&rest.base, r->g->arena, &r->g->value[v].extra);
}

/* --- values --- */
static pare_status type_of(reader *r, const Onnx__ValueInfoProto *p, pare_type *type,
                           const char *names[])
{
    *type = (pare_type){ .dtype = PARE_UNDEFINED, .rank = -1 };
    for (int i = 0; i < PARE_MAX_RANK; i++) names[i] = NULL;
    if (!p->type || p->type->value_case == ONNX__TYPE_PROTO__VALUE__NOT_SET) return PARE_OK;
    if (p->type->value_case != ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE || !p->type->tensor_type)
        return pare_fail(PARE_EUNSUPPORTED, "'%s' is not a tensor", p->name);
    const Onnx__TypeProto__Tensor *t = p->type->tensor_type;
    if (t->has_elem_type && t->elem_type != 0) {
        if (!pare_dtype_size((pare_dtype)t->elem_type))
            return pare_fail(PARE_EUNSUPPORTED,
                             "'%s' has elements %s (%d), which are not supported", p->name,
                             pare_onnx_dtype_name(t->elem_type), t->elem_type);
        type->dtype = (pare_dtype)t->elem_type;
    }
    if (!t->shape) return PARE_OK;
    if (t->shape->n_dim > PARE_MAX_RANK)
        return pare_fail(PARE_EUNSUPPORTED, "'%s' has rank %zu, more than %d", p->name,
                         t->shape->n_dim, PARE_MAX_RANK);
    type->rank = (int)t->shape->n_dim;
    for (size_t i = 0; i < t->shape->n_dim; i++) {
        const Onnx__TensorShapeProto__Dimension *d = t->shape->dim[i];
        type->dim[i] = -1; /* some exporters spell "free" as -1 */
        if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE) {
            if (d->dim_value < -1)
                return pare_fail(PARE_EFORMAT, "'%s': dimension %zu is %lld", p->name, i,
                                 (long long)d->dim_value);
            type->dim[i] = d->dim_value;
        } else if (d->value_case == ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM &&
                   d->dim_param && *d->dim_param)
            PARE_TRY(copy_text(r, d->dim_param, &names[i]));
    }
    size_t bytes;
    return type->dtype && pare_type_known(type)
               ? pare_note(pare_type_bytes(type, &bytes), "'%s'", p->name)
               : PARE_OK;
}

/* A name that a node reads: as the weight of a layer, which the plan packs, or otherwise. */
typedef struct reading {
    const char *name;
    bool weight;
} reading;

static int by_name(const void *a, const void *b)
{
    const reading *x = a, *y = b;
    int order = strcmp(x->name, y->name);
    return order ? order : (int)x->weight - (int)y->weight;
}

static bool packs(const Onnx__NodeProto *n)
{
    static const char *const ops[] = { "Conv", "ConvTranspose", "Gemm", "MatMul" };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++)
        if (default_domain(n->domain) && n->op_type && strcmp(n->op_type, ops[i]) == 0) return true;
    return false;
}

/* All reads by name; of equal ones those that are no weight first. */
static pare_status list_reads(reader *r, reading **out, size_t *n)
{
    const Onnx__GraphProto *g = r->model->graph;
    size_t all = 0;
    for (size_t i = 0; i < g->n_node; i++) all += g->node[i]->n_input;
    reading *list = pare_arena_array(r->arena, all + 1, sizeof *list);
    if (!list) return pare_fail(PARE_ENOMEM, "no memory for %zu inputs of nodes", all);
    *n = 0;
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; k < g->node[i]->n_input; k++)
            list[(*n)++] = (reading){ g->node[i]->input[k], k == 1 && packs(g->node[i]) };
    qsort(list, *n, sizeof *list, by_name);
    *out = list;
    return PARE_OK;
}

/* Is `name` read, and as the weight of layers only? */
static bool only_weight(const reading *list, size_t n, const char *name)
{
    size_t low = 0, high = n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        if (strcmp(list[middle].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low < n && strcmp(list[low].name, name) == 0 && list[low].weight;
}

static pare_status read_initialisers(reader *r)
{
    const Onnx__GraphProto *g = r->model->graph;
    reading *reads = NULL;
    size_t n_reads = 0;
    if (r->file) PARE_TRY(list_reads(r, &reads, &n_reads));
    if (g->n_sparse_initializer)
        PARE_TRY(tell(r,
                      pare_fail(PARE_EUNSUPPORTED,
                                "%zu sparse initialisers: only dense ones are supported",
                                g->n_sparse_initializer),
                      NULL, NULL, "store the weights dense"));
    for (size_t i = 0; i < g->n_initializer; i++) {
        const Onnx__TensorProto *t = g->initializer[i];
        if (!t->name || !*t->name) {
            PARE_TRY(tell(r, pare_fail(PARE_EFORMAT, "initialiser %zu has no name", i), NULL, NULL,
                          "give every initialiser a name"));
            continue;
        }
        pare_tensor data;
        pare_id v;
        r->source.cut = &r->cut[i];
        r->source.file = only_weight(reads, n_reads, t->name) ? r->file : NULL;
        pare_status st =
            pare_note(pare_tensor_read(&r->source, t, &data), "initialiser '%s'", t->name);
        r->source.cut = NULL;
        r->source.file = NULL;
        if (st == PARE_OK) st = pare_graph_add_constant(r->g, t->name, pare_weight_dense(data), &v);
        if (st == PARE_OK && pare_onnx_is_narrow(t->data_type)) r->narrow.id[r->narrow.n++] = v;
        if (st != PARE_OK) {
            PARE_TRY(tell(
                r, st, NULL, NULL,
                "store this weight in a plain form: float32 or an integer type, as many numbers as "
                "its shape says"));
            continue;
        }
        Onnx__ValueInfoProto rest = ONNX__VALUE_INFO_PROTO__INIT;
        rest.doc_string = t->doc_string;
        rest.base.n_unknown_fields = t->base.n_unknown_fields;
        rest.base.unknown_fields = t->base.unknown_fields;
        PARE_TRY(pare_proto_rest(&rest.base, r->g->arena, &r->g->value[v].extra));
    }
    return PARE_OK;
}

/* Before IR version 4 every initialiser had to be listed among the inputs; later it means a default
 * that a caller may replace, which nobody does to weights. Both are constants here. */
static pare_status constant_input(reader *r, pare_id v, const pare_type *type)
{
    const pare_type *have = &r->g->value[v].type;
    bool same = (type->dtype == PARE_UNDEFINED || type->dtype == have->dtype) &&
                (type->rank < 0 || type->rank == have->rank);
    for (int i = 0; same && i < type->rank; i++)
        same = type->dim[i] < 0 || type->dim[i] == have->dim[i];
    char a[PARE_TYPE_TEXT], b[PARE_TYPE_TEXT];
    if (same) return PARE_OK;
    return pare_fail(PARE_EFORMAT, "'%s' is declared as %s, but its initialiser is %s",
                     r->g->value[v].name, pare_type_text(type, a, sizeof a),
                     pare_type_text(have, b, sizeof b));
}

static pare_status read_input(reader *r, const Onnx__ValueInfoProto *p)
{
    pare_type type;
    const char *names[PARE_MAX_RANK];
    pare_id v;
    if (!p->name || !*p->name) return pare_fail(PARE_EFORMAT, "an input has no name");
    PARE_TRY(type_of(r, p, &type, names));
    v = pare_graph_find(r->g, p->name);
    if (v != PARE_NONE && r->g->value[v].weight) return constant_input(r, v, &type);
    if (type.dtype == PARE_UNDEFINED)
        return pare_fail(PARE_EFORMAT, "input '%s' has no element type", p->name);
    PARE_TRY(pare_graph_add_input(r->g, p->name, &type, &v));
    memcpy(r->g->value[v].dim_name, names, sizeof names);
    return keep_value_rest(r, p, v);
}

static pare_status read_output(reader *r, const Onnx__ValueInfoProto *p)
{
    pare_type type;
    const char *names[PARE_MAX_RANK];
    if (!p->name || !*p->name) return pare_fail(PARE_EFORMAT, "an output has no name");
    PARE_TRY(type_of(r, p, &type, names));
    pare_id v = pare_graph_find(r->g, p->name);
    if (v == PARE_NONE)
        return pare_fail(PARE_EFORMAT, "output '%s' is given by no node, input or initialiser",
                         p->name);
    PARE_TRY(pare_graph_mark_output(r->g, v));
    pare_value *value = &r->g->value[v];
    if (value->is_input || value->weight) return PARE_OK;
    value->type = type;
    memcpy(value->dim_name, names, sizeof names);
    return keep_value_rest(r, p, v);
}

/* --- nodes --- */
/* Where it has no name, that of what it gives. */
static const char *node_name(const Onnx__NodeProto *n)
{
    if (n->name && *n->name) return n->name;
    for (size_t i = 0; i < n->n_output; i++)
        if (*n->output[i]) return n->output[i];
    return n->op_type ? n->op_type : "";
}

static bool is_constant(const Onnx__NodeProto *n)
{
    return default_domain(n->domain) && n->op_type && strcmp(n->op_type, "Constant") == 0;
}

static pare_status constant_value(reader *r, const Onnx__NodeProto *n, pare_tensor *out)
{
    if (n->n_input) return pare_fail(PARE_EFORMAT, "a Constant has %zu inputs", n->n_input);
    if (n->n_attribute != 1)
        return pare_fail(PARE_EFORMAT, "a Constant has %zu attributes instead of 1",
                         n->n_attribute);
    Onnx__AttributeProto *a = n->attribute[0], *list[1] = { a };
    const char *name = a->name ? a->name : "";
    pare_draft d = { .g = r->g, .attr = list, .n_attrs = 1 };
    if (strcmp(name, "value") == 0) {
        if (!a->t) return pare_fail(PARE_EFORMAT, "its attribute 'value' has no tensor");
        return pare_tensor_read(&r->source, a->t, out);
    }
    bool scalar = strcmp(name, "value_int") == 0 || strcmp(name, "value_float") == 0;
    const int64_t *ints = &a->i;
    const float *reals = NULL;
    float real;
    int64_t integer;
    double wide = 0;
    size_t count = 1;
    if (strcmp(name, "value_int") == 0) {
        PARE_TRY(pare_draft_take_int(&d, name, &integer, NULL));
        ints = &integer;
    } else if (strcmp(name, "value_ints") == 0)
        PARE_TRY(pare_draft_take_ints(&d, name, &ints, &count, NULL));
    else if (strcmp(name, "value_float") == 0) {
        PARE_TRY(pare_draft_take_real(&d, name, &wide, NULL));
        real = (float)wide;
        reals = &real;
    } else if (strcmp(name, "value_floats") == 0)
        PARE_TRY(pare_draft_take_reals(&d, name, &reals, &count, NULL));
    else
        return pare_fail(PARE_EUNSUPPORTED, "a Constant given by '%s' is not supported", name);
    bool is_real = strncmp(name, "value_float", 11) == 0;
    int64_t dim = (int64_t)count;
    PARE_TRY(pare_tensor_new(is_real ? PARE_F32 : PARE_I64, scalar ? 0 : 1, &dim, out));
    if (count)
        memcpy(out->data, is_real ? (const void *)reals : (const void *)ints,
               pare_tensor_bytes(out));
    return PARE_OK;
}

static bool is_call(const Onnx__NodeProto *n)
{
    return n->domain && strcmp(n->domain, PARE_CODEC_DOMAIN) == 0;
}

static pare_status name_outputs(reader *r, const Onnx__NodeProto *n)
{
    pare_id v;
    if (is_call(n)) {
        pare_weight w;
        PARE_TRY(pare_function_call(r->g, n, &w));
        return pare_graph_add_constant(r->g, n->output[0], w, &v);
    }
    if (is_constant(n)) {
        pare_tensor t;
        if (n->n_output != 1 || !*n->output[0])
            return pare_fail(PARE_EFORMAT, "a Constant has %zu outputs instead of 1", n->n_output);
        PARE_TRY(constant_value(r, n, &t));
        PARE_TRY(pare_graph_add_constant(r->g, n->output[0], pare_weight_dense(t), &v));
        const Onnx__TensorProto *value = n->attribute[0]->t;
        if (value && pare_onnx_is_narrow(value->data_type)) r->narrow.id[r->narrow.n++] = v;
        return PARE_OK;
    }
    for (size_t i = 0; i < n->n_output; i++)
        if (*n->output[i]) PARE_TRY(pare_graph_add_value(r->g, n->output[i], NULL, &v));
    return PARE_OK;
}

static pare_status find_ports(reader *r, char **names, size_t n, uint32_t most, const char *what,
                              pare_id *ids, uint32_t *count)
{
    while (n > 0 && !*names[n - 1]) n--; /* absent ones at the end say nothing */
    if (n > most) return pare_fail(PARE_EUNSUPPORTED, "%zu %s are more than %u", n, what, most);
    for (size_t i = 0; i < n; i++) {
        ids[i] = *names[i] ? pare_graph_find(r->g, names[i]) : PARE_NONE;
        if (*names[i] && ids[i] == PARE_NONE)
            return pare_fail(PARE_EFORMAT,
                             "its input '%s' is given by no node, input or initialiser", names[i]);
    }
    *count = (uint32_t)n;
    return PARE_OK;
}

static pare_status read_node(reader *r, const Onnx__NodeProto *n)
{
    pare_draft d = { .g = r->g,
                     .source = &r->source,
                     .narrow = &r->narrow,
                     .opset = r->opset,
                     .op = n->op_type ? n->op_type : "",
                     .name = node_name(n) };
    if (!default_domain(n->domain))
        return pare_fail(PARE_EUNSUPPORTED, "operator '%s' of domain '%s' is not supported", d.op,
                         n->domain);
    PARE_TRY(find_ports(r, n->input, n->n_input, PARE_MAX_IN, "inputs", d.in, &d.n_in));
    PARE_TRY(find_ports(r, n->output, n->n_output, PARE_MAX_OUT, "outputs", d.out, &d.n_out));
    d.n_attrs = n->n_attribute;
    d.attr = pare_arena_copy(r->arena, n->attribute, n->n_attribute * sizeof *n->attribute);
    if (!d.attr) return pare_fail(PARE_ENOMEM, "no memory for its attributes");
    PARE_TRY(pare_upgrade(&d));
    PARE_TRY(pare_draft_finish(&d));
    if (d.flattens) r->softmax[r->n_softmax++] = (old_softmax){ d.out[0], d.axis };
    if (d.rounds) r->resize[r->n_resize++] = d.out[0];
    Onnx__NodeProto rest = *n;
    rest.n_input = rest.n_output = rest.n_attribute = 0;
    rest.name = rest.op_type = rest.domain = NULL;
    PARE_TRY(pare_proto_rest(&rest.base, r->g->arena, &r->g->node[r->g->n_nodes - 1].extra));
    return d.narrows ? pare_upgrade_narrow(r->g, d.out[0], d.narrows) : PARE_OK;
}

static const char *remedy_for(const Onnx__NodeProto *n)
{
    if (!default_domain(n->domain)) return "export the model with standard ONNX operators only";
    if (!n->op_type || !pare_op_find(n->op_type))
        return "replace this operator by supported ones ('pare list operators'), or export for "
               "inference "
               "only";
    return "check how this node was exported";
}

static pare_status read_nodes(reader *r)
{
    const Onnx__GraphProto *g = r->model->graph;
    for (size_t i = 0; i < g->n_node; i++)
        PARE_TRY(tell(r, name_outputs(r, g->node[i]), node_name(g->node[i]), g->node[i]->op_type,
                      "give every value one producer and a name of its own"));
    for (size_t i = 0; i < g->n_node; i++)
        if (!is_constant(g->node[i]) && !is_call(g->node[i]))
            PARE_TRY(tell(r, read_node(r, g->node[i]), node_name(g->node[i]), g->node[i]->op_type,
                          remedy_for(g->node[i])));
    return PARE_OK;
}

/* --- validation --- */
/* What shape inference says against a node. Several rounds are made where sizes are free: a
 * complaint stands if every round repeats it word for word. */
typedef struct fault {
    char *message; /* NULL: none */
    pare_status st;
    bool again; /* came up in this round too */
} fault;

typedef struct faults {
    fault *of; /* one a node */
    uint32_t count;
    bool first;
} faults;

static pare_status on_fault(void *user, pare_id node, pare_status st)
{
    faults *f = user;
    fault *at = &f->of[node];
    if (f->first) {
        at->message = pare_format("%s", pare_error());
        if (!at->message) return pare_fail(PARE_ENOMEM, "no memory for a message");
        at->st = st;
        f->count++;
    } else if (at->message && strcmp(at->message, pare_error()) == 0)
        at->again = true;
    return PARE_OK;
}

static pare_status pass_over(void *user, pare_id node, pare_status st)
{
    (void)user, (void)node, (void)st;
    return PARE_OK;
}

/* Free sizes become `size`, free batches 1; inputs with a shape of the caller's get that one. */
static pare_status bind(reader *r, pare_graph *c, int64_t size)
{
    for (uint32_t i = 0; i < c->n_inputs; i++) {
        pare_value *v = &c->value[c->input[i]];
        bool bound = false;
        for (size_t s = 0; s < r->shapes.n; s++)
            bound |= !r->shapes.shape[s].name || strcmp(r->shapes.shape[s].name, v->name) == 0;
        for (int d = 0; !bound && d < v->type.rank; d++)
            if (v->type.dim[d] < 0) v->type.dim[d] = d == 0 ? 1 : size;
    }
    /* Without shapes an input of unknown rank is let through: nodes that read it cannot be checked.
     */
    return r->shapes.n ? pare_bind_shapes(c, 1, r->shapes.shape, r->shapes.n) : PARE_OK;
}

/* One round. *out is the clone with the types found, if wanted. */
static pare_status infer_with(reader *r, int64_t size, faults *f, pare_graph **out)
{
    pare_graph *c;
    PARE_TRY(pare_graph_clone(r->g, &c));
    pare_status st = bind(r, c, size);
    for (uint32_t i = 0; i < r->g->n_nodes; i++) f->of[i].again = false;
    if (st == PARE_OK) st = pare_infer_each(c, false, on_fault, f);
    if (st == PARE_OK && out)
        *out = c;
    else
        pare_graph_free(c);
    for (uint32_t i = 0; !f->first && i < r->g->n_nodes; i++) {
        if (!f->of[i].message || f->of[i].again) continue;
        free(f->of[i].message);
        f->of[i].message = NULL;
        f->count--;
    }
    f->first = false;
    return st;
}

static bool has_free_size(const pare_graph *g)
{
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        const pare_type *t = &g->value[g->input[i]].type;
        for (int d = 1; d < t->rank; d++)
            if (t->dim[d] < 0) return true;
    }
    return false;
}

/* With free sizes no one value need fit: a network may want multiples of 32, or 224 exactly. */
static pare_status find_faults(reader *r, faults *f, pare_graph **typed)
{
    static const int64_t sizes[] = { 32, 224, 416 };
    f->first = true;
    PARE_TRY(infer_with(r, 1, f, typed));
    if (r->shapes.n || !has_free_size(r->g)) return PARE_OK;
    for (size_t i = 0; f->count && i < sizeof sizes / sizeof *sizes; i++)
        PARE_TRY(infer_with(r, sizes[i], f, NULL));
    return PARE_OK;
}

static pare_status report_faults(reader *r, const faults *f)
{
    for (uint32_t i = 0; f->count && i < r->g->n_nodes; i++) {
        if (!f->of[i].message) continue;
        const pare_node *n = &r->g->node[i];
        pare_status st = pare_fail(f->of[i].st, "%s", f->of[i].message);
        if (!r->sink) return pare_note(st, "node '%s' (%s)", n->name, n->op->name);
        PARE_TRY(tell(r, st, n->name, n->op->name,
                      f->of[i].st == PARE_EUNSUPPORTED
                          ? "export the model without this form of the operator"
                          : "check the shapes and attributes of this node, and the input shape"));
    }
    return PARE_OK;
}

/* A Softmax of old is finished now that its input's rank is known, or known not to be. */
static pare_status finish_softmax(reader *r, const pare_graph *typed)
{
    for (size_t i = 0; i < r->n_softmax; i++) {
        pare_id node = r->g->value[r->softmax[i].out].producer;
        if (node == PARE_NONE) continue;
        const pare_node *n = &r->g->node[node];
        const char *name = n->name, *op = n->op->name;
        PARE_TRY(tell(r,
                      pare_upgrade_softmax(r->g, r->softmax[i].out, r->softmax[i].axis,
                                           typed->value[n->in[0]].type.rank),
                      name, op, "export the model with opset 13 or later"));
    }
    pare_status st = r->n_softmax ? pare_graph_sort(r->g) : PARE_OK;
    return r->sink && st == PARE_EFORMAT ? PARE_OK : st; /* a cycle, which the sink knows of */
}

/* A Resize of opset 10 is finished where its scales can be computed without data. They may come
 * from shapes; with a free size other than the batch no one answer would do. */
static pare_status finish_resize(reader *r)
{
    if (r->n_resize == 0) return PARE_OK;
    pare_graph *c;
    PARE_TRY(pare_graph_clone(r->g, &c));
    pare_status st = has_free_size(c) && !r->shapes.n ? PARE_OK : bind(r, c, 1);
    if (st == PARE_OK) st = pare_infer_each(c, true, pass_over, NULL);
    for (size_t i = 0; st == PARE_OK && i < r->n_resize; i++) {
        pare_id node = r->g->value[r->resize[i]].producer;
        if (node == PARE_NONE) continue;
        const pare_node *n = &r->g->node[node];
        const char *name = n->name;
        const pare_weight *w = c->value[n->in[2]].weight;
        st = w && !w->codec ? pare_upgrade_resize(r->g, r->resize[i], &w->part[0])
                            : pare_fail(PARE_EUNSUPPORTED,
                                        "Resize before opset 11 needs scales that are known "
                                        "before running");
        st = tell(r, st, name, "Resize",
                  "export the model with opset 11 or later, or with fixed sizes");
    }
    pare_graph_free(c);
    return st;
}

/* Runtimes refuse a file whose outputs are of another element type than it says; about shapes they
 * only warn.
 */
static pare_status check_outputs(reader *r, const pare_graph *typed)
{
    for (uint32_t i = 0; i < r->g->n_outputs; i++) {
        const pare_value *v = &r->g->value[r->g->output[i]];
        pare_dtype is = typed->value[r->g->output[i]].type.dtype;
        if (v->type.dtype == PARE_UNDEFINED || is == PARE_UNDEFINED || is == v->type.dtype)
            continue;
        PARE_TRY(tell(r,
                      pare_fail(PARE_EFORMAT, "output '%s' is declared as %s, but it is %s",
                                v->name, pare_dtype_name(v->type.dtype), pare_dtype_name(is)),
                      NULL, NULL, "declare the element type that the output has"));
    }
    return PARE_OK;
}

static pare_status validate(reader *r)
{
    faults f = { .of = calloc((size_t)r->g->n_nodes + 1, sizeof *f.of) };
    if (!f.of) return pare_fail(PARE_ENOMEM, "no memory to check %u nodes", r->g->n_nodes);
    uint32_t n = r->g->n_nodes;
    pare_graph *typed = NULL;
    pare_status st = find_faults(r, &f, &typed);
    if (st == PARE_EINVAL)
        st = tell(r, PARE_EFORMAT, NULL, NULL, "give a shape that fits the model's input");
    else if (st == PARE_OK) {
        st = report_faults(r, &f);
        if (st == PARE_OK) st = check_outputs(r, typed);
        if (st == PARE_OK) st = finish_softmax(r, typed);
        if (st == PARE_OK) st = finish_resize(r);
    }
    pare_graph_free(typed);
    for (uint32_t i = 0; i < n; i++) free(f.of[i].message);
    free(f.of);
    return st;
}

/* The parts of encoded weights have no life of their own in the graph, unless somebody else reads
 * them. */
static pare_status drop_parts(reader *r)
{
    const Onnx__GraphProto *g = r->model->graph;
    pare_uses uses;
    PARE_TRY(pare_graph_uses(r->g, &uses));
    for (size_t i = 0; i < g->n_node; i++)
        for (size_t k = 0; is_call(g->node[i]) && k < g->node[i]->n_input; k++) {
            pare_id v = pare_graph_find(r->g, g->node[i]->input[k]);
            if (v == PARE_NONE || r->g->value[v].is_output || pare_use_count(&uses, v)) continue;
            pare_weight_free(r->g->value[v].weight);
            r->g->value[v].weight = NULL;
        }
    pare_uses_free(&uses);
    return PARE_OK;
}

static pare_status build(reader *r)
{
    const Onnx__GraphProto *g = r->model->graph;
    r->softmax = pare_arena_array(r->arena, g->n_node, sizeof *r->softmax);
    r->resize = pare_arena_array(r->arena, g->n_node, sizeof *r->resize);
    r->narrow.id = pare_arena_array(r->arena, g->n_initializer + g->n_node, sizeof(pare_id));
    if (!r->softmax || !r->resize || !r->narrow.id)
        return pare_fail(PARE_ENOMEM, "no memory for %zu nodes", g->n_node);
    PARE_TRY(read_rest(r));
    for (size_t i = 0; i < r->model->n_functions; i++)
        PARE_TRY(tell(r, pare_function_known(r->model->functions[i]), NULL, NULL,
                      "inline the model's functions, or use a newer pare"));
    PARE_TRY(read_initialisers(r));
    for (size_t i = 0; i < g->n_input; i++)
        PARE_TRY(tell(r, read_input(r, g->input[i]), NULL, NULL,
                      "declare every input once, as a tensor with an element type"));
    PARE_TRY(read_nodes(r));
    if (g->n_output == 0)
        PARE_TRY(tell(r, pare_fail(PARE_EFORMAT, "it has no outputs"), NULL, NULL,
                      "declare what the model gives"));
    for (size_t i = 0; i < g->n_output; i++)
        PARE_TRY(tell(r, read_output(r, g->output[i]), NULL, NULL,
                      "declare only outputs that some node gives"));
    PARE_TRY(drop_parts(r));
    PARE_TRY(tell(r, pare_graph_sort(r->g), NULL, NULL, "remove the cycle"));
    return validate(r);
}

/* What people give instead of a model: the first bytes, and what to call it. No ONNX file begins
 * so: its first byte is the tag of a field of ModelProto. */
static const struct {
    const char *start;
    size_t size;
    const char *what;
} strangers[] = {
    { "PK\3\4", 4,
      "a ZIP archive (an archive of models, or a PyTorch file: export it with torch.onnx.export)" },
    { "\x80\2", 2, "a Python pickle (a PyTorch file: export it with torch.onnx.export)" },
    { "\x89HDF", 4, "an HDF5 file (a Keras model: convert it with tf2onnx)" },
    { "\x1f\x8b", 2, "compressed by gzip; unpack it first" },
    { "version https://git-lfs", 23, "a pointer of Git LFS; fetch the file with 'git lfs pull'" },
    { "<", 1, "text, perhaps a web page that a download gave instead of the file" },
    { "\x7f"
      "ELF",
      4, "a program" },
    { "\x93NUMPY", 6, "a NumPy array" },
};

/* NULL if the bytes begin like none of them. */
static const char *stranger(pare_onnx_bytes *b)
{
    uint8_t start[32] = { 0 };
    size_t size = b->size < sizeof start ? b->size : sizeof start;
    if (pare_onnx_bytes_read(b, 0, start, size) != PARE_OK) return NULL;
    for (size_t i = 0; i < sizeof strangers / sizeof *strangers; i++)
        if (size >= strangers[i].size && memcmp(start, strangers[i].start, strangers[i].size) == 0)
            return strangers[i].what;
    return NULL;
}

/* The messages, without the long weights. */
static pare_status unpack(reader *r, pare_onnx_bytes *bytes, Onnx__ModelProto **out)
{
    uint8_t *lean;
    size_t size;
    PARE_TRY(pare_onnx_scan(bytes));
    PARE_TRY(pare_onnx_lean(bytes, &lean, &size, &r->cut, &r->n_cuts));
    pare_status st = pare_proto_unpack(lean, size, r->arena, out);
    free(lean);
    size_t n = st == PARE_OK && (*out)->graph ? (*out)->graph->n_initializer : 0;
    if (st == PARE_OK && n != r->n_cuts)
        st = pare_fail(PARE_EFORMAT, "its %zu initialisers are not all in its graph", r->n_cuts);
    return st;
}

static pare_status read_bytes(pare_onnx_bytes *bytes, bool stay, const char *name,
                              const char *folder, pare_onnx_shapes shapes,
                              const pare_onnx_sink *sink, pare_graph **out)
{
    size_t budget = 64u << 20;
    reader r = { .arena = pare_arena_new(budget + 4 * bytes->size),
                 .source = { .folder = folder, .left = PARE_ONNX_DATA_MOST, .bytes = bytes },
                 .sink = sink,
                 .shapes = shapes };
    Onnx__ModelProto *model = NULL;
    pare_status st = r.arena ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory to read a model");
    if (st == PARE_OK) st = pare_graph_new(&r.g);
    if (st == PARE_OK && stay) st = pare_onnx_file_keep(bytes, &r.file);
    if (st == PARE_OK) st = unpack(&r, bytes, &model);
    const char *what = st == PARE_EFORMAT ? stranger(bytes) : NULL;
    if (what) st = pare_fail(st, "it is no ONNX model but %s", what);
    r.model = model;
    if (st == PARE_OK) st = read_versions(&r);
    if (st == PARE_OK) st = build(&r);
    free(r.cut);
    pare_onnx_file_free(r.file);
    pare_arena_free(r.arena);
    if (st == PARE_OK) {
        *out = r.g;
        return PARE_OK;
    }
    pare_graph_free(r.g);
    return pare_note(st, "%s", name);
}

pare_status pare_onnx_read(const void *data, size_t size, const char *name, const char *folder,
                           pare_onnx_shapes shapes, const pare_onnx_sink *sink, pare_graph **out)
{
    pare_onnx_bytes bytes = { .data = data ? data : "", .fd = -1, .size = size };
    if (size > PARE_ONNX_FILE_MOST)
        return pare_fail(PARE_ELIMIT, "%s: %zu bytes are more than the %zu that are read", name,
                         size, PARE_ONNX_FILE_MOST);
    return read_bytes(&bytes, false, name, folder, shapes, sink, out);
}

pare_status pare_model_load_memory(const void *data, size_t size, const char *name,
                                   pare_graph **out)
{
    return pare_onnx_read(data, size, name, NULL, (pare_onnx_shapes){ NULL, 0 }, NULL, out);
}

pare_status pare_onnx_read_file(const char *path, bool stay, pare_onnx_shapes shapes,
                                const pare_onnx_sink *sink, pare_graph **out)
{
    pare_onnx_bytes bytes;
    const char *slash = strrchr(path, '/');
    char *folder = slash ? pare_format("%.*s", (int)(slash - path) + 1, path) : pare_format(".");
    pare_status st =
        folder ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", path);
    if (st == PARE_OK) {
        st = pare_onnx_bytes_open(path, PARE_ONNX_FILE_MOST, &bytes);
        if (st == PARE_OK) st = read_bytes(&bytes, stay, path, folder, shapes, sink, out);
        pare_onnx_bytes_close(&bytes);
    }
    free(folder);
    return st;
}

pare_status pare_model_load(const char *path, pare_graph **out)
{
    return pare_onnx_read_file(path, false, (pare_onnx_shapes){ NULL, 0 }, NULL, out);
}

pare_status pare_model_open(const char *path, pare_graph **out)
{
    return pare_onnx_read_file(path, true, (pare_onnx_shapes){ NULL, 0 }, NULL, out);
}
