/* Conv, ConvTranspose, Gemm and MatMul: the steps with trained weights, through oneDNN. */
#include "ops/conv_attrs.h"
#include "train/fronts.h"

#include <limits.h>
#include <string.h>

/* --- convolutions --- */

/* For ConvTranspose the shape is that of the convolution whose gradient it is: src is our output.
 */
typedef struct conv {
    pare_dnn_shape shape;
    pare_dnn_conv *c;
    bool transposed, whole; /* whole: one group is the chunk, so its gradient needs no sum */
    pare_map_dims out;      /* of the output, for the bias */
    size_t weight_floats;
} conv;

static pare_status conv_prepare(pare_engine *e, tstep *s, size_t group, size_t back,
                                size_t *scratch)
{
    conv *v = s->state;
    bool dx = back && e->value[s->in[0]].needs_grad,
         dw = back && s->trains && e->params->p[s->param[0]]->trains;
    pare_dnn_uses uses = { 0 };
    int64_t g = (int64_t)group, b = (int64_t)back;
    uses.forward = v->transposed ? (dx ? b : 0) : g;
    uses.data = v->transposed ? g : dx ? b : 0;
    uses.weights = dw ? b : 0;
    PARE_TRY(
        pare_note(pare_dnn_conv_new(e->dnn, &v->shape, &uses, &v->c), "node '%s'", s->node->name));
    *scratch = pare_dnn_conv_scratch(v->c);
    if (dw) {
        v->weight_floats = pare_dnn_conv_grad_floats(v->c);
        v->whole = back == e->chunk;
        if (!v->whole) *scratch += (v->weight_floats + 32) * sizeof(float);
    }
    bool db = back && s->param[1] >= 0 && e->params->p[s->param[1]]->trains;
    s->partial = v->weight_floats + (db ? v->out.blocks * v->out.lanes : 0);
    return PARE_OK;
}

static void conv_release(tstep *s) { pare_dnn_conv_free(((conv *)s->state)->c); }

static void conv_begin(pare_engine *e, tstep *s, int thread)
{
    pare_dnn_conv_pack(((conv *)s->state)->c, thread, e->params->p[s->param[0]]->value);
}

static const float *bias_of(const tcall *c)
{
    return c->s->param[1] >= 0 ? c->e->params->p[c->s->param[1]]->value : NULL;
}

static void conv_forward(const tcall *c)
{
    const conv *v = c->s->state;
    if (!v->transposed) {
        pare_dnn_conv_forward(v->c, c->thread, c->x[0], bias_of(c), c->y, c->scratch);
        return;
    }
    pare_dnn_conv_data(v->c, c->thread, c->x[0], c->y, c->scratch);
    const float *bias = bias_of(c);
    const tv *y = &c->e->value[c->s->out];
    if (!bias) return;
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < y->c; k++)
            for (size_t p = 0; p < y->hw; p++)
                c->y[i * y->size + (k / y->lanes * y->hw + p) * y->lanes + k % y->lanes] += bias[k];
}

static void conv_backward(const tcall *c)
{
    const conv *v = c->s->state;
    if (v->weight_floats) {
        float *dw = v->whole ? c->partial : c->scratch;
        void *scratch =
            v->whole ? c->scratch : (float *)c->scratch + ((v->weight_floats + 15) & ~(size_t)15);
        if (v->transposed)
            pare_dnn_conv_weights(v->c, c->thread, c->dy, c->x[0], dw, scratch);
        else
            pare_dnn_conv_weights(v->c, c->thread, c->x[0], c->dy, dw, scratch);
        if (!v->whole) c->e->k->add(v->weight_floats, c->partial, dw, c->partial);
    }
    if (c->partial && c->s->partial > v->weight_floats && c->s->param[1] >= 0 &&
        c->e->params->p[c->s->param[1]]->trains) {
        pare_map_dims d = v->out;
        d.n = c->n;
        c->e->k->channel_sum(&d, c->dy, c->partial + v->weight_floats);
    }
    if (!c->dx[0]) return;
    if (v->transposed)
        pare_dnn_conv_forward(v->c, c->thread, c->dy, NULL, c->dx[0], c->scratch);
    else
        pare_dnn_conv_data(v->c, c->thread, c->dy, c->dx[0], c->scratch);
}

