/* Does network b still do what network a did? Outputs, accuracy, and the first layer that differs.
 *
 * Layers are compared by value names: rewriting keeps the names of values that keep their meaning.
 * A value that one of the two lost, or that has another shape there (channels removed), cannot be
 * compared and is passed over. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "pare/eval.h"

#include "base/rng.h"
#include "base/status.h"
#include "driver/feed.h"
#include "driver/spread.h"
#include "ops/op.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One of the two networks, ready to run. */
typedef struct side {
    const pare_graph *graph;
    pare_plan *plan;
    pare_tensor *out;
} side;

static void side_free(side *s)
{
    if (s->plan) pare_outputs_free(s->plan, s->out);
    pare_plan_free(s->plan);
    s->plan = NULL;
    s->out = NULL;
}

/* The same inputs and outputs, as far as the caller can see? */
static pare_status same_interface(const side *a, const side *b)
{
    size_t in_a = pare_plan_inputs(a->plan), in_b = pare_plan_inputs(b->plan);
    if (in_a != in_b)
        return pare_fail(PARE_EMISMATCH, "the first network has %zu inputs, the second %zu", in_a,
                         in_b);
    size_t out_a = pare_plan_outputs(a->plan), out_b = pare_plan_outputs(b->plan);
    if (out_a != out_b)
        return pare_fail(PARE_EMISMATCH, "the first network has %zu outputs, the second %zu", out_a,
                         out_b);
    for (size_t i = 0; i < in_a + out_a; i++) {
        pare_type x, y;
        const char *kind = i < in_a ? "input" : "output";
        const char *name =
            i < in_a ? pare_plan_input(a->plan, i, &x) : pare_plan_output(a->plan, i - in_a, &x);
        if (i < in_a)
            pare_plan_input(b->plan, i, &y);
        else
            pare_plan_output(b->plan, i - in_a, &y);
        char have[PARE_TYPE_TEXT], want[PARE_TYPE_TEXT];
        bool same = x.dtype == y.dtype && x.rank == y.rank;
        for (int k = 0; same && k < x.rank; k++) same = x.dim[k] == y.dim[k];
        if (!same)
            return pare_fail(PARE_EMISMATCH, "%s '%s' is %s in the first network, %s in the second",
                             kind, name, pare_type_text(&x, want, sizeof want),
                             pare_type_text(&y, have, sizeof have));
    }
    return PARE_OK;
}

/* Standard normal numbers; integers get 0, which is an index that every network has. */
static void fill_random(pare_tensor *t, uint64_t seed, uint64_t item)
{
    pare_rng rng = pare_rng_stream(seed, item);
    int64_t n = pare_tensor_count(t);
    for (int64_t i = 0; i < n; i++) {
        if (t->dtype == PARE_F32) ((float *)t->data)[i] = (float)pare_rng_normal(&rng);
        if (t->dtype == PARE_F64) ((double *)t->data)[i] = pare_rng_normal(&rng);
    }
}

/* Makes the values that both networks have under one name outputs of clones. *name: n of them, in
 * a's order.
 */
static pare_status expose(const pare_graph *a, const pare_graph *b, pare_graph **ga,
                          pare_graph **gb, pare_id **which, size_t *n)
{
    PARE_TRY(pare_graph_clone(a, ga));
    PARE_TRY(pare_graph_clone(b, gb));
    pare_id *list = calloc((size_t)a->n_values + 1, sizeof *list);
    if (!list) return pare_fail(PARE_ENOMEM, "no memory for %u values", a->n_values);
    *which = list;
    (*ga)->n_outputs = 0;
    (*gb)->n_outputs = 0;
    for (uint32_t v = 0; v < (*ga)->n_values; v++) (*ga)->value[v].is_output = false;
    for (uint32_t v = 0; v < (*gb)->n_values; v++) (*gb)->value[v].is_output = false;
    for (uint32_t k = 0; k < a->n_nodes; k++) {
        const pare_node *node = &a->node[k];
        for (uint32_t o = 0; node->op && o < node->n_out; o++) {
            if (node->out[o] == PARE_NONE) continue;
            pare_id other = pare_graph_find(b, a->value[node->out[o]].name);
            if (other == PARE_NONE || b->value[other].producer == PARE_NONE) continue;
            PARE_TRY(pare_graph_mark_output(*ga, node->out[o]));
            PARE_TRY(pare_graph_mark_output(*gb, other));
            list[(*n)++] = k;
        }
    }
    return PARE_OK;
}

