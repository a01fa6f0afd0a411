/* pare_tune_machine: times the layers of some networks in every implementation that takes them, and
 * keeps for each implementation by how much the modelled times are off. */
#include "base/status.h"
#include "driver/clock.h"
#include "pare/eval.h"
#include "runtime/offers.h"
#include "runtime/tuned.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct sample {
    const char *impl;
    double ratio; /* measured / modelled */
} sample;

typedef struct samples {
    sample *at;
    size_t n, room;
    bool failed; /* for want of memory */
} samples;

static void note(void *user, const char *impl, double modelled_ns, double measured_ns)
{
    samples *s = user;
    /* The shortest are a matter of calling, not of computing. */
    if (!(modelled_ns > 0) || !(measured_ns > 1000)) return;
    if (s->n == s->room) {
        size_t room = s->room ? 2 * s->room : 256;
        sample *more = realloc(s->at, room * sizeof *more);
        if (!more) {
            s->failed = true;
            return;
        }
        s->at = more;
        s->room = room;
    }
    s->at[s->n++] = (sample){ impl, measured_ns / modelled_ns };
}

static int by_impl(const void *a, const void *b)
{
    const sample *x = a, *y = b;
    int c = strcmp(x->impl, y->impl);
    return c ? c : (x->ratio > y->ratio) - (x->ratio < y->ratio);
}

/* The median ratio of each implementation: one layer that the model gets wrong does not spoil it.
 */
static void medians(samples *s, pare_tuned *t)
{
    if (s->n) qsort(s->at, s->n, sizeof *s->at, by_impl);
    for (size_t i = 0, end; i < s->n && t->n < PARE_TUNED_MOST; i = end) {
        for (end = i; end < s->n && strcmp(s->at[end].impl, s->at[i].impl) == 0;) end++;
        struct pare_tuned_entry *e = &t->entry[t->n++];
        size_t count = end - i;
        strncpy(e->impl, s->at[i].impl, sizeof e->impl - 1);
        e->layers = (int)count;
        e->factor = sqrt(s->at[i + (count - 1) / 2].ratio * s->at[i + count / 2].ratio);
        e->factor = fmin(fmax(e->factor, 0.01), 100);
    }
}

static pare_status report_of(const pare_tuned *t, pare_tuning *out)
{
    out->entry = calloc(t->n + 1, sizeof *out->entry);
    if (!out->entry) return pare_fail(PARE_ENOMEM, "no memory for %zu factors", t->n);
    for (size_t i = 0; i < t->n; i++) {
        memcpy(out->entry[i].impl, t->entry[i].impl, sizeof out->entry[i].impl);
        out->entry[i].factor = t->entry[i].factor;
        out->entry[i].layers = t->entry[i].layers;
    }
    out->n = t->n;
    return PARE_OK;
}

pare_status pare_tune_machine(const pare_graph *const *graphs, size_t n, const char *path,
                              bool force, const pare_progress *progress, pare_tuning *out)
{
    const char *isa = pare_isa_name();
    *out = (pare_tuning){ 0 };
    if (!path && !pare_tuned_path(isa, out->path, sizeof out->path))
        return pare_fail(PARE_EINVAL, "there is no place to keep the result: PARE_TUNE is off, or "
                                      "neither XDG_CACHE_HOME nor HOME is set");
    if (path && snprintf(out->path, sizeof out->path, "%s", path) >= (int)sizeof out->path)
        return pare_fail(PARE_EINVAL, "a path of %zu bytes is too long", strlen(path));
    force = force || (!path && !pare_tuned_named()); /* the cache is ours */
    PARE_TRY(pare_tuned_place(out->path, force));
    samples s = { 0 };
    pare_tuned *t = calloc(1, sizeof *t);
    pare_status st = t ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for factors");
    pare_moment start = pare_moment_now();
    for (size_t i = 0; st == PARE_OK && i < n; i++) {
        st = pare_report(progress, "tune", (int64_t)i, (int64_t)n, "network %zu", i + 1);
        if (st == PARE_OK) st = pare_plan_offers(graphs[i], note, &s);
    }
    out->foreign_processors = pare_foreign_since(&start);
    if (st == PARE_OK && s.failed) st = pare_fail(PARE_ENOMEM, "no memory for %zu timings", s.n);
    if (st == PARE_OK) {
        medians(&s, t);
        st = report_of(t, out);
    }
    if (st == PARE_OK) st = pare_tuned_save(t, isa, out->path, force);
    free(s.at);
    free(t);
    if (st != PARE_OK) pare_tuning_free(out);
    return st;
}

void pare_tuning_free(pare_tuning *t)
{
    if (!t) return;
    free(t->entry);
    t->entry = NULL;
    t->n = 0;
}
