/* Inside a plan. `pare_core` is what clones share and nobody changes after planning; a pare_plan
 * adds the memory to run. */
#ifndef RUNTIME_CORE_H
#define RUNTIME_CORE_H

#include "pare/plan.h"
#include "runtime/fuse.h"
#include "runtime/offers.h"
#include "runtime/offsets.h"
#include "runtime/tuned.h"

#include <stdatomic.h>

/* Where a value lies while running. */
typedef enum pare_place_kind {
    PARE_PLACE_NONE,
    PARE_PLACE_BLOCK,  /* at: offset into the plan's block */
    PARE_PLACE_CONST,  /* at: value whose constant it is */
    PARE_PLACE_INPUT,  /* at: index of the caller's input tensor */
    PARE_PLACE_OUTPUT, /* at: index of the caller's output tensor */
} pare_place_kind;
typedef struct pare_place {
    pare_place_kind kind;
    size_t at;
} pare_place;

/* An implementation that accepts a step. */
typedef struct pare_offer {
    const pare_impl *impl; /* NULL: none */
    bool composed;         /* a dense implementation on an encoded weight */
    double ns;             /* modelled or measured */
} pare_offer;

/* Times are modelled for so many threads, whatever the plan's number: implementations round
 * differently, so the choice must not depend on it. */
enum { PARE_MODEL_THREADS = 2 };

/* Offers are kept for each pair of layouts: takes, gives. */
enum { PARE_LAYOUT_PAIRS = 4 };
static inline int pare_layout_pair(const pare_impl *impl)
{
    return 2 * (int)impl->takes + (int)impl->gives;
}

/* One step as planned. */
typedef struct pare_work {
    const pare_node *node; /* the operator; what follows it is in `chain` */
    pare_offer offer[PARE_LAYOUT_PAIRS], next[PARE_LAYOUT_PAIRS]; /* best and second of each pair */
    int chosen, offers; /* index into offer; how many implementations accept */
    bool forced;
    const pare_impl *impl;
    pare_chain chain;
    void *packed;
    size_t packed_bytes, scratch_bytes;
    bool composed;
    const char *codec;
    double macs;
    char why[120];
} pare_work;

/* The node of a reorder step: no graph has it. Its only input and output is one value. */
typedef struct pare_reorder {
    pare_node node;
    pare_id value;
} pare_reorder;

typedef struct pare_core {
    atomic_int shares;
    pare_graph *graph; /* the plan's own, after the passes */
    pare_kernels kernels;
    int threads;
    bool profile, no_winograd;
    pare_precision precision;
    pare_choice choice;
    pare_tuned *tuned;       /* of this machine; NULL: none */
    pare_offer_fn *on_offer; /* told of every offer, when that is what the plan is made for */
    void *on_offer_user;
    pare_work *work;
    size_t n_work;
    pare_bounds *range;    /* per value */
    pare_id *root;         /* per value: the value whose memory it is (views) */
    pare_place *place;     /* per value and layout: [v] plain, [n_values + v] blocked */
    pare_reorder *reorder; /* as many as there are reorder steps, and more */
    pare_tensor
        *decoded; /* per value: dense form of an encoded constant that is read while running */
    size_t block_bytes, scratch_bytes, weight_bytes;
} pare_core;

/* What an implementation is asked about a step: p, and the memory that p.in, p.out and p.weight
 * point to. */
typedef struct pare_question {
    pare_prepare p;
    pare_type in[PARE_MAX_IN + 1], out[PARE_MAX_OUT];
    const pare_weight *weight[PARE_MAX_IN + 1];
    pare_weight dense[PARE_MAX_IN + 1]; /* stand-ins for encoded weights; borrowed tensors */
    const char *codec;                  /* of the first encoded weight; NULL: all dense */
} pare_question;

/* choose.c: asks for offers for the chain w->chain, or for its first node alone if nothing runs the
 * whole chain (w->chain is then cut). */
pare_status pare_ask(const pare_core *c, const char *force, pare_work *w);
/* Takes the offer w->chosen: sets w->impl and says why. */
void pare_take(const pare_core *c, pare_work *w);
/* Packs the weights, those in a file too, of a step whose offer was taken. May run beside other
 * steps' packing. */
pare_status pare_prepare_step(const pare_core *c, pare_work *w);
/* Does `force` name only things that exist? */
pare_status pare_force_check(const pare_graph *g, const char *force);
/* May `impl` run this layer? *forced tells whether a rule said anything. A rule that names the
 * layer beats general ones. */
bool pare_force_allows(const char *force, const pare_node *n, const pare_impl *impl, bool *forced);
/* Does a rule of `force` name this layer? Then it must be a step of its own. */
bool pare_force_names(const char *force, const char *layer);
/* Is "reference" one of its rules for all layers? Then the graph is run as it is written, quantised
 * patterns in float32. */
bool pare_force_reference(const char *force);
/* Is there an implementation of this operator that takes an epilogue? */
bool pare_fuses_any(const char *op);

/* pack.c: prepares all steps and frees constants as soon as nobody reads them any more. */
pare_status pare_pack_all(pare_core *c);

/* Index into c->place of value v in a layout. Views share the plain memory of their root; a blocked
 * copy is of one value. */
static inline size_t pare_slot(const pare_core *c, pare_id v, pare_layout layout)
{
    return layout == PARE_BLOCKED ? (size_t)c->graph->n_values + v : c->root[v];
}

/* memory.c: places of all values, size of the block. */
pare_status pare_place_all(pare_core *c);
/* Is this node's output its input's memory (decided before steps are made)? Fills c->root. */
pare_status pare_roots(pare_core *c, const char *force, bool *is_view);

#endif
