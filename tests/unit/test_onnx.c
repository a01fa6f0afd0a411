/* Reading and writing ONNX: what a file says arrives in the graph, comes out again, and what is
 * wrong is named. */
#include "graph/graph.h"
#include "onnx/onnx.h"
#include "onnx_make.h"
#include "tensor/tensor.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

#include <cmocka.h>

static pare_status load(make *m, pare_graph **g)
{
    size_t size;
    const uint8_t *bytes = make_bytes(m, &size);
    *g = NULL;
    return pare_model_load_memory(bytes, size, "m.onnx", g);
}

/* Loading fails with `code` and a sentence that has `part` in it; the model is dropped. */
static void refuse(make *m, pare_status code, const char *part)
{
    pare_graph *g;
    pare_status st = load(m, &g);
    if (st != code || !strstr(pare_error(), part))
        fail_msg("status %d '%s', wanted %d '%s'", (int)st, st ? pare_error() : "", (int)code,
                 part);
    assert_null(g);
    make_free(m);
}

static pare_graph *reload(const pare_graph *g)
{
    uint8_t *bytes;
    size_t size;
    pare_graph *h = NULL;
    if (pare_onnx_write(g, &bytes, &size) != PARE_OK) fail_msg("%s", pare_error());
    if (pare_model_load_memory(bytes, size, "again.onnx", &h) != PARE_OK)
        fail_msg("%s", pare_error());
    free(bytes);
    return h;
}

static make relu_model(void)
{
    make m = make_new(17);
    make_input(&m, "x", PARE_F32, 2, (int64_t[]){ -1, 4 });
    make_node(&m, "Relu", "r", "x", "y");
    make_output(&m, "y", PARE_F32, 2, (int64_t[]){ -1, 4 });
    return m;
}

static void test_round_trip(void **state)
{
    (void)state;
    make m = relu_model();
    m.model->producer_name = (char *)"somebody";
    m.model->doc_string = (char *)"what it is for";
    m.graph->node[0]->doc_string = (char *)"clips";
    m.graph->input[0]->doc_string = (char *)"pixels";
    ProtobufCMessageUnknownField odd = {
        .tag = 700, .wire_type = PROTOBUF_C_WIRE_TYPE_32BIT, .len = 4, .data = (uint8_t *)"abcd"
    };
    m.graph->node[0]->base.n_unknown_fields = 1;
    m.graph->node[0]->base.unknown_fields = &odd;
    MAKE_NEW(&m, Onnx__StringStringEntryProto, onnx__string_string_entry_proto, e);
    e->key = (char *)"author";
    e->value = (char *)"me";
    MAKE_PUSH(&m, m.model->metadata_props, m.model->n_metadata_props, e);
    make_opset(&m, "ai.onnx.ml", 2);

    pare_graph *g, *h;
    assert_int_equal(load(&m, &g), PARE_OK);
    assert_string_equal(pare_model_meta(g, "author"), "me");
    assert_string_equal(g->value[g->input[0]].dim_name[0], "N");
    assert_int_equal(g->value[g->input[0]].type.dim[0], -1);
    assert_int_equal(g->value[g->input[0]].type.dim[1], 4);
    assert_string_equal(g->node[0].name, "r");
    h = reload(g);
    pare_graph_free(g);
    uint8_t *bytes;
    size_t size;
    assert_int_equal(pare_onnx_write(h, &bytes, &size), PARE_OK);
    pare_graph_free(h);
    Onnx__ModelProto *p = onnx__model_proto__unpack(NULL, size, bytes);
    free(bytes);
    assert_non_null(p);
    assert_string_equal(p->producer_name, "somebody");
    assert_string_equal(p->doc_string, "what it is for");
    assert_string_equal(p->metadata_props[0]->value, "me");
    assert_int_equal(p->n_opset_import, 2);
    assert_string_equal(p->graph->name, "test");
    assert_string_equal(p->graph->node[0]->doc_string, "clips");
    assert_string_equal(p->graph->input[0]->doc_string, "pixels");
    assert_string_equal(p->graph->input[0]->type->tensor_type->shape->dim[0]->dim_param, "N");
    assert_int_equal(p->graph->node[0]->base.n_unknown_fields, 1);
    assert_int_equal(p->graph->node[0]->base.unknown_fields[0].tag, 700);
    assert_memory_equal(p->graph->node[0]->base.unknown_fields[0].data, "abcd", 4);
    onnx__model_proto__free_unpacked(p, NULL);
    make_free(&m);
}

