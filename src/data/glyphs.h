/* Drawn digits: the labelled pictures that pare carries in its own code. */
#ifndef DATA_GLYPHS_H
#define DATA_GLYPHS_H

#include <stdint.h>

enum {
    PARE_GLYPH_SIDE = 32,
    PARE_GLYPH_BYTES = 3 * PARE_GLYPH_SIDE * PARE_GLYPH_SIDE,
    PARE_GLYPH_CLASSES = 10
};

/* Draws picture `index` of a set as planes of red, green and blue. Its class is index modulo 10. A
 * pure function: any picture can be drawn alone, in any order. */
void pare_glyph_draw(uint64_t seed, uint64_t set, int64_t index, uint8_t *planes);

#endif
