/* Conv with a Tucker-2 weight: 1x1, core, 1x1, over bands of rows, so that what lies between them
 * stays in a near cache.
 *
 * Work is cut into items (image, band of output rows), by size alone. An item computes the rows of
 * the first convolution that its band reads into its thread's scratch, the core from there, and the
 * last convolution from there into the output:
 *
 *   x [C] --1x1--> a [D1]: the rows that a band reads --core--> c [D2]: a band --1x1--> y [N]
 *
 * Rows that a band shares with the one before are taken over if the same thread has just done that
 * one, which is the rule: a team's threads work on stretches of items. Otherwise they are computed
 * again. A number is the same whichever way it comes about.
 *
 * The outer convolutions run by kernels/pointwise.h, the core by kernels/conv_blocked.h or
 * Winograd's F(2x2, 3x3) or F(4x4, 3x3), whichever is modelled to be faster.
 *
 * scratch of a thread: [header][a][c][v][r], v and r for Winograd: transformed tiles, products. */
#include "base/pages.h"
#include "base/team.h"
#include "codecs/tucker.h"
#include "runtime/impls/conv_common.h"
#include "runtime/impls/conv_tiles.h"
#include "runtime/impls/conv_winograd.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/scratch.h"
#include "runtime/impls/winograd_common.h"

#include <stdlib.h>
#include <string.h>

enum {
    BAND_BYTES = 48 << 10,   /* of a and c: the first-level cache */
    MOST_TILES = 28,         /* of Winograd at a time: v and r stay near too */
    SERIAL_MACS = 300 << 10, /* below, starting threads costs more than it gains */
    LINE_FLOATS = 16,        /* between positions of v and r: not all in one set of the cache */
};

typedef struct shape {
    pare_window w;
    int64_t vl, images, channels, d1, d2, rows;
    int64_t pixels; /* of a tile of the kernels */
    int64_t blocks_in, blocks1, blocks2, blocks_out;
    int64_t reach;                    /* input rows that an output row reads */
    int64_t band, bands;              /* output rows of a band; bands of an image */
    int64_t a_rows;                   /* of a, at most */
    const pare_winograd_form *form;   /* NULL: direct */
    int64_t positions, tiles, groups; /* Winograd: tiles at a time; groups of blocks of D2 */
    size_t v_position, r_position;
    size_t a_floats, c_floats, v_floats, r_floats;
} shape;

typedef struct packed {
    shape s;
    pare_tiles *tiles;            /* [bands]: of the core; NULL for Winograd */
    float *w;                     /* owns what the others point into */
    const float *in, *core, *out; /* weights */
    const float *zero, *shift;    /* in place of a bias; of the last convolution */
    bool serial;
} packed;

static int64_t most(int64_t a, int64_t b) { return a > b ? a : b; }

/* Output rows [*from, *to) of a band and the rows [*lo, *hi) of a that they read. */
typedef struct span {
    int64_t from, to, lo, hi;
} span;
static span span_of(const shape *s, int64_t band)
{
    const pare_window *w = &s->w;
    span b = { .from = band * s->band, .to = pare_least((band + 1) * s->band, w->out[0]) };
    int64_t first = b.from * w->stride[0] - w->begin[0],
            end = (b.to - 1) * w->stride[0] - w->begin[0] + s->reach;
    b.lo = pare_least(most(first, 0), w->in[0]);
    b.hi = most(pare_least(end, w->in[0]), b.lo);
    return b;
}

/* The core over a band of a, for the tiles of kernels/conv_blocked.h. */
static pare_tiles_of tiles_of(const shape *s, int64_t band, const pare_kernels *k)
{
    const pare_window *w = &s->w;
    span b = span_of(s, band);
    return (pare_tiles_of){ .in = { b.hi - b.lo, w->in[1] },
                            .out = { b.to - b.from, w->out[1] },
                            .kernel = { w->kernel[0], w->kernel[1] },
                            .stride = { w->stride[0], w->stride[1] },
                            .dilation = { w->dilation[0], w->dilation[1] },
                            .pad = { b.lo - (b.from * w->stride[0] - w->begin[0]), w->begin[1] },
                            .in_step = { w->in[1] * s->vl, s->vl },
                            .out_step = { w->out[1] * s->vl, s->vl },
                            .most = (int64_t)k->blocked_pixels };
}

