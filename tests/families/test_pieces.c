/* Convolutions through bfloat16 pieces: every instruction set's kernels beside the plain ones, all
 * of them beside double precision with the bounds that docs/kernels/pieces.md states, and when the
 * plan takes them. */
#include "pare/plan.h"
#include "support/build.h"
#include "support/isa.h"

#include <float.h>
#include <math.h>
#include <stdio.h>

enum { GUARD = 64 };

/* What is dropped of a product, of its magnitude: by rounding both factors, and products of small
 * pieces. */
static const double dropped[] = { 0x1.02p-7, 3.1 * 0x1p-16, 2.1 * 0x1p-24 };
static const pare_precision precision[] = { PARE_PRECISION_BF16, PARE_PRECISION_BF16X2,
                                            PARE_PRECISION_FP32 };

/* Of sums of k products: each is rounded once or less, and joins sums of the other pieces'. */
static double bound_of(size_t pieces, size_t k)
{
    return dropped[pieces - 1] + (double)(k + 24) * 0x1p-24;
}

static float some_number(pare_rng *rng, uint64_t kind)
{
    float x = (float)pare_rng_normal(rng);
    switch (kind % 4) {
    case 1: return ldexpf(x, (int)pare_rng_below(rng, 60) - 30);
    case 2: return x * x + 1;
    case 3: return pare_rng_below(rng, 2) ? x : 0;
    default: return x;
    }
}

static float widened(uint16_t h)
{
    uint32_t u = (uint32_t)h << 16;
    float x;
    memcpy(&x, &u, sizeof x);
    return x;
}

/* Three pieces add up to the number, fewer come near; none is infinite unless the number is. */
static void check_number(float x)
{
    uint16_t piece[PARE_PIECES_MOST];
    for (size_t n = 1; n <= PARE_PIECES_MOST; n++) {
        pare_pieces_of(x, n, piece);
        double sum = 0;
        for (size_t i = 0; i < n; i++) sum += widened(piece[i]);
        if (isnan(x)) {
            assert_true(isnan(widened(piece[0])));
        } else if (isinf(x)) {
            assert_true(sum == x);
        } else {
            static const double off[] = { 0x1p-8, 0x1p-16, 0 };
            /* One piece of a number below 2^-126 is zero. Beyond bfloat16's largest number one
             * piece is infinite, and the first of two is cut, not rounded. */
            bool huge = fabsf(x) >= 0x1.ffp127f, tiny = fabsf(x) < 0x1p-126f;
            if (n == 1 && huge) continue;
            double most = (double)fabsf(x) * off[n - 1] * (huge ? 2 : 1);
            if (fabsf(x) < 0x1p-110f) most += 0x1p-134; /* bfloat16 ends at 2^-133 */
            if (n == 1 && tiny) most = 0x1p-126;
            if (!(fabs(sum - (double)x) <= most))
                fail_msg("%zu pieces of %a add up to %a", n, (double)x, sum);
        }
        for (size_t i = 1; i < n; i++) assert_true(isfinite(widened(piece[i])));
    }
}

static void test_numbers(void **state)
{
    (void)state;
    pare_rng rng = pare_rng_stream(3, 1);
    static const float special[] = {
        0,           -0.0f,        INFINITY,      -INFINITY, NAN,
        0x1p-149f,   0x1.8p-127f,  0x1p-110f,     FLT_MAX,   -FLT_MAX,
        0x1.fep127f, 0x1.ff1p127f, 0x1.fffffep0f, 0x1.01p0f, 0x1.03p0f
    };
    for (size_t i = 0; i < sizeof special / sizeof *special; i++) check_number(special[i]);
    for (int i = 0; i < 200000; i++) {
        uint32_t u = (uint32_t)(pare_rng_u64(&rng) >> 32);
        float x;
        memcpy(&x, &u, sizeof x);
        check_number(x);
    }
    uint32_t low_nan = 0x7f800001; /* its upper half is that of infinity */
    float x;
    memcpy(&x, &low_nan, sizeof x);
    check_number(x);
}

