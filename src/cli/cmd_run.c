/* pare run: one execution on tensors from .npy files, or one for each picture.
 */
#include "cli/cli.h"

#include "base/files.h"

#include <malloc.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct options {
    cli_common common;
    pare_strs in, shape;
    const char *out, *labels, *force_impl;
    bool force;
    int64_t top, batch;
    cli_preprocess pp;
    cli_arithmetic arithmetic;
} options;

static const pare_field fields[] = {
    PARE_STRS(options, in,
              "[NAME=]X.npy: an input tensor (repeatable); the name may be left out if there is "
              "one input"),
    PARE_STR(options, out, NULL,
             "DIR: write every output to DIR/<output>.npy ('/' in a name becomes '_')"),
    PARE_FLAG(options, force, false, "replace existing files"),
    PARE_INT(options, top, 0, 0, 1000, "K",
             "print the K best classes of the first output; 5 for pictures"),
    PARE_STR(options, labels, NULL, "FILE: names of the classes, one a line"),
    PARE_INT(options, batch, 1, 1, 65536, "N", "for a free first dimension that no tensor decides"),
    PARE_STRS(options, shape, "NAME=1x3x224x224: shape of an input (repeatable)"),
    PARE_STR(options, force_impl, NULL,
             "PATTERN: use implementations of these names (LAYER=PATTERN for one layer)"),
    PARE_FIELDS_END,
};
static const cli_group groups[] = { { "Inputs and outputs", fields, 0, NULL },
                                    CLI_PREPROCESS(options),
                                    CLI_ARITHMETIC(options),
                                    { NULL, NULL, 0, NULL } };

/* Everything that one execution of the command holds. */
typedef struct state {
    const options *o;
    pare_graph *graph;
    pare_plan *plan;
    pare_preprocess pp;
    size_t n_in, n_out, n_files, n_shapes;
    pare_strs given;       /* texts of --in, then the arguments that are tensors */
    char **name;           /* input each of them is for; "" for the only one */
    pare_tensor *file;     /* their tensors */
    pare_shape *shape;     /* those of the files, then those of --shape */
    pare_tensor *in, *out; /* of the plan; in borrows from file or owns */
    bool own_inputs;
    pare_tensor *all; /* outputs of all pictures, first dimension stacked */
    char *label_text;
    char **label;
    size_t n_labels;
} state;

static pare_status read_labels(state *s, const char *path)
{
    uint8_t *data;
    size_t size;
    PARE_TRY(pare_read_file(path, 16 << 20, &data, &size));
    s->label_text = (char *)data;
    size_t lines = 1;
    for (size_t i = 0; i < size; i++) lines += data[i] == '\n';
    s->label = calloc(lines, sizeof *s->label);
    if (!s->label) return pare_fail(PARE_ENOMEM, "no memory for %zu labels", lines);
    for (char *p = s->label_text; *p;) {
        size_t len = strcspn(p, "\r\n");
        bool more = p[len] != 0;
        char *next = p + len + (more ? 1 : 0);
        if (p[len] == '\r' && *next == '\n') next++;
        p[len] = 0;
        s->label[s->n_labels++] = p;
        p = next;
    }
    return PARE_OK;
}

/* "NAME=X.npy" or "X.npy": where a file of the whole text exists, the '='
 * belongs to its name. */
static pare_status read_tensors(state *s)
{
    const pare_strs *in = &s->given;
    s->name = calloc(in->n + 1, sizeof *s->name);
    s->file = calloc(in->n + 1, sizeof *s->file);
    if (!s->name || !s->file) return pare_fail(PARE_ENOMEM, "no memory for %zu inputs", in->n);
    for (size_t i = 0; i < in->n; i++) {
        char *text = (char *)in->v[i], *eq = strrchr(text, '=');
        const char *path = text;
        s->name[i] = "";
        if (eq && !pare_file_exists(text)) {
            *eq = 0; /* our own copy, in the arena of the options */
            s->name[i] = text;
            path = eq + 1;
        }
        PARE_TRY(pare_npy_load(path, &s->file[i]));
        s->n_files = i + 1;
        for (size_t k = 0; k < i; k++)
            if (strcmp(s->name[k], s->name[i]) == 0 && !*s->name[i])
                return pare_fail(
                    PARE_EINVAL,
                    "--in: '%.200s' and '%.200s' have no name; say which as NAME=X.npy", in->v[k],
                    in->v[i]);
            else if (strcmp(s->name[k], s->name[i]) == 0)
                return pare_fail(PARE_EINVAL, "--in: input '%.200s' is given twice", s->name[i]);
    }
    return PARE_OK;
}

