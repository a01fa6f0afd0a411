/* Every implementation on integers of 8 bits gives bit for bit what the operator's eval gives, on
 * every shape of the list that it accepts, fused or not. */
#include "ops/qlinear.h"
#include "support/impl_cases.h"

static pare_tensor byte_tensor(pare_dtype dtype, pare_type type, uint64_t seed)
{
    pare_tensor t;
    pare_rng rng = pare_rng_stream(seed, 3);
    type.dtype = dtype;
    OK(pare_tensor_of(&type, &t));
    for (int64_t i = 0; i < pare_tensor_count(&t); i++)
        ((uint8_t *)t.data)[i] = (uint8_t)pare_rng_below(&rng, 256);
    return t;
}
static pare_id add_tensor(pare_graph *g, pare_tensor t)
{
    pare_id v;
    OK(pare_graph_add_constant(g, pare_graph_unique(g, "k"), pare_weight_dense(t), &v));
    return v;
}
static pare_id add_byte(pare_graph *g, pare_dtype dtype, int x)
{
    pare_tensor t;
    OK(pare_tensor_new(dtype, 0, NULL, &t));
    *(uint8_t *)t.data = (uint8_t)x;
    return add_tensor(g, t);
}
static pare_id add_op(pare_graph *g, const pare_op *op, uint32_t n_in, const pare_id *in)
{
    pare_id out;
    OK(pare_graph_add_value(g, pare_graph_unique(g, "y"), NULL, &out));
    OK(pare_graph_add_node(g, op, "node", NULL, 0, n_in, in, 1, &out, NULL));
    return out;
}
static pare_id byte_input(one_case *c, int index, pare_dtype dtype, pare_type type)
{
    const char *name = index ? "b" : "a";
    if (type.rank == 4 && type.dim[1] % 2) { /* dirty lanes, as dirty_input() makes them */
        c->in[index] = random_tensor(type, 70 + (uint64_t)index);
        c->front = true;
        return add_node(c->g, "QuantizeLinear", "", "front", 3, add_input(c->g, name, type),
                        add_scalar(c->g, 0.02f),
                        add_byte(c->g, dtype, dtype == PARE_U8 ? 120 : -9));
    }
    type.dtype = dtype;
    c->in[index] = byte_tensor(dtype, type, 70 + (uint64_t)index);
    return add_input(c->g, name, type);
}

/* Bytes of the codes 0 to `most` only, times `step` plus `least`. */
static pare_tensor few_tensor(pare_dtype dtype, pare_type type, int most, int step, int least)
{
    pare_tensor t = byte_tensor(dtype, type, 9);
    uint8_t *v = t.data;
    for (int64_t i = 0; i < pare_tensor_count(&t); i++)
        v[i] = (uint8_t)(v[i] % (most + 1) * step + least);
    return t;
}

/* `kind`: 0 unsigned input, signed weights without zero point; 1 signed input, scales for each
 * channel; 2 unsigned weights with a zero point; 3 everything signed, zero points for each channel;
 * 4 unsigned weights, 0 and 255 among them, with zero point 0; 5 weights 20, 27, ... 125, input -9
 * to 6 in signed bytes; 6 weights -1 and 1, input 0 to 3; 7 and 8 as 1 and 0 with weights -64 to
 * 64. */
