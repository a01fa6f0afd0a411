/* Lists of types, walks over broadcast operands, strided copies. No operator of its own. */
#include "ops/walk.h"

#include <string.h>

#define INTS   PARE_I32, PARE_I64, PARE_I8, PARE_I16, PARE_U8, PARE_U16, PARE_U32, PARE_U64
#define FLOATS PARE_F32, PARE_F64, PARE_F16
const pare_dtype pare_types_all[] = { FLOATS, INTS, PARE_BOOL, PARE_UNDEFINED };
const pare_dtype pare_types_numbers[] = { FLOATS, INTS, PARE_UNDEFINED };
const pare_dtype pare_types_floats[] = { FLOATS, PARE_UNDEFINED };
const pare_dtype pare_types_ints[] = { INTS, PARE_UNDEFINED };
const pare_dtype pare_types_index[] = { PARE_I64, PARE_I32, PARE_UNDEFINED };

bool pare_dtype_is_float(pare_dtype t) { return t == PARE_F32 || t == PARE_F64 || t == PARE_F16; }

pare_status pare_op_same_dtype(const pare_node *n, const pare_arg *in, uint32_t from, uint32_t to)
{
    for (uint32_t i = from + 1; i < to; i++)
        if (in[i].type.dtype != in[from].type.dtype)
            return pare_fail(PARE_EFORMAT, "input %u is %s, but input %u is %s", i,
                             pare_dtype_name(in[i].type.dtype), from,
                             pare_dtype_name(in[from].type.dtype));
    return PARE_OK;
}

pare_status pare_op_scalar(const pare_arg *in, const char *what)
{
    int64_t count = pare_numel(in->type.rank, in->type.dim);
    if (count != 1)
        return pare_fail(PARE_EFORMAT, "%s holds %lld numbers instead of 1", what,
                         (long long)count);
    return PARE_OK;
}

void pare_op_no_cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    *c = (pare_cost){ 0 };
}

pare_arg pare_arg_of(const pare_tensor *t)
{
    pare_arg a = { .value = t };
    a.type = pare_tensor_type(t);
    return a;
}

void pare_strides(int rank, const int64_t *dim, int64_t *stride)
{
    int64_t s = 1;
    for (int d = rank - 1; d >= 0; d--) {
        stride[d] = s;
        if (!pare_mul_i64(s, dim[d], &s)) s = 0; /* only in an empty tensor, which is never read */
    }
}

bool pare_walk_begin(pare_walk *w, const pare_tensor *in, int n, const pare_tensor *out)
{
    w->n = n;
    w->rank = 0;
    w->out = 0;
    if (pare_tensor_count(out) == 0) return false;
    int64_t stride[PARE_MAX_IN];
    int64_t own[PARE_MAX_IN]; /* elements of the operand right of the dimension in hand */
    for (int i = 0; i < n; i++) {
        own[i] = 1;
        w->at[i] = 0;
    }
    /* From the innermost dimension outwards; list entry 0 is the innermost. A dimension joins the
     * one inside it where every operand passes from the one to the other without a jump. */
    int k = 0;
    for (int d = out->rank - 1; d >= 0; d--) {
        int64_t size = out->dim[d];
        for (int i = 0; i < n; i++) {
            int at = d - (out->rank - in[i].rank);
            int64_t dim = at < 0 ? 1 : in[i].dim[at];
            stride[i] = dim == 1 ? 0 : own[i];
            own[i] *= dim;
        }
        if (size == 1) continue;
        bool joins = k > 0;
        for (int i = 0; joins && i < n; i++)
            joins = stride[i] == w->stride[i][k - 1] * w->dim[k - 1];
        if (joins) {
            w->dim[k - 1] *= size;
            continue;
        }
        w->dim[k] = size;
        for (int i = 0; i < n; i++) w->stride[i][k] = stride[i];
        k++;
    }
    w->run = k ? w->dim[0] : 1;
    for (int i = 0; i < n; i++) w->step[i] = k ? w->stride[i][0] : 0;
    w->rank = k;
    memset(w->index, 0, sizeof w->index);
    return true;
}

bool pare_walk_next(pare_walk *w)
{
    w->out += w->run;
    for (int d = 1; d < w->rank; d++) {
        if (++w->index[d] < w->dim[d]) {
            for (int i = 0; i < w->n; i++) w->at[i] += w->stride[i][d];
            return true;
        }
        w->index[d] = 0;
        for (int i = 0; i < w->n; i++) w->at[i] -= w->stride[i][d] * (w->dim[d] - 1);
    }
    return false;
}

/* One innermost run of a strided copy. */
static void copy_run(int64_t n, int64_t stride, size_t element, const char *src, char *dst)
{
#define COPY(T)                                               \
    {                                                         \
        const T *s = (const T *)src;                          \
        T *d = (T *)dst;                                      \
        for (int64_t i = 0; i < n; i++) d[i] = s[i * stride]; \
        break;                                                \
    }
    if (stride == 1) {
        memcpy(dst, src, (size_t)n * element);
        return;
    }
    switch (element) {
    case 1: COPY(uint8_t)
    case 2: COPY(uint16_t)
    case 4: COPY(uint32_t)
    default: COPY(uint64_t)
    }
#undef COPY
}

void pare_copy_strided(int rank, const int64_t *dim, const int64_t *stride, size_t element,
                       const void *src, void *dst)
{
    int64_t size[2 * PARE_MAX_RANK], step[2 * PARE_MAX_RANK], index[2 * PARE_MAX_RANK] = { 0 };
    int k = 0;
    for (int d = rank - 1; d >= 0; d--) { /* list entry 0 is the innermost */
        if (dim[d] == 0) return;
        if (dim[d] == 1) continue;
        if (k && stride[d] == step[k - 1] * size[k - 1]) {
            size[k - 1] *= dim[d];
            continue;
        }
        size[k] = dim[d];
        step[k++] = stride[d];
    }
    if (k == 0) {
        size[0] = step[0] = 1;
        k = 1;
    }
    const char *from = src;
    char *to = dst;
    int64_t bytes = (int64_t)element;
    for (;;) {
        copy_run(size[0], step[0], element, from, to);
        to += size[0] * bytes;
        int d = 1;
        for (; d < k; d++) {
            if (++index[d] < size[d]) {
                from += step[d] * bytes;
                break;
            }
            index[d] = 0;
            from -= step[d] * (size[d] - 1) * bytes;
        }
        if (d == k) return;
    }
}
