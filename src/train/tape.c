/* From a graph to a tape: values in layouts that the steps like, and the steps. What each operator
 * becomes is in the ops_*.c files. */
#include "base/cpu.h"
#include "train/engine.h"

#include <stdlib.h>
#include <string.h>

void *tape_alloc(pare_engine *e, size_t count, size_t size)
{
    return pare_arena_array(e->arena, count ? count : 1, size);
}

pare_status tape_unsupported(const pare_node *n, const char *why)
{
    return pare_fail(PARE_EUNSUPPORTED, "node '%s' (%s) cannot be trained through: %s", n->name,
                     n->op->name, why);
}

static pare_status no_memory(void)
{
    return pare_fail(PARE_ENOMEM, "no memory for the training tape");
}

static pare_status grow(void **array, int n, int *cap, size_t size)
{
    if (n < *cap) return PARE_OK;
    int want = *cap ? *cap * 2 : 64;
    void *p = realloc(*array, (size_t)want * size);
    if (!p) return no_memory();
    *array = p;
    *cap = want;
    return PARE_OK;
}

/* --- values --- */

static void channels_of(const pare_type *t, size_t *c, size_t *hw)
{
    size_t count = (size_t)pare_numel(t->rank, t->dim);
    bool map = t->rank >= 2 && t->dim[0] == 1 && t->dim[1] > 0;
    *c = map ? (size_t)t->dim[1] : count;
    *hw = map ? count / (size_t)t->dim[1] : 1;
}

size_t tape_lanes(const tbuilder *b, pare_id id)
{
    const pare_type *t = &b->g->value[id].type;
    return t->rank >= 3 && t->dim[0] == 1 && t->dim[1] >= 4 ? b->e->k->lanes : 1;
}

pare_map_dims tape_dims(const tbuilder *b, pare_id id, int v)
{
    const tv *t = &b->e->value[v];
    if (t->lanes > 1) return tv_dims(t, 1);
    pare_map_dims d = { .n = 1, .lanes = 1 };
    channels_of(&b->g->value[id].type, &d.blocks, &d.hw);
    return d;
}

static pare_status new_value(tbuilder *b, pare_id id, const pare_type *type, size_t lanes, int *out)
{
    pare_engine *e = b->e;
    if (type->dtype != PARE_F32)
        return pare_fail(PARE_EUNSUPPORTED, "value '%s' is %s; only float32 trains",
                         b->g->value[id].name, pare_dtype_name(type->dtype));
    PARE_TRY(grow((void **)&e->value, e->n_values, &e->cap_values, sizeof *e->value));
    tv v = { .id = id, .lanes = lanes, .producer = -1 };
    channels_of(type, &v.c, &v.hw);
    v.blocks = (v.c + lanes - 1) / lanes;
    v.size = v.blocks * v.hw * lanes;
    if (v.size == 0 || v.size > INT32_MAX)
        return pare_fail(PARE_ELIMIT, "value '%s' has %zu numbers an image; 1 to %d can be trained",
                         b->g->value[id].name, v.size, INT32_MAX);
    *out = e->n_values;
    e->value[e->n_values++] = v;
    return PARE_OK;
}

pare_status tape_value(tbuilder *b, pare_id id, size_t lanes, int *out)
{
    PARE_TRY(new_value(b, id, &b->g->value[id].type, lanes, out));
    (lanes > 1 ? b->blocked : b->plain)[id] = *out;
    return PARE_OK;
}

size_t tape_offset(const tv *v, size_t i)
{
    if (v->lanes == 1) return i;
    size_t c = i / v->hw, p = i % v->hw;
    return (c / v->lanes * v->hw + p) * v->lanes + c % v->lanes;
}

void tape_clear_padding(const tv *v, size_t n, float *x)
{
    size_t used = v->c % v->lanes;
    if (used == 0 || !x) return;
    for (size_t i = 0; i < n; i++) {
        float *last = x + i * v->size + (v->blocks - 1) * v->hw * v->lanes;
        for (size_t p = 0; p < v->hw; p++)
            memset(last + p * v->lanes + used, 0, (v->lanes - used) * sizeof *last);
    }
}

/* --- steps --- */

