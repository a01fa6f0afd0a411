/* Pools, means over positions, and local response normalisation. */
#include "ops/attrs.h"
#include "ops/conv_attrs.h"
#include "train/fronts.h"

#include <math.h>
#include <string.h>

static void max_forward(const tcall *c)
{
    pare_pool_dims d = *(const pare_pool_dims *)c->s->state;
    d.n = c->n;
    c->e->k->max_pool(&d, c->x[0], c->y);
}

static void max_backward(const tcall *c)
{
    pare_pool_dims d = *(const pare_pool_dims *)c->s->state;
    d.n = c->n;
    if (c->dx[0]) c->e->k->max_pool_back(&d, c->x[0], c->dy, c->dx[0]);
}

static void average_forward(const tcall *c)
{
    pare_pool_dims d = *(const pare_pool_dims *)c->s->state;
    d.n = c->n;
    c->e->k->avg_pool(&d, c->x[0], c->y);
}

static void average_backward(const tcall *c)
{
    pare_pool_dims d = *(const pare_pool_dims *)c->s->state;
    d.n = c->n;
    if (c->dx[0]) c->e->k->avg_pool_back(&d, c->dy, c->dx[0]);
}

static const tape_op max_op = {
    .name = "max pool", .needs_x = true, .forward = max_forward, .backward = max_backward
};
static const tape_op average_op = { .name = "average pool",
                                    .forward = average_forward,
                                    .backward = average_backward };

static pare_status add_pool(tbuilder *b, const pare_node *n, const tape_op *op)
{
    const pare_type *type = &b->g->value[n->in[0]].type;
    if (type->rank != 3 && type->rank != 4)
        return tape_unsupported(n, "only one and two spatial dimensions are");
    if (n->n_out > 1 && n->out[1] != PARE_NONE)
        return tape_unsupported(n, "its indices are asked for");
    const int *auto_pad = pare_attr(n, "auto_pad", PARE_FIELD_ENUM);
    pare_window win;
    PARE_TRY(pare_window_of(
        type, NULL, auto_pad ? *auto_pad : 0, pare_attr(n, "kernel_shape", PARE_FIELD_INTS),
        pare_attr(n, "strides", PARE_FIELD_INTS), pare_attr(n, "pads", PARE_FIELD_INTS),
        pare_attr(n, "dilations", PARE_FIELD_INTS), pare_attr_int(n, "ceil_mode", 0) != 0, &win));
    int x, y;
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_ANY, &x));
    PARE_TRY(tape_value(b, n->out[0], b->e->value[x].lanes, &y));
    PARE_TRY(tape_step(b, op, n, 1, &x, y, sizeof(pare_pool_dims), &t));
    pare_map_dims d = tape_dims(b, n->in[0], x);
    int last = win.spatial - 1;
    bool flat = win.spatial == 1; /* then rows are one */
    *(pare_pool_dims *)t->state = (pare_pool_dims){
        .n = 1,
        .blocks = d.blocks,
        .lanes = d.lanes,
        .h = flat ? 1 : win.in[0],
        .w = win.in[last],
        .oh = flat ? 1 : win.out[0],
        .ow = win.out[last],
        .kh = flat ? 1 : win.kernel[0],
        .kw = win.kernel[last],
        .sh = flat ? 1 : win.stride[0],
        .sw = win.stride[last],
        .dh = flat ? 1 : win.dilation[0],
        .dw = win.dilation[last],
        .top = flat ? 0 : win.begin[0],
        .left = win.begin[last],
        .bottom = flat ? 0 : win.end[0],
        .right = win.end[last],
        .count_pad = (int)pare_attr_int(n, "count_include_pad", 0),
    };
    return PARE_OK;
}

pare_status tape_max_pool(tbuilder *b, const pare_node *n) { return add_pool(b, n, &max_op); }
pare_status tape_average_pool(tbuilder *b, const pare_node *n)
{
    return add_pool(b, n, &average_op);
}

/* --- means --- */

static void mean_forward(const tcall *c)
{
    pare_map_dims d = *(const pare_map_dims *)c->s->state;
    d.n = c->n;
    c->e->k->mean(&d, c->x[0], c->y);
}

static void mean_backward(const tcall *c)
{
    pare_map_dims d = *(const pare_map_dims *)c->s->state;
    d.n = c->n;
    if (c->dx[0]) c->e->k->mean_back(&d, c->dy, c->dx[0]);
}

static const tape_op mean_op = { .name = "mean",
                                 .forward = mean_forward,
                                 .backward = mean_backward };

/* Over all positions of every channel. */
pare_status tape_global_pool(tbuilder *b, const pare_node *n)
{
    int x, y;
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_ANY, &x));
    PARE_TRY(tape_value(b, n->out[0], b->e->value[x].lanes, &y));
    PARE_TRY(tape_step(b, &mean_op, n, 1, &x, y, sizeof(pare_map_dims), &t));
    *(pare_map_dims *)t->state = tape_dims(b, n->in[0], x);
    return PARE_OK;
}

