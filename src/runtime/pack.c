/* Packing weights, several steps at a time; a constant that nobody reads while running is freed
 * when its last reader has packed it, so that stored and packed forms are not all there at once. */
#include "runtime/core.h"

#include "base/team.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

/* A step and the bytes of its constants. */
typedef struct load {
    size_t step, bytes;
} load;

typedef struct packing {
    pare_core *c;
    load *order;       /* largest first, so that no thread is left with much at the end */
    bool *kept;        /* per value: read while running */
    atomic_uint *left; /* per value: steps that have yet to pack it, once for each slot */
    pthread_mutex_t lock;
    size_t failed_step; /* the first step that failed, SIZE_MAX: none; and how */
    pare_status status;
    char message[400];
} packing;

static int larger_first(const void *a, const void *b)
{
    const load *x = a, *y = b;
    if (x->bytes != y->bytes) return x->bytes < y->bytes ? 1 : -1;
    return x->step < y->step ? -1 : 1;
}

static void put_in_order(packing *p)
{
    for (size_t s = 0; s < p->c->n_work; s++) {
        const pare_node *n = p->c->work[s].node;
        p->order[s] = (load){ .step = s };
        for (uint32_t i = 0; i < n->n_in; i++) {
            const pare_weight *w = pare_node_weight(p->c->graph, n, i);
            for (int k = 0; w && k < pare_weight_parts(w); k++)
                p->order[s].bytes += pare_tensor_bytes(&w->part[k]);
        }
    }
    qsort(p->order, p->c->n_work, sizeof *p->order, larger_first);
}

static void pack(void *user, size_t index, int thread)
{
    (void)thread;
    packing *p = user;
    size_t step = p->order[index].step;
    pare_work *w = &p->c->work[step];
    pare_status st = pare_prepare_step(p->c, w);
    if (st != PARE_OK) { /* messages are per thread */
        pthread_mutex_lock(&p->lock);
        if (step < p->failed_step) {
            p->failed_step = step;
            p->status = st;
            snprintf(p->message, sizeof p->message, "%s", pare_error());
        }
        pthread_mutex_unlock(&p->lock);
    }
    for (uint32_t i = 0; i < w->node->n_in; i++) {
        pare_id v = w->node->in[i];
        if (v == PARE_NONE || !p->c->graph->value[v].weight) continue;
        if (atomic_fetch_sub(&p->left[v], 1) == 1 && !p->kept[v])
            pare_weight_free(p->c->graph->value[v].weight);
    }
}

/* Fills kept and left, and decodes what is kept. */
static pare_status count_readers(packing *p)
{
    pare_core *c = p->c;
    const pare_graph *g = c->graph;
    for (size_t s = 0; s < c->n_work; s++) {
        const pare_work *w = &c->work[s];
        for (uint32_t i = 0; i < w->node->n_in; i++) {
            pare_id v = w->node->in[i];
            if (v == PARE_NONE) continue;
            atomic_fetch_add(&p->left[v], 1);
            /* A view of a constant is no constant to whoever packs. */
            if (!w->impl->packs || c->root[v] != v) p->kept[c->root[v]] = true;
        }
        if (w->chain.residual != PARE_NONE) p->kept[c->root[w->chain.residual]] = true;
    }
    for (uint32_t i = 0; i < g->n_outputs; i++) /* copied from at every run */
        p->kept[c->root[g->output[i]]] = true;
    for (uint32_t v = 0; v < g->n_values; v++) {
        pare_weight *w = g->value[v].weight;
        if (!p->kept[v] || !w) continue;
        PARE_TRY(pare_note(w->codec ? pare_weight_decode(w, &c->decoded[v]) : pare_weight_load(w),
                           "weight '%s'", g->value[v].name));
    }
    return PARE_OK;
}

pare_status pare_pack_all(pare_core *c)
{
    const pare_graph *g = c->graph;
    packing p = { .c = c, .failed_step = SIZE_MAX, .lock = PTHREAD_MUTEX_INITIALIZER };
    p.kept = calloc((size_t)g->n_values + 1, sizeof *p.kept);
    p.left = calloc((size_t)g->n_values + 1, sizeof *p.left);
    p.order = malloc((c->n_work + 1) * sizeof *p.order);
    pare_status st =
        p.kept && p.left && p.order
            ? count_readers(&p)
            : pare_fail(PARE_ENOMEM, "no memory for the readers of %u values", g->n_values);
    if (st == PARE_OK) put_in_order(&p);
    if (st == PARE_OK) pare_team_for(c->n_work, c->threads, pack, &p);
    if (st == PARE_OK && p.failed_step != SIZE_MAX) st = pare_fail(p.status, "%s", p.message);
    for (uint32_t v = 0; st == PARE_OK && v < g->n_values; v++) {
        pare_weight *w = g->value[v].weight;
        if (w && !p.kept[v]) pare_weight_free(w); /* nobody's: read by views only, or not at all */
        if (c->decoded[v].data) c->weight_bytes += pare_tensor_bytes(&c->decoded[v]);
        for (int k = 0; w && k < pare_weight_parts(w); k++)
            c->weight_bytes += pare_tensor_bytes(&w->part[k]);
    }
    free(p.kept);
    free(p.left);
    free(p.order);
    return st;
}
