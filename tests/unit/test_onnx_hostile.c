/* Hostile files: truncation at every byte, mutants of small models, nesting and counts beyond the
 * limits. None may crash, hang or leak; what loads must save and load again. ctest label: slow
 *
 * PARE_SEED and PARE_MUTANTS repeat or extend the random part; a failing mutant is named by its
 * number. */
#include "base/files.h"
#include "base/rng.h"
#include "onnx_seeds.h"
#include "pare/plan.h"
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

static const char *running = "";

static pare_status go_on(void *user, const char *node, const char *op, const char *remedy)
{
    return PARE_OK;
}

/* Runs a loaded model once on zeros, if that is little work. */
static void run_once(const pare_graph *g)
{
    pare_info info;
    if (pare_model_info(g, 1, NULL, 0, &info) != PARE_OK) return;
    bool small = info.macs < 1e6 && info.peak_activation_bytes < 1e6;
    for (size_t i = 0; small && i < info.n_layers; i++)
        small = pare_numel(info.layer[i].shape.rank, info.layer[i].shape.dim) < 100000;
    pare_plan *plan = NULL;
    const pare_plan_options one = { .threads = 1 };
    if (small && pare_plan_create(g, &one, &plan) == PARE_OK) {
        pare_tensor in[8] = { 0 }, out[8] = { 0 };
        pare_status st = info.n_inputs <= 8 && info.n_outputs <= 8 ? PARE_OK : PARE_EINVAL;
        for (size_t i = 0; st == PARE_OK && i < info.n_inputs; i++)
            st = pare_tensor_of(&info.input[i].type, &in[i]);
        for (size_t i = 0; st == PARE_OK && i < info.n_outputs; i++)
            st = pare_tensor_of(&info.output[i].type, &out[i]);
        if (st == PARE_OK) st = pare_plan_run(plan, in, out);
        for (int i = 0; i < 8; i++) {
            pare_tensor_free(&in[i]);
            pare_tensor_free(&out[i]);
        }
    }
    pare_plan_free(plan);
    pare_info_free(&info);
}

/* Everything that a file goes through. Returns whether it loaded. */
static bool try_bytes(const uint8_t *bytes, size_t size)
{
    pare_graph *g = NULL, *h = NULL;
    static const pare_onnx_sink sink = { go_on, NULL };
    pare_status st = pare_model_load_memory(bytes, size, "m.onnx", &g);
    if (st != PARE_OK) {
        bool fit = st == PARE_EFORMAT || st == PARE_EUNSUPPORTED || st == PARE_ELIMIT;
        if (!fit || strncmp(pare_error(), "m.onnx: ", 8) != 0)
            fail_msg("%s: status %d '%s'", running, (int)st, pare_error());
        if (pare_onnx_read(bytes, size, "m.onnx", NULL, (pare_onnx_shapes){ NULL, 0 }, &sink, &h) ==
            PARE_OK)
            pare_graph_free(h);
        return false;
    }
    if (pare_graph_check(g) != PARE_OK) fail_msg("%s: %s", running, pare_error());
    uint8_t *again;
    if (pare_onnx_write(g, &again, &size) != PARE_OK) fail_msg("%s: %s", running, pare_error());
    if (pare_model_load_memory(again, size, "again.onnx", &h) != PARE_OK)
        fail_msg("%s: %s", running, pare_error());
    free(again);
    run_once(g);
    pare_graph_free(g);
    pare_graph_free(h);
    return true;
}

static void test_truncation(void **state)
{
    (void)state;
    for (int seed = 0; seed < SEED_COUNT; seed++) {
        make m;
        size_t size;
        const uint8_t *bytes = seed_bytes(seed, &m, &size);
        char name[64];
        for (size_t n = 0; n < size; n++) {
            uint8_t *exact =
                malloc(n ? n : 1); /* so that the sanitizer sees a read beyond the end */
            assert_non_null(exact);
            memcpy(exact, bytes, n);
            snprintf(name, sizeof name, "seed %d cut to %zu bytes", seed, n);
            running = name;
            (void)try_bytes(exact, n);
            free(exact);
        }
        running = "whole";
        assert_true(try_bytes(bytes, size));
        make_free(&m);
    }
}

