/* QLinearConv whose constant weights take few values and whose input is proven to take few: codes
 * of at most 4 bits each, by table look-up (kernels/lowbit.h). The sums are exact, so what comes
 * out is bit for bit what the operator's eval gives.
 *
 * The weights of output channel m are step_m * q + least_m with codes q, the input is r + lo with
 * codes r, where the zero point, which stands around the input, is one of them. Then
 *
 *   sum (w - w_zero)(x - x_zero) = step * sum q r + (least - w_zero) * sum r
 *                                  + (lo - x_zero) * sum (w - w_zero)
 *
 * Per band of output rows: codes of all its input pixels, and their sums in every window. Then
 * strips of a few columns from top to bottom: tables are made for those rows of the input that no
 * earlier row of the strip left behind, and stay in the first-level cache. Where the tables of all
 * channels do not fit there, parts of the channels follow each other, and sums wait in scratch. */
#include "base/team.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/int8_common.h"
#include "runtime/impls/scratch.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

enum {
    TABLE_BYTES = 24 << 10, /* of a strip: leaves room in the first-level cache */
    CODES_BYTES = 192 << 10,
    SUMS_BYTES = 256 << 10, /* that wait */
    MOST_BYTES = 1 << 26,   /* of scratch */
    MOST_WORD = 65535,
    ITEM_MACS = 28 << 20, /* some 25 us */
    MOST_ITEMS = 1000,    /* of an image */
    SERIAL_MACS = 4 << 20,
    PIXELS = PARE_LOWBIT_PIXELS,
    W = 3, /* slots of the node's inputs */
    W_ZERO = 5,
    X_ZERO = 2,
    BIAS = 8,
};

/* Where the weights of a tap lie: behind those of `before` taps, in a run of `taps`. */
typedef struct tap {
    uint32_t before, taps, place;
} tap;

typedef struct packed {
    pare_window g; /* stride 1 where there is one output */
    int64_t images, channels, kernels, in_blocks, out_blocks, vectors;
    uint8_t lo, pad; /* smallest input; code of the zero point */
    int most;        /* largest code */
    int planes;
    size_t span, entries, filters, groups, codes_step;
    size_t taps, slots; /* slots: tables of a group and a row of a strip */
    int64_t ring;       /* rows of tables that are kept */
    size_t part, parts; /* groups of a part */
    size_t
        fit[PARE_LOWBIT_TAPS]; /* groups whose sums under so many taps, and one more, are bytes */
    bool wide;                 /* sums have more than 16 bits */
    int64_t strips;
    int64_t rows, bands, in_rows, width; /* of a band; width with padding */
    int64_t chunk, chunks;               /* vectors of filters in an item */
    size_t row_at, holds_at, codes_at, code_sum_at, box_at, sum_at, wide_at, bytes; /* scratch */
    bool serial;

    pare_lowbit_run *run;
    size_t runs;
    tap *tap;
    uint32_t *slot; /* bytes from a strip's codes to those of each table */
    uint32_t *box;  /* taps of the sums of codes */
    int32_t *alpha, *beta, *bias;
    float *scale;
    bool boxes; /* some beta is not 0 */
    uint8_t *w; /* [part][vector][plane][run][group][tap][filters] */
    pare_int8_finish finish;
    /* Outputs found by comparing: [vector][2 + steps][filters], first alpha and beta; NULL: they
     * take too many values or their sums too many bits. */
    int16_t *compare;
    size_t steps;
} packed;

static size_t least_size(size_t a, size_t b) { return a < b ? a : b; }
static int64_t common_divisor(int64_t a, int64_t b)
{
    while (b) {
        int64_t rest = a % b;
        a = b, b = rest;
    }
    return a;
}

/* Weights of output channel m are *step * q + *least; gives the largest q. */
static int32_t levels(const pare_tensor *w, int64_t m, int32_t *least, int32_t *step)
{
    bool has[256] = { false };
    int64_t n = pare_tensor_count(w) / w->dim[0], gcd = 0;
    const uint8_t *x = (const uint8_t *)w->data + m * n, flip = pare_int8_flip(w->dtype);
    for (int64_t i = 0; i < n; i++) has[x[i] ^ flip] = true;
    int32_t lo = 0, hi = 255;
    while (!has[lo]) lo++;
    while (!has[hi]) hi--;
    for (int32_t v = lo + 1; v <= hi; v++)
        if (has[v]) gcd = common_divisor(gcd, v - lo);
    *least = lo - flip;
    *step = gcd ? (int32_t)gcd : 1;
    return (hi - lo) / *step;
}

