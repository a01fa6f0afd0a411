/* QLinearConv and ConvInteger with constant weights: the sums of 8-bit products are exact, so what
 * comes out is bit for bit what the operator's eval gives.
 *
 * The input is read where it lies, unless it needs padding: then bands of rows are copied into
 * scratch, with the zero point around them. Either way a pixel's channels lie in blocks of `lanes`
 * bytes: vl of the blocked layout, or 4 for up to four channels of a plain input. Where such an
 * input is not grouped or dilated, its pixels have no room between them, and a row of the kernel is
 * one string of bytes. Groups: each
 * block of output channels reads the blocks of input channels that its groups need, against zeros
 * for the rest. Where kernels multiply numbers of 16 bits, bands are always made, and widened,
 * except for maps of one pixel, which take the time of reading the weights: those stay bytes.
 *
 * conv_int8_pairs is for processors without VNNI and weights so small that products of bytes may be
 * added in 16 bits, two at a time, whatever the input is. Weights of 7 bits are, as quantising
 * tools make them for such processors.
 *
 * scratch of a thread: [header][band of bytes, if padded][band of 16 bits, if widened][results, if
 * the output is plain][what the kernel needs] */
#include "base/team.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/int8_common.h"
#include "runtime/impls/scratch.h"

#include <stdlib.h>

enum {
    BAND_BYTES = 128 << 10, /* of a padded band: leaves room in the second-level cache */
    ITEM_MACS = 6 << 20,    /* some 20 us */
    LEAST_MACS = 1 << 20,
    LEAST_PIXELS = 48, /* of a band, each of which uses every weight that is loaded */
    SERIAL_MACS = 1 << 20,
};

/* Slots of the node's inputs. */
typedef struct slots {
    uint32_t w, x_zero, w_zero;
} slots;

static bool is_qlinear(const pare_node *n) { return n->op->name[0] == 'Q'; }
static slots slots_of(const pare_node *n)
{
    return is_qlinear(n) ? (slots){ 3, 2, 5 } : (slots){ 1, 2, 3 };
}

typedef struct packed {
    pare_window g;
    bool from_plain, to_plain, copies, quads, pairs, is_signed, tiles;
    bool string; /* a row of the kernel is one string of kernel[1] * channels bytes */
    uint8_t flip, pad;
    int64_t images, channels, kernels, groups;
    int64_t lanes, in_blocks, out_blocks; /* blocks of input (of `lanes`) and output channels */
    int64_t read_blocks;                  /* input blocks that one output block reads */
    int64_t parts;                   /* a weight less its zero point is the sum of so many bytes */
    int64_t rows, bands;             /* output rows of a band */
    int64_t in_rows, width;          /* of a band in scratch */
    size_t in_block, row, image;     /* bytes between blocks, rows, images of the bytes */
    size_t x_block, x_row, x_number; /* of what the kernel reads, and of a number of it */
    size_t tile;                     /* output blocks whose weights are packed together */
    int64_t chunk, chunks;           /* output blocks in an item */
    uint32_t *pixel, *ones;
    pare_int8_run *run;
    size_t runs, all_quads, all_words;
    int32_t *bias, *w_zero;
    float *scale;
    char *w;
    size_t block_bytes; /* of the packed weights of an output block */
    pare_int8_finish finish;
    /* bytes of scratch before the widened band, the results, and what the kernel needs */
    size_t wide_at, results_at, room_at;
    bool serial;
} packed;

static bool constants(const pare_prepare *p)
{
    bool qlinear = is_qlinear(p->node);
    return pare_int8_constants(p, slots_of(p->node).w, qlinear ? 8 : 99, qlinear ? 6 : 0);
}

/* A matrix product: maps of one pixel, whose channels need no reordering. */
static bool is_product(const pare_prepare *p)
{
    pare_window g;
    pare_conv_window(p->node, &p->in[0], &p->in[slots_of(p->node).w], &g);
    for (int d = 0; d < 2; d++)
        if (g.in[d] != 1 || g.out[d] != 1 || g.kernel[d] != 1 || g.begin[d] != 0) return false;
    return p->in[0].dim[1] % (int64_t)p->kernels->vl == 0;
}