pare_status tape_step(tbuilder *b, const tape_op *op, const pare_node *n, int n_in, const int *in,
                      int out, size_t state_size, tstep **s)
{
    pare_engine *e = b->e;
    PARE_TRY(grow((void **)&e->step, e->n_steps, &e->cap_steps, sizeof *e->step));
    tstep *t = &e->step[e->n_steps];
    *t = (tstep){ .op = op, .node = n, .n_in = n_in, .out = out, .param = { -1, -1, -1, -1 } };
    t->in = tape_alloc(e, (size_t)n_in, sizeof *t->in);
    t->state = state_size ? tape_alloc(e, 1, state_size) : NULL;
    if (!t->in || (state_size && !t->state)) return no_memory();
    for (int i = 0; i < n_in; i++) {
        t->in[i] = in[i];
        if (e->value[in[i]].needs_grad) e->value[out].needs_grad = true;
    }
    t->salt = (uint64_t)e->n_steps;
    e->value[out].producer = e->n_steps++;
    if (s) *s = t;
    return PARE_OK;
}

pare_status tape_param(tbuilder *b, tstep *s, int slot, pare_id id, bool trains, bool decays)
{
    tparams *ps = b->e->params;
    PARE_TRY(tparams_get(ps, b->g, id, &s->param[slot]));
    tparam *p = ps->p[s->param[slot]];
    bool ours = id < ps->g->n_values && ps->g->value[id].weight;
    if (!b->e->training || !trains || !ours || (p->weight.codec && !p->weight.codec->grad))
        return PARE_OK;
    p->trains = true;
    p->users++;
    p->decays |= decays;
    s->trains = true;
    b->e->value[s->out].needs_grad = true;
    return PARE_OK;
}

/* --- leaves: constants as values --- */

typedef struct leaf {
    size_t n;
} leaf;

static void leaf_forward(const tcall *c)
{
    const float *w = c->e->params->p[c->s->param[0]]->value;
    size_t n = ((const leaf *)c->s->state)->n;
    for (size_t i = 0; i < c->n; i++) memcpy(c->y + i * n, w, n * sizeof *w);
}

static void leaf_backward(const tcall *c)
{
    size_t n = ((const leaf *)c->s->state)->n;
    for (size_t i = 0; i < c->n; i++) c->e->k->add(n, c->partial, c->dy + i * n, c->partial);
}

static void leaf_finish(pare_engine *e, tstep *s)
{
    float *grad = e->params->p[s->param[0]]->grad;
    e->k->add(((const leaf *)s->state)->n, grad, pare_engine_sum(e, s), grad);
}

static const tape_op leaf_op = {
    .name = "constant",
    .cheap = true,
    .forward = leaf_forward,
    .backward = leaf_backward,
    .finish = leaf_finish,
};

/* --- layouts --- */

typedef struct relayout {
    int32_t *from; /* for every float of the result its place in the source; -1: padding */
} relayout;

static void relayout_forward(const tcall *c)
{
    const relayout *r = c->s->state;
    size_t in = c->e->value[c->s->in[0]].size, out = c->e->value[c->s->out].size;
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < out; k++)
            c->y[i * out + k] = r->from[k] < 0 ? 0 : c->x[0][i * in + (size_t)r->from[k]];
}

static void relayout_backward(const tcall *c)
{
    const relayout *r = c->s->state;
    size_t in = c->e->value[c->s->in[0]].size, out = c->e->value[c->s->out].size;
    memset(c->dx[0], 0, c->n * in * sizeof(float));
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < out; k++)
            if (r->from[k] >= 0) c->dx[0][i * in + (size_t)r->from[k]] = c->dy[i * out + k];
}

static const tape_op relayout_op = {
    .name = "layout",
    .cheap = true,
    .forward = relayout_forward,
    .backward = relayout_backward,
};

static pare_status convert(tbuilder *b, pare_id id, int from, size_t lanes, int *out)
{
    int to;
    tstep *s;
    PARE_TRY(tape_value(b, id, lanes, &to));
    PARE_TRY(tape_step(b, &relayout_op, NULL, 1, &from, to, sizeof(relayout), &s));
    const tv *x = &b->e->value[from], *y = &b->e->value[to];
    relayout *r = s->state;
    r->from = tape_alloc(b->e, y->size, sizeof *r->from);
    if (!r->from) return no_memory();
    for (size_t i = 0; i < y->size; i++) r->from[i] = -1;
    size_t count = (size_t)pare_numel(b->g->value[id].type.rank, b->g->value[id].type.dim);
    for (size_t i = 0; i < count; i++) r->from[tape_offset(y, i)] = (int32_t)tape_offset(x, i);
    *out = to;
    return PARE_OK;
}

