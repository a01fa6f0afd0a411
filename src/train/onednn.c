/* oneDNN's C API, 2.6 (operation descriptors) and 3.x. Every object is made and run with one
 * thread; the caller runs several at once on different images. */
#include "train/onednn.h"

#include "base/cpu.h"

#ifdef PARE_WITH_ONEDNN
#include <dnnl.h>
#include <stdlib.h>
#include <string.h>
#ifdef _OPENMP
#include <omp.h>
#endif

#if DNNL_VERSION_MAJOR >= 3
typedef dnnl_memory_desc_t desc; /* owned */
typedef const_dnnl_memory_desc_t desc_ref;
#define REF(d) (d)
#else
typedef dnnl_memory_desc_t desc;
typedef const dnnl_memory_desc_t *desc_ref;
#define REF(d) (&(d))
#endif

enum { X, W, Y, BIAS, SCRATCH, ARGS };
enum { FORWARD, DATA, WEIGHTS };

/* A primitive with each thread's memory objects. */
typedef struct prim {
    dnnl_primitive_t p;
    int arg[ARGS];      /* DNNL_ARG_*; 0: unused */
    dnnl_memory_t *mem; /* [threads][ARGS] */
    const void **
        at; /* likewise: where each points now; setting it again may cost a walk over the padding */
    size_t scratch;            /* bytes of oneDNN's own */
    size_t narrow_x, narrow_y; /* numbers to turn into bf16 before each run, behind `scratch` */
} prim;

struct pare_dnn {
    const pare_train_kernels *k;
    dnnl_engine_t engine;
    dnnl_stream_t *stream;
    int threads;
};

struct pare_dnn_conv {
    pare_dnn *d;
    prim forward, data, weights;
    prim pack_forward, pack_data, unpack; /* reorders: X to Y */
    float *forward_w, *data_w;
    size_t grad_floats;
    /* oneDNN 2.6 takes its slow reference path for fewer input channels than a block has lanes.
     * Such a convolution is described with a whole block instead; its weights pass through `wide`,
     * whose further channels are 0. */
    float *wide; /* [oc][wide_ic][taps]; NULL: not needed */
    size_t oc, ic, wide_ic, taps;
};

int pare_dnn_threads_hold(void)
{
#ifdef _OPENMP
    int before = omp_get_max_threads();
    omp_set_num_threads(1);
    return before;
#else
    return 1;
#endif
}

void pare_dnn_threads_restore(int before)
{
#ifdef _OPENMP
    omp_set_num_threads(before);
#else
    (void)before;
#endif
}

void pare_dnn_free(pare_dnn *d)
{
    if (!d) return;
    for (int t = 0; d->stream && t < d->threads; t++)
        if (d->stream[t]) dnnl_stream_destroy(d->stream[t]);
    free(d->stream);
    if (d->engine) dnnl_engine_destroy(d->engine);
    free(d);
}

static pare_status check(dnnl_status_t st, const char *what)
{
    if (st == dnnl_success) return PARE_OK;
    if (st == dnnl_out_of_memory) return pare_fail(PARE_ENOMEM, "no memory for %s", what);
    return pare_fail(st == dnnl_unimplemented ? PARE_EUNSUPPORTED : PARE_EINTERNAL,
                     "oneDNN cannot make %s (status %d)", what, (int)st);
}

pare_status pare_dnn_bf16(void)
{
    /* The tile kernels of oneDNN 2.6 die with an illegal instruction where the system grants no
     * tiles, and in threads of their own even where it does. Untested on such a processor.
     * The cap comes too late once oneDNN has made anything in this process. */
    if (DNNL_VERSION_MAJOR < 3 &&
        dnnl_set_max_cpu_isa(dnnl_cpu_isa_avx512_core_bf16) != dnnl_success &&
        dnnl_get_effective_cpu_isa() == dnnl_cpu_isa_avx512_core_amx)
        return pare_fail(PARE_EUNSUPPORTED,
                         "oneDNN already uses tile instructions, which its bfloat16 kernels get "
                         "wrong: train in bf16 before anything else in this process");
    if (pare_cpu_detect() & PARE_CPU_BF16) return PARE_OK;
    char name[128];
    return pare_fail(PARE_EUNSUPPORTED,
                     "%s has no bfloat16 arithmetic (AVX512_BF16): train with --precision fp32",
                     pare_cpu_name(name, sizeof name));
}