/* Bands whose a and c fit the cache, an even number if it can be had: two threads are common. */
static void cut(shape *s)
{
    const pare_window *w = &s->w;
    int64_t step = s->form ? s->form->m : 1;
    int64_t row = 4 * s->vl * (s->blocks1 * w->in[1] * w->stride[0] + s->blocks2 * w->out[1]);
    int64_t all = pare_up(w->out[0], step), fit = most((int64_t)BAND_BYTES / row / step, 1);
    fit = pare_least(fit, pare_up(all, 2));
    while (fit > 1 && pare_up(all, fit) % 2 && pare_up(all, fit - 1) % 2 == 0) fit--;
    fit = pare_up(all, pare_up(all, fit));
    s->band = fit * step;
    s->bands = pare_up(w->out[0], s->band);
    s->a_rows = 0;
    for (int64_t i = 0; i < s->bands; i++) {
        span b = span_of(s, i);
        s->a_rows = most(s->a_rows, b.hi - b.lo);
    }
}

/* Pairs of blocks as conv_blocked's time counts them. */
static double pairs(int64_t blocks) { return (double)(blocks / 2) + 0.6 * (double)(blocks % 2); }

/* Nanoseconds for the core of one image on one thread. */
static double core_ns(const shape *s, const pare_kernels *k)
{
    if (!s->form) {
        pare_tiles_cost c = { 0 };
        for (int64_t i = 0; i < s->bands; i++) {
            pare_tiles_of g = tiles_of(s, i, k);
            pare_tiles_cost_of(&g, 0, g.out[0], &c);
        }
        return 0.25 * pairs(s->blocks2) * (c.cycles * (double)s->d1 + c.tiles * 50);
    }
    double weights = (double)(s->positions * s->d1 * s->blocks2), line = (double)s->vl / 16,
           tiles = (double)(pare_up(s->w.out[0], s->form->m) * pare_up(s->w.out[1], s->form->m));
    return weights * (tiles * 0.125 + tiles / (double)s->tiles * 0.25 * line) +
           tiles *
               ((double)s->blocks1 * s->form->input_ns + (double)s->blocks2 * s->form->output_ns);
}

/* Everything that follows from the core's form. */
static void lay_out(shape *s, const pare_winograd_form *form, const pare_kernels *k)
{
    s->form = form;
    cut(s);
    s->a_floats = (size_t)(s->blocks1 * s->a_rows * s->w.in[1] * s->vl);
    s->c_floats = (size_t)(s->blocks2 * s->band * s->w.out[1] * s->vl);
    if (!form) return;
    int64_t fill = (int64_t)k->winograd_blocks,
            all = s->band / form->m * pare_up(s->w.out[1], form->m);
    s->positions = (form->m + 2) * (form->m + 2);
    s->tiles = pare_up(all, pare_up(all, MOST_TILES));
    s->groups = pare_up(s->blocks2, fill);
    s->v_position = (size_t)(s->blocks1 * s->tiles * s->vl) + LINE_FLOATS;
    s->r_position = (size_t)(pare_least(fill, s->blocks2) * s->tiles * s->vl) + LINE_FLOATS;
    s->v_floats = (size_t)s->positions * s->v_position;
    s->r_floats = (size_t)s->positions * s->r_position;
}

