/* What each operator does to channels: which it ties, what becomes of constant ones, how its
 * parameters are cut. One row of the table at the end for each operator; those that are missing
 * keep all channels of what they touch. */
#include "methods/channels.h"
#include "methods/cut.h"
#include "ops/attr.h"
#include "ops/conv_attrs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* --- small helpers --- */

/* Input `slot` if it is a dense constant; NULL otherwise. */
static const pare_tensor *constant(const pare_channels *ch, pare_id node, uint32_t slot)
{
    const pare_weight *w = pare_node_weight(ch->g, &ch->g->node[node], slot);
    return w && !w->codec ? &w->part[0] : NULL;
}

static bool absent(const pare_node *n, uint32_t slot)
{
    return slot >= n->n_in || n->in[slot] == PARE_NONE;
}

static const pare_type *type_of(const pare_channels *ch, pare_id v)
{
    return &ch->g->value[v].type;
}

static bool known(const pare_channels *ch, pare_id v, int64_t c, float *at)
{
    pare_id cell = ch->first[v] + (pare_id)c;
    *at = ch->at[cell];
    return ch->known[cell];
}

static void learn(pare_channels *ch, pare_id v, int64_t c, double at)
{
    pare_id cell = ch->first[v] + (pare_id)c;
    if (!isfinite(at)) return;
    ch->known[cell] = true;
    ch->at[cell] = (float)at;
}

/* Only output 0 is used, and it and input 0 have cells. */
static bool plain(const pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i] != PARE_NONE) return false;
    return n->n_in > 0 && pare_has_cells(ch, n->in[0]) && pare_has_cells(ch, n->out[0]);
}

static void tie_all(pare_channels *ch, pare_id a, pare_id b)
{
    for (int64_t c = 0; c < pare_cells_of(ch, a); c++) pare_channels_tie(ch, a, c, b, c);
}

/* Is a dimension other than the channels' read beyond its border? */
static bool window_pads(const pare_node *n)
{
    const int *choice = pare_attr(n, "auto_pad", PARE_FIELD_ENUM);
    const pare_ints *pads = pare_attr(n, "pads", PARE_FIELD_INTS);
    if (choice && *choice != PARE_PAD_NOTSET) return *choice != PARE_PAD_VALID;
    for (size_t i = 0; pads && i < pads->n; i++)
        if (pads->v[i] != 0) return true;
    return false;
}

/* --- channel by channel: pools, and what leaves the channels alone --- */
static pare_status tie_same(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    if (!plain(ch, node) || pare_cells_of(ch, n->in[0]) != pare_cells_of(ch, n->out[0]))
        return PARE_OK;
    tie_all(ch, n->in[0], n->out[0]);
    *ok = true;
    return PARE_OK;
}

static pare_status forward_same(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    float t;
    for (int64_t c = 0; c < pare_cells_of(ch, n->in[0]); c++)
        if (known(ch, n->in[0], c, &t)) learn(ch, n->out[0], c, t);
    return PARE_OK;
}

/* An average that counts the padding's zeros is constant only for the constant 0. */
static pare_status forward_average(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    bool zeros = pare_attr_int(n, "count_include_pad", 0) != 0 &&
                 (window_pads(n) || pare_attr_int(n, "ceil_mode", 0) != 0);
    float t;
    for (int64_t c = 0; c < pare_cells_of(ch, n->in[0]); c++)
        if (known(ch, n->in[0], c, &t) && (t == 0 || !zeros)) learn(ch, n->out[0], c, t);
    return PARE_OK;
}

/* --- unary functions of an element --- */
static pare_status tie_unary(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    if (type_of(ch, n->in[0])->dtype != PARE_F32) return PARE_OK;
    for (uint32_t i = 1; i < n->n_in; i++) /* Clip's bounds */
        if (!absent(n, i) && !constant(ch, node, i)) return PARE_OK;
    return tie_same(ch, node, ok);
}