static void conv_bytes(const conv_case *k, int kind, bool integer)
{
    one_case c = { 0 };
    snprintf(c.what, sizeof c.what, "%s n=%d c=%d %dx%d m=%d kernel %dx%d group=%d %s kind %d",
             integer ? "ConvInteger" : "QLinearConv", k->n, k->c, k->h, k->w, k->m, k->kh, k->kw,
             k->group, k->attrs, kind);
    OK(pare_graph_new(&c.g));
    pare_dtype xt = kind % 2 ? PARE_I8 : PARE_U8,
               wt = kind == 2 || kind == 4 || kind == 5 ? PARE_U8 : PARE_I8;
    pare_type each = { .rank = 1, .dim = { k->m } };
    pare_id x = byte_input(&c, 0, xt, f32_type(4, k->n, k->c, k->h, k->w)),
            x_zero = add_byte(c.g, xt,
                              kind == 0   ? 3
                              : kind == 1 ? -128
                              : kind == 7 ? 127
                              : kind == 6 ? 0
                              : kind == 5 ? -2
                                          : 100),
            w_zero = kind == 3   ? add_tensor(c.g, byte_tensor(wt, each, 8))
                     : kind == 2 ? add_byte(c.g, wt, 140)
                     : kind == 5 ? add_byte(c.g, wt, 90)
                                 : add_byte(c.g, wt, 0);
    pare_type wtype = f32_type(4, k->m, k->c / k->group, k->kh, k->kw);
    pare_id w = add_tensor(c.g, kind == 6   ? few_tensor(wt, wtype, 1, 2, -1)
                                : kind == 5 ? few_tensor(wt, wtype, 15, 7, 20)
                                : kind > 6  ? few_tensor(wt, wtype, 128, 1, -64)
                                            : byte_tensor(wt, wtype, 7));
    if (kind == 5 || kind == 6)
        x = add_node(c.g, "Clip", "", "codes", 3, x, add_byte(c.g, xt, kind == 6 ? 0 : -9),
                     add_byte(c.g, xt, kind == 6 ? 3 : 6));
    char attrs[160];
    snprintf(attrs, sizeof attrs, "group=%d%s%s", k->group, *k->attrs ? "," : "", k->attrs);
    pare_id y;
    if (integer)
        y = add_node(c.g, "ConvInteger", attrs, "conv", 4, x, w, x_zero, w_zero);
    else {
        float size = (kind == 6   ? 0.02f
                      : kind == 5 ? 1.5f
                                  : 60) *
                     sqrtf((float)(k->c / k->group * k->kh * k->kw));
        pare_id scale = add_scalar(c.g, 0.02f / size), bias = PARE_NONE;
        if (kind % 2) {
            pare_tensor s = random_tensor(f32_type(1, k->m), 5), b;
            for (int i = 0; i < k->m; i++)
                ((float *)s.data)[i] = (0.5f + fabsf(((float *)s.data)[i])) * 0.02f / size;
            scale = add_tensor(c.g, s);
            OK(pare_tensor_new(PARE_I32, 1, &(int64_t){ k->m }, &b));
            for (int i = 0; i < k->m; i++) ((int32_t *)b.data)[i] = 997 * (i % 7) - 3000;
            bias = add_tensor(c.g, b);
        }
        y = add_node(c.g, "QLinearConv", attrs, "conv", 9, x, add_scalar(c.g, 0.5f), x_zero, w,
                     scale, w_zero, add_scalar(c.g, 0.004f), add_byte(c.g, xt, kind ? 20 : 0),
                     bias);
        if (kind == 6) /* fused */
            y = add_node(c.g, "Clip", "", "limits", 3, y, add_byte(c.g, xt, 7),
                         add_byte(c.g, xt, 30));
    }
    OK(pare_graph_mark_output(c.g, y));
    run_case(&c);
}

