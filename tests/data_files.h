/* A scratch folder for tests that need files. */
#ifndef TESTS_DATA_FILES_H
#define TESTS_DATA_FILES_H

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char scratch[64];

static inline int scratch_make(void **state)
{
    (void)state;
    strcpy(scratch, "/tmp/pare-test-XXXXXX");
    return mkdtemp(scratch) ? 0 : -1;
}

static inline int scratch_remove_one(const char *path, const struct stat *s, int flag,
                                     struct FTW *f)
{
    (void)s, (void)flag, (void)f;
    return remove(path);
}

static inline int scratch_remove(void **state)
{
    (void)state;
    return nftw(scratch, scratch_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

/* scratch/name, in one of 64 rotating buffers. */
static inline char *in_scratch(const char *name)
{
    static char path[64][512];
    static int turn;
    char *p = path[turn++ % 64];
    snprintf(p, sizeof path[0], "%s/%s", scratch, name);
    return p;
}

static inline char *write_scratch(const char *name, const void *data, size_t size)
{
    char *p = in_scratch(name);
    FILE *f = fopen(p, "wb");
    if (!f || fwrite(data, 1, size, f) != size || fclose(f) != 0) abort();
    return p;
}

static inline char *text_scratch(const char *name, const char *text)
{
    return write_scratch(name, text, strlen(text));
}

static inline char *make_scratch_dir(const char *name)
{
    char *p = in_scratch(name);
    if (mkdir(p, 0777) != 0) abort();
    return p;
}

#endif
