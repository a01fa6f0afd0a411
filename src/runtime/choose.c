/* Which implementations offer to run a step: the candidates that accept, in list order; for each
 * pair of layouts the smallest modelled or measured time wins, the earlier one on a tie. */
#include "runtime/core.h"
#include "runtime/measure.h"

#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const double last_resort_ns = 1e18;

/* --- force: "PATTERN,LAYER=PATTERN,..." --- */
typedef struct rule {
    char layer[256],
        pattern[128]; /* layer "": every layer whose operator has an implementation of that name */
} rule;

/* The next rule of the list, false at its end. `*at` moves on. */
static bool next_rule(const char **at, rule *r)
{
    while (**at == ',' || **at == ' ') (*at)++;
    if (!**at) return false;
    size_t len = strcspn(*at, ",");
    const char *eq = memchr(*at, '=', len), *pattern = eq ? eq + 1 : *at;
    snprintf(r->layer, sizeof r->layer, "%.*s", eq ? (int)(eq - *at) : 0, *at);
    snprintf(r->pattern, sizeof r->pattern, "%.*s", (int)(len - (size_t)(pattern - *at)), pattern);
    *at += len;
    return true;
}

pare_status pare_force_check(const pare_graph *g, const char *force)
{
    rule r;
    for (const char *at = force ? force : ""; next_rule(&at, &r);) {
        bool known = false, layer = !*r.layer;
        for (const pare_impl *const *i = pare_impls; *i && !known; i++)
            known = fnmatch(r.pattern, (*i)->name, 0) == 0;
        if (!known)
            return pare_fail(PARE_EINVAL, "force: no implementation is named '%s'", r.pattern);
        for (uint32_t i = 0; i < g->n_nodes && !layer; i++)
            layer = g->node[i].op && fnmatch(r.layer, g->node[i].name, 0) == 0;
        if (!layer)
            return pare_fail(PARE_EINVAL, "force: no layer is named '%s' after the exact rewrites",
                             r.layer);
    }
    return PARE_OK;
}

bool pare_force_names(const char *force, const char *layer)
{
    rule r;
    for (const char *at = force ? force : ""; next_rule(&at, &r);)
        if (*r.layer && fnmatch(r.layer, layer, 0) == 0) return true;
    return false;
}

bool pare_force_reference(const char *force)
{
    rule r;
    for (const char *at = force ? force : ""; next_rule(&at, &r);)
        if (!*r.layer && strcmp(r.pattern, "reference") == 0) return true;
    return false;
}

bool pare_force_allows(const char *force, const pare_node *n, const pare_impl *impl, bool *forced)
{
    rule r;
    bool named = false, named_ok = false, general = false, general_ok = false;
    for (const char *at = force ? force : ""; next_rule(&at, &r);) {
        bool match = fnmatch(r.pattern, impl->name, 0) == 0;
        if (*r.layer) {
            if (fnmatch(r.layer, n->name, 0) != 0) continue;
            named = true;
            named_ok |= match;
            continue;
        }
        /* "conv_gemm" says nothing about a Relu. */
        bool speaks = false;
        for (const pare_impl *const *i = pare_impls; *i && !speaks; i++)
            speaks = pare_impl_for(*i, n->op->name) && fnmatch(r.pattern, (*i)->name, 0) == 0;
        general |= speaks;
        general_ok |= match;
    }
    *forced = named || general;
    if (named) return named_ok;
    return !general || general_ok;
}

bool pare_fuses_any(const char *op)
{
    for (const pare_impl *const *i = pare_impls; *i; i++)
        if ((*i)->fuses && (*i)->op && pare_impl_for(*i, op)) return true;
    return false;
}

/* --- asking --- */
static void question(const pare_core *c, const pare_work *w, pare_question *q)
{
    const pare_graph *g = c->graph;
    *q = (pare_question){ .p = { .node = w->node,
                                 .kernels = &c->kernels,
                                 .threads = c->threads,
                                 .no_winograd = c->no_winograd,
                                 .precision = c->precision,
                                 .epilogue = w->chain.epilogue } };
    for (uint32_t i = 0; i < w->node->n_in; i++) {
        pare_id v = w->node->in[i];
        if (v == PARE_NONE) continue;
        q->in[i] = g->value[v].type;
        q->weight[i] = g->value[v].weight;
        if (q->weight[i] && q->weight[i]->codec && !q->codec) q->codec = q->weight[i]->codec->name;
    }
    for (uint32_t i = 0; i < w->node->n_out; i++)
        if (w->node->out[i] != PARE_NONE) q->out[i] = g->value[w->node->out[i]].type;
    if (w->node->n_in > 0 && w->node->in[0] != PARE_NONE) q->p.x = c->range[w->node->in[0]];
    q->p.in = q->in;
    q->p.out = q->out;
    q->p.weight = q->weight;
}

/* Is it for weights stored with one codec? The last resort takes them all, decoded. */
static bool for_codec(const pare_impl *impl)
{
    return impl->codec && strcmp(impl->codec, "*") != 0;
}

