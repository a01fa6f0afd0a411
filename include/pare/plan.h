/* Plans: everything decided once (fusion, implementation, packing, memory), then run as often as
 * wanted. */
#ifndef PARE_PLAN_H
#define PARE_PLAN_H

#include "pare/model.h"

PARE_BEGIN

/** A network prepared to run. */
typedef struct pare_plan pare_plan;

/** How a plan chooses between implementations that accept a layer. */
typedef enum pare_choice {
    PARE_CHOOSE_MODEL,  /**< by modelled time (default): the same choice on every run on processors
                           of one kind, as long as what pare_tune_machine() found for them, or the
                           environment variable PARE_TUNE that names its file, is the same */
    PARE_CHOOSE_MEASURE /**< by timing each candidate once while planning */
} pare_choice;

/** How exactly float32 convolutions and products with constant weights must be computed. Beyond
 * float32 it is a permission, not an order: a step runs the way that is modelled to be fastest, and
 * pare_plan_step() says which. Sums are float32 always, and so is everything between steps. From
 * the most exact on. */
typedef enum pare_precision {
    PARE_PRECISION_FP32,   /**< rounds as float32 arithmetic does (default)
                            */
    PARE_PRECISION_BF16X2, /**< factors to 16 bits: an error of some 2^-16
                              of the sum of the products' magnitudes;
                              needs AMX */
    PARE_PRECISION_BF16,   /**< factors to 8 bits (bfloat16): some 2^-8;
                              needs AVX512_BF16 or AMX */
} pare_precision;

/** Options of pare_plan_create(); zero-initialised means the defaults. */
typedef struct pare_plan_options {
    int threads;   /**< 0: all processors this process may use */
    int64_t batch; /**< for a free first dimension; 0 means 1 */
    const pare_shape
        *shapes; /**< shapes of inputs with other free dimensions; borrowed during the call */
    size_t n_shapes;
    const char *force; /**< comma list of PATTERN or LAYER=PATTERN with shell wildcards on
                          implementation names
                            ("reference", "conv1=conv_gemm*"); NULL: none. A layer that cannot obey
                          is an error. The very rule "reference", for all layers, implies
                          no_integers */
    pare_choice choice;
    bool profile; /**< time every step while running */
    bool
        no_winograd; /**< never transform convolutions: slower, and rounds like the sum over taps */
    pare_precision precision; /**< refused where the processor has no instructions for it */
    bool no_integers;         /**< run DequantizeLinear -> operator -> QuantizeLinear in float32, as
                                 written */
} pare_plan_options;

/** Prepares `graph` for the given shapes. The plan packs its own copy of the weights: `graph` may
 * be changed or freed.
 *
 * Quantised patterns (DequantizeLinear -> operator -> QuantizeLinear) become operators on integers,
 * which sum exactly and round once: results may differ from the pattern's in float32 by one step of
 * the output's scale. no_integers turns that off.
 * @param graph    borrowed
 * @param options  NULL for the defaults
 * @param out      receives the plan, yours to pare_plan_free(); untouched on error
 * @retval PARE_EINVAL       an input dimension is unknown, `force` matches nothing, or `threads` or
 * `batch` is out of range (the message names it)
 * @retval PARE_EUNSUPPORTED a node's shape depends on data, or this processor lacks the precision's
 * instructions
 * @retval PARE_ENOMEM       packed weights or activations do not fit */
PARE_API PARE_NODISCARD pare_status pare_plan_create(const pare_graph *graph,
                                                     const pare_plan_options *options,
                                                     pare_plan **out);
/** The same, and takes over `graph`, on error too: each weight is freed when it is packed, so that
 * the stored and the packed form are not all in memory at once. */
PARE_API PARE_NODISCARD pare_status pare_plan_take(pare_graph *graph,
                                                   const pare_plan_options *options,
                                                   pare_plan **out);
/** Another plan for another thread of the caller's; shares the packed weights. */
PARE_API PARE_NODISCARD pare_status pare_plan_clone(const pare_plan *plan, pare_plan **out);
PARE_API void pare_plan_free(pare_plan *plan); /**< Frees a plan; fine on NULL. */

PARE_API size_t pare_plan_inputs(const pare_plan *plan);  /**< number of inputs */
PARE_API size_t pare_plan_outputs(const pare_plan *plan); /**< number of outputs */
/** Name and type of input i; both belong to the plan. */
PARE_API const char *pare_plan_input(const pare_plan *plan, size_t i, pare_type *type);
/** Name and type of output i; both belong to the plan. */
PARE_API const char *pare_plan_output(const pare_plan *plan, size_t i, pare_type *type);

/** Runs once. Bitwise the same result for any number of threads. One run at a time per plan.
 * @param in   one tensor per input, in plan order, dtype and shape as planned; borrowed
 * @param out  one tensor per output with memory of the planned type (pare_tensor_new); overwritten
 * @retval PARE_EINVAL   a tensor is not of the planned type
 * @retval PARE_EFORMAT  data that planning cannot see is wrong: an index out of range
 * @retval PARE_ENOMEM   a reference evaluation could not get its scratch memory */
PARE_API PARE_NODISCARD pare_status pare_plan_run(pare_plan *plan, const pare_tensor *in,
                                                  pare_tensor *out);

/** One step of a plan. Strings belong to the plan. */
typedef struct pare_step_info {
    const char *name; /**< of the node */
    const char *op;
    const char *impl;  /**< implementation that runs */
    const char *why;   /**< why it was chosen: "only one", "forced", "0.021 ms against 0.064 ms
                          (modelled)" ... */
    const char *codec; /**< "dense" or the codec of the weight, "" without one */
    double macs;       /**< multiply-accumulates this step executes */
    double weight_bytes, activation_bytes; /**< read and written at least: packed weights and other
                                              constants; computed inputs and outputs */
    bool int8;                             /**< multiplies integers of 8 bits */
    pare_precision precision;              /**< to which it rounds float32 factors */
    double ns; /**< mean time of the runs so far when profiling, else 0 */
} pare_step_info;
PARE_API size_t pare_plan_steps(const pare_plan *plan); /**< number of steps */
PARE_API void pare_plan_step(const pare_plan *plan, size_t i,
                             pare_step_info *out); /**< describes step i */

/** Bytes held: packed weights, activations, scratch. */
typedef struct pare_plan_memory {
    size_t weights, activations, scratch;
} pare_plan_memory;
PARE_API void pare_plan_memory_use(const pare_plan *plan,
                                   pare_plan_memory *out); /**< memory the plan holds */

/** Name of implementation i, in order of preference, the operator it is for and the codec it takes
 * ("" for any or dense); NULL past the last. Static strings. */
PARE_API const char *pare_impl_list(size_t i, const char **op, const char **codec);

PARE_END
#endif
