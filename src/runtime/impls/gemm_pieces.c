/* Gemm and MatMul, float32, with a constant right operand, and Conv to a single pixel, through
 * products of bfloat16 pieces (kernels/pieces.h): one (gemm_bf16), two (gemm_bf16x2) or three
 * (gemm_bf16x3) of every number, as in conv_pieces.c. Rows of the left operand are pixels.
 *
 * scratch of a thread: [header][piece][row][number][results: block, row, lane][what the kernel
 * needs] */
#include "base/pages.h"
#include "base/team.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/gemm_shape.h"
#include "runtime/impls/pieces_common.h"
#include "runtime/impls/scratch.h"

#include <stdlib.h>

enum {
    ITEM_MACS = 2 << 20,
    SERIAL_MACS = 200 << 10,
    ROWS_BYTES = 192 << 10,    /* of cut rows: they stay in the second-level cache */
    RESULTS_BYTES = 128 << 10, /* of an item: likewise */
    LEAST_ROWS = 32,
};

typedef struct shape {
    pare_gemm_shape g;
    size_t vl, pieces, width, words;
    int64_t rows, row_chunks;          /* rows in an item */
    int64_t blocks, chunk, chunks;     /* of columns; chunk: in an item */
    size_t results_at, room_at, bytes; /* of scratch */
    bool serial;
} shape;

typedef struct packed {
    shape s;
    uint16_t *w;
    float *shift;
    uint32_t *pixel; /* of rows, which lie side by side */
} packed;

static size_t lines(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* False: of another kind. */
static bool shape_of(const pare_prepare *p, size_t pieces, shape *s)
{
    const pare_pieces_form *form = &p->kernels->pieces[pieces - 1];
    *s = (shape){ .vl = p->kernels->vl, .pieces = pieces };
    pare_gemm_shape *g = &s->g;
    /* Rows of A are strings; all products of sizes fit. */
    if (!pare_gemm_shape_of(p, g) || g->a_step != 1 || g->k >= INT32_MAX / 64 ||
        g->n >= INT32_MAX / 64)
        return false;
    const int64_t vl = (int64_t)s->vl;
    s->width = (size_t)pare_up(g->k, 2) * 2;
    s->words = (size_t)pare_up((int64_t)s->width / 2, (int64_t)form->whole) * form->whole;
    s->blocks = pare_up(g->n, vl);
    double macs = (double)g->m * (double)g->n * (double)g->k;
    s->serial = macs < SERIAL_MACS;
    int64_t fit = ROWS_BYTES / (2 * (int64_t)(s->width * pieces));
    s->rows = pare_clamp(fit, LEAST_ROWS, g->m > 1 ? g->m : 1);
    if (s->rows > g->m) s->rows = g->m;
    s->row_chunks = pare_up(g->m, s->rows);
    s->rows = pare_up(g->m, s->row_chunks);
    s->row_chunks = pare_up(g->m, s->rows);
    double tile = (double)(s->rows * PARE_PIECES_TILE * vl) * (double)g->k;
    int64_t tiles = pare_up(s->blocks, PARE_PIECES_TILE),
            most = RESULTS_BYTES / (4 * PARE_PIECES_TILE * vl * s->rows);
    s->chunk = pare_clamp((int64_t)(ITEM_MACS / tile), 1, most > 1 ? most : 1);
    s->chunk = pare_clamp(s->chunk, 1, tiles) * PARE_PIECES_TILE;
    s->chunks = pare_up(s->blocks, s->chunk);
    s->results_at = lines((size_t)s->rows * s->width * pieces * sizeof(uint16_t));
    s->room_at = s->results_at + (size_t)(s->chunk * s->rows * vl) * sizeof(float);
    s->bytes = s->room_at + (form->room ? form->room(pieces, s->words, (size_t)s->rows) : 0);
    return true;
}

static bool accepts(const pare_prepare *p, size_t pieces)
{
    shape s;
    return pare_pieces_allowed(p, pieces) && shape_of(p, pieces, &s);
}

static double modelled(const pare_prepare *p, size_t pieces)
{
    shape s;
    if (!shape_of(p, pieces, &s)) return 1e17;
    /* Of vectors a sum waits six cycles for the one before: a row alone takes as long as six. */
    double m = (double)s.g.m, blocks = (double)s.blocks, words = (double)s.words,
           ns = (m < 6 ? 6 : m) * blocks * 0.14 * words;
    if (p->kernels->pieces[pieces - 1].room)
        ns = pare_pieces_tiles_ns((double)pare_up(s.g.m, 16) * blocks * words / 16, pieces);
    ns += pare_pieces_cut_ns(m * words / 8, pieces) + m * blocks * 4;
    double bytes = blocks * words * (double)(s.vl * 4 * pieces), memory = bytes / 25;
    return 300 + (ns > memory ? ns : memory) / (s.serial ? 1 : p->threads);
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->w);
    free(k->shift);
    free(k->pixel);
    free(k);
}

