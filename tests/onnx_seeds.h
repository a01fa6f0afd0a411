/* Small models that touch many parts of the reader: what allocation failures, truncation, mutation
 * and fuzzing start from. */
#ifndef TESTS_ONNX_SEEDS_H
#define TESTS_ONNX_SEEDS_H

#include "codecs/bitmap.h"
#include "codecs/penni.h"
#include "onnx/onnx.h"
#include "onnx_make.h"

enum { SEED_CNN, SEED_OLD, SEED_CODEC, SEED_QUANTISED, SEED_COUNT };

static inline void seed_weights(make *m, const char *name, int rank, const int64_t *dim)
{
    float v[256];
    size_t n = 1;
    for (int i = 0; i < rank; i++) n *= (size_t)dim[i];
    for (size_t i = 0; i < n; i++) v[i] = (float)(i * 7 % 13) / 8 - 0.5F;
    make_init(m, name, PARE_F32, rank, dim, v, n * sizeof *v);
}

#define SEED_DIMS(...) ((int64_t[]){ __VA_ARGS__ })

/* Opset 17: convolution, normalisation, pool, shape arithmetic, product, metadata, doc strings. */
static inline void seed_cnn(make *m)
{
    *m = make_new(17);
    make_input(m, "x", PARE_F32, 4, SEED_DIMS(-1, 2, 6, 6));
    seed_weights(m, "w", 4, SEED_DIMS(3, 2, 3, 3));
    seed_weights(m, "b", 1, SEED_DIMS(3));
    for (int i = 0; i < 4; i++)
        seed_weights(m, (const char *const[]){ "scale", "bias", "mean", "var" }[i], 1,
                     SEED_DIMS(3));
    seed_weights(m, "fc", 2, SEED_DIMS(27, 4));
    make_init(m, "minus1", PARE_I64, 1, SEED_DIMS(1), SEED_DIMS(-1), 8);
    make_init(m, "zero", PARE_I64, 0, NULL, SEED_DIMS(0), 8);
    Onnx__NodeProto *n = make_node(m, "Conv", "conv", "x w b", "c");
    make_ints(m, n, "pads", 4, SEED_DIMS(1, 1, 1, 1));
    make_ints(m, n, "strides", 2, SEED_DIMS(1, 1));
    make_int(m, n, "group", 1);
    n->doc_string = (char *)"the only one";
    make_real(m, make_node(m, "BatchNormalization", "bn", "c scale bias mean var", "n"), "epsilon",
              1e-3F);
    make_node(m, "Relu", "relu", "n", "r");
    n = make_node(m, "MaxPool", "pool", "r", "p");
    make_ints(m, n, "kernel_shape", 2, SEED_DIMS(2, 2));
    make_ints(m, n, "strides", 2, SEED_DIMS(2, 2));
    make_text(m, n, "auto_pad", "VALID");
    make_node(m, "Shape", "shape", "p", "s");
    make_node(m, "Gather", "gather", "s zero", "batch");
    make_node(m, "Unsqueeze", "unsqueeze", "batch axis", "batch1");
    make_ints(m, make_node(m, "Constant", "", "", "axis"), "value_ints", 1, SEED_DIMS(0));
    make_int(m, make_node(m, "Concat", "concat", "batch1 minus1", "to"), "axis", 0);
    make_node(m, "Reshape", "flat", "p to", "f");
    n = make_node(m, "Gemm", "fc", "f fc", "g");
    make_real(m, n, "alpha", 0.5F);
    make_int(m, make_node(m, "Softmax", "prob", "g", "y"), "axis", -1);
    make_output(m, "y", PARE_F32, 2, SEED_DIMS(-1, 4));
    MAKE_NEW(m, Onnx__StringStringEntryProto, onnx__string_string_entry_proto, e);
    e->key = (char *)"labels";
    e->value = (char *)"a,b,c,d";
    MAKE_PUSH(m, m->model->metadata_props, m->model->n_metadata_props, e);
}

/* Opset 9, IR 3: forms that the reader rewrites, typed data, weights among the inputs, free sizes,
 * nodes out of order. */
static inline void seed_old(make *m)
{
    *m = make_new(9);
    m->model->ir_version = 3;
    make_input(m, "x", PARE_F32, 4, SEED_DIMS(-1, 2, -1, 4));
    make_input(m, "scales", PARE_F32, 1, SEED_DIMS(4));
    static float scales[] = { 1, 1, 2, 2 };
    Onnx__TensorProto *t = make_init(m, "scales", PARE_F32, 1, SEED_DIMS(4), NULL, 0);
    t->n_float_data = 4;
    t->float_data = pare_arena_copy(m->arena, scales, sizeof scales);
    make_int(m, make_node(m, "Softmax", "soft", "r", "y"), "axis", 1); /* before its producer */
    Onnx__NodeProto *n = make_node(m, "Pad", "pad", "x", "p");
    make_ints(m, n, "pads", 8, SEED_DIMS(0, 0, 1, 1, 0, 0, 1, 1));
    make_real(m, n, "value", 2);
    make_text(m, n, "mode", "constant");
    make_node(m, "Upsample", "up", "p scales", "u");
    n = make_node(m, "Slice", "slice", "u", "s");
    make_ints(m, n, "starts", 2, SEED_DIMS(0, 1));
    make_ints(m, n, "ends", 2, SEED_DIMS(2, -1));
    make_ints(m, n, "axes", 2, SEED_DIMS(1, 2));
    n = make_node(m, "Clip", "clip", "s", "c");
    make_real(m, n, "min", -1);
    make_real(m, n, "max", 1);
    n = make_node(m, "ReduceMean", "mean", "c", "r");
    make_ints(m, n, "axes", 1, SEED_DIMS(3));
    make_int(m, n, "keepdims", 0);
    n = make_node(m, "Split", "split", "s", "s1 s2");
    make_int(m, n, "axis", 1);
    make_ints(m, n, "split", 2, SEED_DIMS(1, 1));
    make_int(m, make_node(m, "TopK", "top", "s1", "tv ti"), "k", 2);
    make_output(m, "y", PARE_F32, -1, NULL);
    make_output(m, "tv", PARE_F32, -1, NULL);
    make_output(m, "s2", PARE_F32, -1, NULL);
}

