/* Exact rewrites: what they remove, what they leave, and that the function stays the same. */
#include "codecs/bitmap.h"
#include "pare/plan.h"
#include "passes/pass.h"
#include "support/build.h"

static pare_id batch_norm(pare_graph *g, pare_id x, int channels, const char *name)
{
    pare_id p[4];
    for (int i = 0; i < 4; i++) {
        p[i] = add_random(g, "bn", f32_type(1, channels), 70 + (uint64_t)i);
        float *v = g->value[p[i]].weight->part[0].data;
        for (int c = 0; c < channels; c++) v[c] = fabsf(v[c]) + 0.2f;
    }
    return add_node(g, "BatchNormalization", "", name, 5, x, p[0], p[1], p[2], p[3]);
}

static int nodes_of(const pare_graph *g, const char *op)
{
    int n = 0;
    for (uint32_t i = 0; i < g->n_nodes; i++)
        n += g->node[i].op && (!op || strcmp(g->node[i].op->name, op) == 0);
    return n;
}

/* Runs the passes on a clone; compares both graphs on random input; leaves the rewritten one. */
static pare_graph *rewritten(pare_graph *g, double tolerance)
{
    pare_graph *r;
    OK(pare_graph_clone(g, &r));
    OK(pare_passes_run(r));
    OK(pare_graph_check(r));
    pare_tensor in = random_tensor(g->value[g->input[0]].type, 3), a[4] = { 0 }, b[4] = { 0 };
    evaluate_graph(g, &in, a);
    pare_graph *copy;
    OK(pare_graph_clone(r, &copy));
    evaluate_graph(copy, &in, b);
    pare_graph_free(copy);
    for (uint32_t i = 0; i < g->n_outputs; i++)
        assert_close(&b[i], &a[i], tolerance, "after the passes");
    for (int i = 0; i < 4; i++) pare_tensor_free(&a[i]), pare_tensor_free(&b[i]);
    pare_tensor_free(&in);
    return r;
}

static void test_fold_batch_norm(void **state)
{
    (void)state;
    static const struct {
        const char *op, *attrs;
        int w[4], channels;
    } cases[] = {
        { "Conv", "pads=1/1/1/1", { 6, 4, 3, 3 }, 6 },
        { "Conv", "group=2,strides=2/2", { 6, 2, 3, 3 }, 6 },
        { "ConvTranspose", "strides=2/2,pads=1/1/1/1", { 4, 6, 3, 3 }, 6 },
        { "ConvTranspose", "group=2", { 4, 3, 2, 2 }, 6 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int bias = 0; bias < 2; bias++) {
            pare_graph *g, *r;
            OK(pare_graph_new(&g));
            const int *w = cases[i].w;
            pare_id x = add_input(g, "x", f32_type(4, 2, 4, 7, 8)),
                    b = bias ? add_random(g, "b", f32_type(1, 6), 4) : PARE_NONE;
            pare_id y = add_node(g, cases[i].op, cases[i].attrs, "conv", 3, x,
                                 add_random(g, "w", f32_type(4, w[0], w[1], w[2], w[3]), 5), b);
            y = batch_norm(g, y, cases[i].channels, "bn");
            y = add_node(g, "Mul", "", "mul", 2, add_random(g, "k", f32_type(3, 6, 1, 1), 6), y);
            y = add_node(g, "Sub", "", "sub", 2, add_scalar(g, 0.25f), y);
            OK(pare_graph_mark_output(g, y));
            r = rewritten(g, 1e-6);
            assert_int_equal(nodes_of(r, NULL), 1);
            assert_string_equal(r->value[r->output[0]].name, "sub");
            pare_graph_free(r);
            pare_graph_free(g);
        }
}

static void test_fold_gemm(void **state)
{
    (void)state;
    for (int trans = 0; trans < 2; trans++) {
        pare_graph *g, *r;
        OK(pare_graph_new(&g));
        pare_id x = add_input(g, "x", f32_type(2, 3, 5));
        pare_id w = add_random(g, "w", trans ? f32_type(2, 7, 5) : f32_type(2, 5, 7), 5);
        pare_id y = add_node(g, "Gemm", trans ? "transB=1" : "", "gemm", 3, x, w,
                             add_random(g, "b", f32_type(1, 7), 6));
        y = batch_norm(g, y, 7, "bn");
        OK(pare_graph_mark_output(g, y));
        r = rewritten(g, 1e-6);
        assert_int_equal(nodes_of(r, NULL), 1);
        pare_graph_free(r);
        pare_graph_free(g);
    }
}

/* Folding must not touch a weight that others read, an intermediate that is an output or read
 * twice, or an encoded weight. */
static void test_fold_restraint(void **state)
{
    (void)state;
    pare_graph *g, *r;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, 1, 4, 6, 6)),
            w = add_random(g, "w", f32_type(4, 4, 4, 3, 3), 5);
    pare_id a = add_node(g, "Conv", "", "a", 2, x, w), b = add_node(g, "Conv", "", "b", 2, x, w),
            c = add_node(g, "Conv", "", "c", 2, x, w);
    pare_weight coded;
    OK(pare_bitmap_encode(&g->value[w].type, g->value[w].weight->part[0].data, NULL, &coded));
    pare_id v;
    OK(pare_graph_add_constant(g, "coded", coded, &v));
    pare_id d = add_node(g, "Conv", "", "d", 2, x, v);
    pare_id na = batch_norm(g, a, 4, "na"), nb = batch_norm(g, b, 4, "nb"),
            nc = batch_norm(g, c, 4, "nc"), nd = batch_norm(g, d, 4, "nd");
    pare_id e = add_node(g, "Add", "", "e", 2, b, nb);
    pare_id out[] = { na, e, c, nc };
    for (int i = 0; i < 4; i++) OK(pare_graph_mark_output(g, out[i]));
    OK(pare_graph_mark_output(g, nd));
    pare_tensor in = random_tensor(f32_type(4, 1, 4, 6, 6), 3), want[5] = { 0 }, got[5] = { 0 };
    OK(pare_graph_clone(g, &r));
    OK(pare_passes_run(r));
    assert_int_equal(nodes_of(r, "BatchNormalization"), 3); /* only a's is gone */
    evaluate_graph(g, &in, want);
    evaluate_graph(r, &in, got);
    for (int i = 0; i < 5; i++) {
        assert_close(&got[i], &want[i], 1e-6, "restraint");
        pare_tensor_free(&got[i]);
        pare_tensor_free(&want[i]);
    }
    pare_tensor_free(&in);
    pare_graph_free(r);
    pare_graph_free(g);
}

