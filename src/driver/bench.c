/* pare_bench: models and their peers timed in turn, A B C A B C ..., so that what disturbs the
 * machine disturbs all of them alike. */
#define _POSIX_C_SOURCE 200809L /* nanosleep */
#include "pare/eval.h"

#include "base/parallel.h"
#include "base/rng.h"
#include "driver/clock.h"
#include "driver/peers.h"
#include "driver/spread.h"
#include "runtime/peaks.h"
#include "tensor/tensor.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { WARM_UP = 3, BURST_MOST = 32 };
/* A turn beside peers: timed runs for about so long, after an untimed one unless a run takes longer
 * than the second number. */
static const double turn_ms = 10, long_ms = 20;

/* What has a turn: a plan, or a peer of the plan before it. */
typedef struct runner {
    pare_plan *plan;
    pare_peer *peer;
    pare_tensor *in, *out; /* of the plan */
    bool warms;            /* has an untimed run at the beginning of a turn */
    int burst;             /* timed runs of a turn */
    double load_ms;        /* it took to make the plan */
    double *ms, *turn;     /* of every timed run; medians of the turns */
    size_t room;           /* turns */
} runner;

/* Pixels and features vary; integers wider than a byte stay 0, because they may be indices. */
static void fill(pare_tensor *t, uint64_t seed, uint64_t item)
{
    pare_rng rng = pare_rng_stream(seed, item);
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
    free(r->turn);
    pare_plan_free(r->plan);
    if (r->peer) r->peer->close(r->peer);
    *r = (runner){ 0 };
}

static pare_status run(runner *r, int runs, double *ms)
{
    if (r->peer) return r->peer->run(r->peer, runs, ms);
    for (int i = 0; i < runs; i++) {
        double start = pare_now_ms();
        PARE_TRY(pare_plan_run(r->plan, r->in, r->out));
        ms[i] = pare_now_ms() - start;
    }
    return PARE_OK;
}

static pare_status set_up(const pare_graph *g, const pare_plan_options *o, uint64_t seed, runner *r)
{
    double start = pare_now_ms();
    PARE_TRY(pare_plan_create(g, o, &r->plan));
    r->load_ms = pare_now_ms() - start;
    size_t n_in = pare_plan_inputs(r->plan), n_out = pare_plan_outputs(r->plan);
    r->burst = 1;
    r->in = calloc(n_in + 1, sizeof *r->in);
    r->out = calloc(n_out + 1, sizeof *r->out);
    if (!r->in || !r->out)
        return pare_fail(PARE_ENOMEM, "no memory for %zu inputs and outputs", n_in + n_out);
    for (size_t i = 0; i < n_in; i++) {
        pare_type t;
        pare_plan_input(r->plan, i, &t);
        PARE_TRY(pare_tensor_of(&t, &r->in[i]));
        fill(&r->in[i], seed, i);
    }
    for (size_t i = 0; i < n_out; i++) {
        pare_type t;
        pare_plan_output(r->plan, i, &t);
        PARE_TRY(pare_tensor_of(&t, &r->out[i]));
    }
    double ms[WARM_UP];
    return run(r, WARM_UP, ms);
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

/* Sorts v, which has n numbers, and gives its median and the ends of its middle four fifths. */
static void middle(double *v, size_t n, double *median, double *p10, double *p90)
{
    qsort(v, n, sizeof *v, rising);
    *median = quantile(v, n, 0.5), *p10 = quantile(v, n, 0.1), *p90 = quantile(v, n, 0.9);
}

/* The same of the ratio between the turns of a and b. */
static pare_status ratios(const runner *a, const runner *b, size_t rounds, double *median,
                          double *p10, double *p90)
{
    double *v = malloc((rounds + 1) * sizeof *v);
    if (!v) return pare_fail(PARE_ENOMEM, "no memory for %zu timings", rounds);
    for (size_t i = 0; i < rounds; i++) v[i] = a->turn[i] / b->turn[i];
    middle(v, rounds, median, p10, p90);
    free(v);
    return PARE_OK;
}

static pare_status summarise(runner *r, const runner *first, size_t rounds, pare_bench_model *m)
{
    PARE_TRY(ratios(r, first, rounds, &m->ratio_to_first, &m->ratio_p10, &m->ratio_p90));
    size_t runs = rounds * (size_t)r->burst;
    middle(r->ms, runs, &m->median_ms, &m->p10_ms, &m->p90_ms);
    m->runs = (int)runs;
    m->load_ms = r->load_ms;
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

/* --- peers --- */
/* The outputs of the last runs of both. Outputs of another type or shape differ infinitely. */
static pare_status compare(const runner *own, pare_peer *peer, double *max_rel_diff)
{
    *max_rel_diff = 0;
    for (size_t i = 0; i < pare_plan_outputs(own->plan); i++) {
        pare_tensor theirs;
        PARE_TRY(peer->output(peer, i, &theirs));
        const pare_tensor *ours = &own->out[i];
        pare_type a = pare_tensor_type(&theirs), b = pare_tensor_type(ours), t;
        char at[PARE_TYPE_TEXT], bt[PARE_TYPE_TEXT];
        if (a.dtype != b.dtype || !pare_same_shape(&a, &b)) {
            pare_log(PARE_LOG_WARNING, "output '%s' is %s in %s and %s here",
                     pare_plan_output(own->plan, i, &t), pare_type_text(&a, at, sizeof at),
                     peer->name, pare_type_text(&b, bt, sizeof bt));
            *max_rel_diff = INFINITY;
            continue;
        }
        pare_spread s = { 0 };
        pare_spread_add(&theirs, ours, 0, pare_tensor_count(ours), &s);
        *max_rel_diff = fmax(*max_rel_diff, pare_spread_relative(&s));
    }
    return PARE_OK;
}

/* Threads that spin for a while after a run would take a processor from whoever is next. The time
 * of threads that are running is brought up to date by the system's tick only, which comes every 4
 * ms or 10: a shorter nap would not see them. */
static void wait_for_rest(void)
{
    enum { MOST = 40 };
    const struct timespec nap = { 0, 12000000 };
    for (int i = 0; i < MOST; i++) {
        struct timespec a, b;
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &a);
        nanosleep(&nap, NULL);
        clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &b);
        if ((double)(b.tv_sec - a.tv_sec) * 1e9 + (double)(b.tv_nsec - a.tv_nsec) < 5e5) return;
    }
}

