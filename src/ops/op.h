/* What an ONNX operator means: attributes, shape rule, cost, and the slow, obvious evaluation that
 * defines it.
 *
 * One meaning inside: that of opset 17, except that lists which later opsets turned from attributes
 * into inputs (axes of the reductions, pads, split ...) are inputs here. The reader upgrades older
 * forms, the writer undoes it. */
#ifndef OPS_OP_H
#define OPS_OP_H

#include "base/fields.h"
#include "graph/graph.h"

enum { PARE_MAX_IN = 64, PARE_MAX_OUT = 16 }; /* Concat and Split beyond that are refused by name */

/* An input as the shape rule sees it: its type, and its value where that is known before running.
 */
typedef struct pare_arg {
    pare_type type; /* dtype PARE_UNDEFINED: the optional input is absent */
    const pare_tensor
        *value; /* NULL: only known when running (or an encoded weight: always NULL) */
} pare_arg;

/* Work of one run. MACs: multiply-accumulates of convolutions and products as written, zeros
 * included; sparse and factored forms are corrected by the codec's stats. */
typedef struct pare_cost {
    double macs; /* multiply-accumulates; bias not counted */
    double ops;  /* other arithmetic: comparisons, additions, exponentials, one each */
} pare_cost;

struct pare_op {
    const char *name;
    const char *summary;
    int since; /* first opset with this meaning */
    struct {
        int min, max;
    } inputs, outputs;       /* present ones, at least and at most */
    const pare_field *attrs; /* NULL: none */
    size_t attrs_size;
    /* Checks everything and gives the output types. All input dimensions are known. `out` has
     * n->n_out entries. PARE_EFORMAT: contradicts itself; PARE_EUNSUPPORTED: legal but not known
     * here, or a shape that depends on data. The caller puts the node's name in front of the
     * message. */
    pare_status (*infer)(const pare_node *n, const pare_arg *in, pare_type *out);
    /* May rely on all that infer checked; in[i].data is NULL for absent inputs; outputs are
     * allocated and zeroed. Fails only for data that infer cannot see (an index out of range) and
     * for memory. Sums in double. */
    pare_status (*eval)(const pare_node *n, const pare_tensor *in, pare_tensor *out);
    void (*cost)(const pare_node *n, const pare_type *in, const pare_type *out,
                 pare_cost *c); /* NULL: one op an output */
    bool view; /* output 0 is input 0's memory under another shape (Reshape, Flatten, Squeeze,
                  Identity ...) */
};

extern const pare_op *const pare_ops[];        /* NULL-terminated; ops.c */
const pare_op *pare_op_find(const char *name); /* NULL: not known */

/* Infers the type of every value, in order, for the inputs' current types (all dimensions known),
 * and folds what becomes known on the way if `fold`: shape arithmetic always, larger constants up
 * to 64 MB and four times the model. */
pare_status pare_infer(pare_graph *g, bool fold);
/* The same past nodes that fail, for listing what is wrong: `fault` hears of each (pare_error()
 * holds why) and returns PARE_OK to go on. What such a node gives stays unknown, and nodes that
 * read it are left out. */
typedef pare_status pare_infer_fault_fn(void *user, pare_id node, pare_status st);
pare_status pare_infer_each(pare_graph *g, bool fold, pare_infer_fault_fn *fault, void *user);

/* Gives free dimensions of the graph inputs their value: by input name and shape, else `batch` for
 * a free first dimension. PARE_EINVAL names an input with a dimension still free, or a shape that
 * contradicts the model. */
pare_status pare_bind_shapes(pare_graph *g, int64_t batch, const pare_shape *shape,
                             size_t n_shapes);

/* --- helpers for operators (ops/common.c) --- */
/* axis in [-rank, rank) to [0, rank); PARE_EFORMAT otherwise. */
pare_status pare_op_axis(int64_t axis, int rank, int *out);
/* Multidirectional broadcasting of n types; out gets the shape only. PARE_EFORMAT names both
 * dimensions. */
pare_status pare_op_broadcast(const pare_type *in, int n, pare_type *out);
/* Is `t` one of the list ended by PARE_UNDEFINED? Fails with PARE_EUNSUPPORTED "<what> float64 is
 * not supported". */
pare_status pare_op_dtype(const char *what, pare_dtype t, const pare_dtype *list);
/* A 1-D integer input that must be known: its numbers, at most `max` of them. PARE_EUNSUPPORTED if
 * only known at run time. */
pare_status pare_op_known_ints(const pare_arg *in, const char *what, int64_t *v, int max, int *n);

#endif