static bool accepts(const pare_prepare *p, bool from_plain, bool to_plain)
{
    const pare_type *x = &p->in[0];
    if (x->rank != 4 || !constants(p)) return false;
    pare_window g;
    pare_conv_window(p->node, x, &p->in[slots_of(p->node).w], &g);
    if (!pare_int8_reaches(&g, x->dim[1] + (int64_t)p->kernels->vl)) return false;
    if (!is_qlinear(p->node) && !to_plain) return false; /* int32 lies plain */
    return !from_plain || x->dim[1] <= 4 || is_product(p);
}
/* Is |v[i]| + |v[i + 1]| <= PARE_INT8_PAIR for all weights v, less their zero point, that are
 * neighbours in a word? */
static bool pairs_fit(const pare_prepare *p, bool from_plain)
{
    slots s = slots_of(p->node);
    if (!p->kernels->int8_pairs || pare_int8_needs_zero(p, s.w, s.w_zero, true)) return false;
    const pare_tensor *w = pare_int8_constant(p, s.w);
    const uint8_t *v = w->data;
    const int64_t in = w->dim[1], columns = w->dim[3], taps = w->dim[2] * columns,
                  groups = p->in[0].dim[1] / in;
    const uint8_t flip = w->dtype == PARE_U8 ? 0x80 : 0;
    if (groups > 1 && in % 2 != 0) return false;
    pare_window g;
    pare_conv_window(p->node, &p->in[0], &p->in[s.w], &g);
    /* Neighbours are channels, and in a string the next column follows the last channel. */
    const bool string = from_plain && !is_product(p) && groups == 1 && g.dilation[1] == 1;
    const int64_t across = string ? columns : 1;
    for (int64_t m = 0; m < w->dim[0]; m++)
        for (int64_t t = 0; t < taps; t += across) {
            const uint8_t *at = v + m * in * taps + t;
            for (int64_t i = 0; i + 1 < in * across; i += 2) {
                int64_t j = i + 1;
                int a = (int8_t)(at[i % in * taps + i / in] ^ flip),
                    b = (int8_t)(at[j % in * taps + j / in] ^ flip);
                if (abs(a) + abs(b) > PARE_INT8_PAIR) return false;
            }
        }
    return true;
}

static double macs_of(const pare_prepare *p)
{
    const pare_type *w = &p->in[slots_of(p->node).w];
    double macs = (double)pare_numel(4, p->out->dim);
    for (int d = 1; d < 4; d++) macs *= (double)w->dim[d];
    return macs;
}

/* Groups leave most of a tile empty. */
static bool by_tiles(const pare_prepare *p)
{
    return p->kernels->int8_tiles && p->in[slots_of(p->node).w].dim[1] == p->in[0].dim[1];
}

/* Weights stay bytes where kernels multiply 16 bits. */
static bool by_bytes(const pare_prepare *p)
{
    slots s = slots_of(p->node);
    return p->out->dim[2] * p->out->dim[3] == 1 && !pare_int8_needs_zero(p, s.w, s.w_zero, true);
}

static double model_ns(const pare_prepare *p, bool pairs, bool to_plain)
{
    const pare_type *w = &p->in[slots_of(p->node).w];
    double wasted = 1; /* groups: by blocks of vl channels */
    if (w->dim[1] < p->in[0].dim[1] && w->dim[1] < (int64_t)p->kernels->vl)
        wasted = (double)p->kernels->vl / (double)w->dim[1];
    double each = p->kernels->vl == 16 ? 0.0025 : pairs ? 0.0085 : 0.011; /* ns of a multiply-add */
    if (by_tiles(p)) /* guessed: a third of the tiles' peak, and copying what each pixel reads */
        each = 0.001 + 0.02 / (double)w->dim[0];
    double weights = (double)pare_numel(4, w->dim) * 0.06;
    if (p->kernels->vl < 16 && (pairs || by_bytes(p))) weights /= 2;
    double ns = macs_of(p) * wasted * each + (double)pare_numel(4, p->in[0].dim) * 0.05;
    ns = ns > weights ? ns : weights;
    if (to_plain) ns += (double)pare_numel(4, p->out->dim); /* scattered, byte by byte */
    return 500 + ns / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->pixel);
    free(k->ones);
    free(k->run);
    free(k->bias);
    free(k->w_zero);
    free(k->scale);
    free(k->w);
    free(k);
}

