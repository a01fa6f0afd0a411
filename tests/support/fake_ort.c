/* A stand-in for ONNX Runtime's library with the interface that pare uses of it: "networks" give
 * max(x, 0) of their one float32 input. FAKE_ORT=off gives wrong numbers, FAKE_ORT=nan no numbers,
 * FAKE_ORT=shape another shape, FAKE_ORT=refuse no session. */
#define _POSIX_C_SOURCE 200809L /* strdup */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef void any_fn(void);
typedef struct value {
    float *data;
    int owns, rank;
    int64_t dim[8];
} value;

static const char *error_message(const void *status) { return status; }
static void *create_any(void **out)
{
    *out = malloc(1);
    return NULL;
}
static void *create_env(int level, const char *id, void **out)
{
    (void)level, (void)id;
    return create_any(out);
}
static void *create_session(void *env, const char *file, const void *options, void **out)
{
    (void)env, (void)file, (void)options;
    const char *mode = getenv("FAKE_ORT");
    if (mode && strcmp(mode, "refuse") == 0) return strdup("the stand-in refuses this file");
    return create_any(out);
}
static void *set_int(void *options, int n)
{
    (void)options;
    return n >= 0 ? NULL : strdup("a negative number");
}
static void *create_memory(int allocator, int type, void **out)
{
    (void)allocator, (void)type;
    return create_any(out);
}
static void *create_tensor(const void *memory, void *data, size_t bytes, const int64_t *dim,
                           size_t rank, int dtype, void **out)
{
    (void)memory;
    value *v = calloc(1, sizeof *v);
    size_t count = 1;
    for (size_t i = 0; i < rank; i++) count *= (size_t)(v->dim[i] = dim[i]);
    v->data = data;
    v->rank = (int)rank;
    *out = v;
    return dtype == 1 && count * 4 == bytes ? NULL : strdup("a strange input");
}
static void *run(void *session, const void *options, const char *const *in_name,
                 const void *const *in, size_t n_in, const char *const *out_name, size_t n_out,
                 void **out)
{
    (void)session, (void)options;
    if (n_in != 1 || n_out != 1 || strcmp(in_name[0], "x") != 0 || strcmp(out_name[0], "y") != 0)
        return strdup("strange names");
    const char *mode = getenv("FAKE_ORT");
    const value *x = in[0];
    value *y = calloc(1, sizeof *y);
    *y = *x;
    size_t count = 1;
    for (int i = 0; i < x->rank; i++) count *= (size_t)x->dim[i];
    y->owns = 1;
    y->data = malloc(count * sizeof *y->data);
    for (size_t i = 0; i < count; i++) y->data[i] = x->data[i] > 0 ? x->data[i] : 0;
    if (mode && strcmp(mode, "off") == 0) y->data[count / 2] += 0.25f;
    if (mode && strcmp(mode, "nan") == 0) y->data[0] = strtof("nan", NULL);
    if (mode && strcmp(mode, "shape") == 0) y->dim[0]++;
    out[0] = y;
    return NULL;
}
static void *tensor_data(void *v, void **data)
{
    *data = ((value *)v)->data;
    return NULL;
}
static void *tensor_shape(const void *v, void **shape)
{
    *shape = malloc(sizeof(value));
    memcpy(*shape, v, sizeof(value));
    return NULL;
}
static void *element_type(const void *shape, int *type)
{
    (void)shape;
    *type = 1;
    return NULL;
}
static void *dimensions_count(const void *shape, size_t *n)
{
    *n = (size_t)((const value *)shape)->rank;
    return NULL;
}
static void *dimensions(const void *shape, int64_t *dim, size_t n)
{
    memcpy(dim, ((const value *)shape)->dim, n * sizeof *dim);
    return NULL;
}
static void release(void *p) { free(p); }
static void release_value(void *p)
{
    value *v = p;
    if (v->owns) free(v->data);
    free(v);
}

static any_fn *const table[101] = {
    [2] = (any_fn *)error_message,  [3] = (any_fn *)create_env,
    [7] = (any_fn *)create_session, [9] = (any_fn *)run,
    [10] = (any_fn *)create_any,    [23] = (any_fn *)set_int,
    [24] = (any_fn *)set_int,       [25] = (any_fn *)set_int,
    [49] = (any_fn *)create_tensor, [51] = (any_fn *)tensor_data,
    [60] = (any_fn *)element_type,  [61] = (any_fn *)dimensions_count,
    [62] = (any_fn *)dimensions,    [65] = (any_fn *)tensor_shape,
    [69] = (any_fn *)create_memory, [92] = (any_fn *)release,
    [93] = (any_fn *)release,       [94] = (any_fn *)release,
    [95] = (any_fn *)release,       [96] = (any_fn *)release_value,
    [99] = (any_fn *)release,       [100] = (any_fn *)release,
};
static any_fn *const *get_api(uint32_t version) { return version == 1 ? table : NULL; }
static const char *get_version(void) { return "0.0.1-stand-in"; }

typedef struct base {
    any_fn *const *(*api)(uint32_t version);
    const char *(*version)(void);
} base;
__attribute__((visibility("default"))) const base *OrtGetApiBase(void);
const base *OrtGetApiBase(void)
{
    static const base b = { get_api, get_version };
    return &b;
}
