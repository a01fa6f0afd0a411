/* Batches of a data set, the next one prepared by a thread of its own while the current one is
 * used. */
#ifndef TRAIN_LOADER_H
#define TRAIN_LOADER_H

#include "pare/train.h"
#include "tensor/tensor.h"

typedef struct pare_loader pare_loader;

/* What to deliver: `batches` batches of `batch` samples from `first` on. Shuffled (by seed and
 * epoch) and augmented, or in order; the last batch of an ordered pass may be smaller. */
typedef struct pare_load_plan {
    int64_t first, batches, batch, limit; /* limit: samples used of the set; first counts batches */
    bool shuffle;
    pare_augment augment;
    bool augmented;
} pare_load_plan;

/* `type` is the network's input for one image. All borrowed. */
pare_status pare_loader_new(const pare_dataset *set, const pare_preprocess *pp,
                            const pare_type *type, int64_t batch, pare_loader **out);
void pare_loader_free(pare_loader *l);
/* Begins a pass; what an earlier one left over is dropped. */
pare_status pare_loader_start(pare_loader *l, const pare_load_plan *plan);
/* The next batch; it stays valid until the next call. *n is 0 at the end of the pass. */
pare_status pare_loader_next(pare_loader *l, const float **x, const int **label, int64_t *n);

#endif
