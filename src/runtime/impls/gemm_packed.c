/* Gemm and MatMul, float32, with a constant right operand, and Conv to a single pixel: packed into
 * panels once, then streamed past the rows. */
#include "base/pages.h"
#include "base/team.h"
#include "runtime/impls/gemm_shape.h"

#include <stdlib.h>

enum { ITEM_MACS = 1 << 19, SERIAL_MACS = 100 << 10, ROWS = 48 };

typedef struct packed {
    pare_gemm_shape s;
    int64_t panels, chunk, chunks, row_chunks; /* chunk: panels in an item */
    float *b, *shift;
    bool serial;
} packed;

static bool accepts(const pare_prepare *p)
{
    pare_gemm_shape s;
    return pare_gemm_shape_of(p, &s);
}

static double model_ns(const pare_prepare *p)
{
    pare_gemm_shape s;
    pare_gemm_shape_of(p, &s);
    double macs = (double)s.m * (double)s.n * (double)s.k, bytes = 4 * (double)s.n * (double)s.k;
    double compute = macs / (5.0 * (double)p->kernels->vl), memory = bytes / 25;
    return 300 + (compute > memory ? compute : memory) / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->b);
    free(k->shift);
    free(k);
}

enum { ROWS_AT_ONCE = 64 }; /* of a panel: both sides stay in the first-level cache */

/* Rows [i0, i0 + rows) of the panel of columns from j0 on; b points at the first number. */
static void pack_rows(const pare_prepare *p, packed *k, int64_t j0, int64_t i0, int64_t rows,
                      const float *b)
{
    const pare_gemm_shape *s = &k->s;
    int64_t nr = (int64_t)p->kernels->gemm_nr, n = s->n - j0 < nr ? s->n - j0 : nr;
    float *panel = k->b + (size_t)j0 * (size_t)s->k + (size_t)(i0 * nr);
    for (int64_t j = 0; j < n; j++) {
        float factor = pare_gemm_scale(p, s, j0 + j);
        for (int64_t i = 0; i < rows; i++)
            panel[i * nr + j] = b[i * s->b_row + j * s->b_step] * factor;
    }
    for (int64_t j = n; j < nr; j++)
        for (int64_t i = 0; i < rows; i++) panel[i * nr + j] = 0;
}

/* B as it is stored: some rows of [k][n], or the columns of a panel, rows of [n][k], at a time. */
static size_t part_floats(const pare_prepare *p, const pare_gemm_shape *s)
{
    return s->b_step == 1 ? (size_t)ROWS_AT_ONCE * (size_t)s->n
                          : p->kernels->gemm_nr * (size_t)s->k;
}

static pare_status pack(const pare_prepare *p, packed *k, void *room)
{
    const pare_gemm_shape *s = &k->s;
    int64_t nr = (int64_t)p->kernels->gemm_nr;
    for (int64_t j = 0; j < s->n; j++) k->shift[j] = pare_gemm_shift(p, s, j);
    size_t all = (size_t)s->n * (size_t)s->k, some = part_floats(p, s);
    for (size_t at = 0; at < all; at += some) {
        const void *b;
        size_t size = all - at < some ? all - at : some;
        PARE_TRY(pare_tensor_part(&p->weight[1]->part[0], at * sizeof *k->b, size * sizeof *k->b,
                                  room, &b));
        if (s->b_step == 1) {
            int64_t i0 = (int64_t)at / s->n;
            for (int64_t j = 0; j < s->n; j += nr)
                pack_rows(p, k, j, i0, (int64_t)size / s->n, (const float *)b + j);
        } else
            for (int64_t i = 0; i < s->k; i += ROWS_AT_ONCE)
                pack_rows(p, k, (int64_t)at / s->k, i,
                          s->k - i < ROWS_AT_ONCE ? s->k - i : ROWS_AT_ONCE, (const float *)b + i);
    }
    return PARE_OK;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed product");
    pare_gemm_shape_of(p, &k->s);
    size_t nr = p->kernels->gemm_nr, width = 0, all = 0, b_bytes = 0;
    k->panels = (k->s.n + (int64_t)nr - 1) / (int64_t)nr;
    if (pare_mul_size((size_t)k->panels, nr, &width) &&
        pare_mul_size(width, (size_t)k->s.k, &all) &&
        pare_mul_size(all + 1, sizeof *k->b, &b_bytes)) {
        k->b = pare_alloc_large(b_bytes);
        k->shift = calloc(width + 1, sizeof *k->shift);
    }
    void *room = malloc(part_floats(p, &k->s) * sizeof *k->b);
    pare_status st =
        k->b && k->shift && room
            ? pack(p, k, room)
            : pare_fail(PARE_ENOMEM, "no memory for packed weights of %zu numbers", all);
    free(room);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    k->row_chunks = (k->s.m + ROWS - 1) / ROWS;
    double rows = k->s.m < ROWS ? (double)k->s.m : ROWS, panel = rows * (double)nr * (double)k->s.k;
    k->chunk = (int64_t)(ITEM_MACS / (panel + 1));
    if (k->chunk < 1) k->chunk = 1;
    if (k->chunk > k->panels) k->chunk = k->panels;
    k->chunks = (k->panels + k->chunk - 1) / k->chunk;
    k->chunk = (k->panels + k->chunks - 1) / k->chunks; /* alike: threads wait for the last */
    k->chunks = (k->panels + k->chunk - 1) / k->chunk;
    k->serial = (double)k->s.m * (double)k->s.n * (double)k->s.k < SERIAL_MACS;
    *out = k;
    *bytes = (all + width) * sizeof(float);
    *scratch_bytes = 0;
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    int64_t nr = (int64_t)s->kernels->gemm_nr, rows = (int64_t)index % k->row_chunks * ROWS,
            at = (int64_t)index / k->row_chunks * k->chunk;
    int64_t m = k->s.m - rows < ROWS ? k->s.m - rows : ROWS,
            panels = k->panels - at < k->chunk ? k->panels - at : k->chunk;
    int64_t n = k->s.n - at * nr < panels * nr ? k->s.n - at * nr : panels * nr;
    size_t y = (size_t)rows * (size_t)k->s.n + (size_t)(at * nr);
    pare_gemm_tile t = {
        .nr = (size_t)nr,
        .m = (size_t)m,
        .n = (size_t)n,
        .k = (size_t)k->s.k,
        .a = (const float *)s->in[0].data + rows * k->s.a_row,
        .row = (size_t)k->s.a_row,
        .step = (size_t)k->s.a_step,
        .b = k->b + (size_t)(at * nr) * (size_t)k->s.k,
        .shift = k->shift + at * nr,
        .c = (float *)s->out[0].data + y,
        .ldc = (size_t)k->s.n,
        .residual = s->epilogue.residual ? (const float *)s->in[s->node->n_in].data + y : NULL,
        .act = s->epilogue.act,
        .lo = s->epilogue.lo,
        .hi = s->epilogue.hi,
        .alpha = s->epilogue.alpha,
    };
    s->kernels->gemm_tile(&t);
    for (size_t i = 0; s->epilogue.gelu && i < t.m; i++)
        s->kernels->unary(PARE_UNARY_GELU, t.n, t.c + i * t.ldc, 0, 0, t.c + i * t.ldc);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for((size_t)(k->chunks * k->row_chunks), k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_gemm_packed = {
    .name = "gemm_packed",
    .op = "Gemm|MatMul|Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
