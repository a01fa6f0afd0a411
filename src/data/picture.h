/* Pictures of 8-bit samples: decoding, cutting, scaling. Knows nothing of networks. */
#ifndef DATA_PICTURE_H
#define DATA_PICTURE_H

#include "base/status.h"
#include "pare/data.h"

/* Sample (x, y, c) lies at px[x * dx + y * dy + c * dc]: planes and interleaved pixels alike. */
typedef struct pare_picture {
    int width, height, channels;
    const uint8_t *px;
    ptrdiff_t dx, dy, dc;
    uint8_t *owned; /* memory to free(), or NULL when px is borrowed */
} pare_picture;

/* Against headers that promise more than anybody wants to decode. */
enum { PARE_MAX_PIXELS = 64 << 20 };

void pare_picture_free(pare_picture *p); /* fine on a zeroed one */

/* The middle w x h; no copy. w and h at most the picture's. */
void pare_picture_crop(pare_picture *p, int w, int h);

/* Bilinear with half-pixel centres. When it shrinks, the triangle widens so that every source pixel
 * counts (antialiasing), which is what PIL does and what the published figures of most networks
 * stand on; arithmetic in 22-bit fixed point, rows first, rounded to 8 bits between the passes: bit
 * for bit PIL's result. */
pare_status pare_picture_resize(pare_picture *p, int w, int h);

/* To w x h by the statement in `pp`, then by the rule of pare_dataset_batch(). */
pare_status pare_picture_fit(pare_picture *p, const pare_preprocess *pp, int w, int h);

#endif
