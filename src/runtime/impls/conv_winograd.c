/* Conv, float32, dense, 3x3 of stride 1, channel-blocked: Winograd's F(2x2, 3x3) and F(4x4, 3x3),
 * which multiply 2.25 and 4 times less often than the sum over taps.
 *
 * Weights are transformed when the plan is made. Work is cut into items (part of the output
 * channels, image, band of tiles). An item transforms the tiles of its band into its thread's
 * scratch unless the thread did that for the item before; then, for a few blocks of output channels
 * at a time, multiplies all positions and transforms back. No number depends on how work is cut.
 *
 * scratch of a thread: [header][position][block of C][tile][vl], [position][tile][blocks of M][vl]
 *
 * Rounding (docs/kernels/winograd.md has the derivation): an output is off by at most
 *
 *   kappa^2 * (min(C, chunk) + ceil(C / chunk) + 21) * 2^-24 * max|x| * sum|w|,
 *
 * and, for inputs that vary independently about zero, by about
 *
 *   lambda / 2 * sqrt(min(C, chunk) / 2 + ceil(C / chunk) / 2 + 10) * 2^-24
 *
 * of the outputs' deviation, whatever the weights. A form is offered only where that is below
 * MOST_ERROR. */
#include "runtime/impls/conv_winograd.h"
#include "base/pages.h"
#include "base/team.h"
#include "runtime/impls/conv_common.h"
#include "runtime/impls/winograd_common.h"

#include <math.h>
#include <stdlib.h>

#define MOST_ERROR 1e-5
enum {
    MOST_TILES = 56,         /* in a band: enough uses of every weight that is loaded */
    SERIAL_MACS = 300 << 10, /* below, starting threads costs more than it gains */
};

const pare_winograd_form pare_winograd_forms[PARE_WINOGRAD_FORMS] = { { 2, 3.42, 16, 13 },
                                                                      { 4, 16.2, 80, 36 } };

typedef struct packed {
    pare_winograd_shape s;
    float *u;     /* [group][position][C][blocks of the group][vl] */
    float *shift; /* [blocks_out][vl] */
    bool serial;
} packed;

static double predicted_error(const pare_winograd_form *f, int64_t channels)
{
    int64_t chunk = PARE_WINOGRAD_CHUNK;
    double sums =
        0.5 * (double)((channels < chunk ? channels : chunk) + pare_up(channels, chunk)) + 10;
    return 0.5 * f->lambda * sqrt(sums) * 0x1p-24;
}

bool pare_winograd_fits(const pare_winograd_form *f, const pare_window *w, int64_t channels)
{
    for (int d = 0; d < 2; d++)
        if (w->kernel[d] != 3 || w->stride[d] != 1 || w->dilation[d] != 1) return false;
    return predicted_error(f, channels) <= MOST_ERROR;
}

static bool shape_of(const pare_prepare *p, const pare_winograd_form *f, pare_winograd_shape *s)
{
    return !p->no_winograd && pare_conv_is_plain(p) &&
           pare_winograd_shape_of(p, 1, f->m, MOST_TILES, s) &&
           predicted_error(f, s->channels) <= MOST_ERROR;
}

static double model_ns(const pare_prepare *p, const pare_winograd_form *f)
{
    pare_winograd_shape s;
    /* The plain kernels say what is computed; they are not quick. */
    if (!shape_of(p, f, &s) || strcmp(p->kernels->isa, "c") == 0) return 1e17;
    /* Vectors of weights: two multiply-adds a cycle on each, for every tile of a band, and a load
     * from a near cache for every band. Memory gives them meanwhile, not quite for nothing; to all
     * threads together. */
    double weights = (double)(s.positions * s.channels * s.blocks_out);
    double line = (double)p->kernels->vl / 16; /* of the cache, per vector */
    double tiles = (double)(s.tiles * s.images);
    double work = weights * (tiles * 0.125 + (double)(s.bands * s.images) * 0.25 * line) +
                  tiles * ((double)s.blocks_in * f->input_ns + (double)s.blocks_out * f->output_ns);
    int64_t items = (int64_t)pare_winograd_items(&s), rounds = pare_up(items, p->threads);
    if (pare_winograd_macs(&s) >= SERIAL_MACS) work *= (double)rounds / (double)items;
    return 500 + hypot(work, weights * line);
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->u);
    free(k->shift);
    free(k);
}

