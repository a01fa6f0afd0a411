/* ONNX's own backend tests: small models with inputs and the outputs they must give.
 *
 * Walks Debian's libonnx-testdata and every folder of the colon list PARE_ONNX_TESTS. A case of
 * operators that pare knows must pass, under the default plan, under the reference one, and once
 * more after being written and read again, or stand in refused.txt with a reason; one that stands
 * there and passes is a failure too, so the list stays true. Cases of other operators are not in
 * scope.
 *
 * Two things are done to the models. Most declare the opset in which their operator last changed,
 * which may lie outside of what pare reads; they are read as 7 or 21 then, so that what did not
 * change is tested. And many give as graph inputs what a network gives as constants (the shape of a
 * Reshape, the axes of a reduction), from which shapes follow: when planning asks for such values,
 * the inputs but the first, or all of them, become initialisers. */
#define _POSIX_C_SOURCE 200809L
#include "base/files.h"
#include "onnx/onnx.h"
#include "pare/plan.h"
#include "tensor/tensor.h"

#include <dirent.h>
#include <fnmatch.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#define DEBIAN_DATA "/usr/share/libonnx-testdata/data"
enum { MOST_BYTES = 64 << 20, MAX_PATTERNS = 256, PATH = 1024, MESSAGE = 600 };

typedef enum result { PASSED, REFUSED, FAILED, NOT_IN_SCOPE, RESULTS } result;

static struct pattern {
    char *name, *reason;
} patterns[MAX_PATTERNS];
static int n_patterns, counts[RESULTS];
static char *pattern_text;

/* --- the list of refusals: "pattern: reason" lines, # begins a comment --- */

static int read_patterns(void **state)
{
    (void)state;
    size_t size;
    uint8_t *text;
    if (pare_read_file(PARE_SOURCE_DIR "/tests/conformance/refused.txt", 1 << 20, &text, &size) !=
        PARE_OK)
        return -1;
    pattern_text = (char *)text;
    for (char *line = strtok(pattern_text, "\n"); line; line = strtok(NULL, "\n")) {
        char *colon = strstr(line, ": ");
        if (line[0] == '#') continue;
        if (!colon || n_patterns == MAX_PATTERNS) return -1;
        *colon = 0;
        patterns[n_patterns++] = (struct pattern){ line, colon + 2 };
    }
    return 0;
}

static int drop_patterns(void **state)
{
    (void)state;
    free(pattern_text);
    return 0;
}

static bool listed(const char *name)
{
    for (int i = 0; i < n_patterns; i++)
        if (fnmatch(patterns[i].name, name, 0) == 0) return true;
    return false;
}

/* --- one case --- */

/* What a case is made of; all messages live in the arena. */
typedef struct the_case {
    const char *name, *folder;
    pare_arena *arena;
    Onnx__ModelProto *model;
    size_t n_in, n_out;
    Onnx__TensorProto *in[PARE_MAX_IN], *want[PARE_MAX_OUT];
    bool rounds;  /* quantises: the last step may differ */
    bool clamped; /* declares an opset that pare does not read */
} the_case;

static char message[MESSAGE];

static result say(result r, const char *fmt, ...) PARE_PRINTF(2, 3);
static result say(result r, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(message, sizeof message, fmt, ap);
    va_end(ap);
    return r;
}

/* A file of the case as a message in the arena; NULL if there is none. */
static void *read_message(the_case *c, const char *file, const ProtobufCMessageDescriptor *type)
{
    char path[PATH];
    uint8_t *data;
    size_t size;
    snprintf(path, sizeof path, "%s/%s", c->folder, file);
    if (!pare_file_exists(path) || pare_read_file(path, MOST_BYTES, &data, &size) != PARE_OK)
        return NULL;
    ProtobufCAllocator a = pare_proto_allocator(c->arena);
    void *m = protobuf_c_message_unpack(type, &a, size, data);
    free(data);
    return m;
}

