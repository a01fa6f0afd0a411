/* Nodes between the file and the graph: attributes by name while older forms are upgraded, then
 * into the operator's struct by its field table; and the way back. */
#include "onnx/onnx.h"
#include "tensor/tensor.h"

#include <string.h>

/* --- attributes by name --- */
Onnx__AttributeProto *pare_draft_take(pare_draft *d, const char *name)
{
    for (size_t i = 0; i < d->n_attrs; i++) {
        Onnx__AttributeProto *a = d->attr[i];
        if (!a || !a->name || strcmp(a->name, name) != 0) continue;
        d->attr[i] = NULL;
        return a;
    }
    return NULL;
}

static const char *type_name(int t)
{
    static const char *const names[] = { "untyped",        "FLOAT",      "INT",
                                         "STRING",         "TENSOR",     "GRAPH",
                                         "FLOATS",         "INTS",       "STRINGS",
                                         "TENSORS",        "GRAPHS",     "SPARSE_TENSOR",
                                         "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS" };
    return t >= 0 && t < (int)(sizeof names / sizeof *names) ? names[t] : "of an unknown type";
}

/* IR version 1 had no types; there the field that is present tells. */
static pare_status expect(const Onnx__AttributeProto *a, Onnx__AttributeProto__AttributeType want)
{
    if (a->ref_attr_name && *a->ref_attr_name)
        return pare_fail(PARE_EUNSUPPORTED, "attribute '%s' refers to '%s' of a function", a->name,
                         a->ref_attr_name);
    int have = a->has_type ? (int)a->type : 0;
    if (have == 0) {
        have = a->has_f       ? 1
               : a->has_i     ? 2
               : a->has_s     ? 3
               : a->t         ? 4
               : a->g         ? 5
               : a->n_floats  ? 6
               : a->n_ints    ? 7
               : a->n_strings ? 8
                              : 0;
        if (have == 0 && (want == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS ||
                          want == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS))
            return PARE_OK;
    }
    if (have != (int)want)
        return pare_fail(PARE_EFORMAT, "attribute '%s' is %s instead of %s", a->name,
                         type_name(have), type_name((int)want));
    if (want == ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR && !a->t)
        return pare_fail(PARE_EFORMAT, "attribute '%s' has no tensor", a->name);
    return PARE_OK;
}

pare_status pare_draft_take_int(pare_draft *d, const char *name, int64_t *v, bool *found)
{
    Onnx__AttributeProto *a = pare_draft_take(d, name);
    if (found) *found = a != NULL;
    if (!a) return PARE_OK;
    PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT));
    *v = a->i;
    return PARE_OK;
}

pare_status pare_draft_take_real(pare_draft *d, const char *name, double *v, bool *found)
{
    Onnx__AttributeProto *a = pare_draft_take(d, name);
    if (found) *found = a != NULL;
    if (!a) return PARE_OK;
    PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT));
    *v = (double)a->f;
    return PARE_OK;
}

pare_status pare_draft_take_ints(pare_draft *d, const char *name, const int64_t **v, size_t *n,
                                 bool *found)
{
    Onnx__AttributeProto *a = pare_draft_take(d, name);
    if (found) *found = a != NULL;
    if (!a) return PARE_OK;
    PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS));
    *v = a->ints;
    *n = a->n_ints;
    return PARE_OK;
}

pare_status pare_draft_take_reals(pare_draft *d, const char *name, const float **v, size_t *n,
                                  bool *found)
{
    Onnx__AttributeProto *a = pare_draft_take(d, name);
    if (found) *found = a != NULL;
    if (!a) return PARE_OK;
    PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS));
    *v = a->floats;
    *n = a->n_floats;
    return PARE_OK;
}

/* The text lives in the graph's arena. */
static pare_status text_of(const pare_draft *d, const Onnx__AttributeProto *a, const char **s)
{
    PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING));
    if (a->s.len && memchr(a->s.data, 0, a->s.len))
        return pare_fail(PARE_EFORMAT, "attribute '%s' has a zero byte in its text", a->name);
    *s = pare_arena_strn(d->g->arena, a->s.len ? (const char *)a->s.data : "", a->s.len);
    return *s ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for attribute '%s'", a->name);
}

pare_status pare_draft_take_text(pare_draft *d, const char *name, const char **s, bool *found)
{
    Onnx__AttributeProto *a = pare_draft_take(d, name);
    if (found) *found = a != NULL;
    return a ? text_of(d, a, s) : PARE_OK;
}

pare_status pare_draft_expect_int(pare_draft *d, const char *name, int64_t only)
{
    int64_t v = only;
    PARE_TRY(pare_draft_take_int(d, name, &v, NULL));
    if (v == only) return PARE_OK;
    return pare_fail(PARE_EUNSUPPORTED, "attribute '%s' = %lld is not supported, only %lld", name,
                     (long long)v, (long long)only);
}

