/* PNG through libpng: any depth, palette and interlacing to 8-bit RGB. 16 bits are rounded to 8;
 * grey becomes RGB; an alpha channel or transparent colour is dropped, not blended; gamma and
 * profiles are ignored. */
#include "data/decode.h"

#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

enum { MOST_CHUNK = 8 << 20, MOST_CHUNKS = 256 };

/* Everything that must survive longjmp lives here and not in registers. */
typedef struct job {
    png_structp png;
    png_infop info;
    const char *name;
    const uint8_t *data;
    size_t size, at;
    pare_picture picture;
    png_bytep *row;
    pare_status status;
} job;

static _Noreturn void stop(png_structp png, png_const_charp text)
{
    job *j = png_get_error_ptr(png);
    if (j->status == PARE_OK)
        j->status = pare_fail(PARE_EFORMAT, "'%s' is a damaged PNG: %s", j->name, text);
    png_longjmp(png, 1);
}

static void quiet(png_structp png, png_const_charp text) { (void)png, (void)text; }

static void feed(png_structp png, png_bytep to, size_t n)
{
    job *j = png_get_io_ptr(png);
    if (n > j->size - j->at) png_error(png, "it ends early");
    memcpy(to, j->data + j->at, n);
    j->at += n;
}

static void *get_memory(png_structp png, png_alloc_size_t size)
{
    job *j = png_get_mem_ptr(png);
    void *p = malloc(size ? size : 1);
    if (!p && j->status == PARE_OK)
        j->status = pare_fail(PARE_ENOMEM, "no memory to decode '%s'", j->name);
    return p;
}

static void drop_memory(png_structp png, void *p)
{
    (void)png;
    free(p);
}

/* False if libpng gave up; the reason is in j->status. */
static bool decode(job *j)
{
    if (setjmp(png_jmpbuf(j->png))) return false;
    png_set_read_fn(j->png, j, feed);
    png_set_chunk_malloc_max(j->png, MOST_CHUNK);
    png_set_chunk_cache_max(j->png, MOST_CHUNKS);
    png_set_user_limits(j->png, PARE_MAX_PIXELS, PARE_MAX_PIXELS);
    png_read_info(j->png, j->info);
    png_uint_32 w = png_get_image_width(j->png, j->info), h = png_get_image_height(j->png, j->info);
    if ((j->status = pare_picture_new(j->name, w, h, &j->picture)) != PARE_OK) return false;
    png_set_scale_16(j->png);
    png_set_palette_to_rgb(j->png);
    png_set_expand_gray_1_2_4_to_8(j->png);
    png_set_gray_to_rgb(j->png);
    png_set_strip_alpha(j->png);
    png_set_interlace_handling(j->png);
    png_read_update_info(j->png, j->info);
    if (png_get_rowbytes(j->png, j->info) != (size_t)w * 3)
        png_error(j->png, "its rows are not RGB");
    if (!(j->row = malloc(h * sizeof *j->row))) {
        j->status = pare_fail(PARE_ENOMEM, "no memory to decode '%s'", j->name);
        return false;
    }
    for (size_t y = 0; y < h; y++) j->row[y] = j->picture.owned + y * w * 3;
    png_read_image(j->png, j->row);
    png_read_end(j->png, NULL);
    return true;
}

pare_status pare_png_decode(const char *name, const uint8_t *data, size_t size, pare_picture *p)
{
    job *j = calloc(1, sizeof *j);
    if (!j) return pare_fail(PARE_ENOMEM, "no memory to decode '%s'", name);
    j->name = name;
    j->data = data;
    j->size = size;
    bool ok = false;
    j->png =
        png_create_read_struct_2(PNG_LIBPNG_VER_STRING, j, stop, quiet, j, get_memory, drop_memory);
    if (j->png) j->info = png_create_info_struct(j->png);
    if (j->info)
        ok = decode(j);
    else if (j->status == PARE_OK)
        j->status = pare_fail(PARE_ENOMEM, "no memory to decode '%s'", name);
    pare_status st = j->status;
    png_destroy_read_struct(&j->png, &j->info, NULL);
    free(j->row);
    if (ok)
        *p = j->picture;
    else
        pare_picture_free(&j->picture);
    free(j);
    return st;
}
