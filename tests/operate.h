/* Runs one operator on tensors, as the tests of operators need it: attributes as text, shapes
 * inferred, then `eval`. */
#ifndef TESTS_OPERATE_H
#define TESTS_OPERATE_H

#include "ops/op.h"

#include <string.h>

/* A tensor with numbers given as doubles. */
static pare_tensor operand(pare_dtype dtype, int rank, const int64_t *dim, const double *v)
{
    pare_tensor t = { 0 };
    if (pare_tensor_new(dtype, rank, dim, &t) != PARE_OK) return t;
    for (int64_t i = 0; i < pare_tensor_count(&t); i++) switch (dtype) {
        case PARE_F32: ((float *)t.data)[i] = (float)v[i]; break;
        case PARE_F64: ((double *)t.data)[i] = v[i]; break;
        case PARE_F16: ((uint16_t *)t.data)[i] = pare_float_to_half((float)v[i]); break;
        case PARE_I64: ((int64_t *)t.data)[i] = (int64_t)v[i]; break;
        case PARE_U64: ((uint64_t *)t.data)[i] = (uint64_t)v[i]; break;
        case PARE_I32: ((int32_t *)t.data)[i] = (int32_t)v[i]; break;
        case PARE_U32: ((uint32_t *)t.data)[i] = (uint32_t)v[i]; break;
        case PARE_I16: ((int16_t *)t.data)[i] = (int16_t)v[i]; break;
        case PARE_U16: ((uint16_t *)t.data)[i] = (uint16_t)v[i]; break;
        case PARE_I8: ((int8_t *)t.data)[i] = (int8_t)v[i]; break;
        case PARE_U8:
        case PARE_BOOL: ((uint8_t *)t.data)[i] = (uint8_t)v[i]; break;
        default: break;
        }
    return t;
}

/* Infers and evaluates; `attrs` as "axis=1,keepdims=0" (lists by '/'). Inputs that are empty
 * tensors are absent. `out` gets n_out tensors of the caller's, only on PARE_OK. */
static pare_status operate(const char *name, const char *attrs, uint32_t n_in,
                           const pare_tensor *in, uint32_t n_out, pare_tensor *out)
{
    const pare_op *op = pare_op_find(name);
    if (!op) return pare_fail(PARE_EUNSUPPORTED, "no operator %s", name);
    pare_arena *arena = pare_arena_new(0);
    pare_node n = {
        .name = name, .op = op, .n_in = n_in, .n_out = n_out, .attrs_size = op->attrs_size
    };
    pare_arg arg[PARE_MAX_IN] = { 0 };
    pare_type type[PARE_MAX_OUT] = { 0 };
    pare_tensor made[PARE_MAX_OUT] = { 0 };
    n.attrs = pare_arena_alloc(arena, op->attrs_size);
    pare_fields_default(op->attrs, n.attrs);
    pare_status st = attrs[0] ? pare_fields_parse(op->attrs, name, attrs, arena, n.attrs) : PARE_OK;
    for (uint32_t i = 0; i < n_in; i++) {
        if (in[i].dtype == PARE_UNDEFINED) continue;
        arg[i].type = pare_tensor_type(&in[i]);
        arg[i].value = &in[i];
    }
    if (st == PARE_OK) st = op->infer(&n, arg, type);
    for (uint32_t i = 0; st == PARE_OK && i < n_out; i++) st = pare_tensor_of(&type[i], &made[i]);
    if (st == PARE_OK) st = op->eval(&n, in, made);
    for (uint32_t i = 0; i < n_out; i++) {
        if (st == PARE_OK)
            out[i] = made[i];
        else
            pare_tensor_free(&made[i]);
    }
    pare_arena_free(arena);
    return st;
}

#endif
