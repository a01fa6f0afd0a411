/* Convolution whose weight is a bit mask and the kept numbers: rows of shifted input, and sparse
 * sums of them, fused over tiles of pixels. */
#include "codecs/bitmap.h"
#include "runtime/impls/sparse_conv.h"

static pare_sparse_form form(const pare_prepare *p)
{
    const pare_weight *w = p->weight[1];
    const int64_t *dim = w->type.dim;
    return (pare_sparse_form){ .mask = w->part[PARE_BITMAP_MASK].data,
                               .values = w->part[PARE_BITMAP_VALUES].data,
                               .nonzeros = (size_t)w->part[PARE_BITMAP_VALUES].dim[0],
                               .n = (size_t)dim[0],
                               .c = (size_t)dim[1],
                               .d = (size_t)(dim[2] * dim[3]),
                               .factor = 1 };
}

static double model_ns(const pare_prepare *p)
{
    pare_sparse_form f = form(p);
    return pare_sparse_conv_ns(p, &f);
}

static double macs(const pare_prepare *p)
{
    pare_sparse_form f = form(p);
    return pare_sparse_conv_macs(p, &f);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *packed_bytes,
                           size_t *scratch_bytes)
{
    pare_sparse_form f = form(p);
    return pare_sparse_conv_prepare(p, &f, out, packed_bytes, scratch_bytes);
}

const pare_impl pare_impl_conv_sparse = {
    .name = "conv_sparse",
    .op = "Conv",
    .codec = "bitmap",
    .packs = true,
    .fuses = true,
    .accepts = pare_sparse_conv_accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = pare_sparse_conv_release,
    .run = pare_sparse_conv_run,
    .macs = macs,
};