static void test_drop_identities(void **state)
{
    (void)state;
    pare_graph *g, *r;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(4, 1, 4, 1, 6));
    static const int64_t zeros[8] = { 0 }, cancel[8] = { 0, 0, 0, 1, 0, 0, 0, -1 },
                         same[4] = { 1, 4, 1, 6 };
    pare_id y = add_node(g, "Relu", "", "relu", 1, x);
    y = add_node(g, "Identity", "", "identity", 1, y);
    y = add_node(g, "Dropout", "", "dropout", 1, y);
    y = add_node(g, "Pad", "", "pad", 2, y, add_ints(g, 8, zeros));
    y = add_node(g, "Reshape", "", "reshape", 2, y, add_ints(g, 4, same));
    y = add_node(g, "Cast", "to=1", "cast", 1, y);
    y = add_node(g, "Transpose", "perm=2/1/0/3", "transpose", 1,
                 y); /* only dimensions of 1 change places, but the type does */
    y = add_node(g, "Transpose", "perm=2/1/0/3", "transpose2", 1, y);
    y = add_node(g, "Pad", "", "shift", 2, y,
                 add_ints(g, 8, cancel)); /* the same shape, other values */
    OK(pare_graph_mark_output(g, y));
    r = rewritten(g, 0);
    assert_int_equal(nodes_of(r, "Relu"), 1);
    assert_int_equal(nodes_of(r, "Pad"), 1);
    assert_int_equal(nodes_of(r, "Identity") + nodes_of(r, "Dropout") + nodes_of(r, "Reshape") +
                         nodes_of(r, "Cast"),
                     0);
    assert_int_equal(nodes_of(r, "Transpose"), 0);
    pare_graph_free(r);
    pare_graph_free(g);
}

/* Exporters name the mask that Dropout gives, whether or not somebody reads it, and leave training
 * mode on where the ratio is 0. */
