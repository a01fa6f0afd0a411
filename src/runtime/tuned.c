/* The file of pare tune-machine: its place, reading and writing it. The format is in tuned.h. */
#include "runtime/tuned.h"

#include "base/cpu.h"
#include "base/files.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { FILE_MOST = 64 << 10 };
/* A model is not that wrong: the file is. */
static const double factor_least = 1e-3, factor_most = 1e3;

bool pare_tuned_named(void)
{
    const char *named = getenv("PARE_TUNE");
    return named && *named && strcmp(named, "off") != 0;
}

bool pare_tuned_path(const char *isa, char *path, size_t size)
{
    const char *named = getenv("PARE_TUNE"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (named && strcmp(named, "off") == 0) return false;
    if (pare_tuned_named()) return snprintf(path, size, "%s", named) < (int)size;
    char cpu[160];
    pare_cpu_name(cpu, sizeof cpu);
    for (char *p = cpu; *p; p++) {
        bool plain =
            (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (*p >= '0' && *p <= '9');
        if (!plain) *p = '-';
    }
    if (cache && *cache == '/')
        return snprintf(path, size, "%s/pare/machine-%s-%s.txt", cache, cpu, isa) < (int)size;
    if (!home || *home != '/') return false;
    return snprintf(path, size, "%s/.cache/pare/machine-%s-%s.txt", home, cpu, isa) < (int)size;
}

/* Takes one line; false if it is none of this format or of another machine. */
static bool take(pare_tuned *t, const char *line, int number, const char *isa)
{
    char text[48] = "", cpu[160];
    double factor;
    int layers, end = -1;
    if (number == 0) return strcmp(line, "pare-tuned 1") == 0;
    if (number == 1)
        return strncmp(line, "cpu ", 4) == 0 &&
               strcmp(line + 4, pare_cpu_name(cpu, sizeof cpu)) == 0;
    if (number == 2) return strncmp(line, "isa ", 4) == 0 && strcmp(line + 4, isa) == 0;
    if (sscanf(line, "impl %47s %lf %d%n", text, &factor, &layers, &end) != 3 || line[end])
        return false;
    if (!(factor >= factor_least && factor <= factor_most) || t->n == PARE_TUNED_MOST) return false;
    memcpy(t->entry[t->n].impl, text, sizeof t->entry[t->n].impl);
    t->entry[t->n].factor = factor;
    t->entry[t->n++].layers = layers;
    return true;
}

pare_tuned *pare_tuned_load(const char *isa)
{
    static atomic_flag warned = ATOMIC_FLAG_INIT, warned_absent = ATOMIC_FLAG_INIT;
    char path[1024];
    uint8_t *data;
    size_t size;
    if (!pare_tuned_path(isa, path, sizeof path)) return NULL;
    if (!pare_file_exists(path)) {
        if (pare_tuned_named() && !atomic_flag_test_and_set(&warned_absent))
            pare_log(PARE_LOG_WARNING, "there is no file '%s', which PARE_TUNE names", path);
        return NULL;
    }
    pare_tuned *t = calloc(1, sizeof *t);
    bool good = t && pare_read_file(path, FILE_MOST, &data, &size) == PARE_OK;
    if (good) {
        int number = 0;
        good = !memchr(data, 0, size);
        for (char *line = (char *)data, *next; good && *line; line = next) {
            size_t n = strcspn(line, "\n");
            good = line[n] == '\n'; /* the last one too: else the file is cut off */
            next = line + n + 1;
            line[n] = 0;
            good = good && take(t, line, number++, isa);
        }
        good = good && number > 2;
        free(data);
    }
    if (good) return t;
    free(t);
    pare_error_clear();
    if (!atomic_flag_test_and_set(&warned))
        pare_log(PARE_LOG_WARNING,
                 "'%s' is damaged or of another machine and not used; 'pare tune-machine' makes it "
                 "anew",
                 path);
    return NULL;
}

pare_status pare_tuned_place(const char *path, bool force)
{
    if (!force && pare_file_exists(path))
        return pare_fail(PARE_EINVAL, "'%s' exists; give --force to replace it", path);
    char *folder = pare_format("%s", path), *slash = folder ? strrchr(folder, '/') : NULL;
    if (!folder) return pare_fail(PARE_ENOMEM, "no memory to write '%s'", path);
    pare_status st = PARE_OK;
    if (slash && slash != folder) {
        *slash = 0;
        st = pare_make_dirs(folder);
    }
    free(folder);
    return st;
}

pare_status pare_tuned_save(const pare_tuned *t, const char *isa, const char *path, bool force)
{
    char cpu[160], *text = malloc(256 + t->n * 96);
    if (!text) return pare_fail(PARE_ENOMEM, "no memory to write '%s'", path);
    int n = sprintf(text, "pare-tuned 1\ncpu %s\nisa %s\n", pare_cpu_name(cpu, sizeof cpu), isa);
    for (size_t i = 0; i < t->n; i++)
        n += sprintf(text + n, "impl %s %.4g %d\n", t->entry[i].impl, t->entry[i].factor,
                     t->entry[i].layers);
    pare_status st = pare_write_file(path, text, (size_t)n, force);
    free(text);
    return st;
}

double pare_tuned_factor(const pare_tuned *t, const char *impl)
{
    for (size_t i = 0; t && i < t->n; i++)
        if (strcmp(t->entry[i].impl, impl) == 0) return t->entry[i].factor;
    return 1;
}