/* One block of output channels. */
static pare_status pack(const pare_prepare *p, packed *k, size_t index, void *room)
{
    const pare_winograd_shape *s = &k->s;
    size_t vl = p->kernels->vl, fill = p->kernels->winograd_blocks, group = index / fill,
           first = group * fill, c = (size_t)s->channels;
    size_t rows = (size_t)s->rows - index * vl, blocks = (size_t)s->blocks_out - first;
    size_t width = (blocks < fill ? blocks : fill) * vl, lanes = rows < vl ? rows : vl,
           filter = c * 9 * sizeof(float);
    const void *from;
    PARE_TRY(
        pare_tensor_part(&p->weight[1]->part[0], index * vl * filter, lanes * filter, room, &from));
    float scale[PARE_VL_MOST];
    pare_winograd_weights w = { .m = s->m,
                                .vl = vl,
                                .lanes = lanes,
                                .channels = c,
                                .w = from,
                                .scale = scale,
                                .u = k->u + first * vl * c * (size_t)s->positions +
                                     (index - first) * vl,
                                .row = width,
                                .position = width * c };
    for (size_t l = 0; l < lanes; l++)
        pare_conv_affine(p, (int64_t)(index * vl + l), &scale[l], &k->shift[index * vl + l]);
    p->kernels->winograd_weights(&w);
    return PARE_OK;
}

static pare_status prepare(const pare_prepare *p, const pare_winograd_form *f, void **out,
                           size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    pare_winograd_shape *s = &k->s;
    shape_of(p, f, s);
    size_t lanes = (size_t)s->blocks_out * p->kernels->vl, all, u_bytes;
    *scratch_bytes = pare_winograd_scratch(p, s, s->blocks_in * (int64_t)p->kernels->vl, 4);
    if (!*scratch_bytes || !pare_mul_size(lanes, (size_t)s->channels, &all) ||
        !pare_mul_size(all, (size_t)s->positions, &all) ||
        !pare_mul_size(all, sizeof(float), &u_bytes)) {
        release(k);
        return pare_fail(PARE_ENOMEM, "transformed weights of %lld x %lld channels are too large",
                         (long long)p->out[0].dim[1], (long long)p->in[0].dim[1]);
    }
    k->u = pare_alloc_large(u_bytes);
    k->shift = calloc(lanes, sizeof *k->shift);
    void *room = malloc(p->kernels->vl * (size_t)s->channels * 9 * sizeof(float));
    pare_status st =
        k->u && k->shift && room
            ? PARE_OK
            : pare_fail(PARE_ENOMEM, "no memory for transformed weights of %zu bytes", u_bytes);
    for (size_t i = 0; st == PARE_OK && i < (size_t)s->blocks_out; i++) st = pack(p, k, i, room);
    free(room);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    k->serial = pare_winograd_macs(s) < SERIAL_MACS;
    *out = k;
    *bytes = u_bytes + lanes * sizeof(float);
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *step = user;
    const packed *k = step->packed;
    const pare_winograd_shape *s = &k->s;
    const pare_winograd_part part = pare_winograd_item(s, index);
    const pare_kernels *kernels = step->kernels;
    size_t vl = kernels->vl, fill = kernels->winograd_blocks, positions = (size_t)s->positions;
    pare_scratch scratch = pare_scratch_of(step, thread);
    float *v = scratch.data, *r = v + positions * s->v_position;
    if (*scratch.inside != part.place) {
        size_t map = (size_t)(s->blocks_in * s->in_y * s->in_x) * vl;
        kernels->winograd_input(
            &(pare_winograd_input){ .m = s->m,
                                    .vl = vl,
                                    .blocks = (size_t)s->blocks_in,
                                    .x = (const float *)step->in[0].data + (size_t)part.image * map,
                                    .in_y = s->in_y,
                                    .in_x = s->in_x,
                                    .top = s->top,
                                    .left = s->left,
                                    .tiles_x = s->tiles_x,
                                    .first = (size_t)part.first,
                                    .tiles = (size_t)part.tiles,
                                    .v = v,
                                    .position = s->v_position });
        *scratch.inside = part.place;
    }
    size_t plane = (size_t)(s->out_y * s->out_x) * vl, c = (size_t)s->channels;
    const pare_epilogue *e = &step->epilogue;
    const float *residual = e->residual ? step->in[step->node->n_in].data : NULL;
    for (int64_t group = part.group; group < part.end; group++) {
        size_t block = (size_t)group * fill, left = (size_t)s->blocks_out - block,
               blocks = left < fill ? left : fill;
        const float *u = k->u + block * vl * c * positions;
        for (size_t i = 0; i < positions; i++)
            kernels->winograd_product(&(pare_winograd_product){ .vl = vl,
                                                                .blocks = blocks,
                                                                .channels = c,
                                                                .tiles = (size_t)part.tiles,
                                                                .v = v + i * s->v_position,
                                                                .u = u + i * c * blocks * vl,
                                                                .r = r + i * s->r_position });
        size_t at = ((size_t)(part.image * s->blocks_out) + block) * plane;
        kernels->winograd_output(
            &(pare_winograd_output){ .m = s->m,
                                     .vl = vl,
                                     .blocks = blocks,
                                     .r = r,
                                     .position = s->r_position,
                                     .out_y = s->out_y,
                                     .out_x = s->out_x,
                                     .tiles_x = s->tiles_x,
                                     .first = (size_t)part.first,
                                     .tiles = (size_t)part.tiles,
                                     .shift = k->shift + block * vl,
                                     .residual = residual ? residual + at : NULL,
                                     .y = (float *)step->out[0].data + at,
                                     .finish = { e->act, e->lo, e->hi, e->alpha } });
    }
}

