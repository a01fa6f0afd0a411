/* Gradients of every operator that can be trained through, against finite differences; the same
 * bytes for any threads. */
#include "base/cpu.h"
#include "base/rng.h"
#include "codecs/bitmap.h"
#include "codecs/penni.h"
#include "train/engine.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { BATCH = 32, C = 6, H = 6, W = 5 };

#define OK(e) assert_ok(e, #e)
static void assert_ok(pare_status st, const char *what)
{
    if (st != PARE_OK) fail_msg("%s: %s", what, pare_error());
}

/* --- building small graphs --- */

typedef struct net {
    pare_graph *g;
    pare_rng rng;
} net;

static pare_id floats(net *t, int rank, const int64_t *dim, double scale, double offset)
{
    pare_tensor x;
    pare_id v;
    OK(pare_tensor_new(PARE_F32, rank, dim, &x));
    for (int64_t i = 0; i < pare_tensor_count(&x); i++)
        ((float *)x.data)[i] = (float)(offset + scale * pare_rng_normal(&t->rng));
    OK(pare_graph_add_constant(t->g, pare_graph_unique(t->g, "w"), pare_weight_dense(x), &v));
    return v;
}
#define FLOATS(t, scale, offset, ...)                                      \
    floats(t, (int)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), \
           (int64_t[]){ __VA_ARGS__ }, scale, offset)

static pare_id ints_(net *t, int64_t n, const int64_t *v)
{
    pare_tensor x;
    pare_id id;
    OK(pare_tensor_i64(v, 1, n, &x));
    OK(pare_graph_add_constant(t->g, pare_graph_unique(t->g, "i"), pare_weight_dense(x), &id));
    return id;
}
#define INTS(t, ...)                                                          \
    ints_(t, (int64_t)(sizeof((int64_t[]){ __VA_ARGS__ }) / sizeof(int64_t)), \
          (int64_t[]){ __VA_ARGS__ })

static pare_id node_(net *t, const char *name, const char *attrs, uint32_t n_in, const pare_id *in)
{
    const pare_op *op = pare_op_find(name);
    if (!op) fail_msg("no operator %s", name);
    void *a = op->attrs_size ? pare_arena_alloc(t->g->arena, op->attrs_size) : NULL;
    if (a) {
        pare_fields_default(op->attrs, a);
        OK(pare_fields_parse(op->attrs, name, attrs, t->g->arena, a));
    }
    pare_id out;
    OK(pare_graph_add_value(t->g, pare_graph_unique(t->g, "v"), NULL, &out));
    OK(pare_graph_add_node(t->g, op, "", a, op->attrs_size, n_in, in, 1, &out, NULL));
    return out;
}
#define NODE(t, op, attrs, ...)                                                           \
    node_(t, op, attrs, (uint32_t)(sizeof((pare_id[]){ __VA_ARGS__ }) / sizeof(pare_id)), \
          (pare_id[]){ __VA_ARGS__ })

static pare_id conv(net *t, pare_id x, int64_t in, int64_t out, int64_t k, const char *attrs)
{
    return NODE(t, "Conv", attrs, x, FLOATS(t, 1 / sqrt((double)(in * k * k)), 0, out, in, k, k),
                FLOATS(t, 0.1, 0, out));
}

/* --- the cases: each takes a map [N,C,H,W] that depends on trained weights --- */

typedef pare_id body(net *t, pare_id x);

