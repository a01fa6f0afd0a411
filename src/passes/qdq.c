/* Quantised networks are stored as DequantizeLinear -> operator -> QuantizeLinear: float32 on
 * paper, 8-bit integers in meaning. For a plan this pass writes the meaning down:
 *
 *   1. Operators that only move or compare numbers (Reshape, MaxPool, Concat, ...) change places
 *      with the DequantizeLinear in front, and QuantizeLinear then undoes DequantizeLinear. Exact.
 *   2. Conv, Gemm and MatMul with constant weights become QLinearConv; where no QuantizeLinear
 *      follows, ConvInteger and its scale. Add becomes QLinearAdd, GlobalAveragePool
 *      QLinearGlobalAveragePool (ops/qlinear.c). Relu and Clip in between become bounds.
 *
 * Step 2 computes sums exactly and rounds once, by the definition of QLinearConv, where float32
 * rounds every product's sum: a result at the border of two integers can come out as the other.
 * Biases become integers in steps of input scale times weight scale, as stored ones are, where
 * these steps are fine enough. */
#include "passes/qdq.h"

#include "ops/attr.h"
#include "ops/qlinear.h"
#include "ops/quant.h"

#include <float.h>
#include <math.h>
#include <stdlib.h>

/* Of an output's step: how far a bias may be off when it is a whole number of the sums' steps. */
#define BIAS_ERROR 0.25

/* A tensor of bytes and what they mean. */
typedef struct quant {
    pare_id x;
    pare_dtype dtype;
    float scale;
    int32_t zero;
} quant;

typedef struct rewrite {
    pare_graph *g;
    pare_uses uses;
    uint32_t n_values, n_nodes; /* when `uses` was made */
} rewrite;

static const pare_tensor *constant(const pare_graph *g, const pare_node *n, uint32_t slot)
{
    const pare_weight *w = pare_node_weight(g, n, slot);
    return w && !w->codec ? &w->part[0] : NULL;
}

static bool absent(const pare_node *n, uint32_t slot)
{
    return slot >= n->n_in || n->in[slot] == PARE_NONE;
}

static bool is(const pare_node *n, const char *op) { return n->op && strcmp(n->op->name, op) == 0; }

static const pare_node *producer(const pare_graph *g, pare_id v)
{
    return v == PARE_NONE || g->value[v].producer == PARE_NONE ? NULL
                                                               : &g->node[g->value[v].producer];
}

/* Scale and zero point of a QuantizeLinear or DequantizeLinear for whole tensors of bytes. */
static bool parameters(const pare_graph *g, const pare_node *n, pare_dtype dtype, quant *q)
{
    const pare_tensor *scale = constant(g, n, 1), *zero = constant(g, n, 2);
    if ((dtype != PARE_U8 && dtype != PARE_I8) || !scale || scale->dtype != PARE_F32 ||
        pare_tensor_count(scale) != 1 || (!absent(n, 2) && !zero))
        return false;
    q->dtype = dtype;
    q->scale = *(const float *)scale->data;
    q->zero = zero ? (int32_t)pare_tensor_get_i64(zero, 0) : 0;
    return q->scale > 0 && q->scale <= FLT_MAX / 255; /* so that no byte becomes infinite */
}

static bool same(const quant *a, const quant *b)
{
    return a->dtype == b->dtype && a->scale == b->scale && a->zero == b->zero;
}

/* Is v a computed tensor of bytes, dequantised? */
static bool dequantised(const pare_graph *g, pare_id v, quant *q)
{
    const pare_node *n = producer(g, v);
    if (!n || !is(n, "DequantizeLinear") || g->value[n->in[0]].weight) return false;
    q->x = n->in[0];
    return parameters(g, n, g->value[q->x].type.dtype, q);
}

/* --- building --- */

static pare_status add_value(pare_graph *g, const char *name, pare_type type, pare_id *out)
{
    return pare_graph_add_value(g, pare_graph_unique(g, name), &type, out);
}

static pare_status add_constant(pare_graph *g, pare_tensor t, pare_id *out)
{
    return pare_graph_add_constant(g, pare_graph_unique(g, "qdq"), pare_weight_dense(t), out);
}

