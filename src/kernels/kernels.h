/* The table of inner loops for one instruction set. A kernel gets pointers and sizes; it never
 * fails, allocates, logs or starts threads, and sees no graph types. The plain C version defines
 * the arithmetic. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include "kernels/conv.h"
#include "kernels/conv_blocked.h"
#include "kernels/finish.h"
#include "kernels/gemm.h"
#include "kernels/int8.h"
#include "kernels/int8_winograd.h"
#include "kernels/limits.h"
#include "kernels/lowbit.h"
#include "kernels/pieces.h"
#include "kernels/pointwise.h"
#include "kernels/reorder.h"
#include "kernels/resize_blocked.h"
#include "kernels/rows.h"
#include "kernels/rows_blocked.h"
#include "kernels/sparse.h"
#include "kernels/window_blocked.h"
#include "kernels/winograd.h"

#include <stddef.h>
#include <stdint.h>

typedef struct pare_kernels {
    const char *isa;
    pare_finish_row_fn *finish_row;
    size_t vl;      /* floats in a vector */
    size_t conv_mr; /* output channels in a block of packed convolution weights */
    pare_conv_tile_fn *conv_tile;
    pare_conv_row_fn *conv_row;
    pare_conv_max_fn *conv_max;
    pare_conv_fill_fn *conv_fill;
    size_t blocked_pixels; /* output pixels of a tile of conv_blocked, at most */
    pare_conv_blocked_fn *conv_blocked;
    pare_beside_fn *beside;
    pare_pointwise_fn *pointwise;
    size_t gemm_nr; /* columns of a packed panel of the matrix product */
    pare_gemm_tile_fn *gemm_tile;
    pare_unary_fn *unary;
    pare_binary_fn *binary;
    pare_sum_fn *sum;
    pare_largest_fn *largest;
    pare_softmax_fn *softmax;
    pare_normalize_fn *normalize;
    pare_window_blocked_fn *window_blocked;
    pare_affine_blocked_fn *affine_blocked;
    pare_prelu_blocked_fn *prelu_blocked;
    pare_reduce_blocked_fn *sum_blocked;
    pare_reduce_blocked_fn *largest_blocked;
    pare_lanes_blocked_fn *lanes_blocked;
    pare_blend_rows_fn *blend_rows;
    pare_blend_pixels_fn *blend_pixels;
    pare_to_blocked_fn *to_blocked;
    pare_to_plain_fn *to_plain;
    pare_transpose_fn *transpose;
    bool int8_quads;  /* products are of bytes, four to a word (int8.h) */
    bool int8_pairs;  /* they are not, but with small weights such products are faster */
    size_t int8_tile; /* blocks of output channels in a tile of them */
    pare_int8_conv_fn *int8_conv;
    pare_int8_conv_fn *int8_tiles; /* the same by tiles; NULL: the processor has none */
    pare_int8_depthwise_fn *int8_depthwise;
    pare_int8_widen_fn *int8_widen;
    pare_quantize_fn *quantize;
    pare_dequantize_fn *dequantize;
    pare_int8_add_fn *int8_add;
    pare_int8_sum_fn *int8_sum;
    pare_int8_max_fn *int8_max;
    pare_int8_winograd_weights_fn *int8_winograd_weights;
    pare_int8_winograd_input_fn *int8_winograd_input;
    pare_int8_winograd_product_fn *int8_winograd_product;
    pare_int8_winograd_output_fn *int8_winograd_output;
    size_t lowbit_span; /* channels of a table (lowbit.h); 0: the processor lacks the shuffle */
    pare_lowbit_codes_fn *lowbit_codes;
    pare_lowbit_tables_fn *lowbit_tables;
    pare_lowbit_box_fn *lowbit_box;
    pare_lowbit_conv_fn *lowbit_conv;
    pare_lowbit_widen_fn *lowbit_widen;
    pare_lowbit_finish_fn *lowbit_finish;
    pare_lowbit_steps_fn *lowbit_steps;
    pare_sparse_basis_fn *sparse_basis;
    pare_sparse_shift_fn *sparse_shift;
    pare_sparse_combine_fn *sparse_combine;
    size_t winograd_blocks; /* blocks of output channels of a product that fill the registers, of
                               bytes too */
    pare_winograd_weights_fn *winograd_weights;
    pare_winograd_input_fn *winograd_input;
    pare_winograd_product_fn *winograd_product;
    pare_winograd_output_fn *winograd_output;
    pare_limit_fma_fn *limit_fma;
    pare_limit_int8_fn *limit_int8;
    pare_limit_read_fn *limit_read;
    pare_sparse_dot_fn *sparse_dot;
    pare_pieces_form pieces[PARE_PIECES_MOST]; /* by the number of pieces, less one */
} pare_kernels;

/* The plain versions, which define the arithmetic: what tests compare the others with. */
pare_conv_tile_fn pare_conv_tile_c;
pare_conv_row_fn pare_conv_row_c;
pare_conv_max_fn pare_conv_max_c;
pare_conv_fill_fn pare_conv_fill_c;
pare_conv_blocked_fn pare_conv_blocked_c;
pare_beside_fn pare_beside_c;
pare_pointwise_fn pare_pointwise_c;
pare_gemm_tile_fn pare_gemm_tile_c;
pare_unary_fn pare_unary_c;
pare_binary_fn pare_binary_c;
pare_sum_fn pare_sum_c;
pare_largest_fn pare_largest_c;
pare_softmax_fn pare_softmax_c;
pare_normalize_fn pare_normalize_c;
pare_window_blocked_fn pare_window_blocked_c;
pare_winograd_weights_fn pare_winograd_weights_c;
pare_winograd_input_fn pare_winograd_input_c;
pare_winograd_product_fn pare_winograd_product_c;
pare_winograd_output_fn pare_winograd_output_c;
pare_limit_fma_fn pare_limit_fma_c;
pare_limit_int8_fn pare_limit_int8_c;
pare_limit_read_fn pare_limit_read_c;

/* The table for the instruction sets in `cpu` (pare_cpu_detect()). */
void pare_kernels_init(pare_kernels *k, unsigned cpu);

#endif
