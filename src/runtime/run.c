/* A plan's own memory, and the loop over its steps. */
#define _POSIX_C_SOURCE 200809L /* clock_gettime */
#include "runtime/run.h"
#include "runtime/layouts.h"

#include "base/pages.h"

#include <stdlib.h>
#include <string.h>
#include <time.h>

/* A tensor of a step that lies in the caller's memory: its address is set at every run. */
typedef struct patch {
    pare_tensor *tensor;
    pare_place place;
} patch;

struct pare_plan {
    pare_core *core;
    pare_step *step;
    pare_tensor *tensor; /* inputs and outputs of all steps */
    patch *patch;
    size_t n_patch;
    unsigned char *block;
    void *scratch;
    double *ns; /* per step, summed; NULL when not profiling */
    uint64_t runs;
};

void pare_plan_free(pare_plan *p)
{
    if (!p) return;
    free(p->step);
    free(p->tensor);
    free(p->patch);
    free(p->block);
    free(p->scratch);
    free(p->ns);
    pare_core_free(p->core);
    free(p);
}

static uint32_t inputs_of(const pare_work *w)
{
    return w->node->n_in + (w->chain.residual != PARE_NONE);
}

/* Fills `t` for value v in a layout; notes a patch if it lies with the caller. */
static void bind(pare_plan *p, pare_id v, pare_layout layout, pare_tensor *t)
{
    const pare_core *c = p->core;
    *t = (pare_tensor){ 0 };
    if (v == PARE_NONE) return;
    *t = pare_tensor_borrow(&c->graph->value[v].type, NULL);
    pare_place at = c->place[pare_slot(c, v, layout)];
    const pare_weight *w;
    switch (at.kind) {
    case PARE_PLACE_BLOCK: t->data = p->block + at.at; break;
    case PARE_PLACE_CONST:
        w = c->graph->value[at.at].weight;
        t->data = c->decoded[at.at].data ? c->decoded[at.at].data
                  : w->codec             ? NULL
                                         : w->part[0].data;
        break;
    case PARE_PLACE_INPUT:
    case PARE_PLACE_OUTPUT: p->patch[p->n_patch++] = (patch){ t, at }; break;
    case PARE_PLACE_NONE: break;
    }
}

pare_status pare_plan_of(pare_core *c, pare_plan **out)
{
    pare_plan *p = calloc(1, sizeof *p);
    if (!p) return pare_fail(PARE_ENOMEM, "no memory for a plan");
    p->core = c;
    atomic_fetch_add(&c->shares, 1);
    size_t tensors = 1;
    for (size_t i = 0; i < c->n_work; i++)
        tensors += inputs_of(&c->work[i]) + c->work[i].node->n_out;
    p->step = calloc(c->n_work + 1, sizeof *p->step);
    p->tensor = calloc(tensors, sizeof *p->tensor);
    p->patch = calloc(tensors, sizeof *p->patch);
    if (c->profile) p->ns = calloc(c->n_work + 1, sizeof *p->ns);
    p->block = pare_alloc_large(c->block_bytes + 64);
    p->scratch = pare_alloc_large(c->scratch_bytes + 64);
    if (!p->step || !p->tensor || !p->patch || !p->block || !p->scratch || (c->profile && !p->ns)) {
        pare_plan_free(p);
        return pare_fail(PARE_ENOMEM,
                         "no memory for the %zu bytes of activations and %zu of scratch of a plan",
                         c->block_bytes, c->scratch_bytes);
    }
    pare_tensor *t = p->tensor;
    for (size_t i = 0; i < c->n_work; i++) {
        const pare_work *w = &c->work[i];
        pare_step *s = &p->step[i];
        *s = (pare_step){ .node = w->node,
                          .impl = w->impl,
                          .packed = w->packed,
                          .epilogue = w->chain.epilogue,
                          .kernels = &c->kernels,
                          .scratch = p->scratch,
                          .scratch_bytes = w->scratch_bytes };
        s->in = t;
        for (uint32_t k = 0; k < inputs_of(w); k++) {
            pare_id v = k < w->node->n_in ? w->node->in[k] : w->chain.residual;
            bind(p, v, v == PARE_NONE ? PARE_PLAIN : pare_reads(c, w, v), t++);
        }
        s->out = t;
        bind(p, w->chain.out, w->impl->gives, t++);
        for (uint32_t k = 1; k < w->node->n_out; k++) bind(p, w->node->out[k], PARE_PLAIN, t++);
    }
    *out = p;
    return PARE_OK;
}

pare_status pare_plan_clone(const pare_plan *plan, pare_plan **out)
{
    return pare_plan_of(plan->core, out);
}

