/* Element by element: activations, sums, products, dropout; and Softmax inside a network. */
#include "base/rng.h"
#include "train/fronts.h"

#include <math.h>
#include <string.h>

/* --- activations --- */

typedef struct act {
    pare_act_kind kind;
    float a, b;
} act;

/* May it, or its slope, be infinite where x is not? */
static bool unbounded(pare_act_kind kind) { return kind == PARE_FN_EXP || kind == PARE_FN_SQRT; }

static void act_forward(const tcall *c)
{
    const act *v = c->s->state;
    c->e->k->act(v->kind, c->n * c->e->value[c->s->out].size, v->a, v->b, c->x[0], c->y);
    if (unbounded(v->kind)) tape_clear_padding(&c->e->value[c->s->out], c->n, c->y);
}

static void act_backward(const tcall *c)
{
    const act *v = c->s->state;
    if (c->dx[0])
        c->e->k->act_back(v->kind, c->n * c->e->value[c->s->out].size, v->a, v->b, c->x[0], c->y,
                          c->dy, c->dx[0]);
    if (unbounded(v->kind)) tape_clear_padding(&c->e->value[c->s->out], c->n, c->dx[0]);
}

static const tape_op act_from_x = {
    .name = "activation",
    .cheap = true,
    .needs_x = true,
    .in_place = true,
    .forward = act_forward,
    .backward = act_backward,
};

static const tape_op act_from_y = {
    .name = "activation",
    .cheap = true,
    .needs_y = true,
    .in_place = true,
    .forward = act_forward,
    .backward = act_backward,
};

static pare_status add_act(tbuilder *b, const pare_node *n, pare_act_kind kind, double p, double q)
{
    int x, y;
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_ANY, &x));
    PARE_TRY(tape_value(b, n->out[0], b->e->value[x].lanes, &y));
    PARE_TRY(tape_step(b, pare_act_from_y(kind) ? &act_from_y : &act_from_x, n, 1, &x, y,
                       sizeof(act), &t));
    *(act *)t->state = (act){ kind, (float)p, (float)q };
    return PARE_OK;
}

pare_status tape_relu(tbuilder *b, const pare_node *n) { return add_act(b, n, PARE_FN_RELU, 0, 0); }
pare_status tape_sigmoid(tbuilder *b, const pare_node *n)
{
    return add_act(b, n, PARE_FN_SIGMOID, 0, 0);
}
pare_status tape_tanh(tbuilder *b, const pare_node *n) { return add_act(b, n, PARE_FN_TANH, 0, 0); }
pare_status tape_hard_swish(tbuilder *b, const pare_node *n)
{
    return add_act(b, n, PARE_FN_HSWISH, 0, 0);
}
pare_status tape_exp(tbuilder *b, const pare_node *n) { return add_act(b, n, PARE_FN_EXP, 0, 0); }
pare_status tape_sqrt(tbuilder *b, const pare_node *n) { return add_act(b, n, PARE_FN_SQRT, 0, 0); }
pare_status tape_neg(tbuilder *b, const pare_node *n) { return add_act(b, n, PARE_FN_NEG, 0, 0); }

pare_status tape_elu(tbuilder *b, const pare_node *n)
{
    return add_act(b, n, PARE_FN_ELU, pare_attr_real(n, "alpha", 1), 0);
}

pare_status tape_leaky_relu(tbuilder *b, const pare_node *n)
{
    return add_act(b, n, PARE_FN_LEAKY, pare_attr_real(n, "alpha", 0.01), 0);
}

pare_status tape_hard_sigmoid(tbuilder *b, const pare_node *n)
{
    return add_act(b, n, PARE_FN_HSIGMOID, pare_attr_real(n, "alpha", 0.2),
                   pare_attr_real(n, "beta", 0.5));
}

pare_status tape_clip(tbuilder *b, const pare_node *n)
{
    double limit[2] = { -INFINITY, INFINITY };
    for (uint32_t i = 0; i < 2; i++) {
        if (tape_absent(n, 1 + i)) continue;
        if (!tape_const(b, n, 1 + i)) return tape_unsupported(n, "its limits are computed");
        const pare_weight *w = b->g->value[n->in[1 + i]].weight;
        if (w->codec || pare_tensor_count(&w->part[0]) != 1)
            return tape_unsupported(n, "its limits are not single numbers");
        limit[i] = pare_tensor_get_f64(&w->part[0], 0);
    }
    return add_act(b, n, PARE_FN_CLIP, limit[0], limit[1]);
}

/* --- two operands --- */

/* Both operands have the layout and size of the result; smaller ones were spread by a step of their
 * own. */
