/* Conv, float32, dense, over blocks of channels, through products of bfloat16 pieces
 * (kernels/pieces.h): one (conv_bf16), two (conv_bf16x2) or three (conv_bf16x3) of every number.
 * conv_bf16_first takes the few channels of a plain input.
 * Three give float32's own accuracy; the others round more, and are only offered where the plan's
 * precision allows it.
 *
 * Work is cut into items (image, band of output rows, part of the output blocks). An item cuts the
 * input rows of its band into pieces, with zeros for padding and the channels of a pixel side by
 * side, unless the thread did that for the item before. Then a row of the kernel is one string of
 * numbers, or one for each column where the kernel is dilated.
 *
 * scratch of a thread: [header][piece][row][column][channel][what the kernel needs] */
#include "base/pages.h"
#include "base/team.h"
#include "runtime/impls/conv_common.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/pieces_common.h"
#include "runtime/impls/scratch.h"

#include <stdlib.h>

enum {
    BAND_BYTES = 224 << 10, /* of pieces: leaves room for weights in the second-level cache */
    ITEM_MACS = 6 << 20,    /* some 25 us */
    LEAST_MACS = 1 << 20,
    LEAST_PIXELS = 48, /* of a band, each of which uses every weight that is loaded */
    SERIAL_MACS = 600 << 10,
    FIRST_CHANNELS = 8, /* conv_bf16_first: at most */
};

typedef struct shape {
    pare_window w;
    size_t vl, pieces;
    size_t in_vl; /* of blocks of input channels; 1: planes */
    int64_t images, channels, kernels;
    int64_t in_blocks, out_blocks;
    int64_t width;            /* numbers of a pixel: channels, even */
    int64_t stride[2];        /* of the kernel over the band */
    int64_t step[2];          /* input rows and columns from one of the band to the next */
    int64_t in_rows, columns; /* of the band */
    int64_t rows, bands;      /* output rows of a band */
    int64_t chunk, chunks;    /* output blocks in an item */
    int64_t run;              /* words of each */
    size_t runs, words;
    size_t room_at, room; /* bytes of scratch before what the kernel needs, and of that */
    bool serial;
} shape;

typedef struct packed {
    shape s;
    uint32_t *pixel;
    pare_pieces_run *run;
    uint16_t *w;
    float *bias;
} packed;

static double macs_of(const shape *s)
{
    double macs = (double)(s->images * s->channels) * (double)s->kernels;
    for (int d = 0; d < 2; d++) macs *= (double)(s->w.out[d] * s->w.kernel[d]);
    return macs;
}

/* Cuts the work by size alone. */
static void cut(shape *s)
{
    const pare_window *w = &s->w;
    double all = macs_of(s), row = all / (double)s->images / (double)w->out[0], each = all / 12;
    each = each < LEAST_MACS ? LEAST_MACS : each > ITEM_MACS ? ITEM_MACS : each;
    s->serial = all < SERIAL_MACS;
    int64_t row_bytes = s->columns * s->width * 2 * (int64_t)s->pieces,
            halo = (w->kernel[0] - 1) * w->dilation[0] + 1, fit = BAND_BYTES / row_bytes,
            least = pare_clamp(pare_up(LEAST_PIXELS, w->out[1]), 1, w->out[0]);
    fit = fit > halo ? (fit - halo) / s->stride[0] + 1 : 1;
    s->rows = (int64_t)(each / row * 4);
    s->rows = pare_clamp(s->rows > least ? s->rows : least, 1, pare_clamp(fit, 1, w->out[0]));
    s->bands = pare_up(w->out[0], s->rows);
    s->rows = pare_up(w->out[0], s->bands);
    s->bands = pare_up(w->out[0], s->rows);
    s->in_rows = (s->rows - 1) * s->stride[0] + halo;
    double block = row * (double)s->rows / (double)s->out_blocks;
    int64_t tiles = pare_up(s->out_blocks, PARE_PIECES_TILE);
    s->chunk = pare_clamp((int64_t)(each / block / PARE_PIECES_TILE + 0.5), 1, tiles);
    s->chunks = pare_up(tiles, s->chunk);
    s->chunk = pare_up(tiles, s->chunks);
    s->chunks = pare_up(tiles, s->chunk);
    s->chunk *= PARE_PIECES_TILE;
}

