#define _GNU_SOURCE /* madvise */
#include "base/pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

void *pare_alloc_large(size_t size)
{
    if (size > SIZE_MAX - HUGE_PAGE) return NULL;
    if (size < HUGE_PAGE) return aligned_alloc(64, (size + 63) & ~(size_t)63);
    void *p; /* begins with a huge page; of the last one nothing is touched but what is used */
    if (posix_memalign(&p, HUGE_PAGE, size) != 0) return NULL;
#ifdef MADV_HUGEPAGE
    /* A refusal costs time only. */
    madvise(p, size & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
    return p;
}
