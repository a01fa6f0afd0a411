/* Writes Einsum of two operands with one summed label, one of each operand's own and any shared
 * ones as MatMul, with Transpose where labels stand in another order. */
#include "ops/attr.h"
#include "ops/attrs.h"
#include "passes/pass.h"

#include <ctype.h>

/* A term of the equation: one letter for each dimension. */
typedef struct term {
    char label[PARE_MAX_RANK];
    int rank;
} term;

static bool read(const char **at, term *t)
{
    *t = (term){ .rank = 0 };
    for (; **at && **at != ',' && **at != '-'; ++*at) {
        if (**at == ' ') continue;
        if (!isalpha((unsigned char)**at) || t->rank == PARE_MAX_RANK) return false;
        for (int d = 0; d < t->rank; d++) /* a diagonal */
            if (t->label[d] == **at) return false;
        t->label[t->rank++] = **at;
    }
    return true;
}

static int find(const term *t, char label)
{
    for (int d = 0; d < t->rank; d++)
        if (t->label[d] == label) return d;
    return -1;
}

typedef struct product {
    pare_id operand[2], out;
    term from[2], to; /* as in the equation; from[0]'s own label stands before from[1]'s in `to` */
    term left, right, result; /* as MatMul wants them */
} product;

static bool read_equation(const pare_node *n, product *p)
{
    const char *const *equation = pare_attr(n, "equation", PARE_FIELD_STR), *at;
    if (!equation || !*equation || n->n_in != 2) return false;
    at = *equation;
    if (!read(&at, &p->from[0]) || *at++ != ',' || !read(&at, &p->from[1])) return false;
    return strncmp(at, "->", 2) == 0 && (at += 2, read(&at, &p->to)) && *at == 0;
}

/* Sorts the labels: shared ones in the order of the output, rows, the summed one, columns. */
static bool sort(product *p)
{
    const term *a = &p->from[0], *b = &p->from[1], *y = &p->to;
    char own[2] = { 0 }, summed = 0;
    term shared = { .rank = 0 };
    for (int d = 0; d < y->rank; d++) {
        bool in_a = find(a, y->label[d]) >= 0, in_b = find(b, y->label[d]) >= 0;
        if (in_a && in_b)
            shared.label[shared.rank++] = y->label[d];
        else if ((!in_a && !in_b) || own[in_b])
            return false;
        else
            own[in_b] = y->label[d];
    }
    for (int d = 0; d < a->rank; d++) {
        if (find(y, a->label[d]) >= 0) continue;
        if (summed || find(b, a->label[d]) < 0) return false;
        summed = a->label[d];
    }
    if (!own[0] || !own[1] || !summed || a->rank != shared.rank + 2 || b->rank != shared.rank + 2)
        return false;
    p->left = p->right = p->result = shared;
    p->left.label[p->left.rank++] = own[0], p->left.label[p->left.rank++] = summed;
    p->right.label[p->right.rank++] = summed, p->right.label[p->right.rank++] = own[1];
    p->result.label[p->result.rank++] = own[0], p->result.label[p->result.rank++] = own[1];
    return true;
}

static bool match(const pare_graph *g, const pare_node *n, product *p)
{
    if (!n->op || strcmp(n->op->name, "Einsum") != 0 || !read_equation(n, p)) return false;
    for (int i = 0; i < 2; i++) {
        p->operand[i] = n->in[i];
        if (p->operand[i] == PARE_NONE || g->value[p->operand[i]].type.dtype != PARE_F32)
            return false;
    }
    p->out = n->out[0];
    int first = -1; /* whose own label comes first in the output? */
    for (int d = 0; d < p->to.rank && first < 0; d++) {
        bool in[2] = { find(&p->from[0], p->to.label[d]) >= 0,
                       find(&p->from[1], p->to.label[d]) >= 0 };
        if (in[0] != in[1]) first = in[1];
    }
    if (first == 1) {
        pare_id v = p->operand[0];
        term t = p->from[0];
        p->operand[0] = p->operand[1], p->operand[1] = v;
        p->from[0] = p->from[1], p->from[1] = t;
    }
    if (!sort(p)) return false;
    const pare_type *a = &g->value[p->operand[0]].type, *b = &g->value[p->operand[1]].type;
    for (int d = 0; d < a->rank; d++) { /* a dimension of 1 may stand for any number */
        int e = find(&p->from[1], p->from[0].label[d]);
        if (e >= 0 && a->dim[d] != b->dim[e]) return false;
    }
    return true;
}

/* Gives v, whose dimensions are named `from`, in the order `to`: itself, or `out`, the result of a
 * new Transpose; PARE_NONE: a new value. */
static pare_status ordered(pare_graph *g, pare_id v, const term *from, const term *to, pare_id *out)
{
    pare_type t = g->value[v].type;
    int64_t *perm = pare_arena_array(g->arena, (size_t)to->rank, sizeof *perm);
    if (!perm) return pare_fail(PARE_ENOMEM, "no memory for a permutation");
    for (int d = 0; d < to->rank; d++) {
        perm[d] = find(from, to->label[d]);
        t.dim[d] = g->value[v].type.dim[perm[d]];
    }
    if (*out == PARE_NONE) {
        if (memcmp(from->label, to->label, (size_t)to->rank) == 0) {
            *out = v;
            return PARE_OK;
        }
        PARE_TRY(pare_graph_add_value(g, pare_graph_unique(g, g->value[v].name), &t, out));
    }
    pare_transpose_attrs attrs = { .perm = { (size_t)to->rank, perm } };
    return pare_graph_add_node(g, pare_op_find("Transpose"), "", &attrs, sizeof attrs, 1, &v, 1,
                               out, NULL);
}

static pare_status rewrite(pare_graph *g, pare_id node, const product *p)
{
    const char *name = g->node[node].name;
    pare_id in[2] = { PARE_NONE, PARE_NONE }, y = p->out;
    bool turned = memcmp(p->result.label, p->to.label, (size_t)p->to.rank) != 0;
    pare_graph_remove(g, node);
    PARE_TRY(ordered(g, p->operand[0], &p->from[0], &p->left, &in[0]));
    PARE_TRY(ordered(g, p->operand[1], &p->from[1], &p->right, &in[1]));
    if (turned) {
        pare_type t = g->value[y].type;
        for (int d = 0; d < t.rank; d++)
            t.dim[d] = g->value[p->out].type.dim[find(&p->to, p->result.label[d])];
        PARE_TRY(pare_graph_add_value(g, pare_graph_unique(g, g->value[p->out].name), &t, &y));
    }
    PARE_TRY(pare_graph_add_node(g, pare_op_find("MatMul"), name, NULL, 0, 2, in, 1, &y, NULL));
    pare_id out = p->out;
    return turned ? ordered(g, y, &p->result, &p->to, &out) : PARE_OK;
}

static pare_status run(pare_graph *g, bool *changed)
{
    for (uint32_t i = 0, n = g->n_nodes; i < n; i++) {
        product p;
        if (!match(g, &g->node[i], &p)) continue;
        PARE_TRY(rewrite(g, i, &p));
        *changed = true;
    }
    return PARE_OK;
}

const pare_pass pare_pass_find_products = {
    .name = "find_products",
    .summary = "writes MatMul for Einsum",
    .shapes = true,
    .run = run,
};
