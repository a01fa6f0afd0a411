#include "methods/cut.h"

#include "codecs/bitmap.h"
#include "codecs/penni.h"

#include <stdlib.h>
#include <string.h>

pare_status pare_cut_keep(const pare_channels *ch, pare_id v, bool **keep, int64_t *kept)
{
    int64_t n = pare_cells_of(ch, v);
    bool *k = malloc((size_t)n + 1);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for %lld channels", (long long)n);
    *kept = 0;
    for (int64_t c = 0; c < n; c++) *kept += k[c] = pare_channel_live(ch, v, c);
    *keep = k;
    return PARE_OK;
}

pare_status pare_cut_put(pare_graph *g, pare_id node, uint32_t slot, pare_weight w)
{
    pare_node *n = &g->node[node];
    pare_id v = slot < n->n_in ? n->in[slot] : PARE_NONE;
    uint32_t readers = 0;
    for (uint32_t i = 0; v != PARE_NONE && i < g->n_nodes; i++)
        for (uint32_t k = 0; g->node[i].op && k < g->node[i].n_in; k++)
            readers += g->node[i].in[k] == v;
    if (readers == 1 && !g->value[v].is_output) return pare_graph_set_weight(g, v, w);
    const char *base = v != PARE_NONE ? g->value[v].name : n->name;
    char *name = pare_arena_alloc(g->arena, strlen(base) + 8);
    pare_id *in = pare_arena_array(
        g->arena, (size_t)slot + 1 > n->n_in ? (size_t)slot + 1 : n->n_in, sizeof *in);
    if (!name || !in) {
        pare_weight_free(&w);
        return pare_fail(PARE_ENOMEM, "no memory for a constant of '%s'", n->name);
    }
    strcpy(name, base);
    if (v == PARE_NONE) strcat(name, ".bias");
    pare_id fresh;
    PARE_TRY(pare_graph_add_constant(g, pare_graph_unique(g, name), w, &fresh));
    for (uint32_t k = 0; k <= slot || k < n->n_in; k++) in[k] = k < n->n_in ? n->in[k] : PARE_NONE;
    in[slot] = fresh;
    n->in = in;
    if (n->n_in <= slot) n->n_in = slot + 1;
    return PARE_OK;
}

/* Copies the elements of `t` whose index along `axis` is kept. */
static pare_status cut_axis(const pare_tensor *t, int axis, const bool *keep, int64_t kept,
                            pare_tensor *out)
{
    pare_type type = pare_tensor_type(t);
    size_t inner = pare_dtype_size(t->dtype);
    int64_t outer = 1;
    for (int i = axis + 1; i < t->rank; i++) inner *= (size_t)t->dim[i];
    for (int i = 0; i < axis; i++) outer *= t->dim[i];
    type.dim[axis] = kept;
    PARE_TRY(pare_tensor_of(&type, out));
    const char *from = t->data;
    char *to = out->data;
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < t->dim[axis]; i++, from += inner) {
            if (!keep[i]) continue;
            memcpy(to, from, inner);
            to += inner;
        }
    return PARE_OK;
}

static pare_status cut_penni(const pare_weight *w, const bool *keep_n, int64_t n,
                             const bool *keep_c, int64_t c, pare_weight *out)
{
    pare_penni_dims s = pare_penni_dims_of(w);
    pare_type type = w->type;
    if (keep_n) type.dim[0] = n;
    if (keep_c) type.dim[1] = c;
    float *a = malloc((size_t)(s.n * s.c * s.d + 1) * sizeof *a), *to = a;
    if (!a)
        return pare_fail(PARE_ENOMEM, "no memory for %lld coefficients",
                         (long long)(s.n * s.c * s.d));
    pare_penni_coefficients(w, a);
    for (int64_t row = 0; row < s.n * s.c; row++) {
        if ((keep_n && !keep_n[row / s.c]) || (keep_c && !keep_c[row % s.c])) continue;
        memmove(to, a + row * s.d, (size_t)s.d * sizeof *a);
        to += s.d;
    }
    pare_status st = pare_penni_encode(&type, s.d, a, NULL, w->part[PARE_PENNI_BASIS].data, out);
    free(a);
    return st;
}

