/* Reverse mode over a graph, group by group of images.
 *
 * The graph is bound to one image and becomes a tape: values (tv), each the numbers of one image,
 * and steps that compute them. A batch is cut into chunks of `chunk` images, whatever the number of
 * threads; chunks are the unit of parallel work and of the order in which sums are made, so results
 * are the same for any number of threads. Within a chunk, groups of images small enough for the
 * cache go through a whole segment of steps before the next group.
 *
 * Segments end where something must be known of the whole batch: statistics of batch normalisation
 * forward, its sums backward. Values that live only inside a segment are kept in a thread's scratch
 * memory; values that backward steps need are stored for the batch, or computed again from stored
 * ones where that is cheap.
 *
 *   forward   segment 0 | segment 1 | ...        conv, stats | normalise, relu, conv, stats | ...
 *   backward  segment 0 | segment 1 | ...        loss, ..., sums | normalise', conv', ..., sums |
 * ... */
#ifndef TRAIN_ENGINE_H
#define TRAIN_ENGINE_H

#include "kernels/train.h"
#include "ops/attr.h"
#include "train/onednn.h"

typedef struct pare_engine pare_engine;
typedef struct tape_op tape_op;

/* A constant that steps read, decoded, and what trains of it. */
typedef struct tparam {
    pare_id id;   /* in the graph that owns it */
    float *value; /* dense, row-major */
    float *grad;  /* likewise; NULL unless `trains` */
    int64_t count;
    int users;    /* steps that add to `grad` */
    float *spare; /* as large as `grad`, for steps that cannot add; NULL when there is one user */
    bool trains, decays;
    bool running; /* statistics of a batch normalisation: changed by training, not by gradients */
    pare_weight weight; /* our own writable copy: float parts are what the optimiser changes; dense:
                           part 0 is value */
} tparam;

/* One float array that the optimiser changes: a dense weight or a part of an encoded one. */
typedef struct tslot {
    int param, part;
    float *w, *g; /* g is the param's gradient when dense, else the codec's output */
    float *m, *v; /* optimiser state; v for AdamW only */
    size_t n;
    bool decays;
} tslot;

/* All parameters of a network, shared by the engines that train and that evaluate it. */
typedef struct tparams {
    const pare_graph *g; /* borrowed */
    tparam **p;
    int n, cap;
    tslot *slot;
    int n_slots;
} tparams;

void tparams_free(tparams *ps);
/* The param for constant `id` (float32), decoded on first use. `bound` gives constants that the
 * network itself computes. */
pare_status tparams_get(tparams *ps, const pare_graph *bound, pare_id id, int *out);
/* Fixes what trains; allocates gradients and optimiser state. Called once, after the training
 * engine was made. */
pare_status tparams_seal(tparams *ps, bool second_moment);
/* Dense values from the slots (encoded weights are decoded). */
pare_status tparams_decode(tparams *ps);
/* Gradients of encoded weights' parts from the dense ones. */
pare_status tparams_encode_grads(tparams *ps);
/* Parameters and running statistics into `g` / back from it. */
pare_status tparams_write(const tparams *ps, pare_graph *g);
pare_status tparams_read(tparams *ps, const pare_graph *g);

/* A value of the tape: one image's numbers, as blocks [blocks][hw][lanes] (see kernels/train.h);
 * lanes 1 is row-major. */
typedef struct tv {
    pare_id id;
    size_t c, blocks, hw, lanes, size; /* size: floats, padding lanes included */
    int producer;                      /* step; -1: the network's input */
    bool needs_grad;
} tv;

enum { TAPE_MAX_IN = PARE_MAX_IN, TAPE_MAX_PARAMS = 4 };

typedef struct tstep {
    const tape_op *op;
    const pare_node *node; /* for messages; NULL: inserted by the builder */
    int n_in, *in, out;
    int param[TAPE_MAX_PARAMS]; /* -1: none */
    bool trains;                /* has a param with a gradient */
    void *state;                /* private to the op; in the engine's arena */
    size_t partial;             /* floats of gradient that a chunk sums up */
    float *partials;            /* [chunks][partial], valid from backward to finish */
    uint64_t salt;              /* of random numbers */
} tstep;

/* What an op's functions see. Pointers are to the group's first image; images follow each other. */
typedef struct tcall {
    pare_engine *e;
    tstep *s;
    size_t n, first; /* images of the group; the first one's index in the batch */
    int chunk, thread;
    const float *x[TAPE_MAX_IN];
    float *y; /* forward: written; backward: the value, if the op needs it */
    const float *dy;
    float *dx[TAPE_MAX_IN]; /* overwritten; NULL where no gradient is wanted */
    float *partial;         /* this chunk's sums, zero before its first group */
    void *scratch;
} tcall;

struct tape_op {
    const char *name;
    bool cheap;            /* computed again for backward instead of stored */
    bool needs_x, needs_y; /* backward reads the inputs / the output */
    bool pass; /* backward is dx[i] = dy for all inputs: no function, gradients may share memory */
    bool in_place; /* backward may have dx[0] == dy */
    bool norm;     /* has stats and reduce: needs the whole batch when training */
    /* After planning: groups of the forward and the backward segment (0: no backward). Asks for
     * scratch. */
    pare_status (*prepare)(pare_engine *e, tstep *s, size_t group, size_t back_group,
                           size_t *scratch_bytes);
    void (*begin)(pare_engine *e, tstep *s, int thread); /* after the parameters changed */
    void (*forward)(const tcall *c);
    void (*backward)(const tcall *c);
    void (*stats)(const tcall *c);
    void (*stats_end)(pare_engine *e, tstep *s);
    void (*reduce)(const tcall *c);
    void (*reduce_end)(pare_engine *e, tstep *s);
    void (*finish)(pare_engine *e,
                   tstep *s); /* partials of all chunks into the params' gradients */
    void (*release)(tstep *s);
};

