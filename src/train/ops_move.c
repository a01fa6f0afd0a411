/* Operators that only move numbers: views, and copies by a list of runs.
 *
 * What moves where is asked of the operator itself: its eval on a tensor that holds the numbers 1,
 * 2, 3 ... says for every output element which input element it is, 0 being what Pad fills in. */
#include "train/fronts.h"

#include <stdlib.h>
#include <string.h>

/* --- views --- */

pare_status tape_view(tbuilder *b, const pare_node *n)
{
    int x;
    PARE_TRY(tape_want(b, n->in[0], TAPE_PLAIN, &x));
    b->plain[n->out[0]] = x;
    return PARE_OK;
}

pare_status tape_identity(tbuilder *b, const pare_node *n)
{
    int x;
    PARE_TRY(tape_want(b, n->in[0], TAPE_ANY, &x));
    b->plain[n->out[0]] = b->plain[n->in[0]];
    b->blocked[n->out[0]] = b->blocked[n->in[0]];
    return PARE_OK;
}

/* --- copies --- */

typedef struct run {
    int32_t to, from, len; /* floats; from -1: fill, -2: padding lanes */
    int32_t in;            /* which input */
} run;

typedef struct move {
    run *run;
    size_t n;
    float fill;
} move;

static void move_forward(const tcall *c)
{
    const move *m = c->s->state;
    const pare_engine *e = c->e;
    size_t out = e->value[c->s->out].size;
    for (size_t i = 0; i < c->n; i++) {
        float *y = c->y + i * out;
        for (size_t k = 0; k < m->n; k++) {
            const run *r = &m->run[k];
            if (r->from < 0) {
                float v = r->from == -1 ? m->fill : 0;
                for (int32_t j = 0; j < r->len; j++) y[r->to + j] = v;
                continue;
            }
            const float *x = c->x[r->in] + i * e->value[c->s->in[r->in]].size + r->from;
            for (int32_t j = 0; j < r->len; j++) y[r->to + j] = x[j];
        }
    }
}

static void move_backward(const tcall *c)
{
    const move *m = c->s->state;
    const pare_engine *e = c->e;
    size_t out = e->value[c->s->out].size;
    for (int k = 0; k < c->s->n_in; k++)
        if (c->dx[k]) memset(c->dx[k], 0, c->n * e->value[c->s->in[k]].size * sizeof(float));
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < m->n; k++) {
            const run *r = &m->run[k];
            if (r->from < 0 || !c->dx[r->in]) continue;
            float *dx = c->dx[r->in] + i * e->value[c->s->in[r->in]].size + r->from;
            const float *dy = c->dy + i * out + r->to;
            for (int32_t j = 0; j < r->len; j++) dx[j] += dy[j];
        }
}

static const tape_op move_op = {
    .name = "copy", .cheap = true, .forward = move_forward, .backward = move_backward
};

/* Is input `i` data that moves (rather than a shape, an index, a fill value)? */
static bool moves(const pare_node *n, uint32_t i)
{
    return i == 0 || strcmp(n->op->name, "Concat") == 0;
}

/* The operator on numbered elements. out[n->n_out] are the caller's to free. */
static pare_status trace(const tbuilder *b, const pare_node *n, pare_dtype dtype, pare_tensor *out)
{
    pare_arg arg[PARE_MAX_IN] = { 0 };
    pare_tensor in[PARE_MAX_IN] = { 0 }, numbers[PARE_MAX_IN] = { 0 };
    pare_type type[PARE_MAX_OUT] = { 0 };
    pare_status st = PARE_OK;
    int64_t next = 1;
    for (uint32_t i = 0; st == PARE_OK && i < n->n_in; i++) {
        if (n->in[i] == PARE_NONE || (i == 2 && strcmp(n->op->name, "Pad") == 0))
            continue; /* Pad then fills zeros */
        const pare_value *v = &b->g->value[n->in[i]];
        arg[i].type = v->type;
        if (moves(n, i)) {
            arg[i].type.dtype = dtype;
            st = pare_tensor_of(&arg[i].type, &numbers[i]);
            for (int64_t k = 0, count = st == PARE_OK ? pare_tensor_count(&numbers[i]) : 0;
                 k < count; k++, next++) {
                if (dtype == PARE_I64)
                    ((int64_t *)numbers[i].data)[k] = next;
                else
                    ((float *)numbers[i].data)[k] = (float)next;
            }
            in[i] = numbers[i];
        } else {
            if (!v->weight || v->weight->codec)
                st = tape_unsupported(n, "how it moves depends on data");
            else
                arg[i].value = &v->weight->part[0], in[i] = v->weight->part[0];
        }
    }
    if (st == PARE_OK) st = n->op->infer(n, arg, type);
    for (uint32_t i = 0; st == PARE_OK && i < n->n_out; i++) st = pare_tensor_of(&type[i], &out[i]);
    if (st == PARE_OK) st = n->op->eval(n, in, out);
    for (uint32_t i = 0; i < n->n_in; i++) pare_tensor_free(&numbers[i]);
    return st;
}