static uint16_t *guarded16(size_t n)
{
    uint16_t *x = malloc((n + 2 * GUARD) * sizeof *x);
    assert_non_null(x);
    memset(x, 0xa5, (n + 2 * GUARD) * sizeof *x);
    return x + GUARD;
}

static void check_cut(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 2);
    const bool planes = seed % 3 == 0;
    size_t channels = 1 + pare_rng_below(&rng, planes ? 8 : 70), pixels = pare_rng_below(&rng, 40),
           vl = planes ? 1 : k->vl, blocks = (channels + vl - 1) / vl,
           width = channels + pare_rng_below(&rng, 40),
           step = planes ? 1 : vl * (1 + pare_rng_below(&rng, 3)), block = (pixels + 1) * step,
           in = blocks * block;
    width += width % 2;
    float *x = malloc(in * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < in; i++) {
        uint32_t u = (uint32_t)(pare_rng_u64(&rng) >> 32);
        memcpy(&x[i], &u, sizeof u); /* all kinds of numbers */
        if (i % vl + i / block * vl >= channels) x[i] = NAN;
    }
    for (size_t pieces = 1; pieces <= PARE_PIECES_MOST; pieces++) {
        const pare_pieces_form *form = &k->pieces[pieces - 1];
        if (!form->conv || (planes && pieces > 1)) continue;
        size_t piece = pixels * width + 3, n = piece * pieces;
        uint16_t *got = guarded16(n), *want = guarded16(n);
        pare_pieces_cut c = { .vl = vl,
                              .pieces = pieces,
                              .pixels = pixels,
                              .channels = channels,
                              .x = x,
                              .x_pixel = step,
                              .x_block = block,
                              .width = width,
                              .piece = piece };
        c.to = want;
        pare_pieces_cut_c(&c);
        c.to = got;
        form->cut(&c);
        for (size_t i = 0; i < n + 2 * GUARD; i++)
            if (got[i - GUARD] != want[i - GUARD])
                fail_msg("pieces_cut/%s %zu pieces, %zu channels of %zu: number %td is %#x, not "
                         "%#x, seed %llu",
                         k->isa, pieces, channels, width, (ptrdiff_t)i - GUARD, got[i - GUARD],
                         want[i - GUARD], (unsigned long long)seed);
        free(got - GUARD);
        free(want - GUARD);
    }
    free(x);
}
static void test_cut(void **state)
{
    (void)state;
    each_isa(check_cut, 150);
}

/* One convolution, by the plain kernel or that of a form, against double precision. */
static void check_sums(const pare_pieces_conv *c, pare_pieces_conv_fn *conv, const float *x,
                       const float *w, size_t words, const char *what)
{
    size_t n = c->blocks * c->y_block, k = 2 * words;
    float *y = malloc((n + 2 * GUARD) * sizeof *y);
    assert_non_null(y);
    for (size_t i = 0; i < n + 2 * GUARD; i++) y[i] = 12345;
    pare_pieces_conv t = *c;
    t.y = y + GUARD;
    conv(&t);
    bool *written = calloc(n + 2 * GUARD, sizeof *written);
    assert_non_null(written);
    for (size_t row = 0; row < c->blocks * c->vl; row++)
        for (size_t p = 0; p < c->pixels; p++) {
            double sum = c->bias[row], all = fabs(sum);
            const float *wk = w + row * k;
            for (size_t r = 0; r < c->runs; r++)
                for (size_t i = 0; i < 2 * (size_t)c->run[r].words; i++, wk++) {
                    double product = (double)x[c->pixel[p] + c->run[r].at + i] * (double)*wk;
                    sum += product, all += fabs(product);
                }
            size_t at = row / c->vl * c->y_block + p * c->vl + row % c->vl;
            if (c->residual) sum += (double)c->residual[at], all += fabs((double)c->residual[at]);
            const pare_finish *f = &c->finish;
            double want = (double)pare_act_apply(f->act, (float)sum, f->lo, f->hi, f->alpha);
            if (!(fabs((double)t.y[at] - want) <= bound_of(c->pieces, k) * all + 1e-37))
                fail_msg("%s: %.9g instead of %.9g, bound %.3g", what, (double)t.y[at], want,
                         bound_of(c->pieces, k) * all);
            written[GUARD + at] = true;
        }
    for (size_t i = 0; i < n + 2 * GUARD; i++)
        if (!written[i] && y[i] != 12345) fail_msg("%s: float %zu is touched", what, i);
    free(written);
    free(y);
}

