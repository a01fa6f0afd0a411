/* Slice, Transpose, Gather of one index, and Pad with a constant, of any element type: one
 * rectangular region is copied, each dimension with a step of its own in the input and in the
 * output. */
#include "base/team.h"
#include "ops/attr.h"
#include "ops/attrs.h"
#include "runtime/impl.h"

#include <stdlib.h>

enum { ITEM_BYTES = 64 << 10, SERIAL_BYTES = 192 << 10, TILE = 16 };

typedef struct packed {
    size_t element; /* bytes */
    int rank;       /* dimensions around the innermost one */
    int64_t size[PARE_MAX_RANK], in[PARE_MAX_RANK],
        out[PARE_MAX_RANK]; /* [rank]: the innermost; steps in elements */
    int64_t in_at, out_at, rows, rows_each;
    int turned;          /* the dimension that is innermost in the input; -1: it is nowhere, or the
                            same. Then it is not among `rows`, but cut into parts */
    int64_t part, parts; /* of it: rows of the output in an item */
    bool fills;          /* Pad: the output is filled with `value` first */
    unsigned char value[8];
} packed;

static void strides(const pare_type *t, int64_t *s)
{
    int64_t at = 1;
    for (int d = t->rank - 1; d >= 0; d--) {
        s[d] = at;
        at *= t->dim[d];
    }
}

/* A constant list of integers; false if it is only known when running. Absent: *n = 0. */
static bool ints(const pare_prepare *p, uint32_t slot, int64_t *v, int *n)
{
    *n = 0;
    if (slot >= p->node->n_in || p->in[slot].dtype == PARE_UNDEFINED) return true;
    const pare_weight *w = p->weight[slot];
    if (!w || w->codec || pare_tensor_count(&w->part[0]) > 2 * PARE_MAX_RANK) return false;
    *n = (int)pare_tensor_count(&w->part[0]);
    for (int i = 0; i < *n; i++) v[i] = pare_tensor_get_i64(&w->part[0], i);
    return true;
}

static bool slice(const pare_prepare *p, packed *k)
{
    const pare_type *x = &p->in[0];
    int64_t start[2 * PARE_MAX_RANK], axis[2 * PARE_MAX_RANK], step[2 * PARE_MAX_RANK];
    int n, n_axes, n_steps;
    if (!ints(p, 1, start, &n) || !ints(p, 3, axis, &n_axes) || !ints(p, 4, step, &n_steps))
        return false;
    for (int i = 0; i < n; i++) {
        int64_t d = n_axes ? axis[i] : i, by = n_steps ? step[i] : 1, from = start[i];
        if (d < 0) d += x->rank;
        if (from < 0) from += x->dim[d];
        int64_t most = by > 0 ? x->dim[d] : x->dim[d] - 1;
        from = from < 0 ? 0 : from > most ? most : from;
        k->in_at += from * k->in[d];
        k->in[d] *= by;
    }
    return true;
}

static bool transpose(const pare_prepare *p, packed *k)
{
    const pare_transpose_attrs *a = p->node->attrs;
    int64_t own[PARE_MAX_RANK];
    memcpy(own, k->in, sizeof own);
    int rank = p->in[0].rank;
    for (int d = 0; d < rank; d++) k->in[d] = own[a->perm.v ? a->perm.v[d] : rank - 1 - d];
    return true;
}

/* One element of an axis, which remains as a dimension of 1 or not at all. */
static bool gather(const pare_prepare *p, packed *k)
{
    const pare_type *x = &p->in[0];
    int64_t index, axis = pare_attr_int(p->node, "axis", 0);
    int n;
    if (p->in[1].dtype == PARE_UNDEFINED || pare_numel(p->in[1].rank, p->in[1].dim) != 1 ||
        !ints(p, 1, &index, &n))
        return false;
    if (axis < 0) axis += x->rank;
    if (index < 0) index += x->dim[axis];
    if (index < 0 || index >= x->dim[axis]) return false;
    int64_t own[PARE_MAX_RANK];
    memcpy(own, k->in, sizeof own);
    k->in_at = index * own[axis];
    /* The index's own dimensions, all 1, stand where the axis was. */
    for (int d = 0; d < p->out[0].rank; d++)
        k->in[d] = d < axis ? own[d] : d < axis + p->in[1].rank ? 0 : own[d - p->in[1].rank + 1];
    return true;
}

static bool pad(const pare_prepare *p, packed *k)
{
    const pare_pad_attrs *a = p->node->attrs;
    const pare_type *x = &p->in[0];
    int64_t amount[2 * PARE_MAX_RANK];
    int n;
    if (a->mode != PARE_PADDING_CONSTANT || !ints(p, 1, amount, &n) || n != 2 * x->rank)
        return false;
    if (p->node->n_in > 3 && p->in[3].dtype != PARE_UNDEFINED) return false;
    if (p->node->n_in > 2 && p->in[2].dtype != PARE_UNDEFINED) {
        const pare_weight *w = p->weight[2];
        if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1 || w->part[0].dtype != x->dtype)
            return false;
        memcpy(k->value, w->part[0].data, k->element);
    }
    for (int d = 0; d < x->rank; d++) {
        int64_t before = amount[d], behind = amount[d + x->rank];
        k->size[d] = x->dim[d] + (before < 0 ? before : 0) + (behind < 0 ? behind : 0);
        if (k->size[d] < 1) return false;
        if (before < 0)
            k->in_at -= before * k->in[d];
        else
            k->out_at += before * k->out[d];
        k->fills |= before > 0 || behind > 0;
    }
    return true;
}

