/* Well-formed files that mean nonsense: each is refused with the node's name and without a crash,
 * or is harmless. */
#include "onnx/onnx.h"
#include "onnx_make.h"
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#define I64(...) ((int64_t[]){ __VA_ARGS__ })
#define BIG      (INT64_C(1) << 31)

static void outcome(make *m, pare_status code, const char *part, const char *what)
{
    size_t size;
    const uint8_t *bytes = make_bytes(m, &size);
    pare_graph *g = NULL;
    pare_status st = pare_model_load_memory(bytes, size, "m.onnx", &g);
    if (st != code || (st && !strstr(pare_error(), part)))
        fail_msg("%s: status %d '%s', wanted %d '%s'", what, (int)st, st ? pare_error() : "",
                 (int)code, part);
    pare_graph_free(g);
    make_free(m);
}

/* y = n(x [1,4,8,8] ...), with a weight [4,4,3,3] for Conv. */
static make one_node(const char *op, const char *in, Onnx__NodeProto **n)
{
    static const float w[4 * 4 * 9];
    make m = make_new(17);
    make_input(&m, "x", PARE_F32, 4, I64(1, 4, 8, 8));
    make_init(&m, "w", PARE_F32, 4, I64(4, 4, 3, 3), w, sizeof w);
    *n = make_node(&m, op, "n", in, "y");
    make_output(&m, "y", PARE_F32, -1, NULL);
    return m;
}

static void test_window_attributes(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        int64_t v[4];
        size_t n; /* 0: an integer */
    } cases[] = {
        { "group", { 0 }, 0 },
        { "group", { 3 }, 0 },
        { "group", { -1 }, 0 },
        { "group", { INT64_MAX }, 0 },
        { "group", { INT64_MIN }, 0 },
        { "strides", { 0, 1 }, 2 },
        { "strides", { -1, 1 }, 2 },
        { "strides", { 1 }, 1 },
        { "dilations", { BIG, BIG }, 2 },
        { "dilations", { INT64_MAX, 1 }, 2 },
        { "dilations", { 0, 1 }, 2 },
        { "pads", { -5, -5, -5, -5 }, 4 },
        { "pads", { INT64_MAX, 1, INT64_MAX, 1 }, 4 },
        { "pads", { INT64_MIN, 0, 0, 0 }, 4 },
        { "pads", { 1, 1 }, 2 },
        { "kernel_shape", { 5, 5 }, 2 },
        { "kernel_shape", { 9, 9 }, 2 },
    };
    static const char *const ops[] = { "Conv", "MaxPool", "AveragePool", "ConvTranspose" };
    for (size_t o = 0; o < 4; o++)
        for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
            bool pool = strstr(ops[o], "Pool") != NULL,
                 kernel = strcmp(cases[i].name, "kernel_shape") == 0;
            if (pool && (cases[i].n == 0 || (kernel && cases[i].v[0] < 9))) continue;
            if (!pool && o == 3 && strcmp(cases[i].name, "pads") == 0 && cases[i].v[0] == -5)
                continue; /* cropping less */
            Onnx__NodeProto *n;
            make m = one_node(ops[o], pool ? "x" : "x w", &n);
            if (cases[i].n)
                make_ints(&m, n, cases[i].name, cases[i].n, cases[i].v);
            else
                make_int(&m, n, cases[i].name, cases[i].v[0]);
            if (pool && !kernel) make_ints(&m, n, "kernel_shape", 2, I64(3, 3));
            size_t size;
            const uint8_t *bytes = make_bytes(&m, &size);
            pare_graph *g = NULL;
            pare_status st = pare_model_load_memory(bytes, size, "m.onnx", &g);
            if ((st != PARE_EFORMAT && st != PARE_EUNSUPPORTED && st != PARE_ELIMIT) ||
                !strstr(pare_error(), "node 'n'"))
                fail_msg("%s with %s %lld: status %d '%s'", ops[o], cases[i].name,
                         (long long)cases[i].v[0], (int)st, st ? pare_error() : "");
            make_free(&m);
        }
}

