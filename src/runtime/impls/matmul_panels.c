/* MatMul of float32 where both operands are computed: one panel of one right operand at a time is
 * packed into scratch memory, then streamed past all rows of its left operand. */
#include "base/team.h"
#include "runtime/impl.h"

#include <stdlib.h>

enum {
    ITEM_MACS = 1 << 19,
    SERIAL_MACS = 100 << 10,
    K_MOST = 1 << 18 /* scratch memory grows with it */
};

typedef struct packed {
    int64_t m, n, k, panels, matrices;
    int64_t each; /* panels in an item, of one matrix or several */
    int stack;    /* dimensions that matrices are counted in, outermost first */
    int64_t size[PARE_MAX_RANK], step[2][PARE_MAX_RANK]; /* in matrices of an operand */
    bool serial;
} packed;

static bool plan(const pare_prepare *p, packed *k)
{
    const pare_type *a = &p->in[0], *b = &p->in[1], *y = &p->out[0];
    *k = (packed){ 0 };
    if (a->dtype != PARE_F32 || a->rank < 2 || b->rank < 2) return false;
    if (p->weight[1] && p->weight[1]->codec) return false;
    k->m = a->dim[a->rank - 2], k->k = a->dim[a->rank - 1], k->n = b->dim[b->rank - 1];
    if (k->k > K_MOST) return false;
    k->matrices = 1;
    bool shared = true; /* one right operand for all: then their rows are rows of one product */
    for (int d = 0; d < b->rank - 2; d++) shared &= b->dim[d] == 1;
    if (shared && pare_numel(a->rank, a->dim) / a->dim[a->rank - 1] ==
                      pare_numel(y->rank, y->dim) / y->dim[y->rank - 1])
        k->m = pare_numel(a->rank, a->dim) / k->k;
    else {
        k->stack = y->rank - 2;
        const pare_type *t[2] = { a, b };
        for (int i = 0; i < 2; i++) {
            int64_t at = 1;
            for (int d = k->stack - 1; d >= 0; d--) {
                int own = d - (y->rank - t[i]->rank);
                int64_t size = own < 0 ? 1 : t[i]->dim[own];
                k->step[i][d] = size == 1 ? 0 : at;
                at *= size;
            }
        }
        for (int d = 0; d < k->stack; d++) k->matrices *= k->size[d] = y->dim[d];
    }
    int64_t nr = (int64_t)p->kernels->gemm_nr;
    k->panels = (k->n + nr - 1) / nr;
    double macs = (double)k->m * (double)nr * (double)k->k;
    k->each = macs < ITEM_MACS ? (int64_t)(ITEM_MACS / (macs + 1)) : 1;
    k->serial = (double)k->m * (double)k->n * (double)k->k * (double)k->matrices < SERIAL_MACS;
    return true;
}

static bool accepts(const pare_prepare *p)
{
    packed k;
    return plan(p, &k);
}

static double model_ns(const pare_prepare *p)
{
    packed k;
    plan(p, &k);
    double b = (double)k.matrices * (double)k.n * (double)k.k, macs = (double)k.m * b;
    return 300 + (macs / (4.5 * (double)p->kernels->vl) + b / 4) / p->threads;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = malloc(sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    plan(p, k);
    *out = k;
    *bytes = sizeof *k;
    *scratch_bytes = ((size_t)k->k + 1) * p->kernels->gemm_nr * sizeof(float);
    return PARE_OK;
}

/* Columns [0, n) of [k][ldb] to [k][nr]; scale NULL: as they are. */
static void pack(int64_t k, int64_t n, int64_t nr, const float *b, int64_t ldb, const float *scale,
                 float *to)
{
    for (int64_t i = 0; i < k; i++, b += ldb, to += nr) {
        for (int64_t j = 0; j < n; j++) to[j] = scale ? b[j] * scale[j] : b[j];
        for (int64_t j = n; j < nr; j++) to[j] = 0;
    }
}

static void panel_of(const pare_step *s, int64_t index, int thread)
{
    const packed *k = s->packed;
    int64_t nr = (int64_t)s->kernels->gemm_nr, j = index % k->panels * nr,
            matrix = index / k->panels, at[2] = { 0, 0 }, rest = matrix;
    for (int d = k->stack - 1; d >= 0; d--) {
        at[0] += rest % k->size[d] * k->step[0][d];
        at[1] += rest % k->size[d] * k->step[1][d];
        rest /= k->size[d];
    }
    float *shift = (float *)s->scratch + (size_t)thread * (s->scratch_bytes / sizeof *shift);
    const float *panel = shift + nr;
    int64_t n = k->n - j < nr ? k->n - j : nr;
    const float *b = (const float *)s->in[1].data + at[1] * k->k * k->n + j;
    const pare_epilogue *e = &s->epilogue;
    for (int64_t i = 0; i < nr; i++) shift[i] = e->scale && i < n ? e->shift[j + i] : 0;
    if (k->n == nr && !e->scale)
        panel = b; /* it is one already */
    else
        pack(k->k, n, nr, b, k->n, e->scale ? e->scale + j : NULL, shift + nr);
    size_t y = (size_t)(matrix * k->m * k->n + j);
    pare_gemm_tile t = {
        .nr = (size_t)nr,
        .m = (size_t)k->m,
        .n = (size_t)n,
        .k = (size_t)k->k,
        .a = (const float *)s->in[0].data + at[0] * k->m * k->k,
        .row = (size_t)k->k,
        .step = 1,
        .b = panel,
        .shift = shift,
        .c = (float *)s->out[0].data + y,
        .ldc = (size_t)k->n,
        .residual = e->residual ? (const float *)s->in[s->node->n_in].data + y : NULL,
        .act = e->act,
        .lo = e->lo,
        .hi = e->hi,
        .alpha = e->alpha,
    };
    s->kernels->gemm_tile(&t);
    for (size_t i = 0; e->gelu && i < t.m; i++)
        s->kernels->unary(PARE_UNARY_GELU, t.n, t.c + i * t.ldc, 0, 0, t.c + i * t.ldc);
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    int64_t first = (int64_t)index * k->each, all = k->matrices * k->panels;
    for (int64_t i = first; i < first + k->each && i < all; i++) panel_of(s, i, thread);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for((size_t)((k->matrices * k->panels + k->each - 1) / k->each),
                  k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_matmul_panels = {
    .name = "matmul_panels",
    .op = "MatMul",
    .fuses = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};