static pare_status add_scale(pare_graph *g, float x, pare_id *out)
{
    pare_tensor t;
    PARE_TRY(pare_tensor_new(PARE_F32, 0, NULL, &t));
    *(float *)t.data = x;
    return add_constant(g, t, out);
}

static pare_status add_zero(pare_graph *g, pare_dtype dtype, int32_t x, pare_id *out)
{
    pare_tensor t;
    PARE_TRY(pare_tensor_new(dtype, 0, NULL, &t));
    *(uint8_t *)t.data = (uint8_t)x;
    return add_constant(g, t, out);
}

/* in[at], in[at + 1]: scale and zero point of q. */
static pare_status add_parameters(pare_graph *g, const quant *q, pare_id *in)
{
    PARE_TRY(add_scale(g, q->scale, &in[0]));
    return add_zero(g, q->dtype, q->zero, &in[1]);
}

/* A node that gives `out`, with default attributes unless `attrs` are given. */
static pare_status add_node(pare_graph *g, const pare_op *op, const char *name, const void *attrs,
                            uint32_t n_in, const pare_id *in, pare_id out)
{
    void *a = NULL;
    if (op->attrs_size && !attrs) {
        a = pare_arena_alloc(g->arena, op->attrs_size);
        if (!a) return pare_fail(PARE_ENOMEM, "no memory for a node");
        pare_fields_default(op->attrs, a);
    }
    return pare_graph_add_node(g, op, name, attrs ? attrs : a, op->attrs_size, n_in, in, 1, &out,
                               NULL);
}

static pare_status add_reshape(pare_graph *g, const char *name, pare_id x, const pare_type *to,
                               pare_id out)
{
    pare_tensor shape;
    pare_id in[2] = { x };
    PARE_TRY(pare_tensor_i64(to->dim, 1, to->rank, &shape));
    PARE_TRY(add_constant(g, shape, &in[1]));
    return add_node(g, pare_op_find("Reshape"), name, NULL, 2, in, out);
}

/* --- 1: what commutes with DequantizeLinear --- */

/* A dilated window may miss the input altogether, and its maximum is then the least number of the
 * type: another one for bytes than for reals. */
static bool dilated(const pare_node *n)
{
    const pare_ints *d = pare_attr(n, "dilations", PARE_FIELD_INTS);
    for (size_t i = 0; d && i < d->n; i++)
        if (d->v[i] != 1) return true;
    return false;
}

static bool moves(const pare_node *n)
{
    static const char *const names[] = { "Reshape",   "Flatten",      "Squeeze", "Unsqueeze",
                                         "Transpose", "MaxPool",      "Concat",  "Identity",
                                         "Slice",     "DepthToSpace", NULL };
    for (const char *const *s = names; *s; s++)
        if (is(n, *s)) return n->n_out == 1 && n->out[0] != PARE_NONE && !dilated(n);
    return false;
}

/* Moves the DequantizeLinear in front of node i behind it. */
static pare_status sink(pare_graph *g, uint32_t i)
{
    quant q = { 0 }, other;
    const pare_node *n = &g->node[i];
    uint32_t data = is(n, "Concat") ? n->n_in : 1;
    if (!moves(n) || n->n_in > PARE_MAX_IN) return PARE_OK;
    pare_id in[PARE_MAX_IN], y = n->out[0], bytes, back[3];
    memcpy(in, n->in, n->n_in * sizeof *in);
    for (uint32_t k = 0; k < data; k++) {
        if (!dequantised(g, in[k], &other) || (k > 0 && !same(&q, &other))) return PARE_OK;
        q = other;
        in[k] = q.x;
    }
    pare_type t = g->value[y].type;
    t.dtype = q.dtype;
    PARE_TRY(add_value(g, g->value[y].name, t, &bytes));
    pare_node was = g->node[i];
    pare_graph_remove(g, i);
    PARE_TRY(add_node(g, was.op, was.name, was.attrs, was.n_in, in, bytes));
    back[0] = bytes;
    PARE_TRY(add_parameters(g, &q, back + 1));
    return add_node(g, pare_op_find("DequantizeLinear"), "", NULL, 3, back, y);
}