static pare_status collect_shapes(state *s)
{
    pare_shape *given = NULL;
    size_t n_given = 0;
    PARE_TRY(cli_shapes(&s->o->shape, &given, &n_given));
    s->shape = calloc(s->n_files + n_given + 1, sizeof *s->shape);
    if (!s->shape) {
        free(given);
        return pare_fail(PARE_ENOMEM, "no memory for shapes");
    }
    for (size_t i = 0; i < s->n_files; i++) {
        pare_shape *t = &s->shape[s->n_shapes++];
        t->name = *s->name[i] ? s->name[i] : NULL;
        t->rank = s->file[i].rank;
        memcpy(t->dim, s->file[i].dim, sizeof t->dim);
    }
    if (n_given) memcpy(s->shape + s->n_shapes, given, n_given * sizeof *given);
    s->n_shapes += n_given;
    free(given);
    return PARE_OK;
}

static bool is_integer(pare_dtype t) { return t == PARE_I64 || t == PARE_I32; }

/* Plans. Where a shape depends on the numbers in an integer input (a Reshape's
 * target, say), these inputs become constants and planning is tried once more.
 */
static pare_status make_plan(state *s, int64_t batch)
{
    pare_plan_options po = { .threads = (int)s->o->common.threads,
                             .batch = batch,
                             .shapes = s->shape,
                             .n_shapes = s->n_shapes,
                             .force = s->o->force_impl,
                             .no_winograd = s->o->arithmetic.no_winograd,
                             .precision = (pare_precision)s->o->arithmetic.precision,
                             .no_integers = s->o->arithmetic.no_integers };
    size_t bound = 0, left = 0;
    for (size_t i = 0; i < s->n_files; i++)
        if (is_integer(s->file[i].dtype)) bound++;
    if (bound == 0) {
        pare_graph *g = s->graph;
        s->graph = NULL;
        return pare_plan_take(g, &po, &s->plan);
    }
    pare_status st = pare_plan_create(s->graph, &po, &s->plan);
    if (st != PARE_EUNSUPPORTED) return st;
    for (size_t i = 0; i < s->n_files; i++) {
        if (is_integer(s->file[i].dtype)) {
            PARE_TRY(pare_model_bind_input(s->graph, *s->name[i] ? s->name[i] : NULL, &s->file[i]));
            pare_tensor_free(&s->file[i]);
            continue;
        }
        s->file[left] = s->file[i];
        s->name[left] = s->name[i];
        s->shape[left] = s->shape[i];
        if (left++ != i) memset(&s->file[i], 0, sizeof s->file[i]);
    }
    memmove(s->shape + left, s->shape + s->n_files, (s->n_shapes - s->n_files) * sizeof *s->shape);
    s->n_shapes -= s->n_files - left;
    s->n_files = left;
    po.n_shapes = s->n_shapes;
    return pare_plan_create(s->graph, &po, &s->plan);
}