/* The operator itself is asked, with one element for each channel. */
static pare_status forward_unary(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    int64_t c = pare_cells_of(ch, n->in[0]);
    pare_tensor in[PARE_MAX_IN] = { 0 }, out;
    PARE_TRY(pare_tensor_new(PARE_F32, 1, &c, &in[0]));
    pare_status st = pare_tensor_new(PARE_F32, 1, &c, &out);
    if (st == PARE_OK) {
        memcpy(in[0].data, ch->at + ch->first[n->in[0]], (size_t)c * sizeof *ch->at);
        for (uint32_t i = 1; i < n->n_in; i++)
            if (!absent(n, i)) in[i] = *constant(ch, node, i);
        st = n->op->eval(n, in, &out);
        for (int64_t i = 0; st == PARE_OK && i < c; i++)
            if (ch->known[ch->first[n->in[0]] + (pare_id)i])
                learn(ch, n->out[0], i, (double)((float *)out.data)[i]);
        pare_tensor_free(&out);
    }
    pare_tensor_free(&in[0]);
    return st;
}

/* --- Conv, ConvTranspose is left alone --- */
static bool depthwise(const pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    int64_t group = ((const pare_conv_attrs *)n->attrs)->group;
    return group > 1 && group == pare_cells_of(ch, n->in[0]);
}

static pare_status new_mix(pare_channels *ch, pare_id node, const pare_weight *w, pare_mix **out)
{
    pare_mix *m = calloc(1, sizeof *m);
    if (!m)
        return pare_fail(PARE_ENOMEM, "no memory for the channels of '%s'", ch->g->node[node].name);
    pare_status st = pare_weight_decode(w, &m->w);
    if (st != PARE_OK) {
        free(m);
        return st;
    }
    ch->mix[node] = *out = m;
    m->alpha = 1;
    return PARE_OK;
}

static pare_status tie_conv(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    const pare_weight *w = pare_node_weight(ch->g, n, 1);
    const pare_tensor *bias = constant(ch, node, 2);
    if (!plain(ch, node) || !w || w->type.dtype != PARE_F32 || (!absent(n, 2) && !bias))
        return PARE_OK;
    int64_t group = ((const pare_conv_attrs *)n->attrs)->group;
    bool apart = depthwise(ch, node);
    if (group != 1 && (!apart || w->codec)) return PARE_OK;
    pare_mix *m;
    PARE_TRY(new_mix(ch, node, w, &m));
    int64_t taps = 1;
    for (int i = 2; i < w->type.rank; i++) taps *= w->type.dim[i];
    *m = (pare_mix){ .w = m->w,
                     .n = w->type.dim[0],
                     .c = w->type.dim[1],
                     .taps = taps,
                     .step_c = taps,
                     .step_n = w->type.dim[1] * taps,
                     .alpha = 1,
                     .bias = bias ? bias->data : NULL,
                     .pads = window_pads(n) };
    *ok = true;
    int64_t each = m->n / group; /* depthwise: filters of one channel */
    for (int64_t f = 0; apart && f < m->n; f++)
        pare_channels_tie(ch, n->in[0], f / each, n->out[0], f);
    return PARE_OK;
}

static pare_status forward_mix(pare_channels *ch, pare_id node)
{
    const pare_node *self = &ch->g->node[node];
    const pare_mix *m = ch->mix[node];
    bool apart = strcmp(self->op->name, "Conv") == 0 && depthwise(ch, node);
    for (int64_t n = 0; n < m->n; n++) {
        double sum = m->bias ? (double)m->bias[n] : 0;
        bool fixed = true;
        for (int64_t c = 0; fixed && c < m->c; c++) {
            float t;
            if (!pare_mix_reads(m, n, c)) continue;
            int64_t from = apart ? n / (m->n / pare_cells_of(ch, self->in[0])) : c;
            fixed = known(ch, self->in[0], from, &t) && (t == 0 || !m->pads);
            if (fixed) sum += (double)t * pare_mix_sum(m, n, c);
        }
        if (fixed) learn(ch, self->out[0], n, sum);
    }
    /* A depthwise convolution's channels are tied; nothing flows backward through it. */
    if (apart) {
        pare_tensor_free(&ch->mix[node]->w);
        free(ch->mix[node]);
        ch->mix[node] = NULL;
    }
    return PARE_OK;
}

/* The bias of a mixing node after its unread constant channels have moved into it; cut to the live
 * outputs.
 */
