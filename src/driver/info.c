/* What a model is made of: layers, numbers, bytes, multiply-accumulates, and the activations alive
 * at once. The rules of counting are in docs/formats/json.md. */
#include "ops/op.h"
#include "tensor/tensor.h"

#include <stdlib.h>

/* Constants of shape arithmetic and single numbers (the bounds of a Clip, a scale) are bytes but no
 * parameters. */
static bool holds_params(const pare_weight *w)
{
    return w->codec || (w->type.dtype != PARE_I64 && w->type.rank > 0);
}

static void count_weight(const pare_weight *w, pare_layer_info *l)
{
    pare_weight_stats s;
    pare_weight_stat(w, &s);
    l->bytes += (double)s.stored_bytes;
    if (!holds_params(w)) return;
    l->params += (double)s.params;
    if (!*l->codec) l->codec = "dense";
    if (w->codec) {
        l->codec = w->codec->name;
        l->density = s.density;
    }
}

static double dense_macs(const pare_graph *g, const pare_node *n)
{
    pare_type in[PARE_MAX_IN] = { { PARE_UNDEFINED, -1, { 0 } } },
              out[PARE_MAX_OUT] = { { PARE_UNDEFINED, -1, { 0 } } };
    pare_cost c = { 0, 0 };
    for (uint32_t i = 0; i < n->n_in; i++)
        if (n->in[i] != PARE_NONE) in[i] = g->value[n->in[i]].type;
    for (uint32_t i = 0; i < n->n_out; i++)
        if (n->out[i] != PARE_NONE) out[i] = g->value[n->out[i]].type;
    if (n->op->cost) n->op->cost(n, in, out, &c);
    return c.macs;
}

/* Every element of a weight takes part equally often in the products of its node, so one number
 * tells a codec how much work its stored form saves. */
static double stored_macs(const pare_graph *g, const pare_node *n, double dense)
{
    for (uint32_t i = 0; i < n->n_in; i++) {
        const pare_weight *w = pare_node_weight(g, n, i);
        int64_t elements =
            w && w->codec && w->codec->macs ? pare_numel(w->type.rank, w->type.dim) : 0;
        if (elements > 0) return w->codec->macs(w, dense / (double)elements);
    }
    return dense;
}

static void count_layers(const pare_graph *g, bool *seen, pare_info *info)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        if (!n->op) continue;
        pare_layer_info *l = &info->layer[info->n_layers++];
        *l = (pare_layer_info){ .name = n->name,
                                .op = n->op->name,
                                .codec = "",
                                .shape = { PARE_UNDEFINED, -1, { 0 } },
                                .density = 1 };
        if (n->n_out && n->out[0] != PARE_NONE) l->shape = g->value[n->out[0]].type;
        for (uint32_t k = 0; k < n->n_in;
             k++) { /* a shared constant counts where it is read first */
            const pare_weight *w = pare_node_weight(g, n, k);
            if (w && !seen[n->in[k]]) count_weight(w, l);
            if (w) seen[n->in[k]] = true;
        }
        l->dense_macs = dense_macs(g, n);
        l->macs = stored_macs(g, n, l->dense_macs);
        info->params += l->params;
        info->bytes += l->bytes;
        info->macs += l->macs;
        info->dense_macs += l->dense_macs;
    }
}

/* The value whose memory `v` is: its own, or through views that of an earlier one. */
static pare_id memory_of(const pare_graph *g, const pare_id *root, pare_id v)
{
    return g->value[v].weight ? PARE_NONE : root[v];
}

static double bytes_of(const pare_graph *g, pare_id v)
{
    int64_t n = pare_numel(g->value[v].type.rank, g->value[v].type.dim);
    return n < 0 ? 0 : (double)n * (double)pare_dtype_size(g->value[v].type.dtype);
}

/* Walks the nodes in order; a value takes memory from its producer to its last reader, inputs from
 * the start, outputs to the end. */