static pare_status allocate(state *s, bool pictures)
{
    s->n_in = pare_plan_inputs(s->plan);
    s->n_out = pare_plan_outputs(s->plan);
    s->in = calloc(s->n_in + 1, sizeof *s->in);
    s->out = calloc(s->n_out + 1, sizeof *s->out);
    s->all = calloc(s->n_out + 1, sizeof *s->all);
    if (!s->in || !s->out || !s->all) return pare_fail(PARE_ENOMEM, "no memory for tensors");
    pare_type t;
    for (size_t i = 0; i < s->n_out; i++) {
        pare_plan_output(s->plan, i, &t);
        PARE_TRY(pare_tensor_new(t.dtype, t.rank, t.dim, &s->out[i]));
    }
    if (pictures) {
        if (s->n_in != 1)
            return pare_fail(PARE_EINVAL,
                             "pictures fit networks with one input; this one has %zu: use --in",
                             s->n_in);
        s->own_inputs = true;
        return PARE_OK;
    }
    for (size_t k = 0; k < s->n_files; k++) {
        bool used = false;
        for (size_t i = 0; i < s->n_in; i++) {
            const char *name = pare_plan_input(s->plan, i, &t);
            if (*s->name[k] ? strcmp(name, s->name[k]) != 0 : s->n_in != 1) continue;
            s->in[i] = s->file[k];
            used = true;
        }
        if (!used && !*s->name[k])
            return pare_fail(PARE_EINVAL,
                             "--in: the network has %zu inputs; say which as NAME=X.npy", s->n_in);
        if (!used)
            return pare_fail(PARE_EINVAL, "--in: the network has no input '%.200s'", s->name[k]);
    }
    for (size_t i = 0; i < s->n_in; i++) {
        char want[160], have[160];
        const char *name = pare_plan_input(s->plan, i, &t);
        pare_type given = { .dtype = s->in[i].dtype, .rank = s->in[i].rank };
        memcpy(given.dim, s->in[i].dim, sizeof given.dim);
        if (!s->in[i].data && pare_numel(s->in[i].rank, s->in[i].dim) != 0 &&
            s->in[i].dtype == PARE_UNDEFINED)
            return pare_fail(PARE_EINVAL, "input '%.200s' is missing; give --in %.200s=X.npy", name,
                             name);
        if (given.dtype != t.dtype) /* shapes were compared while planning */
            return pare_fail(PARE_EINVAL, "input '%.200s' is %s instead of %s", name,
                             cli_type_text(&given, have, sizeof have),
                             cli_type_text(&t, want, sizeof want));
    }
    return PARE_OK;
}

static char *output_path(const state *s, size_t i)
{
    pare_type t;
    char *path = pare_format("%s/%s.npy", s->o->out, pare_plan_output(s->plan, i, &t));
    for (char *p = path ? path + strlen(s->o->out) + 1 : NULL; p && *p; p++)
        if (*p == '/') *p = '_';
    return path;
}

/* Refuses before the run what would fail after it; also two outputs whose file
 * names coincide. */
static pare_status check_outputs(const state *s)
{
    pare_status st = pare_make_dirs(s->o->out);
    for (size_t i = 0; st == PARE_OK && i < s->n_out; i++) {
        char *path = output_path(s, i);
        if (!path) return pare_fail(PARE_ENOMEM, "no memory for a file name");
        st = cli_check_output(path, s->o->force, NULL);
        for (size_t k = 0; st == PARE_OK && k < i; k++) {
            char *other = output_path(s, k);
            if (!other)
                st = pare_fail(PARE_ENOMEM, "no memory for a file name");
            else if (strcmp(other, path) == 0)
                st = pare_fail(PARE_EINVAL, "two outputs would both be written to '%s'", path);
            free(other);
        }
        free(path);
    }
    return st;
}

static pare_status save_outputs(const state *s, const pare_tensor *t)
{
    for (size_t i = 0; i < s->n_out; i++) {
        char *path = output_path(s, i);
        if (!path) return pare_fail(PARE_ENOMEM, "no memory for a file name");
        pare_status st = pare_npy_save(&t[i], path, s->o->force);
        free(path);
        if (st != PARE_OK) return st;
    }
    return PARE_OK;
}

/* The K best of `n` scores, greatest first; the lower index wins a tie, and NaN loses to
 * everything. */
static void best_of(const float *x, size_t n, size_t k, size_t *best)
{
    size_t have = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = have;
        while (at > 0 && (x[i] > x[best[at - 1]] || (isnan(x[best[at - 1]]) && !isnan(x[i])))) at--;
        if (at == k) continue;
        if (have < k) have++;
        memmove(best + at + 1, best + at, (have - at - 1) * sizeof *best);
        best[at] = i;
    }
}

/* How scores are shown as probabilities: as they are, or by a softmax over them. */
typedef struct scale {
    bool as_is;
    double most, sum;
} scale;