/* The same numbers stored in raw_data and in the typed field, for every element type. */
static void test_every_dtype(void **state)
{
    (void)state;
    static const int types[] = { 1, 2, 3, 4, 5, 6, 7, 9, 10, 11, 12, 13 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        make m = make_new(17);
        int64_t dim = 2;
        uint64_t raw[2] = { 0 };
        pare_tensor t;
        assert_int_equal(pare_tensor_new((pare_dtype)types[i], 1, &dim, &t), PARE_OK);
        size_t bytes = pare_tensor_bytes(&t);
        ((uint8_t *)raw)[0] = 1;
        ((uint8_t *)raw)[bytes / 2] = 1;
        make_init(&m, "raw", types[i], 1, &dim, raw, bytes);
        Onnx__TensorProto *p = make_init(&m, "typed", types[i], 1, &dim, NULL, 0);
        static int32_t i32[] = { 1, 1 };
        static int64_t i64[] = { 1, 1 };
        static uint64_t u64[] = { 1, 1 };
        switch (types[i]) {
        case 1: p->n_float_data = 2, p->float_data = (float *)raw; break;
        case 11: p->n_double_data = 2, p->double_data = (double *)raw; break;
        case 7: p->n_int64_data = 2, p->int64_data = i64; break;
        case 12:
        case 13: p->n_uint64_data = 2, p->uint64_data = u64; break;
        default: p->n_int32_data = 2, p->int32_data = i32; break;
        }
        make_output(&m, "raw", types[i], 1, &dim);
        make_output(&m, "typed", types[i], 1, &dim);
        pare_graph *g;
        if (load(&m, &g) != PARE_OK) fail_msg("type %d: %s", types[i], pare_error());
        pare_graph *h = reload(g);
        pare_graph_free(g);
        const pare_tensor *a = &h->value[pare_graph_find(h, "raw")].weight->part[0],
                          *b = &h->value[pare_graph_find(h, "typed")].weight->part[0];
        assert_int_equal(a->dtype, types[i]);
        assert_memory_equal(a->data, raw, bytes);
        assert_memory_equal(b->data, raw, bytes);
        pare_graph_free(h);
        pare_tensor_free(&t);
        make_free(&m);
    }
}

static void test_constant_nodes(void **state)
{
    (void)state;
    make m = make_new(13);
    int64_t three = 3;
    static const float f[] = { 1.5F, -2, 3 };
    static const int64_t n[] = { 7, 8 };
    Onnx__AttributeProto *a = make_attr(&m, make_node(&m, "Constant", "", "", "a"), "value", 4);
    a->t = make_tensor(&m, "", PARE_F32, 1, &three, f, sizeof f);
    make_real(&m, make_node(&m, "Constant", "", "", "b"), "value_float", 2.5F);
    make_reals(&m, make_node(&m, "Constant", "", "", "c"), "value_floats", 3, f);
    make_int(&m, make_node(&m, "Constant", "", "", "d"), "value_int", 9);
    make_ints(&m, make_node(&m, "Constant", "", "", "e"), "value_ints", 2, n);
    static const char *const names[] = { "a", "b", "c", "d", "e" };
    for (int i = 0; i < 5; i++) make_output(&m, names[i], i < 3 ? PARE_F32 : PARE_I64, -1, NULL);
    pare_graph *g;
    if (load(&m, &g) != PARE_OK) fail_msg("%s", pare_error());
    assert_int_equal(g->n_nodes, 0);
    assert_memory_equal(g->value[pare_graph_find(g, "a")].weight->part[0].data, f, sizeof f);
    assert_int_equal(g->value[pare_graph_find(g, "b")].type.rank, 0);
    assert_float_equal(*(float *)g->value[pare_graph_find(g, "b")].weight->part[0].data, 2.5F, 0);
    assert_memory_equal(g->value[pare_graph_find(g, "c")].weight->part[0].data, f, sizeof f);
    assert_int_equal(*(int64_t *)g->value[pare_graph_find(g, "d")].weight->part[0].data, 9);
    assert_memory_equal(g->value[pare_graph_find(g, "e")].weight->part[0].data, n, sizeof n);
    pare_graph_free(g);
    make_free(&m);
}

