/* Options that mean the same wherever they appear: preprocessing, training,
 * shapes, outputs. */
#define _GNU_SOURCE
#include "cli/cli.h"

#include "base/files.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

const pare_field cli_preprocess_fields[] = {
    PARE_STR(cli_preprocess, preprocess, NULL,
             "FILE.json[:NAME]: read the steps from a file; default: the model's metadata"),
    PARE_REALS(cli_preprocess, mean, -1e9, 1e9, "A[,B,C]",
               "subtract from pixels of 0 to 255: (x - mean) * scale"),
    PARE_REALS(cli_preprocess, scale, -1e9, 1e9, "A[,B,C]", "multiply with"),
    PARE_ENUM(cli_preprocess, order, -1, "rgb|bgr", "order of the channels"),
    PARE_ENUM(cli_preprocess, layout, -1, "nchw|nhwc", "order of the dimensions"),
    PARE_INT(cli_preprocess, skip, PARE_INT_UNSET, 0, 1000000, "N",
             "drop the first N outputs before comparing with labels"),
    PARE_STR(cli_preprocess, resize, NULL, "WxH: resize pictures, bilinear"),
    PARE_STR(cli_preprocess, crop, NULL, "WxH: then take the middle"),
    PARE_FIELDS_END,
};

/* "224x224" */
static pare_status parse_size(const char *option, const char *text, int *w, int *h)
{
    char *end;
    errno = 0;
    long a = strtol(text, &end, 10), b = 0;
    if (*end == 'x' && end != text) {
        const char *second = end + 1;
        b = strtol(second, &end, 10);
        if (end == second) b = 0;
    }
    if (*end || errno || a < 1 || b < 1 || a > 65535 || b > 65535)
        return pare_fail(PARE_EINVAL,
                         "%s: '%.80s' is not WIDTHxHEIGHT with numbers from 1 to 65535", option,
                         text);
    *w = (int)a;
    *h = (int)b;
    return PARE_OK;
}

static pare_status take_reals(const char *option, const pare_reals *r, int *n, float out[4])
{
    if (!r->v) return PARE_OK;
    if (r->n < 1 || r->n > 4)
        return pare_fail(PARE_EINVAL, "%s: %zu numbers, where 1 to 4 are expected", option, r->n);
    *n = (int)r->n;
    for (size_t i = 0; i < r->n; i++) out[i] = (float)r->v[i];
    return PARE_OK;
}

pare_status cli_preprocess_resolve(const cli_preprocess *o, const pare_graph *graph,
                                   pare_preprocess *out)
{
    memset(out, 0, sizeof *out);
    bool found = false;
    if (o->preprocess)
        PARE_TRY(pare_preprocess_load(o->preprocess, out));
    else if (graph)
        PARE_TRY(pare_preprocess_from_model(graph, out, &found));
    PARE_TRY(take_reals("--mean", &o->mean, &out->n_mean, out->mean));
    PARE_TRY(take_reals("--scale", &o->scale, &out->n_scale, out->scale));
    if (o->order >= 0) out->bgr = o->order == 1;
    if (o->layout >= 0) out->nhwc = o->layout == 1;
    if (o->skip != PARE_INT_UNSET) out->skip = (int)o->skip;
    if (o->resize) PARE_TRY(parse_size("--resize", o->resize, &out->resize_w, &out->resize_h));
    if (o->crop) PARE_TRY(parse_size("--crop", o->crop, &out->crop_w, &out->crop_h));
    return PARE_OK;
}

pare_status cli_preprocess_unused(const cli_preprocess *o, const char *why)
{
    const struct {
        const char *name;
        bool given;
    } all[] = { { "preprocess", o->preprocess != NULL },
                { "mean", o->mean.v != NULL },
                { "scale", o->scale.v != NULL },
                { "order", o->order >= 0 },
                { "layout", o->layout >= 0 },
                { "resize", o->resize != NULL },
                { "crop", o->crop != NULL },
                { "skip", o->skip != PARE_INT_UNSET } };
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].given)
            return pare_fail(PARE_EINVAL, "--%s would change nothing: %s", all[i].name, why);
    return PARE_OK;
}

#define NO_WINOGRAD \
    PARE_FLAG(cli_arithmetic, no_winograd, false, "never transform convolutions (Winograd)")
