/* npy:X.npy,Y.npy[,XTRAIN.npy,YTRAIN.npy]: numbers of any type with integer labels.
 *
 * X of uint8 with three or four dimensions and 1 or 3 channels is a set of pictures ([N,H,W],
 * [N,C,H,W] or [N,H,W,C]) and can be fitted to a network's input; anything else must have the
 * input's own shape. */
#include "data/dataset.h"

#include "tensor/tensor.h"

#include <string.h>

static bool channels(int64_t c) { return c == 1 || c == 3; }

static void as_pictures(pare_dataset *d)
{
    const pare_tensor *t = &d->tensor;
    if (t->dtype != PARE_U8 || t->rank < 3 || t->rank > 4) return;
    int64_t c = 1, h = t->dim[1], w = t->dim[2];
    bool planes = true;
    if (t->rank == 4) {
        planes = channels(t->dim[1]);
        if (!planes && !channels(t->dim[3])) return;
        c = planes ? t->dim[1] : t->dim[3];
        h = planes ? t->dim[2] : t->dim[1];
        w = planes ? t->dim[3] : t->dim[2];
    }
    if (h < 1 || w < 1 || h > PARE_MAX_PIXELS || w > PARE_MAX_PIXELS || h * w > PARE_MAX_PIXELS)
        return;
    d->info.pixels = true;
    d->info.channels = (int)c;
    d->info.height = (int)h;
    d->info.width = (int)w;
    d->block_stride = (size_t)(c * h * w);
    d->block =
        planes
            ? (pare_picture){ (int)w, (int)h, (int)c, t->data, 1, (ptrdiff_t)w, (ptrdiff_t)(h * w),
                              NULL }
            : (pare_picture){ (int)w, (int)h, (int)c, t->data, (ptrdiff_t)c, (ptrdiff_t)(w * c),
                              1,      NULL };
}

static bool integer(pare_dtype t)
{
    return t == PARE_U8 || t == PARE_I8 || t == PARE_U16 || t == PARE_I16 || t == PARE_U32 ||
           t == PARE_I32 || t == PARE_U64 || t == PARE_I64;
}

static pare_status take_labels(pare_dataset *d, const char *path, const pare_tensor *y)
{
    int64_t n = pare_tensor_count(y), most = 0;
    if (!integer(y->dtype))
        return pare_fail(PARE_EFORMAT, "'%s': labels are %s, not integers", path,
                         pare_dtype_name(y->dtype));
    if (y->rank < 1 || y->dim[0] != n) {
        char text[PARE_TYPE_TEXT];
        pare_type type = pare_tensor_type(y);
        return pare_fail(PARE_EFORMAT, "'%s': labels are %s, not one number a sample", path,
                         pare_type_text(&type, text, sizeof text));
    }
    if (n != d->info.count)
        return pare_fail(PARE_EFORMAT, "'%s': %lld labels for %lld samples", path, (long long)n,
                         (long long)d->info.count);
    PARE_TRY(pare_dataset_alloc_labels(d));
    for (int64_t i = 0; i < n; i++) {
        int64_t v = pare_tensor_get_i64(y, i);
        if (v < 0 || v >= PARE_MAX_CLASSES)
            return pare_fail(PARE_EFORMAT, "'%s': label %lld is %lld, not within 0 to %d", path,
                             (long long)i, (long long)v, PARE_MAX_CLASSES - 1);
        d->label[i] = (int)v;
        if (v > most) most = v;
    }
    d->info.classes = (int)most + 1;
    return PARE_OK;
}

static pare_status usage(void)
{
    return pare_fail(PARE_EINVAL, "npy needs two files, samples and labels, or four: "
                                  "npy:X.npy,Y.npy[,XTRAIN.npy,YTRAIN.npy]");
}

pare_status pare_source_npy(pare_dataset *d, const char *args, pare_split split)
{
    const char *name[4], *p = args;
    size_t n = 0, len;
    for (bool more = true; more; p += len + 1) {
        len = strcspn(p, ",");
        more = p[len] == ',';
        if (len == 0 || n == 4) return usage();
        if (!(name[n++] = pare_arena_strn(d->arena, p, len)))
            return pare_fail(PARE_ENOMEM, "no memory for a file name");
    }
    if (n != 2 && n != 4) return usage();
    const char *const *pair = n == 4 && split == PARE_TRAIN ? name + 2 : name;

    PARE_TRY(pare_npy_load(pair[0], &d->tensor));
    if (d->tensor.rank < 1 || pare_tensor_count(&d->tensor) == 0)
        return pare_fail(PARE_EFORMAT, "'%s' holds no samples", pair[0]);
    d->info.count = d->tensor.dim[0];
    if (d->tensor.rank == 4) {
        d->info.channels = d->tensor.dim[1] < INT32_MAX ? (int)d->tensor.dim[1] : 0;
        d->info.height = d->tensor.dim[2] < INT32_MAX ? (int)d->tensor.dim[2] : 0;
        d->info.width = d->tensor.dim[3] < INT32_MAX ? (int)d->tensor.dim[3] : 0;
    }
    as_pictures(d);
    pare_tensor y = { 0 };
    PARE_TRY(pare_npy_load(pair[1], &y));
    pare_status st = take_labels(d, pair[1], &y);
    pare_tensor_free(&y);
    return st;
}
