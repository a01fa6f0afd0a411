/* External data: read from the model's folder, and from nowhere else. */
#define _DEFAULT_SOURCE
#include "base/files.h"
#include "graph/graph.h"
#include "onnx_make.h"
#include "pare/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

static char top[] = "/tmp/pare-external-XXXXXX";

static const char *at(const char *name)
{
    static char path[8][128];
    static int next;
    char *p = path[next++ % 8];
    snprintf(p, sizeof *path, "%s/%s", top, name);
    return p;
}

static const float numbers[4] = { 1, 2, 3, 4 };

/* top/outside.bin; top/model/{w.bin, sub/w.bin, link.bin -> w.bin, up -> .., hard1.bin = hard2.bin,
 * fifo} */
static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(top) || pare_make_dirs(at("model/sub"))) return 1;
    static const char *const files[] = { "outside.bin", "model/w.bin", "model/sub/w.bin",
                                         "model/hard1.bin" };
    for (int i = 0; i < 4; i++)
        if (pare_write_file(at(files[i]), numbers, sizeof numbers, true) != PARE_OK) return 1;
    return symlink("w.bin", at("model/link.bin")) || symlink("..", at("model/up")) ||
           link(at("model/hard1.bin"), at("model/hard2.bin")) || mkfifo(at("model/fifo"), 0600);
}

static int tear_down(void **state)
{
    (void)state;
    static const char *const files[] = {
        "outside.bin",    "model/w.bin", "model/sub/w.bin", "model/hard1.bin", "model/hard2.bin",
        "model/link.bin", "model/up",    "model/fifo",      "model/m.onnx",    "model/sub",
        "model"
    };
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) (void)remove(at(files[i]));
    return rmdir(top);
}

static void external(make *m, Onnx__TensorProto *t, const char *location, const char *offset,
                     const char *length)
{
    const char *const pairs[3][2] = { { "location", location },
                                      { "offset", offset },
                                      { "length", length } };
    t->has_data_location = 1;
    t->data_location = ONNX__TENSOR_PROTO__DATA_LOCATION__EXTERNAL;
    for (int i = 0; i < 3; i++) {
        if (!pairs[i][1]) continue;
        MAKE_NEW(m, Onnx__StringStringEntryProto, onnx__string_string_entry_proto, e);
        e->key = (char *)pairs[i][0];
        e->value = (char *)pairs[i][1];
        MAKE_PUSH(m, t->external_data, t->n_external_data, e);
    }
}

/* A model whose tensor lies outside; as initialiser, or as attribute of a Constant. */
static const uint8_t *model(make *m, bool constant, const char *location, const char *offset,
                            const char *length, size_t *size)
{
    *m = make_new(17);
    Onnx__TensorProto *t = make_tensor(m, "w", PARE_F32, 1, (int64_t[]){ 2 }, NULL, 0);
    external(m, t, location, offset, length);
    if (constant)
        make_attr(m, make_node(m, "Constant", "c", "", "w"), "value", 4)->t = t;
    else
        MAKE_PUSH(m, m->graph->initializer, m->graph->n_initializer, t);
    make_output(m, "w", PARE_F32, 1, (int64_t[]){ 2 });
    return make_bytes(m, size);
}

static pare_status load(bool constant, const char *location, const char *offset, const char *length,
                        pare_graph **g)
{
    make m;
    size_t size;
    const uint8_t *bytes = model(&m, constant, location, offset, length, &size);
    assert_int_equal(pare_write_file(at("model/m.onnx"), bytes, size, true), PARE_OK);
    make_free(&m);
    return pare_model_load(at("model/m.onnx"), g);
}

static void test_inside(void **state)
{
    (void)state;
    static const struct {
        const char *location, *offset, *length;
        float first;
    } cases[] = { { "w.bin", NULL, NULL, 1 },
                  { "w.bin", "8", NULL, 3 },
                  { "sub/w.bin", "4", "8", 2 },
                  { "./sub//w.bin", "0", "8", 1 } };
    for (int constant = 0; constant < 2; constant++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            pare_graph *g;
            if (load(constant, cases[i].location, cases[i].offset, cases[i].length, &g) != PARE_OK)
                fail_msg("%s: %s", cases[i].location, pare_error());
            const float *v = g->value[pare_graph_find(g, "w")].weight->part[0].data;
            assert_float_equal(v[0], cases[i].first, 0);
            assert_float_equal(v[1], cases[i].first + 1, 0);
            pare_graph_free(g);
        }
}

static void test_refused(void **state)
{
    (void)state;
    char absolute[128], parent[160];
    snprintf(absolute, sizeof absolute, "%s/model/w.bin", top);
    snprintf(parent, sizeof parent, "../model/w.bin");
    const struct {
        const char *location, *offset, *length;
        pare_status code;
        const char *part;
    } cases[] = {
        { "../outside.bin", NULL, NULL, PARE_EFORMAT, "leads out of" },
        { parent, NULL, NULL, PARE_EFORMAT, "leads out of" },
        { "sub/../w.bin", NULL, NULL, PARE_EFORMAT, "leads out of" },
        { absolute, NULL, NULL, PARE_EFORMAT, "must lie inside" },
        { "/dev/zero", NULL, NULL, PARE_EFORMAT, "must lie inside" },
        { "", NULL, NULL, PARE_EFORMAT, "must lie inside" },
        { NULL, NULL, NULL, PARE_EFORMAT, "without a location" },
        { "link.bin", NULL, NULL, PARE_EFORMAT, "over a link" },
        { "up/outside.bin", NULL, NULL, PARE_EFORMAT, "over a link" },
        { "hard1.bin", NULL, NULL, PARE_EFORMAT, "has 2 names" },
        { "fifo", NULL, NULL, PARE_EFORMAT, "not a regular file" },
        { "sub", NULL, NULL, PARE_EFORMAT, "not a regular file" },
        { "gone.bin", NULL, NULL, PARE_EIO, "cannot be opened" },
        { "w.bin", "12", NULL, PARE_EFORMAT, "8 bytes at 12 are not within its 16 bytes" },
        { "w.bin", "18446744073709551612", NULL, PARE_EFORMAT,
          "8 bytes at 18446744073709551612 are not within its 16" },
        { "w.bin", "99999999999999999999", NULL, PARE_EFORMAT, "not a number" },
        { "w.bin", "-4", NULL, PARE_EFORMAT, "not a number" },
        { "w.bin", "0", "12", PARE_EFORMAT, "length 12, the shape needs 8" },
    };
    for (int constant = 0; constant < 2; constant++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            pare_graph *g = NULL;
            pare_status st =
                load(constant, cases[i].location, cases[i].offset, cases[i].length, &g);
            if (st != cases[i].code || !strstr(pare_error(), cases[i].part))
                fail_msg("case %zu: status %d '%s'", i, (int)st, st ? pare_error() : "");
            assert_null(g);
        }
}

static void test_not_from_memory(void **state)
{
    (void)state;
    make m;
    size_t size;
    const uint8_t *bytes = model(&m, false, "w.bin", NULL, NULL, &size);
    pare_graph *g;
    assert_int_equal(pare_model_load_memory(bytes, size, "m.onnx", &g), PARE_EUNSUPPORTED);
    assert_non_null(strstr(
        pare_error(), "initialiser 'w': external data 'w.bin' is not read for a model in memory"));
    make_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_inside),
                                        cmocka_unit_test(test_refused),
                                        cmocka_unit_test(test_not_from_memory) };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