/* Drops dimensions of 1 and joins those that run on in both tensors. */
static void collapse(packed *k, int rank)
{
    int n = 0;
    for (int d = 0; d < rank; d++) {
        if (k->size[d] == 1) continue;
        if (n > 0 && k->in[n - 1] == k->in[d] * k->size[d] &&
            k->out[n - 1] == k->out[d] * k->size[d]) {
            k->size[n - 1] *= k->size[d];
            k->in[n - 1] = k->in[d];
            k->out[n - 1] = k->out[d];
            continue;
        }
        k->size[n] = k->size[d], k->in[n] = k->in[d], k->out[n] = k->out[d];
        n++;
    }
    if (n == 0) {
        k->size[0] = k->in[0] = k->out[0] = 1;
        n = 1;
    }
    k->rank = n - 1;
}

static bool plan(const pare_prepare *p, packed *k)
{
    *k = (packed){ .element = pare_dtype_size(p->in[0].dtype) };
    if (k->element == 0) return false;
    strides(&p->in[0], k->in);
    strides(&p->out[0], k->out);
    memcpy(k->size, p->out[0].dim, sizeof k->size);
    char op = p->node->op->name[0];
    if (!(op == 'S'   ? slice(p, k)
          : op == 'T' ? transpose(p, k)
          : op == 'G' ? gather(p, k)
                      : pad(p, k)))
        return false;
    collapse(k, p->out[0].rank);
    int last = k->rank;
    k->turned = -1;
    for (int d = 0; d < last && k->element == sizeof(float); d++)
        if (k->in[d] == 1 && k->in[last] > 1 && k->out[last] == 1) k->turned = d;
    k->rows = 1;
    for (int d = 0; d < last; d++)
        if (d != k->turned) k->rows *= k->size[d];
    int64_t each = ITEM_BYTES / (k->size[last] * (int64_t)k->element);
    k->rows_each = each < 1 ? 1 : each;
    if (k->turned >= 0) {
        k->part = (k->rows_each + TILE - 1) / TILE * TILE; /* whole vectors */
        k->parts = (k->size[k->turned] + k->part - 1) / k->part;
        k->rows_each = 1;
    }
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
    double n = (double)pare_numel(p->out->rank, p->out->dim);
    return 300 + (k.turned >= 0 || (k.in[k.rank] == 1 && k.out[k.rank] == 1) ? 0.15 : 0.5) * n;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = malloc(sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    plan(p, k);
    *out = k;
    *bytes = sizeof *k;
    *scratch_bytes = 0;
    return PARE_OK;
}

static void copy_row(const packed *k, const char *from, char *to)
{
    int64_t n = k->size[k->rank], in = k->in[k->rank], out = k->out[k->rank];
    if (in == 1 && out == 1) {
        memcpy(to, from, (size_t)n * k->element);
        return;
    }
#define CASE(T)                                                 \
    case sizeof(T): {                                           \
        const T *x = (const T *)from;                           \
        T *y = (T *)to;                                         \
        for (int64_t i = 0; i < n; i++) y[i * out] = x[i * in]; \
        break;                                                  \
    }
    switch (k->element) {
        CASE(uint8_t)
        CASE(uint16_t)
        CASE(uint32_t)
        CASE(uint64_t)
    default: break;
    }
#undef CASE
}

/* A row: where it begins in the input and in the output, and its index in every dimension. */
typedef struct place {
    int64_t in, out, at[PARE_MAX_RANK];
} place;

static place begin(const packed *k, int64_t r)
{
    place p = { .in = k->in_at, .out = k->out_at };
    for (int d = k->rank - 1; d >= 0; d--) {
        if (d == k->turned) continue;
        p.at[d] = r % k->size[d];
        p.in += p.at[d] * k->in[d];
        p.out += p.at[d] * k->out[d];
        r /= k->size[d];
    }
    return p;
}

static void next(const packed *k, place *p)
{
    for (int d = k->rank - 1; d >= 0; d--) {
        p->in += k->in[d], p->out += k->out[d];
        if (++p->at[d] < k->size[d]) return;
        p->in -= k->size[d] * k->in[d], p->out -= k->size[d] * k->out[d];
        p->at[d] = 0;
    }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const char *x = s->in[0].data;
    char *y = s->out[0].data;
    int64_t first = (int64_t)index * k->rows_each,
            end = first + k->rows_each < k->rows ? first + k->rows_each : k->rows;
    place p = begin(k, first);
    for (int64_t r = first; r < end; r++, next(k, &p))
        copy_row(k, x + p.in * (int64_t)k->element, y + p.out * (int64_t)k->element);
}

static void turned_item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    int64_t first = (int64_t)index % k->parts * k->part, left = k->size[k->turned] - first;
    place p = begin(k, (int64_t)index / k->parts);
    s->kernels->transpose((size_t)k->size[k->rank], (size_t)(left < k->part ? left : k->part),
                          (const float *)s->in[0].data + p.in + first, (size_t)k->in[k->rank],
                          (float *)s->out[0].data + p.out + first * k->out[k->turned],
                          (size_t)k->out[k->turned]);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    size_t bytes = pare_tensor_bytes(&s->out[0]);
    if (k->fills) {
        char *y = s->out[0].data;
        for (size_t i = 0; i < bytes && i < k->element; i++) y[i] = (char)k->value[i];
        for (size_t done = k->element; done < bytes; done *= 2)
            memcpy(y + done, y, done < bytes - done ? done : bytes - done);
    }
    int team = bytes < SERIAL_BYTES ? 1 : threads;
    if (k->turned >= 0)
        pare_team_for((size_t)(k->rows * k->parts), team, turned_item, (void *)s);
    else
        pare_team_for((size_t)((k->rows + k->rows_each - 1) / k->rows_each), team, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_strided_copy = {
    .name = "strided_copy",
    .op = "Slice|Transpose|Gather|Pad",
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};
