#define _GNU_SOURCE /* madvise */
#include "base/pages.h"

#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { HUGE_PAGE = 2 << 20 };

void *pare_alloc_large(size_t size)
{
    if (size > SIZE_MAX - 64) return NULL;
    unsigned char *p = aligned_alloc(64, (size + 63) & ~(size_t)63);
#ifdef MADV_HUGEPAGE
    /* Whole huge pages only: what they cover beyond would be wasted. A refusal costs time only. */
    size_t lead = -(uintptr_t)p & (HUGE_PAGE - 1);
    if (p && size >= lead + HUGE_PAGE)
        madvise(p + lead, (size - lead) & ~(size_t)(HUGE_PAGE - 1), MADV_HUGEPAGE);
#endif
    return p;
}