static void check_conv(const pare_kernels *k, uint64_t seed)
{
    pare_rng rng = pare_rng_stream(seed, 3);
    size_t runs = 1 + pare_rng_below(&rng, 4), blocks = 1 + pare_rng_below(&rng, 5),
           pixels = pare_rng_below(&rng, 45), words = 0, vl = k->vl, rows = blocks * vl, in = 2000;
    pare_pieces_run run[4];
    for (size_t r = 0; r < runs; r++) {
        run[r] = (pare_pieces_run){ 2 * (uint32_t)pare_rng_below(&rng, 300),
                                    1 + (uint32_t)pare_rng_below(&rng, seed % 3 ? 20 : 60) };
        words += run[r].words;
    }
    uint32_t pixel[45];
    for (size_t p = 0; p < pixels; p++) pixel[p] = 2 * (uint32_t)pare_rng_below(&rng, 600);
    if (seed % 5 == 0) { /* rows that lie as tiles would like */
        runs = 1, words = run[0].words = 32;
        for (size_t p = 0; p < pixels; p++) pixel[p] = 20 * (uint32_t)p;
    }
    float *x = malloc(in * sizeof *x), *w = malloc(rows * 2 * words * sizeof *w),
          *bias = malloc(rows * sizeof *bias), *residual;
    uint16_t *cut = malloc(in * PARE_PIECES_MOST * sizeof *cut);
    size_t y_block = (pixels + pare_rng_below(&rng, 3)) * vl;
    residual = malloc((blocks * y_block + 1) * sizeof *residual);
    assert_true(x && w && bias && residual && cut);
    for (size_t i = 0; i < in; i++) x[i] = some_number(&rng, seed);
    for (size_t i = 0; i < rows * 2 * words; i++) w[i] = some_number(&rng, seed / 4);
    for (size_t i = 0; i < rows; i++) bias[i] = (float)pare_rng_normal(&rng);
    for (size_t i = 0; i < blocks * y_block; i++) residual[i] = (float)pare_rng_normal(&rng);
    float *ones = malloc(rows * sizeof *ones);
    assert_non_null(ones);
    for (size_t r = 0; r < rows; r++) ones[r] = 1;
    for (size_t pieces = 1; pieces <= PARE_PIECES_MOST; pieces++) {
        const pare_pieces_form *form = &k->pieces[pieces - 1];
        for (size_t i = 0; i < in; i++) {
            uint16_t piece[PARE_PIECES_MOST];
            pare_pieces_of(x[i], pieces, piece);
            for (size_t n = 0; n < pieces; n++) cut[n * in + i] = piece[n];
        }
        size_t whole = form->conv ? form->whole : 1 + seed % 4,
               all = (words + whole - 1) / whole * whole;
        uint16_t *packed = calloc(pare_pieces_packed(vl, pieces, rows, all), sizeof *packed);
        void *room = form->room ? malloc(form->room(pieces, all, pixels)) : NULL;
        float *wide = calloc(rows * 2 * all, sizeof *wide);
        assert_true(packed && wide);
        for (size_t r = 0; r < rows; r++)
            memcpy(wide + r * 2 * all, w + r * 2 * words, 2 * words * sizeof *wide);
        pare_pieces_pack(vl, pieces, rows, all, wide, ones, packed);
        free(wide);
        pare_pieces_conv c = { .vl = vl,
                               .pieces = pieces,
                               .x = cut,
                               .x_piece = in,
                               .pixels = pixels,
                               .pixel = pixel,
                               .run = run,
                               .runs = runs,
                               .words = all,
                               .blocks = blocks,
                               .w = packed,
                               .bias = bias,
                               .residual = seed % 2 ? residual : NULL,
                               .y_block = y_block,
                               .finish = { (pare_act)(seed / 2 % 4), -1, 2, 0.1f },
                               .room = room };
        char what[160];
        for (int plain = 0; plain < 2; plain++) {
            if (!plain && !form->conv) continue;
            snprintf(what, sizeof what,
                     "pieces_conv/%s, %zu pieces, %zu pixels, %zu blocks, %zu words, seed %llu",
                     plain ? "c" : k->isa, pieces, pixels, blocks, words, (unsigned long long)seed);
            check_sums(&c, plain ? pare_pieces_conv_c : form->conv, x, w, words, what);
        }
        free(packed);
        free(room);
    }
    free(ones);
    free(x);
    free(w);
    free(bias);
    free(residual);
    free(cut);
}
static void test_conv(void **state)
{
    (void)state;
    each_isa(check_conv, 120);
}

