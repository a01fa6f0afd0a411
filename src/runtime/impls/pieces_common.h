/* What the implementations through bfloat16 pieces (kernels/pieces.h) share. */
#ifndef IMPLS_PIECES_COMMON_H
#define IMPLS_PIECES_COMMON_H

#include "runtime/impl.h"

/* Can the processor multiply so many pieces, and does the plan allow what they round? More exact
 * than what is allowed is allowed. */
static inline bool pare_pieces_allowed(const pare_prepare *p, size_t pieces)
{
    static const pare_precision least[] = { PARE_PRECISION_BF16, PARE_PRECISION_BF16X2,
                                            PARE_PRECISION_FP32 };
    return p->kernels->pieces[pieces - 1].conv && p->precision >= least[pieces - 1];
}

/* Nanoseconds of products of two tiles, with their loads. Guessed from their rate on Sapphire
 * Rapids, in the time of float32 implementations, whose models count 4 cycles a ns: no such
 * processor was at hand. */
static inline double pare_pieces_tiles_ns(double tiles, size_t pieces)
{
    return tiles * (double)(pieces * (pieces + 1) / 2) * 6.5;
}
/* The same of cutting so many vectors of 16 numbers by those processors. */
static inline double pare_pieces_cut_ns(double vectors, size_t pieces)
{
    return vectors * 0.3 * (double)(1 + 4 * pieces);
}

#endif
