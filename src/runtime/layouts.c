/* The search for layouts, and the reorder steps.
 *
 * Cost of a plan: modelled time of every step's offer, and of one reorder for every value that
 * somebody reads in a layout nobody gives it in. Changing one step at a time until nothing gets
 * better often finds the best for chains whose ends agree; three starts (each step's fastest offer,
 * all blocked, all plain) keep it from stopping at a bad place. */
#include "runtime/layouts.h"

#include "base/team.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum {
    PIXELS = 1024,   /* of one block of channels in an item of a reorder: 64 KiB */
    SMALL = 32 << 10 /* numbers that one thread reorders as fast as two */
};

pare_status pare_blocked_bytes(const pare_type *type, size_t vl, size_t *out)
{
    pare_type t = *type;
    t.dim[1] = (t.dim[1] + (int64_t)vl - 1) / (int64_t)vl * (int64_t)vl;
    return pare_type_bytes(&t, out);
}

pare_layout pare_reads(const pare_core *c, const pare_work *w, pare_id v)
{
    const pare_value *value = &c->graph->value[v];
    return w->impl->takes == PARE_BLOCKED && !value->weight && pare_blockable(&value->type)
               ? PARE_BLOCKED
               : PARE_PLAIN;
}

/* --- reorder steps --- */
typedef struct reorder_job {
    const pare_step *s;
    bool to_blocked;
    int64_t channels, pixels, blocks, parts, vl;
} reorder_job;

/* Bytes are few: plain loops do. */
static void bytes(const reorder_job *j, size_t lanes, size_t pixels, const unsigned char *from,
                  unsigned char *to)
{
    size_t vl = (size_t)j->vl, plane = (size_t)j->pixels;
    if (j->to_blocked) {
        for (size_t p = 0; p < pixels; p++)
            for (size_t l = 0; l < vl; l++) to[p * vl + l] = l < lanes ? from[l * plane + p] : 0;
    } else
        for (size_t l = 0; l < lanes; l++)
            for (size_t p = 0; p < pixels; p++) to[l * plane + p] = from[p * vl + l];
}

static void reorder_item(void *user, size_t index, int thread)
{
    (void)thread;
    const reorder_job *j = user;
    int64_t part = (int64_t)index % j->parts, at = (int64_t)index / j->parts,
            block = at % j->blocks, image = at / j->blocks, first = part * PIXELS,
            left = j->pixels - first;
    size_t size = j->s->in[0].dtype == PARE_F32 ? 4 : 1;
    size_t lanes =
               (size_t)(j->channels - block * j->vl < j->vl ? j->channels - block * j->vl : j->vl),
           pixels = (size_t)(left < PIXELS ? left : PIXELS),
           plain = size * (size_t)((image * j->channels + block * j->vl) * j->pixels + first),
           blocked = size * (size_t)(((image * j->blocks + block) * j->pixels + first) * j->vl);
    const unsigned char *from = j->s->in[0].data;
    unsigned char *to = j->s->out[0].data;
    from += j->to_blocked ? plain : blocked;
    to += j->to_blocked ? blocked : plain;
    const pare_kernels *k = j->s->kernels;
    if (size == 1)
        bytes(j, lanes, pixels, from, to);
    else
        (j->to_blocked ? k->to_blocked : k->to_plain)(lanes, pixels, (size_t)j->pixels,
                                                      (const float *)(const void *)from,
                                                      (float *)(void *)to);
}

static pare_status reorder_run(const pare_step *s, int threads)
{
    const pare_tensor *t = &s->in[0];
    reorder_job j = { .s = s,
                      .to_blocked = s->impl->gives == PARE_BLOCKED,
                      .channels = t->dim[1],
                      .pixels = t->dim[2] * t->dim[3],
                      .vl = (int64_t)s->kernels->vl };
    j.blocks = (j.channels + j.vl - 1) / j.vl;
    j.parts = (j.pixels + PIXELS - 1) / PIXELS;
    int64_t items = t->dim[0] * j.blocks * j.parts;
    pare_team_for((size_t)items, pare_tensor_count(t) < SMALL ? 1 : threads, reorder_item, &j);
    return PARE_OK;
}

/* Either way every lane of a block passes, those beyond the channels too. */
static double reorder_ns(const pare_core *c, const pare_type *t)
{
    int64_t count = pare_numel(t->rank, t->dim), vl = (int64_t)c->kernels.vl;
    double lanes = (double)((t->dim[1] + vl - 1) / vl * vl) / (double)(t->dim[1] ? t->dim[1] : 1),
           each = t->dtype == PARE_F32 ? 0.1 : 0.32;
    return 300 + (double)count * lanes * each / (count < SMALL ? 1 : PARE_MODEL_THREADS);
}