/* Runs both with every common value as an output, on the input that showed a difference. */
static pare_status first_divergent(const side *a, const side *b, const pare_tensor *in,
                                   double tolerance, const pare_plan_options *oa,
                                   const pare_plan_options *ob, char **name)
{
    pare_graph *ga = NULL, *gb = NULL;
    pare_id *node = NULL;
    size_t n = 0;
    side x = { 0 }, y = { 0 };
    pare_shape *shape = calloc(pare_plan_inputs(a->plan) + 1, sizeof *shape);
    pare_status st = shape ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for shapes");
    if (st == PARE_OK) st = expose(a->graph, b->graph, &ga, &gb, &node, &n);
    if (st == PARE_OK && n > 0) {
        size_t n_shapes = pare_plan_inputs(a->plan);
        pare_plan_options pa = *oa, pb = *ob;
        for (size_t i = 0; i < n_shapes; i++) {
            shape[i].name = pare_plan_input(a->plan, i, NULL);
            shape[i].rank = in[i].rank;
            memcpy(shape[i].dim, in[i].dim, sizeof in[i].dim);
        }
        pa.force = pb.force = NULL;
        pa.shapes = shape, pa.n_shapes = n_shapes;
        st = pare_plan_create(ga, &pa, &x.plan);
        for (size_t i = 0; st == PARE_OK && i < n_shapes; i++)
            shape[i].name = pare_plan_input(b->plan, i, NULL);
        pb.shapes = shape, pb.n_shapes = n_shapes;
        if (st == PARE_OK) st = pare_plan_create(gb, &pb, &y.plan);
        if (st == PARE_OK) st = pare_outputs_new(x.plan, &x.out);
        if (st == PARE_OK) st = pare_outputs_new(y.plan, &y.out);
        if (st == PARE_OK) st = pare_plan_run(x.plan, in, x.out);
        if (st == PARE_OK) st = pare_plan_run(y.plan, in, y.out);
        for (size_t i = 0; st == PARE_OK && i < n; i++) {
            const pare_tensor *p = &x.out[i], *q = &y.out[i];
            bool same = p->dtype == q->dtype && p->rank == q->rank;
            for (int k = 0; same && k < p->rank; k++) same = p->dim[k] == q->dim[k];
            if (!same) continue;
            pare_spread s = { 0 };
            pare_spread_add(p, q, 0, pare_tensor_count(p), &s);
            if (pare_spread_relative(&s) <= tolerance) continue;
            *name = strdup(a->graph->node[node[i]].name);
            if (!*name) st = pare_fail(PARE_ENOMEM, "no memory for a name");
            break;
        }
    }
    side_free(&x);
    side_free(&y);
    pare_graph_free(ga);
    pare_graph_free(gb);
    free(node);
    free(shape);
    return st;
}

/* What a comparison gathers on its way. */
typedef struct totals {
    pare_spread *output;
    int64_t correct_a, correct_b, images;
    pare_tensor *worst; /* inputs of the first batch whose outputs differ beyond the tolerance (of
                           its worst sample alone, where the batch is free); NULL before */
    bool free_batch;
    size_t n_in;
} totals;

/* Keeps copies of the inputs: of sample `which`, or of all where it is negative. */
static pare_status keep_inputs(const pare_tensor *in, int64_t which, totals *t)
{
    t->worst = calloc(t->n_in + 1, sizeof *t->worst);
    if (!t->worst) return pare_fail(PARE_ENOMEM, "no memory for inputs");
    for (size_t i = 0; i < t->n_in; i++) {
        pare_tensor one = in[i];
        if (which >= 0) {
            one.data = (char *)in[i].data +
                       (size_t)which * (pare_tensor_bytes(&in[i]) / (size_t)in[i].dim[0]);
            one.dim[0] = 1;
            one.buffer = NULL;
        }
        PARE_TRY(pare_tensor_copy(&one, &t->worst[i]));
    }
    return PARE_OK;
}

