/* Encoded weights travel through ONNX as calls of model-local functions; other functions and bad
 * parts are named. */
#include "codecs/bitmap.h"
#include "codecs/codecs.h"
#include "codecs/penni.h"
#include "onnx/onnx.h"
#include "onnx_make.h"
#include "tensor/tensor.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { N = 4, C = 3, K = 9, D = 2 };

static pare_weight penni(void)
{
    static const pare_type type = { .dtype = PARE_F32, .rank = 4, .dim = { N, C, 3, 3 } };
    float a[N * C * D], basis[D * K];
    for (int i = 0; i < N * C * D; i++) a[i] = i % 3 ? 0 : (float)i - 7.5F;
    for (int i = 0; i < D * K; i++) basis[i] = (float)(i * i % 11) / 4 - 1;
    pare_weight w;
    assert_int_equal(pare_penni_encode(&type, D, a, NULL, basis, &w), PARE_OK);
    return w;
}

static pare_weight bitmap(void)
{
    static const pare_type type = { .dtype = PARE_F32, .rank = 4, .dim = { N, N, 1, 1 } };
    float x[N * N];
    bool keep[N * N];
    for (int i = 0; i < N * N; i++) x[i] = (float)i - 3, keep[i] = i % 4 != 1;
    pare_weight w;
    assert_int_equal(pare_bitmap_encode(&type, x, keep, &w), PARE_OK);
    return w;
}

/* x [1,3,5,5] -> Conv with a penni weight -> Conv with a bitmap weight -> y, made from a file with
 * dense ones. */
static pare_graph *network(void)
{
    make m = make_new(13);
    static const float zero[N * C * K];
    make_input(&m, "x", PARE_F32, 4, (int64_t[]){ 1, C, 5, 5 });
    make_init(&m, "w1", PARE_F32, 4, (int64_t[]){ N, C, 3, 3 }, zero, sizeof zero);
    make_init(&m, "w2", PARE_F32, 4, (int64_t[]){ N, N, 1, 1 }, zero, N * N * sizeof *zero);
    make_node(&m, "Conv", "c1", "x w1", "h");
    make_node(&m, "Conv", "c2", "h w2", "y");
    make_output(&m, "y", PARE_F32, 4, (int64_t[]){ 1, N, 3, 3 });
    size_t size;
    const uint8_t *bytes = make_bytes(&m, &size);
    pare_graph *g;
    if (pare_model_load_memory(bytes, size, "m.onnx", &g) != PARE_OK) fail_msg("%s", pare_error());
    make_free(&m);
    assert_int_equal(pare_graph_set_weight(g, pare_graph_find(g, "w1"), penni()), PARE_OK);
    assert_int_equal(pare_graph_set_weight(g, pare_graph_find(g, "w2"), bitmap()), PARE_OK);
    return g;
}

static Onnx__ModelProto *written(const pare_graph *g)
{
    uint8_t *bytes;
    size_t size;
    if (pare_onnx_write(g, &bytes, &size) != PARE_OK) fail_msg("%s", pare_error());
    Onnx__ModelProto *m = onnx__model_proto__unpack(NULL, size, bytes);
    free(bytes);
    assert_non_null(m);
    return m;
}

static pare_status reread(const Onnx__ModelProto *m, pare_graph **g)
{
    size_t size = onnx__model_proto__get_packed_size(m);
    uint8_t *bytes = malloc(size);
    assert_non_null(bytes);
    onnx__model_proto__pack(m, bytes);
    pare_status st = pare_model_load_memory(bytes, size, "again.onnx", g);
    free(bytes);
    return st;
}