/* The first input block that output block b reads. */
static int64_t first_block(const packed *k, int64_t vl, int64_t b)
{
    if (k->groups == 1) return 0;
    int64_t group = b * vl / (k->kernels / k->groups),
            block = group * (k->channels / k->groups) / k->lanes;
    return pare_clamp(block, 0, k->in_blocks - k->read_blocks);
}

/* How many input blocks the groups of any output block span. */
static int64_t widest(const packed *k, int64_t vl)
{
    int64_t most = 1, out = k->kernels / k->groups, in = k->channels / k->groups;
    for (int64_t b = 0; b < k->out_blocks; b++) {
        int64_t last = pare_clamp(b * vl + vl, 0, k->kernels) - 1,
                from = b * vl / out * in / k->lanes, to = ((last / out + 1) * in - 1) / k->lanes;
        if (to - from + 1 > most) most = to - from + 1;
    }
    return most;
}

/* Where everything lies; no memory yet. */
static void shape(const pare_prepare *p, packed *k)
{
    const pare_window *g = &k->g;
    int64_t vl = (int64_t)p->kernels->vl;
    bool product = is_product(p);
    k->string = k->from_plain && !product && k->groups == 1 && g->dilation[1] == 1;
    k->lanes = k->string ? k->channels : k->from_plain && !product ? 4 : vl;
    k->in_blocks = pare_up(k->channels, k->lanes);
    k->out_blocks = pare_up(k->kernels, vl);
    k->read_blocks = k->groups == 1 ? k->in_blocks : widest(k, vl);
    k->copies = k->from_plain && !product;
    for (int d = 0; d < 2; d++) /* a window that reaches beyond the input */
        k->copies |= g->begin[d] > 0 || (g->out[d] - 1) * g->stride[d] +
                                                (g->kernel[d] - 1) * g->dilation[d] - g->begin[d] >=
                                            g->in[d];
    int64_t halo = (g->kernel[0] - 1) * g->dilation[0] + 1;
    double row_macs = macs_of(p) / (double)k->images / (double)g->out[0];
    double all = macs_of(p), each = all / 12;
    double faster = k->tiles ? 4 : 1;
    each = each < LEAST_MACS * faster  ? LEAST_MACS * faster
           : each > ITEM_MACS * faster ? ITEM_MACS * faster
                                       : each;
    k->width = (g->out[1] - 1) * g->stride[1] + (g->kernel[1] - 1) * g->dilation[1] + 1;
    k->row = (size_t)((k->copies ? k->width : g->in[1]) * k->lanes);
    k->rows = (int64_t)(each / row_macs * 4);
    int64_t least = pare_up(LEAST_PIXELS, g->out[1]);
    k->rows = pare_clamp(k->rows > least ? k->rows : least, 1, g->out[0]);
    k->x_number = k->quads ? 1 : sizeof(int16_t);
    k->x_row = k->row * k->x_number;
    if (k->copies || !k->quads) {
        int64_t fit = BAND_BYTES / (int64_t)k->x_row / k->in_blocks;
        k->rows = pare_clamp(fit > halo ? (fit - halo) / g->stride[0] + 1 : 1, 1, k->rows);
    }
    k->bands = pare_up(g->out[0], k->rows);
    k->rows = pare_up(g->out[0], k->bands);
    k->bands = pare_up(g->out[0], k->rows);
    k->in_rows = (k->rows - 1) * g->stride[0] + halo;
    k->in_block = k->row * (size_t)(k->copies ? k->in_rows : g->in[0]);
    k->x_block = k->quads ? k->in_block : k->x_row * (size_t)k->in_rows;
    k->image = (size_t)k->in_blocks * (size_t)(g->in[0] * g->in[1] * k->lanes);
    k->tile = k->groups > 1 ? 1 : k->tiles ? 2 : p->kernels->int8_tile;
    int64_t tile = (int64_t)k->tile;
    double block_macs = row_macs * (double)k->rows / (double)k->out_blocks;
    k->chunk = pare_clamp((int64_t)(each / block_macs / (double)tile + 0.5), 1,
                          pare_up(k->out_blocks, tile));
    k->chunk *= tile;
    k->chunks = pare_up(k->out_blocks, k->chunk);
    k->serial = all < SERIAL_MACS * faster;
}

