/* From samples to a network's input: fit, channel order, (x - mean) * scale, layout, and the random
 * changes of training.
 *
 * Arithmetic is float32 in exactly this order, so that published accuracies come out to the image.
 */
#include "data/dataset.h"

#include "base/rng.h"
#include "data/decode.h"
#include "tensor/tensor.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* One sample as the network wants it. Element (c, y, x) is at c * dc + y * dy + x * dx of `size`
 * elements. */
typedef struct shape {
    int64_t c, h, w, dc, dy, dx, size;
    bool picture; /* h and w mean something */
} shape;

/* Shape of one sample of a network input; -1 stays for free dimensions. A grey picture may lack its
 * channel dimension ([N,H,W]); of anything else only the size is known, and it counts as that many
 * channels of one pixel. */
static shape shape_of(int rank, const int64_t *dim, const pare_preprocess *pp)
{
    shape s = { 1, 1, 1, 0, 0, 0, 1, rank == 3 || rank == 4 };
    if (s.picture) {
        bool nhwc = rank == 4 && pp->nhwc;
        s.c = rank == 3 ? 1 : dim[nhwc ? 3 : 1];
        s.h = dim[rank == 3 || nhwc ? 1 : 2];
        s.w = dim[rank == 3 || nhwc ? 2 : 3];
        s.dx = nhwc ? s.c : 1;
        s.dy = s.w * s.dx;
        s.dc = nhwc ? 1 : s.h * s.w;
        s.size = s.c * s.h * s.w;
    } else {
        for (int i = 1; i < rank; i++) s.size *= dim[i];
        s.c = s.size;
        s.dc = 1;
    }
    return s;
}

static float mean_of(const pare_preprocess *pp, int64_t c)
{
    return pp->n_mean == 0 ? 0 : pp->mean[pp->n_mean == 1 ? 0 : c];
}
static float scale_of(const pare_preprocess *pp, int64_t c)
{
    return pp->n_scale == 0 ? 1 : pp->scale[pp->n_scale == 1 ? 0 : c];
}

static pare_status check_channels(const pare_preprocess *pp, int64_t c)
{
    if (pp->n_mean > 1 && pp->n_mean != c)
        return pare_fail(PARE_EINVAL, "preprocessing has %d means for %lld channels", pp->n_mean,
                         (long long)c);
    if (pp->n_scale > 1 && pp->n_scale != c)
        return pare_fail(PARE_EINVAL, "preprocessing has %d scales for %lld channels", pp->n_scale,
                         (long long)c);
    return PARE_OK;
}

/* Channel of the source that becomes channel c. */
static int64_t source_channel(const pare_preprocess *pp, int64_t c, int64_t channels)
{
    return pp->bgr && channels == 3 ? 2 - c : c;
}

/* A picture of the right size and channels. */
static void put_picture(const pare_picture *p, const pare_preprocess *pp, const shape *s,
                        float *out)
{
    for (int64_t c = 0; c < s->c; c++) {
        float value[256], mean = mean_of(pp, c), scale = scale_of(pp, c);
        for (int i = 0; i < 256; i++) value[i] = ((float)i - mean) * scale;
        const uint8_t *plane = p->px + source_channel(pp, c, s->c) * p->dc;
        for (int64_t y = 0; y < s->h; y++) {
            const uint8_t *row = plane + y * p->dy;
            float *o = out + c * s->dc + y * s->dy;
            for (int64_t x = 0; x < s->w; x++) o[x * s->dx] = value[row[x * p->dx]];
        }
    }
}

/* Numbers that are in the network's layout already. */
static void put_numbers(const pare_tensor *t, int64_t sample, const pare_preprocess *pp,
                        const shape *s, float *out)
{
    const float *f = t->dtype == PARE_F32 ? (const float *)t->data + sample * s->size : NULL;
    for (int64_t c = 0; c < s->c; c++) {
        /* Without pictures there are no channels to tell apart: check_channels() saw to it that one
         * value serves all. */
        float mean = mean_of(pp, s->picture ? c : 0), scale = scale_of(pp, s->picture ? c : 0);
        int64_t from = s->picture ? source_channel(pp, c, s->c) : c;
        for (int64_t y = 0; y < s->h; y++)
            for (int64_t x = 0; x < s->w; x++) {
                int64_t at = y * s->dy + x * s->dx, i = from * s->dc + at;
                float v = f ? f[i] : (float)pare_tensor_get_f64(t, sample * s->size + i);
                out[c * s->dc + at] = (v - mean) * scale;
            }
    }
}

