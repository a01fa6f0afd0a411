#include "runtime/impls/conv_tiles.h"

#include "ops/conv_attrs.h"

#include <stdlib.h>
#include <string.h>

enum { WIDE = 4 }; /* rows of so many tiles are not run together: fewer shapes, nothing wasted */

/* What is being built; `t` NULL: cost only. */
typedef struct builder {
    const pare_tiles_of *g;
    pare_tiles_cost cost;
    pare_tiles *t;
    size_t room, n_shapes, shape_room, n_numbers, number_room;
    struct draft {
        uint32_t pixels, taps, hash;
        bool inside;
        size_t at; /* into numbers: taps, in, out */
    } * draft;
    size_t *shape_of; /* per tile */
    bool failed;
} builder;

/* Kernel rows (d = 0) or columns (1) that output row or column i reads. */
static void reach(const pare_tiles_of *g, int d, int64_t i, int64_t *lo, int64_t *hi)
{
    pare_window_range(g->in[d], i * g->stride[d] - g->pad[d], g->dilation[d], g->kernel[d], lo, hi);
}

/* The list with room for `need` things, moved if need be; as it was, and b->failed, without memory.
 */
static void *grow(builder *b, void *list, size_t size, size_t need, size_t *room)
{
    if (need <= *room) return list;
    size_t want = need > 2 * *room ? need : 2 * *room, bytes;
    void *more = pare_mul_size(want, size, &bytes) ? realloc(list, bytes) : NULL;
    if (!more) {
        b->failed = true;
        return list;
    }
    *room = want;
    return more;
}

/* Adds one tile: `n` pixels from number `first` of a rectangle of rows y.. and columns x.., `width`
 * wide, that read kernel rows and columns [lo, hi). */
static void tile(builder *b, int64_t y, int64_t x, int64_t width, int64_t first, int64_t n,
                 const int64_t *lo, const int64_t *hi)
{
    const pare_tiles_of *g = b->g;
    pare_tiles *t = b->t;
    size_t taps = (size_t)((hi[0] - lo[0]) * (hi[1] - lo[1])), np = (size_t)n,
           need = taps + taps * np + np, tile_room = b->room;
    t->numbers = grow(b, t->numbers, sizeof *t->numbers, b->n_numbers + need, &b->number_room);
    t->tile = grow(b, t->tile, sizeof *t->tile, t->n + 1, &tile_room);
    b->shape_of = grow(b, b->shape_of, sizeof *b->shape_of, t->n + 1, &b->room);
    b->draft = grow(b, b->draft, sizeof *b->draft, b->n_shapes + 1, &b->shape_room);
    if (b->failed) return;
    int32_t *tap = t->numbers + b->n_numbers, *in = tap + taps, *out = in + taps * np;
    int64_t in0 = 0, out0 = 0;
    bool inside = true;
    for (int64_t p = 0; p < n; p++) {
        int64_t oy = y + (first + p) / width, ox = x + (first + p) % width;
        int64_t iy = oy * g->stride[0] - g->pad[0], ix = ox * g->stride[1] - g->pad[1];
        int64_t at = iy * g->in_step[0] + ix * g->in_step[1],
                to = oy * g->out_step[0] + ox * g->out_step[1];
        if (p == 0) in0 = at, out0 = to;
        out[p] = (int32_t)(to - out0);
        size_t k = 0;
        for (int64_t ky = lo[0]; ky < hi[0]; ky++)
            for (int64_t kx = lo[1]; kx < hi[1]; kx++, k++) {
                int64_t dy = ky * g->dilation[0], dx = kx * g->dilation[1];
                bool real =
                    iy + dy >= 0 && iy + dy < g->in[0] && ix + dx >= 0 && ix + dx < g->in[1];
                inside &= real;
                tap[k] = (int32_t)(ky * g->kernel[1] + kx);
                in[k * np + (size_t)p] =
                    real ? (int32_t)(at - in0 + dy * g->in_step[0] + dx * g->in_step[1])
                         : PARE_BLOCKED_ZERO;
            }
    }
    uint32_t hash = 0;
    for (size_t i = 0; i < need; i++) hash = hash * 0x9e3779b1u + (uint32_t)tap[i];
    size_t s = 0;
    for (; s < b->n_shapes; s++) {
        const struct draft *d = &b->draft[s];
        if (d->hash == hash && d->pixels == np && d->taps == taps &&
            memcmp(t->numbers + d->at, tap, need * sizeof *tap) == 0)
            break;
    }
    if (s == b->n_shapes) {
        b->draft[b->n_shapes++] =
            (struct draft){ (uint32_t)np, (uint32_t)taps, hash, inside, b->n_numbers };
        b->n_numbers += need;
    }
    t->tile[t->n] = (pare_blocked_tile){ .in = (int32_t)in0, .out = (int32_t)out0 };
    b->shape_of[t->n++] = s;
}

