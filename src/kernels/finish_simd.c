/* The row epilogue compiled once per instruction set; loops this plain are the compiler's to
 * vectorise. */
#include "kernels/finish.h"

#define CAT2(a, b) a##_##b
#define CAT1(a, b) CAT2(a, b)
#define CAT(a)     CAT1(a, PARE_ISA)

#define ROW(EXPR)                                       \
    do {                                                \
        if (residual)                                   \
            for (size_t i = 0; i < n; i++) {            \
                float v = acc[i] + shift + residual[i]; \
                y[i] = (EXPR);                          \
            }                                           \
        else                                            \
            for (size_t i = 0; i < n; i++) {            \
                float v = acc[i] + shift;               \
                y[i] = (EXPR);                          \
            }                                           \
    } while (0)

void CAT(pare_finish_row)(size_t n, const float *acc, float shift, const float *residual,
                          const pare_finish *f, float *y)
{
    const float lo = f->lo, hi = f->hi, alpha = f->alpha;
    switch (f->act) {
    case PARE_ACT_NONE: ROW(v); break;
    case PARE_ACT_RELU: ROW(v < 0 ? 0 : v); break;
    case PARE_ACT_CLIP: ROW(v < lo ? lo : v > hi ? hi : v); break;
    case PARE_ACT_LEAKY: ROW(v < 0 ? v * alpha : v); break;
    }
}
