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
