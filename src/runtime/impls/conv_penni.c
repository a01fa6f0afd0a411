/* Convolution straight from PENNI's parts: basis stage and sparse combination, fused over tiles of
 * pixels.
 *
 * The input channel is copied once into zero-padded planes, one for each stride phase, so that
 * every tap of every pixel is a constant offset in a contiguous row (pitch wq, a little wider than
 * the output; the surplus columns are computed and dropped). A tile is a run of such pixels; for a
 * block of channels its basis responses z stay in L1/L2 while all output channels take their terms
 * from them.
 *
 *   x [C][H][W] --pack--> planes [C][sh*sw][hq][wq] --basis--> z [rows of a block][T] --combine-->
 * acc [N][T]
 * --> y
 *
 * Sums run over channels, then basis kernels, ascending, whatever the tiling: results do not depend
 * on threads. */
#include "base/team.h"
#include "codecs/penni.h"
#include "ops/conv_attrs.h"
#include "runtime/impl.h"

#include <stdlib.h>
#include <string.h>

enum {
    TILE_MOST = 128,        /* pixels; 8 AVX-512 vectors */
    BLOCK_BYTES = 40 << 10, /* of z: stays in L1 */
    SPARSE_BLOCK_BYTES =
        256 << 10,       /* stays in L2: when rows have too few terms to pay for reloading acc */
    TERMS_WANTED = 8,    /* terms an output channel should have in a block */
    SERIAL_MACS = 300000 /* below this, waking threads costs more than it saves */
};

/* A channel's part in the basis stage: the basis kernels that its kept coefficients use. */
typedef struct channel {
    uint32_t input; /* channel of x */
    uint32_t used;  /* number of basis kernels */
    uint32_t row;   /* first row of z, within its block */
    uint32_t table; /* offset of [taps][used] in `tables` */
} channel;

typedef struct block {
    uint32_t first, count; /* channels */
    uint32_t rows, row0;   /* of z; rows of the blocks before */
    uint32_t *start;       /* n_out + 1, into term */
    pare_penni_term *term;
} block;

typedef struct packed {
    pare_window w;
    int64_t images, c_in, n_out;
    int64_t hq, wq;   /* rows and pitch of one phase plane */
    size_t plane;     /* floats of one packed channel */
    size_t taps, len; /* pixels with surplus columns */
    size_t tile, tiles;
    size_t rows, rows_most; /* (channel, basis) pairs in use: all, and of the largest block */
    uint32_t *offset;       /* taps */
    channel *channel;
    uint32_t n_channels;
    block *block;
    uint32_t n_blocks;
    float *tables;
    pare_penni_term *terms;
    uint32_t *starts;
    float *shift; /* n_out: bias and the epilogue's shift; its scale is in the terms */
    double nonzeros;
} packed;

static bool accepts(const pare_prepare *p)
{
    const pare_conv_attrs *a = p->node->attrs;
    bool bias_known = p->in[2].dtype == PARE_UNDEFINED || p->weight[2];
    return p->in[0].dtype == PARE_F32 && p->in[0].rank == 4 && a->group == 1 && bias_known;
}

static void release(void *memory)
{
    packed *k = memory;
    if (!k) return;
    free(k->offset);
    free(k->channel);
    free(k->block);
    free(k->tables);
    free(k->terms);
    free(k->starts);
    free(k->shift);
    free(k);
}

static bool kept(const uint8_t *mask, size_t i) { return mask[i >> 3] >> (i & 7) & 1; }

static size_t round16(size_t n) { return (n + 15) & ~(size_t)15; }

static void geometry(const pare_prepare *p, packed *k)
{
    pare_conv_window(p->node, &p->in[0], &p->in[1], &k->w);
    const pare_window *w = &k->w;
    k->images = p->in[0].dim[0];
    k->c_in = p->in[0].dim[1];
    k->n_out = p->out[0].dim[1];
    k->hq = w->out[0] + (w->kernel[0] - 1) * w->dilation[0] / w->stride[0];
    k->wq = w->out[1] + (w->kernel[1] - 1) * w->dilation[1] / w->stride[1];
    k->taps = (size_t)(w->kernel[0] * w->kernel[1]);
    k->len = (size_t)((w->out[0] - 1) * k->wq + w->out[1]);
    k->tiles = (k->len + TILE_MOST - 1) / TILE_MOST;
    k->tile = round16((k->len + k->tiles - 1) / k->tiles);
    k->tiles = (k->len + k->tile - 1) / k->tile;
    k->plane = round16((size_t)(w->stride[0] * w->stride[1] * k->hq * k->wq) + k->tile);
}

