/* Products, convolutions and element-wise operations of 8-bit integers.
 *
 * An activation x is a byte: unsigned, or signed with `flip` 0x80, which turns it into x + 128
 * unsigned. Sums are exact in 32 bits (they wrap, and what is wanted fits). A sum becomes a byte
 * again by one multiplication in float32 and rounding to nearest even, as QLinearConv defines it:
 *
 *   y = rint(clamp((float)(sum + bias) * scale, lo, hi)) + zero,  lo and hi whole numbers
 *
 * Channels lie in blocks of vl lanes, [block][pixel][vl]; four consecutive bytes are a quad. */
#ifndef KERNELS_INT8_H
#define KERNELS_INT8_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* From sums to bytes; arrays hold a number for each output channel, whole blocks. */
typedef struct pare_int8_finish {
    const int32_t *bias;
    const float *scale;
    const int32_t *w_zero; /* NULL: none; else w_zero * (sum of the x) is taken off the sum */
    float lo, hi;          /* of y - zero */
    int32_t zero;          /* of y */
} pare_int8_finish;

/* Words of 32 bits that follow each other in memory. */
typedef struct pare_int8_run {
    uint32_t at; /* bytes from the pixel */
    uint32_t words;
} pare_int8_run;

/* Output channels in `blocks` blocks against `pixels` pixels: each output is the sum over all words
 * of its pixel. There are two forms:
 *
 *   quads:  a word is four bytes. Tables without int8_quads take this too, but no w_zero; unless
 *           `pairs` they do it well for one pixel only, where reading the weights is what takes
 * time else:   a word is two numbers of 16 bits, bytes widened with their sign; there is no flip
 * and no w_zero. Tables with int8_quads do not take it
 *
 * `pairs` says of quads that no product of two neighbours with any two bytes leaves 16 bits:
 * |w[i]| + |w[i + 1]| <= PARE_INT8_PAIR for i = 0 and 2 of a word.
 *
 * Weights are packed in tiles of `tile` blocks, kernels->int8_tile at most (the last may have
 * fewer), each [word][block][vl][4]
 * of int8, or [word][block][vl][2] of int16, from which zero points are subtracted already. */
typedef struct pare_int8_conv {
    size_t vl, tile;
    bool quads, pairs;
    const uint8_t *x;
    uint8_t flip;
    size_t pixels;
    const uint32_t *pixel; /* offset of each pixel in bytes */
    const pare_int8_run *run;
    size_t runs, all_words; /* all_words: of all runs together */
    size_t blocks;
    const void *w;
    const uint32_t *ones; /* per word: a byte of 1 where the weight is real, for w_zero */
    pare_int8_finish finish;
    uint8_t *y;     /* [block][pixel][vl], blocks `y_block` bytes apart */
    size_t y_block; /* of `sums`: numbers */
    int32_t *sums;  /* not NULL: the sums with bias, without scale, go here instead */
    void *room;     /* of pare_int8_conv_tiles: pare_int8_room() bytes of scratch */
} pare_int8_conv;
typedef void pare_int8_conv_fn(const pare_int8_conv *c);
enum { PARE_INT8_PAIR = 128 };

/* By tiles (tiles.h): quads, vl 16. It needs room, and reads up to PARE_INT8_BEYOND bytes behind
 * the weights, whatever they are. */
enum { PARE_INT8_BEYOND = 15 * 4 * 64 };
pare_int8_conv_fn pare_int8_conv_tiles;
/* Its room is a panel of as many pixels, at most, their words side by side; bytes from row to row:
 * whole lines, an odd number, so that rows do not all fall on the same places of the cache. */
size_t pare_int8_panel_pixels(size_t all_words, size_t pixels);
size_t pare_int8_panel_row(size_t all_words);
size_t pare_int8_room(size_t all_words, size_t pixels);

/* One block of channels, each with its own weights: every output is the sum over groups of four
 * horizontally neighbouring pixels.
 *
 *   quads:  int8 [group][vl][4];  else int16 [group][2][vl][2]; both read bytes
 *
 * All four pixels of a group are read, whatever their weight. */
typedef struct pare_int8_depthwise {
    size_t vl;
    bool quads;
    const uint8_t *x;
    uint8_t flip;
    size_t pixels;
    const uint32_t *pixel;
    const uint32_t *group; /* offset of each group's first pixel */
    size_t groups;
    const void *w;
    const uint32_t *ones; /* per group */
    pare_int8_finish finish;
    uint8_t *y;
} pare_int8_depthwise;
typedef void pare_int8_depthwise_fn(const pare_int8_depthwise *c);

/* Numbers in a word. */
static inline size_t pare_int8_word(bool quads) { return quads ? 4 : 2; }

/* Packs the weights of `rows` output channels from row-major [rows][pare_int8_word() * all_words];
 * `to` holds pare_int8_packed() bytes, all zero. The weights of a depthwise block are those of vl
 * rows. */
size_t pare_int8_packed(size_t vl, size_t rows, size_t all_words);
void pare_int8_pack(size_t vl, size_t tile, bool quads, size_t rows, size_t all_words,
                    const int16_t *w, void *to);

/* y[i] = x[i] in 16 bits. */
typedef void pare_int8_widen_fn(size_t n, const uint8_t *x, bool is_signed, int16_t *y);

/* y[i] = clamp(rint(x[i] / scale), lo, hi) + zero; NaN gives lo + zero. */
typedef void pare_quantize_fn(size_t n, const float *x, float scale, float lo, float hi,
                              int32_t zero, uint8_t *y);
/* y[i] = (x[i] - zero) * scale */
typedef void pare_dequantize_fn(size_t n, const uint8_t *x, bool is_signed, int32_t zero,
                                float scale, float *y);

/* y[i] = clamp(rint(fma(a[i], scale_a, fma(b[i], scale_b, shift))), lo, hi) + zero. y may be a or
 * b. */
typedef struct pare_int8_add {
    bool signed_a, signed_b;
    float scale_a, scale_b, shift, lo, hi;
    int32_t zero;
} pare_int8_add;
typedef void pare_int8_add_fn(const pare_int8_add *p, size_t n, const uint8_t *a, const uint8_t *b,
                              uint8_t *y);

/* Adds x[i * vl + l] (signed if flip is 0x80) to sum[l] for i < n. */
typedef void pare_int8_sum_fn(size_t n, const uint8_t *x, uint8_t flip, int32_t *sum);

/* y[p * vl + l] = the largest x[p * step + tap[t] + l] over t < taps. */
typedef void pare_int8_max_fn(size_t pixels, const uint8_t *x, size_t step, const uint32_t *tap,
                              size_t taps, uint8_t flip, uint8_t *y);

/* The plain versions. Those of convolutions take any vl and packing. */
uint8_t pare_int8_finish_c(const pare_int8_finish *f, size_t channel, uint32_t sum);
pare_int8_conv_fn pare_int8_conv_c;
pare_int8_depthwise_fn pare_int8_depthwise_c;
pare_int8_widen_fn pare_int8_widen_c;
pare_quantize_fn pare_quantize_c;
pare_dequantize_fn pare_dequantize_c;
pare_int8_add_fn pare_int8_add_c;
pare_int8_sum_fn pare_int8_sum_c; /* vl 8 */
pare_int8_max_fn pare_int8_max_c; /* vl 8 */

#endif
