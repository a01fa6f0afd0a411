/* Functions of two float32 operands on channel-blocked activations, with what is fused behind:
 * two of one shape, or one and a number for each channel (constant, or computed for each image as
 * in squeeze-and-excitation). */
#include "runtime/impls/rows_common.h"
#include "runtime/impls/window_common.h"

#include <math.h>
#include <stdlib.h>

typedef enum form { REFUSED, ALIKE, CONSTANT, COMPUTED } form;

typedef struct packed {
    form form;
    pare_binary f;
    int map;                             /* the operand that is a whole activation */
    size_t blocks, planes, pixels, each; /* blocks of an image, of all; planes in an item */
    float *scale, *shift;                /* CONSTANT, [blocks][vl]; COMPUTED: the epilogue's */
} packed;

static bool function_of(const char *op, pare_binary *f)
{
    static const struct {
        const char *op;
        pare_binary f;
    } table[] = {
        { "Add", PARE_BINARY_ADD }, { "Sum", PARE_BINARY_ADD }, { "Sub", PARE_BINARY_SUB },
        { "Mul", PARE_BINARY_MUL }, { "Div", PARE_BINARY_DIV }, { "Max", PARE_BINARY_MAX },
        { "Min", PARE_BINARY_MIN },
    };
    for (size_t i = 0; i < sizeof table / sizeof *table; i++)
        if (strcmp(table[i].op, op) == 0) {
            *f = table[i].f;
            return true;
        }
    return false;
}

/* [1 or n, c, 1, 1], leading ones left out if they are; or one number in all. */
static bool per_channel(const pare_type *t, int64_t n, int64_t c)
{
    int64_t dim[4] = { 1, 1, 1, 1 };
    for (int d = 0; d < t->rank; d++) dim[4 - t->rank + d] = t->dim[d];
    return (dim[0] == 1 || dim[0] == n) && (dim[1] == c || dim[1] == 1) && dim[2] == 1 &&
           dim[3] == 1;
}

/* Is x / c as good as x * (1 / c) for all numbers? Not where 1 / c is infinite or lost its last
 * bits. */
static bool invertible(const pare_tensor *c)
{
    for (int64_t i = 0; i < pare_tensor_count(c); i++)
        if (!isnormal(1 / ((const float *)c->data)[i])) return false;
    return true;
}

static form form_of(const pare_prepare *p, packed *k)
{
    const pare_type *a = &p->in[0], *b = &p->in[1], *y = &p->out[0];
    if (p->node->n_in != 2 || a->dtype != PARE_F32 || b->dtype != PARE_F32 || y->rank != 4 ||
        !function_of(p->node->op->name, &k->f))
        return REFUSED;
    if (!p->weight[0] && !p->weight[1] && pare_same_shape(a, b))
        return p->epilogue.scale || p->epilogue.residual ? REFUSED : ALIKE;
    if (k->f == PARE_BINARY_MAX || k->f == PARE_BINARY_MIN) return REFUSED;
    k->map = !p->weight[0] && pare_same_shape(a, y) ? 0 : 1;
    const pare_type *map = &p->in[k->map], *other = &p->in[1 - k->map];
    const pare_weight *w = p->weight[1 - k->map];
    if (p->weight[k->map] || !pare_same_shape(map, y) ||
        !per_channel(other, y->dim[0], y->dim[1]) || (w && w->codec))
        return REFUSED;
    bool divides = k->f == PARE_BINARY_DIV;
    if (w)
        return (other->rank == 4 && other->dim[0] != 1) ||
                       (divides && (k->map == 1 || !invertible(&w->part[0])))
                   ? REFUSED
                   : CONSTANT;
    return divides || other->rank != 4 || other->dim[0] != y->dim[0] || other->dim[1] != y->dim[1]
               ? REFUSED
               : COMPUTED;
}

static bool accepts(const pare_prepare *p)
{
    packed k;
    return form_of(p, &k) != REFUSED;
}

static double model_ns(const pare_prepare *p)
{
    packed k;
    double n = (double)pare_rows_numbers(4, p->out->dim, PARE_BLOCKED, p->kernels->vl),
           maps = form_of(p, &k) == ALIKE ? 3 : 2;
    return pare_rows_ns(n, 4 * maps * n, 0.1, p->threads);
}

static void release(void *v)
{
    packed *k = v;
    if (!k) return;
    free(k->scale);
    free(k);
}

/* x op c, or c op x if the constant stands first, as x * scale + shift, and the epilogue's scale
 * and shift behind. */
static void affine_of(const pare_prepare *p, const packed *k, int64_t channel, float c,
                      float *scale, float *shift)
{
    float s = 1, t = 0, then = 1, add = 0;
    switch (k->f) {
    case PARE_BINARY_ADD: t = c; break;
    case PARE_BINARY_SUB: s = k->map == 0 ? 1 : -1, t = k->map == 0 ? -c : c; break;
    case PARE_BINARY_MUL: s = c; break;
    default: s = 1 / c; break; /* Div */
    }
    if (p->epilogue.scale) then = p->epilogue.scale[channel], add = p->epilogue.shift[channel];
    *scale = s * then;
    *shift = t * then + add;
}

