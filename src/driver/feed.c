#include "driver/feed.h"

#include "base/parallel.h"
#include "base/status.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

int64_t pare_feed_fixed_batch(const pare_graph *g)
{
    if (g->n_inputs == 0) return 0;
    const pare_type *t = &g->value[g->input[0]].type;
    return t->rank > 0 && t->dim[0] > 0 ? t->dim[0] : 0;
}

/* Height and width that the pictures of a set will have, where the network leaves them open. */
static void open_sides(const pare_dataset *data, const pare_preprocess *pp, bool nhwc,
                       pare_shape *s)
{
    pare_dataset_info info;
    pare_dataset_about(data, &info);
    int64_t h = info.height, w = info.width;
    if (pp && pp->resize_h) h = pp->resize_h, w = pp->resize_w;
    if (pp && pp->crop_h) h = pp->crop_h, w = pp->crop_w;
    int64_t want[4] = { s->dim[0], info.channels, h, w };
    if (nhwc) want[1] = h, want[2] = w, want[3] = info.channels;
    for (int i = 1; i < 4; i++)
        if (s->dim[i] < 0 && want[i] > 0) s->dim[i] = want[i];
}

pare_status pare_feed_plan(const pare_graph *g, const pare_dataset *data, const pare_preprocess *pp,
                           int64_t batch, const pare_plan_options *o, pare_plan **plan)
{
    if (g->n_inputs != 1)
        return pare_fail(PARE_EUNSUPPORTED,
                         "the network has %u inputs; data sets feed networks with one",
                         g->n_inputs);
    pare_plan_options own = o ? *o : (pare_plan_options){ 0 };
    own.batch = batch;
    const pare_value *v = &g->value[g->input[0]];
    pare_shape shape = { .name = v->name, .rank = v->type.rank };
    if (own.n_shapes == 0 && v->type.rank == 4 && data) {
        memcpy(shape.dim, v->type.dim, sizeof shape.dim);
        if (shape.dim[0] < 0) shape.dim[0] = batch;
        open_sides(data, pp, pp && pp->nhwc, &shape);
        bool known = true;
        for (int i = 0; i < 4; i++) known = known && shape.dim[i] >= 0;
        if (known) own.shapes = &shape, own.n_shapes = 1; /* else planning names the dimension */
    }
    return pare_plan_create(g, &own, plan);
}

pare_status pare_feed_open(const pare_plan *plan, const pare_dataset *data,
                           const pare_preprocess *pp, int64_t limit, int threads, pare_feed *f)
{
    *f = (pare_feed){ .data = data, .pp = pp, .threads = threads > 0 ? threads : pare_cpu_count() };
    pare_type type;
    pare_plan_input(plan, 0, &type);
    if (type.rank < 1 || type.dim[0] < 1)
        return pare_fail(PARE_EUNSUPPORTED,
                         "the network's input has no dimension that counts samples");
    pare_dataset_info info;
    pare_dataset_about(data, &info);
    f->batch = type.dim[0];
    f->total = limit > 0 && limit < info.count ? limit : info.count;
    if (f->total < 1) return pare_fail(PARE_EFORMAT, "'%s' has no samples", info.name);
    PARE_TRY(pare_tensor_of(&type, &f->in));
    f->label = calloc((size_t)f->batch, sizeof *f->label);
    f->index = calloc((size_t)f->batch, sizeof *f->index);
    return f->label && f->index
               ? PARE_OK
               : pare_fail(PARE_ENOMEM, "no memory for a batch of %lld", (long long)f->batch);
}

void pare_feed_close(pare_feed *f)
{
    pare_tensor_free(&f->in);
    free(f->label);
    free(f->index);
    f->label = NULL;
    f->index = NULL;
}

/* Samples are decoded side by side. A thread that fails only marks its sample: messages belong to
 * threads, so the caller repeats the first marked sample itself to get one. */
typedef struct decode_job {
    pare_feed *f;
    _Atomic int64_t failed; /* lowest sample that failed, or batch */
} decode_job;

static pare_tensor slice(const pare_tensor *t, int64_t i)
{
    pare_tensor s = *t;
    size_t bytes = pare_tensor_bytes(t) / (size_t)t->dim[0];
    s.dim[0] = 1;
    s.data = (char *)t->data + (size_t)i * bytes;
    s.buffer = NULL;
    return s;
}

static void decode(void *user, size_t item, int thread)
{
    (void)thread;
    decode_job *j = user;
    pare_feed *f = j->f;
    int64_t i = (int64_t)item;
    pare_tensor one = slice(&f->in, i);
    if (pare_dataset_batch(f->data, f->pp, &f->index[i], 1, NULL, &one, &f->label[i]) == PARE_OK)
        return;
    int64_t lowest = atomic_load(&j->failed);
    while (i < lowest && !atomic_compare_exchange_weak(&j->failed, &lowest, i)) continue;
}

pare_status pare_feed_load(pare_feed *f, int64_t first, int64_t *n)
{
    *n = f->total - first < f->batch ? f->total - first : f->batch;
    for (int64_t i = 0; i < f->batch; i++) f->index[i] = first + (i < *n ? i : *n - 1);
    decode_job j = { .f = f };
    atomic_init(&j.failed, f->batch);
    pare_parallel_for((size_t)f->batch, f->threads, decode, &j);
    int64_t bad = atomic_load(&j.failed);
    if (bad == f->batch) return PARE_OK;
    pare_tensor one = slice(&f->in, bad);
    return pare_dataset_batch(f->data, f->pp, &f->index[bad], 1, NULL, &one, &f->label[bad]);
}

pare_status pare_outputs_new(const pare_plan *plan, pare_tensor **out)
{
    size_t n = pare_plan_outputs(plan);
    pare_tensor *t = calloc(n + 1, sizeof *t);
    if (!t) return pare_fail(PARE_ENOMEM, "no memory for %zu outputs", n);
    for (size_t i = 0; i < n; i++) {
        pare_type type;
        pare_plan_output(plan, i, &type);
        pare_status st = pare_tensor_of(&type, &t[i]);
        if (st == PARE_OK) continue;
        pare_outputs_free(plan, t);
        return st;
    }
    *out = t;
    return PARE_OK;
}

void pare_outputs_free(const pare_plan *plan, pare_tensor *out)
{
    for (size_t i = 0; out && i < pare_plan_outputs(plan); i++) pare_tensor_free(&out[i]);
    free(out);
}

int64_t pare_rank_of(const pare_tensor *t, int64_t first, int64_t n, int label)
{
    double own = pare_tensor_get_f64(t, first + label);
    if (isnan(own)) return n;
    int64_t rank = 0;
    for (int64_t i = 0; i < n; i++) {
        double x = pare_tensor_get_f64(t, first + i);
        if (x > own || isnan(x) || (x == own && i < label)) rank++;
    }
    return rank;
}
