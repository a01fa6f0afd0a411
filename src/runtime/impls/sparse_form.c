#include "runtime/impls/sparse_form.h"

#include "codecs/bitmap.h"
#include "codecs/penni.h"

static pare_sparse_form of_penni(const pare_weight *w)
{
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

static pare_sparse_form of_bitmap(const pare_weight *w)
{
    const int64_t *dim = w->type.dim;
    return (pare_sparse_form){ .mask = w->part[PARE_BITMAP_MASK].data,
                               .values = w->part[PARE_BITMAP_VALUES].data,
                               .nonzeros = (size_t)w->part[PARE_BITMAP_VALUES].dim[0],
                               .n = (size_t)dim[0],
                               .c = (size_t)dim[1],
                               .d = (size_t)(dim[2] * dim[3]),
                               .factor = 1 };
}

pare_sparse_form pare_sparse_form_of(const pare_weight *w)
{
    return w->codec == &pare_codec_penni ? of_penni(w) : of_bitmap(w);
}