pare_status pare_dnn_new(const pare_train_kernels *k, int threads, pare_dnn **out)
{
    pare_dnn *d = calloc(1, sizeof *d);
    if (d) d->k = k;
    if (d) d->threads = threads, d->stream = calloc((size_t)threads, sizeof(dnnl_stream_t));
    if (!d || !d->stream) {
        free(d);
        return pare_fail(PARE_ENOMEM, "no memory for oneDNN");
    }
    pare_status st = check(dnnl_engine_create(&d->engine, dnnl_cpu, 0), "an engine");
    for (int t = 0; st == PARE_OK && t < threads; t++)
        st = check(dnnl_stream_create(&d->stream[t], d->engine, dnnl_stream_default_flags),
                   "a stream");
    if (st != PARE_OK) {
        pare_dnn_free(d);
        return st;
    }
    *out = d;
    return PARE_OK;
}

/* --- descriptors: the part that differs between versions --- */

#if DNNL_VERSION_MAJOR >= 3
static pare_status describe(desc *d, int n, const dnnl_dims_t dims, dnnl_data_type_t type,
                            dnnl_format_tag_t tag)
{
    return check(dnnl_memory_desc_create_with_tag(d, n, dims, type, tag), "a layout");
}
static void forget(desc *d)
{
    if (*d) dnnl_memory_desc_destroy(*d);
    *d = NULL;
}
static size_t bytes_of(desc_ref d) { return dnnl_memory_desc_get_size(d); }
#else
static pare_status describe(desc *d, int n, const dnnl_dims_t dims, dnnl_data_type_t type,
                            dnnl_format_tag_t tag)
{
    return check(dnnl_memory_desc_init_by_tag(d, n, dims, type, tag), "a layout");
}
static void forget(desc *d) { (void)d; }
static size_t bytes_of(desc_ref d) { return dnnl_memory_desc_get_size(d); }
#endif

typedef struct layouts {
    desc src, weights, bias, dst, plain; /* plain: weights as stored by us */
    bool biased;
    dnnl_dims_t stride, dilation, begin, end;
} layouts;

static dnnl_format_tag_t map_tag(int lanes)
{
    return lanes == 16 ? dnnl_nChw16c : lanes == 8 ? dnnl_nChw8c : dnnl_nchw;
}

/* Input channels as oneDNN is told. */
static int64_t block_of(const pare_dnn_shape *s)
{
    return s->group == 1 && s->ic < s->src_lanes ? s->src_lanes : s->ic;
}

/* Of a computation of this kind for n images. With bf16, what is multiplied is in bf16 and what
 * sums up stays in float32. `hint`: of the forward computation that the others are derived from, as
 * oneDNN wants it: all three in bf16. */
