/* Parsing, checking and printing of structs by their tables. */
#include "base/fields.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

const char *pare_field_choice(const pare_field *f, int i, size_t *len)
{
    const char *p = f->text;
    for (; i > 0 && p; i--) {
        p = strchr(p, '|');
        if (p) p++;
    }
    if (!p) return NULL;
    *len = strcspn(p, "|");
    return p;
}

static int choice_index(const pare_field *f, const char *s, size_t len)
{
    size_t n;
    const char *c;
    for (int i = 0; (c = pare_field_choice(f, i, &n)); i++)
        if (n == len && memcmp(c, s, len) == 0) return i;
    return -1;
}

void pare_fields_default(const pare_field *fields, void *object)
{
    for (const pare_field *f = fields; f && f->name; f++) {
        void *at = pare_field_at(f, object);
        switch (f->kind) {
        case PARE_FIELD_INT: *(int64_t *)at = (int64_t)f->def; break;
        case PARE_FIELD_REAL: *(double *)at = f->def; break;
        case PARE_FIELD_BOOL: *(bool *)at = f->def != 0; break;
        case PARE_FIELD_STR: *(const char **)at = f->text; break;
        case PARE_FIELD_ENUM: *(int *)at = (int)f->def; break;
        case PARE_FIELD_INTS: *(pare_ints *)at = (pare_ints){ 0, NULL }; break;
        case PARE_FIELD_REALS: *(pare_reals *)at = (pare_reals){ 0, NULL }; break;
        case PARE_FIELD_STRS: *(pare_strs *)at = (pare_strs){ 0, NULL }; break;
        case PARE_FIELD_TENSOR: /* zeroed memory is an absent tensor */
        case PARE_FIELD_END: break;
        }
    }
}

bool pare_field_is_default(const pare_field *f, const void *object)
{
    const void *at = pare_field_get(f, object);
    switch (f->kind) {
    case PARE_FIELD_INT: return *(const int64_t *)at == (int64_t)f->def;
    case PARE_FIELD_REAL: { /* NaN as the default means "not given" */
        double v = *(const double *)at;
        return v == f->def || (v != v && f->def != f->def);
    }
    case PARE_FIELD_BOOL: return *(const bool *)at == (f->def != 0);
    case PARE_FIELD_STR: {
        const char *s = *(const char *const *)at;
        return s == f->text || (s && f->text && strcmp(s, f->text) == 0);
    }
    case PARE_FIELD_ENUM: return *(const int *)at == (int)f->def;
    case PARE_FIELD_INTS: return ((const pare_ints *)at)->v == NULL;
    case PARE_FIELD_REALS: return ((const pare_reals *)at)->v == NULL;
    case PARE_FIELD_STRS: return ((const pare_strs *)at)->v == NULL;
    default: return true;
    }
}

const pare_field *pare_field_find(const pare_field *fields, const char *name, size_t len)
{
    for (const pare_field *f = fields; f && f->name; f++) {
        if (strlen(f->name) != len) continue;
        size_t i = 0;
        while (i < len && (f->name[i] == name[i] || (f->name[i] == '_' && name[i] == '-'))) i++;
        if (i == len) return f;
    }
    return NULL;
}

/* As short as it can be and still be that number: 1e-12, not 9.9999999999999998e-13. */
static const char *number_text(double v, char text[32])
{
    snprintf(text, 32, "%.15g", v);
    if (strtod(text, NULL) != v) snprintf(text, 32, "%.17g", v);
    return text;
}

static pare_status out_of_range(const pare_field *f, double v)
{
    char text[3][32];
    return pare_fail(PARE_EINVAL, "%s: %s is not within %s to %s", f->name, number_text(v, text[0]),
                     number_text(f->min, text[1]), number_text(f->max, text[2]));
}

pare_status pare_field_set_int(const pare_field *f, int64_t v, void *object)
{
    void *at = pare_field_at(f, object);
    if (f->kind == PARE_FIELD_BOOL) {
        if (v != 0 && v != 1) return out_of_range(f, (double)v);
        *(bool *)at = v != 0;
        return PARE_OK;
    }
    if (f->kind != PARE_FIELD_INT)
        return pare_fail(PARE_EINVAL, "%s: an integer is not what is expected", f->name);
    if ((double)v < f->min || (double)v > f->max) return out_of_range(f, (double)v);
    *(int64_t *)at = v;
    return PARE_OK;
}

