/* PENNI: all kernels of a layer as sparse sums of a few shared basis kernels.
 *
 *   decompose   every convolution, by the best basis (uncentred singular vectors)
 *   retrain     with an L1 penalty on the coefficients; basis and coefficients take turns
 *   prune       the small coefficients
 *   finetune    what is left, both factors, without the penalty; optionally prune a little more and
 * repeat shrink      remove channels and basis kernels that nothing needs any more, exactly
 *
 * Each stage is checkpointed. Without data, or with 0 epochs, retraining and fine-tuning are left
 * out. What each layer goes through is in penni_parts.c; where this differs from the published
 * code, and why, in docs/methods/penni.md. */
#include "methods/cut.h"
#include "methods/method.h"
#include "methods/penni_parts.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct options {
    int64_t basis;
    double l1, threshold, density, min_density;
    int scope;
    double lr, weight_decay;
    int schedule;
    int64_t retrain, finetune, swap, steps;
    bool alternate;
    int init, pointwise;
    bool shrink, early, exact;
} options;

enum { LAYER, GLOBAL };
enum { DENSE, SPARSE };

static const pare_field fields[] = {
    PARE_INT(options, basis, 5, 1, 4096, "",
             "basis kernels of a layer (at most its kernel's positions)", .per_layer = true),
    PARE_REAL(options, l1, 1e-4, 0, 1, "",
              "weight of the L1 penalty on coefficients while retraining"),
    PARE_REAL(options, threshold, 1, 0, 100, "std",
              "drop coefficients below this many standard deviations of their layer",
              .per_layer = true),
    PARE_REAL(options, density, 0, 0, 1, "",
              "keep this share of the coefficients instead (0: use threshold)", .per_layer = true),
    PARE_ENUM(options, scope, GLOBAL, "layer|global",
              "whether density holds in each layer or over all"),
    PARE_REAL(options, min_density, 0.01, 0, 1, "", "no layer keeps less than this share",
              .per_layer = true),
    PARE_INT(options, retrain, 12, 0, 100000, "epochs",
             "retraining, when the total is not given (published: 100)"),
    PARE_INT(options, finetune, 6, 0, 100000, "epochs",
             "fine-tuning, when the total is not given (published: 30)"),
    PARE_REAL(options, lr, 0.01, 1e-8, 10, "", "learning rate of both phases"),
    PARE_REAL(options, weight_decay, 1e-4, 0, 1, "", "weight decay of both phases"),
    PARE_ENUM(options, schedule, 2, "constant|step|cosine",
              "of the learning rate in both phases (published: step)"),
    PARE_FLAG(options, alternate, 1,
              "coefficients and basis take turns in retraining; 0: trained together"),
    PARE_INT(options, swap, 2, 1, 100000, "epochs", "length of a turn"),
    PARE_INT(options, steps, 1, 1, 100, "", "prune in this many steps with fine-tuning after each"),
    PARE_ENUM(options, init, PARE_PENNI_SVD, "svd|random",
              "first basis: the best one, or a random orthonormal one", .per_layer = true),
    PARE_ENUM(options, pointwise, DENSE, "dense|sparse",
              "1x1 convolutions: left dense, or pruned as well", .per_layer = true),
    PARE_FLAG(options, shrink, 1, "remove channels that nothing needs"),
    PARE_FLAG(options, early, 1,
              "remove constant channels before fine-tuning already, which repairs the borders"),
    PARE_FLAG(options, exact, 1,
              "at the end only what leaves the outputs the same; 0: borders may change"),
    PARE_FIELDS_END,
};

/* One run of the method. */
typedef struct run {
    pare_job *job;
    pare_graph **g;
    const options *o;
    int64_t retrain, finetune; /* epochs; 0 without data */
    const char *stage;         /* the one being done */
    int64_t tuning;            /* epochs of this fine-tuning */
    double share; /* of the way to the final threshold or density that this pruning goes */
} run;

static bool eligible(const pare_graph *g, const pare_node *n) { return pare_penni_fits(g, n); }

static pare_status of_layer(run *r, const pare_node *n, options *out, bool *skip)
{
    *out = *r->o;
    *skip = false;
    return r->job->layer_options ? r->job->layer_options(r->job, n, r->o, out, skip) : PARE_OK;
}

static pare_status decompose(run *r)
{
    pare_graph *g = *r->g;
    int64_t done = 0, most = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        options o;
        bool skip;
        if (!n->op || !pare_penni_fits(g, n)) continue;
        PARE_TRY(of_layer(r, n, &o, &skip));
        const pare_type *t = &pare_node_weight(g, n, 1)->type;
        int64_t taps = 1;
        for (int d = 2; d < t->rank; d++) taps *= t->dim[d];
        if (skip || (taps == 1 && o.pointwise == DENSE)) continue;
        PARE_TRY(pare_penni_decompose(g, i, o.basis, o.init, r->job->seed));
        if (o.basis > most) most = o.basis;
        done++;
    }
    if (done == 0 && !pare_penni_any(g))
        return pare_fail(PARE_EUNSUPPORTED,
                         "penni: the network has no convolution that can share kernels");
    r->job->say(r->job, "decomposed %lld layers into at most %lld basis kernels each",
                (long long)done, (long long)most);
    return PARE_OK;
}

static const char *frozen(void *user, int64_t epoch)
{
    const options *o = user;
    return epoch / o->swap % 2 == 0 ? "basis" : "values"; /* the coefficients begin */
}

/* Scale can wander from coefficients to basis and so around the penalty; it is put back after every
 * epoch in which the basis was trained. */
