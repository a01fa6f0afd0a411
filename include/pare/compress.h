/* Compressing: methods from the literature applied to a network, retraining where that helps. */
#ifndef PARE_COMPRESS_H
#define PARE_COMPRESS_H

#include "pare/eval.h"
#include "pare/train.h"

PARE_BEGIN

/** Options of pare_compress(). Zero-initialised means the defaults; train from
 * pare_train_defaults(). */
typedef struct pare_compress_options {
    const char *const *methods; /**< "penni:basis=5,l1=1e-4", applied in order; NULL-terminated */
    const char *const
        *layers; /**< per-layer overrides "LAYER=basis=2" or "LAYER=skip" (wildcards); NULL: none */
    int64_t epochs;           /**< of all phases together; -1: the method's default; 0: one-shot */
    double lr;                /**< learning rate of all retraining, instead of the option `lr` of
                                 each method; 0: theirs */
    pare_train_options train; /**< batch, seed, threads, distillation ... of the retraining; rates
                                 and schedule are the methods' */
    const char *run_dir; /**< stage checkpoints; an interrupted run resumes from here; NULL: none */
    const char *out_path; /**< where the result goes; appears when everything else is done */
    bool force;           /**< replace out_path */
    double max_drop;      /**< more accuracy lost than this is PARE_ETARGET; negative: no target */
    bool measure;         /**< time before and after (median of interleaved runs) */
    bool no_winograd, no_integers; /**< of the plans that accuracies and times are measured with */
    const pare_shape
        *shapes; /**< of inputs with free dimensions, for MACs and times; NULL: those of the data */
    size_t n_shapes;
} pare_compress_options;

/** A network's size and behaviour at one point. Missing figures are -1. */
typedef struct pare_measure {
    double params, bytes, macs, top1, median_ms; /**< bytes: of the ONNX file */
} pare_measure;

/** One layer, before and after. Strings belong to the report. */
typedef struct pare_compress_layer {
    const char *name, *op, *codec;
    double params_before, params_after, macs_before, macs_after, density;
    int64_t in_before, in_after, out_before, out_after, basis; /**< channels; basis kernels or 0 */
} pare_compress_layer;

/** What pare_compress() did; to pare_compress_report_free(). */
typedef struct pare_compress_report {
    char *method; /**< methods with all options spelled out */
    pare_measure before, after;
    double density, latency_ratio; /**< coefficients kept; time before / after */
    size_t n_layers;
    pare_compress_layer *layer;
    uint64_t seed;
    void *owner;
} pare_compress_report;

/** Compresses `in`, writes options->out_path, and reports.
 * @param train  NULL: methods that retrain do their one-shot form and say so in the log
 * @param test   NULL: no accuracies
 * @retval PARE_EINVAL  a method or option is not known
 * @retval PARE_ETARGET written, but accuracy fell by more than max_drop */
PARE_API PARE_NODISCARD pare_status pare_compress(const pare_graph *in, const pare_dataset *train,
                                                  const pare_dataset *test,
                                                  const pare_preprocess *pp,
                                                  const pare_compress_options *options,
                                                  const pare_progress *progress,
                                                  pare_compress_report *out);
PARE_API void pare_compress_report_free(pare_compress_report *r); /**< Frees a report. */

/** Name, one-line summary and source of method i; NULL past the last. Static strings. */
PARE_API const char *pare_method_list(size_t i, const char **summary, const char **source);

/** One option of a method. Static strings. */
typedef struct pare_method_option {
    const char *name, *help;
    const char *unit;    /**< "" without one */
    const char *choices; /**< "layer|global"; NULL for numbers and flags */
    char preset[32];     /**< what it is when it is not given */
    bool flag, whole;    /**< 0 or 1; a whole number */
    double min, max;     /**< of a number */
    bool per_layer;      /**< may differ from layer to layer (pare_compress_options.layers) */
} pare_method_option;
/** Option `i` of method `method`, both in order of listing; false past the last. */
PARE_API bool pare_method_option_list(size_t method, size_t i, pare_method_option *out);

PARE_END
#endif