/* Marks the (channel, basis) pairs that some output channel uses; NULL if out of memory. */
static bool *used_pairs(const pare_weight *w, size_t n_out, size_t pairs, size_t *count)
{
    bool *used = calloc(pairs + 1, sizeof *used);
    const uint8_t *mask = w->part[PARE_PENNI_MASK].data;
    *count = 0;
    for (size_t i = 0; used && i < n_out * pairs; i++)
        if (kept(mask, i) && !used[i % pairs]) {
            used[i % pairs] = true;
            ++*count;
        }
    return used;
}

/* Geometry and the size of both stages, for the cost model. */
static void measure(const pare_prepare *p, packed *k)
{
    const pare_weight *w = p->weight[1];
    geometry(p, k);
    k->nonzeros = (double)w->part[PARE_PENNI_VALUES].dim[0];
    size_t pairs = (size_t)k->c_in * (size_t)w->part[PARE_PENNI_BASIS].dim[0];
    bool *used = used_pairs(w, (size_t)k->n_out, pairs, &k->rows);
    if (!used) k->rows = pairs; /* out of memory: the estimate is an upper bound */
    free(used);
}

static double macs(const pare_prepare *p)
{
    packed k = { 0 };
    measure(p, &k);
    return (double)(k.images * k.w.out[0] * k.w.out[1]) *
           ((double)k.rows * (double)k.taps + k.nonzeros);
}

/* Rates in multiply-accumulates and floats a nanosecond as measured on Zen 5; other machines keep
 * the proportions. */
static double model_ns(const pare_prepare *p)
{
    packed k = { 0 };
    measure(p, &k);
    double basis = 0.4, combine = 0.3, copy = 2;
    if (strcmp(p->kernels->isa, "avx512") == 0)
        basis = 90, combine = 56, copy = 14;
    else if (strcmp(p->kernels->isa, "avx2") == 0)
        basis = 41, combine = 27, copy = 10;
    double pixels = (double)(k.tiles * k.tile);
    double ns = pixels * ((double)k.rows * (double)k.taps / basis + k.nonzeros / combine);
    ns += ((double)(k.c_in * k.w.in[0] * k.w.in[1]) + (double)k.n_out * pixels) / copy;
    ns *= (double)k.images;
    if (p->threads > 1 && ns > 20000) ns = ns / (0.85 * p->threads) + 3000;
    return ns + 500;
}

/* Channels with their compact basis tables, and blocks of channels: as many rows of z as fit, more
 * if terms are rare. */
static void group_channels(packed *k, const float *basis, size_t d, const bool *used)
{
    uint32_t table = 0;
    for (size_t c = 0; c < (size_t)k->c_in; c++) {
        channel ch = { .input = (uint32_t)c, .table = table };
        for (size_t m = 0; m < d; m++) ch.used += used[c * d + m];
        if (!ch.used) continue;
        for (size_t t = 0, at = table; t < k->taps; t++)
            for (size_t m = 0; m < d; m++)
                if (used[c * d + m]) k->tables[at++] = basis[m * k->taps + t];
        table += ch.used * (uint32_t)k->taps;
        k->channel[k->n_channels++] = ch;
    }
    double terms_per_row = k->rows ? k->nonzeros / ((double)k->n_out * (double)k->rows) : 0;
    size_t fit = BLOCK_BYTES / (k->tile * sizeof(float)),
           most = SPARSE_BLOCK_BYTES / (k->tile * sizeof(float));
    while (fit < most && terms_per_row * (double)fit < TERMS_WANTED) fit *= 2;
    uint32_t row0 = 0;
    for (uint32_t i = 0; i < k->n_channels; i++) {
        block *b = k->n_blocks ? &k->block[k->n_blocks - 1] : NULL;
        if (!b || b->rows + k->channel[i].used > fit) {
            b = &k->block[k->n_blocks++];
            b->first = i;
            b->row0 = row0;
        }
        k->channel[i].row = b->rows;
        b->rows += k->channel[i].used;
        b->count++;
        row0 += k->channel[i].used;
        if (b->rows > k->rows_most) k->rows_most = b->rows;
    }
}

/* Terms of block b, output channel n, in ascending (channel, basis) order: counted, summed, filled.
 */
