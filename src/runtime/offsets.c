/* Offsets by live range. Ties are broken by index, so the same input always gives the same offsets.
 */
#include "runtime/offsets.h"

#include <stdlib.h>

typedef struct entry {
    size_t size;
    size_t index;
} entry;

static int larger_first(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->size != y->size) return x->size > y->size ? -1 : 1;
    return x->index < y->index ? -1 : x->index > y->index;
}

/* `placed` holds n ranges by rising offset. The offset of the tightest gap for r among those alive
 * with it.
 */
static size_t tightest(const pare_range *range, const size_t *placed, size_t n, const pare_range *r,
                       size_t size)
{
    size_t end = 0, best = SIZE_MAX, best_gap = SIZE_MAX;
    for (size_t i = 0; i < n; i++) {
        const pare_range *p = &range[placed[i]];
        if (p->last < r->first || r->last < p->first) continue;
        if (p->offset > end && p->offset - end >= size && p->offset - end < best_gap) {
            best_gap = p->offset - end;
            best = end;
        }
        size_t stop =
            p->offset + ((p->size + PARE_OFFSETS_ALIGN - 1) & ~(size_t)(PARE_OFFSETS_ALIGN - 1));
        if (stop > end) end = stop;
    }
    return best != SIZE_MAX ? best : end;
}

pare_status pare_offsets(pare_range *range, size_t n, size_t *total)
{
    size_t sum = 0;
    for (size_t i = 0; i < n; i++) {
        size_t padded;
        if (!pare_add_size(range[i].size, PARE_OFFSETS_ALIGN - 1, &padded) ||
            !pare_add_size(sum, padded, &sum))
            return pare_fail(PARE_ENOMEM, "activations need more memory than can be addressed");
    }
    entry *order = malloc((n + 1) * sizeof *order);
    size_t *placed = malloc((n + 1) * sizeof *placed);
    if (!order || !placed) {
        free(order);
        free(placed);
        return pare_fail(PARE_ENOMEM, "no memory to place %zu activations", n);
    }
    for (size_t i = 0; i < n; i++) order[i] = (entry){ range[i].size, i };
    qsort(order, n, sizeof *order, larger_first);
    size_t used = 0, top = 0;
    for (size_t i = 0; i < n && order[i].size > 0; i++) {
        pare_range *r = &range[order[i].index];
        size_t size = (r->size + PARE_OFFSETS_ALIGN - 1) & ~(size_t)(PARE_OFFSETS_ALIGN - 1);
        r->offset = tightest(range, placed, used, r, size);
        if (r->offset + size > top) top = r->offset + size;
        size_t at = used++;
        for (; at > 0 && range[placed[at - 1]].offset > r->offset; at--)
            placed[at] = placed[at - 1];
        placed[at] = order[i].index;
    }
    for (size_t i = 0; i < n; i++)
        if (range[i].size == 0) range[i].offset = 0;
    free(order);
    free(placed);
    *total = top;
    return PARE_OK;
}