/* Random crop of the zero-padded picture, then a mirror image half of the time. */
static void augment(const pare_augment *a, int64_t sample, const shape *s, const float *in,
                    float *out)
{
    pare_rng rng = pare_rng_stream(pare_mix64(a->seed) + (uint64_t)a->epoch, (uint64_t)sample);
    uint64_t span = 2 * (uint64_t)a->pad + 1;
    int64_t down = (int64_t)pare_rng_below(&rng, span) - a->pad,
            right = (int64_t)pare_rng_below(&rng, span) - a->pad;
    bool mirror = pare_rng_below(&rng, 2) && a->flip;
    for (int64_t c = 0; c < s->c; c++)
        for (int64_t y = 0; y < s->h; y++)
            for (int64_t x = 0; x < s->w; x++) {
                int64_t sx = (mirror ? s->w - 1 - x : x) + right, sy = y + down;
                bool inside = sx >= 0 && sx < s->w && sy >= 0 && sy < s->h;
                out[c * s->dc + y * s->dy + x * s->dx] =
                    inside ? in[c * s->dc + sy * s->dy + sx * s->dx] : 0;
            }
}

/* Rounds to even and saturates; floats are copied. */
static void store(const float *in, int64_t n, pare_dtype dtype, void *out)
{
#define INTEGERS(TYPE, LEAST, MOST)                                                              \
    for (int64_t i = 0; i < n; i++) {                                                            \
        double v = nearbyint((double)in[i]);                                                     \
        ((TYPE *)out)[i] = !(v > (LEAST)) ? (TYPE)(LEAST) : v < (MOST) ? (TYPE)v : (TYPE)(MOST); \
    }                                                                                            \
    break
    switch (dtype) {
    case PARE_F32: memcpy(out, in, (size_t)n * sizeof *in); break;
    case PARE_F64:
        for (int64_t i = 0; i < n; i++) ((double *)out)[i] = (double)in[i];
        break;
    case PARE_F16:
        for (int64_t i = 0; i < n; i++) ((uint16_t *)out)[i] = pare_float_to_half(in[i]);
        break;
    case PARE_U8: INTEGERS(uint8_t, 0, UINT8_MAX);
    case PARE_I8: INTEGERS(int8_t, INT8_MIN, INT8_MAX);
    case PARE_U16: INTEGERS(uint16_t, 0, UINT16_MAX);
    case PARE_I16: INTEGERS(int16_t, INT16_MIN, INT16_MAX);
    case PARE_I32: INTEGERS(int32_t, INT32_MIN, INT32_MAX);
    default: break; /* refused before */
    }
#undef INTEGERS
}

static pare_status check_dtype(pare_dtype t)
{
    if (t == PARE_F32 || t == PARE_F64 || t == PARE_F16 || t == PARE_U8 || t == PARE_I8 ||
        t == PARE_U16 || t == PARE_I16 || t == PARE_I32)
        return PARE_OK;
    return pare_fail(PARE_EUNSUPPORTED, "a network input of type %s cannot be filled with samples",
                     pare_dtype_name(t));
}

static pare_status mismatch(const pare_dataset *d, const pare_tensor *out, const pare_type *sample)
{
    char have[PARE_TYPE_TEXT], want[PARE_TYPE_TEXT];
    pare_type type = pare_tensor_type(out);
    return pare_fail(PARE_EFORMAT, "'%.200s' has samples %s, the network's input is %s",
                     d->info.name, pare_type_text(sample, have, sizeof have),
                     pare_type_text(&type, want, sizeof want));
}

/* Sample i of a set of pictures, at its own size: borrowed from memory or decoded. */
static pare_status get_picture(const pare_dataset *d, int64_t i, pare_picture *p)
{
    if (d->path) return pare_picture_load(d->path[i], p);
    *p = d->block;
    p->px += (size_t)i * d->block_stride;
    return PARE_OK;
}

/* A picture of its own size and RGB into the network's input, as files need it. */
static pare_status put_file(pare_picture *p, const pare_preprocess *pp, const shape *s, float *out)
{
    PARE_TRY(pare_picture_fit(p, pp, (int)s->w, (int)s->h));
    if (s->c == 1) PARE_TRY(pare_picture_grey(p));
    put_picture(p, pp, s, out);
    return PARE_OK;
}

