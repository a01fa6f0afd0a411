/* Picture files to 8-bit samples. The first bytes of a file say what it is, never its name. */
#ifndef DATA_DECODE_H
#define DATA_DECODE_H

#include "data/picture.h"

/* A file of at most this many bytes, and at most PARE_MAX_PIXELS once decoded. */
#define PARE_MAX_PICTURE_BYTES ((size_t)512 << 20)

/* Decodes to interleaved RGB. `name` stands for the file in messages. p is the caller's to
 * pare_picture_free(). */
typedef pare_status pare_decoder(const char *name, const uint8_t *data, size_t size,
                                 pare_picture *p);
pare_decoder pare_jpeg_decode, pare_png_decode;

/* Reads and decodes a JPEG or PNG file. */
pare_status pare_picture_load(const char *path, pare_picture *p);

/* Brightness alone: (19595 R + 38470 G + 7471 B) / 65536, rounded, which is PIL's "L". */
pare_status pare_picture_grey(pare_picture *p);

/* For decoders: interleaved RGB memory for w x h, checked against the limits. */
pare_status pare_picture_new(const char *name, uint64_t w, uint64_t h, pare_picture *p);

#endif
