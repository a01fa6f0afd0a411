/* Definition of convolutions through bfloat16 pieces. */
#include "kernels/pieces.h"

#include "kernels/act.h"

#include <math.h>
#include <string.h>

static uint32_t bits_of(float x)
{
    uint32_t u;
    memcpy(&u, &x, sizeof u);
    return u;
}
static float widened(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* As the instructions do: numbers below 2^-126 are zero, NaN stays NaN. */
static uint16_t rounded(float x)
{
    uint32_t u = bits_of(x);
    if (isnan(x)) return (uint16_t)(u >> 16 | 0x40);
    if (!(u & 0x7f800000)) return (uint16_t)(u >> 16 & 0x8000);
    return (uint16_t)((u + 0x7fff + (u >> 16 & 1)) >> 16);
}

/* The nearest that is finite if x is. */
static uint16_t nearest(float x)
{
    uint32_t u = bits_of(x), up = u + 0x8000;
    if (isnan(x)) return rounded(x);
    return (uint16_t)(((up & 0x7f800000) == 0x7f800000 ? u : up) >> 16);
}

void pare_pieces_of(float x, size_t pieces, uint16_t *piece)
{
    if (pieces == 1) {
        *piece = rounded(x);
        return;
    }
    for (size_t i = 0; i < pieces; i++) {
        piece[i] = nearest(x);
        x = isfinite(x) ? x - widened(piece[i]) : 0;
    }
}

void pare_pieces_cut_c(const pare_pieces_cut *c)
{
    for (size_t p = 0; p < c->pixels; p++)
        for (size_t k = 0; k < c->width; k++) {
            float x =
                k < c->channels ? c->x[k / c->vl * c->x_block + p * c->x_pixel + k % c->vl] : 0;
            uint16_t piece[PARE_PIECES_MOST];
            pare_pieces_of(x, c->pieces, piece);
            for (size_t i = 0; i < c->pieces; i++)
                c->to[i * c->piece + p * c->width + k] = piece[i];
        }
}

size_t pare_pieces_packed(size_t vl, size_t pieces, size_t rows, size_t words)
{
    return (rows + vl - 1) / vl * vl * 2 * words * pieces;
}

/* Index of number i (0 or 1) of word k of a piece, for an output channel; of `blocks` blocks. */
static size_t weight_at(size_t vl, size_t pieces, size_t blocks, size_t words, size_t row,
                        size_t piece, size_t k, size_t i)
{
    size_t block = row / vl, first = block / PARE_PIECES_TILE * PARE_PIECES_TILE,
           n = blocks - first < PARE_PIECES_TILE ? blocks - first : PARE_PIECES_TILE;
    size_t word = first * pieces * words + (piece * words + k) * n + (block - first);
    return (word * vl + row % vl) * 2 + i;
}

void pare_pieces_pack(size_t vl, size_t pieces, size_t rows, size_t words, const float *w,
                      const float *scale, uint16_t *to)
{
    size_t blocks = (rows + vl - 1) / vl;
    for (size_t first = 0; first < rows; first += PARE_PIECES_TILE * vl) {
        size_t end = first + PARE_PIECES_TILE * vl;
        for (size_t k = 0; k < words; k++)
            for (size_t r = first; r < end && r < rows; r++) {
                size_t at = weight_at(vl, pieces, blocks, words, r, 0, k, 0),
                       next = weight_at(vl, pieces, blocks, words, r, 1, k, 0) - at;
                for (size_t n = 0; n < 2; n++) {
                    uint16_t piece[PARE_PIECES_MOST];
                    pare_pieces_of(w[r * 2 * words + 2 * k + n] * scale[r], pieces, piece);
                    for (size_t i = 0; i < pieces; i++) to[at + n + i * next] = piece[i];
                }
            }
    }
}

/* The sum over the words of one piece of x and one of the weights, added to `sum`. */
static float add(const pare_pieces_conv *c, size_t pixel, size_t row, size_t i, size_t j, float sum)
{
    size_t k = 0;
    for (size_t r = 0; r < c->runs; r++) {
        const uint16_t *x = c->x + i * c->x_piece + c->pixel[pixel] + c->run[r].at;
        for (size_t n = c->run[r].words; n > 0; n--, k++, x += 2) {
            size_t at = weight_at(c->vl, c->pieces, c->blocks, c->words, row, j, k, 0);
            sum += widened(x[1]) * widened(c->w[at + 1]);
            sum += widened(x[0]) * widened(c->w[at]);
        }
    }
    return sum;
}

void pare_pieces_conv_c(const pare_pieces_conv *c)
{
    const pare_finish *f = &c->finish;
    for (size_t row = 0; row < c->blocks * c->vl; row++)
        for (size_t p = 0; p < c->pixels; p++) {
            size_t at = row / c->vl * c->y_block + p * c->vl + row % c->vl;
            float sum = c->bias[row];
            for (size_t i = 0; i < c->pieces; i++)
                for (size_t j = 0; i + j < c->pieces; j++) sum = add(c, p, row, i, j, sum);
            if (c->residual) sum += c->residual[at];
            c->y[at] = pare_act_apply(f->act, sum, f->lo, f->hi, f->alpha);
        }
}
