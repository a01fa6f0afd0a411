/* LayerNormalization of float32 over the last dimensions, and InstanceNormalization over all but
 * the first two: rows of the input. */
#include "ops/attr.h"
#include "runtime/impls/rows_common.h"

#include <stdlib.h>

typedef struct packed {
    size_t row, rows;
    size_t channels; /* InstanceNormalization: rows in turn have the numbers of one; else 0 */
    float epsilon;
} packed;

static bool by_channel(const pare_prepare *p) { return p->node->op->name[0] == 'I'; }

static size_t row_of(const pare_prepare *p)
{
    const pare_type *x = &p->in[0];
    if (by_channel(p)) return (size_t)pare_numel(x->rank - 2, x->dim + 2);
    int64_t axis = pare_attr_int(p->node, "axis", -1);
    int first = (int)(axis < 0 ? axis + x->rank : axis);
    return (size_t)pare_numel(x->rank - first, x->dim + first);
}

/* One number for each of a row, as the kernel reads them? Those that broadcast are rare. */
static bool whole(const pare_prepare *p, int slot)
{
    const pare_type *t = &p->in[slot];
    const pare_weight *w = p->weight[slot];
    size_t numbers = by_channel(p) ? (size_t)p->in[0].dim[1] : row_of(p);
    return t->dtype == PARE_F32 && (size_t)pare_numel(t->rank, t->dim) == numbers &&
           !(w && w->codec);
}

static bool accepts(const pare_prepare *p)
{
    bool shifts = p->node->n_in > 2 && p->in[2].dtype != PARE_UNDEFINED;
    return p->in[0].dtype == PARE_F32 && p->node->n_out == 1 && whole(p, 1) &&
           (!shifts || whole(p, 2));
}

static double model_ns(const pare_prepare *p)
{
    double n = (double)pare_numel(p->in[0].rank, p->in[0].dim);
    return pare_rows_ns(n, 8 * n, 0.5, p->threads);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = malloc(sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    k->row = row_of(p);
    k->rows = (size_t)pare_numel(p->in[0].rank, p->in[0].dim) / k->row;
    k->channels = by_channel(p) ? (size_t)p->in[0].dim[1] : 0;
    k->epsilon = (float)pare_attr_real(p->node, "epsilon", 1e-5);
    *out = k;
    *bytes = sizeof *k;
    *scratch_bytes = 0;
    return PARE_OK;
}

static size_t rows_each(const packed *k)
{
    return k->row < PARE_ROWS_ITEM ? PARE_ROWS_ITEM / k->row : 1;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const float *x = s->in[0].data, *scale = s->in[1].data,
                *shift = s->node->n_in > 2 ? s->in[2].data : NULL;
    float *y = s->out[0].data;
    size_t first = index * rows_each(k), end = first + rows_each(k);
    for (size_t i = first; i < end && i < k->rows; i++) {
        size_t c = k->channels ? i % k->channels : 0;
        s->kernels->normalize(k->row, x + i * k->row, k->epsilon, scale + c,
                              shift ? shift + c : NULL, k->channels == 0, y + i * k->row);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for((k->rows + rows_each(k) - 1) / rows_each(k),
                  pare_rows_threads(k->row * k->rows, threads), item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_layer_norm = {
    .name = "layer_norm",
    .op = "LayerNormalization|InstanceNormalization",
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};
