/* Every operator on random types, attributes and data, most of them nonsense: infer says no or eval
 * copes.
 *
 * Under the sanitizers this finds what a hostile model could do. Held here in every build: types
 * that infer gives do not depend on values it did not need; views are as large as their input; eval
 * gives the same bytes twice, stays inside of its outputs, and fails only with a sentence. */
#include "base/rng.h"
#include "ops/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { ROUNDS = 400, LARGEST = 1 << 20, GUARD = 64 };

static int64_t below(pare_rng *r, int64_t n) { return (int64_t)pare_rng_below(r, (uint64_t)n); }
static bool chance(pare_rng *r, int percent) { return below(r, 100) < percent; }

static int64_t some_int(pare_rng *r)
{
    static const int64_t odd[] = { INT64_MIN,  INT64_MAX,        INT32_MIN, INT32_MAX, 1 << 20,
                                   -(1 << 20), INT64_C(1) << 40, 255,       256 };
    return chance(r, 4) ? odd[below(r, sizeof odd / sizeof *odd)] : below(r, 9) - 3;
}

static double some_real(pare_rng *r)
{
    static const double odd[] = { NAN, HUGE_VAL, -HUGE_VAL, 1e30, -1e30, 0, -0.0, 1e-40 };
    return chance(r, 10) ? odd[below(r, sizeof odd / sizeof *odd)] : (double)below(r, 64) / 8 - 3;
}

static pare_dtype some_dtype(pare_rng *r)
{
    static const pare_dtype all[] = { PARE_F32, PARE_F64, PARE_F16, PARE_I8,  PARE_I16, PARE_I32,
                                      PARE_I64, PARE_U8,  PARE_U16, PARE_U32, PARE_U64, PARE_BOOL };
    return chance(r, 40)   ? PARE_F32
           : chance(r, 30) ? PARE_I64
                           : all[below(r, sizeof all / sizeof *all)];
}

static pare_type some_type(pare_rng *r)
{
    pare_type t = { .dtype = some_dtype(r),
                    .rank = chance(r, 5) ? PARE_MAX_RANK : (int)below(r, 5) };
    for (int d = 0; d < t.rank; d++) t.dim[d] = chance(r, 3) ? 0 : 1 + below(r, 3);
    return t;
}

static void fill(pare_rng *r, pare_tensor *t)
{
    size_t size = pare_dtype_size(t->dtype);
    for (int64_t i = 0; i < pare_tensor_count(t); i++) {
        int64_t v = some_int(r);
        double f = some_real(r);
        float f32 = (float)f;
        uint16_t half = pare_float_to_half(f32);
        const void *from = t->dtype == PARE_F32   ? (const void *)&f32
                           : t->dtype == PARE_F64 ? (const void *)&f
                           : t->dtype == PARE_F16 ? (const void *)&half
                                                  : (const void *)&v;
        if (t->dtype == PARE_BOOL) v &= 1;
        memcpy((char *)t->data + (size_t)i * size, from, size);
    }
}

/* --- attributes --- */

static void some_attribute(pare_rng *r, const pare_field *f, pare_arena *arena, void *attrs)
{
    static const char *const text[] = { "ij,jk->ik", "...i->...", "ii", "i,i",
                                        "bij,bjk",   "->",        "a",  "...",
                                        "ij->ji",    "a,b,c",     "i;j" };
    pare_status st = PARE_OK;
    int64_t v[8];
    double x[8];
    size_t n = (size_t)below(r, 7), len;
    for (size_t i = 0; i < n; i++) {
        v[i] = chance(r, 10) ? some_int(r) : below(r, 4);
        x[i] = some_real(r);
    }
    switch (f->kind) {
    case PARE_FIELD_INT: st = pare_field_set_int(f, some_int(r), attrs); break;
    case PARE_FIELD_REAL: st = pare_field_set_real(f, some_real(r), attrs); break;
    case PARE_FIELD_BOOL: st = pare_field_set_int(f, below(r, 2), attrs); break;
    case PARE_FIELD_STR: {
        const char *s = text[below(r, sizeof text / sizeof *text)];
        st = pare_field_set_str(f, s, strlen(s), arena, attrs);
        break;
    }
    case PARE_FIELD_ENUM: {
        const char *s = pare_field_choice(f, (int)below(r, 4), &len);
        if (s) st = pare_field_set_str(f, s, len, arena, attrs);
        break;
    }
    case PARE_FIELD_INTS: st = pare_field_set_ints(f, v, n, arena, attrs); break;
    case PARE_FIELD_REALS: st = pare_field_set_reals(f, x, n, arena, attrs); break;
    case PARE_FIELD_STRS: /* no operator has one */
    case PARE_FIELD_TENSOR:
    case PARE_FIELD_END: break;
    }
    (void)st; /* out of the field's range: the default stays */
}

/* --- one round --- */

typedef struct call {
    pare_node node;
    pare_arg arg[PARE_MAX_IN], blind[PARE_MAX_IN]; /* with and without values */
    pare_tensor in[PARE_MAX_IN];
} call;

static void make_inputs(pare_rng *r, const pare_op *op, call *c)
{
    int most = op->inputs.max < 6 ? op->inputs.max : 6;
    if (most < op->inputs.min) most = op->inputs.min;
    c->node.n_in = (uint32_t)(op->inputs.min + below(r, most - op->inputs.min + 1));
    pare_type first = some_type(r);
    for (uint32_t i = 0; i < c->node.n_in; i++) {
        pare_type t = some_type(r);
        if (i == 0 || chance(r, 40))
            t = first; /* most operators want inputs that agree */
        else if (chance(r, 50))
            t.dtype = first.dtype;
        else if (chance(r, 50))
            t = (pare_type){ PARE_I64, 1, { below(r, 5) } }; /* axes, shapes, amounts */
        if ((int)i >= op->inputs.min && chance(r, 30)) continue;
        if (pare_tensor_of(&t, &c->in[i]) != PARE_OK) fail_msg("%s", pare_error());
        fill(r, &c->in[i]);
        c->arg[i].type = c->blind[i].type = t;
        c->arg[i].value = &c->in[i];
    }
}