/* False: of another kind. */
static bool shape_of(const pare_prepare *p, size_t pieces, bool first, shape *s)
{
    const pare_pieces_form *form = &p->kernels->pieces[pieces - 1];
    if (!pare_conv_is_plain(p) || p->in[0].rank != 4 || p->in[1].dim[1] != p->in[0].dim[1])
        return false;
    if (first && (p->in[0].dim[1] > FIRST_CHANNELS || p->epilogue.residual))
        return false; /* a plain input means a plain residual, and the output is not */
    *s = (shape){ .vl = p->kernels->vl,
                  .in_vl = first ? 1 : p->kernels->vl,
                  .pieces = pieces,
                  .images = p->in[0].dim[0],
                  .channels = p->in[0].dim[1],
                  .kernels = p->out[0].dim[1] };
    pare_window *w = &s->w;
    pare_conv_window(p->node, &p->in[0], &p->in[1], w);
    const int64_t vl = (int64_t)s->vl;
    const int64_t most = INT64_C(1) << 20;
    /* Offsets into a padded image have 32 bits; nothing that is computed from the geometry
     * overflows then. */
    if (s->channels >= most || s->kernels >= most) return false;
    s->width = pare_up(s->channels, 2) * 2;
    double bytes = (double)(s->width * 2) * (double)pieces;
    for (int d = 0; d < 2; d++) {
        if (w->begin[d] < 0 || w->end[d] < 0 || w->kernel[d] > 64) return false;
        bytes *= (double)w->in[d] + (double)w->begin[d] + (double)w->end[d] + 1;
    }
    if (bytes >= INT32_MAX || (double)(w->out[0] * w->out[1] * vl) >= INT32_MAX) return false;
    s->in_blocks = pare_up(s->channels, (int64_t)s->in_vl);
    s->out_blocks = pare_up(s->kernels, vl);
    for (int d = 0; d < 2; d++) { /* what no pixel reads is left out */
        bool leaves = w->kernel[d] == 1 && !first;
        s->stride[d] = leaves ? 1 : w->stride[d];
        s->step[d] = leaves ? w->stride[d] : 1;
    }
    s->columns = (w->out[1] - 1) * s->stride[1] + (w->kernel[1] - 1) * w->dilation[1] + 1;
    s->runs = (size_t)(w->kernel[0] * (w->dilation[1] == 1 ? 1 : w->kernel[1]));
    s->run = w->kernel[0] * w->kernel[1] * s->width / 2 / (int64_t)s->runs;
    s->words = (size_t)(pare_up((int64_t)s->runs * s->run, (int64_t)form->whole)) * form->whole;
    cut(s);
    s->room_at = (size_t)(s->in_rows * s->columns * s->width) * pieces * sizeof(uint16_t);
    s->room_at = (s->room_at + 63) / 64 * 64;
    s->room = form->room ? form->room(pieces, s->words, (size_t)(s->rows * w->out[1])) : 0;
    return true;
}

/* Nanoseconds of one thread for cutting and multiplying, at 4 cycles a ns as conv_blocked counts.
 */
