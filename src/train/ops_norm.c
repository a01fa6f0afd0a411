/* BatchNormalization: by the batch's statistics in training, by the running ones in inference. */
#include "train/fronts.h"

#include <math.h>
#include <string.h>

enum { GAMMA, BETA, MEAN, VAR };

/* Arrays of `width` = blocks * lanes entries; those by chunk have one row a chunk. */
typedef struct norm {
    pare_map_dims d;
    size_t width, channels;
    double epsilon, momentum;
    float *scale, *shift;    /* forward */
    float *mean, *a, *b, *c; /* backward */
    double *inv;             /* 1 / sqrt(variance + epsilon) */
    double *count;           /* by chunk: numbers seen */
    double *sum,
        *dev; /* by chunk: mean and squared deviations; backward: sums of dz and dz (x - mean) */
} norm;

static float *value_of(const pare_engine *e, const tstep *s, int which)
{
    return e->params->p[s->param[which]]->value;
}

static void norm_begin(pare_engine *e, tstep *s, int thread)
{
    if (e->training) return;
    norm *v = s->state;
    for (size_t c = 0; c < v->channels; c++) {
        double scale =
            (double)value_of(e, s, GAMMA)[c] / sqrt((double)value_of(e, s, VAR)[c] + v->epsilon);
        v->scale[c] = (float)scale;
        v->shift[c] =
            (float)((double)value_of(e, s, BETA)[c] - scale * (double)value_of(e, s, MEAN)[c]);
    }
}

static void norm_stats(const tcall *c)
{
    norm *v = c->s->state;
    pare_map_dims d = v->d;
    d.n = c->n;
    double *mean = c->scratch, *m2 = mean + v->width, n = (double)(c->n * d.hw);
    double *sum = v->sum + (size_t)c->chunk * v->width, *dev = v->dev + (size_t)c->chunk * v->width,
           *count = v->count + c->chunk;
    c->e->k->norm_stats(&d, c->x[0], mean, m2);
    for (size_t k = 0; k < v->width; k++) { /* Chan's rule for joining two sets */
        double delta = mean[k] - sum[k], all = *count + n;
        sum[k] += delta * n / all;
        dev[k] += m2[k] + delta * delta * *count * n / all;
    }
    *count += n;
}

static void norm_stats_end(pare_engine *e, tstep *s)
{
    norm *v = s->state;
    float *running_mean = value_of(e, s, MEAN), *running_var = value_of(e, s, VAR);
    for (size_t k = 0; k < v->channels; k++) {
        double mean = 0, dev = 0, count = 0;
        for (size_t c = 0; c < e->chunks; c++) {
            double n = v->count[c], delta = v->sum[c * v->width + k] - mean;
            dev += v->dev[c * v->width + k] + delta * delta * count * n / (count + n);
            mean += delta * n / (count + n);
            count += n;
        }
        double var = dev / count;
        v->inv[k] = 1 / sqrt(var + v->epsilon);
        v->mean[k] = (float)mean;
        v->scale[k] = (float)((double)value_of(e, s, GAMMA)[k] * v->inv[k]);
        v->shift[k] = (float)((double)value_of(e, s, BETA)[k] -
                              mean * (double)value_of(e, s, GAMMA)[k] * v->inv[k]);
        running_mean[k] = (float)(v->momentum * (double)running_mean[k] + (1 - v->momentum) * mean);
        running_var[k] = (float)(v->momentum * (double)running_var[k] +
                                 (1 - v->momentum) * (count > 1 ? dev / (count - 1) : var));
    }
    memset(v->count, 0, e->chunks * sizeof *v->count);
    memset(v->sum, 0, e->chunks * v->width * sizeof *v->sum);
    memset(v->dev, 0, e->chunks * v->width * sizeof *v->dev);
}

static void norm_forward(const tcall *c)
{
    const norm *v = c->s->state;
    pare_map_dims d = v->d;
    d.n = c->n;
    c->e->k->norm_apply(&d, c->x[0], v->scale, v->shift, c->y);
}

static void norm_reduce(const tcall *c)
{
    norm *v = c->s->state;
    pare_map_dims d = v->d;
    d.n = c->n;
    double *s = c->scratch, *q = s + v->width;
    double *sum = v->sum + (size_t)c->chunk * v->width, *dev = v->dev + (size_t)c->chunk * v->width;
    c->e->k->norm_reduce(&d, c->x[0], c->dy, v->mean, s, q);
    for (size_t k = 0; k < v->width; k++) sum[k] += s[k], dev[k] += q[k];
}

