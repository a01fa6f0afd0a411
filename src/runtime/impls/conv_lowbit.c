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
 * Per band of output rows: codes and tables of all its input pixels in scratch, the sums of codes
 * in each window, then two vectors of output channels at a time against all pixels. Pixels are
 * taken in strips of a few columns from top to bottom, which keeps the tables of a tile in the
 * first-level cache for the next. */
#include "base/team.h"
#include "runtime/impls/int8_common.h"
#include "runtime/impls/scratch.h"

#include <math.h>
#include <stdlib.h>

enum {
    BAND_BYTES = 448 << 10, /* of tables: leaves room in the second-level cache */
    LEAST_MACS = 4 << 20,
    ITEM_MACS = 16 << 20, /* some 15 us */
    SERIAL_MACS = 4 << 20,
    MOST_BYTES = 1 << 28, /* of one output row's tables */
    W = 3,                /* slots of the node's inputs */
    W_ZERO = 5,
    X_ZERO = 2,
    BIAS = 8,
};

/* Consecutive steps whose sums fit 16 bits. */
typedef struct part {
    size_t from, steps;
} part;

/* Pixels of a band of so many rows, in the order of the strips. */
typedef struct order {
    uint32_t *pixel, *place;
} order;

typedef struct packed {
    pare_window g;
    int64_t images, channels, kernels;
    int64_t in_blocks, out_blocks, vectors;
    int64_t rows, bands, in_rows, width; /* of a band; width with padding */
    int64_t chunk, chunks;               /* vectors of output channels in an item */
    uint8_t lo, pad;                     /* smallest input; code of the zero point */
    int most;                            /* largest code */
    int planes;
    size_t span, entries, groups, codes_step;
    size_t steps, w_step; /* bytes of weights of a vector */
    size_t parts;
    part *part;
    uint32_t *at, *tap; /* taps: of the sums of codes */
    size_t taps;
    order full, last;
    int32_t *alpha, *beta, *bias;
    float *scale;
    bool boxes; /* some beta is not 0 */
    uint8_t *w;
    pare_int8_finish finish;
    size_t codes_at, sum_at, box_at, partial_at; /* in scratch */
    bool serial;
} packed;

static int64_t clamp(int64_t x, int64_t lo, int64_t hi) { return x < lo ? lo : x > hi ? hi : x; }
static int64_t up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static size_t up_size(size_t a, size_t b) { return (a + b - 1) / b * b; }

static int32_t weight_at(const pare_tensor *w, int64_t i)
{
    return w->dtype == PARE_U8 ? ((const uint8_t *)w->data)[i] : ((const int8_t *)w->data)[i];
}

