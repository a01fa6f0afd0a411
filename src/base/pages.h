/* Memory for large arrays. */
#ifndef BASE_PAGES_H
#define BASE_PAGES_H

#include <stddef.h>

/* `size` bytes, 64-byte aligned, of undefined content, to free(); NULL if out of memory. From a few
 * megabytes on they lie on huge pages where the system grants them: touching 100 MB for the first
 * time takes a tenth of the time then, and reading them needs fewer address translations. */
void *pare_alloc_large(size_t size);

#endif
