#include "driver/report.h"

#include "codecs/penni.h"
#include "onnx/onnx.h"
#include "ops/attr.h"

#include <stdlib.h>
#include <string.h>

/* Counts for batch 1; *info empty and *known false for a network whose input has other free
 * dimensions and no shape was given. */
static pare_status count(const pare_graph *g, const pare_shape *shapes, size_t n_shapes,
                         pare_info *info, bool *known)
{
    *info = (pare_info){ 0 };
    pare_status st = pare_model_info(g, 1, shapes, n_shapes, info);
    *known = st == PARE_OK;
    if (st != PARE_EINVAL || n_shapes) return st;
    pare_error_clear();
    return PARE_OK;
}

pare_status pare_measure_size(const pare_graph *g, const pare_shape *shapes, size_t n_shapes,
                              pare_measure *out)
{
    *out = (pare_measure){ -1, -1, -1, -1, -1 };
    pare_info info;
    bool known;
    PARE_TRY(count(g, shapes, n_shapes, &info, &known));
    if (known) {
        out->params = info.params;
        out->macs = info.macs;
        pare_info_free(&info);
    }
    uint8_t *data;
    size_t size;
    PARE_TRY(pare_onnx_write(g, &data, &size));
    free(data);
    out->bytes = (double)size;
    return PARE_OK;
}

/* Channels in and out of a node that multiplies by its weight; false for others. */
static bool channels(const pare_graph *g, const pare_node *n, int64_t *in, int64_t *out)
{
    const pare_weight *w = n->op ? pare_node_weight(g, n, 1) : NULL;
    if (!w) return false;
    if (strcmp(n->op->name, "Conv") == 0 && w->type.rank >= 3) {
        *out = w->type.dim[0];
        *in = w->type.dim[1] * pare_attr_int(n, "group", 1);
    } else if (strcmp(n->op->name, "ConvTranspose") == 0 && w->type.rank >= 3) {
        *in = w->type.dim[0];
        *out = w->type.dim[1] * pare_attr_int(n, "group", 1);
    } else if ((strcmp(n->op->name, "Gemm") == 0 || strcmp(n->op->name, "MatMul") == 0) &&
               w->type.rank == 2) {
        bool across = pare_attr_int(n, "transB", 0) != 0;
        *in = w->type.dim[across ? 1 : 0];
        *out = w->type.dim[across ? 0 : 1];
    } else
        return false;
    return true;
}

static const pare_node *find_node(const pare_graph *g, const char *name)
{
    for (uint32_t i = 0; i < g->n_nodes; i++)
        if (g->node[i].op && strcmp(g->node[i].name, name) == 0) return &g->node[i];
    return NULL;
}

static double macs_of(const pare_info *info, const char *name)
{
    for (size_t i = 0; i < info->n_layers; i++)
        if (strcmp(info->layer[i].name, name) == 0) return info->layer[i].macs;
    return -1;
}

static pare_status fill(const pare_graph *before, const pare_graph *after, const pare_info *b,
                        const pare_info *a, pare_arena *arena, pare_compress_report *r)
{
    r->layer = pare_arena_array(arena, before->n_nodes + (size_t)1, sizeof *r->layer);
    if (!r->layer) return pare_fail(PARE_ENOMEM, "no memory for a report");
    double kept = 0, total = 0;
    for (uint32_t i = 0; i < before->n_nodes; i++) {
        const pare_node *n = &before->node[i], *m;
        pare_compress_layer *l = &r->layer[r->n_layers];
        if (!channels(before, n, &l->in_before, &l->out_before) || !(m = find_node(after, n->name)))
            continue;
        if (!channels(after, m, &l->in_after, &l->out_after)) continue;
        const pare_weight *w = pare_node_weight(before, n, 1), *u = pare_node_weight(after, m, 1);
        pare_weight_stats sw, su;
        pare_weight_stat(w, &sw);
        pare_weight_stat(u, &su);
        l->name = pare_arena_str(arena, n->name);
        l->op = n->op->name;
        l->codec = u->codec ? u->codec->name : "dense";
        if (!l->name) return pare_fail(PARE_ENOMEM, "no memory for a report");
        l->params_before = (double)sw.params;
        l->params_after = (double)su.params;
        l->macs_before = macs_of(b, n->name);
        l->macs_after = macs_of(a, n->name);
        l->density = su.density;
        /* Coefficients of the layer as it was before channels went, so that what is removed with
         * them counts.
         */
        double all = (double)pare_numel(w->type.rank, w->type.dim),
               now = (double)pare_numel(u->type.rank, u->type.dim);
        if (u->codec == &pare_codec_penni) {
            pare_penni_dims d = pare_penni_dims_of(u);
            l->basis = d.d;
            all *= (double)d.d / (double)d.k;
            now *= (double)d.d / (double)d.k;
        }
        if (u->codec) {
            kept += su.density * now;
            total += all;
        }
        r->n_layers++;
    }
    r->density = total > 0 ? kept / total : 1;
    return PARE_OK;
}

pare_status pare_report_layers(const pare_graph *before, const pare_graph *after,
                               const pare_shape *shapes, size_t n_shapes, pare_arena *arena,
                               pare_compress_report *r)
{
    pare_info b, a;
    bool known_b, known_a;
    PARE_TRY(count(before, shapes, n_shapes, &b, &known_b));
    pare_status st = count(after, shapes, n_shapes, &a, &known_a);
    if (st == PARE_OK) {
        st = fill(before, after, &b, &a, arena, r);
        if (known_a) pare_info_free(&a);
    }
    if (known_b) pare_info_free(&b);
    return st;
}
