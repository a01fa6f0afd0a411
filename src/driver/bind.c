/* Turning an input of a network into a constant. */
#include "graph/graph.h"
#include "tensor/tensor.h"

#include <string.h>

pare_status pare_model_bind_input(pare_graph *graph, const char *name, const pare_tensor *t)
{
    if (!name && graph->n_inputs != 1)
        return pare_fail(PARE_EINVAL, "the network has %u inputs; say which one", graph->n_inputs);
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        pare_id id = graph->input[i];
        const pare_value *v = &graph->value[id];
        if (name && strcmp(v->name, name) != 0) continue;
        if (v->type.dtype != PARE_UNDEFINED && v->type.dtype != t->dtype)
            return pare_fail(PARE_EINVAL, "input '%s' is %s, the tensor %s", v->name,
                             pare_dtype_name(v->type.dtype), pare_dtype_name(t->dtype));
        if (v->type.rank >= 0 && v->type.rank != t->rank)
            return pare_fail(PARE_EINVAL, "input '%s' has rank %d, the tensor %d", v->name,
                             v->type.rank, t->rank);
        for (int d = 0; d < v->type.rank; d++)
            if (v->type.dim[d] >= 0 && v->type.dim[d] != t->dim[d])
                return pare_fail(PARE_EINVAL, "input '%s': dimension %d is %lld, the tensor's %lld",
                                 v->name, d, (long long)v->type.dim[d], (long long)t->dim[d]);
        return pare_graph_make_constant(graph, id, pare_weight_dense(pare_tensor_ref(t)));
    }
    return pare_fail(PARE_EINVAL, "the network has no input '%s'", name ? name : "");
}