/* --- whole layers --- */
typedef struct layer {
    int n, c, h, w, m, kh, kw;
    const char *attrs;
} layer;

static pare_graph *network(const layer *l, bool finite, pare_tensor *in)
{
    pare_graph *g;
    pare_type xt = f32_type(4, l->n, l->c, l->h, l->w), wt = f32_type(4, l->m, l->c, l->kh, l->kw);
    OK(pare_graph_new(&g));
    pare_id x = add_input(g, "x", xt),
            y = add_node(g, "Conv", l->attrs, "conv", 3, x, add_random(g, "w", wt, 7),
                         add_random(g, "b", f32_type(1, l->m), 8));
    OK(pare_infer(g, false));
    OK(pare_graph_mark_output(g, y));
    *in = random_tensor(xt, 9);
    if (!finite) ((float *)in->data)[pare_tensor_count(in) / 2] = INFINITY;
    return g;
}

static const char *impl_of(const pare_plan *plan)
{
    for (size_t i = 0; i < pare_plan_steps(plan); i++) {
        pare_step_info info;
        pare_plan_step(plan, i, &info);
        if (strcmp(info.op, "Conv") == 0) return info.impl;
    }
    return "none";
}

static bool can(size_t pieces)
{
    pare_kernels k;
    pare_kernels_init(&k, pare_cpu_detect());
    return k.pieces[pieces - 1].conv;
}

static const char *const name[] = { "conv_bf16", "conv_bf16x2", "conv_bf16x3" };

/* Outputs beside eval's, which sums in double, and its result with all magnitudes, which the bound
 * is relative to. */
static void check_layer(const layer *l, size_t pieces, bool finite)
{
    pare_tensor in, out = { 0 }, first = { 0 }, want[4] = { 0 }, most[4] = { 0 }, size;
    pare_graph *g = network(l, finite, &in), *copy, *all = network(l, finite, &size);
    OK(pare_graph_clone(g, &copy));
    evaluate_graph(copy, &in, want);
    for (uint32_t i = 1; i < 3; i++) {
        pare_tensor *w = &all->value[all->node[0].in[i]].weight->part[0];
        for (int64_t k = 0; k < pare_tensor_count(w); k++)
            ((float *)w->data)[k] = fabsf(((float *)w->data)[k]);
    }
    for (int64_t i = 0; i < pare_tensor_count(&size); i++)
        ((float *)size.data)[i] = fabsf(((float *)size.data)[i]);
    evaluate_graph(all, &size, most);
    char what[160];
    snprintf(what, sizeof what, "%s, n=%d c=%d %dx%d m=%d %dx%d %s", name[pieces - 1], l->n, l->c,
             l->h, l->w, l->m, l->kh, l->kw, l->attrs);
    for (int threads = 1; threads <= 3; threads++) {
        pare_plan *plan;
        pare_plan_options o = { .threads = threads,
                                .force = name[pieces - 1],
                                .precision = precision[pieces - 1] };
        pare_type type;
        OK(pare_plan_create(g, &o, &plan));
        assert_string_equal(impl_of(plan), name[pieces - 1]);
        pare_plan_output(plan, 0, &type);
        OK(pare_tensor_of(&type, &out));
        memset(out.data, 0xff, pare_tensor_bytes(&out));
        OK(pare_plan_run(plan, &in, &out));
        double bound = bound_of(pieces, (size_t)(l->c * l->kh * l->kw));
        for (int64_t i = 0; i < pare_tensor_count(&out); i++) {
            double y = ((float *)out.data)[i], right = ((float *)want[0].data)[i],
                   scale = ((float *)most[0].data)[i];
            bool good = isfinite(right) ? fabs(y - right) <= bound * scale : !isfinite(y);
            if (!good)
                fail_msg("%s: number %lld is %.9g instead of %.9g, bound %g", what, (long long)i, y,
                         right, bound * scale);
        }
        if (threads == 1)
            first = pare_tensor_ref(&out);
        else if (memcmp(out.data, first.data, pare_tensor_bytes(&out)) != 0)
            fail_msg("%s differs with %d threads", what, threads);
        pare_tensor_free(&out);
        pare_plan_free(plan);
    }
    pare_tensor_free(&first);
    pare_tensor_free(&in);
    pare_tensor_free(&size);
    for (int i = 0; i < 4; i++) pare_tensor_free(&want[i]), pare_tensor_free(&most[i]);
    pare_graph_free(g);
    pare_graph_free(copy);
    pare_graph_free(all);
}

