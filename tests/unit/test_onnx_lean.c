/* Long weights are read past protobuf: the same numbers from memory and from a file, the last of
 * several wins, and a file that shrinks is an error. */
#define _DEFAULT_SOURCE
#include "base/files.h"
#include "graph/graph.h"
#include "onnx/onnx.h"
#include "onnx_make.h"

#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

enum { N = 70000 }; /* floats of a long weight: more than a window of the file */
static float rising[N], falling[N];

typedef struct bytes {
    uint8_t data[1 << 21];
    size_t size;
} bytes;

static void put(bytes *b, const void *data, size_t size)
{
    assert_true(b->size + size <= sizeof b->data);
    memcpy(b->data + b->size, data, size);
    b->size += size;
}

static void put_field(bytes *b, int number, const void *data, size_t size)
{
    uint8_t head[11] = { (uint8_t)(number << 3 | 2) };
    int n = 1;
    for (size_t left = size;; left >>= 7) {
        head[n++] = (uint8_t)((left & 127) | (left > 127 ? 128 : 0));
        if (left <= 127) break;
    }
    put(b, head, (size_t)n);
    put(b, data, size);
}

static void put_message(bytes *b, const ProtobufCMessage *m)
{
    uint8_t *packed = malloc(protobuf_c_message_get_packed_size(m) + 1);
    put(b, packed, protobuf_c_message_pack(m, packed));
    free(packed);
}

/* y = x + w, w of N numbers, whose raw_data is given once for each of `raw` (length 0 ends). The
 * initialiser stands in a graph field of its own; `twice` gives a second one, u, in a third. */
static bytes *model(const float *const raw[], const size_t count[], bool twice)
{
    bytes *b = calloc(1, sizeof *b), *tensor = calloc(1, sizeof *b), *graph = calloc(1, sizeof *b);
    make m = make_new(17);
    int64_t dim = N;
    make_input(&m, "x", 1, 1, &dim);
    make_output(&m, "y", 1, 1, &dim);
    make_node(&m, "Add", "add", twice ? "u w" : "x w", "y");
    put_message(b, &m.model->base);
    for (const char *name = "w"; name; name = twice && *name == 'w' ? "u" : NULL) {
        Onnx__TensorProto *t = make_tensor(&m, name, 1, 1, &dim, NULL, 0);
        tensor->size = graph->size = 0;
        for (int i = 0; count[i]; i++) {
            put_field(tensor, 9, raw[i], count[i] * sizeof(float));
            if (i == 0) put_message(tensor, &t->base);
        }
        put_field(graph, 5, tensor->data, tensor->size);
        put_field(b, 7, graph->data, graph->size);
    }
    make_free(&m);
    free(tensor);
    free(graph);
    return b;
}

static pare_status load(const bytes *b, bool from_file, pare_graph **g)
{
    char path[] = "/tmp/pare-lean-XXXXXX";
    if (!from_file) return pare_model_load_memory(b->data, b->size, "m.onnx", g);
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(pare_write_file(path, b->data, b->size, true), PARE_OK);
    pare_status st = pare_model_load(path, g);
    close(fd);
    unlink(path);
    return st;
}

static void expect_numbers(const pare_graph *g, const char *name, const float *want)
{
    pare_id v = pare_graph_find(g, name);
    assert_true(v != PARE_NONE && g->value[v].weight);
    assert_memory_equal(g->value[v].weight->part[0].data, want, N * sizeof *want);
}

static void test_numbers(void **state)
{
    (void)state;
    const float *const raw[] = { rising, falling };
    for (int file = 0; file < 2; file++) {
        pare_graph *g;
        bytes *b = model(raw, (size_t[]){ N, 0 }, false);
        assert_int_equal(load(b, file, &g), PARE_OK);
        expect_numbers(g, "w", rising);
        pare_graph_free(g);
        free(b);
        b = model(raw, (size_t[]){ N, 0 }, true);
        assert_int_equal(load(b, file, &g), PARE_OK);
        expect_numbers(g, "w", rising);
        expect_numbers(g, "u", rising);
        pare_graph_free(g);
        free(b);
    }
}

static void test_last_counts(void **state)
{
    (void)state;
    const float *const raw[] = { rising, falling };
    for (int file = 0; file < 2; file++) {
        pare_graph *g;
        bytes *b = model(raw, (size_t[]){ N, N, 0 }, false);
        assert_int_equal(load(b, file, &g), PARE_OK);
        expect_numbers(g, "w", falling);
        pare_graph_free(g);
        free(b);
        b = model(raw, (size_t[]){ 1, N, 0 }, false);
        assert_int_equal(load(b, file, &g), PARE_OK);
        expect_numbers(g, "w", falling);
        pare_graph_free(g);
        free(b);
        b = model(raw, (size_t[]){ N, 1, 0 }, false);
        assert_int_equal(load(b, file, &g), PARE_EFORMAT);
        assert_non_null(strstr(pare_error(), "it has 4 bytes of data"));
        free(b);
        b = model(raw, (size_t[]){ N - 1, 0 }, false);
        assert_int_equal(load(b, file, &g), PARE_EFORMAT);
        assert_non_null(strstr(pare_error(), "it has 279996 bytes of data"));
        free(b);
    }
}