static void add_grad(pare_engine *e, int param, const float *g)
{
    tparam *p = e->params->p[param];
    e->k->add((size_t)p->count, p->grad, g, p->grad);
}

static void conv_finish(pare_engine *e, tstep *s)
{
    conv *v = s->state;
    const float *sum = pare_engine_sum(e, s);
    if (v->weight_floats) {
        tparam *p = e->params->p[s->param[0]];
        float *plain = p->spare ? p->spare : p->grad;
        pare_dnn_conv_unpack(v->c, 0, sum, plain);
        if (p->spare) add_grad(e, s->param[0], plain);
    }
    if (s->param[1] >= 0 && e->params->p[s->param[1]]->trains)
        add_grad(e, s->param[1], sum + v->weight_floats);
}

static const tape_op conv_op = {
    .name = "convolution",
    .needs_x = true,
    .prepare = conv_prepare,
    .begin = conv_begin,
    .forward = conv_forward,
    .backward = conv_backward,
    .finish = conv_finish,
    .release = conv_release,
};

/* Blocks suit a side when its channels fill them without mixing groups; oneDNN's fast paths for up
 * to 3 input channels want plain maps. Where that leaves one of the computations without fast code,
 * the other combinations are tried. */
static void choose_lanes(const tbuilder *b, pare_dnn_shape *s, bool transposed, bool first)
{
    int lanes = (int)b->e->k->lanes, most = INT_MAX;
    int64_t ic = s->ic / s->group, oc = s->oc / s->group;
    bool blocks = s->group == 1 || (ic == 1 && oc == 1) || (ic % lanes == 0 && oc % lanes == 0);
    const int tries[][2] = { { s->ic >= 4 ? lanes : 1, s->oc >= 4 ? lanes : 1 },
                             { lanes, lanes },
                             { 1, lanes },
                             { 1, 1 },
                             { lanes, 1 } };
    pare_dnn_uses uses = { .forward = 4 };
    if (transposed) uses = (pare_dnn_uses){ .data = 4 };
    if (b->e->training) {
        uses.weights = 4;
        if (!first) uses.forward = uses.data = 4;
    }
    pare_dnn_shape trial = *s;
    for (size_t i = 0; i < sizeof tries / sizeof *tries && most > 0; i++) {
        trial.src_lanes = tries[i][0];
        trial.dst_lanes = tries[i][1];
        trial.bf16 = false;
        if (!blocks && (trial.src_lanes > 1 || trial.dst_lanes > 1)) continue;
        int slow = pare_dnn_conv_slow(b->e->dnn, &trial, &uses);
        if (slow < most) most = slow, *s = trial;
    }
    trial = *s;
    trial.bf16 = true; /* where oneDNN is fast with it */
    s->bf16 = b->e->bf16 && pare_dnn_conv_slow(b->e->dnn, &trial, &uses) == 0;
}

static pare_status conv_inputs(tbuilder *b, const pare_node *n, const pare_type **x,
                               const pare_type **w)
{
    if (!tape_const(b, n, 1) || (!tape_absent(n, 2) && !tape_const(b, n, 2)))
        return tape_unsupported(n, "its weights are computed");
    *x = &b->g->value[n->in[0]].type;
    *w = &b->g->value[n->in[1]].type;
    if ((*x)->rank != 3 && (*x)->rank != 4)
        return tape_unsupported(n, "only one and two spatial dimensions are");
    return PARE_OK;
}

static pare_status add_conv(tbuilder *b, const pare_node *n, const pare_dnn_shape *s,
                            bool transposed)
{
    int x, y;
    tstep *t;
    size_t in_lanes = (size_t)(transposed ? s->dst_lanes : s->src_lanes),
           out_lanes = (size_t)(transposed ? s->src_lanes : s->dst_lanes);
    PARE_TRY(tape_want(b, n->in[0], in_lanes > 1 ? TAPE_BLOCKED : TAPE_PLAIN, &x));
    PARE_TRY(tape_value(b, n->out[0], out_lanes, &y));
    PARE_TRY(tape_step(b, &conv_op, n, 1, &x, y, sizeof(conv), &t));
    conv *v = t->state;
    v->shape = *s;
    v->transposed = transposed;
    v->out = tape_dims(b, n->out[0], y);
    PARE_TRY(tape_param(b, t, 0, n->in[1], true, true));
    return tape_absent(n, 2) ? PARE_OK : tape_param(b, t, 1, n->in[2], true, false);
}