/* Lets q->weight name the dense forms of encoded inputs, which are q's until let_go(): all of a
 * network's would be there at once if the plan kept them. */
static pare_status decode(const pare_core *c, const pare_work *w, pare_question *q)
{
    for (uint32_t i = 0; i < w->node->n_in; i++) {
        if (!q->weight[i] || !q->weight[i]->codec) continue;
        pare_id v = w->node->in[i];
        pare_tensor t;
        if (c->decoded[v].data)
            t = pare_tensor_ref(&c->decoded[v]);
        else
            PARE_TRY(pare_note(pare_weight_decode(q->weight[i], &t), "weight '%s'",
                               c->graph->value[v].name));
        q->dense[i] = pare_weight_dense(t);
        q->weight[i] = &q->dense[i];
    }
    return PARE_OK;
}

static void let_go(const pare_work *w, pare_question *q)
{
    for (uint32_t i = 0; i < w->node->n_in; i++) pare_weight_free(&q->dense[i]);
}

/* Lets q->weight name a dense form without numbers. Decoding takes time, and no implementation of a
 * Conv looks at the numbers before it is to prepare. */
static void stand_in(const pare_work *w, pare_question *q)
{
    for (uint32_t i = 0; i < w->node->n_in; i++) {
        if (!q->weight[i] || !q->weight[i]->codec) continue;
        q->dense[i] =
            (pare_weight){ .type = q->in[i], .part = { pare_tensor_borrow(&q->in[i], NULL) } };
        q->weight[i] = &q->dense[i];
    }
}

/* Implementations other than the last resort need not deal with empty tensors. */
static bool empty(const pare_work *w, const pare_question *q)
{
    for (uint32_t i = 0; i < w->node->n_in; i++)
        if (q->in[i].dtype != PARE_UNDEFINED && pare_numel(q->in[i].rank, q->in[i].dim) == 0)
            return true;
    for (uint32_t i = 0; i < w->node->n_out; i++)
        if (pare_numel(q->out[i].rank, q->out[i].dim) == 0) return true;
    return false;
}

static void offer(pare_work *w, pare_offer got)
{
    int pair = pare_layout_pair(got.impl);
    pare_offer *best = &w->offer[pair], *second = &w->next[pair];
    w->offers++;
    if (got.ns < best->ns) {
        *second = *best;
        *best = got;
    } else if (got.ns < second->ns)
        *second = got;
}

/* A residual that is a constant lies plain, whatever the step would like. */
static bool constant_residual(const pare_core *c, const pare_work *w)
{
    pare_id r = w->chain.residual;
    return r != PARE_NONE && c->graph->value[c->root[r]].weight;
}

/* Of input 0 an implementation may not know that it is a constant: it lies plain, and is freed
 * after packing. */
static bool takes_first(const pare_impl *impl, const pare_question *q)
{
    return !q->weight[0] || impl->first_constant || (impl->takes == PARE_PLAIN && !impl->packs);
}

/* Is input 1, the weight, stored with the codec that the implementation is for? */
static bool has_codec(const pare_impl *impl, const pare_question *q)
{
    const pare_weight *w = q->weight[1];
    return w && w->codec && strcmp(impl->codec, w->codec->name) == 0;
}

/* Fills the offers with the best of what accepts the question; w->offers 0 if nothing does. *dense:
 * to let_go(). */
static pare_status offers(const pare_core *c, const char *force, pare_work *w, pare_question *dense)
{
    pare_question coded;
    question(c, w, &coded);
    coded.p.threads = c->on_offer ? c->threads : PARE_MODEL_THREADS;
    *dense = coded;
    dense->p.in = dense->in, dense->p.out = dense->out, dense->p.weight = dense->weight;
    const pare_epilogue *e = &w->chain.epilogue;
    bool plain = !e->scale && !e->residual && !e->gate && !e->gelu && e->act == PARE_ACT_NONE,
         has_empty = empty(w, &coded), decoded = false,
         lazy = c->choice != PARE_CHOOSE_MEASURE && strcmp(w->node->op->name, "Conv") == 0,
         no_blocks = constant_residual(c, w);
    for (int i = 0; i < PARE_LAYOUT_PAIRS; i++)
        w->offer[i] = w->next[i] = (pare_offer){ .ns = INFINITY };
    w->offers = 0;
    w->forced = false;
    for (const pare_impl *const *i = pare_impls; *i; i++) {
        const pare_impl *impl = *i;
        bool composed = coded.codec && !for_codec(impl);
        if (!pare_impl_for(impl, w->node->op->name) || (!plain && !impl->fuses) ||
            (has_empty && impl->op) || (no_blocks && impl->takes == PARE_BLOCKED) ||
            !takes_first(impl, &coded) || (for_codec(impl) && !has_codec(impl, &coded)))
            continue;
        if (!pare_force_allows(force, w->node, impl, &w->forced)) continue;
        if (composed && !decoded) {
            if (lazy)
                stand_in(w, dense);
            else
                PARE_TRY(decode(c, w, dense));
            decoded = true;
        }
        const pare_prepare *p = composed ? &dense->p : &coded.p;
        if (!impl->accepts(p)) continue;
        pare_offer got = { impl, composed,
                           impl->model_ns
                               ? impl->model_ns(p) * pare_tuned_factor(c->tuned, impl->name)
                               : last_resort_ns };
        double modelled = got.ns;
        if (c->choice == PARE_CHOOSE_MEASURE && impl->model_ns)
            PARE_TRY(pare_measure(c, w, impl, p, &got.ns));
        if (!isfinite(got.ns)) /* the search for layouts could not compare it */
            return pare_fail(PARE_EINTERNAL, "node '%s': the time of %s is not finite",
                             w->node->name, impl->name);
        if (c->on_offer && impl->model_ns)
            c->on_offer(c->on_offer_user, impl->name, modelled, got.ns);
        offer(w, got);
    }
    return PARE_OK;
}