/* Bits of the codes of all weights; 0: more than 4. */
static int weight_bits(const pare_tensor *w)
{
    int bits = 1;
    for (int64_t m = 0; m < w->dim[0]; m++) {
        int32_t least, step, most = levels(w, m, &least, &step);
        if (most > PARE_LOWBIT_MOST) return 0;
        while (most >> bits) bits++;
    }
    return bits;
}

/* Outputs that are neighbours meet the same table `*taps` taps apart, *pixels outputs further. */
static void sharing(const pare_window *g, int64_t *taps, int64_t *pixels)
{
    int64_t both = common_divisor(g->stride[1], g->dilation[1]);
    *taps = g->stride[1] / both;
    *pixels = g->dilation[1] / both;
}

static int64_t halo_of(const pare_window *g) { return (g->kernel[0] - 1) * g->dilation[0] + 1; }

static int64_t begin_of(const packed *k, int64_t strip) { return strip * k->g.out[1] / k->strips; }

/* Channels in parts whose tables stay in the first-level cache. */
static void cut_parts(packed *k)
{
    size_t group = (size_t)k->ring * k->slots * k->entries,
           word = k->taps * k->span * (size_t)(k->most ? k->most : 1),
           fit = TABLE_BYTES / group ? TABLE_BYTES / group : 1;
    k->wide = (double)word * (double)k->groups * (double)((1 << k->planes) - 1) > MOST_WORD;
    if (k->wide) fit = least_size(fit, MOST_WORD / word);
    k->parts = (k->groups + fit - 1) / fit;
    k->part = (k->groups + k->parts - 1) / k->parts;
    k->parts = (k->groups + k->part - 1) / k->part;
    for (size_t t = 0; t < PARE_LOWBIT_TAPS; t++)
        k->fit[t] = 255 / (k->span * (size_t)(k->most ? k->most : 1) * (t + 1));
}

/* Bytes of the sums of so many pixels that wait. */
static size_t waiting(const packed *k, int64_t pixels)
{
    return (size_t)pixels * k->filters * (k->wide ? sizeof(int32_t) : sizeof(uint16_t));
}

/* Output rows in bands and vectors of filters in chunks: by size alone, with few tables. */
static void cut_items(packed *k, double macs)
{
    const pare_window *g = &k->g;
    int64_t halo = halo_of(g);
    double pairs = macs / (2 * ITEM_MACS) / (double)k->images + 0.5, fewest = INFINITY;
    int64_t wanted = 2 * pare_clamp((int64_t)fmin(pairs, MOST_ITEMS), 1, MOST_ITEMS);
    if (k->serial) wanted = 1;
    int64_t most = pare_clamp(wanted, 1, g->out[0]);
    for (int64_t bands = 1; bands <= most; bands++) {
        int64_t chunks = pare_clamp(wanted / bands, 1, k->vectors);
        if (bands * chunks < wanted && bands < most) continue;
        double rows = (double)chunks * (double)((g->out[0] - bands) * g->stride[0] + bands * halo);
        if (rows > fewest) continue;
        fewest = rows;
        k->bands = bands;
        k->chunk = pare_up(k->vectors, chunks);
    }
    k->chunks = pare_up(k->vectors, k->chunk);
    int64_t codes = (int64_t)k->codes_step * k->width,
            fit = (CODES_BYTES / codes - halo) / g->stride[0] + 1;
    if (k->parts > 1)
        fit = pare_clamp(SUMS_BYTES / (int64_t)waiting(k, g->out[1] * k->chunk), 1, fit);
    k->rows = pare_clamp(pare_up(g->out[0], k->bands), 1, fit > 1 ? fit : 1);
    k->bands = pare_up(g->out[0], k->rows);
    k->rows = pare_up(g->out[0], k->bands);
    k->in_rows = (k->rows - 1) * g->stride[0] + halo;
}