/* One quad of the kernel's reach. */
typedef struct tap {
    int64_t block, y, x, quad;
    int part; /* of the weight, if it has several */
    uint32_t at;
} tap;

static size_t taps_of(const packed *k, tap *to)
{
    const pare_window *g = &k->g;
    size_t n = 0;
    for (int64_t b = 0; b < k->read_blocks; b++) {
        int64_t left = k->groups == 1 ? k->channels - b * k->lanes : k->lanes,
                columns = k->string ? 1 : g->kernel[1],
                quads = pare_up((left < k->lanes ? left : k->lanes) * (g->kernel[1] / columns), 4);
        for (int64_t y = 0; y < g->kernel[0]; y++)
            for (int64_t x = 0; x < columns; x++)
                for (int64_t q = 0; q < quads * k->parts; q++, n++)
                    if (to)
                        to[n] = (tap){ b,
                                       y,
                                       x,
                                       q / k->parts,
                                       (int)(q % k->parts),
                                       (uint32_t)((size_t)b * k->x_block +
                                                  (size_t)(y * g->dilation[0]) * k->x_row +
                                                  (size_t)(x * g->dilation[1] * k->lanes +
                                                           4 * (q / k->parts)) *
                                                      k->x_number) };
    }
    return n;
}

static void make_runs(packed *k, const tap *t)
{
    uint32_t words = (uint32_t)(k->all_words / k->all_quads);
    for (size_t i = 0; i < k->all_quads; i++) {
        pare_int8_run *last = k->runs ? &k->run[k->runs - 1] : NULL;
        if (last && t[i].at == last->at + 4 * last->words)
            last->words += words;
        else
            k->run[k->runs++] = (pare_int8_run){ t[i].at, words };
    }
}

/* The weights of output channel m for tap t, i-th byte; false: there is none. */
static bool weight_index(const packed *k, int64_t vl, int64_t m, const tap *t, int i, int64_t *at)
{
    int64_t in = k->channels / k->groups, group = m / (k->kernels / k->groups), x = t->x;
    int64_t c = (first_block(k, vl, m / vl) + t->block) * k->lanes + 4 * t->quad + i - group * in;
    if (k->string) x = c / in, c = x < k->g.kernel[1] ? c % in : in;
    *at = ((m * in + c) * k->g.kernel[0] + t->y) * k->g.kernel[1] + x;
    return c >= 0 && c < in;
}

/* What the kernel multiplies with; with several parts, bytes that add up to v - zero. */
static int16_t packed_weight(const packed *k, const tap *t, int32_t v, int32_t zero, int32_t shift)
{
    if (k->parts == 1) return (int16_t)(k->w_zero ? v - shift : v - zero);
    int32_t left = v - zero, byte = 0;
    for (int part = 0; part <= t->part; part++, left -= byte)
        byte = (int32_t)pare_clamp(left, -128, 127);
    return (int16_t)byte;
}

