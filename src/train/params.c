/* The parameters of a network: decoded for the steps, taken apart for the optimiser, written back
 * into the graph. */
#include "train/engine.h"

#include <stdlib.h>
#include <string.h>

static bool is_float(const pare_tensor *t)
{
    return t->dtype == PARE_F32 && pare_tensor_count(t) > 0;
}

static void param_free(tparam *p)
{
    if (!p) return;
    if (p->weight.codec) free(p->value);
    free(p->grad);
    free(p->spare);
    pare_weight_free(&p->weight);
    free(p);
}

void tparams_free(tparams *ps)
{
    for (int i = 0; i < ps->n_slots; i++) {
        tslot *s = &ps->slot[i];
        if (s->g != ps->p[s->param]->grad) free(s->g);
        free(s->m);
        free(s->v);
    }
    for (int i = 0; i < ps->n; i++) param_free(ps->p[i]);
    free(ps->p);
    free(ps->slot);
    *ps = (tparams){ 0 };
}

static float *floats(int64_t n)
{
    size_t bytes = ((size_t)n * sizeof(float) + 127) & ~(size_t)63;
    float *p = aligned_alloc(64, bytes);
    if (p) memset(p, 0, bytes);
    return p;
}

pare_status tparams_get(tparams *ps, const pare_graph *bound, pare_id id, int *out)
{
    for (int i = 0; i < ps->n; i++)
        if (ps->p[i]->id == id) {
            *out = i;
            return PARE_OK;
        }
    bool ours = id < ps->g->n_values && ps->g->value[id].weight;
    const pare_value *v = ours ? &ps->g->value[id] : &bound->value[id];
    if (v->weight->type.dtype != PARE_F32)
        return pare_fail(PARE_EUNSUPPORTED, "constant '%s' is %s; only float32 trains", v->name,
                         pare_dtype_name(v->weight->type.dtype));
    if (ps->n == ps->cap) {
        int cap = ps->cap ? ps->cap * 2 : 32;
        tparam **grown = realloc(ps->p, (size_t)cap * sizeof(tparam *));
        if (!grown) return pare_fail(PARE_ENOMEM, "no memory for %d parameters", cap);
        ps->p = grown;
        ps->cap = cap;
    }
    tparam *p = calloc(1, sizeof *p);
    if (!p) return pare_fail(PARE_ENOMEM, "no memory for a parameter");
    p->id = id;
    p->count = pare_numel(v->weight->type.rank, v->weight->type.dim);
    p->weight = pare_weight_ref(v->weight);
    pare_status st = PARE_OK;
    for (int i = 0; st == PARE_OK && i < pare_weight_parts(&p->weight); i++)
        if (is_float(&p->weight.part[i])) st = pare_tensor_writable(&p->weight.part[i]);
    if (st == PARE_OK && !p->weight.codec)
        p->value = p->weight.part[0].data;
    else if (st == PARE_OK) {
        p->value = floats(p->count);
        if (!p->value)
            st = pare_fail(PARE_ENOMEM, "no memory for the decoded '%s'", v->name);
        else
            st = pare_note(p->weight.codec->decode(&p->weight, p->value), "constant '%s'", v->name);
    }
    if (st != PARE_OK) {
        param_free(p);
        return st;
    }
    *out = ps->n;
    ps->p[ps->n++] = p;
    return PARE_OK;
}

