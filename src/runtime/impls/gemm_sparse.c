/* Gemm and MatMul, float32, whose constant right operand is a bit mask and the kept numbers.
 *
 * Columns of the operand (outputs) are rows of the sparse matrix here, in groups of 8 with about
 * the same number of terms, whose terms lie interleaved. One row of A is multiplied by scalars;
 * several are transposed, so that a vector holds one column of them, and share every term. */
#include "base/team.h"
#include "codecs/bitmap.h"
#include "codecs/mask.h"
#include "ops/attr.h"
#include "runtime/impl.h"
#include "runtime/impls/scratch.h"

#include <stdlib.h>

enum { MEMBERS = PARE_SPARSE_SUMS, ITEM_TERMS = 48 << 10, SERIAL_TERMS = 32 << 10 };

typedef struct shape {
    size_t m, n, k;
    bool by_output; /* the mask's rows are outputs, not inputs */
    double alpha, beta;
} shape;

typedef struct packed {
    shape s;
    size_t tile; /* rows of A at a time */
    size_t groups, items;
    size_t *first, *term; /* of each item: its first group (and the end), whose first term */
    uint32_t *step, *row;
    float *value, *shift;
    uint16_t *off;
    bool serial;
} packed;

static bool is_gemm(const pare_prepare *p) { return p->node->op->name[0] == 'G'; }

static void shape_of(const pare_prepare *p, shape *s)
{
    const pare_type *a = &p->in[0], *b = &p->in[1];
    *s = (shape){ .m = 1, .alpha = 1, .beta = 1 };
    if (is_gemm(p)) {
        s->by_output = pare_attr_int(p->node, "transB", 0) != 0;
        s->alpha = pare_attr_real(p->node, "alpha", 1);
        s->beta = pare_attr_real(p->node, "beta", 1);
    }
    s->k = (size_t)b->dim[s->by_output], s->n = (size_t)b->dim[!s->by_output];
    for (int d = 0; d < a->rank - 1; d++) s->m *= (size_t)a->dim[d];
}

static size_t tile_of(const pare_prepare *p, const shape *s)
{
    return s->m > 1 ? p->kernels->vl : 1;
}

/* The unit of an offset: 8 bytes where rows are vectors, numbers otherwise. */
static size_t reach(size_t tile) { return tile > 1 ? tile / 2 : 1; }

static bool accepts(const pare_prepare *p)
{
    const pare_weight *c = p->weight[2];
    if (p->in[0].dtype != PARE_F32 || !p->weight[1] || p->in[1].rank != 2 || p->in[0].rank < 2)
        return false;
    if (p->epilogue.gelu) return false;
    shape s;
    shape_of(p, &s);
    if ((s.k + 1) * reach(tile_of(p, &s)) > UINT16_MAX) return false;
    if (!is_gemm(p)) return true;
    if (pare_attr_int(p->node, "transA", 0)) return false;
    if (p->in[2].dtype == PARE_UNDEFINED) return true;
    const pare_type *t = &p->in[2];
    return c && !c->codec && (t->rank < 2 || t->dim[0] == 1); /* one row, or one number */
}

static double terms_of(const pare_prepare *p)
{
    return (double)p->weight[1]->part[PARE_BITMAP_VALUES].dim[0];
}

static double macs(const pare_prepare *p)
{
    shape s;
    shape_of(p, &s);
    return (double)s.m * terms_of(p);
}

static double model_ns(const pare_prepare *p)
{
    shape s;
    shape_of(p, &s);
    double terms = terms_of(p), n = (double)s.n, k = (double)s.k, m = (double)s.m;
    if (s.m == 1) return 400 + k * 0.05 + n * 0.5 + terms * 0.24 / p->threads;
    double tile = (double)tile_of(p, &s),
           tiles = (double)((s.m + tile_of(p, &s) - 1) / tile_of(p, &s));
    return 500 + (tiles * (terms * 0.31 + k * tile * 0.8) + m * n * 1.3) / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->first);
    free(k->term);
    free(k->step);
    free(k->row);
    free(k->value);
    free(k->shift);
    free(k->off);
    free(k);
}

/* The next element that is kept, in storage order: its input and its output. */
typedef struct walk {
    const uint8_t *mask;
    size_t at, minor;
    bool by_output;
} walk;