/* --- attributes that became inputs --- */
pare_status pare_draft_constant(pare_draft *d, uint32_t slot, const char *what, pare_tensor t)
{
    char name[256];
    snprintf(name, sizeof name, "%.200s.%s",
             d->n_out && d->out[0] != PARE_NONE ? d->g->value[d->out[0]].name : d->name, what);
    pare_id id;
    PARE_TRY(
        pare_graph_add_constant(d->g, pare_graph_unique(d->g, name), pare_weight_dense(t), &id));
    while (d->n_in <= slot) d->in[d->n_in++] = PARE_NONE;
    d->in[slot] = id;
    return PARE_OK;
}

pare_status pare_draft_ints_input(pare_draft *d, uint32_t slot, const char *what, const int64_t *v,
                                  size_t n)
{
    pare_tensor t;
    PARE_TRY(pare_tensor_i64(v, 1, (int64_t)n, &t));
    return pare_draft_constant(d, slot, what, t);
}

pare_status pare_draft_reals_input(pare_draft *d, uint32_t slot, const char *what, const float *v,
                                   size_t n, bool scalar)
{
    pare_tensor t;
    int64_t dim = (int64_t)n;
    PARE_TRY(pare_tensor_new(PARE_F32, scalar ? 0 : 1, &dim, &t));
    if (n) memcpy(t.data, v, n * sizeof *v);
    return pare_draft_constant(d, slot, what, t);
}

/* --- into the operator's struct --- */
static pare_status fill(const pare_draft *d, const Onnx__AttributeProto *a, const pare_field *f,
                        void *object)
{
    const char *s;
    switch (f->kind) {
    case PARE_FIELD_INT:
    case PARE_FIELD_BOOL:
        PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT));
        return pare_field_set_int(f, a->i, object);
    case PARE_FIELD_REAL:
        PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT));
        return pare_field_set_real(f, (double)a->f, object);
    case PARE_FIELD_STR:
    case PARE_FIELD_ENUM:
        PARE_TRY(text_of(d, a, &s));
        return pare_field_set_str(f, s, strlen(s), d->g->arena, object);
    case PARE_FIELD_INTS:
        PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS));
        return pare_field_set_ints(f, a->ints, a->n_ints, d->g->arena, object);
    case PARE_FIELD_REALS: {
        PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS));
        double *v = pare_arena_array(d->g->arena, a->n_floats, sizeof *v);
        if (!v) return pare_fail(PARE_ENOMEM, "no memory for attribute '%s'", a->name);
        for (size_t i = 0; i < a->n_floats; i++) v[i] = (double)a->floats[i];
        return pare_field_set_reals(f, v, a->n_floats, d->g->arena, object);
    }
    case PARE_FIELD_TENSOR: {
        PARE_TRY(expect(a, ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR));
        pare_tensor t;
        PARE_TRY(pare_tensor_read(d->source, a->t, &t));
        pare_tensor *at = pare_field_at(f, object);
        *at = t;
        at->buffer = NULL; /* the graph keeps the memory, the attribute borrows it */
        return pare_graph_keep(d->g, t);
    }
    case PARE_FIELD_STRS: /* options only, no operator has one */
    case PARE_FIELD_END: break;
    }
    return pare_fail(PARE_EINTERNAL, "field '%s' has no kind", f->name);
}

static pare_status count_ports(const char *what, uint32_t have, int min, int max)
{
    if ((int)have >= min && (int)have <= max) return PARE_OK;
    if (min == max) return pare_fail(PARE_EFORMAT, "it has %u %s instead of %d", have, what, min);
    return pare_fail(PARE_EFORMAT, "it has %u %s instead of %d to %d", have, what, min, max);
}