static pare_status check(const pare_graph *g, pare_id v, const pare_tensor *t, const char *what)
{
    pare_type got = pare_tensor_type(t);
    const pare_type *want = &g->value[v].type;
    if (t->dtype == want->dtype && pare_same_shape(&got, want) &&
        (t->data || pare_numel(t->rank, t->dim) == 0))
        return PARE_OK;
    char a[PARE_TYPE_TEXT], b[PARE_TYPE_TEXT];
    return pare_fail(PARE_EINVAL, "%s '%s' is %s%s instead of %s", what, g->value[v].name,
                     pare_type_text(&got, a, sizeof a), t->data ? "" : " without data",
                     pare_type_text(want, b, sizeof b));
}

static double now_ns(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e9 + (double)t.tv_nsec;
}

pare_status pare_plan_run(pare_plan *p, const pare_tensor *in, pare_tensor *out)
{
    const pare_core *c = p->core;
    const pare_graph *g = c->graph;
    for (uint32_t i = 0; i < g->n_inputs; i++) PARE_TRY(check(g, g->input[i], &in[i], "input"));
    for (uint32_t i = 0; i < g->n_outputs; i++) PARE_TRY(check(g, g->output[i], &out[i], "output"));
    for (size_t i = 0; i < p->n_patch; i++) {
        const patch *a = &p->patch[i];
        a->tensor->data =
            a->place.kind == PARE_PLACE_INPUT ? in[a->place.at].data : out[a->place.at].data;
    }
    for (size_t i = 0; i < c->n_work; i++) {
        double start = p->ns ? now_ns() : 0;
        pare_status st = p->step[i].impl->run(&p->step[i], c->threads);
        if (st != PARE_OK)
            return pare_note(st, "node '%s' (%s)", p->step[i].node->name,
                             p->step[i].node->op->name);
        if (p->ns) p->ns[i] += now_ns() - start;
    }
    p->runs++;
    for (uint32_t i = 0; i < g->n_outputs;
         i++) { /* outputs that no step writes: inputs, constants, views of other outputs */
        pare_place at = c->place[g->output[i]];
        const void *from = NULL;
        if (at.kind == PARE_PLACE_OUTPUT && at.at != i)
            from = out[at.at].data;
        else if (at.kind == PARE_PLACE_INPUT)
            from = in[at.at].data;
        else if (at.kind == PARE_PLACE_BLOCK)
            from = p->block + at.at;
        else if (at.kind == PARE_PLACE_CONST) {
            const pare_weight *w = g->value[at.at].weight;
            from = c->decoded[at.at].data ? c->decoded[at.at].data : w->part[0].data;
        }
        if (from) memcpy(out[i].data, from, pare_tensor_bytes(&out[i]));
    }
    return PARE_OK;
}

/* --- asking --- */
size_t pare_plan_inputs(const pare_plan *p) { return p->core->graph->n_inputs; }
size_t pare_plan_outputs(const pare_plan *p) { return p->core->graph->n_outputs; }

static const char *describe(const pare_graph *g, pare_id v, pare_type *type)
{
    if (type) *type = g->value[v].type;
    return g->value[v].name;
}
const char *pare_plan_input(const pare_plan *p, size_t i, pare_type *type)
{
    return describe(p->core->graph, p->core->graph->input[i], type);
}
const char *pare_plan_output(const pare_plan *p, size_t i, pare_type *type)
{
    return describe(p->core->graph, p->core->graph->output[i], type);
}

size_t pare_plan_steps(const pare_plan *p) { return p->core->n_work; }
void pare_plan_step(const pare_plan *p, size_t i, pare_step_info *out)
{
    const pare_work *w = &p->core->work[i];
    *out = (pare_step_info){ .name = w->node->name,
                             .op = w->node->op->name,
                             .impl = w->impl->name,
                             .why = w->why,
                             .codec = w->codec,
                             .macs = w->macs,
                             .precision = w->impl->precision,
                             .weight_bytes = (double)w->packed_bytes };
    const pare_step *s = &p->step[i];
    for (uint32_t k = 0; k < inputs_of(w); k++) {
        pare_id v = k < w->node->n_in ? w->node->in[k] : w->chain.residual;
        if (v == PARE_NONE) continue;
        double bytes = (double)pare_tensor_bytes(&s->in[k]);
        if (!p->core->graph->value[p->core->root[v]].weight)
            out->activation_bytes += bytes;
        else if (!w->impl->packs)
            out->weight_bytes += bytes;
    }
    for (uint32_t k = 0; k < w->node->n_out; k++)
        out->activation_bytes += (double)pare_tensor_bytes(&s->out[k]);
    out->int8 = w->macs > 0 && (s->in[0].dtype == PARE_U8 || s->in[0].dtype == PARE_I8);
    if (p->ns && p->runs) out->ns = p->ns[i] / (double)p->runs;
}

void pare_plan_memory_use(const pare_plan *p, pare_plan_memory *out)
{
    *out =
        (pare_plan_memory){ p->core->weight_bytes, p->core->block_bytes, p->core->scratch_bytes };
}
