/* The training loop: batches, steps, epochs, evaluation, checkpoints. */
#include "train/trainer.h"

#include "base/files.h"
#include "base/parallel.h"
#include "train/checkpoint.h"
#include "train/loader.h"
#include "train/loss.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

typedef struct trainer {
    pare_graph *graph;
    const pare_train_options *o;
    pare_trainer_hooks hooks;
    const char *stage;
    bool keep_best;
    const pare_progress *progress;
    tparams params, teacher_params;
    pare_engine *engine, *judge, *teacher; /* judge: evaluates; NULL without a test set */
    pare_loader *train, *test;
    pare_dataset_info train_info, test_info;
    int64_t batch, steps, test_count; /* steps: of an epoch */
    size_t skip;
    float *dlogits, *best;
    const char *frozen; /* part that rests in this epoch */
    char *path;         /* of the checkpoint; NULL: none */
    pare_checkpoint at;
    double saved, reported, seconds; /* seconds: spent in steps of this call */
    int64_t images;
} trainer;

static double now(void)
{
    struct timespec t;
    timespec_get(&t, TIME_UTC);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* --- one step --- */

enum { PIECE = 16384 };

typedef struct update {
    trainer *t;
    tslot *s;
    double rate, l1;
} update;

static void update_piece(void *user, size_t i, int thread)
{
    const update *u = user;
    const pare_train_options *o = u->t->o;
    tslot *s = u->s;
    size_t from = i * PIECE, n = s->n - from < PIECE ? s->n - from : PIECE;
    float rate = (float)u->rate, decay = s->decays ? (float)o->weight_decay : 0, l1 = (float)u->l1;
    const pare_train_kernels *k = u->t->engine->k;
    if (o->optimizer == 0) {
        k->sgd(n, s->w + from, s->m + from, s->g + from, rate, (float)o->momentum, decay, l1,
               o->nesterov);
        return;
    }
    double updates = (double)u->t->at.updates;
    k->adamw(n, s->w + from, s->m + from, s->v + from, s->g + from, rate, decay, l1,
             (float)(1 - pow(0.9, updates)), (float)(1 - pow(0.999, updates)));
}

/* Is slot `s` the part named `part` of the codec that the method's hooks are about? */
static bool is_part(const trainer *t, const tslot *s, const char *part)
{
    const pare_codec *codec = t->params.p[s->param]->weight.codec;
    return part && codec && t->hooks.l1_codec && strcmp(codec->name, t->hooks.l1_codec) == 0 &&
           strcmp(codec->parts[s->part], part) == 0;
}

static void apply(trainer *t, double rate)
{
    t->at.updates++;
    for (int i = 0; i < t->params.n_slots; i++) {
        tslot *s = &t->params.slot[i];
        if (is_part(t, s, t->frozen)) continue;
        update u = { t, s, rate, is_part(t, s, t->hooks.l1_part) ? t->hooks.l1 : 0 };
        pare_parallel_for((s->n + PIECE - 1) / PIECE, t->engine->threads, update_piece, &u);
    }
}

static pare_status step(trainer *t, const float *x, const int *label, int64_t n)
{
    pare_engine *e = t->engine;
    int64_t done = t->at.epoch * t->steps + t->at.step;
    e->iteration = (uint64_t)done;
    pare_engine_begin(e);
    pare_engine_forward(e, x, (size_t)n);
    const float *teacher = NULL;
    if (t->teacher) {
        pare_engine_forward(t->teacher, x, (size_t)n);
        teacher = pare_engine_logits(t->teacher);
    }
    double loss = pare_loss(t->o, (size_t)n, e->classes, t->skip, pare_engine_logits(e), label,
                            teacher, t->dlogits, NULL);
    if (!isfinite(loss))
        return pare_fail(
            PARE_EINVAL,
            "the loss became %g in step %lld of epoch %lld; a lower learning rate than %g may help",
            loss, (long long)t->at.step + 1, (long long)t->at.epoch + 1, t->o->lr);
    pare_engine_backward(e, t->dlogits);
    PARE_TRY(tparams_encode_grads(&t->params));
    apply(t, pare_train_rate(t->o, done, t->o->epochs * t->steps, t->steps));
    PARE_TRY(tparams_decode(&t->params));
    t->at.loss_sum += loss;
    t->at.step++;
    t->images += n;
    return PARE_OK;
}

/* --- evaluation --- */

static pare_status evaluate(trainer *t, double *top1)
{
    *top1 = -1;
    if (!t->judge) return PARE_OK;
    int64_t batch = (int64_t)t->judge->batch, correct = 0, n;
    pare_load_plan plan = { .batches = (t->test_count + batch - 1) / batch,
                            .batch = batch,
                            .limit = t->test_count };
    PARE_TRY(pare_loader_start(t->test, &plan));
    pare_engine_begin(t->judge);
    for (;;) {
        const float *x;
        const int *label;
        int64_t right;
        PARE_TRY(pare_loader_next(t->test, &x, &label, &n));
        if (n == 0) break;
        pare_engine_forward(t->judge, x, (size_t)n);
        pare_loss(t->o, (size_t)n, t->judge->classes, t->skip, pare_engine_logits(t->judge), label,
                  NULL, NULL, &right);
        correct += right;
    }
    *top1 = (double)correct / (double)t->test_count;
    return PARE_OK;
}

/* --- checkpoints and progress --- */

static pare_status save(trainer *t)
{
    t->saved = now();
    return t->path ? pare_checkpoint_save(t->path, &t->at, &t->params, t->best) : PARE_OK;
}

static pare_status report(trainer *t)
{
    const pare_checkpoint *c = &t->at;
    char top1[32] = "";
    if (c->top1 >= 0) snprintf(top1, sizeof top1, ", top-1 %.2f %%", 100 * c->top1);
    return pare_report(t->progress, t->stage, c->epoch * t->steps + c->step,
                       t->o->epochs * t->steps, "epoch %lld, loss %.4f%s",
                       (long long)(c->step ? c->epoch + 1 : c->epoch),
                       c->step ? c->loss_sum / (double)c->step : c->loss, top1);
}

/* Reports about five times a second, saves about once a minute, and stops when asked to. */
static pare_status between_steps(trainer *t)
{
    double time = now();
    if (time - t->reported > 0.2) {
        t->reported = time;
        pare_status st = report(t);
        if (st != PARE_OK) {
            PARE_TRY(save(t));
            PARE_TRY(tparams_write(&t->params, t->graph));
            return pare_fail(st, "stopped in epoch %lld, after step %lld",
                             (long long)t->at.epoch + 1, (long long)t->at.step);
        }
    }
    return time - t->saved > 60 ? save(t) : PARE_OK;
}

static pare_status epoch(trainer *t)
{
    if (t->hooks.frozen) t->frozen = t->hooks.frozen(t->hooks.user, t->at.epoch);
    pare_load_plan plan = {
        .first = t->at.step,
        .batches = t->steps - t->at.step,
        .batch = t->batch,
        .limit = t->train_info.count,
        .shuffle = true,
        .augment = { (int)t->o->augment_pad, t->o->augment_flip, (uint64_t)t->o->seed,
                     t->at.epoch },
        .augmented = t->o->augment_pad > 0 || t->o->augment_flip,
    };
    PARE_TRY(pare_loader_start(t->train, &plan));
    while (t->at.step < t->steps) {
        const float *x;
        const int *label;
        int64_t n;
        double start = now();
        PARE_TRY(pare_loader_next(t->train, &x, &label, &n));
        PARE_TRY(step(t, x, label, n));
        t->seconds += now() - start;
        if (t->at.step < t->steps) PARE_TRY(between_steps(t));
    }
    if (t->hooks.epoch_end) {
        PARE_TRY(tparams_write(&t->params, t->graph));
        PARE_TRY(t->hooks.epoch_end(t->hooks.user, t->at.epoch, t->graph));
        PARE_TRY(tparams_read(&t->params, t->graph));
    }
    t->at.loss = t->at.loss_sum / (double)t->steps;
    t->at.loss_sum = 0;
    t->at.step = 0;
    t->at.epoch++;
    PARE_TRY(evaluate(t, &t->at.top1));
    if (t->at.top1 > t->at.best_top1) {
        t->at.best_top1 = t->at.top1;
        if (t->keep_best) {
            t->at.has_best = true;
            pare_checkpoint_copy(&t->params, t->best);
        }
    }
    PARE_TRY(save(t));
    pare_log(PARE_LOG_INFO, "%s: epoch %lld, loss %.4f, top-1 %.4f", t->stage,
             (long long)t->at.epoch, t->at.loss, t->at.top1);
    pare_status st = report(t);
    if (st == PARE_OK || t->at.epoch >= t->o->epochs) return PARE_OK;
    PARE_TRY(tparams_write(&t->params, t->graph));
    return pare_fail(st, "stopped after epoch %lld", (long long)t->at.epoch);
}

/* --- setting up --- */

static pare_status check_options(const pare_train_options *o, const char *stage, bool teacher)
{
    const struct {
        const char *name;
        double v, min, max;
    } ranges[] = {
        { "epochs", (double)o->epochs, 0, 1e6 },
        { "batch", (double)o->batch, 1, 65536 },
        { "max-steps", (double)o->max_steps, 0, 1e9 },
        { "optimizer", o->optimizer, 0, 1 },
        { "lr", o->lr, 0, 1e3 },
        { "momentum", o->momentum, 0, 0.9999 },
        { "weight-decay", o->weight_decay, 0, 10 },
        { "schedule", o->schedule, 0, 3 },
        { "step-gamma", o->step_gamma, 0, 1 },
        { "warmup", o->warmup, 0, 1e6 },
        { "label-smoothing", o->label_smoothing, 0, 1 },
        { "distill", o->distill, 0, 1 },
        { "temperature", teacher ? o->temperature : 1, 1e-3, 1e3 },
        { "augment-pad", (double)o->augment_pad, 0, 64 },
        { "threads", (double)o->threads, 0, 256 },
        { "precision", o->precision, 0, 1 },
        { "eval-limit", (double)o->eval_limit, 0, 1e12 },
    };
    for (size_t i = 0; i < sizeof ranges / sizeof *ranges; i++)
        if (!(ranges[i].v >= ranges[i].min && ranges[i].v <= ranges[i].max))
            return pare_fail(PARE_EINVAL, "training: %s %g is not within %g to %g", ranges[i].name,
                             ranges[i].v, ranges[i].min, ranges[i].max);
    if (o->distill > 0 && !teacher)
        return pare_fail(PARE_EINVAL, "training: distill %g needs a teacher", o->distill);
    size_t ok = strspn(stage, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.");
    if (!*stage || stage[ok])
        return pare_fail(PARE_EINTERNAL, "'%s' does not name a training stage", stage);
    return PARE_OK;
}

static uint64_t hash_string(uint64_t h, const char *s) { return pare_hash(h, s, strlen(s)); }

/* Identifies a run: what its result depends on, apart from the values of what trains (a checkpoint
 * has those). */
static uint64_t key_of(const trainer *t, const pare_preprocess *pp)
{
    const pare_train_options *o = t->o;
    const double numbers[] = {
        (double)o->epochs,
        (double)t->batch,
        (double)t->steps,
        o->optimizer,
        o->lr,
        o->momentum,
        o->weight_decay,
        o->nesterov,
        o->schedule,
        o->step_gamma,
        o->warmup,
        o->label_smoothing,
        t->teacher ? o->distill : 0,
        o->temperature,
        o->augment_flip,
        (double)o->augment_pad,
        (double)o->seed,
        o->precision,
        t->hooks.l1,
        (double)t->train_info.count,
        t->keep_best,
        t->judge != NULL,
        pp->bgr,
        pp->nhwc,
        pp->skip,
        pp->resize_w,
        pp->resize_h,
        pp->crop_w,
        pp->crop_h,
        pp->n_mean,
        pp->n_scale,
    };
    uint64_t h = pare_hash(1, numbers, sizeof numbers);
    h = pare_hash(h, pp->mean, sizeof *pp->mean * (size_t)pp->n_mean);
    h = pare_hash(h, pp->scale, sizeof *pp->scale * (size_t)pp->n_scale);
    h = hash_string(h, t->train_info.name);
    h = hash_string(h, t->stage);
    const pare_graph *g = t->graph;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *n = &g->node[i];
        if (!n->op) continue;
        h = hash_string(hash_string(h, n->op->name), n->name);
        h = pare_hash(h, n->in, n->n_in * sizeof *n->in);
    }
    for (int i = 0; i < t->params.n; i++) {
        const pare_weight *w = &t->params.p[i]->weight;
        h = pare_hash(h, &t->params.p[i]->id, sizeof t->params.p[i]->id);
        h = hash_string(h, w->codec ? w->codec->name : "dense");
        for (int k = 0; k < pare_weight_parts(w); k++) {
            h = pare_hash(h, w->part[k].dim, (size_t)w->part[k].rank * sizeof *w->part[k].dim);
            if (w->part[k].dtype != PARE_F32)
                h = pare_hash(h, w->part[k].data, pare_tensor_bytes(&w->part[k]));
        }
    }
    return h;
}

static pare_status check_classes(const pare_engine *e, const pare_dataset_info *info, int skip,
                                 const char *who)
{
    if ((int64_t)e->classes < (int64_t)info->classes + skip)
        return pare_fail(PARE_EINVAL, "%s has %zu outputs, but data set %s has %d classes%s", who,
                         e->classes, info->name, info->classes,
                         skip ? " and outputs are skipped" : "");
    return PARE_OK;
}

static pare_status set_up(trainer *t, const pare_dataset *train, const pare_dataset *test,
                          const pare_preprocess *pp, const pare_graph *teacher)
{
    const pare_train_options *o = t->o;
    int threads = o->threads > 0 ? (int)o->threads : pare_cpu_count();
    pare_dataset_about(train, &t->train_info);
    if (t->train_info.count < 1)
        return pare_fail(PARE_EINVAL, "data set %s is empty", t->train_info.name);
    t->batch = o->batch < t->train_info.count ? o->batch : t->train_info.count;
    t->steps = t->train_info.count / t->batch;
    if (o->max_steps > 0 && o->max_steps < t->steps) t->steps = o->max_steps;
    t->skip = (size_t)pp->skip;
    t->params.g = t->graph;
    PARE_TRY(pare_engine_new(t->graph, &t->params, true, (size_t)t->batch, threads,
                             o->precision == 1, &t->engine));
    PARE_TRY(check_classes(t->engine, &t->train_info, pp->skip, "the network"));
    t->engine->seed = (uint64_t)o->seed;
    if (test) {
        pare_dataset_about(test, &t->test_info);
        t->test_count = o->eval_limit > 0 && o->eval_limit < t->test_info.count
                            ? o->eval_limit
                            : t->test_info.count;
        int64_t batch = t->test_count < 128 ? t->test_count : 128;
        if (batch < 1) return pare_fail(PARE_EINVAL, "data set %s is empty", t->test_info.name);
        /* Judged as it will run: in float32. */
        PARE_TRY(
            pare_engine_new(t->graph, &t->params, false, (size_t)batch, threads, false, &t->judge));
        PARE_TRY(check_classes(t->judge, &t->test_info, pp->skip, "the network"));
        PARE_TRY(pare_loader_new(test, pp, &t->judge->input_type, batch, &t->test));
    }
    if (teacher && o->distill > 0) {
        t->teacher_params.g = teacher;
        PARE_TRY(pare_note(pare_engine_new(teacher, &t->teacher_params, false, (size_t)t->batch,
                                           threads, o->precision == 1, &t->teacher),
                           "teacher"));
        if (t->teacher->classes != t->engine->classes ||
            !pare_same_shape(&t->teacher->input_type, &t->engine->input_type))
            return pare_fail(PARE_EINVAL,
                             "the teacher has %zu outputs, the network %zu, or their inputs differ",
                             t->teacher->classes, t->engine->classes);
        pare_engine_begin(t->teacher);
    }
    PARE_TRY(tparams_seal(&t->params, o->optimizer == 1));
    PARE_TRY(pare_loader_new(train, pp, &t->engine->input_type, t->batch, &t->train));
    t->dlogits = malloc((size_t)t->batch * t->engine->classes * sizeof *t->dlogits);
    size_t numbers = pare_checkpoint_floats(&t->params);
    t->best = t->keep_best ? malloc((numbers + 1) * sizeof *t->best) : NULL;
    if (!t->dlogits || (t->keep_best && !t->best))
        return pare_fail(PARE_ENOMEM, "no memory for training");
    t->at.key = key_of(t, pp);
    if (!o->run_dir) return PARE_OK;
    PARE_TRY(pare_make_dirs(o->run_dir));
    t->path = pare_format("%s/%s.ckpt", o->run_dir, t->stage);
    return t->path ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for the name of a checkpoint");
}

static void tear_down(trainer *t)
{
    pare_loader_free(t->train);
    pare_loader_free(t->test);
    pare_engine_free(t->engine);
    pare_engine_free(t->judge);
    pare_engine_free(t->teacher);
    tparams_free(&t->params);
    tparams_free(&t->teacher_params);
    free(t->dlogits);
    free(t->best);
    free(t->path);
}

static pare_status run(trainer *t, pare_train_report *out)
{
    bool found = false;
    if (t->path) PARE_TRY(pare_checkpoint_load(t->path, &t->at, &t->params, t->best, &found));
    if (found) PARE_TRY(tparams_decode(&t->params));
    out->resumed_from = t->at.epoch;
    t->saved = now();
    if (t->o->epochs == 0) PARE_TRY(evaluate(t, &t->at.top1));
    while (t->at.epoch < t->o->epochs) PARE_TRY(epoch(t));
    if (t->keep_best && t->at.has_best) pare_checkpoint_restore(&t->params, t->best);
    PARE_TRY(tparams_write(&t->params, t->graph));
    out->top1 = t->at.top1;
    out->best_top1 = t->at.best_top1;
    out->loss = t->at.loss;
    out->epochs = t->at.epoch;
    out->images_per_second = t->seconds > 0 ? (double)t->images / t->seconds : 0;
    return PARE_OK;
}

pare_status pare_trainer_run(pare_graph *graph, const pare_dataset *train, const pare_dataset *test,
                             const pare_preprocess *pp, const pare_graph *teacher,
                             const pare_train_options *options, const pare_trainer_hooks *hooks,
                             const char *stage, bool keep_best, const pare_progress *progress,
                             pare_train_report *out)
{
    PARE_TRY(check_options(options, stage, teacher != NULL));
    static const pare_preprocess none = { 0 };
    trainer t = {
        .graph = graph, .o = options, .stage = stage, .keep_best = keep_best, .progress = progress
    };
    t.at.top1 = t.at.best_top1 = -1;
    if (hooks) t.hooks = *hooks;
    pare_train_report r = { .top1 = -1, .best_top1 = -1 };
    pare_status st = set_up(&t, train, test, pp ? pp : &none, teacher);
    if (st == PARE_OK) st = run(&t, &r);
    tear_down(&t);
    if (st == PARE_OK && out) *out = r;
    return st;
}
