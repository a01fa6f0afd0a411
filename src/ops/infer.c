/* Types of all values in one walk, folding what becomes constant on the way (shape arithmetic,
 * mostly).
 *
 * Folding is a bomb in hostile hands (a small file may expand without bound), so folded results are
 * limited: 64 KiB each for shape arithmetic, and with `fold` 64 MB and four times the model's
 * constants in sum. The arithmetic spent on it is limited as well: a value that is not folded is
 * only less known. */
#include "ops/op.h"

#include <stdlib.h>
#include <string.h>

enum { SMALL = 65536, SMALL_MOST = 16 << 20 };
#define FOLD_MOST ((size_t)64 << 20)
/* No activation may be larger: beyond it a file is hostile or needs another program. */
#define VALUE_MOST ((size_t)16 << 30)

/* Bytes touched and operations done by all folding together: a second or two at most. */
static const double WORK_SHAPES = 256e6, WORK_FOLD = 4e9;

/* What is known of each value besides its type. Dense constants of the graph are borrowed from it.
 */
typedef struct known {
    pare_tensor *t; /* n_values; data NULL = unknown */
    bool *owned;
    size_t budget; /* bytes that results above SMALL may still take */
    size_t small;  /* bytes that the small ones may still take together */
    double work;   /* bytes and operations that folding may still cost */
} known;

/* Takes the cost of evaluating the node from what is left; false if too little is. */
static bool afford(known *k, const pare_node *n, const pare_arg *arg, const pare_type *out,
                   size_t bytes)
{
    pare_type in[PARE_MAX_IN];
    pare_cost c = { 0, 0 };
    double work = (double)bytes;
    for (uint32_t i = 0; i < n->n_in; i++) {
        in[i] = arg[i].type;
        if (arg[i].value) work += (double)pare_tensor_bytes(arg[i].value);
    }
    if (n->op->cost) n->op->cost(n, in, out, &c);
    work += c.macs + c.ops;
    if (!(work <= k->work)) return false;
    k->work -= work;
    return true;
}

static const pare_tensor *value_of(const pare_graph *g, const known *k, pare_id v)
{
    const pare_weight *w = g->value[v].weight;
    if (w) return w->codec || pare_tensor_is_stored(&w->part[0]) ? NULL : &w->part[0];
    return k->t[v].data ? &k->t[v] : NULL;
}

static pare_status evaluate(const pare_node *n, const pare_arg *arg, const pare_type *type,
                            pare_tensor *out)
{
    pare_tensor in[PARE_MAX_IN] = { 0 };
    for (uint32_t i = 0; i < n->n_in; i++)
        if (arg[i].value) in[i] = *arg[i].value;
    pare_status st = PARE_OK;
    uint32_t made = 0;
    for (; st == PARE_OK && made < n->n_out; made++) st = pare_tensor_of(&type[made], &out[made]);
    if (st == PARE_OK) st = n->op->eval(n, in, out);
    if (st != PARE_OK)
        for (uint32_t i = 0; i < n->n_out; i++) pare_tensor_free(&out[i]);
    return st;
}

static pare_status infer_node(pare_graph *g, pare_id id, known *k, bool fold)
{
    pare_node *n = &g->node[id];
    pare_arg arg[PARE_MAX_IN] = { 0 };
    pare_type type[PARE_MAX_OUT] = { 0 };
    if (n->n_in > PARE_MAX_IN || n->n_out > PARE_MAX_OUT)
        return pare_fail(PARE_EUNSUPPORTED, "%u inputs and %u outputs are more than %d and %d",
                         n->n_in, n->n_out, PARE_MAX_IN, PARE_MAX_OUT);
    bool all = true;
    for (uint32_t i = 0; i < n->n_in; i++) {
        if (n->in[i] == PARE_NONE) continue;
        arg[i].type = g->value[n->in[i]].type;
        arg[i].value = value_of(g, k, n->in[i]);
        if (!arg[i].value) all = false;
        if (!pare_type_known(&arg[i].type))
            return pare_fail(PARE_EINVAL, "the shape of its input '%s' is not known",
                             g->value[n->in[i]].name);
    }
    PARE_TRY(n->op->infer(n, arg, type));
    size_t bytes = 0;
    for (uint32_t i = 0; i < n->n_out; i++) {
        size_t b;
        PARE_TRY(pare_type_bytes(&type[i], &b));
        if (b > VALUE_MOST)
            return pare_fail(PARE_ELIMIT,
                             "an output of %zu bytes is more than the %zu that pare computes", b,
                             VALUE_MOST);
        bytes += b;
        if (n->out[i] != PARE_NONE) g->value[n->out[i]].type = type[i];
    }
    /* Shape needs the type of its input only. */
    if (strcmp(n->op->name, "Shape") == 0 || strcmp(n->op->name, "Size") == 0) all = true;
    size_t *left = bytes > SMALL ? &k->budget : &k->small;
    if (!all || bytes > *left || (!fold && bytes > SMALL) || !afford(k, n, arg, type, bytes))
        return PARE_OK;
    *left -= bytes;
    pare_tensor out[PARE_MAX_OUT] = { 0 };
    if (strcmp(n->op->name, "Shape") == 0 || strcmp(n->op->name, "Size") == 0) {
        pare_tensor shape_only = pare_tensor_borrow(&arg[0].type, NULL);
        PARE_TRY(pare_tensor_of(&type[0], &out[0]));
        pare_status st = n->op->eval(n, &shape_only, out);
        if (st != PARE_OK) {
            pare_tensor_free(&out[0]);
            return st;
        }
    } else
        PARE_TRY(evaluate(n, arg, type, out));
    for (uint32_t i = 0; i < n->n_out; i++) {
        if (n->out[i] == PARE_NONE) {
            pare_tensor_free(&out[i]);
            continue;
        }
        k->t[n->out[i]] = out[i];
        k->owned[n->out[i]] = true;
    }
    return PARE_OK;
}

