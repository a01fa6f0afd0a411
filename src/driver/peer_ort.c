/* ONNX Runtime by its C interface, without its header: the library exports one function that gives
 * a table of functions, whose order is frozen (new ones are only appended). What is used here has
 * been in the table since its first version. */
#define _GNU_SOURCE /* dladdr */
#include "base/files.h"
#include "driver/clock.h"
#include "driver/peers.h"
#include "tensor/tensor.h"

#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

/* Positions in the table. */
enum {
    GET_ERROR_MESSAGE = 2,
    CREATE_ENV = 3,
    CREATE_SESSION = 7,
    RUN = 9,
    CREATE_SESSION_OPTIONS = 10,
    SET_GRAPH_OPTIMIZATION_LEVEL = 23,
    SET_INTRA_OP_THREADS = 24,
    SET_INTER_OP_THREADS = 25,
    CREATE_TENSOR_WITH_DATA = 49,
    GET_TENSOR_DATA = 51,
    GET_TENSOR_ELEMENT_TYPE = 60,
    GET_DIMENSIONS_COUNT = 61,
    GET_DIMENSIONS = 62,
    GET_TENSOR_TYPE_AND_SHAPE = 65,
    CREATE_CPU_MEMORY_INFO = 69,
    RELEASE_ENV = 92,
    RELEASE_STATUS = 93,
    RELEASE_MEMORY_INFO = 94,
    RELEASE_SESSION = 95,
    RELEASE_VALUE = 96,
    RELEASE_SHAPE = 99,
    RELEASE_SESSION_OPTIONS = 100,
};
enum { TABLE_VERSION = 1, LOG_ERRORS = 3, ALL_OPTIMISATIONS = 99, ARENA = 1 };

typedef void any_fn(void);
typedef struct api_base {
    any_fn *const *(*api)(uint32_t version);
    const char *(*version)(void);
} api_base;

struct pare_ort {
    void *library, *env;
    any_fn *const *api;
    char version[48], path[512];
};

/* The function at `index` of o's table, which takes the types that follow and returns a status. */
#define FN(o, index, ...) ((void *(*)(__VA_ARGS__))(o)->api[index])
#define RELEASE(o, index, x)                           \
    do {                                               \
        if (x) ((void (*)(void *))(o)->api[index])(x); \
        (x) = NULL;                                    \
    } while (0)

static pare_status check(const pare_ort *o, void *status)
{
    if (!status) return PARE_OK;
    pare_status st = pare_fail(PARE_EUNSUPPORTED, "ONNX Runtime %s: %s", o->version,
                               ((const char *(*)(const void *))o->api[GET_ERROR_MESSAGE])(status));
    RELEASE(o, RELEASE_STATUS, status);
    return st;
}

/* --- finding it --- */
static pare_status load(const char *path, pare_ort **out)
{
    void *library = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!library) return pare_fail(PARE_EIO, "cannot load ONNX Runtime: %s", dlerror());
    api_base *(*base)(void);
    *(void **)&base = dlsym(library, "OrtGetApiBase"); /* POSIX's way around ISO's pointers */
    pare_ort *o = calloc(1, sizeof *o);
    pare_status st = PARE_OK;
    if (!o)
        st = pare_fail(PARE_ENOMEM, "no memory for a peer");
    else if (!base)
        st = pare_fail(PARE_EIO, "'%s' is not ONNX Runtime: it exports no OrtGetApiBase", path);
    if (st == PARE_OK) {
        o->library = library;
        snprintf(o->version, sizeof o->version, "%s", base()->version());
        Dl_info info;
        any_fn *symbol = (any_fn *)base;
        void *address;
        memcpy(&address, &symbol, sizeof address);
        bool known = dladdr(address, &info) && info.dli_fname;
        snprintf(o->path, sizeof o->path, "%s", known ? info.dli_fname : path);
        o->api = base()->api(TABLE_VERSION);
        if (!o->api)
            st = pare_fail(PARE_EUNSUPPORTED,
                           "ONNX Runtime %s in '%s' offers no functions of version 1", o->version,
                           o->path);
    }
    if (st == PARE_OK)
        st = check(o, FN(o, CREATE_ENV, int, const char *, void **)(LOG_ERRORS, "pare", &o->env));
    if (st == PARE_OK) {
        *out = o;
        return PARE_OK;
    }
    free(o);
    dlclose(library);
    return st;
}

/* The first by name of the libraries in a folder; false if there is none. */
static bool library_in(const char *folder, char *path, size_t size)
{
    char best[NAME_MAX + 1] = "";
    DIR *d = opendir(folder);
    for (struct dirent *e; d && (e = readdir(d));)
        if (strncmp(e->d_name, "libonnxruntime.so", 17) == 0 &&
            (!*best || strcmp(e->d_name, best) < 0))
            snprintf(best, sizeof best, "%s", e->d_name);
    if (d) closedir(d);
    return *best && snprintf(path, size, "%s/%s", folder, best) < (int)size;
}