pare_status pare_draft_finish(const pare_draft *d)
{
    const pare_op *op = pare_op_find(d->op);
    if (!op) return pare_fail(PARE_EUNSUPPORTED, "operator '%s' is not supported", d->op);
    PARE_TRY(count_ports("inputs", d->n_in, op->inputs.min, op->inputs.max));
    PARE_TRY(count_ports("outputs", d->n_out, op->outputs.min, op->outputs.max));
    for (int i = 0; i < op->inputs.min; i++)
        if (d->in[i] == PARE_NONE) return pare_fail(PARE_EFORMAT, "its input %d is missing", i);
    void *attrs = NULL;
    if (op->attrs_size) {
        attrs = pare_arena_alloc(d->g->arena, op->attrs_size);
        if (!attrs) return pare_fail(PARE_ENOMEM, "no memory for its attributes");
        pare_fields_default(op->attrs, attrs);
    }
    for (size_t i = 0; i < d->n_attrs; i++) {
        const Onnx__AttributeProto *a = d->attr[i];
        if (!a) continue;
        if (!a->name || !*a->name) return pare_fail(PARE_EFORMAT, "an attribute has no name");
        const pare_field *f = pare_field_find(op->attrs, a->name, strlen(a->name));
        if (!f)
            return pare_fail(PARE_EUNSUPPORTED, "attribute '%s' of operator '%s' is not supported",
                             a->name, op->name);
        for (size_t k = 0; k < i; k++)
            if (d->attr[k] && strcmp(d->attr[k]->name, a->name) == 0)
                return pare_fail(PARE_EFORMAT, "attribute '%s' is given twice", a->name);
        pare_status st = fill(d, a, f, attrs);
        /* The tables speak to users about options; in a file the same fault is the file's. */
        if (st == PARE_EINVAL)
            return pare_note(f->kind == PARE_FIELD_ENUM ? PARE_EUNSUPPORTED : PARE_EFORMAT,
                             "attribute");
        if (st != PARE_OK) return st;
    }
    return pare_graph_add_node(d->g, op, d->name, attrs, op->attrs_size, d->n_in, d->in, d->n_out,
                               d->out, NULL);
}

/* --- and back --- */
static pare_status write_one(const pare_field *f, const void *object, pare_arena *arena,
                             Onnx__AttributeProto *a)
{
    const void *at = pare_field_get(f, object);
    bool ok = true;
    a->name = (char *)f->name;
    a->has_type = true;
    switch (f->kind) {
    case PARE_FIELD_INT:
    case PARE_FIELD_BOOL:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INT;
        a->has_i = true;
        a->i = f->kind == PARE_FIELD_INT ? *(const int64_t *)at : *(const bool *)at;
        break;
    case PARE_FIELD_REAL:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOAT;
        a->has_f = true;
        a->f = (float)*(const double *)at;
        break;
    case PARE_FIELD_STR:
    case PARE_FIELD_ENUM: {
        const char *s = f->kind == PARE_FIELD_STR ? *(const char *const *)at : NULL;
        size_t len = s ? strlen(s) : 0;
        if (!s) s = pare_field_choice(f, *(const int *)at, &len);
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__STRING;
        a->has_s = true;
        a->s.data = (uint8_t *)s;
        a->s.len = len;
        break;
    }
    case PARE_FIELD_INTS:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__INTS;
        a->n_ints = ((const pare_ints *)at)->n;
        a->ints = ((const pare_ints *)at)->v;
        break;
    case PARE_FIELD_REALS: {
        const pare_reals *r = at;
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__FLOATS;
        a->n_floats = r->n;
        ok = (a->floats = pare_arena_array(arena, r->n, sizeof *a->floats)) != NULL;
        for (size_t i = 0; ok && i < r->n; i++) a->floats[i] = (float)r->v[i];
        break;
    }
    case PARE_FIELD_TENSOR:
        a->type = ONNX__ATTRIBUTE_PROTO__ATTRIBUTE_TYPE__TENSOR;
        ok = (a->t = pare_arena_alloc(arena, sizeof *a->t)) != NULL;
        if (!ok) break;
        onnx__tensor_proto__init(a->t);
        return pare_tensor_write(at, NULL, arena, a->t);
    case PARE_FIELD_STRS: /* options only, no operator has one */
    case PARE_FIELD_END: break;
    }
    return ok ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory to write attribute '%s'", f->name);
}

static bool is_absent(const pare_field *f, const void *object)
{
    if (f->kind == PARE_FIELD_TENSOR)
        return ((const pare_tensor *)pare_field_get(f, object))->dtype == PARE_UNDEFINED;
    return pare_field_is_default(f, object);
}

pare_status pare_attrs_write(const pare_node *n, pare_arena *arena, Onnx__NodeProto *out)
{
    size_t count = 0;
    for (const pare_field *f = n->op->attrs; f && f->name; f++) count += !is_absent(f, n->attrs);
    out->attribute = pare_arena_array(arena, count, sizeof *out->attribute);
    if (!out->attribute) return pare_fail(PARE_ENOMEM, "no memory to write attributes");
    for (const pare_field *f = n->op->attrs; f && f->name; f++) {
        if (is_absent(f, n->attrs)) continue;
        Onnx__AttributeProto *a = pare_arena_alloc(arena, sizeof *a);
        if (!a) return pare_fail(PARE_ENOMEM, "no memory to write attributes");
        onnx__attribute_proto__init(a);
        PARE_TRY(write_one(f, n->attrs, arena, a));
        out->attribute[out->n_attribute++] = a;
    }
    return PARE_OK;
}