/* --- mutation by the message descriptors: any field of any message of the tree --- */
typedef struct tree {
    ProtobufCMessage *message[4000];
    size_t n;
} tree;

static size_t count_of(const ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return *(const size_t *)(const void *)((const char *)m + f->quantifier_offset);
}
static void set_count(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f, size_t n)
{
    *(size_t *)(void *)((char *)m + f->quantifier_offset) = n;
}
static void *member(ProtobufCMessage *m, const ProtobufCFieldDescriptor *f)
{
    return (char *)m + f->offset;
}
static bool in_oneof(const ProtobufCFieldDescriptor *f)
{
    return f->flags & PROTOBUF_C_FIELD_FLAG_ONEOF;
}

/* The messages of the tree, each after its parent. */
static void collect(tree *t, ProtobufCMessage *root)
{
    t->n = 0;
    t->message[t->n++] = root;
    for (size_t i = 0; i < t->n; i++) {
        ProtobufCMessage *m = t->message[i];
        for (unsigned k = 0; k < m->descriptor->n_fields; k++) {
            const ProtobufCFieldDescriptor *f = &m->descriptor->fields[k];
            if (f->type != PROTOBUF_C_TYPE_MESSAGE) continue;
            if (f->label == PROTOBUF_C_LABEL_REPEATED) {
                ProtobufCMessage **list = *(ProtobufCMessage ***)member(m, f);
                for (size_t j = 0; j < count_of(m, f) && t->n < 4000; j++)
                    t->message[t->n++] = list[j];
            } else if (!in_oneof(f) ||
                       *(uint32_t *)(void *)((char *)m + f->quantifier_offset) == f->id) {
                ProtobufCMessage *one = *(ProtobufCMessage **)member(m, f);
                if (one && t->n < 4000) t->message[t->n++] = one;
            }
        }
    }
}

static size_t item_size(ProtobufCType type)
{
    switch (type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_MESSAGE: return 8;
    case PROTOBUF_C_TYPE_BYTES: return sizeof(ProtobufCBinaryData);
    default: return 4;
    }
}

static const int64_t odd_numbers[] = { 0,
                                       1,
                                       -1,
                                       2,
                                       3,
                                       4,
                                       7,
                                       8,
                                       9,
                                       16,
                                       17,
                                       64,
                                       65,
                                       -2,
                                       127,
                                       255,
                                       65536,
                                       INT32_MAX,
                                       INT32_MIN,
                                       INT64_C(1) << 32,
                                       INT64_C(1) << 31,
                                       INT64_MAX,
                                       INT64_MIN,
                                       INT64_MAX / 2 + 1 };
static const double odd_reals[] = { 0,       -0.0,     1,         -1,          1e-45, 3.4e38,
                                    -3.4e38, HUGE_VAL, -HUGE_VAL, (double)NAN, 0.5,   1e10 };
static const char *const odd_texts[] = { "",           "x",          "y",     "w",       "NOTSET",
                                         "SAME_UPPER", "linear",     "%n%s",  "\033[2J", "\xff\xfe",
                                         "ai.onnx",    "pare.codec", "penni", "a/../b",  "axes" };
static const char *const operators[] = { "Conv",
                                         "Gemm",
                                         "Reshape",
                                         "Concat",
                                         "Constant",
                                         "Softmax",
                                         "Slice",
                                         "Pad",
                                         "Resize",
                                         "TopK",
                                         "Split",
                                         "Cast",
                                         "Expand",
                                         "Tile",
                                         "Gather",
                                         "ReduceSum",
                                         "MatMul",
                                         "ConstantOfShape",
                                         "Range",
                                         "MaxPool",
                                         "ConvTranspose",
                                         "QLinearConv",
                                         "BatchNormalization",
                                         "Where",
                                         "Transpose",
                                         "Unsqueeze",
                                         "If",
                                         "Loop" };