static pare_status cut_bias(const pare_channels *ch, pare_graph *g, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    const pare_mix *m = ch->mix[node];
    bool *keep;
    int64_t kept;
    PARE_TRY(pare_cut_keep(ch, n->out[0], &keep, &kept));
    pare_tensor bias = { 0 };
    pare_status st = pare_tensor_new(PARE_F32, 1, &kept, &bias);
    bool moved = m->bias != NULL;
    float *b = bias.data;
    for (int64_t f = 0; st == PARE_OK && f < m->n; f++) {
        if (!keep[f]) continue;
        double sum = m->bias ? (double)m->bias[f] : 0;
        for (int64_t c = 0; c < m->c; c++) {
            float t;
            if (pare_channel_live(ch, n->in[0], c) || !known(ch, n->in[0], c, &t) || t == 0 ||
                !pare_mix_reads(m, f, c))
                continue;
            sum += (double)t * pare_mix_sum(m, f, c);
            moved = true;
        }
        *b++ = (float)sum;
    }
    free(keep);
    if (st != PARE_OK) return st;
    if (moved) return pare_cut_put(g, node, 2, pare_weight_dense(bias));
    pare_tensor_free(&bias);
    return PARE_OK;
}

static pare_status cut_conv(const pare_channels *ch, pare_graph *g, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    if (ch->mix[node]) {
        PARE_TRY(pare_cut_slot(ch, g, node, 1, n->out[0], 0, n->in[0], 1));
        return cut_bias(ch, g, node);
    }
    PARE_TRY(pare_cut_slot(ch, g, node, 1, n->out[0], 0, PARE_NONE, 0));
    ((pare_conv_attrs *)g->node[node].attrs)->group = pare_channels_live(ch, n->in[0]);
    return absent(n, 2) ? PARE_OK : pare_cut_slot(ch, g, node, 2, n->out[0], 0, PARE_NONE, 0);
}

/* --- Gemm and MatMul with a constant matrix --- */
static pare_status tie_product(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    const pare_weight *w = pare_node_weight(ch->g, n, 1);
    if (!plain(ch, node) || !w || w->type.dtype != PARE_F32 || w->type.rank != 2 ||
        type_of(ch, n->in[0])->rank != 2)
        return PARE_OK;
    bool across = pare_attr_int(n, "transB", 0) != 0;
    int64_t out = w->type.dim[across ? 0 : 1], in = w->type.dim[across ? 1 : 0];
    const pare_tensor *bias = NULL;
    if (strcmp(n->op->name, "Gemm") == 0) {
        bias = constant(ch, node, 2);
        if (pare_attr_int(n, "transA", 0) != 0 || pare_attr_real(n, "beta", 1) != 1 ||
            (!absent(n, 2) && !bias))
            return PARE_OK;
        if (bias && (bias->rank != 1 || bias->dim[0] != out)) return PARE_OK;
    }
    pare_mix *m;
    PARE_TRY(new_mix(ch, node, w, &m));
    *m = (pare_mix){ .w = m->w,
                     .n = out,
                     .c = in,
                     .taps = 1,
                     .step_n = across ? in : 1,
                     .step_c = across ? 1 : out,
                     .alpha = pare_attr_real(n, "alpha", 1),
                     .bias = bias ? bias->data : NULL,
                     .no_bias = strcmp(n->op->name, "MatMul") == 0 };
    *ok = true;
    return PARE_OK;
}

static pare_status cut_product(const pare_channels *ch, pare_graph *g, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    int across = pare_attr_int(n, "transB", 0) != 0;
    PARE_TRY(pare_cut_slot(ch, g, node, 1, n->out[0], across ? 0 : 1, n->in[0], across ? 1 : 0));
    return strcmp(n->op->name, "Gemm") == 0 ? cut_bias(ch, g, node) : PARE_OK;
}

/* --- BatchNormalization --- */
static pare_status tie_batchnorm(pare_channels *ch, pare_id node, bool *ok)
{
    for (uint32_t slot = 1; slot <= 4; slot++) {
        const pare_tensor *t = constant(ch, node, slot);
        if (!t || t->dtype != PARE_F32) return PARE_OK;
    }
    return tie_same(ch, node, ok);
}

static pare_status forward_batchnorm(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    const float *p[5] = { 0 };
    for (uint32_t slot = 1; slot <= 4; slot++) p[slot] = constant(ch, node, slot)->data;
    double epsilon = pare_attr_real(n, "epsilon", 1e-5);
    float t;
    for (int64_t c = 0; c < pare_cells_of(ch, n->in[0]); c++)
        if (known(ch, n->in[0], c, &t))
            learn(ch, n->out[0], c,
                  (double)p[1][c] * ((double)t - (double)p[3][c]) /
                          sqrt((double)p[4][c] + epsilon) +
                      (double)p[2][c]);
    return PARE_OK;
}

