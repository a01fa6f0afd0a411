/* pare_model_check lists all that is wrong at once; pare_model_info counts by the rules of
 * docs/formats/json.md. */
#define _DEFAULT_SOURCE
#include "base/files.h"
#include "codecs/penni.h"
#include "graph/graph.h"
#include "onnx_make.h"
#include "pare/model.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static char folder[] = "/tmp/pare-check-XXXXXX";
static char path[64];

static int set_up(void **state)
{
    (void)state;
    if (!mkdtemp(folder)) return 1;
    snprintf(path, sizeof path, "%s/m.onnx", folder);
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static void save(make *m)
{
    size_t size;
    const uint8_t *bytes = make_bytes(m, &size);
    assert_int_equal(pare_write_file(path, bytes, size, true), PARE_OK);
    make_free(m);
}

static bool listed(const pare_problems *p, const char *node, const char *reason)
{
    for (size_t i = 0; i < p->count; i++)
        if (strcmp(p->problem[i].node, node) == 0 && strstr(p->problem[i].reason, reason) &&
            *p->problem[i].remedy)
            return true;
    return false;
}

static void test_lists_everything(void **state)
{
    (void)state;
    make m = make_new(5);
    make_opset(&m, "", 22);
    make_input(&m, "x", PARE_F32, 4, (int64_t[]){ -1, 3, 8, 8 });
    static const float zero[4 * 2 * 9];
    make_init(&m, "w", PARE_F32, 4, (int64_t[]){ 4, 2, 3, 3 }, zero, sizeof zero);
    make_init(&m, "short", PARE_F32, 1, (int64_t[]){ 100 }, zero, 16);
    make_init(&m, "odd", 16, 1, (int64_t[]){ 1 }, zero, 2);
    make_node(&m, "Conv", "channels", "x w", "a"); /* 3 channels into a weight for 2 */
    make_node(&m, "Frobnicate", "unknown", "a", "b");
    make_node(&m, "Relu", "behind", "b", "c"); /* nothing wrong with it */
    make_int(&m, make_node(&m, "Relu", "attribute", "x", "d"), "slope", 1);
    make_node(&m, "Relu", "missing", "nowhere", "e");
    make_node(&m, "Add", "circle1", "x g", "f");
    make_node(&m, "Relu", "circle2", "f", "g");
    make_node(&m, "Relu", "twice", "x", "d");
    make_node(&m, "Gemm", "ranks", "x x", "h");
    make_node(&m, "Gemm", "", "x x", "unnamed"); /* called what it gives */
    make_output(&m, "c", PARE_F32, -1, NULL);
    make_output(&m, "z", PARE_F32, -1, NULL);
    save(&m);
    pare_problems p;
    assert_int_equal(pare_model_check(path, NULL, 0, &p), PARE_OK);
    static const struct {
        const char *node, *reason;
    } want[] = {
        { "", "opset 5 is not supported" },
        { "", "two opsets" },
        { "", "'short': it has 16 bytes" },
        { "", "'odd': elements bfloat16" },
        { "channels", "3 channels" },
        { "unknown", "'Frobnicate' is not supported" },
        { "attribute", "'slope'" },
        { "missing", "'nowhere'" },
        { "", "on a cycle" },
        { "twice", "two values are named" },
        { "ranks", "rank 4" },
        { "unnamed", "rank 4" },
        { "", "output 'z'" },
    };
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        if (!listed(&p, want[i].node, want[i].reason))
            fail_msg("not listed: [%s] %s", want[i].node, want[i].reason);
    for (size_t i = 0; i < p.count; i++)
        if (strcmp(p.problem[i].node, "behind") == 0) fail_msg("[behind] %s", p.problem[i].reason);
    /* A remedy that names a command names one that exists: cmd_list.c has 'operators'. */
    for (size_t i = 0; i < p.count; i++)
        if (strcmp(p.problem[i].node, "unknown") == 0)
            assert_non_null(strstr(p.problem[i].remedy, "'pare list operators'"));
    pare_problems_free(&p);
}

static void test_nothing_wrong(void **state)
{
    (void)state;
    make m = make_new(13);
    make_input(&m, "x", PARE_F32, 2, (int64_t[]){ -1, -1 });
    static const float w[6];
    make_init(&m, "w", PARE_F32, 2, (int64_t[]){ 3, 2 }, w, sizeof w);
    make_node(&m, "MatMul", "mm", "x w", "y"); /* 3 is not among the sizes that are tried */
    make_output(&m, "y", PARE_F32, -1, NULL);
    save(&m);
    pare_problems p;
    assert_int_equal(pare_model_check(path, NULL, 0, &p), PARE_OK);
    assert_int_equal(p.count, 0);
    pare_problems_free(&p);
    pare_shape fits = { "x", 2, { 5, 3 } }, not = { "x", 2, { 5, 4 } }, nobody = { "q", 1, { 1 } };
    assert_int_equal(pare_model_check(path, &fits, 1, &p), PARE_OK);
    assert_int_equal(p.count, 0);
    pare_problems_free(&p);
    assert_int_equal(pare_model_check(path, &not, 1, &p), PARE_OK);
    assert_true(p.count == 1 && listed(&p, "mm", "4"));
    pare_problems_free(&p);
    assert_int_equal(pare_model_check(path, &nobody, 1, &p), PARE_OK);
    assert_true(p.count == 1 && listed(&p, "", "'q'"));
    pare_problems_free(&p);
}

static void test_no_list(void **state)
{
    (void)state;
    pare_problems p = { 7, NULL };
    assert_int_equal(pare_write_file(path, "<html>", 6, true), PARE_OK);
    assert_int_equal(pare_model_check(path, NULL, 0, &p), PARE_EFORMAT);
    assert_int_equal(pare_model_check("/nowhere/at/all.onnx", NULL, 0, &p), PARE_EIO);
    assert_int_equal(p.count, 7); /* untouched */
}

static void test_info(void **state)
{
    (void)state;
    make m = make_new(17);
    static const float w[4 * 2 * 9], one[4], bound = 6;
    make_input(&m, "x", PARE_F32, 4, (int64_t[]){ -1, 4, 6, 6 });
    make_init(&m, "w", PARE_F32, 4, (int64_t[]){ 4, 2, 3, 3 }, w, sizeof w);
    make_init(&m, "b", PARE_F32, 1, (int64_t[]){ 4 }, one, sizeof one);
    make_init(&m, "six", PARE_F32, 0, NULL, &bound, 4);
    make_init(&m, "flat", PARE_I64, 1, (int64_t[]){ 2 }, (int64_t[]){ 0, -1 }, 16);
    make_int(&m, make_node(&m, "Conv", "conv", "x w b", "h"), "group", 2); /* [N,4,4,4] */
    make_node(&m, "Clip", "clip", "h - six", "c");
    make_node(&m, "Reshape", "flatten", "c flat", "f");
    make_node(&m, "Reshape", "again", "f flat", "y");
    make_output(&m, "y", PARE_F32, -1, NULL);
    save(&m);
    pare_graph *g;
    pare_info info;
    if (pare_model_load(path, &g) != PARE_OK) fail_msg("%s", pare_error());
    assert_int_equal(pare_model_info(g, 2, NULL, 0, &info), PARE_OK);
    assert_int_equal(info.n_layers, 4);
    assert_true(info.params == 72 + 4);
    assert_true(info.bytes == 76 * 4 + 4 + 16);
    assert_true(info.macs == 2.0 * 4 * 2 * 9 * 16);
    assert_true(info.dense_macs == info.macs);
    /* x and h; then h and c; views add nothing. x is 2*4*36, h and c 2*4*16 floats. */
    assert_true(info.peak_activation_bytes == 4.0 * (288 + 128));
    assert_string_equal(info.layer[0].codec, "dense");
    assert_string_equal(info.layer[2].codec, "");
    assert_int_equal(info.layer[0].shape.dim[0], 2);
    assert_int_equal(info.layer[3].shape.dim[1], 64);
    assert_string_equal(info.input[0].name, "x");
    assert_int_equal(info.opset, 17);
    pare_info_free(&info);
    pare_shape wrong = { "x", 4, { 1, 4, 7, 6 } };
    assert_int_equal(pare_model_info(g, 1, &wrong, 1, &info), PARE_EINVAL);
    pare_graph_free(g);
}

static void test_info_of_codec(void **state)
{
    (void)state;
    make m = make_new(17);
    static const float w[4 * 3 * 9], basis[9] = { 1 };
    make_input(&m, "x", PARE_F32, 4, (int64_t[]){ 1, 3, 6, 6 });
    make_init(&m, "w", PARE_F32, 4, (int64_t[]){ 4, 3, 3, 3 }, w, sizeof w);
    make_node(&m, "Conv", "conv", "x w", "y");
    make_output(&m, "y", PARE_F32, -1, NULL);
    save(&m);
    pare_graph *g;
    if (pare_model_load(path, &g) != PARE_OK) fail_msg("%s", pare_error());
    const pare_type type = { PARE_F32, 4, { 4, 3, 3, 3 } };
    const float a[12] = {
        1, 0, 0, 2, 0, 0, 0, 0, 5, 0, 0, 0
    }; /* 3 coefficients on channels 0 and 2 */
    pare_weight p;
    assert_int_equal(pare_penni_encode(&type, 1, a, NULL, basis, &p), PARE_OK);
    assert_int_equal(pare_graph_set_weight(g, pare_graph_find(g, "w"), p), PARE_OK);
    pare_info info;
    assert_int_equal(pare_model_info(g, 1, NULL, 0, &info), PARE_OK);
    assert_string_equal(info.layer[0].codec, "penni");
    assert_true(info.params == 3 + 9);
    assert_true(info.dense_macs == 4 * 3 * 9 * 16);
    assert_true(info.macs == 16 * (2 * 9 + 3));
    assert_true(info.layer[0].density == 0.25);
    pare_info_free(&info);
    pare_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lists_everything), cmocka_unit_test(test_nothing_wrong),
        cmocka_unit_test(test_no_list),          cmocka_unit_test(test_info),
        cmocka_unit_test(test_info_of_codec),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
