#include "codecs/penni.h"

#include "codecs/mask.h"

#include <string.h>

pare_penni_dims pare_penni_dims_of(const pare_weight *w)
{
    pare_penni_dims s = { w->type.dim[0], w->type.dim[1], w->part[PARE_PENNI_BASIS].dim[0], 1 };
    for (int i = 2; i < w->type.rank; i++) s.k *= w->type.dim[i];
    return s;
}

static pare_status check(const pare_weight *w)
{
    char text[PARE_TYPE_TEXT], text2[PARE_TYPE_TEXT];
    const pare_tensor *basis = &w->part[PARE_PENNI_BASIS];
    if (w->type.dtype != PARE_F32 || w->type.rank < 3 || w->type.rank > 5 ||
        !pare_type_known(&w->type))
        return pare_fail(PARE_EFORMAT, "penni stores the float32 weight of a convolution, not %s",
                         pare_type_text(&w->type, text, sizeof text));
    size_t bytes;
    PARE_TRY(pare_type_bytes(&w->type, &bytes));
    int64_t k = 1, total;
    for (int i = 0; i < w->type.rank; i++)
        if (w->type.dim[i] < 1)
            return pare_fail(PARE_EFORMAT, "penni: dimension %d of the weight is %lld", i,
                             (long long)w->type.dim[i]);
    for (int i = 2; i < w->type.rank; i++) k *= w->type.dim[i];
    pare_type type = pare_tensor_type(basis);
    if (basis->dtype != PARE_F32 || basis->rank != 2 || basis->dim[1] != k || basis->dim[0] < 1 ||
        basis->dim[0] > k)
        return pare_fail(PARE_EFORMAT, "the basis is %s, a weight %s needs float32[1 to %lld,%lld]",
                         pare_type_text(&type, text, sizeof text),
                         pare_type_text(&w->type, text2, sizeof text2), (long long)k, (long long)k);
    PARE_TRY(pare_check_finite(basis, "basis"));
    /* The dense weight's size was checked and d <= k, so this cannot wrap; the check is for the
     * reader's peace. */
    if (!pare_mul_i64(w->type.dim[0] * w->type.dim[1], basis->dim[0], &total))
        return pare_fail(PARE_ELIMIT, "penni: too many coefficients");
    return pare_mask_check(&w->part[PARE_PENNI_MASK], &w->part[PARE_PENNI_VALUES], total);
}

/* Adds the basis kernels of each row in the order of m: one fixed order of float additions. */
static pare_status decode(const pare_weight *w, float *dense)
{
    pare_penni_dims s = pare_penni_dims_of(w);
    const uint8_t *mask = w->part[PARE_PENNI_MASK].data;
    const float *value = w->part[PARE_PENNI_VALUES].data, *basis = w->part[PARE_PENNI_BASIS].data;
    memset(dense, 0, (size_t)(s.n * s.c * s.k) * sizeof *dense);
    for (int64_t row = 0, i = 0; row < s.n * s.c; row++)
        for (int64_t m = 0; m < s.d; m++, i++) {
            if (!pare_mask_get(mask, i)) continue;
            float a = *value++;
            for (int64_t p = 0; p < s.k; p++) dense[row * s.k + p] += a * basis[m * s.k + p];
        }
    return PARE_OK;
}

static void stats(const pare_weight *w, pare_weight_stats *s)
{
    pare_penni_dims d = pare_penni_dims_of(w);
    int64_t kept = pare_nonzeros(&w->part[PARE_PENNI_VALUES]);
    s->nonzeros = kept + pare_nonzeros(&w->part[PARE_PENNI_BASIS]);
    s->params = pare_tensor_count(&w->part[PARE_PENNI_VALUES]) + d.d * d.k;
    s->density = (double)kept / (double)(d.n * d.c * d.d);
}

/* Two stages: each basis kernel over each input channel, but only the pairs for which some
 * coefficient is kept; then one multiply-accumulate a coefficient. The basis stage of a 1x1 layer
 * is the input itself and costs nothing. */
static double macs(const pare_weight *w, double uses)
{
    pare_penni_dims s = pare_penni_dims_of(w);
    const uint8_t *mask = w->part[PARE_PENNI_MASK].data;
    double pairs = 0;
    for (int64_t i = 0; s.k > 1 && i < s.c * s.d; i++) {
        bool used = false;
        for (int64_t n = 0; !used && n < s.n; n++) used = pare_mask_get(mask, n * s.c * s.d + i);
        pairs += used;
    }
    return uses * ((double)pare_nonzeros(&w->part[PARE_PENNI_VALUES]) + pairs * (double)s.k);
}