static const pare_op reorder_op = { .name = "Reorder", .summary = "another layout in memory" };
static const pare_impl to_blocked = { .name = "to_blocked",
                                      .op = "Reorder",
                                      .takes = PARE_PLAIN,
                                      .gives = PARE_BLOCKED,
                                      .run = reorder_run },
                       to_plain = { .name = "to_plain",
                                    .op = "Reorder",
                                    .takes = PARE_BLOCKED,
                                    .gives = PARE_PLAIN,
                                    .run = reorder_run };

/* --- the search --- */
typedef struct search {
    const pare_core *c;
    pare_layout *given;       /* per value: the layout its producer leaves it in */
    uint32_t *plain, *blocks; /* per value: readers of the plain root, of the blocked value */
    int *at;                  /* per step: the pair of layouts */
    double total;             /* ns */
} search;

/* Of the reorders that value v needs now. */
static double value_ns(const search *s, pare_id v)
{
    const pare_core *c = s->c;
    bool own = c->root[v] == v, has_blocked = own && s->given[v] == PARE_BLOCKED;
    int reorders = (own && s->given[v] == PARE_BLOCKED && s->plain[v] > 0) +
                   (s->blocks[v] > 0 && !has_blocked);
    return reorders ? reorders * reorder_ns(c, &c->graph->value[v].type) : 0;
}

/* Counts (by = 1) or discounts (by = -1) that step w reads v with this pair. */
static void count(search *s, const pare_impl *impl, pare_id v, int by)
{
    if (v == PARE_NONE || s->c->graph->value[v].weight) return;
    pare_id root = s->c->root[v];
    s->total -= value_ns(s, v) + (root != v ? value_ns(s, root) : 0);
    bool blocked = impl->takes == PARE_BLOCKED && pare_blockable(&s->c->graph->value[v].type);
    if (blocked) s->blocks[v] += (uint32_t)by;
    if (!blocked || root != v) s->plain[root] += (uint32_t)by;
    s->total += value_ns(s, v) + (root != v ? value_ns(s, root) : 0);
}

/* A last resort costs a quarter of an hour here: more than any layer takes, and little enough for
 * the sum to tell single nanoseconds apart. */
static double offer_ns(const pare_offer *o) { return o->ns < 1e12 ? o->ns : 1e12; }

/* Adds step i with its pair to the sums, or takes it out. */
static void put(search *s, size_t i, int by)
{
    const pare_work *w = &s->c->work[i];
    const pare_offer *o = &w->offer[s->at[i]];
    for (uint32_t k = 0; k < w->node->n_in; k++) count(s, o->impl, w->node->in[k], by);
    count(s, o->impl, w->chain.residual, by);
    pare_id v = w->chain.out;
    s->total -= value_ns(s, v);
    s->given[v] = by > 0 ? o->impl->gives : PARE_PLAIN;
    s->total += value_ns(s, v) + by * offer_ns(o);
}

/* The pair a start prefers: 0 the fastest, 1 the most blocked, 2 plain. */
static int preferred(const pare_work *w, int start)
{
    int best = -1;
    double least = INFINITY;
    for (int p = 0; p < PARE_LAYOUT_PAIRS; p++) {
        if (!w->offer[p].impl) continue;
        int blocked = (p & 1) + (p >> 1);
        double cost = w->offer[p].ns + (start == 1 ? 2 - blocked : start == 2 ? blocked : 0) * 1e19;
        if (cost < least || best < 0) least = cost, best = p;
    }
    return best;
}

static bool improve(search *s, size_t i)
{
    const pare_work *w = &s->c->work[i];
    int was = s->at[i], best = was;
    double least = s->total;
    for (int p = 0; p < PARE_LAYOUT_PAIRS; p++) {
        if (p == s->at[i] || !w->offer[p].impl) continue;
        put(s, i, -1);
        s->at[i] = p;
        put(s, i, 1);
        if (s->total < least - 1) least = s->total, best = p; /* not for rounding's sake */
    }
    put(s, i, -1);
    s->at[i] = best;
    put(s, i, 1);
    return best != was;
}

