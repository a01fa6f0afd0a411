/* The clock, and the time of other processes from /proc/stat. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "driver/clock.h"

#include <math.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

double pare_now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec * 1e-6;
}

pare_moment pare_moment_now(void)
{
    pare_moment m = { .ms = pare_now_ms(), .all = -1 };
    unsigned long long user, nice, system, idle, wait, irq, soft;
    FILE *f = fopen("/proc/stat", "r");
    if (f && fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &system, &idle,
                    &wait, &irq, &soft) == 7)
        m.all = (double)(user + nice + system + irq + soft) / (double)sysconf(_SC_CLK_TCK);
    if (f) fclose(f);
    struct timespec t;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    m.own = (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
    return m;
}

double pare_foreign_since(const pare_moment *start)
{
    pare_moment now = pare_moment_now();
    if (start->all < 0 || now.all < 0) return -1;
    double used = now.all - start->all - (now.own - start->own);
    return fmax(0, used * 1e3 / (now.ms - start->ms));
}
