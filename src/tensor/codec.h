/* How a constant is stored: dense, or in parts that a codec turns into the dense tensor.
 *
 * A compressed weight is a value with a codec, not a new operator: same logical type, same Conv.
 * `decode` is the definition of what the parts mean; `onnx_body` says the same once more in
 * standard ONNX operators, so that other runtimes can execute our files, and a test compares the
 * two. */
#ifndef TENSOR_CODEC_H
#define TENSOR_CODEC_H

#include "tensor/tensor.h"

typedef struct pare_codec pare_codec;

enum { PARE_MAX_PARTS = 6 };

/* The stored form of a constant. Dense: codec NULL, part[0] is the tensor itself. */
typedef struct pare_weight {
    const pare_codec *codec;
    pare_type type;                   /* the logical, decoded type */
    pare_tensor part[PARE_MAX_PARTS]; /* in the order of codec->parts; shares */
} pare_weight;

typedef struct pare_weight_stats {
    int64_t nonzeros; /* stored numbers that are not zero, of all parts that hold numbers */
    int64_t params; /* numbers a paper would count: dense elements, or basis + kept coefficients */
    int64_t stored_bytes; /* bytes of all parts */
    double density;       /* of the sparse part; 1 when there is none */
} pare_weight_stats;

/* One node of a codec's ONNX function body. Names: inputs and outputs are the parts' names, "%out"
 * for the result,
 * "%shape" for the logical shape (int64, 1-D; every function gets it as its last input), or any
 * other word for a value inside. Attributes are text: "axis=1" an int, "axes=0,2" ints,
 * "value=i64:1,2,4" or "value=f32:0" a 1-D tensor (one number without a comma and a leading "scalar
 * ", as in "value=scalar i64:0": rank 0). */
typedef struct pare_fn_node {
    const char *op;    /* NULL ends the body */
    const char *in[5]; /* NULL-terminated unless full; "" = absent optional input */
    const char *out[2];
    const char *attrs[3];
} pare_fn_node;

struct pare_codec {
    const char *name; /* also the name of its ONNX function in domain "pare.codec" */
    const char *summary;
    const char *const *parts; /* names of the stored tensors, NULL-terminated */
    /* Files are untrusted: types, lengths, indices against w->type. PARE_EFORMAT with both numbers.
     */
    pare_status (*check)(const pare_weight *w);
    /* The definition. `dense` holds pare_numel(w->type) float32. May allocate; deterministic. */
    pare_status (*decode)(const pare_weight *w, float *dense);
    void (*stats)(const pare_weight *w, pare_weight_stats *s);
    /* Multiply-accumulates of one run in the stored form, where every element of the dense weight
     * would take part in `uses` of them (a Conv: batch times output positions; for group 1). NULL:
     * as many as dense. */
    double (*macs)(const pare_weight *w, double uses);
    /* Gradient of every float part from that of the dense weight; d_parts[i] has part i's type and
     * is overwritten (empty tensors are skipped). NULL: the codec is frozen when tuning. */
    pare_status (*grad)(const pare_weight *w, const float *d_dense, pare_tensor *d_parts);
    const pare_fn_node *onnx_body;
};

/* A share of every part. */
pare_weight pare_weight_ref(const pare_weight *w);
void pare_weight_free(pare_weight *w);
/* A dense weight takes over the caller's share of `t`. */
pare_weight pare_weight_dense(pare_tensor t);
/* The decoded tensor: another share when dense, else newly computed. */
pare_status pare_weight_decode(const pare_weight *w, pare_tensor *out);
/* Reads the parts that are stored (pare_tensor_store) into memory. */
pare_status pare_weight_load(pare_weight *w);
void pare_weight_stat(const pare_weight *w, pare_weight_stats *s);
int pare_weight_parts(const pare_weight *w); /* 1 when dense */

#endif
