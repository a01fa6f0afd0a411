/* QLinearAdd in either layout. */
#include "ops/qlinear.h"
#include "runtime/impls/int8_common.h"
#include "runtime/impls/rows_common.h"

static bool accepts(const pare_prepare *p)
{
    for (uint32_t i = 1; i < 8; i++)
        if (i != 3 && !pare_int8_constant(p, i)) return false;
    return true;
}
/* Constants lie plain. */
static bool accepts_blocked(const pare_prepare *p)
{
    return p->in[0].rank == 4 && !p->weight[3] && accepts(p);
}

static double ns(const pare_prepare *p, double n)
{
    return pare_rows_ns(n, 3 * n, 0.3, p->threads);
}
static double model_ns(const pare_prepare *p)
{
    return ns(p, (double)pare_numel(p->out->rank, p->out->dim));
}
static double model_blocked_ns(const pare_prepare *p)
{
    return ns(p, (double)pare_rows_numbers(4, p->out->dim, PARE_BLOCKED, p->kernels->vl));
}

typedef struct job {
    const pare_step *s;
    size_t n;
    pare_int8_add add;
} job;

static void item(void *user, size_t index, int thread)
{
    const job *j = user;
    size_t n = pare_rows_of(j->n, index), at = index * PARE_ROWS_ITEM;
    const pare_tensor *in = j->s->in;
    j->s->kernels->int8_add(&j->add, n, (const uint8_t *)in[0].data + at,
                            (const uint8_t *)in[3].data + at, (uint8_t *)j->s->out[0].data + at);
}

static double number(const pare_step *s, int slot) { return pare_tensor_get_f64(&s->in[slot], 0); }

static pare_status run(const pare_step *s, int threads)
{
    job j = { .s = s,
              .n = pare_rows_numbers(s->out[0].rank, s->out[0].dim, s->impl->takes, s->kernels->vl),
              .add = { .signed_a = s->in[0].dtype == PARE_I8,
                       .signed_b = s->in[3].dtype == PARE_I8,
                       .zero = (int32_t)number(s, 7) } };
    pare_qlinear_add_factors(number(s, 1), number(s, 2), number(s, 4), number(s, 5), number(s, 6),
                             &j.add.scale_a, &j.add.scale_b, &j.add.shift);
    pare_int8_bounds(s->out[0].dtype, j.add.zero, &j.add.lo, &j.add.hi);
    pare_team_for(pare_rows_items(j.n), pare_rows_threads(j.n, threads), item, &j);
    return PARE_OK;
}

const pare_impl pare_impl_bytes_add = {
    .name = "bytes_add",
    .op = "QLinearAdd",
    .accepts = accepts,
    .model_ns = model_ns,
    .run = run,
};
const pare_impl pare_impl_bytes_add_blocked = {
    .name = "bytes_add_blocked",
    .op = "QLinearAdd",
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts_blocked,
    .model_ns = model_blocked_ns,
    .run = run,
};
