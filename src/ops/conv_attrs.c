#include "ops/conv_attrs.h"

const pare_field pare_conv_fields[] = {
    PARE_ENUM(pare_conv_attrs, auto_pad, PARE_PAD_NOTSET, PARE_PAD_CHOICES,
              "how padding is chosen"),
    PARE_INTS(pare_conv_attrs, dilations, INT64_MIN, INT64_MAX, "",
              "distance of kernel elements, each dimension"),
    PARE_INT(pare_conv_attrs, group, 1, INT64_MIN, INT64_MAX, "",
             "groups that channels are divided into"),
    PARE_INTS(pare_conv_attrs, kernel_shape, INT64_MIN, INT64_MAX, "", "extents of the kernel"),
    PARE_INTS(pare_conv_attrs, pads, INT64_MIN, INT64_MAX, "",
              "padding: all begins, then all ends"),
    PARE_INTS(pare_conv_attrs, strides, INT64_MIN, INT64_MAX, "",
              "step of the window, each dimension"),
    PARE_FIELDS_END,
};

pare_status pare_window_item(const pare_ints *list, const char *what, int want, int i, int64_t def,
                             int64_t least, int64_t *out)
{
    if (list->n == 0) {
        *out = def;
        return PARE_OK;
    }
    if (list->n != (size_t)want)
        return pare_fail(PARE_EFORMAT, "%s has %zu numbers instead of %d", what, list->n, want);
    if (list->v[i] < least || list->v[i] > INT32_MAX)
        return pare_fail(PARE_EFORMAT, "%s: %lld is not within %lld to %d", what,
                         (long long)list->v[i], (long long)least, INT32_MAX);
    *out = list->v[i];
    return PARE_OK;
}

/* Padding and output extent of dimension d, whose other members are set. */
static pare_status resolve(pare_window *w, int d, int auto_pad, bool ceil_mode)
{
    int64_t in = w->in[d], stride = w->stride[d], padded;
    int64_t extent = (w->kernel[d] - 1) * w->dilation[d] + 1;
    if (auto_pad == PARE_PAD_SAME_UPPER || auto_pad == PARE_PAD_SAME_LOWER) {
        int64_t out = in / stride + (in % stride != 0), need = 0;
        if (out > 0) need = (out - 1) * stride + extent - in;
        if (need < 0) need = 0;
        w->begin[d] = auto_pad == PARE_PAD_SAME_UPPER ? need / 2 : need - need / 2;
        w->end[d] = need - w->begin[d];
    } else if (auto_pad == PARE_PAD_VALID) {
        w->begin[d] = w->end[d] = 0;
        ceil_mode = false; /* as the standard's formula for VALID comes out */
    }
    if (!pare_add_i64(in, w->begin[d] + w->end[d], &padded))
        return pare_fail(PARE_EFORMAT,
                         "spatial dimension %d of %lld with padding %lld is too large", d,
                         (long long)in, (long long)(w->begin[d] + w->end[d]));
    if (in < 1)
        return pare_fail(PARE_EFORMAT,
                         "spatial dimension %d of the input is %lld, at least 1 is needed", d,
                         (long long)in);
    if (extent > padded)
        return pare_fail(
            PARE_EFORMAT,
            "in spatial dimension %d the kernel spans %lld, more than the padded input's %lld", d,
            (long long)extent, (long long)padded);
    int64_t span = padded - extent;
    w->out[d] = span / stride + 1;
    /* A window more may begin within the input, never in the padding behind it. */
    if (ceil_mode && span % stride && w->out[d] * stride < in + w->begin[d]) w->out[d]++;
    return PARE_OK;
}