/* QuantizeLinear of what was dequantised alike gives the bytes themselves. */
static pare_status undo(pare_graph *g, uint32_t i)
{
    const pare_node *n = &g->node[i];
    quant from, to;
    if (!is(n, "QuantizeLinear") || !dequantised(g, n->in[0], &from) ||
        !parameters(g, n, g->value[n->out[0]].type.dtype, &to) || !same(&from, &to))
        return PARE_OK;
    pare_id y = n->out[0];
    if (g->value[y].is_output &&
        (g->value[from.x].producer == PARE_NONE || g->value[from.x].is_output))
        return PARE_OK;
    PARE_TRY(pare_graph_replace(g, y, from.x));
    pare_graph_remove(g, i);
    return PARE_OK;
}

/* --- 2: arithmetic --- */

/* What follows an operator: [Relu or Clip, up to two ->] QuantizeLinear. */
typedef struct tail {
    quant y; /* x: what the QuantizeLinear gave */
    uint32_t node[3];
    int n;          /* nodes, the QuantizeLinear last */
    int32_t lo, hi; /* bounds of the bytes that the activation sets */
} tail;

static const pare_node *only_reader(const rewrite *r, pare_id v, uint32_t *at)
{
    const pare_graph *g = r->g;
    if (v >= r->n_values || g->value[v].is_output || pare_use_count(&r->uses, v) != 1) return NULL;
    *at = r->uses.reader[r->uses.start[v]];
    return g->node[*at].op ? &g->node[*at] : NULL;
}

/* The byte that number x becomes. */
static int32_t byte_of(const quant *q, float x)
{
    return (int32_t)pare_saturate(q->dtype, x / q->scale, (double)q->zero);
}

static bool find_tail(const rewrite *r, pare_id v, tail *t)
{
    const pare_graph *g = r->g;
    float lo = -INFINITY, hi = INFINITY;
    *t = (tail){ .n = 0 };
    const pare_node *n = only_reader(r, v, &t->node[t->n]);
    while (n && t->n < 2 && (is(n, "Relu") || is(n, "Clip"))) {
        float least = 0, most = INFINITY;
        if (is(n, "Clip") &&
            (!pare_input_real(g, n, 1, -INFINITY, &least) ||
             !pare_input_real(g, n, 2, INFINITY, &most) || !(least <= most))) /* NaN neither */
            return false;
        lo = fminf(fmaxf(lo, least), most);
        hi = fminf(fmaxf(hi, least), most);
        v = n->out[0];
        n = only_reader(r, v, &t->node[++t->n]);
    }
    if (!n || !is(n, "QuantizeLinear") || n->in[0] != v) return false;
    t->n++;
    t->y.x = n->out[0];
    if (!parameters(g, n, g->value[t->y.x].type.dtype, &t->y)) return false;
    t->lo = byte_of(&t->y, lo);
    t->hi = byte_of(&t->y, hi);
    return true;
}

/* Removes the tail's nodes; *out becomes the value that the new operator must give. Bounds inside
 * the type's are set by a Clip of bytes. */
static pare_status take_tail(rewrite *r, const tail *t, pare_id *out)
{
    pare_graph *g = r->g;
    for (int i = 0; i < t->n; i++) pare_graph_remove(g, t->node[i]);
    *out = t->y.x;
    int32_t least = t->y.dtype == PARE_I8 ? -128 : 0, most = least + 255;
    if (t->lo <= least && t->hi >= most) return PARE_OK;
    pare_id in[3];
    PARE_TRY(add_value(g, g->value[t->y.x].name, g->value[t->y.x].type, &in[0]));
    PARE_TRY(add_zero(g, t->y.dtype, t->lo, &in[1]));
    PARE_TRY(add_zero(g, t->y.dtype, t->hi, &in[2]));
    PARE_TRY(add_node(g, pare_op_find("Clip"), "", NULL, 3, in, t->y.x));
    *out = in[0];
    return PARE_OK;
}