/* False: of another kind. */
static bool shape_of(const pare_prepare *p, shape *out)
{
    const pare_weight *w = p->weight[1], *bias = p->weight[2];
    const int64_t largest = INT64_C(1) << 20, vl = (int64_t)p->kernels->vl;
    if (p->in[0].dtype != PARE_F32 || p->in[0].rank != 4 || p->weight[0] || !w ||
        p->in[0].dim[1] != p->in[1].dim[1])
        return false;
    if (p->in[2].dtype != PARE_UNDEFINED && (!bias || bias->codec)) return false;
    pare_tucker_dims d = pare_tucker_dims_of(w);
    shape s = { .vl = vl,
                .pixels = (int64_t)p->kernels->blocked_pixels,
                .images = p->in[0].dim[0],
                .channels = d.c,
                .d1 = d.d1,
                .d2 = d.d2,
                .rows = d.n,
                .blocks_in = pare_up(d.c, vl),
                .blocks1 = pare_up(d.d1, vl),
                .blocks2 = pare_up(d.d2, vl),
                .blocks_out = pare_up(d.n, vl) };
    pare_conv_window(p->node, &p->in[0], &p->in[1], &s.w);
    for (int i = 0; i < 2; i++)
        if (s.w.begin[i] < 0 || s.w.end[i] < 0 || s.w.begin[i] >= largest || s.w.in[i] >= largest ||
            s.w.out[i] >= largest || s.w.kernel[i] > 64 || s.w.stride[i] > 64 ||
            s.w.dilation[i] > 64)
            return false;
    /* All offsets fit 32 bits, and all products 64. */
    if (d.c >= largest || d.n >= largest || s.w.in[0] * s.w.in[1] * vl >= INT32_MAX / 2 ||
        s.w.out[0] * s.w.out[1] * vl >= INT32_MAX / 2)
        return false;
    s.reach = (s.w.kernel[0] - 1) * s.w.dilation[0] + 1;
    lay_out(&s, NULL, p->kernels);
    *out = s;
    double best = core_ns(&s, p->kernels);
    for (int i = 0; i < PARE_WINOGRAD_FORMS; i++) {
        if (p->no_winograd || !pare_winograd_fits(&pare_winograd_forms[i], &s.w, s.d1)) continue;
        lay_out(&s, &pare_winograd_forms[i], p->kernels);
        double ns = core_ns(&s, p->kernels);
        if (ns < best) best = ns, *out = s;
    }
    return true;
}

static bool accepts(const pare_prepare *p)
{
    shape s;
    return shape_of(p, &s);
}

/* Of a 1x1 convolution over so many pixels on one thread: conv_blocked's, with less around it. */
static double strip_ns(const shape *s, int64_t pixels, int64_t channels, int64_t blocks)
{
    double tiles = (double)pixels / (double)s->pixels;
    return 0.25 * pairs(blocks) * ((double)pixels * (double)channels + 25 * tiles);
}

static double core_weights(const shape *s)
{
    int64_t taps = s->form ? s->positions : s->w.kernel[0] * s->w.kernel[1];
    return (double)(taps * s->d1) * (double)(s->blocks2 * s->vl);
}
static double weights_of(const shape *s)
{
    return core_weights(s) + (double)s->channels * (double)(s->blocks1 * s->vl) +
           (double)s->d2 * (double)(s->blocks_out * s->vl);
}

static double macs_of(const shape *s)
{
    double in = (double)s->w.in[0] * (double)s->w.in[1],
           out = (double)s->w.out[0] * (double)s->w.out[1], core = out;
    if (s->form)
        core = (double)(pare_up(s->w.out[0], s->form->m) * pare_up(s->w.out[1], s->form->m));
    int64_t taps = s->form ? s->positions : s->w.kernel[0] * s->w.kernel[1];
    return (double)s->images *
           (in * (double)(s->channels * s->d1) + core * (double)(taps * s->d1) * (double)s->d2 +
            out * (double)(s->d2 * s->rows));
}

static double macs(const pare_prepare *p)
{
    shape s;
    return shape_of(p, &s) ? macs_of(&s) : 0;
}

static double model_ns(const pare_prepare *p)
{
    shape s;
    /* The plain kernels say what is computed; they are not quick. */
    if (!shape_of(p, &s) || strcmp(p->kernels->isa, "c") == 0) return 1e17;
    int64_t out = s.w.out[0] * s.w.out[1], items = s.images * s.bands,
            threads = macs_of(&s) < SERIAL_MACS ? 1 : pare_least(p->threads, items);
    /* The rows that several threads compute. */
    int64_t again = (threads - 1) * most(s.reach - s.w.stride[0], 0) * s.w.in[1];
    double weights = 4 * weights_of(&s);
    double work =
        (double)s.images *
        (strip_ns(&s, s.w.in[0] * s.w.in[1], s.channels, s.blocks1) + core_ns(&s, p->kernels) +
         strip_ns(&s, out, s.d2, s.blocks_out) + 0.03 * 4 * (double)(s.blocks_out * s.vl * out));
    work += strip_ns(&s, again, s.channels, s.blocks1) +
            (double)items * (200 + 0.016 * (weights_of(&s) - core_weights(&s)));
    work *= (double)pare_up(items, threads) / (double)items;
    return 500 + (work > weights * 0.045 ? work : weights * 0.045);
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    for (int64_t i = 0; k->tiles && i < k->s.bands; i++) pare_tiles_free(&k->tiles[i]);
    free(k->tiles);
    free(k->w);
    free(k);
}