static scale scale_of(const float *x, size_t n)
{
    double sum = 0, most = -INFINITY, low = INFINITY;
    for (size_t k = 0; k < n; k++) {
        sum += x[k];
        if (x[k] > most) most = x[k];
        if (x[k] < low) low = x[k];
    }
    scale s = { .as_is = low >= 0 && fabs(sum - 1) < 1e-3, .most = most };
    for (size_t k = 0; k < n && !s.as_is; k++) s.sum += exp(x[k] - most);
    return s;
}

static double probability(const scale *s, double x)
{
    return s->as_is ? x : exp(x - s->most) / s->sum;
}

static pare_status print_top(const state *s, const char *file, json_t *results)
{
    const pare_tensor *t = &s->out[0];
    int64_t rows = t->rank > 1 ? t->dim[0] : 1, total = pare_numel(t->rank, t->dim);
    size_t top = s->o->top ? (size_t)s->o->top : 5, skip = (size_t)s->pp.skip;
    if (t->dtype != PARE_F32 || rows < 1 || total < rows || (size_t)(total / rows) <= skip)
        return pare_fail(PARE_EINVAL,
                         "the first output holds no scores of classes; --top needs float32 and "
                         "more than %zu numbers",
                         skip);
    size_t each = (size_t)(total / rows), n = each - skip, best[1000];
    if (top > n) top = n;
    for (int64_t r = 0; r < rows; r++) {
        const float *x = (const float *)t->data + (size_t)r * each + skip;
        best_of(x, n, top, best);
        scale shown = scale_of(x, n);
        json_t *item = NULL, *list = NULL;
        if (results) {
            item = json_object();
            list = json_array();
            cli_set(item, "file", cli_json_text(file));
            cli_set(item, "row", json_integer(r));
        } else {
            printf("%s%s\n", cli_text(file ? file : "input"),
                   rows > 1 ? " (one of several rows)" : "");
        }
        for (size_t k = 0; k < top; k++) {
            const char *label = best[k] < s->n_labels ? s->label[best[k]] : NULL;
            double p = probability(&shown, x[best[k]]);
            if (!results) {
                printf("  %7.3f %%  %5zu  %s\n", 100 * p, best[k], label ? cli_text(label) : "");
                continue;
            }
            json_t *j = json_object();
            cli_set(j, "class", json_integer((json_int_t)best[k]));
            cli_set(j, "label", cli_json_text(label));
            cli_set(j, "score", cli_json_number(x[best[k]]));
            cli_set(j, "probability", cli_json_number(p));
            cli_push(list, j);
        }
        if (!results) continue;
        cli_set(item, "top", list);
        cli_push(results, item);
    }
    return PARE_OK;
}

/* Value i of a tensor as a number, for the summary. */
static double value_at(const pare_tensor *t, int64_t i)
{
    switch (t->dtype) {
    case PARE_F32: return ((const float *)t->data)[i];
    case PARE_F64: return ((const double *)t->data)[i];
    case PARE_U8:
    case PARE_BOOL: return ((const uint8_t *)t->data)[i];
    case PARE_I8: return ((const int8_t *)t->data)[i];
    case PARE_U16: return ((const uint16_t *)t->data)[i];
    case PARE_I16: return ((const int16_t *)t->data)[i];
    case PARE_I32: return ((const int32_t *)t->data)[i];
    case PARE_U32: return ((const uint32_t *)t->data)[i];
    case PARE_I64: return (double)((const int64_t *)t->data)[i];
    case PARE_U64: return (double)((const uint64_t *)t->data)[i];
    default: return NAN;
    }
}

static void describe_outputs(const state *s, const pare_tensor *t, json_t *outputs)
{
    for (size_t i = 0; i < s->n_out; i++) {
        pare_type type;
        char text[160];
        const char *name = pare_plan_output(s->plan, i, &type);
        memcpy(type.dim, t[i].dim, sizeof type.dim);
        int64_t n = pare_numel(t[i].rank, t[i].dim);
        double low = INFINITY, high = -INFINITY, sum = 0;
        for (int64_t k = 0; k < n; k++) {
            double v = value_at(&t[i], k);
            if (v < low) low = v;
            if (v > high) high = v;
            sum += v;
        }
        if (!outputs) {
            printf("%s: %s", cli_text(name), cli_type_text(&type, text, sizeof text));
            if (n > 0) printf(", %g to %g, mean %g", low, high, sum / (double)n);
            putchar('\n');
            continue;
        }
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(name));
        cli_set(j, "dtype", cli_json_text(pare_dtype_name(type.dtype)));
        cli_set(j, "shape", cli_json_shape(&type));
        cli_set(j, "min", cli_json_number(low));
        cli_set(j, "max", cli_json_number(high));
        cli_set(j, "mean", n ? cli_json_number(sum / (double)n) : json_null());
        cli_push(outputs, j);
    }
}

