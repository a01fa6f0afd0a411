/* pare doctor: what this machine and this build offer. */
#include "cli/cli.h"

#include "base/cpu.h"
#include "base/parallel.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#ifndef PARE_BUILT_WITH
#define PARE_BUILT_WITH ""
#endif

/* One word of a /sys file; "" if there is none. */
static const char *first_word(const char *path, char *buf, size_t size)
{
    buf[0] = 0;
    FILE *f = fopen(path, "r");
    if (!f) return buf;
    if (!fgets(buf, (int)size, f)) buf[0] = 0;
    buf[strcspn(buf, " \n")] = 0;
    fclose(f);
    return buf;
}

static pare_status run(const void *opt, char **args)
{
    const cli_common *o = opt;
    (void)args;
    char name[160], governor[64];
    unsigned cpu = pare_cpu_detect();
    const char *isa = cpu & PARE_CPU_AMX      ? "amx"
                      : cpu & PARE_CPU_AVX512 ? "avx512"
                      : cpu & PARE_CPU_AVX2   ? "avx2"
                      : cpu & PARE_CPU_NEON   ? "neon"
                                              : "c";
    const char *expect =
        cpu & PARE_CPU_AMX      ? "AVX-512, and convolutions by tiles (untested)"
        : cpu & PARE_CPU_AVX512 ? "16 float32 multiply-adds an instruction; int8 by VNNI"
        : cpu & PARE_CPU_AVX2
            ? "8 float32 multiply-adds an instruction; int8 gains little without VNNI"
        : cpu & PARE_CPU_NEON ? "4 float32 multiply-adds an instruction"
                              : "plain C kernels: correct, several times slower than with AVX2";
    const char *precisions = cpu & PARE_CPU_AMX    ? "fp32, bf16x2, bf16"
                             : cpu & PARE_CPU_BF16 ? "fp32, bf16"
                                                   : "fp32";
    pare_cpu_name(name, sizeof name);
    first_word("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", governor, sizeof governor);
    int threads = pare_cpu_count();
    double memory = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    if (o->json) {
        json_t *root = json_object(), *libraries = json_array();
        cli_set(root, "version", cli_json_text(pare_version()));
        cli_set(root, "cpu", cli_json_text(name));
        cli_set(root, "isa", cli_json_text(isa));
        cli_set(root, "precisions", cli_json_text(precisions));
        cli_set(root, "threads", json_integer(threads));
        cli_set(root, "memory_bytes", cli_json_number(memory));
        cli_set(root, "governor", cli_json_text(*governor ? governor : NULL));
        for (const char *p = PARE_BUILT_WITH; *p; p += strcspn(p, ","), p += *p == ',')
            cli_push(libraries, json_stringn(p, strcspn(p, ",")));
        cli_set(root, "libraries", libraries);
        return cli_json_print(root);
    }
    printf("pare         %s\n", pare_version());
    printf("processor    %s\n", cli_text(name));
    printf("kernels      %s: %s\n", isa, expect);
    printf("precision    %s\n", precisions);
    printf("threads      %d\n", threads);
    printf("memory       %s\n", cli_bytes_text(memory));
    if (*governor)
        printf("frequency    %s governor%s\n", cli_text(governor),
               strcmp(governor, "performance") == 0 ? "" : ": timings may vary");
    printf("built with   ");
    for (const char *p = PARE_BUILT_WITH; *p; p++) {
        if (*p == ',')
            fputs("\n             ", stdout);
        else
            putchar(*p);
    }
    putchar('\n');
    return PARE_OK;
}

const cli_command cli_command_doctor = {
    .name = "doctor",
    .summary = "show what this machine and this build offer",
    .arguments = "",
    .examples = "pare doctor\npare doctor --json\n",
    .options_size = sizeof(cli_common),
    .run = run,
};
