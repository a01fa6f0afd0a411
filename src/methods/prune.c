#include "methods/prune.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int falling(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static double deviation(const float *x, int64_t n)
{
    double sum = 0, squares = 0;
    for (int64_t i = 0; i < n; i++) sum += (double)x[i];
    double mean = n ? sum / (double)n : 0;
    for (int64_t i = 0; i < n; i++) squares += ((double)x[i] - mean) * ((double)x[i] - mean);
    return n ? sqrt(squares / (double)n) : 0;
}

/* The magnitude that keeps about `share` of n sorted ones. */
static float cut_at(const float *sorted, int64_t n, double share)
{
    int64_t keep = (int64_t)ceil(share * (double)n - 1e-9);
    if (keep <= 0) return INFINITY;
    return sorted[(keep > n ? n : keep) - 1];
}

static pare_status magnitudes(const pare_prune_item *item, size_t n, float **out, int64_t *count)
{
    int64_t total = 0;
    for (size_t i = 0; i < n; i++) total += item[i].n;
    float *m = malloc((size_t)(total + 1) * sizeof *m), *at = m;
    if (!m) return pare_fail(PARE_ENOMEM, "no memory to sort %lld coefficients", (long long)total);
    for (size_t i = 0; i < n; i++)
        for (int64_t k = 0; k < item[i].n; k++) *at++ = fabsf(item[i].x[k]);
    qsort(m, (size_t)total, sizeof *m, falling);
    *out = m;
    *count = total;
    return PARE_OK;
}

pare_status pare_prune_cuts(pare_prune_item *item, size_t n, bool global)
{
    float *sorted = NULL;
    int64_t count;
    for (size_t i = 0; i < n; i++) {
        PARE_TRY(magnitudes(&item[i], 1, &sorted, &count));
        const pare_prune_rule *r = &item[i].rule;
        float most = cut_at(sorted, count, fmax(r->min_density, 1.0 / (double)(count ? count : 1)));
        item[i].cut = r->density > 0 ? cut_at(sorted, count, r->density)
                                     : (float)(r->threshold * deviation(item[i].x, count));
        if (item[i].cut > most) item[i].cut = most;
        free(sorted);
    }
    if (!global || n == 0 || item[0].rule.density <= 0) return PARE_OK;
    /* One cut for all. Where it would leave less than a layer's least density, the layer keeps
     * more. */
    PARE_TRY(magnitudes(item, n, &sorted, &count));
    float shared = cut_at(sorted, count, item[0].rule.density);
    free(sorted);
    for (size_t i = 0; i < n; i++) {
        if (item[i].rule.density != item[0].rule.density) continue; /* overridden for this layer */
        PARE_TRY(magnitudes(&item[i], 1, &sorted, &count));
        float most = cut_at(sorted, count,
                            fmax(item[i].rule.min_density, 1.0 / (double)(count ? count : 1)));
        item[i].cut = shared > most ? most : shared;
        free(sorted);
    }
    return PARE_OK;
}

int64_t pare_prune_apply(const pare_prune_item *item)
{
    int64_t kept = 0;
    for (int64_t i = 0; i < item->n; i++) {
        if (fabsf(item->x[i]) < item->cut) item->x[i] = 0;
        kept += item->x[i] != 0;
    }
    return kept;
}