/* Room for the outputs of all pictures together. */
static pare_status allocate_all(state *s, size_t pictures)
{
    for (size_t i = 0; i < s->n_out; i++) {
        int64_t dim[PARE_MAX_RANK];
        memcpy(dim, s->out[i].dim, sizeof dim);
        if (pictures > 1 && (s->out[i].rank < 1 || dim[0] != 1))
            return pare_fail(PARE_EINVAL,
                             "--out with %zu pictures needs outputs whose first dimension is 1",
                             pictures);
        if (pictures > 1) dim[0] = (int64_t)pictures;
        PARE_TRY(pare_tensor_new(s->out[i].dtype, s->out[i].rank, dim, &s->all[i]));
    }
    return PARE_OK;
}

static pare_status run_pictures(state *s, char **files, json_t *results)
{
    size_t n = 0;
    while (files[n]) n++;
    if (s->o->out) PARE_TRY(allocate_all(s, n));
    pare_type type;
    pare_plan_input(s->plan, 0, &type);
    for (size_t k = 0; k < n; k++) {
        PARE_TRY(pare_image_load(files[k], &s->pp, &type, &s->in[0]));
        pare_status st = pare_plan_run(s->plan, s->in, s->out);
        pare_tensor_free(&s->in[0]);
        if (st != PARE_OK) return pare_note(st, "%s", files[k]);
        PARE_TRY(print_top(s, files[k], results));
        for (size_t i = 0; s->o->out && i < s->n_out; i++) {
            size_t bytes = (size_t)pare_numel(s->out[i].rank, s->out[i].dim) *
                           pare_dtype_size(s->out[i].dtype);
            if (bytes) memcpy((char *)s->all[i].data + k * bytes, s->out[i].data, bytes);
        }
    }
    return s->o->out ? save_outputs(s, s->all) : PARE_OK;
}

/* Sorts the arguments: tensors join those of --in; *pictures: whether the others are any. */
static pare_status collect_inputs(state *s, char **files, bool *pictures)
{
    const pare_strs *in = &s->o->in;
    size_t n = in->n;
    while (files[n - in->n]) n++;
    s->given.v = calloc(n + 1, sizeof *s->given.v);
    if (!s->given.v) return pare_fail(PARE_ENOMEM, "no memory for %zu inputs", n);
    for (size_t i = 0; i < in->n; i++) s->given.v[s->given.n++] = in->v[i];
    *pictures = false;
    for (; *files; files++) {
        const char *dot = strrchr(*files, '.');
        if (dot && strcmp(dot, ".npy") == 0)
            s->given.v[s->given.n++] = *files;
        else
            *pictures = true;
    }
    if (*pictures && s->given.n)
        return pare_fail(PARE_EINVAL, "give either pictures or tensors ('%.200s'), not both",
                         s->given.v[0]);
    return PARE_OK;
}

/* What ran: as `layers` of the JSON object; else, where rounding was allowed, how often it is made
 * use of. */
static void describe_steps(const state *s, json_t *root)
{
    const char *asked = cli_precision_name(s->o->arithmetic.precision);
    json_t *layers = root ? json_array() : NULL;
    size_t n = pare_plan_steps(s->plan), rounded = 0;
    for (size_t i = 0; i < n; i++) {
        pare_step_info step;
        pare_plan_step(s->plan, i, &step);
        rounded += step.precision != PARE_PRECISION_FP32;
        if (!root) continue;
        json_t *j = json_object();
        cli_set(j, "name", cli_json_text(step.name));
        cli_set(j, "op", cli_json_text(step.op));
        cli_set(j, "impl", cli_json_text(step.impl));
        cli_set(j, "precision", json_string(cli_precision_name((int)step.precision)));
        cli_push(layers, j);
    }
    if (root) {
        cli_set(root, "precision", json_string(asked));
        cli_set(root, "layers", layers);
    } else if (s->o->arithmetic.precision != PARE_PRECISION_FP32)
        printf("precision %s: used by %zu of %zu layers\n", asked, rounded, n);
}

