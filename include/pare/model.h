/* Networks: load and save ONNX, list what is in them, list what is wrong with them. */
#ifndef PARE_MODEL_H
#define PARE_MODEL_H

#include "pare/tensor.h"

PARE_BEGIN

/** A network in memory. Immutable while a plan is being made of it; not shared between threads that
 * write. */
typedef struct pare_graph pare_graph;

/** A shape given for a graph input, by name; `name` NULL matches a model's only input. */
typedef struct pare_shape {
    const char *name;
    int rank;
    int64_t dim[PARE_MAX_RANK];
} pare_shape;

/** Reads an ONNX file of opset 7 to 21. All or nothing: on error there is nothing to free.
 * External data is read only from inside the model's own folder. Shapes are checked with free
 * dimensions set to 1.
 *
 * @param path  borrowed
 * @param out   receives the network, yours to pare_graph_free(); untouched on error
 * @retval PARE_EIO          the file cannot be read
 * @retval PARE_EFORMAT      it is not ONNX, or contradicts itself (the message names file, node and
 * both numbers)
 * @retval PARE_EUNSUPPORTED an operator, type or opset that pare does not know
 * @retval PARE_ELIMIT       it is deeper, larger or has more parts than pare reads
 * @retval PARE_ENOMEM       memory ran out */
PARE_API PARE_NODISCARD pare_status pare_model_load(const char *path, pare_graph **out);

/** The same for who makes a plan and no more: weights of layers stay in the file, and are read, a
 * few rows at a time, when the plan packs them. Until then the file must keep its content; a plan
 * of one that has become shorter fails with PARE_EIO. Takes less memory and time than
 * pare_model_load(). What reads weights itself (saving, counting, compressing, training) refuses
 * such a network with PARE_EINVAL. */
PARE_API PARE_NODISCARD pare_status pare_model_open(const char *path, pare_graph **out);

/** pare_model_load() from memory; external data is refused. `name` stands for the file in messages.
 */
PARE_API PARE_NODISCARD pare_status pare_model_load_memory(const void *data, size_t size,
                                                           const char *name, pare_graph **out);

/** Writes plain ONNX: appears complete under `path` or not at all. Encoded weights become calls of
 * model-local functions `pare.codec::<name>` with standard bodies, so other runtimes execute the
 * file too.
 * @param force  replace an existing file
 * @retval PARE_EINVAL  `path` exists and force is false
 * @retval PARE_EIO     the disk is full, the folder is missing, ... */
PARE_API PARE_NODISCARD pare_status pare_model_save(const pare_graph *graph, const char *path,
                                                    bool force);

/** Frees a network; fine on NULL. */
PARE_API void pare_graph_free(pare_graph *graph);

/** One thing wrong with a model. Strings belong to the list. */
typedef struct pare_problem {
    const char *node;   /**< node name, or "" for the model as a whole */
    const char *op;     /**< operator, or "" */
    const char *reason; /**< what is wrong, one sentence */
    const char *remedy; /**< what to do about it, one sentence */
} pare_problem;

/** A list of problems, yours to pare_problems_free(). */
typedef struct pare_problems {
    size_t count;
    pare_problem *problem;
} pare_problems;

/** Lists every problem of a model file at once. PARE_OK with count 0 means that pare_model_load()
 * would succeed.
 * @retval PARE_EIO     the file cannot be read
 * @retval PARE_EFORMAT it is not ONNX at all, so no list can be made */
PARE_API PARE_NODISCARD pare_status pare_model_check(const char *path, const pare_shape *shapes,
                                                     size_t n_shapes, pare_problems *out);
PARE_API void pare_problems_free(pare_problems *p); /**< Frees a list of problems. */

/** One layer (node) of a model, for info and reports. Strings belong to the info. */
typedef struct pare_layer_info {
    const char *name, *op;
    const char *codec; /**< "dense", or how the weight is stored; "" without a weight */
    pare_type shape;   /**< of the first output */
    double params;     /**< numbers stored: dense elements, or basis and kept coefficients */
    double bytes;      /**< of the stored parts */
    double macs; /**< multiply-accumulates that the stored form needs; see docs/formats/json.md */
    double dense_macs; /**< of the decoded layer */
    double density;    /**< share of the codec's coefficients that are not zero; 1 when dense */
} pare_layer_info;

/** What a model is made of. */
typedef struct pare_info {
    double params, bytes, macs, dense_macs;
    double peak_activation_bytes; /**< largest sum of activations alive at once */
    size_t n_layers;
    pare_layer_info *layer;
    int opset;
    size_t n_inputs, n_outputs;
    struct pare_io {
        const char *name;
        pare_type type;
    } * input, *output; /**< as bound to the shapes asked for */
    void *owner;        /**< memory of the strings */
} pare_info;

/** Counts a model for the given input shapes (free first dimensions: `batch`). Yours to
 * pare_info_free().
 * @retval PARE_EINVAL  a dimension stays free or contradicts the model */
PARE_API PARE_NODISCARD pare_status pare_model_info(const pare_graph *graph, int64_t batch,
                                                    const pare_shape *shapes, size_t n_shapes,
                                                    pare_info *out);
PARE_API void pare_info_free(pare_info *info); /**< Frees what pare_model_info() gave. */

/** Metadata of the model (ONNX metadata_props); NULL if the key is absent. Belongs to the graph. */
PARE_API const char *pare_model_meta(const pare_graph *graph, const char *key);
/** Sets metadata; both strings are copied. */
PARE_API PARE_NODISCARD pare_status pare_model_set_meta(pare_graph *graph, const char *key,
                                                        const char *value);

/** Turns an input into a constant, for networks whose shapes depend on its numbers. Shares the
 * tensor's memory.
 * @param name  NULL: the only input
 * @retval PARE_EINVAL  there is no such input, or the tensor is not of its type and shape (the
 * message names both) */
PARE_API PARE_NODISCARD pare_status pare_model_bind_input(pare_graph *graph, const char *name,
                                                          const pare_tensor *t);

/** Name and one-line summary of operator i that pare knows; NULL past the last. Static strings. */
PARE_API const char *pare_operator_list(size_t i, const char **summary);
/** Name and one-line summary of codec i (how a weight can be stored); NULL past the last. Static
 * strings. */
PARE_API const char *pare_codec_list(size_t i, const char **summary);

PARE_END
#endif
