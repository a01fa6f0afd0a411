/* Functions of one float32 operand, element by element, in whatever order the numbers lie. */
#include "ops/attr.h"
#include "ops/attrs.h"
#include "runtime/impls/rows_common.h"

#include <math.h>
#include <stdlib.h>

typedef struct packed {
    pare_unary f;
    float a, b;
} packed;

/* x to a constant power; the usual ones without logarithms. */
static bool power(const pare_prepare *p, packed *k)
{
    static const struct {
        double exponent;
        pare_unary f;
    } usual[] = { { 2, PARE_UNARY_SQUARE },
                  { 3, PARE_UNARY_CUBE },
                  { 0.5, PARE_UNARY_SQRT },
                  { -1, PARE_UNARY_RECIPROCAL } };
    const pare_weight *w = p->weight[1];
    if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1 ||
        !pare_same_shape(&p->in[0], &p->out[0]))
        return false;
    double exponent = pare_tensor_get_f64(&w->part[0], 0);
    for (size_t i = 0; i < sizeof usual / sizeof *usual; i++)
        if (exponent == usual[i].exponent) k->f = usual[i].f;
    k->a = (float)exponent;
    return true;
}

/* A constant number, or `otherwise` when the input is absent. */
static bool number(const pare_prepare *p, uint32_t slot, float otherwise, float *out)
{
    *out = otherwise;
    if (slot >= p->node->n_in || p->in[slot].dtype == PARE_UNDEFINED) return true;
    const pare_weight *w = p->weight[slot];
    if (!w || w->codec || pare_tensor_count(&w->part[0]) != 1) return false;
    *out = *(const float *)w->part[0].data;
    return true;
}

static bool function_of(const pare_prepare *p, packed *k)
{
    static const struct {
        const char *op;
        pare_unary f;
    } table[] = {
        { "Relu", PARE_UNARY_RELU },
        { "LeakyRelu", PARE_UNARY_LEAKY },
        { "Clip", PARE_UNARY_CLIP },
        { "Exp", PARE_UNARY_EXP },
        { "Sigmoid", PARE_UNARY_SIGMOID },
        { "Tanh", PARE_UNARY_TANH },
        { "HardSigmoid", PARE_UNARY_HARD_SIGMOID },
        { "HardSwish", PARE_UNARY_HARD_SWISH },
        { "Elu", PARE_UNARY_ELU },
        { "Neg", PARE_UNARY_NEG },
        { "Abs", PARE_UNARY_ABS },
        { "Sqrt", PARE_UNARY_SQRT },
        { "Erf", PARE_UNARY_ERF },
        { "Gelu", PARE_UNARY_GELU },
        { "Reciprocal", PARE_UNARY_RECIPROCAL },
        { "Pow", PARE_UNARY_POW },
    };
    size_t i = 0, n = sizeof table / sizeof *table;
    while (i < n && strcmp(table[i].op, p->node->op->name) != 0) i++;
    if (i == n) return false;
    *k = (packed){ .f = table[i].f };
    const pare_epilogue *e = &p->epilogue;
    if (e->scale || e->residual || e->act != PARE_ACT_NONE) return false;
    if (k->f == PARE_UNARY_CLIP)
        return number(p, 1, -INFINITY, &k->a) && number(p, 2, INFINITY, &k->b);
    if (k->f == PARE_UNARY_POW) return power(p, k);
    if (k->f == PARE_UNARY_GELU) {
        const pare_gelu_attrs *a = p->node->attrs;
        if (a->approximate == PARE_GELU_TANH) k->f = PARE_UNARY_GELU_TANH;
        return true;
    }
    k->a = (float)pare_attr_real(p->node, "alpha", 0);
    k->b = (float)pare_attr_real(p->node, "beta", 0);
    if (!e->gate) return true;
    if (k->f == PARE_UNARY_SIGMOID) {
        k->f = PARE_UNARY_SILU;
        return true;
    }
    bool usual = k->f == PARE_UNARY_HARD_SIGMOID && k->a == 1.0f / 6 && k->b == 0.5f;
    k->f = PARE_UNARY_HARD_SWISH;
    return usual;
}

static bool accepts(const pare_prepare *p)
{
    packed k;
    return p->in[0].dtype == PARE_F32 && function_of(p, &k);
}

static bool accepts_blocked(const pare_prepare *p) { return p->in[0].rank == 4 && accepts(p); }

static double model_ns(const pare_prepare *p) { return pare_rows_output_ns(p, PARE_PLAIN, 8, 2); }
static double model_blocked_ns(const pare_prepare *p)
{
    return pare_rows_output_ns(p, PARE_BLOCKED, 8, 2);
}

static size_t numbers(const pare_step *s)
{
    return pare_rows_numbers(s->out[0].rank, s->out[0].dim, s->impl->gives, s->kernels->vl);
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = malloc(sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    function_of(p, k);
    *out = k;
    *bytes = sizeof *k;
    *scratch_bytes = 0;
    return PARE_OK;
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    const packed *k = s->packed;
    size_t n = numbers(s), at = index * PARE_ROWS_ITEM;
    s->kernels->unary(k->f, pare_rows_of(n, index), (const float *)s->in[0].data + at, k->a, k->b,
                      (float *)s->out[0].data + at);
}

static pare_status run(const pare_step *s, int threads)
{
    size_t n = numbers(s);
    pare_team_for(pare_rows_items(n), pare_rows_threads(n, threads), item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_elementwise = {
    .name = "elementwise",
    .op = "Relu|LeakyRelu|Clip|Exp|Sigmoid|Tanh|HardSigmoid|HardSwish|Elu|Neg|Abs|Sqrt|Erf|"
          "Gelu|Reciprocal|Pow",
    .packs = true,
    .fuses = true, /* a gate only */
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .run = run,
};

const pare_impl pare_impl_elementwise_blocked = {
    .name = "elementwise_blocked",
    .op = "Relu|LeakyRelu|Clip|Exp|Sigmoid|Tanh|HardSigmoid|HardSwish|Elu|Neg|Abs|Sqrt|Erf|"
          "Gelu|Reciprocal|Pow",
    .packs = true,
    .fuses = true, /* a gate only */
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts_blocked,
    .model_ns = model_blocked_ns,
    .prepare = prepare,
    .run = run,
};
