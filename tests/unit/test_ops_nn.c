/* Operators of neural networks: results small enough to work out by hand, odd geometry, and what
 * each refuses. The ONNX node tests cover the rest. */
#include "ops/conv_attrs.h"
#include "ops/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

/* A node with its operands. Every input is given as a value, so that infer sees numbers too. */
typedef struct job {
    pare_arena *arena;
    pare_node node;
    pare_tensor in[10], out[3];
} job;

/* Attributes as text, "strides=2/2,group=2"; lists are separated by '/'. */
static void begin(job *j, const char *op, const char *attrs)
{
    *j = (job){ 0 };
    j->node.name = "n";
    j->node.op = pare_op_find(op);
    assert_non_null(j->node.op);
    j->node.n_out = 1;
    j->arena = pare_arena_new(1 << 20);
    assert_non_null(j->arena);
    if (!j->node.op->attrs) return;
    j->node.attrs = pare_arena_array(j->arena, 1, j->node.op->attrs_size);
    assert_non_null(j->node.attrs);
    pare_fields_default(j->node.op->attrs, j->node.attrs);
    for (const char *p = attrs; *p; p += *p == ',') {
        size_t item = strcspn(p, ","), name = strcspn(p, "=");
        const pare_field *f = pare_field_find(j->node.op->attrs, p, name);
        assert_non_null(f);
        assert_int_equal(
            pare_field_parse(f, p + name + 1, item - name - 1, '/', j->arena, j->node.attrs),
            PARE_OK);
        p += item;
    }
}

/* Appends an input; `values` may be NULL: 1, 2, 3 ... */
static void add(job *j, pare_dtype dtype, const double *values, int rank, ...)
{
    pare_type t = { .dtype = dtype, .rank = rank };
    va_list list;
    va_start(list, rank);
    for (int d = 0; d < rank; d++) t.dim[d] = va_arg(list, int);
    va_end(list);
    pare_tensor *x = &j->in[j->node.n_in++];
    assert_int_equal(pare_tensor_of(&t, x), PARE_OK);
    for (int64_t i = 0; i < pare_tensor_count(x); i++) {
        double v = values ? values[i] : (double)(i + 1);
        switch (dtype) {
        case PARE_F32: ((float *)x->data)[i] = (float)v; break;
        case PARE_F64: ((double *)x->data)[i] = v; break;
        case PARE_F16: ((uint16_t *)x->data)[i] = pare_float_to_half((float)v); break;
        case PARE_I32: ((int32_t *)x->data)[i] = (int32_t)v; break;
        case PARE_I64: ((int64_t *)x->data)[i] = (int64_t)v; break;
        case PARE_I8: ((int8_t *)x->data)[i] = (int8_t)v; break;
        case PARE_U8:
        case PARE_BOOL: ((uint8_t *)x->data)[i] = (uint8_t)v; break;
        default: fail();
        }
    }
}

static pare_status infer(job *j, pare_type *out)
{
    pare_arg arg[PARE_MAX_IN] = { 0 };
    for (uint32_t i = 0; i < j->node.n_in; i++)
        arg[i] = (pare_arg){ pare_tensor_type(&j->in[i]), j->in[i].data ? &j->in[i] : NULL };
    return j->node.op->infer(&j->node, arg, out);
}

static void end(job *j)
{
    for (size_t i = 0; i < sizeof j->in / sizeof *j->in; i++) pare_tensor_free(&j->in[i]);
    for (size_t i = 0; i < sizeof j->out / sizeof *j->out; i++) pare_tensor_free(&j->out[i]);
    pare_arena_free(j->arena);
}

static void run(job *j)
{
    pare_type out[3] = { 0 };
    pare_status st = infer(j, out);
    if (st != PARE_OK) fail_msg("%s: %s", j->node.op->name, pare_error());
    for (uint32_t i = 0; i < j->node.n_out; i++)
        assert_int_equal(pare_tensor_of(&out[i], &j->out[i]), PARE_OK);
    assert_int_equal(j->node.op->eval(&j->node, j->in, j->out), PARE_OK);
}

