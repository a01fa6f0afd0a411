/* cifar10:DIR, the official binary batches: records of a label and 3 x 32 x 32 pixels (red, green,
 * blue planes). */
#include "data/dataset.h"

#include "base/files.h"

#include <stdlib.h>
#include <string.h>

enum { SIDE = 32, PIXELS = 3 * SIDE * SIDE, RECORD = 1 + PIXELS, CLASSES = 10, OFFICIAL = 10000 };
#define LIMIT ((size_t)1 << 32)

/* Appends the records of one file to the set. */
static pare_status add(pare_dataset *d, const char *dir, const char *name)
{
    char *path = pare_format("%s/%s", dir, name);
    if (!path) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", name);
    uint8_t *data = NULL, *all;
    size_t size = 0, have = (size_t)d->info.count * RECORD;
    pare_status st = pare_read_file(path, LIMIT, &data, &size);
    if (st == PARE_OK && (size == 0 || size % RECORD != 0))
        st = pare_fail(PARE_EFORMAT,
                       "'%s' has %zu bytes, not a multiple of the %d of a CIFAR-10 record", path,
                       size, RECORD);
    for (size_t at = 0; st == PARE_OK && at < size; at += RECORD)
        if (data[at] >= CLASSES)
            st = pare_fail(PARE_EFORMAT, "'%s': record %zu has label %d, not within 0 to %d", path,
                           at / RECORD, data[at], CLASSES - 1);
    if (st == PARE_OK && size != (size_t)OFFICIAL * RECORD)
        pare_log(PARE_LOG_WARNING, "'%s' holds %zu pictures, the official file %d", path,
                 size / RECORD, OFFICIAL);
    if (st == PARE_OK && have == 0) {
        d->block_memory = data;
        data = NULL;
    } else if (st == PARE_OK) {
        if ((all = realloc(d->block_memory, have + size))) {
            d->block_memory = all;
            memcpy(all + have, data, size);
        } else
            st = pare_fail(PARE_ENOMEM, "no memory for the %zu bytes of '%s'", size, path);
    }
    if (st == PARE_OK) d->info.count += (int64_t)(size / RECORD);
    free(data);
    free(path);
    return st;
}

/* The first of the two files that is there names the classes. */
static pare_status classes(pare_dataset *d, const char *dir)
{
    static const char *const files[] = { "batches.meta.txt", "classes.txt" };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = pare_format("%s/%s", dir, files[i]);
        if (!path) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", files[i]);
        pare_status st = PARE_OK;
        bool there = pare_file_exists(path);
        if (there) st = pare_dataset_read_classes(d, path, false);
        if (there && st == PARE_OK && d->info.classes != CLASSES)
            st = pare_fail(PARE_EFORMAT, "'%s' names %d classes, CIFAR-10 has %d", path,
                           d->info.classes, CLASSES);
        free(path);
        if (there) return st;
    }
    return PARE_OK;
}

pare_status pare_source_cifar10(pare_dataset *d, const char *args, pare_split split)
{
    static const char *const train[] = { "data_batch_1.bin", "data_batch_2.bin", "data_batch_3.bin",
                                         "data_batch_4.bin", "data_batch_5.bin" };
    if (!*args)
        return pare_fail(PARE_EINVAL, "cifar10 needs the folder of its batches: cifar10:DIR");
    /* The archive as published has its files in a folder of this name. */
    char *inner = pare_format("%s/cifar-10-batches-bin", args);
    if (!inner) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", args);
    const char *dir = pare_file_exists(inner) ? inner : args;
    pare_status st = classes(d, dir);
    size_t n = split == PARE_TRAIN ? sizeof train / sizeof *train : 1;
    for (size_t i = 0; st == PARE_OK && i < n; i++)
        st = add(d, dir, split == PARE_TRAIN ? train[i] : "test_batch.bin");
    free(inner);
    PARE_TRY(st);

    d->info.classes = CLASSES;
    d->info.channels = 3;
    d->info.height = d->info.width = SIDE;
    d->info.pixels = true;
    d->block =
        (pare_picture){ SIDE, SIDE, 3, d->block_memory + 1, 1, SIDE, (ptrdiff_t)SIDE * SIDE, NULL };
    d->block_stride = RECORD;
    PARE_TRY(pare_dataset_alloc_labels(d));
    for (int64_t i = 0; i < d->info.count; i++) d->label[i] = d->block_memory[i * RECORD];
    return PARE_OK;
}