/* How many runs make a turn. */
static pare_status plan_turn(runner *r)
{
    double ms[WARM_UP];
    wait_for_rest();
    PARE_TRY(run(r, WARM_UP, ms));
    qsort(ms, WARM_UP, sizeof *ms, rising);
    double runs = turn_ms / (ms[0] + 1e-6);
    r->burst = runs < 1 ? 1 : runs > BURST_MOST ? BURST_MOST : (int)runs;
    r->warms = ms[0] < long_ms;
    return PARE_OK;
}

/* Opens the peer of the model whose plan is `own`, lets it run, compares. `r` takes the peer. */
static pare_status set_up_peer(pare_ort *ort, const char *file, int threads, const runner *own,
                               runner *r, pare_bench_model *m)
{
    m->peer = calloc(1, sizeof *m->peer);
    if (!m->peer) return pare_fail(PARE_ENOMEM, "no memory for a peer");
    PARE_TRY(pare_ort_open(ort, file, threads, own->plan, own->in, &r->peer));
    pare_bench_peer *p = &m->peer[0];
    m->n_peers = 1;
    memcpy(p->name, r->peer->name, sizeof p->name);
    memcpy(p->version, r->peer->version, sizeof p->version);
    memcpy(p->path, r->peer->path, sizeof p->path);
    PARE_TRY(plan_turn(r));
    return compare(own, r->peer, &p->max_rel_diff);
}