/* A convolution or product, as QLinearConv wants it. Tensors are owned by this until they are
 * constants of the graph. */
typedef struct product {
    quant x;
    pare_tensor w, w_scale, w_zero, bias; /* bias: int32 for bytes, else float32; no data: none */
    int64_t kernels;
} product;

static void drop(product *p)
{
    pare_tensor_free(&p->w);
    pare_tensor_free(&p->w_scale);
    pare_tensor_free(&p->w_zero);
    pare_tensor_free(&p->bias);
}

/* Weight slot `slot` of n: a constant of bytes, dequantised with one scale or one for each index
 * of `axis`. */
static bool weight(const pare_graph *g, const pare_node *n, uint32_t slot, int axis, product *p)
{
    const pare_node *dq = absent(n, slot) ? NULL : producer(g, n->in[slot]);
    if (!dq || !is(dq, "DequantizeLinear") || pare_attr_int(dq, "block_size", 0) != 0) return false;
    const pare_tensor *w = constant(g, dq, 0), *scale = constant(g, dq, 1),
                      *zero = constant(g, dq, 2);
    if (!w || (w->dtype != PARE_U8 && w->dtype != PARE_I8) || !scale || scale->dtype != PARE_F32 ||
        (!absent(dq, 2) && !zero))
        return false;
    int64_t count = pare_tensor_count(scale), at = pare_attr_int(dq, "axis", 1);
    if (at < 0) at += w->rank;
    p->kernels = w->dim[axis];
    if (count != 1 && (at != axis || count != p->kernels)) return false;
    for (int64_t i = 0; i < count; i++) {
        float s = ((const float *)scale->data)[i];
        if (!isfinite(s) || !(s > 0)) return false;
    }
    p->w = pare_tensor_ref(w);
    p->w_scale = pare_tensor_ref(scale);
    if (zero) p->w_zero = pare_tensor_ref(zero);
    return true;
}

static double scale_of(const product *p, int64_t m)
{
    int64_t i = pare_tensor_count(&p->w_scale) == 1 ? 0 : m;
    return (double)((const float *)p->w_scale.data)[i] * (double)p->x.scale;
}

/* Makes p->bias from slot `slot` of n: float32, or int32 dequantised. For bytes in steps of `step`
 * it becomes int32, in steps of the sums; with step 0 it is float32. *fits false: it is neither, no
 * int32, rounded by a part of an output's step that matters, or not a number for each kernel (Gemm
 * may have one for each row). */
static pare_status make_bias(const pare_graph *g, const pare_node *n, uint32_t slot, double step,
                             product *p, bool *fits)
{
    *fits = true;
    if (absent(n, slot)) return PARE_OK;
    const pare_node *dq = producer(g, n->in[slot]);
    bool stored = dq && is(dq, "DequantizeLinear");
    const pare_tensor *b = stored ? constant(g, dq, 0) : constant(g, n, slot);
    const pare_tensor *scale = stored ? constant(g, dq, 1) : NULL;
    const pare_tensor *zero = stored ? constant(g, dq, 2) : NULL;
    int64_t count = b ? pare_tensor_count(b) : 0, scales = scale ? pare_tensor_count(scale) : 0;
    *fits = b && b->dtype == (stored ? PARE_I32 : PARE_F32) &&
            ((!stored && count == 1) ||
             (count == p->kernels && (count == 1 || b->dim[b->rank - 1] == count))) &&
            (!stored || (scale && scale->dtype == PARE_F32 && (!absent(dq, 2) == (zero != NULL)) &&
                         (scales == 1 || scales == count)));
    if (!*fits) return PARE_OK;
    PARE_TRY(pare_tensor_new(step > 0 ? PARE_I32 : PARE_F32, 1, &p->kernels, &p->bias));
    for (int64_t m = 0; m < p->kernels; m++) {
        double unit = scale_of(p, m), real = pare_tensor_get_f64(b, count == 1 ? 0 : m), s = 1;
        double number = real;
        if (stored) {
            if (zero) number -= pare_tensor_get_f64(zero, pare_tensor_count(zero) == 1 ? 0 : m);
            s = (double)((const float *)scale->data)[scales == 1 ? 0 : m];
            real = number * s;
        }
        if (step == 0) {
            ((float *)p->bias.data)[m] = (float)real;
            continue;
        }
        /* A scale that differs by float32's rounding is the one of the sums. */
        bool as_stored = stored && fabs(s / unit - 1) <= 1e-6;
        if (!as_stored) number = rint(real / unit);
        if (!(fabs(number) < 2147483647) ||
            (!as_stored && !(fabs(number * unit - real) <= step * BIAS_ERROR)))
            *fits = false;
        ((int32_t *)p->bias.data)[m] = *fits ? (int32_t)number : 0;
    }
    return PARE_OK;
}

