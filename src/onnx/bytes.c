/* The bytes of a model in a file or in memory: single ones through a window, long runs straight to
 * where they belong. */
#define _GNU_SOURCE
#include "onnx/onnx.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { WINDOW = 1 << 16 };

pare_status pare_onnx_bytes_open(const char *path, size_t limit, pare_onnx_bytes *out)
{
    struct stat info;
    *out = (pare_onnx_bytes){ .fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) };
    if (out->fd < 0) return pare_fail(PARE_EIO, "cannot open '%s': %s", path, strerror(errno));
    if (fstat(out->fd, &info) != 0)
        return pare_fail(PARE_EIO, "cannot read '%s': %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return pare_fail(PARE_EIO, "'%s' is not a regular file", path);
    if ((uint64_t)info.st_size > limit)
        return pare_fail(PARE_ELIMIT, "'%s' has %lld bytes, more than the %zu that are read", path,
                         (long long)info.st_size, limit);
    out->size = (size_t)info.st_size;
    out->window = malloc(WINDOW);
    return out->window ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory to read '%s'", path);
}

void pare_onnx_bytes_close(pare_onnx_bytes *b)
{
    if (b->fd >= 0) close(b->fd);
    free(b->window);
    *b = (pare_onnx_bytes){ .fd = -1 };
}

static pare_status read_at(int fd, size_t size, size_t at, void *into, size_t n)
{
    for (size_t got = 0; got < n;) {
        ssize_t r = pread(fd, (uint8_t *)into + got, n - got, (off_t)(at + got));
        if (r < 0 && errno == EINTR) continue;
        if (r < 0) return pare_fail(PARE_EIO, "cannot be read: %s", strerror(errno));
        if (r == 0) return pare_fail(PARE_EIO, "ended at byte %zu of %zu", at + got, size);
        got += (size_t)r;
    }
    return PARE_OK;
}

pare_status pare_onnx_bytes_read(pare_onnx_bytes *b, size_t at, void *into, size_t n)
{
    if (b->failed) return b->failed;
    if (!b->data) return b->failed = read_at(b->fd, b->size, at, into, n);
    if (n) memcpy(into, b->data + at, n);
    return PARE_OK;
}

uint8_t pare_onnx_byte(pare_onnx_bytes *b, size_t at)
{
    if (b->data) return b->data[at];
    if (at < b->from || at - b->from >= b->have) {
        size_t n = b->size - at < WINDOW ? b->size - at : WINDOW;
        b->have = 0;
        if (pare_onnx_bytes_read(b, at, b->window, n) != PARE_OK) return 0;
        b->from = at;
        b->have = n;
    }
    return b->window[at - b->from];
}

bool pare_onnx_varint(pare_onnx_bytes *b, size_t *at, size_t end, uint64_t *out)
{
    uint64_t v = 0;
    for (int shift = 0; shift < 70 && *at < end; shift += 7) {
        uint8_t byte = pare_onnx_byte(b, (*at)++);
        if (shift == 63 && byte > 1) return false;
        v |= (uint64_t)(byte & 127) << shift;
        if (!(byte & 128)) {
            *out = v;
            return b->failed == PARE_OK;
        }
    }
    return false;
}

/* --- tensors whose numbers stay in the file --- */
struct pare_onnx_file {
    atomic_int shares;
    int fd;
    size_t size;
};

/* One tensor's numbers: from `at` on. */
typedef struct piece {
    pare_onnx_file *file;
    size_t at;
} piece;

pare_status pare_onnx_file_keep(const pare_onnx_bytes *b, pare_onnx_file **out)
{
    pare_onnx_file *f = malloc(sizeof *f);
    if (!f) return pare_fail(PARE_ENOMEM, "no memory for an open file");
    f->size = b->size;
    f->fd = fcntl(b->fd, F_DUPFD_CLOEXEC, 0);
    if (f->fd < 0) {
        free(f);
        return pare_fail(PARE_EIO, "cannot be kept open: %s", strerror(errno));
    }
    atomic_init(&f->shares, 1);
    *out = f;
    return PARE_OK;
}

void pare_onnx_file_free(pare_onnx_file *f)
{
    if (!f || atomic_fetch_sub(&f->shares, 1) > 1) return;
    close(f->fd);
    free(f);
}

static pare_status read_piece(void *owner, size_t at, void *into, size_t size)
{
    const piece *p = owner;
    return pare_note(read_at(p->file->fd, p->file->size, p->at + at, into, size), "the model file");
}

static void free_piece(void *owner)
{
    piece *p = owner;
    pare_onnx_file_free(p->file);
    free(p);
}

pare_status pare_onnx_file_tensor(pare_onnx_file *f, size_t at, const pare_type *type,
                                  pare_tensor *out)
{
    piece *p = malloc(sizeof *p);
    if (!p) return pare_fail(PARE_ENOMEM, "no memory for the place of a tensor");
    *p = (piece){ f, at };
    pare_status st = pare_tensor_store(type, read_piece, free_piece, p, out);
    if (st == PARE_OK)
        atomic_fetch_add(&f->shares, 1);
    else
        free(p);
    return st;
}