/* Tells whether the opset changed. */
static bool clamp_versions(Onnx__ModelProto *m)
{
    bool clamped = false;
    if (m->ir_version > PARE_IR_NEWEST) m->ir_version = PARE_IR_NEWEST;
    for (size_t i = 0; i < m->n_opset_import; i++) {
        Onnx__OperatorSetIdProto *o = m->opset_import[i];
        if (o->domain && o->domain[0] && strcmp(o->domain, "ai.onnx") != 0) continue;
        int64_t v = o->version;
        if (v < PARE_OPSET_OLDEST) o->version = PARE_OPSET_OLDEST;
        if (v > PARE_OPSET_NEWEST) o->version = PARE_OPSET_NEWEST;
        clamped |= o->version != v;
    }
    return clamped;
}

static bool known(const Onnx__NodeProto *n)
{
    static const char *const by_reader[] = { "Constant",
                                             "Upsample" }; /* gone when the graph is built */
    if (n->domain && n->domain[0] && strcmp(n->domain, "ai.onnx") != 0) return false;
    for (size_t i = 0; i < sizeof by_reader / sizeof *by_reader; i++)
        if (strcmp(n->op_type, by_reader[i]) == 0) return true;
    return pare_op_find(n->op_type) != NULL;
}

/* Inputs from `first` on become initialisers; those before stay. */
static void bind_inputs(the_case *c, size_t first)
{
    Onnx__GraphProto *g = c->model->graph;
    size_t n = g->n_initializer;
    Onnx__TensorProto **all = pare_arena_array(c->arena, n + c->n_in + 1, sizeof *all);
    if (n) memcpy(all, g->initializer, n * sizeof *all);
    for (size_t i = first; i < c->n_in; i++) {
        c->in[i]->name = g->input[i]->name;
        all[n++] = c->in[i];
    }
    g->initializer = all;
    g->n_initializer = n;
    for (size_t i = c->n_in; i < g->n_input; i++) g->input[i - c->n_in + first] = g->input[i];
    g->n_input -= c->n_in - first;
    c->n_in = first;
}

static bool near(pare_dtype t, double got, double want)
{
    if (want != want) return got != got;
    if (fabs(want) > DBL_MAX) return got == want;
    /* a float16 result may be one step off, which is nearly 1e-3 of it */
    return fabs(got - want) <= 1e-5 + (t == PARE_F16 ? 2e-3 : 1e-3) * fabs(want);
}

static result compare(const the_case *c, size_t o, const pare_tensor *got, const pare_tensor *want)
{
    char text[2][PARE_TYPE_TEXT];
    pare_type a = pare_tensor_type(got), b = pare_tensor_type(want);
    if (a.dtype != b.dtype || !pare_same_shape(&a, &b))
        return say(FAILED, "output %zu is %s instead of %s", o,
                   pare_type_text(&a, text[0], PARE_TYPE_TEXT),
                   pare_type_text(&b, text[1], PARE_TYPE_TEXT));
    bool real = a.dtype == PARE_F32 || a.dtype == PARE_F64 || a.dtype == PARE_F16;
    int64_t count = pare_tensor_count(got);
    for (int64_t i = 0; i < count; i++) {
        bool same;
        if (real)
            same = near(a.dtype, pare_tensor_get_f64(got, i), pare_tensor_get_f64(want, i));
        else {
            int64_t d = (int64_t)((uint64_t)pare_tensor_get_i64(got, i) -
                                  (uint64_t)pare_tensor_get_i64(want, i));
            same = d == 0 || (c->rounds && (d == 1 || d == -1));
        }
        if (!same)
            return say(FAILED, "output %zu, element %lld is %.9g instead of %.9g", o, (long long)i,
                       pare_tensor_get_f64(got, i), pare_tensor_get_f64(want, i));
    }
    return PASSED;
}