/* Columns of a tile of blocks, from column `first` on; b points at the first number of B, or of
 * these columns where they are stored one behind the other. */
static void pack(const pare_prepare *p, packed *k, int64_t first, const float *b, float *turned)
{
    const shape *s = &k->s;
    const pare_gemm_shape *g = &s->g;
    const int64_t lanes = pare_clamp(s->blocks * (int64_t)s->vl - first, 0,
                                     PARE_PIECES_TILE * (int64_t)s->vl),
                  n = pare_clamp(g->n - first, 0, lanes), span = 2 * (int64_t)s->words;
    float scale[PARE_PIECES_TILE * PARE_VL_MOST] = { 0 };
    memset(turned, 0, (size_t)(lanes * span) * sizeof *turned);
    for (int64_t j = 0; j < n; j++) {
        scale[j] = pare_gemm_scale(p, g, first + j);
        k->shift[first + j] = pare_gemm_shift(p, g, first + j);
    }
    if (g->b_step == 1)
        for (int64_t i = 0; i < g->k; i++)
            for (int64_t j = 0; j < n; j++) turned[j * span + i] = b[i * g->b_row + first + j];
    else
        for (int64_t j = 0; j < n; j++)
            memcpy(turned + j * span, b + j * g->b_step, (size_t)g->k * sizeof *turned);
    pare_pieces_pack(s->vl, s->pieces, (size_t)lanes, s->words, turned, scale,
                     k->w + pare_pieces_packed(s->vl, s->pieces, (size_t)first, s->words));
}

static pare_status pack_all(const pare_prepare *p, packed *k, void *room, float *turned)
{
    const pare_gemm_shape *g = &k->s.g;
    const pare_tensor *w = &p->weight[1]->part[0];
    const int64_t tile = PARE_PIECES_TILE * (int64_t)k->s.vl;
    const size_t all = (size_t)(g->k * g->n) * sizeof(float), column = (size_t)g->k * sizeof(float);
    const void *b = NULL;
    if (g->b_step == 1) PARE_TRY(pare_tensor_part(w, 0, all, room, &b));
    for (int64_t first = 0; first < g->n; first += tile) {
        size_t n = (size_t)pare_clamp(g->n - first, 0, tile);
        if (g->b_step != 1)
            PARE_TRY(pare_tensor_part(w, (size_t)first * column, n * column, room, &b));
        pack(p, k, first, b, turned);
    }
    return PARE_OK;
}

static pare_status prepare(const pare_prepare *p, size_t pieces, void **out, size_t *bytes,
                           size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed product");
    shape *s = &k->s;
    shape_of(p, pieces, s);
    const size_t lanes = (size_t)s->blocks * s->vl, tile = PARE_PIECES_TILE * s->vl;
    size_t all = 0, some = (size_t)s->g.k * (s->g.b_step == 1 ? (size_t)s->g.n : tile);
    if (pare_mul_size(lanes, 2 * pieces * sizeof *k->w, &all) && pare_mul_size(all, s->words, &all))
        k->w = pare_alloc_large(all);
    k->shift = calloc(lanes, sizeof *k->shift);
    k->pixel = malloc((size_t)s->rows * sizeof *k->pixel);
    float *turned = malloc(tile * 2 * s->words * sizeof *turned);
    void *room = malloc(some * sizeof(float));
    pare_status st = k->w && k->shift && k->pixel && turned && room
                         ? pack_all(p, k, room, turned)
                         : pare_fail(PARE_ENOMEM, "no memory for packed weights of %zu bytes", all);
    free(room);
    free(turned);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    for (int64_t r = 0; r < s->rows; r++) k->pixel[r] = (uint32_t)((size_t)r * s->width);
    *out = k;
    *bytes = all + lanes * sizeof(float);
    *scratch_bytes = PARE_SCRATCH_HEADER + s->bytes;
    return PARE_OK;
}

