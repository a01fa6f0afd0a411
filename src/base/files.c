#define _GNU_SOURCE
#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

char *pare_format(const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    char *s = NULL;
    int n = vasprintf(&s, fmt, ap);
    va_end(ap);
    return n < 0 ? NULL : s;
}

pare_status pare_read_file(const char *path, size_t limit, uint8_t **data, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0) return pare_fail(PARE_EIO, "cannot open '%s': %s", path, strerror(errno));
    pare_status st = PARE_OK;
    uint8_t *buf = NULL;
    struct stat info;
    if (fstat(fd, &info) != 0)
        st = pare_fail(PARE_EIO, "cannot read '%s': %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        st = pare_fail(PARE_EIO, "'%s' is not a regular file", path);
    else if ((uint64_t)info.st_size > limit)
        st = pare_fail(PARE_ELIMIT, "'%s' has %lld bytes, more than the %zu that are read", path,
                       (long long)info.st_size, limit);
    else if (!(buf = malloc((size_t)info.st_size + 1)))
        st = pare_fail(PARE_ENOMEM, "no memory for the %lld bytes of '%s'", (long long)info.st_size,
                       path);
    size_t want = st == PARE_OK ? (size_t)info.st_size : 0, got = 0;
    while (st == PARE_OK && got < want) {
        ssize_t n = read(fd, buf + got, want - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0)
            st = pare_fail(PARE_EIO, "cannot read '%s': %s", path, strerror(errno));
        else if (n == 0)
            st = pare_fail(PARE_EIO, "'%s' ended at byte %zu of %zu", path, got, want);
        else
            got += (size_t)n;
    }
    close(fd);
    if (st != PARE_OK) {
        free(buf);
        return st;
    }
    buf[want] = 0;
    *data = buf;
    *size = want;
    return PARE_OK;
}

bool pare_file_special(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode);
}

bool pare_file_exists(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0;
}

static pare_status write_all(int fd, const uint8_t *p, size_t size, const char *path)
{
    while (size > 0) {
        ssize_t n = write(fd, p, size);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return pare_fail(PARE_EIO, "cannot write '%s': %s", path, strerror(errno));
        p += n;
        size -= (size_t)n;
    }
    return PARE_OK;
}

static void sync_folder(const char *path)
{
    char *copy = strdup(path);
    if (!copy) return;
    char *slash = strrchr(copy, '/');
    if (slash == copy)
        slash[1] = 0;
    else if (slash)
        *slash = 0;
    int fd = open(slash ? copy : ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    free(copy);
    if (fd < 0) return;
    fsync(fd);
    close(fd);
}

pare_status pare_write_file(const char *path, const void *data, size_t size, bool force)
{
    if (!force && pare_file_exists(path))
        return pare_fail(PARE_EINVAL, "'%s' exists; give --force to replace it", path);
    /* rename() would put a file where a device or a pipe was, for root even at /dev/null. */
    if (pare_file_special(path))
        return pare_fail(PARE_EINVAL, "'%s' is not a regular file, so it is not replaced", path);
    char *temp = pare_format("%s.XXXXXX", path);
    if (!temp) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", path);
    int fd = mkostemp(temp, O_CLOEXEC);
    if (fd < 0) {
        pare_status st = pare_fail(PARE_EIO, "cannot create '%s': %s", temp, strerror(errno));
        free(temp);
        return st;
    }
    mode_t mask = umask(0);
    umask(mask);
    pare_status st = write_all(fd, data, size, temp);
    if (st == PARE_OK && (fchmod(fd, 0666 & ~mask) != 0 || fsync(fd) != 0))
        st = pare_fail(PARE_EIO, "cannot write '%s': %s", temp, strerror(errno));
    if (close(fd) != 0 && st == PARE_OK)
        st = pare_fail(PARE_EIO, "cannot write '%s': %s", temp, strerror(errno));
    /* Without force, a name that appeared meanwhile must not be replaced, which rename() would do.
     */
    if (st == PARE_OK && force && rename(temp, path) != 0)
        st = pare_fail(PARE_EIO, "cannot rename '%s' to '%s': %s", temp, path, strerror(errno));
    if (st == PARE_OK && !force &&
        renameat2(AT_FDCWD, temp, AT_FDCWD, path, RENAME_NOREPLACE) != 0) {
        if (errno == EEXIST)
            st = pare_fail(PARE_EINVAL, "'%s' exists; give --force to replace it", path);
        else if (rename(temp, path) != 0) /* file systems without RENAME_NOREPLACE */
            st = pare_fail(PARE_EIO, "cannot rename '%s' to '%s': %s", temp, path, strerror(errno));
    }
    if (st != PARE_OK)
        unlink(temp);
    else
        sync_folder(path);
    free(temp);
    return st;
}

pare_status pare_make_dirs(const char *path)
{
    if (!*path) return pare_fail(PARE_EINVAL, "the name of a folder is empty");
    char *copy = strdup(path);
    if (!copy) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", path);
    pare_status st = PARE_OK;
    for (char *p = copy + 1; st == PARE_OK; p++) {
        if (*p != '/' && *p != 0) continue;
        char keep = *p;
        *p = 0;
        struct stat info;
        if (mkdir(copy, 0777) != 0 &&
            (errno != EEXIST || stat(copy, &info) != 0 || !S_ISDIR(info.st_mode)))
            st = pare_fail(PARE_EIO, "cannot create folder '%s': %s", copy,
                           errno == EEXIST ? "a file of that name exists" : strerror(errno));
        *p = keep;
        if (keep == 0) break;
    }
    free(copy);
    return st;
}

pare_status pare_lock_file(const char *path, int *fd)
{
    int f = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (f < 0) return pare_fail(PARE_EIO, "cannot open '%s': %s", path, strerror(errno));
    if (flock(f, LOCK_EX | LOCK_NB) != 0) {
        close(f);
        return pare_fail(PARE_EIO, "'%s' is locked: another pare is at work there", path);
    }
    *fd = f;
    return PARE_OK;
}