static result run_plan(the_case *c, const pare_graph *g, const char *force, const pare_tensor *in,
                       const pare_shape *shape)
{
    pare_plan *plan = NULL;
    pare_plan_options options = {
        .threads = 1, .shapes = shape, .n_shapes = c->n_in, .force = force
    };
    pare_status st = pare_plan_create(g, &options, &plan);
    if (st == PARE_EUNSUPPORTED) return say(REFUSED, "%s", pare_error());
    if (st != PARE_OK) return say(FAILED, "planning: %s", pare_error());
    pare_tensor out[PARE_MAX_OUT] = { { 0 } };
    result r = PASSED;
    size_t n = pare_plan_outputs(plan);
    if (n < c->n_out) r = say(FAILED, "%zu outputs instead of %zu", n, c->n_out);
    for (size_t i = 0; i < n && r == PASSED; i++) {
        pare_type t;
        (void)pare_plan_output(plan, i, &t);
        if (pare_tensor_of(&t, &out[i]) != PARE_OK) r = say(FAILED, "%s", pare_error());
    }
    if (r == PASSED && pare_plan_run(plan, in, out) != PARE_OK)
        r = say(FAILED, "running: %s", pare_error());
    for (size_t i = 0; i < c->n_out && r == PASSED; i++) {
        pare_tensor want = { 0 };
        pare_tensor_source none = { 0 };
        st = pare_tensor_read(&none, c->want[i], &want);
        r = st == PARE_OK ? compare(c, i, &out[i], &want)
                          : say(st == PARE_EUNSUPPORTED ? REFUSED : FAILED, "%s", pare_error());
        pare_tensor_free(&want);
    }
    for (size_t i = 0; i < n && i < PARE_MAX_OUT; i++) pare_tensor_free(&out[i]);
    pare_plan_free(plan);
    return r;
}

/* Once more as pare writes it, under the opset that it chooses. */
static result run_written(the_case *c, const pare_graph *g, const pare_tensor *in,
                          const pare_shape *shape)
{
    uint8_t *data;
    size_t size;
    pare_graph *again = NULL;
    if (pare_onnx_write(g, &data, &size) != PARE_OK)
        return say(FAILED, "writing: %s", pare_error());
    pare_status st = pare_model_load_memory(data, size, c->name, &again);
    free(data);
    result r = st == PARE_OK ? run_plan(c, again, NULL, in, shape) : FAILED;
    if (r != PASSED) {
        char why[MESSAGE];
        snprintf(why, sizeof why, "%s", st == PARE_OK ? message : pare_error());
        r = say(FAILED, "as written again: %s", why);
    }
    pare_graph_free(again);
    return r;
}

/* The model as it stands now, with the inputs that are left. */
static result run_model(the_case *c)
{
    pare_graph *g = NULL;
    pare_tensor in[PARE_MAX_IN] = { { 0 } };
    pare_shape shape[PARE_MAX_IN];
    pare_tensor_source none = { 0 };
    size_t size = onnx__model_proto__get_packed_size(c->model);
    uint8_t *bytes = pare_arena_alloc(c->arena, size);
    onnx__model_proto__pack(c->model, bytes);
    pare_status st = pare_model_load_memory(bytes, size, c->name, &g);
    for (size_t i = 0; st == PARE_OK && i < c->n_in; i++) {
        st = pare_tensor_read(&none, c->in[i], &in[i]);
        shape[i] = (pare_shape){ c->model->graph->input[i]->name, in[i].rank, { 0 } };
        memcpy(shape[i].dim, in[i].dim, sizeof in[i].dim);
    }
    result r = PASSED;
    /* Under an opset that is not its own a model may well contradict itself. */
    if (st != PARE_OK)
        r = say(st == PARE_EUNSUPPORTED || c->clamped ? REFUSED : FAILED, "%s", pare_error());
    if (r == PASSED) r = run_plan(c, g, NULL, in, shape);
    if (r == PASSED) r = run_plan(c, g, "reference", in, shape);
    if (r == PASSED) r = run_written(c, g, in, shape);
    for (size_t i = 0; i < c->n_in; i++) pare_tensor_free(&in[i]);
    pare_graph_free(g);
    return r;
}

