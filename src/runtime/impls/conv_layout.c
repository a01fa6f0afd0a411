#include "runtime/impls/conv_layout.h"

#include <math.h>
#include <stdlib.h>

bool pare_conv_layout_window(const pare_window *w, int64_t channels, pare_conv_layout *l)
{
    if (w->spatial > 2) return false;
    int x = w->spatial - 1;
    for (int d = 0; d < w->spatial; d++)
        if (w->begin[d] < 0 || w->end[d] < 0) return false;
    *l = (pare_conv_layout){ .in_x = w->in[x],
                             .out_x = w->out[x],
                             .kernel_x = w->kernel[x],
                             .stride_x = w->stride[x],
                             .dil_x = w->dilation[x],
                             .pad_x = w->begin[x],
                             .in_y = 1,
                             .out_y = 1,
                             .kernel_y = 1,
                             .stride_y = 1,
                             .dil_y = 1,
                             .channels = channels };
    if (w->spatial == 2) {
        l->in_y = w->in[0], l->out_y = w->out[0], l->kernel_y = w->kernel[0];
        l->stride_y = w->stride[0], l->dil_y = w->dilation[0], l->pad_y = w->begin[0];
    }
    /* All sizes below are products of these: far from overflow, and offsets fit 32 bits (checked on
     * the buffer). */
    int64_t most = INT64_C(1) << 20;
    return l->in_x < most && l->in_y < most && l->kernel_x < 256 && l->kernel_y < 256 &&
           l->channels < most && l->out_x < most && l->out_y < most && l->pad_x < most &&
           l->pad_y < most && l->stride_x < 4096 && l->stride_y < 4096 && l->dil_x < 4096 &&
           l->dil_y < 4096 && l->in_x * l->in_y < INT64_C(1) << 31 &&
           l->out_x * l->out_y < INT64_C(1) << 31;
}

bool pare_conv_layout_shape(const pare_prepare *p, pare_conv_layout *l)
{
    pare_window w;
    if (p->in[0].rank < 3 || p->in[0].rank > 4) return false;
    pare_conv_window(p->node, &p->in[0], &p->in[1], &w);
    return pare_conv_layout_window(&w, p->in[1].dim[1], l);
}

/* Adds `value` to a list of distinct numbers; its index, or -1 if the list is full. */
static int distinct(int64_t *list, int *n, int64_t value)
{
    for (int i = 0; i < *n; i++)
        if (list[i] == value) return i;
    if (*n == PARE_CONV_PLANES) return -1;
    list[*n] = value;
    return (*n)++;
}

/* Phases, planes and sizes of mode l->mode with l->rows rows a band. */
static bool plan_planes(pare_conv_layout *l, size_t vl)
{
    l->row_phases = l->col_planes = 0;
    for (int64_t k = 0; k < l->kernel_y; k++) {
        int i = distinct(l->row_phase, &l->row_phases, k * l->dil_y % l->stride_y);
        if (i < 0) return false;
        l->reach_y[i] = k * l->dil_y / l->stride_y; /* rises with k */
    }
    for (int64_t k = 0; k < l->kernel_x; k++) {
        bool shifted = l->mode == PARE_CONV_SHIFTED;
        int64_t at = k * l->dil_x;
        int j = distinct(l->col_shift, &l->col_planes, shifted ? at : at % l->stride_x);
        if (j < 0) return false;
        l->width[j] = shifted ? l->out_x : l->out_x + at / l->stride_x;
    }
    /* Runs of WRAP go through the width of a row: every plane must have the same. */
    int64_t widest = 0;
    for (int j = 0; j < l->col_planes; j++)
        if (l->width[j] > widest) widest = l->width[j];
    size_t at = 0;
    for (int i = 0; i < l->row_phases; i++)
        for (int j = 0; j < l->col_planes; j++) {
            l->width[j] = widest;
            l->plane_at[i][j] = at;
            at += (size_t)(l->rows + l->reach_y[i]) * (size_t)widest;
        }
    l->channel_floats = at;
    l->buffer_floats = (size_t)l->channels * at + vl;
    return l->buffer_floats < UINT32_MAX / 2;
}

static size_t vectors_of(const pare_conv_layout *l, int64_t rows, size_t vl)
{
    size_t out = (size_t)l->out_x, n = (size_t)rows;
    switch (l->mode) {
    case PARE_CONV_ROWS: return n * ((out + vl - 1) / vl);
    case PARE_CONV_WRAP: return ((n - 1) * (size_t)l->width[0] + out + vl - 1) / vl;
    default: return (n * out + vl - 1) / vl;
    }
}

