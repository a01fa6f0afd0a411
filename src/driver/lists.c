/* What the registries hold, for `pare list` and for programs that want to know.
 */
#include "codecs/codecs.h"
#include "ops/op.h"
#include "pare/plan.h"
#include "runtime/impl.h"

const char *pare_operator_list(size_t i, const char **summary)
{
    size_t n = 0;
    while (pare_ops[n]) n++;
    if (i >= n) return NULL;
    *summary = pare_ops[i]->summary;
    return pare_ops[i]->name;
}

const char *pare_codec_list(size_t i, const char **summary)
{
    size_t n = 0;
    while (pare_codecs[n]) n++;
    if (i >= n) return NULL;
    *summary = pare_codecs[i]->summary;
    return pare_codecs[i]->name;
}

const char *pare_impl_list(size_t i, const char **op, const char **codec)
{
    size_t n = 0;
    while (pare_impls[n]) n++;
    if (i >= n) return NULL;
    *op = pare_impls[i]->op ? pare_impls[i]->op : "";
    *codec = pare_impls[i]->codec ? pare_impls[i]->codec : "";
    return pare_impls[i]->name;
}
