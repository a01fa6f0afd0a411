/* Building, rewriting, ordering and checking graphs. */
#include "graph/graph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- names: open addressing over value ids, keyed by their names --- */
typedef struct name_table {
    pare_id *slot; /* PARE_NONE: free */
    uint32_t size, used;
    unsigned tried; /* numbers behind names that pare_graph_unique went through */
} name_table;

static uint64_t hash(const char *s)
{
    uint64_t h = UINT64_C(0xcbf29ce484222325);
    for (; *s; s++) h = (h ^ (unsigned char)*s) * UINT64_C(0x100000001b3);
    return h ^ (h >> 29);
}

static pare_status names_grow(pare_graph *g)
{
    name_table *t = g->names;
    uint32_t size = t->size ? t->size * 2 : 64;
    pare_id *slot = malloc(size * sizeof *slot);
    if (!slot) return pare_fail(PARE_ENOMEM, "no memory for %u names", size);
    for (uint32_t i = 0; i < size; i++) slot[i] = PARE_NONE;
    for (uint32_t i = 0; i < t->size; i++) {
        if (t->slot[i] == PARE_NONE) continue;
        uint64_t h = hash(g->value[t->slot[i]].name);
        while (slot[h & (size - 1)] != PARE_NONE) h++;
        slot[h & (size - 1)] = t->slot[i];
    }
    free(t->slot);
    t->slot = slot;
    t->size = size;
    return PARE_OK;
}

pare_id pare_graph_find(const pare_graph *g, const char *name)
{
    const name_table *t = g->names;
    if (!t->size) return PARE_NONE;
    for (uint64_t h = hash(name);; h++) {
        pare_id v = t->slot[h & (t->size - 1)];
        if (v == PARE_NONE || strcmp(g->value[v].name, name) == 0) return v;
    }
}

const char *pare_graph_unique(pare_graph *g, const char *name)
{
    if (*name && pare_graph_find(g, name) == PARE_NONE) return pare_arena_str(g->arena, name);
    size_t size = strlen(name) + 16;
    char *s = pare_arena_alloc(g->arena, size);
    name_table *t = g->names;
    for (unsigned i = 1; s; i = ++t->tried) { /* never from the start: 100,000 may be taken */
        snprintf(s, size, "%s_%u", *name ? name : "v", i);
        if (pare_graph_find(g, s) == PARE_NONE) break;
    }
    return s;
}

/* --- life --- */
pare_status pare_graph_new(pare_graph **out)
{
    pare_graph *g = calloc(1, sizeof *g);
    if (!g) return pare_fail(PARE_ENOMEM, "no memory for a graph");
    g->arena = pare_arena_new(0);
    g->names = calloc(1, sizeof(name_table));
    g->name = "";
    if (!g->arena || !g->names || names_grow(g) != PARE_OK) {
        pare_graph_free(g);
        return pare_fail(PARE_ENOMEM, "no memory for a graph");
    }
    *out = g;
    return PARE_OK;
}

void pare_graph_free(pare_graph *g)
{
    if (!g) return;
    for (uint32_t i = 0; i < g->n_values; i++) pare_weight_free(g->value[i].weight);
    for (uint32_t i = 0; i < g->n_kept; i++) pare_tensor_free(&g->kept[i]);
    if (g->names) free(((name_table *)g->names)->slot);
    free(g->names);
    free(g->value);
    free(g->node);
    free(g->input);
    free(g->output);
    free(g->meta);
    free(g->kept);
    pare_arena_free(g->arena);
    free(g);
}

static void *copy_array(const void *p, uint32_t n, uint32_t cap, size_t size)
{
    void *q = malloc((cap ? cap : 1) * size);
    if (q && n) memcpy(q, p, n * size);
    return q;
}

/* Names, lists and attributes of the original stay valid through its arena, on which the clone's
 * rests; what a rewrite changes in place (links, attribute structs, weights) is copied. */