static bool inputs_known(const pare_graph *g, const pare_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] != PARE_NONE && !pare_type_known(&g->value[n->in[i]].type)) return false;
    return true;
}

pare_status pare_infer(pare_graph *g, bool fold) { return pare_infer_each(g, fold, NULL, NULL); }

pare_status pare_infer_each(pare_graph *g, bool fold, pare_infer_fault_fn *fault, void *user)
{
    uint32_t n_values = g->n_values;
    known k = { .t = calloc(n_values + 1, sizeof *k.t),
                .owned = calloc(n_values + 1, sizeof *k.owned),
                .budget = SMALL,
                .small = SMALL_MOST,
                .work = fold ? WORK_FOLD : WORK_SHAPES };
    pare_status st =
        k.t && k.owned ? PARE_OK
                       : pare_fail(PARE_ENOMEM, "no memory for the shapes of %u values", n_values);
    for (uint32_t i = 0; i < n_values; i++) {
        const pare_weight *w = g->value[i].weight;
        if (w && !w->codec) k.budget += 4 * pare_tensor_bytes(&w->part[0]);
    }
    if (k.budget > FOLD_MOST) k.budget = FOLD_MOST;
    for (uint32_t i = 0; st == PARE_OK && i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        if (!n->op || (fault && !inputs_known(g, n))) continue;
        st = infer_node(g, i, &k, fold);
        if (st != PARE_OK && st != PARE_ENOMEM && fault)
            st = fault(user, i, st);
        else
            st = pare_note(st, "node '%s' (%s)", n->name, n->op->name);
    }
    for (uint32_t v = 0; fold && st == PARE_OK && v < n_values; v++) {
        if (!k.owned[v]) continue;
        k.owned[v] = false;
        st = pare_graph_make_constant(g, v, pare_weight_dense(k.t[v]));
    }
    for (uint32_t i = 0; fold && st == PARE_OK && i < g->n_nodes;
         i++) { /* nodes that give nothing any more */
        pare_node *n = &g->node[i];
        bool needed = false;
        for (uint32_t o = 0; o < n->n_out; o++) needed |= n->out[o] != PARE_NONE;
        if (!needed) n->op = NULL;
    }
    for (uint32_t v = 0; k.t && k.owned && v < n_values; v++)
        if (k.owned[v]) pare_tensor_free(&k.t[v]);
    free(k.t);
    free(k.owned);
    return st;
}

pare_status pare_bind_shapes(pare_graph *g, int64_t batch, const pare_shape *shape, size_t n_shapes)
{
    for (size_t s = 0; s < n_shapes; s++) {
        bool found = !shape[s].name && g->n_inputs == 1;
        for (uint32_t i = 0; !found && i < g->n_inputs; i++)
            found = shape[s].name && strcmp(g->value[g->input[i]].name, shape[s].name) == 0;
        if (!found)
            return pare_fail(PARE_EINVAL,
                             "a shape is given for '%s', but the model has no such input",
                             shape[s].name ? shape[s].name : "(unnamed)");
    }
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        pare_value *v = &g->value[g->input[i]];
        for (size_t s = 0; s < n_shapes; s++) {
            if (shape[s].name && strcmp(v->name, shape[s].name) != 0) continue;
            if (v->type.rank < 0) {
                v->type.rank = shape[s].rank;
                for (int d = 0; d < shape[s].rank; d++) v->type.dim[d] = -1;
            }
            if (v->type.rank != shape[s].rank)
                return pare_fail(PARE_EINVAL, "input '%s' has rank %d, the shape given for it %d",
                                 v->name, v->type.rank, shape[s].rank);
            for (int d = 0; d < v->type.rank; d++) {
                if (shape[s].dim[d] < 0) continue;
                if (v->type.dim[d] >= 0 && v->type.dim[d] != shape[s].dim[d])
                    return pare_fail(
                        PARE_EINVAL,
                        "input '%s': dimension %d is %lld in the model, %lld in the shape given",
                        v->name, d, (long long)v->type.dim[d], (long long)shape[s].dim[d]);
                v->type.dim[d] = shape[s].dim[d];
            }
        }
        if (v->type.rank > 0 && v->type.dim[0] < 0) v->type.dim[0] = batch > 0 ? batch : 1;
        for (int d = 0; d < v->type.rank; d++)
            if (v->type.dim[d] < 0)
                return pare_fail(
                    PARE_EINVAL,
                    "input '%s': dimension %d%s%s%s is free; give its shape (--shape %s=...)",
                    v->name, d, v->dim_name[d] ? " (" : "", v->dim_name[d] ? v->dim_name[d] : "",
                    v->dim_name[d] ? ")" : "", v->name);
        if (v->type.rank < 0)
            return pare_fail(PARE_EINVAL, "input '%s' has no shape; give one (--shape %s=...)",
                             v->name, v->name);
    }
    return PARE_OK;
}