static pare_status cut_batchnorm(const pare_channels *ch, pare_graph *g, pare_id node)
{
    for (uint32_t slot = 1; slot <= 4; slot++)
        PARE_TRY(pare_cut_slot(ch, g, node, slot, ch->g->node[node].out[0], 0, PARE_NONE, 0));
    return PARE_OK;
}

/* --- arithmetic of activations of one shape, or with a constant that broadcasts --- */

/* The dimension of constant `t` that meets the channels of a value of rank `rank`; -1: it is the
 * same for all. */
static int channel_axis(const pare_tensor *t, int rank)
{
    int axis = 1 - (rank - t->rank);
    return axis >= 0 && t->dim[axis] != 1 ? axis : -1;
}

static pare_status tie_arithmetic(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    if (n->n_out != 1 || !pare_has_cells(ch, n->out[0]) ||
        type_of(ch, n->out[0])->dtype != PARE_F32)
        return PARE_OK;
    const pare_type *out = type_of(ch, n->out[0]);
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pare_tensor *t = constant(ch, node, i);
        if (t ? t->rank > out->rank : !pare_has_cells(ch, n->in[i])) return PARE_OK;
        if (!t && (type_of(ch, n->in[i])->rank != out->rank ||
                   pare_cells_of(ch, n->in[i]) != out->dim[1]))
            return PARE_OK;
    }
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!constant(ch, node, i)) tie_all(ch, n->in[i], n->out[0]);
    *ok = true;
    return PARE_OK;
}

static pare_status forward_arithmetic(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    const char *op = n->op->name;
    for (int64_t c = 0; c < pare_cells_of(ch, n->out[0]); c++) {
        bool fixed = true;
        double value = 0;
        for (uint32_t i = 0; fixed && i < n->n_in; i++) {
            float t;
            const pare_tensor *k = constant(ch, node, i);
            if (k) {
                int axis = channel_axis(k, type_of(ch, n->out[0])->rank);
                fixed = pare_tensor_count(k) == (axis < 0 ? 1 : k->dim[axis]);
                if (fixed) t = ((const float *)k->data)[axis < 0 ? 0 : c];
            } else
                fixed = known(ch, n->in[i], c, &t);
            if (!fixed) break;
            if (i == 0)
                value = (double)t;
            else if (strcmp(op, "Sub") == 0)
                value -= (double)t;
            else if (strcmp(op, "Mul") == 0)
                value *= (double)t;
            else if (strcmp(op, "Div") == 0)
                value /= (double)t;
            else
                value += (double)t;
        }
        if (fixed) learn(ch, n->out[0], c, value);
    }
    return PARE_OK;
}

static pare_status cut_arithmetic(const pare_channels *ch, pare_graph *g, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pare_tensor *k = constant(ch, node, i);
        int axis = k ? channel_axis(k, type_of(ch, n->out[0])->rank) : -1;
        if (axis >= 0) PARE_TRY(pare_cut_slot(ch, g, node, i, n->out[0], axis, PARE_NONE, 0));
    }
    return PARE_OK;
}

/* --- Concat --- */
static bool by_channel(const pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    int64_t axis = pare_attr_int(n, "axis", 0);
    return axis == 1 || axis == 1 - type_of(ch, n->out[0])->rank;
}

static pare_status tie_concat(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    if (!plain(ch, node)) return PARE_OK;
    for (uint32_t i = 0; i < n->n_in; i++)
        if (!pare_has_cells(ch, n->in[i])) return PARE_OK;
    int64_t at = 0;
    for (uint32_t i = 0; i < n->n_in; i++)
        for (int64_t c = 0; c < pare_cells_of(ch, n->in[i]); c++)
            pare_channels_tie(ch, n->in[i], c, n->out[0], by_channel(ch, node) ? at++ : c);
    *ok = true;
    return PARE_OK;
}

static pare_status forward_concat(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    int64_t at = 0;
    float t, t0;
    if (by_channel(ch, node)) {
        for (uint32_t i = 0; i < n->n_in; i++)
            for (int64_t c = 0; c < pare_cells_of(ch, n->in[i]); c++, at++)
                if (known(ch, n->in[i], c, &t)) learn(ch, n->out[0], at, t);
        return PARE_OK;
    }
    for (int64_t c = 0; c < pare_cells_of(ch, n->out[0]); c++) {
        bool fixed = known(ch, n->in[0], c, &t0);
        for (uint32_t i = 1; fixed && i < n->n_in; i++)
            fixed = known(ch, n->in[i], c, &t) && t == t0;
        if (fixed) learn(ch, n->out[0], c, t0);
    }
    return PARE_OK;
}