pare_status pare_graph_clone(const pare_graph *g, pare_graph **out)
{
    pare_graph *c = calloc(1, sizeof *c);
    if (!c) return pare_fail(PARE_ENOMEM, "no memory for a graph");
    *c = *g;
    c->arena = pare_arena_new(0);
    name_table *t = malloc(sizeof *t);
    if (t) {
        *t = *(const name_table *)g->names;
        t->slot = copy_array(t->slot, t->size, t->size, sizeof *t->slot);
    }
    c->names = t;
    c->value = copy_array(g->value, g->n_values, g->cap_values, sizeof *g->value);
    c->node = copy_array(g->node, g->n_nodes, g->cap_nodes, sizeof *g->node);
    c->input = copy_array(g->input, g->n_inputs, g->cap_inputs, sizeof *g->input);
    c->output = copy_array(g->output, g->n_outputs, g->cap_outputs, sizeof *g->output);
    c->meta = copy_array(g->meta, g->n_meta, g->cap_meta, sizeof *g->meta);
    c->kept = copy_array(g->kept, g->n_kept, g->cap_kept, sizeof *g->kept);
    bool ok = c->arena && t && t->slot && c->value && c->node && c->input && c->output && c->meta &&
              c->kept;
    if (c->arena) pare_arena_rest_on(c->arena, pare_arena_share(g->arena));
    if (c->kept)
        for (uint32_t i = 0; i < c->n_kept; i++) c->kept[i] = pare_tensor_ref(&g->kept[i]);
    else
        c->n_kept = 0;
    for (uint32_t i = 0; c->value && i < c->n_values; i++) {
        pare_weight *w = g->value[i].weight;
        c->value[i].weight = w && ok ? pare_arena_alloc(c->arena, sizeof *w) : NULL;
        if (c->value[i].weight)
            *c->value[i].weight = pare_weight_ref(w);
        else if (w)
            ok = false;
    }
    if (!c->value) c->n_values = 0;
    for (uint32_t i = 0; ok && i < c->n_nodes; i++) {
        pare_node *n = &c->node[i];
        n->in = pare_arena_copy(c->arena, n->in, n->n_in * sizeof *n->in);
        n->out = pare_arena_copy(c->arena, n->out, n->n_out * sizeof *n->out);
        if (n->attrs_size) n->attrs = pare_arena_copy(c->arena, n->attrs, n->attrs_size);
        ok = n->in && n->out && (!n->attrs_size || n->attrs);
    }
    if (!ok) {
        pare_graph_free(c);
        return pare_fail(PARE_ENOMEM, "no memory for a copy of a graph");
    }
    *out = c;
    return PARE_OK;
}

/* Makes room for one more element of a malloc'ed array. */
static pare_status grow(void **array, uint32_t n, uint32_t *cap, size_t size)
{
    if (n < *cap) return PARE_OK;
    if (*cap > UINT32_MAX / 4) return pare_fail(PARE_ELIMIT, "a graph of more than %u parts", *cap);
    uint32_t want = *cap ? *cap * 2 : 16;
    void *p = realloc(*array, want * size);
    if (!p) return pare_fail(PARE_ENOMEM, "no memory for %u parts of a graph", want);
    *array = p;
    *cap = want;
    return PARE_OK;
}
#define GROW(g, array, n, cap) grow((void **)&(g)->array, (g)->n, &(g)->cap, sizeof *(g)->array)

static pare_status no_memory(const char *what)
{
    return pare_fail(PARE_ENOMEM, "no memory for %s", what);
}

pare_status pare_graph_add_value(pare_graph *g, const char *name, const pare_type *type,
                                 pare_id *out)
{
    if (!name) return no_memory("a value's name");
    if (!*name) return pare_fail(PARE_EFORMAT, "a value has no name");
    if (pare_graph_find(g, name) != PARE_NONE)
        return pare_fail(PARE_EFORMAT, "two values are named '%s'", name);
    PARE_TRY(GROW(g, value, n_values, cap_values));
    name_table *t = g->names;
    if (t->used * 2 >= t->size) PARE_TRY(names_grow(g));
    pare_value v = { .type = { PARE_UNDEFINED, -1, { 0 } }, .producer = PARE_NONE };
    v.name = pare_arena_str(g->arena, name);
    if (!v.name) return no_memory("a value's name");
    if (type) v.type = *type;
    pare_id id = g->n_values++;
    g->value[id] = v;
    uint64_t h = hash(name);
    while (t->slot[h & (t->size - 1)] != PARE_NONE) h++;
    t->slot[h & (t->size - 1)] = id;
    t->used++;
    *out = id;
    return PARE_OK;
}

pare_status pare_graph_add_input(pare_graph *g, const char *name, const pare_type *type,
                                 pare_id *out)
{
    PARE_TRY(GROW(g, input, n_inputs, cap_inputs));
    PARE_TRY(pare_graph_add_value(g, name, type, out));
    g->value[*out].is_input = true;
    g->input[g->n_inputs++] = *out;
    return PARE_OK;
}

