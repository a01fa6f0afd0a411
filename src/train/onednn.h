/* The only door to oneDNN: convolutions and matrix products that run on the calling thread. */
#ifndef TRAIN_ONEDNN_H
#define TRAIN_ONEDNN_H

#include "base/status.h"
#include "kernels/train.h"

typedef struct pare_dnn pare_dnn;
typedef struct pare_dnn_conv pare_dnn_conv;

/* PARE_EUNSUPPORTED when pare was built without oneDNN. Objects made from it serve threads 0 ..
 * threads-1. */
pare_status pare_dnn_new(const pare_train_kernels *k, int threads, pare_dnn **out);
/* To be called before the first engine that computes in bf16. PARE_EUNSUPPORTED: this processor has
 * no instructions for it. */
pare_status pare_dnn_bf16(void);
void pare_dnn_free(pare_dnn *d);

/* Holds oneDNN's own threads at one on the calling thread and the teams it starts, as the two calls
 * below and all runs need; returns what was set before, to be given to pare_dnn_threads_restore. */
int pare_dnn_threads_hold(void);
void pare_dnn_threads_restore(int before);

/* Geometry of a 2-D convolution (1-D: height 1). `lanes`: 1 for NCHW, else channel blocks of 8
 * or 16. */
typedef struct pare_dnn_shape {
    int64_t ic, oc, group;
    int64_t in[2], out[2], kernel[2], stride[2], dilation[2], begin[2], end[2];
    int src_lanes, dst_lanes;
    bool bias, bf16; /* bf16: factors are rounded to bfloat16, sums are float32 */
} pare_dnn_shape;

/* Which of the three computations, and for how many images at once; 0: not needed. */
typedef struct pare_dnn_uses {
    int64_t forward, data, weights;
} pare_dnn_uses;

/* How many of the three computations would run on oneDNN's slow reference code with these layouts.
 */
int pare_dnn_conv_slow(pare_dnn *d, const pare_dnn_shape *s, const pare_dnn_uses *uses);
pare_status pare_dnn_conv_new(pare_dnn *d, const pare_dnn_shape *s, const pare_dnn_uses *uses,
                              pare_dnn_conv **out);
void pare_dnn_conv_free(pare_dnn_conv *c);
size_t pare_dnn_conv_scratch(const pare_dnn_conv *c); /* bytes that a run on one thread needs */
size_t
pare_dnn_conv_grad_floats(const pare_dnn_conv *c); /* of the weight gradient in oneDNN's layout */
/* Weights [group * oc/group, ic/group, kh, kw] into the layouts that the computations like. */
void pare_dnn_conv_pack(pare_dnn_conv *c, int thread, const float *w);
void pare_dnn_conv_forward(pare_dnn_conv *c, int thread, const float *x, const float *bias,
                           float *y, void *scratch);
void pare_dnn_conv_data(pare_dnn_conv *c, int thread, const float *dy, float *dx, void *scratch);
void pare_dnn_conv_weights(pare_dnn_conv *c, int thread, const float *x, const float *dy, float *dw,
                           void *scratch);
/* The weight gradient back in plain order. */
void pare_dnn_conv_unpack(pare_dnn_conv *c, int thread, const float *dw, float *w);

/* Row-major c[m][n] = beta c + op(a) op(b); lda and ldb are row lengths as stored. */
void pare_dnn_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc);

#endif
