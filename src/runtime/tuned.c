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

bool pare_tuned_path(const char *isa, char *path, size_t size)
{
    const char *named = getenv("PARE_TUNE"), *cache = getenv("XDG_CACHE_HOME"),
               *home = getenv("HOME");
    if (named && strcmp(named, "off") == 0) return false;
    if (named && *named) return snprintf(path, size, "%s", named) < (int)size;
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
    static atomic_flag warned = ATOMIC_FLAG_INIT;
    char path[1024];
    uint8_t *data;
    size_t size;
    if (!pare_tuned_path(isa, path, sizeof path) || !pare_file_exists(path)) return NULL;
    pare_tuned *t = calloc(1, sizeof *t);
    bool good = t && pare_read_file(path, FILE_MOST, &data, &size) == PARE_OK;
    if (good) {
        int number = 0;
        for (char *line = (char *)data, *next; good && *line; line = next) {
            size_t n = strcspn(line, "\n");
            good = line[n] == '\n'; /* the last one too: else the file is cut off */
            next = line + n + 1;
            line[n] = 0;
            good = good && take(t, line, number++, isa);
        }
        good = good && number > 2 && strlen((char *)data) < size + 1;
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

pare_status pare_tuned_save(const pare_tuned *t, const char *isa, const char *path)
{
    char cpu[160], *folder = pare_format("%s", path), *slash = folder ? strrchr(folder, '/') : NULL;
    char *text = malloc(256 + t->n * 96);
    pare_status st =
        folder && text ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory to write '%s'", path);
    if (st == PARE_OK && slash && slash != folder) {
        *slash = 0;
        st = pare_make_dirs(folder);
    }
    if (st == PARE_OK) {
        int n =
            sprintf(text, "pare-tuned 1\ncpu %s\nisa %s\n", pare_cpu_name(cpu, sizeof cpu), isa);
        for (size_t i = 0; i < t->n; i++)
            n += sprintf(text + n, "impl %s %.4g %d\n", t->entry[i].impl, t->entry[i].factor,
                         t->entry[i].layers);
        st = pare_write_file(path, text, (size_t)n, true);
    }
    free(folder);
    free(text);
    return st;
}

double pare_tuned_factor(const pare_tuned *t, const char *impl)
{
    for (size_t i = 0; t && i < t->n; i++)
        if (strcmp(t->entry[i].impl, impl) == 0) return t->entry[i].factor;
    return 1;
}
