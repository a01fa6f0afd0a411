/* QLinearGlobalAveragePool of a blocked input: sums of a block's lanes side by side. */
#include "ops/qlinear.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/int8_common.h"
#include "runtime/impls/rows_common.h"

static bool accepts(const pare_prepare *p)
{
    for (uint32_t i = 1; i < 5; i++)
        if (!pare_int8_constant(p, i)) return false;
    /* Sums of bytes less their zero point have 32 bits. */
    return p->in[0].rank == 4 && p->in[0].dim[2] * p->in[0].dim[3] < 1 << 22;
}

static double model_ns(const pare_prepare *p)
{
    double n = (double)pare_numel(4, p->in[0].dim);
    return pare_rows_ns(n, n, 0.2, p->threads);
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    enum { MOST_LANES = 64 };
    int32_t sum[MOST_LANES] = { 0 };
    const pare_tensor *x = &s->in[0];
    size_t vl = s->kernels->vl, pixels = (size_t)(x->dim[2] * x->dim[3]);
    s->kernels->int8_sum(pixels, (const uint8_t *)x->data + index * pixels * vl,
                         pare_int8_flip(x->dtype), sum);
    int32_t x_zero = (int32_t)pare_tensor_get_f64(&s->in[2], 0),
            zero = (int32_t)pare_tensor_get_f64(&s->in[4], 0);
    float lo, hi,
        factor = pare_qlinear_mean_factor(pare_tensor_get_f64(&s->in[1], 0),
                                          pare_tensor_get_f64(&s->in[3], 0), (int64_t)pixels);
    float mean[MOST_LANES];
    pare_int8_bounds(s->out[0].dtype, zero, &lo, &hi);
    for (size_t l = 0; l < vl; l++) mean[l] = (float)(sum[l] - (int32_t)pixels * x_zero) * factor;
    s->kernels->quantize(vl, mean, 1, lo, hi, zero, (uint8_t *)s->out[0].data + index * vl);
}

static pare_status run(const pare_step *s, int threads)
{
    size_t vl = s->kernels->vl, n = pare_rows_numbers(4, s->in[0].dim, PARE_BLOCKED, vl);
    size_t blocks = (size_t)(s->in[0].dim[0] * pare_blocks(s->in[0].dim[1], vl));
    pare_team_for(blocks, pare_rows_threads(n, threads), item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_bytes_mean = {
    .name = "bytes_mean",
    .op = "QLinearGlobalAveragePool",
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .run = run,
};
