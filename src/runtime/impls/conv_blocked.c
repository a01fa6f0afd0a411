/* Conv, float32, dense, over blocks of channels: a vector is a block of output channels of a pixel.
 *
 * conv_blocked reads blocks of input channels where they lie. conv_blocked_first is for the few
 * channels of a plain input: it lays out a band with the channels of a pixel side by side and zeros
 * around, so that a kernel row is one run of numbers, which the same kernel takes for channels.
 *
 * Work is cut into items (image, group, band of output rows, part of the pairs of output blocks).
 * An item goes through the weights of its pairs once, some input channels at a time, all pixels of
 * the band for each. 1x1 convolutions whose pixels lie side by side take kernels/pointwise.h, which
 * looks up no places. */
#include "base/pages.h"
#include "base/team.h"
#include "runtime/impls/conv_common.h"
#include "runtime/impls/conv_tiles.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/scratch.h"

#include <stdlib.h>

enum {
    BAND_BYTES = 320 << 10,  /* of input: stays in the second-level cache */
    PANEL_BYTES = 112 << 10, /* of weights, beside it */
    AHEAD_BYTES = 96 << 10,  /* weights of a layer, from which on they are fetched ahead */
    BAND_PIXELS = 160,       /* that weights are worth fetching for */
    ITEM_MACS = 3 << 20,     /* some 25 us: small enough to balance, large enough to start */
    LEAST_MACS = 256 << 10,  /* of an item of a small step */
    SERIAL_MACS = 300 << 10, /* below, starting threads costs more than it gains */
    FIRST_CHANNELS = 8,      /* conv_blocked_first: at most */
};

typedef struct shape {
    pare_tiles_of g;       /* conv_blocked: the whole map; first: a band of the scratch */
    int64_t in[2], pad[2]; /* of the tensor */
    int64_t images, groups, vl;
    int64_t channels, rows; /* input and output channels of a group */
    int64_t blocks, pairs;  /* of output channels of a group */
    int64_t taps, run;      /* as the kernel sees them: `run` numbers for each tap */
    int64_t band, bands;    /* output rows in a band */
    int64_t part, parts;    /* pairs in an item */
    int64_t chunk;          /* numbers of a run in one go */
    int64_t buffer[2];      /* first: rows and floats of a row */
    bool first, serial;
    bool pointwise; /* 1x1, stride 1, no padding */
} shape;

typedef struct packed {
    shape s;
    pare_tiles tiles, last; /* last: of the last band of conv_blocked_first; pointwise: none */
    size_t *band;           /* [bands + 1] first tile of each; conv_blocked */
    size_t group_weights;
    bool ahead;
    float *w, *bias;
} packed;

/* Cuts the work by size alone. */
static void cut(shape *s, const pare_window *w)
{
    double row = (double)(s->rows * s->channels * w->kernel[0] * w->kernel[1]) * (double)w->out[1],
           all = row * (double)w->out[0] * (double)(s->images * s->groups), each = all / 16;
    each = each < LEAST_MACS ? LEAST_MACS : each > ITEM_MACS ? ITEM_MACS : each;
    s->serial = all < SERIAL_MACS;
    /* Bands: their input stays in the cache, but enough pixels share the weights. Where pairs
     * cannot be dealt out, bands must be. */
    double row_bytes = 4.0 * (double)s->channels * (double)w->in[1] * (double)w->stride[0];
    int64_t fit = (int64_t)(BAND_BYTES / row_bytes), most = w->out[0];
    int64_t want = (int64_t)(each * (double)s->pairs / row + 0.5);
    int64_t few = pare_up(BAND_PIXELS, w->out[1]);
    s->band = pare_clamp(pare_least(fit, want), pare_least(few, most), most);
    s->bands = pare_up(w->out[0], s->band);
    s->band = pare_up(w->out[0], s->bands);
    s->bands = pare_up(w->out[0], s->band);
    double pair = row * (double)s->band / (double)s->pairs;
    s->part = pare_clamp((int64_t)(each / pair + 0.5), 1, s->pairs);
    s->parts = pare_up(s->pairs, s->part);
    s->part = pare_up(s->pairs, s->parts);
    s->parts = pare_up(s->pairs, s->part);
    int64_t chunks =
        pare_up(4 * PARE_BLOCKED_MOST * s->vl * s->taps * s->run, (int64_t)PANEL_BYTES);
    s->chunk = pare_up(pare_up(s->run, chunks), s->vl) * s->vl;
    if (s->first || s->chunk > s->run) s->chunk = s->run;
}