static void descend(search *s, int start)
{
    const pare_core *c = s->c;
    enum { SWEEPS = 20 };
    size_t values = (size_t)c->graph->n_values;
    memset(s->given, 0, values * sizeof *s->given);
    memset(s->plain, 0, values * sizeof *s->plain);
    memset(s->blocks, 0, values * sizeof *s->blocks);
    s->total = 0;
    for (uint32_t i = 0; i < c->graph->n_outputs; i++) s->plain[c->root[c->graph->output[i]]]++;
    for (size_t i = 0; i < c->n_work; i++) {
        s->at[i] = preferred(&c->work[i], start);
        put(s, i, 1);
    }
    bool moved = true;
    for (int sweep = 0; moved && sweep < SWEEPS; sweep++) {
        moved = false;
        for (size_t k = 0; k < c->n_work; k++)
            moved |= improve(s, sweep % 2 ? c->n_work - 1 - k : k);
    }
}

pare_status pare_layouts_choose(pare_core *c)
{
    size_t values = (size_t)c->graph->n_values + 1;
    search s = { .c = c,
                 .given = calloc(values, sizeof *s.given),
                 .plain = calloc(values, sizeof *s.plain),
                 .blocks = calloc(values, sizeof *s.blocks),
                 .at = calloc(c->n_work + 1, sizeof *s.at) };
    bool memory = s.given && s.plain && s.blocks && s.at;
    double least = INFINITY;
    for (int start = 0; memory && start < 3; start++) {
        descend(&s, start);
        if (!(s.total < least) && start > 0) continue;
        least = s.total;
        for (size_t i = 0; i < c->n_work; i++) c->work[i].chosen = s.at[i];
    }
    free(s.given);
    free(s.plain);
    free(s.blocks);
    free(s.at);
    return memory
               ? PARE_OK
               : pare_fail(PARE_ENOMEM, "no memory to choose the layouts of %zu steps", c->n_work);
}

/* --- where layouts meet --- */
typedef struct meeting {
    pare_core *c;
    pare_work *made;
    size_t n, n_reorders;
    bool *has; /* by slot */
} meeting;

/* Appends the step that gives value v in `layout`, unless it is there already. */
static void want(meeting *m, pare_id v, pare_layout layout)
{
    pare_core *c = m->c;
    size_t slot = pare_slot(c, v, layout);
    if (c->graph->value[v].weight || m->has[slot]) return;
    if (layout == PARE_BLOCKED && c->root[v] != v) want(m, c->root[v], PARE_PLAIN);
    pare_reorder *r = &c->reorder[m->n_reorders++];
    r->value = layout == PARE_PLAIN ? c->root[v] : v;
    r->node = (pare_node){ .name = c->graph->value[v].name,
                           .op = &reorder_op,
                           .n_in = 1,
                           .n_out = 1,
                           .in = &r->value,
                           .out = &r->value };
    m->made[m->n++] = (pare_work){ .node = &r->node,
                                   .impl = layout == PARE_BLOCKED ? &to_blocked : &to_plain,
                                   .chain = { .n = 1, .out = r->value, .residual = PARE_NONE },
                                   .codec = "",
                                   .why = "two layouts meet" };
    m->has[slot] = true;
}

pare_status pare_layouts_meet(pare_core *c)
{
    const pare_graph *g = c->graph;
    size_t values = g->n_values, most = c->n_work + 2 * values;
    meeting m = { .c = c,
                  .made = calloc(most + 1, sizeof *m.made),
                  .has = calloc(2 * values + 1, sizeof *m.has) };
    c->reorder = calloc(2 * values + 1, sizeof *c->reorder);
    if (!m.made || !m.has || !c->reorder) {
        free(m.made);
        free(m.has);
        return pare_fail(PARE_ENOMEM, "no memory for the layouts of %zu values", values);
    }
    for (uint32_t v = 0; v < g->n_values; v++) m.has[v] = g->value[v].weight != NULL;
    for (uint32_t i = 0; i < g->n_inputs; i++) m.has[pare_slot(c, g->input[i], PARE_PLAIN)] = true;
    for (size_t i = 0; i < c->n_work; i++) {
        const pare_work *w = &c->work[i];
        for (uint32_t k = 0; k < w->node->n_in; k++)
            if (w->node->in[k] != PARE_NONE)
                want(&m, w->node->in[k], pare_reads(c, w, w->node->in[k]));
        if (w->chain.residual != PARE_NONE)
            want(&m, w->chain.residual, pare_reads(c, w, w->chain.residual));
        m.made[m.n++] = *w;
        m.has[pare_slot(c, w->chain.out, w->impl->gives)] = true;
        for (uint32_t k = 1; k < w->node->n_out; k++)
            if (w->node->out[k] != PARE_NONE)
                m.has[pare_slot(c, w->node->out[k], PARE_PLAIN)] = true;
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) want(&m, c->root[g->output[i]], PARE_PLAIN);
    free(m.has);
    free(c->work);
    c->work = m.made;
    c->n_work = m.n;
    return PARE_OK;
}
