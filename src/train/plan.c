/* Cutting a tape into segments, deciding what is stored and what is computed again, placing it in
 * memory, running it. */
#include "base/parallel.h"
#include "train/engine.h"

#include <stdlib.h>
#include <string.h>

/* A piece of memory for `size` floats an image: of the whole batch when it is touched in two
 * segments, else of the group that is under way. */
struct tblock {
    size_t size, offset;
    int first, last;           /* segments that touch it, forward ones before backward ones */
    int first_item, last_item; /* within the segment, for local blocks */
    bool external;             /* the network's input */
    bool stored;               /* known to be before all uses are */
};

enum { RUN, STATS, BACK, REDUCE };

/* One call of a step's function. Numbers of blocks; -1: not needed. */
typedef struct titem {
    int kind, step;
    int *x, y, dy;
    int *dx;  /* what the function fills */
    int *sum; /* then sum[i] = base[i] + dx[i] (or + dy where dx is -1); -1: nothing to add */
    int *base;
} titem;

/* Everything that only planning needs. */
typedef struct planner {
    pare_engine *e;
    int *level; /* forward segment of every step; -1: run on demand (constants and what depends on
                 * them only)
                 */
    int *back;  /* backward segment of every step; -1: no gradient passes */
    int *ready; /* backward segment in which a value's gradient is complete; -1: none */
    bool *keep, *asked; /* values stored for the batch; values that need() has seen */
    int *stored;        /* their blocks */
    int *local;         /* values' blocks in the current segment */
    int *grad;          /* values' gradient blocks */
    bool *done;         /* steps whose backward item was placed */
    tsegment *seg;
    int time; /* of the current segment */
} planner;

static pare_status no_memory(void)
{
    return pare_fail(PARE_ENOMEM, "no memory for the training plan");
}

static int new_block(planner *p, size_t size)
{
    pare_engine *e = p->e;
    if (e->n_blocks == e->cap_blocks) {
        int cap = e->cap_blocks ? e->cap_blocks * 2 : 128;
        tblock *b = realloc(e->block, (size_t)cap * sizeof *b);
        if (!b) return -1;
        e->block = b;
        e->cap_blocks = cap;
    }
    e->block[e->n_blocks] = (tblock){ .size = size, .first = -1 };
    return e->n_blocks++;
}

static void touch(planner *p, int block)
{
    if (block < 0) return;
    tblock *b = &p->e->block[block];
    if (b->first < 0) b->first = p->time, b->first_item = p->seg->n;
    if (b->last != p->time || b->first == p->time) b->last_item = p->seg->n;
    b->last = p->time;
}

static pare_status add_item(planner *p, int kind, int step, titem **out)
{
    tsegment *s = p->seg;
    if (s->n == s->cap) {
        int cap = s->cap ? s->cap * 2 : 16;
        titem *i = realloc(s->item, (size_t)cap * sizeof *i);
        if (!i) return no_memory();
        s->item = i;
        s->cap = cap;
    }
    int n = p->e->step[step].n_in;
    int *lists = tape_alloc(p->e, 4 * (size_t)n + 1, sizeof *lists);
    if (!lists) return no_memory();
    for (int i = 0; i < 4 * n; i++) lists[i] = -1;
    titem *t = &s->item[s->n];
    *t = (titem){ .kind = kind,
                  .step = step,
                  .x = lists,
                  .y = -1,
                  .dy = -1,
                  .dx = lists + n,
                  .sum = lists + 2 * n,
                  .base = lists + 3 * n };
    *out = t;
    return PARE_OK;
}

/* Closes the item: all its blocks are in use at its place. */
static void seal(planner *p, titem *t)
{
    for (int i = 0; i < p->e->step[t->step].n_in; i++) {
        touch(p, t->x[i]);
        touch(p, t->dx[i]);
        touch(p, t->sum[i]);
        touch(p, t->base[i]);
    }
    touch(p, t->y);
    touch(p, t->dy);
    p->seg->n++;
}

static pare_status run_step(planner *p, int step);

/* The block in which value `v` can be read in the current segment; computes it there if it is not
 * stored. */
static pare_status ensure(planner *p, int v, int *block)
{
    if (p->stored[v] >= 0)
        *block = p->stored[v];
    else {
        if (p->local[v] < 0) PARE_TRY(run_step(p, p->e->value[v].producer));
        *block = p->stored[v] >= 0 ? p->stored[v] : p->local[v];
    }
    return PARE_OK;
}

