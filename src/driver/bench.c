/* pare_bench: models timed in turn, A B C A B C ..., so that what disturbs the machine disturbs all
 * of them alike. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "pare/eval.h"

#include "base/rng.h"
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM_UP = 3, SEED = 1 };

typedef struct runner {
    pare_plan *plan;
    pare_tensor *in, *out;
    double *ms;
} runner;

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

/* Pixels and features vary; integers wider than a byte stay 0, because they may be indices. */
static void fill(pare_tensor *t, uint64_t item)
{
    pare_rng rng = pare_rng_stream(SEED, item);
    for (int64_t i = 0, n = pare_tensor_count(t); i < n; i++) {
        double u = pare_rng_uniform(&rng);
        if (t->dtype == PARE_F32)
            ((float *)t->data)[i] = (float)(2 * u - 1);
        else if (t->dtype == PARE_F64)
            ((double *)t->data)[i] = 2 * u - 1;
        else if (t->dtype == PARE_F16)
            ((uint16_t *)t->data)[i] = pare_float_to_half((float)(2 * u - 1));
        else if (t->dtype == PARE_U8)
            ((uint8_t *)t->data)[i] = (uint8_t)(256 * u);
        else if (t->dtype == PARE_I8)
            ((int8_t *)t->data)[i] = (int8_t)(256 * u - 128);
    }
}

static void drop(runner *r)
{
    for (size_t i = 0; r->plan && r->in && i < pare_plan_inputs(r->plan); i++)
        pare_tensor_free(&r->in[i]);
    for (size_t i = 0; r->plan && r->out && i < pare_plan_outputs(r->plan); i++)
        pare_tensor_free(&r->out[i]);
    free(r->in);
    free(r->out);
    free(r->ms);
    pare_plan_free(r->plan);
    *r = (runner){ 0 };
}

static pare_status set_up(const pare_graph *g, const pare_plan_options *o, runner *r)
{
    PARE_TRY(pare_plan_create(g, o, &r->plan));
    size_t n_in = pare_plan_inputs(r->plan), n_out = pare_plan_outputs(r->plan);
    r->in = calloc(n_in + 1, sizeof *r->in);
    r->out = calloc(n_out + 1, sizeof *r->out);
    if (!r->in || !r->out)
        return pare_fail(PARE_ENOMEM, "no memory for %zu inputs and outputs", n_in + n_out);
    for (size_t i = 0; i < n_in; i++) {
        pare_type t;
        pare_plan_input(r->plan, i, &t);
        PARE_TRY(pare_tensor_of(&t, &r->in[i]));
        fill(&r->in[i], i);
    }
    for (size_t i = 0; i < n_out; i++) {
        pare_type t;
        pare_plan_output(r->plan, i, &t);
        PARE_TRY(pare_tensor_of(&t, &r->out[i]));
    }
    for (int w = 0; w < WARM_UP; w++) PARE_TRY(pare_plan_run(r->plan, r->in, r->out));
    return PARE_OK;
}

static int rising(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return x < y ? -1 : x > y;
}

/* The p-quantile is the smallest number that at least p of all do not exceed. */
static double quantile(const double *sorted, size_t n, double p)
{
    size_t i = (size_t)(p * (double)n);
    return sorted[i < n ? i : n - 1];
}

static pare_status summarise(const runner *r, const runner *first, size_t rounds,
                             pare_bench_model *m)
{
    double *v = malloc((rounds + 1) * sizeof *v);
    if (!v) return pare_fail(PARE_ENOMEM, "no memory for %zu timings", rounds);
    memcpy(v, r->ms, rounds * sizeof *v);
    qsort(v, rounds, sizeof *v, rising);
    m->median_ms = quantile(v, rounds, 0.5), m->p10_ms = quantile(v, rounds, 0.1),
    m->p90_ms = quantile(v, rounds, 0.9);
    for (size_t i = 0; i < rounds; i++) v[i] = r->ms[i] / first->ms[i];
    qsort(v, rounds, sizeof *v, rising);
    m->ratio_to_first = quantile(v, rounds, 0.5), m->ratio_p10 = quantile(v, rounds, 0.1),
    m->ratio_p90 = quantile(v, rounds, 0.9);
    free(v);
    m->runs = (int)rounds;
    double macs = 0;
    for (size_t s = 0; s < pare_plan_steps(r->plan); s++) {
        pare_step_info info;
        pare_plan_step(r->plan, s, &info);
        macs += info.macs;
    }
    m->gflops = 2 * macs / (m->median_ms * 1e6);
    pare_plan_memory mem;
    pare_plan_memory_use(r->plan, &mem);
    double bytes = (double)mem.weights + (double)mem.activations + (double)mem.scratch;
    for (size_t i = 0; i < pare_plan_inputs(r->plan); i++)
        bytes += (double)pare_tensor_bytes(&r->in[i]);
    for (size_t i = 0; i < pare_plan_outputs(r->plan); i++)
        bytes += (double)pare_tensor_bytes(&r->out[i]);
    m->peak_mib = bytes / (1 << 20);
    return PARE_OK;
}

/* Runs a profiling plan and gives the median time of each step; ns[steps] becomes the caller's. A
 * plan reports the mean of its runs so far, from which the single runs follow. */