static pare_id nothing(net *t, pare_id x) { return x; }
static pare_id conv3(net *t, pare_id x) { return conv(t, x, C, 20, 3, "pads=1/1/1/1"); }
static pare_id conv_stride(net *t, pare_id x)
{
    return conv(t, x, C, 7, 3, "pads=0/1/1/0,strides=2/2,dilations=2/1");
}
static pare_id conv_few(net *t, pare_id x) { return conv(t, x, C, 3, 3, ""); }
static pare_id conv_group(net *t, pare_id x)
{
    return NODE(t, "Conv", "group=2", x, FLOATS(t, 0.3, 0, 8, 3, 3, 3));
}
static pare_id conv_depth(net *t, pare_id x)
{
    return NODE(t, "Conv", "group=6,pads=1/1/1/1", x, FLOATS(t, 0.3, 0, C, 1, 3, 3),
                FLOATS(t, 0.3, 0, C));
}
static pare_id conv_auto(net *t, pare_id x)
{
    return conv(t, x, C, 6, 2, "auto_pad=SAME_UPPER,strides=2/2");
}
static pare_id conv_1d(net *t, pare_id x)
{
    pare_id y = NODE(t, "Reshape", "", x, INTS(t, 0, C, -1));
    return NODE(t, "Conv", "pads=1/1", y, FLOATS(t, 0.3, 0, 5, C, 3), FLOATS(t, 0.1, 0, 5));
}
static pare_id deconv(net *t, pare_id x)
{
    return NODE(t, "ConvTranspose", "strides=2/2,pads=1/1/0/0", x, FLOATS(t, 0.3, 0, C, 5, 3, 3),
                FLOATS(t, 0.1, 0, 5));
}
static pare_id gemm(net *t, pare_id x)
{
    return NODE(t, "Gemm", "", NODE(t, "Flatten", "", x), FLOATS(t, 0.1, 0, C * H * W, 9),
                FLOATS(t, 0.1, 0, 9));
}
static pare_id gemm_trans(net *t, pare_id x)
{
    return NODE(t, "Gemm", "transB=1", NODE(t, "Flatten", "", x), FLOATS(t, 0.1, 0, 9, C * H * W),
                FLOATS(t, 0.1, 0, 1, 9));
}
static pare_id matmul(net *t, pare_id x)
{
    return NODE(t, "Add", "", NODE(t, "MatMul", "", x, FLOATS(t, 0.3, 0, W, 4)),
                FLOATS(t, 0.3, 0, 4));
}
static pare_id norm(net *t, pare_id x)
{
    return NODE(t, "BatchNormalization", "", x, FLOATS(t, 0.2, 1, C), FLOATS(t, 0.2, 0, C),
                FLOATS(t, 0.2, 0, C), FLOATS(t, 0.1, 1, C));
}
static pare_id norm_flat(net *t, pare_id x)
{
    int64_t n = C * H * W;
    return NODE(t, "BatchNormalization", "", NODE(t, "Flatten", "", x), FLOATS(t, 0.2, 1, n),
                FLOATS(t, 0.2, 0, n), FLOATS(t, 0.2, 0, n), FLOATS(t, 0.1, 1, n));
}
static pare_id relu(net *t, pare_id x) { return NODE(t, "Relu", "", x); }
static pare_id clip(net *t, pare_id x)
{
    pare_id lo = FLOATS(t, 0, -0.4, 1), hi = FLOATS(t, 0, 0.7, 1);
    return NODE(t, "Clip", "", x, NODE(t, "Reshape", "", lo, ints_(t, 0, (int64_t[]){ 0 })),
                NODE(t, "Reshape", "", hi, ints_(t, 0, (int64_t[]){ 0 })));
}
static pare_id leaky(net *t, pare_id x) { return NODE(t, "LeakyRelu", "alpha=0.3", x); }
static pare_id prelu(net *t, pare_id x)
{
    return NODE(t, "PRelu", "", x, FLOATS(t, 0.1, 0.3, C, 1, 1));
}
static pare_id sigmoid(net *t, pare_id x) { return NODE(t, "Sigmoid", "", x); }
static pare_id tanh_(net *t, pare_id x) { return NODE(t, "Tanh", "", x); }
static pare_id hard(net *t, pare_id x)
{
    return NODE(t, "HardSwish", "", NODE(t, "HardSigmoid", "alpha=0.7", x));
}
static pare_id elu(net *t, pare_id x) { return NODE(t, "Elu", "alpha=0.8", x); }
static pare_id exp_sqrt(net *t, pare_id x)
{
    return NODE(t, "Neg", "", NODE(t, "Sqrt", "", NODE(t, "Exp", "", x)));
}
static pare_id arithmetic(net *t, pare_id x)
{
    pare_id y = NODE(t, "Mul", "", x, FLOATS(t, 0.5, 1, 1)),
            z = NODE(t, "Sub", "", y, NODE(t, "Tanh", "", x));
    pare_id safe = NODE(t, "Add", "", NODE(t, "Sigmoid", "", z), FLOATS(t, 0.1, 1, 1, C, 1, 1));
    /* both operands of the second quotient are 0 in the padding lanes of a blocked map */
    pare_id whole = conv(t, x, C, C, 1, ""),
            part = NODE(t, "Div", "", whole, NODE(t, "Exp", "", NODE(t, "Tanh", "", whole)));
    x = NODE(t, "Add", "", part, NODE(t, "Div", "", NODE(t, "Mul", "", y, y), safe));
    return conv(t, x, C, 8, 3, "");
}
static pare_id squeeze_excite(net *t, pare_id x)
{
    pare_id s = NODE(t, "GlobalAveragePool", "", x);
    s = NODE(t, "Relu", "", conv(t, s, C, 4, 1, ""));
    s = NODE(t, "HardSigmoid", "", conv(t, s, 4, C, 1, ""));
    return NODE(t, "Mul", "", x, s);
}
static pare_id max_pool(net *t, pare_id x)
{
    return NODE(t, "MaxPool", "kernel_shape=3/2,strides=2/2,pads=1/0/1/1", x);
}
static pare_id average_pool(net *t, pare_id x)
{
    return NODE(t, "AveragePool", "kernel_shape=3/3,strides=2/1,pads=1/1/1/1", x);
}
static pare_id average_pad(net *t, pare_id x)
{
    return NODE(t, "AveragePool",
                "kernel_shape=3/3,strides=2/2,pads=1/1/1/1,count_include_pad=1,ceil_mode=1", x);
}
static pare_id global_pool(net *t, pare_id x) { return NODE(t, "GlobalAveragePool", "", x); }
static pare_id reduce_mean(net *t, pare_id x)
{
    return NODE(t, "ReduceMean", "keepdims=0", x, INTS(t, 2, 3));
}
static pare_id reduce_last(net *t, pare_id x) { return NODE(t, "ReduceMean", "", x, INTS(t, -1)); }
static pare_id option_a(net *t, pare_id x)
{
    pare_id y =
        NODE(t, "Slice", "", x, INTS(t, 0, 1), INTS(t, 100, 100), INTS(t, 2, 3), INTS(t, 2, 2));
    return NODE(t, "Pad", "", y, INTS(t, 0, 3, 0, 0, 0, 3, 0, 0));
}
static pare_id pad_fill(net *t, pare_id x)
{
    pare_id fill = NODE(t, "Reshape", "", FLOATS(t, 0, 0.5, 1), ints_(t, 0, (int64_t[]){ 0 }));
    return conv(t, NODE(t, "Pad", "", x, INTS(t, 0, 0, 1, 2, 0, 0, 0, 1), fill), C, 5, 3, "");
}
static pare_id pad_reflect(net *t, pare_id x)
{
    return NODE(t, "Pad", "mode=reflect", x, INTS(t, 0, 0, 1, 2, 0, 0, 2, 1));
}
static pare_id concat(net *t, pare_id x)
{
    pare_id y = NODE(t, "Concat", "axis=1", x, NODE(t, "Tanh", "", x), conv(t, x, C, 5, 1, ""));
    return conv(t, y, 17, 4, 3, "");
}
static pare_id shuffle(net *t, pare_id x)
{
    pare_id y = NODE(t, "Reshape", "", x, INTS(t, 0, 2, 3, H, W));
    y = NODE(t, "Transpose", "perm=0/2/1/3/4", y);
    return conv(t, NODE(t, "Reshape", "", y, INTS(t, 0, C, H, W)), C, 4, 1, "");
}
static pare_id shapes(net *t, pare_id x)
{
    pare_id y = NODE(t, "Unsqueeze", "", NODE(t, "Identity", "", x), INTS(t, 2));
    return NODE(t, "Squeeze", "", y, INTS(t, 2));
}
static pare_id softmax(net *t, pare_id x)
{
    return NODE(t, "MatMul", "", NODE(t, "Softmax", "", x), FLOATS(t, 0.5, 0, W, 3));
}
static pare_id lrn(net *t, pare_id x) { return NODE(t, "LRN", "size=3,alpha=0.5,bias=1.5", x); }
static pare_id dropout(net *t, pare_id x)
{
    return NODE(t, "Dropout", "", x,
                NODE(t, "Reshape", "", FLOATS(t, 0, 0.4, 1), ints_(t, 0, (int64_t[]){ 0 })));
}
static pare_id residual(net *t, pare_id x)
{
    pare_id y = norm(t, conv(t, NODE(t, "Relu", "", norm(t, conv(t, x, C, C, 3, "pads=1/1/1/1"))),
                             C, C, 3, "pads=1/1/1/1"));
    x = NODE(t, "Relu", "", NODE(t, "Add", "", y, x));
    y = norm(t, conv(t, x, C, C, 3, "pads=1/1/1/1"));
    return NODE(t, "Relu", "", NODE(t, "Sum", "", x, y, NODE(t, "Tanh", "", x)));
}
static pare_id twice(net *t, pare_id x)
{
    pare_id w = FLOATS(t, 0.3, 0, C, C, 1, 1);
    return NODE(t, "Add", "",
                NODE(t, "Conv", "", NODE(t, "Tanh", "", NODE(t, "Conv", "", x, w)), w), x);
}

