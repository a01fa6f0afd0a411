/* What the processor can do at most: loops that only multiply, or only read. For judging how far a
 * layer is from it, never part of a network. */
#ifndef KERNELS_LIMITS_H
#define KERNELS_LIMITS_H

#include <stddef.h>
#include <stdint.h>

/* `rounds` of multiply-adds in registers; returns the operations done (a multiply-add is two).
 *   fma   every lane of every register: a = a / 2 + x, from 0
 *   int8  every 32-bit lane: a += products of x's four unsigned bytes and 1, 2, 3, 4, from 0, exact
 * *sink is the sum of all lanes, int8's without its sign bit: work that is looked at is done. */
typedef double pare_limit_fma_fn(size_t rounds, float x, float *sink);
typedef double pare_limit_int8_fn(size_t rounds, uint32_t x, int32_t *sink);
pare_limit_int8_fn pare_limit_int8_tiles; /* every word of four tiles, 16 words at a time */
/* Reads n numbers, n a multiple of 256, and gives their sum in some order. */
typedef float pare_limit_read_fn(const float *x, size_t n);

#endif