static pare_status prepare(const pare_prepare *p, void **out, size_t *bytes, size_t *scratch_bytes)
{
    packed *k = calloc(1, sizeof *k);
    if (!k) return pare_fail(PARE_ENOMEM, "no memory for a step");
    size_t vl = p->kernels->vl, channels = (size_t)p->out->dim[1];
    k->form = form_of(p, k);
    k->blocks = (size_t)pare_blocks((int64_t)channels, vl);
    k->planes = (size_t)p->out->dim[0] * k->blocks;
    k->pixels = (size_t)(p->out->dim[2] * p->out->dim[3]);
    k->each = PARE_ROWS_ITEM / (k->pixels * vl) + 1;
    if (k->form != ALIKE) {
        k->scale = calloc(2 * k->blocks * vl, sizeof *k->scale);
        if (!k->scale) {
            release(k);
            return pare_fail(PARE_ENOMEM, "no memory for the scales of %zu channels", channels);
        }
        k->shift = k->scale + k->blocks * vl;
        const pare_weight *w = p->weight[1 - k->map];
        const float *v = w ? w->part[0].data : NULL;
        bool one = w && pare_tensor_count(&w->part[0]) == 1;
        for (size_t c = 0; c < channels; c++)
            if (v) {
                affine_of(p, k, (int64_t)c, v[one ? 0 : c], &k->scale[c], &k->shift[c]);
            } else {
                k->scale[c] = p->epilogue.scale ? p->epilogue.scale[c] : 1;
                k->shift[c] = p->epilogue.scale ? p->epilogue.shift[c] : 0;
            }
    }
    *out = k;
    *bytes = sizeof *k + (k->scale ? 2 * k->blocks * vl * sizeof *k->scale : 0);
    *scratch_bytes = 0;
    return PARE_OK;
}

static void alike(void *user, size_t index, int thread)
{
    (void)thread;
    const pare_step *s = user;
    const packed *k = s->packed;
    size_t n = k->planes * k->pixels * s->kernels->vl, at = index * PARE_ROWS_ITEM;
    float *y = (float *)s->out[0].data + at;
    s->kernels->binary(k->f, pare_rows_of(n, index), (const float *)s->in[0].data + at, 1,
                       (const float *)s->in[1].data + at, 1, y);
    pare_rows_act(s, pare_rows_of(n, index), y);
}

static void item(void *user, size_t index, int thread)
{
    (void)thread;
    const pare_step *s = user;
    const packed *k = s->packed;
    const pare_epilogue *e = &s->epilogue;
    pare_finish f = { .act = e->act, .lo = e->lo, .hi = e->hi, .alpha = e->alpha };
    size_t vl = s->kernels->vl;
    for (size_t i = index * k->each; i < (index + 1) * k->each && i < k->planes; i++) {
        size_t at = i * k->pixels * vl, c = i % k->blocks * vl;
        const float *scale = k->scale + c, *shift = k->shift + c;
        float own_scale[PARE_VL_MOST], own_shift[PARE_VL_MOST];
        if (k->form == COMPUTED) {
            const float *v = (const float *)s->in[1 - k->map].data + i * vl;
            for (size_t l = 0; l < vl; l++) {
                bool minus = k->f == PARE_BINARY_SUB;
                if (k->f == PARE_BINARY_MUL) {
                    own_scale[l] = v[l] * scale[l];
                    own_shift[l] = shift[l];
                } else {
                    own_scale[l] = minus && k->map == 1 ? -scale[l] : scale[l];
                    own_shift[l] = (minus && k->map == 0 ? -v[l] : v[l]) * scale[l] + shift[l];
                }
            }
            scale = own_scale, shift = own_shift;
        }
        const float *r = e->residual ? (const float *)s->in[s->node->n_in].data + at : NULL;
        s->kernels->affine_blocked(k->pixels, (const float *)s->in[k->map].data + at, scale, shift,
                                   r, &f, (float *)s->out[0].data + at);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    const packed *k = s->packed;
    size_t n = k->planes * k->pixels * s->kernels->vl;
    if (k->form == ALIKE)
        pare_team_for(pare_rows_items(n), pare_rows_threads(n, threads), alike, (void *)s);
    else
        pare_team_for((k->planes + k->each - 1) / k->each, pare_rows_threads(n, threads), item,
                      (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_broadcast_blocked = {
    .name = "broadcast_blocked",
    .op = "Add|Sub|Mul|Div|Max|Min|Sum",
    .packs = true,
    .first_constant = true,
    .fuses = true,
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .prepare = prepare,
    .release = release,
    .run = run,
};