pare_status pare_cut_slot(const pare_channels *ch, pare_graph *g, pare_id node, uint32_t slot,
                          pare_id v, int axis, pare_id v2, int axis2)
{
    const pare_weight *w = pare_node_weight(g, &g->node[node], slot);
    bool *keep = NULL, *keep2 = NULL;
    int64_t kept = 0, kept2 = 0;
    pare_tensor dense = { 0 }, once = { 0 }, twice = { 0 };
    pare_weight made = { 0 };
    pare_status st = pare_cut_keep(ch, v, &keep, &kept);
    if (st == PARE_OK && v2 != PARE_NONE) st = pare_cut_keep(ch, v2, &keep2, &kept2);
    if (st != PARE_OK ||
        (kept == pare_cells_of(ch, v) && (!keep2 || kept2 == pare_cells_of(ch, v2))))
        goto done;
    if (w->codec == &pare_codec_penni)
        st = cut_penni(w, keep, kept, keep2, kept2, &made);
    else {
        st = pare_weight_decode(w, &dense);
        if (st == PARE_OK) st = cut_axis(&dense, axis, keep, kept, &once);
        if (st == PARE_OK && keep2) st = cut_axis(&once, axis2, keep2, kept2, &twice);
        pare_tensor *cut = keep2 ? &twice : &once;
        if (st == PARE_OK && w->codec == &pare_codec_bitmap) {
            pare_type type = pare_tensor_type(cut);
            st = pare_bitmap_encode(&type, cut->data, NULL, &made);
        } else if (st == PARE_OK) {
            made = pare_weight_dense(*cut);
            *cut = (pare_tensor){ 0 };
        }
    }
    if (st == PARE_OK) st = pare_cut_put(g, node, slot, made);
done:
    pare_tensor_free(&dense);
    pare_tensor_free(&once);
    pare_tensor_free(&twice);
    free(keep);
    free(keep2);
    return st;
}

static pare_status cut_all(const pare_channels *ch, pare_graph *g)
{
    for (pare_id i = 0; i < ch->g->n_nodes; i++) {
        const pare_channel_rule *r = ch->rule[i];
        if (r && r->cut) PARE_TRY(pare_note(r->cut(ch, g, i), "node '%s'", g->node[i].name));
    }
    for (pare_id v = 0; v < ch->g->n_values; v++)
        if (pare_has_cells(ch, v) && g->value[v].type.rank >= 2)
            g->value[v].type.dim[1] = pare_channels_live(ch, v);
    return PARE_OK;
}

/* Shapes for looking at channels: what is free becomes `size`, as convolutions and pools do not
 * care. */
static pare_status infer_for(pare_graph *typed, int64_t size)
{
    for (uint32_t i = 0; i < typed->n_inputs; i++) {
        pare_type *t = &typed->value[typed->input[i]].type;
        for (int d = 1; d < t->rank; d++)
            if (t->dim[d] < 0) t->dim[d] = size;
    }
    PARE_TRY(pare_bind_shapes(typed, 1, NULL, 0));
    return pare_infer(typed, false);
}

pare_status pare_shrink(pare_graph *g, bool exact, int64_t *gone, int64_t *of)
{
    pare_graph *typed = NULL;
    pare_channels ch = { 0 };
    PARE_TRY(pare_graph_clone(g, &typed));
    pare_status st = infer_for(typed, 64);
    if (st == PARE_OK) st = pare_channels_find(typed, exact, &ch);
    *gone = *of = 0;
    for (pare_id v = 0; st == PARE_OK && v < typed->n_values; v++)
        if (pare_has_cells(&ch, v)) {
            *of += pare_cells_of(&ch, v);
            *gone += pare_cells_of(&ch, v) - pare_channels_live(&ch, v);
        }
    if (st == PARE_OK && *gone > 0) st = cut_all(&ch, g);
    pare_channels_free(&ch);
    pare_graph_free(typed);
    return st;
}
