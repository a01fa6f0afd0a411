/* Every table of kernels that this processor can run. */
#ifndef SUPPORT_ISA_H
#define SUPPORT_ISA_H

#include "base/cpu.h"
#include "kernels/kernels.h"

/* Calls `check` with every table and the seeds 1 to `seeds`. */
static inline void each_isa(void (*check)(const pare_kernels *k, uint64_t seed), uint64_t seeds)
{
    unsigned cpu = pare_cpu_detect();
    for (unsigned mask = 0; mask <= cpu; mask++) {
        if (mask & ~cpu) continue;
        pare_kernels k;
        pare_kernels_init(&k, mask);
        for (uint64_t seed = 1; seed <= seeds; seed++) check(&k, seed);
    }
}

#endif
