/* Every codec. A new one is a file beside this one and one line here. */
#include "codecs/codecs.h"

#include <string.h>

#define CODECS(X) \
    X(bitmap)     \
    X(penni)      \
    X(tucker)

#define DECLARE(name) extern const pare_codec pare_codec_##name;
CODECS(DECLARE)
#define ENTRY(name) &pare_codec_##name,
const pare_codec *const pare_codecs[] = { CODECS(ENTRY) NULL };

const pare_codec *pare_codec_find(const char *name)
{
    for (const pare_codec *const *c = pare_codecs; *c; c++)
        if (strcmp((*c)->name, name) == 0) return *c;
    return NULL;
}