pare_status pare_field_set_real(const pare_field *f, double v, void *object)
{
    if (f->kind != PARE_FIELD_REAL)
        return pare_fail(PARE_EINVAL, "%s: a real number is not what is expected", f->name);
    if (!(v >= f->min && v <= f->max)) return out_of_range(f, v); /* refuses NaN too */
    *(double *)pare_field_at(f, object) = v;
    return PARE_OK;
}

pare_status pare_field_set_str(const pare_field *f, const char *s, size_t len, pare_arena *arena,
                               void *object)
{
    void *at = pare_field_at(f, object);
    if (f->kind == PARE_FIELD_ENUM) {
        int i = choice_index(f, s, len);
        if (i < 0)
            return pare_fail(PARE_EINVAL, "%s: '%.*s' is none of %s", f->name,
                             (int)(len > 80 ? 80 : len), s, f->text);
        *(int *)at = i;
        return PARE_OK;
    }
    if (f->kind != PARE_FIELD_STR && f->kind != PARE_FIELD_STRS)
        return pare_fail(PARE_EINVAL, "%s: text is not what is expected", f->name);
    if (memchr(s, 0, len))
        return pare_fail(PARE_EINVAL, "%s: the text has a zero byte in it", f->name);
    char *copy = pare_arena_strn(arena, s, len);
    if (!copy) return pare_fail(PARE_ENOMEM, "no memory for %s", f->name);
    if (f->kind == PARE_FIELD_STR) {
        *(const char **)at = copy;
        return PARE_OK;
    }
    pare_strs *list =
        at; /* grows one at a time: command lines are short, and the arena forgets nothing */
    const char **v = pare_arena_array(arena, list->n + 2, sizeof *v);
    if (!v) return pare_fail(PARE_ENOMEM, "no memory for %s", f->name);
    if (list->n) memcpy(v, list->v, list->n * sizeof *v);
    v[list->n] = copy;
    *list = (pare_strs){ list->n + 1, v };
    return PARE_OK;
}

pare_status pare_field_set_ints(const pare_field *f, const int64_t *v, size_t n, pare_arena *arena,
                                void *object)
{
    if (f->kind != PARE_FIELD_INTS)
        return pare_fail(PARE_EINVAL, "%s: a list of integers is not what is expected", f->name);
    for (size_t i = 0; i < n; i++)
        if ((double)v[i] < f->min || (double)v[i] > f->max) return out_of_range(f, (double)v[i]);
    int64_t *copy = pare_arena_array(arena, n, sizeof *copy);
    if (!copy) return pare_fail(PARE_ENOMEM, "no memory for %s", f->name);
    if (n) memcpy(copy, v, n * sizeof *copy);
    *(pare_ints *)pare_field_at(f, object) = (pare_ints){ n, copy };
    return PARE_OK;
}

pare_status pare_field_set_reals(const pare_field *f, const double *v, size_t n, pare_arena *arena,
                                 void *object)
{
    if (f->kind != PARE_FIELD_REALS)
        return pare_fail(PARE_EINVAL, "%s: a list of real numbers is not what is expected",
                         f->name);
    for (size_t i = 0; i < n; i++)
        if (!(v[i] >= f->min && v[i] <= f->max)) return out_of_range(f, v[i]);
    double *copy = pare_arena_array(arena, n, sizeof *copy);
    if (!copy) return pare_fail(PARE_ENOMEM, "no memory for %s", f->name);
    if (n) memcpy(copy, v, n * sizeof *copy);
    *(pare_reals *)pare_field_at(f, object) = (pare_reals){ n, copy };
    return PARE_OK;
}

/* Numbers are parsed from a bounded copy: strtod needs a terminator and the text is a slice. */
static pare_status parse_real(const pare_field *f, const char *text, size_t len, double *out)
{
    char buf[64];
    if (len == 0 || len >= sizeof buf)
        return pare_fail(PARE_EINVAL, "%s: '%.*s' is not a number", f->name,
                         (int)(len > 60 ? 60 : len), text);
    memcpy(buf, text, len);
    buf[len] = 0;
    char *end;
    double v = strtod(buf, &end);
    if (*end || end == buf || !isfinite(v))
        return pare_fail(PARE_EINVAL, "%s: '%s' is not a number", f->name, buf);
    *out = v;
    return PARE_OK;
}

