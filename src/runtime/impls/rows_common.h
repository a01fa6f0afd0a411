/* What element-wise implementations share: cutting many numbers into items. */
#ifndef IMPLS_ROWS_COMMON_H
#define IMPLS_ROWS_COMMON_H

#include "base/team.h"
#include "runtime/impl.h"

enum {
    PARE_ROWS_ITEM = 16 << 10,   /* numbers in an item: a few us */
    PARE_ROWS_SERIAL = 48 << 10, /* up to here one thread is as fast as several */
};

static inline size_t pare_rows_items(size_t n) { return (n + PARE_ROWS_ITEM - 1) / PARE_ROWS_ITEM; }
static inline int pare_rows_threads(size_t n, int threads)
{
    return n <= PARE_ROWS_SERIAL ? 1 : threads;
}
static inline size_t pare_rows_of(size_t n, size_t item)
{
    size_t left = n - item * PARE_ROWS_ITEM;
    return left < PARE_ROWS_ITEM ? left : PARE_ROWS_ITEM;
}

/* Numbers of an activation in memory, whose lanes beyond the last channel count too if it is
 * blocked. */
static inline size_t pare_rows_numbers(int rank, const int64_t *dim, pare_layout layout, size_t vl)
{
    size_t n = (size_t)pare_numel(rank, dim);
    if (layout == PARE_PLAIN) return n;
    size_t channels = (size_t)dim[1];
    return n / channels * ((channels + vl - 1) / vl * vl);
}

/* Time to move so many bytes, and `cycles` of arithmetic for each of n numbers. */
static inline double pare_rows_ns(double n, double bytes, double cycles, int threads)
{
    return 200 + (bytes / 30 + n * cycles / 3.3) / (n <= PARE_ROWS_SERIAL ? 1 : threads);
}

/* The same for every number of the output as it lies in `layout`: so many bytes and cycles each. */
static inline double pare_rows_output_ns(const pare_prepare *p, pare_layout layout, double bytes,
                                         double cycles)
{
    double n = (double)pare_rows_numbers(p->out->rank, p->out->dim, layout, p->kernels->vl);
    return pare_rows_ns(n, bytes * n, cycles, p->threads);
}

/* The step's activation over y[0..n), in place. */
static inline void pare_rows_act(const pare_step *s, size_t n, float *y)
{
    const pare_epilogue *e = &s->epilogue;
    if (e->act == PARE_ACT_RELU)
        s->kernels->unary(PARE_UNARY_RELU, n, y, 0, 0, y);
    else if (e->act == PARE_ACT_CLIP)
        s->kernels->unary(PARE_UNARY_CLIP, n, y, e->lo, e->hi, y);
    else if (e->act == PARE_ACT_LEAKY)
        s->kernels->unary(PARE_UNARY_LEAKY, n, y, e->alpha, 0, y);
}

#endif