/* False: of another kind. */
static bool shape_of(const pare_prepare *p, bool first, shape *s)
{
    pare_window w;
    if (!pare_conv_is_plain(p) || p->in[0].rank != 4) return false;
    pare_conv_window(p->node, &p->in[0], &p->in[1], &w);
    const int64_t most = INT64_C(1) << 20, vl = (int64_t)p->kernels->vl;
    for (int d = 0; d < 2; d++)
        if (w.begin[d] < 0 || w.end[d] < 0 || w.in[d] >= most || w.out[d] >= most ||
            w.kernel[d] > 64 || w.stride[d] > 64 || w.dilation[d] > 64 || w.begin[d] >= most)
            return false;
    *s = (shape){ .images = p->in[0].dim[0],
                  .groups = p->in[0].dim[1] / p->in[1].dim[1],
                  .channels = p->in[1].dim[1],
                  .vl = vl,
                  .in = { w.in[0], w.in[1] },
                  .pad = { w.begin[0], w.begin[1] },
                  .taps = w.kernel[0] * w.kernel[1],
                  .run = p->in[1].dim[1],
                  .first = first };
    s->rows = p->in[1].dim[0] / s->groups;
    s->blocks = pare_up(s->rows, vl);
    s->pairs = pare_up(s->blocks, PARE_BLOCKED_MOST);
    if (s->groups > 1 && (first || s->channels % vl != 0 || s->rows % vl != 0)) return false;
    /* All offsets fit 32 bits, from pixels in the padding too, and all products 64. */
    int64_t padded[2];
    for (int d = 0; d < 2; d++) padded[d] = w.in[d] + w.begin[d] + w.end[d];
    if (s->channels >= most || s->rows >= most ||
        (padded[0] * w.in[1] + padded[1]) * vl >= INT32_MAX ||
        w.out[0] * w.out[1] * vl >= INT32_MAX / 2)
        return false;
    s->g = (pare_tiles_of){ .in = { w.in[0], w.in[1] },
                            .out = { w.out[0], w.out[1] },
                            .kernel = { w.kernel[0], w.kernel[1] },
                            .stride = { w.stride[0], w.stride[1] },
                            .dilation = { w.dilation[0], w.dilation[1] },
                            .pad = { w.begin[0], w.begin[1] },
                            .in_step = { w.in[1] * vl, vl },
                            .out_step = { w.out[1] * vl, vl },
                            .most = (int64_t)p->kernels->blocked_pixels };
    if (first && s->channels > FIRST_CHANNELS) return false;
    if (first && w.dilation[1] == 1) s->taps = w.kernel[0], s->run *= w.kernel[1];
    cut(s, &w);
    s->pointwise = !first && s->taps == 1;
    for (int d = 0; d < 2; d++)
        if (w.stride[d] != 1 || w.begin[d] != 0 || w.end[d] != 0) s->pointwise = false;
    if (!first) return true;
    /* The band in the scratch: as many rows and columns as its outputs reach. */
    pare_tiles_of *g = &s->g;
    for (int d = 0; d < 2; d++)
        s->buffer[d] = ((d ? g->out[1] : s->band) - 1) * g->stride[d] +
                       (g->kernel[d] - 1) * g->dilation[d] + 1;
    for (int d = 0; d < 2; d++) g->in[d] = s->buffer[d], g->pad[d] = 0;
    if (s->taps == g->kernel[0]) g->kernel[1] = 1;
    s->buffer[1] *= s->channels;
    g->out[0] = s->band;
    g->in_step[0] = s->buffer[1], g->in_step[1] = s->channels;
    return s->buffer[0] * s->buffer[1] < INT32_MAX / 8;
}

static bool accepts(const pare_prepare *p)
{
    shape s;
    return shape_of(p, false, &s);
}
/* A plain input means a plain residual, and the output is not. */
static bool accepts_first(const pare_prepare *p)
{
    shape s;
    return !p->epilogue.residual && shape_of(p, true, &s);
}