/* --- changes of shape that keep the order: Flatten, Reshape, Squeeze, Unsqueeze, means over the
 * picture ---
 */

/* Input channel c becomes output channels c * spread .. (c + 1) * spread - 1; 0: it is not of that
 * kind. */
static int64_t spread(const pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    const pare_type *in = type_of(ch, n->in[0]), *out = type_of(ch, n->out[0]);
    if (in->dim[0] != out->dim[0] || in->dim[1] < 1 || out->dim[1] % in->dim[1] != 0) return 0;
    int64_t picture = 1;
    for (int i = 2; i < in->rank; i++) picture *= in->dim[i];
    if (out->dim[1] == in->dim[1]) return 1;
    return out->rank == 2 && out->dim[1] == in->dim[1] * picture ? picture : 0;
}

static pare_status tie_reshape(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    bool reshape = strcmp(n->op->name, "Reshape") == 0;
    if (!plain(ch, node) ||
        (reshape && (!constant(ch, node, 1) || pare_tensor_count(constant(ch, node, 1)) < 2)))
        return PARE_OK;
    if (strcmp(n->op->name, "Flatten") == 0 && type_of(ch, n->in[0])->rank > 2 &&
        pare_attr_int(n, "axis", 1) != 1)
        return PARE_OK;
    int64_t each = spread(ch, node);
    if (each == 0) return PARE_OK;
    for (int64_t c = 0; c < pare_cells_of(ch, n->out[0]); c++)
        pare_channels_tie(ch, n->in[0], c / each, n->out[0], c);
    *ok = true;
    return PARE_OK;
}

static pare_status forward_reshape(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    int64_t each = spread(ch, node);
    float t;
    for (int64_t c = 0; c < pare_cells_of(ch, n->out[0]); c++)
        if (known(ch, n->in[0], c / each, &t)) learn(ch, n->out[0], c, t);
    return PARE_OK;
}

static pare_status cut_reshape(const pare_channels *ch, pare_graph *g, pare_id node)
{
    const pare_tensor *shape = constant(ch, node, 1);
    if (pare_tensor_get_i64(shape, 1) <= 0) return PARE_OK; /* 0: copied, -1: worked out */
    pare_tensor t;
    PARE_TRY(pare_tensor_copy(shape, &t));
    ((int64_t *)t.data)[1] = pare_channels_live(ch, ch->g->node[node].out[0]);
    return pare_cut_put(g, node, 1, pare_weight_dense(t));
}

/* Dimensions given by the constant input 1 all lie behind the channels. */
static bool axes_behind(const pare_channels *ch, pare_id node, int rank)
{
    const pare_tensor *axes = constant(ch, node, 1);
    if (!axes) return false;
    for (int64_t i = 0; i < pare_tensor_count(axes); i++) {
        int64_t a = pare_tensor_get_i64(axes, i);
        if ((a < 0 ? a + rank : a) < 2) return false;
    }
    return pare_tensor_count(axes) > 0;
}

static pare_status tie_axes(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    if (!plain(ch, node)) return PARE_OK;
    pare_id wide = strcmp(n->op->name, "Unsqueeze") == 0 ? n->out[0] : n->in[0];
    return axes_behind(ch, node, type_of(ch, wide)->rank) ? tie_same(ch, node, ok) : PARE_OK;
}

/* --- Slice --- */

/* Where the channels of a Slice begin in its input; false if it is not made of constants, or steps
 * over channels. */
static bool slice_channels(const pare_channels *ch, pare_id node, int64_t *begin, int *entry)
{
    const pare_node *n = &ch->g->node[node];
    const pare_tensor *starts = constant(ch, node, 1), *axes = constant(ch, node, 3),
                      *steps = constant(ch, node, 4);
    if (!starts || !constant(ch, node, 2) || (!absent(n, 3) && !axes) || (!absent(n, 4) && !steps))
        return false;
    int rank = type_of(ch, n->in[0])->rank;
    *begin = 0;
    *entry = -1;
    for (int64_t i = 0; i < pare_tensor_count(starts); i++) {
        int64_t axis = axes ? pare_tensor_get_i64(axes, i) : i,
                start = pare_tensor_get_i64(starts, i);
        if (axis < 0) axis += rank;
        if (axis == 0) return false;
        if (axis != 1) continue;
        if (steps && pare_tensor_get_i64(steps, i) != 1) return false;
        int64_t c = pare_cells_of(ch, n->in[0]);
        *begin = start < 0 ? (start + c < 0 ? 0 : start + c) : start > c ? c : start;
        *entry = (int)i;
    }
    return true;
}