static pare_status profile(runner *r, int runs, double **ns)
{
    size_t n = pare_plan_steps(r->plan), count = (size_t)runs;
    double *all = calloc(n * count + 1, sizeof *all), *sum = calloc(n + 1, sizeof *sum);
    pare_status st =
        all && sum ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for the times of %zu layers", n);
    for (size_t k = 0; st == PARE_OK && k < count; k++) {
        st = pare_plan_run(r->plan, r->in, r->out);
        for (size_t s = 0; s < n; s++) {
            pare_step_info i;
            pare_plan_step(r->plan, s, &i);
            all[s * count + k] = i.ns * (double)(k + 1) - sum[s];
            sum[s] += all[s * count + k];
        }
    }
    for (size_t s = 0; st == PARE_OK && s < n; s++) {
        qsort(all + s * count, count, sizeof *all, rising);
        sum[s] = quantile(all + s * count, count, 0.5);
    }
    free(all);
    if (st == PARE_OK)
        *ns = sum;
    else
        free(sum);
    return st;
}

/* The layers, from a profiling plan of its own: reading the clock at every step would disturb the
 * figures above. One block holds the array and copies of all strings. */
static pare_status layers(const pare_graph *g, const pare_plan_options *o, int runs,
                          pare_bench_model *m)
{
    pare_plan_options profiling = *o;
    profiling.profile = true;
    runner r = { 0 };
    double *ns = NULL;
    pare_status st = set_up(g, &profiling, &r);
    if (st == PARE_OK) st = profile(&r, runs, &ns);
    size_t n = st == PARE_OK ? pare_plan_steps(r.plan) : 0, bytes = (n + 1) * sizeof *m->layer;
    for (size_t s = 0; s < n; s++) {
        pare_step_info i;
        pare_plan_step(r.plan, s, &i);
        bytes += strlen(i.name) + strlen(i.op) + strlen(i.impl) + strlen(i.why) + 4;
    }
    m->layer = st == PARE_OK ? malloc(bytes) : NULL;
    if (st == PARE_OK && !m->layer)
        st = pare_fail(PARE_ENOMEM, "no memory for the times of %zu layers", n);
    char *text = m->layer ? (char *)(m->layer + n + 1) : NULL;
    for (size_t s = 0; st == PARE_OK && s < n; s++) {
        pare_step_info i;
        pare_plan_step(r.plan, s, &i);
        pare_bench_layer *l = &m->layer[m->n_layers++];
        *l = (pare_bench_layer){ .ms = ns[s] * 1e-6, .macs = i.macs };
        const char **to[4] = { &l->name, &l->op, &l->impl, &l->why },
                   *from[4] = { i.name, i.op, i.impl, i.why };
        for (int k = 0; k < 4; k++) {
            *to[k] = strcpy(text, from[k]);
            text += strlen(text) + 1;
        }
    }
    free(ns);
    drop(&r);
    return st;
}

static pare_status time_all(runner *r, size_t n, double seconds, size_t min_runs,
                            const pare_progress *progress, size_t *rounds)
{
    double start = now_ms(), budget = seconds * 1e3 * (double)n, reported = 0;
    size_t room = 0;
    *rounds = 0;
    for (double spent = 0; *rounds < min_runs || spent < budget; spent = now_ms() - start) {
        if (*rounds == room) {
            room = room ? room * 2 : 256;
            for (size_t i = 0; i < n; i++) {
                double *more = realloc(r[i].ms, room * sizeof *more);
                if (!more) return pare_fail(PARE_ENOMEM, "no memory for %zu timings", room);
                r[i].ms = more;
            }
        }
        for (size_t i = 0; i < n; i++) {
            double t = now_ms();
            PARE_TRY(pare_plan_run(r[i].plan, r[i].in, r[i].out));
            r[i].ms[*rounds] = now_ms() - t;
        }
        ++*rounds;
        if (spent - reported < 100) continue;
        reported = spent;
        PARE_TRY(pare_report(progress, "bench", (int64_t)(spent < budget ? spent : budget),
                             (int64_t)budget, "%zu rounds", *rounds));
    }
    return PARE_OK;
}

pare_status pare_bench(const pare_graph *const *graphs, size_t n, const pare_bench_options *options,
                       const pare_progress *progress, pare_bench_model *out)
{
    static const pare_bench_options defaults = { 0 };
    const pare_bench_options *o = options ? options : &defaults;
    if (n == 0) return pare_fail(PARE_EINVAL, "there is no model to time");
    if (!(o->seconds >= 0) || o->seconds > 1e6 || o->min_runs < 0)
        return pare_fail(PARE_EINVAL, "bench: %g seconds and %d runs make no sense", o->seconds,
                         o->min_runs);
    size_t min_runs = o->min_runs ? (size_t)o->min_runs : 10, rounds = 0;
    for (size_t i = 0; i < n; i++) out[i] = (pare_bench_model){ 0 };
    runner *r = calloc(n, sizeof *r);
    if (!r) return pare_fail(PARE_ENOMEM, "no memory for %zu models", n);
    pare_status st = PARE_OK;
    for (size_t i = 0; st == PARE_OK && i < n; i++) st = set_up(graphs[i], &o->plan, &r[i]);
    if (st == PARE_OK)
        st = time_all(r, n, o->seconds > 0 ? o->seconds : 2, min_runs, progress, &rounds);
    for (size_t i = 0; st == PARE_OK && i < n; i++) st = summarise(&r[i], &r[0], rounds, &out[i]);
    for (size_t i = 0; i < n; i++) drop(&r[i]);
    free(r);
    for (size_t i = 0; st == PARE_OK && i < n; i++)
        st = layers(graphs[i], &o->plan, (int)(rounds < 51 ? rounds : 51), &out[i]);
    if (st != PARE_OK) pare_bench_free(out, n);
    return st;
}

void pare_bench_free(pare_bench_model *models, size_t n)
{
    for (size_t i = 0; models && i < n; i++) {
        free(models[i].layer);
        models[i].layer = NULL;
        models[i].n_layers = 0;
    }
}
