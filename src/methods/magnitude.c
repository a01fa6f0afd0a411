/* Magnitude pruning: in each convolution keep the weights of largest absolute value, zero the rest,
 * and fine-tune what is left. Stored with the codec bitmap. The yardstick for methods that change
 * the form of a weight, so it takes the same layers and rules as penni. */
#include "codecs/bitmap.h"
#include "methods/cut.h"
#include "methods/method.h"
#include "methods/penni_parts.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    double density, threshold, min_density;
    int scope, pointwise;
    int64_t steps, finetune;
    double lr, weight_decay;
    int schedule;
    bool shrink;
} options;

enum { LAYER, GLOBAL };
enum { DENSE, SPARSE };

static const pare_field fields[] = {
    PARE_REAL(options, density, 0.2, 0, 1, "", "share of the weights to keep (0: use threshold)",
              .per_layer = true),
    PARE_REAL(options, threshold, 1, 0, 100, "std",
              "drop weights below this many standard deviations of their layer", .per_layer = true),
    PARE_ENUM(options, scope, GLOBAL, "layer|global",
              "whether density holds in each layer or over all"),
    PARE_REAL(options, min_density, 0.01, 0, 1, "", "no layer keeps less than this share",
              .per_layer = true),
    PARE_ENUM(options, pointwise, DENSE, "dense|sparse",
              "1x1 convolutions: left dense, or pruned as well", .per_layer = true),
    PARE_INT(options, steps, 1, 1, 100, "", "prune in this many steps with fine-tuning after each"),
    PARE_INT(options, finetune, 18, 0, 100000, "epochs",
             "fine-tuning, when the total is not given"),
    PARE_REAL(options, lr, 0.01, 1e-8, 10, "", "learning rate"),
    PARE_REAL(options, weight_decay, 1e-4, 0, 1, "", "weight decay"),
    PARE_ENUM(options, schedule, 2, "constant|step|cosine", "of the learning rate"),
    PARE_FLAG(options, shrink, 1, "remove channels that nothing needs"),
    PARE_FIELDS_END,
};

static bool eligible(const pare_graph *g, const pare_node *n) { return pare_penni_fits(g, n); }

static bool pointwise(const pare_type *t)
{
    for (int i = 2; i < t->rank; i++)
        if (t->dim[i] != 1) return false;
    return true;
}

/* A layer that is pruned: its weight's value, and a writable copy of the dense numbers. */
typedef struct layer {
    pare_id value;
    pare_tensor dense;
} layer;

/* `share`: of the way to the final density or threshold. */
static pare_status collect(pare_job *job, pare_graph *g, const options *o, double share, layer *l,
                           pare_prune_item *item, size_t *n)
{
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *node = &g->node[i];
        options own = *o;
        bool skip = false, again = false;
        if (!node->op || !pare_penni_fits(g, node)) continue;
        for (size_t k = 0; k < *n; k++) again |= l[k].value == node->in[1];
        if (again) continue;
        if (job->layer_options) PARE_TRY(job->layer_options(job, node, o, &own, &skip));
        const pare_weight *w = pare_node_weight(g, node, 1);
        if (skip || (own.pointwise == DENSE && pointwise(&w->type))) continue;
        l[*n].value = node->in[1];
        PARE_TRY(pare_weight_decode(w, &l[*n].dense));
        double density = own.density > 0 ? exp(share * log(own.density)) : 0; /* equal ratios */
        item[*n].rule = (pare_prune_rule){ density, own.threshold * share, own.min_density };
        size_t at = (*n)++;
        PARE_TRY(pare_tensor_writable(&l[at].dense));
        item[at].x = l[at].dense.data;
        item[at].n = pare_tensor_count(&l[at].dense);
    }
    return *n ? PARE_OK
              : pare_fail(PARE_EUNSUPPORTED, "magnitude: the network has no convolution to prune");
}