static double modelled(const pare_prepare *p, bool first)
{
    shape s;
    if (!shape_of(p, first, &s)) return 1e17;
    pare_tiles_cost c = { 0 };
    int64_t bands = first ? 1 : s.bands;
    for (int64_t b = 0; b < bands; b++)
        pare_tiles_cost_of(&s.g, b * s.band, pare_least((b + 1) * s.band, s.g.out[0]), &c);
    if (first) c.cycles *= (double)s.bands, c.tiles *= (double)s.bands;
    double pairs = (double)(s.blocks / 2) + 0.6 * (double)(s.blocks % 2);
    /* Short runs: looking up where pixels lie, for every block of a run, is seen. */
    double run = (double)s.run + (first ? 1.3 * (double)pare_up(s.run, s.vl) : 0),
           tile = (first || s.pointwise ? 20 : 50) * (double)pare_up(s.run, s.chunk),
           rest = first || s.run % s.vl == 0 ? 0 : 20 / (double)s.g.most; /* a loop of its own */
    double cycles = pairs * (c.cycles * (run + rest) + c.tiles * tile);
    if (first) cycles += 0.7 * (double)(s.buffer[0] * s.buffer[1] * s.bands);
    /* 4 cycles a ns; outputs go to the next cache at 33 GB/s, weights come at 22. */
    double outputs = 4.0 * (double)(s.blocks * s.vl * p->out[0].dim[2] * p->out[0].dim[3]),
           ns = (double)(s.images * s.groups) * (cycles * 0.25 + outputs * 0.03),
           weights = 4.0 * (double)(s.groups * s.rows * s.taps * s.run) * 0.045;
    return 500 + (ns > weights ? ns : weights) / (s.serial ? 1 : p->threads);
}
static double model_ns(const pare_prepare *p) { return modelled(p, false); }
static double model_ns_first(const pare_prepare *p) { return modelled(p, true); }

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    pare_tiles_free(&k->tiles);
    pare_tiles_free(&k->last);
    free(k->band);
    free(k->w);
    free(k->bias);
    free(k);
}

/* Packed weights: [group][pair][chunk][tap][number of the run][block of the pair][vl], scaled by
 * what the epilogue multiplies with. In a run of conv_blocked_first channels change fastest, kernel
 * columns slowest.
 *
 * One block of a pair: `w` [lanes][channel][kernel] -> to, whose vectors are `step` apart. */
static void pack_block(const pare_prepare *p, const shape *s, int64_t lanes, const float *w,
                       const float *scale, float *to, int64_t step)
{
    enum { AT_ONCE = 128 }; /* numbers of a lane: they stay in the first-level cache */
    float beside[AT_ONCE * PARE_VL_MOST];
    const int64_t filter = s->taps * s->run, wide = s->run / s->channels;
    int64_t channel = 0, tap = 0, column = 0, start = 0, size = 0; /* the last two of a chunk */
    for (int64_t i0 = 0; i0 < filter; i0 += AT_ONCE) {
        int64_t n = pare_least(AT_ONCE, filter - i0);
        p->kernels->to_blocked((size_t)lanes, (size_t)n, (size_t)filter, w + i0, beside);
        for (const float *from = beside; from < beside + n * s->vl; from += s->vl) {
            int64_t at = column * s->channels + channel;
            if (at < start || at >= start + size) {
                start = at / s->chunk * s->chunk;
                size = pare_least(s->chunk, s->run - start);
            }
            float *y = to + (start * s->taps + tap * size + at - start) * step;
            for (int64_t l = 0; l < s->vl; l++) y[l] = from[l] * scale[l];
            if (++column < wide) continue;
            column = 0;
            if (++tap == s->taps) tap = 0, channel++;
        }
    }
}

static pare_status pack(const pare_prepare *p, packed *k, void *room)
{
    const shape *s = &k->s;
    const int64_t filter = s->taps * s->run;
    float *to = k->w;
    for (int64_t block = 0; block < s->groups * s->blocks;) {
        int64_t group = block / s->blocks, first = block % s->blocks,
                nb = pare_least(PARE_BLOCKED_MOST, s->blocks - first), lanes = nb * s->vl,
                rows = pare_least(lanes, s->rows - first * s->vl),
                row = group * s->rows + first * s->vl;
        float scale[PARE_BLOCKED_MOST * PARE_VL_MOST] = { 0 };
        const void *from;
        PARE_TRY(pare_tensor_part(&p->weight[1]->part[0], (size_t)(row * filter) * sizeof *to,
                                  (size_t)(rows * filter) * sizeof *to, room, &from));
        for (int64_t r = 0; r < rows; r++)
            pare_conv_affine(p, row + r, &scale[r], &k->bias[block * s->vl + r]);
        for (int64_t r = 0; r < rows; r += s->vl)
            pack_block(p, s, pare_least(s->vl, rows - r), (const float *)from + r * filter,
                       scale + r, to + r, lanes);
        to += lanes * filter;
        block += nb;
    }
    return PARE_OK;
}

