/* QLinearConv, 3x3 of stride 1, channel-blocked, by Winograd's F(4x4, 3x3) in whole numbers
 * (kernels/int8_winograd.h): bit for bit what the operator's eval gives, for a quarter of the
 * products. They have 16 bits, which halves the gain where vpdpbusd multiplies bytes; with AVX2
 * the sum over taps is made of 16-bit products too.
 *
 * scratch of a thread: [header][position][group of C][tile][2 * vl] 16 bits,
 * [position][tile][blocks of M][vl] 32 bits */
#include "base/pages.h"
#include "base/team.h"
#include "runtime/impls/int8_common.h"
#include "runtime/impls/winograd_common.h"

#include <math.h>
#include <stdlib.h>

enum {
    MOST_TILES = 32, /* of a band: inputs and products stay in the second-level cache */
    SERIAL_MACS = 300 << 10,
    POSITIONS = PARE_INT8_WINOGRAD_POSITIONS,
};

typedef struct packed {
    pare_winograd_shape s;
    int16_t *u; /* [group][position][C / 2][blocks of the group][vl][2] */
    int32_t *bias;
    float *scale;
    pare_int8_finish finish;
    bool is_signed, serial;
    uint8_t pad;
} packed;

static int32_t zero_of(const pare_tensor *w_zero, int64_t m)
{
    return (int32_t)pare_int8_at(w_zero, m);
}

static int32_t element(const pare_tensor *w, int64_t i)
{
    return w->dtype == PARE_U8 ? ((const uint8_t *)w->data)[i] : ((const int8_t *)w->data)[i];
}

/* Is no sum of products of any input as large as PARE_INT8_WINOGRAD_MOST? */
static bool fits(const pare_prepare *p)
{
    const pare_tensor *w = pare_int8_constant(p, 3), *w_zero = pare_int8_constant(p, 5);
    int64_t n = w->dim[1] * 9, lowest = p->in[0].dtype == PARE_I8 ? -128 : 0;
    if (w->dtype == PARE_I8 && !w_zero && n * 128 * 255 < PARE_INT8_WINOGRAD_MOST) return true;
    for (int64_t m = 0; m < w->dim[0]; m++) {
        int64_t up = 0, down = 0;
        int32_t zero = zero_of(w_zero, m);
        for (int64_t i = 0; i < n; i++) {
            int32_t v = element(w, m * n + i) - zero;
            up += v > 0 ? v : 0;
            down += v < 0 ? -v : 0;
        }
        int64_t most = up * (lowest + 255) - down * lowest,
                least = up * lowest - down * (lowest + 255);
        if (most >= PARE_INT8_WINOGRAD_MOST || least <= -PARE_INT8_WINOGRAD_MOST) return false;
    }
    return true;
}

static bool shape_of(const pare_prepare *p, pare_winograd_shape *s)
{
    return pare_winograd_shape_of(p, 3, 4, MOST_TILES, s);
}

static bool accepts(const pare_prepare *p)
{
    pare_winograd_shape s;
    return pare_int8_constants(p, 3, 8, 6) && shape_of(p, &s) && fits(p);
}

static double model_ns(const pare_prepare *p)
{
    pare_winograd_shape s;
    /* The plain kernels say what is computed; they are not quick. */
    if (!shape_of(p, &s) || strcmp(p->kernels->isa, "c") == 0) return 1e17;
    /* Vectors of weights, two channels each, as conv_winograd counts them. */
    double weights = (double)(s.positions * pare_up(s.channels, 2) * s.blocks_out);
    double line = (double)p->kernels->vl / 16, tiles = (double)(s.tiles * s.images);
    double work = weights * (tiles * 0.15 + (double)(s.bands * s.images) * 0.25 * line) +
                  tiles * ((double)pare_up(s.blocks_in, 2) * 80 + (double)s.blocks_out * 60);
    if (p->kernels->int8_tiles) work *= 1.5; /* those processors have a slower clock */
    int64_t items = (int64_t)pare_winograd_items(&s), rounds = pare_up(items, p->threads);
    if (pare_winograd_macs(&s) >= SERIAL_MACS) work *= (double)rounds / (double)items;
    return 500 + hypot(work, weights * line);
}

static double macs(const pare_prepare *p)
{
    pare_winograd_shape s;
    shape_of(p, &s);
    return pare_winograd_macs(&s);
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->u);
    free(k->bias);
    free(k->scale);
    free(k);
}

typedef struct packing {
    const pare_prepare *p;
    packed *k;
    int16_t *w; /* of one block, for each thread */
} packing;

