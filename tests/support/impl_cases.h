/* Running a small graph by every implementation that concerns it: each gives what the operator's
 * eval gives, and bitwise the same for 1, 2 and 3 threads. */
#ifndef SUPPORT_IMPL_CASES_H
#define SUPPORT_IMPL_CASES_H

#include "base/cpu.h"
#include "pare/plan.h"
#include "runtime/impl.h"
#include "support/build.h"

#include <math.h>
#include <stdio.h>

/* Builds a graph for one case; in[] gets its random inputs. */
typedef struct one_case {
    pare_graph *g;
    pare_tensor in[4];
    char what[200];
    bool front; /* nodes "front" stand before the operator */
} one_case;

static const char *only; /* the one implementation to be tried; NULL: all */
static size_t ran[64];   /* per implementation of the registry: how often a plan used it here */

/* Implementations that round factors, and what is left of the numbers in these cases; none of the
 * others is asked to. test_pieces.c has the bounds. */
typedef struct rounding {
    pare_precision precision;
    double tolerance;
} rounding;
static inline rounding rounding_of(const char *impl)
{
    const char *at = strstr(impl, "_bf16");
    if (!at || strncmp(at, "_bf16x3", 7) == 0) return (rounding){ PARE_PRECISION_FP32, 2e-5 };
    return strncmp(at, "_bf16x2", 7) == 0 ? (rounding){ PARE_PRECISION_BF16X2, 1e-3 }
                                          : (rounding){ PARE_PRECISION_BF16, 6e-2 };
}
/* May it run here at all? */
static inline bool runs_here(const char *impl)
{
    pare_kernels k;
    pare_kernels_init(&k, pare_cpu_detect());
    if (strstr(impl, "int8_pairs")) return k.int8_pairs;
    const char *at = strstr(impl, "_bf16");
    return !at || k.pieces[at[5] == 'x' ? at[6] - '1' : 0].conv;
}

/* Is it more than a minute's work for an emulator of tiles? */
static inline bool takes_long(const pare_plan *plan)
{
    enum { MOST_MACS = 150000 };
    pare_kernels k;
    pare_kernels_init(&k, pare_cpu_detect());
    for (size_t s = 0; k.pieces[2].conv && s < pare_plan_steps(plan); s++) {
        pare_step_info info;
        pare_plan_step(plan, s, &info);
        if (strstr(info.impl, "_bf16") && info.macs > MOST_MACS) return true;
    }
    return false;
}

static inline void run_case(one_case *c)
{
    pare_graph *copy;
    OK(pare_graph_clone(c->g, &copy));
    pare_tensor want[4] = { 0 };
    evaluate_graph(copy, c->in, want);
    for (size_t i = 0; pare_impls[i]; i++) {
        assert_true(i < sizeof ran / sizeof *ran);
        bool concerns = false;
        for (uint32_t n = 0; n < c->g->n_nodes && !concerns; n++)
            concerns = pare_impls[i]->op && strcmp(c->g->node[n].name, "front") != 0 &&
                       pare_impl_for(pare_impls[i], c->g->node[n].op->name);
        if (!concerns || (only && strcmp(only, pare_impls[i]->name) != 0)) continue;
        if (!runs_here(pare_impls[i]->name)) continue;
        const rounding r = rounding_of(pare_impls[i]->name);
        pare_tensor first[4] = { 0 };
        char force[100];
        snprintf(force, sizeof force, "%s%s", pare_impls[i]->name,
                 c->front ? ",front=*_blocked" : "");
        for (int threads = 1; threads <= 3; threads++) {
            pare_plan *plan;
            pare_status st =
                pare_plan_create(c->g,
                                 &(pare_plan_options){
                                     .threads = threads, .force = force, .precision = r.precision },
                                 &plan);
            if (st == PARE_EINVAL && strstr(pare_error(), "cannot be run by")) break;
            if (st != PARE_OK) fail_msg("%s: %s: %s", c->what, pare_impls[i]->name, pare_error());
            if (takes_long(plan)) {
                pare_plan_free(plan);
                break;
            }
            for (size_t s = 0; s < pare_plan_steps(plan); s++) {
                pare_step_info info;
                pare_plan_step(plan, s, &info);
                ran[i] += strcmp(info.impl, pare_impls[i]->name) == 0;
            }
            char what[300];
            snprintf(what, sizeof what, "%s by %s with %d threads", c->what, pare_impls[i]->name,
                     threads);
            pare_tensor out[4] = { 0 };
            for (uint32_t o = 0; o < c->g->n_outputs; o++) {
                pare_type t;
                pare_plan_output(plan, o, &t);
                OK(pare_tensor_of(&t, &out[o]));
                /* What is not written shows. */
                memset(out[o].data, 0xff, pare_tensor_bytes(&out[o]));
            }
            OK(pare_plan_run(plan, c->in, out));
            for (uint32_t o = 0; o < c->g->n_outputs; o++) {
                assert_close(&out[o], &want[o], r.tolerance, what);
                if (threads == 1)
                    first[o] = pare_tensor_ref(&out[o]);
                else if (memcmp(out[o].data, first[o].data, pare_tensor_bytes(&out[o])) != 0)
                    fail_msg("%s differs from one thread", what);
                pare_tensor_free(&out[o]);
            }
            pare_plan_free(plan);
        }
        for (int o = 0; o < 4; o++) pare_tensor_free(&first[o]);
    }
    for (int o = 0; o < 4; o++) pare_tensor_free(&want[o]);
    for (int i = 0; i < 4; i++) pare_tensor_free(&c->in[i]);
    pare_graph_free(copy);
    pare_graph_free(c->g);
}

typedef struct conv_case {
    int n, c, h, w, m, kh, kw, group;
    const char *attrs;
} conv_case;

/* Does it work on integers of 8 bits? */
static inline bool on_bytes(const char *impl)
{
    return strncmp(impl, "bytes_", 6) == 0 || strstr(impl, "int8") || strstr(impl, "lowbit");
}

/* Cases are worth something only if they reach every implementation for dense operators, of those
 * on bytes or of the others. */
static inline void all_ran(bool bytes)
{
    for (size_t i = 0; pare_impls[i]; i++)
        if (pare_impls[i]->op && !pare_impls[i]->codec && !ran[i] &&
            on_bytes(pare_impls[i]->name) == bytes && runs_here(pare_impls[i]->name))
            fail_msg("no case of this test runs %s", pare_impls[i]->name);
}

#endif