pare_status tape_want(tbuilder *b, pare_id id, int layout, int *out)
{
    if (b->plain[id] < 0 && b->blocked[id] < 0) {
        const pare_value *v = &b->g->value[id];
        if (!v->weight)
            return pare_fail(PARE_EUNSUPPORTED, "value '%s' does not come from the network's input",
                             v->name);
        tstep *s;
        int leaf_value;
        PARE_TRY(tape_value(b, id, 1, &leaf_value));
        PARE_TRY(tape_step(b, &leaf_op, NULL, 0, NULL, leaf_value, sizeof(leaf), &s));
        PARE_TRY(tape_param(b, s, 0, id, false, false));
        ((leaf *)s->state)->n = b->e->value[leaf_value].size;
    }
    if (layout == TAPE_ANY)
        *out = b->blocked[id] >= 0 ? b->blocked[id] : b->plain[id];
    else if (layout == TAPE_PLAIN) {
        if (b->plain[id] < 0) return convert(b, id, b->blocked[id], 1, out);
        *out = b->plain[id];
    } else {
        if (b->blocked[id] < 0) return convert(b, id, b->plain[id], b->e->k->lanes, out);
        *out = b->blocked[id];
    }
    return PARE_OK;
}

pare_status tape_train_leaf(tbuilder *b, pare_id id)
{
    int v;
    PARE_TRY(tape_want(b, id, TAPE_PLAIN, &v));
    tstep *s = &b->e->step[b->e->value[v].producer];
    PARE_TRY(tape_param(b, s, 0, id, true, false));
    if (s->trains) s->partial = b->e->value[v].size;
    return PARE_OK;
}

/* --- the whole network --- */

/* Nodes that output 0 depends on. */
static void mark_needed(const pare_graph *g, bool *needed)
{
    bool *value = needed + g->n_nodes;
    value[g->output[0]] = true;
    for (uint32_t i = g->n_nodes; i-- > 0;) {
        const pare_node *n = &g->node[i];
        if (!n->op) continue;
        for (uint32_t o = 0; o < n->n_out; o++)
            needed[i] |= n->out[o] != PARE_NONE && value[n->out[o]];
        for (uint32_t k = 0; needed[i] && k < n->n_in; k++)
            if (n->in[k] != PARE_NONE) value[n->in[k]] = true;
    }
}

/* A last Softmax or LogSoftmax is part of the loss. */
static pare_id logits_of(const pare_graph *g)
{
    pare_id out = g->output[0];
    for (;;) {
        uint32_t p = g->value[out].producer;
        const pare_node *n = p == PARE_NONE ? NULL : &g->node[p];
        if (!n || !n->op) return out;
        bool soft = strcmp(n->op->name, "Softmax") == 0 || strcmp(n->op->name, "LogSoftmax") == 0;
        const pare_type *t = &g->value[out].type;
        int64_t axis = pare_attr_int(n, "axis", -1), last = axis < 0 ? axis + t->rank : axis;
        for (int64_t d = last + 1; d < t->rank; d++) soft = soft && t->dim[d] == 1;
        if (!soft) return out;
        out = n->in[0];
    }
}

