/* pare bench: how fast networks run here, interleaved so that the machine's
 * moods hit all of them. */
#include "cli/cli.h"

#include "base/cpu.h"
#include "base/parallel.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

typedef struct options {
    cli_common common;
    int64_t batch, runs;
    double seconds;
    bool layers, roofline, peers;
    const char *peer_path, *peer_python;
    double tolerance;
    int choose;
    const char *force;
    pare_strs shape;
    cli_arithmetic arithmetic;
} options;

static const pare_field fields[] = {
    PARE_INT(options, batch, 1, 1, 65536, "N", "samples a run, where the models leave that open"),
    PARE_REAL(options, seconds, 2, 0.001, 86400, "S", "time for each model"),
    PARE_INT(options, runs, 10, 1, 1e9, "N", "runs of each model at least"),
    PARE_FLAG(options, layers, false, "a table of the layers with the implementation that ran"),
    PARE_FLAG(options, roofline, false,
              "a table of the layers against what the machine can do, measured on the spot"),
    PARE_ENUM(options, choose, PARE_CHOOSE_MODEL, "model|measure",
              "how implementations are chosen"),
    PARE_STR(options, force, NULL,
             "PATTERN: use implementations of these names (LAYER=PATTERN for one layer)"),
    PARE_STRS(options, shape,
              "NAME=1x3x224x224: shape of an input with other free dimensions (repeatable)"),
    PARE_FIELDS_END,
};
static const pare_field peer_fields[] = {
    PARE_FLAG(options, peers, false,
              "time ONNX Runtime on the same files, in turn, and compare outputs"),
    PARE_STR(options, peer_path, NULL,
             "PATH: its shared library or the folder with it (else PARE_ORT, the system, Python)"),
    PARE_STR(options, peer_python, NULL,
             "PROGRAM: the Python whose package onnxruntime is used (else python3)"),
    PARE_REAL(options, tolerance, NAN, 0, 1e9, "X",
              "largest difference of outputs, relative to the largest number; beyond: exit code 7 "
              "(default 0.001)"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Timing", fields, 0, NULL },
                                    CLI_ARITHMETIC(options),
                                    { "Other runtimes", peer_fields, 0, NULL },
                                    { NULL, NULL, 0, NULL } };

/* A layer against the machine: its rates, and the time that it needs at the machine's. */
typedef struct roof {
    double gops, gbs;                   /* reached */
    double peak_share, bandwidth_share; /* of the measured peaks */
    const char *bound;                  /* what takes longer at the peaks */
} roof;

static roof roof_of(const pare_bench_layer *l, const pare_bench_peaks *p)
{
    double peak = l->int8 ? p->int8_gops : p->gflops, bytes = l->weight_bytes + l->activation_bytes;
    roof r = { .gops = 2e-6 * l->macs / l->ms, .gbs = 1e-6 * bytes / l->ms };
    r.peak_share = r.gops / peak;
    r.bandwidth_share = r.gbs / p->bandwidth_gbs;
    r.bound = r.peak_share >= r.bandwidth_share ? "arithmetic" : "memory";
    return r;
}

static json_t *peaks_json(const pare_bench_peaks *p)
{
    json_t *j = json_object();
    cli_set(j, "gflops", cli_json_number(p->gflops));
    cli_set(j, "int8_gops", cli_json_number(p->int8_gops));
    cli_set(j, "bandwidth_gbs", cli_json_number(p->bandwidth_gbs));
    cli_set(j, "working_set", cli_json_number(p->working_set));
    return j;
}

static void layer_roof_json(json_t *y, const pare_bench_layer *l, const pare_bench_peaks *p)
{
    roof r = roof_of(l, p);
    cli_set(y, "gops", cli_json_number(r.gops));
    cli_set(y, "peak_share", cli_json_number(r.peak_share));
    cli_set(y, "gbs", cli_json_number(r.gbs));
    cli_set(y, "bandwidth_share", cli_json_number(r.bandwidth_share));
    cli_set(y, "bound", json_string(r.bound));
}

static void print_roofline(const pare_bench_model *m)
{
    const pare_bench_peaks *p = &m->peaks;
    printf("machine: %.1f GFLOP/s float32, %.1f GOP/s int8, %.1f GB/s reading %s again and again\n",
           p->gflops, p->int8_gops, p->bandwidth_gbs, cli_bytes_text(p->working_set));
    printf("%-32s %-24s %9s %9s %7s %10s %8s %7s  %s\n", "layer", "implementation", "ms", "GOP/s",
           "% peak", "MB", "GB/s", "% b.w.", "bound");
    double at_roof = 0, all = 0;
    for (size_t k = 0; k < m->n_layers; k++) {
        const pare_bench_layer *l = &m->layer[k];
        roof r = roof_of(l, p);
        double share = r.peak_share > r.bandwidth_share ? r.peak_share : r.bandwidth_share;
        at_roof += l->ms * fmin(share, 1); /* data in a nearer cache move faster than the peak */
        all += l->ms;
        printf("%-32s %-24s %9.4f %9.1f %6.1f%% %10.3f %8.1f %6.1f%%  %s\n", cli_text(l->name),
               cli_text(l->impl), l->ms, r.gops, 100 * r.peak_share,
               1e-6 * (l->weight_bytes + l->activation_bytes), r.gbs, 100 * r.bandwidth_share,
               r.bound);
    }
    printf("%-32s %-24s %9.4f   %.1f %% of it would do at the peaks\n", "all layers", "", all,
           all > 0 ? 100 * at_roof / all : 0);
}

static json_t *peers_json(const pare_bench_model *m)
{
    json_t *list = json_array();
    for (size_t i = 0; i < m->n_peers; i++) {
        const pare_bench_peer *p = &m->peer[i];
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(p->name));
        cli_set(j, "version", cli_json_text(p->version));
        cli_set(j, "path", cli_json_text(p->path));
        cli_set(j, "runs", json_integer(p->runs));
        cli_set(j, "median_ms", cli_json_number(p->median_ms));
        cli_set(j, "p10_ms", cli_json_number(p->p10_ms));
        cli_set(j, "p90_ms", cli_json_number(p->p90_ms));
        cli_set(j, "ratio", cli_json_number(p->ratio));
        cli_set(j, "ratio_p10", cli_json_number(p->ratio_p10));
        cli_set(j, "ratio_p90", cli_json_number(p->ratio_p90));
        cli_set(j, "max_rel_diff", cli_json_number(p->max_rel_diff));
        cli_push(list, j);
    }
    return list;
}