static void expect(job *j, int o, pare_dtype dtype, const double *values, int rank, ...)
{
    const pare_tensor *t = &j->out[o];
    assert_int_equal(t->dtype, dtype);
    assert_int_equal(t->rank, rank);
    va_list list;
    va_start(list, rank);
    for (int d = 0; d < rank; d++) assert_int_equal(t->dim[d], va_arg(list, int));
    va_end(list);
    for (int64_t i = 0; i < pare_tensor_count(t); i++) {
        double got = pare_tensor_get_f64(t, i), slack = dtype == PARE_F16 ? 2e-3 : 1e-6;
        if (!(fabs(got - values[i]) <= slack * (1 + fabs(values[i]))) &&
            !(isnan(got) && isnan(values[i])))
            fail_msg("%s: element %lld is %.9g instead of %.9g", j->node.op->name, (long long)i,
                     got, values[i]);
    }
}

/* The whole node is refused, and the message has every one of the words (separated by '|'). */
static void refused(job *j, pare_status want, const char *words)
{
    pare_type out[PARE_MAX_OUT] = { 0 };
    assert_int_equal(infer(j, out), want);
    for (const char *p = words; *p; p += *p == '|') {
        size_t n = strcspn(p, "|");
        char word[64];
        snprintf(word, sizeof word, "%.*s", (int)n, p);
        if (!strstr(pare_error(), word)) fail_msg("'%s' is not in '%s'", word, pare_error());
        p += n;
    }
    end(j);
}

#define V(...) ((const double[]){ __VA_ARGS__ })

static void test_conv_geometry(void **state)
{
    (void)state;
    job j;
    /* 1-D, dilation 2, asymmetric padding: taps at -1,1 / 0,2 / 1,3 / 2,4 of 1 2 3 4 */
    begin(&j, "Conv", "dilations=2,pads=1/1");
    add(&j, PARE_F32, NULL, 3, 1, 1, 4);
    add(&j, PARE_F32, V(10, 1), 3, 1, 1, 2);
    add(&j, PARE_F32, V(0.5), 1, 1);
    run(&j);
    expect(&j, 0, PARE_F32, V(2.5, 13.5, 24.5, 30.5), 3, 1, 1, 4);
    end(&j);
    /* groups: each input channel has its own two kernels */
    begin(&j, "Conv", "group=2");
    add(&j, PARE_F32, V(1, 2, 3, 4), 4, 1, 2, 1, 2);
    add(&j, PARE_F32, V(1, 10, 100, 1000), 4, 4, 1, 1, 1);
    run(&j);
    expect(&j, 0, PARE_F32, V(1, 2, 10, 20, 300, 400, 3000, 4000), 4, 1, 4, 1, 2);
    end(&j);
    /* SAME with an odd total: the larger half behind (upper) or in front (lower) */
    for (int lower = 0; lower < 2; lower++) {
        begin(&j, "Conv",
              lower ? "auto_pad=SAME_LOWER,strides=2" : "auto_pad=SAME_UPPER,strides=2");
        add(&j, PARE_F32, NULL, 3, 1, 1, 4);
        add(&j, PARE_F32, V(1, 10, 100), 3, 1, 1, 3);
        run(&j);
        expect(&j, 0, PARE_F32, lower ? V(210, 432) : V(321, 43), 3, 1, 1, 2);
        end(&j);
    }
    /* a stride larger than the kernel, 3-D, half precision */
    begin(&j, "Conv", "strides=1/1/3");
    add(&j, PARE_F16, NULL, 5, 1, 1, 1, 2, 5);
    add(&j, PARE_F16, V(1, 1), 5, 1, 1, 1, 2, 1);
    run(&j);
    expect(&j, 0, PARE_F16, V(7, 13), 5, 1, 1, 1, 1, 2);
    end(&j);
}

static void conv_refused(const char *attrs, int channels, int kernels, int extent, pare_status st,
                         const char *words)
{
    job j;
    begin(&j, "Conv", attrs);
    add(&j, PARE_F32, NULL, 4, 1, 4, 5, 5);
    add(&j, PARE_F32, NULL, 4, kernels, channels, extent, extent);
    refused(&j, st, words);
}

