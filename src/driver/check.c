/* Everything that is wrong with a model file, in one list: the reader tells, this file collects. */
#include "base/files.h"
#include "onnx/onnx.h"

#include <stdlib.h>

enum { MOST = 1000 }; /* beyond that many, one more does not help */

typedef struct list {
    pare_problem *problem;
    size_t count, cap;
} list;

static void free_problem(pare_problem *p)
{
    free((char *)p->node);
    free((char *)p->op);
    free((char *)p->reason);
    free((char *)p->remedy);
}

static pare_status add(void *user, const char *node, const char *op, const char *remedy)
{
    list *l = user;
    if (l->count == MOST) return PARE_OK;
    if (l->count == l->cap) {
        size_t cap = l->cap ? 2 * l->cap : 16;
        pare_problem *p = realloc(l->problem, cap * sizeof *p);
        if (!p) return pare_fail(PARE_ENOMEM, "no memory for %zu problems", cap);
        l->problem = p;
        l->cap = cap;
    }
    pare_problem p = { pare_format("%s", node), pare_format("%s", op),
                       pare_format("%s", pare_error()), pare_format("%s", remedy) };
    if (!p.node || !p.op || !p.reason || !p.remedy) {
        free_problem(&p);
        return pare_fail(PARE_ENOMEM, "no memory for a problem");
    }
    l->problem[l->count++] = p;
    return PARE_OK;
}

pare_status pare_model_check(const char *path, const pare_shape *shapes, size_t n_shapes,
                             pare_problems *out)
{
    list l = { NULL, 0, 0 };
    pare_onnx_sink sink = { add, &l };
    pare_graph *g = NULL;
    pare_status st =
        pare_onnx_read_file(path, false, (pare_onnx_shapes){ shapes, n_shapes }, &sink, &g);
    pare_graph_free(g);
    pare_problems found = { l.count, l.problem };
    if (st != PARE_OK) {
        pare_problems_free(&found);
        return st;
    }
    *out = found;
    return PARE_OK;
}

void pare_problems_free(pare_problems *p)
{
    if (!p) return;
    for (size_t i = 0; i < p->count; i++) free_problem(&p->problem[i]);
    free(p->problem);
    *p = (pare_problems){ 0, NULL };
}