static pare_status run_step(planner *p, int step)
{
    pare_engine *e = p->e;
    tstep *s = &e->step[step];
    int *x = tape_alloc(e, (size_t)s->n_in, sizeof *x);
    if (!x) return no_memory();
    for (int i = 0; i < s->n_in; i++) PARE_TRY(ensure(p, s->in[i], &x[i]));
    int y = new_block(p, e->value[s->out].size);
    if (y < 0) return no_memory();
    if (p->keep[s->out])
        p->stored[s->out] = y, e->block[y].stored = true;
    else
        p->local[s->out] = y;
    titem *t;
    PARE_TRY(add_item(p, RUN, step, &t));
    t->x = x;
    t->y = y;
    seal(p, t);
    return PARE_OK;
}

/* Values that backward reads: stored, unless what computes them is cheap; then that which it reads.
 */
static void need(planner *p, int v)
{
    pare_engine *e = p->e;
    int step = e->value[v].producer;
    if (step < 0 || p->asked[v]) return;
    p->asked[v] = true;
    if (p->keep[v]) return;
    if (!e->step[step].op->cheap) {
        p->keep[v] = true;
        return;
    }
    for (int i = 0; i < e->step[step].n_in; i++) need(p, e->step[step].in[i]);
}

static void levels(planner *p)
{
    pare_engine *e = p->e;
    e->n_forward = 1;
    for (int s = 0; s < e->n_steps; s++) {
        const tstep *t = &e->step[s];
        int level = -1;
        for (int i = 0; i < t->n_in; i++) {
            int from = e->value[t->in[i]].producer, l = from < 0 ? 0 : p->level[from];
            if (l > level) level = l;
        }
        if (level >= 0 && t->op->norm && e->training) level++;
        p->level[s] = level;
        if (level + 1 > e->n_forward) e->n_forward = level + 1;
    }
    e->n_backward = 0;
    if (!e->training) return;
    for (int v = 0; v < e->n_values; v++) p->ready[v] = -1;
    p->ready[e->logits] = 0;
    for (int s = e->n_steps; s-- > 0;) {
        const tstep *t = &e->step[s];
        int r = p->ready[t->out];
        p->back[s] = e->value[t->out].needs_grad && r >= 0 ? r + t->op->norm : -1;
        if (p->back[s] + 1 > e->n_backward) e->n_backward = p->back[s] + 1;
        for (int i = 0; i < t->n_in; i++)
            if (p->back[s] > p->ready[t->in[i]]) p->ready[t->in[i]] = p->back[s];
    }
}

static void decide_storage(planner *p)
{
    pare_engine *e = p->e;
    p->keep[e->logits] = true;
    for (int s = 0; s < e->n_steps; s++)
        for (int i = 0; i < e->step[s].n_in; i++) {
            int v = e->step[s].in[i], from = e->value[v].producer;
            if (from >= 0 && p->level[from] >= 0 && p->level[from] < p->level[s]) p->keep[v] = true;
        }
    for (int s = 0; e->training && s < e->n_steps; s++) {
        if (p->back[s] < 0) continue;
        const tape_op *op = e->step[s].op;
        for (int i = 0; op->needs_x && i < e->step[s].n_in; i++) need(p, e->step[s].in[i]);
        if (op->needs_y) need(p, e->step[s].out);
    }
}

static void open_segment(planner *p, tsegment *seg, int time)
{
    p->seg = seg;
    p->time = time;
    for (int v = 0; v < p->e->n_values; v++) p->local[v] = -1;
}

static pare_status stats_item(planner *p, int step)
{
    titem *t;
    int x;
    PARE_TRY(ensure(p, p->e->step[step].in[0], &x));
    PARE_TRY(add_item(p, STATS, step, &t));
    t->x[0] = x;
    seal(p, t);
    return PARE_OK;
}