static pare_status print_json(const options *o, int threads, char **files,
                              const pare_bench_model *m, size_t n)
{
    char cpu[160];
    json_t *root = json_object(), *models = json_array();
    cli_set(root, "cpu", cli_json_text(pare_cpu_name(cpu, sizeof cpu)));
    cli_set(root, "threads", json_integer(threads));
    cli_set(root, "batch", json_integer(o->batch));
    cli_set(root, "precision", json_string(cli_precision_name(o->arithmetic.precision)));
    for (size_t i = 0; i < n; i++) {
        json_t *j = json_object(), *layers = json_array();
        cli_set(j, "file", cli_json_text(files[i]));
        cli_set(j, "runs", json_integer(m[i].runs));
        cli_set(j, "median_ms", cli_json_number(m[i].median_ms));
        cli_set(j, "p10_ms", cli_json_number(m[i].p10_ms));
        cli_set(j, "p90_ms", cli_json_number(m[i].p90_ms));
        cli_set(j, "gflops", cli_json_number(m[i].gflops));
        cli_set(j, "peak_mib", cli_json_number(m[i].peak_mib));
        cli_set(j, "load_ms", cli_json_number(m[i].load_ms));
        cli_set(j, "ratio_to_first", cli_json_number(m[i].ratio_to_first));
        cli_set(j, "ratio_p10", cli_json_number(m[i].ratio_p10));
        cli_set(j, "ratio_p90", cli_json_number(m[i].ratio_p90));
        cli_set(j, "foreign_processors", cli_json_known(m[i].foreign_processors));
        for (size_t k = 0; k < m[i].n_layers; k++) {
            const pare_bench_layer *l = &m[i].layer[k];
            json_t *y = json_object();
            cli_set(y, "name", cli_json_text(l->name));
            cli_set(y, "op", cli_json_text(l->op));
            cli_set(y, "impl", cli_json_text(l->impl));
            cli_set(y, "why", cli_json_text(l->why));
            cli_set(y, "precision", json_string(cli_precision_name((int)l->precision)));
            cli_set(y, "ms", cli_json_number(l->ms));
            cli_set(y, "macs", cli_json_number(l->macs));
            cli_set(y, "weight_bytes", cli_json_number(l->weight_bytes));
            cli_set(y, "activation_bytes", cli_json_number(l->activation_bytes));
            if (o->roofline) layer_roof_json(y, l, &m[i].peaks);
            cli_push(layers, y);
        }
        cli_set(j, "layers", layers);
        if (o->roofline) cli_set(j, "peaks", peaks_json(&m[i].peaks));
        if (o->peers) cli_set(j, "peers", peers_json(&m[i]));
        cli_push(models, j);
    }
    cli_set(root, "models", models);
    return cli_json_print(root);
}