static void add_forward(const tcall *c)
{
    c->e->k->add(c->n * c->e->value[c->s->out].size, c->x[0], c->x[1], c->y);
}
static void sub_forward(const tcall *c)
{
    c->e->k->sub(c->n * c->e->value[c->s->out].size, c->x[0], c->x[1], c->y);
}
static void mul_forward(const tcall *c)
{
    c->e->k->mul(c->n * c->e->value[c->s->out].size, c->x[0], c->x[1], c->y);
}
static void div_forward(const tcall *c)
{
    c->e->k->div(c->n * c->e->value[c->s->out].size, c->x[0], c->x[1], c->y);
    tape_clear_padding(&c->e->value[c->s->out], c->n, c->y);
}

static void sub_backward(const tcall *c)
{
    size_t n = c->n * c->e->value[c->s->out].size;
    if (c->dx[0]) memcpy(c->dx[0], c->dy, n * sizeof(float));
    if (c->dx[1]) c->e->k->act(PARE_FN_NEG, n, 0, 0, c->dy, c->dx[1]);
}

static void mul_backward(const tcall *c)
{
    size_t n = c->n * c->e->value[c->s->out].size;
    if (c->dx[0]) c->e->k->mul(n, c->dy, c->x[1], c->dx[0]);
    if (c->dx[1]) c->e->k->mul(n, c->dy, c->x[0], c->dx[1]);
}

static void div_backward(const tcall *c)
{
    size_t n = c->n * c->e->value[c->s->out].size;
    if (c->dx[0]) c->e->k->div(n, c->dy, c->x[1], c->dx[0]);
    for (size_t i = 0; c->dx[1] && i < n; i++)
        c->dx[1][i] = -c->dy[i] * c->x[0][i] / (c->x[1][i] * c->x[1][i]);
    for (int i = 0; i < 2; i++) tape_clear_padding(&c->e->value[c->s->out], c->n, c->dx[i]);
}

static void prelu_forward(const tcall *c)
{
    for (size_t i = 0, n = c->n * c->e->value[c->s->out].size; i < n; i++)
        c->y[i] = c->x[0][i] < 0 ? c->x[1][i] * c->x[0][i] : c->x[0][i];
}

static void prelu_backward(const tcall *c)
{
    size_t n = c->n * c->e->value[c->s->out].size;
    for (size_t i = 0; c->dx[0] && i < n; i++)
        c->dx[0][i] = c->x[0][i] < 0 ? c->x[1][i] * c->dy[i] : c->dy[i];
    for (size_t i = 0; c->dx[1] && i < n; i++)
        c->dx[1][i] = c->x[0][i] < 0 ? c->x[0][i] * c->dy[i] : 0;
}

static const tape_op add_op = {
    .name = "sum", .cheap = true, .pass = true, .forward = add_forward
};
static const tape_op sub_op = {
    .name = "difference", .cheap = true, .forward = sub_forward, .backward = sub_backward
};
static const tape_op mul_op = { .name = "product of elements",
                                .cheap = true,
                                .needs_x = true,
                                .forward = mul_forward,
                                .backward = mul_backward };
static const tape_op div_op = { .name = "quotient",
                                .cheap = true,
                                .needs_x = true,
                                .forward = div_forward,
                                .backward = div_backward };
static const tape_op prelu_op = { .name = "PRelu",
                                  .cheap = true,
                                  .needs_x = true,
                                  .forward = prelu_forward,
                                  .backward = prelu_backward };

/* Copies of a smaller operand wherever broadcasting puts them. */
typedef struct spread {
    int32_t *from; /* for every float of the result; -1: padding */
    size_t in;
} spread;

static void spread_forward(const tcall *c)
{
    const spread *v = c->s->state;
    size_t out = c->e->value[c->s->out].size;
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < out; k++)
            c->y[i * out + k] = v->from[k] < 0 ? 0 : c->x[0][i * v->in + (size_t)v->from[k]];
}

static void spread_backward(const tcall *c)
{
    const spread *v = c->s->state;
    size_t out = c->e->value[c->s->out].size;
    if (!c->dx[0]) return;
    memset(c->dx[0], 0, c->n * v->in * sizeof(float));
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < out; k++)
            if (v->from[k] >= 0) c->dx[0][i * v->in + (size_t)v->from[k]] += c->dy[i * out + k];
}

static const tape_op spread_op = {
    .name = "broadcast", .cheap = true, .forward = spread_forward, .backward = spread_backward
};

