#include "kernels/int8_winograd.h"

#include <math.h>
#include <string.h>

enum { N = 6 };
static const int input_matrix[N][N] = { { 4, 0, -5, 0, 1, 0 },  { 0, -4, -4, 1, 1, 0 },
                                        { 0, 4, -4, -1, 1, 0 }, { 0, -2, -1, 2, 1, 0 },
                                        { 0, 2, -1, -2, 1, 0 }, { 0, 4, 0, -5, 0, 1 } };
static const int weight_matrix[N][3] = { { 6, 0, 0 }, { -1, -1, -1 }, { -1, 1, -1 },
                                         { 1, 2, 4 }, { 1, -2, 4 },   { 0, 0, 6 } };
static const int output_matrix[4][N] = {
    { 1, 4, 4, 1, 1, 0 }, { 0, 2, -2, 1, -1, 0 }, { 0, 1, 1, 1, 1, 0 }, { 0, 1, -1, 2, -2, 1 }
};
static const int output_shift[4] = { 3, 2, 1, 1 };

void pare_int8_winograd_weights_c(const pare_int8_winograd_weights *t)
{
    for (size_t p = 0; p < N * N; p++)
        for (size_t c = 0; c < (t->channels + 1) / 2 * 2; c++)
            for (size_t l = 0; l < t->vl; l++) {
                int sum = 0;
                for (size_t i = 0; i < 9 && l < t->lanes && c < t->channels; i++)
                    sum += weight_matrix[p / N][i / 3] * weight_matrix[p % N][i % 3] *
                           t->w[(l * t->channels + c) * 9 + i];
                t->u[p * t->position + c / 2 * t->row + l * 2 + c % 2] = (int16_t)sum;
            }
}

static int input(const pare_int8_winograd_input *t, size_t block, size_t lane, int64_t y, int64_t x)
{
    uint8_t v = t->pad;
    if (y >= 0 && y < t->in_y && x >= 0 && x < t->in_x)
        v = t->x[((block * (size_t)t->in_y + (size_t)y) * (size_t)t->in_x + (size_t)x) * t->vl +
                 lane];
    return t->is_signed ? (int8_t)v : v;
}

void pare_int8_winograd_input_c(const pare_int8_winograd_input *t)
{
    for (size_t c = 0; c < t->blocks * t->vl; c++)
        for (size_t i = 0; i < t->tiles; i++) {
            int64_t tile = (int64_t)(t->first + i), y0 = tile / t->tiles_x * 4 - t->top,
                    x0 = tile % t->tiles_x * 4 - t->left;
            for (size_t p = 0; p < N * N; p++) {
                int sum = 0;
                for (int64_t y = 0; y < N; y++)
                    for (int64_t x = 0; x < N; x++)
                        sum += input_matrix[p / N][y] * input_matrix[p % N][x] *
                               input(t, c / t->vl, c % t->vl, y0 + y, x0 + x);
                size_t group = 2 * t->vl;
                t->v[p * t->position + (c / group * t->tiles + i) * group + c % group] =
                    (int16_t)sum;
            }
        }
}

void pare_int8_winograd_product_c(const pare_int8_winograd_product *t)
{
    size_t width = t->blocks * t->vl, group = 2 * t->vl;
    for (size_t i = 0; i < t->tiles; i++)
        for (size_t o = 0; o < width; o++) {
            uint32_t sum = 0;
            for (size_t c = 0; c < t->channels; c++)
                sum += (uint32_t)(t->u[c / 2 * width * 2 + o * 2 + c % 2] *
                                  t->v[(c / group * t->tiles + i) * group + c % group]);
            t->r[i * width + o] = sum;
        }
}

void pare_int8_winograd_output_c(const pare_int8_winograd_output *t)
{
    const pare_int8_finish *f = &t->finish;
    size_t width = t->blocks * t->vl;
    for (size_t o = 0; o < width; o++)
        for (size_t i = 0; i < t->tiles; i++) {
            int64_t tile = (int64_t)(t->first + i), y0 = tile / t->tiles_x * 4,
                    x0 = tile % t->tiles_x * 4;
            for (int64_t at = 0; at < 16; at++) {
                int64_t y = at / 4, x = at % 4;
                if (y0 + y >= t->out_y || x0 + x >= t->out_x) continue;
                uint32_t sum = 0;
                for (size_t p = 0; p < N * N; p++)
                    sum += (uint32_t)(output_matrix[y][p / N] * output_matrix[x][p % N]) *
                           t->r[p * t->position + i * width + o];
                int32_t exact = (int32_t)(sum * 0x38e38e39u) >> (output_shift[y] + output_shift[x]);
                size_t pixel = (size_t)((y0 + y) * t->out_x + x0 + x),
                       map = (size_t)(t->out_y * t->out_x);
                t->y[(o / t->vl * map + pixel) * t->vl + o % t->vl] =
                    pare_int8_finish_c(f, o, (uint32_t)exact);
            }
        }
}