static pare_status parse_int(const pare_field *f, const char *text, size_t len, int64_t *out)
{
    char buf[64];
    if (len == 0 || len >= sizeof buf)
        return pare_fail(PARE_EINVAL, "%s: '%.*s' is not a whole number", f->name,
                         (int)(len > 60 ? 60 : len), text);
    memcpy(buf, text, len);
    buf[len] = 0;
    char *end;
    errno = 0;
    long long v = strtoll(buf, &end, 10);
    if (*end || end == buf || errno)
        return pare_fail(PARE_EINVAL, "%s: '%s' is not a whole number", f->name, buf);
    *out = v;
    return PARE_OK;
}

static size_t item_length(const char *p, const char *end, char sep)
{
    const char *q = memchr(p, sep, (size_t)(end - p));
    return (size_t)((q ? q : end) - p);
}

enum { LIST_MAX = 256 };

pare_status pare_field_parse(const pare_field *f, const char *text, size_t len, char sep,
                             pare_arena *arena, void *object)
{
    const char *end = text + len;
    switch (f->kind) {
    case PARE_FIELD_INT: {
        int64_t v;
        PARE_TRY(parse_int(f, text, len, &v));
        return pare_field_set_int(f, v, object);
    }
    case PARE_FIELD_REAL: {
        double v;
        PARE_TRY(parse_real(f, text, len, &v));
        return pare_field_set_real(f, v, object);
    }
    case PARE_FIELD_BOOL: {
        static const char *const yes[] = { "1", "true", "yes", "on" }, *const no[] = { "0", "false",
                                                                                       "no",
                                                                                       "off" };
        for (int i = 0; i < 4; i++) {
            if (strlen(yes[i]) == len && memcmp(text, yes[i], len) == 0)
                return pare_field_set_int(f, 1, object);
            if (strlen(no[i]) == len && memcmp(text, no[i], len) == 0)
                return pare_field_set_int(f, 0, object);
        }
        return pare_fail(PARE_EINVAL, "%s: '%.*s' is neither yes nor no", f->name,
                         (int)(len > 60 ? 60 : len), text);
    }
    case PARE_FIELD_STR:
    case PARE_FIELD_STRS:
    case PARE_FIELD_ENUM: return pare_field_set_str(f, text, len, arena, object);
    case PARE_FIELD_INTS: {
        int64_t v[LIST_MAX];
        size_t n = 0;
        for (const char *p = text; p <= end && len; p += item_length(p, end, sep) + 1) {
            if (n == LIST_MAX)
                return pare_fail(PARE_EINVAL, "%s: more than %d numbers", f->name, LIST_MAX);
            PARE_TRY(parse_int(f, p, item_length(p, end, sep), &v[n++]));
        }
        return pare_field_set_ints(f, v, n, arena, object);
    }
    case PARE_FIELD_REALS: {
        double v[LIST_MAX];
        size_t n = 0;
        for (const char *p = text; p <= end && len; p += item_length(p, end, sep) + 1) {
            if (n == LIST_MAX)
                return pare_fail(PARE_EINVAL, "%s: more than %d numbers", f->name, LIST_MAX);
            PARE_TRY(parse_real(f, p, item_length(p, end, sep), &v[n++]));
        }
        return pare_field_set_reals(f, v, n, arena, object);
    }
    default: return pare_fail(PARE_EINVAL, "%s cannot be given as text", f->name);
    }
}

pare_status pare_fields_parse(const pare_field *fields, const char *what, const char *text,
                              pare_arena *arena, void *object)
{
    for (const char *p = text; *p;) {
        size_t item = strcspn(p, ","), name = strcspn(p, ",=");
        const pare_field *f = pare_field_find(fields, p, name);
        if (!f) {
            char known[512] = "";
            for (const pare_field *k = fields; k && k->name; k++) {
                size_t at = strlen(known);
                snprintf(known + at, sizeof known - at, "%s%s", at ? ", " : "", k->name);
            }
            return pare_fail(PARE_EINVAL, "%s: there is no option '%.*s'; known: %s", what,
                             (int)(name > 60 ? 60 : name), p, known);
        }
        pare_status st;
        if (name == item)
            st = f->kind == PARE_FIELD_BOOL ? pare_field_set_int(f, 1, object)
                                            : pare_fail(PARE_EINVAL, "%s needs a value", f->name);
        else
            st = pare_field_parse(f, p + name + 1, item - name - 1, '/', arena, object);
        if (st != PARE_OK) return pare_note(st, "%s", what);
        p += item;
        if (*p == ',') p++;
    }
    return PARE_OK;
}