static double peak_activations(const pare_graph *g, pare_id *root, uint32_t *last)
{
    for (uint32_t v = 0; v < g->n_values; v++) root[v] = v, last[v] = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        if (!n->op) continue;
        if (n->op->view && n->n_in && n->in[0] != PARE_NONE && n->n_out && n->out[0] != PARE_NONE &&
            !g->value[n->in[0]].weight)
            root[n->out[0]] = root[n->in[0]];
        for (uint32_t k = 0; k < n->n_in; k++)
            if (n->in[k] != PARE_NONE) last[root[n->in[k]]] = i;
        for (uint32_t k = 0; k < n->n_out; k++)
            if (n->out[k] != PARE_NONE && last[root[n->out[k]]] < i) last[root[n->out[k]]] = i;
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) last[root[g->output[i]]] = UINT32_MAX;
    double alive = 0, peak;
    for (uint32_t i = 0; i < g->n_inputs; i++) alive += bytes_of(g, g->input[i]);
    peak = alive;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        for (uint32_t k = 0; n->op && k < n->n_out; k++)
            if (n->out[k] != PARE_NONE && root[n->out[k]] == n->out[k])
                alive += bytes_of(g, n->out[k]);
        if (alive > peak) peak = alive;
        for (uint32_t k = 0; n->op && k < n->n_in + n->n_out; k++) {
            pare_id v = k < n->n_in ? n->in[k] : n->out[k - n->n_in];
            pare_id m = v == PARE_NONE ? PARE_NONE : memory_of(g, root, v);
            if (m == PARE_NONE || last[m] != i) continue;
            alive -= bytes_of(g, m);
            last[m] = UINT32_MAX; /* gone: not to be taken off twice */
        }
    }
    return peak;
}

static void list_ports(const pare_graph *g, const pare_id *ids, size_t n, struct pare_io *io)
{
    for (size_t i = 0; i < n; i++) {
        io[i].name = g->value[ids[i]].name;
        io[i].type = g->value[ids[i]].type;
    }
}

static pare_status fill(const pare_graph *g, pare_info *info)
{
    bool *seen = calloc((size_t)g->n_values + 1, sizeof *seen);
    pare_id *root = malloc(((size_t)g->n_values + 1) * sizeof *root);
    uint32_t *last = malloc(((size_t)g->n_values + 1) * sizeof *last);
    info->layer = calloc((size_t)g->n_nodes + 1, sizeof *info->layer);
    info->input = calloc((size_t)g->n_inputs + 1, sizeof *info->input);
    info->output = calloc((size_t)g->n_outputs + 1, sizeof *info->output);
    pare_status st = PARE_OK;
    if (!seen || !root || !last || !info->layer || !info->input || !info->output)
        st = pare_fail(PARE_ENOMEM, "no memory to count %u nodes", g->n_nodes);
    else {
        count_layers(g, seen, info);
        info->peak_activation_bytes = peak_activations(g, root, last);
        info->opset = g->opset;
        info->n_inputs = g->n_inputs;
        info->n_outputs = g->n_outputs;
        list_ports(g, g->input, g->n_inputs, info->input);
        list_ports(g, g->output, g->n_outputs, info->output);
    }
    free(seen);
    free(root);
    free(last);
    return st;
}

pare_status pare_model_info(const pare_graph *graph, int64_t batch, const pare_shape *shapes,
                            size_t n_shapes, pare_info *out)
{
    pare_graph *g;
    pare_info info = { 0 };
    PARE_TRY(pare_graph_in_memory(graph));
    PARE_TRY(pare_graph_clone(graph, &g));
    pare_status st = pare_bind_shapes(g, batch, shapes, n_shapes);
    if (st == PARE_OK) st = pare_infer(g, false);
    if (st == PARE_OK) st = fill(g, &info);
    info.owner = pare_arena_share(g->arena); /* names live there */
    pare_graph_free(g);
    if (st == PARE_OK)
        *out = info;
    else
        pare_info_free(&info);
    return st;
}

void pare_info_free(pare_info *info)
{
    if (!info) return;
    free(info->layer);
    free(info->input);
    free(info->output);
    pare_arena_free(info->owner);
    *info = (pare_info){ 0 };
}
