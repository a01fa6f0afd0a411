/* images:DIR[,LABELS]: picture files, labelled by the folder they are in or by a list.
 *
 * Without LABELS every folder in DIR is a class; sorted by their bytes, names give the labels. If
 * DIR has folders train and test (or val), each holds class folders for its part, and both parts
 * together give the classes. LABELS is a text of lines `file label` or `file,label`. Pictures are
 * decoded when they are read.
 */
#define _POSIX_C_SOURCE 200809L
#include "data/dataset.h"

#include "base/files.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

enum { MOST_FILES = 1 << 26, LIST_LIMIT = 1 << 30 };

/* A growing list of strings that live in the set's arena, with a label each. */
typedef struct entry {
    const char *name;
    int label;
} entry;

typedef struct entries {
    entry *v;
    size_t n, room;
} entries;

static pare_status push(entries *l, const char *name, int label)
{
    if (!name) return pare_fail(PARE_ENOMEM, "no memory for a file name");
    if (l->n == l->room) {
        size_t room = l->room ? l->room * 2 : 64;
        entry *v = realloc(l->v, room * sizeof *v);
        if (!v) return pare_fail(PARE_ENOMEM, "no memory for %zu file names", room);
        l->v = v;
        l->room = room;
    }
    l->v[l->n++] = (entry){ name, label };
    return PARE_OK;
}

static int by_bytes(const void *a, const void *b)
{
    return strcmp(((const entry *)a)->name, ((const entry *)b)->name);
}

static void sort(entries *l)
{
    if (l->n) qsort(l->v, l->n, sizeof *l->v, by_bytes);
}

static bool picture_name(const char *name)
{
    static const char *const ends[] = { ".jpg", ".jpeg", ".jpe", ".jfif", ".png" };
    const char *dot = strrchr(name, '.');
    for (size_t i = 0; dot && i < sizeof ends / sizeof *ends; i++)
        if (strcasecmp(dot, ends[i]) == 0) return true;
    return false;
}

static bool is_folder(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

static bool is_file(const char *path)
{
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode);
}

/* DIR/name in the arena, NULL if out of memory. */
static char *join(pare_dataset *d, const char *dir, const char *name)
{
    size_t a = strlen(dir), b = strlen(name);
    char *p = pare_arena_alloc(d->arena, a + b + 2);
    if (!p) return NULL;
    memcpy(p, dir, a);
    p[a] = '/';
    memcpy(p + a + 1, name, b + 1);
    return p;
}

/* Appends the names of the folders, or of the pictures, in `dir`. Hidden ones do not count. */
static pare_status list(pare_dataset *d, const char *dir, bool folders, entries *out)
{
    DIR *f = opendir(dir);
    if (!f) return pare_fail(PARE_EIO, "cannot open folder '%s': %s", dir, strerror(errno));
    pare_status st = PARE_OK;
    for (;;) {
        errno = 0;
        struct dirent *e = readdir(f);
        if (!e && errno)
            st = pare_fail(PARE_EIO, "cannot read folder '%s': %s", dir, strerror(errno));
        if (!e || st != PARE_OK) break;
        if (e->d_name[0] == '.' || (!folders && !picture_name(e->d_name))) continue;
        char *path = pare_format("%s/%s", dir, e->d_name);
        bool take = path && (folders ? is_folder(path) : is_file(path));
        if (!path) st = pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", e->d_name);
        free(path);
        if (take) st = push(out, pare_arena_str(d->arena, e->d_name), 0);
        if (out->n > MOST_FILES)
            st = pare_fail(PARE_ELIMIT, "'%s' has more than %d files", dir, MOST_FILES);
        if (st != PARE_OK) break;
    }
    closedir(f);
    return st;
}

/* Copies what was found into the set. */
static pare_status set_entries(pare_dataset *d, const entries *found)
{
    d->info.count = (int64_t)found->n;
    const char **path = pare_arena_array(d->arena, found->n, sizeof *path);
    if (!path) return pare_fail(PARE_ENOMEM, "no memory for %zu file names", found->n);
    PARE_TRY(pare_dataset_alloc_labels(d));
    for (size_t i = 0; i < found->n; i++) {
        path[i] = found->v[i].name;
        d->label[i] = found->v[i].label;
    }
    d->path = path;
    return PARE_OK;
}

/* --- folders --- */

static void unique(entries *l)
{
    sort(l);
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (n == 0 || strcmp(l->v[n - 1].name, l->v[i].name) != 0) l->v[n++] = l->v[i];
    l->n = n;
}