#define PICK(rng, array) (array)[pare_rng_below(rng, sizeof(array) / sizeof *(array))]

/* A string that occurs in the model, an odd one, or an operator. */
static char *pick_text(pare_rng *rng, const tree *t)
{
    if (pare_rng_below(rng, 4) == 0) return (char *)PICK(rng, odd_texts);
    if (pare_rng_below(rng, 4) == 0) return (char *)PICK(rng, operators);
    for (int tries = 0; tries < 20; tries++) {
        ProtobufCMessage *m = t->message[pare_rng_below(rng, t->n)];
        if (m->descriptor == &onnx__node_proto__descriptor) {
            Onnx__NodeProto *n = (Onnx__NodeProto *)m;
            if (n->n_output) return n->output[pare_rng_below(rng, n->n_output)];
        }
        if (m->descriptor == &onnx__tensor_proto__descriptor && ((Onnx__TensorProto *)m)->name)
            return ((Onnx__TensorProto *)m)->name;
        if (m->descriptor == &onnx__attribute_proto__descriptor &&
            ((Onnx__AttributeProto *)m)->name)
            return ((Onnx__AttributeProto *)m)->name;
    }
    return (char *)"x";
}

/* One scalar at `at`. */
static void mutate_scalar(pare_rng *rng, const tree *t, pare_arena *arena,
                          const ProtobufCFieldDescriptor *f, void *at)
{
    switch (f->type) {
    case PROTOBUF_C_TYPE_INT64:
    case PROTOBUF_C_TYPE_UINT64:
        *(uint64_t *)at = pare_rng_below(rng, 3) ? (uint64_t)PICK(rng, odd_numbers)
                                                 : *(uint64_t *)at + pare_rng_below(rng, 5) - 2;
        break;
    case PROTOBUF_C_TYPE_FLOAT: *(float *)at = (float)PICK(rng, odd_reals); break;
    case PROTOBUF_C_TYPE_DOUBLE: *(double *)at = PICK(rng, odd_reals); break;
    case PROTOBUF_C_TYPE_STRING: *(char **)at = pick_text(rng, t); break;
    case PROTOBUF_C_TYPE_BYTES: {
        ProtobufCBinaryData *b = at;
        uint8_t *copy = pare_arena_alloc(arena, b->len + 32);
        if (b->len) memcpy(copy, b->data, b->len);
        switch (pare_rng_below(rng, 4)) {
        case 0: b->len += pare_rng_below(rng, 32); break;
        case 1: b->len = pare_rng_below(rng, b->len + 1); break;
        case 2: b->len = (size_t)snprintf((char *)copy, 32, "%s", PICK(rng, odd_texts)); break;
        default:
            for (int i = 0; b->len && i < 8; i++)
                copy[pare_rng_below(rng, b->len)] = (uint8_t)PICK(rng, odd_numbers);
        }
        b->data = copy;
        break;
    }
    default:
        *(int32_t *)at = (int32_t)(pare_rng_below(rng, 2) ? PICK(rng, odd_numbers)
                                                          : (int64_t)pare_rng_below(rng, 30));
        break;
    }
}

/* A message of the same type from elsewhere in the tree; the tree must stay one, so the copy is
 * deep. */
static ProtobufCMessage *graft(pare_rng *rng, const tree *t, pare_arena *arena,
                               const ProtobufCMessageDescriptor *type)
{
    for (int tries = 0; tries < 50; tries++) {
        ProtobufCMessage *m = t->message[pare_rng_below(rng, t->n)];
        if (m->descriptor != type) continue;
        size_t size = protobuf_c_message_get_packed_size(m);
        uint8_t *bytes = pare_arena_alloc(arena, size);
        protobuf_c_message_pack(m, bytes);
        ProtobufCAllocator a = pare_proto_allocator(arena);
        return protobuf_c_message_unpack(type, &a, size, bytes);
    }
    ProtobufCMessage *empty = pare_arena_alloc(arena, type->sizeof_message);
    protobuf_c_message_init(type, empty);
    return empty;
}