static void print_peers(char **files, const pare_bench_model *m, size_t n)
{
    printf("\n%-32s %10s %10s %10s %9s %7s %7s %10s  %s\n", "model", "peer's ms", "p10", "p90",
           "peer/pare", "p10", "p90", "difference", "peer");
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m[i].n_peers; k++) {
            const pare_bench_peer *p = &m[i].peer[k];
            printf("%-32s %10.3f %10.3f %10.3f %9.3f %7.3f %7.3f %10.1e  %s %s\n",
                   cli_text(files[i]), p->median_ms, p->p10_ms, p->p90_ms, p->ratio, p->ratio_p10,
                   p->ratio_p90, p->max_rel_diff, cli_text(p->name), cli_text(p->version));
        }
    const pare_bench_peer *p = m[0].peer; /* the same for all models */
    for (size_t k = 0; k < m[0].n_peers; k++)
        printf("%s %s: %s\n", cli_text(p[k].name), cli_text(p[k].version), cli_text(p[k].path));
}

/* Different numbers make a comparison of times worthless. */
static pare_status judge(double tolerance, char **files, const pare_bench_model *m, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < m[i].n_peers; k++)
            if (!(m[i].peer[k].max_rel_diff <= tolerance))
                return pare_fail(PARE_EMISMATCH,
                                 "'%s': outputs differ from those of %s by %.3g, more than %g",
                                 files[i], m[i].peer[k].name, m[i].peer[k].max_rel_diff, tolerance);
    return PARE_OK;
}

static void print_text(const options *o, int threads, char **files, const pare_bench_model *m,
                       size_t n)
{
    char cpu[160];
    printf("%s, %d thread%s, batch %lld, precision %s\n", cli_text(pare_cpu_name(cpu, sizeof cpu)),
           threads, threads == 1 ? "" : "s", (long long)o->batch,
           cli_precision_name(o->arithmetic.precision));
    printf("%-32s %10s %10s %10s %9s %9s %8s %7s\n", "model", "median ms", "p10", "p90", "GFLOP/s",
           "peak MiB", "ratio", "runs");
    for (size_t i = 0; i < n; i++)
        printf("%-32s %10.3f %10.3f %10.3f %9.1f %9.1f %8.3f %7d\n", cli_text(files[i]),
               m[i].median_ms, m[i].p10_ms, m[i].p90_ms, m[i].gflops, m[i].peak_mib,
               m[i].ratio_to_first, m[i].runs);
    if (o->peers) print_peers(files, m, n);
    for (size_t i = 0; o->roofline && i < n; i++) {
        printf("\n%s\n", cli_text(files[i]));
        print_roofline(&m[i]);
    }
    for (size_t i = 0; o->layers && i < n; i++) {
        printf("\n%s\n%-32s %-18s %-24s %9s %14s  %s\n", cli_text(files[i]), "layer", "operator",
               "implementation", "ms", "MACs", "why");
        for (size_t k = 0; k < m[i].n_layers; k++) {
            const pare_bench_layer *l = &m[i].layer[k];
            printf("%-32s %-18s %-24s %9.4f %14.0f  %s\n", cli_text(l->name), cli_text(l->op),
                   cli_text(l->impl), l->ms, l->macs, cli_text(l->why));
        }
    }
}