typedef struct tsegment {
    struct titem *item;
    int n, cap;
    size_t group;   /* images that go through together */
    size_t partial; /* floats a chunk */
} tsegment;

typedef struct tblock tblock;
struct pare_engine {
    pare_arena *arena;
    pare_graph *bound; /* the graph for one image */
    tparams *params;   /* borrowed */
    const pare_train_kernels *k;
    pare_dnn *dnn;
    bool training;
    int threads;
    bool bf16;
    size_t batch, chunk, chunks;
    tv *value;
    int n_values, cap_values;
    tstep *step;
    int n_steps, cap_steps;
    int input, logits; /* values */
    int logits_block, dlogits_block;
    pare_type input_type; /* of one image */
    size_t classes;
    tsegment *forward, *backward;
    int n_forward, n_backward;
    tblock *block; /* pieces of memory; private to plan.c */
    int n_blocks, cap_blocks;
    float *storage, **scratch; /* stored values; each thread's memory */
    size_t storage_floats, local_floats, partial_floats, op_scratch;
    float *partials;
    /* Of the step that runs: */
    const float *x;           /* [batch] images */
    size_t count;             /* of them in use */
    uint64_t seed, iteration; /* key of random numbers */
};

/* bf16: convolutions multiply in bfloat16 where oneDNN has fast code for it.
 * `batch` images a step; training: gradients for the params that ops declare trainable. `g` and
 * `ps` are borrowed and must outlive the engine. PARE_EUNSUPPORTED names a node without a gradient.
 */
pare_status pare_engine_new(const pare_graph *g, tparams *ps, bool training, size_t batch,
                            int threads, bool bf16, pare_engine **out);
void pare_engine_free(pare_engine *e);
/* Tells the ops that parameters changed (packs weights). */
void pare_engine_begin(pare_engine *e);
/* Runs forward over `count` <= batch images. Training needs count == batch. */
void pare_engine_forward(pare_engine *e, const float *x, size_t count);
/* [batch][classes], valid after forward until the next run. */
const float *pare_engine_logits(const pare_engine *e);
/* Gradients of all trained params, from those of the logits (`dlogits`, [batch][classes]). */
void pare_engine_backward(pare_engine *e, const float *dlogits);

/* --- for building tapes (tape.c, ops_*.c) --- */
typedef struct tbuilder {
    pare_engine *e;
    const pare_graph *g;  /* the bound clone */
    int *plain, *blocked; /* the value's tv in either layout by graph id; -1: none yet */
} tbuilder;
typedef struct tape_front {
    const char *op;
    pare_status (*build)(tbuilder *b, const pare_node *n);
} tape_front;
extern const tape_front pare_tape_fronts[]; /* ended by op NULL */

enum { TAPE_ANY, TAPE_PLAIN, TAPE_BLOCKED };
/* The tv of graph value `id` in the layout asked for, inserting what converts it. Constants become
 * leaf steps. */
pare_status tape_want(tbuilder *b, pare_id id, int layout, int *out);
/* A new tv for graph value `id` (its type as bound); lanes 1 or the kernels'. Registers it for
 * `id`. */
pare_status tape_value(tbuilder *b, pare_id id, size_t lanes, int *out);
/* Lanes that suit a value: the kernels' for maps [1,C,spatial] of at least 4 channels, else 1. */
size_t tape_lanes(const tbuilder *b, pare_id id);
/* The dimensions of `id` in the layout of its tv `v`: channels are those of the type when plain. */
pare_map_dims tape_dims(const tbuilder *b, pare_id id, int v);
/* Sets the padding lanes of `n` images of `v` to 0: after functions that may make them infinite or
 * NaN, which a convolution would carry on through its zero weights. */
void tape_clear_padding(const tv *v, size_t n, float *x);
/* Appends a step; `in` are tvs. State of `state_size` zeroed bytes. */
pare_status tape_step(tbuilder *b, const tape_op *op, const pare_node *n, int n_in, const int *in,
                      int out, size_t state_size, tstep **s);
/* The step's param `slot` becomes constant `id`; trains if the engine trains and the constant may.
 */
pare_status tape_param(tbuilder *b, tstep *s, int slot, pare_id id, bool trains, bool decays);
/* Lets the constant `id`, used as a value, train (the bias after a product). */
pare_status tape_train_leaf(tbuilder *b, pare_id id);
/* Offset of element `i` (row-major, of one image) in a tv. */
size_t tape_offset(const tv *v, size_t i);
pare_status tape_unsupported(const pare_node *n, const char *why);
/* Is input `slot` a constant of the bound graph? */
static inline bool tape_const(const tbuilder *b, const pare_node *n, uint32_t slot)
{
    return slot < n->n_in && n->in[slot] != PARE_NONE && b->g->value[n->in[slot]].weight;
}
static inline bool tape_absent(const pare_node *n, uint32_t slot)
{
    return slot >= n->n_in || n->in[slot] == PARE_NONE;
}
/* Zeroed, in the engine's arena; NULL if memory ran out. */
void *tape_alloc(pare_engine *e, size_t count, size_t size);

pare_status pare_engine_plan(pare_engine *e); /* plan.c */
/* The sum of all chunks' partials of `s`, in order; valid until finish returns. */
const float *pare_engine_sum(pare_engine *e, const tstep *s);
static inline pare_map_dims tv_dims(const tv *v, size_t n)
{
    return (pare_map_dims){ n, v->blocks, v->hw, v->lanes };
}

#endif
