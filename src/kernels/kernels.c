#include "kernels/kernels.h"

#include "base/cpu.h"

void pare_kernels_init(pare_kernels *k, unsigned cpu)
{
    *k = (pare_kernels){ .isa = "c" };
#if PARE_X86
    if (cpu & PARE_CPU_AVX2) *k = (pare_kernels){ .isa = "avx2" };
    if (cpu & PARE_CPU_AVX512) *k = (pare_kernels){ .isa = "avx512" };
#endif
    (void)cpu;
}
