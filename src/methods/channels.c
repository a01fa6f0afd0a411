#include "methods/channels.h"

#include <stdlib.h>
#include <string.h>

static pare_id root(const pare_channels *ch, pare_id cell)
{
    while (ch->parent[cell] != cell) {
        ch->parent[cell] = ch->parent[ch->parent[cell]]; /* halve the path: the array is a cache,
                                                            the classes stay */
        cell = ch->parent[cell];
    }
    return cell;
}

void pare_channels_tie(pare_channels *ch, pare_id v, int64_t c, pare_id v2, int64_t c2)
{
    pare_id a = root(ch, ch->first[v] + (pare_id)c), b = root(ch, ch->first[v2] + (pare_id)c2);
    if (a < b)
        ch->parent[b] = a;
    else
        ch->parent[a] = b;
}

bool pare_channel_live(const pare_channels *ch, pare_id v, int64_t c)
{
    return ch->live[root(ch, ch->first[v] + (pare_id)c)];
}

int64_t pare_channels_live(const pare_channels *ch, pare_id v)
{
    int64_t count = 0;
    for (int64_t c = 0; c < pare_cells_of(ch, v); c++) count += pare_channel_live(ch, v, c);
    return count;
}

static const float *taps(const pare_mix *m, int64_t n, int64_t c)
{
    return (const float *)m->w.data + n * m->step_n + c * m->step_c;
}

bool pare_mix_reads(const pare_mix *m, int64_t n, int64_t c)
{
    const float *w = taps(m, n, c);
    for (int64_t p = 0; p < m->taps; p++)
        if (w[p] != 0) return true;
    return false;
}

double pare_mix_sum(const pare_mix *m, int64_t n, int64_t c)
{
    const float *w = taps(m, n, c);
    double sum = 0;
    for (int64_t p = 0; p < m->taps; p++) sum += (double)w[p];
    return sum * m->alpha;
}

bool pare_mix_absorbs(const pare_channels *ch, pare_id node, int64_t c)
{
    pare_id cell = ch->first[ch->g->node[node].in[0]] + (pare_id)c;
    const pare_mix *m = ch->mix[node];
    return ch->known[cell] && (ch->at[cell] == 0 || (!m->no_bias && (!m->pads || !ch->exact)));
}

static bool set_live(pare_channels *ch, pare_id v, int64_t c)
{
    bool *l = &ch->live[root(ch, ch->first[v] + (pare_id)c)];
    bool changed = !*l;
    *l = true;
    return changed;
}

static void keep_all(pare_channels *ch, pare_id v)
{
    if (!pare_has_cells(ch, v)) return;
    for (int64_t c = 0; c < pare_cells_of(ch, v); c++) {
        set_live(ch, v, c);
        ch->known[ch->first[v] + (pare_id)c] = false;
    }
}

/* Backward over one mixing node: input channels that its live filters need. */
static bool need(pare_channels *ch, pare_id node)
{
    const pare_mix *m = ch->mix[node];
    pare_id in = ch->g->node[node].in[0], out = ch->g->node[node].out[0];
    bool changed = false;
    for (int64_t c = 0; c < m->c; c++) {
        if (pare_channel_live(ch, in, c) || pare_mix_absorbs(ch, node, c)) continue;
        for (int64_t n = 0; n < m->n; n++)
            if (pare_channel_live(ch, out, n) && pare_mix_reads(m, n, c)) {
                changed |= set_live(ch, in, c);
                break;
            }
    }
    return changed;
}

/* No value may lose its last channel. */
static bool keep_one(pare_channels *ch)
{
    bool changed = false;
    for (pare_id v = 0; v < ch->g->n_values; v++)
        if (pare_has_cells(ch, v) && pare_cells_of(ch, v) > 0 && pare_channels_live(ch, v) == 0)
            changed |= set_live(ch, v, 0);
    return changed;
}

