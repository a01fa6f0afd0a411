/* Global pools, and ReduceMean, ReduceSum, ReduceMax over the last dimensions, float32: each output
 * is one contiguous row of the input. Softmax over the last dimension works on the same rows. */
#include "ops/attr.h"
#include "ops/attrs.h"
#include "runtime/impls/rows_common.h"

#include <stdlib.h>

/* Numbers in a row, 0 if the operator reduces anything but the last dimensions. */
static int64_t row_of(const pare_prepare *p)
{
    const pare_type *x = &p->in[0];
    const char *op = p->node->op->name;
    int first = x->rank;
    if (strncmp(op, "Global", 6) == 0) {
        first = 2;
    } else if (strcmp(op, "Softmax") == 0) {
        int64_t axis = pare_attr_int(p->node, "axis", -1);
        first = (int)(axis < 0 ? axis + x->rank : axis);
        for (int d = first + 1; d < x->rank; d++)
            if (x->dim[d] != 1) return 0;
    } else {
        bool present = p->node->n_in > 1 && p->in[1].dtype != PARE_UNDEFINED;
        if (present && !p->weight[1]) return 0;
        pare_arg axes = { .type = p->in[1], .value = present ? &p->weight[1]->part[0] : NULL };
        unsigned mask;
        if (pare_reduce_mask(p->node, present ? &axes : NULL, x->rank, &mask) != PARE_OK) return 0;
        while (first > 0 && (mask >> (first - 1) & 1)) first--;
        if (first == x->rank || (mask & ((1u << first) - 1))) return 0;
    }
    return pare_numel(x->rank - first, x->dim + first);
}

static bool accepts(const pare_prepare *p) { return p->in[0].dtype == PARE_F32 && row_of(p) > 0; }

static double model_ns(const pare_prepare *p)
{
    double n = (double)pare_numel(p->in[0].rank, p->in[0].dim);
    return pare_rows_ns(n, 4 * n, 0.5, p->threads);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    size_t *row = malloc(sizeof *row);
    if (!row) return pare_fail(PARE_ENOMEM, "no memory for a step");
    *row = (size_t)row_of(p);
    *out = row;
    *bytes = sizeof *row;
    *scratch_bytes = 0;
    return PARE_OK;
}

static size_t rows_each(size_t row) { return row < PARE_ROWS_ITEM ? PARE_ROWS_ITEM / row : 1; }

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const pare_kernels *k = s->kernels;
    size_t row = *(const size_t *)s->packed, count = (size_t)pare_tensor_count(&s->in[0]) / row;
    const char *op = s->node->op->name;
    bool softmax = op[0] == 'S', largest = strstr(op, "Max") != NULL,
         mean = strcmp(op, "ReduceSum") != 0;
    for (size_t i = index * rows_each(row), n = 0; n < rows_each(row) && i < count; i++, n++) {
        const float *x = (const float *)s->in[0].data + i * row;
        float *y = s->out[0].data;
        if (softmax)
            k->softmax(row, x, y + i * row);
        else if (largest)
            y[i] = k->largest(row, x);
        else
            y[i] = k->sum(row, x) / (mean ? (float)row : 1);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    size_t row = *(const size_t *)s->packed, n = (size_t)pare_tensor_count(&s->in[0]),
           rows = n / row;
    pare_team_for((rows + rows_each(row) - 1) / rows_each(row), pare_rows_threads(n, threads), item,
                  (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_reduce_rows = {
    .name = "reduce_rows",
    .op = "GlobalAveragePool|GlobalMaxPool|ReduceMean|ReduceSum|ReduceMax|Softmax",
    .packs = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};
