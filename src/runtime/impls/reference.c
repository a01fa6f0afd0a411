/* The last resort: the operator's own eval on decoded weights. Slow, serial, right by definition.
 */
#include "runtime/impl.h"

#include <string.h>

static bool accepts(const pare_prepare *p) { return true; }

static pare_status run(const pare_step *s, int threads)
{
    for (uint32_t i = 0; i < s->node->n_out; i++) /* eval may rely on zeros */
        if (s->out[i].data) memset(s->out[i].data, 0, pare_tensor_bytes(&s->out[i]));
    return s->node->op->eval(s->node, s->in, s->out);
}

const pare_impl pare_impl_reference = {
    .name = "reference",
    .codec = "*",
    .accepts = accepts,
    .run = run,
};
