/* Random numbers: a 64-bit counter through splitmix64's mixer, passed by value or pointer, never
 * global. Streams are split by item index, so results never depend on the number of threads.
 * Steele, Lea, Flood: Fast Splittable Pseudorandom Number Generators, OOPSLA 2014. */
#ifndef BASE_RNG_H
#define BASE_RNG_H

#include <math.h>
#include <stdint.h>

typedef struct pare_rng {
    uint64_t state;
} pare_rng;

static inline uint64_t pare_mix64(uint64_t z)
{
    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* An independent stream for one item (an image, a layer, a step) of a seeded run. */
static inline pare_rng pare_rng_stream(uint64_t seed, uint64_t item)
{
    return (pare_rng){ pare_mix64(seed + UINT64_C(0x9e3779b97f4a7c15)) ^
                       pare_mix64(item * UINT64_C(0xd1342543de82ef95) + 1) };
}

static inline uint64_t pare_rng_u64(pare_rng *r)
{
    return pare_mix64(r->state += UINT64_C(0x9e3779b97f4a7c15));
}

/* Uniform in [0, 1). */
static inline double pare_rng_uniform(pare_rng *r)
{
    return (double)(pare_rng_u64(r) >> 11) * 0x1p-53;
}

/* Uniform in [0, n), n > 0. The bias is below n / 2^64. */
static inline uint64_t pare_rng_below(pare_rng *r, uint64_t n)
{
    __extension__ typedef unsigned __int128 wide;
    return (uint64_t)(((wide)pare_rng_u64(r) * n) >> 64);
}

/* Standard normal, by Box and Muller; uses two numbers of the stream. */
static inline double pare_rng_normal(pare_rng *r)
{
    double u = 1 - pare_rng_uniform(r), v = pare_rng_uniform(r);
    return sqrt(-2 * log(u)) * cos(6.283185307179586 * v);
}

#endif
