#include "driver/run_dir.h"

#include "base/files.h"
#include "onnx/onnx.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct pare_run_dir {
    char *path;
    int lock;
    json_t *state;
};

/* Larger stage files than this are not read back: no network that can be trained here is of that
 * size. */
#define STAGE_MOST ((size_t)8 << 30)

uint64_t pare_hash_bytes(uint64_t h, const void *data, size_t size)
{
    const uint8_t *p = data;
    for (size_t i = 0; i < size; i++) h = (h ^ p[i]) * UINT64_C(0x100000001b3);
    return h;
}

static pare_status no_memory(void)
{
    return pare_fail(PARE_ENOMEM, "no memory for the state of a run");
}

static char *in_folder(const pare_run_dir *r, const char *name)
{
    return pare_format("%s/%s", r->path, name);
}

static pare_status write_state(pare_run_dir *r)
{
    char *text = json_dumps(r->state, JSON_INDENT(1)), *path = in_folder(r, "state.json");
    pare_status st = text && path ? pare_write_file(path, text, strlen(text), true) : no_memory();
    free(text);
    free(path);
    return st;
}

static pare_status read_state(pare_run_dir *r, const char *path, const char *key)
{
    uint8_t *data;
    size_t size;
    PARE_TRY(pare_read_file(path, (size_t)1 << 20, &data, &size));
    json_error_t e;
    r->state = json_loadb((const char *)data, size, JSON_REJECT_DUPLICATES, &e);
    free(data);
    const char *own = json_string_value(json_object_get(r->state, "key"));
    if (json_integer_value(json_object_get(r->state, "format")) != 1 || !own ||
        !json_is_array(json_object_get(r->state, "stages")))
        return pare_fail(PARE_EFORMAT,
                         "'%s' is not the state of a run of this version; give another folder",
                         path);
    if (strcmp(own, key) != 0)
        return pare_fail(PARE_EINVAL,
                         "'%s' belongs to a run of another network, data or options (%s, this is "
                         "%s); give another folder",
                         r->path, own, key);
    return PARE_OK;
}

static pare_status open_run(pare_run_dir *r, const char *key)
{
    PARE_TRY(pare_make_dirs(r->path));
    char *lock = in_folder(r, "lock"), *state = in_folder(r, "state.json");
    pare_status st = lock && state ? pare_lock_file(lock, &r->lock) : no_memory();
    if (st == PARE_OK && pare_file_exists(state))
        st = read_state(r, state, key);
    else if (st == PARE_OK) {
        r->state = json_pack("{s:i,s:s,s:[]}", "format", 1, "key", key, "stages");
        st = r->state ? write_state(r) : no_memory();
    }
    free(lock);
    free(state);
    return st;
}

pare_status pare_run_dir_open(const char *path, const char *key, pare_run_dir **out)
{
    pare_run_dir *r = calloc(1, sizeof *r);
    if (!r) return no_memory();
    r->lock = -1;
    r->path = pare_format("%s", path);
    pare_status st = r->path ? open_run(r, key) : no_memory();
    if (st == PARE_OK)
        *out = r;
    else
        pare_run_dir_close(r);
    return st;
}

void pare_run_dir_close(pare_run_dir *r)
{
    if (!r) return;
    if (r->lock >= 0) close(r->lock);
    json_decref(r->state);
    free(r->path);
    free(r);
}

const char *pare_run_dir_path(const pare_run_dir *r) { return r ? r->path : NULL; }

static json_t *find_stage(const pare_run_dir *r, const char *stage)
{
    size_t i;
    json_t *s;
    json_array_foreach(json_object_get(r->state, "stages"), i, s)
    {
        const char *name = json_string_value(json_object_get(s, "name"));
        if (name && strcmp(name, stage) == 0) return s;
    }
    return NULL;
}

pare_status pare_run_dir_save(pare_run_dir *r, const char *stage, const pare_graph *g)
{
    if (!r) return PARE_OK;
    json_t *list = json_object_get(r->state, "stages"), *known = find_stage(r, stage);
    uint8_t *data = NULL;
    size_t size = 0;
    char hash[24], *file = NULL, *path = NULL;
    if (known)
        file = pare_format("%s", json_string_value(json_object_get(known, "file")));
    else
        file = pare_format("stage-%02zu-%s.onnx", json_array_size(list) + 1, stage);
    if (file) path = in_folder(r, file);
    pare_status st = path ? pare_onnx_write(g, &data, &size) : no_memory();
    if (st == PARE_OK) st = pare_write_file(path, data, size, true);
    if (st == PARE_OK) {
        snprintf(hash, sizeof hash, "%016" PRIx64, pare_hash_bytes(PARE_HASH_START, data, size));
        json_t *s = json_pack("{s:s,s:s,s:I,s:s}", "name", stage, "file", file, "bytes",
                              (json_int_t)size, "hash", hash);
        int failed = !s ? -1 : known ? json_object_update(known, s) : json_array_append(list, s);
        json_decref(s);
        st = failed ? no_memory() : write_state(r);
    }
    free(data);
    free(file);
    free(path);
    return st;
}

pare_status pare_run_dir_load(pare_run_dir *r, const char *stage, pare_graph **g, bool *found)
{
    *found = false;
    json_t *s = r ? find_stage(r, stage) : NULL;
    const char *file = json_string_value(json_object_get(s, "file")),
               *want = json_string_value(json_object_get(s, "hash"));
    if (!file || !want || strchr(file, '/')) return PARE_OK;
    char *path = in_folder(r, file), hash[24] = "";
    if (!path) return no_memory();
    uint8_t *data = NULL;
    size_t size = 0;
    pare_graph *loaded = NULL;
    pare_status st =
        pare_file_exists(path) ? pare_read_file(path, STAGE_MOST, &data, &size) : PARE_OK;
    if (st == PARE_OK && data)
        snprintf(hash, sizeof hash, "%016" PRIx64, pare_hash_bytes(PARE_HASH_START, data, size));
    if (st == PARE_OK && strcmp(hash, want) != 0)
        pare_log(PARE_LOG_WARNING, "'%s' is missing or damaged; its stage is done again", path);
    else if (st == PARE_OK)
        st = pare_model_load_memory(data, size, path, &loaded);
    free(data);
    free(path);
    if (st != PARE_OK || !loaded) return st;
    pare_graph_free(*g);
    *g = loaded;
    *found = true;
    return PARE_OK;
}
