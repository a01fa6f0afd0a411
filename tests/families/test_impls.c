/* Every implementation on real numbers gives what the operator's eval gives, on every shape of the
 * list that it accepts, fused or not, and bitwise the same for 1, 2 and 3 threads. */
#include "ops/resize.h"
#include "support/impl_cases.h"

#include <dirent.h>

/* An input that, if blocked, has other numbers than zeros in the lanes beyond its last channel: an
 * operator of which 0 gives something else. */
static pare_id dirty_input(one_case *c, const char *name, pare_type type)
{
    pare_id x = add_input(c->g, name, type);
    if (type.rank != 4) return x;
    c->front = true;
    return add_node(c->g, "Exp", "", "front", 1, x);
}

/* What follows the operator: nothing, or what the plan fuses. */
enum { ALONE, RELU, AFFINE_CLIP, RESIDUAL_LEAKY, COLUMNS_GELU, TAILS };

static void finish(one_case *c, pare_id v, pare_type y, int tail)
{
    pare_graph *g = c->g;
    switch (tail) {
    case RELU: v = add_node(g, "Relu", "", "act", 1, v); break;
    case AFFINE_CLIP: {
        pare_type k = y;
        for (int d = 0; d < k.rank; d++)
            if (d != 1) k.dim[d] = 1;
        if (!pare_op_find("Mul") || !pare_op_find("Clip")) break;
        v = add_node(g, "Mul", "", "mul", 2, v, add_random(g, "factor", k, 11));
        v = add_node(g, "Clip", "", "act", 3, v, add_scalar(g, -0.5f), add_scalar(g, 0.75f));
        break;
    }
    case RESIDUAL_LEAKY:
        if (!pare_op_find("Add") || !pare_op_find("LeakyRelu")) break;
        c->in[1] = random_tensor(y, 21);
        v = add_node(g, "Add", "", "add", 2, v, dirty_input(c, "r", y));
        v = add_node(g, "LeakyRelu", "alpha=0.2", "act", 1, v);
        break;
    case COLUMNS_GELU: /* of products; errors of Gelu are relative to its input, hence the 1 */
        v = add_node(g, "Mul", "", "mul", 2, v,
                     add_random(g, "factor", f32_type(1, (int)y.dim[y.rank - 1]), 11));
        v = add_node(g, "Sub", "", "sub", 2, add_random(g, "term", f32_type(1, 1), 12), v);
        v = add_node(g, "Gelu", "", "act", 1, v);
        v = add_node(g, "Add", "", "one", 2, v, add_scalar(g, 1));
        break;
    default: break;
    }
    OK(pare_graph_mark_output(g, v));
}

static void conv(const conv_case *k, int tail, bool bias)
{
    one_case c = { 0 };
    snprintf(c.what, sizeof c.what, "Conv n=%d c=%d %dx%d m=%d kernel %dx%d group=%d %s tail %d",
             k->n, k->c, k->h, k->w, k->m, k->kh, k->kw, k->group, k->attrs, tail);
    OK(pare_graph_new(&c.g));
    pare_type xt = f32_type(4, k->n, k->c, k->h, k->w),
              wt = f32_type(4, k->m, k->c / k->group, k->kh, k->kw);
    pare_id x = tail == RELU ? dirty_input(&c, "x", xt) : add_input(c.g, "x", xt),
            w = add_random(c.g, "w", wt, 5),
            b = bias ? add_random(c.g, "b", f32_type(1, k->m), 6) : PARE_NONE;
    /* Outputs of about 1, so that clipping does not shrink what errors are compared with. */
    pare_tensor *wv = &c.g->value[w].weight->part[0];
    for (int64_t i = 0; i < pare_tensor_count(wv); i++)
        ((float *)wv->data)[i] /= sqrtf((float)(k->c / k->group * k->kh * k->kw));
    char attrs[160];
    snprintf(attrs, sizeof attrs, "group=%d%s%s", k->group, *k->attrs ? "," : "", k->attrs);
    pare_id y = add_node(c.g, "Conv", attrs, "conv", 3, x, w, b);
    OK(pare_infer(c.g, false));
    c.in[0] = random_tensor(xt, 1);
    finish(&c, y, c.g->value[y].type, tail);
    run_case(&c);
}

