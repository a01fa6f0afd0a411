/* Convolution straight from PENNI's parts: basis stage and sparse combination, fused over tiles of
 * pixels. */
#include "codecs/penni.h"

#include "runtime/impls/sparse_conv.h"

static pare_sparse_form form(const pare_prepare *p)
{
    const pare_weight *w = p->weight[1];
    pare_penni_dims dims = pare_penni_dims_of(w);
    pare_sparse_form f = { .mask = w->part[PARE_PENNI_MASK].data,
                           .values = w->part[PARE_PENNI_VALUES].data,
                           .nonzeros = (size_t)w->part[PARE_PENNI_VALUES].dim[0],
                           .n = (size_t)dims.n,
                           .c = (size_t)dims.c,
                           .d = (size_t)dims.d,
                           .basis = w->part[PARE_PENNI_BASIS].data,
                           .factor = 1 };
    if (dims.k == 1) { /* the basis is a number */
        f.factor = f.basis[0];
        f.basis = NULL;
    }
    return f;
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

const pare_impl pare_impl_conv_penni = {
    .name = "conv_penni",
    .op = "Conv",
    .codec = "penni",
    .packs = true,
    .fuses = true,
    .accepts = pare_sparse_conv_accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = pare_sparse_conv_release,
    .run = pare_sparse_conv_run,
    .macs = macs,
};
