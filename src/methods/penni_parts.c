#include "methods/penni_parts.h"

#include "codecs/bitmap.h"
#include "codecs/penni.h"
#include "linalg/linalg.h"
#include "ops/conv_attrs.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static bool conv1(const pare_node *n)
{
    return n->op && strcmp(n->op->name, "Conv") == 0 &&
           ((const pare_conv_attrs *)n->attrs)->group == 1;
}

bool pare_penni_fits(const pare_graph *g, const pare_node *n)
{
    if (!conv1(n)) return false;
    const pare_weight *w = pare_node_weight(g, n, 1);
    if (!w || w->type.dtype != PARE_F32 || w->type.rank < 3 || w->type.rank > 5) return false;
    if ((w->codec && w->codec != &pare_codec_bitmap) || g->value[n->in[1]].is_output) return false;
    for (int i = 0; i < w->type.rank; i++)
        if (w->type.dim[i] < 1) return false;
    for (uint32_t i = 0; i < g->n_nodes; i++) {
        const pare_node *other = &g->node[i];
        for (uint32_t k = 0; other->op && k < other->n_in; k++)
            if (other->in[k] == n->in[1] && (k != 1 || !conv1(other))) return false;
    }
    return true;
}

pare_status pare_penni_decompose(pare_graph *g, pare_id node, int64_t basis, int init,
                                 uint64_t seed)
{
    const pare_node *n = &g->node[node];
    const pare_weight *w = pare_node_weight(g, n, 1);
    pare_type type = w->type;
    int64_t rows = type.dim[0] * type.dim[1], k = 1;
    for (int i = 2; i < type.rank; i++) k *= type.dim[i];
    int64_t d = basis < k ? basis : k;
    pare_tensor dense;
    PARE_TRY(pare_weight_decode(w, &dense));
    const float *x = dense.data;
    double *v = malloc((size_t)(k * k + k) * sizeof *v);
    float *a = malloc((size_t)(rows * d) * sizeof *a), *b = malloc((size_t)(d * k) * sizeof *b);
    bool *keep = malloc((size_t)(rows * d));
    pare_weight made = { 0 };
    pare_status st = v && a && b && keep
                         ? PARE_OK
                         : pare_fail(PARE_ENOMEM, "no memory to decompose '%s'", n->name);
    if (st == PARE_OK && k == 1)
        v[0] = 1;
    else if (st == PARE_OK && init == PARE_PENNI_RANDOM) {
        pare_rng rng = pare_rng_stream(seed, node);
        pare_random_orthonormal((size_t)k, &rng, v);
    } else if (st == PARE_OK)
        st = pare_note(pare_svd_right((size_t)rows, (size_t)k, x, v + k * k, v), "'%s'", n->name);
    if (st == PARE_EINVAL)
        st = PARE_EFORMAT; /* weights that are not finite: the file's fault, not the caller's */
    if (st == PARE_OK) {
        for (int64_t i = 0; i < d * k; i++) b[i] = (float)v[i];
        for (int64_t r = 0; r < rows; r++)
            for (int64_t m = 0; m < d; m++) {
                double dot = 0;
                for (int64_t p = 0; p < k; p++) dot += (double)x[r * k + p] * v[m * k + p];
                a[r * d + m] = (float)dot;
            }
        memset(keep, 1, (size_t)(rows * d));
        st = pare_penni_encode(&type, d, a, keep, b, &made);
    }
    if (st == PARE_OK) st = pare_graph_set_weight(g, n->in[1], made);
    pare_tensor_free(&dense);
    free(v);
    free(a);
    free(b);
    free(keep);
    return st;
}

/* The next constant stored with penni at or after `v`; PARE_NONE past the last. */
static pare_id next_penni(const pare_graph *g, pare_id v)
{
    for (; v < g->n_values; v++)
        if (g->value[v].weight && g->value[v].weight->codec == &pare_codec_penni) return v;
    return PARE_NONE;
}
#define EACH_PENNI(g, v)          \
    pare_id v = next_penni(g, 0); \
    v != PARE_NONE;               \
    v = next_penni(g, v + 1)

bool pare_penni_any(const pare_graph *g) { return next_penni(g, 0) != PARE_NONE; }

pare_status pare_penni_renormalise(pare_graph *g)
{
    for (EACH_PENNI(g, v)) {
        pare_weight *w = g->value[v].weight;
        PARE_TRY(pare_tensor_writable(&w->part[PARE_PENNI_VALUES]));
        PARE_TRY(pare_tensor_writable(&w->part[PARE_PENNI_BASIS]));
        pare_penni_dims s = pare_penni_dims_of(w);
        float *basis = w->part[PARE_PENNI_BASIS].data, *value = w->part[PARE_PENNI_VALUES].data;
        const uint8_t *mask = w->part[PARE_PENNI_MASK].data;
        double *norm = malloc((size_t)s.d * sizeof *norm);
        if (!norm) return pare_fail(PARE_ENOMEM, "no memory for %lld norms", (long long)s.d);
        for (int64_t m = 0; m < s.d; m++) {
            double squares = 0;
            for (int64_t p = 0; p < s.k; p++)
                squares += (double)basis[m * s.k + p] * (double)basis[m * s.k + p];
            norm[m] = squares > 0 ? sqrt(squares) : 1; /* a kernel of zeros stays one */
            for (int64_t p = 0; p < s.k; p++)
                basis[m * s.k + p] = (float)((double)basis[m * s.k + p] / norm[m]);
        }
        for (int64_t i = 0; i < s.n * s.c * s.d; i++)
            if (mask[i >> 3] >> (i & 7) & 1) {
                *value = (float)((double)*value * norm[i % s.d]);
                value++;
            }
        free(norm);
    }
    return PARE_OK;
}

