/* Reading one attribute of a node by name, or an input that is one, for code outside the operator's
 * own file (passes, fusion, packing).
 *
 * The operator's field table says where the member lies, so nobody needs its private struct. */
#ifndef OPS_ATTR_H
#define OPS_ATTR_H

#include "ops/op.h"

#include <string.h>

/* The member, or NULL if the operator has no attribute of that name and kind. */
static inline const void *pare_attr(const pare_node *n, const char *name, pare_field_kind kind)
{
    const pare_field *f = n->op->attrs ? pare_field_find(n->op->attrs, name, strlen(name)) : NULL;
    return f && f->kind == kind && n->attrs ? pare_field_get(f, n->attrs) : NULL;
}
static inline int64_t pare_attr_int(const pare_node *n, const char *name, int64_t otherwise)
{
    const int64_t *v = pare_attr(n, name, PARE_FIELD_INT);
    if (v) return *v == PARE_INT_UNSET ? otherwise : *v;
    const bool *b = pare_attr(n, name, PARE_FIELD_BOOL);
    return b ? *b : otherwise;
}
static inline double pare_attr_real(const pare_node *n, const char *name, double otherwise)
{
    const double *v = pare_attr(n, name, PARE_FIELD_REAL);
    return v ? *v : otherwise;
}

/* The one float32 number that input `slot` is; `otherwise` where the input is absent. false: known
 * only when running, or no such number. */
static inline bool pare_input_real(const pare_graph *g, const pare_node *n, uint32_t slot,
                                   float otherwise, float *out)
{
    *out = otherwise;
    if (slot >= n->n_in || n->in[slot] == PARE_NONE) return true;
    const pare_weight *w = pare_node_weight(g, n, slot);
    if (!w || w->codec || w->part[0].dtype != PARE_F32 || pare_tensor_count(&w->part[0]) != 1)
        return false;
    *out = *(const float *)w->part[0].data;
    return true;
}

#endif
