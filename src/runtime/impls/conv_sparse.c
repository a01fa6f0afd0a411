/* Convolution whose weight is stored sparse: as basis kernels and coefficients (PENNI, two stages:
 * basis responses, then sparse sums of them), or as a bit mask and the kept numbers (sums of
 * shifted channels).
 *
 * A tile is 1, 2, 4 or 8 vectors of neighbouring output pixels. Its rows of z (basis responses, or
 * shifted channels) are made block by block, as many as stay in L1, and all output channels take
 * their terms from a block while it is there. The order of the terms of a channel is fixed when
 * they are packed, whatever the tiling: results do not depend on threads. Rows of z come from the
 * input in one of two ways:
 *
 * - direct, with stride 1 and an output as large as the input: tap t of pixel i is x[i + off[t]],
 *   and masks tell where that is outside. Nothing is copied, and vectors run on from row to row, so
 *   that a picture of 4x4 is one full vector of 16.
 * - filled, anything else: the rows of a band are laid out first, one plane for each kernel column
 *   and row phase, as wide as the output, with zeros around.
 *
 * Few tiles leave threads idle: then output channels are cut into chunks. Each thread that meets a
 * tile makes the whole z itself and keeps it for the tile's other chunks, which costs less than
 * waiting for each other. */
#include "base/team.h"
#include "codecs/mask.h"
#include "codecs/penni.h"
#include "ops/conv_attrs.h"
#include "runtime/impl.h"
#include "runtime/impls/scratch.h"
#include "runtime/impls/sparse_form.h"

#include <math.h>
#include <stdlib.h>

enum {
    Z_BYTES = 36 << 10,       /* a block of z, in L1 */
    Z_BYTES_MOST = 144 << 10, /* in L2: when a channel has too few terms in less */
    TERMS_WANTED = 6,         /* of an output channel in a block */
    ITEM_MACS = 600000,
    SERIAL_MACS = 150000, /* below this, waking threads costs more than it saves */
    BAND_MACS = 500000,
    BAND_FLOATS = 1 << 28 /* of a band's planes, at most: offsets into them have 31 bits */
};
static const double ns_per_cycle = 0.27;

typedef struct block {
    uint32_t first, count; /* channels, or rows of z where they are shifts */
    uint32_t rows, row0;   /* of z, the leading row of zeros included; rows of the blocks before */
} block;

/* Terms of one block for the output channels of one chunk. */
typedef struct stream {
    size_t groups, step, row, term; /* where its parts begin */
} stream;

typedef struct packed {
    /* Sizes, decided by design(). */
    pare_window w;
    size_t images, n_out, c_in, taps, d, nonzeros, used;
    bool direct, shifts;
    size_t vl, vectors, tile; /* tile: pixels */
    size_t band_rows, bands, band_pixels;
    size_t chunks, chunk_rows; /* output channels in a chunk */
    size_t fit;                /* rows of z in a block, at most */
    double cycles;             /* of one image */
    /* Made by build(). */
    pare_conv_fill fill;
    int64_t reach[PARE_CONV_PLANES];
    int64_t phase[PARE_CONV_PLANES];
    size_t plane, buffer; /* floats of a channel; of the band's buffer */
    size_t n_blocks, n_channels, rows_most, rows_all;
    int32_t *off;
    uint16_t *mask;
    block *block;
    pare_sparse_channel *channel;
    pare_sparse_shift *shifted;
    float *tables;
    stream *stream; /* [chunks][n_blocks] */
    uint32_t *step, *row;
    float *value;
    uint16_t *at;
    float *shift; /* n_out: bias and the epilogue's shift; its scale is in the values */
} packed;

/* Numbers of the planes of a band of so many output rows, all channels; an upper bound. */
static double band_floats(const pare_window *w, double channels, double rows)
{
    double phases = (double)(w->kernel[0] < w->stride[0] ? w->kernel[0] : w->stride[0]);
    rows += (double)((w->kernel[0] - 1) * w->dilation[0]) / (double)w->stride[0];
    return channels * phases * (double)w->kernel[1] * rows * (double)w->out[1];
}

