/* DepthToSpace and SpaceToDepth: blocks of blocksize * blocksize channels to squares of pixels, and
 * back. Any type. */
#include "ops/values.h"

#include <string.h>

enum { DCR, CRD };

typedef struct attrs {
    int64_t blocksize;
    int mode; /* not of SpaceToDepth */
} attrs;

static const pare_field depth_fields[] = {
    PARE_INT(attrs, blocksize, 0, INT64_MIN, INT64_MAX, "", "side of the squares"),
    PARE_ENUM(attrs, mode, DCR, "DCR|CRD",
              "whether a square's pixels lie before or behind the channels"),
    PARE_FIELDS_END,
};
static const pare_field space_fields[] = {
    PARE_INT(attrs, blocksize, 0, INT64_MIN, INT64_MAX, "", "side of the squares"),
    PARE_FIELDS_END,
};

static pare_status check(const attrs *a, const pare_type *x)
{
    if (x->dtype == PARE_UNDEFINED) return pare_fail(PARE_EFORMAT, "the input is absent");
    if (x->rank != 4) return pare_fail(PARE_EFORMAT, "the input has rank %d instead of 4", x->rank);
    if (a->blocksize < 1 || a->blocksize > INT32_MAX)
        return pare_fail(PARE_EFORMAT, "blocksize %lld is not within 1 to %d",
                         (long long)a->blocksize, INT32_MAX);
    return PARE_OK;
}

static pare_status depth_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    const pare_type *x = &in[0].type;
    PARE_TRY(check(a, x));
    int64_t b = a->blocksize;
    if (x->dim[1] % (b * b))
        return pare_fail(PARE_EFORMAT, "%lld channels do not divide into blocks of %lld",
                         (long long)x->dim[1], (long long)(b * b));
    out[0] = *x;
    out[0].dim[1] = x->dim[1] / (b * b);
    if (!pare_mul_i64(x->dim[2], b, &out[0].dim[2]) || !pare_mul_i64(x->dim[3], b, &out[0].dim[3]))
        return pare_fail(PARE_EFORMAT, "%lld times %lld pixels, each times %lld, are too many",
                         (long long)x->dim[2], (long long)x->dim[3], (long long)b);
    return PARE_OK;
}

static pare_status space_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    const pare_type *x = &in[0].type;
    PARE_TRY(check(a, x));
    int64_t b = a->blocksize;
    if (x->dim[2] % b || x->dim[3] % b)
        return pare_fail(PARE_EFORMAT,
                         "%lld times %lld pixels do not divide into squares of side %lld",
                         (long long)x->dim[2], (long long)x->dim[3], (long long)b);
    out[0] = *x;
    out[0].dim[2] = x->dim[2] / b;
    out[0].dim[3] = x->dim[3] / b;
    if (!pare_mul_i64(x->dim[1], b * b, &out[0].dim[1]))
        return pare_fail(PARE_EFORMAT, "%lld channels times %lld are too many",
                         (long long)x->dim[1], (long long)(b * b));
    return PARE_OK;
}

/* Element (i,c,h,w) of the larger image `wide` is element (i,k,h/b,w/b) of `deep`. */
static void move(const pare_tensor *in, pare_tensor *out, const pare_tensor *wide,
                 const pare_tensor *deep, int64_t b, int mode)
{
    size_t size = pare_dtype_size(in->dtype);
    int64_t channels = wide->dim[1], at = 0;
    for (int64_t i = 0; i < wide->dim[0]; i++)
        for (int64_t c = 0; c < channels; c++)
            for (int64_t h = 0; h < wide->dim[2]; h++)
                for (int64_t w = 0; w < wide->dim[3]; w++, at++) {
                    int64_t pixel = h % b * b + w % b,
                            k = mode == DCR ? pixel * channels + c : c * b * b + pixel;
                    int64_t d =
                        ((i * deep->dim[1] + k) * deep->dim[2] + h / b) * deep->dim[3] + w / b;
                    size_t from = (size_t)(in == wide ? at : d), to = (size_t)(in == wide ? d : at);
                    memcpy((char *)out->data + to * size, (const char *)in->data + from * size,
                           size);
                }
}

static pare_status depth_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const attrs *a = n->attrs;
    move(&in[0], &out[0], &out[0], &in[0], a->blocksize, a->mode);
    return PARE_OK;
}

static pare_status space_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    move(&in[0], &out[0], &in[0], &out[0], ((const attrs *)n->attrs)->blocksize, DCR);
    return PARE_OK;
}

const pare_op pare_op_depth_to_space = {
    .name = "DepthToSpace",
    .summary = "channels to squares of pixels",
    .since = 11,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = depth_fields,
    .attrs_size = sizeof(attrs),
    .infer = depth_infer,
    .eval = depth_eval,
};

const pare_op pare_op_space_to_depth = {
    .name = "SpaceToDepth",
    .summary = "squares of pixels to channels",
    .since = 1,
    .inputs = { 1, 1 },
    .outputs = { 1, 1 },
    .attrs = space_fields,
    .attrs_size = sizeof(attrs),
    .infer = space_infer,
    .eval = space_eval,
};
