/* Builds small ONNX models in memory for tests, valid or not: thin wrappers over the generated
 * messages. All memory is one pool that make_free() drops. */
#ifndef TESTS_ONNX_MAKE_H
#define TESTS_ONNX_MAKE_H

#include "base/arena.h"
#include "onnx.pb-c.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct make {
    pare_arena *arena;
    Onnx__ModelProto *model;
    Onnx__GraphProto *graph;
} make;

#define MAKE_NEW(m, TYPE, PREFIX, var)                       \
    TYPE *var = pare_arena_alloc((m)->arena, sizeof *(var)); \
    PREFIX##__init(var)

/* Appends `item` to a repeated field. */
#define MAKE_PUSH(m, list, count, item)                                           \
    do {                                                                          \
        void *grown_ = pare_arena_array((m)->arena, (count) + 1, sizeof(void *)); \
        if (count) memcpy(grown_, (list), (count) * sizeof(void *));              \
        (list) = grown_;                                                          \
        (list)[(count)++] = (void *)(item);                                       \
    } while (0)

static inline void make_opset(make *m, const char *domain, int version)
{
    MAKE_NEW(m, Onnx__OperatorSetIdProto, onnx__operator_set_id_proto, o);
    o->domain = (char *)domain;
    o->has_version = 1;
    o->version = version;
    MAKE_PUSH(m, m->model->opset_import, m->model->n_opset_import, o);
}

/* opset 0: none is declared. */
static inline make make_new(int opset)
{
    make m = { .arena = pare_arena_new(0) };
    m.model = pare_arena_alloc(m.arena, sizeof *m.model);
    onnx__model_proto__init(m.model);
    m.graph = pare_arena_alloc(m.arena, sizeof *m.graph);
    onnx__graph_proto__init(m.graph);
    m.model->graph = m.graph;
    m.model->has_ir_version = 1;
    m.model->ir_version = 8;
    m.graph->name = (char *)"test";
    if (opset) make_opset(&m, "", opset);
    return m;
}

static inline void make_free(make *m) { pare_arena_free(m->arena); }

/* A dimension below 0 becomes the name "N". rank < 0: no shape. */
static inline Onnx__ValueInfoProto *make_info(make *m, const char *name, int dtype, int rank,
                                              const int64_t *dim)
{
    MAKE_NEW(m, Onnx__ValueInfoProto, onnx__value_info_proto, v);
    MAKE_NEW(m, Onnx__TypeProto, onnx__type_proto, t);
    MAKE_NEW(m, Onnx__TypeProto__Tensor, onnx__type_proto__tensor, tt);
    v->name = (char *)name;
    v->type = t;
    t->value_case = ONNX__TYPE_PROTO__VALUE_TENSOR_TYPE;
    t->tensor_type = tt;
    tt->has_elem_type = 1;
    tt->elem_type = dtype;
    if (rank < 0) return v;
    MAKE_NEW(m, Onnx__TensorShapeProto, onnx__tensor_shape_proto, s);
    tt->shape = s;
    for (int i = 0; i < rank; i++) {
        MAKE_NEW(m, Onnx__TensorShapeProto__Dimension, onnx__tensor_shape_proto__dimension, d);
        if (dim[i] < 0) {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_PARAM;
            d->dim_param = (char *)"N";
        } else {
            d->value_case = ONNX__TENSOR_SHAPE_PROTO__DIMENSION__VALUE_DIM_VALUE;
            d->dim_value = dim[i];
        }
        MAKE_PUSH(m, s->dim, s->n_dim, d);
    }
    return v;
}

static inline void make_input(make *m, const char *name, int dtype, int rank, const int64_t *dim)
{
    Onnx__ValueInfoProto *v = make_info(m, name, dtype, rank, dim);
    MAKE_PUSH(m, m->graph->input, m->graph->n_input, v);
}

static inline void make_output(make *m, const char *name, int dtype, int rank, const int64_t *dim)
{
    Onnx__ValueInfoProto *v = make_info(m, name, dtype, rank, dim);
    MAKE_PUSH(m, m->graph->output, m->graph->n_output, v);
}

