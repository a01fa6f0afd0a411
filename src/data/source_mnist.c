/* mnist:DIR, a pair of IDX files (big-endian header, bytes), plain or gzip: MNIST, Fashion-MNIST
 * and their kin. */
#define _POSIX_C_SOURCE 200809L /* open, fstat */
#include "data/dataset.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define LIMIT ((size_t)1 << 32) /* bytes of one file, unpacked */

/* Unpacks a gzip file; zlib checks its CRC and length. The buffer grows with what really comes out.
 */
static pare_status gunzip(const char *path, uint8_t **data, size_t *size)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not hang us */
    if (fd < 0) return pare_fail(PARE_EIO, "cannot open '%s': %s", path, strerror(errno));
    struct stat info = { 0 };
    gzFile f = NULL;
    if (fstat(fd, &info) != 0 || !S_ISREG(info.st_mode) || !(f = gzdopen(fd, "rb"))) {
        close(fd);
        return !S_ISREG(info.st_mode) ? pare_fail(PARE_EIO, "'%s' is not a regular file", path)
                                      : pare_fail(PARE_ENOMEM, "no memory to unpack '%s'", path);
    }
    pare_status st = PARE_OK;
    uint8_t *buf = NULL, *more;
    size_t have = 0, room = 0;
    for (int n = 1; st == PARE_OK && n > 0;) {
        if (have == room) {
            room = room ? room * 2 : 1 << 16;
            if (room > LIMIT)
                st = pare_fail(PARE_ELIMIT, "'%s' unpacks to more than the %zu bytes that are read",
                               path, LIMIT);
            else if (!(more = realloc(buf, room)))
                st = pare_fail(PARE_ENOMEM, "no memory for the %zu bytes of '%s'", room, path);
            else
                buf = more;
        }
        if (st != PARE_OK) break;
        size_t step = room - have;
        n = gzread(f, buf + have, step > 1 << 30 ? 1 << 30 : (unsigned)step);
        if (n > 0) have += (size_t)n;
    }
    int code = Z_OK;
    const char *why = gzerror(f, &code);
    /* An end inside the stream is reported only here and by gzclose. */
    if (st == PARE_OK && code != Z_OK && code != Z_STREAM_END)
        st = code == Z_MEM_ERROR ? pare_fail(PARE_ENOMEM, "no memory to unpack '%s'", path)
             : code == Z_ERRNO ? pare_fail(PARE_EIO, "cannot read '%s': %s", path, strerror(errno))
                               : pare_fail(PARE_EFORMAT, "'%s' is damaged: %s", path, why);
    int closed = gzclose(f);
    if (st == PARE_OK && closed != Z_OK)
        st = pare_fail(PARE_EFORMAT, "'%s' ends in the middle of its gzip stream", path);
    if (st != PARE_OK) {
        free(buf);
        return st;
    }
    *data = buf;
    *size = have;
    return PARE_OK;
}

/* Finds DIR/<part>-<kind> in one of its spellings. *path is the caller's to free(). */
static pare_status find(const char *dir, const char *part, const char *kind, char **path,
                        bool *packed)
{
    static const char seps[] = { '-', '.' };
    for (int gz = 0; gz < 2; gz++)
        for (size_t s = 0; s < sizeof seps; s++) {
            /* train-images-idx3-ubyte, and train-images.idx3-ubyte as some archives unpack it */
            char *p = pare_format("%s/%s-%s%cidx%c-ubyte%s", dir, part, kind, seps[s],
                                  kind[0] == 'i' ? '3' : '1', gz ? ".gz" : "");
            if (!p) return pare_fail(PARE_ENOMEM, "no memory for a name in '%s'", dir);
            if (pare_file_exists(p)) {
                *path = p;
                *packed = gz;
                return PARE_OK;
            }
            free(p);
        }
    return pare_fail(PARE_EIO, "'%s' has no file %s-%s-idx%c-ubyte[.gz]", dir, part, kind,
                     kind[0] == 'i' ? '3' : '1');
}

static uint32_t big32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