static void norm_reduce_end(pare_engine *e, tstep *s)
{
    norm *v = s->state;
    tparam *gamma = e->params->p[s->param[GAMMA]], *beta = e->params->p[s->param[BETA]];
    double count = (double)(e->batch * v->d.hw);
    for (size_t k = 0; k < v->channels; k++) {
        double sum = 0, dot = 0, g = (double)gamma->value[k], inv = v->inv[k];
        for (size_t c = 0; c < e->chunks; c++)
            sum += v->sum[c * v->width + k], dot += v->dev[c * v->width + k];
        if (gamma->grad) gamma->grad[k] += (float)(dot * inv);
        if (beta->grad) beta->grad[k] += (float)sum;
        v->a[k] = (float)(g * inv);
        v->b[k] = (float)(-g * inv * inv * inv * dot / count);
        v->c[k] = (float)(-g * inv * sum / count);
    }
    memset(v->sum, 0, e->chunks * v->width * sizeof *v->sum);
    memset(v->dev, 0, e->chunks * v->width * sizeof *v->dev);
}

static void norm_backward(const tcall *c)
{
    const norm *v = c->s->state;
    pare_map_dims d = v->d;
    d.n = c->n;
    if (c->dx[0]) c->e->k->norm_back(&d, c->x[0], c->dy, v->mean, v->a, v->b, v->c, c->dx[0]);
}

static pare_status norm_prepare(pare_engine *e, tstep *s, size_t group, size_t back,
                                size_t *scratch)
{
    norm *v = s->state;
    *scratch = 2 * v->width * sizeof(double);
    return PARE_OK;
}

static const tape_op norm_op = {
    .name = "batch normalisation",
    .cheap = true,
    .needs_x = true,
    .in_place = true,
    .norm = true,
    .prepare = norm_prepare,
    .begin = norm_begin,
    .forward = norm_forward,
    .backward = norm_backward,
    .stats = norm_stats,
    .stats_end = norm_stats_end,
    .reduce = norm_reduce,
    .reduce_end = norm_reduce_end,
};

pare_status tape_batch_norm(tbuilder *b, const pare_node *n)
{
    for (uint32_t i = 1; i < 5; i++)
        if (!tape_const(b, n, i)) return tape_unsupported(n, "its parameters are computed");
    const pare_type *type = &b->g->value[n->in[0]].type;
    if (type->rank < 2 || type->dim[0] != 1)
        return tape_unsupported(n, "its input has no first dimension for images");
    int x, y;
    tstep *t;
    PARE_TRY(tape_want(b, n->in[0], TAPE_ANY, &x));
    PARE_TRY(tape_value(b, n->out[0], b->e->value[x].lanes, &y));
    PARE_TRY(tape_step(b, &norm_op, n, 1, &x, y, sizeof(norm), &t));
    norm *v = t->state;
    pare_engine *e = b->e;
    v->d = tape_dims(b, n->in[0], x);
    v->width = v->d.blocks * v->d.lanes;
    v->channels = (size_t)type->dim[1];
    v->epsilon = pare_attr_real(n, "epsilon", 1e-5);
    v->momentum = pare_attr_real(n, "momentum", 0.9);
    float **arrays[] = { &v->scale, &v->shift, &v->mean, &v->a, &v->b, &v->c };
    bool ok = true;
    for (size_t i = 0; i < sizeof arrays / sizeof *arrays; i++)
        ok = (*arrays[i] = tape_alloc(e, v->width, sizeof(float))) && ok;
    v->inv = tape_alloc(e, v->width, sizeof(double));
    v->count = tape_alloc(e, e->chunks, sizeof(double));
    v->sum = tape_alloc(e, e->chunks * v->width, sizeof(double));
    v->dev = tape_alloc(e, e->chunks * v->width, sizeof(double));
    if (!ok || !v->inv || !v->count || !v->sum || !v->dev)
        return pare_fail(PARE_ENOMEM, "no memory for batch normalisation");
    for (int i = 0; i < 4; i++)
        PARE_TRY(tape_param(b, t, i, n->in[1 + i], i == GAMMA || i == BETA, false));
    for (int i = 0; i < 4; i++)
        if (e->params->p[t->param[i]]->count != (int64_t)v->channels)
            return tape_unsupported(n, "its parameters do not match its channels");
    for (int i = MEAN; e->training && i <= VAR; i++) {
        tparam *p = e->params->p[t->param[i]];
        if (p->running || p->trains)
            return tape_unsupported(n, "it shares its statistics with another use");
        p->running = true;
    }
    return PARE_OK;
}