static void fill_weights(const pare_prepare *p, packed *k, const tap *taps, int16_t *row)
{
    slots s = slots_of(p->node);
    const pare_tensor *w = pare_int8_constant(p, s.w), *w_zero = pare_int8_constant(p, s.w_zero),
                      *x_zero = pare_int8_constant(p, s.x_zero);
    const uint8_t *bytes = w->data;
    size_t vl = p->kernels->vl, tile = k->tile;
    int32_t shift = k->quads && w->dtype == PARE_U8 ? 128 : 0;
    int32_t zero_x = (int32_t)pare_int8_at(x_zero, 0) + (k->flip ? 128 : 0);
    bool qlinear = is_qlinear(p->node);
    const pare_tensor *bias = qlinear ? pare_int8_constant(p, 8) : NULL;
    size_t span = 4 * k->all_quads; /* numbers in a row */
    for (int64_t first = 0; first < k->out_blocks; first += (int64_t)tile) {
        size_t blocks = (size_t)pare_clamp(k->out_blocks - first, 0, (int64_t)tile);
        memset(row, 0, blocks * vl * span * sizeof *row);
        for (size_t r = 0; r < blocks * vl; r++) {
            int64_t m = first * (int64_t)vl + (int64_t)r;
            if (m >= k->kernels) break;
            int32_t zero = (int32_t)pare_int8_at(w_zero, m), whole = 0;
            for (size_t q = 0; q < k->all_quads; q++)
                for (int i = 0; i < 4; i++) {
                    int64_t at;
                    if (!weight_index(k, (int64_t)vl, m, &taps[q], i, &at)) continue;
                    int32_t v = w->dtype == PARE_U8 ? bytes[at] : (int8_t)bytes[at];
                    if (taps[q].part == 0) whole += v - zero;
                    row[r * span + 4 * q + (size_t)i] = packed_weight(k, &taps[q], v, zero, shift);
                }
            k->bias[m] = (int32_t)((uint32_t)(bias ? (int32_t)pare_int8_at(bias, m) : 0) -
                                   (uint32_t)zero_x * (uint32_t)whole);
            if (k->w_zero) k->w_zero[m] = zero - shift;
            if (qlinear) k->scale[m] = pare_int8_scale(p, m);
        }
        pare_int8_pack(vl, tile, k->quads, blocks * vl, k->all_words, row,
                       k->w + (size_t)first * k->block_bytes);
    }
}

/* How many bytes add up to any weight less its zero point: two fall one short of 255. */
static int bytes_of_weights(const pare_prepare *p)
{
    slots s = slots_of(p->node);
    const pare_tensor *zero = pare_int8_constant(p, s.w_zero);
    double least = p->in[s.w].dtype == PARE_U8 ? 0 : -128;
    for (int64_t i = 0; i < (zero ? pare_tensor_count(zero) : 1); i++)
        if (pare_int8_at(zero, i) == least) return 3;
    return 2;
}

static pare_status fill(const pare_prepare *p, packed *k)
{
    const pare_window *g = &k->g;
    size_t vl = p->kernels->vl, rows = (size_t)k->out_blocks * vl, tile = k->tile, all;
    slots s = slots_of(p->node);
    bool zero = pare_int8_needs_zero(p, s.w, s.w_zero, k->quads);
    /* w_zero takes off sums over all that is read, which with groups is more than the group. */
    k->parts = zero && k->groups > 1 ? bytes_of_weights(p) : 1;
    zero = zero && k->groups == 1;
    k->all_quads = taps_of(k, NULL);
    k->all_words = k->all_quads * 4 / pare_int8_word(k->quads);
    if (!pare_mul_size(pare_int8_packed(vl, vl, k->all_words), (size_t)k->out_blocks, &all))
        return pare_fail(PARE_ENOMEM, "packed weights of %zu quads are too many", k->all_quads);
    k->block_bytes = all / (size_t)k->out_blocks;
    tap *taps = malloc(k->all_quads * sizeof *taps);
    int16_t *row = malloc(tile * vl * 4 * k->all_quads * sizeof *row);
    k->run = malloc(k->all_quads * sizeof *k->run);
    k->pixel = malloc((size_t)(k->rows * g->out[1]) * sizeof *k->pixel);
    k->bias = calloc(rows, sizeof *k->bias);
    k->scale = calloc(rows, sizeof *k->scale);
    k->w = calloc(all + PARE_INT8_BEYOND, 1);
    bool memory = taps && row && k->run && k->pixel && k->bias && k->scale && k->w;
    if (zero) {
        k->w_zero = calloc(rows, sizeof *k->w_zero);
        k->ones = calloc(k->all_quads, sizeof *k->ones);
        memory = memory && k->w_zero && k->ones;
    }
    if (memory) {
        taps_of(k, taps);
        make_runs(k, taps);
        for (size_t q = 0; zero && q < k->all_quads; q++)
            for (int i = 0; i < 4; i++)
                if (taps[q].block * k->lanes + 4 * taps[q].quad + i <
                    k->channels * (k->string ? g->kernel[1] : 1))
                    k->ones[q] |= (uint32_t)1 << 8 * i;
        fill_weights(p, k, taps, row);
        for (int64_t y = 0; y < k->rows; y++)
            for (int64_t x = 0; x < g->out[1]; x++)
                k->pixel[y * g->out[1] + x] =
                    (uint32_t)((size_t)(y * g->stride[0]) * k->x_row +
                               (size_t)(x * g->stride[1] * k->lanes) * k->x_number);
    }
    free(taps);
    free(row);
    return memory ? PARE_OK
                  : pare_fail(PARE_ENOMEM, "no memory for %zu bytes of packed weights", all);
}

