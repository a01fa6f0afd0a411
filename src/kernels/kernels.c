/* Which kernel each instruction set uses: the only place that names them all. */
#include "kernels/kernels.h"

#include "base/cpu.h"

/* One table for an instruction set: every kernel carries its name as a suffix. */
/* clang-format off */
#define TABLE(ISA, VL, MR, NR, NP, WB)             \
    (pare_kernels)                                 \
    {                                              \
        .isa = #ISA,                               \
        .vl = VL,                                  \
        .conv_mr = MR,                             \
        .conv_tile = pare_conv_tile_##ISA,         \
        .conv_row = pare_conv_row_##ISA,           \
        .conv_max = pare_conv_max_##ISA,           \
        .conv_fill = pare_conv_fill_##ISA,         \
        .blocked_pixels = NP,                      \
        .conv_blocked = pare_conv_blocked_##ISA,   \
        .beside = pare_beside_##ISA,               \
        .pointwise = pare_pointwise_##ISA,         \
        .gemm_nr = NR,                             \
        .gemm_tile = pare_gemm_tile_##ISA,         \
        .unary = pare_unary_##ISA,                 \
        .binary = pare_binary_##ISA,               \
        .sum = pare_sum_##ISA,                     \
        .largest = pare_largest_##ISA,             \
        .softmax = pare_softmax_##ISA,             \
        .normalize = pare_normalize_##ISA,         \
        .limit_fma = pare_limit_fma_##ISA,         \
        .limit_int8 = pare_limit_int8_##ISA,       \
        .limit_read = pare_limit_read_##ISA,       \
        .finish_row = pare_finish_row_##ISA,       \
        .window_blocked = pare_window_blocked_##ISA, \
        .affine_blocked = pare_affine_blocked_##ISA, \
        .prelu_blocked = pare_prelu_blocked_##ISA, \
        .sum_blocked = pare_sum_blocked_##ISA,     \
        .largest_blocked = pare_largest_blocked_##ISA, \
        .lanes_blocked = pare_lanes_blocked_##ISA, \
        .blend_rows = pare_blend_rows_##ISA,       \
        .blend_pixels = pare_blend_pixels_##ISA,   \
        .to_blocked = pare_to_blocked_##ISA,       \
        .to_plain = pare_to_plain_##ISA,           \
        .transpose = pare_transpose_##ISA,         \
        .int8_conv = pare_int8_conv_##ISA,         \
        .int8_depthwise = pare_int8_depthwise_##ISA, \
        .int8_widen = pare_int8_widen_##ISA,       \
        .quantize = pare_quantize_##ISA,           \
        .dequantize = pare_dequantize_##ISA,       \
        .int8_add = pare_int8_add_##ISA,           \
        .int8_sum = pare_int8_sum_##ISA,           \
        .int8_max = pare_int8_max_##ISA,           \
        .int8_winograd_weights = pare_int8_winograd_weights_##ISA, \
        .int8_winograd_input = pare_int8_winograd_input_##ISA, \
        .int8_winograd_product = pare_int8_winograd_product_##ISA, \
        .int8_winograd_output = pare_int8_winograd_output_##ISA, \
        .lowbit_codes = pare_lowbit_codes_##ISA,   \
        .lowbit_tables = pare_lowbit_tables_##ISA, \
        .lowbit_box = pare_lowbit_box_##ISA,       \
        .lowbit_conv = pare_lowbit_conv_##ISA,     \
        .lowbit_widen = pare_lowbit_widen_##ISA,   \
        .lowbit_finish = pare_lowbit_finish_##ISA, \
        .lowbit_steps = pare_lowbit_steps_##ISA,   \
        .sparse_basis = pare_sparse_basis_##ISA,   \
        .sparse_shift = pare_sparse_shift_##ISA,   \
        .sparse_combine = pare_sparse_combine_##ISA,\
        .sparse_dot = pare_sparse_dot_##ISA,       \
        .winograd_blocks = WB,                     \
        .winograd_weights = pare_winograd_weights_##ISA, \
        .winograd_input = pare_winograd_input_##ISA, \
        .winograd_product = pare_winograd_product_##ISA, \
        .winograd_output = pare_winograd_output_##ISA, \
    }