/* Weights of output channel m are *step * q + *least; gives the largest q. */
static int32_t levels(const pare_tensor *w, int64_t m, int32_t *least, int32_t *step)
{
    int64_t n = pare_tensor_count(w) / w->dim[0], at = m * n;
    int32_t lo = weight_at(w, at), hi = lo, gcd = 0;
    for (int64_t i = 1; i < n; i++) {
        int32_t v = weight_at(w, at + i), a = abs(v - lo), b = gcd;
        while (a) { /* the greatest common divisor of all differences */
            int32_t rest = b % a;
            b = a, a = rest;
        }
        gcd = b;
        lo = v < lo ? v : lo;
        hi = v > hi ? v : hi;
        if (gcd && (hi - lo) / gcd > PARE_LOWBIT_MOST) break;
    }
    *least = lo;
    *step = gcd ? gcd : 1;
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

/* The input's codes: smallest number and largest code, with the zero point among them. */
static void inputs(const pare_prepare *p, int32_t *lo, int *most)
{
    double zero = pare_int8_at(pare_int8_constant(p, X_ZERO), 0);
    *lo = (int32_t)fmin(p->x.lo, zero);
    *most = (int)(fmax(p->x.hi, zero) - *lo);
}

static void shape(const pare_prepare *p, packed *k)
{
    pare_conv_window(p->node, &p->in[0], &p->in[W], &k->g);
    const pare_window *g = &k->g;
    int64_t vl = (int64_t)p->kernels->vl;
    k->images = p->in[0].dim[0];
    k->channels = p->in[0].dim[1];
    k->kernels = p->out[0].dim[1];
    k->in_blocks = up(k->channels, vl);
    k->out_blocks = up(k->kernels, vl);
    k->vectors = up(k->out_blocks, 4);
    k->span = p->kernels->lowbit_span;
    k->entries = (size_t)1 << k->span;
    k->groups = (size_t)up(k->channels, (int64_t)k->span);
    k->taps = (size_t)(g->kernel[0] * g->kernel[1]);
    k->steps = k->taps * k->groups;
    k->width = (g->out[1] - 1) * g->stride[1] + (g->kernel[1] - 1) * g->dilation[1] + 1;
}

static double macs_of(const pare_prepare *p)
{
    double macs = (double)pare_numel(4, p->out->dim);
    for (int d = 1; d < 4; d++) macs *= (double)p->in[W].dim[d];
    return macs;
}

static bool accepts(const pare_prepare *p)
{
    const pare_type *x = &p->in[0];
    int32_t lo;
    int most;
    if (!p->kernels->lowbit_span || x->rank != 4 || pare_numel(4, x->dim) > 1 << 27 ||
        !pare_int8_constants(p, W, BIAS, 6) || p->in[W].dim[1] != x->dim[1])
        return false;
    inputs(p, &lo, &most);
    if (most > PARE_LOWBIT_MOST) return false;
    packed k = { 0 };
    shape(p, &k);
    double row = (double)k.width * (double)k.groups * (double)k.entries,
           reach = (double)((k.g.kernel[0] - 1) * k.g.dilation[0] + 1);
    return row * reach < MOST_BYTES && weight_bits(pare_int8_constant(p, W)) > 0;
}

static double model_ns(const pare_prepare *p)
{
    packed k = { 0 };
    shape(p, &k);
    double pixels = (double)(k.images * k.g.out[0] * k.g.out[1]) * (double)k.vectors,
           planes = weight_bits(pare_int8_constant(p, W)),
           tables = (double)(k.images * k.g.in[0] * k.width) * (double)k.groups;
    double ns = pixels * planes * (double)k.steps * 0.42 + pixels * (8 + 4 * planes) + tables * 1.2;
    return 500 + ns / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->part);
    free(k->at);
    free(k->tap);
    free(k->full.pixel);
    free(k->full.place);
    free(k->last.pixel);
    free(k->last.place);
    free(k->alpha);
    free(k->beta);
    free(k->bias);
    free(k->scale);
    free(k->w);
    free(k);
}

/* Bands, items and where everything lies in scratch. */
static void cut(const pare_prepare *p, packed *k)
{
    const pare_window *g = &k->g;
    int64_t vl = (int64_t)p->kernels->vl, halo = (g->kernel[0] - 1) * g->dilation[0] + 1;
    int64_t row = k->width * (int64_t)(k->groups * k->entries), fit = BAND_BYTES / row;
    double all = macs_of(p), row_macs = all / (double)k->images / (double)g->out[0];
    double each = all / 12;
    each = each < LEAST_MACS ? LEAST_MACS : each > ITEM_MACS ? ITEM_MACS : each;
    k->rows = clamp((int64_t)(each / row_macs * 4), 1, g->out[0]);
    k->rows = clamp(fit > halo ? (fit - halo) / g->stride[0] + 1 : 1, 1, k->rows);
    k->bands = up(g->out[0], k->rows);
    k->rows = up(g->out[0], k->bands);
    k->bands = up(g->out[0], k->rows);
    k->in_rows = (k->rows - 1) * g->stride[0] + halo;
    double pair_macs = row_macs * (double)k->rows / (double)k->vectors * 2;
    k->chunk = 2 * clamp((int64_t)(each / pair_macs + 0.5), 1, up(k->vectors, 2));
    k->chunks = up(k->vectors, k->chunk);
    k->serial = all < SERIAL_MACS;
    size_t wide = (size_t)(k->in_blocks * vl);
    k->codes_step = up_size(wide > k->groups * k->span ? wide : k->groups * k->span, 24);
    size_t pixels = (size_t)(k->rows * g->out[1]);
    k->codes_at = up_size((size_t)(k->in_rows * row), 64);
    k->sum_at = up_size(k->codes_at + (size_t)k->width * k->codes_step + PARE_LOWBIT_SLACK, 64);
    k->box_at = up_size(k->sum_at + (size_t)(k->in_rows * k->width) * sizeof(int32_t), 64);
    k->partial_at = up_size(k->box_at + pixels * sizeof(int32_t), 64);
}