/* Pixels of a rectangle, running on from row to row, in tiles of nearly the same size. */
static void run_on(builder *b, int64_t y0, int64_t y1, int64_t x0, int64_t x1)
{
    const pare_tiles_of *g = b->g;
    int64_t width = x1 - x0, all = (y1 - y0) * width, tiles = (all + g->most - 1) / g->most;
    /* Taps that all pixels read, where the first and the last row and column read the same: both
     * ends of what is read go the same way from pixel to pixel. */
    int64_t same_lo[2], same_hi[2], l, h;
    bool same = true;
    for (int d = 0; d < 2; d++) {
        reach(g, d, d ? x0 : y0, &same_lo[d], &same_hi[d]);
        reach(g, d, d ? x1 - 1 : y1 - 1, &l, &h);
        same = same && l == same_lo[d] && h == same_hi[d] && l < h;
    }
    for (int64_t i = 0; i < tiles; i++) {
        int64_t from = all * i / tiles, to = all * (i + 1) / tiles;
        /* What one of the pixels reads at least; a range of no taps counts for nothing. */
        int64_t lo[2] = { INT64_MAX, INT64_MAX }, hi[2] = { 0, 0 };
        for (int d = 0; same && d < 2; d++) lo[d] = same_lo[d], hi[d] = same_hi[d];
        for (int64_t p = from; !same && p < to; p++)
            for (int d = 0; d < 2; d++) {
                reach(g, d, d ? x0 + p % width : y0 + p / width, &l, &h);
                if (l == h) continue;
                if (l < lo[d]) lo[d] = l;
                if (h > hi[d]) hi[d] = h;
            }
        if (hi[0] == 0 || hi[1] == 0) lo[0] = hi[0] = lo[1] = hi[1] = 0;
        double n = (double)(to - from), taps = (double)((hi[0] - lo[0]) * (hi[1] - lo[1]));
        b->cost.cycles += taps * ((n < 4 ? 4 : n) + 0.4); /* 4: a sum waits for the one before */
        b->cost.tiles++;
        if (b->t && !b->failed) tile(b, y0, x0, width, from, to - from, lo, hi);
    }
}

static void rectangle(builder *b, int64_t y0, int64_t y1, int64_t x0, int64_t x1)
{
    if (x1 - x0 < WIDE * b->g->most) {
        run_on(b, y0, y1, x0, x1);
        return;
    }
    for (int64_t y = y0; y < y1; y++) run_on(b, y, y + 1, x0, x1);
}

/* The end of the rows (d = 0) or columns from `from` on that read the same taps. */
static int64_t alike(const pare_tiles_of *g, int d, int64_t from, int64_t end)
{
    int64_t lo, hi, l, h, to = from + 1;
    reach(g, d, from, &lo, &hi);
    for (; to < end; to++) {
        reach(g, d, to, &l, &h);
        if (l != lo || h != hi) break;
    }
    return to;
}

static void columns(builder *b, int64_t y0, int64_t y1)
{
    for (int64_t x = 0, next; x < b->g->out[1]; x = next)
        rectangle(b, y0, y1, x, next = alike(b->g, 1, x, b->g->out[1]));
}

static double cost_of(const pare_tiles_cost *c) { return c->cycles + 0.5 * c->tiles; }

/* Rows that read the same kernel rows: whole, or by columns. */
static void rows(builder *b, int64_t y0, int64_t y1)
{
    builder whole = { .g = b->g }, apart = { .g = b->g };
    rectangle(&whole, y0, y1, 0, b->g->out[1]);
    columns(&apart, y0, y1);
    if (cost_of(&apart.cost) < cost_of(&whole.cost))
        columns(b, y0, y1);
    else
        rectangle(b, y0, y1, 0, b->g->out[1]);
}

static void rows_apart(builder *b, int64_t y0, int64_t y1)
{
    for (int64_t y = y0, next; y < y1; y = next) rows(b, y, next = alike(b->g, 0, y, y1));
}

static void band(builder *b, int64_t y0, int64_t y1)
{
    builder whole = { .g = b->g }, apart = { .g = b->g };
    rectangle(&whole, y0, y1, 0, b->g->out[1]);
    rows_apart(&apart, y0, y1);
    if (cost_of(&apart.cost) < cost_of(&whole.cost))
        rows_apart(b, y0, y1);
    else
        rectangle(b, y0, y1, 0, b->g->out[1]);
}

void pare_tiles_cost_of(const pare_tiles_of *g, int64_t from, int64_t to, pare_tiles_cost *cost)
{
    builder b = { .g = g, .cost = *cost };
    band(&b, from, to);
    *cost = b.cost;
}

pare_status pare_tiles_make(const pare_tiles_of *g, int64_t rows_each, pare_tiles *t, size_t *at)
{
    *t = (pare_tiles){ 0 };
    builder b = { .g = g, .t = t };
    at[0] = 0;
    for (int64_t y = 0, i = 0; y < g->out[0]; y += rows_each) {
        band(&b, y, y + rows_each < g->out[0] ? y + rows_each : g->out[0]);
        at[++i] = t->n;
    }
    size_t bytes = 0;
    if (!b.failed && pare_mul_size(b.n_shapes, sizeof *t->shape, &bytes))
        t->shape = malloc(bytes + 1);
    if (!t->shape) {
        pare_tiles_free(t);
    } else {
        for (size_t s = 0; s < b.n_shapes; s++) {
            const struct draft *d = &b.draft[s];
            const int32_t *tap = t->numbers + d->at, *in = tap + d->taps;
            t->shape[s] = (pare_blocked_shape){ .pixels = d->pixels,
                                                .taps = d->taps,
                                                .inside = d->inside,
                                                .tap = tap,
                                                .in = in,
                                                .out = in + (size_t)d->taps * d->pixels };
        }
        for (size_t i = 0; i < t->n; i++) t->tile[i].shape = &t->shape[b.shape_of[i]];
    }
    free(b.draft);
    free(b.shape_of);
    return t->shape ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for the tiles of a convolution");
}

void pare_tiles_free(pare_tiles *t)
{
    free(t->tile);
    free(t->shape);
    free(t->numbers);
    *t = (pare_tiles){ 0 };
}
