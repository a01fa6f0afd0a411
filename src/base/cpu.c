#define _GNU_SOURCE /* syscall */
#include "base/cpu.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#include <unistd.h>
#endif

#if defined(__x86_64__)
/* The processor has the tiles of bytes and of bfloat16, and the system keeps them and lets us use
 * them. */
static bool amx_granted(void)
{
    enum { TILE = 1 << 24, INT8 = 1 << 25, BF16 = 1 << 22, STATE = 3 << 17, SAVES = 1 << 27 };
    enum { ASK_FOR_STATE = 0x1023, TILE_DATA = 18 }; /* arch_prctl's, since Linux 5.16 */
    const unsigned all = TILE | INT8 | BF16;
    unsigned a, b, c, d, low, high;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & SAVES)) return false;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d) || (d & all) != all) return false;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (low & STATE) == STATE && syscall(SYS_arch_prctl, ASK_FOR_STATE, TILE_DATA) == 0;
}
#endif

unsigned pare_cpu_detect(void)
{
    unsigned cpu = 0;
#if defined(__x86_64__)
    __builtin_cpu_init(); /* also checks that the kernel saves the wide registers */
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) cpu |= PARE_CPU_AVX2;
    if ((cpu & PARE_CPU_AVX2) && __builtin_cpu_supports("avx512f") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vnni"))
        cpu |= PARE_CPU_AVX512;
    if ((cpu & PARE_CPU_AVX512) && __builtin_cpu_supports("avx512vbmi")) cpu |= PARE_CPU_VBMI;
    if ((cpu & PARE_CPU_AVX512) && __builtin_cpu_supports("avx512bf16")) cpu |= PARE_CPU_BF16;
    if ((cpu & PARE_CPU_AVX512) && amx_granted()) cpu |= PARE_CPU_AMX;
#elif defined(__aarch64__)
    cpu |= PARE_CPU_NEON; /* every such processor has it */
#endif
    const char *cap = getenv("PARE_CPU");
    if (cap && strcmp(cap, "c") == 0) cpu = 0;
    if (cap && strcmp(cap, "avx2") == 0) cpu &= PARE_CPU_AVX2;
    if (cap && strcmp(cap, "avx512") == 0) cpu &= ~(unsigned)PARE_CPU_AMX;
    if (cap && strcmp(cap, "amx") == 0 && (cpu & PARE_CPU_AVX512)) cpu |= PARE_CPU_AMX;
    return cpu;
}

const char *pare_cpu_name(char *buffer, unsigned size)
{
    snprintf(buffer, size, "unknown processor");
    FILE *f = fopen("/proc/cpuinfo", "r");
    if (!f) return buffer;
    char line[256], name[128] = "", family[16] = "", model[16] = "";
    while (fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon) continue;
        line[strcspn(line, "\n")] = 0;
        if (!*name && strncmp(line, "model name", 10) == 0)
            snprintf(name, sizeof name, "%.100s", colon + 2);
        else if (!*family && strncmp(line, "cpu family", 10) == 0)
            snprintf(family, sizeof family, "%.10s", colon + 2);
        else if (!*model && strncmp(line, "model\t", 6) == 0)
            snprintf(model, sizeof model, "%.10s", colon + 2);
        if (*name && *family && *model) break;
    }
    fclose(f);
    if (*name) snprintf(buffer, size, "%s (family %s model %s)", name, family, model);
    return buffer;
}