static pare_status run(const void *opt, char **args)
{
    const options *o = opt;
    if (!o->peers && (o->peer_path || o->peer_python || !isnan(o->tolerance)))
        return pare_fail(
            PARE_EINVAL,
            "--peer-path, --peer-python and --tolerance are for --peers: give that too");
    int threads = o->common.threads ? (int)o->common.threads : pare_cpu_count();
    size_t n = 0, n_shapes = 0;
    while (args[n]) n++;
    pare_shape *shapes = NULL;
    pare_graph **graphs = calloc(n, sizeof *graphs);
    pare_bench_model *models = calloc(n, sizeof *models);
    pare_status st =
        graphs && models ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for %zu models", n);
    if (st == PARE_OK) st = cli_shapes(&o->shape, &shapes, &n_shapes);
    for (size_t i = 0; st == PARE_OK && i < n; i++) st = pare_model_load(args[i], &graphs[i]);
    for (size_t i = 0; st == PARE_OK && i < n; i++)
        cli_warn_batch(args[i], graphs[i], o->batch, shapes, n_shapes);
    if (st == PARE_OK) {
        pare_bench_peers peers = { .file = (const char *const *)args,
                                   .ort = o->peer_path,
                                   .python = o->peer_python };
        pare_bench_options b = {
            .seconds = o->seconds,
            .min_runs = (int)o->runs,
            .peers = o->peers ? &peers : NULL,
            .layers = o->layers || o->common.json,
            .seed = (uint64_t)o->common.seed,
            .roofline = o->roofline,
            .plan = { .threads = threads,
                      .batch = o->batch,
                      .shapes = shapes,
                      .n_shapes = n_shapes,
                      .force = o->force,
                      .no_winograd = o->arithmetic.no_winograd,
                      .precision = (pare_precision)o->arithmetic.precision,
                      .no_integers = o->arithmetic.no_integers,
                      .choice = o->choose ? PARE_CHOOSE_MEASURE : PARE_CHOOSE_MODEL },
        };
        pare_progress progress = cli_progress_begin(&o->common);
        st = pare_bench((const pare_graph *const *)graphs, n, &b, &progress, models);
        cli_progress_end();
        if (st == PARE_OK) {
            if (o->common.json)
                st = print_json(o, threads, args, models, n);
            else
                print_text(o, threads, args, models, n);
            cli_warn_foreign(models[0].foreign_processors);
            if (st == PARE_OK)
                st = judge(isnan(o->tolerance) ? 1e-3 : o->tolerance, args, models, n);
            pare_bench_free(models, n);
        }
    }
    for (size_t i = 0; graphs && i < n; i++) pare_graph_free(graphs[i]);
    free(graphs);
    free(models);
    free(shapes);
    return st;
}

const cli_command cli_command_bench = {
    .name = "bench",
    .summary = "time networks, interleaved, with a table of layers",
    .arguments = "A.onnx [B.onnx ...]",
    .examples = "pare bench net.onnx small.onnx --threads 1\npare bench net.onnx --layers --choose "
                "measure\n"
                "pare bench net.onnx --force 'conv_gemm*' --batch 8 --json\n"
                "pare bench net.onnx --peers --threads 1\n",
    .notes =
        "Models run in turn, A B A B ..., on the same random inputs. ratio: median of time / "
        "time of "
        "the first model\n"
        "of the same turn; below 1 is faster.\n"
        "--roofline: shares of what the machine can do. % b.w. is above 100 where a layer finds "
        "its data in a nearer cache.\n"
        "--peers: ONNX Runtime is loaded from its own library, all optimisations on, with the "
        "same threads and inputs.\n"
        "peer/pare: its time / pare's of the same turn; above 1 pare is faster. Turns begin "
        "when nothing spins any more.\n",
    .min_args = 1,
    .max_args = 64,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
