#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "runtime/measure.h"

#include "base/rng.h"

#include <stdlib.h>
#include <time.h>

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

/* A tensor of this type whose memory also holds the type blocked; vl 0: no need for that. */
static pare_status room(const pare_type *type, size_t vl, pare_tensor *out)
{
    pare_type t = *type;
    if (vl && pare_blockable(type))
        t.dim[1] = (t.dim[1] + (int64_t)vl - 1) / (int64_t)vl * (int64_t)vl;
    PARE_TRY(pare_tensor_of(&t, out));
    for (int d = 0; d < type->rank; d++) out->dim[d] = type->dim[d];
    return PARE_OK;
}

static pare_status filled(const pare_type *type, size_t vl, uint64_t seed, pare_tensor *out)
{
    PARE_TRY(room(type, vl, out));
    if (type->dtype != PARE_F32) return PARE_OK; /* zeros do */
    pare_rng rng = pare_rng_stream(1, seed);
    float *x = out->data;
    for (int64_t i = 0, n = pare_tensor_count(out); i < n; i++)
        x[i] = (float)pare_rng_uniform(&rng) - 0.5f;
    return PARE_OK;
}

pare_status pare_measure(const pare_core *c, const pare_work *w, const pare_impl *impl,
                         const pare_prepare *p, double *ns)
{
    enum { RUNS = 5 };
    pare_tensor in[PARE_MAX_IN + 1] = { 0 }, out[PARE_MAX_OUT] = { 0 };
    void *packed = NULL, *scratch = NULL;
    size_t packed_bytes = 0, scratch_bytes = 0, all = 0;
    uint32_t n_in = w->node->n_in + (w->chain.residual != PARE_NONE);
    pare_status st = PARE_OK;
    for (uint32_t i = 0; st == PARE_OK && i < n_in; i++) {
        bool residual = i == w->node->n_in; /* of the output's type */
        const pare_type *type = residual ? &p->out[0] : &p->in[i];
        const pare_weight *k = residual ? NULL : p->weight[i];
        if (type->dtype == PARE_UNDEFINED) continue;
        if (k && !k->codec)
            in[i] = pare_tensor_ref(&k->part[0]);
        else if (!k)
            st = filled(type, impl->takes == PARE_BLOCKED ? c->kernels.vl : 0, i, &in[i]);
    }
    for (uint32_t i = 0; st == PARE_OK && i < w->node->n_out; i++)
        if (p->out[i].dtype != PARE_UNDEFINED)
            st = room(&p->out[i], impl->gives == PARE_BLOCKED ? c->kernels.vl : 0, &out[i]);
    if (st == PARE_OK && impl->prepare)
        st = impl->prepare(p, &packed, &packed_bytes, &scratch_bytes);
    if (st == PARE_OK &&
        !pare_mul_size((scratch_bytes + 63) & ~(size_t)63, (size_t)c->threads, &all))
        st = pare_fail(PARE_ENOMEM, "scratch memory of %zu bytes a thread is too much",
                       scratch_bytes);
    if (st == PARE_OK && all > 0 && !(scratch = aligned_alloc(64, all)))
        st = pare_fail(PARE_ENOMEM, "no memory for %zu bytes of scratch", all);
    pare_step s = { .node = w->node,
                    .impl = impl,
                    .packed = packed,
                    .epilogue = w->chain.epilogue,
                    .kernels = &c->kernels,
                    .in = in,
                    .out = out,
                    .scratch = scratch,
                    .scratch_bytes = (scratch_bytes + 63) & ~(size_t)63 };
    double best = INFINITY;
    for (int r = 0; st == PARE_OK && r <= RUNS; r++) {
        double start = now_ns();
        st = impl->run(&s, c->threads);
        double took = now_ns() - start;
        if (r > 0 && took < best) best = took;
    }
    for (uint32_t i = 0; i < n_in; i++) pare_tensor_free(&in[i]);
    for (uint32_t i = 0; i < w->node->n_out; i++) pare_tensor_free(&out[i]);
    if (packed) (impl->release ? impl->release : free)(packed);
    free(scratch);
    if (st == PARE_OK) *ns = best;
    return pare_note(st, "node '%s': timing %s", w->node->name, impl->name);
}