/* Reads one IDX file of unsigned bytes with `rank` dimensions. *data holds the whole file. */
static pare_status read_idx(const char *dir, const char *part, const char *kind, int rank,
                            uint8_t **data, size_t *dim)
{
    char *path = NULL;
    bool packed = false;
    uint8_t *buf = NULL;
    size_t size = 0, header = 4 + 4 * (size_t)rank, want = 1;
    PARE_TRY(find(dir, part, kind, &path, &packed));
    pare_status st = packed ? gunzip(path, &buf, &size) : pare_read_file(path, LIMIT, &buf, &size);
    if (st == PARE_OK && size < header)
        st = pare_fail(PARE_EFORMAT, "'%s' has %zu bytes, its IDX header alone takes %zu", path,
                       size, header);
    if (st == PARE_OK && big32(buf) != (uint32_t)(0x800 | rank))
        st = pare_fail(PARE_EFORMAT,
                       "'%s' begins with 0x%08x, not the 0x%08x of IDX bytes of rank %d", path,
                       big32(buf), (unsigned)(0x800 | rank), rank);
    for (int i = 0; st == PARE_OK && i < rank; i++) {
        dim[i] = big32(buf + 4 + 4 * i);
        if (dim[i] == 0)
            st = pare_fail(PARE_EFORMAT, "'%s': dimension %d is 0", path, i);
        else if (!pare_mul_size(want, dim[i], &want))
            st = pare_fail(PARE_EFORMAT, "'%s': the product of its dimensions overflows", path);
    }
    if (st == PARE_OK && want != size - header)
        st =
            pare_fail(PARE_EFORMAT, "'%s': its dimensions ask for %zu bytes of data, %zu are there",
                      path, want, size - header);
    free(path);
    if (st != PARE_OK) {
        free(buf);
        return st;
    }
    *data = buf;
    return PARE_OK;
}

pare_status pare_source_mnist(pare_dataset *d, const char *args, pare_split split)
{
    if (!*args) return pare_fail(PARE_EINVAL, "mnist needs the folder of its IDX files: mnist:DIR");
    const char *part = split == PARE_TRAIN ? "train" : "t10k";
    size_t dim[3], n;
    uint8_t *labels;
    PARE_TRY(read_idx(args, part, "images", 3, &d->block_memory, dim));
    if (dim[1] * dim[2] > PARE_MAX_PIXELS)
        return pare_fail(PARE_ELIMIT, "'%s': pictures of %zu x %zu are more than %d pixels", args,
                         dim[1], dim[2], PARE_MAX_PIXELS);
    d->info.count = (int64_t)dim[0];
    d->info.channels = 1;
    d->info.height = (int)dim[1];
    d->info.width = (int)dim[2];
    d->info.pixels = true;
    d->info.classes = 10;
    d->block_stride = dim[1] * dim[2];
    d->block = (pare_picture){ (int)dim[2], (int)dim[1],       1, d->block_memory + 16,
                               1,           (ptrdiff_t)dim[2], 0, NULL };

    char *names = pare_format("%s/classes.txt", args);
    if (!names) return pare_fail(PARE_ENOMEM, "no memory for a name in '%s'", args);
    pare_status st = pare_file_exists(names) ? pare_dataset_read_classes(d, names, false) : PARE_OK;
    free(names);
    PARE_TRY(st);

    PARE_TRY(pare_dataset_alloc_labels(d));
    PARE_TRY(read_idx(args, part, "labels", 1, &labels, &n));
    if (n != dim[0])
        st = pare_fail(PARE_EFORMAT, "'%s': %zu %s pictures but %zu labels", args, dim[0], part, n);
    for (size_t i = 0; st == PARE_OK && i < n; i++) {
        d->label[i] = labels[8 + i];
        if (d->label[i] >= d->info.classes)
            st = pare_fail(PARE_EFORMAT, "'%s': %s label %zu is %d, not within 0 to %d", args, part,
                           i, d->label[i], d->info.classes - 1);
    }
    free(labels);
    return st;
}