static void mutate_list(pare_rng *rng, const tree *t, pare_arena *arena, ProtobufCMessage *m,
                        const ProtobufCFieldDescriptor *f)
{
    size_t n = count_of(m, f), size = item_size(f->type), at = n ? pare_rng_below(rng, n) : 0;
    char **list = member(m, f), *copy = pare_arena_alloc(arena, (n + 1) * size);
    if (n) memcpy(copy, *list, n * size);
    *list = copy;
    uint64_t what = pare_rng_below(rng, 4);
    if (n && what == 0) { /* drop one */
        memmove(copy + at * size, copy + (at + 1) * size, (n - at - 1) * size);
        set_count(m, f, n - 1);
    } else if (n && what == 1) { /* exchange two */
        size_t other = pare_rng_below(rng, n);
        char swap[32];
        memcpy(swap, copy + at * size, size);
        memcpy(copy + at * size, copy + other * size, size);
        memcpy(copy + other * size, swap, size);
    } else { /* change one, or add one */
        bool add = n == 0 || what == 2;
        if (add && n) memcpy(copy + n * size, copy + at * size, size);
        if (add) at = n;
        if (f->type == PROTOBUF_C_TYPE_MESSAGE)
            *(ProtobufCMessage **)(void *)(copy + at * size) = graft(rng, t, arena, f->descriptor);
        else
            mutate_scalar(rng, t, arena, f, copy + at * size);
        if (add) set_count(m, f, n + 1); /* last: what is grafted may contain this very list */
    }
}

static void mutate(pare_rng *rng, tree *t, pare_arena *arena)
{
    collect(t, t->message[0]);
    ProtobufCMessage *m = t->message[pare_rng_below(rng, t->n)];
    const ProtobufCFieldDescriptor *f =
        &m->descriptor->fields[pare_rng_below(rng, m->descriptor->n_fields)];
    if (f->label == PROTOBUF_C_LABEL_REPEATED) {
        mutate_list(rng, t, arena, m, f);
        return;
    }
    bool text = f->type == PROTOBUF_C_TYPE_STRING || f->type == PROTOBUF_C_TYPE_MESSAGE;
    if (in_oneof(f))
        *(uint32_t *)(void *)((char *)m + f->quantifier_offset) = f->id;
    else if (!text)
        *(protobuf_c_boolean *)(void *)((char *)m + f->quantifier_offset) =
            pare_rng_below(rng, 8) != 0;
    if (f->type == PROTOBUF_C_TYPE_MESSAGE)
        *(ProtobufCMessage **)member(m, f) =
            pare_rng_below(rng, 3) || in_oneof(f) ? graft(rng, t, arena, f->descriptor) : NULL;
    else
        mutate_scalar(rng, t, arena, f, member(m, f));
}

static void mutate_bytes(pare_rng *rng, uint8_t *bytes, size_t *size)
{
    for (uint64_t i = pare_rng_below(rng, 4) + 1; i > 0; i--) {
        size_t at = pare_rng_below(rng, *size);
        switch (pare_rng_below(rng, 5)) {
        case 0: bytes[at] ^= (uint8_t)(1u << pare_rng_below(rng, 8)); break;
        case 1: bytes[at] = (uint8_t)pare_rng_below(rng, 256); break;
        case 2: bytes[at] = 0xff; break;
        case 3: /* drop a byte */
            memmove(bytes + at, bytes + at + 1, *size - at - 1);
            if (*size > 1) --*size;
            break;
        default: bytes[at] = bytes[pare_rng_below(rng, *size)];
        }
    }
}

static long number_from(const char *name, long otherwise)
{
    const char *s = getenv(name);
    return s ? atol(s) : otherwise;
}