static double vectors_ns(const shape *s, double pixels)
{
    /* Vectors of sums of one word: two a cycle, for a block that is alone not quite. A tile of 12
     * pixels begins and ends with its sums. A vector of input is cut in 1.5 cycles. */
    double blocks = (double)(s->out_blocks / 2 * 2) + 1.2 * (double)(s->out_blocks % 2);
    return 0.25 * (pixels * blocks * (0.53 * (double)s->words + 3) +
                   1.5 * (double)(s->images * s->bands * s->in_rows * s->columns * s->in_blocks));
}
static double tiles_ns(const shape *s, double pixels)
{
    const pare_window *w = &s->w;
    double band = (double)(s->rows * w->out[1]),
           full = (double)(pare_up(s->rows * w->out[1], 16) * 16), words = (double)s->words / 16,
           blocks = (double)s->out_blocks, /* of tiles */
        tiles = pixels * full / band / 16 * blocks * words;
    bool gathers = w->kernel[0] > 1 || w->kernel[1] > 1 || s->width % 32 != 0;
    return pare_pieces_tiles_ns(tiles, s->pieces) +
           pixels * (blocks * 1.5 + (gathers ? words * (double)s->pieces * 0.5 : 0)) +
           pare_pieces_cut_ns(
               (double)(s->images * s->bands * s->in_rows * s->columns * s->in_blocks), s->pieces);
}

static double modelled(const pare_prepare *p, size_t pieces, bool first)
{
    shape s;
    if (!shape_of(p, pieces, first, &s)) return 1e17;
    double pixels = (double)(s.images * s.w.out[0] * s.w.out[1]),
           ns = p->kernels->pieces[pieces - 1].room ? tiles_ns(&s, pixels) : vectors_ns(&s, pixels);
    /* As for conv_blocked: outputs go to the next cache at 33 GB/s, weights come at 22. */
    double outputs = 4.0 * pixels * (double)(s.out_blocks * (int64_t)s.vl),
           weights = 4.0 * (double)pieces * (double)s.kernels * (double)s.words * 0.045;
    ns += outputs * 0.03;
    return 500 + (ns > weights ? ns : weights) / (s.serial ? 1 : p->threads);
}

static bool accepts(const pare_prepare *p, size_t pieces, bool first)
{
    shape s;
    return pare_pieces_allowed(p, pieces) && shape_of(p, pieces, first, &s);
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->pixel);
    free(k->run);
    free(k->w);
    free(k->bias);
    free(k);
}

static void make_lists(packed *k)
{
    const shape *s = &k->s;
    const pare_window *w = &s->w;
    const int64_t row = s->columns * s->width, each = (int64_t)s->runs / w->kernel[0];
    for (int64_t i = 0; i < (int64_t)s->runs; i++)
        k->run[i] = (pare_pieces_run){ (uint32_t)(i / each * w->dilation[0] * row +
                                                  i % each * w->dilation[1] * s->width),
                                       (uint32_t)s->run };
    for (int64_t i = 0; i < s->rows * w->out[1]; i++)
        k->pixel[i] = (uint32_t)(i / w->out[1] * s->stride[0] * row +
                                 i % w->out[1] * s->stride[1] * s->width);
}

/* Weights of one tile of blocks: [row][channel][kernel] to [row][kernel][channel], then packed. */
static pare_status pack(const pare_prepare *p, packed *k, int64_t block, void *room, float *turned)
{
    const shape *s = &k->s;
    const int64_t taps = s->w.kernel[0] * s->w.kernel[1], filter = s->channels * taps,
                  vl = (int64_t)s->vl, span = 2 * (int64_t)s->words, first = block * vl,
                  blocks = pare_clamp(s->out_blocks - block, 0, PARE_PIECES_TILE),
                  rows = pare_clamp(s->kernels - first, 0, blocks * vl);
    float scale[PARE_PIECES_TILE * PARE_VL_MOST] = { 0 };
    const void *part;
    PARE_TRY(pare_tensor_part(&p->weight[1]->part[0], (size_t)(first * filter) * sizeof(float),
                              (size_t)(rows * filter) * sizeof(float), room, &part));
    const float *from = part;
    memset(turned, 0, (size_t)(blocks * vl * span) * sizeof *turned);
    for (int64_t r = 0; r < rows; r++) {
        pare_conv_affine(p, first + r, &scale[r], &k->bias[first + r]);
        for (int64_t c = 0; c < s->channels; c++)
            for (int64_t t = 0; t < taps; t++) turned[r * span + t * s->width + c] = *from++;
    }
    pare_pieces_pack(s->vl, s->pieces, (size_t)(blocks * vl), s->words, turned, scale,
                     k->w + pare_pieces_packed(s->vl, s->pieces, (size_t)first, s->words));
    return PARE_OK;
}

