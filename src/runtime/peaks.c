/* The peaks of the roofline: multiply-adds in registers, and reading memory again and again. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "runtime/peaks.h"

#include "base/cpu.h"
#include "base/pages.h"
#include "base/status.h"
#include "base/team.h"
#include "kernels/kernels.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

enum { REPEATS = 9, READ_LEAST = 64 << 10 };

typedef struct job {
    const pare_kernels *k;
    int threads;
    size_t rounds; /* of a slice */
    size_t slices;
    const float *x;
    size_t n;     /* numbers of a slice */
    double *done; /* by the slices */
    float *sink;
} job;

static double now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

static void fma_slice(void *user, size_t i, int thread)
{
    job *j = user;
    (void)thread;
    j->done[i] = j->k->limit_fma(j->rounds, 1, &j->sink[i]);
}

static void int8_slice(void *user, size_t i, int thread)
{
    job *j = user;
    int32_t sink;
    (void)thread;
    j->done[i] = j->k->limit_int8(j->rounds, 0x01010101, &sink);
    j->sink[i] = (float)sink;
}

/* A slice goes through its own part of the memory, which is a thread's share. */
static void read_slice(void *user, size_t i, int thread)
{
    job *j = user;
    (void)thread;
    float sum = 0;
    for (size_t r = 0; r < j->rounds; r++) sum += j->k->limit_read(j->x + i * j->n, j->n);
    j->sink[i] = sum;
    j->done[i] = (double)(j->rounds * j->n) * sizeof(float);
}

/* The best rate of several repeats of about 20 ms, in 1e9 a second. */
static double rate(job *j, pare_parallel_fn *slice)
{
    double best = 0, seconds = 0, start;
    for (j->rounds = 1; seconds < 0.01 && j->rounds < (size_t)1 << 40; j->rounds *= 2) {
        start = now();
        pare_team_for(j->slices, j->threads, slice, j);
        seconds = now() - start;
    }
    for (int r = 0; r < REPEATS; r++) {
        start = now();
        pare_team_for(j->slices, j->threads, slice, j);
        seconds = now() - start;
        double all = 0;
        for (size_t i = 0; i < j->slices; i++) all += j->done[i];
        if (all / seconds > best) best = all / seconds;
    }
    return best * 1e-9;
}

pare_status pare_peaks_measure(int threads, size_t working_set, pare_bench_peaks *out)
{
    pare_kernels k;
    pare_kernels_init(&k, pare_cpu_detect());
    size_t parts = (size_t)threads, bytes = working_set < READ_LEAST ? READ_LEAST : working_set;
    job j = { .k = &k, .threads = threads, .slices = 4 * parts };
    j.n = (bytes / parts / sizeof(float) + 255) / 256 * 256;
    bytes = j.n * parts * sizeof(float);
    float *x = pare_alloc_large(bytes);
    j.done = calloc(j.slices, sizeof *j.done);
    j.sink = calloc(j.slices, sizeof *j.sink);
    pare_status st = x && j.done && j.sink
                         ? PARE_OK
                         : pare_fail(PARE_ENOMEM, "no memory for the %zu bytes to read", bytes);
    if (st == PARE_OK) {
        memset(x, 0, bytes);
        j.x = x;
        out->gflops = rate(&j, fma_slice);
        out->int8_gops = rate(&j, int8_slice);
        j.slices = parts;
        out->bandwidth_gbs = rate(&j, read_slice);
        out->working_set = (double)bytes;
    }
    free(x);
    free(j.done);
    free(j.sink);
    return st;
}
