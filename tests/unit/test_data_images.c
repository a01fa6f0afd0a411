/* Picture files and sets of them: right pixels, the fit rule, and what damage, lies and bombs get.
 */
#define _XOPEN_SOURCE 700
#include "base/rng.h"
#include "data/decode.h"
#include "data_files.h"
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <zlib.h>

#include <jpeglib.h>
#include <png.h>

#include <cmocka.h>

#define assert_fails(call, code, word)                                                    \
    do {                                                                                  \
        assert_int_equal(call, code);                                                     \
        if (!strstr(pare_error(), word)) fail_msg("'%s' lacks '%s'", pare_error(), word); \
    } while (0)

/* --- writing pictures --- */

enum { MOST = 1 << 20 };

/* `px` has rows of w * channels samples of `depth` bits, as libpng takes them. */
static char *png(const char *name, int w, int h, int depth, int type, bool interlaced, uint8_t *px,
                 size_t row_bytes)
{
    char *path = in_scratch(name);
    FILE *f = fopen(path, "wb");
    png_structp p = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(p);
    png_init_io(p, f);
    png_set_IHDR(p, info, (png_uint_32)w, (png_uint_32)h, depth, type,
                 interlaced ? PNG_INTERLACE_ADAM7 : PNG_INTERLACE_NONE,
                 PNG_COMPRESSION_TYPE_DEFAULT, PNG_FILTER_TYPE_DEFAULT);
    if (type == PNG_COLOR_TYPE_PALETTE) {
        static const png_color colours[4] = {
            { 1, 2, 3 }, { 40, 50, 60 }, { 255, 0, 9 }, { 7, 77, 177 }
        };
        static const png_byte alpha[2] = { 0, 128 };
        png_set_PLTE(p, info, colours, 4);
        png_set_tRNS(p, info, alpha, 2, NULL);
    }
    png_write_info(p, info);
    png_bytep row[256];
    for (int y = 0; y < h; y++) row[y] = px + (size_t)y * row_bytes;
    png_write_image(p, row);
    png_write_end(p, info);
    png_destroy_write_struct(&p, &info);
    fclose(f);
    return path;
}