/* Runs from the place of every float of `y`. */
static pare_status runs_of(tbuilder *b, const pare_tensor *source, const tv *y, const int *x,
                           const size_t *start, uint32_t n_in, move *m)
{
    pare_engine *e = b->e;
    run *each = malloc(y->size * sizeof *each);
    if (!each) return pare_fail(PARE_ENOMEM, "no memory for a copy of %zu numbers", y->size);
    for (size_t i = 0; i < y->size; i++) each[i] = (run){ (int32_t)i, -2, 1, 0 };
    for (int64_t i = 0, count = pare_tensor_count(source); i < count; i++) {
        run *r = &each[tape_offset(y, (size_t)i)];
        int64_t from = pare_tensor_get_i64(source, i);
        r->from = -1;
        if (from == 0) continue;
        uint32_t k = 0;
        while (k + 1 < n_in && (size_t)from >= start[k + 1]) k++;
        r->in = (int32_t)k;
        r->from = (int32_t)tape_offset(&e->value[x[k]], (size_t)from - start[k]);
    }
    size_t n = 0;
    for (size_t i = 0; i < y->size; i++) {
        run *last = n ? &each[n - 1] : NULL;
        bool joins = last && last->in == each[i].in &&
                     (each[i].from < 0 ? last->from == each[i].from
                                       : last->from >= 0 && last->from + last->len == each[i].from);
        if (joins)
            last->len++;
        else
            each[n++] = each[i];
    }
    m->n = n;
    m->run = tape_alloc(e, n, sizeof *m->run);
    if (m->run) memcpy(m->run, each, n * sizeof *m->run);
    free(each);
    return m->run ? PARE_OK
                  : pare_fail(PARE_ENOMEM, "no memory for a copy of %zu numbers", y->size);
}

pare_status tape_move(tbuilder *b, const pare_node *n)
{
    uint32_t n_in = strcmp(n->op->name, "Concat") == 0 ? n->n_in : 1;
    int x[PARE_MAX_IN];
    size_t start[PARE_MAX_IN], next = 1, lanes = b->e->k->lanes;
    for (uint32_t i = 0; i < n_in; i++) {
        PARE_TRY(tape_want(b, n->in[i], TAPE_ANY, &x[i]));
        const pare_type *t = &b->g->value[n->in[i]].type;
        if (t->rank > 0 && t->dim[0] == 1 && b->g->value[n->out[0]].type.dim[0] != 1)
            return tape_unsupported(n, "it mixes images");
        start[i] = next;
        next += (size_t)pare_numel(t->rank, t->dim);
        if (b->e->value[x[i]].lanes == 1) lanes = 1;
    }
    pare_tensor source[PARE_MAX_OUT] = { 0 };
    pare_status st = trace(b, n, PARE_I64, source);
    if (st == PARE_EUNSUPPORTED && next < (1 << 24)) {
        for (uint32_t o = 0; o < n->n_out; o++) pare_tensor_free(&source[o]);
        st = trace(b, n, PARE_F32, source);
    }
    float fill = 0;
    if (st == PARE_OK && strcmp(n->op->name, "Pad") == 0 && !tape_absent(n, 2)) {
        const pare_weight *w = tape_const(b, n, 2) ? b->g->value[n->in[2]].weight : NULL;
        if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1)
            st = tape_unsupported(n, "its fill value is computed");
        else
            fill = (float)pare_tensor_get_f64(&w->part[0], 0);
    }
    for (uint32_t o = 0; st == PARE_OK && o < n->n_out; o++) {
        if (n->out[o] == PARE_NONE) continue;
        int y;
        tstep *t = NULL;
        st = tape_value(b, n->out[o], tape_lanes(b, n->out[o]) > 1 ? lanes : 1, &y);
        if (st == PARE_OK) st = tape_step(b, &move_op, n, (int)n_in, x, y, sizeof(move), &t);
        if (st != PARE_OK) break;
        ((move *)t->state)->fill = fill;
        st = runs_of(b, &source[o], &b->e->value[y], x, start, n_in, t->state);
    }
    for (uint32_t o = 0; o < n->n_out; o++) pare_tensor_free(&source[o]);
    return st;
}
