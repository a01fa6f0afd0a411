/* Starting networks with random weights (Kaiming, normal): what pare_model_init() knows. */
#include "base/rng.h"
#include "ops/conv_attrs.h"
#include "pare/train.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A graph under construction. The first failure sticks in `st`; later calls do nothing, so that
 * architectures read as plain sequences of layers. */
typedef struct builder {
    pare_graph *g;
    pare_status st;
    uint64_t seed, constants;
    int classes;
} builder;

/* A value and its shape for one image. */
typedef struct map {
    pare_id v;
    int64_t c, h, w;
} map;

static void fail(builder *b, pare_status st)
{
    if (b->st == PARE_OK) b->st = st;
}

static pare_id constant(builder *b, const char *name, pare_tensor t)
{
    pare_id v = PARE_NONE;
    if (b->st != PARE_OK) {
        pare_tensor_free(&t);
        return PARE_NONE;
    }
    fail(b, pare_graph_add_constant(b->g, pare_graph_unique(b->g, name), pare_weight_dense(t), &v));
    return v;
}

/* float32 drawn from N(0, sd), or all `fill` when sd is 0. */
static pare_id floats(builder *b, const char *node, const char *part, int rank, const int64_t *dim,
                      double sd, float fill)
{
    char name[160];
    snprintf(name, sizeof name, "%s.%s", node, part);
    pare_tensor t = { 0 };
    if (b->st == PARE_OK) fail(b, pare_tensor_new(PARE_F32, rank, dim, &t));
    if (b->st != PARE_OK) return PARE_NONE;
    pare_rng rng = pare_rng_stream(b->seed, b->constants++);
    float *x = t.data;
    for (int64_t i = 0, n = pare_tensor_count(&t); i < n; i++)
        x[i] = sd > 0 ? (float)(sd * pare_rng_normal(&rng)) : fill;
    return constant(b, name, t);
}

static pare_id ints(builder *b, const char *node, const char *part, const int64_t *v, int64_t n)
{
    char name[160];
    snprintf(name, sizeof name, "%s.%s", node, part);
    pare_tensor t = { 0 };
    if (b->st == PARE_OK) fail(b, pare_tensor_i64(v, 1, n, &t));
    return b->st == PARE_OK ? constant(b, name, t) : PARE_NONE;
}

/* The attributes of `op` at their defaults, in the graph's arena. */
static void *attributes(builder *b, const pare_op *op)
{
    if (b->st != PARE_OK || !op->attrs_size) return NULL;
    void *a = pare_arena_alloc(b->g->arena, op->attrs_size);
    if (!a)
        fail(b, pare_fail(PARE_ENOMEM, "no memory for attributes"));
    else
        pare_fields_default(op->attrs, a);
    return a;
}

static void set_int(builder *b, const pare_op *op, void *a, const char *name, int64_t v)
{
    const pare_field *f = a ? pare_field_find(op->attrs, name, strlen(name)) : NULL;
    if (f) fail(b, pare_field_set_int(f, v, a));
}

static void set_ints(builder *b, const pare_op *op, void *a, const char *name, const int64_t *v,
                     size_t n)
{
    const pare_field *f = a ? pare_field_find(op->attrs, name, strlen(name)) : NULL;
    if (f) fail(b, pare_field_set_ints(f, v, n, b->g->arena, a));
}

static const pare_op *op_named(builder *b, const char *name)
{
    const pare_op *op = pare_op_find(name);
    if (!op) fail(b, pare_fail(PARE_EINTERNAL, "operator %s is not registered", name));
    return op;
}

/* Adds a node with one output; both get the name `name`. */
static pare_id add(builder *b, const pare_op *op, const char *name, void *attrs, uint32_t n_in,
                   const pare_id *in)
{
    pare_id out = PARE_NONE;
    if (b->st == PARE_OK)
        fail(b, pare_graph_add_value(b->g, pare_graph_unique(b->g, name), NULL, &out));
    if (b->st == PARE_OK)
        fail(b, pare_graph_add_node(b->g, op, name, attrs, attrs ? op->attrs_size : 0, n_in, in, 1,
                                    &out, NULL));
    return out;
}

static map unary(builder *b, const char *op_name, const char *name, map x)
{
    const pare_op *op = op_named(b, op_name);
    if (b->st == PARE_OK) x.v = add(b, op, name, attributes(b, op), 1, &x.v);
    return x;
}

