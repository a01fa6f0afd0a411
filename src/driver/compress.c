/* Compressing a network: methods one after the other, retraining through the trainer, stages kept
 * in a run folder, and in the end the file, read back, judged beside the original. What a method
 * does is in src/methods. */
#define _POSIX_C_SOURCE 200809L
#include "base/files.h"
#include "driver/feed.h"
#include "driver/report.h"
#include "driver/run_dir.h"
#include "methods/method.h"
#include "onnx/onnx.h"
#include "train/trainer.h"

#include <fnmatch.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A method with its options, as asked for. */
typedef struct step {
    const pare_method *method;
    void *options;
} step;

/* "PATTERN=rest" */
typedef struct override {
    const char *pattern, *rest;
} override;

typedef struct driver {
    const pare_graph *in;
    const pare_dataset *train, *test;
    const pare_preprocess *pp;
    const pare_compress_options *o;
    const pare_progress *progress;
    pare_arena *arena;
    step *steps;
    size_t n_steps, at; /* `at`: the step that is running */
    override *over;     /* of o->layers */
    size_t n_over;
    const pare_shape *shapes; /* what figures are for; those asked for, or of_data */
    size_t n_shapes;
    pare_shape of_data;
    char *spelled; /* methods with all options; in the arena */
    pare_run_dir *run;
} driver;

static pare_status no_memory(void)
{
    return pare_fail(PARE_ENOMEM, "no memory to compress a network");
}

/* --- what was asked for --- */
static pare_status unknown_method(const char *name, size_t length)
{
    char list[256] = "";
    for (const pare_method *const *m = pare_methods; *m; m++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", *list ? ", " : "",
                 (*m)->name);
    return pare_fail(PARE_EINVAL, "there is no method '%.*s'; known: %s", (int)length, name, list);
}

static pare_status parse_method(driver *d, const char *text, step *s)
{
    size_t length = strcspn(text, ":");
    char *name = pare_arena_strn(d->arena, text, length);
    if (!name) return no_memory();
    s->method = pare_method_find(name);
    if (!s->method) return unknown_method(text, length);
    s->options = pare_arena_alloc(d->arena, s->method->options_size);
    if (!s->options) return no_memory();
    pare_fields_default(s->method->options, s->options);
    return text[length] ? pare_fields_parse(s->method->options, name, text + length + 1, d->arena,
                                            s->options)
                        : PARE_OK;
}

/* The one rate asked for takes the place of every method's own. */
static pare_status set_rate(driver *d)
{
    bool taken = false;
    for (size_t i = 0; i < d->n_steps; i++) {
        const pare_field *f = pare_field_find(d->steps[i].method->options, "lr", 2);
        if (!f) continue;
        PARE_TRY(pare_note(pare_field_set_real(f, d->o->lr, d->steps[i].options), "%s",
                           d->steps[i].method->name));
        taken = true;
    }
    return taken ? PARE_OK
                 : pare_fail(PARE_EINVAL, "a learning rate is given, but no method here has one");
}

/* "name:option=value,..." with every option. */
static void spell(const step *s, FILE *to)
{
    fprintf(to, "%s", s->method->name);
    const char *sep = ":";
    for (const pare_field *f = s->method->options; f->kind != PARE_FIELD_END; f++) {
        const void *v = pare_field_get(f, s->options);
        size_t length;
        const char *choice;
        if (f->kind == PARE_FIELD_INT)
            fprintf(to, "%s%s=%" PRId64, sep, f->name, *(const int64_t *)v);
        else if (f->kind == PARE_FIELD_REAL)
            fprintf(to, "%s%s=%.9g", sep, f->name, *(const double *)v);
        else if (f->kind == PARE_FIELD_BOOL)
            fprintf(to, "%s%s=%d", sep, f->name, *(const bool *)v);
        else if (f->kind == PARE_FIELD_STR && *(const char *const *)v)
            fprintf(to, "%s%s=%s", sep, f->name, *(const char *const *)v);
        else if (f->kind == PARE_FIELD_ENUM) {
            choice = pare_field_choice(f, *(const int *)v, &length);
            fprintf(to, "%s%s=%.*s", sep, f->name, (int)length, choice);
        } else
            continue;
        sep = ",";
    }
}