/* Gradients that first share memory behind a sum and must part before one of them changes. */
static pare_id parting(net *t, pare_id x)
{
    pare_id a = NODE(t, "Tanh", "", x), b = NODE(t, "Sigmoid", "", x);
    return NODE(t, "Add", "", a, b);
}
static pare_id parting_sums(net *t, pare_id x)
{
    pare_id a = NODE(t, "Tanh", "", x), b = NODE(t, "Sigmoid", "", x), c = NODE(t, "Exp", "", b);
    return NODE(t, "Concat", "axis=1", NODE(t, "Add", "", a, b), c);
}
static pare_id encoded(net *t, pare_id x)
{
    pare_type type = { PARE_F32, 4, { 8, C, 3, 3 } };
    float a[8 * C * 2], basis[2 * 9], dense[8 * C * 9];
    for (size_t i = 0; i < sizeof a / sizeof *a; i++)
        a[i] = i % 3 ? (float)(0.3 * pare_rng_normal(&t->rng)) : 0;
    for (size_t i = 0; i < sizeof basis / sizeof *basis; i++)
        basis[i] = (float)(0.5 * pare_rng_normal(&t->rng));
    for (size_t i = 0; i < sizeof dense / sizeof *dense; i++)
        dense[i] = i % 4 ? 0 : (float)(0.5 * pare_rng_normal(&t->rng));
    pare_weight penni, bitmap;
    pare_id w, v;
    OK(pare_penni_encode(&type, 2, a, NULL, basis, &penni));
    OK(pare_graph_add_constant(t->g, "penni", penni, &w));
    OK(pare_bitmap_encode(&type, dense, NULL, &bitmap));
    OK(pare_graph_add_constant(t->g, "bitmap", bitmap, &v));
    return NODE(t, "Add", "", NODE(t, "Conv", "", x, w), NODE(t, "Conv", "", x, v));
}