static pare_status prepare(const pare_prepare *p, bool pairs, bool from_plain, bool to_plain,
                           void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    slots s = slots_of(p->node);
    k->from_plain = from_plain, k->to_plain = to_plain;
    pare_conv_window(p->node, &p->in[0], &p->in[s.w], &k->g);
    k->images = p->in[0].dim[0];
    k->channels = p->in[0].dim[1];
    k->kernels = p->out[0].dim[1];
    k->groups = k->channels / p->in[s.w].dim[1];
    k->pairs = pairs;
    k->quads = p->kernels->int8_quads || pairs || by_bytes(p);
    k->tiles = by_tiles(p);
    k->is_signed = p->in[0].dtype == PARE_I8;
    k->flip = k->quads ? pare_int8_flip(p->in[0].dtype) : 0;
    k->pad = (uint8_t)(int32_t)pare_int8_at(pare_int8_constant(p, s.x_zero), 0);
    shape(p, k);
    pare_status st = fill(p, k);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    k->finish = (pare_int8_finish){ .bias = k->bias, .scale = k->scale, .w_zero = k->w_zero };
    if (is_qlinear(p->node)) {
        k->finish.zero = (int32_t)pare_int8_at(pare_int8_constant(p, 7), 0);
        pare_int8_limits(p->out[0].dtype, &p->epilogue, k->finish.zero, &k->finish.lo,
                         &k->finish.hi);
    }
    size_t vl = p->kernels->vl;
    k->wide_at = k->copies ? (size_t)k->in_blocks * k->in_block + 64 : 0;
    k->wide_at = (k->wide_at + 63) / 64 * 64;
    k->results_at = k->wide_at + (k->quads ? 0 : (size_t)k->in_blocks * k->x_block + 64);
    k->results_at = (k->results_at + 63) / 64 * 64;
    size_t results = (size_t)k->chunk * (size_t)(k->rows * k->g.out[1]) * vl *
                     (is_qlinear(p->node) ? 1 : sizeof(int32_t));
    *out = k;
    *bytes = (size_t)k->out_blocks * k->block_bytes;
    k->room_at = k->results_at + (k->to_plain ? results : 0);
    *scratch_bytes = PARE_SCRATCH_HEADER + k->room_at;
    if (k->tiles) *scratch_bytes += pare_int8_room(k->all_words, (size_t)(k->rows * k->g.out[1]));
    return PARE_OK;
}