/* Takes `bytes` of scratch. */
static size_t take(packed *k, size_t bytes)
{
    size_t at = k->bytes;
    k->bytes += (bytes + 63) / 64 * 64;
    return at;
}

static void lay_out(packed *k)
{
    size_t pixels = (size_t)(k->rows * k->g.out[1]), all = (size_t)(k->in_rows * k->width);
    int64_t wait = k->parts > 1 ? (int64_t)pixels * k->chunk : PIXELS;
    take(k, (size_t)k->ring * k->part * k->slots * k->entries); /* tables */
    k->holds_at = take(k, (size_t)k->ring * sizeof(int64_t));
    k->row_at = take(k, (size_t)k->g.kernel[0] * sizeof(uint8_t *));
    k->codes_at = take(k, all * k->codes_step + PARE_LOWBIT_SLACK);
    k->code_sum_at = take(k, all * sizeof(int32_t));
    k->box_at = take(k, pixels * sizeof(int32_t));
    k->sum_at = take(k, (size_t)(k->wide ? PIXELS : wait) * k->filters * sizeof(uint16_t));
    k->wide_at = take(k, k->wide ? waiting(k, wait) : 0);
}

static double macs_of(const pare_prepare *p)
{
    double macs = (double)pare_numel(4, p->out->dim);
    for (int d = 1; d < 4; d++) macs *= (double)p->in[W].dim[d];
    return macs;
}

/* Everything but the packed arrays; false: cannot run so. */
static bool shape(const pare_prepare *p, packed *k)
{
    const pare_type *x = &p->in[0];
    if (!p->kernels->lowbit_span || x->rank != 4 || !pare_int8_constants(p, W, BIAS, 6) ||
        p->in[W].dim[1] != x->dim[1] || pare_numel(4, p->out->dim) > INT32_MAX)
        return false;
    *k = (packed){ 0 };
    pare_window *g = &k->g;
    pare_conv_window(p->node, x, &p->in[W], g);
    int64_t vl = (int64_t)p->kernels->vl, taps, pixels;
    if (!pare_int8_reaches(g, x->dim[1] + vl)) return false;
    for (int d = 0; d < 2; d++)
        if (g->out[d] == 1) g->stride[d] = 1;

    double zero = pare_int8_at(pare_int8_constant(p, X_ZERO), 0), lo = fmin(p->x.lo, zero),
           most = fmax(p->x.hi, zero) - lo;
    if (most > PARE_LOWBIT_MOST) return false;
    k->most = (int)most;
    k->lo = (uint8_t)(int32_t)lo;
    k->pad = (uint8_t)(zero - lo);

    k->images = x->dim[0];
    k->channels = x->dim[1];
    k->kernels = p->out[0].dim[1];
    k->in_blocks = pare_up(k->channels, vl);
    k->out_blocks = pare_up(k->kernels, vl);
    k->vectors = pare_up(k->out_blocks, 4);
    k->span = p->kernels->lowbit_span;
    k->entries = (size_t)1 << k->span;
    k->filters = (size_t)(4 * vl);
    k->groups = (size_t)pare_up(k->channels, (int64_t)k->span);
    k->codes_step = (size_t)(k->in_blocks * vl);
    k->taps = (size_t)(g->kernel[0] * g->kernel[1]);
    k->ring = halo_of(g);
    k->strips = pare_up(g->out[1], PIXELS);
    int64_t widest = pare_up(g->out[1], k->strips);
    k->width = begin_of(k, k->strips - 1) * g->stride[1] + (widest - 1) * g->stride[1] +
               (g->kernel[1] - 1) * g->dilation[1] + 1;
    sharing(g, &taps, &pixels);
    k->slots =
        (size_t)(pare_clamp(g->kernel[1], 0, taps) * widest +
                 pare_clamp(g->kernel[1] - taps, 0, INT32_MAX) * pare_clamp(pixels, 0, widest));
    if (k->taps * k->span * (size_t)PARE_LOWBIT_MOST > MOST_WORD ||
        (double)k->ring * (double)(k->slots * k->entries) > MOST_BYTES)
        return false;

    k->planes = weight_bits(pare_int8_constant(p, W));
    if (!k->planes) return false;
    cut_parts(k);
    double macs = macs_of(p);
    k->serial = macs < SERIAL_MACS;
    cut_items(k, macs);
    lay_out(k);
    return k->bytes <= MOST_BYTES;
}

