/* glyphs[:seed=N,train=N,test=N]: the embedded set of drawn digits, made when it is opened. */
#include "data/dataset.h"
#include "data/glyphs.h"

#include "base/fields.h"

#include <stdlib.h>

typedef struct options {
    int64_t seed, train, test;
} options;

static const pare_field fields[] = {
    PARE_INT(options, seed, 1, 0, INT64_C(1) << 53, "", "which set of pictures"),
    PARE_INT(options, train, 10000, 1, 1000000, "pictures", "size of the training part"),
    PARE_INT(options, test, 2000, 1, 1000000, "pictures", "size of the test part"),
    PARE_FIELDS_END,
};

static const char *const names[PARE_GLYPH_CLASSES] = { "0", "1", "2", "3", "4",
                                                       "5", "6", "7", "8", "9" };

pare_status pare_source_glyphs(pare_dataset *d, const char *args, pare_split split)
{
    options o;
    pare_fields_default(fields, &o);
    PARE_TRY(pare_fields_parse(fields, "glyphs", args, d->arena, &o));
    d->info.count = split == PARE_TRAIN ? o.train : o.test;
    d->info.classes = PARE_GLYPH_CLASSES;
    d->info.channels = 3;
    d->info.height = d->info.width = PARE_GLYPH_SIDE;
    d->info.pixels = true;
    d->class_name = names;
    d->block_memory = malloc((size_t)d->info.count * PARE_GLYPH_BYTES);
    if (!d->block_memory)
        return pare_fail(PARE_ENOMEM, "no memory for %lld drawn pictures",
                         (long long)d->info.count);
    d->block_stride = PARE_GLYPH_BYTES;
    d->block = (pare_picture){ .width = PARE_GLYPH_SIDE,
                               .height = PARE_GLYPH_SIDE,
                               .channels = 3,
                               .px = d->block_memory,
                               .dx = 1,
                               .dy = PARE_GLYPH_SIDE,
                               .dc = PARE_GLYPH_SIDE * PARE_GLYPH_SIDE };
    PARE_TRY(pare_dataset_alloc_labels(d));
    for (int64_t i = 0; i < d->info.count; i++) {
        pare_glyph_draw((uint64_t)o.seed, split == PARE_TRAIN, i,
                        d->block_memory + i * PARE_GLYPH_BYTES);
        d->label[i] = (int)(i % PARE_GLYPH_CLASSES);
    }
    return PARE_OK;
}