static void test_mutants(void **state)
{
    (void)state;
    long seed = number_from("PARE_SEED", 1), mutants = number_from("PARE_MUTANTS", 5000),
         loaded = 0;
    print_message("%ld mutants from PARE_SEED=%ld\n", mutants, seed);
    make m[SEED_COUNT];
    const uint8_t *bytes[SEED_COUNT];
    size_t size[SEED_COUNT];
    for (int s = 0; s < SEED_COUNT; s++) bytes[s] = seed_bytes(s, &m[s], &size[s]);
    for (long i = 0; i < mutants; i++) {
        pare_rng rng = pare_rng_stream((uint64_t)seed, (uint64_t)i);
        int s = (int)pare_rng_below(&rng, SEED_COUNT);
        char name[64];
        snprintf(name, sizeof name, "PARE_SEED=%ld mutant %ld of seed %d", seed, i, s);
        running = name;
        pare_arena *arena = pare_arena_new(0);
        ProtobufCAllocator a = pare_proto_allocator(arena);
        uint8_t *mutant;
        size_t n = size[s];
        if (i % 5 < 3) {
            static tree t;
            t.message[0] =
                protobuf_c_message_unpack(&onnx__model_proto__descriptor, &a, n, bytes[s]);
            t.n = 1;
            for (uint64_t k = pare_rng_below(&rng, 3) + 1; k > 0; k--) mutate(&rng, &t, arena);
            n = protobuf_c_message_get_packed_size(t.message[0]);
            mutant = malloc(n + 1);
            assert_non_null(mutant);
            protobuf_c_message_pack(t.message[0], mutant);
        } else {
            mutant = malloc(n);
            assert_non_null(mutant);
            memcpy(mutant, bytes[s], n);
            mutate_bytes(&rng, mutant, &n);
        }
        const char *keep = getenv("PARE_KEEP"); /* writes each mutant before it is tried */
        if (keep) assert_int_equal(pare_write_file(keep, mutant, n, true), PARE_OK);
        loaded += try_bytes(mutant, n);
        free(mutant);
        pare_arena_free(arena);
    }
    for (int s = 0; s < SEED_COUNT; s++) make_free(&m[s]);
    print_message("%ld of them loaded\n", loaded);
    if (mutants >= 1000)
        assert_true(loaded > mutants / 50 &&
                    loaded < mutants); /* neither all noise nor no effect */
}

/* --- limits --- */
static size_t put_varint(uint8_t *p, uint64_t v)
{
    size_t n = 0;
    for (; v > 127; v >>= 7) p[n++] = (uint8_t)(v | 128);
    p[n++] = (uint8_t)v;
    return n;
}

/* model { graph { node { attribute { g { node ... } } } } }, `levels` graphs deep. Built from the
 * inside out.
 */
static uint8_t *nested(int levels, size_t *size)
{
    size_t cap = (size_t)levels * 40 + 64, at = cap;
    uint8_t *buf = malloc(cap), head[16];
    assert_non_null(buf);
    for (int level = 0; level < levels; level++) {
        static const uint8_t inner[] = { 6 << 3 | 2, 5 << 3 | 2,
                                         1 << 3 | 2 }; /* g, attribute, node */
        for (int k = 0; level && k < 3; k++) {
            head[0] = inner[k];
            size_t n = 1 + put_varint(head + 1, cap - at);
            at -= n;
            memcpy(buf + at, head, n);
        }
    }
    head[0] = 7 << 3 | 2; /* graph */
    size_t n = 1 + put_varint(head + 1, cap - at);
    at -= n;
    memcpy(buf + at, head, n);
    *size = cap - at;
    memmove(buf, buf + at, *size);
    return buf;
}

static void expect_failure(const uint8_t *bytes, size_t size, pare_status code, const char *part)
{
    pare_graph *g = NULL;
    pare_status st = pare_model_load_memory(bytes, size, "m.onnx", &g);
    if (st != code || !strstr(pare_error(), part))
        fail_msg("status %d '%s', wanted '%s'", (int)st, st ? pare_error() : "", part);
}

static void test_nesting(void **state)
{
    (void)state;
    static const int levels[] = { 20, 21, 22, 64, 4000, 100000 };
    for (size_t i = 0; i < sizeof levels / sizeof *levels; i++) {
        size_t size;
        uint8_t *bytes = nested(levels[i], &size);
        /* A level is three messages; the model and its graph come on top: 21 levels are 62 deep, 22
         * are 65.
         */
        if (levels[i] > 21)
            expect_failure(bytes, size, PARE_ELIMIT, "nested deeper than 64");
        else
            expect_failure(bytes, size, PARE_EFORMAT, "m.onnx: it is not an ONNX model");
        free(bytes);
    }
}

