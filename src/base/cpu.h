/* Which vector instructions this processor and kernel grant. */
#ifndef BASE_CPU_H
#define BASE_CPU_H

enum {
    PARE_CPU_AVX2 = 1,   /* AVX2 and FMA */
    PARE_CPU_AVX512 = 2, /* F, VL, BW, DQ and VNNI */
    PARE_CPU_NEON = 4,   /* 64-bit ARM */
    PARE_CPU_VBMI = 8,   /* besides: byte shuffles over 64 bytes */
    PARE_CPU_AMX = 16,   /* besides: tiles of bytes and of bfloat16 */
    PARE_CPU_BF16 = 32,  /* besides AVX512: dot products of bfloat16 */
};

/* Bits of what may be used. The environment variable PARE_CPU=c|avx2|avx512 caps it, for tests and
 * comparisons; PARE_CPU=amx takes tiles for granted, which only an emulator makes true where the
 * processor lacks them. The first call asks the system for leave to use them, for all threads of
 * the process. */
unsigned pare_cpu_detect(void);

/* The model name that the system gives ("AMD EPYC"), for reports. */
const char *pare_cpu_name(char *buffer, unsigned size);

#endif