static void fill_terms(packed *k, const uint8_t *mask, const float *value, const float *scale,
                       size_t d, const uint32_t *row_of, const uint32_t *block_of)
{
    size_t pairs = (size_t)k->c_in * d, n_out = (size_t)k->n_out;
    for (uint32_t b = 0; b < k->n_blocks; b++)
        k->block[b].start = k->starts + (size_t)b * (n_out + 1);
    for (size_t i = 0; i < n_out * pairs; i++)
        if (kept(mask, i)) k->block[block_of[i % pairs]].start[i / pairs + 1]++;
    pare_penni_term *at = k->terms;
    for (uint32_t b = 0; b < k->n_blocks; b++) {
        block *bl = &k->block[b];
        bl->term = at;
        for (size_t n = 0; n < n_out; n++) bl->start[n + 1] += bl->start[n];
        at += bl->start[n_out];
    }
    /* Filling moves start[n] to the end of n, which is the start of n + 1: shift back afterwards.
     */
    for (size_t i = 0, v = 0; i < n_out * pairs; i++) {
        if (!kept(mask, i)) continue;
        block *bl = &k->block[block_of[i % pairs]];
        float a = scale ? value[v] * scale[i / pairs] : value[v];
        bl->term[bl->start[i / pairs]++] = (pare_penni_term){ a, row_of[i % pairs] };
        v++;
    }
    for (uint32_t b = 0; b < k->n_blocks; b++) {
        memmove(k->block[b].start + 1, k->block[b].start, n_out * sizeof(uint32_t));
        k->block[b].start[0] = 0;
    }
}

static pare_status build(const pare_prepare *p, packed *k)
{
    const pare_weight *w = p->weight[1];
    size_t d = (size_t)w->part[PARE_PENNI_BASIS].dim[0], c_in = (size_t)k->c_in, pairs = c_in * d,
           n_out = (size_t)k->n_out;
    k->nonzeros = (double)w->part[PARE_PENNI_VALUES].dim[0];
    k->offset = malloc(k->taps * sizeof *k->offset);
    k->channel = calloc(c_in + 1, sizeof *k->channel);
    k->block = calloc(c_in + 1, sizeof *k->block);
    k->tables = calloc(pairs * k->taps + 1, sizeof *k->tables);
    k->terms = malloc(((size_t)w->part[PARE_PENNI_VALUES].dim[0] + 1) * sizeof *k->terms);
    uint32_t *row_of = malloc((pairs + 1) * sizeof *row_of),
             *block_of = malloc((pairs + 1) * sizeof *block_of);
    bool *used = used_pairs(w, n_out, pairs, &k->rows);
    k->shift = calloc(n_out + 1, sizeof *k->shift);
    bool ok = k->shift && k->offset && k->channel && k->block && k->tables && k->terms && row_of &&
              block_of && used;
    if (ok) {
        for (int64_t y = 0, t = 0; y < k->w.kernel[0]; y++)
            for (int64_t x = 0; x < k->w.kernel[1]; x++, t++) {
                int64_t dy = y * k->w.dilation[0], dx = x * k->w.dilation[1], sy = k->w.stride[0],
                        sx = k->w.stride[1];
                k->offset[t] = (uint32_t)((dy % sy * sx + dx % sx) * k->hq * k->wq +
                                          dy / sy * k->wq + dx / sx);
            }
        group_channels(k, w->part[PARE_PENNI_BASIS].data, d, used);
        for (uint32_t b = 0; b < k->n_blocks; b++)
            for (uint32_t i = k->block[b].first; i < k->block[b].first + k->block[b].count; i++)
                for (size_t m = 0, r = k->channel[i].row; m < d; m++) {
                    size_t pair = k->channel[i].input * d + m;
                    row_of[pair] = (uint32_t)r;
                    block_of[pair] = b;
                    r += used[pair];
                }
        k->starts = calloc((size_t)k->n_blocks * (n_out + 1) + 1, sizeof *k->starts);
        ok = k->starts != NULL;
    }
    if (ok) {
        const float *bias = p->node->n_in > 2 && p->weight[2] ? p->weight[2]->part[0].data : NULL;
        const float *scale = p->epilogue.scale, *shift = p->epilogue.shift;
        for (size_t n = 0; n < n_out; n++)
            k->shift[n] = (bias ? bias[n] : 0) * (scale ? scale[n] : 1) + (shift ? shift[n] : 0);
        fill_terms(k, w->part[PARE_PENNI_MASK].data, w->part[PARE_PENNI_VALUES].data,
                   p->epilogue.scale, d, row_of, block_of);
    }
    free(row_of);
    free(block_of);
    free(used);
    return ok ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for packing '%s'", p->node->name);
}

