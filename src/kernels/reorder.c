#include "kernels/reorder.h"

enum { VL = 8 }; /* of the plain table */

void pare_to_blocked_c(size_t lanes, size_t pixels, size_t plane, const float *from, float *to)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t l = 0; l < VL; l++) to[p * VL + l] = l < lanes ? from[l * plane + p] : 0;
}

void pare_to_plain_c(size_t lanes, size_t pixels, size_t plane, const float *from, float *to)
{
    for (size_t p = 0; p < pixels; p++)
        for (size_t l = 0; l < lanes; l++) to[l * plane + p] = from[p * VL + l];
}

void pare_transpose_c(size_t rows, size_t columns, const float *from, size_t from_row, float *to,
                      size_t to_row)
{
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++) to[c * to_row + r] = from[r * from_row + c];
}