static pare_status build(tbuilder *b, bool *needed)
{
    pare_engine *e = b->e;
    const pare_graph *g = b->g;
    if (g->n_inputs != 1)
        return pare_fail(PARE_EUNSUPPORTED,
                         "training needs a network with one input; this one has %u", g->n_inputs);
    if (g->n_outputs < 1) return pare_fail(PARE_EUNSUPPORTED, "the network has no output");
    pare_id in = g->input[0];
    e->input_type = g->value[in].type;
    if (e->input_type.rank < 2 || e->input_type.dim[0] != 1) {
        char text[PARE_TYPE_TEXT];
        return pare_fail(PARE_EUNSUPPORTED,
                         "input '%s' is %s; training needs a first dimension for images",
                         g->value[in].name, pare_type_text(&e->input_type, text, sizeof text));
    }
    PARE_TRY(tape_value(b, in, 1, &e->input));
    pare_id out = logits_of(g);
    mark_needed(g, needed);
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        if (!n->op || !needed[i]) continue;
        if (b->plain[out] >= 0 || b->blocked[out] >= 0) break;
        const tape_front *f = pare_tape_fronts;
        while (f->op && strcmp(f->op, n->op->name) != 0) f++;
        if (!f->op) return tape_unsupported(n, "the operator has no gradient here");
        PARE_TRY(pare_note(f->build(b, n), "node '%s'", n->name));
    }
    PARE_TRY(tape_want(b, out, TAPE_PLAIN, &e->logits));
    e->classes = e->value[e->logits].size;
    if (e->logits == e->input) return pare_fail(PARE_EUNSUPPORTED, "the network computes nothing");
    return PARE_OK;
}

pare_status pare_engine_new(const pare_graph *g, tparams *ps, bool training, size_t batch,
                            int threads, bool bf16, pare_engine **out)
{
    enum { CHUNK = 16 };
    pare_engine *e = calloc(1, sizeof *e);
    if (!e) return no_memory();
    e->arena = pare_arena_new(0);
    e->params = ps;
    e->training = training;
    e->threads = threads;
    e->bf16 = bf16;
    e->k = pare_train_kernels_for(pare_cpu_detect());
    e->batch = batch;
    /* The largest part of at most CHUNK images that divides the batch. */
    for (e->chunk = CHUNK; batch % e->chunk != 0;) e->chunk--;
    e->chunks = batch / e->chunk;
    tbuilder b = { .e = e };
    bool *needed = NULL;
    pare_status st = bf16 ? pare_dnn_bf16() : PARE_OK;
    if (st == PARE_OK) st = e->arena ? pare_dnn_new(e->k, threads, &e->dnn) : no_memory();
    if (st == PARE_OK) st = pare_graph_clone(g, &e->bound);
    for (uint32_t i = 0; st == PARE_OK && i < e->bound->n_inputs;
         i++) { /* a fixed batch is as good as a free one */
        pare_type *t = &e->bound->value[e->bound->input[i]].type;
        if (t->rank > 1) t->dim[0] = 1;
    }
    if (st == PARE_OK) st = pare_bind_shapes(e->bound, 1, NULL, 0);
    if (st == PARE_OK) st = pare_infer(e->bound, true);
    if (st == PARE_OK) {
        b.g = e->bound;
        size_t values = e->bound->n_values;
        b.plain = malloc((values + 1) * sizeof *b.plain);
        b.blocked = malloc((values + 1) * sizeof *b.blocked);
        needed = calloc(e->bound->n_nodes + values + 1, sizeof *needed);
        if (!b.plain || !b.blocked || !needed) st = no_memory();
        for (size_t i = 0; st == PARE_OK && i < values; i++) b.plain[i] = b.blocked[i] = -1;
    }
    if (st == PARE_OK) st = build(&b, needed);
    free(b.plain);
    free(b.blocked);
    free(needed);
    int before = pare_dnn_threads_hold();
    if (st == PARE_OK) st = pare_engine_plan(e);
    pare_dnn_threads_restore(before);
    if (st != PARE_OK) {
        pare_engine_free(e);
        return st;
    }
    *out = e;
    return PARE_OK;
}

void pare_engine_free(pare_engine *e)
{
    if (!e) return;
    for (int i = 0; i < e->n_steps; i++)
        if (e->step[i].op->release) e->step[i].op->release(&e->step[i]);
    pare_dnn_free(e->dnn);
    pare_graph_free(e->bound);
    for (int t = 0; e->scratch && t < e->threads; t++) free(e->scratch[t]);
    free(e->scratch);
    free(e->storage);
    free(e->partials);
    free(e->value);
    free(e->step);
    free(e->block);
    for (int i = 0; e->forward && i < e->n_forward; i++) free(e->forward[i].item);
    for (int i = 0; e->backward && i < e->n_backward; i++) free(e->backward[i].item);
    free(e->forward);
    free(e->backward);
    pare_arena_free(e->arena);
    free(e);
}