static bool next(walk *w, size_t count, size_t *input, size_t *output)
{
    while (w->at < count && !pare_mask_get(w->mask, (int64_t)w->at)) w->at++;
    if (w->at == count) return false;
    size_t major = w->at / w->minor, minor = w->at % w->minor;
    *input = w->by_output ? minor : major;
    *output = w->by_output ? major : minor;
    w->at++;
    return true;
}

/* Outputs by falling number of terms, those with equally many in order. */
static void sort_rows(const size_t *terms, size_t n, size_t most, size_t *bin, uint32_t *order)
{
    memset(bin, 0, (most + 2) * sizeof *bin);
    for (size_t i = 0; i < n; i++) bin[most - terms[i] + 1]++;
    for (size_t b = 0; b <= most; b++) bin[b + 1] += bin[b];
    for (size_t i = 0; i < n; i++) order[bin[most - terms[i]]++] = (uint32_t)i;
}

/* Groups, and items of at least ITEM_TERMS; where each output's terms go: to[n]. Returns the terms.
 */
static size_t lay_out(packed *k, const size_t *terms, const uint32_t *order, size_t *to)
{
    size_t at = 0, item_at = 0;
    k->items = 0;
    for (size_t g = 0; g < k->groups; g++) {
        if (g == 0 || at - item_at >= ITEM_TERMS) {
            k->first[k->items] = g;
            k->term[k->items++] = item_at = at;
        }
        k->step[g] = (uint32_t)terms[order[g * MEMBERS]];
        for (size_t j = 0; j < MEMBERS; j++) {
            size_t i = g * MEMBERS + j;
            k->row[i] = i < k->s.n ? order[i] : (uint32_t)k->s.n;
            if (i < k->s.n) to[order[i]] = at + j;
        }
        at += k->step[g] * MEMBERS;
    }
    k->first[k->items] = k->groups;
    return at;
}

static bool build(const pare_prepare *p, packed *k)
{
    const shape *s = &k->s;
    const pare_weight *w = p->weight[1], *c = is_gemm(p) ? p->weight[2] : NULL;
    const float *values = w->part[PARE_BITMAP_VALUES].data, *bias = c ? c->part[0].data : NULL;
    const walk start = { w->part[PARE_BITMAP_MASK].data, 0, s->by_output ? s->k : s->n,
                         s->by_output };
    size_t step = c && pare_tensor_count(&c->part[0]) > 1, input, output, most = 0;
    k->groups = (s->n + MEMBERS - 1) / MEMBERS;
    k->first = calloc(k->groups + 1, sizeof *k->first);
    k->term = calloc(k->groups + 1, sizeof *k->term);
    k->step = calloc(k->groups + 1, sizeof *k->step);
    k->row = calloc(k->groups * MEMBERS + 1, sizeof *k->row);
    k->shift = calloc(s->n + 1, sizeof *k->shift);
    size_t *terms = calloc(s->n + 1, sizeof *terms), *to = calloc(s->n + 1, sizeof *to),
           *bin = calloc(s->k + 2, sizeof *bin);
    uint32_t *order = calloc(s->n + 1, sizeof *order);
    bool ok = k->first && k->term && k->step && k->row && k->shift && terms && to && bin && order;
    if (ok) {
        for (walk v = start; next(&v, s->k * s->n, &input, &output);)
            if (++terms[output] > most) most = terms[output];
        sort_rows(terms, s->n, most, bin, order);
        size_t all = lay_out(k, terms, order, to);
        /* What is not filled weighs number 0, which is a zero. */
        k->value = aligned_alloc(64, (all * sizeof *k->value + 127) / 64 * 64);
        k->off = aligned_alloc(64, (all * sizeof *k->off + 127) / 64 * 64);
        ok = k->value && k->off;
        if (ok) {
            memset(k->value, 0, all * sizeof *k->value);
            memset(k->off, 0, all * sizeof *k->off);
            size_t i = 0;
            for (walk v = start; next(&v, s->k * s->n, &input, &output); i++) {
                double scale = p->epilogue.scale ? (double)p->epilogue.scale[output] : 1;
                k->value[to[output]] = (float)((double)values[i] * s->alpha * scale);
                k->off[to[output]] = (uint16_t)((input + 1) * reach(k->tile));
                to[output] += MEMBERS;
            }
        }
    }
    for (size_t n = 0; ok && n < s->n; n++) {
        double shift = bias ? s->beta * (double)bias[n * step] : 0;
        if (p->epilogue.scale)
            shift = shift * (double)p->epilogue.scale[n] + (double)p->epilogue.shift[n];
        k->shift[n] = (float)shift;
    }
    free(terms);
    free(to);
    free(bin);
    free(order);
    return ok;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (k) {
        shape_of(p, &k->s);
        k->tile = tile_of(p, &k->s);
    }
    if (!k || !build(p, k)) {
        release(k);
        return pare_fail(PARE_ENOMEM, "no memory for a sparse product of %.0f terms", terms_of(p));
    }
    k->serial = terms_of(p) * (double)((k->s.m + k->tile - 1) / k->tile) < SERIAL_TERMS;
    *out = k;
    *bytes = (size_t)terms_of(p) * (sizeof *k->value + sizeof *k->off);
    *scratch_bytes = (16 + (k->s.k + 1 + (k->tile > 1 ? k->s.n : 0)) * k->tile) * sizeof(float);
    return PARE_OK;
}

