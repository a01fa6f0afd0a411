/* Which vector instructions this processor and kernel grant. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

#include <stdbool.h>

enum {
    PARE_CPU_AVX2 = 1,   /* AVX2 and FMA */
    PARE_CPU_AVX512 = 2, /* F, VL, BW, DQ and VNNI */
    PARE_CPU_NEON = 4,   /* 64-bit ARM */
    PARE_CPU_VBMI = 8,   /* besides: byte shuffles over 64 bytes */
};

/* Bits of what may be used. The environment variable PARE_CPU=c|avx2|avx512 caps it, for tests and
 * comparisons. */
unsigned pare_cpu_detect(void);

/* Has the processor AVX-512's bfloat16 dot products? */
bool pare_cpu_has_bf16(void);

/* The model name that the system gives ("AMD EPYC"), for reports. */
const char *pare_cpu_name(char *buffer, unsigned size);

#endif