pare_status tape_conv(tbuilder *b, const pare_node *n)
{
    const pare_type *x, *w;
    pare_window win;
    PARE_TRY(conv_inputs(b, n, &x, &w));
    pare_conv_window(n, x, w, &win);
    pare_dnn_shape s = { .ic = x->dim[1],
                         .oc = w->dim[0],
                         .group = pare_attr_int(n, "group", 1),
                         .bias = !tape_absent(n, 2) };
    int skip = 2 - win.spatial; /* a 1-D convolution is 2-D of height 1 */
    for (int i = 0; i < 2; i++) {
        int d = i - skip;
        s.in[i] = d < 0 ? 1 : win.in[d];
        s.out[i] = d < 0 ? 1 : win.out[d];
        s.kernel[i] = d < 0 ? 1 : win.kernel[d];
        s.stride[i] = d < 0 ? 1 : win.stride[d];
        s.dilation[i] = d < 0 ? 1 : win.dilation[d];
        s.begin[i] = d < 0 ? 0 : win.begin[d];
        s.end[i] = d < 0 ? 0 : win.end[d];
    }
    choose_lanes(b, &s, false, n->in[0] == b->g->input[0]);
    return add_conv(b, n, &s, false);
}

pare_status tape_conv_transpose(tbuilder *b, const pare_node *n)
{
    const pare_type *x, *w, *y = &b->g->value[n->out[0]].type;
    PARE_TRY(conv_inputs(b, n, &x, &w));
    const pare_ints *strides = pare_attr(n, "strides", PARE_FIELD_INTS),
                    *pads = pare_attr(n, "pads", PARE_FIELD_INTS),
                    *dilations = pare_attr(n, "dilations", PARE_FIELD_INTS),
                    *size = pare_attr(n, "output_shape", PARE_FIELD_INTS);
    const int *auto_pad = pare_attr(n, "auto_pad", PARE_FIELD_ENUM);
    if ((auto_pad && *auto_pad != PARE_PAD_NOTSET) || (size && size->n))
        return tape_unsupported(n, "its padding is not given as numbers");
    pare_dnn_shape s = { .ic = y->dim[1], .oc = x->dim[1], .group = pare_attr_int(n, "group", 1) };
    int spatial = x->rank - 2, skip = 2 - spatial;
    for (int i = 0; i < 2; i++) {
        int d = i - skip;
        s.in[i] = d < 0 ? 1 : y->dim[2 + d];
        s.out[i] = d < 0 ? 1 : x->dim[2 + d];
        s.kernel[i] = d < 0 ? 1 : w->dim[2 + d];
        s.stride[i] = d >= 0 && strides && strides->n ? strides->v[d] : 1;
        s.dilation[i] = d >= 0 && dilations && dilations->n ? dilations->v[d] : 1;
        s.begin[i] = d >= 0 && pads && pads->n ? pads->v[d] : 0;
        s.end[i] = (s.out[i] - 1) * s.stride[i] + (s.kernel[i] - 1) * s.dilation[i] + 1 - s.in[i] -
                   s.begin[i];
        if (s.end[i] < 0)
            return tape_unsupported(n, "its output is padded beyond the kernel's reach");
    }
    choose_lanes(b, &s, true, n->in[0] == b->g->input[0]);
    return add_conv(b, n, &s, true);
}

/* --- products --- */

/* y [rows][n] = x [rows][k] w (+ bias): w is [k][n], or [n][k] when `trans`. */
typedef struct product {
    int64_t rows, k, n; /* rows of one image */
    bool trans;
} product;

static void product_forward(const tcall *c)
{
    const product *p = c->s->state;
    tparams *ps = c->e->params;
    int64_t rows = p->rows * (int64_t)c->n;
    bool bias = c->s->param[1] >= 0;
    for (int64_t r = 0; bias && r < rows; r++)
        memcpy(c->y + r * p->n, ps->p[c->s->param[1]]->value, (size_t)p->n * sizeof(float));
    pare_dnn_gemm(false, p->trans, rows, p->n, p->k, c->x[0], p->k, ps->p[c->s->param[0]]->value,
                  p->trans ? p->k : p->n, bias ? 1 : 0, c->y, p->n);
}