/* Operand `id` as a value of the type of `like` and the given lanes. */
static pare_status operand(tbuilder *b, pare_id id, pare_id like, size_t lanes, int *out)
{
    const pare_type *in = &b->g->value[id].type, *to = &b->g->value[like].type;
    if (pare_same_shape(in, to))
        return tape_want(b, id, lanes > 1 ? TAPE_BLOCKED : TAPE_PLAIN, out);
    int x, plain = b->plain[like], blocked = b->blocked[like];
    tstep *t;
    PARE_TRY(tape_want(b, id, TAPE_ANY, &x));
    PARE_TRY(tape_value(b, like, lanes, out));
    b->plain[like] = plain; /* this is not that value, only as large */
    b->blocked[like] = blocked;
    PARE_TRY(tape_step(b, &spread_op, NULL, 1, &x, *out, sizeof(spread), &t));
    spread *v = t->state;
    const tv *y = &b->e->value[*out], *s = &b->e->value[x];
    v->in = s->size;
    v->from = tape_alloc(b->e, y->size, sizeof *v->from);
    if (!v->from) return pare_fail(PARE_ENOMEM, "no memory for a broadcast");
    for (size_t i = 0; i < y->size; i++) v->from[i] = -1;
    for (size_t i = 0, count = (size_t)pare_numel(to->rank, to->dim); i < count; i++) {
        size_t rest = i, at = 0, stride = 1;
        for (int d = to->rank - 1; d >= 0; d--) {
            size_t c = rest % (size_t)to->dim[d];
            rest /= (size_t)to->dim[d];
            int k = d - (to->rank - in->rank);
            if (k < 0) continue;
            if (in->dim[k] != 1) at += c * stride;
            stride *= (size_t)in->dim[k];
        }
        v->from[tape_offset(y, i)] = (int32_t)tape_offset(s, at);
    }
    return PARE_OK;
}

static pare_status two(tbuilder *b, const pare_node *n, const tape_op *op, pare_id first,
                       pare_id second, pare_id result, int *sum)
{
    pare_id id[2] = { first, second };
    /* Blocked if an operand of full size is. */
    size_t lanes = 1;
    for (int i = 0; i < 2; i++)
        if (b->blocked[id[i]] >= 0 &&
            pare_same_shape(&b->g->value[id[i]].type, &b->g->value[result].type))
            lanes = b->e->k->lanes;
    int in[2], y;
    for (int i = 0; i < 2; i++) PARE_TRY(operand(b, id[i], result, lanes, &in[i]));
    PARE_TRY(tape_value(b, result, lanes, &y));
    PARE_TRY(tape_step(b, op, n, 2, in, y, 0, NULL));
    if (sum) *sum = y;
    return PARE_OK;
}

pare_status tape_sub(tbuilder *b, const pare_node *n)
{
    return two(b, n, &sub_op, n->in[0], n->in[1], n->out[0], NULL);
}
pare_status tape_mul(tbuilder *b, const pare_node *n)
{
    return two(b, n, &mul_op, n->in[0], n->in[1], n->out[0], NULL);
}
pare_status tape_div(tbuilder *b, const pare_node *n)
{
    return two(b, n, &div_op, n->in[0], n->in[1], n->out[0], NULL);
}

pare_status tape_prelu(tbuilder *b, const pare_node *n)
{
    if (tape_const(b, n, 1)) PARE_TRY(tape_train_leaf(b, n->in[1]));
    return two(b, n, &prelu_op, n->in[0], n->in[1], n->out[0], NULL);
}

/* The constant behind a product of matrices is its bias, and trains; other constants do not. */
pare_status tape_add(tbuilder *b, const pare_node *n)
{
    for (uint32_t i = 0; i < 2; i++) {
        pare_id p = b->g->value[n->in[1 - i]].producer;
        if (tape_const(b, n, i) && p != PARE_NONE && b->g->node[p].op &&
            strcmp(b->g->node[p].op->name, "MatMul") == 0)
            PARE_TRY(tape_train_leaf(b, n->in[i]));
    }
    return two(b, n, &add_op, n->in[0], n->in[1], n->out[0], NULL);
}

/* All operands of one shape, in a row of additions; every partial sum has the type of the result.
 */
pare_status tape_sum(tbuilder *b, const pare_node *n)
{
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!pare_same_shape(&b->g->value[n->in[i]].type, &b->g->value[n->out[0]].type))
            return tape_unsupported(n, "its operands differ in shape");
    if (n->n_in == 1) return tape_identity(b, n);
    int acc;
    PARE_TRY(two(b, n, &add_op, n->in[0], n->in[1], n->out[0], &acc));
    for (uint32_t i = 2; i < n->n_in; i++) {
        int in[2] = { acc, -1 };
        size_t lanes = b->e->value[acc].lanes;
        PARE_TRY(tape_want(b, n->in[i], lanes > 1 ? TAPE_BLOCKED : TAPE_PLAIN, &in[1]));
        PARE_TRY(tape_value(b, n->out[0], lanes, &acc));
        PARE_TRY(tape_step(b, &add_op, n, 2, in, acc, 0, NULL));
    }
    return PARE_OK;
}

