/* The public face of training: defaults, and pare_train() as a run without a method's hooks. */
#include "train/trainer.h"

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
                       const pare_train_options *options, bool keep_best, const pare_progress *progress,
                       pare_train_report *out)
{
    return pare_trainer_run(graph, train, test, pp, teacher, options, NULL, "train", keep_best, progress,
                            out);
}