static void product_backward(const tcall *c)
{
    const product *p = c->s->state;
    tparams *ps = c->e->params;
    int64_t rows = p->rows * (int64_t)c->n;
    tparam *w = ps->p[c->s->param[0]];
    float *db = c->partial;
    if (w->trains) {
        if (p->trans)
            pare_dnn_gemm(true, false, p->n, p->k, rows, c->dy, p->n, c->x[0], p->k, 1, c->partial,
                          p->k);
        else
            pare_dnn_gemm(true, false, p->k, p->n, rows, c->x[0], p->k, c->dy, p->n, 1, c->partial,
                          p->n);
        db += p->k * p->n;
    }
    if (c->s->param[1] >= 0 && ps->p[c->s->param[1]]->trains)
        for (int64_t r = 0; r < rows; r++) c->e->k->add((size_t)p->n, db, c->dy + r * p->n, db);
    if (c->dx[0])
        pare_dnn_gemm(false, !p->trans, rows, p->k, p->n, c->dy, p->n, w->value,
                      p->trans ? p->k : p->n, 0, c->dx[0], p->k);
}

static void product_finish(pare_engine *e, tstep *s)
{
    const product *p = s->state;
    const float *sum = pare_engine_sum(e, s);
    if (e->params->p[s->param[0]]->trains) {
        add_grad(e, s->param[0], sum);
        sum += p->k * p->n;
    }
    if (s->param[1] >= 0 && e->params->p[s->param[1]]->trains) add_grad(e, s->param[1], sum);
}

static const tape_op product_op = {
    .name = "product",
    .needs_x = true,
    .forward = product_forward,
    .backward = product_backward,
    .finish = product_finish,
};

static pare_status add_product(tbuilder *b, const pare_node *n, pare_id bias, const product *p)
{
    int x, y;
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_PLAIN, &x));
    PARE_TRY(tape_value(b, n->out[0], 1, &y));
    PARE_TRY(tape_step(b, &product_op, n, 1, &x, y, sizeof *p, &t));
    *(product *)t->state = *p;
    PARE_TRY(tape_param(b, t, 0, n->in[1], true, true));
    if (bias != PARE_NONE) PARE_TRY(tape_param(b, t, 1, bias, true, false));
    if (b->e->params->p[t->param[0]]->trains) t->partial += (size_t)(p->k * p->n);
    if (bias != PARE_NONE && b->e->params->p[t->param[1]]->trains) t->partial += (size_t)p->n;
    return PARE_OK;
}

pare_status tape_gemm(tbuilder *b, const pare_node *n)
{
    if (!tape_const(b, n, 1)) return tape_unsupported(n, "its matrix B is computed");
    if (pare_attr_int(n, "transA", 0)) return tape_unsupported(n, "its matrix A is transposed");
    if (pare_attr_real(n, "alpha", 1) != 1 || pare_attr_real(n, "beta", 1) != 1)
        return tape_unsupported(n, "its factors are not 1");
    const pare_type *x = &b->g->value[n->in[0]].type, *w = &b->g->value[n->in[1]].type;
    product p = { .rows = x->dim[0], .k = x->dim[1], .trans = pare_attr_int(n, "transB", 0) != 0 };
    p.n = w->dim[p.trans ? 0 : 1];
    pare_id bias = tape_absent(n, 2) ? PARE_NONE : n->in[2];
    if (bias != PARE_NONE) {
        const pare_type *t = &b->g->value[bias].type;
        if (!tape_const(b, n, 2) || pare_numel(t->rank, t->dim) != p.n ||
            (t->rank > 0 && t->dim[t->rank - 1] != p.n))
            return tape_unsupported(n, "its C is not one constant for each output");
    }
    return add_product(b, n, bias, &p);
}

pare_status tape_matmul(tbuilder *b, const pare_node *n)
{
    const pare_type *x = &b->g->value[n->in[0]].type, *w = &b->g->value[n->in[1]].type;
    if (!tape_const(b, n, 1) || w->rank != 2 || x->rank < 2)
        return tape_unsupported(n, "its second factor is not a constant matrix");
    product p = { .k = w->dim[0], .n = w->dim[1] };
    p.rows = pare_numel(x->rank, x->dim) / p.k;
    return add_product(b, n, PARE_NONE, &p);
}
