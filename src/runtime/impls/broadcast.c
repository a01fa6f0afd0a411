/* Functions of two float32 operands with broadcasting: the longest inner run in which each operand
 * either advances or stands still goes to the kernel, the dimensions around it are walked. What
 * follows the operator may be fused. */
#include "runtime/impls/rows_common.h"

#include <stdlib.h>

typedef struct packed {
    pare_binary f;
    size_t n, runs; /* numbers in a run; runs */
    int outer;      /* dimensions around the run, outermost first */
    size_t size[PARE_MAX_RANK], step[2][PARE_MAX_RANK];
    size_t inner[2];         /* step of each operand within a run: 0 or 1 */
    size_t run_items, items; /* items of a long run, or runs in an item (then run_items is 1) */
    size_t runs_each;
} packed;

static bool accepts(const pare_prepare *p)
{
    if (p->in[0].dtype != PARE_F32 || p->in[1].dtype != PARE_F32 || p->node->n_in != 2)
        return false;
    return !p->epilogue.scale && !p->epilogue.residual;
}

static double model_ns(const pare_prepare *p)
{
    double n = (double)pare_numel(p->out->rank, p->out->dim);
    return pare_rows_ns(n, 12 * n, 0.3, p->threads);
}

static pare_binary function_of(const char *op)
{
    if (strcmp(op, "Sub") == 0) return PARE_BINARY_SUB;
    if (strcmp(op, "Mul") == 0) return PARE_BINARY_MUL;
    if (strcmp(op, "Div") == 0) return PARE_BINARY_DIV;
    if (strcmp(op, "Max") == 0) return PARE_BINARY_MAX;
    if (strcmp(op, "Min") == 0) return PARE_BINARY_MIN;
    return PARE_BINARY_ADD; /* Add, Sum */
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    k->f = function_of(p->node->op->name);
    int rank = p->out[0].rank;
    size_t stride[2][PARE_MAX_RANK];
    for (int i = 0; i < 2; i++) {
        size_t at = 1;
        for (int d = rank - 1; d >= 0; d--) {
            int own = d - (rank - p->in[i].rank);
            size_t dim = own < 0 ? 1 : (size_t)p->in[i].dim[own];
            stride[i][d] = dim == 1 ? 0 : at;
            at *= dim;
        }
    }
    /* The run: the last dimension longer than 1, and those before it that continue both operands
     * alike. */
    k->n = 1;
    int d = rank - 1;
    for (bool begun = false; d >= 0; d--) {
        size_t size = (size_t)p->out[0].dim[d];
        if (size == 1) continue;
        size_t step[2];
        for (int i = 0; i < 2; i++) step[i] = stride[i][d] ? 1 : 0;
        if (begun && (step[0] != k->inner[0] || step[1] != k->inner[1])) break;
        k->inner[0] = step[0], k->inner[1] = step[1];
        k->n *= size;
        begun = true;
    }
    k->runs = 1;
    for (int o = 0; o <= d; o++) {
        k->size[k->outer] = (size_t)p->out[0].dim[o];
        k->step[0][k->outer] = stride[0][o], k->step[1][k->outer] = stride[1][o];
        k->runs *= k->size[k->outer++];
    }
    k->run_items = pare_rows_items(k->n);
    k->runs_each = k->run_items > 1 ? 1 : PARE_ROWS_ITEM / k->n;
    k->items = k->run_items * ((k->runs + k->runs_each - 1) / k->runs_each);
    *out = k;
    *bytes = sizeof *k;
    *scratch_bytes = 0;
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    size_t part = index % k->run_items, first = index / k->run_items * k->runs_each,
           from = part * PARE_ROWS_ITEM;
    size_t n = k->run_items > 1 ? pare_rows_of(k->n, part) : k->n;
    for (size_t r = first; r < first + k->runs_each && r < k->runs; r++) {
        size_t at[2] = { 0, 0 }, rest = r;
        for (int d = k->outer - 1; d >= 0; d--) {
            size_t i = rest % k->size[d];
            rest /= k->size[d];
            at[0] += i * k->step[0][d], at[1] += i * k->step[1][d];
        }
        const float *a = (const float *)s->in[0].data + at[0] + from * k->inner[0];
        const float *b = (const float *)s->in[1].data + at[1] + from * k->inner[1];
        float *y = (float *)s->out[0].data + r * k->n + from;
        s->kernels->binary(k->f, n, a, k->inner[0], b, k->inner[1], y);
        pare_rows_act(s, n, y);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for(k->items, pare_rows_threads(k->n * k->runs, threads), item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_broadcast = {
    .name = "broadcast",
    .op = "Add|Sub|Mul|Div|Max|Min|Sum",
    .fuses = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};
