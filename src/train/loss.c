/* Cross-entropy, label smoothing, distillation; learning rate schedules. */
#include "train/loss.h"

#include <math.h>

/* p_i = exp(x_i / t) / sum; returns the logarithm of the denominator, so that log p_i = x_i / t -
 * it. */
static double log_sum(const float *x, size_t n, double t)
{
    double most = (double)x[0], sum = 0;
    for (size_t i = 1; i < n; i++)
        if ((double)x[i] > most) most = (double)x[i];
    for (size_t i = 0; i < n; i++) sum += exp(((double)x[i] - most) / t);
    return most / t + log(sum);
}

double pare_loss(const pare_train_options *o, size_t n, size_t classes, size_t skip,
                 const float *logits, const int *label, const float *teacher, float *d,
                 int64_t *correct)
{
    double total = 0, soft = teacher ? o->distill : 0, t = o->temperature, e = o->label_smoothing;
    int64_t right = 0;
    for (size_t r = 0; r < n; r++) {
        const float *x = logits + r * classes, *q = teacher ? teacher + r * classes : NULL;
        size_t target = (size_t)label[r] + skip, best = skip;
        for (size_t i = skip; i < classes; i++)
            if (x[i] > x[best]) best = i;
        right += best == target;
        double norm = log_sum(x, classes, 1), hard = 0, distance = 0;
        double norm_t = q ? log_sum(x, classes, t) : 0, norm_q = q ? log_sum(q, classes, t) : 0;
        for (size_t i = 0; i < classes; i++) {
            double want = e / (double)classes + (i == target ? 1 - e : 0),
                   log_p = (double)x[i] - norm;
            double slope = (1 - soft) * (exp(log_p) - want);
            if (want > 0) hard -= want * log_p;
            if (q) {
                double log_s = (double)x[i] / t - norm_t, log_q = (double)q[i] / t - norm_q;
                distance += exp(log_q) * (log_q - log_s);
                slope += soft * t * (exp(log_s) - exp(log_q));
            }
            if (d) d[r * classes + i] = (float)(slope / (double)n);
        }
        total += (1 - soft) * hard + soft * t * t * distance;
    }
    if (correct) *correct = right;
    return total / (double)n;
}

double pare_train_rate(const pare_train_options *o, int64_t step, int64_t steps,
                       int64_t steps_per_epoch)
{
    const double pi = 3.14159265358979323846;
    double warm = o->warmup * (double)steps_per_epoch, at = (double)step, all = (double)steps;
    if (warm > all) warm = all;
    if (at < warm) return o->lr * (at + 1) / (warm > at + 1 ? warm : at + 1);
    double share = all > warm ? (at - warm) / (all - warm) : 1;
    switch (o->schedule) {
    case 1: /* by epochs, as milestones are usually given */
    {
        double done = (double)(step / steps_per_epoch) * (double)steps_per_epoch / all;
        return o->lr * (done >= 0.75  ? o->step_gamma * o->step_gamma
                        : done >= 0.5 ? o->step_gamma
                                      : 1);
    }
    case 2: return o->lr * 0.5 * (1 + cos(pi * share));
    case 3: { /* from lr / 25 up to lr in 30 % of the time, then down to lr / 250,000, both along a
                 cosine */
        double low = o->lr / 25, end = o->lr / 250000;
        if (share < 0.3) return low + (o->lr - low) * 0.5 * (1 - cos(pi * share / 0.3));
        return end + (o->lr - end) * 0.5 * (1 + cos(pi * (share - 0.3) / 0.7));
    }
    default: return o->lr;
    }
}
