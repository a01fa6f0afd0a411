/* Every codec of the registry: decode and the ONNX body agree, damage is refused, gradients are
 * those of decode. */
#include "codecs/bitmap.h"
#include "codecs/codecs.h"
#include "codecs/penni.h"
#include "codecs/tucker.h"

#include "base/rng.h"
#include "ops/op.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { SEEDS = 24 };

/* --- one random weight of every codec; a new codec needs a line in `make` --- */
static void shape4(pare_rng *r, pare_type *t, int64_t k)
{
    *t = (pare_type){
        PARE_F32, 4, { 1 + (int64_t)pare_rng_below(r, 7), 1 + (int64_t)pare_rng_below(r, 6), k, k }
    };
}

static float *numbers(pare_rng *r, int64_t n, double density)
{
    float *x = malloc((size_t)(n + 1) * sizeof *x);
    assert_non_null(x);
    for (int64_t i = 0; i < n; i++)
        x[i] = pare_rng_uniform(r) < density ? (float)pare_rng_normal(r) : 0;
    return x;
}

static pare_weight make_bitmap(uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, 1);
    pare_type t;
    shape4(&r, &t, 1 + 2 * (int64_t)pare_rng_below(&r, 2));
    if (seed % 3 == 0) t.rank = 2;
    float *x = numbers(&r, pare_numel(t.rank, t.dim), seed % 5 * 0.25);
    pare_weight w;
    assert_int_equal(pare_bitmap_encode(&t, x, NULL, &w), PARE_OK);
    free(x);
    return w;
}

/* Densities 0 (no value at all) to 1; N*C*d is rarely a multiple of 8. */
static pare_weight make_penni(uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, 2);
    static const int64_t ks[] = { 3, 1, 5, 2 };
    int64_t k = ks[seed % 4];
    pare_type t;
    shape4(&r, &t, k);
    if (seed % 7 == 0) t.rank = 3;
    int64_t kk = t.rank == 3 ? k : k * k,
            d = 1 + (int64_t)pare_rng_below(&r, (uint64_t)(kk < 6 ? kk : 6));
    float *a = numbers(&r, t.dim[0] * t.dim[1] * d, seed % 5 * 0.25),
          *basis = numbers(&r, d * kk, 1);
    pare_weight w;
    assert_int_equal(pare_penni_encode(&t, d, a, NULL, basis, &w), PARE_OK);
    free(a);
    free(basis);
    return w;
}

/* Ranks from 1 to the number of channels. */
static pare_weight make_tucker(uint64_t seed)
{
    pare_rng r = pare_rng_stream(seed, 4);
    pare_type t;
    shape4(&r, &t, 1 + (int64_t)(seed % 4));
    if (seed % 5 == 0) t.rank = 3;
    pare_type core = t, in = { PARE_F32, 2, { 0, t.dim[1] } }, out = { PARE_F32, 2, { t.dim[0] } };
    in.dim[0] = core.dim[1] = 1 + (int64_t)pare_rng_below(&r, (uint64_t)t.dim[1]);
    out.dim[1] = core.dim[0] = 1 + (int64_t)pare_rng_below(&r, (uint64_t)t.dim[0]);
    const pare_type types[] = { in, core, out };
    pare_tensor part[3];
    for (int i = 0; i < 3; i++) {
        assert_int_equal(pare_tensor_of(&types[i], &part[i]), PARE_OK);
        for (int64_t k = 0; k < pare_tensor_count(&part[i]); k++)
            ((float *)part[i].data)[k] = 0.5f * (float)pare_rng_normal(&r);
    }
    pare_weight w;
    assert_int_equal(pare_tucker_encode(&t, &part[0], &part[1], &part[2], &w), PARE_OK);
    for (int i = 0; i < 3; i++) pare_tensor_free(&part[i]);
    return w;
}

static pare_weight make(const pare_codec *c, uint64_t seed)
{
    if (strcmp(c->name, "bitmap") == 0) return make_bitmap(seed);
    if (strcmp(c->name, "penni") == 0) return make_penni(seed);
    if (strcmp(c->name, "tucker") == 0) return make_tucker(seed);
    fail_msg("codec '%s' has no maker in tests/families/test_codecs.c", c->name);
    return (pare_weight){ 0 };
}