static void test_dropout_with_mask(void **state)
{
    (void)state;
    for (int read = 0; read < 2; read++) {
        pare_graph *g, *r;
        OK(pare_graph_new(&g));
        pare_id x = add_input(g, "x", f32_type(2, 3, 4)), out[2];
        pare_tensor on;
        pare_id in[3] = { add_node(g, "Relu", "", "relu", 1, x), add_scalar(g, 0), PARE_NONE };
        OK(pare_tensor_new(PARE_BOOL, 0, NULL, &on));
        *(uint8_t *)on.data = 1;
        OK(pare_graph_add_constant(g, "on", pare_weight_dense(on), &in[2]));
        for (int i = 0; i < 2; i++)
            OK(pare_graph_add_value(g, pare_graph_unique(g, "dropout"), NULL, &out[i]));
        const pare_op *op = pare_op_find("Dropout");
        void *attrs = pare_arena_alloc(g->arena, op->attrs_size + 1);
        if (op->attrs) pare_fields_default(op->attrs, attrs);
        OK(pare_graph_add_node(g, op, "dropout", attrs, op->attrs_size, 3, in, 2, out, NULL));
        OK(pare_graph_mark_output(g, add_node(g, "Neg", "", "neg", 1, out[0])));
        if (read) OK(pare_graph_mark_output(g, add_node(g, "Not", "", "not", 1, out[1])));
        r = rewritten(g, 0);
        assert_int_equal(nodes_of(r, "Dropout"), read);
        pare_graph_free(r);
        pare_graph_free(g);
    }
}

static void test_constants_and_dead_code(void **state)
{
    (void)state;
    pare_graph *g, *r;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(2, 3, 4)), k = add_random(g, "k", f32_type(1, 4), 2);
    pare_id e = add_node(g, "Exp", "", "exp", 1, k), y = add_node(g, "Mul", "", "mul", 2, x, e);
    add_node(g, "Relu", "", "dead", 1, add_node(g, "Neg", "", "dead_too", 1, y));
    pare_id s = add_node(g, "Shape", "", "shape", 1, x),
            z = add_node(g, "Reshape", "", "view", 2, y, s);
    OK(pare_graph_mark_output(g, z));
    r = rewritten(g, 0);
    assert_int_equal(nodes_of(r, NULL), 1);
    assert_int_equal(r->n_inputs, 1);
    pare_graph_free(r);
    pare_graph_free(g);
}

/* An output may be an input, a constant, or the same value twice over: the nodes that copy must
 * stay. */
static void test_outputs_stay(void **state)
{
    (void)state;
    pare_graph *g, *r;
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", f32_type(1, 4)), y = add_node(g, "Relu", "", "y", 1, x);
    pare_id out[] = { add_node(g, "Identity", "", "a", 1, x), y,
                      add_node(g, "Identity", "", "b", 1, y),
                      add_node(g, "Neg", "", "c", 1, add_random(g, "k", f32_type(1, 4), 2)) };
    for (int i = 0; i < 4; i++) OK(pare_graph_mark_output(g, out[i]));
    r = rewritten(g, 0);
    assert_int_equal(r->n_outputs, 4);
    pare_graph_free(r);
    pare_graph_free(g);
}

/* x / 2 * (1 + erf(x / sqrt(2))) in the orders that exporters use; `root` in place of sqrt(2). */
static pare_id spelt_gelu(pare_graph *g, pare_id x, int form, float root)
{
    pare_id e = form % 2 ? add_node(g, "Div", "", "div", 2, x, add_scalar(g, root))
                         : add_node(g, "Mul", "", "div", 2, add_scalar(g, 1 / root), x);
    e = add_node(g, "Erf", "", "erf", 1, e);
    e = add_node(g, "Add", "", "one", 2, form % 2 ? e : add_scalar(g, 1),
                 form % 2 ? add_scalar(g, 1) : e);
    pare_id half = add_scalar(g, 0.5f);
    if (form < 2) return add_node(g, "Mul", "", "y", 2, add_node(g, "Mul", "", "m", 2, x, e), half);
    if (form < 4) return add_node(g, "Mul", "", "y", 2, add_node(g, "Mul", "", "m", 2, half, x), e);
    return add_node(g, "Mul", "", "y", 2, x, add_node(g, "Mul", "", "m", 2, e, half));
}

static void test_find_gelu(void **state)
{
    (void)state;
    for (int form = 0; form < 7; form++) {
        pare_graph *g, *r;
        OK(pare_graph_new(&g));
        pare_id x = add_input(g, "x", f32_type(3, 2, 5, 7));
        /* The seventh is none. */
        OK(pare_graph_mark_output(g, spelt_gelu(g, x, form, form < 6 ? 1.41421356f : 1.4f)));
        r = rewritten(g, 1e-6);
        assert_int_equal(nodes_of(r, "Gelu"), form < 6);
        assert_int_equal(nodes_of(r, NULL), form < 6 ? 1 : 5);
        pare_graph_free(r);
        pare_graph_free(g);
    }
}