/* A float32 Conv of two dimensions and one group with constant or no bias. */
static bool accepts(const pare_prepare *p)
{
    const pare_conv_attrs *a = p->node->attrs;
    const pare_weight *b = p->weight[2];
    if (p->in[0].dtype != PARE_F32 || p->in[0].rank != 4 || a->group != 1) return false;
    if (p->in[2].dtype != PARE_UNDEFINED && (!b || b->codec)) return false;
    pare_window w;
    pare_conv_window(p->node, &p->in[0], &p->in[1], &w);
    int64_t most = INT64_C(1) << 15;
    for (int d = 0; d < 2; d++)
        if (w.begin[d] < 0 || w.end[d] < 0 || w.begin[d] >= most || w.stride[d] >= most ||
            w.kernel[d] > PARE_CONV_PLANES || w.dilation[d] >= most || w.in[d] >= most ||
            w.out[d] >= most)
            return false;
    if (band_floats(&w, (double)p->in[0].dim[1], 1) > BAND_FLOATS) return false;
    /* A channel's rows of z, which stay together, must not leave the reach of 16-bit offsets. */
    const pare_weight *weight = p->weight[1];
    if (weight->codec == &pare_codec_penni && weight->part[PARE_PENNI_BASIS].dim[0] > 256)
        return false;
    return p->in[0].dim[1] < most && p->in[0].dim[1] * w.in[0] * w.in[1] < INT32_MAX / 2;
}

static size_t div_up(size_t a, size_t b) { return (a + b - 1) / b; }
static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* --- design: what is decided by size --- */

static void geometry(const pare_prepare *p, const pare_sparse_form *f, packed *k)
{
    pare_conv_window(p->node, &p->in[0], &p->in[1], &k->w);
    const pare_window *w = &k->w;
    k->images = (size_t)p->in[0].dim[0];
    k->n_out = f->n, k->c_in = f->c, k->d = f->d, k->nonzeros = f->nonzeros;
    k->taps = (size_t)(w->kernel[0] * w->kernel[1]);
    k->shifts = !f->basis;
    k->vl = p->kernels->vl;
    k->direct = w->stride[0] == 1 && w->stride[1] == 1 && w->in[0] == w->out[0] &&
                w->in[1] == w->out[1] && k->taps <= PARE_SPARSE_MASKED_TAPS;
}

/* Which (channel, basis kernel) or (channel, tap) pairs some output channel uses; NULL if out of
 * memory. */
static bool *used_pairs(const pare_sparse_form *f, size_t *count)
{
    size_t pairs = f->c * f->d;
    bool *used = calloc(pairs + 1, sizeof *used);
    *count = 0;
    for (size_t n = 0, i = 0; used && n < f->n; n++)
        for (size_t j = 0; j < pairs; j++, i++)
            if (pare_mask_get(f->mask, (int64_t)i) && !used[j]) {
                used[j] = true;
                ++*count;
            }
    return used;
}

static double macs_of(const packed *k)
{
    double pixels = (double)(k->w.out[0] * k->w.out[1]);
    return pixels * ((k->shifts ? 0 : (double)(k->used * k->taps)) + (double)k->nonzeros);
}