pare_status pare_window_of(const pare_type *in, const int64_t *kernel, int auto_pad,
                           const pare_ints *kernel_shape, const pare_ints *strides,
                           const pare_ints *pads, const pare_ints *dilations, bool ceil_mode,
                           pare_window *out)
{
    int n = in->rank - 2;
    if (n < 1)
        return pare_fail(PARE_EFORMAT, "the input has rank %d, at least 3 is needed", in->rank);
    if (n > PARE_MAX_SPATIAL)
        return pare_fail(PARE_EUNSUPPORTED,
                         "%d spatial dimensions are more than the %d that are supported", n,
                         PARE_MAX_SPATIAL);
    if (!kernel && kernel_shape->n == 0) return pare_fail(PARE_EFORMAT, "kernel_shape is missing");
    pare_window w = { .spatial = n };
    for (int d = 0; d < n; d++) {
        w.in[d] = in->dim[2 + d];
        PARE_TRY(pare_window_item(kernel_shape, "kernel_shape", n, d, kernel ? kernel[d] : 0, 1,
                                  &w.kernel[d]));
        if (kernel && w.kernel[d] != kernel[d])
            return pare_fail(PARE_EFORMAT,
                             "kernel_shape says %lld in spatial dimension %d, the weight has %lld",
                             (long long)w.kernel[d], d, (long long)kernel[d]);
        if (w.kernel[d] < 1 || w.kernel[d] > INT32_MAX)
            return pare_fail(PARE_EFORMAT,
                             "the weight's spatial dimension %d is %lld, not within 1 to %d", d,
                             (long long)w.kernel[d], INT32_MAX);
        PARE_TRY(pare_window_item(strides, "strides", n, d, 1, 1, &w.stride[d]));
        PARE_TRY(pare_window_item(dilations, "dilations", n, d, 1, 1, &w.dilation[d]));
        PARE_TRY(pare_window_item(pads, "pads", 2 * n, d, 0, 0, &w.begin[d]));
        PARE_TRY(pare_window_item(pads, "pads", 2 * n, n + d, 0, 0, &w.end[d]));
        int64_t begin = w.begin[d], end = w.end[d];
        PARE_TRY(resolve(&w, d, auto_pad, ceil_mode));
        /* Zeros beside auto_pad are what exporters write for "not given". */
        if ((begin || end) && (begin != w.begin[d] || end != w.end[d]))
            return pare_fail(PARE_EFORMAT,
                             "pads %lld and %lld contradict auto_pad, which asks for %lld and %lld",
                             (long long)begin, (long long)end, (long long)w.begin[d],
                             (long long)w.end[d]);
    }
    *out = w;
    return PARE_OK;
}

void pare_window_3d(const pare_window *w, pare_window *out)
{
    pare_window r = { .spatial = PARE_MAX_SPATIAL };
    for (int d = 0; d < PARE_MAX_SPATIAL; d++) {
        int from = d - (PARE_MAX_SPATIAL - w->spatial);
        bool has = from >= 0;
        r.in[d] = has ? w->in[from] : 1;
        r.out[d] = has ? w->out[from] : 1;
        r.kernel[d] = has ? w->kernel[from] : 1;
        r.stride[d] = has ? w->stride[from] : 1;
        r.dilation[d] = has ? w->dilation[from] : 1;
        r.begin[d] = has ? w->begin[from] : 0;
        r.end[d] = has ? w->end[from] : 0;
    }
    *out = r;
}

void pare_window_range(int64_t in, int64_t start, int64_t step, int64_t count, int64_t *lo,
                       int64_t *hi)
{
    *lo = start < 0 ? (-start + step - 1) / step : 0;
    *hi = start < in ? (in - 1 - start) / step + 1 : 0;
    if (*hi > count) *hi = count;
    if (*lo > *hi) *lo = *hi;
}

void pare_conv_window(const pare_node *n, const pare_type *x, const pare_type *w, pare_window *out)
{
    const pare_conv_attrs *a = n->attrs;
    if (pare_window_of(x, w->dim + 2, a->auto_pad, &a->kernel_shape, &a->strides, &a->pads,
                       &a->dilations, false, out) != PARE_OK)
        *out = (pare_window){ 0 }; /* not for a node that infer accepted */
}
