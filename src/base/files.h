/* Whole files in, whole files out. An output appears complete or not at all. */
#ifndef BASE_FILES_H
#define BASE_FILES_H

#include "base/status.h"

/* Reads a regular file of at most `limit` bytes. *data becomes the caller's to free(); a 0 follows
 * the last byte. */
pare_status pare_read_file(const char *path, size_t limit, uint8_t **data, size_t *size);

/* Writes to a temporary name in the same folder, syncs, and renames onto `path`, then syncs the
 * folder. An existing `path` is refused with PARE_EINVAL unless `force`, and always if it is a
 * device, a pipe or a folder; on any error the old file is as it was. */
pare_status pare_write_file(const char *path, const void *data, size_t size, bool force);

/* Creates `path` and its parents as folders; fine if they exist. PARE_EINVAL: the name is empty. */
pare_status pare_make_dirs(const char *path);

bool pare_file_exists(const char *path);
/* Is it there, and something else than a regular file? */
bool pare_file_special(const char *path);

/* snprintf into malloc'ed memory: the caller's to free(); NULL if out of memory. */
char *pare_format(const char *fmt, ...) PARE_PRINTF(1, 2);

/* Takes an exclusive lock on `path` (created); *fd is the caller's to close(). PARE_EIO names the
 * holder's file. */
pare_status pare_lock_file(const char *path, int *fd);

#endif