/* --- checking --- */

typedef struct run {
    tparams ps;
    pare_engine *e;
    float *x, *r; /* images; the loss is sum r_i logit_i */
    size_t logits;
} run;

static void run_open(run *u, const pare_graph *g, int threads, bool bf16)
{
    *u = (run){ .ps = { .g = g } };
    OK(pare_engine_new(g, &u->ps, true, BATCH, threads, bf16, &u->e));
    OK(tparams_seal(&u->ps, false));
    size_t in = (size_t)pare_numel(u->e->input_type.rank, u->e->input_type.dim);
    u->logits = u->e->classes * BATCH;
    u->x = malloc(BATCH * in * sizeof *u->x);
    u->r = malloc(u->logits * sizeof *u->r);
    pare_rng rng = pare_rng_stream(77, 0);
    for (size_t i = 0; i < BATCH * in; i++) u->x[i] = (float)pare_rng_normal(&rng);
    for (size_t i = 0; i < u->logits; i++) u->r[i] = (float)pare_rng_normal(&rng);
}

static void run_close(run *u)
{
    pare_engine_free(u->e);
    tparams_free(&u->ps);
    free(u->x);
    free(u->r);
}

/* The size of the terms that the loss below adds up: their rounding is the noise of difference
 * quotients. */
static double magnitude(const run *u)
{
    const float *y = pare_engine_logits(u->e);
    double sum = 0;
    for (size_t i = 0; i < u->logits; i++) sum += pow((double)y[i] * (double)u->r[i], 2);
    return sqrt(sum);
}

