#include "codecs/tucker.h"

#include "codecs/mask.h"

#include <stdlib.h>
#include <string.h>

pare_tucker_dims pare_tucker_dims_of(const pare_weight *w)
{
    const pare_tensor *core = &w->part[PARE_TUCKER_CORE];
    pare_tucker_dims s = { w->type.dim[0], w->type.dim[1], core->dim[1], core->dim[0], 1 };
    for (int i = 2; i < w->type.rank; i++) s.k *= w->type.dim[i];
    return s;
}

/* Is the part float32 of these dimensions? -1: whatever is at least 1. */
static pare_status check_part(const pare_weight *w, int part, int rank, const int64_t *dim)
{
    const pare_tensor *t = &w->part[part];
    char text[PARE_TYPE_TEXT], text2[PARE_TYPE_TEXT];
    bool fits = t->dtype == PARE_F32 && t->rank == rank;
    for (int i = 0; fits && i < rank; i++) fits = dim[i] < 0 ? t->dim[i] >= 1 : t->dim[i] == dim[i];
    if (fits) return pare_check_finite(t, w->codec->parts[part]);
    pare_type got = pare_tensor_type(t), want = { .dtype = PARE_F32, .rank = rank };
    for (int i = 0; i < rank; i++) want.dim[i] = dim[i];
    return pare_fail(PARE_EFORMAT, "tucker: %s is %s instead of %s", w->codec->parts[part],
                     pare_type_text(&got, text, sizeof text),
                     pare_type_text(&want, text2, sizeof text2));
}

static pare_status check(const pare_weight *w)
{
    char text[PARE_TYPE_TEXT];
    const pare_type *t = &w->type;
    if (t->dtype != PARE_F32 || t->rank < 3 || t->rank > 5 || !pare_type_known(t))
        return pare_fail(PARE_EFORMAT, "tucker stores the float32 weight of a convolution, not %s",
                         pare_type_text(t, text, sizeof text));
    size_t bytes;
    PARE_TRY(pare_type_bytes(t, &bytes));
    for (int i = 0; i < t->rank; i++)
        if (t->dim[i] < 1)
            return pare_fail(PARE_EFORMAT, "tucker: dimension %d of the weight is %lld", i,
                             (long long)t->dim[i]);
    int64_t core[PARE_MAX_RANK] = { -1, -1 };
    for (int i = 2; i < t->rank; i++) core[i] = t->dim[i];
    PARE_TRY(check_part(w, PARE_TUCKER_CORE, t->rank, core));
    pare_tucker_dims s = pare_tucker_dims_of(w);
    if (s.d1 > s.c || s.d2 > s.n)
        return pare_fail(
            PARE_EFORMAT,
            "tucker: ranks %lld and %lld exceed the %lld input or %lld output channels",
            (long long)s.d1, (long long)s.d2, (long long)s.c, (long long)s.n);
    PARE_TRY(check_part(w, PARE_TUCKER_IN, 2, (int64_t[]){ s.d1, s.c }));
    return check_part(w, PARE_TUCKER_OUT, 2, (int64_t[]){ s.n, s.d2 });
}

static const float *part(const pare_weight *w, int i) { return w->part[i].data; }

/* inner[e][c][p] = sum over d of core[e][d][p] * u_in[d][c], in the order of d; NULL without
 * memory. */
static double *inner_of(const pare_weight *w)
{
    pare_tucker_dims s = pare_tucker_dims_of(w);
    const float *u = part(w, PARE_TUCKER_IN), *core = part(w, PARE_TUCKER_CORE);
    double *inner = calloc((size_t)(s.d2 * s.c * s.k), sizeof *inner); /* <= the dense weight's */
    for (int64_t e = 0; inner && e < s.d2; e++)
        for (int64_t d = 0; d < s.d1; d++)
            for (int64_t c = 0; c < s.c; c++) {
                double *to = inner + (e * s.c + c) * s.k, f = (double)u[d * s.c + c];
                const float *from = core + (e * s.d1 + d) * s.k;
                for (int64_t p = 0; p < s.k; p++) to[p] += f * (double)from[p];
            }
    return inner;
}

static pare_status no_memory(const pare_tucker_dims *s)
{
    return pare_fail(PARE_ENOMEM, "no memory for a Tucker product of %lld x %lld x %lld numbers",
                     (long long)s->d2, (long long)s->c, (long long)s->k);
}

/* Sums in double, in the order of e, rounded once. */
static pare_status decode(const pare_weight *w, float *dense)
{
    pare_tucker_dims s = pare_tucker_dims_of(w);
    int64_t row = s.c * s.k;
    const float *u = part(w, PARE_TUCKER_OUT);
    double *inner = inner_of(w), *sum = malloc((size_t)row * sizeof *sum);
    pare_status st = inner && sum ? PARE_OK : no_memory(&s);
    for (int64_t n = 0; st == PARE_OK && n < s.n; n++) {
        for (int64_t i = 0; i < row; i++) sum[i] = 0;
        for (int64_t e = 0; e < s.d2; e++)
            for (int64_t i = 0; i < row; i++)
                sum[i] += (double)u[n * s.d2 + e] * inner[e * row + i];
        for (int64_t i = 0; i < row; i++) dense[n * row + i] = (float)sum[i];
    }
    free(inner);
    free(sum);
    return st;
}