static bool accepts(const pare_prepare *p)
{
    packed k;
    return shape(p, &k);
}

/* The longest run of taps that share tables. */
static size_t longest_run(const packed *k)
{
    int64_t taps, pixels;
    sharing(&k->g, &taps, &pixels);
    if (pixels > 1) return 1;
    return least_size(least_size(PARE_LOWBIT_TAPS, k->fit[0]),
                      (size_t)pare_up(k->g.kernel[1], taps));
}

static double model_ns(const pare_prepare *p)
{
    packed k;
    shape(p, &k);
    const pare_window *g = &k.g;
    int64_t rows = g->kernel[0] * k.rows < k.in_rows ? g->kernel[0] * k.rows : k.in_rows;
    double pixels = (double)(k.images * g->out[0] * g->out[1]) * (double)k.vectors,
           tiles = (double)(k.images * g->out[0] * k.strips * k.vectors),
           steps = (double)k.planes * (double)(k.taps * k.groups),
           fills = (double)(k.images * k.bands * rows * k.chunks),
           weights = steps * (double)k.vectors * (double)k.filters * 0.06;
    /* A look-up, and its share of widening bytes to words and of reading weights. */
    size_t run = longest_run(&k);
    double each = (run > 1 ? 0.17 : 0.2) + 0.3 / (double)(run * least_size(k.fit[run - 1], k.part));
    each *= 1 + 0.5 * (double)k.strips / (double)g->out[1];
    double runs = (double)k.planes * (double)(k.taps / run * k.parts);
    double ns = pixels * (steps * each + 2 + 2 * (double)k.parts) + tiles * runs * 6 +
                fills * (double)k.strips * (double)(k.slots * k.groups) * 0.45 +
                fills * (double)(k.width * k.in_blocks) * 0.3;
    return 500 + (ns > weights ? ns : weights) / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->run);
    free(k->tap);
    free(k->slot);
    free(k->box);
    free(k->alpha);
    free(k->beta);
    free(k->bias);
    free(k->scale);
    free(k->w);
    free(k->compare);
    free(k);
}

/* Tables of a row of a strip lie by columns modulo the stride, so that neighbouring outputs find
 * theirs side by side. */
static uint64_t column_key(const pare_window *g, int64_t column)
{
    return (uint64_t)(column % g->stride[1]) << 32 | (uint64_t)(column / g->stride[1]);
}
static int by_key(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

/* Slots, and runs of taps that share tables. */
static pare_status make_runs(packed *k)
{
    const pare_window *g = &k->g;
    int64_t widest = pare_up(g->out[1], k->strips), taps, pixels;
    size_t n = 0, slots = 0, longest = longest_run(k);
    uint64_t *key = malloc((size_t)(widest * g->kernel[1]) * sizeof *key);
    if (!key) return pare_fail(PARE_ENOMEM, "no memory for the taps of a convolution");
    for (int64_t x = 0; x < g->kernel[1]; x++)
        for (int64_t i = 0; i < widest; i++)
            key[n++] = column_key(g, i * g->stride[1] + x * g->dilation[1]);
    qsort(key, n, sizeof *key, by_key);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || key[i] != key[slots - 1]) key[slots++] = key[i];
    assert(slots == k->slots);
    for (size_t i = 0; i < slots; i++)
        k->slot[i] =
            (uint32_t)(((int64_t)(key[i] & UINT32_MAX) * g->stride[1] + (int64_t)(key[i] >> 32)) *
                       (int64_t)k->codes_step);
    sharing(g, &taps, &pixels);
    uint32_t before = 0;
    for (int64_t y = 0; y < g->kernel[0]; y++)
        for (int64_t from = 0; from < g->kernel[1]; from++) {
            tap *t = k->tap + y * g->kernel[1];
            if (t[from].taps) continue; /* of an earlier run */
            uint32_t length = 0;
            for (int64_t x = from; x < g->kernel[1] && length < longest; x += taps)
                t[x] = (tap){ before, 1, length++ };
            for (uint32_t i = 0; i < length; i++) t[from + i * taps].taps = length;
            uint64_t first = column_key(g, from * g->dilation[1]),
                     *at = bsearch(&first, key, slots, sizeof *key, by_key);
            k->run[k->runs++] =
                (pare_lowbit_run){ .row = (uint32_t)y,
                                   .at = (uint32_t)((size_t)(at - key) * k->entries),
                                   .taps = length };
            before += length;
        }
    free(key);
    return PARE_OK;
}

