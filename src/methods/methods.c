/* Every compression method. A new one is a file beside this one and one line here. */
#include "methods/method.h"

#include "pare/compress.h"

#include <stdio.h>
#include <string.h>

#define METHODS(X) \
    X(magnitude)   \
    X(penni)

#define DECLARE(name) extern const pare_method pare_method_##name;
METHODS(DECLARE)
#define ENTRY(name) &pare_method_##name,
const pare_method *const pare_methods[] = { METHODS(ENTRY) NULL };

enum { METHODS_LISTED = sizeof pare_methods / sizeof *pare_methods - 1 };

const pare_method *pare_method_find(const char *name)
{
    for (const pare_method *const *m = pare_methods; *m; m++)
        if (strcmp((*m)->name, name) == 0) return *m;
    return NULL;
}

const char *pare_method_list(size_t i, const char **summary, const char **source)
{
    if (i >= METHODS_LISTED) return NULL;
    if (summary) *summary = pare_methods[i]->summary;
    if (source) *source = pare_methods[i]->source;
    return pare_methods[i]->name;
}

bool pare_method_option_list(size_t method, size_t i, pare_method_option *out)
{
    if (method >= METHODS_LISTED) return false;
    const pare_method *m = pare_methods[method];
    const pare_field *f = m->options;
    while (f->name && i > 0) f++, i--;
    if (!f->name) return false;
    bool choice = f->kind == PARE_FIELD_ENUM, text = f->kind == PARE_FIELD_STR;
    *out = (pare_method_option){ .name = f->name,
                                 .help = f->help,
                                 .unit = choice || text ? "" : f->text,
                                 .choices = choice ? f->text : NULL,
                                 .flag = f->kind == PARE_FIELD_BOOL,
                                 .whole = f->kind == PARE_FIELD_INT,
                                 .min = f->min,
                                 .max = f->max,
                                 .per_layer = m->layer || f->per_layer };
    size_t length = 0;
    const char *name = choice ? pare_field_choice(f, (int)f->def, &length) : text ? f->text : NULL;
    if (text && name) length = strlen(name);
    if (choice || text)
        snprintf(out->preset, sizeof out->preset, "%.*s", (int)length, name ? name : "");
    else
        snprintf(out->preset, sizeof out->preset, "%.9g", f->def);
    return true;
}
