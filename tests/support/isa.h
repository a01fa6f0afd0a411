/* Every table of kernels that this processor can run. */
#ifndef SUPPORT_ISA_H
#define SUPPORT_ISA_H

#include "base/cpu.h"
#include "kernels/kernels.h"

/* Calls `check` with every table and the seeds 1 to `seeds`. Tiles are emulated where need be. */
static inline void each_isa(void (*check)(const pare_kernels *k, uint64_t seed), uint64_t seeds)
{
    enum { WIDE = PARE_CPU_AVX2 | PARE_CPU_AVX512 };
    static const unsigned tables[] = { 0,
                                       PARE_CPU_NEON,
                                       PARE_CPU_AVX2,
                                       WIDE,
                                       WIDE | PARE_CPU_VBMI | PARE_CPU_BF16,
                                       WIDE | PARE_CPU_AMX | PARE_CPU_BF16,
                                       WIDE | PARE_CPU_AMX | PARE_CPU_VBMI };
    unsigned cpu = pare_cpu_detect();
    if (cpu & PARE_CPU_AVX512) cpu |= PARE_CPU_AMX;
    for (size_t i = 0; i < sizeof tables / sizeof *tables; i++) {
        if (tables[i] & ~cpu) continue;
        pare_kernels k;
        pare_kernels_init(&k, tables[i]);
        for (uint64_t seed = 1; seed <= seeds; seed++) check(&k, seed);
    }
}

#endif
