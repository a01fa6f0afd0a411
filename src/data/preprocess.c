/* Preprocessing as JSON: a file's, one member's of a file, or a model's metadata. */
#define _POSIX_C_SOURCE 200809L /* strndup */
#include "base/files.h"
#include "graph/graph.h"
#include "pare/data.h"

#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char meta_key[] = "pare.preprocess";
enum { FILE_LIMIT = 16 << 20, MOST_SKIP = 1 << 20, MOST_SIDE = 65535 };

static pare_status number(const json_t *v, const char *key, float *out)
{
    if (!json_is_number(v))
        return pare_fail(PARE_EINVAL, "'%s' is neither a number nor a list of numbers", key);
    float f = (float)json_number_value(v);
    if (!isfinite(f))
        return pare_fail(PARE_EINVAL, "'%s': %g is beyond float32", key, json_number_value(v));
    *out = f;
    return PARE_OK;
}

/* A number for all channels, or one for each. */
static pare_status numbers(const json_t *o, const char *key, int *n, float *out)
{
    const json_t *v = json_object_get(o, key);
    if (!v) return PARE_OK;
    if (!json_is_array(v)) {
        *n = 1;
        return number(v, key, out);
    }
    size_t size = json_array_size(v);
    if (size < 1 || size > 4)
        return pare_fail(PARE_EINVAL, "'%s' has %zu numbers, not 1 to 4", key, size);
    for (size_t i = 0; i < size; i++) PARE_TRY(number(json_array_get(v, i), key, out + i));
    *n = (int)size;
    return PARE_OK;
}

/* One of two words, in either case. */
static pare_status word(const json_t *o, const char *key, const char *no, const char *yes,
                        bool *out)
{
    const json_t *v = json_object_get(o, key);
    if (!v) return PARE_OK;
    const char *s = json_string_value(v);
    if (!s || (strcasecmp(s, no) != 0 && strcasecmp(s, yes) != 0))
        return pare_fail(PARE_EINVAL, "'%s' is neither \"%s\" nor \"%s\"", key, no, yes);
    *out = strcasecmp(s, yes) == 0;
    return PARE_OK;
}

static pare_status whole(const json_t *v, const char *key, int least, int most, int *out)
{
    if (!json_is_integer(v)) return pare_fail(PARE_EINVAL, "'%s' is not a whole number", key);
    json_int_t n = json_integer_value(v);
    if (n < least || n > most)
        return pare_fail(PARE_EINVAL, "'%s' is %lld, not within %d to %d", key, (long long)n, least,
                         most);
    *out = (int)n;
    return PARE_OK;
}

static pare_status size2(const json_t *o, const char *key, int *w, int *h)
{
    const json_t *v = json_object_get(o, key);
    if (!v) return PARE_OK;
    if (!json_is_array(v) || json_array_size(v) != 2)
        return pare_fail(PARE_EINVAL, "'%s' is not a list of width and height", key);
    PARE_TRY(whole(json_array_get(v, 0), key, 1, MOST_SIDE, w));
    return whole(json_array_get(v, 1), key, 1, MOST_SIDE, h);
}

static pare_status from_json(const json_t *o, pare_preprocess *out)
{
    pare_preprocess pp = { 0 };
    if (!json_is_object(o)) return pare_fail(PARE_EINVAL, "preprocessing is not a JSON object");
    PARE_TRY(numbers(o, "mean", &pp.n_mean, pp.mean));
    PARE_TRY(numbers(o, "scale", &pp.n_scale, pp.scale));
    PARE_TRY(word(o, "order", "RGB", "BGR", &pp.bgr));
    PARE_TRY(word(o, "layout", "NCHW", "NHWC", &pp.nhwc));
    if (json_object_get(o, "skip"))
        PARE_TRY(whole(json_object_get(o, "skip"), "skip", 0, MOST_SKIP, &pp.skip));
    PARE_TRY(size2(o, "resize", &pp.resize_w, &pp.resize_h));
    PARE_TRY(size2(o, "crop", &pp.crop_w, &pp.crop_h));
    *out = pp;
    return PARE_OK;
}