/* Writes one sample, without augmentation. */
static pare_status put_sample(const pare_dataset *d, int64_t i, const pare_preprocess *pp,
                              const shape *s, float *out)
{
    if (!d->info.pixels) {
        put_numbers(&d->tensor, i, pp, s, out);
        return PARE_OK;
    }
    pare_picture p = { 0 };
    pare_status st = get_picture(d, i, &p);
    if (st == PARE_OK && d->path) {
        st = pare_note(put_file(&p, pp, s, out), "'%s'", d->path[i]);
    } else if (st == PARE_OK && s->picture) {
        st = pare_picture_fit(&p, pp, (int)s->w, (int)s->h);
        if (st == PARE_OK) put_picture(&p, pp, s, out);
    } else if (st == PARE_OK) { /* a network that takes rows of numbers: planes one after another */
        shape own = { p.channels, p.height, p.width, (int64_t)p.width * p.height,
                      p.width,    1,        s->size, true };
        put_picture(&p, pp, &own, out);
    }
    pare_picture_free(&p);
    return st;
}

/* Do the set's samples suit this input? */
static pare_status check_shape(const pare_dataset *d, const pare_preprocess *pp,
                               const pare_tensor *out, const shape *s)
{
    if (!d->info.pixels) {
        pare_type sample = pare_tensor_type(&d->tensor);
        sample.dim[0] = -1;
        bool same = d->tensor.rank == out->rank;
        for (int i = 1; same && i < out->rank; i++) same = d->tensor.dim[i] == out->dim[i];
        if (!same) return mismatch(d, out, &sample);
        return check_channels(pp, s->picture ? s->c : 1);
    }
    if (d->path && !s->picture)
        return pare_fail(PARE_EFORMAT,
                         "'%.200s' has pictures, the network's input has %d dimensions, not 3 or 4",
                         d->info.name, out->rank);
    if (s->picture) {
        if (s->c != d->info.channels && !(d->path && s->c == 1)) /* files can be read as grey */
            return pare_fail(PARE_EFORMAT,
                             "'%.200s' has pictures of %d channels, the network's input has %lld",
                             d->info.name, d->info.channels, (long long)s->c);
        if (s->w < 1 || s->h < 1 || s->w > PARE_MAX_PIXELS || s->h > PARE_MAX_PIXELS)
            return pare_fail(PARE_EINVAL, "the network's input of %lld x %lld is no picture",
                             (long long)s->w, (long long)s->h);
    } else if (s->size != (int64_t)d->info.channels * d->info.height * d->info.width) {
        pare_type sample = { PARE_U8, 4, { -1, d->info.channels, d->info.height, d->info.width } };
        return mismatch(d, out, &sample);
    }
    return check_channels(pp, s->picture ? s->c : d->info.channels);
}

pare_status pare_dataset_batch(const pare_dataset *d, const pare_preprocess *pp,
                               const int64_t *index, int64_t n, const pare_augment *aug,
                               pare_tensor *out, int *label)
{
    static const pare_preprocess plain = { 0 };
    if (!pp) pp = &plain;
    if (out->rank < 1 || out->dim[0] < n)
        return pare_fail(PARE_EINVAL, "a batch of %lld samples does not fit a tensor of %lld",
                         (long long)n, (long long)(out->rank < 1 ? 0 : out->dim[0]));
    PARE_TRY(check_dtype(out->dtype));
    shape s = shape_of(out->rank, out->dim, pp);
    PARE_TRY(check_shape(d, pp, out, &s));
    for (int64_t i = 0; i < n; i++)
        if (index[i] < 0 || index[i] >= d->info.count)
            return pare_fail(PARE_EINVAL, "'%.200s' has no sample %lld, it has %lld", d->info.name,
                             (long long)index[i], (long long)d->info.count);
    bool change = aug && (aug->pad || aug->flip);
    if (change && (!s.picture || aug->pad < 0 || aug->pad > 4096))
        return pare_fail(PARE_EINVAL,
                         s.picture ? "a padding of %d is not within 0 to 4096"
                                   : "only pictures can be cropped and mirrored",
                         aug->pad);

    float *plainly = malloc((size_t)s.size * sizeof *plainly * 2 + 1);
    if (!plainly)
        return pare_fail(PARE_ENOMEM, "no memory for a sample of %lld numbers", (long long)s.size);
    float *changed = plainly + s.size;
    pare_status st = PARE_OK;
    for (int64_t i = 0; st == PARE_OK && i < n; i++) {
        void *to = (char *)out->data + (size_t)(i * s.size) * pare_dtype_size(out->dtype);
        float *direct =
            out->dtype == PARE_F32 ? to : NULL; /* the common case needs no copy at the end */
        float *first = change || !direct ? plainly : direct, *last = direct ? direct : changed;
        st = put_sample(d, index[i], pp, &s, first);
        if (st == PARE_OK && change) augment(aug, index[i], &s, first, last);
        if (st == PARE_OK && !direct) store(change ? changed : plainly, s.size, out->dtype, to);
        if (label) label[i] = d->label[index[i]];
    }
    free(plainly);
    return st;
}