static double loss(run *u)
{
    OK(tparams_decode(&u->ps));
    pare_engine_begin(u->e);
    pare_engine_forward(u->e, u->x, BATCH);
    const float *y = pare_engine_logits(u->e);
    double sum = 0;
    for (size_t i = 0; i < u->logits; i++) sum += (double)y[i] * (double)u->r[i];
    return sum;
}

/* Along random directions of every trained array: the difference quotient must be the gradient's
 * component.
 */
static void check(run *u, const char *name, double tolerance)
{
    loss(u);
    double noise = 5e-6 * magnitude(u);
    pare_engine_backward(u->e, u->r);
    OK(tparams_encode_grads(&u->ps));
    assert_true(u->ps.n_slots >= 1);
    pare_rng rng = pare_rng_stream(5, 1);
    for (int s = 0; s < u->ps.n_slots; s++)
        for (int trial = 0; trial < 3; trial++) {
            tslot *t = &u->ps.slot[s];
            float *keep = malloc(t->n * sizeof *keep), *g = malloc(t->n * sizeof *g);
            memcpy(keep, t->w, t->n * sizeof *keep);
            memcpy(g, t->g, t->n * sizeof *g);
            double slope = 0, size = 0, norm2 = 0, eps = 2e-3 / sqrt((double)t->n);
            float *d = malloc(t->n * sizeof *d);
            for (size_t i = 0; i < t->n; i++) {
                d[i] = (float)pare_rng_normal(&rng);
                slope += (double)d[i] * (double)g[i];
                norm2 += (double)g[i] * (double)g[i];
            }
            for (size_t i = 0; i < t->n; i++)
                t->w[i] = (float)((double)keep[i] + eps * (double)d[i]);
            double up = loss(u);
            for (size_t i = 0; i < t->n; i++)
                t->w[i] = (float)((double)keep[i] - eps * (double)d[i]);
            double down = loss(u);
            memcpy(t->w, keep, t->n * sizeof *keep);
            size = sqrt(norm2) + noise / eps + 1e-3;
            double got = (up - down) / (2 * eps);
            if (!(fabs(got - slope) < tolerance * size))
                fail_msg("%s: array %d of %zu numbers, trial %d: difference quotient %.6g, "
                         "gradient %.6g "
                         "(scale %.3g)",
                         name, s, t->n, trial, got, slope, size);
            free(keep);
            free(g);
            free(d);
        }
}

