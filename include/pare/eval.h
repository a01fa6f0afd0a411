/* Judging networks: accuracy, equality, speed. */
#ifndef PARE_EVAL_H
#define PARE_EVAL_H

#include "pare/data.h"
#include "pare/plan.h"

PARE_BEGIN

/** Accuracy of a network on a data set. */
typedef struct pare_accuracy {
    int64_t images, top1_correct, top5_correct;
    double top1, top5; /**< fractions */
    double loss; /**< mean cross-entropy of the first output taken as logits (or of its logarithm
                    after Softmax) */
    double seconds;
} pare_accuracy;

/** Evaluates on the first `limit` samples (0: all) in batches. Free batch dimensions use `batch`
 * (0: 64).
 * @param plan  threads, force, choice are used; shapes and batch too */
PARE_API PARE_NODISCARD pare_status pare_evaluate(const pare_graph *graph, const pare_dataset *data,
                                                  const pare_preprocess *pp, int64_t limit,
                                                  const pare_plan_options *plan,
                                                  const pare_progress *progress,
                                                  pare_accuracy *out);

/** Options of pare_verify(); zero-initialised means the defaults. */
typedef struct pare_verify_options {
    double tolerance; /**< largest |a-b| / max|a| over an output; 0 means 1e-4 */
    double max_drop;  /**< top-1 may fall by this fraction; 0 means 0 */
    bool outputs;     /**< judge by outputs (an exact rewrite); false: by accuracy only, outputs are
                         reported */
    int64_t limit;    /**< samples; 0 means all */
    uint64_t seed;    /**< of random inputs */
    pare_plan_options plan_a, plan_b;
} pare_verify_options;

/** What pare_verify() found. first_divergent belongs to the caller, to free(). */
typedef struct pare_verification {
    bool match;
    double max_rel_error;
    char
        *first_divergent; /**< first layer whose values differ beyond the tolerance; NULL if none */
    double top1_a, top1_b; /**< fractions; -1 without labels */
    int64_t images;
} pare_verification;

/** Compares two networks on data (NULL: random inputs). PARE_EMISMATCH if they differ beyond the
 * tolerance; *out is filled then too. */
PARE_API PARE_NODISCARD pare_status pare_verify(const pare_graph *a, const pare_graph *b,
                                                const pare_dataset *data, const pare_preprocess *pp,
                                                const pare_verify_options *options,
                                                const pare_progress *progress,
                                                pare_verification *out);

/** Other runtimes to time beside pare, found at run time. */
typedef struct pare_bench_peers {
    const char *const *file; /**< the ONNX file of each network: what the others load; borrowed */
    const char *ort;         /**< ONNX Runtime's shared library, or a folder with it; NULL: what the
                                environment variable PARE_ORT names, else the system's, else the one in
                                the Python package `onnxruntime` */
    const char *python;      /**< program to ask for that package; NULL: python3 */
} pare_bench_peers;

/** Options of pare_bench(); zero-initialised means the defaults. */
typedef struct pare_bench_options {
    double seconds; /**< for each model and each peer of it; 0 means 2 */
    int min_runs;   /**< 0 means 10; with peers: turns at least, each of one or more runs */
    pare_plan_options plan;
    const pare_bench_peers *peers; /**< NULL: pare alone */
    bool layers;                   /**< time every layer, too */
    bool roofline; /**< the same, and measure what the machine can do, in half a second more */
    uint64_t seed; /**< of the inputs */
} pare_bench_options;

/** What the machine can do at most on the threads that were used. */
typedef struct pare_bench_peaks {
    double gflops;        /**< float32 multiply-adds in registers, two operations each; at least
                             what the fastest layer reached */
    double int8_gops;     /**< the same of 8-bit integers, summed exactly */
    double bandwidth_gbs; /**< reading `working_set` bytes again and again; a layer that finds its
                             data in a nearer cache moves more */
    double working_set;   /**< what the network goes through in one run */
} pare_bench_peaks;

/** Timing of the same file in another runtime. */
typedef struct pare_bench_peer {
    char name[32], version[48], path[512]; /**< of the library that ran */
    double median_ms, p10_ms, p90_ms;
    double ratio, ratio_p10, ratio_p90; /**< time of the peer / time of pare in the same turn:
                                           median and spread; above 1 pare is faster */
    double max_rel_diff; /**< largest over all outputs of max |a-b| / max |a|, a the peer's */
    int runs;
} pare_bench_peer;

/** Timing of one layer: the median of at most 51 runs of a profiling plan. Strings belong to the
 * bench result. */
typedef struct pare_bench_layer {
    const char *name, *op, *impl, *why;
    double ms, macs;
    double weight_bytes, activation_bytes; /**< moved at least, if each is moved once */
    bool int8;
    pare_precision precision; /**< to which it rounds float32 factors */
} pare_bench_layer;

/** Timing of one model. */
typedef struct pare_bench_model {
    double median_ms, p10_ms, p90_ms, gflops, peak_mib;
    double load_ms;        /**< it took to make the plan of the network that was read */
    double ratio_to_first; /**< median of pairwise time_i / time_0 */
    double ratio_p10, ratio_p90;
    double foreign_processors; /**< that other processes used while all was measured, on average; -1
                                  where the system does not tell. Beyond 0.1 mistrust the figures */
    int runs;
    size_t n_layers; /**< 0 unless layers were asked for */
    pare_bench_layer *layer;
    pare_bench_peaks peaks; /**< zeros unless the roofline was asked for */
    size_t n_peers;         /**< in pare_bench_options.peers' order of search */
    pare_bench_peer *peer;
} pare_bench_model;

/** Times models interleaved, A B C A B C ..., on the same random inputs (seeded). Each peer of a
 * model has its turn after it. Where there are peers, a turn begins when the threads of the one
 * before have stopped spinning, and has an untimed run first unless runs are long.
 * @param graphs  n networks
 * @param out     array of n, to pare_bench_free()
 * @retval PARE_EIO          peers were asked for and none was found, or the named one is not there
 * @retval PARE_EUNSUPPORTED a peer does not run the file (the message is the peer's) */
PARE_API PARE_NODISCARD pare_status pare_bench(const pare_graph *const *graphs, size_t n,
                                               const pare_bench_options *options,
                                               const pare_progress *progress,
                                               pare_bench_model *out);
PARE_API void pare_bench_free(pare_bench_model *models,
                              size_t n); /**< Frees the layers and peers of n results. */

/** What pare_tune_machine() found. */
typedef struct pare_tuning {
    size_t n;
    struct pare_tuning_entry {
        char impl[48];
        double factor; /**< measured / modelled time, median over `layers` layers */
        int layers;
    } * entry;
    char path[1024];           /**< where it is kept */
    double foreign_processors; /**< as in pare_bench_model */
} pare_tuning;

/** Times the layers of `graphs` in every implementation that takes them, on one thread, and keeps
 * for each implementation by how much modelled times are off. Plans made later multiply by it.
 * @param path   NULL: where plans look for it: what PARE_TUNE names, else a file for this processor
 * in the user's cache
 * @param force  replace an existing file; the one in the cache is replaced anyway
 * @param out    to pare_tuning_free()
 * @retval PARE_EINVAL  the file exists; or there is no such place: PARE_TUNE=off, no home */
PARE_API PARE_NODISCARD pare_status pare_tune_machine(const pare_graph *const *graphs, size_t n,
                                                      const char *path, bool force,
                                                      const pare_progress *progress,
                                                      pare_tuning *out);
PARE_API void pare_tuning_free(pare_tuning *t); /**< Frees what pare_tune_machine() gave. */

PARE_END
#endif
