/* Conv, float32, dense: output channels in blocks against vectors of pixels, over an input laid out
 * in bands.
 *
 * Work is cut into items (image, group, band, part of the pixels, part of the output channels). An
 * item lays out its band in its thread's scratch unless the thread did that for the item before,
 * then runs the kernel over it. */
#include "base/team.h"
#include "runtime/impls/conv_common.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/scratch.h"

#include <stdlib.h>

enum {
    BUFFER_BYTES =
        320 << 10,       /* of a band: stays in the second-level cache beside a block of weights */
    ITEM_MACS = 3 << 20, /* some 30 us: small enough to balance, large enough to start */
    LEAST_MACS = 256 << 10,  /* of an item of a small step */
    LEAST_ROWS = 16,         /* output channels that share one laying out of their band */
    SERIAL_MACS = 300 << 10, /* below, starting threads costs more than it gains */
};

typedef struct packed {
    pare_conv_layout l;
    int64_t images, groups, rows;     /* output channels in a group */
    int64_t parts, part_vectors;      /* DIRECT: parts of the pixels */
    int64_t chunks, chunk_rows;       /* parts of the output channels, a multiple of the block */
    size_t group_weights, group_bias; /* floats of one group */
    float *w, *bias;
    bool serial;
} packed;

/* Multiply-adds of an item: an eighth of the step, within bounds. */
static double item_macs(double all)
{
    double each = all / 8;
    return each < LEAST_MACS ? LEAST_MACS : each > ITEM_MACS ? ITEM_MACS : each;
}

static bool layout(const pare_prepare *p, pare_conv_layout *l, double *cycles)
{
    if (!pare_conv_is_plain(p) || !pare_conv_layout_shape(p, l)) return false;
    int64_t groups = p->in[0].dim[1] / l->channels, rows = p->out[0].dim[1] / groups;
    double macs = (double)rows * (double)(l->out_y * l->out_x) *
                  (double)(l->channels * l->kernel_y * l->kernel_x);
    double all = macs * (double)p->in[0].dim[0] * (double)groups;
    /* What images, groups and parts of the output channels give, bands need not. */
    double parts = rows < LEAST_ROWS ? 1 : (double)(rows / LEAST_ROWS);
    pare_conv_wish wish = { .rows_out = rows,
                            .budget = BUFFER_BYTES,
                            .bands = macs / item_macs(all) / parts };
    return pare_conv_layout_choose(l, p->kernels, &wish, cycles);
}

static bool accepts(const pare_prepare *p)
{
    pare_conv_layout l;
    double cycles;
    return layout(p, &l, &cycles);
}

static double model_ns(const pare_prepare *p)
{
    pare_conv_layout l;
    double cycles = 0;
    if (!layout(p, &l, &cycles)) return 1e17;
    double images = (double)p->in[0].dim[0], groups = (double)p->in[0].dim[1] / (double)l.channels;
    double bytes = 4 * (double)p->out[0].dim[1] * (double)(l.channels * l.kernel_x * l.kernel_y);
    /* 3.6 cycles a ns; outputs go to the next cache at 33 GB/s, weights come at 16. */
    double outputs = 4 * (double)pare_numel(p->out[0].rank, p->out[0].dim),
           ns = images * groups * (cycles + 150) * 0.28 + outputs * 0.03, weights = bytes * 0.06;
    return 500 + (ns > weights ? ns : weights) / p->threads;
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    pare_conv_layout_free(&k->l);
    free(k->w);
    free(k->bias);
    free(k);
}

/* [group][block][tap][mr], scaled by what the epilogue multiplies with. */
static void pack(const pare_prepare *p, packed *k)
{
    const float *w = p->weight[1]->part[0].data;
    size_t mr = p->kernels->conv_mr;
    for (int64_t g = 0; g < k->groups; g++)
        for (int64_t r = 0; r < k->rows; r++) {
            size_t row = (size_t)r, c = (size_t)(g * k->rows + r);
            float scale, shift,
                *to = k->w + (size_t)g * k->group_weights + row / mr * mr * k->l.taps + row % mr;
            pare_conv_affine(p, (int64_t)c, &scale, &shift);
            for (size_t t = 0; t < k->l.taps; t++) to[t * mr] = w[c * k->l.taps + t] * scale;
            k->bias[(size_t)g * k->group_bias + row] = shift;
        }
}

