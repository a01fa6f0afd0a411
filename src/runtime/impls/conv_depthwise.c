/* Conv, float32, dense, one input channel in each group (depthwise, with any multiplier): one
 * output row of taps at a time. An item is some channels of one image; each lays out its plane in
 * the thread's scratch. */
#include "base/team.h"
#include "runtime/impls/conv_common.h"

#include <stdlib.h>

enum { BUFFER_BYTES = 64 << 10, ITEM_MACS = 512 << 10, SERIAL_MACS = 100 << 10 };

typedef struct packed {
    pare_conv_layout l;
    int64_t images, channels, rows; /* input channels; output channels of each */
    int64_t chunk, chunks;          /* input channels in an item */
    float *w, *bias;
    bool serial;
} packed;

static bool layout(const pare_prepare *p, pare_conv_layout *l, double *cycles)
{
    if (!pare_conv_is_plain(p) || !pare_conv_layout_shape(p, l) || l->channels != 1) return false;
    return pare_conv_layout_choose(
        l, p->kernels,
        &(pare_conv_wish){ .rows_out = 1, .one_row = true, .budget = BUFFER_BYTES, .bands = 1 },
        cycles);
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
    return 500 + (double)p->out[0].dim[0] * (double)p->out[0].dim[1] * (1.5 * cycles + 100) * 0.42 /
                     p->threads;
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

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a packed convolution");
    double cycles;
    layout(p, &k->l, &cycles);
    k->images = p->in[0].dim[0];
    k->channels = p->in[0].dim[1];
    int64_t total = p->out[0].dim[1];
    k->rows = total / k->channels;
    pare_status st = pare_conv_layout_build(&k->l, p->kernels->vl);
    size_t count = 0;
    if (st == PARE_OK && pare_mul_size((size_t)total, k->l.taps, &count)) {
        k->w = malloc(count * sizeof *k->w);
        k->bias = malloc((size_t)total * sizeof *k->bias);
    }
    if (st == PARE_OK && (!k->w || !k->bias))
        st = pare_fail(PARE_ENOMEM, "no memory for packed weights of %zu numbers", count);
    if (st != PARE_OK) {
        release(k);
        return st;
    }
    const float *w = p->weight[1]->part[0].data;
    for (int64_t c = 0; c < total; c++) {
        float scale, shift;
        pare_conv_affine(p, c, &scale, &shift);
        for (size_t t = 0; t < k->l.taps; t++)
            k->w[(size_t)c * k->l.taps + t] = w[(size_t)c * k->l.taps + t] * scale;
        k->bias[c] = shift;
    }
    double macs = (double)k->rows * (double)(k->l.out_y * k->l.out_x) *
                  (double)k->l.taps; /* of one input channel */
    k->chunk = (int64_t)(ITEM_MACS / macs);
    if (k->chunk < 1) k->chunk = 1;
    if (k->chunk > k->channels) k->chunk = k->channels;
    k->chunks = (k->channels + k->chunk - 1) / k->chunk;
    k->serial = macs * (double)k->channels * (double)k->images < SERIAL_MACS;
    *out = k;
    *bytes = (count + (size_t)total) * sizeof(float);
    *scratch_bytes = k->l.buffer_floats * sizeof(float);
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_conv_layout *l = &k->l;
    int64_t image = (int64_t)index / k->chunks, first = (int64_t)index % k->chunks * k->chunk;
    int64_t end = first + k->chunk < k->channels ? first + k->chunk : k->channels;
    float *buffer = (float *)((char *)s->scratch + (size_t)thread * s->scratch_bytes);
    pare_conv_tile t = pare_conv_tile_of(s, l);
    t.rows = 1;
    size_t in = (size_t)(l->in_y * l->in_x), first_image = (size_t)(image * k->channels);
    for (int64_t band = 0; band < l->bands; band++) {
        const pare_conv_band *b = band == l->bands - 1 ? &l->last : &l->full;
        pare_conv_fill f;
        pare_conv_layout_fill_of(l, band, 0, buffer, &f);
        t.vectors = b->vectors;
        t.lanes = b->lanes;
        t.run = b->run;
        for (int64_t c = first; c < end; c++) {
            t.x = (const float *)s->in[0].data + (first_image + (size_t)c) * in;
            if (l->mode != PARE_CONV_DIRECT) {
                pare_conv_layout_fill(l, s->kernels, &f, t.x);
                t.x = buffer;
            }
            for (int64_t r = 0; r < k->rows; r++) {
                size_t channel = (size_t)(c * k->rows + r);
                size_t y = (first_image * (size_t)k->rows + channel) * t.plane +
                           (size_t)(band * l->rows * l->out_x);
                t.w = k->w + channel * l->taps;
                t.bias = k->bias + channel;
                t.y = (float *)s->out[0].data + y;
                t.residual =
                    s->epilogue.residual ? (const float *)s->in[s->node->n_in].data + y : NULL;
                s->kernels->conv_row(&t);
            }
        }
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    pare_team_for((size_t)(k->images * k->chunks), k->serial ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_conv_depthwise = {
    .name = "conv_depthwise",
    .op = "Conv",
    .packs = true,
    .fuses = true,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
