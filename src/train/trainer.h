/* What the driver asks of training: one run over a data set, resumable, with the hooks of a
 * compression method. */
#ifndef TRAIN_TRAINER_H
#define TRAIN_TRAINER_H

#include "graph/graph.h"
#include "pare/train.h"

/* What a compression method adds to plain training; zero-initialised it adds nothing. The members
 * mean what those of pare_tune (methods/method.h) mean. */
typedef struct pare_trainer_hooks {
    double l1; /* weight of sum |x| over part l1_part of every weight with codec l1_codec */
    const char *l1_codec, *l1_part;
    /* Part of l1_codec's weights that is left alone in this epoch (no gradient, decay or momentum),
     * or NULL.
     */
    const char *(*frozen)(void *user, int64_t epoch);
    /* After every epoch, before its evaluation and checkpoint, with all parameters in `g`. May
     * change the values of parts and dense constants, not their types. */
    pare_status (*epoch_end)(void *user, int64_t epoch, pare_graph *g);
    void *user;
} pare_trainer_hooks;

/* Trains `graph` in place; see pare_train(). Dense float constants in parameter slots train, and
 * the float parts of weights whose codec has a gradient.
 *
 * With options->run_dir, `<run_dir>/<stage>.ckpt` keeps the state; a run that finds a checkpoint of
 * the same network structure, options and stage goes on from there, also from one that had
 * finished. PARE_EFORMAT if it belongs to another run or is damaged beyond its older generation.
 * @param hooks     NULL: none
 * @param stage     names checkpoint and progress ("train", "penni-retrain"); letters, digits, '-',
 * '_', '.'
 * @param keep_best leave the weights of the epoch with the best top-1 in `graph`, not those of the
 * last */
PARE_NODISCARD pare_status pare_trainer_run(pare_graph *graph, const pare_dataset *train,
                                            const pare_dataset *test, const pare_preprocess *pp,
                                            const pare_graph *teacher,
                                            const pare_train_options *options,
                                            const pare_trainer_hooks *hooks, const char *stage,
                                            bool keep_best, const pare_progress *progress,
                                            pare_train_report *out);

#endif
