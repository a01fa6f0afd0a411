/* Squares of VL x VL numbers are transposed in registers: log2(VL) rounds of interleaving row i
 * with row i + VL/2. */
#include "kernels/partial.h"
#include "kernels/reorder.h"

#if PARE_VEC_BYTES == 64
#define LOW(a, b) \
    __builtin_shufflevector(a, b, 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23)
#define HIGH(a, b) \
    __builtin_shufflevector(a, b, 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)
enum { ROUNDS = 4 };
#elif PARE_VEC_BYTES == 32
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 8, 1, 9, 2, 10, 3, 11)
#define HIGH(a, b) __builtin_shufflevector(a, b, 4, 12, 5, 13, 6, 14, 7, 15)
enum { ROUNDS = 3 };
#else
#define LOW(a, b)  __builtin_shufflevector(a, b, 0, 4, 1, 5)
#define HIGH(a, b) __builtin_shufflevector(a, b, 2, 6, 3, 7)
enum { ROUNDS = 2 };
#endif

INLINE void transpose(vec *r)
{
#pragma GCC unroll 4
    for (int round = 0; round < ROUNDS; round++) {
        vec t[VL];
#pragma GCC unroll 8
        for (int i = 0; i < VL / 2; i++) {
            t[2 * i] = LOW(r[i], r[i + VL / 2]);
            t[2 * i + 1] = HIGH(r[i], r[i + VL / 2]);
        }
#pragma GCC unroll 16
        for (int i = 0; i < VL; i++) r[i] = t[i];
    }
}

void ISA(pare_to_blocked)(size_t lanes, size_t pixels, size_t plane, const float *from, float *to)
{
    vec r[VL], zero = { 0 };
    size_t p = 0;
    if (lanes == VL)
        for (; p + VL <= pixels; p += VL) {
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) r[i] = load(from + (size_t)i * plane + p);
            transpose(r);
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) store(to + (p + (size_t)i) * VL, r[i]);
        }
    for (; p < pixels; p += VL) {
        size_t n = pixels - p < VL ? pixels - p : VL;
        lanes_mask m = lanes_of(0, (int)n);
        for (size_t i = 0; i < VL; i++)
            r[i] = i < lanes ? load_lanes(from + i * plane + p, m, zero) : zero;
        transpose(r);
        for (size_t i = 0; i < n; i++) store(to + (p + i) * VL, r[i]);
    }
}

void ISA(pare_to_plain)(size_t lanes, size_t pixels, size_t plane, const float *from, float *to)
{
    vec r[VL], zero = { 0 };
    size_t p = 0;
    if (lanes == VL)
        for (; p + VL <= pixels; p += VL) {
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) r[i] = load(from + (p + (size_t)i) * VL);
            transpose(r);
#pragma GCC unroll 16
            for (int i = 0; i < VL; i++) store(to + (size_t)i * plane + p, r[i]);
        }
    for (; p < pixels; p += VL) {
        size_t n = pixels - p < VL ? pixels - p : VL;
        lanes_mask m = lanes_of(0, (int)n);
        for (size_t i = 0; i < VL; i++) r[i] = i < n ? load(from + (p + i) * VL) : zero;
        transpose(r);
        for (size_t i = 0; i < lanes; i++) store_lanes(to + i * plane + p, m, r[i]);
    }
}

void ISA(pare_transpose)(size_t rows, size_t columns, const float *from, size_t from_row, float *to,
                         size_t to_row)
{
    vec r[VL], zero = { 0 };
    for (size_t i = 0; i < rows; i += VL)
        for (size_t j = 0; j < columns; j += VL) {
            const float *x = from + i * from_row + j;
            float *y = to + j * to_row + i;
            size_t m = rows - i, n = columns - j;
            if (m >= VL && n >= VL) {
#pragma GCC unroll 16
                for (size_t l = 0; l < VL; l++) r[l] = load(x + l * from_row);
                transpose(r);
#pragma GCC unroll 16
                for (size_t l = 0; l < VL; l++) store(y + l * to_row, r[l]);
                continue;
            }
            m = m < VL ? m : VL, n = n < VL ? n : VL;
            lanes_mask in = lanes_of(0, (int)n), out = lanes_of(0, (int)m);
            for (size_t l = 0; l < VL; l++)
                r[l] = l < m ? load_lanes(x + l * from_row, in, zero) : zero;
            transpose(r);
            for (size_t l = 0; l < n; l++) store_lanes(y + l * to_row, out, r[l]);
        }
}
