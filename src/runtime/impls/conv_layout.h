/* How a convolution's input is laid out for the kernels of kernels/conv.h: bands of output rows,
 * each with a buffer in which every tap is a fixed distance away and neighbouring output pixels are
 * neighbours.
 *
 * The buffer of a band, for every input channel of a group:
 *
 *   plane (row phase p, column plane j): [rows of the band + what kernel rows reach][width of j]
 *     row r, column q holds x[r * stride_y + p - pad_y][q * stride_x + shift_j - pad_x], zero
 * outside
 *
 * ROWS and WRAP: one column plane for each column phase (stride 1: one in all), wider than the
 * output by what kernel columns reach. ROWS cuts every output row into vectors, WRAP runs on
 * through the columns between two rows, which are computed and dropped. SHIFTED: one plane for each
 * kernel column, as wide as the output, so that nothing is dropped at the price of a larger buffer.
 * DIRECT: no buffer, 1x1 with stride 1 reads x itself. */
#ifndef IMPLS_CONV_LAYOUT_H
#define IMPLS_CONV_LAYOUT_H

#include "ops/conv_attrs.h"
#include "runtime/impl.h"

typedef enum pare_conv_mode {
    PARE_CONV_ROWS,
    PARE_CONV_WRAP,
    PARE_CONV_SHIFTED,
    PARE_CONV_DIRECT
} pare_conv_mode;

typedef struct pare_conv_band {
    size_t vectors;
    pare_conv_lanes *lanes;
    pare_conv_run *run;
} pare_conv_band;

typedef struct pare_conv_layout {
    pare_conv_mode mode;
    /* geometry, two spatial dimensions (y, x) */
    int64_t channels, in_y, in_x, out_y, out_x, kernel_y, kernel_x, stride_y, stride_x, dil_y,
        dil_x, pad_y, pad_x;
    int64_t rows; /* output rows in a band; out_y in DIRECT mode */
    int64_t bands;
    int row_phases, col_planes;
    int64_t row_phase[PARE_CONV_PLANES],
        reach_y[PARE_CONV_PLANES]; /* used ones; extra rows each needs */
    int64_t col_shift[PARE_CONV_PLANES], width[PARE_CONV_PLANES];
    size_t plane_at[PARE_CONV_PLANES][PARE_CONV_PLANES]; /* floats from the channel's start */
    size_t channel_floats, buffer_floats; /* with room for reading a whole last vector */
    size_t taps;
    uint32_t *off;
    pare_conv_band full, last; /* tables for bands of `rows` rows and for the last one */
} pare_conv_layout;

/* Geometry of a Conv, and of any window, with 1 or 2 spatial dimensions; false if it is of another
 * kind. */
bool pare_conv_layout_shape(const pare_prepare *p, pare_conv_layout *l);
bool pare_conv_layout_window(const pare_window *w, int64_t channels, pare_conv_layout *l);

/* What the choice of a layout depends on. */
typedef struct pare_conv_wish {
    int64_t rows_out; /* output channels of each group */
    bool one_row;     /* the kernel takes one output channel at a time, not a block */
    bool compares;    /* taps are compared instead of multiplied (pools) */
    size_t budget;    /* bytes that a buffer should not exceed */
    double bands;     /* so many are wanted, to keep threads busy */
} pare_conv_wish;

/* Chooses mode and bands. *cycles: what one image and group will take roughly. False if no layout
 * fits. */
bool pare_conv_layout_choose(pare_conv_layout *l, const pare_kernels *k, const pare_conv_wish *wish,
                             double *cycles);

/* Builds off and the tables of the chosen layout. */
pare_status pare_conv_layout_build(pare_conv_layout *l, size_t vl);
void pare_conv_layout_free(pare_conv_layout *l);

/* Describes how to lay out band `band` into the buffer, `pad` standing outside of x: once for many
 * planes. */
void pare_conv_layout_fill_of(const pare_conv_layout *l, int64_t band, float pad, float *buffer,
                              pare_conv_fill *f);
/* Lays out channels x[0..channels) as described. */
void pare_conv_layout_fill(const pare_conv_layout *l, const pare_kernels *k, pare_conv_fill *f,
                           const float *x);

#endif
