/* The state of a training run in a file: written whole or not at all, verified when read, one older
 * generation kept. */
#ifndef TRAIN_CHECKPOINT_H
#define TRAIN_CHECKPOINT_H

#include "train/engine.h"

/* Everything that the rest of a run depends on besides its inputs, which `key` identifies. */
typedef struct pare_checkpoint {
    uint64_t key;
    int64_t epoch, step;          /* finished epochs; finished steps of the next one */
    int64_t updates;              /* of the optimiser */
    double loss_sum;              /* over the steps of the epoch under way */
    double loss, top1, best_top1; /* of the last finished epoch */
    bool has_best; /* then best holds all numbers of the parameters of the best epoch */
} pare_checkpoint;

/* Numbers of all parameters and running statistics, in order: for keeping the best. */
size_t pare_checkpoint_floats(const tparams *ps);
void pare_checkpoint_copy(const tparams *ps, float *to);
void pare_checkpoint_restore(tparams *ps, const float *from);

/* best: pare_checkpoint_floats() numbers, read only if c->has_best. */
pare_status pare_checkpoint_save(const char *path, const pare_checkpoint *c, const tparams *ps,
                                 const float *best);
/* *found false if there is none. PARE_EFORMAT: damaged (and no older generation is whole), or of
 * another run.
 */
pare_status pare_checkpoint_load(const char *path, pare_checkpoint *c, tparams *ps, float *best,
                                 bool *found);

/* A running hash for keys and checksums. */
uint64_t pare_hash(uint64_t h, const void *data, size_t size);

#endif