/* A free dimension takes what the picture has after the stated resize and crop. */
static pare_status resolve(const pare_type *type, const pare_preprocess *pp, const pare_picture *p,
                           pare_type *out)
{
    char text[PARE_TYPE_TEXT];
    if (type->rank != 4 && type->rank != 3)
        return pare_fail(PARE_EINVAL, "a picture cannot be the network's input %s",
                         pare_type_text(type, text, sizeof text));
    *out = *type;
    bool nhwc = type->rank == 4 && pp->nhwc;
    int h = type->rank == 3 || nhwc ? 1 : 2, w = h + 1, c = type->rank == 3 ? -1 : nhwc ? 3 : 1;
    if (out->dim[0] < 0) out->dim[0] = 1;
    if (c >= 0 && out->dim[c] < 0) out->dim[c] = 3;
    if (out->dim[w] < 0)
        out->dim[w] = pp->crop_w ? pp->crop_w : pp->resize_w ? pp->resize_w : p->width;
    if (out->dim[h] < 0)
        out->dim[h] = pp->crop_h ? pp->crop_h : pp->resize_h ? pp->resize_h : p->height;
    int64_t channels = c < 0 ? 1 : out->dim[c];
    if (channels != 1 && channels != 3)
        return pare_fail(PARE_EFORMAT,
                         "pictures have 3 channels (or 1), the network's input has %lld",
                         (long long)channels);
    if (out->dim[0] != 1 || out->dim[w] < 1 || out->dim[h] < 1 || out->dim[w] > PARE_MAX_PIXELS ||
        out->dim[h] > PARE_MAX_PIXELS)
        return pare_fail(PARE_EINVAL, "one picture cannot be the network's input %s",
                         pare_type_text(type, text, sizeof text));
    if (out->dim[w] * out->dim[h] > PARE_MAX_PIXELS)
        return pare_fail(PARE_ELIMIT, "the network's input of %lld x %lld is more than %d pixels",
                         (long long)out->dim[w], (long long)out->dim[h], PARE_MAX_PIXELS);
    return check_channels(pp, channels);
}

static pare_status into_tensor(pare_picture *p, const pare_preprocess *pp, const pare_type *type,
                               pare_tensor *out)
{
    pare_type full, floats;
    PARE_TRY(resolve(type, pp, p, &full));
    floats = full;
    floats.dtype = PARE_F32;
    shape s = shape_of(full.rank, full.dim, pp);
    pare_tensor values, result = { 0 };
    PARE_TRY(pare_tensor_of(&floats, &values));
    pare_status st = put_file(p, pp, &s, values.data);
    if (st == PARE_OK && full.dtype == PARE_F32) {
        *out = values;
        return PARE_OK;
    }
    if (st == PARE_OK) st = pare_tensor_of(&full, &result);
    if (st == PARE_OK) {
        store(values.data, s.size, full.dtype, result.data);
        *out = result;
    }
    pare_tensor_free(&values);
    return st;
}

pare_status pare_image_load(const char *path, const pare_preprocess *pp, const pare_type *type,
                            pare_tensor *out)
{
    static const pare_preprocess plain = { 0 };
    PARE_TRY(check_dtype(type->dtype));
    pare_picture p;
    PARE_TRY(pare_picture_load(path, &p));
    pare_status st = pare_note(into_tensor(&p, pp ? pp : &plain, type, out), "'%s'", path);
    pare_picture_free(&p);
    return st;
}