/* The weight as [kernels][k][1][1]; `columns`: it is stored [k][kernels]. */
static pare_status as_kernels(product *p, bool columns)
{
    int64_t k = pare_tensor_count(&p->w) / p->kernels, dim[4] = { p->kernels, k, 1, 1 };
    pare_tensor to;
    PARE_TRY(pare_tensor_new(p->w.dtype, 4, dim, &to));
    const uint8_t *from = p->w.data;
    uint8_t *w = to.data;
    for (int64_t m = 0; m < p->kernels; m++)
        for (int64_t i = 0; i < k; i++)
            w[m * k + i] = columns ? from[i * p->kernels + m] : from[m * k + i];
    pare_tensor_free(&p->w);
    p->w = to;
    return PARE_OK;
}

static pare_status add_weight(pare_graph *g, product *p, pare_id *w, pare_id *scale, pare_id *zero)
{
    pare_tensor t;
    if (!p->w_zero.data) {
        pare_type type = pare_tensor_type(&p->w_scale);
        type.dtype = p->w.dtype;
        PARE_TRY(pare_tensor_of(&type, &p->w_zero));
    }
    t = p->w, p->w = (pare_tensor){ 0 };
    PARE_TRY(add_constant(g, t, w));
    t = p->w_zero, p->w_zero = (pare_tensor){ 0 };
    PARE_TRY(add_constant(g, t, zero));
    if (!scale) return PARE_OK;
    t = p->w_scale, p->w_scale = (pare_tensor){ 0 };
    return add_constant(g, t, scale);
}

/* x times weight to bytes: node `was` (Conv; otherwise the pixels of x are rows) gives `out`. */
static pare_status add_qlinear(pare_graph *g, const pare_node *was, product *p, const quant *y,
                               pare_id x, pare_id out)
{
    pare_id in[9] = { x };
    uint32_t n_in = 8;
    PARE_TRY(add_parameters(g, &p->x, in + 1));
    PARE_TRY(add_weight(g, p, &in[3], &in[4], &in[5]));
    PARE_TRY(add_parameters(g, y, in + 6));
    if (p->bias.data) {
        pare_tensor b = p->bias;
        p->bias = (pare_tensor){ 0 };
        PARE_TRY(add_constant(g, b, &in[n_in++]));
    }
    return add_node(g, pare_op_find("QLinearConv"), was->name, is(was, "Conv") ? was->attrs : NULL,
                    n_in, in, out);
}

