/* The windows of MaxPool and AveragePool, and what an average divides by. */
#ifndef IMPLS_POOL_COMMON_H
#define IMPLS_POOL_COMMON_H

#include "ops/attr.h"
#include "ops/conv_attrs.h"
#include "runtime/impl.h"

static inline bool pare_pool_is_average(const pare_node *n) { return n->op->name[0] == 'A'; }

static inline bool pare_pool_window(const pare_prepare *p, pare_window *w)
{
    static const pare_ints none = { 0 };
    static const char *const names[4] = { "kernel_shape", "strides", "pads", "dilations" };
    const pare_ints *list[4];
    const pare_node *n = p->node;
    const int *pad = pare_attr(n, "auto_pad", PARE_FIELD_ENUM);
    for (int i = 0; i < 4; i++) {
        list[i] = pare_attr(n, names[i], PARE_FIELD_INTS);
        if (!list[i]) list[i] = &none;
    }
    bool up = pare_attr_int(n, "ceil_mode", 0) != 0;
    return pare_window_of(&p->in[0], NULL, pad ? *pad : 0, list[0], list[1], list[2], list[3], up,
                          w) == PARE_OK;
}

/* How many elements a window at output o of dimension d covers: of the input, or with its padding.
 * 1 where none. */
static inline double pare_pool_count(const pare_window *w, int d, int64_t o, bool padding)
{
    int64_t lo, hi, start = o * w->stride[d] - w->begin[d];
    if (padding)
        pare_window_range(w->begin[d] + w->in[d] + w->end[d], start + w->begin[d], w->dilation[d],
                          w->kernel[d], &lo, &hi);
    else
        pare_window_range(w->in[d], start, w->dilation[d], w->kernel[d], &lo, &hi);
    return hi > lo ? (double)(hi - lo) : 1;
}

#endif