static pare_status parse_methods(driver *d)
{
    const char *const *text = d->o->methods;
    while (text && text[d->n_steps]) d->n_steps++;
    if (d->n_steps == 0) return pare_fail(PARE_EINVAL, "no method is given");
    d->steps = pare_arena_array(d->arena, d->n_steps, sizeof *d->steps);
    if (!d->steps) return no_memory();
    for (size_t i = 0; i < d->n_steps; i++) PARE_TRY(parse_method(d, text[i], &d->steps[i]));
    if (d->o->lr > 0) PARE_TRY(set_rate(d));
    char *memory = NULL;
    size_t size = 0;
    FILE *to = open_memstream(&memory, &size);
    for (size_t i = 0; to && i < d->n_steps; i++) {
        if (i) fputc(' ', to);
        spell(&d->steps[i], to);
    }
    bool failed = !to || fclose(to) != 0;
    d->spelled = failed ? NULL : pare_arena_str(d->arena, memory);
    free(memory);
    return d->spelled ? PARE_OK : no_memory();
}

/* An option that is known, but not to be told layer by layer, would have no effect. */
static pare_status check_per_layer(const driver *d, const char *text, const char *rest)
{
    for (const char *p = rest; *p; p += strcspn(p, ","), p += *p == ',') {
        size_t length = strcspn(p, ",=");
        bool known = false, fits = false;
        for (size_t i = 0; i < d->n_steps; i++) {
            const pare_method *m = d->steps[i].method;
            const pare_field *f = pare_field_find(m->options, p, length);
            known |= f != NULL;
            fits |= f && (m->layer || f->per_layer);
        }
        if (known && !fits)
            return pare_fail(
                PARE_EINVAL,
                "layer option '%s': option '%.*s' holds for the whole run; give it to --method",
                text, (int)length, p);
    }
    return PARE_OK;
}

/* Does the rest of an override make sense to one of the methods? If not, the last one's complaint
 * stands. */
static pare_status check_override(driver *d, const char *text, const override *v)
{
    bool fits = false;
    for (uint32_t i = 0; !fits && i < d->in->n_nodes; i++)
        fits = d->in->node[i].op && fnmatch(v->pattern, d->in->node[i].name, 0) == 0;
    if (!fits)
        return pare_fail(PARE_EINVAL, "layer option '%s': the network has no such layer", text);
    if (strcmp(v->rest, "skip") == 0) return PARE_OK;
    PARE_TRY(check_per_layer(d, text, v->rest));
    pare_status st = PARE_EINVAL;
    for (size_t i = 0; st == PARE_EINVAL && i < d->n_steps; i++) {
        void *scratch =
            pare_arena_copy(d->arena, d->steps[i].options, d->steps[i].method->options_size);
        if (!scratch) return no_memory();
        st = pare_fields_parse(d->steps[i].method->options, text, v->rest, d->arena, scratch);
    }
    return st;
}

static pare_status parse_layers(driver *d)
{
    const char *const *text = d->o->layers;
    while (text && text[d->n_over]) d->n_over++;
    d->over = pare_arena_array(d->arena, d->n_over, sizeof *d->over);
    if (!d->over) return no_memory();
    for (size_t i = 0; i < d->n_over; i++) {
        const char *eq = strchr(text[i], '=');
        if (!eq)
            return pare_fail(
                PARE_EINVAL,
                "layer option '%s' is not of the form LAYER=OPTION=VALUE or LAYER=skip", text[i]);
        d->over[i] =
            (override){ pare_arena_strn(d->arena, text[i], (size_t)(eq - text[i])), eq + 1 };
        if (!d->over[i].pattern) return no_memory();
        PARE_TRY(check_override(d, text[i], &d->over[i]));
    }
    return PARE_OK;
}

/* --- what the methods may call --- */
static void say(pare_job *job, const char *fmt, ...)
{
    driver *d = job->driver;
    char line[400];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(line, sizeof line, fmt, ap);
    va_end(ap);
    pare_log(PARE_LOG_INFO, "%s: %s", d->steps[d->at].method->name, line);
}

/* Stages of the third method are called "3-penni-retrain". */
static void stage_name(const driver *d, const char *stage, char *name, size_t size)
{
    snprintf(name, size, "%zu-%s-%s", d->at + 1, d->steps[d->at].method->name, stage);
}
enum { STAGE_NAME = 96 };

