/* Every pass, in the order in which they run, and the loop that runs them. */
#include "passes/pass.h"

#include <string.h>

#define PASSES(X)      \
    X(drop_identities) \
    X(find_layer_norm) \
    X(find_gelu)       \
    X(find_products)   \
    X(fold_affine)     \
    X(dead_code)

#define DECLARE(name) extern const pare_pass pare_pass_##name;
PASSES(DECLARE)
#define ENTRY(name) &pare_pass_##name,
const pare_pass *const pare_passes[] = { PASSES(ENTRY) NULL };

const pare_pass *pare_pass_find(const char *name)
{
    for (const pare_pass *const *p = pare_passes; *p; p++)
        if (strcmp((*p)->name, name) == 0) return *p;
    return NULL;
}

pare_status pare_passes_run(pare_graph *g)
{
    enum { ROUNDS = 10 };
    bool changed = true;
    for (int round = 0; round < ROUNDS && changed; round++) {
        changed = false;
        PARE_TRY(pare_infer(g, true)); /* folds constants */
        for (const pare_pass *const *p = pare_passes; *p; p++)
            PARE_TRY(pare_note((*p)->run(g, &changed), "pass %s", (*p)->name));
        PARE_TRY(pare_graph_sort(g)); /* drops removed nodes */
    }
    return pare_infer(g, false);
}
