/* Building small graphs in tests: inputs, constants, nodes with attributes as text
 * ("strides=2/2,group=4").
 */
#ifndef SUPPORT_BUILD_H
#define SUPPORT_BUILD_H

#include "base/rng.h"
#include "ops/op.h"
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(e) assert_int_equal((e), PARE_OK)

static inline pare_type f32_type(int rank, ...)
{
    pare_type t = { .dtype = PARE_F32, .rank = rank };
    va_list ap;
    va_start(ap, rank);
    for (int i = 0; i < rank; i++) t.dim[i] = va_arg(ap, int);
    va_end(ap);
    return t;
}

static inline void fill_random(pare_tensor *t, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 7);
    for (int64_t i = 0; i < pare_tensor_count(t); i++)
        ((float *)t->data)[i] = (float)pare_rng_normal(&rng);
}

static inline pare_tensor random_tensor(pare_type type, uint64_t seed)
{
    pare_tensor t;
    OK(pare_tensor_of(&type, &t));
    fill_random(&t, seed);
    return t;
}

static inline pare_id add_input(pare_graph *g, const char *name, pare_type type)
{
    pare_id v;
    OK(pare_graph_add_input(g, name, &type, &v));
    return v;
}

static inline pare_id add_random(pare_graph *g, const char *name, pare_type type, uint64_t seed)
{
    pare_id v;
    OK(pare_graph_add_constant(g, pare_graph_unique(g, name),
                               pare_weight_dense(random_tensor(type, seed)), &v));
    return v;
}

static inline pare_id add_ints(pare_graph *g, int n, const int64_t *x)
{
    pare_tensor t;
    pare_id v;
    OK(pare_tensor_i64(x, 1, n, &t));
    OK(pare_graph_add_constant(g, pare_graph_unique(g, "ints"), pare_weight_dense(t), &v));
    return v;
}

static inline pare_id add_scalar(pare_graph *g, float x)
{
    pare_tensor t;
    pare_id v;
    OK(pare_tensor_new(PARE_F32, 0, NULL, &t));
    *(float *)t.data = x;
    OK(pare_graph_add_constant(g, pare_graph_unique(g, "number"), pare_weight_dense(t), &v));
    return v;
}

/* One output, named `name`; inputs up to n_in (PARE_NONE: absent). */
static inline pare_id add_node(pare_graph *g, const char *op_name, const char *attrs,
                               const char *name, uint32_t n_in, ...)
{
    const pare_op *op = pare_op_find(op_name);
    if (!op) fail_msg("operator %s is not known", op_name);
    pare_id in[PARE_MAX_IN], out;
    va_list ap;
    va_start(ap, n_in);
    for (uint32_t i = 0; i < n_in; i++) in[i] = va_arg(ap, pare_id);
    va_end(ap);
    void *a = op->attrs_size ? pare_arena_alloc(g->arena, op->attrs_size) : NULL;
    if (op->attrs) {
        pare_fields_default(op->attrs, a);
        OK(pare_fields_parse(op->attrs, op_name, attrs, g->arena, a));
    }
    OK(pare_graph_add_value(g, pare_graph_unique(g, name), NULL, &out));
    OK(pare_graph_add_node(g, op, name, a, op->attrs_size, n_in, in, 1, &out, NULL));
    return out;
}

/* Types and evaluates a whole graph by the operators' own eval, node by node: what every plan is
 * compared with. `g` is changed (shapes bound). out: one new tensor for each output. */
static inline void evaluate_graph(pare_graph *g, const pare_tensor *in, pare_tensor *out)
{
    for (uint32_t i = 0; i < g->n_inputs; i++) {
        pare_type t = pare_tensor_type(&in[i]);
        g->value[g->input[i]].type = t;
    }
    OK(pare_infer(g, false));
    pare_tensor *value = calloc(g->n_values, sizeof *value);
    assert_non_null(value);
    for (uint32_t i = 0; i < g->n_inputs; i++) value[g->input[i]] = pare_tensor_ref(&in[i]);
    for (uint32_t v = 0; v < g->n_values; v++)
        if (g->value[v].weight) OK(pare_weight_decode(g->value[v].weight, &value[v]));
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        pare_tensor x[PARE_MAX_IN] = { 0 }, y[PARE_MAX_OUT] = { 0 };
        for (uint32_t k = 0; k < n->n_in; k++)
            if (n->in[k] != PARE_NONE) x[k] = value[n->in[k]];
        for (uint32_t k = 0; k < n->n_out; k++)
            OK(pare_tensor_of(&g->value[n->out[k]].type, &y[k]));
        OK(n->op->eval(n, x, y));
        for (uint32_t k = 0; k < n->n_out; k++) value[n->out[k]] = y[k];
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) out[i] = pare_tensor_ref(&value[g->output[i]]);
    for (uint32_t v = 0; v < g->n_values; v++) pare_tensor_free(&value[v]);
    free(value);
}

/* |a - b| <= tolerance * max|b| everywhere; NaN matches NaN. */
static inline void assert_close(const pare_tensor *a, const pare_tensor *b, double tolerance,
                                const char *what)
{
    assert_int_equal(a->dtype, b->dtype);
    int64_t n = pare_tensor_count(b);
    assert_int_equal(pare_tensor_count(a), n);
    double most = 1e-30;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(pare_tensor_get_f64(b, i)));
    for (int64_t i = 0; i < n; i++) {
        double x = pare_tensor_get_f64(a, i), y = pare_tensor_get_f64(b, i);
        if (isnan(x) && isnan(y)) continue;
        if (!(fabs(x - y) <= tolerance * most))
            fail_msg("%s: element %lld of %lld is %.9g instead of %.9g", what, (long long)i,
                     (long long)n, x, y);
    }
}

#endif