static pare_status forward_segments(planner *p)
{
    pare_engine *e = p->e;
    e->forward = calloc((size_t)e->n_forward, sizeof *e->forward);
    if (!e->forward) return no_memory();
    for (int l = 0; l < e->n_forward; l++) {
        open_segment(p, &e->forward[l], l);
        for (int s = 0; l == 0 && e->training && s < e->n_steps; s++)
            if (e->step[s].op->norm && e->step[s].in[0] == e->input) PARE_TRY(stats_item(p, s));
        for (int s = 0; s < e->n_steps; s++) {
            if (p->level[s] != l) continue;
            PARE_TRY(run_step(p, s));
            for (int n = s + 1; e->training && n < e->n_steps; n++)
                if (e->step[n].op->norm && e->step[n].in[0] == e->step[s].out)
                    PARE_TRY(stats_item(p, n));
        }
    }
    return PARE_OK;
}

/* Does anybody but `v` still have to read the gradient in `block`? `except` is the value whose step
 * runs now.
 */
static bool shared(const planner *p, int block, int v, int except)
{
    const pare_engine *e = p->e;
    for (int u = 0; u < e->n_values; u++) {
        int from = e->value[u].producer;
        if (u != v && u != except && p->grad[u] == block && from >= 0 && p->back[from] >= 0 &&
            !p->done[from])
            return true;
    }
    return false;
}

/* Where gradients of a step's inputs go: into new memory, the memory of dy, or added to what is
 * there. */
static pare_status back_step(planner *p, int step)
{
    pare_engine *e = p->e;
    const tstep *s = &e->step[step];
    int *x = tape_alloc(e, (size_t)s->n_in, sizeof *x), y = -1;
    if (!x) return no_memory();
    for (int i = 0; i < s->n_in; i++) x[i] = -1;
    for (int i = 0; s->op->needs_x && i < s->n_in; i++) PARE_TRY(ensure(p, s->in[i], &x[i]));
    if (s->op->needs_y) PARE_TRY(ensure(p, s->out, &y));
    titem *t;
    PARE_TRY(add_item(p, BACK, step, &t));
    t->x = x;
    t->y = y;
    t->dy = p->grad[s->out];
    int wanted = 0;
    for (int i = 0; i < s->n_in; i++) wanted += e->value[s->in[i]].needs_grad;
    for (int i = 0; i < s->n_in; i++) {
        int v = s->in[i];
        if (!e->value[v].needs_grad) continue;
        bool first = p->grad[v] < 0;
        if (s->op->pass) {
            if (first) {
                p->grad[v] = t->dy;
                continue;
            }
        } else if (first && s->op->in_place && wanted == 1 && i == 0 &&
                   !shared(p, t->dy, v, s->out)) {
            t->dx[i] = p->grad[v] = t->dy;
            continue;
        } else {
            t->dx[i] = new_block(p, e->value[v].size);
            if (t->dx[i] < 0) return no_memory();
            if (first) {
                p->grad[v] = t->dx[i];
                continue;
            }
        }
        t->base[i] = t->sum[i] = p->grad[v];
        if (shared(p, p->grad[v], v, s->out)) {
            t->sum[i] = p->grad[v] = new_block(p, e->value[v].size);
            if (t->sum[i] < 0) return no_memory();
        }
    }
    p->done[step] = true;
    seal(p, t);
    return PARE_OK;
}

static pare_status backward_segments(planner *p)
{
    pare_engine *e = p->e;
    if (!e->n_backward) return PARE_OK;
    e->backward = calloc((size_t)e->n_backward, sizeof *e->backward);
    if (!e->backward) return no_memory();
    for (int v = 0; v < e->n_values; v++) p->grad[v] = -1;
    int dlogits = new_block(p, e->value[e->logits].size);
    if (dlogits < 0) return no_memory();
    e->dlogits_block = dlogits;
    e->block[dlogits].stored = true;
    p->grad[e->logits] = dlogits;
    for (int l = 0; l < e->n_backward; l++) {
        open_segment(p, &e->backward[l], e->n_forward + l);
        if (l == 0) touch(p, dlogits);
        for (int s = e->n_steps; s-- > 0;) {
            if (p->back[s] == l) PARE_TRY(back_step(p, s));
            if (!e->step[s].op->norm || p->back[s] != l + 1) continue;
            titem *t;
            int x;
            PARE_TRY(ensure(p, e->step[s].in[0], &x));
            PARE_TRY(add_item(p, REDUCE, s, &t));
            t->x[0] = x;
            t->dy = p->grad[e->step[s].out];
            seal(p, t);
        }
    }
    return PARE_OK;
}

/* --- groups and memory --- */