static void test_counts(void **state)
{
    (void)state;
    enum { NODES = 200001, FIELDS = 5000001 };
    uint8_t *bytes = malloc(2 * (size_t)FIELDS + 16), head[8];
    assert_non_null(bytes);
    size_t n = put_varint(head, 2 * (size_t)NODES);
    bytes[0] = 7 << 3 | 2;
    memcpy(bytes + 1, head, n);
    for (size_t i = 0; i < NODES; i++)
        memcpy(bytes + 1 + n + 2 * i, "\x0a\x00", 2); /* empty nodes */
    expect_failure(bytes, 1 + n + 2 * (size_t)NODES, PARE_ELIMIT, "more than 200000 nodes");
    for (size_t i = 0; i < FIELDS; i++)
        memcpy(bytes + 2 * i, "\x08\x03", 2); /* IR version 3, again and again */
    expect_failure(bytes, 2 * (size_t)FIELDS, PARE_ELIMIT, "more than 5000000 fields");
    free(bytes);
}

static void test_not_onnx(void **state)
{
    (void)state;
    expect_failure((const uint8_t *)"", 0, PARE_EFORMAT, "m.onnx: the file is empty");
    expect_failure((const uint8_t *)"\x08", 1, PARE_EFORMAT, "byte 0: an unfinished number");
    expect_failure((const uint8_t *)"<!DOCTYPE html>", 15, PARE_EFORMAT,
                   "m.onnx: it is no ONNX model but text");
    expect_failure((const uint8_t *)"PK\3\4", 4, PARE_EFORMAT, "a ZIP archive");
    expect_failure((const uint8_t *)"\x3a\x7f\x0a\x00", 4, PARE_EFORMAT,
                   "byte 0: a field of 127 bytes, but 2 are left in its parent");
    expect_failure((const uint8_t *)"\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 12,
                   PARE_EFORMAT, "byte 0: an unfinished number");
    uint8_t *zeros = calloc(10, 1 << 20);
    assert_non_null(zeros);
    expect_failure(zeros, 10 << 20, PARE_EFORMAT, "byte 0: field number 0");
    free(zeros);
}

/* A small file whose constants would fold into gigabytes, or keep the folder busy for hours. */
static void test_folding_bombs(void **state)
{
    (void)state;
    make m = make_new(17);
    make_init(&m, "shape", PARE_I64, 1, (int64_t[]){ 1 }, (int64_t[]){ 8000 }, 8);
    char name[32];
    for (int i = 0; i < 20000; i++) { /* each just below what is folded: 1.2 GB in all */
        snprintf(name, sizeof name, "c%d", i);
        make_node(&m, "ConstantOfShape", "", "shape", pare_arena_str(m.arena, name));
    }
    make_output(&m, "c0", PARE_F32, -1, NULL);
    size_t size;
    const uint8_t *bytes = make_bytes(&m, &size);
    pare_graph *g;
    if (pare_model_load_memory(bytes, size, "m.onnx", &g) != PARE_OK) fail_msg("%s", pare_error());
    pare_graph_free(g);
    make_free(&m);
    m = make_new(17);
    int64_t huge[] = { INT64_C(1) << 40 };
    make_init(&m, "shape", PARE_I64, 1, (int64_t[]){ 1 }, huge, 8);
    make_node(&m, "ConstantOfShape", "bomb", "shape", "y");
    make_output(&m, "y", PARE_F32, -1, NULL);
    bytes = make_bytes(&m, &size);
    expect_failure(bytes, size, PARE_ELIMIT, "node 'bomb'");
    make_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_not_onnx),      cmocka_unit_test(test_nesting),
        cmocka_unit_test(test_counts),        cmocka_unit_test(test_truncation),
        cmocka_unit_test(test_folding_bombs), cmocka_unit_test(test_mutants),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
