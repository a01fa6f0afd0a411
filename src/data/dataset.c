/* Opening, describing and closing data sets; the list of sources. */
#include "data/dataset.h"

#include "base/files.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *name, *form;
    pare_source_open *open;
} sources[] = {
    { "cifar10", "cifar10:DIR", pare_source_cifar10 },
    { "mnist", "mnist:DIR", pare_source_mnist },
    { "npy", "npy:X.npy,Y.npy", pare_source_npy },
    { "images", "images:DIR[,LABELS]", pare_source_images },
    { "glyphs", "glyphs[:seed=N,train=N,test=N]", pare_source_glyphs },
};
enum { SOURCES = sizeof sources / sizeof *sources };

static pare_status unknown(const char *spec)
{
    char forms[256] = "";
    for (size_t i = 0; i < SOURCES; i++) {
        strncat(forms, i ? ", " : "", sizeof forms - strlen(forms) - 1);
        strncat(forms, sources[i].form, sizeof forms - strlen(forms) - 1);
    }
    return pare_fail(PARE_EINVAL, "'%.200s' is not a data set; the forms are %s", spec, forms);
}

pare_status pare_dataset_open(const char *spec, pare_split split, pare_dataset **out)
{
    size_t len = strcspn(spec, ":"), which = 0;
    while (which < SOURCES &&
           (strlen(sources[which].name) != len || memcmp(sources[which].name, spec, len) != 0))
        which++;
    if (which == SOURCES) return unknown(spec);

    pare_dataset *d = calloc(1, sizeof *d);
    if (!d) return pare_fail(PARE_ENOMEM, "no memory to open '%.200s'", spec);
    pare_status st = PARE_OK;
    if (!(d->arena = pare_arena_new(0)) || !(d->info.name = pare_arena_str(d->arena, spec)))
        st = pare_fail(PARE_ENOMEM, "no memory to open '%.200s'", spec);
    if (st == PARE_OK) st = sources[which].open(d, spec[len] ? spec + len + 1 : "", split);
    if (st != PARE_OK) {
        pare_dataset_free(d);
        return st;
    }
    *out = d;
    return PARE_OK;
}

void pare_dataset_free(pare_dataset *d)
{
    if (!d) return;
    free(d->block_memory);
    pare_tensor_free(&d->tensor);
    pare_arena_free(d->arena);
    free(d);
}

void pare_dataset_about(const pare_dataset *d, pare_dataset_info *out) { *out = d->info; }

int pare_dataset_label(const pare_dataset *d, int64_t i)
{
    return i >= 0 && i < d->info.count ? d->label[i] : -1;
}

const char *pare_dataset_class(const pare_dataset *d, int label)
{
    return d->class_name && label >= 0 && label < d->info.classes ? d->class_name[label] : NULL;
}

pare_status pare_dataset_alloc_labels(pare_dataset *d)
{
    d->label = pare_arena_array(d->arena, (size_t)d->info.count, sizeof *d->label);
    return d->label ? PARE_OK
                    : pare_fail(PARE_ENOMEM, "no memory for %lld labels", (long long)d->info.count);
}

pare_status pare_dataset_read_classes(pare_dataset *d, const char *path, bool synset)
{
    uint8_t *text;
    size_t size;
    PARE_TRY(pare_read_file(path, 64 << 20, &text, &size));
    size_t lines = 1, used = 0;
    for (size_t i = 0; i < size; i++) lines += text[i] == '\n';
    const char **name = pare_arena_array(d->arena, lines, sizeof *name);
    bool ok = name != NULL;
    char *p = (char *)text;
    for (size_t i = 0; ok && i < lines; i++) {
        size_t len = strcspn(p, "\n"), word = synset ? strcspn(p, " \t\n") : 0,
               at = word < len ? word : 0;
        while (at < len && synset && (p[at] == ' ' || p[at] == '\t')) at++;
        size_t end = len;
        while (end > at && (p[end - 1] == '\r' || p[end - 1] == ' ' || p[end - 1] == '\t')) end--;
        ok = (name[i] = pare_arena_strn(d->arena, p + at, end - at)) != NULL;
        if (end > at) used = i + 1;
        p += len + (p[len] == '\n');
    }
    free(text);
    if (!ok) return pare_fail(PARE_ENOMEM, "no memory for the %zu lines of '%s'", lines, path);
    if (used == 0) return pare_fail(PARE_EFORMAT, "'%s' names no class", path);
    if (used > PARE_MAX_CLASSES)
        return pare_fail(PARE_ELIMIT, "'%s' names %zu classes, more than %d", path, used,
                         PARE_MAX_CLASSES);
    d->class_name = name;
    d->info.classes = (int)used;
    return PARE_OK;
}
