/* Which nodes behind an operator become part of its step: scale and shift, one residual addition,
 * one activation. */
#ifndef RUNTIME_FUSE_H
#define RUNTIME_FUSE_H

#include "runtime/impl.h"

enum { PARE_CHAIN_MOST = 16 };

typedef struct pare_chain {
    pare_id node[PARE_CHAIN_MOST]; /* the operator itself, then what follows it */
    int n;
    pare_id out;      /* value that the last node gives */
    pare_id residual; /* PARE_NONE: none */
    pare_epilogue epilogue;
    float *scale, *shift; /* memory of the epilogue's arrays, to free() */
} pare_chain;

/* Follows node `anchor` as long as the value in between has one reader and is no graph output.
 * `taken` marks nodes that are part of another step already. Types must be inferred. */
pare_status pare_chain_from(const pare_graph *g, const pare_uses *uses, pare_id anchor,
                            const bool *taken, pare_chain *out);
/* The operator alone. */
void pare_chain_alone(const pare_graph *g, pare_id anchor, pare_chain *out);
void pare_chain_free(pare_chain *c);

#endif
