/* NumPy's .npy files: a magic, a Python dictionary in text, raw numbers. Not .npz. */
#define _POSIX_C_SOURCE 200809L
#include "base/files.h"
#include "pare/data.h"
#include "tensor/tensor.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { MAGIC = 6, HEADER_MAX = 1 << 16 };

static const struct {
    char kind, size;
    pare_dtype dtype;
} types[] = {
    { 'f', '4', PARE_F32 }, { 'f', '8', PARE_F64 }, { 'f', '2', PARE_F16 }, { 'u', '1', PARE_U8 },
    { 'i', '1', PARE_I8 },  { 'u', '2', PARE_U16 }, { 'i', '2', PARE_I16 }, { 'u', '4', PARE_U32 },
    { 'i', '4', PARE_I32 }, { 'u', '8', PARE_U64 }, { 'i', '8', PARE_I64 }, { 'b', '1', PARE_BOOL },
};
enum { TYPES = sizeof types / sizeof *types };

static pare_status read_all(int fd, const char *path, void *to, size_t size)
{
    for (size_t got = 0; got < size;) {
        ssize_t n = read(fd, (char *)to + got, size - got);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return pare_fail(PARE_EIO, "cannot read '%s': %s", path, strerror(errno));
        if (n == 0) return pare_fail(PARE_EFORMAT, "'%s' ends %zu bytes early", path, size - got);
        got += (size_t)n;
    }
    return PARE_OK;
}

/* --- the dictionary: {'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } --- */

static const char *blank(const char *p)
{
    while (*p == ' ' || *p == '\t' || *p == '\n' || *p == '\r') p++;
    return p;
}

/* A quoted word without escapes: its start and length; NULL if there is none. */
static const char *quoted(const char *p, const char **word, size_t *len)
{
    if (*p != '\'' && *p != '"') return NULL;
    const char *end = strchr(p + 1, *p);
    if (!end || memchr(p, '\\', (size_t)(end - p))) return NULL;
    *word = p + 1;
    *len = (size_t)(end - p - 1);
    return end + 1;
}

static bool is(const char *word, size_t len, const char *what)
{
    return strlen(what) == len && memcmp(word, what, len) == 0;
}

static pare_status bad(const char *path, const char *what)
{
    return pare_fail(PARE_EFORMAT, "'%s': its .npy header %s", path, what);
}

static pare_status parse_descr(const char *path, const char *word, size_t len, pare_dtype *out)
{
    if (len == 3)
        for (int i = 0; i < TYPES; i++)
            if (word[1] == types[i].kind && word[2] == types[i].size &&
                (word[0] == '<' || word[0] == '|' || word[0] == '=')) {
                *out = types[i].dtype;
                return PARE_OK;
            }
    if (len && word[0] == '>')
        return pare_fail(PARE_EUNSUPPORTED,
                         "'%s': element type '%.*s' is big-endian, only little-endian is read",
                         path, (int)(len > 40 ? 40 : len), word);
    return pare_fail(PARE_EUNSUPPORTED, "'%s': element type '%.*s' is not a number of 1 to 8 bytes",
                     path, (int)(len > 40 ? 40 : len), word);
}

static pare_status parse_shape(const char *path, const char **at, pare_type *type)
{
    const char *p = *at;
    if (*p++ != '(') return bad(path, "has a shape that is not a tuple");
    type->rank = 0;
    for (p = blank(p); *p != ')'; p = blank(p)) {
        if (*p < '0' || *p > '9')
            return bad(path, "has a dimension that is not a number from 0 on");
        if (type->rank == PARE_MAX_RANK)
            return pare_fail(PARE_EUNSUPPORTED, "'%s' has more than %d dimensions", path,
                             PARE_MAX_RANK);
        int64_t v = 0;
        for (; *p >= '0' && *p <= '9'; p++)
            if (!pare_mul_i64(v, 10, &v) || !pare_add_i64(v, *p - '0', &v))
                return bad(path, "has a dimension beyond 2^63");
        type->dim[type->rank++] = v;
        if (*p == 'L') p++; /* Python 2 */
        p = blank(p);
        if (*p == ',')
            p++;
        else if (*p != ')')
            return bad(path, "has a shape without its closing bracket");
    }
    *at = p + 1;
    return PARE_OK;
}

static pare_status parse(const char *path, const char *text, pare_type *type)
{
    bool fortran = false, have_descr = false, have_order = false, have_shape = false;
    const char *p = blank(text), *key, *word;
    size_t key_len, len;
    if (*p++ != '{') return bad(path, "is not a dictionary");
    for (p = blank(p); *p != '}'; p = blank(p)) {
        if (!(p = quoted(p, &key, &key_len))) return bad(path, "has a key that is not a string");
        p = blank(p);
        if (*p++ != ':') return bad(path, "has a key without a value");
        p = blank(p);
        if (is(key, key_len, "descr")) {
            if (*p == '[')
                return pare_fail(PARE_EUNSUPPORTED, "'%s' holds records, not plain numbers", path);
            if (!(p = quoted(p, &word, &len))) return bad(path, "has a type that is not a string");
            PARE_TRY(parse_descr(path, word, len, &type->dtype));
            have_descr = true;
        } else if (is(key, key_len, "fortran_order")) {
            fortran = strncmp(p, "True", 4) == 0;
            if (!fortran && strncmp(p, "False", 5) != 0)
                return bad(path, "has an order that is neither True nor False");
            p += fortran ? 4 : 5;
            have_order = true;
        } else if (is(key, key_len, "shape")) {
            PARE_TRY(parse_shape(path, &p, type));
            have_shape = true;
        } else
            return bad(path, "has a key that is none of descr, fortran_order, shape");
        p = blank(p);
        if (*p == ',')
            p++;
        else if (*p != '}')
            return bad(path, "lacks a comma or its closing brace");
    }
    if (*blank(p + 1)) return bad(path, "goes on after its closing brace");
    if (!have_descr || !have_order || !have_shape)
        return bad(path, "lacks one of descr, fortran_order, shape");
    if (fortran && type->rank > 1)
        return pare_fail(PARE_EUNSUPPORTED,
                         "'%s' is in Fortran order; save it with numpy.ascontiguousarray", path);
    return PARE_OK;
}