/* The same to float32: sums, then one factor for each channel, then the bias. */
static pare_status add_integer(pare_graph *g, const pare_node *was, product *p, pare_id x,
                               pare_type type, pare_id out)
{
    pare_id in[4] = { x }, sum, real, scaled, factor;
    int64_t dim[4] = { 1, p->kernels, 1, 1 };
    pare_tensor scale, bias;
    pare_type sums = type;
    sums.dtype = PARE_I32;
    PARE_TRY(add_zero(g, p->x.dtype, p->x.zero, &in[2]));
    PARE_TRY(pare_tensor_new(PARE_F32, 4, dim, &scale));
    for (int64_t m = 0; m < p->kernels; m++) ((float *)scale.data)[m] = (float)scale_of(p, m);
    PARE_TRY(add_constant(g, scale, &factor));
    PARE_TRY(add_weight(g, p, &in[1], NULL, &in[3]));
    PARE_TRY(add_value(g, was->name, sums, &sum));
    PARE_TRY(add_node(g, pare_op_find("ConvInteger"), was->name,
                      is(was, "Conv") ? was->attrs : NULL, 4, in, sum));
    PARE_TRY(add_value(g, was->name, type, &real));
    const pare_op *cast = pare_op_find("Cast");
    void *to = pare_arena_alloc(g->arena, cast->attrs_size);
    if (!to) return pare_fail(PARE_ENOMEM, "no memory for a node");
    pare_fields_default(cast->attrs, to);
    PARE_TRY(pare_fields_parse(cast->attrs, "Cast", "to=1", g->arena, to));
    PARE_TRY(add_node(g, cast, "", to, 1, &sum, real));
    pare_id pair[2] = { real, factor };
    bool has_bias = p->bias.data;
    scaled = out;
    if (has_bias) PARE_TRY(add_value(g, was->name, type, &scaled));
    PARE_TRY(add_node(g, pare_op_find("Mul"), "", NULL, 2, pair, scaled));
    if (!has_bias) return PARE_OK;
    bias = p->bias, p->bias = (pare_tensor){ 0 };
    bias.rank = 4;
    memcpy(bias.dim, dim, sizeof dim);
    pair[0] = scaled;
    PARE_TRY(add_constant(g, bias, &pair[1]));
    return add_node(g, pare_op_find("Add"), "", NULL, 2, pair, out);
}

/* Puts the product in node i's place; `t` follows it (NULL: floats do). */
static pare_status replace_product(rewrite *r, uint32_t i, const tail *t, product *p)
{
    pare_graph *g = r->g;
    const pare_node was = g->node[i];
    pare_id y = was.out[0], x = p->x.x;
    pare_type type = g->value[y].type;
    bool conv = is(&was, "Conv");
    pare_type rows = { .dtype = t ? t->y.dtype : type.dtype, .rank = 4 };
    for (int d = 0; d < 4; d++) rows.dim[d] = conv ? type.dim[d] : 1;
    if (!conv) {
        pare_type in = { .dtype = p->x.dtype, .rank = 4, .dim = { 1, p->w.dim[1], 1, 1 } };
        in.dim[0] = pare_numel(type.rank, type.dim) / p->kernels;
        rows.dim[0] = in.dim[0];
        rows.dim[1] = p->kernels;
        PARE_TRY(add_value(g, g->value[x].name, in, &x));
        PARE_TRY(add_reshape(g, "", p->x.x, &in, x));
    }
    pare_graph_remove(g, i);
    pare_id out = y, whole;
    if (t) PARE_TRY(take_tail(r, t, &out));
    whole = out;
    if (!conv) PARE_TRY(add_value(g, was.name, rows, &out));
    PARE_TRY(t ? add_qlinear(g, &was, p, &t->y, x, out) : add_integer(g, &was, p, x, rows, out));
    return conv ? PARE_OK : add_reshape(g, "", out, &type, whole);
}

/* Conv, Gemm, MatMul. */
static pare_status multiply(rewrite *r, uint32_t i)
{
    const pare_graph *g = r->g;
    const pare_node *n = &g->node[i];
    bool conv = is(n, "Conv"), gemm = is(n, "Gemm"), columns = false, fits = false;
    product p = { .kernels = 0 };
    const pare_type *y = &g->value[n->out[0]].type;
    if ((!conv && !gemm && !is(n, "MatMul")) || !dequantised(g, n->in[0], &p.x)) return PARE_OK;
    const pare_type *x = &g->value[p.x.x].type;
    if (pare_numel(y->rank, y->dim) < 1 || pare_numel(x->rank, x->dim) < 1) return PARE_OK;
    if (gemm) {
        if (pare_attr_real(n, "alpha", 1) != 1 || pare_attr_int(n, "transA", 0) != 0 ||
            (!absent(n, 2) && pare_attr_real(n, "beta", 1) != 1))
            return PARE_OK;
        columns = pare_attr_int(n, "transB", 0) == 0;
    } else if (!conv)
        columns = true;
    if ((conv && x->rank != 4) || x->rank < 2) return PARE_OK;
    tail t;
    bool plane = conv && y->dim[2] * y->dim[3] > 1, bytes = find_tail(r, n->out[0], &t);
    if (plane && !bytes) return PARE_OK; /* int32 maps would not pay */
    if (!weight(g, n, 1, columns ? 1 : 0, &p)) return PARE_OK;
    pare_status st = PARE_OK;
    if (conv || p.w.rank == 2)
        st = make_bias(g, n, conv || gemm ? 2 : 99, bytes ? (double)t.y.scale : 0, &p, &fits);
    if (st == PARE_OK && fits && !conv) st = as_kernels(&p, columns);
    if (st == PARE_OK && fits) st = replace_product(r, i, bytes ? &t : NULL, &p);
    drop(&p);
    return st;
}