static size_t scratch_of(const packed *k, size_t vl)
{
    return PARE_SCRATCH_HEADER + k->partial_at +
           (size_t)(k->rows * k->g.out[1]) * 2 * 4 * vl * sizeof(int32_t);
}

static void make_order(const packed *k, int64_t rows, order *o)
{
    const pare_window *g = &k->g;
    int64_t strip = k->vectors > 1 ? 4 : 8; /* tiles of pixels are so large */
    size_t i = 0, pixel = k->groups * k->entries;
    for (int64_t first = 0; first < g->out[1]; first += strip)
        for (int64_t y = 0; y < rows; y++)
            for (int64_t x = first; x < g->out[1] && x < first + strip; x++, i++) {
                o->place[i] = (uint32_t)(y * g->out[1] + x);
                o->pixel[i] =
                    (uint32_t)((size_t)(y * g->stride[0] * k->width + x * g->stride[1]) * pixel);
            }
}

static void make_steps(packed *k)
{
    const pare_window *g = &k->g;
    size_t s = 0, t = 0;
    for (int64_t y = 0; y < g->kernel[0]; y++)
        for (int64_t x = 0; x < g->kernel[1]; x++) {
            size_t pixel = (size_t)(y * g->dilation[0] * k->width + x * g->dilation[1]);
            k->tap[t++] = (uint32_t)pixel;
            for (size_t i = 0; i < k->groups; i++)
                k->at[s++] = (uint32_t)((pixel * k->groups + i) * k->entries);
        }
    size_t fit = 65535 / (k->span * (size_t)(k->most ? k->most : 1));
    for (size_t from = 0; from < k->steps; from += fit)
        k->part[k->parts++] = (part){ from, k->steps - from < fit ? k->steps - from : fit };
}

static void fill(const pare_prepare *p, packed *k, int32_t lo)
{
    const pare_tensor *w = pare_int8_constant(p, W), *bias = pare_int8_constant(p, BIAS);
    size_t vl = p->kernels->vl, filters = 4 * vl;
    int32_t off = lo - (int32_t)pare_int8_at(pare_int8_constant(p, X_ZERO), 0);
    for (int64_t m = 0; m < k->kernels; m++) {
        int32_t least, step, whole = 0,
                             zero = (int32_t)pare_int8_at(pare_int8_constant(p, W_ZERO), m);
        levels(w, m, &least, &step);
        uint8_t *to =
            k->w + (size_t)m / filters * k->w_step + pare_lowbit_byte(vl, (size_t)m % filters);
        for (int64_t c = 0; c < k->channels; c++)
            for (size_t t = 0; t < k->taps; t++) {
                int32_t v = weight_at(w, (m * k->channels + c) * (int64_t)k->taps + (int64_t)t),
                        q = (v - least) / step;
                size_t s = t * k->groups + (size_t)c / k->span;
                whole += v - zero;
                for (int j = 0; j < k->planes; j++) /* the highest plane comes first */
                    to[((size_t)(k->planes - 1 - j) * k->steps + s) * filters] |=
                        (uint8_t)((q >> j & 1) << (size_t)c % k->span);
            }
        k->alpha[m] = step;
        k->beta[m] = least - zero;
        k->boxes |= k->beta[m] != 0;
        k->bias[m] = (int32_t)((uint32_t)(bias ? (int32_t)pare_int8_at(bias, m) : 0) +
                               (uint32_t)off * (uint32_t)whole);
        k->scale[m] = pare_int8_scale(p, m);
    }
}

