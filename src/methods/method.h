/* A compression method: one file, one registry line (methods.c). Methods know graphs, codecs and
 * linear algebra; training, files and progress reach them through the job that the driver fills in.
 */
#ifndef METHODS_METHOD_H
#define METHODS_METHOD_H

#include "base/fields.h"
#include "graph/graph.h"
#include "ops/op.h"

/* One retraining phase. */
typedef struct pare_tune {
    const char *stage; /* names the checkpoint and the progress line: unique within the method */
    int64_t epochs;
    double lr, weight_decay;
    int schedule; /* as in pare_train_options */
    double step_gamma;
    double l1; /* weight of sum |x| over the part l1_part of every weight with codec l1_codec */
    const char *l1_codec, *l1_part;
    /* Part of l1_codec's weights that is not trained in this epoch, or NULL. Frozen for real: no
     * decay, no momentum. */
    const char *(*frozen)(void *user, int64_t epoch);
    /* Called after every epoch with the current graph; may change parts in place (renormalise). */
    pare_status (*epoch_end)(void *user, int64_t epoch, pare_graph *g);
    void *user;
} pare_tune;

typedef struct pare_job pare_job;
struct pare_job {
    const pare_graph *original; /* the network before this method */
    int64_t epochs;             /* the user's total; -1: the method's default; 0: one-shot */
    uint64_t seed;
    /* Retrains g in place; NULL when there is no data. */
    pare_status (*tune)(pare_job *job, pare_graph *g, const pare_tune *t);
    /* Saves g as finished stage `stage`; fine without a run folder. */
    pare_status (*checkpoint)(pare_job *job, const char *stage, const pare_graph *g);
    /* If stage `stage` was finished by an earlier, interrupted run: replaces *g by it and sets
     * *found. */
    pare_status (*resume)(pare_job *job, const char *stage, pare_graph **g, bool *found);
    /* A line for the report and the progress display ("pruned to density 0.17"). */
    void (*say)(pare_job *job, const char *fmt, ...) PARE_PRINTF(2, 3);
    /* Options of the method for one layer: the method's, overridden by the user for that node.
     * `skip`: leave alone. */
    pare_status (*layer_options)(pare_job *job, const pare_node *n, const void *options, void *out,
                                 bool *skip);
    void *driver;
};

typedef struct pare_method {
    const char *name, *summary, *source;
    const pare_field *options; /* with a `graph` hook, those it asks job->layer_options for say
                                  per_layer; with `layer` all may differ from layer to layer */
    size_t options_size;
    bool (*eligible)(const pare_graph *g,
                     const pare_node *n); /* NULL: every node with a constant weight */
    pare_status (*layer)(pare_job *job, pare_graph *g, pare_id node,
                         const void *options); /* NULL: graph does it all */
    pare_status (*graph)(pare_job *job, pare_graph **g,
                         const void *options); /* NULL: layer on every eligible node */
} pare_method;

extern const pare_method *const pare_methods[];
const pare_method *pare_method_find(const char *name);

#endif