/* The library inside a folder, or inside the Python package that the folder is. */
static pare_status load_from(const char *folder, pare_ort **out)
{
    static const char *const inside[] = { "", "/capi", "/lib" };
    for (size_t i = 0; i < sizeof inside / sizeof *inside; i++) {
        char text[PATH_MAX], path[PATH_MAX];
        if (snprintf(text, sizeof text, "%s%s", folder, inside[i]) < (int)sizeof text &&
            library_in(text, path, sizeof path))
            return load(path, out);
    }
    return pare_fail(PARE_EIO, "no libonnxruntime.so* in '%s'", folder);
}

/* Where the program `python` keeps its package onnxruntime; false if it has none. Asks without
 * importing it. */
static bool package_folder(const char *python, char *folder, size_t size)
{
    static const char script[] =
        "import importlib.util as u; s = u.find_spec('onnxruntime'); "
        "print(s.submodule_search_locations[0] if s and s.submodule_search_locations else '')";
    extern char **environ;
    char *const args[] = { (char *)python, "-c", (char *)script, NULL };
    int end[2];
    pid_t child;
    posix_spawn_file_actions_t actions;
    if (pipe(end) != 0) return false;
    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addclose(&actions, end[0]);
    posix_spawn_file_actions_adddup2(&actions, end[1], STDOUT_FILENO);
    posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
    bool started = posix_spawnp(&child, python, &actions, NULL, args, environ) == 0;
    posix_spawn_file_actions_destroy(&actions);
    close(end[1]);
    size_t n = 0;
    for (ssize_t got = 1; started && got != 0 && n + 1 < size;) {
        got = read(end[0], folder + n, size - n - 1);
        if (got < 0 && errno != EINTR) break;
        if (got > 0) n += (size_t)got;
    }
    close(end[0]);
    folder[n] = 0;
    folder[strcspn(folder, "\r\n")] = 0;
    int status = 0;
    while (started && waitpid(child, &status, 0) < 0 && errno == EINTR) continue;
    return started && WIFEXITED(status) && WEXITSTATUS(status) == 0 && *folder;
}

pare_status pare_ort_find(const char *path, const char *python, pare_ort **out)
{
    *out = NULL;
    if (!path || !*path) path = getenv("PARE_ORT");
    struct stat info;
    if (path && *path && stat(path, &info) == 0 && S_ISDIR(info.st_mode))
        return load_from(path, out);
    if (path && *path) { /* the loader takes a name without '/' for one to look for elsewhere */
        char file[PATH_MAX];
        if (snprintf(file, sizeof file, "%s%s", strchr(path, '/') ? "" : "./", path) >= PATH_MAX)
            return pare_fail(PARE_EIO, "a path of %zu bytes is too long", strlen(path));
        return load(file, out);
    }
    static const char *const names[] = { "libonnxruntime.so.1", "libonnxruntime.so" };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (load(names[i], out) == PARE_OK) return PARE_OK;
    pare_error_clear();
    char folder[PATH_MAX];
    if (package_folder(python && *python ? python : "python3", folder, sizeof folder))
        return load_from(folder, out);
    return PARE_OK;
}

void pare_ort_free(pare_ort *o)
{
    if (!o) return;
    RELEASE(o, RELEASE_ENV, o->env);
    /* Its threads may still be on their way out of its code: the library stays. */
    free(o);
}

/* --- a network --- */
typedef struct session {
    pare_peer peer;
    const pare_ort *ort;
    void *options, *session, *memory;
    size_t n_in, n_out;
    const char **in_name, **out_name; /* the plan's */
    void **in, **out;                 /* values; the runtime makes the outputs at every run */
} session;

static void close_session(pare_peer *p)
{
    session *s = (session *)p;
    for (size_t i = 0; s->in && i < s->n_in; i++) RELEASE(s->ort, RELEASE_VALUE, s->in[i]);
    for (size_t i = 0; s->out && i < s->n_out; i++) RELEASE(s->ort, RELEASE_VALUE, s->out[i]);
    RELEASE(s->ort, RELEASE_SESSION, s->session);
    RELEASE(s->ort, RELEASE_SESSION_OPTIONS, s->options);
    RELEASE(s->ort, RELEASE_MEMORY_INFO, s->memory);
    free(s->in_name);
    free(s->out_name);
    free(s->in);
    free(s->out);
    free(s);
}

static pare_status run(pare_peer *p, int runs, double *ms)
{
    session *s = (session *)p;
    for (int r = 0; r < runs; r++) {
        for (size_t i = 0; i < s->n_out; i++) RELEASE(s->ort, RELEASE_VALUE, s->out[i]);
        double start = pare_now_ms();
        void *status = FN(s->ort, RUN, void *, const void *, const char *const *,
                          const void *const *, size_t, const char *const *, size_t,
                          void **)(s->session, NULL, s->in_name, (const void *const *)s->in,
                                   s->n_in, s->out_name, s->n_out, s->out);
        ms[r] = pare_now_ms() - start;
        PARE_TRY(check(s->ort, status));
    }
    return PARE_OK;
}