#define NO_INTEGERS \
    PARE_FLAG(cli_arithmetic, no_integers, false, "run quantised patterns in float32, as written")
const pare_field cli_arithmetic_fields[] = {
    NO_WINOGRAD,
    NO_INTEGERS,
    PARE_ENUM(
        cli_arithmetic, precision, PARE_PRECISION_FP32, "fp32|bf16x2|bf16",
        "round factors to 16 or 8 bits where that is faster; needs AMX, bf16 AVX512_BF16 or AMX"),
    PARE_FIELDS_END,
};
const pare_field cli_fp32_fields[] = { NO_WINOGRAD, NO_INTEGERS, PARE_FIELDS_END };

const char *cli_precision_name(int precision)
{
    static const char *const name[] = { "fp32", "bf16x2", "bf16" };
    return name[precision];
}

/* Defaults shown in the help are those of pare_train_defaults(), whatever
 * stands here. */
const pare_field cli_train_fields[] = {
    PARE_INT(pare_train_options, batch, 128, 1, 65536, "N", "images a step"),
    PARE_INT(pare_train_options, max_steps, 0, 0, 1e9, "N", "steps an epoch at most; 0: all"),
    PARE_ENUM(pare_train_options, optimizer, 0, "sgd|adamw", "optimiser"),
    PARE_REAL(pare_train_options, momentum, 0.9, 0, 1, "X", "momentum of sgd"),
    PARE_FLAG(pare_train_options, nesterov, false, "Nesterov's momentum"),
    PARE_REAL(pare_train_options, warmup, 0, 0, 1000, "X", "epochs of linear warm-up"),
    PARE_REAL(pare_train_options, label_smoothing, 0, 0, 1, "X", "label smoothing"),
    PARE_REAL(pare_train_options, distill, 0, 0, 1, "X", "weight of the teacher's soft labels"),
    PARE_REAL(pare_train_options, temperature, 4, 0.001, 1000, "X", "temperature of distillation"),
    PARE_FLAG(pare_train_options, augment_flip, false, "mirror training pictures at random"),
    PARE_INT(pare_train_options, augment_pad, 0, 0, 256, "N",
             "random crop after padding by N pixels"),
    PARE_ENUM(pare_train_options, precision, 0, "fp32|bf16",
              "of what convolutions multiply; sums and weights are fp32 (bf16 needs AVX512_BF16)"),
    PARE_INT(pare_train_options, eval_limit, 0, 0, 1e9, "N",
             "test images looked at after an epoch; 0: all"),
    PARE_FIELDS_END,
};

const pare_field cli_rate_fields[] = {
    PARE_REAL(pare_train_options, lr, 0.1, 0, 1000, "X", "learning rate"),
    PARE_REAL(pare_train_options, weight_decay, 0, 0, 1, "X",
              "weight decay; spares batch-norm and bias"),
    PARE_ENUM(pare_train_options, schedule, 0, "constant|step|cosine|one-cycle",
              "course of the learning rate"),
    PARE_REAL(pare_train_options, step_gamma, 0.1, 0, 1, "X",
              "schedule step: factor at 50 and 75 % of the epochs"),
    PARE_FIELDS_END,
};

void cli_train_defaults(void *options) { pare_train_defaults(options); }

pare_status cli_shapes(const pare_strs *text, pare_shape **out, size_t *n)
{
    *out = NULL;
    *n = 0;
    if (text->n == 0) return PARE_OK;
    pare_shape *s = calloc(text->n, sizeof *s);
    if (!s) return pare_fail(PARE_ENOMEM, "no memory for %zu shapes", text->n);
    for (size_t i = 0; i < text->n; i++) {
        char *all = (char *)text->v[i], *eq = strrchr(all, '='), *p = eq ? eq + 1 : all;
        bool good = *p != 0;
        while (good && *p) {
            char *end;
            errno = 0;
            long long d = strtoll(p, &end, 10);
            good = end != p && !errno && d >= 0 && s[i].rank < PARE_MAX_RANK &&
                   (*end == 'x' || (!*end));
            if (good) s[i].dim[s[i].rank++] = d;
            if (good && *end == 'x' && !end[1]) good = false;
            p = *end ? end + 1 : end;
        }
        if (!good) {
            free(s);
            return pare_fail(PARE_EINVAL,
                             "--shape: '%.200s' is not NAME=1x3x224x224 with at most %d dimensions",
                             all, PARE_MAX_RANK);
        }
        if (eq) {
            *eq = 0; /* the text is our own copy in the arena of the options */
            s[i].name = all;
        }
    }
    *out = s;
    *n = text->n;
    return PARE_OK;
}