static pare_status number_cells(pare_channels *ch)
{
    const pare_graph *g = ch->g;
    int64_t total = 0;
    for (pare_id v = 0; v < g->n_values; v++) {
        const pare_value *value = &g->value[v];
        bool computed = value->producer != PARE_NONE || value->is_input;
        ch->first[v] = PARE_NONE;
        if (!computed || value->weight || value->type.rank < 2 || !pare_type_known(&value->type))
            continue;
        ch->first[v] = (pare_id)total;
        if (!pare_add_i64(total, value->type.dim[1], &total) || total >= (int64_t)(UINT32_MAX / 2))
            return pare_fail(PARE_ELIMIT,
                             "the network has too many channels to look for unused ones");
    }
    ch->n_cells = (pare_id)total;
    return PARE_OK;
}

static pare_status build(pare_channels *ch)
{
    const pare_graph *g = ch->g;
    ch->first = malloc((g->n_values + (size_t)1) * sizeof *ch->first);
    ch->rule = calloc(g->n_nodes + (size_t)1, sizeof *ch->rule);
    ch->mix = calloc(g->n_nodes + (size_t)1, sizeof *ch->mix);
    if (!ch->first || !ch->rule || !ch->mix)
        return pare_fail(PARE_ENOMEM, "no memory for the channels of a network");
    PARE_TRY(number_cells(ch));
    size_t n = ch->n_cells + (size_t)1;
    ch->parent = malloc(n * sizeof *ch->parent);
    ch->live = calloc(n, sizeof *ch->live);
    ch->known = calloc(n, sizeof *ch->known);
    ch->at = calloc(n, sizeof *ch->at);
    if (!ch->parent || !ch->live || !ch->known || !ch->at)
        return pare_fail(PARE_ENOMEM, "no memory for the %u channels of a network", ch->n_cells);
    for (pare_id i = 0; i < ch->n_cells; i++) ch->parent[i] = i;
    for (pare_id i = 0; i < g->n_nodes; i++) {
        const pare_node *node = &g->node[i];
        if (!node->op) continue;
        const pare_channel_rule *r = pare_channel_rule_find(node);
        bool ok = false;
        if (r) PARE_TRY(r->tie(ch, i, &ok));
        if (ok) ch->rule[i] = r;
    }
    for (pare_id i = 0; i < g->n_nodes; i++) {
        const pare_node *node = &g->node[i];
        if (!node->op) continue;
        if (ch->rule[i]) PARE_TRY(ch->rule[i]->forward(ch, i));
        for (uint32_t k = 0; !ch->rule[i] && k < node->n_in; k++) keep_all(ch, node->in[k]);
        for (uint32_t k = 0; !ch->rule[i] && k < node->n_out; k++) keep_all(ch, node->out[k]);
    }
    for (uint32_t i = 0; i < g->n_inputs; i++) keep_all(ch, g->input[i]);
    for (uint32_t i = 0; i < g->n_outputs; i++) keep_all(ch, g->output[i]);
    do /* what is live only grows, so this ends */
        for (bool changed = true; changed;) {
            changed = false;
            for (pare_id i = g->n_nodes; i-- > 0;)
                if (ch->mix[i]) changed |= need(ch, i);
        }
    while (keep_one(ch));
    return PARE_OK;
}

pare_status pare_channels_find(const pare_graph *g, bool exact, pare_channels *out)
{
    *out = (pare_channels){ .g = g, .exact = exact };
    pare_status st = build(out);
    if (st != PARE_OK) pare_channels_free(out);
    return st;
}

void pare_channels_free(pare_channels *ch)
{
    for (pare_id i = 0; ch->mix && i < ch->g->n_nodes; i++)
        if (ch->mix[i]) {
            pare_tensor_free(&ch->mix[i]->w);
            free(ch->mix[i]);
        }
    free(ch->first);
    free(ch->parent);
    free(ch->live);
    free(ch->known);
    free(ch->at);
    free(ch->rule);
    free(ch->mix);
    *ch = (pare_channels){ 0 };
}