/* Refuses options that would be ignored. */
static pare_status check_options(const options *o, bool pictures)
{
    if (pictures && o->batch > 1)
        return pare_fail(PARE_EINVAL, "--batch %lld: pictures run one at a time",
                         (long long)o->batch);
    if (pictures) return PARE_OK;
    if (o->labels && !o->top)
        return pare_fail(PARE_EINVAL, "--labels would change nothing: give --top, too");
    cli_preprocess pp = o->pp;
    if (o->top) pp.skip = PARE_INT_UNSET; /* counts outputs, not pixels */
    return cli_preprocess_unused(&pp, "tensors are taken as they are");
}

static pare_status execute(state *s, char **files, json_t *root)
{
    const options *o = s->o;
    bool pictures;
    PARE_TRY(collect_inputs(s, files, &pictures));
    PARE_TRY(check_options(o, pictures));
    PARE_TRY(cli_preprocess_resolve(&o->pp, s->graph, &s->pp));
    if (o->labels) PARE_TRY(read_labels(s, o->labels));
    PARE_TRY(read_tensors(s));
    PARE_TRY(collect_shapes(s));
    PARE_TRY(make_plan(s, pictures ? 1 : o->batch));
    PARE_TRY(allocate(s, pictures));
    if (o->out) PARE_TRY(check_outputs(s));
    json_t *results = root ? json_array() : NULL;
    if (root) cli_set(root, "results", results);
    if (pictures) return run_pictures(s, files, results);
    PARE_TRY(pare_plan_run(s->plan, s->in, s->out));
    if (o->top) PARE_TRY(print_top(s, s->given.n == 1 ? s->given.v[0] : NULL, results));
    if (o->out) PARE_TRY(save_outputs(s, s->out));
    json_t *outputs = root ? json_array() : NULL;
    if (root) cli_set(root, "outputs", outputs);
    if (root || !o->top) describe_outputs(s, s->out, outputs);
    return PARE_OK;
}

static pare_status run(const void *opt, char **args)
{
#ifdef __GLIBC__
    mallopt(M_ARENA_MAX, 1); /* what one thread frees while packing serves the others */
#endif
    state s = { .o = opt };
    json_t *root = s.o->common.json ? json_object() : NULL;
    if (root) cli_set(root, "file", cli_json_text(args[0]));
    pare_status st = pare_model_open(args[0], &s.graph);
    if (st == PARE_OK) st = execute(&s, args + 1, root);
    if (st == PARE_OK) describe_steps(&s, root);
    if (st == PARE_OK && s.o->common.json) {
        st = cli_json_print(root);
        root = NULL;
    }
    json_decref(root);
    for (size_t i = 0; s.in && s.own_inputs && i < s.n_in; i++) pare_tensor_free(&s.in[i]);
    for (size_t i = 0; s.out && i < s.n_out; i++) pare_tensor_free(&s.out[i]);
    for (size_t i = 0; s.all && i < s.n_out; i++) pare_tensor_free(&s.all[i]);
    for (size_t i = 0; s.file && i < s.given.n; i++) pare_tensor_free(&s.file[i]);
    free(s.in);
    free(s.out);
    free(s.all);
    free(s.file);
    free(s.name);
    free(s.given.v);
    free(s.shape);
    free(s.label);
    free(s.label_text);
    pare_plan_free(s.plan);
    pare_graph_free(s.graph);
    return st;
}

const cli_command cli_command_run = {
    .name = "run",
    .summary = "run a network on tensors or pictures",
    .arguments = "MODEL.onnx [PICTURE ...|X.npy ...]",
    .examples = "pare run net.onnx cat.jpg --top 5 --labels classes.txt\n"
                "pare run net.onnx x.npy --out results\n"
                "pare run net.onnx --in image=x.npy --in size=s.npy --json\n",
    .min_args = 1,
    .max_args = 1000000,
    .options_size = sizeof(options),
    .groups = groups,
    .run = run,
};
