/* Einsum: sums of products by named dimensions ("bij,bjk->bik"), with "..." for those that
 * broadcast.
 *
 * Every label is a loop; elements add up in double. For the odd contraction in a network, not for
 * speed. */
#include "ops/walk.h"

#include <string.h>

typedef struct attrs {
    const char *equation;
} attrs;
static const pare_field fields[] = {
    PARE_STR(attrs, equation, NULL,
             "labels of every input, and after -> those of the output; required"),
    PARE_FIELDS_END,
};

/* Two dozen labels of 3 are more than a day: hostile, or meant for another program. */
#define STEPS_MOST 1e12
enum { LETTERS = 52, MAX_LOOPS = LETTERS + PARE_MAX_RANK };
/* Loop ids: letters first, then the dimensions of "..." counted from their right end. */
typedef struct plan {
    int64_t size[MAX_LOOPS];
    bool used[MAX_LOOPS];
    int dots;                  /* dimensions that "..." stands for, over all inputs */
    int rank[PARE_MAX_IN + 1]; /* the output's is the last */
    int label[PARE_MAX_IN + 1][PARE_MAX_RANK]; /* loop of each dimension */
} plan;

static int letter(char c)
{
    if (c >= 'a' && c <= 'z') return c - 'a';
    return c >= 'A' && c <= 'Z' ? c - 'A' + 26 : -1;
}

/* One term into loop ids; `dots` dimensions for "..." (ids right-aligned). */
static pare_status read_term(const char **at, int dots, bool *had_dots, int *label, int *rank)
{
    *rank = 0;
    *had_dots = false;
    const char *p = *at;
    for (; *p && *p != ',' && strncmp(p, "->", 2) != 0; p++) {
        if (*p == ' ') continue;
        int count = 1, first = letter(*p);
        if (strncmp(p, "...", 3) == 0 && !*had_dots) {
            *had_dots = true;
            count = dots;
            first = LETTERS + PARE_MAX_RANK - dots;
            p += 2;
        } else if (first < 0)
            return pare_fail(PARE_EFORMAT, "'%c' in the equation is neither a letter nor '...'",
                             *p);
        if (*rank + count > PARE_MAX_RANK)
            return pare_fail(PARE_EUNSUPPORTED,
                             "a term of the equation has more than %d dimensions", PARE_MAX_RANK);
        for (int i = 0; i < count; i++) label[(*rank)++] = first + i;
    }
    *at = p;
    return PARE_OK;
}

static pare_status read_plan(const pare_node *n, const pare_type *in, plan *p)
{
    const char *equation = ((const attrs *)n->attrs)->equation, *at = equation;
    bool dots;
    if (!equation) return pare_fail(PARE_EFORMAT, "the attribute equation is missing");
    *p = (plan){ 0 };
    for (int i = 0; i < MAX_LOOPS; i++) p->size[i] = 1;
    for (uint32_t i = 0; i < n->n_in; i++) {
        const char *term = at;
        PARE_TRY(read_term(&at, 0, &dots, p->label[i], &p->rank[i]));
        int own = in[i].rank - p->rank[i];
        if (own < 0 || (own > 0 && !dots))
            return pare_fail(PARE_EFORMAT, "term %u of '%s' has %d dimensions, the input %d", i,
                             equation, p->rank[i], in[i].rank);
        if (own > p->dots) p->dots = own;
        at = term;
        PARE_TRY(read_term(&at, own, &dots, p->label[i], &p->rank[i]));
        for (int d = 0; d < p->rank[i]; d++) {
            int loop = p->label[i][d];
            int64_t size = in[i].dim[d];
            p->used[loop] = true;
            if (size == 1 || size == p->size[loop]) continue;
            if (p->size[loop] != 1)
                return pare_fail(PARE_EFORMAT,
                                 "a label of '%s' is %lld in one place and %lld in another",
                                 equation, (long long)p->size[loop], (long long)size);
            p->size[loop] = size;
        }
        if (i + 1 < n->n_in) {
            if (*at != ',')
                return pare_fail(PARE_EFORMAT, "'%s' has fewer than %u terms", equation, n->n_in);
            at++;
        }
    }
    int *label = p->label[PARE_MAX_IN], *rank = &p->rank[PARE_MAX_IN];
    if (*at == ',')
        return pare_fail(PARE_EFORMAT, "'%s' has more than %u terms", equation, n->n_in);
    if (*at) {
        at += 2;
        PARE_TRY(read_term(&at, p->dots, &dots, label, rank));
        if (*at) return pare_fail(PARE_EFORMAT, "'%s' goes on after its output", equation);
        unsigned char seen[MAX_LOOPS] = { 0 };
        for (int d = 0; d < *rank; d++) {
            if (!p->used[label[d]] || seen[label[d]]++)
                return pare_fail(PARE_EFORMAT,
                                 "the output of '%s' has a label that no input has, or twice",
                                 equation);
        }
        return PARE_OK;
    }
    /* Without "->": the dimensions of "...", then every label that stands once, in alphabetical
     * order (capitals first). */
    for (int i = LETTERS; i < MAX_LOOPS; i++)
        if (p->used[i]) label[(*rank)++] = i;
    for (int k = 0; k < LETTERS; k++) {
        int loop = (k + 26) % LETTERS, count = 0;
        for (uint32_t i = 0; i < n->n_in; i++)
            for (int d = 0; d < p->rank[i]; d++) count += p->label[i][d] == loop;
        if (count != 1) continue;
        if (*rank == PARE_MAX_RANK)
            return pare_fail(PARE_EUNSUPPORTED, "the output of '%s' has more than %d dimensions",
                             equation, PARE_MAX_RANK);
        label[(*rank)++] = loop;
    }
    return PARE_OK;
}

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    pare_type t[PARE_MAX_IN];
    plan p;
    PARE_TRY(pare_op_dtype("Einsum", in[0].type.dtype, pare_types_numbers));
    PARE_TRY(pare_op_same_dtype(n, in, 0, n->n_in));
    for (uint32_t i = 0; i < n->n_in; i++) t[i] = in[i].type;
    PARE_TRY(read_plan(n, t, &p));
    double steps = 1;
    for (int l = 0; l < MAX_LOOPS; l++) steps *= (double)p.size[l];
    if (steps > STEPS_MOST)
        return pare_fail(PARE_ELIMIT, "%g products are more than the %g that pare computes", steps,
                         STEPS_MOST);
    out[0].dtype = in[0].type.dtype;
    out[0].rank = p.rank[PARE_MAX_IN];
    for (int d = 0; d < out[0].rank; d++) out[0].dim[d] = p.size[p.label[PARE_MAX_IN][d]];
    return PARE_OK;
}