static pare_status layouts_of(const pare_dnn_shape *s, int kind, bool hint, int64_t n, layouts *l)
{
    dnnl_data_type_t narrow = s->bf16 ? dnnl_bf16 : dnnl_f32,
                     x = kind == DATA && !hint ? dnnl_f32 : narrow,
                     k = kind == WEIGHTS && !hint ? dnnl_f32 : narrow,
                     y = kind == FORWARD && !hint ? dnnl_f32 : narrow;
    memset(l, 0, sizeof *l);
    int64_t ic = block_of(s);
    dnnl_dims_t src = { n, ic, s->in[0], s->in[1] }, dst = { n, s->oc, s->out[0], s->out[1] },
                bias = { s->oc };
    dnnl_dims_t w = { s->oc, ic, s->kernel[0], s->kernel[1] };
    dnnl_dims_t wg = { s->group, s->oc / s->group, s->ic / s->group, s->kernel[0], s->kernel[1] };
    PARE_TRY(describe(&l->src, 4, src, x, map_tag(s->src_lanes)));
    PARE_TRY(describe(&l->dst, 4, dst, y, map_tag(s->dst_lanes)));
    PARE_TRY(describe(&l->bias, 1, bias, dnnl_f32, dnnl_x));
    PARE_TRY(s->group > 1 ? describe(&l->weights, 5, wg, k, dnnl_format_tag_any)
                          : describe(&l->weights, 4, w, k, dnnl_format_tag_any));
    PARE_TRY(s->group > 1 ? describe(&l->plain, 5, wg, dnnl_f32, dnnl_abcde)
                          : describe(&l->plain, 4, w, dnnl_f32, dnnl_abcd));
    l->biased = s->bias;
    for (int i = 0; i < 2; i++) {
        l->stride[i] = s->stride[i];
        l->dilation[i] = s->dilation[i] - 1; /* oneDNN: 0 is none */
        l->begin[i] = s->begin[i];
        l->end[i] = s->end[i];
    }
    return PARE_OK;
}

static void layouts_free(layouts *l)
{
    forget(&l->src);
    forget(&l->weights);
    forget(&l->bias);
    forget(&l->dst);
    forget(&l->plain);
}

static dnnl_status_t conv_desc(pare_dnn *d, int kind, const layouts *l,
                               const_dnnl_primitive_desc_t hint, dnnl_primitive_attr_t attr,
                               dnnl_primitive_desc_t *out)
{
    const dnnl_alg_kind_t alg = dnnl_convolution_direct;
#if DNNL_VERSION_MAJOR >= 3
    if (kind == FORWARD)
        return dnnl_convolution_forward_primitive_desc_create(
            out, d->engine, dnnl_forward_training, alg, l->src, l->weights,
            l->biased ? l->bias : NULL, l->dst, l->stride, l->dilation, l->begin, l->end, attr);
    if (kind == DATA)
        return dnnl_convolution_backward_data_primitive_desc_create(
            out, d->engine, alg, l->src, l->weights, l->dst, l->stride, l->dilation, l->begin,
            l->end, hint, attr);
    return dnnl_convolution_backward_weights_primitive_desc_create(
        out, d->engine, alg, l->src, l->weights, NULL, l->dst, l->stride, l->dilation, l->begin,
        l->end, hint, attr);
#else
    dnnl_convolution_desc_t cd;
    dnnl_status_t st;
    if (kind == FORWARD)
        st = dnnl_dilated_convolution_forward_desc_init(
            &cd, dnnl_forward_training, alg, &l->src, &l->weights, l->biased ? &l->bias : NULL,
            &l->dst, l->stride, l->dilation, l->begin, l->end);
    else if (kind == DATA)
        st = dnnl_dilated_convolution_backward_data_desc_init(
            &cd, alg, &l->src, &l->weights, &l->dst, l->stride, l->dilation, l->begin, l->end);
    else
        st = dnnl_dilated_convolution_backward_weights_desc_init(&cd, alg, &l->src, &l->weights,
                                                                 NULL, &l->dst, l->stride,
                                                                 l->dilation, l->begin, l->end);
    return st == dnnl_success ? dnnl_primitive_desc_create(out, &cd, attr, d->engine, hint) : st;
#endif
}

/* --- primitives --- */

static void prim_free(prim *p, int threads)
{
    for (int i = 0; p->mem && i < threads * ARGS; i++)
        if (p->mem[i]) dnnl_memory_destroy(p->mem[i]);
    free(p->mem);
    free(p->at);
    if (p->p) dnnl_primitive_destroy(p->p);
    *p = (prim){ 0 };
}