/* The best offer besides the one taken: there are two or more. */
static pare_offer runner_up(const pare_work *w)
{
    pare_offer best = { .ns = INFINITY };
    for (int i = 0; i < PARE_LAYOUT_PAIRS; i++) {
        const pare_offer *o = i == w->chosen ? &w->next[i] : &w->offer[i];
        if (o->impl && o->ns < best.ns) best = *o;
    }
    return best;
}

static void explain(const pare_core *c, pare_work *w)
{
    const pare_offer *took = &w->offer[w->chosen], second = runner_up(w);
    const char *how = c->choice == PARE_CHOOSE_MEASURE ? "measured" : "modelled",
               *front = took->composed ? "composed, " : "";
    if (w->forced)
        snprintf(w->why, sizeof w->why, "%sforced", front);
    else if (w->offers == 1)
        snprintf(w->why, sizeof w->why, "%sonly one", front);
    else if (second.ns >= last_resort_ns)
        snprintf(w->why, sizeof w->why, "%sonly one besides %s", front, second.impl->name);
    else
        snprintf(w->why, sizeof w->why, "%s%s %.3f ms, %s %s%s %.3f ms", front, how,
                 took->ns * 1e-6, second.ns < took->ns ? "spares reordering for" : "next",
                 second.composed && !took->composed ? "composed " : "", second.impl->name,
                 second.ns * 1e-6);
}

void pare_take(const pare_core *c, pare_work *w)
{
    const pare_offer *o = &w->offer[w->chosen];
    pare_question q;
    question(c, w, &q);
    explain(c, w);
    w->impl = o->impl;
    w->composed = o->composed;
    w->codec = q.codec ? q.codec : "";
    for (uint32_t i = 0; !q.codec && i < w->node->n_in; i++)
        if (q.weight[i] && i > 0) w->codec = "dense";
    if (!for_codec(o->impl)) stand_in(w, &q);
    if (o->impl->macs)
        w->macs = o->impl->macs(&q.p);
    else if (w->node->op->cost) {
        pare_cost cost = { 0 };
        w->node->op->cost(w->node, q.in, q.out, &cost);
        w->macs = cost.macs;
    }
}

pare_status pare_prepare_step(const pare_core *c, pare_work *w)
{
    if (!w->impl->prepare) return PARE_OK;
    pare_question q;
    question(c, w, &q);
    pare_status st = for_codec(w->impl) ? PARE_OK : decode(c, w, &q);
    for (uint32_t i = 0; st == PARE_OK && i < w->node->n_in; i++) {
        const pare_weight *k = q.weight[i];
        if (!k || !pare_tensor_is_stored(&k->part[0]) || (i == 1 && w->impl->streams)) continue;
        q.dense[i] = pare_weight_ref(k);
        q.weight[i] = &q.dense[i];
        st = pare_weight_load(&q.dense[i]);
    }
    if (st == PARE_OK) st = w->impl->prepare(&q.p, &w->packed, &w->packed_bytes, &w->scratch_bytes);
    let_go(w, &q);
    return pare_note(st, "node '%s'", w->node->name);
}

static pare_status ask(const pare_core *c, const char *force, pare_work *w)
{
    pare_question dense;
    pare_status st = offers(c, force, w, &dense);
    let_go(w, &dense);
    return st;
}

pare_status pare_ask(const pare_core *c, const char *force, pare_work *w)
{
    PARE_TRY(ask(c, force, w));
    if (w->offers == 0 &&
        w->chain.n > 1) { /* nothing runs the whole chain: the operator alone then */
        pare_chain_free(&w->chain);
        pare_chain_alone(c->graph, w->chain.node[0], &w->chain);
        PARE_TRY(ask(c, force, w));
    }
    return w->offers > 0
               ? PARE_OK
               : pare_fail(PARE_EINVAL, "force: layer '%s' (%s) cannot be run by what '%s' allows",
                           w->node->name, w->node->op->name, force ? force : "");
}
