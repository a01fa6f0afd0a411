/* Tensor data outside the model file: the one place that opens a path which a file names.
 *
 * The path must stay inside the model's folder without passing a symbolic link, and lead to a
 * regular file that has no other name (a hard link may point anywhere). The bytes are read, not
 * mapped: a mapped file that another process truncates would end this one with SIGBUS. */
#define _GNU_SOURCE
#include "onnx/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum {
    FLAGS = O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK | O_NOCTTY
}; /* a FIFO must not hang us */

/* One component at a time, each relative to the folder opened before, none of them a link or "..":
 * what openat2 with RESOLVE_BENEATH and RESOLVE_NO_SYMLINKS would do, on every kernel and in every
 * sandbox. */
static int open_beneath(const char *folder, const char *location)
{
    char part[NAME_MAX + 1];
    int fd = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
    for (const char *p = location; fd >= 0 && *p;) {
        size_t n = strcspn(p, "/");
        int why = n >= sizeof part ? ENAMETOOLONG : 0, next = -1;
        if (!why) {
            memcpy(part, p, n);
            part[n] = 0;
            p += n;
            while (*p == '/') p++;
            if (strcmp(part, "..") == 0) why = EXDEV;
        }
        if (!why) {
            next = openat(fd, part, *p ? O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC : FLAGS);
            why = errno;
        }
        close(fd);
        errno = why;
        fd = next;
    }
    return fd;
}

static pare_status read_at(int fd, const char *location, uint64_t offset, uint8_t *into,
                           size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = pread(fd, into + got, size - got, (off_t)(offset + got));
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            return pare_fail(PARE_EIO, "external data '%s' cannot be read: %s", location,
                             strerror(errno));
        if (n == 0)
            return pare_fail(PARE_EIO, "external data '%s' became shorter while it was read",
                             location);
        got += (size_t)n;
    }
    return PARE_OK;
}

pare_status pare_external_read(const char *folder, const char *location, uint64_t offset,
                               void *into, size_t size)
{
    if (!*location || *location == '/')
        return pare_fail(PARE_EFORMAT, "external data '%s' must lie inside the model's folder",
                         location);
    int fd = open_beneath(folder, location);
    if (fd < 0 && (errno == EXDEV || errno == ELOOP || errno == ENOTDIR))
        return pare_fail(PARE_EFORMAT,
                         "external data '%s' leads out of the model's folder or over a link",
                         location);
    if (fd < 0)
        return pare_fail(PARE_EIO, "external data '%s' cannot be opened: %s", location,
                         strerror(errno));
    struct stat info;
    pare_status st = PARE_OK;
    uint64_t end;
    if (fstat(fd, &info) != 0)
        st =
            pare_fail(PARE_EIO, "external data '%s' cannot be read: %s", location, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = pare_fail(PARE_EFORMAT, "external data '%s' is not a regular file", location);
    else if (info.st_nlink != 1)
        st = pare_fail(PARE_EFORMAT, "external data '%s' has %llu names; only one is allowed",
                       location, (unsigned long long)info.st_nlink);
    else if (__builtin_add_overflow(offset, (uint64_t)size, &end) || end > (uint64_t)info.st_size)
        st = pare_fail(PARE_EFORMAT,
                       "external data '%s': %zu bytes at %llu are not within its %lld bytes",
                       location, size, (unsigned long long)offset, (long long)info.st_size);
    else if (into)
        st = read_at(fd, location, offset, into, size);
    close(fd);
    return st;
}