/* Memory objects of one argument, without memory yet. */
static pare_status prim_arg(pare_dnn *d, prim *p, int which, int arg, desc_ref layout)
{
    if (!p->mem) p->mem = calloc((size_t)d->threads * ARGS, sizeof(dnnl_memory_t));
    if (!p->at) p->at = calloc((size_t)d->threads * ARGS, sizeof *p->at);
    if (!p->mem || !p->at) return pare_fail(PARE_ENOMEM, "no memory for oneDNN's memory objects");
    p->arg[which] = arg;
    for (int t = 0; t < d->threads; t++)
        PARE_TRY(check(
            dnnl_memory_create(&p->mem[t * ARGS + which], layout, d->engine, DNNL_MEMORY_NONE),
            "a memory object"));
    return PARE_OK;
}

/* Execution cannot fail but for a bug: arguments were fixed when the primitive was made. */
static void prim_run(pare_dnn *d, prim *p, int thread, const void *x, const void *w, const void *y,
                     const void *bias, void *scratch)
{
    const void *at[ARGS] = { x, w, y, bias, scratch };
    dnnl_exec_arg_t args[ARGS];
    int n = 0;
    for (int i = 0; i < ARGS; i++) {
        if (!p->arg[i]) continue;
        dnnl_memory_t m = p->mem[thread * ARGS + i];
        if (p->at[thread * ARGS + i] != at[i])
            dnnl_memory_set_data_handle(m, (void *)(uintptr_t)at[i]);
        p->at[thread * ARGS + i] = at[i];
        args[n++] = (dnnl_exec_arg_t){ p->arg[i], m };
    }
    dnnl_primitive_execute(p->p, d->stream[thread], n, args);
    dnnl_stream_wait(d->stream[thread]);
}

static desc_ref wanted(const_dnnl_primitive_desc_t pd, dnnl_query_t what)
{
    return dnnl_primitive_desc_query_md(pd, what, 0);
}

static pare_status reorder(pare_dnn *d, desc_ref from, desc_ref to, prim *p)
{
    dnnl_primitive_desc_t pd = NULL;
    PARE_TRY(check(dnnl_reorder_primitive_desc_create(&pd, from, d->engine, to, d->engine, NULL),
                   "a change of layout"));
    pare_status st = check(dnnl_primitive_create(&p->p, pd), "a change of layout");
    dnnl_primitive_desc_destroy(pd);
    if (st == PARE_OK) st = prim_arg(d, p, X, DNNL_ARG_FROM, from);
    if (st == PARE_OK) st = prim_arg(d, p, Y, DNNL_ARG_TO, to);
    return st;
}

static pare_status packed(desc_ref layout, float **out)
{
    size_t size = (bytes_of(layout) + 63) & ~(size_t)63;
    *out = aligned_alloc(64, size ? size : 64);
    if (!*out) return pare_fail(PARE_ENOMEM, "no memory for %zu bytes of packed weights", size);
    memset(*out, 0, size);
    return PARE_OK;
}

int pare_dnn_conv_slow(pare_dnn *d, const pare_dnn_shape *s, const pare_dnn_uses *uses)
{
    int64_t n[] = { [FORWARD] = uses->forward, [DATA] = uses->data, [WEIGHTS] = uses->weights };
    int slow = 0, before = pare_dnn_threads_hold();
    for (int kind = FORWARD; kind <= WEIGHTS; kind++) {
        if (!n[kind]) continue;
        layouts l, h;
        dnnl_primitive_desc_t hint = NULL, pd = NULL;
        const char *name = "ref";
        if (layouts_of(s, kind, false, n[kind], &l) == PARE_OK &&
            layouts_of(s, kind, true, n[kind], &h) == PARE_OK &&
            (kind == FORWARD || conv_desc(d, FORWARD, &h, NULL, NULL, &hint) == dnnl_success) &&
            conv_desc(d, kind, &l, hint, NULL, &pd) == dnnl_success)
            dnnl_primitive_desc_query(pd, dnnl_query_impl_info_str, 0, &name);
        slow += strstr(name, "ref") != NULL;
        if (pd) dnnl_primitive_desc_destroy(pd);
        if (hint) dnnl_primitive_desc_destroy(hint);
        layouts_free(&l);
        layouts_free(&h);
    }
    pare_dnn_threads_restore(before);
    return slow;
}