static map relu(builder *b, const char *of, map x)
{
    char name[192];
    snprintf(name, sizeof name, "%s.relu", of);
    return unary(b, "Relu", name, x);
}

static map conv(builder *b, const char *name, map x, int64_t out, int64_t k, int64_t stride,
                int64_t pad, int64_t group, bool bias)
{
    const pare_op *op = op_named(b, "Conv");
    if (b->st != PARE_OK) return x;
    void *a = attributes(b, op);
    set_ints(b, op, a, "kernel_shape", (int64_t[]){ k, k }, 2);
    set_ints(b, op, a, "strides", (int64_t[]){ stride, stride }, 2);
    set_ints(b, op, a, "pads", (int64_t[]){ pad, pad, pad, pad }, 4);
    set_ints(b, op, a, "dilations", (int64_t[]){ 1, 1 }, 2);
    set_int(b, op, a, "group", group);
    double fan_in = (double)(x.c / group * k * k);
    pare_id in[3] = { x.v, floats(b, name, "weight", 4, (int64_t[]){ out, x.c / group, k, k },
                                  sqrt(2 / fan_in), 0) };
    if (bias) in[2] = floats(b, name, "bias", 1, &out, 0, 0);
    return (map){ add(b, op, name, a, bias ? 3 : 2, in), out, (x.h + 2 * pad - k) / stride + 1,
                  (x.w + 2 * pad - k) / stride + 1 };
}

static map norm(builder *b, const char *of, map x)
{
    char name[192];
    snprintf(name, sizeof name, "%s.bn", of);
    const pare_op *op = op_named(b, "BatchNormalization");
    if (b->st != PARE_OK) return x;
    pare_id in[5] = { x.v, floats(b, name, "gamma", 1, &x.c, 0, 1),
                      floats(b, name, "beta", 1, &x.c, 0, 0),
                      floats(b, name, "mean", 1, &x.c, 0, 0),
                      floats(b, name, "var", 1, &x.c, 0, 1) };
    x.v = add(b, op, name, attributes(b, op), 5, in);
    return x;
}

static map conv_norm(builder *b, const char *name, map x, int64_t out, int64_t k, int64_t stride,
                     int64_t group)
{
    return norm(b, name, conv(b, name, x, out, k, stride, k / 2, group, false));
}

static map max_pool(builder *b, const char *name, map x)
{
    const pare_op *op = op_named(b, "MaxPool");
    if (b->st != PARE_OK) return x;
    void *a = attributes(b, op);
    set_ints(b, op, a, "kernel_shape", (int64_t[]){ 2, 2 }, 2);
    set_ints(b, op, a, "strides", (int64_t[]){ 2, 2 }, 2);
    return (map){ add(b, op, name, a, 1, &x.v), x.c, x.h / 2, x.w / 2 };
}

static map join(builder *b, const char *name, map x, map y)
{
    const pare_op *op = op_named(b, "Add");
    if (b->st == PARE_OK) x.v = add(b, op, name, attributes(b, op), 2, (pare_id[]){ x.v, y.v });
    return x;
}

/* Everything after the last map becomes a vector [N, c]. */
static map flatten(builder *b, const char *name, map x)
{
    x = unary(b, "Flatten", name, x);
    return (map){ x.v, x.c * x.h * x.w, 1, 1 };
}

static map pooled(builder *b, map x)
{
    x = unary(b, "GlobalAveragePool", "pool", x);
    x.h = x.w = 1;
    return flatten(b, "flatten", x);
}

static map linear(builder *b, const char *name, map x, int64_t out)
{
    const pare_op *op = op_named(b, "Gemm");
    if (b->st != PARE_OK) return x;
    void *a = attributes(b, op);
    set_int(b, op, a, "transB", 1);
    pare_id in[3] = {
        x.v, floats(b, name, "weight", 2, (int64_t[]){ out, x.c }, sqrt(2 / (double)x.c), 0),
        floats(b, name, "bias", 1, &out, 0, 0)
    };
    return (map){ add(b, op, name, a, 3, in), out, 1, 1 };
}

/* The parameter-free shortcut of the CIFAR ResNets: every second pixel, and zero channels on both
 * sides. */
