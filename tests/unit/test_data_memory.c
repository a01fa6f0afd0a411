/* Every allocation failing in turn while data is opened, read and written: PARE_ENOMEM, and (under
 * the address sanitizer) nothing lost. The link step sends the library's allocations through the
 * __wrap_ functions below. */
#define _XOPEN_SOURCE 700
#include "data/get.h"
#include "data_files.h"
#include "graph/graph.h"
#include "pare/data.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include <jansson.h>
#include <jpeglib.h>
#include <png.h>

#include <cmocka.h>

/* --- allocation number `fatal` from now on gives nothing --- */

static int64_t count, fatal = -1;

static bool fails(void) { return fatal >= 0 && count++ == fatal; }

void *__real_malloc(size_t n);
void *__real_calloc(size_t n, size_t size);
void *__real_realloc(void *p, size_t n);
void *__real_aligned_alloc(size_t align, size_t n);
int __real_posix_memalign(void **p, size_t align, size_t n);
char *__real_strdup(const char *s);
char *__real_strndup(const char *s, size_t n);
void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void *__wrap_aligned_alloc(size_t align, size_t n);
int __wrap_posix_memalign(void **p, size_t align, size_t n);
char *__wrap_strdup(const char *s);
char *__wrap_strndup(const char *s, size_t n);

void *__wrap_malloc(size_t n) { return fails() ? NULL : __real_malloc(n); }
void *__wrap_calloc(size_t n, size_t size) { return fails() ? NULL : __real_calloc(n, size); }
int __wrap_posix_memalign(void **p, size_t align, size_t n)
{
    return fails() ? ENOMEM : __real_posix_memalign(p, align, n);
}
void *__wrap_realloc(void *p, size_t n) { return fails() ? NULL : __real_realloc(p, n); }
void *__wrap_aligned_alloc(size_t align, size_t n)
{
    return fails() ? NULL : __real_aligned_alloc(align, n);
}
char *__wrap_strdup(const char *s) { return fails() ? NULL : __real_strdup(s); }
char *__wrap_strndup(const char *s, size_t n) { return fails() ? NULL : __real_strndup(s, n); }

/* --- scenarios: what a user does, from start to end, once --- */

static char path[9][512];
enum { CIFAR, MNIST, X, Y, FOLDER, LIST, PNG, JPEG, JSON };

static pare_status read_some(const char *spec, int channels, int side, pare_dtype dtype)
{
    pare_dataset *d = NULL;
    pare_status st = pare_dataset_open(spec, PARE_TEST, &d);
    pare_tensor t = { 0 };
    int64_t dim[4] = { 2, channels, side, side }, index[2] = { 1, 0 };
    pare_augment a = { .pad = 1, .flip = true };
    if (st == PARE_OK) st = pare_tensor_new(dtype, 4, dim, &t);
    if (st == PARE_OK)
        st = pare_dataset_batch(d, NULL, index, 2, dtype == PARE_U8 ? &a : NULL, &t, NULL);
    pare_tensor_free(&t);
    pare_dataset_free(d);
    return st;
}

static pare_status set_of(const char *kind, const char *rest, int channels, int side,
                          pare_dtype dtype)
{
    char spec[2048];
    snprintf(spec, sizeof spec, "%s:%s", kind, rest);
    return read_some(spec, channels, side, dtype);
}

static char *two(int a, int b)
{
    static char text[1100];
    snprintf(text, sizeof text, "%s,%s", path[a], path[b]);
    return text;
}

static pare_status cifar(void) { return set_of("cifar10", path[CIFAR], 3, 24, PARE_U8); }
static pare_status mnist(void) { return set_of("mnist", path[MNIST], 1, 4, PARE_F32); }
static pare_status numbers(void) { return set_of("npy", two(X, Y), 3, 4, PARE_F32); }
static pare_status folder(void) { return set_of("images", path[FOLDER], 3, 5, PARE_F32); }
static pare_status listed(void) { return set_of("images", two(FOLDER, LIST), 1, 5, PARE_U8); }
static pare_status glyphs(void) { return set_of("glyphs", "test=3", 3, 32, PARE_F16); }

static pare_status image(int which)
{
    pare_type type = { PARE_I8, 4, { 1, 1, 6, 6 } };
    pare_tensor t = { 0 };
    pare_status st = pare_image_load(path[which], NULL, &type, &t);
    pare_tensor_free(&t);
    return st;
}
static pare_status png(void) { return image(PNG); }
static pare_status jpeg(void) { return image(JPEG); }

static pare_status preprocess(void)
{
    char spec[600];
    pare_preprocess pp;
    pare_graph *g = NULL;
    bool found;
    snprintf(spec, sizeof spec, "%s:a", path[JSON]);
    pare_status st = pare_preprocess_load(spec, &pp);
    if (st == PARE_OK) st = pare_graph_new(&g);
    if (st == PARE_OK) st = pare_preprocess_to_model(&pp, g);
    if (st == PARE_OK) st = pare_preprocess_from_model(g, &pp, &found);
    pare_graph_free(g);
    return st;
}

static pare_status npy(void)
{
    pare_tensor t = { 0 };
    pare_status st = pare_npy_load(path[X], &t);
    if (st == PARE_OK) st = pare_npy_save(&t, in_scratch("out.npy"), true);
    pare_tensor_free(&t);
    return st;
}

static pare_status sum(void)
{
    char hex[65];
    return pare_sha256_file(path[X], hex);
}

