/* AMX: eight tile registers of up to 16 rows of 64 bytes, and products of two of them.
 *
 * After Intel's "Architecture Instruction Set Extensions Programming Reference", chapter on AMX.
 * The instructions are written out, as compilers' intrinsics do not say which memory they touch. A
 * tile's number is a literal, 0 to 7. tests/support/amx_emulator.c carries them out where the
 * processor cannot. */
#ifndef KERNELS_TILES_H
#define KERNELS_TILES_H

#include "kernels/simd.h"

enum { TILE_ROWS = 16, TILE_BYTES = 64 };

/* What the configuration instruction reads. */
typedef struct tile_shapes {
    uint8_t palette, start_row, reserved[14];
    uint16_t bytes[16]; /* of a row */
    uint8_t rows[16];
} tile_shapes;
_Static_assert(sizeof(tile_shapes) == 64, "the instruction reads 64 bytes");

/* Zeroes all tiles. */
INLINE void tile_configure(const tile_shapes *s)
{
    __asm__ volatile("ldtilecfg %0" ::"m"(*s) : "memory");
}
/* Afterwards the system need not keep tiles for this thread. */
INLINE void tile_release(void) { __asm__ volatile("tilerelease" ::: "memory"); }

/* clang-format off */
#define tile_zero(t) __asm__ volatile("tilezero %%tmm" #t ::)
/* Rows `stride` bytes apart. */
#define tile_load(t, from, stride)                            \
    __asm__ volatile("tileloadd (%0,%1,1), %%tmm" #t          \
                     ::"r"((const void *)(from)), "r"((size_t)(stride)) : "memory")
#define tile_store(t, to, stride)                             \
    __asm__ volatile("tilestored %%tmm" #t ", (%0,%1,1)"      \
                     ::"r"((void *)(to)), "r"((size_t)(stride)) : "memory")
/* c += a * b: unsigned bytes of a's rows by signed bytes of b's columns, four to a word. */
#define tile_dot_bytes(c, a, b) __asm__ volatile("tdpbusd %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)
/* c += a * b: bfloat16, two to a word, into float32. */
#define tile_dot_bf16(c, a, b) __asm__ volatile("tdpbf16ps %%tmm" #b ", %%tmm" #a ", %%tmm" #c ::)
/* clang-format on */

/* Tiles for a product of two by two: sums 0 1 / 2 3, their rows in 4 and 5, their columns in 6 and
 * 7. The upper sums have `upper` rows, the lower `lower`, neither 0. */
INLINE void tile_configure_square(size_t upper, size_t lower)
{
    tile_shapes s = { .palette = 1 };
    for (int t = 0; t < 8; t++) s.bytes[t] = TILE_BYTES, s.rows[t] = TILE_ROWS;
    s.rows[0] = s.rows[1] = s.rows[4] = (uint8_t)upper;
    s.rows[2] = s.rows[3] = s.rows[5] = (uint8_t)lower;
    tile_configure(&s);
}

#endif