static void test_axes_and_sizes(void **state)
{
    (void)state;
    Onnx__NodeProto *n;
    static const char *const ops[] = {
        "Concat", "Softmax", "Flatten", "Gather", "ArgMax", "Split"
    };
    for (size_t o = 0; o < sizeof ops / sizeof *ops; o++) {
        static const int64_t axes[] = { 5, -6, INT64_MAX, INT64_MIN + 1 };
        for (int a = 0; a < 4; a++) {
            make m = one_node(ops[o], strcmp(ops[o], "Gather") == 0 ? "x index" : "x", &n);
            make_init(&m, "index", PARE_I64, 0, NULL, I64(0), 8);
            make_int(&m, n, "axis", axes[a]);
            outcome(&m, PARE_EFORMAT, "node 'n'", ops[o]);
        }
    }
    make m = one_node("Split", "x parts", &n);
    make_init(&m, "parts", PARE_I64, 1, I64(1), I64(5), 8);
    outcome(&m, PARE_EFORMAT, "node 'n'", "split sums");
    m = one_node("Reshape", "x shape", &n);
    make_init(&m, "shape", PARE_I64, 1, I64(2), I64(BIG, BIG), 16);
    outcome(&m, PARE_EFORMAT, "node 'n'", "reshape to more");
    m = one_node("Reshape", "x shape", &n);
    make_init(&m, "shape", PARE_I64, 1, I64(2), I64(-1, -1), 16);
    outcome(&m, PARE_EFORMAT, "node 'n'", "reshape with two unknowns");
    m = one_node("Expand", "x shape", &n);
    make_init(&m, "shape", PARE_I64, 1, I64(5), I64(BIG, 1, 4, 8, 8), 40);
    outcome(&m, PARE_ELIMIT, "node 'n'", "expand to terabytes");
    m = one_node("Tile", "x repeats", &n);
    make_init(&m, "repeats", PARE_I64, 1, I64(4), I64(INT64_MAX, INT64_MAX, 1, 1), 32);
    outcome(&m, PARE_EFORMAT, "node 'n'", "tile beyond all");
    m = one_node("Transpose", "x", &n);
    make_ints(&m, n, "perm", 4, I64(0, 1, 1, 2));
    outcome(&m, PARE_EFORMAT, "node 'n'", "no permutation");
    m = one_node("Cast", "x", &n);
    make_int(&m, n, "to", 8);
    outcome(&m, PARE_EUNSUPPORTED, "node 'n'", "cast to strings");
    m = one_node("MatMul", "x w", &n);
    outcome(&m, PARE_EFORMAT, "node 'n'", "matrices that do not fit");
}

static void test_attributes(void **state)
{
    (void)state;
    Onnx__NodeProto *n;
    make m = one_node("Conv", "x w", &n);
    make_real(&m, n, "group", 1);
    outcome(&m, PARE_EFORMAT, "node 'n': attribute 'group' is FLOAT instead of INT",
            "attribute type");
    m = one_node("Conv", "x w", &n);
    make_int(&m, n, "group", 1);
    make_int(&m, n, "group", 1);
    outcome(&m, PARE_EFORMAT, "'group' is given twice", "attribute twice");
    m = one_node("Conv", "x w", &n);
    make_text(&m, n, "auto_pad", "SOMEHOW");
    outcome(&m, PARE_EUNSUPPORTED, "SOMEHOW", "unknown choice");
    m = one_node("LeakyRelu", "x", &n);
    make_real(&m, n, "alpha", NAN);
    outcome(&m, PARE_EFORMAT, "node 'n'", "NaN attribute");
    m = one_node("LeakyRelu", "x", &n);
    make_attr(&m, n, "alpha", 1)->ref_attr_name = (char *)"outer";
    outcome(&m, PARE_EUNSUPPORTED, "refers to 'outer'", "reference attribute");
    m = one_node("If", "x", &n);
    make_attr(&m, n, "then_branch", 5)->g =
        m.graph->n_node ? pare_arena_alloc(m.arena, sizeof(Onnx__GraphProto)) : NULL;
    onnx__graph_proto__init(n->attribute[0]->g);
    outcome(&m, PARE_EUNSUPPORTED, "operator 'If' is not supported", "control flow");
    m = one_node("Constant", "", &n);
    make_attr(&m, n, "sparse_value", 11);
    outcome(&m, PARE_EUNSUPPORTED, "'sparse_value' is not supported", "sparse constant");
    m = one_node("Constant", "", &n);
    outcome(&m, PARE_EFORMAT, "0 attributes instead of 1", "empty constant");
    m = one_node("Constant", "", &n);
    make_attr(&m, n, "value", 4);
    outcome(&m, PARE_EFORMAT, "'value' has no tensor", "constant without a tensor");
}