/* Runs both on `in`; `n` of the `batch` samples count. */
static pare_status one_batch(side *a, side *b, const pare_tensor *in, int64_t n, int64_t batch,
                             double tolerance, totals *t)
{
    PARE_TRY(pare_plan_run(a->plan, in, a->out));
    PARE_TRY(pare_plan_run(b->plan, in, b->out));
    bool apart = false, split = t->free_batch && t->n_in == 1;
    double most = 0;
    int64_t worst = -1;
    for (size_t i = 0; i < pare_plan_outputs(a->plan); i++) {
        int64_t count = pare_tensor_count(&a->out[i]);
        bool per_sample = batch > 0 && a->out[i].rank > 0 && a->out[i].dim[0] == batch;
        int64_t parts = per_sample ? n : 1, each = per_sample ? count / batch : count;
        split = split && per_sample;
        pare_spread here = { 0 };
        for (int64_t k = 0; k < parts; k++) {
            pare_spread sample = { 0 };
            pare_spread_add(&a->out[i], &b->out[i], k * each, each, &sample);
            if (sample.difference > most) most = sample.difference, worst = k;
            if (sample.difference > here.difference) here.difference = sample.difference;
            if (sample.largest > here.largest) here.largest = sample.largest;
        }
        apart = apart || !(pare_spread_relative(&here) <= tolerance);
        if (here.difference > t->output[i].difference) t->output[i].difference = here.difference;
        if (here.largest > t->output[i].largest) t->output[i].largest = here.largest;
    }
    t->images += n;
    return apart && !t->worst ? keep_inputs(in, split ? worst : -1, t) : PARE_OK;
}

static pare_status on_data(side *a, side *b, const pare_dataset *data, const pare_preprocess *pp,
                           const pare_verify_options *o, double tolerance,
                           const pare_progress *progress, totals *t, bool *judged)
{
    pare_feed f;
    pare_dataset_info info;
    pare_dataset_about(data, &info);
    pare_status st = pare_feed_open(a->plan, data, pp, o->limit, o->plan_a.threads, &f);
    int64_t each = 0;
    if (st == PARE_OK && pare_plan_outputs(a->plan) > 0)
        each = pare_tensor_count(&a->out[0]) / f.batch;
    *judged = each - pp->skip >= info.classes && info.classes > 0;
    for (int64_t first = 0, n; st == PARE_OK && first < f.total; first += n) {
        st = pare_feed_load(&f, first, &n);
        if (st == PARE_OK) st = one_batch(a, b, &f.in, n, f.batch, tolerance, t);
        for (int64_t i = 0; st == PARE_OK && *judged && i < n; i++) {
            int64_t at = i * each + pp->skip;
            t->correct_a += pare_rank_of(&a->out[0], at, each - pp->skip, f.label[i]) == 0;
            t->correct_b += pare_rank_of(&b->out[0], at, each - pp->skip, f.label[i]) == 0;
        }
        if (st == PARE_OK) st = pare_report(progress, "verify", t->images, f.total, "%s", "");
    }
    pare_feed_close(&f);
    return st;
}

static pare_status on_random(side *a, side *b, double tolerance, uint64_t seed, totals *t)
{
    enum { RUNS = 4 };
    pare_tensor *in = calloc(t->n_in + 1, sizeof *in);
    pare_status st = in ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for inputs");
    int64_t batch = 1;
    for (size_t i = 0; st == PARE_OK && i < t->n_in; i++) {
        pare_type type;
        pare_plan_input(a->plan, i, &type);
        if (i == 0 && type.rank > 0) batch = type.dim[0];
        st = pare_tensor_of(&type, &in[i]);
    }
    for (uint64_t r = 0; st == PARE_OK && r < RUNS; r++) {
        for (size_t i = 0; i < t->n_in; i++) fill_random(&in[i], seed, r * 1000 + i);
        st = one_batch(a, b, in, batch, batch, tolerance, t);
    }
    for (size_t i = 0; in && i < t->n_in; i++) pare_tensor_free(&in[i]);
    free(in);
    return st;
}

