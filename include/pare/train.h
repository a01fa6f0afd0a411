/* Training: from random or given weights, with checkpoints that survive kill -9. */
#ifndef PARE_TRAIN_H
#define PARE_TRAIN_H

#include "pare/data.h"

PARE_BEGIN

/** Options of pare_train(). Fill with pare_train_defaults(), then change. */
typedef struct pare_train_options {
    int64_t epochs;                    /**< passes over the data; fractions by max_steps */
    int64_t batch;                     /**< images a step */
    int64_t max_steps;                 /**< steps an epoch at most; 0: all */
    int optimizer;                     /**< 0 sgd, 1 adamw */
    double lr, momentum, weight_decay; /**< weight decay spares batch-norm and bias */
    bool nesterov;
    int schedule;      /**< 0 constant, 1 step, 2 cosine, 3 one-cycle */
    double step_gamma; /**< step: factor at 50 % and 75 % of the epochs */
    double warmup;     /**< epochs of linear warm-up */
    double label_smoothing;
    double distill;     /**< weight of the teacher's soft labels, 0 to 1; needs a teacher */
    double temperature; /**< of distillation */
    bool augment_flip;
    int64_t augment_pad;
    int64_t seed;
    int64_t threads; /**< 0: all processors; the result does not depend on it */
    int precision;   /**< of what convolutions multiply: 0 float32; 1 bfloat16, with float32 sums,
                        weights and everything else (needs AVX512_BF16) */
    int64_t eval_limit; /**< test images looked at after each epoch; 0: all */
    const char
        *run_dir; /**< checkpoints go here, and an interrupted run resumes from here; NULL: none */
} pare_train_options;

PARE_API void pare_train_defaults(pare_train_options *o); /**< fills in the defaults */

/** What a training came to. */
typedef struct pare_train_report {
    double top1, best_top1; /**< on the test part, fractions; -1 without one */
    double loss;            /**< mean of the last epoch */
    double images_per_second;
    int64_t epochs, resumed_from; /**< epochs done; epoch this call started from */
} pare_train_report;

/** Trains `graph` in place (to the last epoch's weights, or the best's if keep_best).
 * @param test     NULL: no evaluation
 * @param teacher  network to distil from; NULL: none
 * @retval PARE_EUNSUPPORTED an operator has no gradient (named), pare was built without oneDNN, or
 * this processor lacks the precision's instructions
 * @retval PARE_ECANCELLED   stopped by the callback after writing a checkpoint */
PARE_API PARE_NODISCARD pare_status pare_train(pare_graph *graph, const pare_dataset *train,
                                               const pare_dataset *test, const pare_preprocess *pp,
                                               const pare_graph *teacher,
                                               const pare_train_options *options, bool keep_best,
                                               const pare_progress *progress,
                                               pare_train_report *out);

/** Builds a starting network with random weights: resnet20, resnet8, resnet18-cifar, vgg-small,
 * mobilenet-v1, lenet ...
 * @param shape  C, H, W of the input; @param classes outputs
 * @retval PARE_EINVAL  there is no such network (the message lists them) */
PARE_API PARE_NODISCARD pare_status pare_model_init(const char *name, const int64_t shape[3],
                                                    int classes, uint64_t seed, pare_graph **out);

PARE_END
#endif