static void test_old_initialiser_inputs(void **state)
{
    (void)state;
    make m = make_new(8);
    m.model->ir_version = 3;
    static const float f[] = { 1, -2 };
    make_input(&m, "w", PARE_F32, 1, (int64_t[]){ 2 });
    make_init(&m, "w", PARE_F32, 1, (int64_t[]){ 2 }, f, sizeof f);
    make_node(&m, "Relu", "", "w", "y");
    make_output(&m, "y", PARE_F32, 1, (int64_t[]){ 2 });
    pare_graph *g;
    if (load(&m, &g) != PARE_OK) fail_msg("%s", pare_error());
    assert_int_equal(g->n_inputs, 0);
    assert_non_null(g->value[pare_graph_find(g, "w")].weight);
    pare_graph_free(g);
    m.graph->input[0] = make_info(&m, "w", PARE_F32, 1, (int64_t[]){ 3 });
    refuse(&m, PARE_EFORMAT, "'w' is declared as float32[3], but its initialiser is float32[2]");
    m = make_new(13);
    make_input(&m, "x", PARE_F32, 1, (int64_t[]){ 2 });
    make_node(&m, "Relu", "", "x", "y");
    make_output(&m, "y", PARE_I64, 1, (int64_t[]){ 2 });
    refuse(&m, PARE_EFORMAT, "output 'y' is declared as int64, but it is float32");
}

static void test_nodes_in_any_order(void **state)
{
    (void)state;
    make m = make_new(17);
    make_input(&m, "x", PARE_F32, 1, (int64_t[]){ 4 });
    make_node(&m, "Relu", "second", "h", "y");
    make_node(&m, "Relu", "first", "x", "h");
    make_output(&m, "y", PARE_F32, 1, (int64_t[]){ 4 });
    pare_graph *g;
    if (load(&m, &g) != PARE_OK) fail_msg("%s", pare_error());
    assert_string_equal(g->node[0].name, "first");
    pare_graph_free(g);
    make_free(&m);
}

static void test_refusals(void **state)
{
    (void)state;
    make m = relu_model();
    m.graph->node[0]->op_type = (char *)"Foo";
    refuse(&m, PARE_EUNSUPPORTED, "m.onnx: node 'r': operator 'Foo' is not supported");
    m = relu_model();
    m.graph->node[0]->domain = (char *)"com.example";
    refuse(&m, PARE_EUNSUPPORTED, "domain 'com.example'");
    m = relu_model();
    make_int(&m, m.graph->node[0], "slope", 1);
    refuse(&m, PARE_EUNSUPPORTED,
           "m.onnx: node 'r': attribute 'slope' of operator 'Relu' is not supported");
    m = relu_model();
    m.graph->node[0]->input[0] = (char *)"z";
    refuse(&m, PARE_EFORMAT, "node 'r': its input 'z' is given by no node");
    m = relu_model();
    m.graph->node[0]->input[0] = (char *)"y";
    refuse(&m, PARE_EFORMAT, "node 'r' is on a cycle");
    m = relu_model();
    make_node(&m, "Relu", "twin", "x", "y");
    refuse(&m, PARE_EFORMAT, "two values are named 'y'");
    m = relu_model();
    m.graph->output[0]->name = (char *)"q";
    refuse(&m, PARE_EFORMAT, "output 'q'");
    m = relu_model();
    m.graph->n_output = 0;
    refuse(&m, PARE_EFORMAT, "no outputs");
    m = relu_model();
    m.model->ir_version = 99;
    refuse(&m, PARE_EUNSUPPORTED, "IR version 99");
    m = relu_model();
    m.model->opset_import[0]->version = 1000000000;
    refuse(&m, PARE_EUNSUPPORTED, "opset 1000000000 is not supported, 7 to 21 are");
    m = relu_model();
    m.model->n_opset_import = 0;
    refuse(&m, PARE_EFORMAT, "no opset");
    m = relu_model();
    make_opset(&m, "", 13);
    refuse(&m, PARE_EFORMAT, "two opsets");
    m = relu_model();
    m.graph->input[0] = make_info(&m, "x", 8, 1, (int64_t[]){ 1 });
    refuse(&m, PARE_EUNSUPPORTED, "elements string (8)");
    m = relu_model();
    make_node(&m, "Relu", "two", "x x", "y2");
    refuse(&m, PARE_EFORMAT, "node 'two': it has 2 inputs instead of 1");
    m = relu_model();
    m.graph->n_node = 0;
    m.graph->output[0]->name = (char *)"x"; /* an input as output: legal */
    pare_graph *g;
    if (load(&m, &g) != PARE_OK) fail_msg("%s", pare_error());
    pare_graph_free(g);
    make_free(&m);
}