#define DECLARE(ISA)                               \
    pare_conv_tile_fn pare_conv_tile_##ISA;        \
    pare_conv_row_fn pare_conv_row_##ISA;          \
    pare_conv_max_fn pare_conv_max_##ISA;          \
    pare_conv_fill_fn pare_conv_fill_##ISA;        \
    pare_conv_blocked_fn pare_conv_blocked_##ISA;  \
    pare_beside_fn pare_beside_##ISA;              \
    pare_pointwise_fn pare_pointwise_##ISA;        \
    pare_gemm_tile_fn pare_gemm_tile_##ISA;        \
    pare_unary_fn pare_unary_##ISA;                \
    pare_binary_fn pare_binary_##ISA;              \
    pare_sum_fn pare_sum_##ISA;                    \
    pare_largest_fn pare_largest_##ISA;            \
    pare_softmax_fn pare_softmax_##ISA;            \
    pare_normalize_fn pare_normalize_##ISA;        \
    pare_limit_fma_fn pare_limit_fma_##ISA;        \
    pare_limit_int8_fn pare_limit_int8_##ISA;      \
    pare_limit_read_fn pare_limit_read_##ISA;      \
    pare_finish_row_fn pare_finish_row_##ISA;      \
    pare_window_blocked_fn pare_window_blocked_##ISA; \
    pare_affine_blocked_fn pare_affine_blocked_##ISA; \
    pare_prelu_blocked_fn pare_prelu_blocked_##ISA; \
    pare_reduce_blocked_fn pare_sum_blocked_##ISA; \
    pare_reduce_blocked_fn pare_largest_blocked_##ISA; \
    pare_lanes_blocked_fn pare_lanes_blocked_##ISA; \
    pare_blend_rows_fn pare_blend_rows_##ISA;      \
    pare_blend_pixels_fn pare_blend_pixels_##ISA;  \
    pare_to_blocked_fn pare_to_blocked_##ISA;      \
    pare_to_plain_fn pare_to_plain_##ISA;          \
    pare_transpose_fn pare_transpose_##ISA;        \
    pare_int8_conv_fn pare_int8_conv_##ISA;        \
    pare_int8_depthwise_fn pare_int8_depthwise_##ISA; \
    pare_int8_widen_fn pare_int8_widen_##ISA;      \
    pare_quantize_fn pare_quantize_##ISA;          \
    pare_dequantize_fn pare_dequantize_##ISA;      \
    pare_int8_add_fn pare_int8_add_##ISA;          \
    pare_int8_sum_fn pare_int8_sum_##ISA;          \
    pare_int8_max_fn pare_int8_max_##ISA;          \
    pare_int8_winograd_weights_fn pare_int8_winograd_weights_##ISA; \
    pare_int8_winograd_input_fn pare_int8_winograd_input_##ISA; \
    pare_int8_winograd_product_fn pare_int8_winograd_product_##ISA; \
    pare_int8_winograd_output_fn pare_int8_winograd_output_##ISA; \
    pare_lowbit_codes_fn pare_lowbit_codes_##ISA;  \
    pare_lowbit_tables_fn pare_lowbit_tables_##ISA; \
    pare_lowbit_box_fn pare_lowbit_box_##ISA;      \
    pare_lowbit_conv_fn pare_lowbit_conv_##ISA;    \
    pare_lowbit_widen_fn pare_lowbit_widen_##ISA;  \
    pare_lowbit_finish_fn pare_lowbit_finish_##ISA; \
    pare_lowbit_steps_fn pare_lowbit_steps_##ISA;  \
    pare_sparse_basis_fn pare_sparse_basis_##ISA;  \
    pare_sparse_shift_fn pare_sparse_shift_##ISA;  \
    pare_sparse_dot_fn pare_sparse_dot_##ISA;      \
    pare_sparse_combine_fn pare_sparse_combine_##ISA; \
    pare_winograd_weights_fn pare_winograd_weights_##ISA; \
    pare_winograd_input_fn pare_winograd_input_##ISA; \
    pare_winograd_product_fn pare_winograd_product_##ISA; \
    pare_winograd_output_fn pare_winograd_output_##ISA;
/* clang-format on */

DECLARE(c)
#if PARE_X86
DECLARE(avx2)
DECLARE(avx512)
pare_pieces_cut_fn pare_pieces_cut_bf16;
pare_pieces_conv_fn pare_pieces_conv_bf16;
pare_pieces_cut_fn pare_pieces_cut_tiles;
pare_pieces_conv_fn pare_pieces_conv_tiles;
pare_pieces_room_fn pare_pieces_room_tiles;
#elif PARE_ARM64
DECLARE(neon)
#endif

void pare_kernels_init(pare_kernels *k, unsigned cpu)
{
    *k = TABLE(c, 8, 4, 16, 5, 2);
#if PARE_X86
    if (cpu & PARE_CPU_AVX2) *k = TABLE(avx2, 8, 6, 16, 6, 2);
    if (cpu & PARE_CPU_AVX512) *k = TABLE(avx512, 16, 8, 64, 12, 4);
    if (cpu & PARE_CPU_BF16)
        k->pieces[0] = (pare_pieces_form){ pare_pieces_cut_bf16, pare_pieces_conv_bf16, NULL, 1 };
#elif PARE_ARM64
    if (cpu & PARE_CPU_NEON) *k = TABLE(neon, 4, 8, 16, 12, 4);
#endif
    k->int8_quads = k->isa[0] == 'c' || (cpu & PARE_CPU_AVX512);
    k->int8_pairs = (cpu & PARE_CPU_AVX2) && !(cpu & PARE_CPU_AVX512);
    k->lowbit_span = k->vl < 16 ? 4 : cpu & PARE_CPU_VBMI ? 6 : 0;
    k->int8_tile = cpu & PARE_CPU_AVX512 ? 4 : 2;
#if PARE_X86
    if ((cpu & PARE_CPU_AVX512) && (cpu & PARE_CPU_AMX)) {
        k->isa = "amx"; /* AVX-512 with tiles for some */
        k->int8_tiles = pare_int8_conv_tiles;
        k->limit_int8 = pare_limit_int8_tiles;
        for (size_t i = 0; i < PARE_PIECES_MOST; i++) {
            if (i == 0 && !(cpu & PARE_CPU_BF16)) continue; /* they all have it */
            k->pieces[i] =
                (pare_pieces_form){ i == 0 ? pare_pieces_cut_bf16 : pare_pieces_cut_tiles,
                                    pare_pieces_conv_tiles, pare_pieces_room_tiles, 16 };
        }
    }
#endif
}