static void test_conv_refusals(void **state)
{
    (void)state;
    conv_refused("", 3, 2, 1, PARE_EFORMAT, "4|3");
    conv_refused("group=0", 4, 2, 1, PARE_EFORMAT, "group 0");
    conv_refused("group=-2", 4, 2, 1, PARE_EFORMAT, "group -2");
    conv_refused("group=4611686018427387905", 4, 2, 1, PARE_EFORMAT, "groups");
    conv_refused("group=2", 2, 3, 1, PARE_EFORMAT, "3|2 groups");
    conv_refused("", 4, 2, 6, PARE_EFORMAT, "6|5");
    conv_refused("dilations=3/3", 4, 2, 3, PARE_EFORMAT, "7|5");
    conv_refused("dilations=2147483647/2147483647", 4, 2, 3, PARE_EFORMAT, "4294967295|5");
    conv_refused("strides=0/1", 4, 2, 1, PARE_EFORMAT, "strides: 0|1");
    conv_refused("strides=1", 4, 2, 1, PARE_EFORMAT, "strides has 1 numbers instead of 2");
    conv_refused("pads=0/0/0/-9", 4, 2, 1, PARE_EFORMAT, "pads: -9");
    conv_refused("pads=9223372036854775807/0/0/0", 4, 2, 1, PARE_EFORMAT, "9223372036854775807");
    conv_refused("kernel_shape=3/2", 4, 2, 2, PARE_EFORMAT, "says 3|has 2");
    conv_refused("auto_pad=VALID,pads=1/1/1/1", 4, 2, 2, PARE_EFORMAT, "1 and 1|0 and 0");
    job j;
    begin(&j, "Conv", "");
    add(&j, PARE_F32, NULL, 6, 1, 1, 1, 1, 1, 1);
    add(&j, PARE_F32, NULL, 6, 1, 1, 1, 1, 1, 1);
    refused(&j, PARE_EUNSUPPORTED, "4 spatial|3");
    begin(&j, "Conv", "");
    add(&j, PARE_F32, NULL, 3, 1, 1, 3);
    add(&j, PARE_F32, NULL, 3, 2, 1, 1);
    add(&j, PARE_F32, NULL, 1, 3);
    refused(&j, PARE_EFORMAT, "bias|[3]|2");
    begin(&j, "Conv", "");
    add(&j, PARE_F32, NULL, 3, 1, 1, 3);
    add(&j, PARE_F64, NULL, 3, 2, 1, 1);
    refused(&j, PARE_EFORMAT, "float64|float32");
}

static void test_matmul_shapes(void **state)
{
    (void)state;
    job j;
    begin(&j, "MatMul", ""); /* vector times vector: a scalar */
    add(&j, PARE_F32, NULL, 1, 3);
    add(&j, PARE_F32, NULL, 1, 3);
    run(&j);
    expect(&j, 0, PARE_F32, V(14), 0);
    end(&j);
    begin(&j, "MatMul", ""); /* stacks [2,1] and [3] broadcast to [2,3] */
    add(&j, PARE_F32, V(1, 10), 4, 2, 1, 1, 1);
    add(&j, PARE_F32, V(1, 2, 3), 3, 3, 1, 1);
    run(&j);
    expect(&j, 0, PARE_F32, V(1, 2, 3, 10, 20, 30), 4, 2, 3, 1, 1);
    end(&j);
    begin(&j, "MatMul", ""); /* nothing to sum: zeros, as numpy */
    add(&j, PARE_F32, NULL, 2, 2, 0);
    add(&j, PARE_F32, NULL, 2, 0, 1);
    run(&j);
    expect(&j, 0, PARE_F32, V(0, 0), 2, 2, 1);
    end(&j);
    begin(&j, "MatMul", "");
    add(&j, PARE_F32, NULL, 2, 2, 3);
    add(&j, PARE_F32, NULL, 2, 2, 3);
    refused(&j, PARE_EFORMAT, "3 wide|2 high");
    begin(&j, "MatMul", "");
    add(&j, PARE_F32, NULL, 0);
    add(&j, PARE_F32, NULL, 2, 1, 1);
    refused(&j, PARE_EFORMAT, "ranks 0 and 2");
}