static void test_layers(void **state)
{
    (void)state;
    static const layer layers[] = {
        { 1, 1, 1, 1, 1, 1, 1, "" },
        { 2, 3, 9, 7, 7, 3, 3, "pads=1/1/1/1" },
        { 1, 7, 5, 5, 17, 1, 1, "" },
        { 2, 17, 1, 1, 33, 1, 1, "" },
        { 1, 17, 1, 1, 7, 3, 3, "pads=1/1/1/1" },
        { 2, 6, 9, 9, 8, 1, 1, "strides=3/3,pads=1/0/0/1" },
        { 1, 3, 10, 10, 4, 2, 2, "strides=4/3,dilations=3/2,pads=2/0/1/1" },
        { 1, 20, 11, 12, 5, 3, 2, "dilations=2/3,pads=2/1/1/2" },
        { 1, 64, 20, 21, 70, 3, 3, "pads=1/1/1/1,strides=2/2" },
        { 3, 96, 14, 14, 48, 3, 3, "pads=1/1/1/1" },
        { 1, 300, 7, 7, 64, 1, 1, "" },
        { 1, 2, 1, 50, 3, 1, 5, "pads=0/2/0/2" },
        { 1, 2, 3, 3, 3, 5, 5, "pads=4/4/4/4" },
    };
    for (size_t pieces = 1; pieces <= PARE_PIECES_MOST; pieces++)
        for (size_t i = 0; can(pieces) && i < sizeof layers / sizeof *layers; i++)
            for (int finite = 0; finite < 2; finite++) check_layer(&layers[i], pieces, finite);
}

/* Rounding must be asked for, and is refused where nothing can do it. */
static void test_permission(void **state)
{
    (void)state;
    pare_tensor in;
    pare_plan *plan;
    pare_graph *g = network(&(layer){ 1, 256, 14, 14, 256, 1, 1, "" }, true, &in);
    OK(pare_plan_create(g, NULL, &plan));
    assert_string_not_equal(impl_of(plan), name[0]);
    assert_string_not_equal(impl_of(plan), name[1]);
    pare_plan_free(plan);
    for (size_t pieces = 1; pieces < PARE_PIECES_MOST; pieces++) {
        pare_plan_options o = { .force = name[pieces - 1] };
        assert_int_equal(pare_plan_create(g, &o, &plan), PARE_EINVAL);
        o = (pare_plan_options){ .precision = precision[pieces - 1] };
        if (!can(pieces)) {
            assert_int_equal(pare_plan_create(g, &o, &plan), PARE_EUNSUPPORTED);
            assert_non_null(strstr(pare_error(), "AMX"));
            continue;
        }
        OK(pare_plan_create(g, &o, &plan));
        assert_string_equal(impl_of(plan), name[pieces - 1]);
        pare_plan_free(plan);
    }
    pare_tensor_free(&in);
    pare_graph_free(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_cut),
        cmocka_unit_test(test_conv),       cmocka_unit_test(test_layers),
        cmocka_unit_test(test_permission),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
