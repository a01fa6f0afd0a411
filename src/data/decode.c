#include "data/decode.h"

#include "base/files.h"

#include <stdlib.h>
#include <string.h>

pare_status pare_picture_new(const char *name, uint64_t w, uint64_t h, pare_picture *p)
{
    if (w < 1 || h < 1 || w > PARE_MAX_PIXELS || h > PARE_MAX_PIXELS || w * h > PARE_MAX_PIXELS)
        return pare_fail(PARE_ELIMIT, "'%s' has %llu x %llu pixels, not 1 to %d of them", name,
                         (unsigned long long)w, (unsigned long long)h, PARE_MAX_PIXELS);
    uint8_t *px = malloc((size_t)(w * h) * 3);
    if (!px)
        return pare_fail(PARE_ENOMEM, "no memory for the %llu x %llu pixels of '%s'",
                         (unsigned long long)w, (unsigned long long)h, name);
    *p = (pare_picture){ (int)w, (int)h, 3, px, 3, (ptrdiff_t)w * 3, 1, px };
    return PARE_OK;
}

pare_status pare_picture_load(const char *path, pare_picture *p)
{
    static const struct {
        const char *magic;
        size_t size;
        pare_decoder *decode;
    } kinds[] = {
        { "\xff\xd8\xff", 3, pare_jpeg_decode },
        { "\x89PNG\r\n\x1a\n", 8, pare_png_decode },
    };
    uint8_t *data;
    size_t size;
    PARE_TRY(pare_read_file(path, PARE_MAX_PICTURE_BYTES, &data, &size));
    pare_decoder *decode = NULL;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++)
        if (size >= kinds[i].size && memcmp(data, kinds[i].magic, kinds[i].size) == 0)
            decode = kinds[i].decode;
    pare_status st =
        decode ? decode(path, data, size, p)
               : pare_fail(PARE_EFORMAT, "'%s' (%zu bytes) is neither a JPEG nor a PNG picture",
                           path, size);
    free(data);
    return st;
}

pare_status pare_picture_grey(pare_picture *p)
{
    size_t n = (size_t)p->width * (size_t)p->height;
    uint8_t *grey = malloc(n ? n : 1), *o = grey;
    if (!grey)
        return pare_fail(PARE_ENOMEM, "no memory for a picture of %d x %d", p->width, p->height);
    for (int y = 0; y < p->height; y++)
        for (int x = 0; x < p->width; x++) {
            const uint8_t *s = p->px + x * p->dx + y * p->dy;
            *o++ = (uint8_t)((19595u * s[0] + 38470u * s[p->dc] + 7471u * s[2 * p->dc] + 32768u) >>
                             16);
        }
    int w = p->width, h = p->height;
    free(p->owned);
    *p = (pare_picture){ w, h, 1, grey, 1, w, 0, grey };
    return PARE_OK;
}
