/* What PENNI does to single layers: take apart, renormalise, prune, pack. The order of things is in
 * penni.c.
 */
#ifndef METHODS_PENNI_PARTS_H
#define METHODS_PENNI_PARTS_H

#include "methods/method.h"
#include "methods/prune.h"

enum { PARE_PENNI_SVD, PARE_PENNI_RANDOM };

/* Is it a convolution whose kernels may share a basis: one group, a constant float32 weight that
 * only such read? */
bool pare_penni_fits(const pare_graph *g, const pare_node *n);

/* Stores the weight of `node` with the codec penni: every coefficient kept, `basis` unit-norm basis
 * kernels (at most as many as the kernel has positions), the best ones (singular vectors, not
 * centred) or random ones. */
pare_status pare_penni_decompose(pare_graph *g, pare_id node, int64_t basis, int init,
                                 uint64_t seed);

/* Is a weight stored with penni already, as in a network that is compressed further? */
bool pare_penni_any(const pare_graph *g);

/* Every basis kernel to unit norm, its scale into the coefficients; in place. */
pare_status pare_penni_renormalise(pare_graph *g);

/* Drops small coefficients. `rule(user, node)` says by which rule. Reports the share that is left
 * over all layers. */
pare_status pare_penni_prune(pare_graph *g, bool global,
                             pare_status (*rule)(void *user, const pare_node *n,
                                                 pare_prune_rule *out),
                             void *user, double *density);

/* Forgets basis kernels that no coefficient uses and coefficients that are 0, then stores each
 * layer in the smaller form, penni or dense. */
pare_status pare_penni_pack(pare_graph *g);

#endif