/* The lean copy is what a reader of the whole would make of it, raw_data apart. */
static void test_lean_copy(void **state)
{
    (void)state;
    bytes *b = model((const float *const[]){ rising }, (size_t[]){ N, 0 }, true);
    pare_onnx_bytes in = { .data = b->data, .fd = -1, .size = b->size };
    uint8_t *data;
    size_t size, n;
    pare_onnx_cut *cut;
    assert_int_equal(pare_onnx_scan(&in), PARE_OK);
    assert_int_equal(pare_onnx_lean(&in, &data, &size, &cut, &n), PARE_OK);
    assert_true(size < 1000 && n == 2);
    assert_memory_equal(b->data + cut[1].at, rising, cut[1].size);
    assert_true(cut[0].size == sizeof rising && cut[0].at < cut[1].at);
    Onnx__ModelProto *whole = onnx__model_proto__unpack(NULL, b->size, b->data),
                     *lean = onnx__model_proto__unpack(NULL, size, data);
    assert_true(whole && lean && lean->graph->n_initializer == 2);
    for (int i = 0; i < 2; i++) {
        Onnx__TensorProto *t = lean->graph->initializer[i];
        assert_true(t->has_raw_data && t->raw_data.len == 0);
        t->raw_data = whole->graph->initializer[i]->raw_data;
    }
    size_t packed = onnx__model_proto__get_packed_size(whole);
    assert_int_equal(onnx__model_proto__get_packed_size(lean), packed);
    uint8_t *one = malloc(packed), *other = malloc(packed);
    onnx__model_proto__pack(whole, one);
    onnx__model_proto__pack(lean, other);
    assert_memory_equal(one, other, packed);
    for (int i = 0; i < 2; i++) lean->graph->initializer[i]->raw_data = (ProtobufCBinaryData){ 0 };
    onnx__model_proto__free_unpacked(lean, NULL);
    onnx__model_proto__free_unpacked(whole, NULL);
    free(one);
    free(other);
    free(data);
    free(cut);
    free(b);
}

static void test_shrunken_file(void **state)
{
    (void)state;
    char path[] = "/tmp/pare-lean-XXXXXX";
    int fd = mkstemp(path);
    bytes *b = model((const float *const[]){ rising }, (size_t[]){ N, 0 }, false);
    assert_int_equal(pare_write_file(path, b->data, b->size, true), PARE_OK);
    pare_onnx_bytes in;
    assert_int_equal(pare_onnx_bytes_open(path, 100, &in), PARE_ELIMIT);
    pare_onnx_bytes_close(&in);
    assert_int_equal(pare_onnx_bytes_open(path, 1 << 30, &in), PARE_OK);
    in.size += 100;
    assert_int_equal(pare_onnx_scan(&in), PARE_EIO);
    uint8_t byte;
    assert_int_equal(pare_onnx_bytes_read(&in, 0, &byte, 1), PARE_EIO);
    pare_onnx_bytes_close(&in);
    assert_int_equal(pare_onnx_bytes_open("/tmp", 1 << 30, &in), PARE_EIO);
    pare_onnx_bytes_close(&in);
    close(fd);
    unlink(path);
    free(b);
}

/* Turns the last initialiser's raw_data into a doc_string and back, all the time: what is counted
 * is not what is copied then. */
typedef struct flipping {
    int fd;
    off_t at;
    atomic_bool stop;
} flipping;
static void *flip(void *user)
{
    flipping *f = user;
    const uint8_t tag[] = { 9 << 3 | 2, 12 << 3 | 2 };
    for (unsigned i = 0; !atomic_load(&f->stop); i++)
        if (pwrite(f->fd, &tag[i & 1], 1, f->at) != 1) break;
    return NULL;
}

static void test_changing_file(void **state)
{
    (void)state;
    char path[] = "/tmp/pare-lean-XXXXXX";
    flipping f = { .fd = mkstemp(path) };
    bytes *b = model((const float *const[]){ rising }, (size_t[]){ N, 0 }, true);
    assert_int_equal(pare_write_file(path, b->data, b->size, true), PARE_OK);
    close(f.fd);
    f.fd = open(path, O_WRONLY);
    const uint8_t tag[] = { 9 << 3 | 2, 0xc0, 0x8b, 0x11 }; /* and the length: 4 N */
    for (f.at = (off_t)b->size - 4; memcmp(b->data + f.at, tag, sizeof tag) != 0;) f.at--;
    pthread_t other;
    assert_int_equal(pthread_create(&other, NULL, flip, &f), 0);
    for (int i = 0; i < 400; i++) {
        pare_graph *g = NULL;
        pare_status st = pare_model_load(path, &g);
        if (st == PARE_OK)
            pare_graph_free(g);
        else if (st != PARE_EIO && st != PARE_EFORMAT)
            fail_msg("status %d: %s", st, pare_error());
    }
    atomic_store(&f.stop, true);
    pthread_join(other, NULL);
    close(f.fd);
    unlink(path);
    free(b);
}

int main(void)
{
    for (int i = 0; i < N; i++) rising[i] = (float)i, falling[i] = (float)(N - i);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),       cmocka_unit_test(test_last_counts),
        cmocka_unit_test(test_lean_copy),     cmocka_unit_test(test_shrunken_file),
        cmocka_unit_test(test_changing_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