/* d_a[i] = <d_W[row], basis[m]>, d_basis[m] = sum over rows of a[row][m] * d_W[row]; both sums in
 * the order of rows. */
static pare_status grad(const pare_weight *w, const float *d_dense, pare_tensor *d_parts)
{
    pare_penni_dims s = pare_penni_dims_of(w);
    const uint8_t *mask = w->part[PARE_PENNI_MASK].data;
    const float *value = w->part[PARE_PENNI_VALUES].data, *basis = w->part[PARE_PENNI_BASIS].data;
    float *d_value = d_parts[PARE_PENNI_VALUES].data, *d_basis = d_parts[PARE_PENNI_BASIS].data;
    if (d_basis) memset(d_basis, 0, (size_t)(s.d * s.k) * sizeof *d_basis);
    for (int64_t row = 0, i = 0; row < s.n * s.c; row++) {
        const float *d = d_dense + row * s.k;
        for (int64_t m = 0; m < s.d; m++, i++) {
            if (!pare_mask_get(mask, i)) continue;
            float a = *value++;
            if (d_value) {
                float sum = 0;
                for (int64_t p = 0; p < s.k; p++) sum += d[p] * basis[m * s.k + p];
                *d_value++ = sum;
            }
            if (d_basis)
                for (int64_t p = 0; p < s.k; p++) d_basis[m * s.k + p] += a * d[p];
        }
    }
    return PARE_OK;
}

pare_status pare_penni_encode(const pare_type *type, int64_t d, const float *a, const bool *keep,
                              const float *basis, pare_weight *out)
{
    pare_weight w = { .codec = &pare_codec_penni, .type = *type };
    int64_t k = 1;
    for (int i = 2; i < type->rank; i++) k *= type->dim[i];
    PARE_TRY(pare_tensor_new(PARE_F32, 2, (int64_t[]){ d, k }, &w.part[PARE_PENNI_BASIS]));
    memcpy(w.part[PARE_PENNI_BASIS].data, basis, (size_t)(d * k) * sizeof *basis);
    pare_status st = pare_mask_pack(a, keep, type->dim[0] * type->dim[1] * d,
                                    &w.part[PARE_PENNI_MASK], &w.part[PARE_PENNI_VALUES]);
    if (st == PARE_OK)
        *out = w;
    else
        pare_weight_free(&w);
    return st;
}

void pare_penni_coefficients(const pare_weight *w, float *a)
{
    pare_penni_dims s = pare_penni_dims_of(w);
    pare_mask_unpack(&w->part[PARE_PENNI_MASK], &w->part[PARE_PENNI_VALUES], s.n * s.c * s.d, a);
}

/* N*C*d of the unpacked elements are coefficients, the rest fills the last byte. */
static const pare_fn_node body[] = {
    PARE_MASK_BODY,
    { "Constant", { NULL }, { "first" }, { "value=i64:0" } },
    { "Constant", { NULL }, { "second" }, { "value=i64:2" } },
    { "Slice", { "%shape", "first", "second" }, { "nc" }, { NULL } },
    { "Shape", { "basis" }, { "dk" }, { NULL } },
    { "Constant", { NULL }, { "one" }, { "value=i64:1" } },
    { "Slice", { "dk", "first", "one" }, { "d" }, { NULL } },
    { "Concat", { "nc", "d" }, { "ncd" }, { "axis=0" } },
    { "ReduceProd", { "ncd" }, { "total" }, { "keepdims=1" } },
    { "Slice", { "padded", "first", "total" }, { "kept" }, { NULL } },
    { "Concat", { "flat", "d" }, { "matrix" }, { "axis=0" } },
    { "Reshape", { "kept", "matrix" }, { "a" }, { NULL } },
    { "MatMul", { "a", "basis" }, { "kernels" }, { NULL } },
    { "Reshape", { "kernels", "%shape" }, { "%out" }, { NULL } },
    { NULL, { NULL }, { NULL }, { NULL } },
};

static const char *const parts[] = { "mask", "values", "basis", NULL };

const pare_codec pare_codec_penni = {
    .name = "penni",
    .summary = "shared basis kernels and sparse coefficients",
    .parts = parts,
    .check = check,
    .decode = decode,
    .stats = stats,
    .macs = macs,
    .grad = grad,
    .onnx_body = body,
};