/* A rough count of cycles for one image and group: multiply-adds at two a cycle, stores, and
 * filling the buffers. */
static double cost_of(const pare_conv_layout *l, const pare_kernels *k, const pare_conv_wish *wish)
{
    double taps = (double)l->channels * (double)(l->kernel_x * l->kernel_y),
           mr = (double)k->conv_mr, rows = (double)wish->rows_out;
    double blocks = wish->one_row ? rows : ceil(rows / mr),
           vectors = (double)vectors_of(l, l->rows, k->vl) * (double)(l->bands - 1);
    if (wish->one_row) mr = 1;
    vectors += (double)vectors_of(l, l->out_y - (l->bands - 1) * l->rows, k->vl);
    double put = l->mode == PARE_CONV_WRAP                               ? 8
                 : l->mode == PARE_CONV_ROWS && (size_t)l->out_x % k->vl ? 5
                                                                         : 3;
    double cycles = vectors * blocks * mr * (taps * (wish->compares ? 2 : 0.5) + put);
    if (l->mode == PARE_CONV_DIRECT) return cycles;
    /* A row costs at least a few cycles, then a vector of loads and stores each, twice that with
     * strides. */
    double lines = 0, each = 4 + ceil((double)l->width[0] / (double)k->vl) * (l->stride_x == 1 ? 1.5
                                                                              : l->stride_x == 2
                                                                                  ? 4
                                                                                  : (double)k->vl);
    for (int i = 0; i < l->row_phases; i++) lines += (double)(l->rows + l->reach_y[i]);
    return cycles + (double)l->bands * (double)l->channels * (double)l->col_planes * lines * each;
}

bool pare_conv_layout_choose(pare_conv_layout *l, const pare_kernels *k, const pare_conv_wish *wish,
                             double *cycles)
{
    bool found = false;
    double least = 0;
    pare_conv_layout best;
    if (l->kernel_x == 1 && l->kernel_y == 1 && l->stride_x == 1 && l->stride_y == 1 &&
        l->in_x == l->out_x && l->in_y == l->out_y && l->pad_x == 0 && l->pad_y == 0 &&
        (size_t)(l->in_x * l->in_y) >= k->vl &&
        l->channels * l->in_x * l->in_y < INT64_C(1) << 31) {
        l->mode = PARE_CONV_DIRECT;
        l->rows = l->out_y;
        l->bands = 1;
        l->buffer_floats = 0;
        *cycles = cost_of(l, k, wish);
        return true;
    }
    for (int mode = PARE_CONV_ROWS; mode <= PARE_CONV_SHIFTED; mode++) {
        pare_conv_layout try = *l;
        try.mode = (pare_conv_mode)mode;
        for (int64_t bands = 1, next; bands <= l->out_y; bands = next) {
            next = bands + 1 + bands / 16;
            if (next > l->out_y && bands < l->out_y) next = l->out_y;
            try.rows = (l->out_y + bands - 1) / bands;
            try.bands = (l->out_y + try.rows - 1) / try.rows;
            if (!plan_planes(&try, k->vl)) continue;
            if (try.buffer_floats * 4 > wish->budget && try.rows > 1) continue;
            double c = cost_of(&try, k, wish), idle = wish->bands / (double)try.bands;
            if (idle < 1) idle = 1;
            double score =
                c * (1 + 0.3 * (idle - 1)); /* threads that find nothing to do cost as well */
            if (!found || score < least) {
                found = true;
                least = score;
                *cycles = c;
                best = try;
            }
            if (try.buffer_floats * 4 < wish->budget / 8 && (double)try.bands >= wish->bands)
                break; /* smaller bands only copy more */
        }
    }
    if (found) *l = best;
    return found;
}

