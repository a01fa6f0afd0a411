/* MatMul, MatMulInteger, QLinearMatMul: products of stacks of matrices, as numpy.matmul: the
 * dimensions before the last two broadcast; a vector is a row on the left and a column on the
 * right. One sum in double serves all three, exact for 8-bit operands. */
#include "ops/quant.h"

#include <stdlib.h>

typedef struct product {
    int64_t rows, depth, cols;
    pare_type stack; /* the broadcast dimensions; shape only */
} product;

static pare_status shape(const pare_type *a, const pare_type *b, product *p, pare_type *out)
{
    if (a->rank < 1 || b->rank < 1)
        return pare_fail(PARE_EFORMAT, "the operands have ranks %d and %d, at least 1 is needed",
                         a->rank, b->rank);
    p->rows = a->rank > 1 ? a->dim[a->rank - 2] : 1;
    p->depth = a->dim[a->rank - 1];
    p->cols = b->rank > 1 ? b->dim[b->rank - 1] : 1;
    int64_t high = b->rank > 1 ? b->dim[b->rank - 2] : b->dim[0];
    if (high != p->depth)
        return pare_fail(PARE_EFORMAT, "the left operand is %lld wide, the right %lld high",
                         (long long)p->depth, (long long)high);
    pare_type stacks[2] = { *a, *b };
    for (int i = 0; i < 2; i++) stacks[i].rank = stacks[i].rank > 2 ? stacks[i].rank - 2 : 0;
    PARE_TRY(pare_op_broadcast(stacks, 2, &p->stack));
    out->rank = p->stack.rank;
    for (int d = 0; d < out->rank; d++) out->dim[d] = p->stack.dim[d];
    if (a->rank > 1) out->dim[out->rank++] = p->rows;
    if (b->rank > 1) out->dim[out->rank++] = p->cols;
    return PARE_OK;
}

/* Number of the matrix of `t` that belongs to matrix `i` of the stack. */
static int64_t matrix_of(const product *p, const pare_tensor *t, int64_t i)
{
    int64_t at = 0, scale = 1;
    for (int d = p->stack.rank - 1, e = t->rank - 3; d >= 0 && e >= 0; d--, e--) {
        if (t->dim[e] != 1) at += i % p->stack.dim[d] * scale;
        scale *= t->dim[e];
        i /= p->stack.dim[d];
    }
    return at;
}

/* Turns the sums of row m into elements of out, from `at` on. */
typedef void finish_fn(const pare_tensor *in, int64_t m, const double *sum, int64_t cols,
                       pare_tensor *out, int64_t at);

static pare_status walk(const pare_tensor *in, const pare_tensor *a, const pare_tensor *b,
                        const pare_tensor *a_zero, const pare_tensor *b_zero, finish_fn *finish,
                        pare_tensor *out)
{
    pare_type ta = pare_tensor_type(a), tb = pare_tensor_type(b), unused;
    product p;
    PARE_TRY(shape(&ta, &tb, &p, &unused));
    double *sum;
    PARE_TRY(pare_op_doubles(p.cols, &sum));
    int64_t stack = pare_numel(p.stack.rank, p.stack.dim);
    for (int64_t i = 0; i < stack; i++) {
        int64_t a_at = matrix_of(&p, a, i) * p.rows * p.depth,
                b_at = matrix_of(&p, b, i) * p.depth * p.cols;
        for (int64_t m = 0; m < p.rows; m++) {
            double zero = pare_quant_at(a_zero, m), row = 0;
            for (int64_t j = 0; j < p.cols; j++) sum[j] = 0;
            for (int64_t k = 0; k < p.depth; k++) {
                double v = pare_get(a, a_at + m * p.depth + k) - zero;
                pare_row_add(sum, p.cols, v, b, b_at + k * p.cols, 1, 0);
                row += v;
            }
            if (b_zero) /* sum of a * (b - zero) = sum of a * b, less zero * sum of a */
                for (int64_t j = 0; j < p.cols; j++) sum[j] -= row * pare_quant_at(b_zero, j);
            finish(in, m, sum, p.cols, out, (i * p.rows + m) * p.cols);
        }
    }
    free(sum);
    return PARE_OK;
}

static void macs(const pare_type *a, const pare_type *out, pare_cost *c)
{
    c->macs = (double)pare_numel(out->rank, out->dim) * (double)a->dim[a->rank - 1];
}

/* --- MatMul: A, B --- */

static pare_status matmul_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("MatMul", in[0].type.dtype, pare_op_floats));
    if (in[1].type.dtype != in[0].type.dtype)
        return pare_fail(PARE_EFORMAT, "the left operand is %s, the right %s",
                         pare_dtype_name(in[0].type.dtype), pare_dtype_name(in[1].type.dtype));
    product p;
    out[0].dtype = in[0].type.dtype;
    return shape(&in[0].type, &in[1].type, &p, &out[0]);
}