/* The verdict, as a sentence where it is bad. */
static pare_status judge(const pare_verify_options *o, double tolerance, bool judged,
                         pare_verification *v)
{
    const char *layer = v->first_divergent ? v->first_divergent : "";
    bool drop = judged && v->top1_a - v->top1_b > o->max_drop + 1e-12;
    bool apart = o->outputs && !(v->max_rel_error <= tolerance);
    v->match = !drop && !apart;
    if (apart)
        return pare_fail(PARE_EMISMATCH,
                         "outputs differ by %.3g of their largest value, more than %.3g%s%s",
                         v->max_rel_error, tolerance, *layer ? "; first in " : "", layer);
    if (drop)
        return pare_fail(PARE_EMISMATCH,
                         "top-1 falls from %.2f %% to %.2f %%, by more than %.2f points",
                         100 * v->top1_a, 100 * v->top1_b, 100 * o->max_drop);
    return PARE_OK;
}

/* Plans both for the same batch. */
static pare_status plan_both(side *a, side *b, const pare_dataset *data, const pare_preprocess *pp,
                             const pare_verify_options *o)
{
    int64_t fixed_a = pare_feed_fixed_batch(a->graph), fixed_b = pare_feed_fixed_batch(b->graph);
    int64_t batch = o->plan_a.batch > 0 ? o->plan_a.batch : data ? 64 : 1;
    if (data && o->limit > 0 && o->limit < batch) batch = o->limit;
    if (fixed_a)
        batch = fixed_a;
    else if (fixed_b)
        batch = fixed_b;
    if (data) {
        PARE_TRY(pare_note(pare_feed_plan(a->graph, data, pp, batch, &o->plan_a, &a->plan),
                           "first network"));
        PARE_TRY(pare_note(pare_feed_plan(b->graph, data, pp, batch, &o->plan_b, &b->plan),
                           "second network"));
    } else {
        pare_plan_options pa = o->plan_a, pb = o->plan_b;
        pa.batch = pb.batch = batch;
        PARE_TRY(pare_note(pare_plan_create(a->graph, &pa, &a->plan), "first network"));
        PARE_TRY(pare_note(pare_plan_create(b->graph, &pb, &b->plan), "second network"));
    }
    PARE_TRY(same_interface(a, b));
    PARE_TRY(pare_outputs_new(a->plan, &a->out));
    return pare_outputs_new(b->plan, &b->out);
}

pare_status pare_verify(const pare_graph *a, const pare_graph *b, const pare_dataset *data,
                        const pare_preprocess *pp, const pare_verify_options *options,
                        const pare_progress *progress, pare_verification *out)
{
    static const pare_preprocess plain = { 0 };
    static const pare_verify_options usual = { .outputs = true };
    const pare_verify_options *o = options ? options : &usual;
    if (!pp) pp = &plain;
    double tolerance = o->tolerance > 0 ? o->tolerance : 1e-4;
    pare_verification v = { .top1_a = -1, .top1_b = -1, .max_rel_error = INFINITY };
    side x = { .graph = a }, y = { .graph = b };
    totals t = { 0 };
    bool judged = false;
    pare_status st = plan_both(&x, &y, data, pp, o);
    if (st == PARE_OK) {
        t.n_in = pare_plan_inputs(x.plan);
        t.free_batch = !pare_feed_fixed_batch(a) && !pare_feed_fixed_batch(b);
        t.output = calloc(pare_plan_outputs(x.plan) + 1, sizeof *t.output);
        if (!t.output) st = pare_fail(PARE_ENOMEM, "no memory for the comparison");
    }
    if (st == PARE_OK)
        st = data ? on_data(&x, &y, data, pp, o, tolerance, progress, &t, &judged)
                  : on_random(&x, &y, tolerance, o->seed, &t);
    if (st == PARE_OK) {
        v.max_rel_error = 0;
        for (size_t i = 0; i < pare_plan_outputs(x.plan); i++)
            v.max_rel_error = fmax(v.max_rel_error, pare_spread_relative(&t.output[i]));
        v.images = t.images;
        if (judged)
            v.top1_a = (double)t.correct_a / (double)t.images,
            v.top1_b = (double)t.correct_b / (double)t.images;
        if (t.worst)
            st = first_divergent(&x, &y, t.worst, tolerance, &o->plan_a, &o->plan_b,
                                 &v.first_divergent);
        if (st == PARE_OK) st = judge(o, tolerance, judged, &v);
    }
    if (st == PARE_OK || st == PARE_EMISMATCH) *out = v;
    for (size_t i = 0; t.worst && i < t.n_in; i++) pare_tensor_free(&t.worst[i]);
    free(t.worst);
    free(t.output);
    side_free(&x);
    side_free(&y);
    return st;
}
