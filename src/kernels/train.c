/* The inner loops of training in plain C (vectors of 8, which the compiler takes apart), and the
 * choice among all. */
#define PARE_ISA       c
#define PARE_VEC_BYTES 32
#include "kernels/train_loops.h"

#include "base/cpu.h"

#if PARE_X86
extern const pare_train_kernels pare_train_kernels_avx2, pare_train_kernels_avx512;
#elif PARE_ARM64
extern const pare_train_kernels pare_train_kernels_neon;
#endif

const pare_train_kernels *pare_train_kernels_for(unsigned cpu)
{
#if PARE_X86
    if (cpu & PARE_CPU_AVX512) return &pare_train_kernels_avx512;
    if (cpu & PARE_CPU_AVX2) return &pare_train_kernels_avx2;
#elif PARE_ARM64
    if (cpu & PARE_CPU_NEON) return &pare_train_kernels_neon;
#endif
    (void)cpu;
    return &pare_train_kernels_c;
}