/* [pair][tap][channel][block of the pair][vl] from [row][channel][tap], as conv_blocked has it. */
static void pack(const float *w, int64_t rows, int64_t channels, int64_t taps, int64_t vl,
                 const float *scale, float *to)
{
    for (int64_t first = 0; first < rows; first += PARE_BLOCKED_MOST * vl) {
        int64_t n = pare_least(PARE_BLOCKED_MOST * vl, rows - first), lanes = pare_up(n, vl) * vl;
        for (int64_t t = 0; t < taps; t++)
            for (int64_t c = 0; c < channels; c++, to += lanes)
                for (int64_t r = 0; r < lanes; r++)
                    to[r] = r < n ? w[((first + r) * channels + c) * taps + t] *
                                        (scale ? scale[first + r] : 1)
                                  : 0;
    }
}

static void pack_winograd(const shape *s, const pare_kernels *k, const float *w, float *to)
{
    float one[PARE_VL_MOST];
    for (int i = 0; i < PARE_VL_MOST; i++) one[i] = 1;
    int64_t fill = (int64_t)k->winograd_blocks;
    for (int64_t block = 0; block < s->blocks2; block++) {
        int64_t first = block / fill * fill, width = pare_least(fill, s->blocks2 - first) * s->vl;
        k->winograd_weights(&(pare_winograd_weights){
            .m = s->form->m,
            .vl = (size_t)s->vl,
            .lanes = (size_t)pare_least(s->vl, s->d2 - block * s->vl),
            .channels = (size_t)s->d1,
            .w = w + block * s->vl * s->d1 * 9,
            .scale = one,
            .u = to + first * s->vl * s->d1 * s->positions + (block - first) * s->vl,
            .row = (size_t)width,
            .position = (size_t)(width * s->d1) });
    }
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    shape *s = &k->s;
    shape_of(p, s);
    const pare_weight *w = p->weight[1];
    int64_t lanes = s->blocks_out * s->vl, zeros = most(s->blocks1, s->blocks2) * s->vl;
    *bytes = ((size_t)weights_of(s) + (size_t)(2 * lanes + zeros)) * sizeof(float);
    *scratch_bytes = PARE_SCRATCH_HEADER +
                     (s->a_floats + s->c_floats + s->v_floats + s->r_floats) * sizeof(float);
    k->w = pare_alloc_large(*bytes);
    if (!s->form) k->tiles = calloc((size_t)s->bands, sizeof *k->tiles);
    pare_status st =
        k->w && (s->form || k->tiles)
            ? PARE_OK
            : pare_fail(PARE_ENOMEM, "no memory for packed weights of %zu bytes", *bytes);
    for (int64_t i = 0; st == PARE_OK && !s->form && i < s->bands; i++) {
        size_t at[2];
        pare_tiles_of g = tiles_of(s, i, p->kernels);
        st = pare_tiles_make(&g, g.out[0], &k->tiles[i], at);
    }
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    float *in = k->w, *core = in + s->channels * s->blocks1 * s->vl,
          *last = core + (size_t)core_weights(s), *shift = last + s->d2 * lanes,
          *scale = shift + lanes, *zero = scale + lanes;
    for (int64_t r = 0; r < lanes; r++) scale[r] = shift[r] = 0;
    for (int64_t r = 0; r < s->rows; r++) pare_conv_affine(p, r, &scale[r], &shift[r]);
    for (int64_t r = 0; r < zeros; r++) zero[r] = 0;
    pack(w->part[PARE_TUCKER_IN].data, s->d1, s->channels, 1, s->vl, NULL, in);
    pack(w->part[PARE_TUCKER_OUT].data, s->rows, s->d2, 1, s->vl, scale, last);
    if (s->form)
        pack_winograd(s, p->kernels, w->part[PARE_TUCKER_CORE].data, core);
    else
        pack(w->part[PARE_TUCKER_CORE].data, s->d2, s->d1, s->w.kernel[0] * s->w.kernel[1], s->vl,
             NULL, core);
    k->in = in, k->core = core, k->out = last, k->shift = shift, k->zero = zero;
    k->serial = macs_of(s) < SERIAL_MACS;
    *out = k;
    return PARE_OK;
}