static void test_gemm(void **state)
{
    (void)state;
    job j;
    for (int t = 0; t < 4; t++) { /* A = 1 2 / 3 4, B = 5 6 7 / 8 9 10, and the column C */
        bool ta = t & 1, tb = t & 2;
        char attrs[64];
        snprintf(attrs, sizeof attrs, "alpha=2,beta=10,transA=%d,transB=%d", ta, tb);
        begin(&j, "Gemm", attrs);
        add(&j, PARE_F32, ta ? V(1, 3, 2, 4) : V(1, 2, 3, 4), 2, 2, 2);
        if (tb)
            add(&j, PARE_F32, V(5, 8, 6, 9, 7, 10), 2, 3, 2);
        else
            add(&j, PARE_F32, V(5, 6, 7, 8, 9, 10), 2, 2, 3);
        add(&j, PARE_F32, V(1, 2), 2, 2, 1);
        run(&j);
        expect(&j, 0, PARE_F32, V(52, 58, 64, 114, 128, 142), 2, 2, 3);
        end(&j);
    }
    begin(&j, "Gemm", "");
    add(&j, PARE_F32, NULL, 2, 2, 3);
    add(&j, PARE_F32, NULL, 2, 3, 4);
    add(&j, PARE_F32, NULL, 1, 2);
    refused(&j, PARE_EFORMAT, "is 2|to 4");
}

static void test_batch_norm(void **state)
{
    (void)state;
    job j;
    begin(&j, "BatchNormalization", "epsilon=0");
    add(&j, PARE_F32, V(1, 2, 3, 4), 3, 1, 2, 2);
    add(&j, PARE_F32, V(2, 3), 1, 2);
    add(&j, PARE_F32, V(10, 20), 1, 2);
    add(&j, PARE_F32, V(1, 2), 1, 2);
    add(&j, PARE_F32, V(4, 9), 1, 2);
    run(&j);
    expect(&j, 0, PARE_F32, V(10, 11, 21, 22), 3, 1, 2, 2);
    j.node.n_out = 3;
    refused(&j, PARE_EUNSUPPORTED, "3 outputs");
}

static void test_pools(void **state)
{
    (void)state;
    job j;
    /* ceil_mode: 5 elements, windows of 2 by 2; the third has one element left */
    begin(&j, "MaxPool", "kernel_shape=2,strides=2,ceil_mode=1");
    j.node.n_out = 2;
    add(&j, PARE_F32, V(1, 5, 2, 2, -3), 3, 1, 1, 5);
    run(&j);
    expect(&j, 0, PARE_F32, V(5, 2, -3), 3, 1, 1, 3);
    expect(&j, 1, PARE_I64, V(1, 2, 4), 3, 1, 1, 3);
    end(&j);
    /* no window may begin in the padding behind the input: 3 + 1 + 1, windows of 2 by 3 stop after
     * two */
    begin(&j, "MaxPool", "kernel_shape=2,strides=4,pads=1/1,ceil_mode=1");
    add(&j, PARE_F32, V(1, 2, 3), 3, 1, 1, 3);
    run(&j);
    expect(&j, 0, PARE_F32, V(1), 3, 1, 1, 1);
    end(&j);
    /* the mean over the input alone, and with padding as zeros; ceil_mode's overhang never counts
     */
    for (int include = 0; include < 2; include++) {
        begin(&j, "AveragePool",
              include ? "kernel_shape=3,strides=2,pads=1/1,ceil_mode=1,count_include_pad=1"
                      : "kernel_shape=3,strides=2,pads=1/1,ceil_mode=1");
        add(&j, PARE_F32, V(3, 6, 9, 12), 3, 1, 1, 4);
        run(&j);
        expect(&j, 0, PARE_F32, include ? V(3, 9, 6) : V(4.5, 9, 12), 3, 1, 1, 3);
        end(&j);
    }
    /* indices count through the whole tensor; columns first if asked */
    begin(&j, "MaxPool", "kernel_shape=2/2,storage_order=1");
    j.node.n_out = 2;
    add(&j, PARE_U8, V(0, 0, 7, 0, 0, 0, 0, 9, 0, 0, 0, 0), 4, 1, 2, 2, 3);
    run(&j);
    expect(&j, 0, PARE_U8, V(0, 7, 9, 9), 4, 1, 2, 1, 2);
    expect(&j, 1, PARE_I64, V(0, 4, 8, 8), 4, 1, 2, 1, 2);
    end(&j);
    begin(&j, "MaxPool", "kernel_shape=2"); /* NaN is not lost */
    add(&j, PARE_F32, V(1, NAN, 2, -INFINITY), 3, 1, 1, 4);
    run(&j);
    expect(&j, 0, PARE_F32, V(NAN, NAN, 2), 3, 1, 1, 3);
    end(&j);
    begin(&j, "MaxPool", "");
    add(&j, PARE_F32, NULL, 3, 1, 1, 4);
    refused(&j, PARE_EFORMAT, "kernel_shape is missing");
    begin(&j, "AveragePool", "kernel_shape=2,pads=2/0");
    add(&j, PARE_F32, NULL, 3, 1, 1, 4);
    refused(&j, PARE_EFORMAT, "padding 2|extent 2");
    begin(&j, "MaxPool", "kernel_shape=0");
    add(&j, PARE_F32, NULL, 3, 1, 1, 4);
    refused(&j, PARE_EFORMAT, "kernel_shape: 0");
    begin(&j, "GlobalMaxPool", "");
    add(&j, PARE_F32, NULL, 3, 1, 1, 0);
    refused(&j, PARE_EFORMAT, "is 0|at least 1");
}