/* --- the ONNX body, run by the operators' own eval --- */
enum { MAX_NAMES = 64 };
typedef struct scope {
    const char *name[MAX_NAMES];
    pare_tensor t[MAX_NAMES];
    int n;
} scope;

static pare_tensor *find(scope *s, const char *name)
{
    for (int i = 0; i < s->n; i++)
        if (strcmp(s->name[i], name) == 0) return &s->t[i];
    fail_msg("the body reads '%s' before it is given", name);
    return NULL;
}

static void put(scope *s, const char *name, pare_tensor t)
{
    assert_true(s->n < MAX_NAMES);
    s->name[s->n] = name;
    s->t[s->n++] = t;
}

/* "i64:1,2" or "scalar i64:0" or "f32:0" */
static pare_tensor literal(const char *text)
{
    bool scalar = strncmp(text, "scalar ", 7) == 0;
    if (scalar) text += 7;
    bool real = strncmp(text, "f32:", 4) == 0;
    assert_true(real || strncmp(text, "i64:", 4) == 0);
    int64_t n = 1;
    for (const char *p = text; *p; p++) n += *p == ',';
    pare_tensor t;
    assert_int_equal(pare_tensor_new(real ? PARE_F32 : PARE_I64, scalar ? 0 : 1, &n, &t), PARE_OK);
    char *p = (char *)text + 4;
    for (int64_t i = 0; i < n; i++, p++) {
        if (real)
            ((float *)t.data)[i] = strtof(p, &p);
        else
            ((int64_t *)t.data)[i] = strtoll(p, &p, 10);
    }
    return t;
}

static void run_body(const pare_weight *w, pare_tensor *out)
{
    scope s = { .n = 0 };
    for (int i = 0; i < pare_weight_parts(w); i++)
        put(&s, w->codec->parts[i], pare_tensor_ref(&w->part[i]));
    pare_tensor shape;
    assert_int_equal(pare_tensor_i64(w->type.dim, 1, w->type.rank, &shape), PARE_OK);
    put(&s, "%shape", shape);
    pare_arena *arena = pare_arena_new(0);
    for (const pare_fn_node *f = w->codec->onnx_body; f->op; f++) {
        if (strcmp(f->op, "Constant") == 0) {
            assert_int_equal(strncmp(f->attrs[0], "value=", 6), 0);
            put(&s, f->out[0], literal(f->attrs[0] + 6));
            continue;
        }
        const pare_op *op = pare_op_find(f->op);
        if (!op) fail_msg("codec %s: there is no operator %s", w->codec->name, f->op);
        pare_node node = { .name = f->op, .op = op, .n_out = 1, .attrs_size = op->attrs_size };
        if (op->attrs_size) {
            node.attrs = pare_arena_alloc(arena, op->attrs_size);
            pare_fields_default(op->attrs, node.attrs);
        }
        for (int i = 0; i < 3 && f->attrs[i]; i++) {
            const char *eq = strchr(f->attrs[i], '=');
            const pare_field *field =
                pare_field_find(op->attrs, f->attrs[i], (size_t)(eq - f->attrs[i]));
            assert_non_null(field);
            assert_int_equal(
                pare_field_parse(field, eq + 1, strlen(eq + 1), ',', arena, node.attrs), PARE_OK);
        }
        pare_arg arg[5] = { 0 };
        pare_tensor in[5] = { 0 };
        for (; node.n_in < 5 && f->in[node.n_in]; node.n_in++) {
            if (!*f->in[node.n_in]) continue;
            in[node.n_in] = *find(&s, f->in[node.n_in]);
            arg[node.n_in] =
                (pare_arg){ pare_tensor_type(&in[node.n_in]), find(&s, f->in[node.n_in]) };
        }
        pare_type type;
        pare_tensor made;
        if (op->infer(&node, arg, &type) != PARE_OK)
            fail_msg("%s, %s: %s", w->codec->name, f->op, pare_error());
        assert_int_equal(pare_tensor_of(&type, &made), PARE_OK);
        if (op->eval(&node, in, &made) != PARE_OK)
            fail_msg("%s, %s: %s", w->codec->name, f->op, pare_error());
        put(&s, f->out[0], made);
    }
    *out = pare_tensor_ref(find(&s, "%out"));
    for (int i = 0; i < s.n; i++) pare_tensor_free(&s.t[i]);
    pare_arena_free(arena);
}