static pare_status make(pare_dnn_conv *c, int kind, const pare_dnn_shape *s, int64_t n)
{
    pare_dnn *d = c->d;
    layouts l, h;
    dnnl_primitive_attr_t attr = NULL;
    dnnl_primitive_desc_t hint = NULL, pd = NULL;
    pare_status st = layouts_of(s, kind, false, n, &l);
    if (st == PARE_OK) st = layouts_of(s, kind, true, n, &h);
    if (st == PARE_OK) st = check(dnnl_primitive_attr_create(&attr), "attributes");
    if (st == PARE_OK)
        st = check(dnnl_primitive_attr_set_scratchpad_mode(attr, dnnl_scratchpad_mode_user),
                   "attributes");
    if (st == PARE_OK && kind != FORWARD)
        st = check(conv_desc(d, FORWARD, &h, NULL, attr, &hint), "a convolution");
    if (st == PARE_OK) st = check(conv_desc(d, kind, &l, hint, attr, &pd), "a convolution");
    prim *p = kind == FORWARD ? &c->forward : kind == DATA ? &c->data : &c->weights;
    if (st == PARE_OK) st = check(dnnl_primitive_create(&p->p, pd), "a convolution");
    if (st == PARE_OK) {
        desc_ref pad = wanted(pd, dnnl_query_scratchpad_md);
        p->scratch = (bytes_of(pad) + 63) & ~(size_t)63;
        if (p->scratch) st = prim_arg(d, p, SCRATCH, DNNL_ARG_SCRATCHPAD, pad);
        if (s->bf16 && kind != DATA) p->narrow_x = bytes_of(REF(l.src)) / 2;
        if (s->bf16 && kind != FORWARD) p->narrow_y = bytes_of(REF(l.dst)) / 2;
    }
    desc_ref w = st == PARE_OK ? wanted(pd, kind == WEIGHTS ? dnnl_query_diff_weights_md
                                                            : dnnl_query_weights_md)
                               : NULL;
    if (st == PARE_OK && kind == FORWARD) {
        st = prim_arg(d, p, X, DNNL_ARG_SRC, REF(l.src));
        if (st == PARE_OK) st = prim_arg(d, p, W, DNNL_ARG_WEIGHTS, w);
        if (st == PARE_OK) st = prim_arg(d, p, Y, DNNL_ARG_DST, REF(l.dst));
        if (st == PARE_OK && s->bias) st = prim_arg(d, p, BIAS, DNNL_ARG_BIAS, REF(l.bias));
        if (st == PARE_OK) st = reorder(d, REF(l.plain), w, &c->pack_forward);
        if (st == PARE_OK) st = packed(w, &c->forward_w);
    } else if (st == PARE_OK && kind == DATA) {
        st = prim_arg(d, p, X, DNNL_ARG_DIFF_SRC, REF(l.src));
        if (st == PARE_OK) st = prim_arg(d, p, W, DNNL_ARG_WEIGHTS, w);
        if (st == PARE_OK) st = prim_arg(d, p, Y, DNNL_ARG_DIFF_DST, REF(l.dst));
        if (st == PARE_OK) st = reorder(d, REF(l.plain), w, &c->pack_data);
        if (st == PARE_OK) st = packed(w, &c->data_w);
    } else if (st == PARE_OK) {
        st = prim_arg(d, p, X, DNNL_ARG_SRC, REF(l.src));
        if (st == PARE_OK) st = prim_arg(d, p, W, DNNL_ARG_DIFF_WEIGHTS, w);
        if (st == PARE_OK) st = prim_arg(d, p, Y, DNNL_ARG_DIFF_DST, REF(l.dst));
        if (st == PARE_OK) st = reorder(d, w, REF(l.plain), &c->unpack);
        if (st == PARE_OK) c->grad_floats = (bytes_of(w) + 63) / 64 * 16;
    }
    if (pd) dnnl_primitive_desc_destroy(pd);
    if (hint) dnnl_primitive_desc_destroy(hint);
    if (attr) dnnl_primitive_attr_destroy(attr);
    layouts_free(&l);
    layouts_free(&h);
    return st;
}