static result run_data_set(the_case *c, int set)
{
    char file[64];
    c->model = read_message(c, "model.onnx", &onnx__model_proto__descriptor);
    if (!c->model || !c->model->graph) return say(FAILED, "the model cannot be read");
    Onnx__GraphProto *g = c->model->graph;
    for (size_t i = 0; i < g->n_node; i++) {
        if (!known(g->node[i])) return say(NOT_IN_SCOPE, "operator %s", g->node[i]->op_type);
        const char *op = g->node[i]->op_type;
        c->rounds |= strncmp(op, "QLinear", 7) == 0 || strstr(op, "QuantizeLinear");
    }
    c->clamped = clamp_versions(c->model);
    for (c->n_in = 0; c->n_in < PARE_MAX_IN; c->n_in++) {
        snprintf(file, sizeof file, "test_data_set_%d/input_%zu.pb", set, c->n_in);
        c->in[c->n_in] = read_message(c, file, &onnx__tensor_proto__descriptor);
        if (!c->in[c->n_in]) break;
    }
    for (c->n_out = 0; c->n_out < PARE_MAX_OUT; c->n_out++) {
        snprintf(file, sizeof file, "test_data_set_%d/output_%zu.pb", set, c->n_out);
        c->want[c->n_out] = read_message(c, file, &onnx__tensor_proto__descriptor);
        if (!c->want[c->n_out]) break;
    }
    if (c->n_in > g->n_input)
        return say(FAILED, "%zu inputs for a model with %zu", c->n_in, g->n_input);
    result r = run_model(c);
    for (size_t first = c->n_in;
         r == REFUSED && strstr(message, "only known when running") && first > 0;) {
        first = first > 1 ? 1 : 0;
        bind_inputs(c, first);
        r = run_model(c);
    }
    return r;
}

static void run_case(const char *folder, const char *name)
{
    result r = PASSED;
    message[0] = 0;
    for (int set = 0; r == PASSED; set++) {
        char path[PATH];
        struct stat s;
        snprintf(path, sizeof path, "%s/test_data_set_%d", folder, set);
        if (stat(path, &s) != 0) {
            if (set == 0) r = say(NOT_IN_SCOPE, "no data");
            break;
        }
        the_case c = { .name = name, .folder = folder, .arena = pare_arena_new(0) };
        r = run_data_set(&c, set);
        pare_arena_free(c.arena);
    }
    bool expected = listed(name);
    if (r == REFUSED && !expected)
        r = FAILED;
    else if (r == PASSED && expected)
        r = say(FAILED, "it passes, but stands in refused.txt");
    counts[r]++;
    if (r == FAILED) print_message("FAILED %s: %s\n", name, message);
    if (getenv("PARE_ONNX_VERBOSE") && (r == REFUSED || r == NOT_IN_SCOPE))
        print_message("%s %s: %s\n", r == REFUSED ? "refused" : "not in scope", name, message);
}

static int visible(const struct dirent *e) { return e->d_name[0] != '.'; }

/* A folder with a model is a case; others hold more folders. */
static void walk(const char *folder, const char *name, int depth)
{
    char path[PATH];
    struct dirent **list;
    snprintf(path, sizeof path, "%s/model.onnx", folder);
    if (pare_file_exists(path)) {
        run_case(folder, name);
        return;
    }
    int n = depth < 3 ? scandir(folder, &list, visible, alphasort) : -1;
    for (int i = 0; i < n; i++) {
        struct stat s;
        int length = snprintf(path, sizeof path, "%s/%s", folder, list[i]->d_name);
        if (length > 0 && length < PATH && stat(path, &s) == 0 && S_ISDIR(s.st_mode))
            walk(path, list[i]->d_name, depth + 1);
        free(list[i]);
    }
    if (n >= 0) free(list);
}