/* Cuts the picture into bands, tiles of `vectors`, chunks and blocks; a rough count of cycles. */
static void cut(packed *k, size_t vectors)
{
    double used = (double)k->used, terms = (double)k->nonzeros, n = (double)k->n_out,
           v = (double)vectors;
    size_t out_y = (size_t)k->w.out[0], out_x = (size_t)k->w.out[1], pixels = out_y * out_x;
    k->vectors = vectors;
    k->tile = vectors * k->vl;
    if (k->direct) {
        k->band_pixels = k->tile;
        k->bands = div_up(pixels, k->tile);
    } else {
        size_t bands = (size_t)(macs_of(k) / BAND_MACS) + 1;
        k->band_rows = div_up(out_y, least(bands, out_y));
        while (band_floats(&k->w, (double)k->c_in, (double)k->band_rows) > BAND_FLOATS)
            k->band_rows = div_up(k->band_rows, 2);
        k->bands = div_up(out_y, k->band_rows);
        k->band_pixels = k->band_rows * out_x;
    }
    double tiles = (double)(k->bands * div_up(k->band_pixels, k->tile));

    size_t row_bytes = k->tile * sizeof(float);
    double each = used > 0 ? terms / (n * used) : 0; /* terms of an output channel in a row */
    k->fit = Z_BYTES / row_bytes;
    while (k->fit * row_bytes < Z_BYTES_MOST && each * (double)k->fit < TERMS_WANTED) k->fit *= 2;
    size_t blocks = div_up(k->used ? k->used : 1, k->fit);
    k->fit = div_up(k->used, blocks) + 4; /* channels are not cut */
    bool near = k->fit * row_bytes <= Z_BYTES + (8 << 10);

    /* A tile whose chunks make z more than once wants to be alone in its band. */
    k->chunks = 1;
    if (div_up(k->band_pixels, k->tile) == 1) {
        double items = (double)(k->bands * k->images),
               want = macs_of(k) * (double)k->images / ITEM_MACS;
        double chunks = items < 4 ? want / items : 1, most = n / 64;
        if (chunks > most) chunks = most;
        k->chunks = chunks < 1 ? 1 : (size_t)chunks;
    }
    k->chunk_rows = div_up(k->n_out, k->chunks);
    k->chunks = div_up(k->n_out, k->chunk_rows);

    double first = k->shifts ? used * v * 2
                             : used * (double)k->taps *
                                   (vectors == 1   ? 1.04
                                    : vectors == 2 ? 1.6
                                                   : 0.72 * v);
    if (k->chunks > 1) first *= 1.5;
    double second = terms * (0.4 + (near ? 0.62 : 0.9) * v);
    second += (double)blocks * n * (3 + (blocks > 1 ? 2 * v : 0)) + n * v * 2;
    k->cycles = tiles * (first + second + 300);
    if (!k->direct) {
        double lines = (double)(k->bands * k->c_in) * (double)k->w.kernel[1] *
                       ((double)k->band_rows * (double)k->w.stride[0] + (double)k->w.kernel[0]);
        k->cycles += lines * (6 + (double)out_x / (double)k->vl * (k->w.stride[1] > 1 ? 4 : 1.5));
    }
}

static void design(const pare_prepare *p, const pare_sparse_form *f, packed *k)
{
    geometry(p, f, k);
    packed best = { 0 };
    for (size_t v = 1; v <= PARE_SPARSE_VECTORS; v *= 2) {
        cut(k, v);
        if (v == 1 || k->cycles < best.cycles) best = *k;
    }
    *k = best;
}

static packed measure(const pare_prepare *p)
{
    pare_sparse_form f = pare_sparse_form_of(p->weight[1]);
    packed k = { 0 };
    bool *used = used_pairs(&f, &k.used);
    if (!used) k.used = f.c * f.d; /* out of memory: an upper bound */
    free(used);
    design(p, &f, &k);
    return k;
}

static double macs(const pare_prepare *p)
{
    packed k = measure(p);
    return macs_of(&k) * (double)k.images;
}

static double model_ns(const pare_prepare *p)
{
    packed k = measure(p);
    double ns = (double)k.images * k.cycles * ns_per_cycle;
    size_t items = k.images * k.bands * k.chunks;
    if (p->threads > 1 && items > 1 && macs_of(&k) * (double)k.images >= SERIAL_MACS) {
        double turns = (double)div_up(items, (size_t)p->threads);
        ns = ns * turns / (double)items + 1000;
    }
    return ns + 500;
}

/* --- build --- */