/* Over the last dimensions, whichever they are. */
pare_status tape_reduce_mean(tbuilder *b, const pare_node *n)
{
    const pare_type *type = &b->g->value[n->in[0]].type;
    if (!tape_absent(n, 1) && !tape_const(b, n, 1))
        return tape_unsupported(n, "its axes are computed");
    pare_arg axes = { 0 };
    if (!tape_absent(n, 1))
        axes = (pare_arg){ b->g->value[n->in[1]].type, &b->g->value[n->in[1]].weight->part[0] };
    unsigned mask;
    PARE_TRY(pare_reduce_mask(n, tape_absent(n, 1) ? NULL : &axes, type->rank, &mask));
    int first = 0;
    while (first < type->rank && !(mask >> first & 1)) first++;
    bool trailing = first > 0;
    size_t lead = 1, trail = 1;
    for (int d = 0; d < type->rank; d++) {
        if (d < first)
            lead *= (size_t)type->dim[d];
        else
            trail *= (size_t)type->dim[d], trailing = trailing && (mask >> d & 1);
    }
    if (!trailing) return tape_unsupported(n, "its axes are not the last ones");
    int x, y;
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_PLAIN, &x));
    PARE_TRY(tape_value(b, n->out[0], 1, &y));
    PARE_TRY(tape_step(b, &mean_op, n, 1, &x, y, sizeof(pare_map_dims), &t));
    *(pare_map_dims *)t->state = (pare_map_dims){ 1, lead, trail, 1 };
    return PARE_OK;
}

/* --- LRN: y_c = x_c / s_c^beta, s_c = bias + alpha / size * sum of squares of the channels around
 * c --- */

typedef struct lrn {
    size_t channels, hw, size;
    double alpha, beta, bias;
} lrn;

static void lrn_window(const lrn *v, size_t c, size_t *from, size_t *to)
{
    size_t before = (v->size - 1) / 2, after = v->size - 1 - before;
    *from = c > before ? c - before : 0;
    *to = c + after < v->channels ? c + after + 1 : v->channels;
}

static double lrn_scale(const lrn *v, const float *x, size_t c)
{
    size_t from, to;
    double sum = 0;
    lrn_window(v, c, &from, &to);
    for (size_t k = from; k < to; k++) sum += (double)x[k * v->hw] * (double)x[k * v->hw];
    return v->bias + v->alpha / (double)v->size * sum;
}

static void lrn_forward(const tcall *c)
{
    const lrn *v = c->s->state;
    for (size_t i = 0; i < c->n; i++)
        for (size_t p = 0; p < v->hw; p++) {
            const float *x = c->x[0] + i * v->channels * v->hw + p;
            float *y = c->y + i * v->channels * v->hw + p;
            for (size_t k = 0; k < v->channels; k++)
                y[k * v->hw] = (float)((double)x[k * v->hw] * pow(lrn_scale(v, x, k), -v->beta));
        }
}

static void lrn_backward(const tcall *c)
{
    const lrn *v = c->s->state;
    if (!c->dx[0]) return;
    memset(c->dx[0], 0, c->n * v->channels * v->hw * sizeof(float));
    for (size_t i = 0; i < c->n; i++)
        for (size_t p = 0; p < v->hw; p++) {
            size_t at = i * v->channels * v->hw + p;
            const float *x = c->x[0] + at, *dy = c->dy + at;
            float *dx = c->dx[0] + at;
            for (size_t k = 0; k < v->channels; k++) {
                double s = lrn_scale(v, x, k), d = (double)dy[k * v->hw], power = pow(s, -v->beta);
                double back = -2 * v->alpha * v->beta / (double)v->size * d * (double)x[k * v->hw] *
                              power / s;
                size_t from, to;
                lrn_window(v, k, &from, &to);
                dx[k * v->hw] += (float)(d * power);
                for (size_t m = from; m < to; m++)
                    dx[m * v->hw] += (float)(back * (double)x[m * v->hw]);
            }
        }
}

static const tape_op lrn_op = {
    .name = "LRN", .needs_x = true, .forward = lrn_forward, .backward = lrn_backward
};

pare_status tape_lrn(tbuilder *b, const pare_node *n)
{
    int x, y;
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_PLAIN, &x));
    PARE_TRY(tape_value(b, n->out[0], 1, &y));
    PARE_TRY(tape_step(b, &lrn_op, n, 1, &x, y, sizeof(lrn), &t));
    pare_map_dims d = tape_dims(b, n->in[0], x);
    *(lrn *)t->state = (lrn){ d.blocks,
                              d.hw,
                              (size_t)pare_attr_int(n, "size", 1),
                              pare_attr_real(n, "alpha", 1e-4),
                              pare_attr_real(n, "beta", 0.75),
                              pare_attr_real(n, "bias", 1) };
    return PARE_OK;
}