static pare_graph *build(body *of)
{
    net t = { .rng = pare_rng_stream(3, 9) };
    OK(pare_graph_new(&t.g));
    pare_type type = { PARE_F32, 4, { -1, 3, H, W } };
    pare_id x;
    OK(pare_graph_add_input(t.g, "x", &type, &x));
    x = of(&t, conv(&t, x, 3, C, 3, "pads=1/1/1/1"));
    OK(pare_graph_mark_output(t.g, NODE(&t, "Flatten", "", x)));
    return t.g;
}

static const struct {
    const char *name;
    body *of;
    bool kinks; /* where a difference quotient steps over a corner it is off by half the change of
                   slope */
} cases[] = {
#define CASE(f)      \
    {                \
#f, f, false \
    }
#define KINK(f)     \
    {               \
#f, f, true \
    }
    CASE(nothing),     CASE(parting),      CASE(parting_sums), CASE(encoded),
    CASE(conv3),       CASE(conv_stride),  CASE(conv_few),     CASE(conv_group),
    CASE(conv_depth),  CASE(conv_auto),    CASE(conv_1d),      CASE(deconv),
    CASE(gemm),        CASE(gemm_trans),   CASE(matmul),       CASE(norm),
    CASE(norm_flat),   KINK(relu),         KINK(clip),         KINK(leaky),
    KINK(prelu),       CASE(sigmoid),      CASE(tanh_),        KINK(hard),
    KINK(elu),         CASE(exp_sqrt),     CASE(arithmetic),   KINK(squeeze_excite),
    KINK(max_pool),    CASE(average_pool), CASE(average_pad),  CASE(global_pool),
    CASE(reduce_mean), CASE(reduce_last),  CASE(option_a),     CASE(pad_fill),
    CASE(pad_reflect), CASE(concat),       CASE(shuffle),      CASE(shapes),
    CASE(softmax),     CASE(lrn),          CASE(dropout),      KINK(residual),
    CASE(twice),
#undef CASE
#undef KINK
};

static bool can_train(void)
{
    pare_dnn *d;
    if (pare_dnn_new(pare_train_kernels_for(0), 1, &d) != PARE_OK) return false;
    pare_dnn_free(d);
    return true;
}

static void test_gradients(void **state)
{
    (void)state;
    if (!can_train()) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pare_graph *g = build(cases[i].of);
        run u;
        run_open(&u, g, 1, false);
        check(&u, cases[i].name, cases[i].kinks ? 0.1 : 0.02);
        run_close(&u);
        pare_graph_free(g);
    }
}

/* Inference is what the operators themselves say. */
static void test_forward(void **state)
{
    (void)state;
    if (!can_train()) skip();
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pare_graph *g = build(cases[i].of), *bound;
        tparams ps = { .g = g };
        pare_engine *e;
        OK(pare_engine_new(g, &ps, false, 16, 2, false, &e));
        pare_tensor in, out[1] = { 0 };
        OK(pare_tensor_new(PARE_F32, 4, (int64_t[]){ 16, 3, H, W }, &in));
        pare_rng rng = pare_rng_stream(1, 1);
        for (int64_t k = 0; k < pare_tensor_count(&in); k++)
            ((float *)in.data)[k] = (float)pare_rng_normal(&rng);
        pare_engine_begin(e);
        pare_engine_forward(e, in.data, 16);

        OK(pare_graph_clone(g, &bound));
        OK(pare_bind_shapes(bound, 16, NULL, 0));
        OK(pare_infer(bound, false));
        pare_tensor *value = calloc(bound->n_values, sizeof *value);
        for (uint32_t v = 0; v < bound->n_values; v++)
            if (bound->value[v].weight) OK(pare_weight_decode(bound->value[v].weight, &value[v]));
        value[bound->input[0]] = in;
        for (uint32_t n = 0; n < bound->n_nodes; n++) {
            const pare_node *node = &bound->node[n];
            pare_tensor args[PARE_MAX_IN] = { 0 };
            for (uint32_t k = 0; k < node->n_in; k++)
                if (node->in[k] != PARE_NONE) args[k] = value[node->in[k]];
            OK(pare_tensor_of(&bound->value[node->out[0]].type, &out[0]));
            OK(node->op->eval(node, args, out));
            value[node->out[0]] = out[0];
        }
        const float *want = value[bound->output[0]].data, *got = pare_engine_logits(e);
        double most = 0, error = 0;
        for (int64_t k = 0; k < pare_tensor_count(&value[bound->output[0]]); k++) {
            most = fmax(most, fabs((double)want[k]));
            error = fmax(error, fabs((double)want[k] - (double)got[k]));
        }
        if (!(error <= 1e-5 * most))
            fail_msg("%s: outputs differ by %g of %g", cases[i].name, error, most);
        for (uint32_t v = 0; v < bound->n_values; v++) pare_tensor_free(&value[v]);
        free(value);
        pare_graph_free(bound);
        pare_engine_free(e);
        tparams_free(&ps);
        pare_graph_free(g);
    }
}