static pare_status tune(pare_job *job, pare_graph *g, const pare_tune *t)
{
    driver *d = job->driver;
    char name[STAGE_NAME];
    stage_name(d, t->stage, name, sizeof name);
    pare_train_options o = d->o->train;
    o.epochs = t->epochs;
    o.lr = t->lr;
    o.weight_decay = t->weight_decay;
    o.schedule = t->schedule;
    o.step_gamma = t->step_gamma;
    o.run_dir = pare_run_dir_path(d->run);
    pare_trainer_hooks hooks = { t->l1, t->l1_codec, t->l1_part, t->frozen, t->epoch_end, t->user };
    pare_train_report r;
    PARE_TRY(pare_trainer_run(g, d->train, d->test, d->pp, o.distill > 0 ? d->in : NULL, &o, &hooks,
                              name, false, d->progress, &r));
    if (r.top1 >= 0)
        say(job, "%s: %lld epochs, loss %.4f, top-1 %.2f %%", t->stage, (long long)r.epochs, r.loss,
            100 * r.top1);
    else
        say(job, "%s: %lld epochs, loss %.4f", t->stage, (long long)r.epochs, r.loss);
    return PARE_OK;
}

static pare_status checkpoint(pare_job *job, const char *stage, const pare_graph *g)
{
    driver *d = job->driver;
    char name[STAGE_NAME];
    stage_name(d, stage, name, sizeof name);
    return pare_run_dir_save(d->run, name, g);
}

static pare_status resume(pare_job *job, const char *stage, pare_graph **g, bool *found)
{
    driver *d = job->driver;
    char name[STAGE_NAME];
    stage_name(d, stage, name, sizeof name);
    return pare_run_dir_load(d->run, name, g, found);
}

static pare_status layer_options(pare_job *job, const pare_node *n, const void *options, void *out,
                                 bool *skip)
{
    driver *d = job->driver;
    const pare_method *m = d->steps[d->at].method;
    memcpy(out, options, m->options_size);
    *skip = false;
    for (size_t i = 0; i < d->n_over; i++) {
        const override *v = &d->over[i];
        if (fnmatch(v->pattern, n->name, 0) != 0) continue;
        if (strcmp(v->rest, "skip") == 0) {
            *skip = true;
            continue;
        }
        pare_status st = pare_fields_parse(m->options, n->name, v->rest, d->arena, out);
        if (st == PARE_EINVAL)
            pare_error_clear(); /* an option of another method */
        else
            PARE_TRY(st);
    }
    return PARE_OK;
}

/* --- the run --- */

/* Everything that decides the result, as a number: the network, the methods, the data, how it is
 * trained. */
static pare_status key_of(const driver *d, char *key, size_t size)
{
    uint8_t *data;
    size_t bytes;
    PARE_TRY(pare_onnx_write(d->in, &data, &bytes));
    uint64_t h = pare_hash_bytes(PARE_HASH_START, data, bytes);
    free(data);
    char text[600];
    const pare_train_options *t = &d->o->train;
    pare_dataset_info info = { .name = "" };
    if (d->train) pare_dataset_about(d->train, &info);
    snprintf(text, sizeof text,
             "%" PRId64 " %" PRId64 " %" PRId64 " %d %.17g %d %.17g %.17g %.17g %.17g %d %" PRId64
             " %" PRId64 " %d %.200s %" PRId64,
             d->o->epochs, t->batch, t->max_steps, t->optimizer, t->momentum, t->nesterov,
             t->warmup, t->label_smoothing, t->distill, t->temperature, t->augment_flip,
             t->augment_pad, t->seed, t->precision, info.name, info.count);
    h = pare_hash_bytes(h, text, strlen(text));
    h = pare_hash_bytes(h, d->spelled, strlen(d->spelled));
    for (const char *const *l = d->o->layers; l && *l; l++)
        h = pare_hash_bytes(h, *l, strlen(*l) + 1);
    if (d->pp) {
        const pare_preprocess *p = d->pp;
        const int whole[] = { p->n_mean,   p->n_scale,  p->bgr,    p->nhwc,  p->skip,
                              p->resize_w, p->resize_h, p->crop_w, p->crop_h };
        h = pare_hash_bytes(h, whole, sizeof whole);
        h = pare_hash_bytes(h, p->mean, sizeof p->mean);
        h = pare_hash_bytes(h, p->scale, sizeof p->scale);
    }
    snprintf(key, size, "%016" PRIx64, h);
    return PARE_OK;
}