static void release(void *memory)
{
    packed *k = memory;
    if (!k) return;
    free(k->off);
    free(k->mask);
    free(k->block);
    free(k->channel);
    free(k->shifted);
    free(k->tables);
    free(k->stream);
    free(k->step);
    free(k->row);
    free(k->value);
    free(k->at);
    free(k->shift);
    free(k);
}

/* Taps of a picture that is read where it lies. */
static bool direct_taps(packed *k)
{
    const pare_window *w = &k->w;
    int64_t out_y = w->out[0], out_x = w->out[1];
    size_t vectors = k->bands * k->vectors;
    k->plane = (size_t)(out_y * out_x);
    k->mask = calloc(vectors * k->taps, sizeof *k->mask);
    if (!k->mask) return false;
    size_t t = 0;
    for (int64_t ky = 0; ky < w->kernel[0]; ky++)
        for (int64_t kx = 0; kx < w->kernel[1]; kx++, t++) {
            int64_t dy = ky * w->dilation[0] - w->begin[0], dx = kx * w->dilation[1] - w->begin[1];
            k->off[t] = (int32_t)(dy * out_x + dx);
            for (int64_t y = 0; y < out_y; y++)
                for (int64_t x = 0; x < out_x; x++) {
                    if (y + dy < 0 || y + dy >= out_y || x + dx < 0 || x + dx >= out_x) continue;
                    size_t i = (size_t)(y * out_x + x);
                    k->mask[i / k->vl * k->taps + t] |= (uint16_t)(1u << i % k->vl);
                }
        }
    return true;
}

/* Planes of a band: [channel][row phase][kernel column][rows][out_x]. */
static void filled_taps(packed *k)
{
    const pare_window *w = &k->w;
    pare_conv_fill *f = &k->fill;
    size_t out_x = (size_t)w->out[1], at = 0, place[PARE_CONV_PLANES];
    *f = (pare_conv_fill){ .channels = k->c_in,
                           .channel = (size_t)(w->in[0] * w->in[1]),
                           .in_y = w->in[0],
                           .in_x = w->in[1],
                           .stride_y = w->stride[0],
                           .stride_x = w->stride[1],
                           .col_planes = (size_t)w->kernel[1],
                           .width = out_x };
    for (int64_t ky = 0; ky < w->kernel[0]; ky++) {
        int64_t phase = ky * w->dilation[0] % w->stride[0];
        size_t i = 0;
        while (i < f->row_phases && k->phase[i] != phase) i++;
        if (i == f->row_phases) f->row_phases++;
        k->phase[i] = phase;
        k->reach[i] = ky * w->dilation[0] / w->stride[0]; /* rises with ky */
    }
    for (int64_t kx = 0; kx < w->kernel[1]; kx++) f->shift[kx] = kx * w->dilation[1] - w->begin[1];
    for (size_t i = 0; i < f->row_phases; i++) {
        place[i] = at;
        at += (size_t)w->kernel[1] * (k->band_rows + (size_t)k->reach[i]) * out_x;
    }
    k->plane = at;
    k->buffer = k->c_in * at + k->tile + 16;
    size_t t = 0;
    for (int64_t ky = 0; ky < w->kernel[0]; ky++)
        for (int64_t kx = 0; kx < w->kernel[1]; kx++, t++) {
            int64_t dy = ky * w->dilation[0];
            size_t i = 0;
            while (k->phase[i] != dy % w->stride[0]) i++;
            size_t rows = k->band_rows + (size_t)k->reach[i];
            k->off[t] =
                (int32_t)(place[i] + ((size_t)kx * rows + (size_t)(dy / w->stride[0])) * out_x);
        }
}

/* A new block where `rows` more would not fit; returns the row, within its block, of the next. */
static uint32_t place_rows(packed *k, uint32_t unit, uint32_t rows)
{
    block *b = k->n_blocks ? &k->block[k->n_blocks - 1] : NULL;
    if (!b || b->rows + rows > k->fit + 1) {
        uint32_t row0 = b ? b->row0 + b->rows : 0;
        b = &k->block[k->n_blocks++];
        *b = (block){ .first = unit, .rows = 1, .row0 = row0 };
    }
    uint32_t row = b->rows;
    b->count++;
    b->rows += rows;
    if (b->rows > k->rows_most) k->rows_most = b->rows;
    k->rows_all = b->row0 + b->rows;
    return row;
}