/* Bytes of w before plane j of vector v, in the part of groups that begins with `from`. */
static size_t weights_at(const packed *k, size_t from, int64_t v, int j)
{
    size_t groups = least_size(k->part, k->groups - from);
    return k->taps * k->filters *
           ((size_t)k->vectors * (size_t)k->planes * from +
            ((size_t)v * (size_t)k->planes + (size_t)j) * groups);
}

static void fill(const pare_prepare *p, packed *k)
{
    const pare_tensor *w = pare_int8_constant(p, W), *bias = pare_int8_constant(p, BIAS);
    const uint8_t *x = w->data, flip = pare_int8_flip(w->dtype);
    size_t vl = p->kernels->vl;
    bool word = !k->wide; /* do all sums of (w - w_zero) r have 16 bits with sign? */
    for (int64_t m = 0; m < k->kernels; m++) {
        int32_t least, step, whole = 0, positive = 0,
                             zero = (int32_t)pare_int8_at(pare_int8_constant(p, W_ZERO), m);
        levels(w, m, &least, &step);
        size_t byte = pare_lowbit_byte(vl, (size_t)m % k->filters);
        for (size_t c = 0; c < (size_t)k->channels; c++) {
            size_t group = c / k->span, from = group / k->part * k->part,
                   groups = least_size(k->part, k->groups - from);
            for (size_t t = 0; t < k->taps; t++, x++) {
                const tap *at = &k->tap[t];
                int32_t v = (*x ^ flip) - flip, q = (v - least) / step;
                size_t s = at->before * groups + (group - from) * at->taps + at->place;
                whole += v - zero;
                positive += v > zero ? v - zero : 0;
                for (int j = 0; j < k->planes; j++)
                    k->w[weights_at(k, from, m / (int64_t)k->filters, j) + s * k->filters + byte] |=
                        (uint8_t)((q >> j & 1) << c % k->span);
            }
        }
        k->alpha[m] = step;
        k->beta[m] = least - zero;
        k->boxes |= k->beta[m] != 0;
        /* (lo - x_zero) * whole: the code of the zero point is x_zero - lo */
        k->bias[m] = (int32_t)((uint32_t)(bias ? (int32_t)pare_int8_at(bias, m) : 0) -
                               (uint32_t)k->pad * (uint32_t)whole);
        k->scale[m] = pare_int8_scale(p, m);
        word &= (double)positive * k->most < INT16_MAX &&
                (double)(whole - positive) * k->most >= INT16_MIN && k->scale[m] > 0;
    }
    k->finish = (pare_int8_finish){ .zero = (int32_t)pare_int8_at(pare_int8_constant(p, 7), 0) };
    pare_int8_limits(p->out[0].dtype, &p->epilogue, k->finish.zero, &k->finish.lo, &k->finish.hi);
    k->steps = word && k->finish.hi - k->finish.lo <= PARE_LOWBIT_STEPS
                   ? (size_t)(k->finish.hi - k->finish.lo)
                   : 0;
    for (int64_t y = 0; y < k->g.kernel[0]; y++)
        for (int64_t t = 0; t < k->g.kernel[1]; t++)
            k->box[y * k->g.kernel[1] + t] =
                (uint32_t)(y * k->g.dilation[0] * k->width + t * k->g.dilation[1]);
}