/* Rows [m0, m0 + rows) of A as columns of z, behind a row of zeros. */
static void transpose(const packed *k, const float *a, size_t rows, float *z)
{
    memset(z, 0, k->tile * sizeof *z);
    for (size_t i = 0; i < k->s.k; i++) {
        z += k->tile;
        for (size_t r = 0; r < k->tile; r++) z[r] = r < rows ? a[r * k->s.k + i] : 0;
    }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_epilogue *e = &s->epilogue;
    pare_scratch scratch = pare_scratch_of(s, thread);
    float *z = scratch.data;
    size_t part = index % k->items, tile = index / k->items, m0 = tile * k->tile,
           rows = k->s.m - m0 < k->tile ? k->s.m - m0 : k->tile, first = k->first[part],
           groups = k->first[part + 1] - first;
    const float *a = (const float *)s->in[0].data + m0 * k->s.k,
                *residual = e->residual ? (const float *)s->in[s->node->n_in].data : NULL;
    float *y = (float *)s->out[0].data + m0 * k->s.n, *sums = z + (k->s.k + 1) * k->tile;
    if (*scratch.inside != (int64_t)tile) transpose(k, a, rows, z);
    *scratch.inside = (int64_t)tile;
    if (k->tile == 1) {
        s->kernels->sparse_dot(&(pare_sparse_dot){ .groups = groups,
                                                   .rows = k->s.n,
                                                   .step = k->step + first,
                                                   .row = k->row + first * MEMBERS,
                                                   .value = k->value + k->term[part],
                                                   .off = k->off + k->term[part],
                                                   .x = z,
                                                   .shift = k->shift,
                                                   .y = y });
    } else {
        s->kernels->sparse_combine(&(pare_sparse_combine){ .vl = k->tile,
                                                           .vectors = 1,
                                                           .groups = groups,
                                                           .step = k->step + first,
                                                           .row = k->row + first * MEMBERS,
                                                           .rows = k->s.n,
                                                           .value = k->value + k->term[part],
                                                           .off = k->off + k->term[part],
                                                           .z = z,
                                                           .first = 1,
                                                           .last = 1,
                                                           .shift = k->shift,
                                                           .y = sums,
                                                           .plane = k->tile,
                                                           .pixels = k->tile });
    }
    bool more = residual || e->act != PARE_ACT_NONE;
    if (k->tile == 1 && !more) return;
    for (size_t i = first * MEMBERS; i < (first + groups) * MEMBERS; i++) {
        size_t n = k->row[i];
        for (size_t r = 0; n < k->s.n && r < rows; r++) {
            float v = k->tile > 1 ? sums[n * k->tile + r] : y[n];
            if (residual) v += residual[(m0 + r) * k->s.n + n];
            y[r * k->s.n + n] = pare_act_apply(e->act, v, e->lo, e->hi, e->alpha);
        }
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_scratch_forget(s, threads);
    size_t tiles = (k->s.m + k->tile - 1) / k->tile;
    pare_team_for(tiles * k->items, k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_gemm_sparse = {
    .name = "gemm_sparse",
    .op = "Gemm|MatMul",
    .codec = "bitmap",
    .packs = true,
    .fuses = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
    .macs = macs,
};