static pare_status epoch_end(void *user, int64_t epoch, pare_graph *g)
{
    const options *o = user;
    return o->alternate && epoch / o->swap % 2 == 0 ? PARE_OK : pare_penni_renormalise(g);
}

static pare_status retrain(run *r)
{
    const options *o = r->o;
    pare_tune t = { .stage = "retrain",
                    .epochs = r->retrain,
                    .lr = o->lr,
                    .weight_decay = o->weight_decay,
                    .schedule = o->schedule,
                    .step_gamma = 0.1,
                    .l1 = o->l1,
                    .l1_codec = "penni",
                    .l1_part = "values",
                    .frozen = o->alternate ? frozen : NULL,
                    .epoch_end = epoch_end,
                    .user = (void *)o };
    return r->job->tune(r->job, *r->g, &t);
}

static pare_status rule_of(void *user, const pare_node *n, pare_prune_rule *out)
{
    run *r = user;
    options o;
    bool skip;
    PARE_TRY(of_layer(r, n, &o, &skip));
    double density = o.density > 0 ? exp(r->share * log(o.density)) : 0; /* equal ratios */
    *out = (pare_prune_rule){ density, o.threshold * r->share, o.min_density };
    return PARE_OK;
}

static pare_status remove_channels(run *r, bool exact)
{
    int64_t gone, of;
    if (!r->o->shrink) return PARE_OK;
    pare_status st = pare_shrink(*r->g, exact, &gone, &of);
    if (st == PARE_EINVAL || st == PARE_EFORMAT ||
        st == PARE_EUNSUPPORTED) { /* shapes that only running tells */
        r->job->say(r->job, "channels stay: %s", pare_error());
        pare_error_clear();
        return PARE_OK;
    }
    if (st == PARE_OK)
        r->job->say(r->job, "removed %lld of %lld channels of activations", (long long)gone,
                    (long long)of);
    return st;
}

static pare_status prune(run *r)
{
    double density;
    PARE_TRY(pare_penni_prune(*r->g, r->o->scope == GLOBAL, rule_of, r, &density));
    r->job->say(r->job, "pruned to density %.4f", density);
    return r->o->early && r->tuning > 0 ? remove_channels(r, false) : PARE_OK;
}

static pare_status shrink(run *r)
{
    PARE_TRY(remove_channels(r, r->o->exact));
    return pare_penni_pack(*r->g);
}

/* Ends a stage: from here on the network is what the checkpoint gives back, as it will be for a run
 * that resumes. */
static pare_status finish(run *r, const char *name)
{
    bool found;
    if (r->job->checkpoint) PARE_TRY(r->job->checkpoint(r->job, name, *r->g));
    return r->job->resume ? r->job->resume(r->job, name, r->g, &found) : PARE_OK;
}

/* Does a stage unless an earlier run finished it. */
static pare_status stage(run *r, const char *name, pare_status (*work)(run *r))
{
    bool found = false;
    if (r->job->resume) PARE_TRY(r->job->resume(r->job, name, r->g, &found));
    if (found) return PARE_OK;
    r->stage = name;
    PARE_TRY(work(r));
    return finish(r, name);
}

static pare_status finetune(run *r)
{
    const options *o = r->o;
    /* Only the last step lets the rate fall; the others need it to recover from their cut. */
    pare_tune t = { .stage = r->stage,
                    .epochs = r->tuning,
                    .lr = o->lr,
                    .weight_decay = o->weight_decay,
                    .schedule = r->share < 1 ? 0 : o->schedule,
                    .step_gamma = 0.1 };
    return r->job->tune(r->job, *r->g, &t);
}

static pare_status prune_and_tune(run *r)
{
    int64_t steps = r->finetune == 0 ? 1 : r->o->steps < r->finetune ? r->o->steps : r->finetune;
    for (int64_t i = 0; i < steps; i++) {
        char pruned[32], tuned[32];
        snprintf(pruned, sizeof pruned, steps > 1 ? "prune-%lld" : "prune", (long long)i + 1);
        snprintf(tuned, sizeof tuned, steps > 1 ? "finetune-%lld" : "finetune", (long long)i + 1);
        r->share = (double)(i + 1) / (double)steps;
        r->tuning = r->finetune * (i + 1) / steps - r->finetune * i / steps;
        PARE_TRY(stage(r, pruned, prune));
        if (r->tuning > 0) PARE_TRY(stage(r, tuned, finetune));
    }
    return PARE_OK;
}

static pare_status compress(pare_job *job, pare_graph **g, const void *opt)
{
    run r = { .job = job, .g = g, .o = opt };
    if (job->tune &&
        job->epochs != 0) { /* a total is split two to one, but fine-tuning gets at least one */
        int64_t n = job->epochs;
        r.retrain = n < 0 ? r.o->retrain : n * 2 / 3;
        r.finetune = n < 0 ? r.o->finetune : n - r.retrain;
    }
    PARE_TRY(stage(&r, "decompose", decompose));
    if (r.retrain > 0) PARE_TRY(stage(&r, "retrain", retrain));
    PARE_TRY(prune_and_tune(&r));
    return stage(&r, "shrink", shrink);
}

const pare_method pare_method_penni = {
    .name = "penni",
    .summary = "all kernels of a layer as sparse sums of a few shared basis kernels",
    .source =
        "Li, Hanson, Li, Chen: PENNI: Pruned Kernel Sharing for Efficient CNN Inference, ICML 2020",
    .options = fields,
    .options_size = sizeof(options),
    .eligible = eligible,
    .graph = compress,
};