static pare_status run(const pare_step *step, int threads)
{
    const packed *k = step->packed;
    pare_scratch_forget(step, threads);
    pare_team_for(pare_winograd_items(&k->s), k->serial ? 1 : threads, item, (void *)step);
    return PARE_OK;
}

/* The registry's functions, one set for each form. */
#define FORM(M, WHICH)                                                               \
    static bool accepts_##M(const pare_prepare *p)                                   \
    {                                                                                \
        pare_winograd_shape s;                                                       \
        return shape_of(p, WHICH, &s);                                               \
    }                                                                                \
    static double model_ns_##M(const pare_prepare *p) { return model_ns(p, WHICH); } \
    static double macs_##M(const pare_prepare *p)                                    \
    {                                                                                \
        pare_winograd_shape s;                                                       \
        shape_of(p, WHICH, &s);                                                      \
        return pare_winograd_macs(&s);                                               \
    }                                                                                \
    static pare_status prepare_##M(const pare_prepare *p, void **out, size_t *bytes, \
                                   size_t *scratch_bytes)                            \
    {                                                                                \
        return prepare(p, WHICH, out, bytes, scratch_bytes);                         \
    }                                                                                \
    const pare_impl pare_impl_conv_winograd##M = {                                   \
        .name = "conv_winograd" #M,                                                  \
        .op = "Conv",                                                                \
        .packs = true,                                                               \
        .streams = true,                                                             \
        .fuses = true,                                                               \
        .takes = PARE_BLOCKED,                                                       \
        .gives = PARE_BLOCKED,                                                       \
        .accepts = accepts_##M,                                                      \
        .model_ns = model_ns_##M,                                                    \
        .prepare = prepare_##M,                                                      \
        .release = release,                                                          \
        .run = run,                                                                  \
        .macs = macs_##M,                                                            \
    };
FORM(2, &pare_winograd_forms[0])
FORM(4, &pare_winograd_forms[1])