/* Cuts the work by size alone. */
static void cut(packed *k, int64_t mr, int64_t vl)
{
    const pare_conv_layout *l = &k->l;
    double macs = (double)vl * (double)l->taps * (double)k->rows; /* of one vector of pixels */
    double all = macs * (double)l->full.vectors * (double)(l->bands * k->groups * k->images),
           each = item_macs(all);
    int64_t vectors = (int64_t)l->full.vectors, most = k->rows / LEAST_ROWS;
    k->parts = 1;
    if (l->mode == PARE_CONV_DIRECT) {
        int64_t fit = pare_clamp(BUFFER_BYTES / (l->channels * vl * 4), 6,
                                 vectors); /* their channels stay in the cache */
        int64_t least = (vectors + fit - 1) / fit,
                want = (int64_t)(macs * (double)vectors / each + 0.5);
        k->parts = pare_clamp(want, least, vectors / 6 > least ? vectors / 6 : least);
        most = k->rows / (2 * mr);
    }
    k->part_vectors = (vectors + k->parts - 1) / k->parts;
    k->chunks =
        pare_clamp((int64_t)(macs * (double)k->part_vectors / each + 0.5), 1, most < 1 ? 1 : most);
    k->chunk_rows = (k->rows + k->chunks - 1) / k->chunks;
    k->chunk_rows = (k->chunk_rows + mr - 1) / mr * mr;
    k->chunks = (k->rows + k->chunk_rows - 1) / k->chunk_rows;
    k->serial = all < SERIAL_MACS;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    double cycles;
    size_t mr = p->kernels->conv_mr;
    layout(p, &k->l, &cycles);
    k->images = p->in[0].dim[0];
    k->groups = p->in[0].dim[1] / k->l.channels;
    k->rows = p->out[0].dim[1] / k->groups;
    pare_status st = pare_conv_layout_build(&k->l, p->kernels->vl);
    size_t blocks = ((size_t)k->rows + mr - 1) / mr, all = 0, all_bias = 0;
    if (st == PARE_OK && pare_mul_size(blocks * mr, k->l.taps, &k->group_weights) &&
        pare_mul_size(k->group_weights, (size_t)k->groups, &all) &&
        pare_mul_size(blocks * mr, (size_t)k->groups, &all_bias)) {
        k->group_bias = blocks * mr;
        k->w = calloc(all, sizeof *k->w);
        k->bias = calloc(all_bias, sizeof *k->bias);
    }
    if (st == PARE_OK && (!k->w || !k->bias))
        st = pare_fail(PARE_ENOMEM, "no memory for packed weights of %zu numbers", all);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    pack(p, k);
    cut(k, (int64_t)mr, (int64_t)p->kernels->vl);
    *out = k;
    *bytes = (all + all_bias) * sizeof(float) + k->l.taps * sizeof *k->l.off;
    *scratch_bytes = k->l.mode == PARE_CONV_DIRECT
                         ? 0
                         : PARE_SCRATCH_HEADER + k->l.buffer_floats * sizeof(float);
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_conv_layout *l = &k->l;
    int64_t at = (int64_t)index, chunk = at % k->chunks;
    int64_t part = (at /= k->chunks) % k->parts, place = at /= k->parts;
    int64_t band = at % l->bands, group = (at /= l->bands) % k->groups, image = at / k->groups;
    int64_t channel = group * k->rows + chunk * k->chunk_rows;
    const float *x = s->in[0].data;
    x += (size_t)(image * k->groups + group) * (size_t)(l->channels * l->in_y * l->in_x);
    pare_conv_tile t = pare_conv_tile_of(s, l);
    const pare_conv_band *b = band == l->bands - 1 ? &l->last : &l->full;
    if (l->mode == PARE_CONV_DIRECT) {
        t.x = x;
    } else {
        pare_scratch scratch = pare_scratch_of(s, thread);
        if (*scratch.inside != place) {
            pare_conv_fill f;
            pare_conv_layout_fill_of(l, band, 0, scratch.data, &f);
            pare_conv_layout_fill(l, s->kernels, &f, x);
        }
        *scratch.inside = place;
        t.x = scratch.data;
    }
    int64_t first = part * k->part_vectors;
    if (k->parts > 1 || l->mode == PARE_CONV_DIRECT) {
        t.vectors = (size_t)pare_clamp((int64_t)b->vectors - first, 0, k->part_vectors);
        t.lanes = b->lanes + first;
    } else {
        t.vectors = b->vectors;
        t.lanes = b->lanes;
    }
    t.run = b->run;
    t.rows = (size_t)pare_clamp(k->rows - chunk * k->chunk_rows, 0, k->chunk_rows);
    t.w = k->w + (size_t)group * k->group_weights + (size_t)(chunk * k->chunk_rows) * l->taps;
    t.bias = k->bias + (size_t)group * k->group_bias + (size_t)(chunk * k->chunk_rows);
    size_t y = (size_t)(image * k->groups * k->rows + channel) * t.plane +
               (size_t)(band * l->rows * l->out_x);
    t.y = (float *)s->out[0].data + y;
    t.residual = s->epilogue.residual ? (const float *)s->in[s->node->n_in].data + y : NULL;
    s->kernels->conv_tile(&t);
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_scratch_forget(s, threads);
    size_t items = (size_t)(k->images * k->groups * k->l.bands * k->parts * k->chunks);
    pare_team_for(items, k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_conv_gemm = {
    .name = "conv_gemm",
    .op = "Conv",
    .packs = true,
    .fuses = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
