#include "kernels/int8.h"

#include <math.h>
#include <string.h>

enum { VL = 8 }; /* of the plain table */

size_t pare_int8_packed(size_t vl, size_t rows, size_t all_words)
{
    return (rows + vl - 1) / vl * vl * all_words * 4;
}

/* Index of number i of word q for output channel `row`, of `blocks` blocks in tiles. */
static size_t weight_at(size_t vl, size_t tile, bool quads, size_t blocks, size_t all_words,
                        size_t row, size_t q, size_t i)
{
    size_t block = row / vl, first = block / tile * tile,
           n = blocks - first < tile ? blocks - first : tile;
    size_t group = first * all_words + q * n + (block - first);
    return (group * vl + row % vl) * pare_int8_word(quads) + i;
}

void pare_int8_pack(size_t vl, size_t tile, bool quads, size_t rows, size_t all_words,
                    const int16_t *w, void *to)
{
    size_t blocks = (rows + vl - 1) / vl;
    for (size_t r = 0; r < rows; r++)
        for (size_t q = 0; q < all_words; q++)
            for (size_t i = 0; i < pare_int8_word(quads); i++) {
                size_t at = weight_at(vl, tile, quads, blocks, all_words, r, q, i);
                int16_t v = *w++;
                if (quads)
                    ((int8_t *)to)[at] = (int8_t)v;
                else
                    ((int16_t *)to)[at] = v;
            }
}

size_t pare_int8_panel_row(size_t all_words) { return ((all_words + 15) / 16 | 1) * 64; }

size_t pare_int8_panel_pixels(size_t all_words, size_t pixels)
{
    enum { PANEL_BYTES = 192 << 10 }; /* they stay in the second-level cache beside weights */
    size_t n = PANEL_BYTES / pare_int8_panel_row(all_words);
    n = n < 32 ? 32 : n; /* two tiles */
    return n < pixels ? n : pixels;
}

size_t pare_int8_room(size_t all_words, size_t pixels)
{
    size_t n = pare_int8_panel_pixels(all_words, pixels);
    return 64 + n * (pare_int8_panel_row(all_words) + sizeof(int32_t)) + 4 * 16 * 64;
}

uint8_t pare_int8_finish_c(const pare_int8_finish *f, size_t channel, uint32_t sum)
{
    float v = (float)(int32_t)(sum + (uint32_t)f->bias[channel]) * f->scale[channel];
    v = v > f->lo ? v : f->lo;
    v = v < f->hi ? v : f->hi;
    return (uint8_t)((int32_t)nearbyintf(v) + f->zero);
}

static int32_t weight(const void *w, bool quads, size_t at)
{
    return quads ? ((const int8_t *)w)[at] : ((const int16_t *)w)[at];
}

void pare_int8_conv_c(const pare_int8_conv *c)
{
    for (size_t row = 0; row < c->blocks * c->vl; row++)
        for (size_t p = 0; p < c->pixels; p++) {
            uint32_t sum = 0, of_x = 0;
            size_t q = 0;
            for (size_t r = 0; r < c->runs; r++)
                for (size_t k = 0; k < c->run[r].words; k++, q++)
                    for (size_t i = 0; i < pare_int8_word(c->quads); i++) {
                        const uint8_t *at = c->x + c->pixel[p] + c->run[r].at + 4 * k;
                        uint32_t x = c->quads ? at[i] ^ (uint32_t)c->flip
                                              : (uint32_t)((const int16_t *)(const void *)at)[i];
                        sum += x * (uint32_t)weight(c->w, c->quads,
                                                    weight_at(c->vl, c->tile, c->quads, c->blocks,
                                                              c->all_words, row, q, i));
                        if (c->finish.w_zero) of_x += x * (c->ones[q] >> 8 * i & 1);
                    }
            if (c->finish.w_zero) sum -= of_x * (uint32_t)c->finish.w_zero[row];
            size_t at = row / c->vl * c->y_block + p * c->vl + row % c->vl;
            if (c->sums)
                c->sums[at] = (int32_t)(sum + (uint32_t)c->finish.bias[row]);
            else
                c->y[at] = pare_int8_finish_c(&c->finish, row, sum);
        }
}

void pare_int8_depthwise_c(const pare_int8_depthwise *c)
{
    for (size_t lane = 0; lane < c->vl; lane++)
        for (size_t p = 0; p < c->pixels; p++) {
            uint32_t sum = 0, of_x = 0;
            for (size_t g = 0; g < c->groups; g++)
                for (size_t i = 0; i < 4; i++) {
                    uint32_t x = c->x[c->pixel[p] + c->group[g] + i * c->vl + lane] ^ c->flip;
                    size_t n = pare_int8_word(c->quads), all = c->groups * 4 / n;
                    sum += x * (uint32_t)weight(c->w, c->quads,
                                                weight_at(c->vl, 1, c->quads, 1, all, lane,
                                                          (g * 4 + i) / n, i % n));
                    if (c->finish.w_zero) of_x += x * (c->ones[g] >> 8 * i & 1);
                }
            if (c->finish.w_zero) sum -= of_x * (uint32_t)c->finish.w_zero[lane];
            c->y[p * c->vl + lane] = pare_int8_finish_c(&c->finish, lane, sum);
        }
}

void pare_int8_widen_c(size_t n, const uint8_t *x, bool is_signed, int16_t *y)
{
    for (size_t i = 0; i < n; i++) y[i] = is_signed ? (int8_t)x[i] : x[i];
}

void pare_quantize_c(size_t n, const float *x, float scale, float lo, float hi, int32_t zero,
                     uint8_t *y)
{
    for (size_t i = 0; i < n; i++) {
        float v = x[i] / scale;
        v = v > lo ? v : lo;
        v = v < hi ? v : hi;
        y[i] = (uint8_t)((int32_t)nearbyintf(v) + zero);
    }
}

static int32_t value(uint8_t x, bool is_signed) { return is_signed ? (int8_t)x : x; }

void pare_dequantize_c(size_t n, const uint8_t *x, bool is_signed, int32_t zero, float scale,
                       float *y)
{
    for (size_t i = 0; i < n; i++) y[i] = (float)(value(x[i], is_signed) - zero) * scale;
}

void pare_int8_add_c(const pare_int8_add *p, size_t n, const uint8_t *a, const uint8_t *b,
                     uint8_t *y)
{
    for (size_t i = 0; i < n; i++) {
        float v = fmaf((float)value(b[i], p->signed_b), p->scale_b, p->shift);
        v = fmaf((float)value(a[i], p->signed_a), p->scale_a, v);
        v = v > p->lo ? v : p->lo;
        v = v < p->hi ? v : p->hi;
        y[i] = (uint8_t)((int32_t)nearbyintf(v) + p->zero);
    }
}

void pare_int8_sum_c(size_t n, const uint8_t *x, uint8_t flip, int32_t *sum)
{
    for (size_t i = 0; i < n; i++)
        for (size_t l = 0; l < VL; l++) sum[l] += value(x[i * VL + l], flip != 0);
}

void pare_int8_max_c(size_t pixels, const uint8_t *x, size_t step, const uint32_t *tap, size_t taps,
                     uint8_t flip, uint8_t *y)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t l = 0; l < VL; l++) {
            uint8_t most = 0;
            for (size_t t = 0; t < taps; t++) {
                uint8_t v = (uint8_t)(x[p * step + tap[t] + l] ^ flip);
                most = v > most ? v : most;
            }
            y[p * VL + l] = (uint8_t)(most ^ flip);
        }
}