static void test_softmax(void **state)
{
    (void)state;
    job j;
    begin(&j, "Softmax", "axis=0"); /* a middle step, and no overflow */
    add(&j, PARE_F32, V(1000, 0, 1000, 0), 2, 2, 2);
    run(&j);
    expect(&j, 0, PARE_F32, V(0.5, 0.5, 0.5, 0.5), 2, 2, 2);
    end(&j);
    begin(&j, "Hardmax", "");
    add(&j, PARE_F32, V(3, 1, 3), 1, 3);
    run(&j);
    expect(&j, 0, PARE_F32, V(1, 0, 0), 1, 3);
    end(&j);
    begin(&j, "LogSoftmax", "axis=2");
    add(&j, PARE_F32, NULL, 2, 2, 2);
    refused(&j, PARE_EFORMAT, "axis 2|-2 to 1");
}

static void test_conv_transpose(void **state)
{
    (void)state;
    job j;
    /* stride 2: 1 at 0-2, 2 at 2-4; one more at the end; bias */
    begin(&j, "ConvTranspose", "strides=2,output_padding=1");
    add(&j, PARE_F32, NULL, 3, 1, 1, 2);
    add(&j, PARE_F32, V(1, 10, 100), 3, 1, 1, 3);
    add(&j, PARE_F32, V(0.5), 1, 1);
    run(&j);
    expect(&j, 0, PARE_F32, V(1.5, 10.5, 102.5, 20.5, 200.5, 0.5), 3, 1, 1, 6);
    end(&j);
    /* a shape asked for: one of the five goes, in front or (upper) at the end */
    for (int upper = 0; upper < 2; upper++) {
        begin(&j, "ConvTranspose",
              upper ? "strides=2,output_shape=4,auto_pad=SAME_UPPER" : "strides=2,output_shape=4");
        add(&j, PARE_F32, NULL, 3, 1, 1, 2);
        add(&j, PARE_F32, V(1, 10, 100), 3, 1, 1, 3);
        run(&j);
        expect(&j, 0, PARE_F32, upper ? V(1, 10, 102, 20) : V(10, 102, 20, 200), 3, 1, 1, 4);
        end(&j);
    }
    /* the weight is [C, M/group]: two groups of one channel, two kernels each */
    begin(&j, "ConvTranspose", "group=2");
    add(&j, PARE_F32, V(2, 3), 3, 1, 2, 1);
    add(&j, PARE_F32, V(1, 10, 100, 1000), 3, 2, 2, 1);
    run(&j);
    expect(&j, 0, PARE_F32, V(2, 20, 300, 3000), 3, 1, 4, 1);
    end(&j);
    begin(&j, "ConvTranspose", "pads=2/1");
    add(&j, PARE_F32, NULL, 3, 1, 1, 1);
    add(&j, PARE_F32, NULL, 3, 1, 1, 3);
    refused(&j, PARE_EFORMAT, "padding 3|output's 3");
    begin(&j, "ConvTranspose", "group=2");
    add(&j, PARE_F32, NULL, 3, 1, 3, 1);
    add(&j, PARE_F32, NULL, 3, 3, 1, 1);
    refused(&j, PARE_EFORMAT, "3 input channels|2 groups");
    begin(&j, "ConvTranspose", "");
    add(&j, PARE_F32, NULL, 3, 1, 3, 1);
    add(&j, PARE_F32, NULL, 3, 2, 1, 1);
    refused(&j, PARE_EFORMAT, "3 channels|takes 2");
}

