/* Where: x where the condition holds, else y; all three broadcast. */
#include "ops/walk.h"

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    static const pare_dtype only_bool[] = { PARE_BOOL, PARE_UNDEFINED };
    PARE_TRY(pare_op_dtype("Where with a condition", in[0].type.dtype, only_bool));
    PARE_TRY(pare_op_dtype("Where", in[1].type.dtype, pare_types_all));
    PARE_TRY(pare_op_same_dtype(n, in, 1, 3));
    pare_type t[] = { in[0].type, in[1].type, in[2].type };
    out[0].dtype = in[1].type.dtype;
    return pare_op_broadcast(t, 3, &out[0]);
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const uint8_t *c = in[0].data;
    pare_walk w;
#define CASE(SIZE, T)                                                                          \
    case SIZE: {                                                                               \
        const T *x = in[1].data, *z = in[2].data;                                              \
        T *y = out[0].data;                                                                    \
        for (bool more = pare_walk_begin(&w, in, 3, &out[0]); more; more = pare_walk_next(&w)) \
            for (int64_t i = 0; i < w.run; i++)                                                \
                y[w.out + i] = c[w.at[0] + i * w.step[0]] ? x[w.at[1] + i * w.step[1]]         \
                                                          : z[w.at[2] + i * w.step[2]];        \
        break;                                                                                 \
    }
    switch (pare_dtype_size(out[0].dtype)) {
        CASE(1, uint8_t)
        CASE(2, uint16_t)
        CASE(4, uint32_t)
        CASE(8, uint64_t)
    }
#undef CASE
    return PARE_OK;
}

const pare_op pare_op_where = {
    .name = "Where",
    .summary = "one or the other by a condition",
    .since = 16,
    .inputs = { 3, 3 },
    .outputs = { 1, 1 },
    .infer = infer,
    .eval = eval,
};