/* Results of an item to rows of the output. */
static void put(const pare_step *step, const shape *s, int64_t row, int64_t rows, int64_t block,
                int64_t blocks, const float *from)
{
    const pare_epilogue *e = &step->epilogue;
    const pare_finish f = { e->act, e->lo, e->hi, e->alpha };
    const int64_t vl = (int64_t)s->vl, first = block * vl;
    const size_t n = (size_t)pare_clamp(s->g.n - first, 0, blocks * vl);
    const float *residual = e->residual ? step->in[step->node->n_in].data : NULL;
    for (int64_t r = 0; r < rows; r++) {
        size_t at = (size_t)((row + r) * s->g.n + first);
        float *y = (float *)step->out[0].data + at;
        for (size_t j = 0; j < n; j += s->vl)
            step->kernels->finish_row(n - j < s->vl ? n - j : s->vl,
                                      from + (j / s->vl * (size_t)rows + (size_t)r) * s->vl, 0,
                                      residual ? residual + at + j : NULL, &f, y + j);
        if (e->gelu) step->kernels->unary(PARE_UNARY_GELU, n, y, 0, 0, y);
    }
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *step = user;
    const packed *k = step->packed;
    const shape *s = &k->s;
    const pare_pieces_form *form = &step->kernels->pieces[s->pieces - 1];
    const int64_t place = (int64_t)index / s->chunks, row = place * s->rows,
                  rows = pare_clamp(s->g.m - row, 0, s->rows),
                  block = (int64_t)index % s->chunks * s->chunk,
                  blocks = pare_clamp(s->blocks - block, 0, s->chunk);
    pare_scratch scratch = pare_scratch_of(step, thread);
    char *at = scratch.data;
    const size_t piece = (size_t)s->rows * s->width;
    if (*scratch.inside != place)
        form->cut(&(pare_pieces_cut){ .vl = s->vl,
                                      .pieces = s->pieces,
                                      .pixels = (size_t)rows,
                                      .channels = (size_t)s->g.k,
                                      .x = (const float *)step->in[0].data + row * s->g.a_row,
                                      .x_pixel = (size_t)s->g.a_row,
                                      .x_block = s->vl,
                                      .to = scratch.data,
                                      .width = s->width,
                                      .piece = piece });
    *scratch.inside = place;
    float *results = (float *)(void *)(at + s->results_at);
    const pare_pieces_run run = { 0, (uint32_t)(s->width / 2) };
    form->conv(&(pare_pieces_conv){
        .vl = s->vl,
        .pieces = s->pieces,
        .x = scratch.data,
        .x_piece = piece,
        .pixels = (size_t)rows,
        .pixel = k->pixel,
        .run = &run,
        .runs = 1,
        .words = s->words,
        .blocks = (size_t)blocks,
        .w = k->w + pare_pieces_packed(s->vl, s->pieces, (size_t)block * s->vl, s->words),
        .bias = k->shift + (size_t)block * s->vl,
        .y = results,
        .y_block = (size_t)rows * s->vl,
        .room = at + s->room_at });
    put(step, s, row, rows, block, blocks, results);
}

static pare_status run(const pare_step *step, int threads)
{
    const packed *k = step->packed;
    pare_scratch_forget(step, threads);
    pare_team_for((size_t)(k->s.row_chunks * k->s.chunks), k->s.serial ? 1 : threads, item,
                  (void *)step);
    return PARE_OK;
}

static bool accepts1(const pare_prepare *p) { return accepts(p, 1); }
static double model_ns1(const pare_prepare *p) { return modelled(p, 1); }
static pare_status prepare1(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return prepare(p, 1, out, bytes, scratch);
}
const pare_impl pare_impl_gemm_bf16 = {
    .name = "gemm_bf16",
    .op = "Gemm|MatMul|Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .precision = PARE_PRECISION_BF16,
    .accepts = accepts1,
    .model_ns = model_ns1,
    .prepare = prepare1,
    .release = release,
    .run = run,
};

static bool accepts2(const pare_prepare *p) { return accepts(p, 2); }
static double model_ns2(const pare_prepare *p) { return modelled(p, 2); }
static pare_status prepare2(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return prepare(p, 2, out, bytes, scratch);
}
const pare_impl pare_impl_gemm_bf16x2 = {
    .name = "gemm_bf16x2",
    .op = "Gemm|MatMul|Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .precision = PARE_PRECISION_BF16X2,
    .accepts = accepts2,
    .model_ns = model_ns2,
    .prepare = prepare2,
    .release = release,
    .run = run,
};

static bool accepts3(const pare_prepare *p) { return accepts(p, 3); }
static double model_ns3(const pare_prepare *p) { return modelled(p, 3); }
static pare_status prepare3(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch)
{
    return prepare(p, 3, out, bytes, scratch);
}
const pare_impl pare_impl_gemm_bf16x3 = {
    .name = "gemm_bf16x3",
    .op = "Gemm|MatMul|Conv",
    .packs = true,
    .streams = true,
    .fuses = true,
    .precision = PARE_PRECISION_FP32,
    .accepts = accepts3,
    .model_ns = model_ns3,
    .prepare = prepare3,
    .release = release,
    .run = run,
};