static pare_status tie_slice(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    int64_t begin;
    int entry;
    if (!plain(ch, node) || !slice_channels(ch, node, &begin, &entry)) return PARE_OK;
    for (int64_t c = 0; c < pare_cells_of(ch, n->out[0]); c++)
        pare_channels_tie(ch, n->in[0], begin + c, n->out[0], c);
    *ok = true;
    return PARE_OK;
}

static pare_status forward_slice(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    int64_t begin;
    int entry;
    float t;
    slice_channels(ch, node, &begin, &entry);
    for (int64_t c = 0; c < pare_cells_of(ch, n->out[0]); c++)
        if (known(ch, n->in[0], begin + c, &t)) learn(ch, n->out[0], c, t);
    return PARE_OK;
}

static pare_status cut_slice(const pare_channels *ch, pare_graph *g, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    int64_t begin, before = 0;
    int entry;
    slice_channels(ch, node, &begin, &entry);
    if (entry < 0) return PARE_OK;
    for (int64_t c = 0; c < begin; c++) before += pare_channel_live(ch, n->in[0], c);
    int64_t bound[2] = { before, before + pare_channels_live(ch, n->out[0]) };
    for (uint32_t slot = 1; slot <= 2; slot++) {
        pare_tensor t;
        PARE_TRY(pare_tensor_copy(constant(ch, node, slot), &t));
        if (t.dtype == PARE_I64)
            ((int64_t *)t.data)[entry] = bound[slot - 1];
        else
            ((int32_t *)t.data)[entry] = (int32_t)bound[slot - 1];
        PARE_TRY(pare_cut_put(g, node, slot, pare_weight_dense(t)));
    }
    return PARE_OK;
}

/* --- Pad --- */
typedef struct padding {
    int64_t begin, end;   /* channels before and behind */
    int at_begin, at_end; /* their places in the input "pads"; -1: none */
    float value;
    bool picture; /* other dimensions are padded too */
} padding;

static bool read_padding(const pare_channels *ch, pare_id node, padding *p)
{
    const pare_node *n = &ch->g->node[node];
    const pare_tensor *pads = constant(ch, node, 1), *value = constant(ch, node, 2),
                      *axes = constant(ch, node, 3);
    if (!pads || pads->dtype != PARE_I64 || (!absent(n, 2) && !value) || (!absent(n, 3) && !axes))
        return false;
    const pare_field *mode = n->op->attrs ? pare_field_find(n->op->attrs, "mode", 4) : NULL;
    if (mode && !pare_field_is_default(mode, n->attrs))
        return false; /* the default is "constant" */
    int64_t count = pare_tensor_count(pads) / 2;
    int rank = type_of(ch, n->in[0])->rank;
    *p = (padding){ .at_begin = -1,
                    .at_end = -1,
                    .value = value ? (float)pare_tensor_get_f64(value, 0) : 0 };
    for (int64_t i = 0; i < count; i++) {
        int64_t axis = axes ? pare_tensor_get_i64(axes, i) : i;
        int64_t begin = pare_tensor_get_i64(pads, i), end = pare_tensor_get_i64(pads, count + i);
        if (axis < 0) axis += rank;
        if (axis != 1) {
            if (axis == 0 && (begin || end)) return false;
            p->picture |= begin > 0 || end > 0;
            continue;
        }
        if (begin < 0 || end < 0) return false;
        *p = (padding){ begin, end, (int)i, (int)(count + i), p->value, p->picture };
    }
    return true;
}

static pare_status tie_pad(pare_channels *ch, pare_id node, bool *ok)
{
    const pare_node *n = &ch->g->node[node];
    padding p;
    if (!plain(ch, node) || !read_padding(ch, node, &p)) return PARE_OK;
    for (int64_t c = 0; c < pare_cells_of(ch, n->in[0]); c++)
        pare_channels_tie(ch, n->in[0], c, n->out[0], p.begin + c);
    *ok = true;
    return PARE_OK;
}

