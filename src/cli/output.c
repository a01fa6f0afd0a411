/* Results as text for people and as JSON for programs. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include "cli/cli.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { SLOTS = 8, SLOT = 256 };
static char *slot(void)
{
    static char text[SLOTS][SLOT];
    static unsigned turn;
    return text[turn++ % SLOTS];
}

const char *cli_text(const char *s)
{
    char *t = slot();
    snprintf(t, SLOT, "%s", s ? s : "");
    for (char *p = t; *p; p++)
        if ((unsigned char)*p < 0x20 || *p == 0x7f) *p = '?';
    return t;
}

static bool lost; /* a member could not be set: the object would be silently incomplete */

void cli_set(json_t *object, const char *key, json_t *v)
{
    if (json_object_set_new(object, key, v) != 0) lost = true;
}

void cli_push(json_t *array, json_t *v)
{
    if (json_array_append_new(array, v) != 0) lost = true;
}

json_t *cli_json_text(const char *s)
{
    if (!s) return json_null();
    json_t *v = json_string(s);
    if (v) return v;
    char *copy = strdup(s);
    if (!copy) return NULL;
    for (char *p = copy; *p; p++)
        if ((unsigned char)*p >= 0x80) *p = '?';
    v = json_string(copy);
    free(copy);
    return v;
}

json_t *cli_json_number(double v)
{
    if (!isfinite(v)) return json_null();
    if (v == floor(v) && fabs(v) < 0x1p53) return json_integer((json_int_t)v);
    return json_real(v);
}

json_t *cli_json_known(double v) { return v < 0 ? json_null() : cli_json_number(v); }

json_t *cli_json_shape(const pare_type *t)
{
    json_t *a = json_array();
    for (int i = 0; i < t->rank; i++) cli_push(a, json_integer(t->dim[i]));
    return a;
}

pare_status cli_json_print(json_t *root)
{
    pare_status st = PARE_OK;
    if (!root || lost)
        st = pare_fail(PARE_ENOMEM, "no memory for the JSON of the result");
    else if (json_dumpf(root, stdout, JSON_INDENT(2) | JSON_REAL_PRECISION(15)) != 0 ||
             putchar('\n') == EOF)
        st = pare_fail(PARE_EIO, "cannot write the result to the standard output");
    json_decref(root);
    return st;
}

const char *cli_type_text(const pare_type *t, char *buf, size_t size)
{
    size_t at = (size_t)snprintf(buf, size, "%s [", pare_dtype_name(t->dtype));
    for (int i = 0; i < t->rank && at < size; i++) {
        if (t->dim[i] < 0)
            at += (size_t)snprintf(buf + at, size - at, "%sN", i ? "," : "");
        else
            at +=
                (size_t)snprintf(buf + at, size - at, "%s%lld", i ? "," : "", (long long)t->dim[i]);
    }
    if (at < size) snprintf(buf + at, size - at, "]");
    return buf;
}

const char *cli_count_text(double v)
{
    static const char *const unit[] = { "", " k", " M", " G", " T" };
    char *t = slot();
    int i = 0;
    if (v < 0) return "-";
    while (i < 4 && v >= 1000) v /= 1000, i++;
    snprintf(t, SLOT, i ? "%.4g%s" : "%.0f%s", v, unit[i]);
    return t;
}

const char *cli_bytes_text(double v)
{
    static const char *const unit[] = { "B", "KiB", "MiB", "GiB", "TiB" };
    char *t = slot();
    int i = 0;
    if (v < 0) return "-";
    while (i < 4 && v >= 1024) v /= 1024, i++;
    snprintf(t, SLOT, i ? "%.1f %s" : "%.0f %s", v, unit[i]);
    return t;
}

const char *cli_percent_text(double fraction)
{
    char *t = slot();
    if (!(fraction >= 0)) return "-";
    snprintf(t, SLOT, "%.2f %%", 100 * fraction);
    return t;
}
