/* Concat and Split of any element type: whole blocks are copied. */
#include "base/team.h"
#include "ops/attr.h"
#include "runtime/impl.h"

static bool is_concat(const pare_node *n) { return n->op->name[0] == 'C'; }

/* Bytes behind one index of the dimensions before the axis. */
static size_t block_bytes(int rank, const int64_t *dim, pare_dtype dtype, int64_t axis)
{
    if (axis < 0) axis += rank;
    size_t bytes = pare_dtype_size(dtype);
    for (int d = (int)axis; d < rank; d++) bytes *= (size_t)dim[d];
    return bytes;
}

static bool accepts(const pare_prepare *p) { return pare_dtype_size(p->in[0].dtype) > 0; }

static double model_ns(const pare_prepare *p)
{
    const pare_type *t = is_concat(p->node) ? p->out : p->in;
    return 200 + 0.07 * (double)pare_numel(t->rank, t->dim) * (double)pare_dtype_size(t->dtype);
}

typedef struct job {
    bool concat;
    const pare_tensor *whole, *part;
    size_t n_parts;
    int64_t axis;
} job;

static void item(void *user, size_t index, int thread)
{
    const job *j = user;
    char *whole = j->whole->data;
    whole += index * block_bytes(j->whole->rank, j->whole->dim, j->whole->dtype, j->axis);
    for (size_t i = 0; i < j->n_parts; i++) {
        const pare_tensor *t = &j->part[i];
        size_t bytes = block_bytes(t->rank, t->dim, t->dtype, j->axis);
        char *part = (char *)t->data + index * bytes;
        memcpy(j->concat ? whole : part, j->concat ? part : whole, bytes);
        whole += bytes;
    }
}

static pare_status run(const pare_step *s, int threads)
{
    enum { SERIAL_BYTES = 256 << 10 };
    bool concat = is_concat(s->node);
    job j = { .concat = concat,
              .whole = concat ? s->out : s->in,
              .part = concat ? s->in : s->out,
              .n_parts = concat ? s->node->n_in : s->node->n_out,
              .axis = pare_attr_int(s->node, "axis", 0) };
    size_t all = pare_tensor_bytes(j.whole),
           block = block_bytes(j.whole->rank, j.whole->dim, j.whole->dtype, j.axis);
    pare_team_for(all / block, all < SERIAL_BYTES ? 1 : threads, item, &j);
    return PARE_OK;
}

const pare_impl pare_impl_concat_blocks = {
    .name = "concat_blocks",
    .op = "Concat|Split",
    .accepts = accepts,
    .model_ns = model_ns,
    .run = run,
};