/* Images that go through together: as many as keep what one item touches within about half a
 * megabyte. */
static void choose_group(const pare_engine *e, tsegment *seg)
{
    enum { FLOATS = 98304 };
    size_t most = 1;
    for (int i = 0; i < seg->n; i++) {
        const titem *t = &seg->item[i];
        size_t sum = t->y >= 0 ? e->block[t->y].size : 0;
        if (t->dy >= 0) sum += e->block[t->dy].size;
        for (int k = 0; k < e->step[t->step].n_in; k++) {
            if (t->x[k] >= 0) sum += e->block[t->x[k]].size;
            if (t->dx[k] >= 0 && t->dx[k] != t->dy) sum += e->block[t->dx[k]].size;
        }
        if (sum > most) most = sum;
    }
    seg->group = e->chunk;
    while (seg->group > 1 && (e->chunk % seg->group != 0 || seg->group * most > FLOATS))
        seg->group--;
}

static size_t round16(size_t n) { return (n + 15) & ~(size_t)15; }

/* Places intervals: largest first, each at the lowest offset that is free while it lives. */
typedef struct place {
    int block, from, to;
    size_t size;
} place;

static int by_size(const void *a, const void *b)
{
    const place *x = a, *y = b;
    if (x->size != y->size) return x->size < y->size ? 1 : -1;
    return x->block < y->block ? -1 : 1;
}

static size_t arrange(pare_engine *e, place *p, size_t n)
{
    size_t total = 0;
    qsort(p, n, sizeof *p, by_size);
    for (size_t i = 0; i < n; i++) {
        size_t at = 0;
        for (size_t k = 0; k < i;) {
            size_t other = e->block[p[k].block].offset;
            bool meets = p[k].from <= p[i].to && p[i].from <= p[k].to && other < at + p[i].size &&
                         at < other + p[k].size;
            if (meets)
                at = other + p[k].size, k = 0;
            else
                k++;
        }
        e->block[p[i].block].offset = at;
        if (at + p[i].size > total) total = at + p[i].size;
    }
    return total;
}

static tsegment *segment_at(pare_engine *e, int time)
{
    return time < e->n_forward ? &e->forward[time] : &e->backward[time - e->n_forward];
}

static pare_status place_blocks(pare_engine *e)
{
    place *p = malloc(((size_t)e->n_blocks + 1) * sizeof *p);
    if (!p) return no_memory();
    size_t n = 0;
    for (int i = 0; i < e->n_blocks; i++) {
        tblock *b = &e->block[i];
        if (b->first >= 0 && b->first != b->last) b->stored = true;
        if (b->stored && !b->external && b->first >= 0)
            p[n++] = (place){ i, b->first, b->last, round16(b->size * e->batch) };
    }
    e->storage_floats = arrange(e, p, n);
    e->local_floats = 0;
    for (int time = 0; time < e->n_forward + e->n_backward; time++) {
        n = 0;
        for (int i = 0; i < e->n_blocks; i++) {
            tblock *b = &e->block[i];
            if (!b->stored && !b->external && b->first == time)
                p[n++] = (place){ i, b->first_item, b->last_item,
                                  round16(b->size * segment_at(e, time)->group) };
        }
        size_t used = arrange(e, p, n);
        if (used > e->local_floats) e->local_floats = used;
    }
    free(p);
    return PARE_OK;
}

static pare_status floats(size_t n, float **out)
{
    size_t bytes;
    if (!pare_mul_size(n + 32, sizeof(float), &bytes)) return no_memory();
    bytes = (bytes + 63) & ~(size_t)63;
    *out = aligned_alloc(64, bytes);
    if (!*out)
        return pare_fail(PARE_ENOMEM,
                         "no memory for %zu MiB of activations; a smaller batch needs less",
                         bytes >> 20);
    memset(*out, 0, bytes);
    return PARE_OK;
}