/* --- dropout: numbers are keyed by step of training, node, image and element, so that backward
 * draws them again --- */

typedef struct dropout {
    double ratio;
} dropout;

static void drop(const tcall *c, const float *from, float *to)
{
    const dropout *v = c->s->state;
    size_t size = c->e->value[c->s->out].size;
    float keep = (float)(1 / (1 - v->ratio));
    for (size_t i = 0; i < c->n; i++) {
        pare_rng r = pare_rng_stream(c->e->seed ^ pare_mix64(c->e->iteration * 65536 + c->s->salt),
                                     c->first + i);
        for (size_t k = 0; k < size; k++)
            to[i * size + k] = pare_rng_uniform(&r) < v->ratio ? 0 : from[i * size + k] * keep;
    }
}

static void dropout_forward(const tcall *c) { drop(c, c->x[0], c->y); }
static void dropout_backward(const tcall *c)
{
    if (c->dx[0]) drop(c, c->dy, c->dx[0]);
}

static const tape_op dropout_op = { .name = "dropout",
                                    .cheap = true,
                                    .in_place = true,
                                    .forward = dropout_forward,
                                    .backward = dropout_backward };

pare_status tape_dropout(tbuilder *b, const pare_node *n)
{
    if (n->n_out > 1 && n->out[1] != PARE_NONE) return tape_unsupported(n, "its mask is asked for");
    double ratio = 0.5;
    if (!tape_absent(n, 1)) {
        const pare_weight *w = tape_const(b, n, 1) ? b->g->value[n->in[1]].weight : NULL;
        if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1)
            return tape_unsupported(n, "its ratio is computed");
        ratio = pare_tensor_get_f64(&w->part[0], 0);
    }
    if (!b->e->training || ratio == 0) return tape_identity(b, n);
    if (!(ratio > 0 && ratio < 1)) return tape_unsupported(n, "its ratio is not within 0 to 1");
    int x, y;
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_ANY, &x));
    PARE_TRY(tape_value(b, n->out[0], b->e->value[x].lanes, &y));
    PARE_TRY(tape_step(b, &dropout_op, n, 1, &x, y, sizeof(dropout), &t));
    ((dropout *)t->state)->ratio = ratio;
    return PARE_OK;
}

/* --- Softmax over the last axis --- */

typedef struct softmax {
    size_t rows, n; /* rows of one image */
} softmax;

static void softmax_forward(const tcall *c)
{
    const softmax *v = c->s->state;
    for (size_t r = 0; r < c->n * v->rows; r++) {
        const float *x = c->x[0] + r * v->n;
        float *y = c->y + r * v->n, most = x[0];
        double sum = 0;
        for (size_t i = 1; i < v->n; i++) most = x[i] > most ? x[i] : most;
        for (size_t i = 0; i < v->n; i++) sum += (double)(y[i] = expf(x[i] - most));
        for (size_t i = 0; i < v->n; i++) y[i] = (float)((double)y[i] / sum);
    }
}

static void softmax_backward(const tcall *c)
{
    const softmax *v = c->s->state;
    for (size_t r = 0; c->dx[0] && r < c->n * v->rows; r++) {
        const float *y = c->y + r * v->n, *dy = c->dy + r * v->n;
        float *dx = c->dx[0] + r * v->n;
        double dot = 0;
        for (size_t i = 0; i < v->n; i++) dot += (double)y[i] * (double)dy[i];
        for (size_t i = 0; i < v->n; i++) dx[i] = (float)((double)y[i] * ((double)dy[i] - dot));
    }
}

static const tape_op softmax_op = {
    .name = "softmax", .needs_y = true, .forward = softmax_forward, .backward = softmax_backward
};

pare_status tape_softmax(tbuilder *b, const pare_node *n)
{
    const pare_type *type = &b->g->value[n->in[0]].type;
    int axis, x, y;
    PARE_TRY(pare_op_axis(pare_attr_int(n, "axis", -1), type->rank, &axis));
    if (axis != type->rank - 1 || axis == 0) return tape_unsupported(n, "its axis is not the last");
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_PLAIN, &x));
    PARE_TRY(tape_value(b, n->out[0], 1, &y));
    PARE_TRY(tape_step(b, &softmax_op, n, 1, &x, y, sizeof(softmax), &t));
    softmax *v = t->state;
    v->n = (size_t)type->dim[axis];
    v->rows = b->e->value[x].size / v->n;
    return PARE_OK;
}