static pare_status make(const pare_prepare *p, bool first, void **out, size_t *bytes,
                        size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    shape *s = &k->s;
    shape_of(p, first, s);
    size_t all = 0, all_bias = (size_t)(s->groups * s->blocks * s->vl), run = 0;
    bool fits = pare_mul_size((size_t)(s->taps * s->run), (size_t)(s->blocks * s->vl), &run) &&
                pare_mul_size(run, (size_t)s->groups, &all) &&
                pare_mul_size(all + 16, sizeof(float), bytes);
    k->group_weights = run;
    if (fits) {
        /* Whole cache lines: a vector of weights is never in two. */
        k->w = pare_alloc_large(*bytes);
        k->bias = calloc(all_bias + 1, sizeof *k->bias);
        k->band = calloc((size_t)s->bands + 1, sizeof *k->band);
    }
    pare_status st =
        k->w && k->bias && k->band
            ? PARE_OK
            : pare_fail(PARE_ENOMEM, "no memory for packed weights of %zu numbers", all);
    if (st == PARE_OK && !s->pointwise) st = pare_tiles_make(&s->g, s->band, &k->tiles, k->band);
    if (st == PARE_OK && first) {
        size_t at[2];
        pare_tiles_of g = s->g;
        pare_window w;
        pare_conv_window(p->node, &p->in[0], &p->in[1], &w);
        g.out[0] = w.out[0] - (s->bands - 1) * s->band;
        st = pare_tiles_make(&g, g.out[0], &k->last, at);
    }
    void *room = malloc(PARE_BLOCKED_MOST * run / (size_t)s->blocks * sizeof *k->w);
    if (st == PARE_OK && !room) st = pare_fail(PARE_ENOMEM, "no memory to pack weights");
    if (st == PARE_OK) st = pack(p, k, room);
    free(room);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    k->ahead = all * sizeof(float) > AHEAD_BYTES;
    *out = k;
    *bytes += all_bias * sizeof(float);
    *scratch_bytes =
        first ? PARE_SCRATCH_HEADER + (size_t)(s->buffer[0] * s->buffer[1] + s->vl) * sizeof(float)
              : 0;
    return PARE_OK;
}
static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return make(p, false, out, bytes, scratch);
}
static pare_status prepare_first(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return make(p, true, out, bytes, scratch);
}

/* Lays out the rows that band `band` of an image reaches. */
static void fill(const shape *s, const pare_kernels *k, int64_t band, const float *x, float *to)
{
    int64_t columns = s->buffer[1] / s->channels, n = s->channels;
    int64_t left = pare_least(s->pad[1], columns), width = pare_clamp(s->in[1], 0, columns - left);
    size_t plane = (size_t)(s->in[0] * s->in[1]), count = (size_t)width;
    for (int64_t r = 0; r < s->buffer[0]; r++, to += s->buffer[1]) {
        int64_t y = band * s->band * s->g.stride[0] - s->pad[0] + r;
        bool real = y >= 0 && y < s->in[0];
        int64_t from = real ? left : columns, end = real ? left + width : columns;
        for (int64_t i = 0; i < from * n; i++) to[i] = 0;
        for (int64_t i = end * n; i < columns * n; i++) to[i] = 0;
        if (!real) continue;
        const float *row = x + y * s->in[1];
        float *at = to + left * n;
        k->beside((size_t)n, count, row, plane, at);
    }
}

