/* How often a network is right on labelled data. */
#include "pare/eval.h"

#include "base/status.h"
#include "driver/feed.h"
#include "ops/op.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* Does the first output come out of a Softmax, perhaps reshaped? */
static bool ends_in_softmax(const pare_graph *g)
{
    pare_id v = g->n_outputs ? g->output[0] : PARE_NONE;
    while (v != PARE_NONE && g->value[v].producer != PARE_NONE) {
        const pare_node *n = &g->node[g->value[v].producer];
        if (strcmp(n->op->name, "Softmax") == 0) return true;
        if (!n->op->view) return false;
        v = n->in[0];
    }
    return false;
}

static double cross_entropy(const pare_tensor *t, int64_t first, int64_t n, int label,
                            bool probabilities)
{
    double own = pare_tensor_get_f64(t, first + label);
    if (probabilities) return -log(own > 1e-30 ? own : 1e-30);
    double most = -INFINITY, sum = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, pare_tensor_get_f64(t, first + i));
    for (int64_t i = 0; i < n; i++) sum += exp(pare_tensor_get_f64(t, first + i) - most);
    return most + log(sum) - own;
}

/* Outputs of one sample, without those that preprocessing says to skip. */
static pare_status score_count(const pare_tensor *t, const pare_dataset *data, int64_t batch,
                               int skip, int64_t *each)
{
    pare_dataset_info info;
    pare_dataset_about(data, &info);
    int64_t total = pare_tensor_count(t);
    if (t->rank < 1 || total < 1 || total % batch != 0)
        return pare_fail(
            PARE_EUNSUPPORTED,
            "the first output has %lld numbers, not as many for each of the %lld samples",
            (long long)total, (long long)batch);
    *each = total / batch;
    if (*each - skip < info.classes)
        return pare_fail(
            PARE_EFORMAT,
            "the network tells %lld classes apart (%lld outputs, %d skipped), '%s' has %d",
            (long long)(*each - skip), (long long)*each, skip, info.name, info.classes);
    return PARE_OK;
}

static pare_status evaluate(const pare_graph *graph, pare_plan *plan, pare_feed *f,
                            pare_tensor *out, int skip, const pare_progress *progress,
                            pare_accuracy *a)
{
    int64_t each = 0;
    bool probabilities = ends_in_softmax(graph);
    PARE_TRY(score_count(&out[0], f->data, f->batch, skip, &each));
    for (int64_t first = 0, n; first < f->total; first += n) {
        PARE_TRY(pare_feed_load(f, first, &n));
        PARE_TRY(pare_plan_run(plan, &f->in, out));
        for (int64_t i = 0; i < n; i++) {
            int64_t rank = pare_rank_of(&out[0], i * each + skip, each - skip, f->label[i]);
            a->top1_correct += rank < 1;
            a->top5_correct += rank < 5;
            a->loss +=
                cross_entropy(&out[0], i * each + skip, each - skip, f->label[i], probabilities);
        }
        a->images += n;
        PARE_TRY(pare_report(progress, "evaluate", a->images, f->total, "top-1 %.2f %%",
                             100 * (double)a->top1_correct / (double)a->images));
    }
    a->top1 = (double)a->top1_correct / (double)a->images;
    a->top5 = (double)a->top5_correct / (double)a->images;
    a->loss /= (double)a->images;
    return PARE_OK;
}

pare_status pare_evaluate(const pare_graph *graph, const pare_dataset *data,
                          const pare_preprocess *pp, int64_t limit,
                          const pare_plan_options *options, const pare_progress *progress,
                          pare_accuracy *out)
{
    static const pare_preprocess plain = { 0 };
    if (!pp) pp = &plain;
    pare_plan *plan = NULL;
    pare_feed feed = { 0 };
    pare_tensor *outputs = NULL;
    pare_accuracy a = { 0 };
    double start = now();
    int64_t batch = options && options->batch > 0 ? options->batch : 64;
    if (limit > 0 && limit < batch) batch = limit;
    pare_status st = pare_feed_plan(graph, data, pp, batch, options, &plan);
    if (st == PARE_OK)
        st = pare_feed_open(plan, data, pp, limit, options ? options->threads : 0, &feed);
    if (st == PARE_OK && pare_plan_outputs(plan) < 1)
        st = pare_fail(PARE_EUNSUPPORTED, "the network has no output to compare with labels");
    if (st == PARE_OK) st = pare_outputs_new(plan, &outputs);
    if (st == PARE_OK) st = evaluate(graph, plan, &feed, outputs, pp->skip, progress, &a);
    if (st == PARE_OK) {
        a.seconds = now() - start;
        *out = a;
    }
    if (plan) pare_outputs_free(plan, outputs);
    pare_feed_close(&feed);
    pare_plan_free(plan);
    return st;
}