/* Rows of up to four planes side by side, `lanes` bytes a pixel. */
static void copy_planes(const packed *k, int64_t y0, const uint8_t *x, uint8_t *to)
{
    const pare_window *g = &k->g;
    int64_t plane = g->in[0] * g->in[1], begin = pare_clamp(g->begin[1], 0, k->width),
            real = pare_clamp(k->width - begin, 0, g->in[1]), lanes = k->lanes;
    for (int64_t r = 0; r < k->in_rows; r++, to += k->row) {
        int64_t y = y0 + r;
        memset(to, k->pad, k->row);
        if (y < 0 || y >= g->in[0]) continue;
        uint8_t *row = to + lanes * begin;
        const uint8_t *c0 = x + y * g->in[1], *c1 = c0 + plane, *c2 = c1 + plane;
        if (lanes == 3)
            for (int64_t i = 0; i < real; i++)
                row[3 * i] = c0[i], row[3 * i + 1] = c1[i], row[3 * i + 2] = c2[i];
        else
            for (int64_t l = 0; l < k->channels; l++)
                for (int64_t i = 0; i < real; i++) row[lanes * i + l] = c0[l * plane + i];
    }
}

static void copy_band(const packed *k, int64_t y0, const uint8_t *x, uint8_t *to)
{
    if (k->from_plain) {
        copy_planes(k, y0, x, to);
        return;
    }
    size_t plane = (size_t)(k->g.in[0] * k->g.in[1] * k->lanes);
    for (int64_t b = 0; b < k->in_blocks; b++)
        pare_int8_copy_band(&k->g, (size_t)k->lanes, k->pad, y0, k->in_rows, x + (size_t)b * plane,
                            to + (size_t)b * k->in_block, k->row);
}

/* From rows of bytes to a band of 16 bits. */
static void widen_band(const packed *k, const pare_kernels *kernels, int64_t rows, const uint8_t *x,
                       char *to)
{
    for (int64_t b = 0; b < k->in_blocks; b++)
        kernels->int8_widen((size_t)rows * k->row, x + (size_t)b * k->in_block, k->is_signed,
                            (int16_t *)(void *)(to + (size_t)b * k->x_block));
}

