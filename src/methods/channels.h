/* Which channels of which values can go without changing what a network computes.
 *
 * Every channel (axis 1) of every activation is a *cell*. Operators that pass channels through tie
 * cells: a class of tied cells stays or goes as a whole, so residual joins, concatenations and
 * padded shortcuts need no special case. Two facts flow over the cells until nothing changes:
 *
 *   forward   `known`: the channel holds the same number `at` everywhere, for any input (a filter
 * of zeros gives its bias, which batch-norm and activations map to another number) backward `live`:
 * something needs the channel. A convolution needs an input channel if one of its live filters has
 * a tap on it that is not 0, unless the channel is known and its part can move into the bias:
 * exactly so where the number is 0 or the convolution does not pad with zeros
 *
 * What is not live goes. Operators without a rule (channel_rules.c) keep all channels of what they
 * touch. */
#ifndef METHODS_CHANNELS_H
#define METHODS_CHANNELS_H

#include "graph/graph.h"
#include "ops/op.h"

/* A node that mixes channels: out[n] = bias[n] + sum over c of w[n][c] * in[c]. */
typedef struct pare_mix {
    pare_tensor w; /* decoded; element (n, c, tap) at n * step_n + c * step_c + tap */
    int64_t n, c, taps, step_n, step_c;
    double alpha;      /* factor of the sum */
    const float *bias; /* n numbers or NULL */
    bool pads;         /* zeros are read beyond the border */
    bool no_bias;      /* there is no place for a constant */
} pare_mix;

typedef struct pare_channels {
    const pare_graph *g; /* every shape known; borrowed */
    bool exact;     /* false: the padding's zeros are neglected when moving a channel into a bias */
    pare_id *first; /* per value: its first cell; PARE_NONE: the value has none */
    pare_id *parent;    /* per cell: union-find */
    bool *live, *known; /* per cell (live: of a class's root) */
    float *at;
    pare_id n_cells;
    struct pare_channel_rule const **rule; /* per node; NULL: keeps everything */
    pare_mix **mix;                        /* per node; NULL unless it mixes */
} pare_channels;

/* What an operator does to channels. */
typedef struct pare_channel_rule {
    const char *op;
    /* Ties cells, or fills *mix for a node that mixes. false: this node keeps everything. */
    pare_status (*tie)(pare_channels *ch, pare_id node, bool *ok);
    /* Sets `known` and `at` of the outputs from the inputs'. */
    pare_status (*forward)(pare_channels *ch, pare_id node);
    /* Cuts the parameters of the node in `g`, whose ids are those of ch->g. NULL: there are none.
     */
    pare_status (*cut)(const pare_channels *ch, pare_graph *g, pare_id node);
} pare_channel_rule;

const pare_channel_rule *pare_channel_rule_find(const pare_node *n);

/* `g` must have passed pare_infer; it is borrowed until pare_channels_free. */
pare_status pare_channels_find(const pare_graph *g, bool exact, pare_channels *out);
void pare_channels_free(pare_channels *ch);

static inline bool pare_has_cells(const pare_channels *ch, pare_id v)
{
    return v != PARE_NONE && ch->first[v] != PARE_NONE;
}
static inline int64_t pare_cells_of(const pare_channels *ch, pare_id v)
{
    return ch->g->value[v].type.dim[1];
}
void pare_channels_tie(pare_channels *ch, pare_id v, int64_t c, pare_id v2, int64_t c2);
bool pare_channel_live(const pare_channels *ch, pare_id v, int64_t c);
int64_t pare_channels_live(const pare_channels *ch, pare_id v); /* how many of a value's are live */
/* Can this mixing node do without input channel `c`, whatever its taps? */
bool pare_mix_absorbs(const pare_channels *ch, pare_id node, int64_t c);
bool pare_mix_reads(const pare_mix *m, int64_t n, int64_t c); /* is one of the taps not 0? */
double pare_mix_sum(const pare_mix *m, int64_t n, int64_t c); /* of the taps */

#endif
