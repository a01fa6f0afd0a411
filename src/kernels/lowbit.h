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
};

/* One block of channels, [pixel][vl], to codes: to[p * step + c] = x - lo for c < channels, 0 for
 * the other lanes. */
typedef void pare_lowbit_codes_fn(size_t vl, size_t pixels, const uint8_t *x, size_t channels,
                                  uint8_t lo, uint8_t *to, size_t step);

/* The tables of all groups of `span` codes of each pixel. */
typedef struct pare_lowbit_tables {
    size_t span;
    size_t pixels, groups;
    const uint8_t *codes; /* [pixel][codes_step]; 0 from the last group to codes_step */
    size_t codes_step;
    uint8_t *table; /* [pixel][group][2^span] */
    int32_t *sum;   /* sum[pixel]: of its codes; NULL: not wanted */
} pare_lowbit_tables;
typedef void pare_lowbit_tables_fn(const pare_lowbit_tables *t);

/* y[i] = sum over taps t of x[i * stride + tap[t]] */
typedef void pare_lowbit_box_fn(size_t n, const int32_t *x, size_t stride, const uint32_t *tap,
                                size_t taps, int32_t *y);

/* A part of the sums of up to two vectors of filters (4 blocks each) against `pixels` pixels: with
 * `first` they begin at 0, else at partial * 2^shift; with `last` results are written, else
 * partial.
 *
 * Weights are a byte (an index) for each filter: [step][4 * vl], filter 0 to 2 vl - 1 of a vector
 * in bytes 0, 2, 4, ..., the others in bytes 1, 3, 5, ... */
typedef struct pare_lowbit_conv {
    size_t vl, span;
    const uint8_t *table;
    size_t pixels;
    const uint32_t *pixel; /* bytes from `table` to the tables of each pixel, */
    const uint32_t *place; /* its number in y and box */
    const uint32_t *at;    /* per step: bytes from a pixel's tables */
    size_t steps;          /* their sums fit 16 bits, */
    size_t byte_steps;     /* those of so many bytes */
    size_t vectors;        /* 1 or 2 */
    const uint8_t *w;
    size_t w_step;        /* bytes between the weights of both vectors */
    const uint8_t *ahead; /* `ahead_bytes` that will be read next, asked for in passing */
    size_t ahead_bytes;
    bool first, last;
    int shift;
    int32_t *partial;            /* [pixel][vector][4][vl] */
    size_t blocks;               /* that exist of the vectors' */
    const int32_t *alpha, *beta; /* per channel, whole vectors; likewise what `finish` holds */
    const int32_t *box;          /* by place; NULL: beta is 0 */
    pare_int8_finish finish;     /* w_zero NULL */
    uint8_t *y;                  /* [block][place][vl], blocks `y_block` numbers apart */
    size_t y_block;
    int32_t *sums; /* not NULL: what comes before the scale goes here instead */
} pare_lowbit_conv;
typedef void pare_lowbit_conv_fn(const pare_lowbit_conv *c);

/* The plain versions take any vl and span. */
pare_lowbit_codes_fn pare_lowbit_codes_c;
pare_lowbit_tables_fn pare_lowbit_tables_c;
pare_lowbit_box_fn pare_lowbit_box_c;
pare_lowbit_conv_fn pare_lowbit_conv_c;

/* Byte of a vector of weights that holds the index of filter f of its 4 * vl. */
static inline size_t pare_lowbit_byte(size_t vl, size_t f)
{
    return 2 * (f % (2 * vl)) + f / (2 * vl);
}

#endif
