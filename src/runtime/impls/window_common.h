/* What depthwise convolutions and pools over channel-blocked activations share: the geometry as the
 * kernel wants it, and how the work is cut into items. Large maps are cut into bands of rows, and
 * the blocks of a band follow each other, as in the convolutions around: a thread reads what it has
 * written itself, but for some rows. */
#ifndef IMPLS_WINDOW_COMMON_H
#define IMPLS_WINDOW_COMMON_H

#include "base/team.h"
#include "ops/conv_attrs.h"
#include "runtime/impl.h"
#include "runtime/impls/cut.h"

typedef struct pare_windows {
    pare_window_blocked t; /* without memory */
    int64_t out_y;
    int64_t blocks, planes;            /* of channels of an image, of all images */
    int64_t rows, bands, chunk, items; /* output rows in an item, or (one band) planes */
    bool serial;
} pare_windows;

/* false if the kernel does not run such windows over [N, C, y, x]. */
static inline bool pare_windows_of(const pare_window *w, const pare_type *x, size_t vl,
                                   pare_windows *out)
{
    enum { ITEM_TAPS = 16 << 10, SERIAL_TAPS = 16 << 10 }; /* vectors read: 16 Ki take 2 us */
    if (w->spatial != 2 || !pare_blockable(x) || x->dtype != PARE_F32) return false;
    int64_t most = INT64_C(1) << 20; /* products of three stay far from overflow */
    for (int d = 0; d < 2; d++)
        if (w->begin[d] < 0 || w->end[d] < 0 || w->begin[d] >= most || w->in[d] >= most ||
            w->out[d] >= most || w->stride[d] >= most || w->dilation[d] >= most ||
            w->kernel[d] >= 256)
            return false;
    *out = (pare_windows){ .t = { .vl = vl,
                                  .in_y = w->in[0],
                                  .in_x = w->in[1],
                                  .out_x = w->out[1],
                                  .kernel_y = w->kernel[0],
                                  .kernel_x = w->kernel[1],
                                  .stride_y = w->stride[0],
                                  .stride_x = w->stride[1],
                                  .dil_y = w->dilation[0],
                                  .dil_x = w->dilation[1],
                                  .pad_y = w->begin[0],
                                  .pad_x = w->begin[1] },
                           .out_y = w->out[0],
                           .blocks = pare_blocks(x->dim[1], vl) };
    out->planes = x->dim[0] * out->blocks;
    pare_window_blocked *t = &out->t;
    int64_t left = (t->pad_x + t->stride_x - 1) / t->stride_x,
            room = t->in_x - 1 - (t->kernel_x - 1) * t->dil_x + t->pad_x;
    t->inner = left < t->out_x ? left : t->out_x;
    t->outer = room < 0 ? 0 : room / t->stride_x + 1;
    if (t->outer > t->out_x) t->outer = t->out_x;
    if (t->outer < t->inner) t->outer = t->inner;

    int64_t row = t->out_x * (t->kernel_y * t->kernel_x + 2), plane = row * out->out_y;
    out->chunk = plane < ITEM_TAPS ? ITEM_TAPS / plane : 1;
    int64_t bands = plane / ITEM_TAPS + 1;
    if (bands > 1) bands += bands % 2; /* two threads are common */
    out->rows = (out->out_y + bands - 1) / bands;
    out->bands = (out->out_y + out->rows - 1) / out->rows;
    out->items = out->bands * ((out->planes + out->chunk - 1) / out->chunk);
    out->serial = plane * out->planes < SERIAL_TAPS;
    return true;
}

/* `tap` ns for each vector read (AMD EPYC, Zen 5), some for each plane, or moving the maps through
 * the outer caches. */
static inline double pare_windows_ns(const pare_windows *w, double tap, int threads)
{
    const pare_window_blocked *t = &w->t;
    double planes = (double)w->planes, outs = planes * (double)(w->out_y * t->out_x),
           reads = outs * (double)(t->kernel_y * t->kernel_x),
           bytes = 4 * (double)t->vl * (outs + planes * (double)(t->in_y * t->in_x)),
           work = tap * reads + 110 * planes, moving = bytes / 60;
    return 250 + (work > moving ? work : moving) / (w->serial ? 1 : threads);
}

/* Runs item `index`: memory of plane 0 is in `t`; weights, if any, are those of an image's blocks.
 */
static inline void pare_windows_item(const pare_windows *w, const pare_kernels *k, size_t index,
                                     const pare_window_blocked *first)
{
    int64_t at = (int64_t)index, blocks = w->blocks, image = at / (w->bands * blocks),
            band = at / blocks % w->bands, plane = image * blocks + at % blocks;
    if (w->bands == 1) band = 0, plane = at * w->chunk;
    int64_t end = plane + w->chunk < w->planes ? plane + w->chunk : w->planes,
            vl = (int64_t)w->t.vl;
    for (; plane < end; plane++) {
        pare_window_blocked t = *first;
        int64_t block = plane % blocks, out = plane * w->out_y * t.out_x * vl;
        t.first = band * w->rows;
        t.end = t.first + w->rows < w->out_y ? t.first + w->rows : w->out_y;
        t.x += plane * t.in_y * t.in_x * vl;
        t.y += out;
        if (t.residual) t.residual += out;
        if (t.w) {
            t.w += block * t.kernel_y * t.kernel_x * vl;
            t.shift += block * vl;
        }
        k->window_blocked(&t);
    }
}

#endif