/* Where each pair's row of z lies. */
typedef struct place {
    uint32_t block, row;
} place;

/* Rows of z in blocks. Channels that use the same number of basis kernels follow each other, so
 * that the kernel's branches are foreseeable. */
static void place_pairs(packed *k, const pare_sparse_form *f, const bool *used, place *to)
{
    size_t d = f->d;
    if (k->shifts) {
        for (size_t i = 0, r = 0; i < f->c * d; i++) {
            if (!used[i]) continue;
            k->shifted[r] = (pare_sparse_shift){ (uint32_t)(i / d), (uint32_t)(i % d) };
            uint32_t row = place_rows(k, (uint32_t)r++, 1);
            to[i] = (place){ (uint32_t)k->n_blocks - 1, row };
        }
        return;
    }
    uint32_t table = 0;
    for (size_t wanted = d; wanted > 0; wanted--)
        for (size_t c = 0; c < f->c; c++) {
            pare_sparse_channel ch = { .input = (uint32_t)c, .table = table };
            for (size_t m = 0; m < d; m++) ch.used += used[c * d + m];
            if (ch.used != wanted) continue;
            for (size_t t = 0; t < k->taps; t++)
                for (size_t m = 0; m < d; m++)
                    if (used[c * d + m]) k->tables[table++] = f->basis[m * k->taps + t];
            uint32_t row = place_rows(k, (uint32_t)k->n_channels, ch.used);
            for (size_t m = 0; m < d; m++)
                if (used[c * d + m]) to[c * d + m] = (place){ (uint32_t)k->n_blocks - 1, row++ };
            k->channel[k->n_channels++] = ch;
        }
}

/* Working memory of the streams: terms in (row of the matrix, pair) order as stored. */
typedef struct sorter {
    const pare_sparse_form *f;
    const place *place;
    const float *scale;
    size_t *start; /* [n][n_blocks + 1]: terms of row n by block, within `term` */
    struct sorted_term {
        float value;
        uint32_t row;
    } * term;
    uint32_t *order; /* rows of a chunk */
} sorter;

/* Sorts the terms of each row by block and place. */
static void sort_terms(packed *k, sorter *s)
{
    const pare_sparse_form *f = s->f;
    size_t pairs = f->c * f->d, nb = k->n_blocks, v = 0, base = 0;
    for (size_t n = 0, i = 0; n < f->n; n++) {
        size_t *start = s->start + n * (nb + 1), i0 = i, v0 = v;
        for (size_t j = 0; j < pairs; j++, i++)
            if (pare_mask_get(f->mask, (int64_t)i)) start[s->place[j].block + 1]++;
        start[0] = base;
        for (size_t b = 0; b < nb; b++) start[b + 1] += start[b];
        i = i0, v = v0;
        for (size_t j = 0; j < pairs; j++, i++) {
            if (!pare_mask_get(f->mask, (int64_t)i)) continue;
            float x = f->values[v++] * f->factor;
            s->term[start[s->place[j].block]++] =
                (struct sorted_term){ s->scale ? x * s->scale[n] : x, s->place[j].row };
        }
        for (size_t b = nb; b > 0; b--) start[b] = start[b - 1]; /* back to where they begin */
        start[0] = base;
        base += v - v0;
        if (nb) start[nb] = base;
    }
}

static size_t length(const packed *k, const sorter *s, uint32_t n, size_t b)
{
    const size_t *start = s->start + n * (k->n_blocks + 1) + b;
    return start[1] - start[0];
}