static inline Onnx__TensorProto *make_tensor(make *m, const char *name, int dtype, int rank,
                                             const int64_t *dim, const void *raw, size_t size)
{
    MAKE_NEW(m, Onnx__TensorProto, onnx__tensor_proto, t);
    t->name = (char *)name;
    t->has_data_type = 1;
    t->data_type = dtype;
    t->n_dims = (size_t)rank;
    t->dims = pare_arena_copy(m->arena, dim, (size_t)rank * sizeof *dim);
    if (raw) {
        t->has_raw_data = 1;
        t->raw_data.data = pare_arena_copy(m->arena, raw, size);
        t->raw_data.len = size;
    }
    return t;
}

static inline Onnx__TensorProto *make_init(make *m, const char *name, int dtype, int rank,
                                           const int64_t *dim, const void *raw, size_t size)
{
    Onnx__TensorProto *t = make_tensor(m, name, dtype, rank, dim, raw, size);
    MAKE_PUSH(m, m->graph->initializer, m->graph->n_initializer, t);
    return t;
}

/* Names are separated by blanks; "-" is an absent one. */
static inline Onnx__NodeProto *make_node(make *m, const char *op, const char *name, const char *in,
                                         const char *out)
{
    MAKE_NEW(m, Onnx__NodeProto, onnx__node_proto, n);
    n->op_type = (char *)op;
    n->name = (char *)name;
    for (int side = 0; side < 2; side++)
        for (const char *p = side ? out : in; *p;) {
            size_t len = strcspn(p, " ");
            char *s = pare_arena_strn(m->arena, p, len);
            if (strcmp(s, "-") == 0) *s = 0;
            if (side)
                MAKE_PUSH(m, n->output, n->n_output, s);
            else
                MAKE_PUSH(m, n->input, n->n_input, s);
            p += len;
            while (*p == ' ') p++;
        }
    MAKE_PUSH(m, m->graph->node, m->graph->n_node, n);
    return n;
}

static inline Onnx__AttributeProto *make_attr(make *m, Onnx__NodeProto *n, const char *name,
                                              int type)
{
    MAKE_NEW(m, Onnx__AttributeProto, onnx__attribute_proto, a);
    a->name = (char *)name;
    a->has_type = 1;
    a->type = (Onnx__AttributeProto__AttributeType)type;
    MAKE_PUSH(m, n->attribute, n->n_attribute, a);
    return a;
}

static inline void make_int(make *m, Onnx__NodeProto *n, const char *name, int64_t v)
{
    Onnx__AttributeProto *a = make_attr(m, n, name, 2);
    a->has_i = 1;
    a->i = v;
}

static inline void make_real(make *m, Onnx__NodeProto *n, const char *name, float v)
{
    Onnx__AttributeProto *a = make_attr(m, n, name, 1);
    a->has_f = 1;
    a->f = v;
}

static inline void make_text(make *m, Onnx__NodeProto *n, const char *name, const char *v)
{
    Onnx__AttributeProto *a = make_attr(m, n, name, 3);
    a->has_s = 1;
    a->s.data = (uint8_t *)v;
    a->s.len = strlen(v);
}

static inline void make_ints(make *m, Onnx__NodeProto *n, const char *name, size_t count,
                             const int64_t *v)
{
    Onnx__AttributeProto *a = make_attr(m, n, name, 7);
    a->n_ints = count;
    a->ints = pare_arena_copy(m->arena, v, count * sizeof *v);
}

static inline void make_reals(make *m, Onnx__NodeProto *n, const char *name, size_t count,
                              const float *v)
{
    Onnx__AttributeProto *a = make_attr(m, n, name, 6);
    a->n_floats = count;
    a->floats = pare_arena_copy(m->arena, v, count * sizeof *v);
}

/* The packed model, in the pool. */
static inline const uint8_t *make_bytes(make *m, size_t *size)
{
    *size = onnx__model_proto__get_packed_size(m->model);
    uint8_t *p = pare_arena_alloc(m->arena, *size);
    onnx__model_proto__pack(m->model, p);
    return p;
}

#endif