static pare_status parse(const char *text, size_t size, const char *where, json_t **out)
{
    json_error_t error;
    json_t *root = json_loadb(text, size, JSON_REJECT_DUPLICATES, &error);
    /* Before the first token it fails for want of memory without saying so. */
    if (!root && (json_error_code(&error) == json_error_out_of_memory || !*error.text))
        return pare_fail(PARE_ENOMEM, "no memory to read '%s'", where);
    if (!root) return pare_fail(PARE_EFORMAT, "'%s', line %d: %s", where, error.line, error.text);
    *out = root;
    return PARE_OK;
}

/* Is this a file of several preprocessings, one of which should have been named? */
static bool only_objects(json_t *o)
{
    const char *key;
    json_t *v;
    json_object_foreach(o, key, v) if (!json_is_object(v)) return false;
    return json_object_size(o) > 0;
}

pare_status pare_preprocess_load(const char *spec, pare_preprocess *out)
{
    const char *colon = pare_file_exists(spec) ? NULL : strrchr(spec, ':');
    char *path = colon ? strndup(spec, (size_t)(colon - spec)) : strdup(spec);
    if (!path) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", spec);
    uint8_t *text = NULL;
    size_t size = 0;
    json_t *root = NULL;
    pare_status st = pare_read_file(path, FILE_LIMIT, &text, &size);
    if (st == PARE_OK) st = parse((char *)text, size, path, &root);
    if (st == PARE_OK) {
        const json_t *o = colon ? json_object_get(root, colon + 1) : root;
        if (!o)
            st = pare_fail(PARE_EINVAL, "'%s' has no member '%s'", path, colon + 1);
        else if (!colon && json_is_object(root) && only_objects(root))
            st = pare_fail(PARE_EINVAL,
                           "'%s' holds several preprocessings; name one: FILE.json:NAME", path);
        else
            st = pare_note(from_json(o, out), "'%s'", spec);
    }
    json_decref(root);
    free(text);
    free(path);
    return st;
}

pare_status pare_preprocess_from_model(const pare_graph *graph, pare_preprocess *out, bool *found)
{
    const char *text = pare_graph_meta(graph, meta_key);
    *found = text != NULL;
    if (!text) return PARE_OK;
    json_t *root;
    PARE_TRY(parse(text, strlen(text), meta_key, &root));
    pare_status st = pare_note(from_json(root, out), "the model's %s", meta_key);
    json_decref(root);
    return st;
}

static json_t *list(int n, const float *v)
{
    json_t *a = json_array();
    for (int i = 0; a && i < n; i++)
        if (json_array_append_new(a, json_real((double)v[i])) != 0) {
            json_decref(a);
            return NULL;
        }
    return a;
}

pare_status pare_preprocess_to_model(const pare_preprocess *pp, pare_graph *graph)
{
    json_t *o = json_object();
    bool ok = o != NULL;
    if (ok && pp->n_mean) ok = json_object_set_new(o, "mean", list(pp->n_mean, pp->mean)) == 0;
    if (ok && pp->n_scale) ok = json_object_set_new(o, "scale", list(pp->n_scale, pp->scale)) == 0;
    if (ok) ok = json_object_set_new(o, "order", json_string(pp->bgr ? "BGR" : "RGB")) == 0;
    if (ok) ok = json_object_set_new(o, "layout", json_string(pp->nhwc ? "NHWC" : "NCHW")) == 0;
    if (ok && pp->skip) ok = json_object_set_new(o, "skip", json_integer(pp->skip)) == 0;
    if (ok && pp->resize_w)
        ok = json_object_set_new(o, "resize", json_pack("[ii]", pp->resize_w, pp->resize_h)) == 0;
    if (ok && pp->crop_w)
        ok = json_object_set_new(o, "crop", json_pack("[ii]", pp->crop_w, pp->crop_h)) == 0;
    /* 9 digits bring every float32 back to the bit. */
    char *text = ok ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(9)) : NULL;
    json_decref(o);
    if (!text) return pare_fail(PARE_ENOMEM, "no memory to write the preprocessing");
    pare_status st = pare_graph_set_meta(graph, meta_key, text);
    free(text);
    return st;
}