/* Output channels of a chunk, those with most terms in block b first: groups of equal length. */
static void order_rows(const packed *k, const sorter *s, size_t n0, size_t rows, size_t b)
{
    size_t longest = 0, at = 0;
    for (size_t r = 0; r < rows; r++) {
        size_t len = length(k, s, (uint32_t)(n0 + r), b);
        if (len > longest) longest = len;
    }
    for (size_t len = longest + 1; len-- > 0;)
        for (size_t r = 0; r < rows && at < rows; r++)
            if (length(k, s, (uint32_t)(n0 + r), b) == len) s->order[at++] = (uint32_t)r;
}

/* Counts (k->value NULL) or fills the streams of all chunks and blocks. Returns the terms. */
static size_t streams(packed *k, const sorter *s, size_t *groups_all)
{
    size_t members = PARE_SPARSE_SUMS / k->vectors, unit = members < 4 ? 4 : members, term = 0,
           group = 0;
    for (size_t c = 0; c < k->chunks; c++) {
        size_t n0 = c * k->chunk_rows, rows = least(k->chunk_rows, k->n_out - n0);
        for (size_t b = 0; b < k->n_blocks; b++) {
            stream *to = &k->stream[c * k->n_blocks + b];
            *to = (stream){ .step = group, .row = group * members, .term = term };
            order_rows(k, s, n0, rows, b);
            for (size_t g = 0; g < rows; g += members) {
                size_t longest = length(k, s, (uint32_t)(n0 + s->order[g]), b);
                if (!longest && b > 0 && b + 1 < k->n_blocks) break; /* nothing for the others */
                size_t steps = div_up(longest * members, unit);
                for (size_t j = 0; k->value && j < members; j++) {
                    bool real = g + j < rows;
                    uint32_t r = real ? s->order[g + j] : (uint32_t)rows;
                    k->row[(group)*members + j] = r;
                    if (!real) continue;
                    size_t from = s->start[(n0 + r) * (k->n_blocks + 1) + b],
                           len = length(k, s, (uint32_t)(n0 + r), b);
                    for (size_t i = 0; i < len; i++) {
                        k->value[term + i * members + j] = s->term[from + i].value;
                        k->at[term + i * members + j] =
                            (uint16_t)(s->term[from + i].row * (k->tile / 2));
                    }
                }
                if (k->value) k->step[group] = (uint32_t)steps;
                term += steps * unit;
                group++;
            }
            to->groups = group - to->step;
        }
    }
    *groups_all = group;
    return term;
}

static bool build_streams(packed *k, sorter *s)
{
    size_t groups, members = PARE_SPARSE_SUMS / k->vectors;
    k->stream = calloc(k->chunks * k->n_blocks + 1, sizeof *k->stream);
    s->start = calloc(k->n_out * (k->n_blocks + 1) + 1, sizeof *s->start);
    s->term = malloc((k->nonzeros + 1) * sizeof *s->term);
    s->order = malloc((k->n_out + 1) * sizeof *s->order);
    bool ok = k->stream && s->start && s->term && s->order;
    if (ok) {
        sort_terms(k, s);
        size_t terms = streams(k, s, &groups);
        k->value = aligned_alloc(64, (terms * sizeof *k->value + 127) / 64 * 64);
        k->at = aligned_alloc(64, (terms * sizeof *k->at + 127) / 64 * 64);
        k->step = calloc(groups + 1, sizeof *k->step);
        k->row = calloc(groups * members + 1, sizeof *k->row);
        ok = k->value && k->at && k->step && k->row;
        if (ok) { /* what is not filled weighs the row of zeros */
            memset(k->value, 0, terms * sizeof *k->value);
            memset(k->at, 0, terms * sizeof *k->at);
            streams(k, s, &groups);
        }
    }
    free(s->start);
    free(s->term);
    free(s->order);
    return ok;
}