static pare_status output(pare_peer *p, size_t i, pare_tensor *t)
{
    session *s = (session *)p;
    const pare_ort *o = s->ort;
    void *shape = NULL, *data = NULL;
    pare_type type = { 0 };
    int dtype = 0;
    size_t rank = 0;
    PARE_TRY(check(o, FN(o, GET_TENSOR_TYPE_AND_SHAPE, const void *, void **)(s->out[i], &shape)));
    pare_status st = check(o, FN(o, GET_TENSOR_ELEMENT_TYPE, const void *, int *)(shape, &dtype));
    if (st == PARE_OK)
        st = check(o, FN(o, GET_DIMENSIONS_COUNT, const void *, size_t *)(shape, &rank));
    if (st == PARE_OK && rank > PARE_MAX_RANK)
        st = pare_fail(PARE_EUNSUPPORTED, "output '%s' of ONNX Runtime has rank %zu",
                       s->out_name[i], rank);
    if (st == PARE_OK)
        st =
            check(o, FN(o, GET_DIMENSIONS, const void *, int64_t *, size_t)(shape, type.dim, rank));
    RELEASE(o, RELEASE_SHAPE, shape);
    if (st == PARE_OK) st = check(o, FN(o, GET_TENSOR_DATA, void *, void **)(s->out[i], &data));
    if (st != PARE_OK) return st;
    type.dtype = (pare_dtype)dtype;
    type.rank = (int)rank;
    *t = pare_tensor_borrow(&type, data);
    return PARE_OK;
}

static pare_status give_inputs(session *s, const pare_tensor *in)
{
    const pare_ort *o = s->ort;
    for (size_t i = 0; i < s->n_in; i++)
        PARE_TRY(check(o, FN(o, CREATE_TENSOR_WITH_DATA, const void *, void *, size_t,
                             const int64_t *, size_t, int,
                             void **)(s->memory, in[i].data, pare_tensor_bytes(&in[i]), in[i].dim,
                                      (size_t)in[i].rank, (int)in[i].dtype, &s->in[i])));
    return PARE_OK;
}

static pare_status start(session *s, const char *file, int threads)
{
    const pare_ort *o = s->ort;
    PARE_TRY(check(o, FN(o, CREATE_SESSION_OPTIONS, void **)(&s->options)));
    PARE_TRY(check(o, FN(o, SET_INTRA_OP_THREADS, void *, int)(s->options, threads)));
    PARE_TRY(check(o, FN(o, SET_INTER_OP_THREADS, void *, int)(s->options, 1)));
    PARE_TRY(
        check(o, FN(o, SET_GRAPH_OPTIMIZATION_LEVEL, void *, int)(s->options, ALL_OPTIMISATIONS)));
    PARE_TRY(check(o, FN(o, CREATE_CPU_MEMORY_INFO, int, int, void **)(ARENA, 0, &s->memory)));
    return check(o, FN(o, CREATE_SESSION, void *, const char *, const void *,
                       void **)(o->env, file, s->options, &s->session));
}

pare_status pare_ort_open(pare_ort *o, const char *file, int threads, const pare_plan *plan,
                          const pare_tensor *in, pare_peer **out)
{
    session *s = calloc(1, sizeof *s);
    if (!s) return pare_fail(PARE_ENOMEM, "no memory for a peer");
    s->peer =
        (pare_peer){ .name = "ONNX Runtime", .run = run, .output = output, .close = close_session };
    snprintf(s->peer.version, sizeof s->peer.version, "%s", o->version);
    snprintf(s->peer.path, sizeof s->peer.path, "%s", o->path);
    s->ort = o;
    s->n_in = pare_plan_inputs(plan);
    s->n_out = pare_plan_outputs(plan);
    s->in = calloc(s->n_in + 1, sizeof *s->in);
    s->out = calloc(s->n_out + 1, sizeof *s->out);
    s->in_name = calloc(s->n_in + 1, sizeof *s->in_name);
    s->out_name = calloc(s->n_out + 1, sizeof *s->out_name);
    pare_status st =
        s->in && s->out && s->in_name && s->out_name
            ? PARE_OK
            : pare_fail(PARE_ENOMEM, "no memory for %zu inputs and outputs", s->n_in + s->n_out);
    pare_type type;
    for (size_t i = 0; st == PARE_OK && i < s->n_in; i++)
        s->in_name[i] = pare_plan_input(plan, i, &type);
    for (size_t i = 0; st == PARE_OK && i < s->n_out; i++)
        s->out_name[i] = pare_plan_output(plan, i, &type);
    if (st == PARE_OK) st = start(s, file, threads);
    if (st == PARE_OK) st = give_inputs(s, in);
    if (st == PARE_OK)
        *out = &s->peer;
    else
        close_session(&s->peer);
    return pare_note(st, "'%s'", file);
}