static void test_quantize(void **state)
{
    (void)state;
    job j;
    /* ties to even before the zero point is added; saturation; NaN */
    begin(&j, "QuantizeLinear", "");
    add(&j, PARE_F32, V(0.5, 1.5, 2.5, -0.5, 1e9, -1e9, NAN), 1, 7);
    add(&j, PARE_F32, V(1), 0);
    add(&j, PARE_I8, V(1), 0);
    run(&j);
    expect(&j, 0, PARE_I8, V(1, 3, 3, 1, 127, -128, -128), 1, 7);
    end(&j);
    begin(&j, "QuantizeLinear", "axis=-1");
    add(&j, PARE_F32, V(10, 10, 20, 20), 2, 2, 2);
    add(&j, PARE_F32, V(1, 10), 1, 2);
    run(&j);
    expect(&j, 0, PARE_U8, V(10, 1, 20, 2), 2, 2, 2);
    end(&j);
    begin(&j, "DequantizeLinear",
          "axis=0,block_size=2"); /* three elements: two in the first block, one in the second */
    add(&j, PARE_I8, V(1, 2, 3), 1, 3);
    add(&j, PARE_F32, V(10, 100), 1, 2);
    add(&j, PARE_I8, V(1, 2), 1, 2);
    run(&j);
    expect(&j, 0, PARE_F32, V(0, 10, 100), 1, 3);
    end(&j);
    begin(&j, "DynamicQuantizeLinear", ""); /* nothing but zeros: no division by a scale of 0 */
    j.node.n_out = 3;
    add(&j, PARE_F32, V(0, 0), 1, 2);
    run(&j);
    expect(&j, 0, PARE_U8, V(0, 0), 1, 2);
    expect(&j, 1, PARE_F32, V(1), 0);
    expect(&j, 2, PARE_U8, V(0), 0);
    end(&j);
    begin(&j, "QuantizeLinear", "");
    add(&j, PARE_F32, NULL, 2, 2, 3);
    add(&j, PARE_F32, NULL, 1, 2);
    refused(&j, PARE_EFORMAT, "[2]|vector of 3");
    begin(&j, "DequantizeLinear", "");
    add(&j, PARE_I8, NULL, 2, 2, 3);
    add(&j, PARE_F32, NULL, 0);
    add(&j, PARE_U8, NULL, 0);
    refused(&j, PARE_EFORMAT, "uint8|int8");
}

/* 3 * (x - 1) * (w - zero) * 0.5 / 0.25 with w = 2, zero = 1 and 0: exact, so every rounding shows.
 */
static void test_integer_conv(void **state)
{
    (void)state;
    job j;
    begin(&j, "QLinearConv", "pads=0/1"); /* what pads is the zero point, that is, 0 */
    add(&j, PARE_U8, V(1, 2, 200), 3, 1, 1, 3);
    add(&j, PARE_F32, V(0.5), 0);
    add(&j, PARE_U8, V(1), 0);
    add(&j, PARE_I8, V(2, 0, 2, -1), 3, 2, 1, 2);
    add(&j, PARE_F32, V(1, 0.25), 1, 2);
    add(&j, PARE_I8, V(1, 0), 1, 2);
    add(&j, PARE_F32, V(0.5), 0);
    add(&j, PARE_U8, V(10), 0);
    add(&j, PARE_I32, V(0, 3), 1, 2);
    run(&j);
    /* first: x-1 = 0 1 199, w-1 = 1 -1: -1 -198 199, + 10; second: w = 2 -1: -1 -197 398, + 3, / 4:
     * 0.5 -48.5 100.25 */
    expect(&j, 0, PARE_U8, V(9, 0, 209, 10, 0, 110), 3, 1, 2, 3);
    end(&j);
    begin(&j, "ConvInteger", "");
    add(&j, PARE_U8, V(255, 255), 3, 1, 1, 2);
    add(&j, PARE_I8, V(-128, -128), 3, 1, 1, 2);
    run(&j);
    expect(&j, 0, PARE_I32, V(-65280), 3, 1, 1, 1);
    end(&j);
    begin(&j, "MatMulInteger", "");
    add(&j, PARE_U8, V(1, 2, 3, 4), 2, 2, 2);
    add(&j, PARE_U8, V(5, 6, 7, 8), 2, 2, 2);
    add(&j, PARE_U8, V(1, 2), 1, 2);
    add(&j, PARE_U8, V(5, 0), 1, 2);
    run(&j); /* 0 1 / 1 2 times 0 6 / 2 8 */
    expect(&j, 0, PARE_I32, V(2, 8, 4, 22), 2, 2, 2);
    end(&j);
    begin(&j, "ConvInteger", "");
    add(&j, PARE_U8, NULL, 3, 1, 1, 2);
    add(&j, PARE_I8, NULL, 3, 1, 1, 2);
    add(&j, PARE_U8, NULL, 1, 2);
    refused(&j, PARE_EFORMAT, "zero point|[2]|one number");
}