static pare_status forward_pad(pare_channels *ch, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    padding p;
    read_padding(ch, node, &p);
    int64_t c = pare_cells_of(ch, n->in[0]);
    float t;
    for (int64_t i = 0; i < pare_cells_of(ch, n->out[0]); i++)
        if (i < p.begin || i >= p.begin + c)
            learn(ch, n->out[0], i, p.value);
        else if (known(ch, n->in[0], i - p.begin, &t) && (!p.picture || t == p.value))
            learn(ch, n->out[0], i, t);
    return PARE_OK;
}

static pare_status cut_pad(const pare_channels *ch, pare_graph *g, pare_id node)
{
    const pare_node *n = &ch->g->node[node];
    padding p;
    read_padding(ch, node, &p);
    if (p.at_begin < 0) return PARE_OK;
    int64_t begin = 0, c = pare_cells_of(ch, n->in[0]);
    for (int64_t i = 0; i < p.begin; i++) begin += pare_channel_live(ch, n->out[0], i);
    pare_tensor t;
    PARE_TRY(pare_tensor_copy(constant(ch, node, 1), &t));
    ((int64_t *)t.data)[p.at_begin] = begin;
    ((int64_t *)t.data)[p.at_end] = 0;
    for (int64_t i = p.begin + c; i < pare_cells_of(ch, n->out[0]); i++)
        ((int64_t *)t.data)[p.at_end] += pare_channel_live(ch, n->out[0], i);
    return pare_cut_put(g, node, 1, pare_weight_dense(t));
}

/* --- the table --- */
static const pare_channel_rule rules[] = {
    { "Conv", tie_conv, forward_mix, cut_conv },
    { "Gemm", tie_product, forward_mix, cut_product },
    { "MatMul", tie_product, forward_mix, cut_product },
    { "BatchNormalization", tie_batchnorm, forward_batchnorm, cut_batchnorm },
    { "Add", tie_arithmetic, forward_arithmetic, cut_arithmetic },
    { "Sum", tie_arithmetic, forward_arithmetic, cut_arithmetic },
    { "Sub", tie_arithmetic, forward_arithmetic, cut_arithmetic },
    { "Mul", tie_arithmetic, forward_arithmetic, cut_arithmetic },
    { "Div", tie_arithmetic, forward_arithmetic, cut_arithmetic },
    { "Concat", tie_concat, forward_concat, NULL },
    { "MaxPool", tie_same, forward_same, NULL },
    { "GlobalMaxPool", tie_same, forward_same, NULL },
    { "GlobalAveragePool", tie_same, forward_same, NULL },
    { "AveragePool", tie_same, forward_average, NULL },
    { "Identity", tie_same, forward_same, NULL },
    { "Dropout", tie_same, forward_same, NULL },
    { "Flatten", tie_reshape, forward_reshape, NULL },
    { "Reshape", tie_reshape, forward_reshape, cut_reshape },
    { "Squeeze", tie_axes, forward_same, NULL },
    { "Unsqueeze", tie_axes, forward_same, NULL },
    { "ReduceMean", tie_axes, forward_same, NULL },
    { "ReduceMax", tie_axes, forward_same, NULL },
    { "Slice", tie_slice, forward_slice, cut_slice },
    { "Pad", tie_pad, forward_pad, cut_pad },
    { "Relu", tie_unary, forward_unary, NULL },
    { "LeakyRelu", tie_unary, forward_unary, NULL },
    { "Clip", tie_unary, forward_unary, NULL },
    { "Sigmoid", tie_unary, forward_unary, NULL },
    { "Tanh", tie_unary, forward_unary, NULL },
    { "Elu", tie_unary, forward_unary, NULL },
    { "Selu", tie_unary, forward_unary, NULL },
    { "Softplus", tie_unary, forward_unary, NULL },
    { "HardSigmoid", tie_unary, forward_unary, NULL },
    { "HardSwish", tie_unary, forward_unary, NULL },
    { "Gelu", tie_unary, forward_unary, NULL },
    { "Erf", tie_unary, forward_unary, NULL },
    { "Abs", tie_unary, forward_unary, NULL },
    { "Neg", tie_unary, forward_unary, NULL },
    { "Sqrt", tie_unary, forward_unary, NULL },
};

const pare_channel_rule *pare_channel_rule_find(const pare_node *n)
{
    for (size_t i = 0; i < sizeof rules / sizeof *rules; i++)
        if (strcmp(rules[i].op, n->op->name) == 0) return &rules[i];
    return NULL;
}
