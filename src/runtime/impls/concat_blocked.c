/* Concat and Slice along the channels of channel-blocked activations, float32. Where a part begins
 * at a multiple of the block its blocks are copied whole, elsewhere each goes in two pieces. */
#include "base/team.h"
#include "ops/attr.h"
#include "runtime/impl.h"
#include "runtime/impls/window_common.h"

#include <stdlib.h>

enum { ITEM_BYTES = 64 << 10, SERIAL_BYTES = 192 << 10 };

/* One block of channels that a piece is copied from. */
typedef struct piece {
    uint32_t operand;
    int64_t from, to; /* channels in the operand and in the output */
    int64_t lanes;
} piece;

typedef struct packed {
    int64_t pixels, each, items; /* pieces in an item */
    int64_t n;                   /* pieces of an image */
    piece piece[];
} packed;

static bool is_concat(const pare_node *n) { return n->op->name[0] == 'C'; }

static bool number(const pare_prepare *p, uint32_t slot, int64_t *out)
{
    if (slot >= p->node->n_in || p->in[slot].dtype == PARE_UNDEFINED) return false;
    const pare_weight *w = p->weight[slot];
    if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1) return false;
    *out = pare_tensor_get_i64(&w->part[0], 0);
    return true;
}

/* Slice: the first channel that is kept. */
static bool slice_of(const pare_prepare *p, int64_t *first)
{
    int64_t axis = 0, step = 1, channels = p->in[0].dim[1];
    if (!number(p, 1, first) || !number(p, 3, &axis) || (axis != 1 && axis != -3)) return false;
    bool stepped = p->node->n_in > 4 && p->in[4].dtype != PARE_UNDEFINED;
    if (stepped && (!number(p, 4, &step) || step != 1)) return false;
    if (*first < 0) *first += channels;
    if (*first < 0) *first = 0;
    return *first + p->out[0].dim[1] <= channels;
}

static bool accepts(const pare_prepare *p)
{
    int64_t first;
    if (p->in[0].dtype != PARE_F32 || p->in[0].rank != 4) return false;
    if (!is_concat(p->node)) return slice_of(p, &first);
    int64_t axis = pare_attr_int(p->node, "axis", 0);
    for (uint32_t i = 0; i < p->node->n_in; i++)
        if (p->weight[i]) return false; /* constants lie plain */
    return axis == 1 || axis == -3;
}

static double model_ns(const pare_prepare *p)
{
    int64_t block = (int64_t)p->kernels->vl, at = 0;
    double bytes = 4 * (double)pare_numel(4, p->out->dim), ns = 0;
    for (uint32_t i = 0; is_concat(p->node) && i < p->node->n_in; i++) {
        double share = (double)p->in[i].dim[1] / (double)p->out->dim[1];
        ns += share * bytes * (at % block ? 0.07 : 0.04);
        at += p->in[i].dim[1];
    }
    if (!is_concat(p->node)) ns = 0.07 * bytes;
    return 250 + ns / (bytes < SERIAL_BYTES ? 1 : p->threads);
}

/* Adds the pieces of channels [from, from + count) of an operand; with k NULL only counts. */
static int64_t cut(packed *k, int64_t n, uint32_t operand, int64_t from, int64_t count, int64_t to,
                   int64_t vl)
{
    for (int64_t end = from + count; from < end; n++) {
        int64_t lanes = vl - from % vl < vl - to % vl ? vl - from % vl : vl - to % vl;
        if (lanes > end - from) lanes = end - from;
        if (k) k->piece[n] = (piece){ operand, from, to, lanes };
        from += lanes;
        to += lanes;
    }
    return n;
}

static int64_t pieces(const pare_prepare *p, packed *k)
{
    int64_t n = 0, at = 0, first = 0, vl = (int64_t)p->kernels->vl;
    if (!is_concat(p->node)) {
        slice_of(p, &first);
        return cut(k, 0, 0, first, p->out->dim[1], 0, vl);
    }
    for (uint32_t i = 0; i < p->node->n_in; i++) {
        n = cut(k, n, i, 0, p->in[i].dim[1], at, vl);
        at += p->in[i].dim[1];
    }
    return n;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    int64_t n = pieces(p, NULL);
    packed *k = malloc(sizeof *k + (size_t)n * sizeof *k->piece);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for the pieces of %lld blocks", (long long)n);
    *k = (packed){ .pixels = p->out->dim[2] * p->out->dim[3], .n = n };
    pieces(p, k);
    k->each = ITEM_BYTES / (k->pixels * (int64_t)p->kernels->vl * 4) + 1;
    k->items = (p->out->dim[0] * n + k->each - 1) / k->each;
    *out = k;
    *bytes = sizeof *k + (size_t)n * sizeof *k->piece;
    *scratch_bytes = 0;
    return PARE_OK;
}

/* Where channel c of image i lies, without its lane. */
static size_t block_at(const pare_tensor *t, int64_t image, int64_t c, int64_t pixels, int64_t vl)
{
    return (size_t)((image * pare_blocks(t->dim[1], (size_t)vl) + c / vl) * pixels * vl);
}

static void item(void *user, size_t index, int thread)
{
    (void)thread;
    const pare_step *s = user;
    const packed *k = s->packed;
    int64_t vl = (int64_t)s->kernels->vl, all = s->out[0].dim[0] * k->n,
            first = (int64_t)index * k->each;
    for (int64_t i = first; i < first + k->each && i < all; i++) {
        const piece *c = &k->piece[i % k->n];
        const pare_tensor *from = &s->in[c->operand];
        const float *x =
            (const float *)from->data + block_at(from, i / k->n, c->from, k->pixels, vl);
        float *y = (float *)s->out[0].data + block_at(&s->out[0], i / k->n, c->to, k->pixels, vl);
        s->kernels->lanes_blocked((size_t)k->pixels, (size_t)c->lanes, x, (size_t)(c->from % vl), y,
                                  (size_t)(c->to % vl));
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    bool small = pare_tensor_bytes(&s->out[0]) < SERIAL_BYTES;
    pare_team_for((size_t)k->items, small ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_concat_blocked = {
    .name = "concat_blocked",
    .op = "Concat|Slice",
    .packs = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};
