#include "base/cpu.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
#elif defined(__aarch64__)
    cpu |= PARE_CPU_NEON; /* every such processor has it */
#endif
    const char *cap = getenv("PARE_CPU");
    if (cap && strcmp(cap, "c") == 0) cpu = 0;
    if (cap && strcmp(cap, "avx2") == 0) cpu &= PARE_CPU_AVX2;
    return cpu;
}

bool pare_cpu_has_bf16(void)
{
#if defined(__x86_64__)
    return (pare_cpu_detect() & PARE_CPU_AVX512) && __builtin_cpu_supports("avx512bf16");
#else
    return false;
#endif
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