static bool new_order(const packed *k, order *o)
{
    size_t n = (size_t)(k->rows * k->g.out[1]);
    o->pixel = malloc(n * sizeof *o->pixel);
    o->place = malloc(n * sizeof *o->place);
    return o->pixel && o->place;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    size_t vl = p->kernels->vl, all;
    int32_t lo;
    shape(p, k);
    cut(p, k);
    inputs(p, &lo, &k->most);
    k->lo = (uint8_t)lo;
    k->pad = (uint8_t)((int32_t)pare_int8_at(pare_int8_constant(p, X_ZERO), 0) - lo);
    k->planes = weight_bits(pare_int8_constant(p, W));
    k->w_step = k->steps * (size_t)k->planes * 4 * vl;
    size_t rows = (size_t)k->vectors * 4 * vl;
    bool fits = pare_mul_size(k->w_step, (size_t)k->vectors, &all);
    k->part = malloc(k->steps * sizeof *k->part);
    k->at = malloc(k->steps * sizeof *k->at);
    k->tap = malloc(k->taps * sizeof *k->tap);
    k->alpha = calloc(rows, sizeof *k->alpha);
    k->beta = calloc(rows, sizeof *k->beta);
    k->bias = calloc(rows, sizeof *k->bias);
    k->scale = calloc(rows, sizeof *k->scale);
    k->w = fits ? calloc(all, 1) : NULL;
    if (!k->part || !k->at || !k->tap || !k->alpha || !k->beta || !k->bias || !k->scale || !k->w ||
        !new_order(k, &k->full) || !new_order(k, &k->last)) {
        release(k);
        return pare_fail(PARE_ENOMEM, "no memory for the packed weights of a convolution");
    }
    make_order(k, k->rows, &k->full);
    make_order(k, k->g.out[0] - (k->bands - 1) * k->rows, &k->last);
    make_steps(k);
    fill(p, k, lo);
    k->finish = (pare_int8_finish){ .zero = (int32_t)pare_int8_at(pare_int8_constant(p, 7), 0) };
    pare_int8_limits(p->out[0].dtype, &p->epilogue, k->finish.zero, &k->finish.lo, &k->finish.hi);
    *out = k;
    *bytes = all;
    *scratch_bytes = scratch_of(k, vl);
    return PARE_OK;
}

