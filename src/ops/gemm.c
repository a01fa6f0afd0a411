/* Gemm: Y = alpha * A' * B' + beta * C, A' [M,K], B' [K,N] each transposed or not, C broadcast to
 * [M,N]. */
#include "ops/values.h"

#include <stdlib.h>

typedef struct attrs {
    double alpha, beta;
    bool transA, transB;
} attrs;

static const pare_field fields[] = {
    PARE_REAL(attrs, alpha, 1, -DBL_MAX, DBL_MAX, "", "factor of the product"),
    PARE_REAL(attrs, beta, 1, -DBL_MAX, DBL_MAX, "", "factor of C"),
    PARE_FLAG(attrs, transA, false, "A is stored transposed"),
    PARE_FLAG(attrs, transB, false, "B is stored transposed"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    const pare_type *ta = &in[0].type, *tb = &in[1].type, *tc = &in[2].type;
    PARE_TRY(pare_op_dtype("Gemm", ta->dtype, pare_op_floats));
    bool has_c = pare_op_has(n, in, 2);
    if (tb->dtype != ta->dtype || (has_c && tc->dtype != ta->dtype))
        return pare_fail(PARE_EFORMAT, "A is %s but %s is %s", pare_dtype_name(ta->dtype),
                         tb->dtype != ta->dtype ? "B" : "C",
                         pare_dtype_name(tb->dtype != ta->dtype ? tb->dtype : tc->dtype));
    if (ta->rank != 2 || tb->rank != 2)
        return pare_fail(PARE_EFORMAT, "A has rank %d and B rank %d, both must have 2", ta->rank,
                         tb->rank);
    int64_t k = ta->dim[a->transA ? 0 : 1], k_b = tb->dim[a->transB ? 1 : 0];
    if (k != k_b)
        return pare_fail(PARE_EFORMAT, "A is %lld wide, B %lld high", (long long)k, (long long)k_b);
    out[0] =
        (pare_type){ ta->dtype, 2, { ta->dim[a->transA ? 1 : 0], tb->dim[a->transB ? 0 : 1] } };
    if (!has_c) return PARE_OK;
    if (tc->rank > 2)
        return pare_fail(PARE_EFORMAT, "C has rank %d, at most 2 is possible", tc->rank);
    for (int d = 0; d < tc->rank; d++) {
        int64_t want = out[0].dim[2 - tc->rank + d];
        if (tc->dim[d] != 1 && tc->dim[d] != want)
            return pare_fail(PARE_EFORMAT,
                             "dimension %d of C is %lld, which does not broadcast to %lld", d,
                             (long long)tc->dim[d], (long long)want);
    }
    return PARE_OK;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const attrs *a = n->attrs;
    const pare_tensor *ta = &in[0], *tb = &in[1], *tc = pare_op_in(n, in, 2);
    int64_t rows = out[0].dim[0], cols = out[0].dim[1], depth = ta->dim[a->transA ? 0 : 1];
    int64_t c_row = 0, c_col = 0;
    if (tc && tc->rank > 0 && tc->dim[tc->rank - 1] != 1) c_col = 1;
    if (tc && tc->rank > 1 && tc->dim[0] != 1) c_row = tc->dim[1];
    double *sum;
    PARE_TRY(pare_op_doubles(cols, &sum));
    for (int64_t m = 0; m < rows; m++) {
        int64_t a_at = a->transA ? m : m * depth, a_step = a->transA ? rows : 1;
        for (int64_t j = 0; j < cols; j++) sum[j] = 0;
        if (a->transB)
            for (int64_t j = 0; j < cols; j++)
                sum[j] = pare_row_dot(depth, ta, a_at, a_step, tb, j * depth, 1);
        else
            for (int64_t k = 0; k < depth; k++)
                pare_row_add(sum, cols, pare_get(ta, a_at + k * a_step), tb, k * cols, 1, 0);
        for (int64_t j = 0; j < cols; j++)
            pare_put(&out[0], m * cols + j,
                     a->alpha * sum[j] + (tc ? a->beta * pare_get(tc, m * c_row + j * c_col) : 0));
    }
    free(sum);
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    const attrs *a = n->attrs;
    c->macs = (double)out[0].dim[0] * (double)out[0].dim[1] * (double)in[0].dim[a->transA ? 0 : 1];
}

const pare_op pare_op_gemm = {
    .name = "Gemm",
    .summary = "matrix product with a bias",
    .since = 13,
    .inputs = { 2, 3 },
    .outputs = { 1, 1 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
};