void pare_dnn_conv_free(pare_dnn_conv *c)
{
    if (!c) return;
    prim *all[] = {
        &c->forward, &c->data, &c->weights, &c->pack_forward, &c->pack_data, &c->unpack
    };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) prim_free(all[i], c->d->threads);
    free(c->forward_w);
    free(c->data_w);
    free(c->wide);
    free(c);
}

pare_status pare_dnn_conv_new(pare_dnn *d, const pare_dnn_shape *s, const pare_dnn_uses *uses,
                              pare_dnn_conv **out)
{
    pare_dnn_conv *c = calloc(1, sizeof *c);
    if (!c) return pare_fail(PARE_ENOMEM, "no memory for a convolution");
    c->d = d;
    c->oc = (size_t)s->oc;
    c->ic = (size_t)s->ic;
    c->wide_ic = (size_t)block_of(s);
    c->taps = (size_t)(s->kernel[0] * s->kernel[1]);
    pare_status st = PARE_OK;
    if (c->wide_ic > c->ic) c->wide = calloc(c->oc * c->wide_ic * c->taps, sizeof *c->wide);
    if (c->wide_ic > c->ic && !c->wide) st = pare_fail(PARE_ENOMEM, "no memory for a convolution");
    if (st == PARE_OK && uses->forward) st = make(c, FORWARD, s, uses->forward);
    if (st == PARE_OK && uses->data) st = make(c, DATA, s, uses->data);
    if (st == PARE_OK && uses->weights) st = make(c, WEIGHTS, s, uses->weights);
    if (st != PARE_OK) {
        pare_dnn_conv_free(c);
        return st;
    }
    *out = c;
    return PARE_OK;
}

size_t pare_dnn_conv_scratch(const pare_dnn_conv *c)
{
    const prim *all[] = { &c->forward, &c->data, &c->weights };
    size_t most = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        size_t bytes = all[i]->scratch + 2 * (all[i]->narrow_x + all[i]->narrow_y) + 2 * 64;
        if (bytes > most) most = bytes;
    }
    return most;
}

size_t pare_dnn_conv_grad_floats(const pare_dnn_conv *c) { return c->grad_floats; }

void pare_dnn_conv_pack(pare_dnn_conv *c, int thread, const float *w)
{
    size_t row = c->ic * c->taps;
    for (size_t o = 0; c->wide && o < c->oc; o++)
        memcpy(c->wide + o * c->wide_ic * c->taps, w + o * row, row * sizeof *w);
    if (c->wide) w = c->wide;
    if (c->forward_w) prim_run(c->d, &c->pack_forward, thread, w, NULL, c->forward_w, NULL, NULL);
    if (c->data_w) prim_run(c->d, &c->pack_data, thread, w, NULL, c->data_w, NULL, NULL);
}

/* As prim_run, with X and Y turned into bf16 where the primitive wants them so. */
static void conv_run(pare_dnn_conv *c, prim *p, int thread, const float *x, const float *w,
                     const float *y, const float *bias, void *scratch)
{
    const void *at_x = x, *at_y = y;
    unsigned char *room = (unsigned char *)scratch + p->scratch;
    if (p->narrow_x) {
        c->d->k->to_bf16(p->narrow_x, x, (uint16_t *)(void *)room);
        at_x = room;
        room += (2 * p->narrow_x + 63) & ~(size_t)63;
    }
    if (p->narrow_y) {
        c->d->k->to_bf16(p->narrow_y, y, (uint16_t *)(void *)room);
        at_y = room;
    }
    prim_run(c->d, p, thread, at_x, w, at_y, bias, scratch);
}

