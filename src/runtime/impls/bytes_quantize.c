/* QuantizeLinear from float32 and DequantizeLinear to float32, 8-bit integers with one scale for
 * the whole tensor; in either layout, since every number is turned by itself. */
#include "runtime/impls/int8_common.h"
#include "runtime/impls/rows_common.h"

#include <math.h>

static bool to_bytes(const pare_prepare *p) { return p->node->op->name[0] == 'Q'; }

static bool accepts(const pare_prepare *p)
{
    const pare_tensor *scale = pare_int8_constant(p, 1);
    pare_dtype from = p->in[0].dtype, to = p->out[0].dtype;
    if (!scale || scale->dtype != PARE_F32 || pare_tensor_count(scale) != 1) return false;
    bool zero = p->node->n_in > 2 && p->in[2].dtype != PARE_UNDEFINED;
    if (zero && !pare_int8_constant(p, 2)) return false;
    return to_bytes(p) ? from == PARE_F32 && pare_int8_is_byte(to)
                       : to == PARE_F32 && pare_int8_is_byte(from);
}

static bool accepts_blocked(const pare_prepare *p) { return p->in[0].rank == 4 && accepts(p); }

static double cycles(const pare_prepare *p) { return to_bytes(p) ? 1 : 0.3; }
static double model_ns(const pare_prepare *p)
{
    return pare_rows_output_ns(p, PARE_PLAIN, 5, cycles(p));
}
static double model_blocked_ns(const pare_prepare *p)
{
    return pare_rows_output_ns(p, PARE_BLOCKED, 5, cycles(p));
}

typedef struct job {
    const pare_step *s;
    size_t n;
    float scale, lo, hi;
    int32_t zero;
    bool quantize, is_signed;
} job;

static void item(void *user, size_t index, int thread)
{
    const job *j = user;
    size_t n = pare_rows_of(j->n, index), at = index * PARE_ROWS_ITEM;
    const pare_kernels *k = j->s->kernels;
    if (j->quantize)
        k->quantize(n, (const float *)j->s->in[0].data + at, j->scale, j->lo, j->hi, j->zero,
                    (uint8_t *)j->s->out[0].data + at);
    else
        k->dequantize(n, (const uint8_t *)j->s->in[0].data + at, j->is_signed, j->zero, j->scale,
                      (float *)j->s->out[0].data + at);
}

static pare_status run(const pare_step *s, int threads)
{
    job j = { .s = s,
              .n = pare_rows_numbers(s->out[0].rank, s->out[0].dim, s->impl->takes, s->kernels->vl),
              .scale = *(const float *)s->in[1].data,
              .quantize = s->node->op->name[0] == 'Q' };
    pare_dtype bytes = j.quantize ? s->out[0].dtype : s->in[0].dtype;
    if (s->node->n_in > 2 && s->in[2].data) j.zero = (int32_t)pare_tensor_get_f64(&s->in[2], 0);
    j.is_signed = bytes == PARE_I8;
    pare_int8_limits(bytes, &s->epilogue, j.zero, &j.lo, &j.hi);
    pare_team_for(pare_rows_items(j.n), pare_rows_threads(j.n, threads), item, &j);
    return PARE_OK;
}

const pare_impl pare_impl_bytes_quantize = {
    .name = "bytes_quantize",
    .op = "QuantizeLinear",
    .fuses = true, /* a Clip only */
    .accepts = accepts,
    .model_ns = model_ns,
    .run = run,
};
const pare_impl pare_impl_bytes_quantize_blocked = {
    .name = "bytes_quantize_blocked",
    .op = "QuantizeLinear",
    .fuses = true, /* a Clip only */
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts_blocked,
    .model_ns = model_blocked_ns,
    .run = run,
};
const pare_impl pare_impl_bytes_to_reals = {
    .name = "bytes_to_reals",
    .op = "DequantizeLinear",
    .accepts = accepts,
    .model_ns = model_ns,
    .run = run,
};
const pare_impl pare_impl_bytes_to_reals_blocked = {
    .name = "bytes_to_reals_blocked",
    .op = "DequantizeLinear",
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts_blocked,
    .model_ns = model_blocked_ns,
    .run = run,
};
