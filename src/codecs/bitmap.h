/* The codec "bitmap": a sparse tensor of any shape as a bit mask and the kept elements.
 *
 *   mask    uint8 [ceil(n / 8)]   which of the n elements are kept, row-major (mask.h)
 *   values  float32 [kept]        their values, in order */
#ifndef CODECS_BITMAP_H
#define CODECS_BITMAP_H

#include "tensor/codec.h"

enum { PARE_BITMAP_MASK, PARE_BITMAP_VALUES };

extern const pare_codec pare_codec_bitmap;

/* Encodes pare_numel(type) numbers; keeps element i if keep[i], or, when `keep` is NULL, if x[i] is
 * not 0. */
pare_status pare_bitmap_encode(const pare_type *type, const float *x, const bool *keep,
                               pare_weight *out);

#endif
