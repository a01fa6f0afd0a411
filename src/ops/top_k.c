/* TopK: the k largest or smallest along an axis, with their indices; of equals the first comes
 * first. Always sorted. */
#include "ops/order.h"

#include <stdlib.h>

typedef struct attrs {
    int64_t axis;
    bool largest, sorted;
} attrs;
static const pare_field fields[] = {
    PARE_INT(attrs, axis, -1, -PARE_MAX_RANK, PARE_MAX_RANK - 1, "", "dimension to choose along"),
    PARE_FLAG(attrs, largest, 1, "the largest, else the smallest"),
    PARE_FLAG(attrs, sorted, 1, "in order (without it any order is right; this one is taken)"),
    PARE_FIELDS_END,
};

static pare_status infer(const pare_node *n, const pare_arg *in, pare_type *out)
{
    const attrs *a = n->attrs;
    int64_t k;
    int axis, count;
    PARE_TRY(pare_op_dtype("TopK", in[0].type.dtype, pare_types_numbers));
    PARE_TRY(pare_op_axis(a->axis, in[0].type.rank, &axis));
    PARE_TRY(pare_op_scalar(&in[1], "k"));
    PARE_TRY(pare_op_known_ints(&in[1], "k", &k, 1, &count));
    if (k < 0 || k > in[0].type.dim[axis])
        return pare_fail(PARE_EFORMAT, "k is %lld, but dimension %d is %lld", (long long)k, axis,
                         (long long)in[0].type.dim[axis]);
    out[0] = out[1] = in[0].type;
    out[0].dim[axis] = out[1].dim[axis] = k;
    out[1].dtype = PARE_I64;
    return PARE_OK;
}

typedef struct item {
    uint64_t key;
    int64_t index;
} item;

/* A total order: the result does not depend on how qsort works. */
static int before(const void *av, const void *bv)
{
    const item *a = av, *b = bv;
    if (a->key != b->key) return a->key > b->key ? -1 : 1;
    return a->index < b->index ? -1 : a->index > b->index;
}

static pare_status eval(const pare_node *n, const pare_tensor *in, pare_tensor *out)
{
    const attrs *a = n->attrs;
    const pare_tensor *x = &in[0];
    int axis;
    PARE_TRY(pare_op_axis(a->axis, x->rank, &axis));
    if (pare_tensor_count(&out[0]) == 0) return PARE_OK;
    int64_t outer = pare_numel(axis, x->dim), dim = x->dim[axis],
            inner = pare_numel(x->rank - axis - 1, x->dim + axis + 1);
    int64_t k = out[0].dim[axis];
    size_t bytes, element = pare_dtype_size(x->dtype);
    item *list = pare_mul_size((size_t)dim, sizeof *list, &bytes) ? malloc(bytes) : NULL;
    if (!list) return pare_fail(PARE_ENOMEM, "no memory to sort %lld numbers", (long long)dim);
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < inner; i++) {
            for (int64_t d = 0; d < dim; d++) {
                uint64_t key = pare_order_key(x, (o * dim + d) * inner + i);
                list[d] = (item){ a->largest ? key : ~key, d };
            }
            qsort(list, (size_t)dim, sizeof *list, before);
            for (int64_t d = 0; d < k; d++) {
                int64_t to = (o * k + d) * inner + i, from = (o * dim + list[d].index) * inner + i;
                memcpy((char *)out[0].data + (size_t)to * element,
                       (const char *)x->data + (size_t)from * element, element);
                if (n->n_out > 1 && out[1].data) ((int64_t *)out[1].data)[to] = list[d].index;
            }
        }
    free(list);
    return PARE_OK;
}

static void cost(const pare_node *n, const pare_type *in, const pare_type *out, pare_cost *c)
{
    *c = (pare_cost){ .ops = (double)pare_numel(in[0].rank, in[0].dim) };
}

const pare_op pare_op_top_k = {
    .name = "TopK",
    .summary = "the k largest or smallest",
    .since = 11,
    .inputs = { 2, 2 },
    .outputs = { 1, 2 },
    .attrs = fields,
    .attrs_size = sizeof(attrs),
    .infer = infer,
    .eval = eval,
    .cost = cost,
};
