/* Making operators of two inputs that broadcast: used by arithmetic.c and logic.c only.
 *
 * An operator is a table of functions by element type, each of which treats one run of elements. */
#ifndef OPS_BINARY_H
#define OPS_BINARY_H

#include "ops/walk.h"

/* sa and sb: 1 advances along the run, 0 stays. */
typedef void pare_run_fn(int64_t n, const void *av, int64_t sa, const void *bv, int64_t sb,
                         void *yv);
enum { PARE_RUN_TYPES = PARE_U64 + 1 };

/* T is the type in memory, V the one EXPR(T, p, q) computes with, R the result's. The cases are
 * separate loops so that each is plain: whole against whole, and one number against many. */
#define BINARY_RUN(NAME, T, V, R, LOAD, STORE, EXPR)                                              \
    static void NAME(int64_t n, const void *av, int64_t sa, const void *bv, int64_t sb, void *yv) \
    {                                                                                             \
        const T *a = av, *b = bv;                                                                 \
        R *y = yv;                                                                                \
        if (sa && sb)                                                                             \
            for (int64_t i = 0; i < n; i++) {                                                     \
                const V p = LOAD(a[i]), q = LOAD(b[i]);                                           \
                y[i] = STORE(EXPR(T, p, q));                                                      \
            }                                                                                     \
        else if (sa)                                                                              \
            for (int64_t i = 0; i < n; i++) {                                                     \
                const V p = LOAD(a[i]), q = LOAD(*b);                                             \
                y[i] = STORE(EXPR(T, p, q));                                                      \
            }                                                                                     \
        else                                                                                      \
            for (int64_t i = 0; i < n; i++) {                                                     \
                const V p = LOAD(*a), q = LOAD(b[i * sb]);                                        \
                y[i] = STORE(EXPR(T, p, q));                                                      \
            }                                                                                     \
    }
#define BINARY_AS_IS(x) (x)

/* The eight integer types; S and U are the expressions for signed and unsigned ones, R maps a type
 * to the result's. */
#define BINARY_INT_RUNS(OP, S, U, R)                                                     \
    BINARY_RUN(OP##_i8, int8_t, int64_t, R(int8_t), BINARY_AS_IS, BINARY_AS_IS, S)       \
    BINARY_RUN(OP##_i16, int16_t, int64_t, R(int16_t), BINARY_AS_IS, BINARY_AS_IS, S)    \
    BINARY_RUN(OP##_i32, int32_t, int64_t, R(int32_t), BINARY_AS_IS, BINARY_AS_IS, S)    \
    BINARY_RUN(OP##_i64, int64_t, int64_t, R(int64_t), BINARY_AS_IS, BINARY_AS_IS, S)    \
    BINARY_RUN(OP##_u8, uint8_t, uint64_t, R(uint8_t), BINARY_AS_IS, BINARY_AS_IS, U)    \
    BINARY_RUN(OP##_u16, uint16_t, uint64_t, R(uint16_t), BINARY_AS_IS, BINARY_AS_IS, U) \
    BINARY_RUN(OP##_u32, uint32_t, uint64_t, R(uint32_t), BINARY_AS_IS, BINARY_AS_IS, U) \
    BINARY_RUN(OP##_u64, uint64_t, uint64_t, R(uint64_t), BINARY_AS_IS, BINARY_AS_IS, U)
#define BINARY_INT_ENTRIES(OP)                                                                \
    [PARE_I8] = OP##_i8, [PARE_I16] = OP##_i16, [PARE_I32] = OP##_i32, [PARE_I64] = OP##_i64, \
    [PARE_U8] = OP##_u8, [PARE_U16] = OP##_u16, [PARE_U32] = OP##_u32, [PARE_U64] = OP##_u64
#define BINARY_SAME(T) T
#define BINARY_BOOL(T) uint8_t

static inline pare_status pare_binary_eval(pare_run_fn *const runs[PARE_RUN_TYPES],
                                           const pare_tensor *in, pare_tensor *out)
{
    pare_run_fn *f = runs[in[0].dtype];
    int64_t from = (int64_t)pare_dtype_size(in[0].dtype),
            to = (int64_t)pare_dtype_size(out[0].dtype);
    const char *a = in[0].data, *b = in[1].data;
    char *y = out[0].data;
    pare_walk w;
    for (bool more = pare_walk_begin(&w, in, 2, &out[0]); more; more = pare_walk_next(&w))
        f(w.run, a + w.at[0] * from, w.step[0], b + w.at[1] * from, w.step[1], y + w.out * to);
    return PARE_OK;
}

/* Both inputs of one type out of `list`, the output of that type. */
static inline pare_status pare_binary_infer(const pare_node *n, const pare_arg *in,
                                            const pare_dtype *list, pare_type *out)
{
    PARE_TRY(pare_op_dtype(n->op->name, in[0].type.dtype, list));
    PARE_TRY(pare_op_same_dtype(n, in, 0, 2));
    pare_type t[] = { in[0].type, in[1].type };
    out[0].dtype = in[0].type.dtype;
    return pare_op_broadcast(t, 2, &out[0]);
}

#define BINARY_OP(ID, NAME, SUMMARY, SINCE, INFER)                                            \
    static pare_status ID##_eval(const pare_node *n, const pare_tensor *in, pare_tensor *out) \
    {                                                                                         \
        return pare_binary_eval(ID##_runs, in, out);                                          \
    }                                                                                         \
    const pare_op pare_op_##ID = {                                                            \
        .name = NAME,                                                                         \
        .summary = SUMMARY,                                                                   \
        .since = SINCE,                                                                       \
        .inputs = { 2, 2 },                                                                   \
        .outputs = { 1, 1 },                                                                  \
        .infer = INFER,                                                                       \
        .eval = ID##_eval,                                                                    \
    };

#endif