static void test_round_trip(void **state)
{
    (void)state;
    pare_graph *g = network(), *h;
    Onnx__ModelProto *m = written(g);
    assert_int_equal(m->n_functions, 2);
    assert_int_equal(m->n_opset_import, 2);
    if (reread(m, &h) != PARE_OK) fail_msg("%s", pare_error());
    onnx__model_proto__free_unpacked(m, NULL);
    assert_int_equal(h->n_nodes, 2);
    assert_int_equal(pare_graph_check(h), PARE_OK);
    for (int i = 0; i < 2; i++) {
        const char *name = i ? "w2" : "w1";
        const pare_weight *a = g->value[pare_graph_find(g, name)].weight,
                          *b = h->value[pare_graph_find(h, name)].weight;
        assert_ptr_equal(a->codec, b->codec);
        assert_true(pare_same_shape(&a->type, &b->type));
        for (int p = 0; p < pare_weight_parts(a); p++) {
            assert_int_equal(pare_tensor_bytes(&a->part[p]), pare_tensor_bytes(&b->part[p]));
            assert_memory_equal(a->part[p].data, b->part[p].data, pare_tensor_bytes(&a->part[p]));
        }
    }
    /* Saving again gives the same bytes: names of parts are free again. */
    uint8_t *one, *two;
    size_t n1, n2;
    assert_int_equal(pare_onnx_write(h, &one, &n1), PARE_OK);
    pare_graph *k;
    assert_int_equal(pare_model_load_memory(one, n1, "h.onnx", &k), PARE_OK);
    assert_int_equal(pare_onnx_write(k, &two, &n2), PARE_OK);
    assert_int_equal(n1, n2);
    assert_memory_equal(one, two, n1);
    free(one);
    free(two);
    const char *keep =
        getenv("PARE_KEEP"); /* a file to try in another runtime, with the decoded one beside it */
    if (keep) {
        assert_int_equal(pare_model_save(g, keep, true), PARE_OK);
        for (int i = 0; i < 2; i++) {
            pare_id v = pare_graph_find(g, i ? "w2" : "w1");
            pare_tensor t;
            assert_int_equal(pare_weight_decode(g->value[v].weight, &t), PARE_OK);
            assert_int_equal(pare_graph_set_weight(g, v, pare_weight_dense(t)), PARE_OK);
        }
        char dense[512];
        snprintf(dense, sizeof dense, "%s.dense", keep);
        assert_int_equal(pare_model_save(g, dense, true), PARE_OK);
    }
    pare_graph_free(k);
    pare_graph_free(g);
    pare_graph_free(h);
}

static void test_refusals(void **state)
{
    (void)state;
    enum { FOREIGN, UNKNOWN, UNKNOWN_CALL, SHAPE, PART, COUNT, HUGE_SHAPE, CASES };
    static const struct {
        pare_status code;
        const char *part;
    } want[CASES] = {
        [FOREIGN] = { PARE_EUNSUPPORTED,
                      "model-local function 'com.example::penni' is not supported" },
        [UNKNOWN] = { PARE_EUNSUPPORTED, "codec 'zip' is not known" },
        [UNKNOWN_CALL] = { PARE_EUNSUPPORTED, "node 'w1': codec 'zip' is not known" },
        [SHAPE] = { PARE_EFORMAT, "node 'w1': codec 'penni'" },
        [PART] = { PARE_EFORMAT, "node 'w1': its part 'values' ('x') is not an initialiser" },
        [COUNT] = { PARE_EFORMAT, "node 'w1': a call of codec 'penni' has 3 inputs" },
        [HUGE_SHAPE] = { PARE_ELIMIT, "node 'w1': decoded it has" },
    };
    for (int i = 0; i < CASES; i++) {
        pare_graph *g = network(), *h = NULL;
        Onnx__ModelProto *m = written(g);
        Onnx__NodeProto *call = m->graph->node[0];
        char *domain = m->functions[0]->domain, *name = m->functions[0]->name, *op = call->op_type,
             *values = call->input[1];
        assert_string_equal(name, "penni");
        assert_string_equal(call->domain, "pare.codec");
        int64_t *shape = NULL;
        for (size_t k = 0; k < m->graph->n_initializer; k++)
            if (strcmp(m->graph->initializer[k]->name, "w1.shape") == 0)
                shape = (int64_t *)(void *)m->graph->initializer[k]->raw_data.data;
        assert_non_null(shape);
        if (i == FOREIGN) m->functions[0]->domain = (char *)"com.example";
        if (i == UNKNOWN) m->functions[0]->name = (char *)"zip";
        if (i == UNKNOWN_CALL) call->op_type = (char *)"zip";
        if (i == SHAPE) memcpy(shape, (int64_t[]){ 4, 3, 5, 5 }, 32);
        if (i == HUGE_SHAPE) memcpy(shape, (int64_t[]){ 4, 3, 50000, 5000 }, 32);
        if (i == PART) call->input[1] = (char *)"x";
        if (i == COUNT) call->n_input = 3;
        pare_status st = reread(m, &h);
        if (st != want[i].code || !strstr(pare_error(), want[i].part))
            fail_msg("case %d: status %d '%s'", i, (int)st, st ? pare_error() : "");
        m->functions[0]->domain = domain;
        m->functions[0]->name = name;
        call->op_type = op;
        call->input[1] = values;
        call->n_input = 4;
        onnx__model_proto__free_unpacked(m, NULL);
        pare_graph_free(g);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_round_trip),
                                        cmocka_unit_test(test_refusals) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