static pare_status add_up(rewrite *r, uint32_t i)
{
    pare_graph *g = r->g;
    const pare_node was = g->node[i];
    quant a, b;
    tail t;
    if ((!is(&was, "Add") && !is(&was, "Sum")) || was.n_in != 2 || !dequantised(g, was.in[0], &a) ||
        !dequantised(g, was.in[1], &b) ||
        !pare_same_shape(&g->value[a.x].type, &g->value[b.x].type) || !find_tail(r, was.out[0], &t))
        return PARE_OK;
    pare_id in[8] = { [0] = a.x, [3] = b.x }, out;
    PARE_TRY(add_parameters(g, &a, in + 1));
    PARE_TRY(add_parameters(g, &b, in + 4));
    PARE_TRY(add_parameters(g, &t.y, in + 6));
    pare_graph_remove(g, i);
    PARE_TRY(take_tail(r, &t, &out));
    return add_node(g, &pare_op_qlinear_add, was.name, NULL, 8, in, out);
}

static pare_status average(rewrite *r, uint32_t i)
{
    pare_graph *g = r->g;
    const pare_node was = g->node[i];
    quant x;
    tail t;
    if (!is(&was, "GlobalAveragePool") || !dequantised(g, was.in[0], &x) ||
        !find_tail(r, was.out[0], &t))
        return PARE_OK;
    pare_id in[5] = { x.x }, out;
    PARE_TRY(add_parameters(g, &x, in + 1));
    PARE_TRY(add_parameters(g, &t.y, in + 3));
    pare_graph_remove(g, i);
    PARE_TRY(take_tail(r, &t, &out));
    return add_node(g, &pare_op_qlinear_global_average_pool, was.name, NULL, 5, in, out);
}

/* Calls `step` for every node there is now, in order. */
typedef pare_status step_fn(pare_graph *g, uint32_t i);
static pare_status each(pare_graph *g, step_fn *step)
{
    for (uint32_t i = 0, n = g->n_nodes; i < n; i++)
        if (g->node[i].op) PARE_TRY(step(g, i));
    return pare_graph_sort(g);
}

typedef pare_status match_fn(rewrite *r, uint32_t i);
static pare_status all(pare_graph *g, match_fn *match)
{
    rewrite r = { .g = g, .n_values = g->n_values, .n_nodes = g->n_nodes };
    PARE_TRY(pare_graph_uses(g, &r.uses));
    pare_status st = PARE_OK;
    for (uint32_t i = 0; st == PARE_OK && i < r.n_nodes; i++)
        if (g->node[i].op && g->node[i].n_in > 0 && g->node[i].in[0] != PARE_NONE)
            st = match(&r, i);
    pare_uses_free(&r.uses);
    return st == PARE_OK ? pare_graph_sort(g) : st;
}

pare_status pare_qdq(pare_graph *g)
{
    bool any = false;
    for (uint32_t i = 0; i < g->n_nodes; i++) any |= is(&g->node[i], "DequantizeLinear");
    if (!any) return PARE_OK;
    PARE_TRY(each(g, sink));
    PARE_TRY(each(g, undo));
    PARE_TRY(all(g, multiply));
    PARE_TRY(all(g, add_up));
    return all(g, average);
}