static pare_status prune(pare_job *job, pare_graph *g, const options *o, double share)
{
    layer *l = calloc(g->n_nodes + (size_t)1, sizeof *l);
    pare_prune_item *item = calloc(g->n_nodes + (size_t)1, sizeof *item);
    size_t n = 0;
    int64_t kept = 0, total = 0;
    pare_status st =
        l && item ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory to prune %u layers", g->n_nodes);
    if (st == PARE_OK) st = collect(job, g, o, share, l, item, &n);
    if (st == PARE_OK) st = pare_prune_cuts(item, n, o->scope == GLOBAL);
    for (size_t i = 0; st == PARE_OK && i < n; i++) {
        pare_type type = pare_tensor_type(&l[i].dense);
        pare_weight made;
        kept += pare_prune_apply(&item[i]);
        total += item[i].n;
        st = pare_bitmap_encode(&type, item[i].x, NULL, &made);
        if (st == PARE_OK) st = pare_graph_set_weight(g, l[i].value, made);
    }
    for (size_t i = 0; l && i < n; i++) pare_tensor_free(&l[i].dense);
    free(l);
    free(item);
    if (st == PARE_OK)
        job->say(job, "pruned %zu layers to density %.4f", n,
                 total ? (double)kept / (double)total : 1);
    return st;
}

typedef struct run {
    pare_job *job;
    pare_graph **g;
    const options *o;
    double share; /* of the way to the final density or threshold that this pruning goes */
    pare_tune tune;
} run;

static pare_status tune(run *r) { return r->job->tune(r->job, *r->g, &r->tune); }
static pare_status cut(run *r) { return prune(r->job, *r->g, r->o, r->share); }

/* Does a stage unless an earlier run finished it. */
static pare_status stage(run *r, const char *name, pare_status (*work)(run *r))
{
    bool found = false;
    if (r->job->resume) PARE_TRY(r->job->resume(r->job, name, r->g, &found));
    if (found) return PARE_OK;
    PARE_TRY(work(r));
    return r->job->checkpoint ? r->job->checkpoint(r->job, name, *r->g) : PARE_OK;
}

static pare_status prune_and_tune(run *r, int64_t epochs)
{
    const options *o = r->o;
    int64_t steps = epochs == 0 ? 1 : o->steps < epochs ? o->steps : epochs;
    for (int64_t i = 0; i < steps; i++) {
        char pruned[32], tuned[32];
        snprintf(pruned, sizeof pruned, steps > 1 ? "prune-%lld" : "prune", (long long)i + 1);
        snprintf(tuned, sizeof tuned, steps > 1 ? "finetune-%lld" : "finetune", (long long)i + 1);
        r->share = (double)(i + 1) / (double)steps;
        r->tune = (pare_tune){ .stage = tuned,
                               .epochs = epochs * (i + 1) / steps - epochs * i / steps,
                               .lr = o->lr,
                               .weight_decay = o->weight_decay,
                               .schedule = r->share < 1 ? 0 : o->schedule, /* falls only at last */
                               .step_gamma = 0.1 };
        PARE_TRY(stage(r, pruned, cut));
        if (r->tune.epochs > 0) PARE_TRY(stage(r, tuned, tune));
    }
    return PARE_OK;
}

static pare_status compress(pare_job *job, pare_graph **g, const void *opt)
{
    const options *o = opt;
    run r = { .job = job, .g = g, .o = o };
    PARE_TRY(prune_and_tune(&r, !job->tune ? 0 : job->epochs < 0 ? o->finetune : job->epochs));
    if (!o->shrink) return PARE_OK;
    int64_t gone, of;
    pare_status st = pare_shrink(*g, true, &gone, &of);
    if (st == PARE_EINVAL || st == PARE_EFORMAT || st == PARE_EUNSUPPORTED) {
        job->say(job, "channels stay: %s", pare_error());
        pare_error_clear();
        st = PARE_OK;
    }
    return st;
}

const pare_method pare_method_magnitude = {
    .name = "magnitude",
    .summary = "zero the smallest weights of each convolution",
    .source = "Han, Pool, Tran, Dally: Learning both Weights and Connections for Efficient Neural "
              "Networks, "
              "NeurIPS 2015",
    .options = fields,
    .options_size = sizeof(options),
    .eligible = eligible,
    .graph = compress,
};
