/* The public face of training: defaults, and pare_train() as a run without a method's hooks. */
#include "base/files.h"
#include "train/trainer.h"

#include <stdlib.h>
#include <unistd.h>

void pare_train_defaults(pare_train_options *o)
{
    *o = (pare_train_options){
        .epochs = 10,
        .batch = 128,
        .lr = 0.1,
        .momentum = 0.9,
        .weight_decay = 1e-4,
        .nesterov = true,
        .schedule = 2,
        .step_gamma = 0.1,
        .temperature = 4,
        .augment_flip = true,
        .augment_pad = 4,
        .seed = 1,
    };
}

pare_status pare_train(pare_graph *graph, const pare_dataset *train, const pare_dataset *test,
                       const pare_preprocess *pp, const pare_graph *teacher,
                       const pare_train_options *options, bool keep_best,
                       const pare_progress *progress, pare_train_report *out)
{
    PARE_TRY(pare_graph_in_memory(graph));
    if (teacher) PARE_TRY(pare_graph_in_memory(teacher));
    int lock = -1; /* two runs in one folder would take each other's checkpoints */
    if (options->run_dir) {
        PARE_TRY(pare_make_dirs(options->run_dir));
        char *path = pare_format("%s/lock", options->run_dir);
        if (!path) return pare_fail(PARE_ENOMEM, "no memory for a file name");
        pare_status locked = pare_lock_file(path, &lock);
        free(path);
        PARE_TRY(locked);
    }
    pare_status st = pare_trainer_run(graph, train, test, pp, teacher, options, NULL, "train",
                                      keep_best, progress, out);
    if (lock >= 0) close(lock);
    return st;
}
