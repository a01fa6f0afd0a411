/* Whole numbers, as implementations use them to cut work and memory into pieces. */
#ifndef IMPLS_CUT_H
#define IMPLS_CUT_H

#include <stddef.h>
#include <stdint.h>

/* a / b, rounded up. */
static inline int64_t pare_up(int64_t a, int64_t b) { return (a + b - 1) / b; }
static inline int64_t pare_least(int64_t a, int64_t b) { return a < b ? a : b; }
static inline int64_t pare_clamp(int64_t x, int64_t lo, int64_t hi)
{
    return x < lo ? lo : x > hi ? hi : x;
}
/* Blocks of channels. */
static inline int64_t pare_blocks(int64_t channels, size_t vl)
{
    return pare_up(channels, (int64_t)vl);
}

#endif
