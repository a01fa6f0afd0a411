/* The attributes and geometry that convolutions and pools share. */
#ifndef OPS_CONV_ATTRS_H
#define OPS_CONV_ATTRS_H

#include "ops/op.h"

/* auto_pad choices, in this order in every table. */
enum { PARE_PAD_NOTSET, PARE_PAD_SAME_UPPER, PARE_PAD_SAME_LOWER, PARE_PAD_VALID };
#define PARE_PAD_CHOICES "NOTSET|SAME_UPPER|SAME_LOWER|VALID"

typedef struct pare_conv_attrs {
    int auto_pad;
    pare_ints kernel_shape, strides, pads, dilations;
    int64_t group;
} pare_conv_attrs;
extern const pare_field pare_conv_fields[];

typedef struct pare_conv_transpose_attrs {
    int auto_pad;
    pare_ints kernel_shape, strides, pads, dilations, output_padding, output_shape;
    int64_t group;
} pare_conv_transpose_attrs;

enum { PARE_MAX_SPATIAL = 3 };
/* One dimension a row: out = floor((in + begin + end - ((kernel - 1) * dilation + 1)) / stride)
 * + 1. */
typedef struct pare_window {
    int spatial; /* 1 to PARE_MAX_SPATIAL */
    int64_t in[PARE_MAX_SPATIAL], out[PARE_MAX_SPATIAL], kernel[PARE_MAX_SPATIAL],
        stride[PARE_MAX_SPATIAL], dilation[PARE_MAX_SPATIAL], begin[PARE_MAX_SPATIAL],
        end[PARE_MAX_SPATIAL];
} pare_window;

/* Resolves attributes against an input [N,C,spatial...]. `kernel` gives the kernel's extents when
 * the attribute does not (weights); NULL: it must. `ceil_mode` rounds the output up, as pools may.
 * PARE_EFORMAT with both numbers. */
pare_status pare_window_of(const pare_type *in, const int64_t *kernel, int auto_pad,
                           const pare_ints *kernel_shape, const pare_ints *strides,
                           const pare_ints *pads, const pare_ints *dilations, bool ceil_mode,
                           pare_window *out);

/* The same window with PARE_MAX_SPATIAL dimensions: those missing are put in front, of extent 1. */
void pare_window_3d(const pare_window *w, pare_window *out);

/* The indices i < count for which 0 <= start + i * step < in, as [*lo, *hi); empty: *lo == *hi. */
void pare_window_range(int64_t in, int64_t start, int64_t step, int64_t count, int64_t *lo,
                       int64_t *hi);

/* Number i of a list of `want`; `def` if the list is absent or empty. PARE_EFORMAT if the list has
 * another length or the number is not within `least` to INT32_MAX, so that no product of two
 * overflows. */
pare_status pare_window_item(const pare_ints *list, const char *what, int want, int i, int64_t def,
                             int64_t least, int64_t *out);

/* For implementations and training: the geometry of a Conv node whose types were inferred (cannot
 * fail then). */
void pare_conv_window(const pare_node *n, const pare_type *x, const pare_type *w, pare_window *out);

/* The convolution that a ConvTranspose node is the transpose of: `in` is the extent of the node's
 * output, `out` that of its input. PARE_EFORMAT unless types were inferred. */
pare_status pare_conv_transpose_window(const pare_node *n, const pare_type *x, const pare_type *w,
                                       pare_window *out);

#endif