static pare_status prepare(planner *p)
{
    pare_engine *e = p->e;
    for (int s = 0; s < e->n_steps; s++) {
        tstep *t = &e->step[s];
        if (!t->op->prepare) continue;
        size_t scratch = 0;
        size_t group = p->level[s] >= 0 ? e->forward[p->level[s]].group : 0;
        size_t back = e->training && p->back[s] >= 0 ? e->backward[p->back[s]].group : 0;
        PARE_TRY(t->op->prepare(e, t, group, back, &scratch));
        if (scratch > e->op_scratch) e->op_scratch = scratch;
    }
    for (int l = 0; l < e->n_backward; l++) {
        tsegment *seg = &e->backward[l];
        for (int i = 0; i < seg->n; i++)
            if (seg->item[i].kind == BACK)
                seg->partial += round16(e->step[seg->item[i].step].partial);
        if (seg->partial > e->partial_floats) e->partial_floats = seg->partial;
    }
    PARE_TRY(place_blocks(e));
    PARE_TRY(floats(e->storage_floats, &e->storage));
    if (e->partial_floats) PARE_TRY(floats(e->partial_floats * e->chunks, &e->partials));
    e->scratch = calloc((size_t)e->threads, sizeof *e->scratch);
    if (!e->scratch) return no_memory();
    for (int t = 0; t < e->threads; t++)
        PARE_TRY(floats(e->local_floats + e->op_scratch / sizeof(float) + 32, &e->scratch[t]));
    for (int l = 0; l < e->n_backward; l++) {
        size_t at = 0;
        tsegment *seg = &e->backward[l];
        for (int i = 0; i < seg->n; i++) {
            if (seg->item[i].kind != BACK) continue;
            tstep *t = &e->step[seg->item[i].step];
            t->partial = round16(t->partial);
            t->partials = t->partial ? e->partials + at * e->chunks : NULL;
            at += t->partial;
        }
    }
    return PARE_OK;
}

pare_status pare_engine_plan(pare_engine *e)
{
    planner p = { .e = e };
    size_t steps = (size_t)e->n_steps + 1, values = (size_t)e->n_values + 1;
    p.level = malloc(steps * sizeof *p.level);
    p.back = malloc(steps * sizeof *p.back);
    p.ready = malloc(values * sizeof *p.ready);
    p.keep = calloc(values, sizeof *p.keep);
    p.asked = calloc(values, sizeof *p.asked);
    p.stored = malloc(values * sizeof *p.stored);
    p.local = malloc(values * sizeof *p.local);
    p.grad = malloc(values * sizeof *p.grad);
    p.done = calloc(steps, sizeof *p.done);
    pare_status st =
        p.level && p.back && p.ready && p.keep && p.asked && p.stored && p.local && p.grad && p.done
            ? PARE_OK
            : no_memory();
    if (st == PARE_OK) {
        levels(&p);
        decide_storage(&p);
        for (int v = 0; v < e->n_values; v++) p.stored[v] = -1;
        int input = new_block(&p, e->value[e->input].size);
        if (input < 0)
            st = no_memory();
        else
            e->block[input].external = true, p.stored[e->input] = input;
    }
    if (st == PARE_OK) st = forward_segments(&p);
    if (st == PARE_OK) st = backward_segments(&p);
    for (int t = 0; st == PARE_OK && t < e->n_forward + e->n_backward; t++)
        choose_group(e, segment_at(e, t));
    if (st == PARE_OK) st = prepare(&p);
    if (st == PARE_OK) e->logits_block = p.stored[e->logits];
    free(p.level);
    free(p.back);
    free(p.ready);
    free(p.keep);
    free(p.asked);
    free(p.stored);
    free(p.local);
    free(p.grad);
    free(p.done);
    return st;
}

/* --- running --- */

typedef struct pass {
    pare_engine *e;
    tsegment *seg;
} pass;

static float *at(const pare_engine *e, int block, size_t first, int thread)
{
    if (block < 0) return NULL;
    const tblock *b = &e->block[block];
    if (b->external) return (float *)(uintptr_t)(e->x + first * b->size);
    return b->stored ? e->storage + b->offset + first * b->size : e->scratch[thread] + b->offset;
}