/* --- the tests --- */
static void test_body_is_decode(void **state)
{
    for (const pare_codec *const *c = pare_codecs; *c; c++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            pare_weight w = make(*c, seed);
            pare_tensor a, b;
            assert_int_equal(pare_weight_decode(&w, &a), PARE_OK);
            run_body(&w, &b);
            pare_type ta = pare_tensor_type(&a), tb = pare_tensor_type(&b);
            assert_true(ta.dtype == tb.dtype && pare_same_shape(&ta, &tb));
            const float *x = a.data, *y = b.data;
            for (int64_t i = 0; i < pare_tensor_count(&a); i++)
                if (fabsf(x[i] - y[i]) > 2e-6f)
                    fail_msg("codec %s seed %d: element %d is %g by decode and %g by its body",
                             (*c)->name, (int)seed, (int)i, (double)x[i], (double)y[i]);
            pare_tensor_free(&a);
            pare_tensor_free(&b);
            pare_weight_free(&w);
        }
}

static void test_stats_and_check(void **state)
{
    for (const pare_codec *const *c = pare_codecs; *c; c++) {
        assert_ptr_equal(pare_codec_find((*c)->name), *c);
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            pare_weight w = make(*c, seed);
            assert_int_equal((*c)->check(&w), PARE_OK);
            pare_weight_stats s;
            pare_weight_stat(&w, &s);
            assert_true(s.nonzeros >= 0 && s.nonzeros <= s.params && s.stored_bytes > 0);
            assert_true(s.density >= 0 && s.density <= 1);
            pare_weight_free(&w);
        }
    }
    assert_null(pare_codec_find("nonesuch"));
}

/* Each part in turn: one element more, one less, another type; a NaN; a bit too many; another
 * logical shape.
 */
static void test_damage_is_refused(void **state)
{
    for (const pare_codec *const *c = pare_codecs; *c; c++)
        for (uint64_t seed = 0; seed < SEEDS; seed++) {
            pare_weight w = make(*c, seed);
            for (int p = 0; p < pare_weight_parts(&w); p++) {
                pare_tensor keep = w.part[p];
                int64_t n = keep.dim[keep.rank - 1]; /* a basis may have another number of kernels,
                                                        never other kernels */
                for (int delta = -1; delta <= 1; delta += 2) {
                    if (n + delta < 0) continue;
                    pare_tensor other;
                    pare_type t = pare_tensor_type(&keep);
                    t.dim[t.rank - 1] += delta;
                    assert_int_equal(pare_tensor_of(&t, &other), PARE_OK);
                    size_t least = pare_tensor_bytes(delta < 0 ? &other : &keep);
                    memcpy(other.data, keep.data, least);
                    w.part[p] = other;
                    if ((*c)->check(&w) == PARE_OK)
                        fail_msg("%s seed %d: part %d of %d elements passed", (*c)->name, (int)seed,
                                 p, (int)(n + delta));
                    pare_tensor_free(&other);
                }
                w.part[p] = keep;
                w.part[p].dtype = PARE_I8;
                assert_int_equal((*c)->check(&w), PARE_EFORMAT);
                w.part[p] = keep;
                if (keep.dtype == PARE_F32 && pare_tensor_count(&keep) > 0) {
                    float *x = keep.data, old = x[0];
                    x[0] = NAN;
                    assert_int_equal((*c)->check(&w), PARE_EFORMAT);
                    x[0] = old;
                }
                if (keep.dtype == PARE_U8)
                    for (int bit = 0; bit < 8; bit++) {
                        uint8_t *last = (uint8_t *)keep.data + n - 1;
                        *last ^= (uint8_t)(1u << bit);
                        assert_int_equal((*c)->check(&w), PARE_EFORMAT);
                        *last ^= (uint8_t)(1u << bit);
                    }
            }
            w.type.dim[0] += 8;
            assert_int_equal((*c)->check(&w), PARE_EFORMAT);
            w.type.dim[0] = INT64_MAX / 2;
            assert_int_not_equal((*c)->check(&w), PARE_OK);
            w.type.dim[0] = -1;
            assert_int_not_equal((*c)->check(&w), PARE_OK);
            pare_weight_free(&w);
        }
}