static void matmul_finish(const pare_tensor *in, int64_t m, const double *sum, int64_t cols,
                          pare_tensor *out, int64_t at)
{
    for (int64_t j = 0; j < cols; j++) pare_put(out, at + j, sum[j]);
}

static pare_status matmul_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(in, &in[0], &in[1], NULL, NULL, matmul_finish, &out[0]);
}

static void matmul_cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    macs(&in[0], &out[0], c);
}

const pare_op pare_op_matmul = {
    .name = "MatMul",
    .summary = "matrix product",
    .since = 13,
    .inputs = { 2, 2 },
    .outputs = { 1, 1 },
    .infer = matmul_infer,
    .eval = matmul_eval,
    .cost = matmul_cost,
};

/* --- MatMulInteger: A, B, a_zero_point, b_zero_point to int32 --- */

static pare_status integer_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("MatMulInteger", in[0].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype("MatMulInteger", in[1].type.dtype, pare_op_bytes));
    product p;
    out[0].dtype = PARE_I32;
    PARE_TRY(shape(&in[0].type, &in[1].type, &p, &out[0]));
    if (pare_op_has(n, in, 2))
        PARE_TRY(pare_op_zero("the left operand", in[0].type.dtype, &in[2], p.rows));
    if (pare_op_has(n, in, 3))
        PARE_TRY(pare_op_zero("the right operand", in[1].type.dtype, &in[3], p.cols));
    return PARE_OK;
}

static void integer_finish(const pare_tensor *in, int64_t m, const double *sum, int64_t cols,
                           pare_tensor *out, int64_t at)
{
    /* Sums beyond 32 bits wrap as they do in every integer implementation. */
    for (int64_t j = 0; j < cols; j++)
        ((int32_t *)out->data)[at + j] = (int32_t)(uint32_t)(int64_t)sum[j];
}

static pare_status integer_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(in, &in[0], &in[1], pare_op_in(n, in, 2), pare_op_in(n, in, 3), integer_finish,
                &out[0]);
}

const pare_op pare_op_matmul_integer = {
    .name = "MatMulInteger",
    .summary = "matrix product of 8-bit integers into 32 bits",
    .since = 10,
    .inputs = { 2, 4 },
    .outputs = { 1, 1 },
    .infer = integer_infer,
    .eval = integer_eval,
    .cost = matmul_cost,
};

/* --- QLinearMatMul: a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero --- */

static pare_status qlinear_infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    PARE_TRY(pare_op_dtype("QLinearMatMul", in[0].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype("QLinearMatMul", in[3].type.dtype, pare_op_bytes));
    PARE_TRY(pare_op_dtype("QLinearMatMul", in[7].type.dtype, pare_op_bytes));
    product p;
    out[0].dtype = in[7].type.dtype;
    PARE_TRY(shape(&in[0].type, &in[3].type, &p, &out[0]));
    PARE_TRY(pare_op_quant("the left operand", in[0].type.dtype, &in[1], &in[2], true, p.rows));
    PARE_TRY(pare_op_quant("the right operand", in[3].type.dtype, &in[4], &in[5], true, p.cols));
    return pare_op_quant("the output", out[0].dtype, &in[6], &in[7], true, 0);
}

static void qlinear_finish(const pare_tensor *in, int64_t m, const double *sum, int64_t cols,
                           pare_tensor *out, int64_t at)
{
    float a_scale = (float)pare_quant_at(&in[1], m), y_scale = (float)pare_get(&in[6], 0);
    double zero = pare_get(&in[7], 0);
    for (int64_t j = 0; j < cols; j++) {
        float scale = a_scale * (float)pare_quant_at(&in[4], j) / y_scale;
        pare_put(out, at + j, pare_saturate(out->dtype, (float)sum[j] * scale, zero));
    }
}

static pare_status qlinear_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    return walk(in, &in[0], &in[3], &in[2], &in[5], qlinear_finish, &out[0]);
}

static void qlinear_cost(const pare_node *n, const pare_type *in, const pare_type *out,
                         pare_cost *c)
{
    macs(&in[0], &out[0], c);
    c->ops = (double)pare_numel(out[0].rank, out[0].dim);
}

const pare_op pare_op_qlinear_matmul = {
    .name = "QLinearMatMul",
    .summary = "matrix product of 8-bit integers with scales",
    .since = 10,
    .inputs = { 8, 8 },
    .outputs = { 1, 1 },
    .infer = qlinear_infer,
    .eval = qlinear_eval,
    .cost = qlinear_cost,
};