static void must_explain(const pare_op *op, pare_status st, const char *what)
{
    if (st == PARE_OK) return;
    if (st != PARE_EFORMAT && st != PARE_EUNSUPPORTED && st != PARE_ELIMIT)
        fail_msg("%s: %s fails with %d: %s", op->name, what, (int)st, pare_error());
    if (!pare_error()[0]) fail_msg("%s: %s fails without a sentence", op->name, what);
}

/* An output with a guard behind it. */
static void make_output(const pare_type *t, pare_tensor *out, uint8_t **memory)
{
    size_t bytes;
    assert_int_equal(pare_type_bytes(t, &bytes), PARE_OK);
    *memory = calloc(1, bytes + GUARD);
    assert_non_null(*memory);
    memset(*memory + bytes, 0xa5, GUARD);
    *out = pare_tensor_borrow(t, *memory);
}

/* Whether eval ran to its end. */
static bool run(pare_rng *r, const pare_op *op, call *c)
{
    pare_type type[PARE_MAX_OUT] = { { 0 } }, blind[PARE_MAX_OUT] = { { 0 } };
    pare_status st = op->infer(&c->node, c->arg, type);
    must_explain(op, st, "infer");
    if (op->infer(&c->node, c->blind, blind) == PARE_OK) {
        if (st != PARE_OK && !strstr(pare_error(), "axis"))
            fail_msg("%s: infer likes the types, but not with values: %s", op->name, pare_error());
        for (uint32_t i = 0; i < c->node.n_out && st == PARE_OK; i++)
            if (type[i].dtype != blind[i].dtype || !pare_same_shape(&type[i], &blind[i]))
                fail_msg("%s: output %u depends on values", op->name, i);
    }
    if (st != PARE_OK) return false;
    size_t total = 0;
    for (uint32_t i = 0; i < c->node.n_out; i++) {
        size_t bytes;
        if (pare_type_bytes(&type[i], &bytes) != PARE_OK || bytes > LARGEST) return false;
        total += bytes;
    }
    if (op->view && total != pare_tensor_bytes(&c->in[0]))
        fail_msg("%s: a view of another size", op->name);
    pare_tensor out[2][PARE_MAX_OUT];
    uint8_t *memory[2][PARE_MAX_OUT];
    for (int k = 0; k < 2; k++)
        for (uint32_t i = 0; i < c->node.n_out; i++)
            make_output(&type[i], &out[k][i], &memory[k][i]);
    for (int k = 0; k < 2; k++) {
        st = op->eval(&c->node, c->in, out[k]);
        must_explain(op, st, "eval");
    }
    for (uint32_t i = 0; i < c->node.n_out; i++) {
        size_t bytes = pare_tensor_bytes(&out[0][i]);
        if (memcmp(memory[0][i], memory[1][i], bytes + GUARD) != 0)
            fail_msg("%s: two runs differ", op->name);
        for (int g = 0; g < GUARD; g++)
            if (memory[0][i][bytes + (size_t)g] != 0xa5)
                fail_msg("%s: writes behind output %u", op->name, i);
        free(memory[0][i]);
        free(memory[1][i]);
    }
    pare_cost cost = { 0 };
    pare_type in[PARE_MAX_IN] = { { 0 } };
    for (uint32_t i = 0; i < c->node.n_in; i++) in[i] = c->arg[i].type;
    if (op->cost) op->cost(&c->node, in, type, &cost);
    if (!(cost.macs >= 0 && cost.ops >= 0))
        fail_msg("%s: a cost of %g and %g", op->name, cost.macs, cost.ops);
    return st == PARE_OK;
}

static void test_random(void **state)
{
    (void)state;
    int never = 0;
    for (const pare_op *const *op = pare_ops; *op; op++) {
        int ran = 0;
        for (uint64_t round = 0; round < ROUNDS; round++) {
            pare_rng r = pare_rng_stream(round, (uint64_t)(op - pare_ops));
            pare_arena *arena = pare_arena_new(0);
            call c = { .node = { .name = "n", .op = *op, .attrs_size = (*op)->attrs_size } };
            c.node.n_out = (uint32_t)((*op)->outputs.min +
                                      below(&r, (*op)->outputs.max - (*op)->outputs.min + 1));
            c.node.attrs = pare_arena_alloc(arena, (*op)->attrs_size);
            pare_fields_default((*op)->attrs, c.node.attrs);
            for (const pare_field *f = (*op)->attrs; f && f->name; f++)
                if (chance(&r, 35)) some_attribute(&r, f, arena, c.node.attrs);
            make_inputs(&r, *op, &c);
            ran += run(&r, *op, &c);
            for (uint32_t i = 0; i < c.node.n_in; i++) pare_tensor_free(&c.in[i]);
            pare_arena_free(arena);
        }
        if (getenv("PARE_VERBOSE"))
            print_message("%s: %d of %d rounds ran\n", (*op)->name, ran, ROUNDS);
        never += ran == 0;
    }
    print_message("%d operators never got past infer\n", never);
    assert_true(never <= 12); /* quantised ones and Constant, whose inputs chance does not hit */
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_random) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
