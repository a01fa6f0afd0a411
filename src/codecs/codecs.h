/* The registry of codecs: the ways in which a constant can be stored other than dense. */
#ifndef CODECS_CODECS_H
#define CODECS_CODECS_H

#include "tensor/codec.h"

extern const pare_codec *const pare_codecs[];        /* NULL-terminated; codecs.c */
const pare_codec *pare_codec_find(const char *name); /* NULL: not known */

#endif