pare_status pare_graph_mark_output(pare_graph *g, pare_id v)
{
    if (g->value[v].is_output)
        return pare_fail(PARE_EFORMAT, "'%s' is listed twice as an output", g->value[v].name);
    PARE_TRY(GROW(g, output, n_outputs, cap_outputs));
    g->value[v].is_output = true;
    g->output[g->n_outputs++] = v;
    return PARE_OK;
}

pare_status pare_graph_set_weight(pare_graph *g, pare_id v, pare_weight w)
{
    pare_weight *at = g->value[v].weight;
    if (!at) at = pare_arena_alloc(g->arena, sizeof *at);
    if (!at) {
        pare_weight_free(&w);
        return no_memory("a weight");
    }
    pare_weight_free(at);
    *at = w;
    g->value[v].weight = at;
    g->value[v].type = w.type;
    return PARE_OK;
}

pare_status pare_graph_add_constant(pare_graph *g, const char *name, pare_weight w, pare_id *out)
{
    pare_status st = pare_graph_add_value(g, name, &w.type, out);
    if (st != PARE_OK) {
        pare_weight_free(&w);
        return st;
    }
    return pare_graph_set_weight(g, *out, w);
}

pare_status pare_graph_make_constant(pare_graph *g, pare_id v, pare_weight w)
{
    pare_value *value = &g->value[v];
    if (value->producer != PARE_NONE) {
        pare_node *n = &g->node[value->producer];
        for (uint32_t i = 0; i < n->n_out; i++)
            if (n->out[i] == v) n->out[i] = PARE_NONE;
        value->producer = PARE_NONE;
    }
    if (value->is_input) {
        value->is_input = false;
        uint32_t kept = 0;
        for (uint32_t i = 0; i < g->n_inputs; i++)
            if (g->input[i] != v) g->input[kept++] = g->input[i];
        g->n_inputs = kept;
    }
    return pare_graph_set_weight(g, v, w);
}

pare_status pare_graph_keep(pare_graph *g, pare_tensor t)
{
    pare_status st = GROW(g, kept, n_kept, cap_kept);
    if (st != PARE_OK) {
        pare_tensor_free(&t);
        return st;
    }
    g->kept[g->n_kept++] = t;
    return PARE_OK;
}

pare_status pare_graph_add_node(pare_graph *g, const pare_op *op, const char *name,
                                const void *attrs, size_t attrs_size, uint32_t n_in,
                                const pare_id *in, uint32_t n_out, const pare_id *out,
                                pare_id *node)
{
    PARE_TRY(GROW(g, node, n_nodes, cap_nodes));
    pare_node n = { .op = op, .attrs_size = attrs_size, .n_in = n_in, .n_out = n_out };
    char unnamed[24];
    if (!name || !*name) {
        snprintf(unnamed, sizeof unnamed, "node_%u", g->n_nodes);
        name = unnamed;
    }
    n.name = pare_arena_str(g->arena, name);
    n.in = pare_arena_copy(g->arena, in, n_in * sizeof *in);
    n.out = pare_arena_copy(g->arena, out, n_out * sizeof *out);
    n.attrs = attrs_size ? pare_arena_copy(g->arena, attrs, attrs_size) : NULL;
    if (!n.name || !n.in || !n.out || (attrs_size && !n.attrs)) return no_memory("a node");
    pare_id id = g->n_nodes;
    for (uint32_t i = 0; i < n_out; i++) {
        if (out[i] == PARE_NONE) continue;
        pare_value *v = &g->value[out[i]];
        if (v->producer != PARE_NONE || v->weight || v->is_input) {
            for (uint32_t j = 0; j < i; j++)
                if (out[j] != PARE_NONE) g->value[out[j]].producer = PARE_NONE;
            return pare_fail(
                PARE_EFORMAT,
                "node '%s': its output '%s' is already given by another node, input or constant",
                name, v->name);
        }
        v->producer = id;
    }
    g->node[g->n_nodes++] = n;
    if (node) *node = id;
    return PARE_OK;
}

