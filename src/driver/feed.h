/* Samples of a data set as the input of a network, batch by batch. Shared by evaluation and
 * verification. */
#ifndef DRIVER_FEED_H
#define DRIVER_FEED_H

#include "graph/graph.h"
#include "pare/data.h"
#include "pare/plan.h"

typedef struct pare_feed {
    const pare_dataset *data;
    const pare_preprocess *pp;
    int threads;
    int64_t batch, total; /* samples of a batch; of the whole */
    pare_tensor in;       /* the batch last loaded */
    int *label;           /* batch */
    int64_t *index;       /* batch */
} pare_feed;

/* Samples a run that `g` was made for; 0: free. */
int64_t pare_feed_fixed_batch(const pare_graph *g);

/* Plans `g` for `batch` samples of the set: `o` gives everything else. The network must have one
 * input. */
pare_status pare_feed_plan(const pare_graph *g, const pare_dataset *data, const pare_preprocess *pp,
                           int64_t batch, const pare_plan_options *o, pare_plan **plan);

/* Room for batches that fit `plan`. To pare_feed_close(), also on error. */
pare_status pare_feed_open(const pare_plan *plan, const pare_dataset *data,
                           const pare_preprocess *pp, int64_t limit, int threads, pare_feed *f);
void pare_feed_close(pare_feed *f);

/* Loads samples first, first + 1 ... into f->in. *n: how many are new; the rest of the last batch
 * repeats a sample. */
pare_status pare_feed_load(pare_feed *f, int64_t first, int64_t *n);

/* One tensor for each output of a plan; NULL if out of memory. To pare_outputs_free(). */
pare_status pare_outputs_new(const pare_plan *plan, pare_tensor **out);
void pare_outputs_free(const pare_plan *plan, pare_tensor *out);

/* Position of class `label` among scores x[0..n): 0 is best. A tie is lost to the lower class; NaN
 * never wins, and is never beaten. */
int64_t pare_rank_of(const pare_tensor *t, int64_t first, int64_t n, int label);

#endif
