/* What every source of labelled data fills in. Sources only open; reading samples is one piece of
 * code (batch.c).
 *
 * A sample is kept in one of three ways, looked at in this order:
 *   path    a file for each sample, decoded when read
 *   block   8-bit pictures of one size in memory (info.pixels)
 *   tensor  numbers of any type, dimension 0 counting samples */
#ifndef DATA_DATASET_H
#define DATA_DATASET_H

#include "base/arena.h"
#include "base/status.h"
#include "data/picture.h"
#include "pare/data.h"

struct pare_dataset {
    pare_dataset_info info;
    pare_arena *arena;             /* names, labels, paths */
    int *label;                    /* info.count */
    const char *const *class_name; /* info.classes, or NULL */
    const char *const *path;       /* info.count, or NULL */
    pare_picture block; /* the first picture; sample i starts block_stride * i bytes later */
    size_t block_stride;
    uint8_t *block_memory; /* what `block` points into; to free() */
    pare_tensor tensor;    /* also owns the memory of `block` when that came from an .npy file */
};

/* `args` is what follows the colon, "" if nothing does. On error the caller frees what is there
 * already. */
typedef pare_status pare_source_open(pare_dataset *d, const char *args, pare_split split);
pare_source_open pare_source_cifar10, pare_source_mnist, pare_source_npy, pare_source_glyphs,
    pare_source_images;

enum { PARE_MAX_CLASSES = 1 << 20 };

/* Reads one class name a line into the set's arena; "" lines at the end do not count. Sets
 * info.classes. With `synset`, the first word of a line ("n01440764") is left out. */
pare_status pare_dataset_read_classes(pare_dataset *d, const char *path, bool synset);

/* Room for info.count labels. */
pare_status pare_dataset_alloc_labels(pare_dataset *d);

#endif