void cli_warn_batch(const char *file, const pare_graph *graph, int64_t batch,
                    const pare_shape *shapes, size_t n_shapes)
{
    pare_info info;
    if (batch <= 1 || pare_model_info(graph, batch, shapes, n_shapes, &info) != PARE_OK) return;
    for (size_t i = 0; i < info.n_inputs; i++) {
        const pare_type *t = &info.input[i].type;
        if (t->rank < 1 || t->dim[0] == batch) continue;
        pare_log(PARE_LOG_WARNING,
                 "%s: the first dimension of '%s' is %lld, which --batch %lld does not change",
                 file, info.input[i].name, (long long)t->dim[0], (long long)batch);
        break;
    }
    pare_info_free(&info);
}

pare_status cli_check_output(const char *path, bool force, const char *input)
{
    if (!*path) return pare_fail(PARE_EINVAL, "--out: the name is empty");
    struct stat a, b;
    bool there = lstat(path, &a) == 0;
    if (!there && errno == ENAMETOOLONG)
        return pare_fail(PARE_EIO, "cannot write '%s': %s", path, strerror(errno));
    if (there && S_ISDIR(a.st_mode))
        return pare_fail(PARE_EINVAL, "'%s' is a folder; -o wants a file name", path);
    if (there && input && stat(path, &a) == 0 && stat(input, &b) == 0 && a.st_dev == b.st_dev &&
        a.st_ino == b.st_ino)
        return pare_fail(PARE_EINVAL, "'%s' is the input; give another name with -o", path);
    if (there && pare_file_special(path))
        return pare_fail(PARE_EINVAL, "'%s' is not a regular file; -o wants one", path);
    if (there && !force) return pare_fail(PARE_EINVAL, "'%s' exists; --force replaces it", path);
    char *folder = strdup(path);
    if (!folder) return pare_fail(PARE_ENOMEM, "no memory for a file name");
    char *slash = strrchr(folder, '/');
    if (slash == folder)
        slash[1] = 0;
    else if (slash)
        *slash = 0;
    const char *where = slash ? folder : ".";
    pare_status st = PARE_OK;
    if (stat(where, &a) != 0)
        st = pare_fail(PARE_EIO, "cannot write '%s': %s", path, strerror(errno));
    else if (!S_ISDIR(a.st_mode))
        st = pare_fail(PARE_EIO, "cannot write '%s': '%s' is not a folder", path, where);
    else if (access(where, W_OK | X_OK) != 0)
        st = pare_fail(PARE_EIO, "cannot write '%s': %s", path, strerror(errno));
    else if (strlen(slash ? strrchr(path, '/') + 1 : path) > NAME_MAX - strlen(".XXXXXX"))
        st = pare_fail(PARE_EIO,
                       "cannot write '%s': its temporary name would be longer than %d bytes", path,
                       NAME_MAX);
    free(folder);
    return st;
}

void cli_warn_foreign(double processors)
{
    if (processors > 0.1)
        pare_log(PARE_LOG_WARNING,
                 "other processes used %.1f processors meanwhile: measure again on a quiet machine",
                 processors);
}

pare_status cli_fraction(const char *option, const char *text, double *out)
{
    char *end;
    double v = strtod(text, &end);
    bool percent = *end == '%';
    if (percent) end++;
    if (end == text || *end || !(v >= 0) || v > 100)
        return pare_fail(PARE_EINVAL, "%s: '%.40s' is not a share such as 1%% or 0.01", option,
                         text);
    if (percent)
        v /= 100;
    else if (v >= 1)
        return pare_fail(PARE_EINVAL, "%s: '%.40s' would be everything; say %.40s%% or %g", option,
                         text, text, v / 100);
    *out = v;
    return PARE_OK;
}

pare_status cli_dataset(const char *spec, pare_split split, pare_dataset **out)
{
    return pare_note(pare_dataset_open(spec, split, out), "--data");
}