static map shortcut_a(builder *b, const char *name, map x, int64_t out)
{
    const pare_op *slice = op_named(b, "Slice"), *pad = op_named(b, "Pad");
    if (b->st != PARE_OK) return x;
    char s[192], p[192];
    snprintf(s, sizeof s, "%s.slice", name);
    snprintf(p, sizeof p, "%s.pad", name);
    pare_id in[5] = { x.v, ints(b, s, "starts", (int64_t[]){ 0, 0 }, 2),
                      ints(b, s, "ends", (int64_t[]){ INT32_MAX, INT32_MAX }, 2),
                      ints(b, s, "axes", (int64_t[]){ 2, 3 }, 2),
                      ints(b, s, "steps", (int64_t[]){ 2, 2 }, 2) };
    pare_id half = add(b, slice, s, attributes(b, slice), 5, in);
    int64_t before = (out - x.c) / 2, after = out - x.c - before;
    pare_id pads[2] = { half,
                        ints(b, p, "pads", (int64_t[]){ 0, before, 0, 0, 0, after, 0, 0 }, 8) };
    return (map){ add(b, pad, p, attributes(b, pad), 2, pads), out, (x.h + 1) / 2, (x.w + 1) / 2 };
}

/* Two 3x3 convolutions and a shortcut. `project`: a 1x1 convolution where the shape changes, else
 * shortcut_a.
 */
static map basic_block(builder *b, const char *name, map x, int64_t out, int64_t stride,
                       bool project)
{
    char n[160];
    snprintf(n, sizeof n, "%s.conv1", name);
    map y = relu(b, n, conv_norm(b, n, x, out, 3, stride, 1));
    snprintf(n, sizeof n, "%s.conv2", name);
    y = conv_norm(b, n, y, out, 3, 1, 1);
    snprintf(n, sizeof n, "%s.shortcut", name);
    if (stride != 1 || x.c != out)
        x = project ? conv_norm(b, n, x, out, 1, stride, 1) : shortcut_a(b, n, x, out);
    snprintf(n, sizeof n, "%s.add", name);
    return relu(b, name, join(b, n, y, x));
}

static map resnet(builder *b, map x, int64_t width, int stages, int blocks, bool project)
{
    x = relu(b, "conv1", conv_norm(b, "conv1", x, width, 3, 1, 1));
    for (int s = 0; s < stages; s++)
        for (int i = 0; i < blocks; i++) {
            char name[64];
            snprintf(name, sizeof name, "layer%d.%d", s + 1, i);
            x = basic_block(b, name, x, width << s, s > 0 && i == 0 ? 2 : 1, project);
        }
    return linear(b, "fc", pooled(b, x), b->classes);
}

static map resnet20(builder *b, map x) { return resnet(b, x, 16, 3, 3, false); }
static map resnet8(builder *b, map x) { return resnet(b, x, 16, 3, 1, true); }
static map resnet18_cifar(builder *b, map x) { return resnet(b, x, 64, 4, 2, true); }

static map vgg_small(builder *b, map x)
{
    static const int plan[] = { 64, 0, 128, 128, 0, 256, 256, 0, 256 }; /* 0: max-pool */
    for (int i = 0; i < (int)(sizeof plan / sizeof *plan); i++) {
        char name[64];
        snprintf(name, sizeof name, plan[i] ? "conv%d" : "pool%d", i);
        x = plan[i] ? relu(b, name, conv_norm(b, name, x, plan[i], 3, 1, 1)) : max_pool(b, name, x);
    }
    return linear(b, "fc", pooled(b, x), b->classes);
}

/* A quarter of the channels for inputs up to 128 pixels; inputs under 64 pixels are not halved by
 * the first layer. */
static map mobilenet_v1(builder *b, map x)
{
    static const struct {
        int out, stride;
    } plan[] = { { 64, 1 },  { 128, 2 },  { 128, 1 }, { 256, 2 }, { 256, 1 },
                 { 512, 2 }, { 512, 1 },  { 512, 1 }, { 512, 1 }, { 512, 1 },
                 { 512, 1 }, { 1024, 2 }, { 1024, 1 } };
    int share = x.h <= 128 && x.w <= 128 ? 4 : 1;
    x = relu(b, "conv0", conv_norm(b, "conv0", x, 32 / share, 3, x.h < 64 || x.w < 64 ? 1 : 2, 1));
    for (int i = 0; i < (int)(sizeof plan / sizeof *plan); i++) {
        char name[64];
        snprintf(name, sizeof name, "dw%d", i + 1);
        x = relu(b, name, conv_norm(b, name, x, x.c, 3, plan[i].stride, x.c));
        snprintf(name, sizeof name, "pw%d", i + 1);
        x = relu(b, name, conv_norm(b, name, x, plan[i].out / share, 1, 1, 1));
    }
    return linear(b, "fc", pooled(b, x), b->classes);
}