/* The kernel's work on the pixels of a band. */
static void pointwise(const pare_kernels *k, const pare_conv_blocked *t, size_t pixels)
{
    k->pointwise(
        &(pare_pointwise){ .vl = t->vl,
                           .pixels = pixels,
                           .blocks = t->blocks,
                           .channels = t->channels,
                           .x = t->x,
                           .x_block = t->x_block,
                           .w = t->w,
                           .bias = t->bias,
                           .y = t->y,
                           .residual = t->last ? t->residual : NULL,
                           .y_block = t->y_block,
                           .y_pixel = t->vl,
                           .onto = !t->first,
                           .finish = { t->last ? t->act : PARE_ACT_NONE, t->lo, t->hi, t->alpha },
                           .ahead = t->ahead,
                           .ahead_floats = t->ahead_floats });
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *step = user;
    const packed *k = step->packed;
    const shape *s = &k->s;
    int64_t at = (int64_t)index, part = at % s->parts, place = at /= s->parts;
    int64_t band = at % s->bands, group = (at /= s->bands) % s->groups, image = at / s->groups;
    int64_t pair = part * s->part, end = pare_least(pair + s->part, s->pairs);
    const size_t plane = (size_t)(s->in[0] * s->in[1] * s->vl),
                 y_block = (size_t)s->g.out_step[0] * (size_t)step->out[0].dim[2];
    const float *x = step->in[0].data;
    pare_conv_blocked t = { .vl = (size_t)s->vl,
                            .y_block = y_block,
                            .act = step->epilogue.act,
                            .lo = step->epilogue.lo,
                            .hi = step->epilogue.hi,
                            .alpha = step->epilogue.alpha };
    size_t y = (size_t)((image * s->groups + group) * s->blocks) * y_block, pixels = 0;
    if (s->first) {
        pare_scratch scratch = pare_scratch_of(step, thread);
        x += (size_t)(image * s->channels) * (size_t)(s->in[0] * s->in[1]);
        if (*scratch.inside != place) fill(s, step->kernels, band, x, scratch.data);
        *scratch.inside = place;
        x = scratch.data;
        const pare_tiles *tiles = band == s->bands - 1 ? &k->last : &k->tiles;
        t.tile = tiles->tile, t.n_tiles = tiles->n;
        t.x_block = (size_t)s->vl; /* runs go on */
        y += (size_t)(band * s->band * s->g.out_step[0]);
    } else {
        x += (size_t)((image * s->groups + group) * pare_up(s->channels, s->vl)) * plane;
        if (s->pointwise) {
            int64_t row = band * s->band, rows = pare_least(s->band, s->in[0] - row);
            size_t before = (size_t)(row * s->g.in_step[0]);
            x += before, y += before;
            pixels = (size_t)(rows * s->in[1]);
        } else
            t.tile = k->tiles.tile + k->band[band], t.n_tiles = k->band[band + 1] - k->band[band];
        t.x_block = plane;
    }
    for (; pair < end; pair++) {
        int64_t block = pair * PARE_BLOCKED_MOST;
        t.blocks = (size_t)pare_least(PARE_BLOCKED_MOST, s->blocks - block);
        t.w = k->w + (size_t)group * k->group_weights +
              (size_t)(block * s->vl) * (size_t)(s->taps * s->run);
        t.bias = k->bias + (size_t)((group * s->blocks + block) * s->vl);
        size_t out = y + (size_t)block * y_block;
        t.y = (float *)step->out[0].data + out;
        t.residual =
            step->epilogue.residual ? (const float *)step->in[step->node->n_in].data + out : NULL;
        for (int64_t c = 0; c < s->run; c += s->chunk) {
            t.channels = (size_t)pare_least(s->chunk, s->run - c);
            t.first = c == 0, t.last = c + s->chunk >= s->run;
            t.x = x + (size_t)(c / s->vl) * t.x_block;
            size_t floats = (size_t)s->taps * t.channels * t.blocks * (size_t)s->vl;
            t.ahead = t.w + floats;
            t.ahead_floats = k->ahead && !(t.last && pair + 1 == end && s->bands > 1) ? floats : 0;
            size_t left = (size_t)(k->w + k->group_weights * (size_t)s->groups - t.ahead);
            if (t.ahead_floats > left) t.ahead_floats = left;
            if (s->pointwise)
                pointwise(step->kernels, &t, pixels);
            else
                step->kernels->conv_blocked(&t);
            t.w += floats;
        }
    }
}

static pare_status run(const pare_step *step, int threads)
{
    const packed *k = step->packed;
    pare_scratch_forget(step, threads);
    size_t items = (size_t)(k->s.images * k->s.groups * k->s.bands * k->s.parts);
    pare_team_for(items, k->s.serial ? 1 : threads, item, (void *)step);
    return PARE_OK;
}

const pare_impl pare_impl_conv_blocked = {
    .name = "conv_blocked",
    .op = "Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};

const pare_impl pare_impl_conv_blocked_first = {
    .name = "conv_blocked_first",
    .op = "Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .takes = PARE_PLAIN,
    .gives = PARE_BLOCKED,
    .accepts = accepts_first,
    .model_ns = model_ns_first,
    .prepare = prepare_first,
    .release = release,
    .run = run,
};
