/* Convolutions of float32 numbers through products of bfloat16 numbers, summed in float32.
 *
 * A number x is cut into `pieces` bfloat16 numbers, the first the largest:
 *
 *   one piece:     x rounded to nearest, ties to even
 *   two or three:  x rounded to nearest, ties away from zero; the same of what is left; and again.
 *                  Three add up to x
 *
 * A product of two numbers is the sum of the products of their pieces i and j with i + j < pieces:
 * one, three or six of them; the others are below what is dropped anyway. docs/kernels/pieces.md
 * has the error bounds, and what becomes of infinite, undefined and very small numbers.
 *
 * Two steps: pieces_cut lays out the channels of a pixel side by side; pieces_conv multiplies. Two
 * numbers that follow each other are a word. */
#ifndef KERNELS_PIECES_H
#define KERNELS_PIECES_H

#include "kernels/finish.h"

#include <stddef.h>
#include <stdint.h>

enum {
    PARE_PIECES_MOST = 3,
    PARE_PIECES_TILE = 2, /* blocks of output channels whose weights are packed together */
};

/* Pixels x_pixel numbers apart, x [block][pixel][vl], into `to`, for each piece [pixel][width]: the
 * pieces of `channels` numbers, then zeros. */
typedef struct pare_pieces_cut {
    size_t vl; /* of the table; for one piece, neighbouring pixels and 8 channels at most also 1 */
    size_t pieces;
    size_t pixels, channels;
    const float *x;
    size_t x_pixel, x_block; /* numbers between pixels, between blocks */
    uint16_t *to;
    size_t width; /* numbers of a pixel, channels at least */
    size_t piece; /* numbers between pieces */
} pare_pieces_cut;
typedef void pare_pieces_cut_fn(const pare_pieces_cut *c);

/* Words that follow each other in memory. */
typedef struct pare_pieces_run {
    uint32_t at; /* numbers from the pixel, even */
    uint32_t words;
} pare_pieces_run;

/* Output channels in blocks against pixels, for every block b, pixel p and lane l:
 *
 *   y[b][p][l] = act(bias[b][l] + sum over words of x * w + residual[b][p][l])
 *
 * Weights are packed by pare_pieces_pack(). */
typedef struct pare_pieces_conv {
    size_t vl, pieces;
    const uint16_t *x; /* what pieces_cut gave */
    size_t x_piece;    /* numbers between pieces */
    size_t pixels;
    const uint32_t *pixel; /* [pixels] numbers from x, even */
    const pare_pieces_run *run;
    size_t runs,
        words; /* words: of the weights; of all runs together, and zeros to make it whole */
    size_t blocks;
    const uint16_t *w;
    const float *bias;
    float *y;              /* [block][pixel][vl], blocks y_block numbers apart */
    const float *residual; /* NULL: none; as y, and apart from it */
    size_t y_block;
    pare_finish finish;
    void *room; /* what the form's function says, if there is one */
} pare_pieces_conv;
typedef void pare_pieces_conv_fn(const pare_pieces_conv *c);
/* Bytes of scratch memory. */
typedef size_t pare_pieces_room_fn(size_t pieces, size_t words, size_t pixels);

/* How a processor multiplies numbers of so many pieces. */
typedef struct pare_pieces_form {
    pare_pieces_cut_fn *cut;
    pare_pieces_conv_fn *conv; /* NULL: not at all */
    pare_pieces_room_fn *room; /* NULL: none */
    size_t whole;              /* weights have a multiple of so many words */
} pare_pieces_form;

/* Packs the weights of `rows` output channels from row-major [rows][2 * words], each times its
 * row's scale: tiles of PARE_PIECES_TILE blocks (the last may have fewer), each
 * [piece][word][block][vl][2]. `to` holds pare_pieces_packed() numbers, all zero. */
size_t pare_pieces_packed(size_t vl, size_t pieces, size_t rows, size_t words);
void pare_pieces_pack(size_t vl, size_t pieces, size_t rows, size_t words, const float *w,
                      const float *scale, uint16_t *to);

/* The plain versions; they take any vl. */
void pare_pieces_of(float x, size_t pieces, uint16_t *piece);
pare_pieces_cut_fn pare_pieces_cut_c;
pare_pieces_conv_fn pare_pieces_conv_c;

#endif