static pare_status tables(const pare_conv_layout *l, int64_t rows, size_t vl, pare_conv_band *out)
{
    size_t vectors = vectors_of(l, rows, vl), width = (size_t)l->width[0], ox = (size_t)l->out_x;
    size_t most_runs = vectors * (l->mode == PARE_CONV_WRAP ? vl / 2 + 2 : 1);
    out->vectors = vectors;
    out->lanes = calloc(vectors + 1, sizeof *out->lanes);
    out->run = calloc(most_runs + 1, sizeof *out->run);
    if (!out->lanes || !out->run)
        return pare_fail(PARE_ENOMEM, "no memory for the tables of %zu vectors", vectors);
    size_t runs = 0;
    for (size_t v = 0; v < vectors; v++) {
        pare_conv_lanes *lane = &out->lanes[v];
        lane->run = (uint32_t)runs;
        if (l->mode == PARE_CONV_ROWS) {
            size_t each = (ox + vl - 1) / vl, row = v / each, x = v % each * vl;
            lane->in = (uint32_t)(row * width + x);
            out->run[runs++] = (pare_conv_run){ 0, (uint32_t)(ox - x < vl ? ox - x : vl),
                                                (uint32_t)(row * ox + x) };
        } else if (l->mode == PARE_CONV_WRAP) {
            lane->in = (uint32_t)(v * vl);
            for (size_t i = 0; i < vl;) {
                size_t row = (v * vl + i) / width, x = (v * vl + i) % width,
                       n = width - x < vl - i ? width - x : vl - i;
                size_t real = x >= ox ? 0 : ox - x < n ? ox - x : n;
                if (real && row < (size_t)rows)
                    out->run[runs++] =
                        (pare_conv_run){ (uint32_t)i, (uint32_t)real, (uint32_t)(row * ox + x) };
                i += n;
            }
        } else {
            size_t total = (size_t)rows * ox, at = v * vl, n = total - at < vl ? total - at : vl;
            /* DIRECT must not read behind the input: the last vector overlaps the one before. */
            size_t back = l->mode == PARE_CONV_DIRECT ? vl - n : 0;
            lane->in = (uint32_t)(at - back);
            out->run[runs++] = (pare_conv_run){ (uint32_t)back, (uint32_t)n, (uint32_t)at };
        }
        lane->n_runs = (uint32_t)runs - lane->run;
    }
    return PARE_OK;
}

pare_status pare_conv_layout_build(pare_conv_layout *l, size_t vl)
{
    bool direct = l->mode == PARE_CONV_DIRECT;
    l->taps = (size_t)(l->channels * l->kernel_y * l->kernel_x);
    l->off = malloc((l->taps + 1) * sizeof *l->off);
    if (!l->off) return pare_fail(PARE_ENOMEM, "no memory for %zu taps", l->taps);
    size_t at = 0;
    for (int64_t c = 0; c < l->channels; c++)
        for (int64_t ky = 0; ky < l->kernel_y; ky++)
            for (int64_t kx = 0; kx < l->kernel_x; kx++) {
                if (direct) {
                    l->off[at++] = (uint32_t)(c * l->in_y * l->in_x);
                    continue;
                }
                int i = 0, j = 0;
                int64_t y = ky * l->dil_y, x = kx * l->dil_x, row = y / l->stride_y;
                bool shifted = l->mode == PARE_CONV_SHIFTED;
                while (l->row_phase[i] != y % l->stride_y) i++;
                while (l->col_shift[j] != (shifted ? x : x % l->stride_x)) j++;
                size_t col = shifted ? 0 : (size_t)(x / l->stride_x);
                l->off[at++] = (uint32_t)((size_t)c * l->channel_floats + l->plane_at[i][j] +
                                          (size_t)(row * l->width[j]) + col);
            }
    PARE_TRY(tables(l, l->rows, vl, &l->full));
    return tables(l, l->out_y - (l->bands - 1) * l->rows, vl, &l->last);
}

void pare_conv_layout_free(pare_conv_layout *l)
{
    free(l->off);
    free(l->full.lanes);
    free(l->full.run);
    free(l->last.lanes);
    free(l->last.run);
}

void pare_conv_layout_fill_of(const pare_conv_layout *l, int64_t band, float pad, float *buffer,
                              pare_conv_fill *f)
{
    int64_t y0 = band * l->rows, rows = l->out_y - y0 < l->rows ? l->out_y - y0 : l->rows;
    f->channels = (size_t)l->channels;
    f->channel = (size_t)(l->in_y * l->in_x);
    f->in_y = l->in_y, f->in_x = l->in_x;
    f->stride_y = l->stride_y, f->stride_x = l->stride_x;
    f->row_phases = (size_t)l->row_phases, f->col_planes = (size_t)l->col_planes;
    f->width = (size_t)l->width[0];
    f->pad = pad;
    f->to = buffer;
    for (int i = 0; i < l->row_phases; i++) {
        f->first[i] = y0 * l->stride_y + l->row_phase[i] - l->pad_y;
        f->rows[i] = (size_t)(rows + l->reach_y[i]);
        f->skip[i] = (size_t)(l->rows - rows);
    }
    for (int j = 0; j < l->col_planes; j++) f->shift[j] = l->col_shift[j] - l->pad_x;
}

void pare_conv_layout_fill(const pare_conv_layout *l, const pare_kernels *k, pare_conv_fill *f,
                           const float *x)
{
    f->x = x;
    k->conv_fill(f);
    for (size_t i = 0; i < k->vl; i++) f->to[l->buffer_floats - 1 - i] = 0; /* read, never used */
}