static bool build(const pare_prepare *p, const pare_sparse_form *f, packed *k)
{
    size_t pairs = f->c * f->d;
    bool *used = used_pairs(f, &k->used);
    place *to = calloc(pairs + 1, sizeof *to);
    if (used) design(p, f, k);
    k->off = calloc(k->taps + 1, sizeof *k->off);
    k->block = calloc(pairs + 2, sizeof *k->block);
    k->channel = calloc(k->shifts ? 1 : f->c + 1, sizeof *k->channel);
    k->shifted = calloc(k->shifts ? k->used + 1 : 1, sizeof *k->shifted);
    k->tables = calloc(k->shifts ? 1 : k->used * k->taps + 1, sizeof *k->tables);
    k->shift = calloc(f->n + 1, sizeof *k->shift);
    bool ok = used && to && k->off && k->block && k->channel && k->shifted && k->tables && k->shift;
    if (ok) {
        if (k->direct)
            ok = direct_taps(k);
        else
            filled_taps(k);
    }
    if (ok) {
        place_pairs(k, f, used, to);
        if (!k->n_blocks) place_rows(k, 0, 0); /* nothing kept: a block of the row of zeros */
        k->block[0].count -= k->used == 0;
        const float *bias = p->weight[2] ? p->weight[2]->part[0].data : NULL;
        const float *scale = p->epilogue.scale, *shift = p->epilogue.shift;
        for (size_t n = 0; n < f->n; n++)
            k->shift[n] = (bias ? bias[n] : 0) * (scale ? scale[n] : 1) + (shift ? shift[n] : 0);
        ok = build_streams(k, &(sorter){ .f = f, .place = to, .scale = scale });
    }
    free(used);
    free(to);
    return ok;
}

/* z of a tile with several chunks holds all blocks, otherwise one. */
static size_t z_rows(const packed *k) { return k->chunks > 1 ? k->rows_all : k->rows_most; }

static pare_status prepare(const pare_prepare *p, void **out, size_t *packed_bytes,
                           size_t *scratch_bytes)
{
    pare_sparse_form f = pare_sparse_form_of(p->weight[1]);
    packed *k = calloc(1, sizeof *k);
    if (!k || !build(p, &f, k)) {
        release(k);
        return pare_fail(PARE_ENOMEM, "no memory for a sparse convolution of %zu terms",
                         f.nonzeros);
    }
    size_t buffer = (k->buffer + 15) / 16 * 16;
    *scratch_bytes =
        PARE_SCRATCH_HEADER + (buffer + (z_rows(k) + k->chunk_rows + 1) * k->tile) * sizeof(float);
    *packed_bytes = k->nonzeros * (sizeof *k->value + sizeof *k->at) +
                    (k->shifts ? 0 : k->used * k->taps * sizeof(float));
    *out = k;
    return PARE_OK;
}

/* --- running --- */

/* A thread's scratch: what lies in it, the band's buffer, z, sums. */
typedef struct room {
    int64_t *band, *tile; /* the item whose band and whose z are there; -1: none */
    float *buffer, *z, *acc;
} room;

static room room_of(const pare_step *s, int thread)
{
    const packed *k = s->packed;
    pare_scratch scratch = pare_scratch_of(s, thread);
    float *buffer = scratch.data, *z = buffer + (k->buffer + 15) / 16 * 16;
    return (room){ scratch.inside, scratch.inside + 1, buffer, z, z + z_rows(k) * k->tile };
}

static void fill_band(const pare_step *s, size_t image, size_t band, size_t rows, float *buffer)
{
    const packed *k = s->packed;
    const pare_window *w = &k->w;
    pare_conv_fill f = k->fill;
    for (size_t i = 0; i < f.row_phases; i++) {
        f.first[i] = (int64_t)(band * k->band_rows) * w->stride[0] + k->phase[i] - w->begin[0];
        f.rows[i] = rows + (size_t)k->reach[i];
        f.skip[i] = k->band_rows - rows;
    }
    f.x = (const float *)s->in[0].data + image * k->c_in * f.channel;
    f.to = buffer;
    s->kernels->conv_fill(&f);
}

