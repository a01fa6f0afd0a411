/* A thread's scratch memory whose content serves several items: it begins with the number of what
 * lies in it. */
#ifndef IMPLS_SCRATCH_H
#define IMPLS_SCRATCH_H

#include "runtime/impl.h"

#include <string.h>

enum { PARE_SCRATCH_HEADER = 64 /* bytes, a part of scratch_bytes */ };

typedef struct pare_scratch {
    int64_t *inside; /* number of the band or tile in `data`, -1: none; a second one may follow */
    void *data;      /* 64-byte aligned, scratch_bytes - PARE_SCRATCH_HEADER of them */
} pare_scratch;

static inline pare_scratch pare_scratch_of(const pare_step *s, int thread)
{
    char *at = (char *)s->scratch + (size_t)thread * s->scratch_bytes;
    return (pare_scratch){ (int64_t *)(void *)at, at + PARE_SCRATCH_HEADER };
}

/* A run begins: nothing lies in any thread's scratch yet. */
static inline void pare_scratch_forget(const pare_step *s, int threads)
{
    for (int t = 0; s->scratch_bytes && t < threads; t++)
        memset(pare_scratch_of(s, t).inside, 0xff, PARE_SCRATCH_HEADER);
}

#endif
