/* Concat of bytes along the channels, blocked, where every input but the last fills its blocks. */
#include "base/team.h"
#include "ops/attr.h"
#include "runtime/impls/cut.h"
#include "runtime/impls/int8_common.h"

static bool accepts(const pare_prepare *p)
{
    int64_t axis = pare_attr_int(p->node, "axis", 0);
    if (p->out->rank != 4 || !pare_int8_is_byte(p->out->dtype) || (axis != 1 && axis != -3))
        return false;
    for (uint32_t i = 0; i < p->node->n_in; i++) {
        if (p->weight[i]) return false; /* lies plain */
        if (i + 1 < p->node->n_in && p->in[i].dim[1] % (int64_t)p->kernels->vl != 0) return false;
    }
    return true;
}

static double model_ns(const pare_prepare *p)
{
    return 200 + 0.07 * (double)pare_numel(4, p->out->dim);
}

static size_t image_bytes(const pare_tensor *t, size_t vl)
{
    return (size_t)pare_blocks(t->dim[1], vl) * vl * (size_t)(t->dim[2] * t->dim[3]);
}

static void item(void *user, size_t index, int thread)
{
    const pare_step *s = user;
    size_t vl = s->kernels->vl, inputs = s->node->n_in, image = index / inputs, at = 0;
    for (size_t i = 0; i < index % inputs; i++) at += image_bytes(&s->in[i], vl);
    const pare_tensor *x = &s->in[index % inputs];
    size_t bytes = image_bytes(x, vl);
    memcpy((char *)s->out[0].data + image * image_bytes(&s->out[0], vl) + at,
           (const char *)x->data + image * bytes, bytes);
}

static pare_status run(const pare_step *s, int threads)
{
    enum { SERIAL_BYTES = 256 << 10 };
    pare_team_for((size_t)s->out[0].dim[0] * s->node->n_in,
                  pare_tensor_count(&s->out[0]) < SERIAL_BYTES ? 1 : threads, item, (void *)s);
    return PARE_OK;
}

const pare_impl pare_impl_bytes_concat = {
    .name = "bytes_concat",
    .op = "Concat",
    .takes = PARE_BLOCKED,
    .gives = PARE_BLOCKED,
    .accepts = accepts,
    .model_ns = model_ns,
    .run = run,
};