static void resize_to(const char *attrs, int n, const double *want)
{
    job j;
    begin(&j, "Resize", attrs);
    add(&j, PARE_F32, V(1, 2, 4), 1, 3);
    j.node.n_in = 3; /* roi and scales absent */
    add(&j, PARE_I64, V(n), 1, 1);
    run(&j);
    expect(&j, 0, PARE_F32, want, 1, n);
    end(&j);
}

static void test_resize(void **state)
{
    (void)state;
    resize_to("coordinate_transformation_mode=align_corners,mode=linear", 5, V(1, 1.5, 2, 3, 4));
    resize_to("mode=linear", 6, V(1, 1.25, 1.75, 2.5, 3.5, 4));
    resize_to("coordinate_transformation_mode=asymmetric,nearest_mode=floor", 6,
              V(1, 1, 2, 2, 4, 4));
    resize_to("coordinate_transformation_mode=asymmetric,nearest_mode=ceil", 6,
              V(1, 2, 2, 4, 4, 4));
    resize_to("coordinate_transformation_mode=asymmetric,nearest_mode=round_prefer_ceil", 6,
              V(1, 2, 2, 4, 4, 4));
    resize_to("coordinate_transformation_mode=asymmetric", 6, V(1, 1, 2, 2, 4, 4));
    resize_to("mode=linear,antialias=1", 1,
              V(7.0 / 3)); /* a triangle over all: weights 2/3, 1, 2/3 */
    resize_to("mode=cubic", 3, V(1, 2, 4));
    job j;
    for (int both = 0; both < 2; both++) {
        begin(&j, "Resize", "");
        add(&j, PARE_F32, NULL, 1, 3);
        add(&j, PARE_F32, NULL, 1, 0);
        add(&j, PARE_F32, V(2), 1, both);
        add(&j, PARE_I64, V(4), 1, both);
        refused(&j, PARE_EFORMAT, both ? "2 of scales and sizes" : "0 of scales and sizes");
    }
    const double wrong[] = { 0, -1, NAN, INFINITY, 1e30 };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        begin(&j, "Resize", "");
        add(&j, PARE_F32, NULL, 1, 3);
        j.node.n_in = 2;
        add(&j, PARE_F32, &wrong[i], 1, 1);
        refused(&j, PARE_EFORMAT, "scale|axis 0|extent 3");
    }
    begin(&j, "Resize", "axes=0/0");
    add(&j, PARE_F32, NULL, 2, 3, 3);
    j.node.n_in = 2;
    add(&j, PARE_F32, NULL, 1, 2);
    refused(&j, PARE_EFORMAT, "axis 0 is listed twice");
}

static void test_normalizations(void **state)
{
    (void)state;
    job j;
    begin(&j, "LayerNormalization", "epsilon=0,axis=1");
    j.node.n_out = 3;
    add(&j, PARE_F32, V(1, 3, 10, 30), 2, 2, 2);
    add(&j, PARE_F32, V(5), 1, 1); /* broadcasts */
    run(&j);
    expect(&j, 0, PARE_F32, V(-5, 5, -5, 5), 2, 2, 2);
    expect(&j, 1, PARE_F32, V(2, 20), 2, 2, 1);
    expect(&j, 2, PARE_F32, V(1, 0.1), 2, 2, 1);
    end(&j);
    begin(&j, "GroupNormalization", "epsilon=0,num_groups=2"); /* scales by channel */
    add(&j, PARE_F32, V(1, 3, 10, 30), 3, 1, 4, 1);
    add(&j, PARE_F32, V(1, 2, 3, 4), 1, 4);
    add(&j, PARE_F32, V(0, 0, 0, 1), 1, 4);
    run(&j);
    expect(&j, 0, PARE_F32, V(-1, 2, -3, 5), 3, 1, 4, 1);
    end(&j);
    begin(&j, "LRN",
          "size=2,alpha=2,beta=1,bias=0"); /* an even size reaches one channel further behind */
    add(&j, PARE_F32, V(1, 2, 4), 3, 1, 3, 1);
    run(&j);
    expect(&j, 0, PARE_F32, V(0.2, 0.1, 0.25), 3, 1, 3, 1);
    end(&j);
    begin(&j, "LRN", "");
    add(&j, PARE_F32, NULL, 3, 1, 3, 1);
    refused(&j, PARE_EFORMAT, "size 0");
    begin(&j, "GroupNormalization", "num_groups=3");
    add(&j, PARE_F32, NULL, 3, 1, 4, 1);
    add(&j, PARE_F32, NULL, 1, 4);
    add(&j, PARE_F32, NULL, 1, 4);
    refused(&j, PARE_EFORMAT, "4 channels|3 groups");
}

