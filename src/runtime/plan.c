/* Making a plan: exact rewrites, chains, implementations, layouts, memory. Running it is run.c. */
#include "runtime/core.h"
#include "runtime/layouts.h"
#include "runtime/run.h"
#include "runtime/tucker.h"

#include "base/cpu.h"
#include "base/parallel.h"
#include "passes/pass.h"
#include "passes/qdq.h"

#include <stdlib.h>
#include <string.h>

enum { MOST_THREADS = 1024 };

void pare_core_free(pare_core *c)
{
    if (!c || atomic_fetch_sub(&c->shares, 1) > 1) return;
    for (size_t i = 0; i < c->n_work; i++) {
        pare_work *w = &c->work[i];
        if (w->packed) (w->impl->release ? w->impl->release : free)(w->packed);
        pare_chain_free(&w->chain);
    }
    for (uint32_t v = 0; c->decoded && v < c->graph->n_values; v++)
        pare_tensor_free(&c->decoded[v]);
    free(c->tuned);
    free(c->work);
    free(c->root);
    free(c->range);
    free(c->place);
    free(c->decoded);
    free(c->reorder);
    pare_graph_free(c->graph);
    free(c);
}

/* Optional outputs that nobody named get a value: eval writes them all. */
static pare_status name_outputs(pare_graph *g)
{
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; g->node[i].op && k < g->node[i].n_out; k++) {
            pare_id v;
            if (g->node[i].out[k] != PARE_NONE) continue;
            PARE_TRY(pare_graph_add_value(g, pare_graph_unique(g, "unused"), NULL, &v));
            g->node[i].out[k] = v;
            g->value[v].producer = i;
        }
    return PARE_OK;
}

static pare_status rewrite(pare_graph *g, const pare_plan_options *o)
{
    PARE_TRY(pare_bind_shapes(g, o->batch, o->shapes, o->n_shapes));
    if (!o->no_integers && !pare_force_reference(o->force)) {
        PARE_TRY(pare_infer(g, false));
        PARE_TRY(pare_qdq(g)); /* before constants are folded into float32 */
    }
    PARE_TRY(pare_passes_run(g));
    PARE_TRY(name_outputs(g));
    return pare_infer(g, false);
}

/* Steps in order; a chain stands where its last node stood, because by then its residual exists. */
static pare_status make_steps(pare_core *c, const char *force, const bool *is_view)
{
    const pare_graph *g = c->graph;
    pare_uses uses;
    PARE_TRY(pare_graph_uses(g, &uses));
    uint32_t n = g->n_nodes;
    bool *taken = calloc((size_t)n + 1, sizeof *taken);
    size_t *at = malloc(((size_t)n + 1) * sizeof *at); /* by last node: index of its step */
    c->work = calloc((size_t)n + 1, sizeof *c->work);
    pare_work *made = calloc((size_t)n + 1, sizeof *made);
    pare_status st = taken && at && c->work && made
                         ? PARE_OK
                         : pare_fail(PARE_ENOMEM, "no memory for %u steps", n);
    for (uint32_t i = 0; st == PARE_OK && i < n; i++) at[i] = SIZE_MAX;
    for (uint32_t i = 0; st == PARE_OK && i < n; i++) {
        if (taken[i] || is_view[i]) continue;
        pare_work *w = &made[c->n_work];
        w->node = &g->node[i];
        if (pare_fuses_any(w->node->op->name))
            st = pare_chain_from(g, &uses, i, taken, &w->chain);
        else
            pare_chain_alone(g, i, &w->chain);
        if (st != PARE_OK) break;
        bool named = false;
        for (int k = 1; k < w->chain.n; k++)
            named |= pare_force_names(force, g->node[w->chain.node[k]].name);
        if (named) {
            pare_chain_free(&w->chain);
            pare_chain_alone(g, i, &w->chain);
        }
        c->n_work++;
        st = pare_ask(c, force, w);
        for (int k = 0; k < w->chain.n; k++) taken[w->chain.node[k]] = true;
        at[w->chain.node[w->chain.n - 1]] = c->n_work - 1;
    }
    if (st == PARE_OK) {
        size_t next = 0;
        for (uint32_t i = 0; i < n; i++)
            if (at[i] != SIZE_MAX) c->work[next++] = made[at[i]];
    } else if (c->work && made)
        memcpy(c->work, made, c->n_work * sizeof *made);
    free(made);
    free(at);
    free(taken);
    pare_uses_free(&uses);
    return st;
}

/* Steps and what each of them is offered. */
static pare_status offer_all(pare_core *c, const pare_plan_options *o)
{
    PARE_TRY(pare_force_check(c->graph, o->force));
    if (c->choice == PARE_CHOOSE_MEASURE) PARE_TRY(pare_graph_load(c->graph)); /* packed often */
    PARE_TRY(pare_tucker_forms(c, o->force));
    size_t n = (size_t)c->graph->n_values + 1;
    bool *is_view = calloc((size_t)c->graph->n_nodes + 1, sizeof *is_view);
    c->root = calloc(n, sizeof *c->root);
    c->range = calloc(n, sizeof *c->range);
    c->place = calloc(2 * n, sizeof *c->place);
    c->decoded = calloc(n, sizeof *c->decoded);
    pare_status st = is_view && c->root && c->range && c->place && c->decoded
                         ? PARE_OK
                         : pare_fail(PARE_ENOMEM, "no memory for a plan of %zu values", n);
    if (st == PARE_OK) pare_ranges(c->graph, c->range);
    if (st == PARE_OK) st = pare_roots(c, o->force, is_view);
    if (st == PARE_OK) st = make_steps(c, o->force, is_view);
    free(is_view);
    return st;
}