static void make_block(const pare_step *s, const pare_sparse_source *source, const block *b,
                       float *z)
{
    const packed *k = s->packed;
    memset(z, 0, k->tile * sizeof *z);
    if (k->shifts)
        s->kernels->sparse_shift(source, b->count, k->shifted + b->first, z + k->tile);
    else
        s->kernels->sparse_basis(source, b->count, k->channel + b->first, k->tables, z + k->tile);
}

/* One tile, one chunk of output channels. `pixel`: its first; `pixels`: how many are real. */
static void run_tile(const pare_step *s, const room *r, size_t image, size_t chunk, size_t pixel,
                     size_t pixels, const pare_sparse_source *source, int64_t name)
{
    const packed *k = s->packed;
    bool whole = k->chunks > 1;
    if (whole && *r->tile != name)
        for (size_t b = 0; b < k->n_blocks; b++)
            make_block(s, source, &k->block[b], r->z + k->block[b].row0 * k->tile);
    *r->tile = name;
    size_t n0 = chunk * k->chunk_rows, plane = (size_t)(k->w.out[0] * k->w.out[1]),
           y = (image * k->n_out + n0) * plane + pixel;
    const pare_epilogue *e = &s->epilogue;
    pare_sparse_combine c = {
        .vl = k->vl,
        .vectors = k->vectors,
        .rows = least(k->chunk_rows, k->n_out - n0),
        .z = r->z,
        .acc = r->acc,
        .shift = k->shift + n0,
        .y = (float *)s->out[0].data + y,
        .residual = e->residual ? (const float *)s->in[s->node->n_in].data + y : NULL,
        .plane = plane,
        .pixels = pixels,
        .act = e->act,
        .lo = e->lo,
        .hi = e->hi,
        .alpha = e->alpha,
    };
    for (size_t b = 0; b < k->n_blocks; b++) {
        const stream *t = &k->stream[chunk * k->n_blocks + b];
        if (whole)
            c.z = r->z + k->block[b].row0 * k->tile;
        else
            make_block(s, source, &k->block[b], r->z);
        c.groups = t->groups;
        c.step = k->step + t->step;
        c.row = k->row + t->row;
        c.value = k->value + t->term;
        c.off = k->at + t->term;
        c.first = b == 0;
        c.last = b + 1 == k->n_blocks;
        s->kernels->sparse_combine(&c);
    }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    room r = room_of(s, thread);
    size_t chunk = index % k->chunks, name = index / k->chunks, band = name % k->bands,
           image = name / k->bands, first = band * k->band_pixels;
    size_t pixels = least(k->band_pixels, (size_t)(k->w.out[0] * k->w.out[1]) - first);
    pare_sparse_source source = {
        .vl = k->vl, .vectors = k->vectors, .plane = k->plane, .taps = k->taps, .off = k->off
    };
    if (k->direct) {
        source.x = (const float *)s->in[0].data + image * k->c_in * k->plane + first;
        source.mask = k->mask + band * k->vectors * k->taps;
    } else {
        if (*r.band != (int64_t)name)
            fill_band(s, image, band, pixels / (size_t)k->w.out[1], r.buffer);
        *r.band = (int64_t)name;
        source.x = r.buffer;
    }
    for (size_t at = 0; at < pixels; at += k->tile, source.x += k->tile)
        run_tile(s, &r, image, chunk, first + at, least(k->tile, pixels - at), &source,
                 (int64_t)name);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_scratch_forget(s, threads);
    bool serial = macs_of(k) * (double)k->images < SERIAL_MACS;
    pare_team_for(k->images * k->bands * k->chunks, serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

#define IMPL(ID, CODEC)                \
    const pare_impl pare_impl_##ID = { \
        .name = #ID,                   \
        .op = "Conv",                  \
        .codec = CODEC,                \
        .packs = true,                 \
        .fuses = true,                 \
        .accepts = accepts,            \
        .model_ns = model_ns,          \
        .prepare = prepare,            \
        .release = release,            \
        .run = run,                    \
        .macs = macs,                  \
    }

IMPL(conv_penni, "penni");
IMPL(conv_sparse, "bitmap");