/* The class folders of `dir`, and of the other part if there is one: labels must not depend on
 * which part is read. */
static pare_status find_classes(pare_dataset *d, const char *dir, const char *other,
                                entries *classes)
{
    PARE_TRY(list(d, dir, true, classes));
    if (other) PARE_TRY(list(d, other, true, classes));
    unique(classes);
    if (classes->n == 0)
        return pare_fail(
            PARE_EFORMAT,
            "'%s' has no folders, one for each class; give a list of labels: images:DIR,LABELS",
            dir);
    if (classes->n > PARE_MAX_CLASSES)
        return pare_fail(PARE_ELIMIT, "'%s' has %zu folders, more than %d classes", dir, classes->n,
                         PARE_MAX_CLASSES);
    const char **name = pare_arena_array(d->arena, classes->n, sizeof *name);
    if (!name) return pare_fail(PARE_ENOMEM, "no memory for %zu class names", classes->n);
    for (size_t c = 0; c < classes->n; c++) name[c] = classes->v[c].name;
    d->class_name = name;
    d->info.classes = (int)classes->n;
    return PARE_OK;
}

/* The pictures of one class, in the order of their names. */
static pare_status find_pictures(pare_dataset *d, const char *dir, int label, entries *found)
{
    const char *folder = join(d, dir, d->class_name[label]);
    if (!folder)
        return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", d->class_name[label]);
    if (!is_folder(folder)) return PARE_OK; /* a class of the other part */
    entries files = { 0 };
    pare_status st = list(d, folder, false, &files);
    sort(&files);
    for (size_t i = 0; st == PARE_OK && i < files.n; i++)
        st = push(found, join(d, folder, files.v[i].name), label);
    free(files.v);
    return st;
}

static pare_status from_folders(pare_dataset *d, const char *dir, const char *other)
{
    entries classes = { 0 }, found = { 0 };
    pare_status st = find_classes(d, dir, other, &classes);
    for (int c = 0; st == PARE_OK && c < d->info.classes; c++)
        st = find_pictures(d, dir, c, &found);
    if (st == PARE_OK && found.n == 0)
        st = pare_fail(PARE_EFORMAT, "'%s' has %zu class folders but no picture in them", dir,
                       classes.n);
    if (st == PARE_OK) st = set_entries(d, &found);
    free(classes.v);
    free(found.v);
    return st;
}

/* --- a list of labels --- */

/* Would the name lead out of the folder? */
static bool leaves_folder(const char *name)
{
    if (name[0] == '/') return true;
    for (const char *p = name; *p; p += strcspn(p, "/"), p += *p == '/')
        if (p[0] == '.' && p[1] == '.' && (p[2] == '/' || p[2] == 0)) return true;
    return false;
}

static char *trim(char *s)
{
    while (*s == ' ' || *s == '\t') s++;
    size_t n = strlen(s);
    while (n && (s[n - 1] == ' ' || s[n - 1] == '\t' || s[n - 1] == '\r')) s[--n] = 0;
    if (n >= 2 && s[0] == '"' && s[n - 1] == '"') {
        s[n - 1] = 0;
        s++;
    }
    return s;
}

/* A class number, or a class name where names are known. -1 if it is neither. */
static int64_t label_of(const pare_dataset *d, const char *s)
{
    size_t n = strlen(s);
    if (n && n <= 9 && strspn(s, "0123456789") == n) return strtol(s, NULL, 10);
    for (int c = 0; d->class_name && c < d->info.classes; c++)
        if (strcmp(d->class_name[c], s) == 0) return c;
    return -1;
}

/* One line: cut in place into file and label, looked up and appended. `first`: a header is
 * possible. */
static pare_status take_line(pare_dataset *d, const char *dir, char *line, bool first,
                             entries *found)
{
    char *end = line + strlen(line), *cut = strrchr(line, ',');
    while (end > line && strchr(" \t\r", end[-1])) *--end = 0;
    if (!cut) /* the last blank */
        for (cut = end; cut > line && *cut != ' ' && *cut != '\t';) cut--;
    if (cut == line) return pare_fail(PARE_EFORMAT, "'%.100s' is not a file and its label", line);
    *cut = 0;
    const char *number = trim(cut + 1), *file = trim(line), *path = join(d, dir, file);
    if (!path) return pare_fail(PARE_ENOMEM, "no memory for the name of '%.100s'", file);
    if (*file == 0 || leaves_folder(file))
        return pare_fail(PARE_EFORMAT, "'%.100s' is not a file inside the folder", file);
    int64_t label = label_of(d, number);
    if (label < 0 && first && !is_file(path)) return PARE_OK; /* a header */
    if (label < 0 || label >= PARE_MAX_CLASSES)
        return pare_fail(PARE_EFORMAT,
                         "the label '%.40s' of '%.100s' is not a number within 0 to %d", number,
                         file, PARE_MAX_CLASSES - 1);
    if (!is_file(path)) return pare_fail(PARE_EIO, "'%.300s' is not there", path);
    return push(found, path, (int)label);
}