static void test_cases(void **state)
{
    (void)state;
    char folders[4096];
    const char *more = getenv("PARE_ONNX_TESTS");
    snprintf(folders, sizeof folders, "%s:%s", DEBIAN_DATA, more ? more : "");
    for (char *folder = strtok(folders, ":"); folder; folder = strtok(NULL, ":")) {
        int before[RESULTS];
        memcpy(before, counts, sizeof before);
        walk(folder, folder, 0);
        print_message("%s: %d passed, %d refused, %d failed, %d not in scope\n", folder,
                      counts[PASSED] - before[PASSED], counts[REFUSED] - before[REFUSED],
                      counts[FAILED] - before[FAILED], counts[NOT_IN_SCOPE] - before[NOT_IN_SCOPE]);
    }
    if (counts[PASSED] + counts[REFUSED] + counts[FAILED] + counts[NOT_IN_SCOPE] == 0) skip();
    print_message("%d passed, %d refused, %d failed\n", counts[PASSED], counts[REFUSED],
                  counts[FAILED]);
    assert_int_equal(counts[FAILED], 0);
    assert_true(counts[PASSED] > 400); /* a walk that finds nothing to run proves nothing */
}

/* Every operator that networks need is there: otherwise its cases would silently be out of scope.
 */
static void test_operators_are_registered(void **state)
{
    (void)state;
    static const char *const names[] = {
        "Conv",
        "ConvTranspose",
        "Gemm",
        "MatMul",
        "BatchNormalization",
        "InstanceNormalization",
        "LayerNormalization",
        "LRN",
        "MaxPool",
        "AveragePool",
        "GlobalMaxPool",
        "GlobalAveragePool",
        "Relu",
        "LeakyRelu",
        "PRelu",
        "Elu",
        "Selu",
        "Celu",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Softplus",
        "Softsign",
        "ThresholdedRelu",
        "Mish",
        "Gelu",
        "Tanh",
        "Erf",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Mod",
        "Min",
        "Max",
        "Sum",
        "Mean",
        "Neg",
        "Abs",
        "Sqrt",
        "Exp",
        "Log",
        "Floor",
        "Ceil",
        "Round",
        "Sign",
        "Reciprocal",
        "Not",
        "And",
        "Or",
        "Xor",
        "Equal",
        "Greater",
        "Less",
        "GreaterOrEqual",
        "LessOrEqual",
        "ReduceSum",
        "ReduceMean",
        "ReduceMax",
        "ReduceMin",
        "ReduceProd",
        "ReduceL1",
        "ReduceL2",
        "ReduceLogSum",
        "ReduceLogSumExp",
        "ReduceSumSquare",
        "Softmax",
        "LogSoftmax",
        "Concat",
        "Split",
        "Slice",
        "Gather",
        "GatherElements",
        "GatherND",
        "ScatterElements",
        "ScatterND",
        "Reshape",
        "Flatten",
        "Transpose",
        "Squeeze",
        "Unsqueeze",
        "Expand",
        "Tile",
        "Pad",
        "Resize",
        "Shape",
        "Size",
        "Constant",
        "ConstantOfShape",
        "Cast",
        "CastLike",
        "Clip",
        "Where",
        "ArgMax",
        "ArgMin",
        "TopK",
        "DepthToSpace",
        "SpaceToDepth",
        "Dropout",
        "Identity",
        "QuantizeLinear",
        "DequantizeLinear",
        "QLinearConv",
        "QLinearMatMul",
        "ConvInteger",
        "MatMulInteger",
        "Range",
        "OneHot",
        "Trilu",
        "EyeLike",
        "NonZero",
        "CumSum",
        "BitShift",
        "IsNaN",
        "IsInf",
    };
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (!pare_op_find(names[i])) fail_msg("operator %s is not registered", names[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_operators_are_registered),
        cmocka_unit_test(test_cases),
    };
    return cmocka_run_group_tests(tests, read_patterns, drop_patterns);
}