/* z of a single tile holds all rows, since it may be cut over channels; otherwise one block's. */
static size_t z_rows(const packed *k) { return k->tiles == 1 ? k->rows : k->rows_most; }

static pare_status prepare(const pare_prepare *p, void **out, size_t *packed_bytes,
                           size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for packing '%s'", p->node->name);
    geometry(p, k);
    pare_status st = build(p, k);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    *scratch_bytes =
        (k->n_channels * k->plane + (z_rows(k) + (size_t)k->n_out) * k->tile) * sizeof(float);
    *packed_bytes = (size_t)k->nonzeros * sizeof(pare_penni_term) +
                    (size_t)k->n_blocks * (size_t)(k->n_out + 1) * sizeof(uint32_t) +
                    k->rows * k->taps * sizeof(float);
    *out = k;
    return PARE_OK;
}

/* --- running --- */
typedef struct job {
    const pare_step *s;
    const packed *k;
    int64_t image;
    size_t chunk; /* channels an item, when a single tile is cut over channels */
} job;

/* A thread's scratch: packed channels, z, sums. */
typedef struct room {
    float *x, *z, *acc;
} room;

static room room_of(const job *j, int thread)
{
    const packed *k = j->k;
    float *base = (float *)((char *)j->s->scratch + (size_t)thread * j->s->scratch_bytes);
    float *z = base + k->n_channels * k->plane;
    return (room){ base, z, z + z_rows(k) * k->tile };
}

static void pack_channel(const job *j, int64_t image, size_t i, float *to)
{
    const packed *k = j->k;
    const pare_window *w = &k->w;
    const float *x = (const float *)j->s->in[0].data +
                     (image * k->c_in + k->channel[i].input) * w->in[0] * w->in[1];
    memset(to, 0, k->plane * sizeof *to);
    for (int64_t py = 0; py < w->stride[0]; py++)
        for (int64_t px = 0; px < w->stride[1]; px++, to += k->hq * k->wq) {
            /* Column c holds x[c * stride - shift]: columns [c0, c1) are inside the picture. */
            int64_t shift = w->begin[1] - px;
            int64_t c0 = shift > 0 ? (shift + w->stride[1] - 1) / w->stride[1] : 0,
                    last = w->in[1] - 1 + shift;
            int64_t c1 = last < 0 ? 0 : last / w->stride[1] + 1;
            if (c1 > k->wq) c1 = k->wq;
            for (int64_t i_row = 0; i_row < k->hq && c1 > c0; i_row++) {
                int64_t y = i_row * w->stride[0] + py - w->begin[0];
                if (y < 0 || y >= w->in[0]) continue;
                const float *row = x + y * w->in[1] - shift;
                float *dst = to + i_row * k->wq;
                if (w->stride[1] == 1)
                    memcpy(dst + c0, row + c0, (size_t)(c1 - c0) * sizeof *dst);
                else
                    for (int64_t c = c0; c < c1; c++) dst[c] = row[c * w->stride[1]];
            }
        }
}

static void basis_channel(const job *j, size_t i, size_t q, size_t len, const float *planes,
                          float *z)
{
    const packed *k = j->k;
    j->s->kernels->penni_basis(k->channel[i].used, k->taps, len, planes + i * k->plane + q,
                               k->offset, k->tables + k->channel[i].table, z, k->tile);
}

/* Adds what the plan fused and drops the surplus columns: output channels [n0, n1) of the tile that
 * starts at q. */
static void store(const job *j, int64_t image, size_t q, size_t len, int64_t n0, int64_t n1,
                  const float *acc)
{
    const packed *k = j->k;
    int64_t ho = k->w.out[0], wo = k->w.out[1],
            end = (int64_t)(q + len < k->len ? q + len : k->len);
    const pare_epilogue *e = &j->s->epilogue;
    const pare_finish finish = { e->act, e->lo, e->hi, e->alpha };
    const float *residual = e->residual ? j->s->in[j->s->node->n_in].data : NULL;
    float *out = j->s->out[0].data;
    for (int64_t n = n0; n < n1; n++, acc += k->tile) {
        int64_t plane = (image * k->n_out + n) * ho * wo;
        for (int64_t at = (int64_t)q, next; at < end; at = next) {
            int64_t y = at / k->wq, x = at % k->wq;
            next = (y + 1) * k->wq < end ? (y + 1) * k->wq : end;
            int64_t columns = next - at < wo - x ? next - at : wo - x;
            int64_t to = plane + y * wo + x;
            if (columns > 0)
                j->s->kernels->finish_row((size_t)columns, acc + (at - (int64_t)q), k->shift[n],
                                          residual ? residual + to : NULL, &finish, out + to);
        }
    }
}