static void stats(const pare_weight *w, pare_weight_stats *s)
{
    *s = (pare_weight_stats){ .stored_bytes = s->stored_bytes, .density = 1 };
    for (int i = PARE_TUCKER_IN; i <= PARE_TUCKER_OUT; i++) {
        s->params += pare_tensor_count(&w->part[i]);
        s->nonzeros += pare_nonzeros(&w->part[i]);
    }
}

/* The first convolution is counted once for each output position, which is too little where the
 * core has a stride: the weight alone does not know. */
static double macs(const pare_weight *w, double uses)
{
    pare_weight_stats s = { 0 };
    stats(w, &s);
    return uses * (double)s.params;
}

/* With g = d_dense and outer[e][c][p] = sum over n of u_out[n][e] * g[n][c][p]:
 *   d_u_out[n][e] = <inner[e], g[n]>           d_core[e][d][p] = sum over c of outer * u_in[d][c]
 *   d_u_in[d][c] = sum over e, p of core[e][d][p] * outer[e][c][p] */
static pare_status grad(const pare_weight *w, const float *g, pare_tensor *d_parts)
{
    pare_tucker_dims s = pare_tucker_dims_of(w);
    int64_t row = s.c * s.k;
    const float *u_in = part(w, PARE_TUCKER_IN), *core = part(w, PARE_TUCKER_CORE),
                *u_out = part(w, PARE_TUCKER_OUT);
    float *d_in = d_parts[PARE_TUCKER_IN].data, *d_core = d_parts[PARE_TUCKER_CORE].data,
          *d_out = d_parts[PARE_TUCKER_OUT].data;
    double *inner = inner_of(w), *outer = malloc((size_t)row * sizeof *outer),
           *sum = calloc((size_t)(s.d1 * s.c), sizeof *sum);
    pare_status st = inner && outer && sum ? PARE_OK : no_memory(&s);
    for (int64_t e = 0; st == PARE_OK && e < s.d2; e++) {
        for (int64_t i = 0; i < row; i++) outer[i] = 0;
        for (int64_t n = 0; n < s.n; n++) {
            double dot = 0, f = (double)u_out[n * s.d2 + e];
            for (int64_t i = 0; i < row; i++) {
                dot += inner[e * row + i] * (double)g[n * row + i];
                outer[i] += f * (double)g[n * row + i];
            }
            if (d_out) d_out[n * s.d2 + e] = (float)dot;
        }
        for (int64_t d = 0; d < s.d1; d++)
            for (int64_t p = 0; p < s.k; p++) {
                double dot = 0, f = (double)core[(e * s.d1 + d) * s.k + p];
                for (int64_t c = 0; c < s.c; c++) {
                    dot += outer[c * s.k + p] * (double)u_in[d * s.c + c];
                    sum[d * s.c + c] += f * outer[c * s.k + p];
                }
                if (d_core) d_core[(e * s.d1 + d) * s.k + p] = (float)dot;
            }
    }
    for (int64_t i = 0; st == PARE_OK && d_in && i < s.d1 * s.c; i++) d_in[i] = (float)sum[i];
    free(inner);
    free(outer);
    free(sum);
    return st;
}

pare_status pare_tucker_encode(const pare_type *type, const pare_tensor *u_in,
                               const pare_tensor *core, const pare_tensor *u_out, pare_weight *out)
{
    pare_weight w = { .codec = &pare_codec_tucker,
                      .type = *type,
                      .part = { pare_tensor_ref(u_in), pare_tensor_ref(core),
                                pare_tensor_ref(u_out) } };
    w.part[PARE_TUCKER_IN].rank = w.part[PARE_TUCKER_OUT].rank = 2;
    pare_status st = check(&w);
    if (st == PARE_OK)
        *out = w;
    else
        pare_weight_free(&w);
    return st;
}

static const pare_fn_node body[] = {
    { "Einsum", { "core", "u_in" }, { "inner" }, { "equation=ed...,dc->ec..." } },
    { "Einsum", { "u_out", "inner" }, { "dense" }, { "equation=ne,ec...->nc..." } },
    { "Reshape", { "dense", "%shape" }, { "%out" }, { NULL } },
    { NULL, { NULL }, { NULL }, { NULL } },
};

static const char *const parts[] = { "u_in", "core", "u_out", NULL };

const pare_codec pare_codec_tucker = {
    .name = "tucker",
    .summary = "a small core between two changes of channels",
    .parts = parts,
    .check = check,
    .decode = decode,
    .stats = stats,
    .macs = macs,
    .grad = grad,
    .onnx_body = body,
};
