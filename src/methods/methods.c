/* Every compression method. A new one is a file beside this one and one line here. */
#include "methods/method.h"

#include "pare/compress.h"

#include <string.h>

#define METHODS(X) \
    X(magnitude)   \
    X(penni)

#define DECLARE(name) extern const pare_method pare_method_##name;
METHODS(DECLARE)
#define ENTRY(name) &pare_method_##name,
const pare_method *const pare_methods[] = { METHODS(ENTRY) NULL };

const pare_method *pare_method_find(const char *name)
{
    for (const pare_method *const *m = pare_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    return NULL;
}

const char *pare_method_list(size_t i, const char **summary, const char **source)
{
    if (i >= sizeof pare_methods / sizeof *pare_methods - 1) return NULL;
    if (summary) *summary = pare_methods[i]->summary;
    if (source) *source = pare_methods[i]->source;
    return pare_methods[i]->name;
}