pare_status pare_graph_replace(pare_graph *g, pare_id from, pare_id to)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        pare_node *n = &g->node[i];
        for (uint32_t k = 0; n->op && k < n->n_in; k++)
            if (n->in[k] == from) n->in[k] = to;
    }
    if (!g->value[from].is_output) return PARE_OK;
    /* An output keeps its name: the new producer takes over the old value's id, so nothing but the
     * node changes. */
    pare_value *a = &g->value[from], *b = &g->value[to];
    if (b->producer == PARE_NONE || b->is_output)
        return pare_fail(PARE_EUNSUPPORTED, "output '%s' cannot be replaced by '%s'", a->name,
                         b->name);
    pare_node *p = &g->node[b->producer];
    if (a->producer != PARE_NONE) {
        pare_node *old = &g->node[a->producer];
        for (uint32_t k = 0; k < old->n_out; k++)
            if (old->out[k] == from) old->out[k] = PARE_NONE;
    }
    for (uint32_t k = 0; k < p->n_out; k++)
        if (p->out[k] == to) p->out[k] = from;
    a->producer = b->producer;
    b->producer = PARE_NONE;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        pare_node *n = &g->node[i];
        for (uint32_t k = 0; n->op && k < n->n_in; k++)
            if (n->in[k] == to) n->in[k] = from;
    }
    return PARE_OK;
}

void pare_graph_remove(pare_graph *g, pare_id node)
{
    pare_node *n = &g->node[node];
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] != PARE_NONE && g->value[n->out[i]].producer == node)
            g->value[n->out[i]].producer = PARE_NONE;
    n->op = NULL;
}

pare_status pare_graph_sort(pare_graph *g)
{
    uint32_t n = g->n_nodes;
    uint32_t *waits = calloc(n + 1, sizeof *waits), *order = malloc((n + 1) * sizeof *order),
             *ready = malloc((n + 1) * sizeof *ready);
    pare_node *sorted = malloc((n + 1) * sizeof *sorted);
    pare_uses uses = { NULL, NULL };
    pare_status st = waits && order && ready && sorted ? pare_graph_uses(g, &uses)
                                                       : no_memory("sorting a graph");
    uint32_t live = 0, count = 0, heap = 0;
    if (st == PARE_OK) {
        for (uint32_t i = 0; i < n; i++) {
            if (!g->node[i].op) continue;
            live++;
            for (uint32_t k = 0; k < g->node[i].n_in; k++) {
                pare_id v = g->node[i].in[k];
                waits[i] += v != PARE_NONE && g->value[v].producer != PARE_NONE;
            }
        }
        /* `ready` is a binary heap of node indices, so that among free nodes the earliest comes
         * first: stable. */
        for (uint32_t i = 0; i < n; i++)
            if (g->node[i].op && waits[i] == 0)
                ready[heap++] = i; /* ascending, hence already a heap */
        while (heap > 0) {
            uint32_t i = ready[0], last = ready[--heap], at = 0;
            for (uint32_t c; (c = 2 * at + 1) < heap; at = c) {
                if (c + 1 < heap && ready[c + 1] < ready[c]) c++;
                if (last <= ready[c]) break;
                ready[at] = ready[c];
            }
            ready[at] = last;
            order[count++] = i;
            for (uint32_t k = 0; k < g->node[i].n_out; k++) {
                pare_id v = g->node[i].out[k];
                if (v == PARE_NONE) continue;
                for (uint32_t u = uses.start[v]; u < uses.start[v + 1]; u++) {
                    uint32_t r = uses.reader[u];
                    if (--waits[r] > 0) continue;
                    uint32_t hole = heap++;
                    for (; hole > 0 && ready[(hole - 1) / 2] > r; hole = (hole - 1) / 2)
                        ready[hole] = ready[(hole - 1) / 2];
                    ready[hole] = r;
                }
            }
        }
        if (count < live) {
            const char *name = "";
            for (uint32_t i = 0; i < n; i++)
                if (g->node[i].op && waits[i] > 0) {
                    name = g->node[i].name;
                    break;
                }
            st = pare_fail(PARE_EFORMAT, "node '%s' is on a cycle or reads from one", name);
        }
    }
    if (st == PARE_OK) {
        for (uint32_t i = 0; i < count; i++) sorted[i] = g->node[order[i]];
        if (count) memcpy(g->node, sorted, count * sizeof *sorted);
        g->n_nodes = count;
        for (uint32_t i = 0; i < count; i++)
            for (uint32_t k = 0; k < g->node[i].n_out; k++)
                if (g->node[i].out[k] != PARE_NONE) g->value[g->node[i].out[k]].producer = i;
    }
    pare_uses_free(&uses);
    free(waits);
    free(order);
    free(ready);
    free(sorted);
    return st;
}