/* The first node that reads constant `v`. */
static const pare_node *reader_of(const pare_graph *g, pare_id v)
{
    for (uint32_t i = 0; i < g->n_nodes; i++)
        for (uint32_t k = 0; g->node[i].op && k < g->node[i].n_in; k++)
            if (g->node[i].in[k] == v) return &g->node[i];
    return NULL;
}

static int64_t coefficients(const pare_weight *w)
{
    pare_penni_dims s = pare_penni_dims_of(w);
    return s.n * s.c * s.d;
}

pare_status pare_penni_prune(pare_graph *g, bool global,
                             pare_status (*rule)(void *user, const pare_node *n,
                                                 pare_prune_rule *out),
                             void *user, double *density)
{
    size_t count = 0, i = 0;
    for (EACH_PENNI(g, v)) count++;
    pare_prune_item *item = calloc(count + 1, sizeof *item);
    pare_status st =
        item ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory to prune %zu layers", count);
    for (EACH_PENNI(g, v)) {
        if (st != PARE_OK) break;
        const pare_weight *w = g->value[v].weight;
        const pare_node *n = reader_of(g, v);
        item[i].n = coefficients(w);
        item[i].x = malloc((size_t)item[i].n * sizeof *item[i].x);
        if (!item[i].x)
            st = pare_fail(PARE_ENOMEM, "no memory to prune %lld coefficients",
                           (long long)item[i].n);
        else
            pare_penni_coefficients(w, item[i].x);
        if (st == PARE_OK && n)
            st = rule(user, n, &item[i].rule);
        else
            item[i].rule.min_density = 1;
        i++;
    }
    if (st == PARE_OK) st = pare_prune_cuts(item, count, global);
    int64_t kept = 0, total = 0;
    i = 0;
    for (EACH_PENNI(g, v)) {
        if (st != PARE_OK) break;
        const pare_weight *w = g->value[v].weight;
        pare_weight made;
        kept += pare_prune_apply(&item[i]);
        total += item[i].n;
        st = pare_penni_encode(&w->type, pare_penni_dims_of(w).d, item[i].x, NULL,
                               w->part[PARE_PENNI_BASIS].data, &made);
        if (st == PARE_OK) st = pare_graph_set_weight(g, v, made);
        i++;
    }
    for (i = 0; item && i < count; i++) free(item[i].x);
    free(item);
    *density = total ? (double)kept / (double)total : 1;
    return st;
}

/* The same weight without the basis kernels (but one) that no coefficient uses. */
static pare_status repack(const pare_weight *w, pare_weight *out)
{
    pare_penni_dims s = pare_penni_dims_of(w);
    int64_t rows = s.n * s.c, kept = 0;
    float *a = malloc((size_t)(rows * s.d) * sizeof *a),
          *b = malloc((size_t)(s.d * s.k) * sizeof *b);
    int64_t *from = calloc((size_t)s.d, sizeof *from);
    if (!a || !b || !from) {
        free(a);
        free(b);
        free(from);
        return pare_fail(PARE_ENOMEM, "no memory for %lld coefficients", (long long)(rows * s.d));
    }
    pare_penni_coefficients(w, a);
    for (int64_t m = 0; m < s.d; m++) {
        bool used = false;
        for (int64_t r = 0; !used && r < rows; r++) used = a[r * s.d + m] != 0;
        if (used) from[kept++] = m;
    }
    if (kept == 0) kept = 1;
    for (int64_t m = 0; m < kept; m++)
        memcpy(b + m * s.k, (const float *)w->part[PARE_PENNI_BASIS].data + from[m] * s.k,
               (size_t)s.k * sizeof *b);
    for (int64_t r = 0; r < rows;
         r++) /* kept <= d and from[m] >= m: nothing is overwritten before it is read */
        for (int64_t m = 0; m < kept; m++) a[r * kept + m] = a[r * s.d + from[m]];
    pare_status st = pare_penni_encode(&w->type, kept, a, NULL, b, out);
    free(a);
    free(b);
    free(from);
    return st;
}

pare_status pare_penni_pack(pare_graph *g)
{
    for (EACH_PENNI(g, v)) {
        pare_weight made;
        PARE_TRY(repack(g->value[v].weight, &made));
        pare_weight_stats s;
        pare_weight_stat(&made, &s);
        if (s.stored_bytes >= 4 * pare_numel(made.type.rank, made.type.dim)) {
            pare_tensor dense;
            pare_status st = pare_weight_decode(&made, &dense);
            pare_weight_free(&made);
            PARE_TRY(st);
            made = pare_weight_dense(dense);
        }
        PARE_TRY(pare_graph_set_weight(g, v, made));
    }
    return PARE_OK;
}