/* Interleaved samples; `many` makes a progressive file with a scan for every coefficient. */
static char *jpeg(const char *name, int w, int h, int channels, J_COLOR_SPACE in,
                  J_COLOR_SPACE stored, bool adobe, bool many, uint8_t *px)
{
    char *path = in_scratch(name);
    FILE *f = fopen(path, "wb");
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    jpeg_scan_info scan[1 + 3 * 63];
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = (JDIMENSION)w;
    c.image_height = (JDIMENSION)h;
    c.input_components = channels;
    c.in_color_space = in;
    jpeg_set_defaults(&c);
    jpeg_set_colorspace(&c, stored);
    jpeg_set_quality(&c, 100, TRUE);
    for (int i = 0; i < channels; i++)
        c.comp_info[i].h_samp_factor = c.comp_info[i].v_samp_factor = 1;
    c.write_Adobe_marker = adobe;
    if (many) {
        int n = 0;
        scan[n++] = (jpeg_scan_info){ 3, { 0, 1, 2 }, 0, 0, 0, 0 };
        for (int k = 0; k < 3; k++)
            for (int i = 1; i < 64; i++) scan[n++] = (jpeg_scan_info){ 1, { k }, i, i, 0, 0 };
        c.scan_info = scan;
        c.num_scans = n;
    }
    jpeg_start_compress(&c, TRUE);
    for (int y = 0; y < h; y++) {
        JSAMPROW row = px + (size_t)y * (size_t)w * (size_t)channels;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    fclose(f);
    return path;
}

/* A smooth picture: what JPEG keeps nearly as it is. */
static void ramp(uint8_t *px, int w, int h, int channels)
{
    for (int y = 0; y < h; y++)
        for (int x = 0; x < w; x++)
            for (int c = 0; c < channels; c++) *px++ = (uint8_t)(40 + x * 3 + y * 2 + c * 20);
}

static pare_picture loaded(const char *path)
{
    pare_picture p;
    if (pare_picture_load(path, &p) != PARE_OK) fail_msg("%s: %s", path, pare_error());
    return p;
}

static size_t slurp(const char *path, uint8_t *buf)
{
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    size_t n = fread(buf, 1, MOST, f);
    fclose(f);
    return n;
}

static void expect(const char *path, int w, int h, const uint8_t *rgb, int tolerance)
{
    pare_picture p = loaded(path);
    assert_int_equal(p.width, w);
    assert_int_equal(p.height, h);
    assert_int_equal(p.channels, 3);
    for (int i = 0; i < w * h * 3; i++)
        if (abs(p.px[i] - rgb[i]) > tolerance)
            fail_msg("%s: sample %d is %d, not %d", path, i, p.px[i], rgb[i]);
    pare_picture_free(&p);
}

/* --- decoding --- */

static void test_png_kinds(void **state)
{
    (void)state;
    enum { W = 7, H = 5 };
    uint8_t rgb[W * H * 3], in[W * H * 8], want[W * H * 3];
    ramp(rgb, W, H, 3);
    expect(png("rgb.png", W, H, 8, PNG_COLOR_TYPE_RGB, false, rgb, W * 3), W, H, rgb, 0);
    expect(png("adam7.png", W, H, 8, PNG_COLOR_TYPE_RGB, true, rgb, W * 3), W, H, rgb, 0);
    for (int i = 0; i < W * H; i++) { /* alpha is dropped */
        memcpy(in + i * 4, rgb + i * 3, 3);
        in[i * 4 + 3] = (uint8_t)i;
    }
    expect(png("rgba.png", W, H, 8, PNG_COLOR_TYPE_RGBA, false, in, W * 4), W, H, rgb, 0);
    for (int i = 0; i < W * H; i++) {
        in[i * 2] = (uint8_t)(i * 7);
        in[i * 2 + 1] = 3;
        memset(want + i * 3, i * 7, 3);
    }
    expect(png("ga.png", W, H, 8, PNG_COLOR_TYPE_GRAY_ALPHA, true, in, W * 2), W, H, want, 0);
    for (int i = 0; i < W * H * 3; i++) { /* 16 bits, rounded */
        int v = i * 624 + 200;
        in[i * 2] = (uint8_t)(v >> 8);
        in[i * 2 + 1] = (uint8_t)v;
        want[i] = (uint8_t)floor(v * 255 / 65535.0 + 0.5);
    }
    expect(png("rgb16.png", W, H, 16, PNG_COLOR_TYPE_RGB, false, in, W * 6), W, H, want, 0);
    for (int y = 0; y < H; y++) { /* 1 bit */
        in[y] = (uint8_t)(0x96 + y);
        for (int x = 0; x < W; x++)
            memset(want + (y * W + x) * 3, in[y] >> (7 - x) & 1 ? 255 : 0, 3);
    }
    expect(png("bit.png", W, H, 1, PNG_COLOR_TYPE_GRAY, false, in, 1), W, H, want, 0);
    static const uint8_t colours[4][3] = {
        { 1, 2, 3 }, { 40, 50, 60 }, { 255, 0, 9 }, { 7, 77, 177 }
    };
    for (int y = 0; y < H; y++) { /* 2-bit palette */
        in[y * 2] = (uint8_t)(0x1b + y);
        in[y * 2 + 1] = 0xe4;
        for (int x = 0; x < W; x++)
            memcpy(want + (y * W + x) * 3, colours[in[y * 2 + x / 4] >> (6 - x % 4 * 2) & 3], 3);
    }
    expect(png("palette.png", W, H, 2, PNG_COLOR_TYPE_PALETTE, false, in, 2), W, H, want, 0);
    expect(png("one.png", 1, 1, 8, PNG_COLOR_TYPE_RGB, false, rgb, 3), 1, 1, rgb, 0);
    expect(png("lies.jpg", W, H, 8, PNG_COLOR_TYPE_RGB, false, rgb, W * 3), W, H, rgb,
           0); /* the content decides */
}

static void test_jpeg_kinds(void **state)
{
    (void)state;
    enum { W = 21, H = 13 };
    uint8_t rgb[W * H * 3], grey[W * H], want[W * H * 3], cmyk[W * H * 4];
    ramp(rgb, W, H, 3);
    expect(jpeg("rgb.jpg", W, H, 3, JCS_RGB, JCS_YCbCr, false, false, rgb), W, H, rgb, 3);
    expect(jpeg("plain.png", W, H, 3, JCS_RGB, JCS_RGB, true, false, rgb), W, H, rgb, 2);
    ramp(grey, W, H, 1);
    for (int i = 0; i < W * H; i++) memset(want + i * 3, grey[i], 3);
    expect(jpeg("grey.jpg", W, H, 1, JCS_GRAYSCALE, JCS_GRAYSCALE, false, false, grey), W, H, want,
           2);
    expect(jpeg("one.jpg", 1, 1, 3, JCS_RGB, JCS_YCbCr, false, false, rgb), 1, 1, rgb, 3);
    for (int i = 0; i < W * H; i++) {
        for (int c = 0; c < 3; c++) {
            cmyk[i * 4 + c] = rgb[i * 3 + c];
            want[i * 3 + c] = (uint8_t)((rgb[i * 3 + c] * 200 + 127) / 255);
        }
        cmyk[i * 4 + 3] = 200;
    }
    expect(jpeg("cmyk.jpg", W, H, 4, JCS_CMYK, JCS_CMYK, true, false, cmyk), W, H, want, 3);
    expect(jpeg("ycck.jpg", W, H, 4, JCS_CMYK, JCS_YCCK, true, false, cmyk), W, H, want, 4);
    for (int i = 0; i < W * H * 4; i++) cmyk[i] = (uint8_t)(255 - cmyk[i]);
    expect(jpeg("inks.jpg", W, H, 4, JCS_CMYK, JCS_CMYK, false, false, cmyk), W, H, want, 3);
}

static void cut_everywhere(const char *path, pare_decoder *decode)
{
    uint8_t *all = malloc(MOST);
    size_t n = slurp(path, all);
    for (size_t i = 0; i < n; i++) {
        pare_picture p;
        uint8_t *part = malloc(i + 1); /* so that a sanitizer sees reads beyond it */
        memcpy(part, all, i);
        pare_status st = decode("cut", part, i, &p);
        if (st != PARE_EFORMAT || !strstr(pare_error(), "'cut'"))
            fail_msg("%s cut to %zu bytes: %d, '%s'", path, i, (int)st, pare_error());
        free(part);
    }
    free(all);
}

static void mutate(const char *path, pare_decoder *decode, int mutants)
{
    uint8_t *all = malloc(MOST), *one = malloc(MOST);
    size_t n = slurp(path, all);
    for (int i = 0; i < mutants; i++) {
        pare_rng r = pare_rng_stream(7, (uint64_t)i);
        memcpy(one, all, n);
        for (int k = (int)pare_rng_below(&r, 4); k >= 0; k--)
            one[pare_rng_below(&r, n)] = (uint8_t)pare_rng_u64(&r);
        pare_picture p;
        if (decode("mutant", one, n, &p) == PARE_OK) pare_picture_free(&p);
    }
    free(all);
    free(one);
}

static void test_damage(void **state)
{
    (void)state;
    enum { W = 17, H = 9 };
    uint8_t rgb[W * H * 3], *all = malloc(MOST);
    pare_picture p;
    ramp(rgb, W, H, 3);
    char p1[512], j1[512]; /* copies: thousands of other names follow */
    strcpy(p1, png("whole.png", W, H, 8, PNG_COLOR_TYPE_RGB, true, rgb, W * 3));
    strcpy(j1, jpeg("whole.jpg", W, H, 3, JCS_RGB, JCS_YCbCr, false, false, rgb));
    cut_everywhere(p1, pare_png_decode);
    cut_everywhere(j1, pare_jpeg_decode);
    mutate(p1, pare_png_decode, 1500);
    mutate(j1, pare_jpeg_decode, 1500);

    /* headers that promise too much */
    size_t n = slurp(j1, all), at = 0;
    while (at + 9 < n && !(all[at] == 0xff && all[at + 1] == 0xc0)) at++;
    memset(all + at + 5, 0xff, 4);
    assert_fails(pare_picture_load(write_scratch("huge.jpg", all, n), &p), PARE_ELIMIT, "65500");
    all[at + 5] = all[at + 7] = 0xea, all[at + 6] = all[at + 8] = 0x60;
    assert_fails(pare_picture_load(write_scratch("huge.jpg", all, n), &p), PARE_ELIMIT,
                 "60000 x 60000 pixels");
    n = slurp(p1, all);
    memset(all + 16, 0, 8);
    all[18] = all[19] = all[22] = all[23] = 0xff;
    uint32_t crc = (uint32_t)crc32(0, all + 12, 17);
    for (int i = 0; i < 4; i++) all[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    assert_fails(pare_picture_load(write_scratch("huge.png", all, n), &p), PARE_ELIMIT,
                 "65535 x 65535 pixels");

    /* a scan for every coefficient of every component: 190 of them */
    assert_fails(
        pare_picture_load(jpeg("scans.jpg", W, H, 3, JCS_RGB, JCS_YCbCr, false, true, rgb), &p),
        PARE_ELIMIT, "100 scans");

    /* a comment that unpacks to 64 MB is not unpacked, or not kept */
    n = slurp(p1, all);
    uint8_t *bomb = malloc(MOST), *zeros = calloc(1, 64 << 20);
    uLongf packed = MOST - 64;
    assert_int_equal(compress(bomb + 12, &packed, zeros, 64 << 20), Z_OK);
    free(zeros);
    memcpy(bomb + 4, "zTXtbomb\0\0", 10);
    memmove(bomb + 14, bomb + 12, packed);
    uint32_t len = (uint32_t)packed + 6;
    for (int i = 0; i < 4; i++) bomb[i] = (uint8_t)(len >> (24 - 8 * i));
    crc = (uint32_t)crc32(0, bomb + 4, len + 4);
    for (int i = 0; i < 4; i++) bomb[8 + len + (uint32_t)i] = (uint8_t)(crc >> (24 - 8 * i));
    FILE *f = fopen(in_scratch("bomb.png"), "wb");
    fwrite(all, 1, 33, f);
    fwrite(bomb, 1, len + 12, f);
    fwrite(all + 33, 1, n - 33, f);
    fclose(f);
    if (pare_picture_load(in_scratch("bomb.png"), &p) == PARE_OK) pare_picture_free(&p);
    free(bomb);

    assert_fails(pare_picture_load(text_scratch("text.jpg", "<html>not found</html>"), &p),
                 PARE_EFORMAT, "neither a JPEG nor a PNG");
    assert_fails(pare_picture_load(text_scratch("none.jpg", ""), &p), PARE_EFORMAT, "(0 bytes)");
    assert_fails(pare_picture_load(in_scratch("absent.jpg"), &p), PARE_EIO, "absent.jpg");
    free(all);
}

/* --- scaling --- */

/* The definition, in real numbers: a triangle of half width max(1, scale) around each half-pixel
 * centre. */
static double by_definition(const uint8_t *px, int n, int step, int out, int i)
{
    double scale = (double)n / out, wide = scale > 1 ? scale : 1, centre = (i + 0.5) * scale,
           sum = 0, all = 0;
    for (int k = 0; k < n; k++) {
        double w = 1 - fabs(k + 0.5 - centre) / wide;
        if (w > 0) sum += w * px[k * step], all += w;
    }
    return sum / all;
}

static void test_resize(void **state)
{
    (void)state;
    static const int sizes[][2] = { { 10, 3 }, { 3, 10 }, { 7, 6 },  { 227, 128 },
                                    { 1, 5 },  { 9, 1 },  { 64, 64 } };
    for (size_t t = 0; t < sizeof sizes / sizeof *sizes; t++) {
        int n = sizes[t][0], m = sizes[t][1];
        uint8_t px[256 * 2];
        pare_rng r = pare_rng_stream(3, t);
        for (int i = 0; i < n * 2; i++) px[i] = (uint8_t)pare_rng_u64(&r);
        for (int along = 0; along < 2; along++) { /* two channels, a row or a column */
            pare_picture p = { along ? 1 : n, along ? n : 1, 2, px, 2, 2, 1, NULL };
            assert_int_equal(pare_picture_resize(&p, along ? 1 : m, along ? m : 1), PARE_OK);
            for (int i = 0; i < m; i++)
                for (int c = 0; c < 2; c++) {
                    double want = n == m ? px[i * 2 + c] : by_definition(px + c, n, 2, m, i),
                           got = p.px[i * 2 + c];
                    if (fabs(got - want) > 0.51)
                        fail_msg("%d to %d, pixel %d: %g, not %g", n, m, i, got, want);
                }
            pare_picture_free(&p);
        }
    }
    uint8_t one = 9;
    pare_picture p = { 1, 1, 1, &one, 1, 1, 1, NULL };
    assert_fails(pare_picture_resize(&p, 65535, 65535), PARE_ELIMIT, "65535 x 65535");
    assert_int_equal(p.width, 1);
}

static void test_fit(void **state)
{
    (void)state;
    enum { W = 40, H = 30 };
    uint8_t rgb[W * H * 3];
    for (int i = 0; i < W * H * 3; i++) rgb[i] = (uint8_t)(i * 37 >> 3);
    char *path = png("fit.png", W, H, 8, PNG_COLOR_TYPE_RGB, false, rgb, W * 3);
    pare_preprocess pp = { 0 };
    pare_type type = { PARE_F32, 4, { 1, 3, 28, 37 } };
    pare_tensor t;
    /* 37 <= 40 < 40.7 and 28 <= 30 < 30.8: the middle */
    assert_int_equal(pare_image_load(path, &pp, &type, &t), PARE_OK);
    for (int y = 0; y < 28; y++)
        for (int x = 0; x < 37; x++)
            assert_true(((float *)t.data)[(28 + y) * 37 + x] ==
                        (float)rgb[((y + 1) * W + x + 1) * 3 + 1]);
    pare_tensor_free(&t);
    /* 36 * 1.1 = 39.6 <= 40: scaled, and so is the height */
    type.dim[3] = 36;
    pare_picture want = loaded(path);
    assert_int_equal(pare_picture_resize(&want, 36, 28), PARE_OK);
    assert_int_equal(pare_image_load(path, NULL, &type, &t), PARE_OK);
    for (int i = 0; i < 36 * 28; i++) assert_true(((float *)t.data)[i] == (float)want.px[i * 3]);
    pare_tensor_free(&t);
    pare_picture_free(&want);
    /* 33 = 1.1 * 30 is scaled, too */
    pp = (pare_preprocess){ .crop_w = 33, .crop_h = 22 };
    type.dim[2] = 20, type.dim[3] = 30;
    want = loaded(path);
    pare_picture_crop(&want, 33, 22);
    assert_int_equal(pare_picture_resize(&want, 30, 20), PARE_OK);
    assert_int_equal(pare_image_load(path, &pp, &type, &t), PARE_OK);
    for (int i = 0; i < 30 * 20; i++) assert_true(((float *)t.data)[i] == (float)want.px[i * 3]);
    pare_tensor_free(&t);
    pare_picture_free(&want);
    /* stated; free dimensions follow; blue first; 8-bit network input with rounding and saturation
     */
    pp = (pare_preprocess){
        .crop_w = 20, .crop_h = 10, .bgr = true, .nhwc = true, .n_scale = 1, .scale = { 1.5f }
    };
    pare_type open = { PARE_U8, 4, { -1, -1, -1, -1 } };
    assert_int_equal(pare_image_load(path, &pp, &open, &t), PARE_OK);
    assert_int_equal(t.dim[1], 10);
    assert_int_equal(t.dim[2], 20);
    assert_int_equal(t.dim[3], 3);
    for (int i = 0; i < 200; i++) {
        float v = rintf(1.5f * (float)rgb[((i / 20 + 10) * W + i % 20 + 10) * 3 + 2]);
        assert_int_equal(((uint8_t *)t.data)[i * 3], v > 255 ? 255 : (int)v);
    }
    pare_tensor_free(&t);
    /* one channel: brightness */
    pare_type grey = { PARE_F32, 4, { 1, 1, H, W } };
    pp = (pare_preprocess){ 0 };
    assert_int_equal(pare_image_load(path, &pp, &grey, &t), PARE_OK);
    assert_true(((float *)t.data)[5] ==
                rintf((19595.f * rgb[15] + 38470.f * rgb[16] + 7471.f * rgb[17]) / 65536));
    pare_tensor_free(&t);
    pp.crop_w = pp.crop_h = 31;
    assert_fails(pare_image_load(path, &pp, &grey, &t), PARE_EFORMAT,
                 "40 x 30 is too small to crop 31 x 31");
    grey.dim[1] = 4;
    assert_fails(pare_image_load(path, NULL, &grey, &t), PARE_EFORMAT, "has 4");
    grey.dim[1] = 3, grey.dim[2] = grey.dim[3] = 1 << 25;
    assert_fails(pare_image_load(path, NULL, &grey, &t), PARE_ELIMIT, "fit.png");
    pare_type row = { PARE_F32, 2, { 1, 3 * H * W } };
    assert_fails(pare_image_load(path, NULL, &row, &t), PARE_EINVAL, "float32[1,3600]");
    row.dtype = PARE_BOOL;
    assert_fails(pare_image_load(path, NULL, &row, &t), PARE_EUNSUPPORTED, "bool");
}

/* --- sets --- */

static pare_status opening(const char *args, pare_split split, pare_dataset **d)
{
    char spec[4096];
    snprintf(spec, sizeof spec, "images:%.2048s", args);
    *d = NULL;
    return pare_dataset_open(spec, split, d);
}

static pare_status open_fails(const char *args)
{
    pare_dataset *d;
    pare_status st = opening(args, PARE_TEST, &d);
    assert_null(d);
    return st;
}

static char *with_list(const char *dir, const char *list)
{
    static char text[2048];
    snprintf(text, sizeof text, "%s,%s", dir, list);
    return text;
}

static void dot(const char *name, int red)
{
    uint8_t rgb[3] = { (uint8_t)red, 0, 0 };
    png(name, 1, 1, 8, PNG_COLOR_TYPE_RGB, false, rgb, 3);
}

/* Red of sample i, as the network gets it. */
static int red_of(const pare_dataset *d, int64_t i)
{
    pare_tensor t;
    int64_t dim[4] = { 1, 3, 1, 1 };
    assert_int_equal(pare_tensor_new(PARE_F32, 4, dim, &t), PARE_OK);
    if (pare_dataset_batch(d, NULL, &i, 1, NULL, &t, NULL) != PARE_OK) fail_msg("%s", pare_error());
    int red = (int)*(float *)t.data;
    pare_tensor_free(&t);
    return red;
}

static void test_folders(void **state)
{
    (void)state;
    char *dir = make_scratch_dir("f");
    pare_dataset *d;
    pare_dataset_info info;
    assert_fails(open_fails(dir), PARE_EFORMAT, "has no folders");
    make_scratch_dir("f/dog");
    assert_fails(open_fails(dir), PARE_EFORMAT, "1 class folders but no picture");
    make_scratch_dir("f/cat");
    make_scratch_dir("f/.hidden");
    dot("f/dog/b.PNG", 3);
    dot("f/dog/a.png", 2);
    text_scratch("f/dog/notes.txt", "no picture");
    dot("f/cat/z.jpg", 1);
    dot("f/stray.png", 9);
    if (opening(dir, PARE_TRAIN, &d) != PARE_OK) fail_msg("%s", pare_error());
    pare_dataset_about(d, &info);
    assert_int_equal(info.count, 3);
    assert_int_equal(info.classes, 2);
    assert_string_equal(pare_dataset_class(d, 1), "dog");
    for (int i = 0; i < 3; i++) {
        assert_int_equal(red_of(d, i), i + 1);
        assert_int_equal(pare_dataset_label(d, i), i > 0);
    }
    /* a file that goes bad, and one that goes away, are named */
    pare_tensor t;
    int64_t dim[4] = { 3, 3, 1, 1 }, index[3] = { 0, 1, 2 };
    assert_int_equal(pare_tensor_new(PARE_F32, 4, dim, &t), PARE_OK);
    text_scratch("f/dog/a.png", "\x89PNG\r\n\x1a\nrubbish");
    assert_fails(pare_dataset_batch(d, NULL, index, 3, NULL, &t, NULL), PARE_EFORMAT, "dog/a.png");
    unlink(in_scratch("f/dog/a.png"));
    assert_fails(pare_dataset_batch(d, NULL, index, 3, NULL, &t, NULL), PARE_EIO, "dog/a.png");
    pare_tensor_free(&t);
    int64_t four[4] = { 1, 4, 1, 1 }, row[2] = { 1, 3 };
    assert_int_equal(pare_tensor_new(PARE_F32, 4, four, &t), PARE_OK);
    assert_fails(pare_dataset_batch(d, NULL, index, 1, NULL, &t, NULL), PARE_EFORMAT,
                 "3 channels, the network's input has 4");
    pare_tensor_free(&t);
    assert_int_equal(pare_tensor_new(PARE_F32, 2, row, &t), PARE_OK);
    assert_fails(pare_dataset_batch(d, NULL, index, 1, NULL, &t, NULL), PARE_EFORMAT,
                 "2 dimensions");
    pare_tensor_free(&t);
    pare_dataset_free(d);

    /* two parts; the classes are those of both */
    dir = make_scratch_dir("g");
    make_scratch_dir("g/train");
    make_scratch_dir("g/val");
    make_scratch_dir("g/train/b");
    make_scratch_dir("g/train/c");
    make_scratch_dir("g/val/a");
    make_scratch_dir("g/val/c");
    dot("g/train/b/1.png", 1);
    dot("g/train/c/1.png", 2);
    dot("g/val/c/1.png", 3);
    assert_int_equal(opening(dir, PARE_TRAIN, &d), PARE_OK);
    pare_dataset_about(d, &info);
    assert_int_equal(info.classes, 3);
    assert_int_equal(info.count, 2);
    assert_int_equal(pare_dataset_label(d, 0), 1);
    pare_dataset_free(d);
    assert_int_equal(opening(dir, PARE_TEST, &d), PARE_OK);
    assert_int_equal(pare_dataset_label(d, 0), 2);
    assert_int_equal(red_of(d, 0), 3);
    pare_dataset_free(d);
    assert_fails(open_fails(""), PARE_EINVAL, "images:DIR");
    assert_fails(open_fails("/nowhere"), PARE_EIO, "not a folder");
}

static void test_lists(void **state)
{
    (void)state;
    char *dir = make_scratch_dir("l"), *list;
    pare_dataset *d;
    pare_dataset_info info;
    make_scratch_dir("l/sub");
    dot("l/a.png", 1);
    dot("l/b c.png", 2);
    dot("l/sub/d,e.png", 3);
    static const char *const good[] = {
        "a.png 4\nb c.png 0\nsub/d,e.png,1\n",
        "\xef\xbb\xbf"
        "file,label\r\na.png,4\r\n\r\n\"b c.png\", 0\r\n# note, 3\r\n\"sub/d,e.png\",\"1\"",
    };
    for (size_t i = 0; i < sizeof good / sizeof *good; i++) {
        list = text_scratch("list.csv", good[i]);
        if (opening(with_list(dir, list), PARE_TEST, &d) != PARE_OK) fail_msg("%s", pare_error());
        pare_dataset_about(d, &info);
        assert_int_equal(info.count, 3);
        assert_int_equal(info.classes, 5);
        static const int labels[3] = { 4, 0, 1 };
        for (int k = 0; k < 3; k++) {
            assert_int_equal(pare_dataset_label(d, k), labels[k]);
            assert_int_equal(red_of(d, k), k + 1);
        }
        assert_null(pare_dataset_class(d, 0));
        pare_dataset_free(d);
    }
    static const struct {
        const char *text, *says;
        pare_status want;
    } bad[] = {
        { "", "lists no pictures", PARE_EFORMAT },
        { "file,label\n", "lists no pictures", PARE_EFORMAT },
        { "a.png 1\nnone.png 2\n", "line 2: ", PARE_EIO },
        { "a.png 1\nb c.png cat\n", "the label 'cat'", PARE_EFORMAT },
        { "a.png x\n", "the label 'x' of 'a.png'", PARE_EFORMAT },
        { "a.png 1\nb c.png -1\n", "the label '-1'", PARE_EFORMAT },
        { "a.png 99999999999\n", "99999999999", PARE_EFORMAT },
        { "a.png 2000000\n", "2000000", PARE_EFORMAT },
        { "a.png\n", "not a file and its label", PARE_EFORMAT },
        { "../l/a.png 1\n", "inside the folder", PARE_EFORMAT },
        { "/etc/passwd 1\n", "inside the folder", PARE_EFORMAT },
        { "sub/../../x 1\n", "inside the folder", PARE_EFORMAT },
        { "sub 1\n", "is not there", PARE_EIO },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pare_status st = open_fails(with_list(dir, text_scratch("list.csv", bad[i].text)));
        if (st != bad[i].want || !strstr(pare_error(), bad[i].says) ||
            !strstr(pare_error(), "list.csv"))
            fail_msg("%s: status %d, '%s'", bad[i].text, (int)st, pare_error());
    }
    assert_fails(open_fails(with_list(dir, write_scratch("list.csv", "a.png\0 1\n", 9))),
                 PARE_EFORMAT, "not a text");
    assert_fails(open_fails(with_list(dir, in_scratch("nolist"))), PARE_EIO, "nolist");

    /* names of classes: labels may then be words, and must not exceed them */
    text_scratch("l/synset_words.txt", "n1 cat, house cat\nn2 dog\n");
    list = text_scratch("list.csv", "a.png 1\nb c.png,dog\n");
    assert_int_equal(opening(with_list(dir, list), PARE_TEST, &d), PARE_OK);
    assert_string_equal(pare_dataset_class(d, 0), "cat, house cat");
    assert_int_equal(pare_dataset_label(d, 1), 1);
    pare_dataset_free(d);
    text_scratch("list.csv", "a.png 2\n");
    assert_fails(open_fails(with_list(dir, list)), PARE_EFORMAT, "label 2, but 2 classes");
}

/* --- the real thing, where it is at hand --- */

static void test_real_photos(void **state)
{
    (void)state;
    const char *root = getenv("PARE_DATA");
    char dir[512], list[512];
    snprintf(dir, sizeof dir, "%s/imagenet/val", root ? root : "");
    snprintf(list, sizeof list, "%s/imagenet/val.txt", root ? root : "");
    pare_dataset *d;
    if (!root || access(dir, R_OK) != 0) skip();
    if (opening(with_list(dir, list), PARE_TEST, &d) != PARE_OK) fail_msg("%s", pare_error());
    pare_dataset_info info;
    pare_dataset_about(d, &info);
    assert_int_equal(info.count, 650);
    assert_int_equal(info.classes, 1000);
    assert_string_equal(pare_dataset_class(d, 1), "goldfish, Carassius auratus");
    assert_int_equal(pare_dataset_label(d, 0), 472);
    int64_t dim[4] = { 1, 3, 224, 224 };
    pare_tensor t;
    assert_int_equal(pare_tensor_new(PARE_F32, 4, dim, &t), PARE_OK);
    for (int64_t i = 0; i < 60; i++)
        if (pare_dataset_batch(d, NULL, &i, 1, NULL, &t, NULL) != PARE_OK)
            fail_msg("%s", pare_error());
    pare_tensor_free(&t);
    pare_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_png_kinds), cmocka_unit_test(test_jpeg_kinds),
        cmocka_unit_test(test_damage),    cmocka_unit_test(test_resize),
        cmocka_unit_test(test_fit),       cmocka_unit_test(test_folders),
        cmocka_unit_test(test_lists),     cmocka_unit_test(test_real_photos),
    };
    return cmocka_run_group_tests(tests, scratch_make, scratch_remove);
}