static void run_item(pare_engine *e, const titem *t, size_t n, size_t first, int chunk, int thread)
{
    tstep *s = &e->step[t->step];
    tcall c = { .e = e, .s = s, .n = n, .first = first, .chunk = chunk, .thread = thread };
    c.scratch = e->scratch[thread] + round16(e->local_floats);
    for (int i = 0; i < s->n_in; i++) c.x[i] = at(e, t->x[i], first, thread);
    c.y = at(e, t->y, first, thread);
    if (t->kind == RUN)
        s->op->forward(&c);
    else if (t->kind == STATS)
        s->op->stats(&c);
    else {
        c.dy = at(e, t->dy, first, thread);
        if (t->kind == REDUCE) {
            s->op->reduce(&c);
            return;
        }
        c.partial = s->partials ? s->partials + (size_t)chunk * s->partial : NULL;
        for (int i = 0; i < s->n_in; i++) c.dx[i] = at(e, t->dx[i], first, thread);
        if (s->op->backward) s->op->backward(&c);
        for (int i = 0; i < s->n_in; i++)
            if (t->sum[i] >= 0)
                e->k->add(n * e->block[t->sum[i]].size, at(e, t->base[i], first, thread),
                          c.dx[i] ? c.dx[i] : c.dy, at(e, t->sum[i], first, thread));
    }
}

static void run_chunk(void *user, size_t chunk, int thread)
{
    const pass *p = user;
    pare_engine *e = p->e;
    tsegment *seg = p->seg;
    for (int i = 0; i < seg->n; i++) {
        const tstep *s = &e->step[seg->item[i].step];
        if (seg->item[i].kind == BACK && s->partials)
            memset(s->partials + chunk * s->partial, 0, s->partial * sizeof(float));
    }
    size_t end = (chunk + 1) * e->chunk;
    for (size_t first = chunk * e->chunk; first < end && first < e->count; first += seg->group)
        for (int i = 0; i < seg->n; i++)
            run_item(e, &seg->item[i], seg->group, first, (int)chunk, thread);
}

static void run_segment(pare_engine *e, tsegment *seg)
{
    pass p = { e, seg };
    pare_parallel_for((e->count + e->chunk - 1) / e->chunk, e->threads, run_chunk, &p);
    for (int i = 0; i < seg->n; i++) {
        tstep *s = &e->step[seg->item[i].step];
        if (seg->item[i].kind == STATS) s->op->stats_end(e, s);
        if (seg->item[i].kind == REDUCE) s->op->reduce_end(e, s);
        if (seg->item[i].kind == BACK && s->trains && s->op->finish) s->op->finish(e, s);
    }
}

static void begin_step(void *user, size_t i, int thread)
{
    pare_engine *e = user;
    if (e->step[i].op->begin) e->step[i].op->begin(e, &e->step[i], thread);
}

void pare_engine_begin(pare_engine *e)
{
    int before = pare_dnn_threads_hold();
    pare_parallel_for((size_t)e->n_steps, e->threads, begin_step, e);
    pare_dnn_threads_restore(before);
}

void pare_engine_forward(pare_engine *e, const float *x, size_t count)
{
    int before = pare_dnn_threads_hold();
    e->x = x;
    e->count = count;
    for (int l = 0; l < e->n_forward; l++) run_segment(e, &e->forward[l]);
    pare_dnn_threads_restore(before);
}

const float *pare_engine_logits(const pare_engine *e) { return at(e, e->logits_block, 0, 0); }

void pare_engine_backward(pare_engine *e, const float *dlogits)
{
    int before = pare_dnn_threads_hold();
    for (int i = 0; i < e->params->n; i++) {
        tparam *p = e->params->p[i];
        if (p->grad) memset(p->grad, 0, (size_t)p->count * sizeof(float));
    }
    if (e->n_backward)
        memcpy(at(e, e->dlogits_block, 0, 0), dlogits, e->batch * e->classes * sizeof(float));
    for (int l = 0; l < e->n_backward; l++) run_segment(e, &e->backward[l]);
    pare_dnn_threads_restore(before);
}

/* --- sums over chunks --- */

typedef struct sum {
    const pare_engine *e;
    const tstep *s;
} sum;

enum { SUM_PIECE = 4096 };

static void sum_piece(void *user, size_t i, int thread)
{
    const sum *j = user;
    size_t from = i * SUM_PIECE,
           n = j->s->partial - from < SUM_PIECE ? j->s->partial - from : SUM_PIECE;
    float *to = j->s->partials + from;
    for (size_t c = 1; c < j->e->chunks; c++) j->e->k->add(n, to, to + c * j->s->partial, to);
}

const float *pare_engine_sum(pare_engine *e, const tstep *s)
{
    sum job = { e, s };
    pare_parallel_for((s->partial + SUM_PIECE - 1) / SUM_PIECE, e->threads, sum_piece, &job);
    return s->partials;
}