/* `also`: what else it may come to. Some allocations only serve what can be left out (syncing a
 * folder), and jansson takes a word that it has no memory for to be misspelt. */
static void inject(const char *what, pare_status (*scenario)(void), pare_status also)
{
    pare_log_to(NULL, NULL, PARE_LOG_WARNING + 1);
    for (int64_t n = 0;; n++) {
        count = 0, fatal = n;
        pare_status st = scenario();
        bool reached = count > n;
        fatal = -1;
        if (!reached) {
            if (st != PARE_OK) fail_msg("%s: %s", what, pare_error());
            print_message("%s: %d allocations\n", what, (int)n);
            assert_true(n > 0);
            return;
        }
        if (st != PARE_ENOMEM && st != also)
            fail_msg("%s, allocation %d: status %d, '%s'", what, (int)n, (int)st, pare_error());
    }
}

#define SCENARIO(name, also) \
    static void test_##name(void **state) { (void)state, inject(#name, name, also); }
SCENARIO(cifar, PARE_ENOMEM)
SCENARIO(mnist, PARE_ENOMEM)
SCENARIO(numbers, PARE_ENOMEM)
SCENARIO(folder, PARE_ENOMEM)
SCENARIO(listed, PARE_ENOMEM)
SCENARIO(glyphs, PARE_ENOMEM)
SCENARIO(png, PARE_ENOMEM)
SCENARIO(jpeg, PARE_ENOMEM)
SCENARIO(preprocess, PARE_EFORMAT)
SCENARIO(npy, PARE_OK)
SCENARIO(sum, PARE_ENOMEM)

/* --- the files they read --- */

static int make_files(void **state)
{
    if (scratch_make(state) != 0) return -1;
    json_set_alloc_funcs(__wrap_malloc, free); /* jansson's allocations fail, too */
    strcpy(path[CIFAR], make_scratch_dir("c"));
    static uint8_t records[2 * 3073];
    write_scratch("c/test_batch.bin", records, sizeof records);
    text_scratch("c/classes.txt", "0\n1\n2\n3\n4\n5\n6\n7\n8\n9\n");
    strcpy(path[MNIST], make_scratch_dir("m"));
    static const uint8_t images[16 + 32] = { 0, 0, 8, 3, 0, 0, 0, 2, 0, 0, 0, 4, 0, 0, 0, 4 },
                                     labels[10] = { 0, 0, 8, 1, 0, 0, 0, 2 };
    write_scratch("m/t10k-images-idx3-ubyte", images, sizeof images);
    write_scratch("m/t10k-labels-idx1-ubyte.gz", labels,
                  sizeof labels); /* not packed: zlib lets it through */
    strcpy(path[X], in_scratch("x.npy"));
    strcpy(path[Y], in_scratch("y.npy"));
    int64_t xdim[4] = { 2, 3, 4, 4 };
    pare_tensor x, y;
    if (pare_tensor_new(PARE_I16, 4, xdim, &x) != PARE_OK ||
        pare_npy_save(&x, path[X], true) != PARE_OK)
        return -1;
    if (pare_tensor_new(PARE_I64, 1, xdim, &y) != PARE_OK ||
        pare_npy_save(&y, path[Y], true) != PARE_OK)
        return -1;
    pare_tensor_free(&x);
    pare_tensor_free(&y);

    strcpy(path[FOLDER], make_scratch_dir("i"));
    make_scratch_dir("i/a");
    make_scratch_dir("i/b");
    png_image drawn = {
        .version = PNG_IMAGE_VERSION, .width = 8, .height = 8, .format = PNG_FORMAT_RGB
    };
    static uint8_t px[8 * 8 * 3];
    strcpy(path[PNG], in_scratch("i/a/1.png"));
    if (!png_image_write_to_file(&drawn, path[PNG], 0, px, 0, NULL)) return -1;
    strcpy(path[JPEG], in_scratch("i/b/2.jpg"));
    struct jpeg_compress_struct c;
    struct jpeg_error_mgr errors;
    FILE *f = fopen(path[JPEG], "wb");
    if (!f) return -1;
    c.err = jpeg_std_error(&errors);
    jpeg_create_compress(&c);
    jpeg_stdio_dest(&c, f);
    c.image_width = c.image_height = 8;
    c.input_components = 4;
    c.in_color_space = JCS_CMYK;
    jpeg_set_defaults(&c);
    jpeg_start_compress(&c, TRUE);
    for (int i = 0; i < 8; i++) {
        JSAMPROW row = px;
        jpeg_write_scanlines(&c, &row, 1);
    }
    jpeg_finish_compress(&c);
    jpeg_destroy_compress(&c);
    fclose(f);
    strcpy(path[LIST], text_scratch("list.txt", "a/1.png 0\nb/2.jpg 3\n"));
    strcpy(path[JSON],
           text_scratch(
               "pp.json",
               "{\"a\": {\"mean\": [1, 2, 3], \"scale\": 0.5, \"resize\": [9, 9], \"skip\": 1}}"));
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cifar),      cmocka_unit_test(test_mnist),
        cmocka_unit_test(test_numbers),    cmocka_unit_test(test_folder),
        cmocka_unit_test(test_listed),     cmocka_unit_test(test_glyphs),
        cmocka_unit_test(test_png),        cmocka_unit_test(test_jpeg),
        cmocka_unit_test(test_preprocess), cmocka_unit_test(test_npy),
        cmocka_unit_test(test_sum),
    };
    return cmocka_run_group_tests(tests, make_files, scratch_remove);
}
