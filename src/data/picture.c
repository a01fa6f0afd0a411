#include "data/picture.h"

#include <math.h>
#include <stdlib.h>

enum { COEF_BITS = 22 }; /* 8 bits of sample, 22 of weight, 2 of headroom in 32 */

void pare_picture_free(pare_picture *p)
{
    free(p->owned);
    *p = (pare_picture){ 0 };
}

void pare_picture_crop(pare_picture *p, int w, int h)
{
    p->px += (p->width - w) / 2 * p->dx + (p->height - h) / 2 * p->dy;
    p->width = w;
    p->height = h;
}

/* The weights of one axis: output i is the sum of coef[i * taps + k] * input[first[i] + k] for k <
 * count[i].
 */
typedef struct axis {
    int taps;
    int *first, *count;
    int32_t *coef;
} axis;

static void axis_free(axis *a)
{
    free(a->first);
    free(a->coef);
}

static pare_status axis_new(int in, int out, axis *a)
{
    double scale = (double)in / out, support = scale > 1 ? scale : 1;
    a->taps = (int)ceil(support) * 2 + 1;
    size_t n;
    bool fits =
        pare_mul_size((size_t)out, (size_t)a->taps, &n) && pare_mul_size(n, sizeof *a->coef, &n);
    a->first = fits ? calloc((size_t)out, 2 * sizeof *a->first) : NULL;
    a->coef = fits ? malloc(n) : NULL;
    double *w = fits ? malloc((size_t)a->taps * sizeof *w) : NULL;
    if (!a->first || !a->coef || !w) {
        free(w);
        axis_free(a);
        return pare_fail(PARE_ENOMEM, "no memory to scale %d pixels to %d", in, out);
    }
    a->count = a->first + out;
    for (int i = 0; i < out; i++) {
        double centre = (i + 0.5) * scale, sum = 0;
        int lo = (int)(centre - support + 0.5), hi = (int)(centre + support + 0.5);
        if (lo < 0) lo = 0;
        if (hi > in) hi = in;
        for (int k = 0; k < hi - lo; k++) {
            double t = fabs((k + lo - centre + 0.5) * (1.0 / support));
            w[k] = t < 1 ? 1 - t : 0;
            sum += w[k];
        }
        for (int k = 0; k < hi - lo; k++)
            a->coef[(size_t)i * (size_t)a->taps + (size_t)k] =
                (int32_t)(0.5 + w[k] / sum * (1 << COEF_BITS));
        a->first[i] = lo;
        a->count[i] = hi - lo;
    }
    free(w);
    return PARE_OK;
}

static uint8_t weigh(const uint8_t *p, ptrdiff_t step, const int32_t *coef, int n)
{
    int64_t sum = 1 << (COEF_BITS - 1);
    for (int k = 0; k < n; k++) sum += (int64_t)p[k * step] * coef[k];
    sum >>= COEF_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

/* One pass over one axis into interleaved memory of w x h. `along` is the axis that is scaled: 0 x,
 * 1 y. */
static pare_status pass(pare_picture *p, int w, int h, int along)
{
    axis a = { 0 };
    PARE_TRY(axis_new(along == 0 ? p->width : p->height, along == 0 ? w : h, &a));
    int c = p->channels;
    uint8_t *out = malloc((size_t)w * (size_t)h *
                          (size_t)c); /* at most PARE_MAX_PIXELS * 4, checked by the caller */
    if (!out) {
        axis_free(&a);
        return pare_fail(PARE_ENOMEM, "no memory for a picture of %d x %d", w, h);
    }
    uint8_t *o = out;
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++) {
            int i = along == 0 ? x : y;
            const int32_t *coef = a.coef + (size_t)i * (size_t)a.taps;
            const uint8_t *s = along == 0 ? p->px + a.first[i] * p->dx + y * p->dy
                                          : p->px + x * p->dx + a.first[i] * p->dy;
            for (int k = 0; k < c; k++)
                *o++ = weigh(s + k * p->dc, along == 0 ? p->dx : p->dy, coef, a.count[i]);
        }
    axis_free(&a);
    free(p->owned);
    *p = (pare_picture){ w, h, c, out, c, (ptrdiff_t)w * c, 1, out };
    return PARE_OK;
}

static bool too_large(int w, int h) { return (int64_t)w * h > PARE_MAX_PIXELS; }

pare_status pare_picture_resize(pare_picture *p, int w, int h)
{
    if (too_large(w, h) || too_large(w, p->height))
        return pare_fail(PARE_ELIMIT,
                         "a picture of %d x %d is more than the %d pixels that are handled", w, h,
                         PARE_MAX_PIXELS);
    if (w != p->width) PARE_TRY(pass(p, w, p->height, 0));
    if (h != p->height) PARE_TRY(pass(p, w, h, 1));
    return PARE_OK;
}

/* t <= side < 1.1 t */
static bool nearly(int side, int t) { return side >= t && 10 * (int64_t)side < 11 * (int64_t)t; }

pare_status pare_picture_fit(pare_picture *p, const pare_preprocess *pp, int w, int h)
{
    if (pp->resize_w) PARE_TRY(pare_picture_resize(p, pp->resize_w, pp->resize_h));
    if (pp->crop_w) {
        if (pp->crop_w > p->width || pp->crop_h > p->height)
            return pare_fail(PARE_EFORMAT,
                             "a picture of %d x %d is too small to crop %d x %d from it", p->width,
                             p->height, pp->crop_w, pp->crop_h);
        pare_picture_crop(p, pp->crop_w, pp->crop_h);
    }
    if (p->width == w && p->height == h) return PARE_OK;
    if (nearly(p->width, w) && nearly(p->height, h)) {
        pare_picture_crop(p, w, h);
        return PARE_OK;
    }
    return pare_picture_resize(p, w, h);
}
