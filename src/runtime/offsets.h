/* Where activations lie in one block of memory: a pure function of their sizes and live ranges. */
#ifndef RUNTIME_OFFSETS_H
#define RUNTIME_OFFSETS_H

#include "base/status.h"

/* Alive from the step `first` that writes it to the step `last` that reads it last, both included.
 */
typedef struct pare_range {
    size_t size; /* bytes; 0 needs no place */
    uint32_t first, last;
    size_t offset; /* result: a multiple of PARE_OFFSETS_ALIGN */
} pare_range;

enum { PARE_OFFSETS_ALIGN = 64 };

/* Sets every offset so that ranges alive at the same time do not overlap; *total becomes the bytes
 * of the block. Largest first, each into the tightest gap that holds it. PARE_ENOMEM if the sum
 * does not fit size_t.
 */
pare_status pare_offsets(pare_range *range, size_t n, size_t *total);

#endif