pare_status tparams_seal(tparams *ps, bool second_moment)
{
    int slots = 0;
    for (int i = 0; i < ps->n; i++)
        if (ps->p[i]->trains) slots += pare_weight_parts(&ps->p[i]->weight);
    ps->slot = calloc((size_t)slots + 1, sizeof *ps->slot);
    if (!ps->slot) return pare_fail(PARE_ENOMEM, "no memory for %d parameters", slots);
    for (int i = 0; i < ps->n; i++) {
        tparam *p = ps->p[i];
        if (!p->trains) continue;
        p->grad = floats(p->count);
        if (p->users > 1) p->spare = floats(p->count);
        if (!p->grad || (p->users > 1 && !p->spare))
            return pare_fail(PARE_ENOMEM, "no memory for gradients");
        for (int k = 0; k < pare_weight_parts(&p->weight); k++) {
            pare_tensor *t = &p->weight.part[k];
            if (!is_float(t)) continue;
            tslot *s = &ps->slot[ps->n_slots++];
            *s = (tslot){ .param = i,
                          .part = k,
                          .w = t->data,
                          .n = (size_t)pare_tensor_count(t),
                          .decays = p->decays };
            s->g = p->weight.codec ? floats((int64_t)s->n) : p->grad;
            s->m = floats((int64_t)s->n);
            if (second_moment) s->v = floats((int64_t)s->n);
            if (!s->g || !s->m || (second_moment && !s->v))
                return pare_fail(PARE_ENOMEM, "no memory for the optimiser");
        }
    }
    return PARE_OK;
}

pare_status tparams_decode(tparams *ps)
{
    for (int i = 0; i < ps->n; i++) {
        tparam *p = ps->p[i];
        if (p->weight.codec && p->trains)
            PARE_TRY(pare_note(p->weight.codec->decode(&p->weight, p->value), "constant '%s'",
                               ps->g->value[p->id].name));
    }
    return PARE_OK;
}

pare_status tparams_encode_grads(tparams *ps)
{
    for (int i = 0; i < ps->n_slots;) {
        int param = ps->slot[i].param;
        tparam *p = ps->p[param];
        pare_tensor d[PARE_MAX_PARTS] = { 0 };
        for (; i < ps->n_slots && ps->slot[i].param == param; i++) {
            tslot *s = &ps->slot[i];
            pare_type type = pare_tensor_type(&p->weight.part[s->part]);
            d[s->part] = pare_tensor_borrow(&type, s->g);
        }
        if (p->weight.codec)
            PARE_TRY(pare_note(p->weight.codec->grad(&p->weight, p->grad, d), "constant '%s'",
                               ps->g->value[p->id].name));
    }
    return PARE_OK;
}

pare_status tparams_write(const tparams *ps, pare_graph *g)
{
    for (int i = 0; i < ps->n; i++) {
        const tparam *p = ps->p[i];
        if (!p->trains && !p->running) continue;
        pare_weight w = pare_weight_ref(&p->weight);
        pare_status st = PARE_OK;
        for (int k = 0; st == PARE_OK && k < pare_weight_parts(&w); k++)
            if (is_float(&w.part[k]))
                st = pare_tensor_writable(&w.part[k]); /* shared with us, so this copies */
        if (st != PARE_OK) {
            pare_weight_free(&w);
            return st;
        }
        PARE_TRY(pare_graph_set_weight(g, p->id, w));
    }
    return PARE_OK;
}

pare_status tparams_read(tparams *ps, const pare_graph *g)
{
    for (int i = 0; i < ps->n; i++) {
        tparam *p = ps->p[i];
        if (!p->trains && !p->running) continue;
        const pare_value *v = p->id < g->n_values ? &g->value[p->id] : NULL;
        const pare_weight *w = v ? v->weight : NULL;
        if (!w || w->codec != p->weight.codec)
            return pare_fail(PARE_EINTERNAL, "constant '%s' changed its form during training",
                             v ? v->name : "?");
        for (int k = 0; k < pare_weight_parts(w); k++) {
            pare_tensor *to = &p->weight.part[k];
            const pare_tensor *from = &w->part[k];
            pare_type a = pare_tensor_type(to), b = pare_tensor_type(from);
            if (!is_float(to)) continue;
            if (a.dtype != b.dtype || !pare_same_shape(&a, &b))
                return pare_fail(PARE_EINTERNAL, "constant '%s' changed its shape during training",
                                 v->name);
            memcpy(to->data, from->data, pare_tensor_bytes(to));
        }
    }
    return tparams_decode(ps);
}