/* Codes and tables of the input rows from y0 on, and the sums of codes in every window. */
static void fill_band(const pare_step *s, const packed *k, const uint8_t *x, int64_t y0,
                      int64_t rows, char *scratch)
{
    const pare_window *g = &k->g;
    const pare_kernels *kn = s->kernels;
    size_t vl = kn->vl, channels = (size_t)k->channels, step = k->codes_step;
    uint8_t *codes = (uint8_t *)scratch + k->codes_at;
    int32_t *sum = (int32_t *)(void *)(scratch + k->sum_at),
            *box = (int32_t *)(void *)(scratch + k->box_at);
    int64_t begin = clamp(g->begin[1], 0, k->width), real = clamp(k->width - begin, 0, g->in[1]);
    size_t width = (size_t)k->width;
    int64_t in_rows = (rows - 1) * g->stride[0] + (g->kernel[0] - 1) * g->dilation[0] + 1;
    for (int64_t r = 0; r < in_rows; r++) {
        int64_t y = y0 + r;
        bool inside = y >= 0 && y < g->in[0];
        if (r == 0 || !inside || k->pad) memset(codes, 0, width * step);
        for (size_t i = 0; k->pad && i < width; i++) memset(codes + i * step, k->pad, channels);
        for (int64_t b = 0; inside && b < k->in_blocks; b++) {
            size_t c = (size_t)b * vl, left = channels - c;
            kn->lowbit_codes(vl, (size_t)real, x + (size_t)((b * g->in[0] + y) * g->in[1]) * vl,
                             left < vl ? left : vl, k->lo, codes + (size_t)begin * step + c, step);
        }
        pare_lowbit_tables t = { .span = k->span,
                                 .pixels = width,
                                 .groups = k->groups,
                                 .codes = codes,
                                 .codes_step = step,
                                 .table = (uint8_t *)scratch +
                                          (size_t)r * width * k->groups * k->entries,
                                 .sum = k->boxes ? sum + (size_t)r * width : NULL };
        kn->lowbit_tables(&t);
    }
    for (int64_t y = 0; k->boxes && y < rows; y++)
        kn->lowbit_box((size_t)g->out[1], sum + y * g->stride[0] * k->width, (size_t)g->stride[1],
                       k->tap, k->taps, box + y * g->out[1]);
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_window *g = &k->g;
    size_t vl = s->kernels->vl, plane = (size_t)(g->out[0] * g->out[1]);
    int64_t at = (int64_t)index, chunk = at % k->chunks, place = at /= k->chunks;
    int64_t band = at % k->bands, image = at / k->bands, y0 = band * k->rows;
    int64_t rows = clamp(g->out[0] - y0, 0, k->rows), first = chunk * k->chunk,
            end = clamp(first + k->chunk, 0, k->vectors);
    pare_scratch shared = pare_scratch_of(s, thread);
    char *scratch = shared.data;
    if (*shared.inside != place) {
        size_t in = (size_t)(image * k->in_blocks * g->in[0] * g->in[1]) * vl;
        fill_band(s, k, (const uint8_t *)s->in[0].data + in, y0 * g->stride[0] - g->begin[0], rows,
                  scratch);
    }
    *shared.inside = place;
    const order *o = band == k->bands - 1 ? &k->last : &k->full;
    pare_lowbit_conv c = { .vl = vl,
                           .span = k->span,
                           .table = (const uint8_t *)scratch,
                           .pixels = (size_t)(rows * g->out[1]),
                           .pixel = o->pixel,
                           .place = o->place,
                           .w_step = k->w_step,
                           .partial = (int32_t *)(void *)(scratch + k->partial_at),
                           .box = k->boxes ? (const int32_t *)(void *)(scratch + k->box_at) : NULL,
                           .finish = k->finish,
                           .y_block = plane * vl };
    size_t bytes = 255 / (k->span * (size_t)(k->most ? k->most : 1));
    for (int64_t v = first; v < end; v += 2) {
        size_t channel = (size_t)v * 4 * vl, block = (size_t)v * 4;
        c.vectors = end - v < 2 ? 1 : 2;
        c.blocks = (size_t)clamp(k->out_blocks - 4 * v, 0, 4 * (int64_t)c.vectors);
        c.alpha = k->alpha + channel;
        c.beta = k->beta + channel;
        c.finish.bias = k->bias + channel;
        c.finish.scale = k->scale + channel;
        c.y = (uint8_t *)s->out[0].data +
              (((size_t)(image * k->out_blocks) + block) * plane + (size_t)(y0 * g->out[1])) * vl;
        for (int j = 0; j < k->planes; j++)
            for (size_t i = 0; i < k->parts; i++) {
                size_t steps = k->part[i].steps, times = (steps + bytes - 1) / bytes;
                c.at = k->at + k->part[i].from;
                c.steps = steps;
                c.byte_steps = (steps + times - 1) / times;
                c.w = k->w + (size_t)v * k->w_step +
                      ((size_t)j * k->steps + k->part[i].from) * 4 * vl;
                c.first = j == 0 && i == 0;
                c.last = j == k->planes - 1 && i == k->parts - 1;
                c.shift = i == 0;
                bool more = c.last && v + 2 < k->vectors; /* the next vectors' weights */
                c.ahead = k->w + (more ? (size_t)(v + 2) * k->w_step : 0);
                c.ahead_bytes = more ? k->w_step * (size_t)clamp(k->vectors - v - 2, 1, 2) : 0;
                s->kernels->lowbit_conv(&c);
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