/* A 1x1 convolution whose weights are packed in pairs of blocks. */
static void strip(const pare_kernels *k, pare_pointwise t, int64_t blocks)
{
    for (int64_t b = 0; b < blocks; b += PARE_BLOCKED_MOST) {
        t.blocks = (size_t)pare_least(PARE_BLOCKED_MOST, blocks - b);
        k->pointwise(&t);
        t.w += t.channels * t.blocks * t.vl;
        t.bias += t.blocks * t.vl;
        t.y += t.blocks * t.y_block;
        if (t.residual) t.residual += t.blocks * t.y_block;
    }
}

/* The rows of a that band `b` reads, those that `old` has (NULL: none) moved, not computed. */
static void first(const pare_step *step, const float *x, float *a, const span *b, const span *old)
{
    const packed *k = step->packed;
    const shape *s = &k->s;
    size_t row = (size_t)(s->w.in[1] * s->vl), plane = (size_t)s->a_rows * row;
    int64_t from = b->lo;
    if (old && old->hi > from) {
        size_t kept = (size_t)(old->hi - from) * row;
        for (int64_t i = 0; i < s->blocks1; i++)
            memmove(a + (size_t)i * plane, a + (size_t)i * plane + (size_t)(from - old->lo) * row,
                    kept * sizeof *a);
        from = old->hi;
    }
    strip(step->kernels,
          (pare_pointwise){ .vl = (size_t)s->vl,
                            .pixels = (size_t)((b->hi - from) * s->w.in[1]),
                            .channels = (size_t)s->channels,
                            .x = x + (size_t)from * row,
                            .x_block = (size_t)s->w.in[0] * row,
                            .w = k->in,
                            .bias = k->zero,
                            .y = a + (size_t)(from - b->lo) * row,
                            .y_block = plane,
                            .y_pixel = (size_t)s->vl },
          s->blocks1);
    if (!s->form) return;
    /* Winograd's tiles read on behind the last row. */
    for (int64_t i = 0; b->hi == s->w.in[0] && i < s->blocks1; i++)
        memset(a + (size_t)i * plane + (size_t)(b->hi - b->lo) * row, 0,
               (size_t)(s->a_rows - (b->hi - b->lo)) * row * sizeof *a);
}

static void direct(const pare_step *step, const float *a, float *c, int64_t band, size_t c_plane)
{
    const packed *k = step->packed;
    const shape *s = &k->s;
    pare_conv_blocked t = { .vl = (size_t)s->vl,
                            .n_tiles = k->tiles[band].n,
                            .tile = k->tiles[band].tile,
                            .channels = (size_t)s->d1,
                            .x = a,
                            .x_block = (size_t)(s->a_rows * s->w.in[1] * s->vl),
                            .w = k->core,
                            .bias = k->zero,
                            .y = c,
                            .y_block = c_plane,
                            .first = true,
                            .last = true };
    for (int64_t b = 0; b < s->blocks2; b += PARE_BLOCKED_MOST) {
        t.blocks = (size_t)pare_least(PARE_BLOCKED_MOST, s->blocks2 - b);
        step->kernels->conv_blocked(&t);
        t.w += (size_t)(s->w.kernel[0] * s->w.kernel[1] * s->d1) * t.blocks * t.vl;
        t.y += t.blocks * c_plane;
    }
}

/* One position: the kernel for short sums where they are short. */
static void product(const pare_step *step, size_t blocks, size_t tiles, const float *v,
                    const float *u, float *r)
{
    const packed *k = step->packed;
    const shape *s = &k->s;
    size_t vl = (size_t)s->vl, d1 = (size_t)s->d1;
    if (d1 <= PARE_WINOGRAD_CHUNK)
        step->kernels->pointwise(&(pare_pointwise){ .vl = vl,
                                                    .pixels = tiles,
                                                    .blocks = blocks,
                                                    .channels = d1,
                                                    .x = v,
                                                    .x_block = tiles * vl,
                                                    .w = u,
                                                    .bias = k->zero,
                                                    .y = r,
                                                    .y_block = vl,
                                                    .y_pixel = blocks * vl });
    else
        step->kernels->winograd_product(&(pare_winograd_product){
            .vl = vl, .blocks = blocks, .channels = d1, .tiles = tiles, .v = v, .u = u, .r = r });
}