/* Results [block][pixel][vl] into planes; `size` bytes a number. */
static void scatter(const packed *k, size_t vl, size_t size, int64_t first, int64_t blocks,
                    size_t pixels, const char *from, char *to, size_t plane)
{
    for (int64_t b = 0; b < blocks; b++)
        for (size_t l = 0; l < vl; l++) {
            size_t channel = (size_t)(first + b) * vl + l;
            if (channel >= (size_t)k->kernels) return;
            for (size_t p = 0; p < pixels; p++)
                memcpy(to + (channel * plane + p) * size,
                       from + (((size_t)b * pixels + p) * vl + l) * size, size);
        }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_window *g = &k->g;
    size_t vl = s->kernels->vl;
    int64_t at = (int64_t)index, chunk = at % k->chunks, place = at /= k->chunks;
    int64_t band = at % k->bands, image = at / k->bands, y0 = band * k->rows;
    int64_t rows = pare_clamp(g->out[0] - y0, 0, k->rows), first = chunk * k->chunk,
            blocks = pare_clamp(k->out_blocks - first, 0, k->chunk);
    pare_scratch scratch = pare_scratch_of(s, thread);
    const uint8_t *x = (const uint8_t *)s->in[0].data + (size_t)image * k->image;
    if (k->from_plain)
        x = (const uint8_t *)s->in[0].data +
            (size_t)image * (size_t)(k->channels * g->in[0] * g->in[1]);
    char *wide = (char *)scratch.data + k->wide_at;
    bool there = *scratch.inside == place;
    int64_t in_rows = k->in_rows;
    if (k->copies) {
        if (!there) copy_band(k, y0 * g->stride[0] - g->begin[0], x, scratch.data);
        x = scratch.data;
    } else {
        x += (size_t)(y0 * g->stride[0]) * k->row;
        in_rows = pare_clamp(g->in[0] - y0 * g->stride[0], 0, in_rows);
    }
    if (!k->quads) {
        if (!there) widen_band(k, s->kernels, in_rows, x, wide);
        x = (const uint8_t *)wide;
    }
    *scratch.inside = place;
    size_t pixels = (size_t)(rows * g->out[1]), plane = (size_t)(g->out[0] * g->out[1]);
    bool qlinear = is_qlinear(s->node);
    pare_int8_conv c = { .vl = vl,
                         .tile = k->tile,
                         .quads = k->quads,
                         .pairs = k->pairs,
                         .x = x,
                         .flip = k->flip,
                         .pixels = pixels,
                         .pixel = k->pixel,
                         .run = k->run,
                         .runs = k->runs,
                         .all_words = k->all_words,
                         .blocks = (size_t)blocks,
                         .w = k->w + (size_t)first * k->block_bytes,
                         .ones = k->ones,
                         .finish = k->finish,
                         .room = (char *)scratch.data + k->room_at };
    char *results = (char *)scratch.data + k->results_at;
    uint8_t *y = s->out[0].data;
    if (k->to_plain) {
        c.y_block = pixels * vl;
        c.y = (uint8_t *)results;
        if (!qlinear) c.sums = (int32_t *)(void *)results;
    } else {
        c.y_block = plane * vl;
        c.y = y + ((size_t)(image * k->out_blocks + first) * plane + (size_t)(y0 * g->out[1])) * vl;
    }
    size_t step = k->groups == 1 ? (size_t)blocks : 1;
    for (size_t b = 0; b < (size_t)blocks; b += step) { /* groups: a block at a time */
        pare_int8_conv part = c;
        int64_t block = first + (int64_t)b;
        part.blocks = step;
        part.x += (size_t)first_block(k, (int64_t)vl, block) * k->x_block;
        part.w = k->w + (size_t)block * k->block_bytes;
        part.y += b * c.y_block;
        if (c.sums) part.sums += b * c.y_block;
        part.finish.bias += block * (int64_t)vl;
        part.finish.scale += block * (int64_t)vl;
        if (k->w_zero) part.finish.w_zero += block * (int64_t)vl;
        (k->tiles ? s->kernels->int8_tiles : s->kernels->int8_conv)(&part);
    }
    if (k->to_plain) {
        size_t size = qlinear ? 1 : sizeof(int32_t);
        scatter(k, vl, size, first, blocks, pixels, results,
                (char *)y +
                    ((size_t)(image * k->kernels) * plane + (size_t)(y0 * g->out[1])) * size,
                plane);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_scratch_forget(s, threads);
    size_t items = (size_t)(k->images * k->bands * k->chunks);
    pare_team_for(items, k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

/* One for each pair of layouts; `fuses` is of a Clip only. */
#define CONV(NAME, PAIRS, FROM_PLAIN, TO_PLAIN)                                                \
    static bool accepts_##NAME(const pare_prepare *p)                                          \
    {                                                                                          \
        return accepts(p, FROM_PLAIN, TO_PLAIN) && (!(PAIRS) || pairs_fit(p, FROM_PLAIN));     \
    }                                                                                          \
    static double model_##NAME(const pare_prepare *p) { return model_ns(p, PAIRS, TO_PLAIN); } \
    static pare_status prepare_##NAME(const pare_prepare *p, void **out, size_t *bytes,        \
                                      size_t *scratch)                                         \
    {                                                                                          \
        return prepare(p, PAIRS, FROM_PLAIN, TO_PLAIN, out, bytes, scratch);                   \
    }                                                                                          \
    const pare_impl pare_impl_##NAME = {                                                       \
        .name = #NAME,                                                                         \
        .op = "QLinearConv|ConvInteger",                                                       \
        .packs = true,                                                                         \
        .fuses = true,                                                                         \
        .takes = (FROM_PLAIN) ? PARE_PLAIN : PARE_BLOCKED,                                     \
        .gives = (TO_PLAIN) ? PARE_PLAIN : PARE_BLOCKED,                                       \
        .accepts = accepts_##NAME,                                                             \
        .model_ns = model_##NAME,                                                              \
        .prepare = prepare_##NAME,                                                             \
        .release = release,                                                                    \
        .run = run,                                                                            \
    };
CONV(conv_int8, false, false, false)
CONV(conv_int8_to_plain, false, false, true)
CONV(conv_int8_from_plain, false, true, false)
CONV(conv_int8_plain, false, true, true)
CONV(conv_int8_pairs, true, false, false)
CONV(conv_int8_pairs_first, true, true, false)