void pare_dnn_conv_forward(pare_dnn_conv *c, int thread, const float *x, const float *bias,
                           float *y, void *scratch)
{
    conv_run(c, &c->forward, thread, x, c->forward_w, y, bias, scratch);
}

void pare_dnn_conv_data(pare_dnn_conv *c, int thread, const float *dy, float *dx, void *scratch)
{
    conv_run(c, &c->data, thread, dx, c->data_w, dy, NULL, scratch);
}

void pare_dnn_conv_weights(pare_dnn_conv *c, int thread, const float *x, const float *dy, float *dw,
                           void *scratch)
{
    conv_run(c, &c->weights, thread, x, dw, dy, NULL, scratch);
}

void pare_dnn_conv_unpack(pare_dnn_conv *c, int thread, const float *dw, float *w)
{
    prim_run(c->d, &c->unpack, thread, dw, NULL, c->wide ? c->wide : w, NULL, NULL);
    size_t row = c->ic * c->taps;
    for (size_t o = 0; c->wide && o < c->oc; o++) {
        float *from = c->wide + o * c->wide_ic * c->taps;
        memcpy(w + o * row, from, row * sizeof *w);
        memset(from + row, 0, (c->wide_ic * c->taps - row) * sizeof *from); /* for the next pack */
    }
}

void pare_dnn_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
    dnnl_sgemm(trans_a ? 'T' : 'N', trans_b ? 'T' : 'N', m, n, k, 1, a, lda, b, ldb, beta, c, ldc);
}

#else

static const char *const absent =
    "this pare was built without oneDNN (PARE_TRAIN=OFF), so it cannot train";

pare_status pare_dnn_new(const pare_train_kernels *k, int threads, pare_dnn **out)
{
    return pare_fail(PARE_EUNSUPPORTED, "%s", absent);
}
pare_status pare_dnn_bf16(void) { return pare_fail(PARE_EUNSUPPORTED, "%s", absent); }
void pare_dnn_free(pare_dnn *d) {}
int pare_dnn_threads_hold(void) { return 1; }
void pare_dnn_threads_restore(int before) {}
pare_status pare_dnn_conv_new(pare_dnn *d, const pare_dnn_shape *s, const pare_dnn_uses *uses,
                              pare_dnn_conv **out)
{
    return pare_fail(PARE_EUNSUPPORTED, "%s", absent);
}
int pare_dnn_conv_slow(pare_dnn *d, const pare_dnn_shape *s, const pare_dnn_uses *uses)
{
    return 0;
}
void pare_dnn_conv_free(pare_dnn_conv *c) {}
size_t pare_dnn_conv_scratch(const pare_dnn_conv *c) { return 0; }
size_t pare_dnn_conv_grad_floats(const pare_dnn_conv *c) { return 0; }
void pare_dnn_conv_pack(pare_dnn_conv *c, int thread, const float *w) {}
void pare_dnn_conv_forward(pare_dnn_conv *c, int thread, const float *x, const float *bias,
                           float *y, void *scratch)
{
}
void pare_dnn_conv_data(pare_dnn_conv *c, int thread, const float *dy, float *dx, void *scratch) {}
void pare_dnn_conv_weights(pare_dnn_conv *c, int thread, const float *x, const float *dy, float *dw,
                           void *scratch)
{
}
void pare_dnn_conv_unpack(pare_dnn_conv *c, int thread, const float *dw, float *w) {}
void pare_dnn_gemm(bool trans_a, bool trans_b, int64_t m, int64_t n, int64_t k, const float *a,
                   int64_t lda, const float *b, int64_t ldb, float beta, float *c, int64_t ldc)
{
}
#endif