static pare_status prepare(const pare_prepare *p, size_t pieces, bool first, void **out,
                           size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    shape *s = &k->s;
    shape_of(p, pieces, first, s);
    const size_t lanes = (size_t)s->out_blocks * s->vl, tile = PARE_PIECES_TILE * s->vl;
    size_t all = 0;
    bool fits = pare_mul_size(lanes, 2 * s->pieces * sizeof *k->w, &all) &&
                pare_mul_size(all, s->words, &all);
    if (fits) k->w = pare_alloc_large(all);
    k->bias = calloc(lanes, sizeof *k->bias);
    k->run = malloc(s->runs * sizeof *k->run);
    k->pixel = malloc((size_t)(s->rows * s->w.out[1]) * sizeof *k->pixel);
    float *turned = malloc(tile * 2 * s->words * sizeof *turned);
    void *room = malloc(tile * 2 * s->words * sizeof(float));
    pare_status st = k->w && k->bias && k->run && k->pixel && turned && room
                         ? PARE_OK
                         : pare_fail(PARE_ENOMEM, "no memory for packed weights of %zu bytes", all);
    for (int64_t b = 0; st == PARE_OK && b < s->out_blocks; b += PARE_PIECES_TILE)
        st = pack(p, k, b, room, turned);
    free(room);
    free(turned);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    make_lists(k);
    *out = k;
    *bytes = all + lanes * sizeof(float);
    *scratch_bytes = PARE_SCRATCH_HEADER + s->room_at + s->room;
    return PARE_OK;
}
/* Pieces of the input rows of a band, from row y0 (perhaps of the padding) on. */
static void fill(const shape *s, const pare_kernels *k, int64_t y0, const float *x, uint16_t *to)
{
    const pare_window *w = &s->w;
    const size_t width = (size_t)s->width, row = (size_t)s->columns * width,
                 piece = (size_t)s->in_rows * row;
    const int64_t vl = (int64_t)s->in_vl;
    int64_t lo, hi; /* columns that are not padding */
    pare_window_range(w->in[1], -w->begin[1], s->step[1], s->columns, &lo, &hi);
    for (int64_t r = 0; r < s->in_rows; r++, to += row) {
        int64_t y = y0 + r * s->step[0];
        bool real = y >= 0 && y < w->in[0] && lo < hi;
        size_t left = real ? (size_t)lo * width : row, right = real ? (size_t)hi * width : row;
        for (size_t i = 0; i < s->pieces; i++) {
            memset(to + i * piece, 0, left * sizeof *to);
            memset(to + i * piece + right, 0, (row - right) * sizeof *to);
        }
        if (!real) continue;
        k->pieces[s->pieces - 1].cut(
            &(pare_pieces_cut){ .vl = s->in_vl,
                                .pieces = s->pieces,
                                .pixels = (size_t)(hi - lo),
                                .channels = (size_t)s->channels,
                                .x = x + (y * w->in[1] + lo * s->step[1] - w->begin[1]) * vl,
                                .x_pixel = (size_t)(s->step[1] * vl),
                                .x_block = (size_t)(w->in[0] * w->in[1] * vl),
                                .to = to + left,
                                .width = width,
                                .piece = piece });
    }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *step = user;
    const packed *k = step->packed;
    const shape *s = &k->s;
    const pare_window *w = &s->w;
    int64_t at = (int64_t)index, chunk = at % s->chunks, place = at /= s->chunks;
    int64_t band = at % s->bands, image = at / s->bands, y0 = band * s->rows,
            first = chunk * s->chunk;
    pare_scratch scratch = pare_scratch_of(step, thread);
    const size_t map = (size_t)(w->in[0] * w->in[1]) * s->in_vl,
                 plane = (size_t)(w->out[0] * w->out[1]);
    if (*scratch.inside != place)
        fill(s, step->kernels, y0 * w->stride[0] - w->begin[0],
             (const float *)step->in[0].data + (size_t)(image * s->in_blocks) * map, scratch.data);
    *scratch.inside = place;
    const size_t y =
        ((size_t)(image * s->out_blocks + first) * plane + (size_t)(y0 * w->out[1])) * s->vl;
    const pare_epilogue *e = &step->epilogue;
    step->kernels->pieces[s->pieces - 1].conv(&(pare_pieces_conv){
        .vl = s->vl,
        .pieces = s->pieces,
        .x = scratch.data,
        .x_piece = (size_t)(s->in_rows * s->columns * s->width),
        .pixels = (size_t)(pare_clamp(w->out[0] - y0, 0, s->rows) * w->out[1]),
        .pixel = k->pixel,
        .run = k->run,
        .runs = s->runs,
        .words = s->words,
        .blocks = (size_t)pare_clamp(s->out_blocks - first, 0, s->chunk),
        .w = k->w + pare_pieces_packed(s->vl, s->pieces, (size_t)first * s->vl, s->words),
        .bias = k->bias + (size_t)first * s->vl,
        .y = (float *)step->out[0].data + y,
        .residual = e->residual ? (const float *)step->in[step->node->n_in].data + y : NULL,
        .y_block = plane * s->vl,
        .finish = { e->act, e->lo, e->hi, e->alpha },
        .room = (char *)scratch.data + s->room_at });
}