static void test_threads(void **state)
{
    (void)state;
    if (!can_train()) skip();
    static body *const bodies[] = { residual, squeeze_excite, gemm, conv_depth, dropout };
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++) {
        pare_graph *g = build(bodies[i]);
        run u[3];
        for (int t = 0; t < 3; t++) {
            run_open(&u[t], g, t + 1, false);
            loss(&u[t]);
            pare_engine_backward(u[t].e, u[t].r);
            assert_memory_equal(pare_engine_logits(u[0].e), pare_engine_logits(u[t].e),
                                u[0].logits * sizeof(float));
            for (int s = 0; s < u[0].ps.n_slots; s++)
                assert_memory_equal(u[0].ps.slot[s].g, u[t].ps.slot[s].g,
                                    u[0].ps.slot[s].n * sizeof(float));
            for (int p = 0; p < u[0].ps.n; p++)
                assert_memory_equal(u[0].ps.p[p]->value, u[t].ps.p[p]->value,
                                    (size_t)u[0].ps.p[p]->count * sizeof(float));
        }
        for (int t = 0; t < 3; t++) run_close(&u[t]);
        pare_graph_free(g);
    }
}

/* new = 0.9 old + 0.1 batch, the variance unbiased. */
static void test_running_statistics(void **state)
{
    (void)state;
    if (!can_train()) skip();
    net t = { .rng = pare_rng_stream(3, 9) };
    OK(pare_graph_new(&t.g));
    pare_type type = { PARE_F32, 4, { -1, 3, H, W } };
    pare_id x;
    OK(pare_graph_add_input(t.g, "x", &type, &x));
    pare_id mean = FLOATS(&t, 0.5, 0, 3), var = FLOATS(&t, 0.1, 2, 3);
    x = NODE(&t, "BatchNormalization", "", x, FLOATS(&t, 0, 1, 3), FLOATS(&t, 0, 0, 3), mean, var);
    OK(pare_graph_mark_output(t.g, NODE(&t, "Flatten", "", x)));
    run u;
    run_open(&u, t.g, 2, false);
    loss(&u);
    pare_graph *after;
    OK(pare_graph_clone(t.g, &after));
    OK(tparams_write(&u.ps, after));
    for (int c = 0; c < 3; c++) {
        double sum = 0, dev = 0, n = BATCH * H * W;
        for (int i = 0; i < BATCH; i++)
            for (int p = 0; p < H * W; p++) sum += (double)u.x[(i * 3 + c) * H * W + p];
        for (int i = 0; i < BATCH; i++)
            for (int p = 0; p < H * W; p++)
                dev += pow((double)u.x[(i * 3 + c) * H * W + p] - sum / n, 2);
        double old_mean = pare_tensor_get_f64(&t.g->value[mean].weight->part[0], c);
        double old_var = pare_tensor_get_f64(&t.g->value[var].weight->part[0], c);
        double new_mean = pare_tensor_get_f64(&after->value[mean].weight->part[0], c);
        double new_var = pare_tensor_get_f64(&after->value[var].weight->part[0], c);
        assert_true(fabs(new_mean - (0.9 * old_mean + 0.1 * sum / n)) < 1e-6);
        assert_true(fabs(new_var - (0.9 * old_var + 0.1 * dev / (n - 1))) < 1e-6);
    }
    run_close(&u);
    pare_graph_free(after);
    pare_graph_free(t.g);
}