static void test_dropout(void **state)
{
    (void)state;
    job j;
    for (int training = 0; training < 2; training++) {
        begin(&j, "Dropout", "");
        j.node.n_out = 2;
        add(&j, PARE_F32, NULL, 1, 2);
        add(&j, PARE_F32, V(0.5), 0);
        add(&j, PARE_BOOL, V(training), 0);
        if (training) {
            refused(&j, PARE_EUNSUPPORTED, "training_mode 1");
            continue;
        }
        run(&j);
        expect(&j, 0, PARE_F32, V(1, 2), 1, 2);
        expect(&j, 1, PARE_BOOL, V(1, 1), 1, 2);
        end(&j);
    }
}

static void test_space_and_depth(void **state)
{
    (void)state;
    job j;
    begin(&j, "DepthToSpace", "blocksize=3");
    add(&j, PARE_F32, NULL, 4, 1, 4, 1, 1);
    refused(&j, PARE_EFORMAT, "4 channels|9");
    begin(&j, "SpaceToDepth", "blocksize=2");
    add(&j, PARE_F32, NULL, 4, 1, 1, 3, 2);
    refused(&j, PARE_EFORMAT, "3 times 2|side 2");
    begin(&j, "DepthToSpace", "");
    add(&j, PARE_F32, NULL, 4, 1, 1, 3, 2);
    refused(&j, PARE_EFORMAT, "blocksize 0");
    begin(&j, "DepthToSpace", "blocksize=2,mode=CRD");
    add(&j, PARE_I64, NULL, 4, 1, 8, 1, 1);
    run(&j);
    expect(&j, 0, PARE_I64, V(1, 2, 3, 4, 5, 6, 7, 8), 4, 1, 2, 2, 2);
    end(&j);
    begin(&j, "SpaceToDepth", "blocksize=2");
    add(&j, PARE_I64, NULL, 4, 1, 2, 2, 2);
    run(&j);
    expect(&j, 0, PARE_I64, V(1, 5, 2, 6, 3, 7, 4, 8), 4, 1, 8, 1, 1);
    end(&j);
}

static void test_window_helpers(void **state)
{
    (void)state;
    int64_t lo, hi;
    pare_window_range(5, -3, 2, 10, &lo, &hi); /* -3 -1 1 3 5: indices 2 and 3 */
    assert_int_equal(lo, 2);
    assert_int_equal(hi, 4);
    pare_window_range(5, 0, 2, 2, &lo, &hi);
    assert_int_equal(lo, 0);
    assert_int_equal(hi, 2);
    pare_window_range(1, -1, 2, 3, &lo, &hi); /* -1 1 3 step over the only element */
    assert_int_equal(lo, hi);
    pare_window_range(5, 7, 1, 3, &lo, &hi);
    assert_int_equal(lo, hi);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_geometry),  cmocka_unit_test(test_conv_refusals),
        cmocka_unit_test(test_matmul_shapes),  cmocka_unit_test(test_gemm),
        cmocka_unit_test(test_batch_norm),     cmocka_unit_test(test_pools),
        cmocka_unit_test(test_softmax),        cmocka_unit_test(test_conv_transpose),
        cmocka_unit_test(test_quantize),       cmocka_unit_test(test_integer_conv),
        cmocka_unit_test(test_resize),         cmocka_unit_test(test_normalizations),
        cmocka_unit_test(test_dropout),        cmocka_unit_test(test_space_and_depth),
        cmocka_unit_test(test_window_helpers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
