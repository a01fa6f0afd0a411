/* The training loop. */
#include "train/trainer.h"

pare_status pare_trainer_run(pare_graph *graph, const pare_dataset *train, const pare_dataset *test,
                             const pare_preprocess *pp, const pare_graph *teacher,
                             const pare_train_options *options, const pare_trainer_hooks *hooks,
                             const char *stage, bool keep_best, const pare_progress *progress,
                             pare_train_report *out)
{
    return pare_fail(PARE_EUNSUPPORTED, "training is not part of this build");
}