static void test_find_products(void **state)
{
    (void)state;
    static const struct {
        const char *equation;
        int transposes; /* -1: not a product of matrices */
    } cases[] = {
        { "bgid,bgdj->bgij", 0 },  { "B G i D , B G D J -> B G i J", 0 },
        { "bgdj,bgid->bgij", 0 },  { "bgid,bgdj->bgji", 2 },
        { "bgid,bgdj->gbij", 2 },  { "bgid,bgdj->igbj", 3 },
        { "bgid,bgdj->bij", -1 },  { "bgid,bgdi->bgi", -1 },
        { "bbid,bgdj->bgij", -1 }, { "...id,...dj->...ij", -1 },
        { "bgid,bgdj", -1 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pare_graph *g, *r;
        OK(pare_graph_new(&g));
        pare_id x = add_input(g, "x", f32_type(4, 3, 3, 4, 4)),
                k = add_node(g, "Exp", "", "k", 1, x);
        pare_id y = add_node(g, "Einsum", "", "y", 2, x, k);
        const pare_field *f = pare_field_find(g->node[1].op->attrs, "equation", 8);
        *(const char **)pare_field_at(f, g->node[1].attrs) = cases[i].equation;
        OK(pare_graph_mark_output(g, y));
        r = rewritten(g, 1e-6);
        assert_int_equal(nodes_of(r, "MatMul"), cases[i].transposes >= 0);
        assert_int_equal(nodes_of(r, "Einsum"), cases[i].transposes < 0);
        assert_int_equal(nodes_of(r, "Transpose"),
                         cases[i].transposes < 0 ? 0 : cases[i].transposes);
        pare_graph_free(r);
        pare_graph_free(g);
    }
}

/* `form`: 0 and 1 are LayerNormalization, over one and over two dimensions; 2 has a mean over other
 * dimensions, 3 squares something else, 4 has a scale that broadcasts otherwise. In 5 others read
 * what is in between. */
static void test_find_layer_norm(void **state)
{
    (void)state;
    for (int form = 0; form < 6; form++) {
        pare_graph *g, *r;
        OK(pare_graph_new(&g));
        pare_id x = add_input(g, "x", f32_type(4, 2, 5, 6, 7)),
                axes = form == 1   ? add_ints(g, 2, (int64_t[]){ 2, -1 })
                       : form == 2 ? add_ints(g, 1, (int64_t[]){ 2 })
                                   : add_ints(g, 1, (int64_t[]){ -1 });
        pare_id mean = add_node(g, "ReduceMean", "", "mean", 2, x, axes),
                c = add_node(g, "Sub", "", "centred", 2, x, mean),
                s = form % 2 ? add_node(g, "Mul", "", "square", 2, form == 3 ? x : c, c)
                             : add_node(g, "Pow", "", "square", 2, c, add_scalar(g, 2));
        pare_id v = add_node(g, "ReduceMean", "", "variance", 2, s, axes);
        v = add_node(g, "Add", "", "more", 2, v, add_scalar(g, form == 3 ? 100 : 1e-3f));
        v = add_node(g, "Sqrt", "", "root", 1, v);
        pare_id y = add_node(g, "Div", "", "normal", 2, c, v);
        pare_type k = form == 1 ? f32_type(2, 6, 7) : f32_type(1, 7);
        if (form == 4) k = f32_type(3, 5, 1, 7);
        y = add_node(g, "Mul", "", "scaled", 2, y, add_random(g, "scale", k, 5));
        y = add_node(g, "Add", "", "shifted", 2, add_random(g, "shift", k, 6), y);
        OK(pare_graph_mark_output(g, y));
        if (form == 5) OK(pare_graph_mark_output(g, v));
        r = rewritten(g, 1e-5);
        bool found = form < 2 || form == 5;
        assert_int_equal(nodes_of(r, "LayerNormalization"), found);
        if (form < 2) assert_int_equal(nodes_of(r, NULL), 1);
        if (found) assert_int_equal(nodes_of(r, "Div"), 0);
        pare_graph_free(r);
        pare_graph_free(g);
    }
}

static void test_found_by_name(void **state)
{
    (void)state;
    for (size_t i = 0; pare_passes[i]; i++)
        assert_ptr_equal(pare_pass_find(pare_passes[i]->name), pare_passes[i]);
    assert_null(pare_pass_find("no_such_pass"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fold_batch_norm),         cmocka_unit_test(test_fold_gemm),
        cmocka_unit_test(test_fold_restraint),          cmocka_unit_test(test_drop_identities),
        cmocka_unit_test(test_constants_and_dead_code), cmocka_unit_test(test_outputs_stay),
        cmocka_unit_test(test_find_products),           cmocka_unit_test(test_find_gelu),
        cmocka_unit_test(test_find_layer_norm),         cmocka_unit_test(test_dropout_with_mask),
        cmocka_unit_test(test_found_by_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