static double loss(const pare_weight *w, const float *g)
{
    pare_tensor t;
    assert_int_equal(pare_weight_decode(w, &t), PARE_OK);
    double sum = 0;
    for (int64_t i = 0; i < pare_tensor_count(&t); i++)
        sum += (double)((float *)t.data)[i] * (double)g[i];
    pare_tensor_free(&t);
    return sum;
}

/* The loss sum(g * W) is linear in each part alone, so central differences are exact up to
 * rounding. */
static void test_gradient(void **state)
{
    for (const pare_codec *const *c = pare_codecs; *c; c++)
        for (uint64_t seed = 0; (*c)->grad && seed < SEEDS; seed++) {
            pare_weight w = make(*c, seed);
            pare_rng r = pare_rng_stream(seed, 3);
            float *g = numbers(&r, pare_numel(w.type.rank, w.type.dim), 1);
            pare_tensor d[PARE_MAX_PARTS] = { 0 };
            for (int p = 0; p < pare_weight_parts(&w); p++) {
                pare_type t = pare_tensor_type(&w.part[p]);
                if (t.dtype == PARE_F32) assert_int_equal(pare_tensor_of(&t, &d[p]), PARE_OK);
            }
            assert_int_equal((*c)->grad(&w, g, d), PARE_OK);
            for (int p = 0; p < pare_weight_parts(&w); p++) {
                float *x = w.part[p].data;
                for (int64_t i = 0; d[p].data && i < pare_tensor_count(&d[p]); i++) {
                    float old = x[i], step = 0.125f;
                    x[i] = old + step;
                    double up = loss(&w, g);
                    x[i] = old - step;
                    double want = (up - loss(&w, g)) / 0.25, got = (double)((float *)d[p].data)[i];
                    x[i] = old;
                    if (fabs(got - want) > 1e-4 * (1 + fabs(want)))
                        fail_msg("%s seed %d part %s[%d]: gradient %g, by differences %g",
                                 (*c)->name, (int)seed, (*c)->parts[p], (int)i, got, want);
                }
                pare_tensor_free(&d[p]);
            }
            free(g);
            pare_weight_free(&w);
        }
}

/* By hand: one output channel, two inputs, 1x3 kernels, d = 2. */
static void test_penni_by_hand(void **state)
{
    pare_type t = { PARE_F32, 4, { 1, 2, 1, 3 } };
    float a[] = { 2, 0, 0, -1 }, basis[] = { 1, 0, 1, 0, 3, 0 }, dense[6];
    float want[] = { 2, 0, 2, 0, -3, 0 };
    pare_weight w;
    assert_int_equal(pare_penni_encode(&t, 2, a, NULL, basis, &w), PARE_OK);
    assert_int_equal(((uint8_t *)w.part[PARE_PENNI_MASK].data)[0], 0x09);
    assert_int_equal(w.codec->decode(&w, dense), PARE_OK);
    for (int i = 0; i < 6; i++) assert_true(dense[i] == want[i]);
    pare_weight_stats s;
    pare_weight_stat(&w, &s);
    assert_int_equal(s.params, 2 + 6);
    assert_true(s.density == 0.5);
    assert_true(w.codec->macs(&w, 10) ==
                10 * (2 * 3 + 2)); /* pairs (0,0) and (1,1), two coefficients */
    pare_weight_free(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_penni_by_hand),     cmocka_unit_test(test_stats_and_check),
        cmocka_unit_test(test_damage_is_refused), cmocka_unit_test(test_gradient),
        cmocka_unit_test(test_body_is_decode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
