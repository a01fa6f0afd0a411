/* Transpose between N H W C, plain, and N C H W, blocked: groups of as many channels as a vector
 * has are copied as they are. */
#include "base/team.h"
#include "ops/attrs.h"
#include "runtime/impl.h"
#include "runtime/impls/cut.h"

enum { ITEM_BYTES = 64 << 10, SERIAL_BYTES = 192 << 10 };

static bool permutes(const pare_prepare *p, const int *perm)
{
    const pare_transpose_attrs *a = p->node->attrs;
    if (p->in[0].dtype != PARE_F32 || p->in[0].rank != 4 || !a->perm.v) return false;
    for (int d = 0; d < 4; d++)
        if (a->perm.v[d] != perm[d]) return false;
    return true;
}

static bool accepts_from(const pare_prepare *p) { return permutes(p, (int[]){ 0, 2, 3, 1 }); }
static bool accepts_to(const pare_prepare *p) { return permutes(p, (int[]){ 0, 3, 1, 2 }); }

static double model_ns(const pare_prepare *p)
{
    return 300 + 0.12 * (double)pare_numel(p->out->rank, p->out->dim);
}

/* dim: N C H W */
typedef struct job {
    const pare_step *s;
    int64_t channels, vl, blocks, pixels, pixels_each, parts;
} job;

static job job_of(const pare_step *s, const int64_t *dim)
{
    job j = {
        .s = s, .channels = dim[1], .vl = (int64_t)s->kernels->vl, .pixels = dim[2] * dim[3]
    };
    j.blocks = pare_up(j.channels, j.vl);
    int64_t each = ITEM_BYTES / (j.channels * (int64_t)sizeof(float));
    j.pixels_each = each < 1 ? 1 : each;
    j.parts = pare_up(j.pixels, j.pixels_each);
    return j;
}

/* Both begin at a pixel; `plain` also at a block. */
static void copy_pixels(bool blocked, int64_t pixels, int64_t lanes, int64_t vl, float *to,
                        const float *from, int64_t channels)
{
    int64_t to_step = blocked ? vl : channels, from_step = blocked ? channels : vl;
    size_t size = (size_t)lanes * sizeof *to;
    for (int64_t p = 0; p < pixels; p++, to += to_step, from += from_step) {
        if (lanes == 16) /* sizes that the compiler knows are one instruction */
            memcpy(to, from, 16 * sizeof *to);
        else if (lanes == 8)
            memcpy(to, from, 8 * sizeof *to);
        else
            memcpy(to, from, size);
    }
}

static void item(void *user, size_t index, int thread)
{
    const job *j = user;
    bool blocked = j->s->impl->gives == PARE_BLOCKED; /* the output is */
    int64_t image = (int64_t)index / j->parts, first = (int64_t)index % j->parts * j->pixels_each,
            left = j->pixels - first, pixels = left < j->pixels_each ? left : j->pixels_each;
    const float *x = j->s->in[0].data;
    float *y = j->s->out[0].data;
    for (int64_t b = 0; b < j->blocks; b++) {
        int64_t at_blocks = ((image * j->blocks + b) * j->pixels + first) * j->vl,
                at_plain = (image * j->pixels + first) * j->channels + b * j->vl,
                lanes = j->channels - b * j->vl;
        copy_pixels(blocked, pixels, lanes < j->vl ? lanes : j->vl, j->vl,
                    y + (blocked ? at_blocks : at_plain), x + (blocked ? at_plain : at_blocks),
                    j->channels);
    }
}

static pare_status run(const pare_step *s, int threads)
{
    job j = job_of(s, s->impl->gives == PARE_BLOCKED ? s->out[0].dim : s->in[0].dim);
    bool serial = pare_tensor_bytes(&s->out[0]) < SERIAL_BYTES;
    pare_team_for((size_t)(s->in[0].dim[0] * j.parts), serial ? 1 : threads, item, &j);
    return PARE_OK;
}

const pare_impl pare_impl_transpose_from_blocked = {
    .name = "transpose_from_blocked",
    .op = "Transpose",
    .takes = PARE_BLOCKED,
    .accepts = accepts_from,
    .model_ns = model_ns,
    .run = run,
};

const pare_impl pare_impl_transpose_to_blocked = {
    .name = "transpose_to_blocked",
    .op = "Transpose",
    .gives = PARE_BLOCKED,
    .accepts = accepts_to,
    .model_ns = model_ns,
    .run = run,
};