static pare_status apply(driver *d, pare_graph **g)
{
    bool may_train = d->train != NULL && d->o->epochs != 0;
    if (!d->train && d->o->epochs != 0)
        pare_log(PARE_LOG_WARNING, "no training data: every method works without retraining");
    for (d->at = 0; d->at < d->n_steps; d->at++) {
        const step *s = &d->steps[d->at];
        pare_job job = { .original = d->in,
                         .epochs = d->o->epochs,
                         .seed = (uint64_t)d->o->train.seed,
                         .tune = may_train ? tune : NULL,
                         .checkpoint = checkpoint,
                         .resume = resume,
                         .say = say,
                         .layer_options = layer_options,
                         .driver = d };
        if (s->method->graph) {
            PARE_TRY(s->method->graph(&job, g, s->options));
            continue;
        }
        void *own = pare_arena_alloc(d->arena, s->method->options_size);
        if (!own) return no_memory();
        for (uint32_t i = 0; i < (*g)->n_nodes; i++) {
            const pare_node *n = &(*g)->node[i];
            bool skip;
            if (!n->op ||
                (s->method->eligible ? !s->method->eligible(*g, n) : !pare_node_weight(*g, n, 1)))
                continue;
            PARE_TRY(layer_options(&job, n, s->options, own, &skip));
            if (!skip)
                PARE_TRY(pare_note(s->method->layer(&job, *g, i, own), "%s: node '%s'",
                                   s->method->name, n->name));
        }
    }
    return PARE_OK;
}

static pare_status label(driver *d, pare_graph *g)
{
    char seed[24];
    snprintf(seed, sizeof seed, "%" PRId64, d->o->train.seed);
    PARE_TRY(pare_graph_set_meta(g, "pare.method", d->spelled));
    PARE_TRY(pare_graph_set_meta(g, "pare.seed", seed));
    PARE_TRY(pare_graph_set_meta(g, "pare.version", pare_version()));
    return d->pp ? pare_preprocess_to_model(d->pp, g) : PARE_OK;
}

/* Where picture sizes are free and none were given, figures are for those of the data. */
static pare_status settle_shapes(driver *d)
{
    d->shapes = d->o->shapes;
    d->n_shapes = d->o->n_shapes;
    if (d->n_shapes || !d->test || d->in->n_inputs != 1) return PARE_OK;
    const pare_type *t = &d->in->value[d->in->input[0]].type;
    bool open = t->rank < 0;
    for (int i = 1; i < t->rank; i++) open |= t->dim[i] < 0;
    if (!open) return PARE_OK;
    pare_plan *plan;
    pare_type found;
    PARE_TRY(pare_feed_plan(d->in, d->test, d->pp, 1, &(pare_plan_options){ .threads = 1 }, &plan));
    pare_plan_input(plan, 0, &found);
    d->of_data = (pare_shape){ .rank = found.rank };
    memcpy(d->of_data.dim, found.dim, sizeof found.dim);
    if (t->rank > 0 && t->dim[0] < 0) d->of_data.dim[0] = -1;
    pare_plan_free(plan);
    d->shapes = &d->of_data;
    d->n_shapes = 1;
    return PARE_OK;
}

static pare_status judge(driver *d, const pare_graph *g, pare_measure *m)
{
    PARE_TRY(pare_measure_size(g, d->shapes, d->n_shapes, m));
    if (!d->test) return PARE_OK;
    pare_accuracy a;
    pare_plan_options plan = { .threads = (int)d->o->train.threads,
                               .no_winograd = d->o->no_winograd,
                               .no_integers = d->o->no_integers };
    PARE_TRY(pare_evaluate(g, d->test, d->pp, d->o->train.eval_limit, &plan, d->progress, &a));
    m->top1 = a.top1;
    return PARE_OK;
}