/* Next index of loops[0 .. n), the last one fastest; moves the operands. False after the last. */
static bool next(const plan *p, const int *loops, int n, uint32_t operands,
                 int64_t (*stride)[MAX_LOOPS], int64_t *index, int64_t *at)
{
    for (int l = n - 1; l >= 0; l--) {
        int loop = loops[l];
        bool wraps = ++index[loop] == p->size[loop];
        for (uint32_t i = 0; i < operands; i++)
            at[i] += wraps ? -stride[i][loop] * (p->size[loop] - 1) : stride[i][loop];
        if (!wraps) return true;
        index[loop] = 0;
    }
    return false;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    plan p;
    pare_type t[PARE_MAX_IN];
    for (uint32_t i = 0; i < n->n_in; i++) t[i] = pare_tensor_type(&in[i]);
    PARE_TRY(read_plan(n, t, &p));
    int64_t stride[PARE_MAX_IN][MAX_LOOPS] = { { 0 } }, index[MAX_LOOPS] = { 0 },
            at[PARE_MAX_IN] = { 0 };
    int64_t count = pare_tensor_count(&out[0]);
    bool floats = pare_dtype_is_float(out[0].dtype), empty = false;
    for (uint32_t i = 0; i < n->n_in; i++) {
        int64_t own[PARE_MAX_RANK];
        empty |= pare_tensor_count(&in[i]) == 0;
        pare_strides(in[i].rank, in[i].dim, own);
        for (int d = 0; d < in[i].rank; d++)
            if (in[i].dim[d] != 1)
                stride[i][p.label[i][d]] += own[d]; /* a label twice in a term walks the diagonal */
    }
    int inner[MAX_LOOPS], n_inner = 0, *outer = p.label[PARE_MAX_IN], n_outer = p.rank[PARE_MAX_IN];
    for (int l = 0; l < MAX_LOOPS; l++) {
        bool is_outer = false;
        for (int d = 0; d < n_outer; d++) is_outer |= outer[d] == l;
        if (p.used[l] && !is_outer) inner[n_inner++] = l;
    }
    for (int64_t y = 0; y < count && !empty; y++) {
        double sum = 0;
        uint64_t total = 0;
        do {
            double product = 1;
            uint64_t exact = 1;
            for (uint32_t i = 0; i < n->n_in; i++)
                if (floats)
                    product *= pare_tensor_get_f64(&in[i], at[i]);
                else
                    exact *= (uint64_t)pare_tensor_get_i64(&in[i], at[i]);
            sum += product;
            total += exact;
        } while (next(&p, inner, n_inner, n->n_in, stride, index, at));
        if (floats)
            pare_put_f64(&out[0], y, sum);
        else
            pare_put_i64(&out[0], y, (int64_t)total);
        next(&p, outer, n_outer, n->n_in, stride, index, at);
    }
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    plan p;
    *c = (pare_cost){ 0 };
    if (read_plan(n, in, &p) != PARE_OK) return;
    c->macs = 1;
    for (int l = 0; l < MAX_LOOPS; l++)
        if (p.used[l]) c->macs *= (double)p.size[l];
}

const pare_op pare_op_einsum = {
    .name = "Einsum",
    .summary = "sums of products by named dimensions",
    .since = 12,
    .inputs = { 1, PARE_MAX_IN },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
};