static pare_status summarise_peer(runner *r, const runner *own, size_t rounds, pare_bench_peer *p)
{
    size_t runs = rounds * (size_t)r->burst;
    PARE_TRY(ratios(r, own, rounds, &p->ratio, &p->ratio_p10, &p->ratio_p90));
    middle(r->ms, runs, &p->median_ms, &p->p10_ms, &p->p90_ms);
    p->runs = (int)runs;
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
static pare_status layers(const pare_graph *g, const pare_bench_options *o, int runs,
                          pare_bench_model *m)
{
    pare_plan_options profiling = o->plan;
    profiling.profile = true;
    runner r = { 0 };
    double *ns = NULL;
    pare_status st = set_up(g, &profiling, o->seed, &r);
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
        *l = (pare_bench_layer){ .ms = ns[s] * 1e-6,
                                 .macs = i.macs,
                                 .weight_bytes = i.weight_bytes,
                                 .activation_bytes = i.activation_bytes,
                                 .int8 = i.int8,
                                 .precision = i.precision };
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

/* What a layer reached is possible, whatever disturbed the measurement of the peaks. */
static void raise_peaks(pare_bench_model *m)
{
    for (size_t i = 0; i < m->n_layers; i++) {
        const pare_bench_layer *l = &m->layer[i];
        if (l->precision != PARE_PRECISION_FP32) continue; /* of neither arithmetic */
        double *peak = l->int8 ? &m->peaks.int8_gops : &m->peaks.gflops;
        if (l->ms > 0) *peak = fmax(*peak, 2e-6 * l->macs / l->ms);
    }
}

static pare_status more_room(runner *r)
{
    size_t room = r->room ? r->room * 2 : 64;
    double *ms = realloc(r->ms, room * (size_t)r->burst * sizeof *ms);
    if (ms) r->ms = ms;
    double *turn = realloc(r->turn, room * sizeof *turn);
    if (turn) r->turn = turn;
    if (!ms || !turn) return pare_fail(PARE_ENOMEM, "no memory for the timings of %zu turns", room);
    r->room = room;
    return PARE_OK;
}

static pare_status take_turn(runner *r, size_t round, bool among_peers)
{
    double untimed, v[BURST_MOST], *ms = r->ms + round * (size_t)r->burst;
    if (among_peers) wait_for_rest();
    if (r->warms) PARE_TRY(run(r, 1, &untimed));
    PARE_TRY(run(r, r->burst, ms));
    memcpy(v, ms, (size_t)r->burst * sizeof *v);
    qsort(v, (size_t)r->burst, sizeof *v, rising);
    r->turn[round] = quantile(v, (size_t)r->burst, 0.5);
    return PARE_OK;
}

static pare_status time_all(runner *r, size_t n, double seconds, size_t min_rounds, bool peers,
                            const pare_progress *progress, size_t *rounds)
{
    double start = pare_now_ms(), budget = seconds * 1e3 * (double)n, reported = 0;
    *rounds = 0;
    for (double spent = 0; *rounds < min_rounds || spent < budget; spent = pare_now_ms() - start) {
        for (size_t i = 0; i < n; i++) {
            if (*rounds == r[i].room) PARE_TRY(more_room(&r[i]));
            PARE_TRY(take_turn(&r[i], *rounds, peers));
        }
        ++*rounds;
        if (spent - reported < 100) continue;
        reported = spent;
        PARE_TRY(pare_report(progress, "bench", (int64_t)(spent < budget ? spent : budget),
                             (int64_t)budget, "%zu rounds", *rounds));
    }
    return PARE_OK;
}

/* r has room for two runners a model: a plan each, and behind each its peer if there are peers. */
static pare_status set_up_all(const pare_graph *const *graphs, size_t n,
                              const pare_bench_options *o, pare_ort *ort, runner *r,
                              size_t *n_runners, pare_bench_model *out)
{
    int threads = o->plan.threads ? o->plan.threads : pare_cpu_count();
    *n_runners = 0;
    for (size_t i = 0; i < n; i++) {
        runner *own = &r[(*n_runners)++];
        pare_status st = set_up(graphs[i], &o->plan, o->seed, own);
        if (st != PARE_OK) return n > 1 ? pare_note(st, "network %zu of %zu", i + 1, n) : st;
        if (!ort) continue;
        PARE_TRY(set_up_peer(ort, o->peers->file[i], threads, own, &r[(*n_runners)++], &out[i]));
        PARE_TRY(plan_turn(own));
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
    size_t min_rounds = o->min_runs ? (size_t)o->min_runs : 10, rounds = 0, n_runners = 0;
    for (size_t i = 0; i < n; i++) out[i] = (pare_bench_model){ 0 };
    pare_ort *ort = NULL;
    if (o->peers) PARE_TRY(pare_ort_find(o->peers->ort, o->peers->python, &ort));
    if (o->peers && !ort)
        return pare_fail(PARE_EIO, "no peer was found: install ONNX Runtime (pip install "
                                   "onnxruntime) or name its library (--peer-path, PARE_ORT)");
    runner *r = calloc(2 * n, sizeof *r);
    pare_status st = r ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for %zu models", n);
    if (st == PARE_OK) st = set_up_all(graphs, n, o, ort, r, &n_runners, out);
    pare_moment start = pare_moment_now();
    if (st == PARE_OK)
        st = time_all(r, n_runners, o->seconds > 0 ? o->seconds : 2, min_rounds, ort != NULL,
                      progress, &rounds);
    for (size_t i = 0, k = 0; st == PARE_OK && i < n; i++) {
        runner *own = &r[k++];
        st = summarise(own, &r[0], rounds, &out[i]);
        for (size_t p = 0; st == PARE_OK && p < out[i].n_peers; p++)
            st = summarise_peer(&r[k++], own, rounds, &out[i].peer[p]);
    }
    /* Peers hold the names and inputs of the plans before them. */
    for (size_t i = n_runners; i-- > 0;) drop(&r[i]);
    free(r);
    pare_ort_free(ort);
    for (size_t i = 0; st == PARE_OK && o->roofline && i < n; i++)
        st = pare_peaks_measure(o->plan.threads ? o->plan.threads : pare_cpu_count(),
                                (size_t)(out[i].peak_mib * (1 << 20)), &out[i].peaks);
    for (size_t i = 0; st == PARE_OK && (o->layers || o->roofline) && i < n; i++)
        st = layers(graphs[i], o, (int)(rounds < 51 ? rounds : 51), &out[i]);
    for (size_t i = 0; st == PARE_OK && o->roofline && i < n; i++) raise_peaks(&out[i]);
    double foreign = pare_foreign_since(&start);
    for (size_t i = 0; st == PARE_OK && i < n; i++) out[i].foreign_processors = foreign;
    if (st != PARE_OK) pare_bench_free(out, n);
    return st;
}

void pare_bench_free(pare_bench_model *models, size_t n)
{
    for (size_t i = 0; models && i < n; i++) {
        free(models[i].layer);
        free(models[i].peer);
        models[i].layer = NULL;
        models[i].peer = NULL;
        models[i].n_layers = models[i].n_peers = 0;
    }
}