static void test_conv(void **state)
{
    (void)state;
    if (!pare_op_find("Conv")) skip();
    static const conv_case cases[] = {
        { 1, 1, 1, 1, 1, 1, 1, 1, "" },
        { 2, 3, 9, 7, 7, 3, 3, 1, "pads=1/1/1/1" },
        { 1, 7, 5, 5, 17, 1, 1, 1, "" },
        { 2, 17, 16, 16, 8, 1, 1, 1, "" },
        { 3, 16, 4, 4, 24, 3, 3, 1, "pads=1/1/1/1" },
        { 1, 8, 33, 34, 9, 3, 3, 1, "pads=1/1/1/1" },
        { 1, 3, 33, 31, 8, 7, 7, 1, "pads=3/3/3/3,strides=2/2" },
        { 1, 5, 12, 10, 6, 2, 3, 1, "pads=0/1/2/0,strides=3/2" },
        { 1, 4, 11, 12, 5, 3, 2, 1, "dilations=2/3,pads=2/1/1/2" },
        { 2, 6, 9, 9, 8, 1, 1, 1, "strides=3/3" },
        { 1, 3, 10, 10, 4, 2, 2, 1, "strides=4/3,dilations=3/2,pads=2/0/1/1" },
        { 1, 3, 6, 40, 7, 5, 5, 1, "auto_pad=SAME_UPPER,strides=1/2" },
        { 2, 8, 8, 8, 12, 3, 3, 4, "pads=1/1/1/1" },
        { 1, 6, 7, 9, 6, 3, 3, 6, "pads=1/1/1/1" },
        { 2, 5, 30, 30, 15, 5, 5, 5, "pads=2/2/2/2,strides=2/2" },
        { 1, 4, 100, 40, 4, 3, 3, 4, "pads=1/1/1/1" },
        { 1, 1, 1, 1, 1, 3, 3, 1, "pads=1/1/1/1" },
        { 2, 17, 7, 7, 17, 3, 3, 17, "pads=1/1/1/1" },
        { 1, 35, 14, 20, 35, 5, 5, 35, "pads=2/2/2/2" },
        { 1, 16, 9, 33, 16, 3, 3, 16, "pads=0/1/1/0,strides=2/2" },
        { 2, 3, 11, 12, 3, 3, 2, 3, "pads=2/1/3/2,dilations=2/3" },
        { 1, 7, 13, 13, 7, 2, 2, 7, "strides=4/3" },
        { 1, 48, 1, 1, 48, 3, 3, 48, "pads=1/1/1/1" },
        { 1, 40, 60, 60, 40, 3, 3, 1, "pads=1/1/1/1" },
        { 1, 64, 50, 50, 70, 1, 1, 1, "" },
        { 1, 1900, 3, 5, 80, 1, 1, 1, "" },              /* several chunks, fetched ahead */
        { 2, 40, 40, 41, 40, 5, 5, 40, "pads=2/2/2/2" }, /* bands of several blocks */
        { 1, 2, 1, 50, 3, 1, 5, 1, "pads=0/2/0/2" },
        { 1, 2, 3, 3, 3, 5, 5, 1, "pads=2/2/2/2" },
        { 1, 2, 4, 4, 3, 3, 3, 1, "pads=3/3/3/3,strides=2/2" },
        { 5, 1, 28, 28, 20, 5, 5, 1, "" },
        { 1, 96, 14, 14, 96, 3, 3, 1, "pads=1/1/1/1" },
        { 2, 64, 7, 7, 80, 3, 3, 2, "pads=1/1/1/1" },
        { 1, 200, 7, 7, 48, 3, 3, 1, "pads=1/1/1/1" }, /* several chunks of input channels */
        { 1, 32, 14, 14, 33, 3, 3, 1, "pads=1/1/1/1,strides=2/2" },
        { 1, 48, 2, 3, 32, 3, 3, 1, "pads=1/1/1/1" },
        { 1, 1, 60, 230, 20, 7, 5, 1, "pads=3/2/3/2,strides=2/2" },
        { 1, 4, 9, 9, 16, 3, 3, 1, "pads=4/4/4/4,dilations=2/2" },
        { 1, 17, 1, 1, 7, 3, 3, 1, "pads=1/1/1/1" },
        { 2, 33, 7, 6, 65, 3, 3, 1, "pads=0/3/4/1" },
        { 1, 150, 13, 9, 40, 3, 3, 1, "" },
        { 1, 16, 90, 70, 130, 3, 3, 1, "pads=1/1/1/1" },
        /* Geometry of hostile files: nothing may overflow. */
        { 1, 1, 1, 1, 1, 2, 2, 1,
          "dilations=2147483647/2147483647,pads=2147483647/2147483647/0/0" },
        { 1, 8, 1, 1, 8, 2, 1, 8,
          "strides=1/2147483644,dilations=2147483647/1,pads=2147483647/2147483644/0/0" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int tail = 0; tail < COLUMNS_GELU; tail++)
            conv(&cases[i], tail, (i + (size_t)tail) % 3 != 0);
    /* Input and output are small, but rows of padding reach beyond 32 bits; others would want half
     * a gigabyte. */
    only = "conv_blocked";
    conv(&(conv_case){ 1, 1, 1, 33289, 1, 64, 1, 1, "dilations=64/1,pads=4032/0/0/0" }, ALONE,
         true);
    only = NULL;
}

static void test_conv_random(void **state)
{
    (void)state;
    if (!pare_op_find("Conv")) skip();
    pare_rng rng = pare_rng_stream(99, 1);
    for (int i = 0; i < 60; i++) {
        conv_case k = { .n = 1 + (int)pare_rng_below(&rng, 3),
                        .group = 1 + (int)pare_rng_below(&rng, 3) };
        k.c = k.group * (1 + (int)pare_rng_below(&rng, 9));
        k.m = k.group * (1 + (int)pare_rng_below(&rng, 19));
        k.kh = 1 + (int)pare_rng_below(&rng, 4), k.kw = 1 + (int)pare_rng_below(&rng, 4);
        int d[2] = { 1 + (int)pare_rng_below(&rng, 3), 1 + (int)pare_rng_below(&rng, 3) };
        k.h = (k.kh - 1) * d[0] + 1 + (int)pare_rng_below(&rng, 20);
        k.w = (k.kw - 1) * d[1] + 1 + (int)pare_rng_below(&rng, 40);
        char attrs[120];
        snprintf(attrs, sizeof attrs, "strides=%d/%d,dilations=%d/%d,pads=%d/%d/%d/%d",
                 1 + (int)pare_rng_below(&rng, 4), 1 + (int)pare_rng_below(&rng, 4), d[0], d[1],
                 (int)pare_rng_below(&rng, 4), (int)pare_rng_below(&rng, 4),
                 (int)pare_rng_below(&rng, 4), (int)pare_rng_below(&rng, 4));
        k.attrs = attrs;
        conv(&k, i % COLUMNS_GELU, i % 2);
    }
}

/* `m`: output channels of a group; spatial extents and kernels of rank - 2 dimensions. */
static void conv_transpose(int n, int c, int m, int group, int spatial, const int *in,
                           const int *kernel, const char *attrs, bool bias)
{
    one_case k = { 0 };
    snprintf(k.what, sizeof k.what, "ConvTranspose n=%d c=%d m=%d group=%d %s", n, c, m, group,
             attrs);
    pare_type xt = { .dtype = PARE_F32, .rank = 2 + spatial, .dim = { n, c } }, wt = xt;
    wt.dim[0] = c, wt.dim[1] = m;
    for (int d = 0; d < spatial; d++) xt.dim[2 + d] = in[d], wt.dim[2 + d] = kernel[d];
    OK(pare_graph_new(&k.g));
    pare_id x = add_input(k.g, "x", xt), w = add_random(k.g, "w", wt, 5),
            b = bias ? add_random(k.g, "b", f32_type(1, m * group), 6) : PARE_NONE;
    char all[200];
    snprintf(all, sizeof all, "group=%d%s%s", group, *attrs ? "," : "", attrs);
    pare_id y = add_node(k.g, "ConvTranspose", all, "up", 3, x, w, b);
    OK(pare_infer(k.g, false));
    k.in[0] = random_tensor(xt, 1);
    OK(pare_graph_mark_output(k.g, y));
    run_case(&k);
}

static void test_conv_transpose(void **state)
{
    (void)state;
    if (!pare_op_find("ConvTranspose")) skip();
#define I(...) (int[]){ __VA_ARGS__ }
    conv_transpose(1, 1, 1, 1, 2, I(1, 1), I(1, 1), "", false);
    conv_transpose(2, 16, 8, 1, 2, I(9, 7), I(2, 2), "strides=2/2", true);
    conv_transpose(1, 5, 7, 1, 2, I(8, 8), I(3, 3), "strides=2/2,pads=1/1/1/1,output_padding=1/1",
                   true);
    conv_transpose(1, 12, 3, 4, 2, I(6, 5), I(4, 3), "strides=2/1,pads=1/0/2/1", false);
    conv_transpose(1, 4, 2, 1, 2, I(5, 6), I(3, 2), "dilations=2/3,strides=1/2", true);
    conv_transpose(1, 3, 4, 1, 2, I(5, 5), I(2, 2), "strides=3/4",
                   true); /* gaps hold the bias alone */
    conv_transpose(2, 3, 4, 1, 2, I(5, 5), I(3, 3), "strides=2/2,auto_pad=SAME_UPPER", true);
    conv_transpose(1, 3, 4, 1, 2, I(4, 4), I(3, 3), "strides=2/2,output_shape=11/8", true);
    conv_transpose(1, 6, 4, 2, 1, I(150), I(5), "strides=2,pads=2/2",
                   true); /* a row of several runs */
    conv_transpose(1, 3, 2, 1, 3, I(3, 4, 5), I(2, 3, 2), "strides=1/2/2,pads=0/1/0/1/1/1", true);
    conv_transpose(1, 40, 70, 1, 2, I(12, 70), I(3, 3), "strides=2/2", false);
    conv_transpose(1, 2, 2, 1, 2, I(3, 3), I(9, 9), "pads=4/4/4/4", true);
#undef I
}

/* One operator on random inputs and constants. */
typedef struct op_case {
    const char *op, *attrs;
    int rank;
    int x[5];      /* input 0 */
    int more;      /* further operands */
    bool constant; /* are they constants? */
    struct {
        int rank, dim[5];
    } other[4];
    bool ints; /* other[0] holds these numbers instead of random ones */
    int value[4], n_values;
} op_case;

static pare_type type_of(int rank, const int *dim)
{
    pare_type t = { .dtype = PARE_F32, .rank = rank };
    for (int d = 0; d < rank; d++) t.dim[d] = dim[d];
    return t;
}

static bool is_product(const char *op)
{
    return strcmp(op, "MatMul") == 0 || strcmp(op, "Gemm") == 0;
}

static void one_op(const op_case *k, int tail)
{
    one_case c = { 0 };
    snprintf(c.what, sizeof c.what, "%s %s, tail %d", k->op, k->attrs, tail);
    OK(pare_graph_new(&c.g));
    pare_type xt = type_of(k->rank, k->x);
    pare_id x = tail == RELU ? dirty_input(&c, "x", xt) : add_input(c.g, "x", xt);
    pare_id in[5] = { x, PARE_NONE, PARE_NONE, PARE_NONE, PARE_NONE };
    c.in[0] = random_tensor(type_of(k->rank, k->x), 1);
    for (int i = 0; i < k->more; i++) {
        pare_type t = type_of(k->other[i].rank, k->other[i].dim);
        if (k->ints) {
            int64_t v[4];
            for (int j = 0; j < k->n_values; j++) v[j] = k->value[j];
            in[1 + i] = add_ints(c.g, k->n_values, v);
        } else if (k->constant) {
            in[1 + i] = add_random(c.g, "k", t, 40 + (uint64_t)i);
            /* The last operand of BatchNormalization is a variance; positive suits the others as
             * well. */
            float *v = c.g->value[in[1 + i]].weight->part[0].data;
            for (int64_t j = 0; j < pare_numel(t.rank, t.dim); j++)
                v[j] = (fabsf(v[j]) + 0.1f) / (is_product(k->op) && i == 0 && t.rank >= 2 ? 20 : 1);
        } else {
            in[1 + i] = add_input(c.g, "other", t);
            c.in[1] = random_tensor(t, 50);
            for (int64_t j = 0; j < pare_tensor_count(&c.in[1]); j++)
                ((float *)c.in[1].data)[j] += 3; /* not divided by nearly 0 */
        }
    }
    pare_id y = add_node(c.g, k->op, k->attrs, "node", 1 + (uint32_t)k->more, in[0], in[1], in[2],
                         in[3], in[4]);
    if (!k->constant && k->more && tail == RESIDUAL_LEAKY) tail = RELU; /* in[1] is taken */
    OK(pare_infer(c.g, false));
    finish(&c, y, c.g->value[y].type,
           c.g->value[y].type.rank < 2 && tail == AFFINE_CLIP ? RELU : tail);
    run_case(&c);
}

static void test_operators(void **state)
{
    (void)state;
    static const op_case cases[] = {
        { .op = "Gemm", "transB=1", 2, { 1, 70 }, 2, true, { { 2, { 130, 70 } }, { 1, { 130 } } } },
        { .op = "Gemm",
          "alpha=0.5,beta=2",
          2,
          { 7, 33 },
          2,
          true,
          { { 2, { 33, 17 } }, { 2, { 1, 17 } } } },
        { .op = "Gemm", "transA=1", 2, { 33, 65 }, 2, true, { { 2, { 33, 64 } }, { 1, { 1 } } } },
        { .op = "Gemm", "transA=1,transB=1", 2, { 20, 3 }, 1, true, { { 2, { 5, 20 } } } },
        { .op = "Gemm", "", 2, { 100, 300 }, 2, true, { { 2, { 300, 200 } }, { 0, { 0 } } } },
        { .op = "MatMul", "", 2, { 13, 40 }, 1, true, { { 2, { 40, 19 } } } },
        { .op = "MatMul", "", 4, { 2, 3, 5, 16 }, 1, true, { { 2, { 16, 9 } } } },
        { .op = "MatMul", "", 2, { 13, 40 }, 1, false, { { 2, { 40, 19 } } } },
        { .op = "MatMul", "", 2, { 1, 7 }, 1, false, { { 2, { 7, 64 } } } },
        { .op = "MatMul", "", 4, { 2, 3, 17, 9 }, 1, false, { { 4, { 2, 3, 9, 64 } } } },
        { .op = "MatMul", "", 4, { 2, 1, 70, 33 }, 1, false, { { 3, { 5, 33, 130 } } } },
        { .op = "MatMul", "", 3, { 1, 4, 6 }, 1, false, { { 4, { 3, 2, 6, 1 } } } },
        { .op = "MatMul", "", 4, { 2, 3, 5, 16 }, 1, false, { { 2, { 16, 9 } } } },
        { .op = "MatMul", "", 3, { 1, 50, 300 }, 1, true, { { 3, { 4, 300, 70 } } } },
        { .op = "MaxPool",
          "kernel_shape=3/3,strides=2/2,pads=1/1/1/1",
          4,
          { 2, 3, 17, 30 },
          0,
          false,
          { { 0 } } },
        { .op = "MaxPool",
          "kernel_shape=2/3,strides=1/3,dilations=2/1,ceil_mode=1",
          4,
          { 1, 5, 9, 12 },
          0,
          false,
          { { 0 } } },
        { .op = "MaxPool",
          "kernel_shape=5/5,pads=2/2/2/2",
          4,
          { 1, 2, 40, 40 },
          0,
          false,
          { { 0 } } },
        { .op = "MaxPool",
          "kernel_shape=5/5,pads=2/2/2/2",
          4,
          { 2, 35, 40, 41 },
          0,
          false,
          { { 0 } } },
        { .op = "MaxPool", "kernel_shape=3,strides=2", 3, { 2, 3, 21 }, 0, false, { { 0 } } },
        { .op = "MaxPool",
          "kernel_shape=2/2,strides=2/2",
          4,
          { 4, 40, 30, 30 },
          0,
          false,
          { { 0 } } },
        { .op = "AveragePool",
          "kernel_shape=3/3,pads=1/1/1/1",
          4,
          { 2, 3, 8, 9 },
          0,
          false,
          { { 0 } } },
        { .op = "AveragePool",
          "kernel_shape=3/2,strides=2/2,pads=1/0/1/1,count_include_pad=1",
          4,
          { 1, 4, 11, 20 },
          0,
          false,
          { { 0 } } },
        { .op = "AveragePool",
          "kernel_shape=3/3,strides=2/2,ceil_mode=1,count_include_pad=1,pads=1/1/1/1",
          4,
          { 1, 4, 12, 12 },
          0,
          false,
          { { 0 } } },
        { .op = "MaxPool",
          "kernel_shape=3/3,strides=2/2,ceil_mode=1",
          4,
          { 2, 35, 15, 27 },
          0,
          false,
          { { 0 } } },
        { .op = "AveragePool",
          "kernel_shape=3/3,strides=2/2,pads=1/0/1/1",
          4,
          { 2, 19, 30, 30 },
          0,
          false,
          { { 0 } } },
        { .op = "GlobalAveragePool", "", 4, { 2, 5, 7, 7 }, 0, false, { { 0 } } },
        { .op = "GlobalAveragePool", "", 4, { 2, 33, 1, 1 }, 0, false, { { 0 } } },
        { .op = "ReduceMean",
          "keepdims=0",
          4,
          { 2, 36, 7, 9 },
          1,
          true,
          { { 1, { 2 } } },
          true,
          { -1, 2 },
          2 },
        { .op = "GlobalMaxPool", "", 4, { 2, 5, 7, 40 }, 0, false, { { 0 } } },
        { .op = "ReduceMean",
          "",
          4,
          { 3, 4, 9, 20 },
          1,
          true,
          { { 1, { 2 } } },
          true,
          { 2, 3 },
          2 },
        { .op = "ReduceSum",
          "keepdims=0",
          3,
          { 3, 40, 50 },
          1,
          true,
          { { 1, { 1 } } },
          true,
          { -1 },
          1 },
        { .op = "ReduceMax", "", 3, { 3, 4, 50 }, 1, true, { { 1, { 2 } } }, true, { 1, 2 }, 2 },
        { .op = "ReduceMean", "", 3, { 3, 4, 5 }, 1, true, { { 1, { 1 } } }, true, { 1 }, 1 },
        { .op = "Softmax", "axis=-1", 2, { 5, 1000 }, 0, false, { { 0 } } },
        { .op = "Softmax", "axis=1", 4, { 2, 37, 1, 1 }, 0, false, { { 0 } } },
        { .op = "BatchNormalization",
          "epsilon=0.01",
          4,
          { 2, 7, 5, 6 },
          4,
          true,
          { { 1, { 7 } }, { 1, { 7 } }, { 1, { 7 } }, { 1, { 7 } } } },
        { .op = "BatchNormalization",
          "",
          2,
          { 50, 7 },
          4,
          true,
          { { 1, { 7 } }, { 1, { 7 } }, { 1, { 7 } }, { 1, { 7 } } } },
        { .op = "Add", "", 4, { 2, 3, 4, 5 }, 1, false, { { 4, { 2, 3, 4, 5 } } } },
        { .op = "Add", "", 4, { 2, 70, 40, 50 }, 1, false, { { 4, { 2, 70, 40, 50 } } } },
        { .op = "Mul", "", 4, { 2, 30, 20, 20 }, 1, false, { { 4, { 2, 30, 1, 1 } } } },
        { .op = "Mul", "", 4, { 2, 30, 1, 1 }, 1, false, { { 4, { 2, 30, 20, 20 } } } },
        { .op = "Add", "", 4, { 2, 30, 1, 1 }, 1, false, { { 4, { 2, 30, 9, 20 } } } },
        { .op = "Sub", "", 4, { 2, 30, 1, 1 }, 1, false, { { 4, { 2, 30, 9, 20 } } } },
        { .op = "Sub", "", 4, { 2, 30, 5, 7 }, 1, false, { { 4, { 2, 30, 1, 1 } } } },
        { .op = "Max", "", 4, { 2, 19, 5, 7 }, 1, false, { { 4, { 2, 19, 5, 7 } } } },
        { .op = "Mul", "", 4, { 2, 19, 5, 7 }, 1, true, { { 3, { 19, 1, 1 } } } },
        { .op = "Sub", "", 4, { 1, 19, 5, 7 }, 1, true, { { 4, { 1, 19, 1, 1 } } } },
        { .op = "Div", "", 4, { 2, 19, 5, 7 }, 1, true, { { 1, { 1 } } } },
        { .op = "Add", "", 4, { 2, 40, 50, 30 }, 1, true, { { 0, { 0 } } } },
        { .op = "Sub", "", 1, { 5 }, 1, false, { { 4, { 2, 3, 4, 5 } } } },
        { .op = "Div", "", 4, { 2, 1, 4, 1 }, 1, false, { { 4, { 1, 3, 4, 5 } } } },
        { .op = "Max", "", 3, { 2, 33, 4 }, 1, false, { { 2, { 33, 1 } } } },
        { .op = "Min", "", 2, { 50, 3 }, 1, false, { { 0, { 0 } } } },
        { .op = "Sum", "", 2, { 50, 3 }, 1, false, { { 2, { 50, 3 } } } },
        { .op = "Relu", "", 2, { 3, 7 }, 0, false, { { 0 } } },
        { .op = "LeakyRelu", "alpha=0.3", 2, { 300, 701 }, 0, false, { { 0 } } },
        { .op = "Clip", "", 2, { 3, 7 }, 2, true, { { 0 }, { 0 } } },
        { .op = "Sigmoid", "", 4, { 2, 19, 9, 70 }, 0, false, { { 0 } } },
        { .op = "HardSwish", "", 4, { 1, 35, 40, 50 }, 0, false, { { 0 } } },
        { .op = "Exp", "", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "Sigmoid", "", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "Tanh", "", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "HardSigmoid", "alpha=0.3,beta=0.4", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "HardSwish", "", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "Elu", "alpha=0.7", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "Neg", "", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "Abs", "", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "Erf", "", 4, { 1, 19, 30, 70 }, 0, false, { { 0 } } },
        { .op = "Gelu", "", 4, { 2, 19, 9, 7 }, 0, false, { { 0 } } },
        { .op = "Gelu", "approximate=tanh", 2, { 3, 70 }, 0, false, { { 0 } } },
        { .op = "LayerNormalization",
          "epsilon=0.01",
          3,
          { 20, 49, 70 },
          2,
          true,
          { { 1, { 70 } }, { 1, { 70 } } } },
        { .op = "LayerNormalization",
          "axis=2",
          4,
          { 2, 7, 5, 6 },
          2,
          true,
          { { 2, { 5, 6 } }, { 2, { 5, 6 } } } },
        { .op = "LayerNormalization", "", 2, { 3, 17 }, 1, true, { { 1, { 17 } } } },
        { .op = "LayerNormalization", "axis=0", 2, { 3, 17 }, 1, false, { { 2, { 3, 17 } } } },
        { .op = "InstanceNormalization",
          "",
          4,
          { 2, 7, 30, 21 },
          2,
          true,
          { { 1, { 7 } }, { 1, { 7 } } } },
        { .op = "InstanceNormalization",
          "",
          3,
          { 1, 3, 5 },
          2,
          true,
          { { 1, { 3 } }, { 1, { 3 } } } },
        { .op = "PRelu", "", 4, { 2, 35, 30, 21 }, 1, true, { { 3, { 35, 1, 1 } } } },
        { .op = "PRelu", "", 4, { 1, 3, 5, 7 }, 1, true, { { 1, { 1 } } } },
        { .op = "PRelu", "", 2, { 3, 17 }, 1, true, { { 1, { 17 } } } },
        { .op = "PRelu", "", 4, { 1, 3, 5, 7 }, 1, true, { { 1, { 7 } } } },
        { .op = "Transpose", "perm=0/2/3/1", 4, { 2, 3, 4, 5 }, 0, false, { { 0 } } },
        { .op = "Transpose", "", 3, { 30, 4, 500 }, 0, false, { { 0 } } },
        { .op = "Transpose", "perm=0/2/3/1", 4, { 2, 35, 40, 50 }, 0, false, { { 0 } } },
        { .op = "Transpose", "perm=0/3/1/2", 4, { 2, 40, 50, 37 }, 0, false, { { 0 } } },
        { .op = "Transpose", "perm=0/3/1/2", 4, { 3, 1, 5, 16 }, 0, false, { { 0 } } },
        { .op = "Transpose", "perm=0/1/3/2", 4, { 2, 3, 197, 64 }, 0, false, { { 0 } } },
        { .op = "Transpose", "perm=3/1/2/0", 4, { 5, 6, 7, 9 }, 0, false, { { 0 } } },
        { .op = "Transpose", "perm=0/2/1/3", 4, { 2, 30, 20, 40 }, 0, false, { { 0 } } },
        { .op = "Gather", "axis=0", 3, { 3, 40, 50 }, 1, true, { { 0 } }, true, { 2 }, 1 },
        { .op = "Gather", "axis=1", 3, { 3, 40, 50 }, 1, true, { { 0 } }, true, { -7 }, 1 },
        { .op = "Gather", "axis=-1", 3, { 3, 40, 50 }, 1, true, { { 0 } }, true, { 49 }, 1 },
        { .op = "Transpose", "perm=1/0/2", 3, { 70, 8, 200 }, 0, false, { { 0 } } },
        { .op = "Concat", "axis=1", 4, { 2, 3, 4, 5 }, 1, false, { { 4, { 2, 7, 4, 5 } } } },
        { .op = "Concat", "axis=-3", 4, { 2, 35, 9, 5 }, 1, false, { { 4, { 2, 40, 9, 5 } } } },
        { .op = "Concat", "axis=1", 4, { 1, 32, 30, 55 }, 1, false, { { 4, { 1, 33, 30, 55 } } } },
        { .op = "Concat", "axis=-1", 3, { 20, 3, 40 }, 1, true, { { 3, { 20, 3, 1 } } } },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int tail = 0; tail < TAILS; tail++)
            if (tail != COLUMNS_GELU || is_product(cases[i].op)) one_op(&cases[i], tail);
}

/* Pow of numbers that are not negative, and others, to constants. */
static void power(double exponent, pare_dtype dtype, int rank)
{
    one_case c = { 0 };
    snprintf(c.what, sizeof c.what, "Pow to %g", exponent);
    OK(pare_graph_new(&c.g));
    pare_type t = f32_type(4, 2, 19, 9, 70);
    pare_tensor k;
    OK(pare_tensor_new(dtype, rank, (int64_t[]){ 1, 1, 1, 1, 1 }, &k));
    if (dtype == PARE_I64)
        *(int64_t *)k.data = (int64_t)exponent;
    else
        *(float *)k.data = (float)exponent;
    pare_id v;
    OK(pare_graph_add_constant(c.g, "exponent", pare_weight_dense(k), &v));
    pare_id y = add_node(c.g, "Pow", "", "node", 2, add_input(c.g, "x", t), v);
    OK(pare_graph_mark_output(c.g, y));
    c.in[0] = random_tensor(t, 1);
    for (int64_t i = 0; i < pare_tensor_count(&c.in[0]); i++) {
        float *x = (float *)c.in[0].data + i;
        if (exponent != 2 && exponent != 3) *x = 1 + fabsf(*x);
    }
    run_case(&c);
}

static void test_power(void **state)
{
    (void)state;
    static const double exponents[] = { 2, 3, 0.5, -1, 0, 1, 1.7, -2.5 };
    for (size_t i = 0; i < sizeof exponents / sizeof *exponents; i++)
        power(exponents[i], PARE_F32, (int)i % 3);
    power(2, PARE_I64, 0);
    power(3, PARE_F32, 5); /* the result has more dimensions than the base */
}

/* A product scaled by one number, then a sum and a rectifier, as in attention. */
static void test_scaled_product(void **state)
{
    (void)state;
    one_case c = { .what = "MatMul, scaled" };
    OK(pare_graph_new(&c.g));
    pare_type a = f32_type(4, 2, 3, 20, 9), b = f32_type(4, 2, 3, 9, 64),
              y = f32_type(4, 2, 3, 20, 64);
    pare_id in[3] = { add_input(c.g, "a", a), PARE_NONE, PARE_NONE };
    in[1] = add_input(c.g, "b", b), in[2] = add_input(c.g, "r", y);
    pare_id v = add_node(c.g, "MatMul", "", "node", 2, in[0], in[1]);
    v = add_node(c.g, "Mul", "", "mul", 2, v, add_scalar(c.g, 0.125f));
    v = add_node(c.g, "Add", "", "shift", 2, v, add_scalar(c.g, 0.5f));
    v = add_node(c.g, "Add", "", "add", 2, v, in[2]);
    v = add_node(c.g, "Relu", "", "act", 1, v);
    OK(pare_graph_mark_output(c.g, v));
    c.in[0] = random_tensor(a, 1), c.in[1] = random_tensor(b, 2), c.in[2] = random_tensor(y, 3);
    run_case(&c);
}

/* Rows and columns to `h` by `w`, behind an operator that leaves dirty lanes. */
static void resized(const char *attrs, pare_type t, int64_t h, int64_t w)
{
    one_case c = { 0 };
    snprintf(c.what, sizeof c.what, "Resize %s of %lldx%lld to %lldx%lld", attrs,
             (long long)t.dim[2], (long long)t.dim[3], (long long)h, (long long)w);
    OK(pare_graph_new(&c.g));
    pare_id v = add_node(c.g, "Resize", attrs, "node", 4, dirty_input(&c, "x", t), PARE_NONE,
                         PARE_NONE, add_ints(c.g, 4, (int64_t[]){ t.dim[0], t.dim[1], h, w }));
    OK(pare_graph_mark_output(c.g, v));
    c.in[0] = random_tensor(t, 1);
    run_case(&c);
}

/* Weights of 0 would make NaN of infinities that eval leaves out. */
static void test_resize_weights(void **state)
{
    (void)state;
    pare_graph *g;
    OK(pare_graph_new(&g));
    pare_type x = f32_type(4, 1, 1, 5, 7);
    pare_id to = add_ints(g, 4, (int64_t[]){ 1, 1, 9, 21 });
    OK(pare_graph_mark_output(g, add_node(g, "Resize", "mode=linear", "node", 4,
                                          add_input(g, "x", x), PARE_NONE, PARE_NONE, to)));
    OK(pare_infer(g, false));
    const pare_tensor *sizes = &g->value[to].weight->part[0];
    int32_t index[42];
    float weight[42];
    assert_int_equal(pare_resize_taps(&g->node[0], &x, NULL, sizes, 1), 0);
    assert_int_equal(pare_resize_taps(&g->node[0], &x, NULL, sizes, 3), 2);
    pare_resize_axis(&g->node[0], &x, NULL, sizes, 3, index, weight);
    for (int i = 0; i < 21; i++) {
        assert_true(weight[2 * i] != 0 && weight[2 * i + 1] != 0);
        assert_float_equal(weight[2 * i] + weight[2 * i + 1], 1, 1e-6);
        if (i % 3 == 1) /* the middle of an input element */
            assert_true(index[2 * i] == i / 3 && index[2 * i + 1] == i / 3);
    }
    pare_graph_free(g);
}

static void test_resize(void **state)
{
    (void)state;
    static const char *const attrs[] = {
        "mode=linear",
        "mode=linear,coordinate_transformation_mode=align_corners",
        "mode=nearest,nearest_mode=floor,coordinate_transformation_mode=asymmetric",
        "mode=nearest",
        "mode=cubic,cubic_coeff_a=-0.5",
        "mode=linear,coordinate_transformation_mode=pytorch_half_pixel",
        "mode=linear,antialias=1",
    };
    for (size_t i = 0; i < sizeof attrs / sizeof *attrs; i++) {
        resized(attrs[i], f32_type(4, 2, 19, 5, 7), 10, 14);
        resized(attrs[i], f32_type(4, 1, 3, 9, 8), 9, 21);
        resized(attrs[i], f32_type(4, 1, 17, 9, 8), 4, 8);
        resized(attrs[i], f32_type(4, 1, 8, 1, 1), 33, 70);
        resized(attrs[i], f32_type(4, 1, 40, 20, 30), 40, 60);
    }
}

/* Slice and Pad: lists of integers as constants. */
static void moved(const char *op, pare_type x, int lists, const int64_t *a, const int64_t *b,
                  const int64_t *axes, const int64_t *steps, int n)
{
    one_case c = { 0 };
    snprintf(c.what, sizeof c.what, "%s of rank %d, first number %lld", op, x.rank,
             (long long)a[0]);
    OK(pare_graph_new(&c.g));
    pare_id in = add_input(c.g, "x", x), p = add_ints(c.g, n, a),
            q = b ? add_ints(c.g, n, b) : PARE_NONE;
    pare_id r = axes ? add_ints(c.g, n, axes) : PARE_NONE,
            s = steps ? add_ints(c.g, n, steps) : PARE_NONE;
    if (strcmp(op, "Pad") == 0) q = add_scalar(c.g, 2.5f);
    pare_id y = add_node(c.g, op, "", "node", (uint32_t)(1 + lists), in, p, q, r, s);
    OK(pare_graph_mark_output(c.g, y));
    c.in[0] = random_tensor(x, 1);
    run_case(&c);
}

static void test_moves(void **state)
{
    (void)state;
    pare_type x = f32_type(4, 2, 5, 9, 10), big = f32_type(4, 2, 40, 33, 35);
#define L(...) (const int64_t[]){ __VA_ARGS__ }
    moved("Slice", x, 4, L(0, 1), L(9, 10), L(2, 3), L(2, 2), 2);
    moved("Slice", x, 4, L(-1, 3, -100), L(-100, 1000, 100), L(-1, 1, 0), L(-3, 1, 1), 3);
    moved("Slice", big, 3, L(16), L(35), L(1), NULL, 1);
    moved("Slice", big, 3, L(-31), L(100), L(-3), NULL, 1);
    moved("Slice", x, 2, L(1), L(2), NULL, NULL, 1);
    moved("Slice", big, 4, L(1, 4), L(30, 100), L(1, 3), L(1, 5), 2);
    moved("Pad", x, 2, L(0, 2, 0, 0, 0, 3, 0, 0), NULL, NULL, NULL, 8);
    moved("Pad", x, 2, L(1, -1, 2, -3, 0, 2, -4, 5), NULL, NULL, NULL, 8);
    moved("Pad", big, 2, L(0, 0, 1, 1, 0, 0, 1, 1), NULL, NULL, NULL, 8);
#undef L
}

/* x * sigmoid(x) is one step; what only looks like it is two. */
static void gate(const char *op, const char *attrs, bool swapped, bool own, size_t steps)
{
    one_case c = { 0 };
    pare_type t = f32_type(4, 2, 19, 30, 70);
    snprintf(c.what, sizeof c.what, "%s %s as a gate", op, attrs);
    OK(pare_graph_new(&c.g));
    pare_id x = add_input(c.g, "x", t), other = own ? x : add_input(c.g, "other", t),
            s = add_node(c.g, op, attrs, "sigmoid", 1, x),
            y = add_node(c.g, "Mul", "", "gate", 2, swapped ? other : s, swapped ? s : other);
    OK(pare_graph_mark_output(c.g, y));
    c.in[0] = random_tensor(t, 1);
    if (!own) c.in[1] = random_tensor(t, 2);
    pare_plan *plan;
    OK(pare_plan_create(c.g, NULL, &plan));
    assert_int_equal(pare_plan_steps(plan), steps);
    pare_plan_free(plan);
    run_case(&c);
}

static void test_gates(void **state)
{
    (void)state;
    gate("Sigmoid", "", false, true, 1);
    gate("Sigmoid", "", true, true, 1);
    gate("Sigmoid", "", true, false, 2);
    gate("HardSigmoid", "alpha=0.16666667163372,beta=0.5", false, true, 1);
    gate("HardSigmoid", "alpha=0.2,beta=0.5", false, true, 2);
    gate("Tanh", "", false, true, 2);
}

/* Constants where activations are expected: they lie plain, and the plan frees those it has packed.
 * What would fold into more than four times the model is computed at run time. */
static void test_constant_inputs(void **state)
{
    (void)state;
    pare_type one = f32_type(4, 1, 1, 160, 128);
    for (int kernel = 1; kernel < 4; kernel += 2) {
        one_case c = { .what = "Conv of a constant" };
        OK(pare_graph_new(&c.g));
        pare_id x = add_random(c.g, "x", one, 1),
                w = add_random(c.g, "w", f32_type(4, 32, 1, kernel, kernel), 2);
        OK(pare_graph_mark_output(c.g, add_node(c.g, "Conv", "", "conv", 2, x, w)));
        run_case(&c);
    }
    static const char *const ops[][2] = { { "Exp", "" },
                                          { "MaxPool", "kernel_shape=3/3,pads=1/1/1/1" },
                                          { "AveragePool", "kernel_shape=3/3,pads=1/1/1/1" } };
    for (size_t i = 0; i < sizeof ops / sizeof *ops; i++) {
        one_case c = { .what = "a long chain of constants" };
        OK(pare_graph_new(&c.g));
        pare_id v = add_random(c.g, "x", one, 1);
        for (int n = 0; n < 5; n++) { /* the fifth is not folded */
            if (i == 0) v = add_node(c.g, "Neg", "", "neg", 1, v);
            v = add_node(c.g, ops[i][0], ops[i][1], "node", 1, v);
        }
        OK(pare_graph_mark_output(c.g, v));
        run_case(&c);
    }
}

/* The reciprocal of such a divisor is infinite. */
static void test_small_divisor(void **state)
{
    (void)state;
    one_case c = { .what = "Div by 1e-39" };
    pare_type t = f32_type(4, 1, 20, 3, 5);
    OK(pare_graph_new(&c.g));
    pare_id x = add_input(c.g, "x", t), k = add_random(c.g, "k", f32_type(4, 1, 20, 1, 1), 3);
    ((float *)c.g->value[k].weight->part[0].data)[7] = 1e-39f;
    OK(pare_graph_mark_output(c.g, add_node(c.g, "Div", "", "node", 2, x, k)));
    c.in[0] = random_tensor(t, 1);
    for (int64_t i = 0; i < pare_tensor_count(&c.in[0]); i++)
        ((float *)c.in[0].data)[i] *= i % 4 ? 1e-3f : 0;
    run_case(&c);
}

/* Every file of the folder is in the registry, under its own name. */
static void test_all_listed(void **state)
{
    (void)state;
    DIR *d = opendir(PARE_SOURCE_DIR "/src/runtime/impls");
    assert_non_null(d);
    for (struct dirent *e; (e = readdir(d));) {
        size_t len = strlen(e->d_name);
        if (len < 3 || strcmp(e->d_name + len - 2, ".c") != 0 || strcmp(e->d_name, "impls.c") == 0)
            continue;
        char path[512], line[256];
        snprintf(path, sizeof path, PARE_SOURCE_DIR "/src/runtime/impls/%s", e->d_name);
        FILE *f = fopen(path, "r");
        assert_non_null(f);
        while (fgets(line, sizeof line, f)) {
            char name[128];
            if (sscanf(line, "const pare_impl pare_impl_%127[a-z0-9_]", name) != 1) continue;
            bool listed = false;
            for (size_t i = 0; pare_impls[i]; i++) listed |= strcmp(pare_impls[i]->name, name) == 0;
            if (!listed)
                fail_msg(
                    "%s defines implementation %s, which impls.c does not list under that name",
                    e->d_name, name);
        }
        fclose(f);
    }
    closedir(d);
    size_t last = 0;
    while (pare_impls[last + 1]) last++;
    assert_string_equal(pare_impls[last]->name, "reference");
}

static void test_all_ran(void **state)
{
    (void)state;
    all_ran(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv),
        cmocka_unit_test(test_conv_random),
        cmocka_unit_test(test_conv_transpose),
        cmocka_unit_test(test_operators),
        cmocka_unit_test(test_power),
        cmocka_unit_test(test_scaled_product),
        cmocka_unit_test(test_moves),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_resize_weights),
        cmocka_unit_test(test_gates),
        cmocka_unit_test(test_constant_inputs),
        cmocka_unit_test(test_small_divisor),
        cmocka_unit_test(test_all_listed),
        cmocka_unit_test(test_all_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
