#include "codecs/bitmap.h"

#include "codecs/mask.h"

static int64_t elements(const pare_weight *w) { return pare_numel(w->type.rank, w->type.dim); }

static pare_status check(const pare_weight *w)
{
    if (w->type.dtype != PARE_F32)
        return pare_fail(PARE_EFORMAT, "bitmap stores float32, not %s",
                         pare_dtype_name(w->type.dtype));
    size_t bytes;
    if (!pare_type_known(&w->type))
        return pare_fail(PARE_EFORMAT, "bitmap needs a shape without free dimensions");
    PARE_TRY(pare_type_bytes(&w->type, &bytes));
    return pare_mask_check(&w->part[PARE_BITMAP_MASK], &w->part[PARE_BITMAP_VALUES], elements(w));
}

static pare_status decode(const pare_weight *w, float *dense)
{
    pare_mask_unpack(&w->part[PARE_BITMAP_MASK], &w->part[PARE_BITMAP_VALUES], elements(w), dense);
    return PARE_OK;
}

static void stats(const pare_weight *w, pare_weight_stats *s)
{
    int64_t n = elements(w);
    s->nonzeros = pare_nonzeros(&w->part[PARE_BITMAP_VALUES]);
    s->params = pare_tensor_count(&w->part[PARE_BITMAP_VALUES]);
    s->density = n ? (double)s->nonzeros / (double)n : 1;
}

static double macs(const pare_weight *w, double uses)
{
    return uses * (double)pare_nonzeros(&w->part[PARE_BITMAP_VALUES]);
}

static pare_status grad(const pare_weight *w, const float *d_dense, pare_tensor *d_parts)
{
    pare_tensor *d = &d_parts[PARE_BITMAP_VALUES];
    if (!d->data) return PARE_OK;
    const uint8_t *mask = w->part[PARE_BITMAP_MASK].data;
    float *at = d->data;
    int64_t n = elements(w);
    for (int64_t i = 0; i < n; i++)
        if (pare_mask_get(mask, i)) *at++ = d_dense[i];
    return PARE_OK;
}

pare_status pare_bitmap_encode(const pare_type *type, const float *x, const bool *keep,
                               pare_weight *out)
{
    pare_weight w = { .codec = &pare_codec_bitmap, .type = *type };
    PARE_TRY(pare_mask_pack(x, keep, pare_numel(type->rank, type->dim), &w.part[PARE_BITMAP_MASK],
                            &w.part[PARE_BITMAP_VALUES]));
    *out = w;
    return PARE_OK;
}

static const pare_fn_node body[] = {
    PARE_MASK_BODY,
    { "ReduceProd", { "%shape" }, { "n" }, { "keepdims=1" } },
    { "Constant", { NULL }, { "first" }, { "value=i64:0" } },
    { "Slice", { "padded", "first", "n" }, { "elements" }, { NULL } },
    { "Reshape", { "elements", "%shape" }, { "%out" }, { NULL } },
    { NULL, { NULL }, { NULL }, { NULL } },
};

static const char *const parts[] = { "mask", "values", NULL };

const pare_codec pare_codec_bitmap = {
    .name = "bitmap",
    .summary = "a bit for every element, and the elements that are kept",
    .parts = parts,
    .check = check,
    .decode = decode,
    .stats = stats,
    .macs = macs,
    .grad = grad,
    .onnx_body = body,
};