static void run_tile(const job *j, int64_t image, size_t t, const float *planes, room r)
{
    const packed *k = j->k;
    size_t q = t * k->tile, len = round16(k->len - q < k->tile ? k->len - q : k->tile);
    if (!k->n_blocks) memset(r.acc, 0, (size_t)k->n_out * k->tile * sizeof(float));
    for (uint32_t b = 0; b < k->n_blocks; b++) {
        const block *bl = &k->block[b];
        for (uint32_t i = bl->first; i < bl->first + bl->count; i++)
            basis_channel(j, i, q, len, planes, r.z + k->channel[i].row * k->tile);
        j->s->kernels->penni_combine((size_t)k->n_out, len, bl->start, bl->term, r.z, k->tile,
                                     r.acc, k->tile, b == 0);
    }
    store(j, image, q, len, 0, k->n_out, r.acc);
}

static void item_image(void *user, size_t image, int thread)
{
    const job *j = user;
    room r = room_of(j, thread);
    for (size_t i = 0; i < j->k->n_channels; i++)
        pack_channel(j, (int64_t)image, i, r.x + i * j->k->plane);
    for (size_t t = 0; t < j->k->tiles; t++) run_tile(j, (int64_t)image, t, r.x, r);
}

static void item_pack(void *user, size_t i, int thread)
{
    const job *j = user;
    (void)thread;
    pack_channel(j, j->image, i, room_of(j, 0).x + i * j->k->plane);
}

static void item_tile(void *user, size_t t, int thread)
{
    const job *j = user;
    run_tile(j, j->image, t, room_of(j, 0).x, room_of(j, thread));
}

/* A single tile: the basis stage is cut over input channels, then the combination over output
 * channels. */
static void item_basis(void *user, size_t item, int thread)
{
    const job *j = user;
    const packed *k = j->k;
    room r = room_of(j, 0);
    (void)thread;
    uint32_t b = 0;
    for (size_t i = item * j->chunk; i < (item + 1) * j->chunk && i < k->n_channels; i++) {
        while (k->block[b].first + k->block[b].count <= i) b++;
        pack_channel(j, j->image, i, r.x + i * k->plane);
        basis_channel(j, i, 0, round16(k->len), r.x,
                      r.z + (k->block[b].row0 + k->channel[i].row) * k->tile);
    }
}

static void item_combine(void *user, size_t item, int thread)
{
    const job *j = user;
    const packed *k = j->k;
    room r = room_of(j, 0);
    (void)thread;
    int64_t n0 = (int64_t)(item * j->chunk),
            n1 = n0 + (int64_t)j->chunk < k->n_out ? n0 + (int64_t)j->chunk : k->n_out;
    float *acc = r.acc + (size_t)n0 * k->tile;
    if (!k->n_blocks) memset(acc, 0, (size_t)(n1 - n0) * k->tile * sizeof(float));
    for (uint32_t b = 0; b < k->n_blocks; b++)
        j->s->kernels->penni_combine((size_t)(n1 - n0), round16(k->len), k->block[b].start + n0,
                                     k->block[b].term, r.z + k->block[b].row0 * k->tile, k->tile,
                                     acc, k->tile, b == 0);
    store(j, j->image, 0, round16(k->len), n0, n1, acc);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    job j = { .s = s, .k = k };
    double work = ((double)k->rows * (double)k->taps + k->nonzeros) * (double)k->len;
    if (threads <= 1 || k->images >= threads || work < SERIAL_MACS) {
        pare_team_for((size_t)k->images, work * (double)k->images < SERIAL_MACS ? 1 : threads,
                      item_image, &j);
        return PARE_OK;
    }
    for (j.image = 0; j.image < k->images; j.image++) {
        if (k->tiles > 1) {
            pare_team_for(k->n_channels, threads, item_pack, &j);
            pare_team_for(k->tiles, threads, item_tile, &j);
        } else {
            j.chunk = 16;
            pare_team_for((k->n_channels + j.chunk - 1) / j.chunk, threads, item_basis, &j);
            pare_team_for(((size_t)k->n_out + j.chunk - 1) / j.chunk, threads, item_combine, &j);
        }
    }
    return PARE_OK;
}

const pare_impl pare_impl_conv_penni = {
    .name = "conv_penni",
    .op = "Conv",
    .codec = "penni",
    .packs = true,
    .fuses = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
    .macs = macs,
};