static pare_status run(const pare_step *step, int threads)
{
    const packed *k = step->packed;
    pare_scratch_forget(step, threads);
    size_t items = (size_t)(k->s.images * k->s.bands * k->s.chunks);
    pare_team_for(items, k->s.serial ? 1 : threads, item, (void *)step);
    return PARE_OK;
}

static bool accepts1(const pare_prepare *p) { return accepts(p, 1, false); }
static double model_ns1(const pare_prepare *p) { return modelled(p, 1, false); }
static pare_status prepare1(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return prepare(p, 1, false, out, bytes, scratch);
}
const pare_impl pare_impl_conv_bf16 = {
    .name = "conv_bf16",
    .op = "Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .precision = PARE_PRECISION_BF16,
    .accepts = accepts1,
    .model_ns = model_ns1,
    .prepare = prepare1,
    .release = release,
    .run = run,
};

static bool accepts2(const pare_prepare *p) { return accepts(p, 2, false); }
static double model_ns2(const pare_prepare *p) { return modelled(p, 2, false); }
static pare_status prepare2(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return prepare(p, 2, false, out, bytes, scratch);
}
const pare_impl pare_impl_conv_bf16x2 = {
    .name = "conv_bf16x2",
    .op = "Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .precision = PARE_PRECISION_BF16X2,
    .accepts = accepts2,
    .model_ns = model_ns2,
    .prepare = prepare2,
    .release = release,
    .run = run,
};

static bool accepts3(const pare_prepare *p) { return accepts(p, 3, false); }
static double model_ns3(const pare_prepare *p) { return modelled(p, 3, false); }
static pare_status prepare3(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return prepare(p, 3, false, out, bytes, scratch);
}
const pare_impl pare_impl_conv_bf16x3 = {
    .name = "conv_bf16x3",
    .op = "Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .precision = PARE_PRECISION_FP32,
    .accepts = accepts3,
    .model_ns = model_ns3,
    .prepare = prepare3,
    .release = release,
    .run = run,
};

static bool accepts_first(const pare_prepare *p) { return accepts(p, 1, true); }
static double model_ns_first(const pare_prepare *p) { return modelled(p, 1, true); }
static pare_status prepare_first(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return prepare(p, 1, true, out, bytes, scratch);
}
const pare_impl pare_impl_conv_bf16_first = {
    .name = "conv_bf16_first",
    .op = "Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .takes = PARE_PLAIN,
    .gives = PARE_BLOCKED,
    .precision = PARE_PRECISION_BF16,
    .accepts = accepts_first,
    .model_ns = model_ns_first,
    .prepare = prepare_first,
    .release = release,
    .run = run,
};