/* What comes out of a sum of output channel m, less the zero point. */
static float result(const packed *k, int64_t m, int32_t sum)
{
    float v = (float)(int32_t)((uint32_t)sum + (uint32_t)k->bias[m]) * k->scale[m];
    return nearbyintf(fminf(fmaxf(v, k->finish.lo), k->finish.hi));
}

/* Results rise with the sums, so comparing with the least sum of each does for a multiplication
 * and rounding. INT16_MAX: none gets there. */
static pare_status make_steps(packed *k)
{
    if (k->steps == 0) return PARE_OK;
    size_t rows = 2 + k->steps;
    k->compare = calloc((size_t)k->vectors * rows * k->filters, sizeof *k->compare);
    if (!k->compare) return pare_fail(PARE_ENOMEM, "no memory for the steps of a convolution");
    for (int64_t m = 0; m < k->kernels; m++) {
        int16_t *to =
            k->compare + ((size_t)m / k->filters * rows * k->filters) + (size_t)m % k->filters;
        to[0] = (int16_t)k->alpha[m];
        to[k->filters] = (int16_t)k->beta[m];
        for (size_t i = 0; i < k->steps; i++) {
            int32_t lo = INT16_MIN, hi = INT16_MAX;
            while (lo < hi) {
                int32_t middle = (lo + hi) >> 1;
                if (result(k, m, middle) > k->finish.lo + (float)i)
                    hi = middle;
                else
                    lo = middle + 1;
            }
            to[(2 + i) * k->filters] = (int16_t)lo;
        }
    }
    return PARE_OK;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = malloc(sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    shape(p, k);
    size_t all = 0, channels = (size_t)k->vectors * k->filters;
    bool fits = pare_mul_size(k->taps * k->groups * (size_t)k->planes, channels, &all);
    k->run = malloc(k->taps * sizeof *k->run);
    k->tap = calloc(k->taps, sizeof *k->tap);
    k->slot = malloc(k->slots * sizeof *k->slot);
    k->box = malloc(k->taps * sizeof *k->box);
    k->alpha = calloc(channels, sizeof *k->alpha);
    k->beta = calloc(channels, sizeof *k->beta);
    k->bias = calloc(channels, sizeof *k->bias);
    k->scale = calloc(channels, sizeof *k->scale);
    k->w = fits ? calloc(all, 1) : NULL;
    pare_status st = PARE_OK;
    if (!k->run || !k->tap || !k->slot || !k->box || !k->alpha || !k->beta || !k->bias ||
        !k->scale || !k->w)
        st = pare_fail(PARE_ENOMEM, "no memory for the packed weights of a convolution");
    if (st == PARE_OK) st = make_runs(k);
    if (st == PARE_OK) {
        fill(p, k);
        st = make_steps(k);
    }
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    *out = k;
    *bytes = all;
    *scratch_bytes = PARE_SCRATCH_HEADER + k->bytes;
    return PARE_OK;
}

/* An item at work. */
typedef struct work {
    const packed *k;
    const pare_kernels *kernels;
    int64_t begin, rows, first; /* output rows; vector of filters */
    uint8_t *tables, *codes;
    const uint8_t **row; /* of tables, under each row of the kernel */
    int64_t *holds;      /* the input row of the band in each row of tables; -1: none */
    int32_t *code_sum, *box, *wide;
    uint16_t *sum;
    uint8_t *y; /* of the image */
} work;

/* Does an output meet row r of a band? */
static bool is_met(const pare_window *g, int64_t r)
{
    for (int64_t i = 0; i < g->kernel[0] && i * g->dilation[0] <= r; i++)
        if ((r - i * g->dilation[0]) % g->stride[0] == 0) return true;
    return false;
}

/* Codes of the band's input, and their sums in all windows. */
static void fill_band(const work *b, const uint8_t *x)
{
    const packed *k = b->k;
    const pare_window *g = &k->g;
    int64_t vl = (int64_t)b->kernels->vl, begin = pare_clamp(g->begin[1], 0, k->width),
            real = pare_clamp(k->width - begin, 0, g->in[1]),
            y0 = b->begin * g->stride[0] - g->begin[0],
            in_rows = (b->rows - 1) * g->stride[0] + halo_of(g);
    size_t step = k->codes_step;
    for (int64_t r = 0; r < in_rows; r++) {
        if (!is_met(g, r)) continue;
        int64_t y = y0 + r, from = begin, n = y >= 0 && y < g->in[0] ? real : 0;
        uint8_t *codes = b->codes + (size_t)(r * k->width) * step;
        int32_t *sum = b->code_sum + r * k->width;
        memset(codes, k->pad, (size_t)from * step);
        memset(codes + (size_t)(from + n) * step, k->pad, (size_t)(k->width - from - n) * step);
        for (int64_t i = 0; k->boxes && i < k->width; i++) sum[i] = (int32_t)(k->pad * k->channels);
        pare_lowbit_codes c = { .vl = (size_t)vl,
                                .pixels = (size_t)n,
                                .channels = (size_t)k->channels,
                                .x = n ? x + y * g->in[1] * vl : NULL,
                                .x_block = (size_t)(g->in[0] * g->in[1] * vl),
                                .lo = k->lo,
                                .to = codes + (size_t)from * step,
                                .step = step,
                                .sum = k->boxes ? sum + from : NULL };
        if (n) b->kernels->lowbit_codes(&c);
    }
    for (int64_t y = 0; k->boxes && y < b->rows; y++)
        b->kernels->lowbit_box((size_t)g->out[1], b->code_sum + y * g->stride[0] * k->width,
                               (size_t)g->stride[1], k->box, k->taps, b->box + y * g->out[1]);
}

/* A strip of a part of the channels. */
typedef struct strip {
    size_t from, groups; /* of channels */
    int64_t x, pixels;
} strip;

/* The tables that output row y of a strip meets. */
static void fill_tables(const work *b, const strip *o, int64_t y)
{
    const packed *k = b->k;
    const pare_window *g = &k->g;
    int64_t top = y * g->stride[0], turn = top / k->ring * k->ring;
    for (int64_t i = 0; i < g->kernel[0]; i++) {
        int64_t r = top + i * g->dilation[0],
                at = r - turn < k->ring ? r - turn : r - turn - k->ring;
        uint8_t *table = b->tables + (size_t)at * k->part * k->slots * k->entries;
        b->row[i] = table;
        if (b->holds[at] == r) continue;
        b->holds[at] = r;
        size_t pixel = (size_t)(r * k->width + o->x * g->stride[1]);
        pare_lowbit_tables t = { .span = k->span,
                                 .pixels = k->slots,
                                 .groups = o->groups,
                                 .codes = b->codes + pixel * k->codes_step + o->from * k->span,
                                 .pixel = k->slot,
                                 .table = table };
        b->kernels->lowbit_tables(&t);
    }
}

/* From sums to bytes: output row y of a strip, vector v of filters. */
static void give(const work *b, const strip *o, int64_t y, int64_t v, const uint16_t *sum,
                 const int32_t *wide)
{
    const packed *k = b->k;
    const pare_window *g = &k->g;
    size_t vl = b->kernels->vl, plane = (size_t)(g->out[0] * g->out[1]) * vl,
           blocks = (size_t)pare_clamp(k->out_blocks - 4 * v, 0, 4),
           vector = (size_t)v * k->filters;
    int64_t pixel = y * g->out[1] + o->x;
    const int32_t *box = k->boxes ? b->box + pixel : NULL;
    uint8_t *to = b->y + (size_t)(4 * v) * plane + (size_t)(b->begin * g->out[1] + pixel) * vl;
    if (k->compare) {
        const int16_t *compare = k->compare + vector * (2 + k->steps);
        pare_lowbit_steps c = { .vl = vl,
                                .pixels = (size_t)o->pixels,
                                .blocks = blocks,
                                .sum = sum,
                                .alpha = compare,
                                .beta = compare + k->filters,
                                .box = box,
                                .step = compare + 2 * k->filters,
                                .steps = k->steps,
                                .least = (uint8_t)((int32_t)k->finish.lo + k->finish.zero),
                                .y = to,
                                .y_block = plane };
        b->kernels->lowbit_steps(&c);
        return;
    }
    pare_lowbit_finish c = { .vl = vl,
                             .pixels = (size_t)o->pixels,
                             .blocks = blocks,
                             .sum = sum,
                             .wide = wide,
                             .alpha = k->alpha + vector,
                             .beta = k->beta + vector,
                             .box = box,
                             .finish = k->finish,
                             .y = to,
                             .y_block = plane };
    c.finish.bias = k->bias + vector;
    c.finish.scale = k->scale + vector;
    b->kernels->lowbit_finish(&c);
}

/* Output row y of a strip against vector v of filters. */
static void convolve(const work *b, const strip *o, int64_t y, int64_t v)
{
    const packed *k = b->k;
    const pare_kernels *kn = b->kernels;
    size_t wait = k->parts > 1 ? (size_t)(((v - b->first) * b->rows + y) * k->g.out[1] + o->x) : 0;
    int32_t *wide = k->wide ? b->wide + wait * k->filters : NULL;
    pare_lowbit_conv c = { .vl = kn->vl,
                           .span = k->span,
                           .pixels = (size_t)o->pixels,
                           .row = b->row,
                           .run = k->run,
                           .runs = k->runs,
                           .groups = o->groups,
                           .group_step = k->slots * k->entries,
                           .sum = b->sum + (wide ? 0 : wait * k->filters) };
    memcpy(c.fit, k->fit, sizeof c.fit);
    for (int j = 0; j < k->planes; j++) {
        bool first = o->from == 0 && j == 0;
        c.w = k->w + weights_at(k, o->from, v, j);
        c.first = wide || first;
        c.shift = wide ? 0 : j;
        kn->lowbit_conv(&c);
        if (wide) kn->lowbit_widen((size_t)o->pixels * k->filters, c.sum, first, j, wide);
    }
    if (o->from + o->groups == k->groups) give(b, o, y, v, c.sum, wide);
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_window *g = &k->g;
    int64_t at = (int64_t)index, chunk = at % k->chunks, place = at / k->chunks,
            image = place / k->bands, band = place % k->bands;
    pare_scratch shared = pare_scratch_of(s, thread);
    char *scratch = shared.data;
    work b = { .k = k,
               .kernels = s->kernels,
               .begin = band * g->out[0] / k->bands,
               .first = chunk * k->chunk,
               .tables = (uint8_t *)scratch,
               .codes = (uint8_t *)scratch + k->codes_at,
               .row = (const uint8_t **)(void *)(scratch + k->row_at),
               .holds = (int64_t *)(void *)(scratch + k->holds_at),
               .code_sum = (int32_t *)(void *)(scratch + k->code_sum_at),
               .box = (int32_t *)(void *)(scratch + k->box_at),
               .wide = (int32_t *)(void *)(scratch + k->wide_at),
               .sum = (uint16_t *)(void *)(scratch + k->sum_at) };
    size_t vl = s->kernels->vl, in = (size_t)(k->in_blocks * g->in[0] * g->in[1]) * vl,
           out = (size_t)(k->out_blocks * g->out[0] * g->out[1]) * vl;
    int64_t end = pare_clamp(b.first + k->chunk, 0, k->vectors);
    b.rows = (band + 1) * g->out[0] / k->bands - b.begin;
    b.y = (uint8_t *)s->out[0].data + (size_t)image * out;
    if (*shared.inside != place) fill_band(&b, (const uint8_t *)s->in[0].data + (size_t)image * in);
    *shared.inside = place;
    for (size_t from = 0; from < k->groups; from += k->part) {
        strip o = { .from = from, .groups = least_size(k->part, k->groups - from) };
        for (int64_t i = 0; i < k->strips; i++) {
            o.x = begin_of(k, i);
            o.pixels = begin_of(k, i + 1) - o.x;
            for (int64_t r = 0; r < k->ring; r++) b.holds[r] = -1;
            for (int64_t y = 0; y < b.rows; y++) {
                fill_tables(&b, &o, y);
                for (int64_t v = b.first; v < end; v++) convolve(&b, &o, y, v);
            }
        }
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

const pare_impl pare_impl_conv_lowbit = {
    .name = "conv_lowbit",
    .op = "QLinearConv",
    .packs = true,
    .fuses = true, /* a Clip only */
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