static void test_names(void **state)
{
    (void)state;
    Onnx__NodeProto *n;
    make m = one_node("Relu", "x", &n);
    n->output[0] = (char *)"x";
    outcome(&m, PARE_EFORMAT, "two values are named 'x'", "output named as the input");
    m = one_node("Relu", "x", &n);
    make_init(&m, "w", PARE_F32, 0, NULL, &(float){ 1 }, 4);
    outcome(&m, PARE_EFORMAT, "two values are named 'w'", "initialiser twice");
    m = one_node("Relu", "x", &n);
    make_init(&m, "", PARE_F32, 0, NULL, &(float){ 1 }, 4);
    outcome(&m, PARE_EFORMAT, "has no name", "initialiser without a name");
    m = one_node("Relu", "x", &n);
    make_output(&m, "y", PARE_F32, -1, NULL);
    outcome(&m, PARE_EFORMAT, "'y' is listed twice", "output twice");
    m = one_node("Relu", "-", &n);
    outcome(&m, PARE_EFORMAT, "node 'n': it has 0 inputs", "input absent");
    m = one_node("Relu", "x", &n);
    n->name = pare_arena_alloc(m.arena, 1 << 20);
    memset(n->name, '%', (1 << 20) - 1);
    n->op_type = (char *)"\033[2J%n%s\xff";
    outcome(&m, PARE_EUNSUPPORTED, "%%%%", "a megabyte of name");
    assert_null(strchr(pare_error(), '\033'));
    m = one_node("Relu", "x", &n); /* two nodes of one name are legal enough */
    make_node(&m, "Relu", "n", "y", "z");
    outcome(&m, PARE_OK, "", "nodes of one name");
}

static void test_declared_shapes(void **state)
{
    (void)state;
    static const struct {
        int64_t dim[2];
        pare_status code;
        const char *part;
    } cases[] = {
        { { 0, 4 }, PARE_OK, "" },
        { { INT64_MAX, 2 }, PARE_ELIMIT, "'x'" },
        { { BIG, BIG }, PARE_ELIMIT, "" }, /* 2^64 bytes: refused by size, not by wrapping */
        { { BIG, BIG * 8 }, PARE_ELIMIT, "'x'" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        make m = make_new(17);
        make_input(&m, "x", PARE_F32, 2, cases[i].dim);
        make_node(&m, "Relu", "n", "x", "y");
        make_output(&m, "y", PARE_F32, -1, NULL);
        outcome(&m, cases[i].code, cases[i].part, "declared shape");
    }
    make m = make_new(17);
    make_input(&m, "x", PARE_F32, 2, I64(1, 1));
    m.graph->input[0]->type->tensor_type->shape->dim[0]->dim_value = -2;
    make_node(&m, "Relu", "n", "x", "y");
    make_output(&m, "y", PARE_F32, -1, NULL);
    outcome(&m, PARE_EFORMAT, "dimension 0 is -2", "negative size");
    m = make_new(17);
    make_input(&m, "x", PARE_F32, 2, I64(1, 1));
    m.graph->input[0]->type = NULL;
    make_node(&m, "Relu", "n", "x", "y");
    make_output(&m, "y", PARE_F32, -1, NULL);
    outcome(&m, PARE_EFORMAT, "input 'x' has no element type", "no type");
    m = make_new(17);
    make_input(&m, "x", PARE_F32, 9, I64(1, 1, 1, 1, 1, 1, 1, 1, 1));
    make_node(&m, "Relu", "n", "x", "y");
    make_output(&m, "y", PARE_F32, -1, NULL);
    outcome(&m, PARE_EUNSUPPORTED, "rank 9", "rank 9");
}

/* Weights that are not numbers are the network's business; they load and come back bit for bit. */
static void test_odd_weights(void **state)
{
    (void)state;
    const float odd[] = { NAN, INFINITY, -INFINITY, 1e-45F, -0.0F };
    make m = make_new(17);
    make_input(&m, "x", PARE_F32, 1, I64(5));
    make_init(&m, "w", PARE_F32, 1, I64(5), odd, sizeof odd);
    make_node(&m, "Mul", "n", "x w", "y");
    make_output(&m, "y", PARE_F32, 1, I64(5));
    size_t size;
    const uint8_t *bytes = make_bytes(&m, &size);
    pare_graph *g, *h;
    uint8_t *again;
    assert_int_equal(pare_model_load_memory(bytes, size, "m.onnx", &g), PARE_OK);
    assert_int_equal(pare_onnx_write(g, &again, &size), PARE_OK);
    assert_int_equal(pare_model_load_memory(again, size, "m.onnx", &h), PARE_OK);
    assert_memory_equal(h->value[pare_graph_find(h, "w")].weight->part[0].data, odd, sizeof odd);
    free(again);
    pare_graph_free(g);
    pare_graph_free(h);
    make_free(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_window_attributes), cmocka_unit_test(test_axes_and_sizes),
        cmocka_unit_test(test_attributes),        cmocka_unit_test(test_names),
        cmocka_unit_test(test_declared_shapes),   cmocka_unit_test(test_odd_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