static pare_status from_list(pare_dataset *d, const char *dir, const char *list_path)
{
    uint8_t *text;
    size_t size;
    PARE_TRY(pare_read_file(list_path, LIST_LIMIT, &text, &size));
    entries found = { 0 };
    pare_status st = PARE_OK;
    char *p = (char *)text, *end = p + size;
    if (size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0) p += 3; /* a byte order mark */
    if (memchr(p, 0, (size_t)(end - p)))
        st = pare_fail(PARE_EFORMAT, "'%s' is not a text", list_path);
    bool first = true;
    for (size_t line = 1; st == PARE_OK && p < end; line++) {
        size_t len = strcspn(p, "\n");
        bool last = p + len == end, blank;
        p[len] = 0;
        blank = *p == '#' || p[strspn(p, " \t\r")] == 0;
        if (!blank) {
            st = pare_note(take_line(d, dir, p, first, &found), "'%s', line %zu", list_path, line);
            first = false;
        }
        p += len + !last;
    }
    int most = 0;
    for (size_t i = 0; i < found.n; i++)
        if (found.v[i].label > most) most = found.v[i].label;
    if (st == PARE_OK && found.n == 0)
        st = pare_fail(PARE_EFORMAT, "'%s' lists no pictures", list_path);
    if (st == PARE_OK && d->class_name && most >= d->info.classes)
        st = pare_fail(PARE_EFORMAT, "'%s' has label %d, but %d classes are named", list_path, most,
                       d->info.classes);
    if (st == PARE_OK && !d->class_name) d->info.classes = most + 1;
    if (st == PARE_OK) st = set_entries(d, &found);
    free(found.v);
    free(text);
    return st;
}

/* synset_words.txt or classes.txt, in DIR, beside it, or beside the list. */
static pare_status class_names(pare_dataset *d, const char *dir, const char *list_path)
{
    const char *slash = strrchr(list_path, '/');
    char *beside =
        slash ? pare_format("%.*s", (int)(slash - list_path), list_path) : pare_format(".");
    const char *const dirs[] = { dir, beside };
    static const char *const files[] = { "classes.txt", "synset_words.txt" };
    pare_status st =
        beside ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", list_path);
    bool found = false;
    for (int i = 0; st == PARE_OK && !found && i < 4; i++) {
        char *path = pare_format("%s/%s", dirs[i / 2], files[i % 2]);
        if (!path)
            st = pare_fail(PARE_ENOMEM, "no memory for a name in '%s'", dir);
        else if ((found = is_file(path)))
            st = pare_dataset_read_classes(d, path, i % 2 == 1);
        free(path);
    }
    free(beside);
    return st;
}

pare_status pare_source_images(pare_dataset *d, const char *args, pare_split split)
{
    if (!*args) return pare_fail(PARE_EINVAL, "images needs a folder: images:DIR[,LABELS]");
    d->info.channels = 3;
    d->info.pixels = true;
    /* A comma may be part of the folder's name. */
    const char *comma = is_folder(args) ? NULL : strrchr(args, ',');
    char *dir = comma ? pare_arena_strn(d->arena, args, (size_t)(comma - args))
                      : pare_arena_str(d->arena, args);
    if (!dir) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", args);
    if (!is_folder(dir)) return pare_fail(PARE_EIO, "'%s' is not a folder", dir);
    if (comma) {
        PARE_TRY(class_names(d, dir, comma + 1));
        return from_list(d, dir, comma + 1);
    }
    const char *train = join(d, dir, "train"), *test = join(d, dir, "test"),
               *val = join(d, dir, "val");
    if (!train || !test || !val)
        return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", dir);
    if (!is_folder(test)) test = val;
    if (is_folder(train) && is_folder(test))
        return split == PARE_TRAIN ? from_folders(d, train, test) : from_folders(d, test, train);
    return from_folders(d, dir, NULL);
}