static void test_refuses(void **state)
{
    (void)state;
    if (!can_train()) skip();
    net t = { .rng = pare_rng_stream(3, 9) };
    OK(pare_graph_new(&t.g));
    pare_type type = { PARE_F32, 4, { -1, 3, H, W } };
    pare_id x;
    OK(pare_graph_add_input(t.g, "x", &type, &x));
    x = NODE(&t, "Ceil", "", conv(&t, x, 3, C, 3, ""));
    OK(pare_graph_mark_output(t.g, NODE(&t, "Flatten", "", x)));
    tparams ps = { .g = t.g };
    pare_engine *e;
    assert_int_equal(pare_engine_new(t.g, &ps, true, 8, 1, false, &e), PARE_EUNSUPPORTED);
    assert_non_null(strstr(pare_error(), "Ceil"));
    tparams_free(&ps);
    pare_graph_free(t.g);
}

static double distance(size_t n, const float *a, const float *b)
{
    double off = 0, size = 1e-30;
    for (size_t i = 0; i < n; i++) {
        off += pow((double)a[i] - (double)b[i], 2);
        size += pow((double)a[i], 2);
    }
    return sqrt(off / size);
}

/* bfloat16 has 8 bits: results and gradients of one or two convolutions are off by some tenths of a
 * per cent, and the same for any number of threads. */
static void test_bf16(void **state)
{
    (void)state;
    if (!can_train() || pare_dnn_bf16() != PARE_OK) skip();
    int differ = 0;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        if (strncmp(cases[i].name, "conv", 4) != 0) continue;
        pare_graph *g = build(cases[i].of);
        run u[3];
        for (int k = 0; k < 3; k++) {
            run_open(&u[k], g, k == 2 ? 2 : 1, k > 0);
            loss(&u[k]);
            pare_engine_backward(u[k].e, u[k].r);
            OK(tparams_encode_grads(&u[k].ps));
        }
        for (int s = -1; s < u[0].ps.n_slots; s++) {
            size_t n = s < 0 ? u[0].logits : u[0].ps.slot[s].n;
            const float *at[3];
            for (int k = 0; k < 3; k++)
                at[k] = s < 0 ? pare_engine_logits(u[k].e) : u[k].ps.slot[s].g;
            double d = distance(n, at[0], at[1]);
            if (!(d < 0.02)) fail_msg("%s: array %d is off by %g in bf16", cases[i].name, s, d);
            differ += d > 1e-5;
            assert_memory_equal(at[1], at[2], n * sizeof(float));
        }
        for (int k = 0; k < 3; k++) run_close(&u[k]);
        pare_graph_free(g);
    }
    assert_true(differ > 10); /* bf16 did run */
}

static void test_to_bf16(void **state)
{
    (void)state;
    const float x[] = { 0,       -0.0f,    1,         1.00390625f, 1.01171875f,
                        3.4e38f, INFINITY, -INFINITY, NAN,         1e-40f };
    const uint16_t want[] = {
        0, 0x8000, 0x3f80, 0x3f80, 0x3f82, 0x7f80, 0x7f80, 0xff80, 0x7fc0, 1
    };
    enum { N = sizeof x / sizeof *x };
    for (unsigned mask = 0; mask <= pare_cpu_detect(); mask++) {
        uint16_t y[N];
        pare_train_kernels_for(mask & pare_cpu_detect())->to_bf16(N, x, y);
        for (int i = 0; i < N; i++) assert_int_equal(y[i], want[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients), cmocka_unit_test(test_forward),
        cmocka_unit_test(test_threads),   cmocka_unit_test(test_running_statistics),
        cmocka_unit_test(test_refuses),   cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_to_bf16),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