/* Eight-bit weights and activations, per channel. */
static inline void seed_quantised(make *m)
{
    *m = make_new(21);
    static const int8_t w[2 * 2 * 1 * 1] = { 5, -7, 100, -128 }, zeros[2];
    static const uint8_t zero = 128, narrow[] = { 0x78, 0x21 };
    static const float one = 0.25F;
    make_input(m, "x", PARE_F32, 4, SEED_DIMS(1, 2, 3, 3));
    make_init(m, "w8", PARE_I8, 4, SEED_DIMS(2, 2, 1, 1), w, sizeof w);
    seed_weights(m, "ws", 1, SEED_DIMS(2));
    make_init(m, "wz", PARE_I8, 1, SEED_DIMS(2), zeros, sizeof zeros);
    make_init(m, "s", PARE_F32, 0, NULL, &one, sizeof one);
    make_init(m, "z", PARE_U8, 0, NULL, &zero, 1);
    make_node(m, "QuantizeLinear", "q", "x s z", "q");
    make_node(m, "DequantizeLinear", "dq", "q s z", "d");
    make_int(m, make_node(m, "DequantizeLinear", "dw", "w8 ws wz", "w"), "axis", 0);
    make_node(m, "Conv", "conv", "d w", "c");
    make_init(m, "w4", PARE_ONNX_INT4, 4, SEED_DIMS(2, 2, 1, 1), narrow, sizeof narrow);
    make_init(m, "z4", PARE_ONNX_UINT4, 0, NULL, &narrow[1], 1);
    make_node(m, "QuantizeLinear", "q4", "c s z4", "c4");
    make_node(m, "DequantizeLinear", "dq4", "c4 s z4", "d4");
    make_node(m, "DequantizeLinear", "dw4", "w4 s", "v");
    make_node(m, "Conv", "conv4", "d4 v", "y");
    make_output(m, "y", PARE_F32, 4, SEED_DIMS(1, 2, 3, 3));
}

/* Two convolutions with encoded weights, written by pare itself. */
static inline const uint8_t *seed_codec(make *m, size_t *size)
{
    *m = make_new(17);
    make_input(m, "x", PARE_F32, 4, SEED_DIMS(-1, 2, 5, 5));
    seed_weights(m, "w1", 4, SEED_DIMS(3, 2, 3, 3));
    seed_weights(m, "w2", 4, SEED_DIMS(3, 3, 1, 1));
    make_node(m, "Conv", "c1", "x w1", "h");
    make_node(m, "Conv", "c2", "h w2", "y");
    make_output(m, "y", PARE_F32, 4, SEED_DIMS(-1, 3, 3, 3));
    const uint8_t *dense = make_bytes(m, size);
    pare_graph *g;
    uint8_t *bytes = NULL;
    static const pare_type t1 = { PARE_F32, 4, { 3, 2, 3, 3 } },
                           t2 = { PARE_F32, 4, { 3, 3, 1, 1 } };
    float a[12], basis[18];
    for (int i = 0; i < 18; i++) basis[i] = (float)i - 8;
    for (int i = 0; i < 12; i++) a[i] = i % 3 ? (float)i : 0;
    pare_weight w;
    if (pare_model_load_memory(dense, *size, "seed", &g) != PARE_OK) return NULL;
    if (pare_penni_encode(&t1, 2, a, NULL, basis, &w) != PARE_OK ||
        pare_graph_set_weight(g, pare_graph_find(g, "w1"), w) != PARE_OK ||
        pare_bitmap_encode(&t2, a, (const bool[9]){ 1, 0, 1, 1, 0, 0, 0, 1, 1 }, &w) != PARE_OK ||
        pare_graph_set_weight(g, pare_graph_find(g, "w2"), w) != PARE_OK ||
        pare_onnx_write(g, &bytes, size) != PARE_OK)
        return NULL;
    const uint8_t *copy = pare_arena_copy(m->arena, bytes, *size);
    free(bytes);
    pare_graph_free(g);
    return copy;
}

/* The bytes live until make_free(m). */
static inline const uint8_t *seed_bytes(int which, make *m, size_t *size)
{
    switch (which) {
    case SEED_CNN: seed_cnn(m); break;
    case SEED_OLD: seed_old(m); break;
    case SEED_QUANTISED: seed_quantised(m); break;
    default: return seed_codec(m, size);
    }
    return make_bytes(m, size);
}

#endif