/* One block of output channels. */
static void pack(void *user, size_t index, int thread)
{
    const packing *a = user;
    const pare_prepare *p = a->p;
    packed *k = a->k;
    const pare_winograd_shape *s = &k->s;
    const pare_tensor *w = pare_int8_constant(p, 3), *w_zero = pare_int8_constant(p, 5),
                      *bias = pare_int8_constant(p, 8);
    size_t vl = p->kernels->vl, fill = p->kernels->winograd_blocks, first = index / fill * fill,
           pairs = (size_t)pare_up(s->channels, 2), span = (size_t)s->channels * 9;
    size_t lanes = (size_t)s->rows - index * vl, blocks = (size_t)s->blocks_out - first;
    size_t width = (blocks < fill ? blocks : fill) * vl * 2;
    int32_t zero_x = (int32_t)pare_int8_at(pare_int8_constant(p, 2), 0);
    int16_t *to = a->w + (size_t)thread * vl * span;
    if (lanes > vl) lanes = vl;
    for (size_t l = 0; l < lanes; l++) {
        int64_t m = (int64_t)(index * vl + l);
        int32_t zero = zero_of(w_zero, m), sum = 0;
        for (size_t i = 0; i < span; i++) {
            int32_t v = element(w, m * (int64_t)span + (int64_t)i) - zero;
            to[l * span + i] = (int16_t)v;
            sum += v;
        }
        k->bias[m] =
            (int32_t)((uint32_t)(int32_t)pare_int8_at(bias, m) - (uint32_t)zero_x * (uint32_t)sum);
        k->scale[m] = pare_int8_scale(p, m);
    }
    p->kernels->int8_winograd_weights(&(pare_int8_winograd_weights){
        .vl = vl,
        .lanes = lanes,
        .channels = (size_t)s->channels,
        .w = to,
        .u = k->u + first * vl * 2 * pairs * POSITIONS + (index - first) * vl * 2,
        .row = width,
        .position = width * pairs });
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    pare_winograd_shape *s = &k->s;
    shape_of(p, s);
    size_t vl = p->kernels->vl, lanes = (size_t)s->blocks_out * vl, u_bytes = 0,
           pairs = (size_t)pare_up(s->channels, 2);
    int64_t group = 2 * (int64_t)vl;
    *scratch_bytes = pare_winograd_scratch(p, s, pare_up(s->channels, group) * group, 2);
    bool fit = *scratch_bytes && pare_mul_size(lanes, pairs, &u_bytes) &&
               pare_mul_size(u_bytes, (size_t)POSITIONS * 2 * sizeof *k->u, &u_bytes);
    int16_t *w = NULL;
    if (fit) {
        k->u = pare_alloc_large(u_bytes);
        k->bias = calloc(lanes, sizeof *k->bias);
        k->scale = calloc(lanes, sizeof *k->scale);
        w = malloc((size_t)p->threads * vl * (size_t)s->channels * 9 * sizeof *w);
    }
    if (!k->u || !k->bias || !k->scale || !w) {
        free(w);
        release(k);
        return pare_fail(PARE_ENOMEM, "no memory for transformed weights of %lld x %lld channels",
                         (long long)p->out[0].dim[1], (long long)p->in[0].dim[1]);
    }
    k->serial = pare_winograd_macs(s) < SERIAL_MACS;
    k->is_signed = p->in[0].dtype == PARE_I8;
    k->pad = (uint8_t)(int32_t)pare_int8_at(pare_int8_constant(p, 2), 0);
    k->finish = (pare_int8_finish){ .bias = k->bias, .scale = k->scale };
    k->finish.zero = (int32_t)pare_int8_at(pare_int8_constant(p, 7), 0);
    pare_int8_bounds(p->out[0].dtype, k->finish.zero, &k->finish.lo, &k->finish.hi);
    pare_team_for((size_t)s->blocks_out, p->threads, pack, &(packing){ p, k, w });
    free(w);
    *out = k;
    *bytes = u_bytes;
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *step = user;
    const packed *k = step->packed;
    const pare_winograd_shape *s = &k->s;
    const pare_winograd_part part = pare_winograd_item(s, index);
    const pare_kernels *kernels = step->kernels;
    size_t vl = kernels->vl, fill = kernels->winograd_blocks;
    pare_scratch scratch = pare_scratch_of(step, thread);
    int16_t *v = scratch.data;
    uint32_t *r = (uint32_t *)(void *)(v + (size_t)POSITIONS * s->v_position);
    if (*scratch.inside != part.place) {
        size_t map = (size_t)(s->blocks_in * s->in_y * s->in_x) * vl;
        kernels->int8_winograd_input(&(pare_int8_winograd_input){
            .vl = vl,
            .blocks = (size_t)s->blocks_in,
            .is_signed = k->is_signed,
            .pad = k->pad,
            .x = (const uint8_t *)step->in[0].data + (size_t)part.image * map,
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
    size_t plane = (size_t)(s->out_y * s->out_x) * vl, pairs = (size_t)pare_up(s->channels, 2);
    for (int64_t group = part.group; group < part.end; group++) {
        size_t block = (size_t)group * fill, left = (size_t)s->blocks_out - block,
               blocks = left < fill ? left : fill;
        const int16_t *u = k->u + block * vl * 2 * pairs * POSITIONS;
        for (size_t i = 0; i < POSITIONS; i++)
            kernels->int8_winograd_product(
                &(pare_int8_winograd_product){ .vl = vl,
                                               .blocks = blocks,
                                               .channels = (size_t)s->channels,
                                               .tiles = (size_t)part.tiles,
                                               .v = v + i * s->v_position,
                                               .u = u + i * pairs * blocks * vl * 2,
                                               .r = r + i * s->r_position });
        pare_int8_winograd_output o = { .vl = vl,
                                        .blocks = blocks,
                                        .r = r,
                                        .position = s->r_position,
                                        .out_y = s->out_y,
                                        .out_x = s->out_x,
                                        .tiles_x = s->tiles_x,
                                        .first = (size_t)part.first,
                                        .tiles = (size_t)part.tiles,
                                        .finish = k->finish };
        o.finish.bias += block * vl;
        o.finish.scale += block * vl;
        o.y = (uint8_t *)step->out[0].data + ((size_t)(part.image * s->blocks_out) + block) * plane;
        kernels->int8_winograd_output(&o);
    }
}

static pare_status run(const pare_step *step, int threads)
{
    const packed *k = step->packed;
    pare_scratch_forget(step, threads);
    pare_team_for(pare_winograd_items(&k->s), k->serial ? 1 : threads, item, (void *)step);
    return PARE_OK;
}

const pare_impl pare_impl_conv_int8_winograd = {
    .name = "conv_int8_winograd",
    .op = "QLinearConv",
    .packs = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
    .macs = macs,
};