static pare_status time_both(driver *d, const pare_graph *after, pare_compress_report *r)
{
    const pare_graph *both[2] = { d->in, after };
    pare_bench_model timed[2] = { { 0 } };
    pare_bench_options o = { .plan = { .threads = 1,
                                       .batch = 1,
                                       .shapes = d->shapes,
                                       .n_shapes = d->n_shapes,
                                       .no_winograd = d->o->no_winograd,
                                       .no_integers = d->o->no_integers } };
    if (r->before.macs <
        0) { /* the report lacks what a free dimension keeps unknown, and the work is done */
        pare_log(PARE_LOG_WARNING,
                 "not timed: the input has free dimensions; give its shape (--shape)");
        return PARE_OK;
    }
    PARE_TRY(pare_bench(both, 2, &o, d->progress, timed));
    r->before.median_ms = timed[0].median_ms;
    r->after.median_ms = timed[1].median_ms;
    r->latency_ratio = timed[1].ratio_to_first > 0 ? 1 / timed[1].ratio_to_first : -1;
    pare_bench_free(timed, 2);
    return PARE_OK;
}

/* Everything reported is of the file's bytes as anyone else would read them; *g becomes that
 * network. */
static pare_status report_on(driver *d, pare_graph **g, const uint8_t *file, size_t size,
                             pare_compress_report *r)
{
    pare_graph *read;
    PARE_TRY(pare_model_load_memory(file, size, d->o->out_path, &read));
    pare_graph_free(*g);
    *g = read;
    PARE_TRY(judge(d, *g, &r->after));
    if (d->o->measure) PARE_TRY(time_both(d, *g, r));
    return pare_report_layers(d->in, *g, d->shapes, d->n_shapes, d->arena, r);
}

static pare_status work(driver *d, pare_graph **g, pare_compress_report *r)
{
    const pare_compress_options *o = d->o;
    if (!o->out_path || !*o->out_path)
        return pare_fail(PARE_EINVAL, "no file is given for the result");
    if (!o->force && pare_file_exists(o->out_path))
        return pare_fail(PARE_EINVAL, "'%s' exists; give --force to replace it", o->out_path);
    PARE_TRY(parse_methods(d));
    PARE_TRY(parse_layers(d));
    if (o->run_dir) {
        char key[24];
        PARE_TRY(key_of(d, key, sizeof key));
        PARE_TRY(pare_run_dir_open(o->run_dir, key, &d->run));
    }
    PARE_TRY(settle_shapes(d));
    PARE_TRY(judge(d, d->in, &r->before));
    PARE_TRY(pare_graph_clone(d->in, g));
    PARE_TRY(apply(d, g));
    PARE_TRY(label(d, *g));
    uint8_t *file;
    size_t size;
    PARE_TRY(pare_note(pare_onnx_write(*g, &file, &size), "%s", o->out_path));
    pare_status st = report_on(d, g, file, size, r);
    /* Last: an interrupted run leaves no result behind that the same command would then refuse to
     * replace. */
    if (st == PARE_OK) st = pare_write_file(o->out_path, file, size, o->force);
    free(file);
    PARE_TRY(st);
    r->method = d->spelled;
    r->seed = (uint64_t)o->train.seed;
    return PARE_OK;
}

pare_status pare_compress(const pare_graph *in, const pare_dataset *train, const pare_dataset *test,
                          const pare_preprocess *pp, const pare_compress_options *options,
                          const pare_progress *progress, pare_compress_report *out)
{
    PARE_TRY(pare_graph_in_memory(in));
    driver d = { .in = in,
                 .train = train,
                 .test = test,
                 .pp = pp,
                 .o = options,
                 .progress = progress,
                 .arena = pare_arena_new(0) };
    if (!d.arena) return no_memory();
    pare_compress_report r = { .before = { -1, -1, -1, -1, -1 },
                               .after = { -1, -1, -1, -1, -1 },
                               .latency_ratio = -1,
                               .owner = d.arena };
    pare_graph *g = NULL;
    pare_status st = work(&d, &g, &r);
    pare_graph_free(g);
    pare_run_dir_close(d.run);
    if (st != PARE_OK) {
        pare_arena_free(d.arena);
        return st;
    }
    *out = r;
    if (options->max_drop >= 0 && r.before.top1 >= 0 &&
        r.before.top1 - r.after.top1 > options->max_drop)
        return pare_fail(
            PARE_ETARGET,
            "top-1 fell by %.2f points, more than the %.2f allowed; '%s' is written all the same",
            100 * (r.before.top1 - r.after.top1), 100 * options->max_drop, options->out_path);
    return PARE_OK;
}

void pare_compress_report_free(pare_compress_report *r)
{
    pare_arena_free(r->owner);
    *r = (pare_compress_report){ 0 };
}
