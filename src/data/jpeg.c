/* JPEG through libjpeg-turbo in its default setting (accurate integer transform, smooth chroma),
 * like everybody else.
 *
 * Grey becomes RGB; CMYK and YCCK become RGB by (1 - ink)(1 - black). EXIF orientation is ignored,
 * as are colour profiles. What libjpeg only warns of but cannot show right (missing data, bad
 * codes) is an error here. */
#include "data/decode.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>

#include <jerror.h>
#include <jpeglib.h>

enum { MOST_SCANS = 100, MOST_MEMORY = 1 << 30 };

/* Everything that must survive longjmp lives here and not in registers. */
typedef struct job {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors;
    struct jpeg_progress_mgr progress;
    jmp_buf out;
    const char *name;
    pare_picture picture;
    uint8_t *cmyk; /* one row */
    pare_status status;
} job;

static _Noreturn void stop(j_common_ptr jpeg)
{
    job *j = jpeg->client_data;
    char text[JMSG_LENGTH_MAX];
    jpeg->err->format_message(jpeg, text);
    int why = jpeg->err->msg_code;
    pare_status code = why == JERR_OUT_OF_MEMORY                                   ? PARE_ENOMEM
                       : why == JERR_NO_BACKING_STORE || why == JERR_IMAGE_TOO_BIG ? PARE_ELIMIT
                                                                                   : PARE_EFORMAT;
    if (j->status == PARE_OK)
        j->status = pare_fail(
            code, code == PARE_EFORMAT ? "'%s' is a damaged JPEG: %s" : "cannot decode '%s': %s",
            j->name, text);
    longjmp(j->out, 1);
}

static void message(j_common_ptr jpeg, int level)
{
    if (level >= 0) return; /* a trace */
    switch (jpeg->err->msg_code) {
    case JWRN_EXTRANEOUS_DATA: /* bytes between segments: common, and the picture is whole */
    case JWRN_ADOBE_XFORM:
    case JWRN_JFIF_MAJOR:
    case JWRN_TOO_MUCH_DATA: return;
    default: stop(jpeg);
    }
}

static void quiet(j_common_ptr jpeg) { (void)jpeg; }

static void progress(j_common_ptr jpeg)
{
    job *j = jpeg->client_data;
    int scans = j->jpeg.input_scan_number;
    if (scans <= MOST_SCANS) return;
    j->status = pare_fail(PARE_ELIMIT, "'%s' has more than %d scans", j->name, MOST_SCANS);
    longjmp(j->out, 1);
}

/* With Adobe's marker, inks are stored inverted: 255 is none. */
static void cmyk_to_rgb(const uint8_t *in, int n, bool inverted, uint8_t *out)
{
    for (int i = 0; i < n; i++, in += 4)
        for (int c = 0; c < 3; c++) {
            int ink = inverted ? in[c] : 255 - in[c], black = inverted ? in[3] : 255 - in[3];
            *out++ = (uint8_t)((ink * black + 127) / 255);
        }
}

/* False if libjpeg gave up; the reason is in j->status. */
static bool decode(job *j, const uint8_t *data, size_t size)
{
    if (setjmp(j->out)) return false;
    jpeg_create_decompress(&j->jpeg);
    j->jpeg.progress = &j->progress;
    j->jpeg.mem->max_memory_to_use = MOST_MEMORY;
    jpeg_mem_src(&j->jpeg, data, size);
    jpeg_read_header(&j->jpeg, TRUE);
    j->status = pare_picture_new(j->name, j->jpeg.image_width, j->jpeg.image_height, &j->picture);
    if (j->status != PARE_OK) return false;
    bool inks = j->jpeg.jpeg_color_space == JCS_CMYK || j->jpeg.jpeg_color_space == JCS_YCCK;
    j->jpeg.out_color_space = inks ? JCS_CMYK : JCS_RGB;
    jpeg_start_decompress(&j->jpeg);
    if (inks && !(j->cmyk = malloc((size_t)j->picture.width * 4))) {
        j->status = pare_fail(PARE_ENOMEM, "no memory to decode '%s'", j->name);
        return false;
    }
    while (j->jpeg.output_scanline < j->jpeg.output_height) {
        uint8_t *row = j->picture.owned + (size_t)j->jpeg.output_scanline * (size_t)j->picture.dy;
        JSAMPROW to = inks ? j->cmyk : row;
        jpeg_read_scanlines(&j->jpeg, &to, 1);
        if (inks) cmyk_to_rgb(j->cmyk, j->picture.width, j->jpeg.saw_Adobe_marker, row);
    }
    jpeg_finish_decompress(&j->jpeg);
    return true;
}

pare_status pare_jpeg_decode(const char *name, const uint8_t *data, size_t size, pare_picture *p)
{
    job *j = calloc(1, sizeof *j);
    if (!j) return pare_fail(PARE_ENOMEM, "no memory to decode '%s'", name);
    j->name = name;
    j->jpeg.err = jpeg_std_error(&j->errors);
    j->jpeg.client_data = j;
    j->errors.error_exit = stop;
    j->errors.emit_message = message;
    j->errors.output_message = quiet;
    j->progress.progress_monitor = progress;
    bool ok = decode(j, data, size);
    pare_status st = j->status;
    jpeg_destroy_decompress(&j->jpeg);
    free(j->cmyk);
    if (ok)
        *p = j->picture;
    else
        pare_picture_free(&j->picture);
    free(j);
    return st;
}