static void test_conv_bytes(void **state)
{
    (void)state;
    static const conv_case cases[] = {
        { 1, 1, 1, 1, 1, 1, 1, 1, "" },
        { 2, 3, 9, 7, 7, 3, 3, 1, "pads=1/1/1/1" },
        { 1, 7, 5, 5, 17, 1, 1, 1, "" },
        { 1, 32, 1, 1, 70, 1, 1, 1, "" },
        { 3, 64, 1, 1, 17, 1, 1, 1, "" },
        { 2, 17, 16, 16, 8, 1, 1, 1, "" },
        { 3, 16, 4, 4, 80, 3, 3, 1, "pads=1/1/1/1" },
        { 1, 64, 30, 34, 64, 3, 3, 1, "pads=1/1/1/1" },
        { 1, 3, 33, 31, 64, 7, 7, 1, "pads=3/3/3/3,strides=2/2" },
        { 1, 20, 12, 10, 33, 2, 3, 1, "pads=0/1/2/0,strides=3/2" },
        { 1, 4, 11, 12, 5, 3, 2, 1, "dilations=2/3,pads=2/1/1/2" },
        { 2, 6, 9, 9, 8, 1, 1, 1, "strides=3/3" },
        { 1, 3, 10, 10, 4, 2, 2, 1, "strides=4/3,dilations=3/2,pads=2/0/1/1" },
        { 1, 3, 6, 40, 7, 5, 5, 1, "auto_pad=SAME_UPPER,strides=1/2" },
        { 2, 8, 8, 8, 12, 3, 3, 4, "pads=1/1/1/1" },
        { 1, 40, 7, 7, 60, 3, 3, 2, "pads=1/1/1/1" },
        { 1, 36, 7, 9, 36, 3, 3, 36, "pads=1/1/1/1" },
        { 2, 5, 30, 30, 15, 5, 5, 5, "pads=2/2/2/2,strides=2/2" },
        { 1, 17, 12, 30, 17, 5, 5, 17, "pads=2/2/2/2,strides=2/1" },
        { 1, 8, 50, 40, 8, 3, 3, 8, "pads=0/0/1/1,dilations=2/1" },
        { 1, 8, 20, 20, 8, 3, 3, 8, "pads=2/2/2/2,dilations=2/2" },
        { 1, 2, 3, 3, 3, 5, 5, 1, "pads=2/2/2/2" },
        { 1, 40, 20, 20, 200, 3, 3, 1, "pads=1/1/1/1" },
        { 2, 17, 1, 6, 7, 3, 3, 1, "pads=1/1/2/0" },
        { 1, 600, 6, 6, 3, 3, 3, 1, "pads=1/1/1/1" },
        /* Geometry of hostile files: nothing may overflow. */
        { 1, 1, 1, 1, 1, 2, 2, 1,
          "dilations=2147483647/2147483647,pads=2147483647/2147483647/0/0" },
        { 1, 8, 1, 1, 8, 2, 1, 8,
          "strides=1/2147483644,dilations=2147483647/1,pads=2147483647/2147483644/0/0" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        for (int kind = 0; kind < 9; kind++) {
            conv_bytes(&cases[i], kind, false);
            if ((i + (size_t)kind) % 3 == 0) conv_bytes(&cases[i], kind, true);
        }
}

/* `clip`: to 4 bits. */
static void quantise(pare_type type, pare_dtype dtype, bool back, bool clip)
{
    one_case c = { 0 };
    snprintf(c.what, sizeof c.what, "%s of rank %d%s", back ? "DequantizeLinear" : "QuantizeLinear",
             type.rank, clip ? ", Clip" : "");
    OK(pare_graph_new(&c.g));
    pare_id x;
    if (back)
        x = byte_input(&c, 0, dtype, type);
    else {
        c.in[0] = random_tensor(type, 3);
        ((float *)c.in[0].data)[0] = NAN;
        ((float *)c.in[0].data)[1] = 1e30f;
        x = add_input(c.g, "x", type);
    }
    pare_id y = add_node(c.g, back ? "DequantizeLinear" : "QuantizeLinear", "", "node", 3, x,
                         add_scalar(c.g, 0.013f), add_byte(c.g, dtype, 7));
    if (clip)
        y = add_node(c.g, "Clip", "", "clip", 3, y, add_byte(c.g, dtype, dtype == PARE_I8 ? -8 : 0),
                     add_byte(c.g, dtype, dtype == PARE_I8 ? 7 : 15));
    OK(pare_graph_mark_output(c.g, y));
    run_case(&c);
}

static void test_bytes(void **state)
{
    (void)state;
    static const pare_dtype types[2] = { PARE_U8, PARE_I8 };
    for (int t = 0; t < 2; t++) {
        pare_dtype d = types[t];
        pare_type small = f32_type(4, 2, 5, 3, 7), big = f32_type(4, 1, 40, 60, 50);
        for (int back = 0; back < 2; back++) {
            quantise(small, d, back, false);
            quantise(big, d, back, false);
            quantise(f32_type(2, 3, 37), d, back, false);
        }
        quantise(small, d, false, true);
        quantise(f32_type(2, 3, 37), d, false, true);
        for (int wide = 0; wide < 2; wide++) {
            one_case c = { 0 };
            pare_type type = wide ? big : small;
            OK(pare_graph_new(&c.g));
            snprintf(c.what, sizeof c.what, "QLinearAdd");
            pare_id in[8] = { byte_input(&c, 0, d, type), add_scalar(c.g, 0.5f),
                              add_byte(c.g, d, 3),        byte_input(&c, 1, d, type),
                              add_scalar(c.g, 0.3f),      add_byte(c.g, d, 120),
                              add_scalar(c.g, 0.7f),      add_byte(c.g, d, 11) };
            OK(pare_graph_mark_output(c.g, add_op(c.g, &pare_op_qlinear_add, 8, in)));
            run_case(&c);
            c = (one_case){ 0 };
            OK(pare_graph_new(&c.g));
            snprintf(c.what, sizeof c.what, "QLinearGlobalAveragePool");
            pare_id mean[5] = { byte_input(&c, 0, d, type), add_scalar(c.g, 0.5f),
                                add_byte(c.g, d, 3), add_scalar(c.g, 0.11f), add_byte(c.g, d, 11) };
            OK(pare_graph_mark_output(c.g,
                                      add_op(c.g, &pare_op_qlinear_global_average_pool, 5, mean)));
            run_case(&c);
            for (int channels = 19; channels <= 32; channels += 13) { /* fills blocks, or not */
                c = (one_case){ 0 };
                OK(pare_graph_new(&c.g));
                snprintf(c.what, sizeof c.what, "Concat of bytes behind %d channels", channels);
                pare_type first = type;
                first.dim[1] = channels;
                pare_id a = byte_input(&c, 0, d, first), b = byte_input(&c, 1, d, type);
                OK(pare_graph_mark_output(c.g, add_node(c.g, "Concat", "axis=1", "node", 2, a, b)));
                run_case(&c);
            }
        }
        static const char *const pools[] = {
            "kernel_shape=3/3,strides=2/2,pads=1/1/1/1",
            "kernel_shape=2/3,strides=1/3,dilations=2/1,ceil_mode=1",
            "kernel_shape=5/5,pads=2/2/2/2", "kernel_shape=2/2,strides=3/3"
        };
        for (size_t p = 0; p < 4; p++) {
            one_case c = { 0 };
            OK(pare_graph_new(&c.g));
            snprintf(c.what, sizeof c.what, "MaxPool of bytes, %s", pools[p]);
            pare_id x = byte_input(&c, 0, d, f32_type(4, 2, 19, 17, 30));
            OK(pare_graph_mark_output(c.g, add_node(c.g, "MaxPool", pools[p], "node", 1, x)));
            run_case(&c);
        }
    }
}

/* Constants where activations are expected: they lie plain, and the plan frees those it has packed.
 */
static void test_constant_inputs(void **state)
{
    (void)state;
    pare_type map = f32_type(4, 1, 20, 6, 7), one = f32_type(4, 1, 1, 160, 128);
    for (int slot = 0; slot < 4; slot += 3) {
        one_case c = { .what = "QLinearAdd of a constant" };
        OK(pare_graph_new(&c.g));
        pare_id x = byte_input(&c, 0, PARE_U8, map),
                k = add_tensor(c.g, byte_tensor(PARE_U8, map, 2));
        pare_id in[8] = {
            slot ? x : k,          add_scalar(c.g, 0.5f),     add_byte(c.g, PARE_U8, 3),
            slot ? k : x,          add_scalar(c.g, 0.3f),     add_byte(c.g, PARE_U8, 120),
            add_scalar(c.g, 0.7f), add_byte(c.g, PARE_U8, 11)
        };
        OK(pare_graph_mark_output(c.g, add_op(c.g, &pare_op_qlinear_add, 8, in)));
        run_case(&c);
    }
    for (int kernel = 1; kernel < 4; kernel += 2) {
        one_case c = { .what = "QLinearConv of a constant" };
        OK(pare_graph_new(&c.g));
        pare_id x = add_tensor(c.g, byte_tensor(PARE_U8, one, 2));
        pare_id w = add_tensor(c.g, byte_tensor(PARE_I8, f32_type(4, 32, 1, kernel, kernel), 2));
        pare_id scale = add_scalar(c.g, 0.01f), zero = add_byte(c.g, PARE_U8, 3);
        OK(pare_graph_mark_output(c.g, add_node(c.g, "QLinearConv", "", "conv", 8, x, scale, zero,
                                                w, scale, add_byte(c.g, PARE_I8, 0), scale, zero)));
        run_case(&c);
    }
}

static void test_all_ran(void **state)
{
    (void)state;
    all_ran(true);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_bytes),
        cmocka_unit_test(test_bytes),
        cmocka_unit_test(test_constant_inputs),
        cmocka_unit_test(test_all_ran),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