static pare_status load(int fd, const char *path, pare_tensor *out)
{
    struct stat info;
    uint8_t head[MAGIC + 6];
    if (fstat(fd, &info) != 0)
        return pare_fail(PARE_EIO, "cannot read '%s': %s", path, strerror(errno));
    if (!S_ISREG(info.st_mode)) return pare_fail(PARE_EIO, "'%s' is not a regular file", path);
    PARE_TRY(read_all(fd, path, head, MAGIC + 4));
    if (memcmp(head, "\x93NUMPY", MAGIC) != 0)
        return pare_fail(PARE_EFORMAT, "'%s' is not an .npy file", path);
    int version = head[MAGIC];
    if (version < 1 || version > 3)
        return pare_fail(PARE_EUNSUPPORTED, "'%s' has .npy version %d, known are 1 to 3", path,
                         version);
    size_t before = version == 1 ? MAGIC + 4 : MAGIC + 6;
    PARE_TRY(read_all(fd, path, head + MAGIC + 4, before - MAGIC - 4));
    size_t len = head[8] | (size_t)head[9] << 8;
    if (version > 1) len |= (size_t)head[10] << 16 | (size_t)head[11] << 24;
    if (len > HEADER_MAX)
        return pare_fail(PARE_ELIMIT, "'%s': an .npy header of %zu bytes is more than %d", path,
                         len, HEADER_MAX);

    char *text = malloc(len + 1);
    if (!text) return pare_fail(PARE_ENOMEM, "no memory for the header of '%s'", path);
    pare_type type = { 0 };
    pare_status st = read_all(fd, path, text, len);
    if (st == PARE_OK) {
        text[len] = 0;
        st = strlen(text) == len ? parse(path, text, &type) : bad(path, "has a zero byte in it");
    }
    free(text);
    PARE_TRY(st);

    size_t bytes, there = (size_t)info.st_size - before - len;
    PARE_TRY(pare_note(pare_type_bytes(&type, &bytes), "'%s'", path));
    if (bytes != there) {
        char shape[PARE_TYPE_TEXT];
        return pare_fail(PARE_EFORMAT, "'%s': %s takes %zu bytes, %zu are there", path,
                         pare_type_text(&type, shape, sizeof shape), bytes, there);
    }
    pare_tensor t;
    PARE_TRY(pare_note(pare_tensor_of(&type, &t), "'%s'", path));
    st = read_all(fd, path, t.data, bytes);
    if (st != PARE_OK) {
        pare_tensor_free(&t);
        return st;
    }
    if (t.dtype == PARE_BOOL)
        for (size_t i = 0; i < bytes; i++) ((uint8_t *)t.data)[i] = ((uint8_t *)t.data)[i] != 0;
    *out = t;
    return PARE_OK;
}

pare_status pare_npy_load(const char *path, pare_tensor *out)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return pare_fail(PARE_EIO, "cannot open '%s': %s", path, strerror(errno));
    pare_status st = load(fd, path, out);
    close(fd);
    return st;
}

pare_status pare_npy_save(const pare_tensor *t, const char *path, bool force)
{
    int k = 0;
    while (k < TYPES && types[k].dtype != t->dtype) k++;
    if (k == TYPES)
        return pare_fail(PARE_EUNSUPPORTED, "'%s': element type %s has no .npy form", path,
                         pare_dtype_name(t->dtype));
    char shape[PARE_MAX_RANK * 22 + 4] = "", dict[sizeof shape + 80];
    size_t at = 0;
    for (int i = 0; i < t->rank; i++)
        at += (size_t)snprintf(shape + at, sizeof shape - at, "%s%lld", i ? ", " : "",
                               (long long)t->dim[i]);
    size_t len = (size_t)snprintf(dict, sizeof dict,
                                  "{'descr': '%c%c%c', 'fortran_order': False, 'shape': (%s%s), }",
                                  types[k].size == '1' ? '|' : '<', types[k].kind, types[k].size,
                                  shape, t->rank == 1 ? "," : "");
    size_t bytes = pare_tensor_bytes(t), header = (MAGIC + 4 + len + 1 + 63) / 64 * 64, total;
    uint8_t *file = pare_add_size(header, bytes, &total) ? malloc(total) : NULL;
    if (!file) return pare_fail(PARE_ENOMEM, "no memory for the %zu bytes of '%s'", bytes, path);
    memcpy(file, "\x93NUMPY\x01\x00", MAGIC + 2);
    size_t text = header - MAGIC - 4;
    file[8] = (uint8_t)(text & 255);
    file[9] = (uint8_t)(text >> 8);
    memset(file + MAGIC + 4, ' ', text);
    memcpy(file + MAGIC + 4, dict, len);
    file[header - 1] = '\n';
    if (bytes) memcpy(file + header, t->data, bytes);
    pare_status st = pare_write_file(path, file, total, force);
    free(file);
    return st;
}