static void winograd(const pare_step *step, const float *a, float *c, float *v, const span *b)
{
    const packed *k = step->packed;
    const shape *s = &k->s;
    const pare_kernels *kernels = step->kernels;
    const int m = s->form->m;
    size_t vl = (size_t)s->vl, fill = kernels->winograd_blocks, d1 = (size_t)s->d1,
           positions = (size_t)s->positions;
    int64_t rows = b->to - b->from, tiles_x = pare_up(s->w.out[1], m),
            all = pare_up(rows, m) * tiles_x;
    float *r = v + s->v_floats;
    for (int64_t at = 0; at < all; at += s->tiles) {
        size_t tiles = (size_t)pare_least(s->tiles, all - at);
        kernels->winograd_input(&(pare_winograd_input){ .m = m,
                                                        .vl = vl,
                                                        .blocks = (size_t)s->blocks1,
                                                        .x = a,
                                                        .in_y = s->a_rows,
                                                        .in_x = s->w.in[1],
                                                        .top = b->lo - (b->from - s->w.begin[0]),
                                                        .left = s->w.begin[1],
                                                        .tiles_x = tiles_x,
                                                        .first = (size_t)at,
                                                        .tiles = tiles,
                                                        .v = v,
                                                        .position = s->v_position });
        for (size_t block = 0; block < (size_t)s->blocks2; block += fill) {
            size_t left = (size_t)s->blocks2 - block, blocks = left < fill ? left : fill;
            const float *u = k->core + block * vl * d1 * positions;
            for (size_t i = 0; i < positions; i++)
                product(step, blocks, tiles, v + i * s->v_position, u + i * d1 * blocks * vl,
                        r + i * s->r_position);
            kernels->winograd_output(
                &(pare_winograd_output){ .m = m,
                                         .vl = vl,
                                         .blocks = blocks,
                                         .r = r,
                                         .position = s->r_position,
                                         .out_y = rows,
                                         .out_x = s->w.out[1],
                                         .tiles_x = tiles_x,
                                         .first = (size_t)at,
                                         .tiles = tiles,
                                         .shift = k->zero,
                                         .y = c + block * (size_t)(rows * s->w.out[1]) * vl,
                                         .finish = { .act = PARE_ACT_NONE } });
        }
    }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *step = user;
    const packed *k = step->packed;
    const shape *s = &k->s;
    int64_t place = (int64_t)index, image = place / s->bands, band = place % s->bands;
    pare_scratch scratch = pare_scratch_of(step, thread);
    float *a = scratch.data, *c = a + s->a_floats, *v = c + s->c_floats;
    span b = span_of(s, band), before = span_of(s, band - 1);
    size_t vl = (size_t)s->vl, in_plane = (size_t)(s->w.in[0] * s->w.in[1]) * vl,
           out_plane = (size_t)(s->w.out[0] * s->w.out[1]) * vl,
           c_plane = (size_t)((b.to - b.from) * s->w.out[1]) * vl;
    first(step, (const float *)step->in[0].data + (size_t)(image * s->blocks_in) * in_plane, a, &b,
          band > 0 && *scratch.inside == place - 1 ? &before : NULL);
    *scratch.inside = place;
    if (s->form)
        winograd(step, a, c, v, &b);
    else
        direct(step, a, c, band, c_plane);
    const pare_epilogue *e = &step->epilogue;
    size_t y = (size_t)(image * s->blocks_out) * out_plane + (size_t)(b.from * s->w.out[1]) * vl;
    strip(step->kernels,
          (pare_pointwise){
              .vl = vl,
              .pixels = (size_t)((b.to - b.from) * s->w.out[1]),
              .channels = (size_t)s->d2,
              .x = c,
              .x_block = c_plane,
              .w = k->out,
              .bias = k->shift,
              .y = (float *)step->out[0].data + y,
              .residual = e->residual ? (const float *)step->in[step->node->n_in].data + y : NULL,
              .y_block = out_plane,
              .y_pixel = vl,
              .finish = { e->act, e->lo, e->hi, e->alpha } },
          s->blocks_out);
}

static pare_status run(const pare_step *step, int threads)
{
    const packed *k = step->packed;
    int64_t items = k->s.images * k->s.bands;
    if (k->serial) threads = 1;
    pare_scratch_forget(step, threads);
    pare_team_for((size_t)items, threads, item, (void *)step);
    return PARE_OK;
}

const pare_impl pare_impl_conv_tucker = {
    .name = "conv_tucker",
    .op = "Conv",
    .codec = "tucker",
    .packs = true,
    .fuses = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
    .macs = macs,
};