/* Takes the best of what is offered. */
static pare_status build(pare_core *c)
{
    PARE_TRY(pare_layouts_choose(c));
    for (size_t i = 0; i < c->n_work; i++) pare_take(c, &c->work[i]);
    PARE_TRY(pare_pack_all(c));
    PARE_TRY(pare_layouts_meet(c));
    PARE_TRY(pare_place_all(c));
    for (size_t s = 0; s < c->n_work; s++) {
        size_t each = (c->work[s].scratch_bytes + 63) & ~(size_t)63, all;
        c->work[s].scratch_bytes = each;
        if (!pare_mul_size(each, (size_t)c->threads, &all))
            return pare_fail(PARE_ENOMEM, "scratch memory of %zu bytes a thread is too much", each);
        if (all > c->scratch_bytes) c->scratch_bytes = all;
        c->weight_bytes += c->work[s].packed_bytes;
    }
    return PARE_OK;
}

/* Has this processor instructions for the precision? */
static bool offers_precision(const pare_kernels *k, pare_precision precision)
{
    switch (precision) {
    case PARE_PRECISION_FP32: return true;
    case PARE_PRECISION_BF16X2: return k->pieces[1].conv;
    case PARE_PRECISION_BF16: return k->pieces[0].conv;
    }
    return false;
}

static pare_status check_precision(const pare_kernels *k, pare_precision precision)
{
    if (offers_precision(k, precision)) return PARE_OK;
    char cpu[160];
    return pare_fail(PARE_EUNSUPPORTED,
                     "precision %s needs %s, which %s lacks or PARE_CPU hides: say fp32",
                     precision == PARE_PRECISION_BF16 ? "bf16" : "bf16x2",
                     precision == PARE_PRECISION_BF16 ? "AVX512_BF16 or AMX" : "AMX",
                     pare_cpu_name(cpu, sizeof cpu));
}

static pare_status check_options(const pare_plan_options *o)
{
    if (o->threads < 0 || o->threads > MOST_THREADS)
        return pare_fail(PARE_EINVAL, "%d threads are not within 0 to %d", o->threads,
                         MOST_THREADS);
    if (o->batch < 0)
        return pare_fail(PARE_EINVAL, "a batch of %lld is negative", (long long)o->batch);
    return PARE_OK;
}

/* Takes over the graph, on error too. */
static pare_status new_core(pare_graph *graph, const pare_plan_options *o, pare_core **out)
{
    pare_core *c = calloc(1, sizeof *c);
    if (!c) {
        pare_graph_free(graph);
        return pare_fail(PARE_ENOMEM, "no memory for a plan");
    }
    atomic_init(&c->shares, 1);
    c->graph = graph;
    c->threads = o->threads ? o->threads : pare_cpu_count();
    c->profile = o->profile;
    c->choice = o->choice;
    c->no_winograd = o->no_winograd;
    c->precision = o->precision;
    pare_kernels_init(&c->kernels, pare_cpu_detect());
    *out = c;
    return PARE_OK;
}

pare_status pare_plan_take(pare_graph *graph, const pare_plan_options *options, pare_plan **out)
{
    static const pare_plan_options defaults = { 0 };
    const pare_plan_options *o = options ? options : &defaults;
    pare_core *c;
    PARE_TRY(new_core(graph, o, &c));
    c->tuned = pare_tuned_load(c->kernels.isa);
    pare_status st = check_options(o);
    if (st == PARE_OK) st = check_precision(&c->kernels, o->precision);
    if (st == PARE_OK) st = rewrite(graph, o);
    if (st == PARE_OK) st = offer_all(c, o);
    if (st == PARE_OK) st = build(c);
    if (st == PARE_OK) st = pare_plan_of(c, out);
    pare_core_free(c);
    return st;
}

pare_status pare_plan_create(const pare_graph *graph, const pare_plan_options *options,
                             pare_plan **out)
{
    pare_graph *own;
    PARE_TRY(pare_graph_clone(graph, &own));
    return pare_plan_take(own, options, out);
}

pare_status pare_plan_offers(const pare_graph *graph, pare_offer_fn *fn, void *user)
{
    static const pare_plan_options o = { .threads = 1, .choice = PARE_CHOOSE_MEASURE };
    pare_graph *own;
    pare_core *c;
    PARE_TRY(pare_graph_clone(graph, &own));
    PARE_TRY(new_core(own, &o, &c));
    if (offers_precision(&c->kernels, PARE_PRECISION_BF16)) c->precision = PARE_PRECISION_BF16;
    c->on_offer = fn;
    c->on_offer_user = user;
    pare_status st = rewrite(own, &o);
    if (st == PARE_OK) st = offer_all(c, &o);
    pare_core_free(c);
    return st;
}

const char *pare_isa_name(void)
{
    pare_kernels k;
    pare_kernels_init(&k, pare_cpu_detect());
    return k.isa;
}
