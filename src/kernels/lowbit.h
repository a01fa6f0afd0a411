/* Convolution of codes of few bits by table look-up.
 *
 * The codes r of `span` channels of a pixel have 2^span sums of subsets, a table of bytes:
 *
 *   table[i] = sum over the bits k set in i of r[k]
 *
 * and the bits of `span` 1-bit weights q are an index into it, so that one byte shuffle looks up a
 * whole group of products for each of the 4 * vl filters of a vector. Weights of more bits are
 * several planes of bits, S = sum over planes j of 2^j * S_j. Real weights and inputs are affine in
 * their codes, which leaves for every output
 *
 *   alpha * S + beta * A + bias      A: sum of the codes in the window, `box`
 *
 * in exact 32-bit integers, and the way back to bytes of kernels/int8.h. */
#ifndef KERNELS_LOWBIT_H
#define KERNELS_LOWBIT_H

#include "kernels/int8.h"

enum {
    PARE_LOWBIT_MOST = 15,  /* largest code: 4 bits. A table's largest entry is span times that */
    PARE_LOWBIT_SLACK = 64, /* bytes behind all codes that may be read */
    PARE_LOWBIT_PIXELS = 8, /* outputs whose sums stay in registers */
    PARE_LOWBIT_TAPS = 3,
    PARE_LOWBIT_STEPS = 3,
};

/* Codes of a row of pixels, and their sums. */
typedef struct pare_lowbit_codes {
    size_t vl, pixels, channels;
    const uint8_t *x; /* [block][pixel][vl], blocks `x_block` bytes apart */
    size_t x_block;
    uint8_t lo;
    uint8_t *to; /* to[p * step + c] = x - lo for c < channels, 0 to the end of a block */
    size_t step;
    int32_t
        *sum; /* sum[pixel] of its codes, which are at most PARE_LOWBIT_MOST; NULL: not wanted */
} pare_lowbit_codes;
typedef void pare_lowbit_codes_fn(const pare_lowbit_codes *c);

/* The tables of some groups of `span` codes of some pixels. */
typedef struct pare_lowbit_tables {
    size_t span, pixels, groups;
    const uint8_t *codes;  /* of the first group; PARE_LOWBIT_SLACK more may be read */
    const uint32_t *pixel; /* bytes from there to each pixel's */
    uint8_t *table;        /* [group][pixel][2^span] */
} pare_lowbit_tables;
typedef void pare_lowbit_tables_fn(const pare_lowbit_tables *t);

/* y[i] = sum over taps t of x[i * stride + tap[t]] */
typedef void pare_lowbit_box_fn(size_t n, const int32_t *x, size_t stride, const uint32_t *tap,
                                size_t taps, int32_t *y);

/* Taps of a row of the kernel under which neighbouring outputs find neighbouring tables: a table
 * is read once for all of them. */
typedef struct pare_lowbit_run {
    uint32_t row;  /* of the tables, */
    uint32_t at;   /* bytes from its begin to what the first output meets under the first tap */
    uint32_t taps; /* 1 to PARE_LOWBIT_TAPS */
} pare_lowbit_run;

/* A vector of filters (4 * vl) against neighbouring outputs:
 *
 *   sum[p][f] = (first ? 0 : sum[p][f]) + 2^shift * sum over runs, groups g, taps t of
 *               table[row + at + g * group_step + (p + t) * 2^span + w], 16 bits throughout
 *
 * Weights are a byte (an index) for each filter: [run][group][tap][4 * vl], filter 0 to 2 vl - 1 in
 * bytes 0, 2, 4, ..., the others in bytes 1, 3, 5, ... */
typedef struct pare_lowbit_conv {
    size_t vl, span;
    size_t pixels; /* 1 to PARE_LOWBIT_PIXELS */
    const uint8_t *const *row;
    const pare_lowbit_run *run;
    size_t runs, groups, group_step;
    size_t fit[PARE_LOWBIT_TAPS]; /* groups whose sums under 1, 2, ... taps are bytes; 0: none */
    const uint8_t *w;
    bool first;
    int shift;
    uint16_t *sum; /* [pixel][4 * vl] */
} pare_lowbit_conv;
typedef void pare_lowbit_conv_fn(const pare_lowbit_conv *c);

/* wide[i] = (first ? 0 : wide[i]) + 2^shift * sum[i] */
typedef void pare_lowbit_widen_fn(size_t n, const uint16_t *sum, bool first, int shift,
                                  int32_t *wide);

/* From the sums of a vector of filters to results. */
typedef struct pare_lowbit_finish {
    size_t vl, pixels;
    size_t blocks;               /* that exist of its four */
    const uint16_t *sum;         /* [pixel][4 * vl] */
    const int32_t *wide;         /* not NULL: in place of `sum` */
    const int32_t *alpha, *beta; /* per channel, whole vectors; likewise what `finish` holds */
    const int32_t *box;          /* of each pixel; NULL: beta is 0 */
    pare_int8_finish finish;     /* w_zero NULL */
    uint8_t *y;                  /* [block][pixel][vl], blocks `y_block` bytes apart */
    size_t y_block;
} pare_lowbit_finish;
typedef void pare_lowbit_finish_fn(const pare_lowbit_finish *c);

/* The same where outputs take few values: `least`, and one more for each step that
 * alpha * sum + beta * box reaches, in 16 bits with sign. */
typedef struct pare_lowbit_steps {
    size_t vl, pixels, blocks;
    const uint16_t *sum;
    const int16_t *alpha, *beta; /* per channel, whole vectors */
    const int32_t *box;
    const int16_t *step; /* [step][4 * vl] */
    size_t steps;        /* PARE_LOWBIT_STEPS at most */
    uint8_t least;
    uint8_t *y;
    size_t y_block;
} pare_lowbit_steps;
typedef void pare_lowbit_steps_fn(const pare_lowbit_steps *c);

/* The plain versions take any vl and span. */
pare_lowbit_codes_fn pare_lowbit_codes_c;
pare_lowbit_tables_fn pare_lowbit_tables_c;
pare_lowbit_box_fn pare_lowbit_box_c;
pare_lowbit_conv_fn pare_lowbit_conv_c;
pare_lowbit_widen_fn pare_lowbit_widen_c;
pare_lowbit_finish_fn pare_lowbit_finish_c;
pare_lowbit_steps_fn pare_lowbit_steps_c;

/* Byte of a vector of weights that holds the index of filter f of its 4 * vl. */
static inline size_t pare_lowbit_byte(size_t vl, size_t f)
{
    return 2 * (f % (2 * vl)) + f / (2 * vl);
}

#endif