static map lenet(builder *b, map x)
{
    x = max_pool(b, "pool1", relu(b, "conv1", conv(b, "conv1", x, 6, 5, 1, 2, 1, true)));
    x = max_pool(b, "pool2", relu(b, "conv2", conv(b, "conv2", x, 16, 5, 1, 0, 1, true)));
    if (x.h < 1 || x.w < 1) {
        fail(b, pare_fail(PARE_EINVAL, "lenet needs inputs of at least 12 x 12 pixels"));
        return x;
    }
    x = relu(b, "fc1", linear(b, "fc1", flatten(b, "flatten", x), 120));
    x = relu(b, "fc2", linear(b, "fc2", x, 84));
    return linear(b, "fc3", x, b->classes);
}

static map mlp(builder *b, map x)
{
    x = relu(b, "fc1", linear(b, "fc1", flatten(b, "flatten", x), 256));
    x = relu(b, "fc2", linear(b, "fc2", x, 128));
    return linear(b, "fc3", x, b->classes);
}

static const struct {
    const char *name;
    map (*build)(builder *b, map x);
} networks[] = {
    { "resnet20", resnet20 },
    { "resnet8", resnet8 },
    { "resnet18-cifar", resnet18_cifar },
    { "vgg-small", vgg_small },
    { "lenet", lenet },
    { "mobilenet-v1", mobilenet_v1 },
    { "mlp", mlp },
};

enum { SIDE_MOST = 4096, CLASSES_MOST = 1000000 };

pare_status pare_model_init(const char *name, const int64_t shape[3], int classes, uint64_t seed,
                            pare_graph **out)
{
    size_t count = sizeof networks / sizeof *networks, which = 0;
    while (which < count && strcmp(networks[which].name, name) != 0) which++;
    if (which == count) {
        char known[256] = "";
        for (size_t i = 0; i < count; i++)
            snprintf(known + strlen(known), sizeof known - strlen(known), "%s%s", i ? ", " : "",
                     networks[i].name);
        return pare_fail(PARE_EINVAL, "there is no network '%.60s'; known: %s", name, known);
    }
    for (int i = 0; i < 3; i++)
        if (shape[i] < 1 || shape[i] > SIDE_MOST)
            return pare_fail(PARE_EINVAL, "input size %lld is not within 1 to %d",
                             (long long)shape[i], SIDE_MOST);
    if (classes < 2 || classes > CLASSES_MOST)
        return pare_fail(PARE_EINVAL, "%d classes are not within 2 to %d", classes, CLASSES_MOST);
    builder b = { .seed = seed, .classes = classes };
    PARE_TRY(pare_graph_new(&b.g));
    pare_type type = { PARE_F32, 4, { -1, shape[0], shape[1], shape[2] } };
    map x = { PARE_NONE, shape[0], shape[1], shape[2] };
    fail(&b, pare_graph_add_input(b.g, "input", &type, &x.v));
    if (b.st == PARE_OK) {
        b.g->value[x.v].dim_name[0] = "N";
        b.g->name = networks[which].name;
        b.g->opset = 17;
        x = networks[which].build(&b, x);
    }
    if (b.st == PARE_OK) fail(&b, pare_graph_mark_output(b.g, x.v));
    pare_graph *trial = NULL;
    if (b.st == PARE_OK) fail(&b, pare_graph_clone(b.g, &trial));
    if (b.st == PARE_OK) fail(&b, pare_bind_shapes(trial, 1, NULL, 0));
    if (b.st == PARE_OK && pare_infer(trial, false) != PARE_OK)
        fail(&b, pare_note(PARE_EINVAL, "%s for an input of %lld x %lld x %lld", name,
                           (long long)shape[0], (long long)shape[1], (long long)shape[2]));
    if (b.st == PARE_OK) { /* a free first dimension, the others as inferred */
        pare_value *v = &b.g->value[x.v];
        v->type = trial->value[x.v].type;
        v->type.dim[0] = -1;
        v->dim_name[0] = "N";
    }
    pare_graph_free(trial);
    if (b.st != PARE_OK) {
        pare_graph_free(b.g);
        return b.st;
    }
    *out = b.g;
    return PARE_OK;
}
