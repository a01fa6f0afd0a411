#include "passes/affine.h"

#include "ops/attr.h"

#include <math.h>

static const pare_tensor *dense_f32(const pare_graph *g, const pare_node *n, uint32_t slot)
{
    const pare_weight *w = pare_node_weight(g, n, slot);
    return w && !w->codec && w->part[0].dtype == PARE_F32 ? &w->part[0] : NULL;
}

static bool is_batch_norm(const pare_graph *g, const pare_node *n, pare_id v)
{
    if (n->n_in != 5 || n->in[0] != v || pare_attr_int(n, "training_mode", 0) != 0) return false;
    for (uint32_t i = 1; i < n->n_out; i++)
        if (n->out[i] != PARE_NONE) return false;
    for (uint32_t i = 1; i < 5; i++) {
        const pare_tensor *t = dense_f32(g, n, i);
        if (!t || pare_tensor_count(t) != g->value[v].type.dim[1]) return false;
    }
    return true;
}

/* The slot of the constant in a two-operand node whose other operand is v; -1 if it is not one
 * number for each index of dimension `axis`. */
static int constant_slot(const pare_graph *g, const pare_node *n, pare_id v, int axis)
{
    if (n->n_in != 2) return -1;
    int slot = n->in[0] == v ? 1 : 0;
    if (n->in[1 - slot] != v || n->in[slot] == v) return -1;
    const pare_tensor *t = dense_f32(g, n, (uint32_t)slot);
    const pare_type *x = &g->value[v].type;
    if (!t || t->rank > x->rank) return -1;
    if (pare_tensor_count(t) == 1) return slot;
    /* Broadcasting aligns the last dimensions: all must be 1 but that one. */
    for (int d = 0; d < t->rank; d++)
        if (t->dim[d] != (d + x->rank - t->rank == axis ? x->dim[axis] : 1)) return -1;
    return slot;
}

bool pare_affine_is(const pare_graph *g, const pare_node *n, pare_id v, int axis)
{
    const pare_type *x = &g->value[v].type;
    if (x->dtype != PARE_F32 || x->rank < 2 || x->dim[axis] < 1) return false;
    const char *op = n->op->name;
    if (strcmp(op, "BatchNormalization") == 0) return axis == 1 && is_batch_norm(g, n, v);
    if (strcmp(op, "Mul") == 0 || strcmp(op, "Add") == 0 || strcmp(op, "Sub") == 0)
        return constant_slot(g, n, v, axis) >= 0;
    return strcmp(op, "Div") == 0 && constant_slot(g, n, v, axis) == 1;
}

void pare_affine_get(const pare_graph *g, const pare_node *n, pare_id v, int axis, double *scale,
                     double *shift)
{
    int64_t channels = g->value[v].type.dim[axis];
    const char *op = n->op->name;
    if (strcmp(op, "BatchNormalization") == 0) {
        double epsilon = pare_attr_real(n, "epsilon", 1e-5);
        const float *p[5] = { NULL };
        for (uint32_t i = 1; i < 5; i++) p[i] = dense_f32(g, n, i)->data;
        for (int64_t c = 0; c < channels; c++) {
            scale[c] = (double)p[1][c] / sqrt((double)p[4][c] + epsilon);
            shift[c] = (double)p[2][c] - (double)p[3][c] * scale[c];
        }
        return;
    }
    int slot = constant_slot(g, n, v, axis);
    const pare_tensor *t = dense_f32(g, n, (uint32_t)slot);
    int64_t step = pare_tensor_count(t) == 1 ? 0 : 1;
    for (int64_t c = 0; c < channels; c++) {
        double k = (double)((const float *)t->data)[c * step];
        scale[c] = 1, shift[c] = 0;
        if (op[0] == 'M')
            scale[c] = k;
        else if (op[0] == 'D')
            scale[c] = 1 / k;
        else if (op[0] == 'A')
            shift[c] = k;
        else if (slot == 1)
            shift[c] = -k;
        else
            scale[c] = -1, shift[c] = k; /* k - x */
    }
}
