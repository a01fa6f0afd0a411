/* What many operators' shape rules need. */
#include "ops/op.h"

#include <stdio.h>
#include <string.h>

pare_status pare_op_axis(int64_t axis, int rank, int *out)
{
    if (axis < -rank || axis >= rank)
        return pare_fail(PARE_EFORMAT, "axis %lld is not within -%d to %d", (long long)axis, rank,
                         rank - 1);
    *out = (int)(axis < 0 ? axis + rank : axis);
    return PARE_OK;
}

pare_status pare_op_broadcast(const pare_type *in, int n, pare_type *out)
{
    int rank = 0;
    for (int i = 0; i < n; i++)
        if (in[i].rank > rank) rank = in[i].rank;
    out->rank = rank;
    for (int d = 0; d < rank; d++) {
        int64_t size = 1;
        for (int i = 0; i < n; i++) {
            int at = d - (rank - in[i].rank);
            int64_t dim = at < 0 ? 1 : in[i].dim[at];
            if (dim == 1 || dim == size) continue;
            if (size != 1)
                return pare_fail(PARE_EFORMAT, "dimensions %lld and %lld do not broadcast",
                                 (long long)size, (long long)dim);
            size = dim;
        }
        out->dim[d] = size;
    }
    return PARE_OK;
}

pare_status pare_op_dtype(const char *what, pare_dtype t, const pare_dtype *list)
{
    for (; *list != PARE_UNDEFINED; list++)
        if (*list == t) return PARE_OK;
    return pare_fail(PARE_EUNSUPPORTED, "%s of %s is not supported", what,
                     t == PARE_UNDEFINED ? "an absent input" : pare_dtype_name(t));
}

pare_status pare_op_known_ints(const pare_arg *in, const char *what, int64_t *v, int max, int *n)
{
    if (in->type.dtype != PARE_I64 && in->type.dtype != PARE_I32)
        return pare_fail(PARE_EFORMAT, "%s is %s instead of int64", what,
                         pare_dtype_name(in->type.dtype));
    if (in->type.rank > 1)
        return pare_fail(PARE_EFORMAT, "%s has rank %d instead of 1", what, in->type.rank);
    if (!in->value)
        return pare_fail(PARE_EUNSUPPORTED,
                         "%s is only known when running, so no shape can be planned", what);
    int64_t count = pare_tensor_count(in->value);
    if (count > max)
        return pare_fail(PARE_EFORMAT, "%s has %lld numbers, at most %d make sense", what,
                         (long long)count, max);
    for (int64_t i = 0; i < count; i++) v[i] = pare_tensor_get_i64(in->value, i);
    *n = (int)count;
    return PARE_OK;
}