pare_status pare_graph_uses(const pare_graph *g, pare_uses *out)
{
    size_t total = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->node[i].op) total += g->node[i].n_in;
    uint32_t *start = calloc((size_t)g->n_values + 2, sizeof *start),
             *reader = malloc((total + 1) * sizeof *reader);
    if (!start || !reader) {
        free(start);
        free(reader);
        return no_memory("the readers of a graph");
    }
    /* Count into start[v + 2], sum, then fill through start[v + 1], which ends as the end of v. */
    for (int fill = 0; fill < 2; fill++) {
        for (uint32_t i = 0; i < g->n_nodes; i++)
            for (uint32_t k = 0; g->node[i].op && k < g->node[i].n_in; k++) {
                pare_id v = g->node[i].in[k];
                if (v == PARE_NONE) continue;
                if (fill)
                    reader[start[v + 1]++] = i;
                else
                    start[v + 2]++;
            }
        for (uint32_t v = 0; !fill && v < g->n_values; v++) start[v + 2] += start[v + 1];
    }
    *out = (pare_uses){ start, reader };
    return PARE_OK;
}

void pare_uses_free(pare_uses *u)
{
    free(u->start);
    free(u->reader);
    *u = (pare_uses){ NULL, NULL };
}

/* --- metadata --- */
const char *pare_graph_meta(const pare_graph *g, const char *key)
{
    for (uint32_t i = 0; i < g->n_meta; i++)
        if (strcmp(g->meta[i].key, key) == 0) return g->meta[i].value;
    return NULL;
}

pare_status pare_graph_set_meta(pare_graph *g, const char *key, const char *value)
{
    char *v = pare_arena_str(g->arena, value);
    if (!v) return no_memory("metadata");
    for (uint32_t i = 0; i < g->n_meta; i++)
        if (strcmp(g->meta[i].key, key) == 0) {
            g->meta[i].value = v;
            return PARE_OK;
        }
    PARE_TRY(GROW(g, meta, n_meta, cap_meta));
    char *k = pare_arena_str(g->arena, key);
    if (!k) return no_memory("metadata");
    g->meta[g->n_meta++] = (pare_meta){ k, v };
    return PARE_OK;
}

const char *pare_model_meta(const pare_graph *g, const char *key)
{
    return pare_graph_meta(g, key);
}
pare_status pare_model_set_meta(pare_graph *g, const char *key, const char *value)
{
    return pare_graph_set_meta(g, key, value);
}

pare_status pare_graph_in_memory(const pare_graph *g)
{
    for (uint32_t v = 0; v < g->n_values; v++) {
        const pare_weight *w = g->value[v].weight;
        for (int k = 0; w && k < pare_weight_parts(w); k++)
            if (pare_tensor_is_stored(&w->part[k]))
                return pare_fail(PARE_EINVAL,
                                 "weight '%s' stayed in the network's file, which serves plans "
                                 "only; load the network instead of opening it",
                                 g->value[v].name);
    }
    return PARE_OK;
}

pare_status pare_graph_load(pare_graph *g)
{
    for (uint32_t v = 0; v < g->n_values; v++)
        if (g->value[v].weight)
            PARE_TRY(
                pare_note(pare_weight_load(g->value[v].weight), "weight '%s'", g->value[v].name));
    return PARE_OK;
}

pare_status pare_graph_check(const pare_graph *g)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        if (!n->op) continue;
        for (uint32_t k = 0; k < n->n_in; k++) {
            if (n->in[k] == PARE_NONE) continue;
            if (n->in[k] >= g->n_values)
                return pare_fail(PARE_EINTERNAL, "node '%s' reads value %u of %u", n->name,
                                 n->in[k], g->n_values);
            pare_id p = g->value[n->in[k]].producer;
            if (p != PARE_NONE && p >= i)
                return pare_fail(PARE_EINTERNAL, "node '%s' stands before its producer", n->name);
            if (p == PARE_NONE && !g->value[n->in[k]].weight && !g->value[n->in[k]].is_input)
                return pare_fail(PARE_EINTERNAL, "node '%s' reads '%s', which nothing gives",
                                 n->name, g->value[n->in[k]].name);
        }
        for (uint32_t k = 0; k < n->n_out; k++)
            if (n->out[k] != PARE_NONE && g->value[n->out[k]].producer != i)
                return pare_fail(PARE_EINTERNAL, "'%s' does not know its producer '%s'",
                                 g->value[n->out[k]].name, n->name);
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) {
        const pare_value *v = &g->value[g->output[i]];
        if (!v->is_output || (v->producer == PARE_NONE && !v->weight && !v->is_input))
            return pare_fail(PARE_EINTERNAL, "output '%s' is given by nothing", v->name);
    }
    return PARE_OK;
}
