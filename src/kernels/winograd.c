/* Winograd's transforms and products in plain C: they define what the vector versions compute. The
 * matrices are written out. */
#include "kernels/kernels.h"

#include <stdbool.h>

enum { MOST = 6 }; /* m + 2 */
#define R2 1.41421356237309504880

/* clang-format off */
/* B^T, [m + 2][m + 2] */
static const double b2[] = { 1,  0, -1, 0,
                             0,  1,  1, 0,
                             0, -1,  1, 0,
                             0, -1,  0, 1 };
static const double b4[] = { 1,   0, -2.5,    0, 1, 0,
                             0, -R2, -2,   R2/2, 1, 0,
                             0,  R2, -2,  -R2/2, 1, 0,
                             0, -R2/2, -.5,  R2, 1, 0,
                             0,  R2/2, -.5, -R2, 1, 0,
                             0,   1,    0, -2.5, 0, 1 };
/* G, [m + 2][3] */
static const double g2[] = {  1,   0,  0,
                             .5,  .5, .5,
                             .5, -.5, .5,
                              0,   0,  1 };
static const double g4[] = {     1,       0,    0,
                            -2/3.0,   -R2/3, -1/3.0,
                            -2/3.0,    R2/3, -1/3.0,
                             1/6.0,    R2/6,  1/3.0,
                             1/6.0,   -R2/6,  1/3.0,
                                 0,       0,    1 };
/* A^T, [m][m + 2] */
static const double a2[] = { 1, 1,  1, 0,
                             0, 1, -1, 1 };
static const double a4[] = { 1,    1,     1,    1,     1, 0,
                             0, R2/2, -R2/2,   R2,   -R2, 0,
                             0,   .5,    .5,    2,     2, 0,
                             0, R2/4, -R2/4, 2*R2, -2*R2, 1 };
/* clang-format on */

/* to [n][n] = left [n][k] * from [k][k] * left^T */
static void both_sides(const double *left, size_t n, size_t k, const double *from, double *to)
{
    double half[MOST * MOST];
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < k; j++) {
            half[i * k + j] = 0;
            for (size_t l = 0; l < k; l++) half[i * k + j] += left[i * k + l] * from[l * k + j];
        }
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            to[i * n + j] = 0;
            for (size_t l = 0; l < k; l++) to[i * n + j] += half[i * k + l] * left[j * k + l];
        }
}

void pare_winograd_weights_c(const pare_winograd_weights *t)
{
    size_t n = (size_t)t->m + 2;
    for (size_t c = 0; c < t->channels; c++)
        for (size_t lane = 0; lane < t->vl; lane++) {
            double w[9] = { 0 }, u[MOST * MOST], scale = lane < t->lanes ? t->scale[lane] : 0;
            for (size_t i = 0; i < 9 && lane < t->lanes; i++)
                w[i] = t->w[(lane * t->channels + c) * 9 + i];
            both_sides(t->m == 2 ? g2 : g4, n, 3, w, u);
            for (size_t p = 0; p < n * n; p++)
                t->u[p * t->position + c * t->row + lane] = (float)(u[p] * scale);
        }
}

void pare_winograd_input_c(const pare_winograd_input *t)
{
    int64_t m = t->m, n = m + 2;
    for (size_t block = 0; block < t->blocks; block++)
        for (size_t i = 0; i < t->tiles; i++)
            for (size_t lane = 0; lane < t->vl; lane++) {
                int64_t tile = (int64_t)(t->first + i), y0 = tile / t->tiles_x * m - t->top,
                        x0 = tile % t->tiles_x * m - t->left;
                double x[MOST * MOST], v[MOST * MOST];
                for (int64_t y = 0; y < n; y++)
                    for (int64_t j = 0; j < n; j++) {
                        bool inside =
                            y0 + y >= 0 && y0 + y < t->in_y && x0 + j >= 0 && x0 + j < t->in_x;
                        int64_t at = ((int64_t)block * t->in_y + y0 + y) * t->in_x + x0 + j;
                        x[y * n + j] = inside ? t->x[at * (int64_t)t->vl + (int64_t)lane] : 0;
                    }
                both_sides(m == 2 ? b2 : b4, (size_t)n, (size_t)n, x, v);
                for (size_t p = 0; p < (size_t)(n * n); p++)
                    t->v[p * t->position + (block * t->tiles + i) * t->vl + lane] = (float)v[p];
            }
}

void pare_winograd_product_c(const pare_winograd_product *t)
{
    size_t width = t->blocks * t->vl;
    for (size_t i = 0; i < t->tiles; i++)
        for (size_t o = 0; o < width; o++) {
            float sum = 0;
            for (size_t c0 = 0; c0 < t->channels; c0 += PARE_WINOGRAD_CHUNK) {
                float part = 0;
                for (size_t c = c0; c < t->channels && c < c0 + PARE_WINOGRAD_CHUNK; c++)
                    part +=
                        t->u[c * width + o] * t->v[(c / t->vl * t->tiles + i) * t->vl + c % t->vl];
                sum += part;
            }
            t->r[i * width + o] = sum;
        }
}

void pare_winograd_output_c(const pare_winograd_output *t)
{
    int64_t m = t->m, n = m + 2;
    size_t width = t->blocks * t->vl;
    const pare_finish *f = &t->finish;
    for (size_t i = 0; i < t->tiles; i++)
        for (size_t o = 0; o < width; o++) {
            int64_t tile = (int64_t)(t->first + i), y0 = tile / t->tiles_x * m,
                    x0 = tile % t->tiles_x * m;
            double r[MOST * MOST], half[4 * MOST];
            const double *a = m == 2 ? a2 : a4;
            for (size_t p = 0; p < (size_t)(n * n); p++)
                r[p] = t->r[p * t->position + i * width + o];
            for (int64_t y = 0; y < m; y++)
                for (int64_t j = 0; j < n; j++) {
                    half[y * n + j] = 0;
                    for (int64_t l = 0; l < n; l++) half[y * n + j] += a[y * n + l] * r[l * n + j];
                }
            for (int64_t y = 0; y < m && y0 + y < t->out_y; y++)
                for (int64_t x = 0; x < m && x0 + x < t->out_x; x++) {
                    double sum = t->shift[o];
                    for (int64_t l = 0; l < n; l++) sum += half[y * n + l] * a[x * n + l];
                    size_t row = o / t->vl * (size_t)t->out_y + (size_t)(y0 + y),
                           at = (row * (size_t)t->out_x + (size_t)(x0 + x)) * t->vl + o % t->vl;
                    if (t->residual) sum += t->residual[at];
                    t->y[at] = pare_act_apply(f->act, (float)sum, f->lo, f->hi, f->alpha);
                }
        }
}
