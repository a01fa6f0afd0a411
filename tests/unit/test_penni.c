/* PENNI and its parts: decomposition, pruning, packing, exact channel removal on random networks,
 * stages and resume. */
#define _POSIX_C_SOURCE 200809L /* strtok_r */
#include "codecs/bitmap.h"
#include "codecs/penni.h"
#include "methods/cut.h"
#include "methods/method.h"
#include "methods/penni_parts.h"

#include "base/rng.h"
#include "pare/plan.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define OK(e)                                                     \
    do {                                                          \
        if ((e) != PARE_OK) fail_msg("%s: %s", #e, pare_error()); \
    } while (0)

/* --- building graphs --- */
static pare_id constant(pare_graph *g, int rank, const int64_t *dim, const float *x)
{
    pare_tensor t;
    OK(pare_tensor_new(PARE_F32, rank, dim, &t));
    memcpy(t.data, x, pare_tensor_bytes(&t));
    pare_id v;
    OK(pare_graph_add_constant(g, pare_graph_unique(g, "w"), pare_weight_dense(t), &v));
    return v;
}

static pare_id integers(pare_graph *g, int n, const int64_t *x)
{
    pare_tensor t;
    OK(pare_tensor_i64(x, 1, n, &t));
    pare_id v;
    OK(pare_graph_add_constant(g, pare_graph_unique(g, "i"), pare_weight_dense(t), &v));
    return v;
}

/* attrs: "kernel_shape=3,3 pads=1,1,1,1" */
static pare_id apply(pare_graph *g, const char *name, int n_in, const pare_id *in,
                     const char *attrs)
{
    const pare_op *op = pare_op_find(name);
    if (!op) fail_msg("there is no operator %s", name);
    void *a = op->attrs_size ? pare_arena_alloc(g->arena, op->attrs_size) : NULL;
    if (a) pare_fields_default(op->attrs, a);
    char text[200], *rest = text;
    snprintf(text, sizeof text, "%s", attrs);
    for (char *word; (word = strtok_r(rest, " ", &rest));) {
        char *eq = strchr(word, '=');
        const pare_field *f = pare_field_find(op->attrs, word, (size_t)(eq - word));
        assert_non_null(f);
        OK(pare_field_parse(f, eq + 1, strlen(eq + 1), ',', g->arena, a));
    }
    pare_id out;
    OK(pare_graph_add_value(g, pare_graph_unique(g, name), NULL, &out));
    OK(pare_graph_add_node(g, op, pare_graph_unique(g, name), a, op->attrs_size, (uint32_t)n_in, in,
                           1, &out, NULL));
    return out;
}

/* A value of a network under construction. */
typedef struct wire {
    pare_id v;
    int64_t c, size; /* channels, height = width */
} wire;

typedef struct maker {
    pare_graph *g;
    pare_rng r;
    double dead_filters, dead_inputs;
} maker;

static wire conv(maker *m, wire x, int64_t n, int64_t k, int64_t stride, int64_t pad, bool bias,
                 bool depthwise)
{
    int64_t c = depthwise ? 1 : x.c;
    static float w[64 * 64 * 9], b[64];
    bool dead_in[64];
    for (int64_t i = 0; i < c; i++)
        dead_in[i] = !depthwise && pare_rng_uniform(&m->r) < m->dead_inputs;
    for (int64_t f = 0; f < n; f++) {
        bool dead = pare_rng_uniform(&m->r) < m->dead_filters;
        b[f] = (float)pare_rng_normal(&m->r);
        for (int64_t i = 0; i < c; i++)
            for (int64_t p = 0; p < k * k; p++)
                w[(f * c + i) * k * k + p] =
                    dead || dead_in[i]
                        ? 0
                        : (float)(pare_rng_normal(&m->r) / sqrt((double)(c * k * k)));
    }
    pare_id in[3] = { x.v, constant(m->g, 4, (int64_t[]){ n, c, k, k }, w), PARE_NONE };
    if (bias) in[2] = constant(m->g, 1, &n, b);
    char attrs[160];
    snprintf(attrs, sizeof attrs, "kernel_shape=%d,%d strides=%d,%d pads=%d,%d,%d,%d group=%d",
             (int)k, (int)k, (int)stride, (int)stride, (int)pad, (int)pad, (int)pad, (int)pad,
             depthwise ? (int)x.c : 1);
    return (wire){ apply(m->g, "Conv", bias ? 3 : 2, in, attrs), n,
                   (x.size + 2 * pad - k) / stride + 1 };
}

static pare_id vector(maker *m, int64_t n, double mean, double spread)
{
    float x[64];
    for (int64_t i = 0; i < n; i++) x[i] = (float)(mean + spread * pare_rng_normal(&m->r));
    return constant(m->g, 1, &n, x);
}

static wire batchnorm(maker *m, wire x)
{
    pare_id var;
    float v[64];
    for (int64_t i = 0; i < x.c; i++) v[i] = (float)(0.5 + pare_rng_uniform(&m->r));
    pare_id scale = vector(m, x.c, 1, 0.3), shift = vector(m, x.c, -0.3, 0.7),
            mean = vector(m, x.c, 0, 0.5);
    var = constant(m->g, 1, &x.c, v);
    x.v = apply(m->g, "BatchNormalization", 5, (pare_id[]){ x.v, scale, shift, mean, var },
                "epsilon=1e-5");
    return x;
}

static wire unary(maker *m, wire x, const char *op, const char *attrs)
{
    x.v = apply(m->g, op, 1, &x.v, attrs);
    return x;
}

static wire activation(maker *m, wire x)
{
    switch (pare_rng_below(&m->r, 4)) {
    case 0: return unary(m, x, "LeakyRelu", "alpha=0.1");
    case 1: {
        float lo = 0, hi = 6;
        x.v = apply(m->g, "Clip", 3,
                    (pare_id[]){ x.v, constant(m->g, 0, NULL, &lo), constant(m->g, 0, NULL, &hi) },
                    "");
        return x;
    }
    default: return unary(m, x, "Relu", "");
    }
}

static wire join(maker *m, wire a, wire b)
{
    a.v = apply(m->g, "Add", 2, (pare_id[]){ a.v, b.v }, "");
    return a;
}

/* conv-bn-act-conv-bn, joined with the input by itself, by a strided slice and channel padding, or
 * by a convolution. */
static wire residual(maker *m, wire x, bool down)
{
    int64_t n = down ? x.c * 2 : x.c, stride = down ? 2 : 1;
    int64_t pad = pare_rng_below(&m->r, 3) > 0;
    wire y = activation(m, batchnorm(m, conv(m, x, n + (int64_t)pare_rng_below(&m->r, 5), 3, stride,
                                             pad, false, false)));
    y = batchnorm(m, conv(m, y, n, 3, 1, 2 - pad, pare_rng_below(&m->r, 2), false));
    wire s = x;
    if (down && pare_rng_below(&m->r, 2)) {
        s.v = apply(m->g, "Slice", 5,
                    (pare_id[]){ x.v, integers(m->g, 2, (int64_t[]){ 0, 0 }),
                                 integers(m->g, 2, (int64_t[]){ INT32_MAX, INT32_MAX }),
                                 integers(m->g, 2, (int64_t[]){ 2, 3 }),
                                 integers(m->g, 2, (int64_t[]){ 2, 2 }) },
                    "");
        int64_t before = x.c / 2;
        float zero = 0;
        s.v = apply(
            m->g, "Pad", 3,
            (pare_id[]){
                s.v, integers(m->g, 8, (int64_t[]){ 0, before, 0, 0, 0, n - x.c - before, 0, 0 }),
                constant(m->g, 0, NULL, &zero) },
            "mode=constant");
    } else if (down)
        s = batchnorm(m, conv(m, x, n, 1, 2, 0, false, false));
    if (y.size != (x.size + stride - 1) / stride)
        return y; /* without padding the sizes do not meet: no join */
    return activation(m, join(m, y, s));
}

static wire tail(maker *m, wire x, bool pool)
{
    if (pool) {
        x = unary(m, x, "GlobalAveragePool", "");
        x.size = 1;
    }
    if (pare_rng_below(&m->r, 2))
        x.v = apply(m->g, "Flatten", 1, &x.v, "axis=1");
    else
        x.v = apply(m->g, "Reshape", 2,
                    (pare_id[]){ x.v, integers(m->g, 2, (int64_t[]){ -1, x.c * x.size * x.size }) },
                    "");
    int64_t in = x.c * x.size * x.size, out = 7;
    float *w = malloc((size_t)(in * out) * sizeof *w);
    assert_non_null(w);
    for (int64_t i = 0; i < in * out; i++)
        w[i] = (float)(pare_rng_normal(&m->r) / sqrt((double)in));
    bool across = pare_rng_below(&m->r, 2);
    int64_t dim[2] = { across ? out : in, across ? in : out };
    pare_id slots[3] = { x.v, constant(m->g, 2, dim, w), PARE_NONE };
    free(w);
    int kind = (int)pare_rng_below(&m->r, 3);
    if (kind == 0 && !across)
        x.v = apply(m->g, "MatMul", 2, slots, "");
    else {
        slots[2] = vector(m, out, 0, 1);
        x.v = apply(m->g, "Gemm", kind == 1 ? 2 : 3, slots,
                    across ? "transB=1 alpha=0.5" : "alpha=2");
    }
    return x;
}

static pare_graph *random_net(uint64_t seed)
{
    maker m = { .r = pare_rng_stream(seed, 99), .dead_filters = 0.35, .dead_inputs = 0.2 };
    OK(pare_graph_new(&m.g));
    pare_type t = { PARE_F32, 4, { -1, 3, 12, 12 } };
    wire x = { .c = 3, .size = 12 };
    OK(pare_graph_add_input(m.g, "x", &t, &x.v));
    x = activation(&m, batchnorm(&m, conv(&m, x, 8, 3, 1, 1, false, false)));
    x = residual(&m, x, false);
    x = residual(&m, x, seed % 2);
    if (seed % 3 == 0) { /* two branches side by side, one through a depthwise convolution */
        wire a = conv(&m, x, 6, 1, 1, 0, true, false),
             b = batchnorm(&m, conv(&m, x, x.c, 3, 1, 1, true, true));
        a.v = apply(m.g, "Concat", 2, (pare_id[]){ a.v, b.v }, "axis=1");
        a.c += b.c;
        x = activation(&m, a);
    }
    if (seed % 4 == 0) {
        float k[64];
        for (int64_t i = 0; i < x.c; i++) k[i] = (float)pare_rng_normal(&m.r);
        x.v = apply(m.g, "Mul", 2,
                    (pare_id[]){ x.v, constant(m.g, 4, (int64_t[]){ 1, x.c, 1, 1 }, k) }, "");
        x = unary(&m, x, "AveragePool",
                  seed % 8 ? "kernel_shape=3,3 pads=1,1,1,1 strides=1,1"
                           : "kernel_shape=3,3 pads=1,1,1,1 strides=1,1 count_include_pad=1");
    }
    if (seed % 5 == 0) { /* picks channels out of the middle */
        x.v = apply(m.g, "Slice", 4,
                    (pare_id[]){ x.v, integers(m.g, 1, (int64_t[]){ 1 }),
                                 integers(m.g, 1, (int64_t[]){ -1 }),
                                 integers(m.g, 1, (int64_t[]){ 1 }) },
                    "");
        x.c -= 2;
    }
    x = residual(&m, x, true);
    if (seed % 2 && x.size > 2) {
        x = unary(&m, x, "MaxPool", "kernel_shape=2,2 strides=1,1");
        x.size--;
    }
    x = conv(&m, x, 12, x.size < 3 ? 1 : 3, 1, 0, true, false);
    x = activation(&m, x);
    x = tail(&m, x, seed % 3 != 1);
    OK(pare_graph_mark_output(m.g, x.v));
    OK(pare_graph_check(m.g));
    return m.g;
}

/* The network's output for seeded random pictures; yours to free. */
static pare_tensor outputs(const pare_graph *g)
{
    pare_plan *plan;
    pare_plan_options o = { .threads = 1, .batch = 2 };
    OK(pare_plan_create(g, &o, &plan));
    pare_type in, out;
    pare_plan_input(plan, 0, &in);
    pare_plan_output(plan, 0, &out);
    pare_tensor x, y;
    OK(pare_tensor_of(&in, &x));
    OK(pare_tensor_of(&out, &y));
    pare_rng r = pare_rng_stream(5, 5);
    for (int64_t i = 0; i < pare_tensor_count(&x); i++)
        ((float *)x.data)[i] = (float)pare_rng_normal(&r);
    OK(pare_plan_run(plan, &x, &y));
    pare_tensor_free(&x);
    pare_plan_free(plan);
    return y;
}

static double difference(const pare_graph *a, const pare_graph *b)
{
    pare_tensor x = outputs(a), y = outputs(b);
    pare_type tx = pare_tensor_type(&x), ty = pare_tensor_type(&y);
    assert_true(pare_same_shape(&tx, &ty));
    double most = 0, size = 0;
    for (int64_t i = 0; i < pare_tensor_count(&x); i++) {
        double p = (double)((float *)x.data)[i], q = (double)((float *)y.data)[i];
        most = fmax(most, fabs(p - q));
        size = fmax(size, fabs(p));
    }
    pare_tensor_free(&x);
    pare_tensor_free(&y);
    return size > 0 ? most / size : most;
}

/* --- shrinking --- */
static void test_shrink_is_exact(void **state)
{
    int64_t all_gone = 0, all = 0, moved = 0;
    for (uint64_t seed = 0; seed < 60; seed++) {
        pare_graph *g = random_net(seed), *s;
        OK(pare_graph_clone(g, &s));
        int64_t gone, of, again;
        OK(pare_shrink(s, true, &gone, &of));
        OK(pare_graph_check(s));
        double d = difference(g, s);
        if (!(d < 1e-5))
            fail_msg("seed %d: shrunk by %d of %d channels, outputs differ by %g", (int)seed,
                     (int)gone, (int)of, d);
        for (uint32_t i = 0; i < s->n_nodes; i++) {
            const pare_weight *w = pare_node_weight(s, &s->node[i], 1);
            assert_true(!w || w->type.rank < 4 || (w->type.dim[0] > 0 && w->type.dim[1] > 0));
            moved += s->node[i].n_in > g->node[i].n_in;
        }
        OK(pare_shrink(s, true, &again, &of));
        assert_true(again == 0 || again < gone);
        OK(pare_graph_check(g)); /* the original is untouched */
        all_gone += gone;
        all += of;
        pare_graph_free(g);
        pare_graph_free(s);
    }
    assert_true(
        all_gone * 10 >
        all); /* the networks do have something to remove: a third of the filters are dead */
    assert_true(moved > 0); /* and a layer without a bias got one */
}

/* Dead filter -> batch-norm -> relu gives 0.5 everywhere; the next convolution does not pad: the
 * constant moves into its bias. With padding the channel must stay, unless exactness is given up.
 */
static void test_constant_moves_into_bias(void **state)
{
    for (int pad = 0; pad <= 1; pad++)
        for (int exact = 0; exact <= 1; exact++) {
            maker m = { .r = pare_rng_stream(1, 1) };
            OK(pare_graph_new(&m.g));
            pare_type t = { PARE_F32, 4, { -1, 2, 6, 6 } };
            wire x = { .c = 2, .size = 6 };
            OK(pare_graph_add_input(m.g, "x", &t, &x.v));
            float w[2 * 2] = { 1, 2, 0, 0 }, scale[2] = { 1, 1 }, shift[2] = { 0, 0.5f },
                        mean[2] = { 0, 0 }, var[2] = { 1, 1 };
            int64_t two = 2;
            x.v = apply(m.g, "Conv", 2,
                        (pare_id[]){ x.v, constant(m.g, 4, (int64_t[]){ 2, 2, 1, 1 }, w) },
                        "kernel_shape=1,1");
            x.v = apply(m.g, "BatchNormalization", 5,
                        (pare_id[]){ x.v, constant(m.g, 1, &two, scale),
                                     constant(m.g, 1, &two, shift), constant(m.g, 1, &two, mean),
                                     constant(m.g, 1, &two, var) },
                        "epsilon=0");
            x = unary(&m, x, "Relu", "");
            x = conv(&m, x, 3, 3, 1, pad, false, false);
            OK(pare_graph_mark_output(m.g, x.v));
            pare_graph *s;
            OK(pare_graph_clone(m.g, &s));
            int64_t gone, of;
            OK(pare_shrink(s, exact, &gone, &of));
            assert_int_equal(
                gone, pad && exact ? 0 : 3); /* of the convolution, the batch-norm and the relu */
            if (gone) assert_int_equal(s->node[3].n_in, 3);
            if (exact || !pad)
                assert_true(difference(m.g, s) < 1e-6);
            else
                assert_true(difference(m.g, s) > 1e-3);
            pare_graph_free(s);
            pare_graph_free(m.g);
        }
}

/* --- decomposition and packing --- */
static pare_graph *small_net(uint64_t seed)
{
    maker m = { .r = pare_rng_stream(seed, 7) };
    OK(pare_graph_new(&m.g));
    pare_type t = { PARE_F32, 4, { -1, 3, 8, 8 } };
    wire x = { .c = 3, .size = 8 };
    OK(pare_graph_add_input(m.g, "x", &t, &x.v));
    x = unary(&m, batchnorm(&m, conv(&m, x, 16, 3, 1, 1, false, false)), "Relu", "");
    x = unary(&m, conv(&m, x, 16, 3, 1, 1, true, false), "Relu", "");
    x = unary(&m, conv(&m, x, 16, 1, 1, 0, true, false), "Relu", "");
    x = unary(&m, conv(&m, x, 16, 3, 1, 1, false, true), "Relu", "");
    x = tail(&m, x, true);
    OK(pare_graph_mark_output(m.g, x.v));
    return m.g;
}

static void test_decompose(void **state)
{
    pare_graph *g = small_net(1);
    double last = INFINITY;
    assert_true(pare_penni_fits(g, &g->node[0]));
    for (uint32_t i = 0; i < g->n_nodes; i++) /* depthwise: nothing to share */
        if (strcmp(g->node[i].op->name, "Conv") == 0 &&
            pare_node_weight(g, &g->node[i], 1)->type.dim[1] == 1)
            assert_false(pare_penni_fits(g, &g->node[i]));
    for (int64_t d = 1; d <= 12; d++) {
        pare_graph *s;
        OK(pare_graph_clone(g, &s));
        OK(pare_penni_decompose(s, 3, d, PARE_PENNI_SVD, 0));
        const pare_weight *w = pare_node_weight(s, &s->node[3], 1);
        OK(w->codec->check(w));
        assert_int_equal(pare_penni_dims_of(w).d, d < 9 ? d : 9);
        pare_tensor a, b;
        OK(pare_weight_decode(w, &b));
        OK(pare_weight_decode(pare_node_weight(g, &g->node[3], 1), &a));
        double error = 0;
        for (int64_t i = 0; i < pare_tensor_count(&a); i++)
            error += pow((double)((float *)a.data)[i] - (double)((float *)b.data)[i], 2);
        assert_true(error < last || d > 9);
        if (d >= 9) assert_true(error < 1e-10);
        last = error;
        pare_tensor_free(&a);
        pare_tensor_free(&b);
        /* a random basis is never better, and spans everything when it is full */
        pare_graph *r;
        OK(pare_graph_clone(g, &r));
        OK(pare_penni_decompose(r, 3, d, PARE_PENNI_RANDOM, 3));
        OK(pare_weight_decode(pare_node_weight(r, &r->node[3], 1), &b));
        OK(pare_weight_decode(pare_node_weight(g, &g->node[3], 1), &a));
        double other = 0;
        for (int64_t i = 0; i < pare_tensor_count(&a); i++)
            other += pow((double)((float *)a.data)[i] - (double)((float *)b.data)[i], 2);
        assert_true(other >= error * (1 - 1e-6) - 1e-9);
        if (d >= 9) assert_true(other < 1e-10);
        pare_tensor_free(&a);
        pare_tensor_free(&b);
        pare_graph_free(r);
        pare_graph_free(s);
    }
    pare_graph_free(g);
}

static void test_renormalise_keeps_the_weight(void **state)
{
    pare_graph *g = small_net(2), *s;
    OK(pare_penni_decompose(g, 0, 4, PARE_PENNI_SVD, 0));
    pare_weight *w = pare_node_weight(g, &g->node[0], 1);
    float *basis = w->part[PARE_PENNI_BASIS].data;
    for (int i = 0; i < 9; i++) basis[i] *= 3;
    OK(pare_graph_clone(g, &s));
    OK(pare_penni_renormalise(s));
    assert_true(difference(g, s) < 1e-6);
    const float *unit = pare_node_weight(s, &s->node[0], 1)->part[PARE_PENNI_BASIS].data;
    double norm = 0;
    for (int i = 0; i < 9; i++) norm += (double)unit[i] * (double)unit[i];
    assert_true(fabs(norm - 1) < 1e-6);
    pare_graph_free(g);
    pare_graph_free(s);
}

static void test_cuts(void **state)
{
    float a[] = { 1, -2, 3, -4, 5, 0, 0, 0, 0, 0 }, b[] = { 10, 20, 30, 0.5f };
    pare_prune_item item[2] = { { .x = a, .n = 10, .rule = { .density = 0.3 } },
                                { .x = b, .n = 4, .rule = { .density = 0.3 } } };
    OK(pare_prune_cuts(item, 2, false));
    assert_true(item[0].cut == 3 && item[1].cut == 20);
    OK(pare_prune_cuts(item, 2, true)); /* 0.3 of 14 is 5 together: 30 20 10 5 4 */
    assert_true(item[0].cut == 4 && item[1].cut == 4);
    item[0].rule.min_density = 0.4;
    OK(pare_prune_cuts(item, 2, true));
    assert_true(item[0].cut == 2);
    item[0].rule = (pare_prune_rule){ .threshold = 1 }; /* mean 0.3, variance 5.5 - 0.09 */
    OK(pare_prune_cuts(item, 1, false));
    assert_true(fabs((double)item[0].cut - sqrt(5.41)) < 1e-6);
    assert_int_equal(pare_prune_apply(&item[0]), 3);
    assert_true(a[0] == 0 && a[1] == 0 && a[2] == 3);
}

/* --- the whole method, with a driver that writes down what is asked of it --- */
typedef struct diary {
    char text[4000];
    int64_t epochs;
    int stop_after; /* fail the n-th tune; 0: never */
    int tunes;
    pare_graph *saved[16];
    char stage[16][24];
    int n_saved;
} diary;

static void note(diary *d, const char *what, const char *which)
{
    size_t at = strlen(d->text);
    snprintf(d->text + at, sizeof d->text - at, "%s %s; ", what, which);
}
static void say(pare_job *job, const char *fmt, ...) {}

static pare_status tune(pare_job *job, pare_graph *g, const pare_tune *t)
{
    diary *d = job->driver;
    if (++d->tunes == d->stop_after) return PARE_ECANCELLED;
    note(d, "tune", t->stage);
    d->epochs += t->epochs;
    for (int64_t e = 0; e < t->epochs; e++) {
        if (t->frozen) note(d, "frozen", t->frozen(t->user, e));
        if (t->epoch_end) OK(t->epoch_end(t->user, e, g));
    }
    /* "training": a change that only depends on the graph */
    for (pare_id v = 0; v < g->n_values; v++) {
        pare_weight *w = g->value[v].weight;
        if (!w || w->codec != &pare_codec_penni) continue;
        OK(pare_tensor_writable(&w->part[PARE_PENNI_VALUES]));
        float *x = w->part[PARE_PENNI_VALUES].data;
        for (int64_t i = 0; i < pare_tensor_count(&w->part[PARE_PENNI_VALUES]); i++) x[i] *= 1.01f;
    }
    return PARE_OK;
}

static pare_status checkpoint(pare_job *job, const char *stage, const pare_graph *g)
{
    diary *d = job->driver;
    note(d, "saved", stage);
    snprintf(d->stage[d->n_saved], sizeof d->stage[0], "%s", stage);
    return pare_graph_clone(g, &d->saved[d->n_saved++]);
}

static pare_status resume(pare_job *job, const char *stage, pare_graph **g, bool *found)
{
    diary *d = job->driver;
    *found = false;
    for (int i = 0; i < d->n_saved; i++)
        if (strcmp(d->stage[i], stage) == 0) {
            pare_graph *copy;
            PARE_TRY(pare_graph_clone(d->saved[i], &copy));
            pare_graph_free(*g);
            *g = copy;
            *found = true;
        }
    return PARE_OK;
}

static pare_status run_method(const char *name, const char *text, diary *d, int64_t epochs,
                              pare_graph **g)
{
    const pare_method *m = pare_method_find(name);
    assert_non_null(m);
    pare_arena *arena = pare_arena_new(0);
    void *o = pare_arena_alloc(arena, m->options_size);
    pare_fields_default(m->options, o);
    OK(pare_fields_parse(m->options, name, text, arena, o));
    pare_job job = { .epochs = epochs,
                     .seed = 1,
                     .tune = tune,
                     .checkpoint = checkpoint,
                     .resume = resume,
                     .say = say,
                     .driver = d };
    pare_status st = m->graph(&job, g, o);
    pare_arena_free(arena);
    return st;
}

static void forget(diary *d)
{
    for (int i = 0; i < d->n_saved; i++) pare_graph_free(d->saved[i]);
}

static void test_stages(void **state)
{
    pare_graph *g = small_net(3), *g0;
    OK(pare_graph_clone(g, &g0));
    diary d = { .epochs = 0 };
    OK(run_method("penni", "swap=1,steps=2,basis=4,threshold=0.5", &d, 6, &g));
    assert_string_equal(
        d.text,
        "saved decompose; tune retrain; frozen basis; frozen values; frozen basis; frozen values; "
        "saved retrain; saved prune-1; tune finetune-1; saved finetune-1; saved prune-2; tune "
        "finetune-2; "
        "saved finetune-2; saved shrink; ");
    assert_int_equal(d.epochs, 6);
    forget(&d);
    int penni = 0;
    for (pare_id v = 0; v < g->n_values; v++) {
        const pare_weight *w = g->value[v].weight;
        if (!w || !w->codec) continue;
        OK(w->codec->check(w));
        pare_weight_stats s;
        pare_weight_stat(w, &s);
        assert_true(s.density < 1 && s.stored_bytes < 4 * pare_numel(w->type.rank, w->type.dim));
        penni++;
    }
    assert_int_equal(penni, 2);
    /* Interrupted in any phase, a second run ends with the same bytes. */
    for (int stop = 1; stop <= 3; stop++) {
        pare_graph *again;
        OK(pare_graph_clone(g0, &again));
        diary part = { .stop_after = stop };
        assert_int_equal(
            run_method("penni", "swap=1,steps=2,basis=4,threshold=0.5", &part, 6, &again),
            PARE_ECANCELLED);
        part.stop_after = 0;
        pare_graph_free(again);
        OK(pare_graph_clone(g0, &again));
        OK(run_method("penni", "swap=1,steps=2,basis=4,threshold=0.5", &part, 6, &again));
        for (pare_id v = 0; v < g->n_values; v++) {
            const pare_weight *w = g->value[v].weight, *u = again->value[v].weight;
            assert_true(!w == !u);
            for (int p = 0; w && p < pare_weight_parts(w); p++)
                assert_memory_equal(w->part[p].data, u->part[p].data,
                                    pare_tensor_bytes(&w->part[p]));
        }
        forget(&part);
        pare_graph_free(again);
    }
    /* What is compressed already can be compressed further. */
    double before = 0, after = 0;
    for (pare_id v = 0; v < g->n_values; v++)
        if (g->value[v].weight && g->value[v].weight->codec)
            before += (double)pare_tensor_count(&g->value[v].weight->part[PARE_PENNI_VALUES]);
    diary more = { .epochs = 0 };
    OK(run_method("penni", "density=0.1", &more, 0, &g));
    forget(&more);
    for (pare_id v = 0; v < g->n_values; v++)
        if (g->value[v].weight && g->value[v].weight->codec)
            after += (double)pare_tensor_count(&g->value[v].weight->part[PARE_PENNI_VALUES]);
    assert_true(after > 0 && after < before);
    pare_graph_free(g);
    pare_graph_free(g0);
}

/* Epochs 0: no training. Everything kept, a full basis: the same function, and smaller storage is
 * chosen: dense. */
static void test_one_shot(void **state)
{
    pare_graph *g = small_net(4), *s;
    OK(pare_graph_clone(g, &s));
    diary d = { .epochs = 0 };
    OK(run_method("penni", "basis=9,threshold=0", &d, 0, &s));
    assert_int_equal(d.tunes, 0);
    assert_true(difference(g, s) < 1e-5);
    for (pare_id v = 0; v < s->n_values; v++)
        assert_true(!s->value[v].weight || !s->value[v].weight->codec);
    pare_graph_free(s);
    forget(&d);
    OK(pare_graph_clone(g, &s));
    diary d2 = { .epochs = 0 };
    OK(run_method("penni", "density=0.25,pointwise=sparse,scope=layer", &d2, 0, &s));
    int sparse = 0;
    for (pare_id v = 0; v < s->n_values; v++)
        sparse += s->value[v].weight && s->value[v].weight->codec == &pare_codec_penni;
    assert_int_equal(sparse, 3);
    pare_graph_free(s);
    forget(&d2);
    diary d3 = { .epochs = 0 };
    OK(pare_graph_clone(g, &s));
    OK(run_method("magnitude", "density=0.25", &d3, 3, &s));
    assert_string_equal(d3.text, "saved prune; tune finetune; saved finetune; ");
    pare_graph_free(s);
    forget(&d3);

    diary d4 = { .epochs = 0 };
    OK(pare_graph_clone(g, &s));
    OK(run_method("magnitude", "density=0.25,steps=2", &d4, 3, &s));
    assert_string_equal(d4.text, "saved prune-1; tune finetune-1; saved finetune-1; "
                                 "saved prune-2; tune finetune-2; saved finetune-2; ");
    pare_graph_free(s);
    forget(&d4);
    pare_graph_free(g);
}

/* Nothing left of a layer: one channel stays, and the network still runs. */
static void test_nothing_left(void **state)
{
    pare_graph *g = small_net(5);
    OK(pare_penni_decompose(g, 3, 5, PARE_PENNI_SVD, 0));
    pare_weight *w = pare_node_weight(g, &g->node[3], 1), made;
    static float a[16 * 16 * 5];
    OK(pare_penni_encode(&w->type, 5, a, NULL, w->part[PARE_PENNI_BASIS].data, &made));
    OK(pare_graph_set_weight(g, g->node[3].in[1], made));
    pare_graph *s;
    OK(pare_graph_clone(g, &s));
    int64_t gone, of;
    OK(pare_shrink(s, true, &gone, &of));
    OK(pare_penni_pack(s));
    assert_true(gone > 0);
    assert_true(difference(g, s) < 1e-5);
    pare_graph_free(s);
    pare_graph_free(g);
}

static void test_refusals(void **state)
{
    const pare_method *m = pare_method_find("penni");
    pare_arena *arena = pare_arena_new(0);
    void *o = pare_arena_alloc(arena, m->options_size);
    pare_fields_default(m->options, o);
    static const char *const bad[] = { "basis=0",  "l1=-1",     "l1=nan", "nonesuch=1",
                                       "init=pca", "density=2", "swap=0" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        assert_int_equal(pare_fields_parse(m->options, "penni", bad[i], arena, o), PARE_EINVAL);
    pare_arena_free(arena);
    assert_null(pare_method_find("nonesuch"));
    /* no convolution at all */
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type t = { PARE_F32, 2, { -1, 4 } };
    pare_id x;
    OK(pare_graph_add_input(g, "x", &t, &x));
    OK(pare_graph_mark_output(g, apply(g, "Relu", 1, &x, "")));
    diary d = { .epochs = 0 };
    assert_int_equal(run_method("penni", "", &d, 0, &g), PARE_EUNSUPPORTED);
    assert_int_equal(run_method("magnitude", "", &d, 0, &g), PARE_EUNSUPPORTED);
    pare_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_decompose),
        cmocka_unit_test(test_renormalise_keeps_the_weight),
        cmocka_unit_test(test_cuts),
        cmocka_unit_test(test_constant_moves_into_bias),
        cmocka_unit_test(test_shrink_is_exact),
        cmocka_unit_test(test_nothing_left),
        cmocka_unit_test(test_stages),
        cmocka_unit_test(test_one_shot),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