static void test_bad_tensors(void **state)
{
    (void)state;
    static const float f[4] = { 0 };
    static const struct {
        int dtype, rank;
        int64_t dim[2];
        size_t size;
        pare_status code;
        const char *part;
    } cases[] = {
        { 1,
          1,
          { 4 },
          12,
          PARE_EFORMAT,
          "initialiser 'w': it has 12 bytes of data, its shape needs 16" },
        { 1, 1, { 3 }, 16, PARE_EFORMAT, "16 bytes of data, its shape needs 12" },
        { 1, 1, { -1 }, 16, PARE_EFORMAT, "dimension 0 is -1" },
        { 1, 2, { INT64_C(1) << 32, INT64_C(1) << 32 }, 16, PARE_ELIMIT, "too large" },
        { 1, 1, { INT64_MAX }, 16, PARE_ELIMIT, "too large" },
        { 1, 2, { INT64_C(1) << 31, 1 }, 16, PARE_EFORMAT, "needs 8589934592" },
        { 0, 1, { 4 }, 16, PARE_EFORMAT, "no element type" },
        { 8, 1, { 4 }, 16, PARE_EUNSUPPORTED, "string" },
        { 16, 1, { 4 }, 16, PARE_EUNSUPPORTED, "bfloat16" },
        { 22, 1, { 5 }, 16, PARE_EFORMAT, "16 bytes of data, its shape needs 3" },
        { 23, 1, { 4 }, 16, PARE_EUNSUPPORTED, "float4e2m1" },
        { 77, 1, { 4 }, 16, PARE_EUNSUPPORTED, "unknown" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make m = relu_model();
        make_init(&m, "w", cases[i].dtype, cases[i].rank, cases[i].dim, f, cases[i].size);
        refuse(&m, cases[i].code, cases[i].part);
    }
    make m = relu_model();
    int32_t big[] = { 300 };
    Onnx__TensorProto *t = make_init(&m, "w", PARE_I8, 1, (int64_t[]){ 1 }, NULL, 0);
    t->n_int32_data = 1;
    t->int32_data = big;
    refuse(&m, PARE_EFORMAT, "300 does not fit int8");
}

/* A Constant made inside pare, where it is an operator like others: only the attribute that was
 * given is written. */
static void test_constant_operator(void **state)
{
    (void)state;
    const pare_op *op = pare_op_find("Constant");
    assert_non_null(op);
    pare_graph *g, *h;
    assert_int_equal(pare_graph_new(&g), PARE_OK);
    void *attrs = pare_arena_alloc(g->arena, op->attrs_size);
    pare_fields_default(op->attrs, attrs);
    assert_int_equal(pare_field_set_int(pare_field_find(op->attrs, "value_int", 9), 7, attrs),
                     PARE_OK);
    pare_id y;
    assert_int_equal(pare_graph_add_value(g, "y", NULL, &y), PARE_OK);
    assert_int_equal(pare_graph_add_node(g, op, "c", attrs, op->attrs_size, 0, NULL, 1, &y, NULL),
                     PARE_OK);
    assert_int_equal(pare_graph_mark_output(g, y), PARE_OK);
    h = reload(g);
    assert_int_equal(*(int64_t *)h->value[pare_graph_find(h, "y")].weight->part[0].data, 7);
    pare_graph_free(g);
    pare_graph_free(h);
}

/* Every model that the data folder holds: read, written, read again, the same constants under the
 * same names.
 */
static void test_real_models(void **state)
{
    (void)state;
    const char *data = getenv("PARE_DATA");
    char path[4096];
    snprintf(path, sizeof path, "%s/models", data ? data : "");
    DIR *dir = data ? opendir(path) : NULL;
    if (!dir) skip();
    int count = 0;
    for (struct dirent *e; (e = readdir(dir));) {
        if (*e->d_name == '.') continue;
        snprintf(path, sizeof path, "%s/models/%s/model.onnx", data, e->d_name);
        if (access(path, R_OK) != 0) continue;
        pare_graph *g;
        if (pare_model_load(path, &g) != PARE_OK) fail_msg("%s", pare_error());
        pare_graph *h = reload(g);
        assert_int_equal(g->n_nodes, h->n_nodes);
        for (uint32_t i = 0; i < h->n_values; i++) {
            pare_id v = pare_graph_find(g, h->value[i].name);
            assert_int_not_equal(v, PARE_NONE);
            if (!h->value[i].weight) continue;
            const pare_tensor *a = &g->value[v].weight->part[0], *b = &h->value[i].weight->part[0];
            assert_int_equal(pare_tensor_bytes(a), pare_tensor_bytes(b));
            assert_memory_equal(a->data, b->data, pare_tensor_bytes(a));
        }
        pare_graph_free(g);
        pare_graph_free(h);
        count++;
    }
    closedir(dir);
    assert_int_not_equal(count, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_round_trip),         cmocka_unit_test(test_every_dtype),
        cmocka_unit_test(test_constant_nodes),     cmocka_unit_test(test_old_initialiser_inputs),
        cmocka_unit_test(test_nodes_in_any_order), cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_bad_tensors),        cmocka_unit_test(test_constant_operator),
        cmocka_unit_test(test_real_models),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
