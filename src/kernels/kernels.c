/* Which kernel each instruction set uses: the only place that names them all. */
#include "kernels/kernels.h"

#include "base/cpu.h"

/* One table for an instruction set: every kernel carries its name as a suffix. */
/* clang-format off */
#define TABLE(ISA, VL, MR)                         \
    (pare_kernels)                                 \
    {                                              \
        .isa = #ISA,                               \
        .vl = VL,                                  \
        .conv_mr = MR,                             \
        .conv_tile = pare_conv_tile_##ISA,         \
        .conv_row = pare_conv_row_##ISA,           \
        .take = pare_take_##ISA,                   \
        .finish_row = pare_finish_row_##ISA,       \
        .penni_basis = pare_penni_basis_##ISA,     \
        .penni_combine = pare_penni_combine_##ISA, \
    }
#define DECLARE(ISA)                               \
    pare_conv_tile_fn pare_conv_tile_##ISA;        \
    pare_conv_row_fn pare_conv_row_##ISA;          \
    pare_take_fn pare_take_##ISA;                  \
    pare_finish_row_fn pare_finish_row_##ISA;      \
    pare_penni_basis_fn pare_penni_basis_##ISA;    \
    pare_penni_combine_fn pare_penni_combine_##ISA;
/* clang-format on */

DECLARE(c)
#if PARE_X86
DECLARE(avx2)
DECLARE(avx512)
#endif

void pare_kernels_init(pare_kernels *k, unsigned cpu)
{
    *k = TABLE(c, 8, 4);
#if PARE_X86
    if (cpu & PARE_CPU_AVX2) *k = TABLE(avx2, 8, 6);
    if (cpu & PARE_CPU_AVX512) *k = TABLE(avx512, 16, 8);
#endif
    (void)cpu;
}
