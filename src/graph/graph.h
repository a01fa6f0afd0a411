/* The network in memory: two arrays, values and nodes, linked by 32-bit ids.
 *
 * Each value has at most one producer (SSA); nodes stay in topological order; a constant is a value
 * with a weight. The graph says only what ONNX can say: no fused nodes, no layout nodes. Everything
 * small lives in one arena; removed nodes and values cost memory until the graph is freed. Names
 * are unique and not empty. */
#ifndef GRAPH_GRAPH_H
#define GRAPH_GRAPH_H

#include "base/arena.h"
#include "pare/model.h"
#include "tensor/codec.h"

typedef struct pare_op pare_op; /* ops/op.h; the graph never looks inside but for the sizes below */
typedef uint32_t pare_id;
#define PARE_NONE UINT32_MAX

/* Bytes of a file format that the graph only carries: unknown fields, doc strings. In the graph's
 * arena. */
typedef struct pare_bytes {
    const uint8_t *data;
    size_t size;
} pare_bytes;

typedef struct pare_value {
    const char *name;
    pare_type type; /* as declared or inferred; dtype PARE_UNDEFINED, rank -1 while unknown */
    const char *dim_name[PARE_MAX_RANK]; /* symbolic names of free dimensions ("N"), or NULL */
    pare_id producer;                    /* node, or PARE_NONE for inputs and constants */
    pare_weight *weight;                 /* constants; NULL otherwise */
    bool is_input, is_output;
    pare_bytes extra;
} pare_value;

typedef struct pare_node {
    const char *name;
    const pare_op *op; /* NULL: removed */
    void *attrs;       /* attrs_size bytes in the arena; never NULL when the size is not 0 */
    size_t attrs_size;
    uint32_t n_in, n_out;
    pare_id *in;  /* PARE_NONE: an optional input that is absent */
    pare_id *out; /* PARE_NONE: an optional output that nobody named */
    pare_bytes extra;
} pare_node;

typedef struct pare_meta {
    const char *key, *value;
} pare_meta;

struct pare_graph {
    pare_arena *arena;
    pare_value *value; /* malloc'ed array; pointers into it die with the next value added */
    uint32_t n_values, cap_values;
    pare_node *node; /* likewise */
    uint32_t n_nodes, cap_nodes;
    pare_id *input, *output; /* graph inputs without the constants; outputs */
    uint32_t n_inputs, n_outputs, cap_inputs, cap_outputs;
    pare_meta *meta; /* metadata_props */
    uint32_t n_meta, cap_meta;
    const char *name;
    int opset; /* of the file it came from, for reports; the meaning inside is always one */
    pare_bytes model_extra, graph_extra;
    void *names;       /* hash of value names, private to graph.c */
    pare_tensor *kept; /* tensors whose memory attributes borrow */
    uint32_t n_kept, cap_kept;
};

pare_status pare_graph_new(pare_graph **out);
/* pare_graph_free is public. A clone shares all tensor memory. */
pare_status pare_graph_clone(const pare_graph *g, pare_graph **out);

/* PARE_NONE if there is no value of that name. */
pare_id pare_graph_find(const pare_graph *g, const char *name);
/* `name` if it is free, else name_1 or name_ and a number not tried before; in the arena; NULL if
 * out of memory. */
const char *pare_graph_unique(pare_graph *g, const char *name);

/* Adding a value: `name` NULL or taken already is PARE_EFORMAT (uniqueness is the caller's:
 * pare_graph_unique). */
pare_status pare_graph_add_value(pare_graph *g, const char *name, const pare_type *type,
                                 pare_id *out);
pare_status pare_graph_add_input(pare_graph *g, const char *name, const pare_type *type,
                                 pare_id *out);
pare_status pare_graph_mark_output(pare_graph *g, pare_id v);
/* The graph takes over the shares in `w`, also on error. */
pare_status pare_graph_add_constant(pare_graph *g, const char *name, pare_weight w, pare_id *out);
/* Replaces the stored form of constant `v`; the logical shape may change. Takes over `w`, also on
 * error. */
pare_status pare_graph_set_weight(pare_graph *g, pare_id v, pare_weight w);
/* Turns a computed value or an input into a constant (its producer no longer names it). Takes over
 * `w`. */
pare_status pare_graph_make_constant(pare_graph *g, pare_id v, pare_weight w);

/* Appends a node whose inputs and outputs exist; attrs (attrs_size bytes) are copied shallowly:
 * what they point to must live in g->arena. An empty name is replaced by a unique one. Order: call
 * pare_graph_sort when not appended in order. */
pare_status pare_graph_add_node(pare_graph *g, const pare_op *op, const char *name,
                                const void *attrs, size_t attrs_size, uint32_t n_in,
                                const pare_id *in, uint32_t n_out, const pare_id *out,
                                pare_id *node);
/* Every reader of `from` (nodes; and the graph outputs, which keep their name) reads `to` instead.
 */
pare_status pare_graph_replace(pare_graph *g, pare_id from, pare_id to);
/* Marks the node removed; its outputs have no producer any more. */
void pare_graph_remove(pare_graph *g, pare_id node);
/* Drops removed nodes and orders the rest topologically, stable. PARE_EFORMAT names a node on a
 * cycle. */
pare_status pare_graph_sort(pare_graph *g);
/* PARE_EINTERNAL if an invariant above is broken. For tests and debug builds. */
pare_status pare_graph_check(const pare_graph *g);

/* PARE_EINVAL if weights stay in a file (pare_model_open()): for who reads them himself. */
pare_status pare_graph_in_memory(const pare_graph *g);
/* Reads such weights into memory. */
pare_status pare_graph_load(pare_graph *g);

/* Readers of every value: nodes reader[start[v] .. start[v+1]), ascending, one entry for each input
 * slot. */
typedef struct pare_uses {
    uint32_t *start, *reader;
} pare_uses;
pare_status pare_graph_uses(const pare_graph *g, pare_uses *out);
void pare_uses_free(pare_uses *u);
static inline uint32_t pare_use_count(const pare_uses *u, pare_id v)
{
    return u->start[v + 1] - u->start[v];
}

/* Keeps a share of `t` until the graph is freed, so that attributes may borrow its memory. Takes
 * over `t`. */
pare_status pare_graph_keep(pare_graph *g, pare_tensor t);

const char *pare_graph_meta(const pare_graph *g, const char *key); /* NULL if absent */
pare_status pare_graph_set_meta(pare_graph *g, const char *key, const char *value);

/* The weight of input slot `slot`, NULL if absent or computed. */
static inline pare_weight *pare_node_weight(const pare_graph *g, const pare_node *n, uint32_t slot)
{
    return slot < n->n_in && n->in[slot] != PARE_NONE ? g->value[n->in[slot]].weight : NULL;
}

#endif
