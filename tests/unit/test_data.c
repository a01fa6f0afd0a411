/* Data sets in memory (cifar10, mnist, npy), .npy files, preprocessing, batches: right values, and
 * what damage gets. */
#define _XOPEN_SOURCE 700
#include "data_files.h"
#include "graph/graph.h"
#include "pare/data.h"
#include "tensor/tensor.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <zlib.h>

#include <cmocka.h>

/* The call fails with `code` and says `word`. */
#define assert_fails(call, code, word)                                                    \
    do {                                                                                  \
        assert_int_equal(call, code);                                                     \
        if (!strstr(pare_error(), word)) fail_msg("'%s' lacks '%s'", pare_error(), word); \
    } while (0)

static pare_dataset *opened(const char *spec, pare_split split)
{
    pare_dataset *d = NULL;
    pare_status st = pare_dataset_open(spec, split, &d);
    if (st != PARE_OK) fail_msg("%s: %s", spec, pare_error());
    return d;
}

static pare_status open_fails(const char *spec, pare_split split)
{
    pare_dataset *d = NULL;
    pare_status st = pare_dataset_open(spec, split, &d);
    assert_null(d);
    return st;
}

static char *spec_of(const char *kind, const char *rest)
{
    static char text[2048];
    snprintf(text, sizeof text, "%s:%s", kind, rest);
    return text;
}

static int quiet(void **state)
{
    pare_log_to(NULL, NULL, PARE_LOG_WARNING + 1);
    return scratch_make(state);
}

/* --- cifar10 --- */

enum { RECORD = 3073 };

/* Pixel of record r, channel c, row y, column x. */
static int cifar_pixel(int r, int c, int y, int x)
{
    return (r * 31 + c * 77 + y * 5 + x * 3) & 255;
}

static void cifar_file(const char *name, int records, int first)
{
    uint8_t *data = malloc((size_t)records * RECORD), *p = data;
    assert_non_null(data);
    for (int r = 0; r < records; r++) {
        *p++ = (uint8_t)((first + r) % 10);
        for (int c = 0; c < 3; c++)
            for (int y = 0; y < 32; y++)
                for (int x = 0; x < 32; x++) *p++ = (uint8_t)cifar_pixel(first + r, c, y, x);
    }
    write_scratch(name, data, (size_t)records * RECORD);
    free(data);
}

static void test_cifar10(void **state)
{
    (void)state;
    make_scratch_dir("c");
    for (int i = 1; i <= 5; i++) {
        char name[32];
        snprintf(name, sizeof name, "c/data_batch_%d.bin", i);
        cifar_file(name, i, i * (i - 1) / 2);
    }
    cifar_file("c/test_batch.bin", 3, 100);
    text_scratch("c/batches.meta.txt",
                 "airplane\nautomobile\nbird\ncat\r\ndeer\ndog\nfrog\nhorse\nship\ntruck\n\n");
    pare_dataset *d = opened(spec_of("cifar10", in_scratch("c")), PARE_TRAIN);
    pare_dataset_info info;
    pare_dataset_about(d, &info);
    assert_int_equal(info.count, 15);
    assert_int_equal(info.classes, 10);
    assert_int_equal(info.channels, 3);
    assert_int_equal(info.height, 32);
    assert_true(info.pixels);
    assert_string_equal(pare_dataset_class(d, 3), "cat");
    assert_null(pare_dataset_class(d, 10));
    assert_int_equal(pare_dataset_label(d, 14), 4);

    /* order, mean, scale and layout, against the definition */
    pare_preprocess pp = { .n_mean = 3,
                           .n_scale = 1,
                           .mean = { 10, 20, 30 },
                           .scale = { 0.5f },
                           .bgr = true,
                           .nhwc = true };
    int64_t index[2] = { 14, 0 }, dim[4] = { 2, 32, 32, 3 };
    int label[2];
    pare_tensor t;
    assert_int_equal(pare_tensor_new(PARE_F32, 4, dim, &t), PARE_OK);
    assert_int_equal(pare_dataset_batch(d, &pp, index, 2, NULL, &t, label), PARE_OK);
    assert_int_equal(label[0], 4);
    const float *x = t.data;
    for (int n = 0; n < 2; n++)
        for (int i = 0; i < 32 * 32; i++)
            for (int c = 0; c < 3; c++) {
                float want =
                    ((float)cifar_pixel((int)index[n], 2 - c, i / 32, i % 32) - pp.mean[c]) * 0.5f;
                if (*x++ != want)
                    fail_msg("sample %d pixel %d channel %d: %g, not %g", n, i, c, (double)x[-1],
                             (double)want);
            }
    pare_tensor_free(&t);
    pare_dataset_free(d);

    d = opened(spec_of("cifar10", in_scratch("c")), PARE_TEST);
    pare_dataset_about(d, &info);
    assert_int_equal(info.count, 3);
    index[0] = 3;
    int64_t planar[4] = { 1, 3, 32, 32 };
    assert_int_equal(pare_tensor_new(PARE_F32, 4, planar, &t), PARE_OK);
    assert_fails(pare_dataset_batch(d, NULL, index, 1, NULL, &t, NULL), PARE_EINVAL, "no sample 3");
    index[0] = -1;
    assert_fails(pare_dataset_batch(d, NULL, index, 1, NULL, &t, NULL), PARE_EINVAL,
                 "no sample -1");
    index[0] = 0;
    pp.n_mean = 2, pp.nhwc = false;
    assert_fails(pare_dataset_batch(d, &pp, index, 1, NULL, &t, NULL), PARE_EINVAL, "2 means for");
    pare_tensor_free(&t);
    int64_t grey[4] = { 1, 1, 32, 32 };
    assert_int_equal(pare_tensor_new(PARE_F32, 4, grey, &t), PARE_OK);
    assert_fails(pare_dataset_batch(d, NULL, index, 1, NULL, &t, NULL), PARE_EFORMAT,
                 "3 channels, the network's input has 1");
    pare_tensor_free(&t);

    /* a network that takes rows; and one whose input is 8-bit */
    int64_t row[2] = { 1, 3072 };
    assert_int_equal(pare_tensor_new(PARE_U8, 2, row, &t), PARE_OK);
    assert_int_equal(pare_dataset_batch(d, NULL, index, 1, NULL, &t, NULL), PARE_OK);
    assert_int_equal(((uint8_t *)t.data)[1024 + 33], cifar_pixel(100, 1, 1, 1));
    pare_tensor_free(&t);
    pare_dataset_free(d);
}

static void test_cifar10_damaged(void **state)
{
    (void)state;
    char *dir = make_scratch_dir("cd");
    assert_fails(open_fails("cifar10:", PARE_TEST), PARE_EINVAL, "cifar10:DIR");
    assert_fails(open_fails(spec_of("cifar10", dir), PARE_TEST), PARE_EIO, "test_batch.bin");
    cifar_file("cd/test_batch.bin", 2, 0);
    assert_int_equal(truncate(in_scratch("cd/test_batch.bin"), 2 * RECORD - 1), 0);
    assert_fails(open_fails(spec_of("cifar10", dir), PARE_TEST), PARE_EFORMAT,
                 "6145 bytes, not a multiple of the 3073");
    assert_int_equal(truncate(in_scratch("cd/test_batch.bin"), 0), 0);
    assert_fails(open_fails(spec_of("cifar10", dir), PARE_TEST), PARE_EFORMAT, "has 0 bytes");
    uint8_t record[RECORD] = { 10 };
    write_scratch("cd/test_batch.bin", record, sizeof record);
    assert_fails(open_fails(spec_of("cifar10", dir), PARE_TEST), PARE_EFORMAT,
                 "label 10, not within 0 to 9");
    cifar_file("cd/test_batch.bin", 2, 0);
    text_scratch("cd/classes.txt", "a\nb\n");
    assert_fails(open_fails(spec_of("cifar10", dir), PARE_TEST), PARE_EFORMAT, "names 2 classes");
    assert_fails(open_fails("cifar11:x", PARE_TEST), PARE_EINVAL, "cifar10:DIR, mnist:DIR");
    assert_fails(open_fails("", PARE_TEST), PARE_EINVAL, "is not a data set");
}

/* --- mnist --- */

static void idx(const char *name, uint32_t magic, const uint32_t *dim, int rank,
                const uint8_t *data, size_t size, bool gz)
{
    uint8_t *buf = malloc(size + 32);
    assert_non_null(buf);
    size_t at = 0;
    for (int i = -1; i < rank; i++) {
        uint32_t v = i < 0 ? magic : dim[i];
        for (int s = 24; s >= 0; s -= 8) buf[at++] = (uint8_t)(v >> s);
    }
    memcpy(buf + at, data, size);
    if (gz) {
        gzFile f = gzopen(in_scratch(name), "wb");
        assert_int_equal(gzwrite(f, buf, (unsigned)(at + size)), (int)(at + size));
        assert_int_equal(gzclose(f), Z_OK);
    } else
        write_scratch(name, buf, at + size);
    free(buf);
}

static void test_mnist(void **state)
{
    (void)state;
    char *dir = make_scratch_dir("m");
    uint8_t px[4 * 28 * 28], labels[4] = { 7, 0, 9, 3 };
    for (size_t i = 0; i < sizeof px; i++) px[i] = (uint8_t)(i * 7);
    const uint32_t dim[3] = { 4, 28, 28 };
    idx("m/t10k-images.idx3-ubyte", 0x803, dim, 3, px, sizeof px, false);
    idx("m/t10k-labels-idx1-ubyte.gz", 0x801, dim, 1, labels, 4, true);
    pare_dataset *d = opened(spec_of("mnist", dir), PARE_TEST);
    pare_dataset_info info;
    pare_dataset_about(d, &info);
    assert_int_equal(info.count, 4);
    assert_int_equal(info.channels, 1);
    assert_int_equal(pare_dataset_label(d, 2), 9);
    int64_t index = 2, shape[4] = { 1, 1, 28, 28 };
    pare_tensor t;
    assert_int_equal(pare_tensor_new(PARE_F32, 4, shape, &t), PARE_OK);
    pare_preprocess pp = { .n_scale = 1, .scale = { 1.0f / 255 } };
    assert_int_equal(pare_dataset_batch(d, &pp, &index, 1, NULL, &t, NULL), PARE_OK);
    for (int i = 0; i < 784; i++)
        assert_true(((float *)t.data)[i] == (float)px[2 * 784 + i] * (1.0f / 255));
    pare_tensor_free(&t);
    pare_dataset_free(d);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TRAIN), PARE_EIO, "train-images");
}

static void test_mnist_damaged(void **state)
{
    (void)state;
    char *dir = make_scratch_dir("md");
    uint8_t px[4 * 16] = { 0 }, labels[5] = { 7, 0, 9, 10, 3 };
    uint32_t dim[3] = { 4, 4, 4 };
    idx("md/t10k-images-idx3-ubyte", 0x803, dim, 3, px, sizeof px, false);
    idx("md/t10k-labels-idx1-ubyte", 0x801, dim, 1, labels, 4, false);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT, "label 3 is 10");
    labels[3] = 1;
    dim[0] = 5;
    idx("md/t10k-labels-idx1-ubyte", 0x801, dim, 1, labels, 5, false);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT,
                 "4 t10k pictures but 5 labels");
    idx("md/t10k-images-idx3-ubyte", 0x803, dim, 3, px, sizeof px, false);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT,
                 "80 bytes of data, 64 are there");
    dim[0] = dim[1] = dim[2] = UINT32_MAX;
    idx("md/t10k-images-idx3-ubyte", 0x803, dim, 3, px, sizeof px, false);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT, "overflows");
    dim[1] = 0;
    idx("md/t10k-images-idx3-ubyte", 0x803, dim, 3, px, sizeof px, false);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT, "dimension 1 is 0");
    idx("md/t10k-images-idx3-ubyte", 0xd03, dim, 3, px, sizeof px, false);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT, "0x00000d03");
    text_scratch("md/t10k-images-idx3-ubyte", "IDX");
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT, "3 bytes");

    /* gzip: cut short, and one bit wrong in the data, which only the checksum can tell */
    assert_int_equal(unlink(in_scratch("md/t10k-images-idx3-ubyte")), 0);
    dim[0] = 4, dim[1] = 400, dim[2] = 4;
    uint8_t noise[6400];
    for (size_t i = 0; i < sizeof noise; i++) noise[i] = (uint8_t)(i * i * 2654435761u >> 13);
    idx("md/t10k-images-idx3-ubyte.gz", 0x803, dim, 3, noise, sizeof noise, true);
    labels[3] = 1;
    idx("md/t10k-labels-idx1-ubyte", 0x801, dim, 1, labels, 4, false);
    pare_dataset_free(opened(spec_of("mnist", dir), PARE_TEST));
    char *path = in_scratch("md/t10k-images-idx3-ubyte.gz");
    struct stat info;
    assert_int_equal(stat(path, &info), 0);
    FILE *f = fopen(path, "r+b");
    fseek(f, -6, SEEK_END); /* inside the CRC */
    int c = fgetc(f);
    fseek(f, -6, SEEK_END);
    fputc(c ^ 1, f);
    fclose(f);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT, "damaged");
    assert_int_equal(truncate(path, info.st_size / 2), 0);
    assert_fails(open_fails(spec_of("mnist", dir), PARE_TEST), PARE_EFORMAT,
                 "t10k-images-idx3-ubyte.gz");
}

/* --- npy --- */

static void test_npy_round_trip(void **state)
{
    (void)state;
    static const pare_dtype all[] = { PARE_F32, PARE_F64, PARE_F16, PARE_U8,  PARE_I8,  PARE_U16,
                                      PARE_I16, PARE_U32, PARE_I32, PARE_U64, PARE_I64, PARE_BOOL };
    static const int64_t dims[][4] = { { 2, 3, 1, 5 }, { 7, 0, 2, 1 } };
    for (size_t k = 0; k < sizeof all / sizeof *all; k++)
        for (int rank = 0; rank <= 4; rank++)
            for (int v = 0; v < 2; v++) {
                pare_tensor t, u;
                assert_int_equal(pare_tensor_new(all[k], rank, dims[v], &t), PARE_OK);
                for (size_t i = 0; i < pare_tensor_bytes(&t); i++)
                    ((uint8_t *)t.data)[i] = (uint8_t)(all[k] == PARE_BOOL ? i & 1 : i * 37 + 1);
                assert_int_equal(pare_npy_save(&t, in_scratch("t.npy"), true), PARE_OK);
                assert_int_equal(pare_npy_load(in_scratch("t.npy"), &u), PARE_OK);
                assert_int_equal(u.dtype, all[k]);
                assert_int_equal(u.rank, rank);
                for (int i = 0; i < rank; i++) assert_int_equal(u.dim[i], dims[v][i]);
                assert_memory_equal(u.data, t.data, pare_tensor_bytes(&t));
                pare_tensor_free(&u);
                if (k == 0 && rank == 4)
                    assert_fails(pare_npy_save(&t, in_scratch("t.npy"), false), PARE_EINVAL,
                                 "exists");
                pare_tensor_free(&t);
            }
}

/* An .npy file with any header and `bytes` of data. */
static char *npy(int version, const char *dict, size_t bytes)
{
    uint8_t buf[2048] = "\x93NUMPY";
    size_t len = strlen(dict), at = version == 1 ? 10 : 12;
    buf[6] = (uint8_t)version;
    buf[8] = (uint8_t)len;
    buf[9] = (uint8_t)(len >> 8);
    memcpy(buf + at, dict, len);
    return write_scratch("bad.npy", buf, at + len + bytes);
}

static void test_npy_headers(void **state)
{
    (void)state;
    static const struct {
        int version;
        size_t bytes;
        pare_status want;
        const char *dict, *says;
    } cases[] = {
        { 1, 8, PARE_OK, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }  \n", "" },
        { 2, 8, PARE_OK, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }", "" },
        { 3, 8, PARE_OK, "{\"shape\":(2L,1), \"fortran_order\" : False,\"descr\":'=f4'}", "" },
        { 1, 4, PARE_OK, "{'descr': '<f4', 'fortran_order': True, 'shape': (), }", "" },
        { 9, 8, PARE_EUNSUPPORTED, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
          "version 9" },
        { 1, 7, PARE_EFORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
          "takes 8 bytes, 7 are there" },
        { 1, 9, PARE_EFORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), }",
          "takes 8 bytes, 9 are there" },
        { 1, 16, PARE_EUNSUPPORTED, "{'descr': '<f4', 'fortran_order': True, 'shape': (2,2), }",
          "Fortran" },
        { 1, 8, PARE_EUNSUPPORTED, "{'descr': '|O', 'fortran_order': False, 'shape': (1,), }",
          "'|O'" },
        { 1, 8, PARE_EUNSUPPORTED, "{'descr': '>f4', 'fortran_order': False, 'shape': (2,), }",
          "big-endian" },
        { 1, 8, PARE_EUNSUPPORTED, "{'descr': '<c8', 'fortran_order': False, 'shape': (1,), }",
          "'<c8'" },
        { 1, 8, PARE_EUNSUPPORTED,
          "{'descr': [('a','<f4')], 'fortran_order': False, 'shape': (2,), }", "records" },
        { 1, 8, PARE_ELIMIT,
          "{'descr': '<f4', 'fortran_order': False, 'shape': (4611686018427387904, 4), }",
          "too large" },
        { 1, 8, PARE_EFORMAT,
          "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }", "2^63" },
        { 1, 8, PARE_EFORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,), }",
          "dimension" },
        { 1, 8, PARE_EUNSUPPORTED,
          "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,2), }", "8 dim" },
        { 1, 8, PARE_EFORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (2", "shape" },
        { 1, 8, PARE_EFORMAT, "{'descr': '<f4', 'fortran_order': False, }", "lacks" },
        { 1, 8, PARE_EFORMAT, "{'descr': '<f4', 'fortran_order': Maybe, 'shape': (2,), }",
          "neither" },
        { 1, 8, PARE_EFORMAT, "{'descr': '<f4", "not a string" },
        { 1, 8, PARE_EFORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), 'x': 1}",
          "none of" },
        { 1, 8, PARE_EFORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,), } garbage",
          "goes on" },
        { 1, 8, PARE_EFORMAT, "", "not a dictionary" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        pare_tensor t = { 0 };
        pare_status st = pare_npy_load(npy(cases[i].version, cases[i].dict, cases[i].bytes), &t);
        if (st != cases[i].want || (st != PARE_OK && !strstr(pare_error(), cases[i].says)))
            fail_msg("case %zu (%s): status %d, '%s'", i, cases[i].dict, (int)st, pare_error());
        pare_tensor_free(&t);
    }
    pare_tensor t;
    assert_fails(pare_npy_load(text_scratch("bad.npy", "\x93NUM"), &t), PARE_EFORMAT, "early");
    assert_fails(pare_npy_load(text_scratch("bad.npy", "PK\x03\x04 some zip file"), &t),
                 PARE_EFORMAT, "not an .npy");
    uint8_t lie[16] = "\x93NUMPY\x02\x00\xff\xff\xff\x7f";
    assert_fails(pare_npy_load(write_scratch("bad.npy", lie, sizeof lie), &t), PARE_ELIMIT,
                 "2147483647");
    assert_fails(pare_npy_load(in_scratch("none.npy"), &t), PARE_EIO, "none.npy");
    assert_fails(pare_npy_load(scratch, &t), PARE_EIO, "not a regular file");
}

static void save(const char *name, pare_dtype dtype, int rank, const int64_t *dim, const void *data)
{
    pare_tensor t;
    assert_int_equal(pare_tensor_new(dtype, rank, dim, &t), PARE_OK);
    memcpy(t.data, data, pare_tensor_bytes(&t));
    assert_int_equal(pare_npy_save(&t, in_scratch(name), true), PARE_OK);
    pare_tensor_free(&t);
}

static char *pair(const char *x, const char *y)
{
    static char text[2048];
    snprintf(text, sizeof text, "npy:%s,%s", in_scratch(x), in_scratch(y));
    return text;
}

static void test_npy_set(void **state)
{
    (void)state;
    float x[24];
    int64_t y[2] = { 0, 4 }, dim[4] = { 2, 3, 2, 2 }, two = 2, index[2] = { 1, 0 };
    for (int i = 0; i < 24; i++) x[i] = (float)i;
    save("x.npy", PARE_F32, 4, dim, x);
    save("y.npy", PARE_I64, 1, &two, y);
    pare_dataset *d = opened(pair("x.npy", "y.npy"), PARE_TRAIN);
    pare_dataset_info info;
    pare_dataset_about(d, &info);
    assert_int_equal(info.count, 2);
    assert_int_equal(info.classes, 5);
    assert_false(info.pixels);
    pare_tensor t;
    assert_int_equal(pare_tensor_new(PARE_F32, 4, dim, &t), PARE_OK);
    pare_preprocess pp = { .n_mean = 3, .mean = { 1, 2, 3 }, .bgr = true };
    int label[2];
    assert_int_equal(pare_dataset_batch(d, &pp, index, 2, NULL, &t, label), PARE_OK);
    assert_int_equal(label[0], 4);
    assert_true(((float *)t.data)[0] == 20 - 1); /* sample 1, last channel first */
    assert_true(((float *)t.data)[23] == 3 - 3); /* sample 0, first channel last */
    pare_tensor_free(&t);
    dim[3] = 3;
    assert_int_equal(pare_tensor_new(PARE_F32, 4, dim, &t), PARE_OK);
    assert_fails(pare_dataset_batch(d, &pp, index, 2, NULL, &t, NULL), PARE_EFORMAT,
                 "float32[?,3,2,2]");
    pare_tensor_free(&t);
    pare_dataset_free(d);

    /* rows of int8 features, one mean for all */
    int8_t f[6] = { -128, 127, 0, 1, 2, 3 };
    int64_t fdim[2] = { 2, 3 };
    save("f.npy", PARE_I8, 2, fdim, f);
    d = opened(pair("f.npy", "y.npy"), PARE_TEST);
    assert_int_equal(pare_tensor_new(PARE_F32, 2, fdim, &t), PARE_OK);
    pare_preprocess one = { .n_mean = 1, .mean = { 1 }, .n_scale = 1, .scale = { 2 } };
    index[0] = 0;
    assert_int_equal(pare_dataset_batch(d, &one, index, 1, NULL, &t, NULL), PARE_OK);
    assert_true(((float *)t.data)[0] == -258 && ((float *)t.data)[1] == 252);
    pare_augment a = { .flip = true };
    assert_fails(pare_dataset_batch(d, &one, index, 1, &a, &t, NULL), PARE_EINVAL, "only pictures");
    assert_fails(pare_dataset_batch(d, &pp, index, 1, NULL, &t, NULL), PARE_EINVAL,
                 "3 means for 1");
    pare_tensor_free(&t);
    pare_dataset_free(d);

    /* pictures with channels last, to a network with channels first */
    uint8_t p[2 * 4 * 4 * 3];
    for (size_t i = 0; i < sizeof p; i++) p[i] = (uint8_t)i;
    int64_t pdim[4] = { 2, 4, 4, 3 }, ndim[4] = { 1, 3, 4, 4 };
    save("p.npy", PARE_U8, 4, pdim, p);
    d = opened(pair("p.npy", "y.npy"), PARE_TEST);
    pare_dataset_about(d, &info);
    assert_true(info.pixels);
    assert_int_equal(info.channels, 3);
    assert_int_equal(pare_tensor_new(PARE_F32, 4, ndim, &t), PARE_OK);
    index[0] = 1;
    assert_int_equal(pare_dataset_batch(d, NULL, index, 1, NULL, &t, NULL), PARE_OK);
    assert_true(((float *)t.data)[16 + 5] == 48 + 5 * 3 + 1);
    pare_tensor_free(&t);
    pare_dataset_free(d);

    y[1] = -1;
    save("y2.npy", PARE_I64, 1, &two, y);
    assert_fails(open_fails(pair("x.npy", "y2.npy"), PARE_TEST), PARE_EFORMAT, "label 1 is -1");
    save("y2.npy", PARE_F32, 1, &two, x);
    assert_fails(open_fails(pair("x.npy", "y2.npy"), PARE_TEST), PARE_EFORMAT,
                 "float32, not integers");
    two = 1;
    save("y2.npy", PARE_I64, 1, &two, y);
    assert_fails(open_fails(pair("x.npy", "y2.npy"), PARE_TEST), PARE_EFORMAT,
                 "1 labels for 2 samples");
    fdim[0] = 0;
    save("f.npy", PARE_I8, 2, fdim, f);
    assert_fails(open_fails(pair("f.npy", "y.npy"), PARE_TEST), PARE_EFORMAT, "holds no samples");
    assert_fails(open_fails("npy:a", PARE_TEST), PARE_EINVAL, "two files");
    assert_fails(open_fails("npy:a,b,c", PARE_TEST), PARE_EINVAL, "two files");
    assert_fails(open_fails("npy:a,b,c,d,e", PARE_TEST), PARE_EINVAL, "two files");
    assert_fails(open_fails("npy:,b", PARE_TEST), PARE_EINVAL, "two files");
    assert_fails(open_fails("npy:/nowhere/a,b,/nowhere/c,d", PARE_TRAIN), PARE_EIO, "/nowhere/c");
}

/* --- augmentation --- */

static void test_augment(void **state)
{
    (void)state;
    enum { N = 64, C = 2, S = 6, PAD = 2 };
    float x[N * C * S * S];
    for (size_t i = 0; i < sizeof x / sizeof *x; i++) x[i] = (float)(i + 1);
    int64_t y[N] = { 0 }, dim[4] = { N, C, S, S }, n = N, index[N];
    for (int i = 0; i < N; i++) index[i] = N - 1 - i;
    save("ax.npy", PARE_F32, 4, dim, x);
    save("ay.npy", PARE_I64, 1, &n, y);
    pare_dataset *d = opened(pair("ax.npy", "ay.npy"), PARE_TRAIN);
    pare_tensor t, u;
    assert_int_equal(pare_tensor_new(PARE_F32, 4, dim, &t), PARE_OK);
    assert_int_equal(pare_tensor_new(PARE_F32, 4, dim, &u), PARE_OK);
    pare_augment a = { .pad = PAD, .flip = true, .seed = 5, .epoch = 3 };
    assert_int_equal(pare_dataset_batch(d, NULL, index, N, &a, &t, NULL), PARE_OK);

    /* every result is one of the shifts and mirrors, and all of them come up */
    bool seen_dx[2 * PAD + 1] = { false }, seen_dy[2 * PAD + 1] = { false },
                           seen_flip[2] = { false };
    for (int i = 0; i < N; i++) {
        const float *src = x + index[i] * C * S * S, *got = (const float *)t.data + i * C * S * S;
        int found = 0;
        for (int k = 0; k < (2 * PAD + 1) * (2 * PAD + 1) * 2; k++) {
            int dx = k / 2 % (2 * PAD + 1) - PAD, dy = k / 2 / (2 * PAD + 1) - PAD, same = 1;
            for (int c = 0; c < C; c++)
                for (int r = 0; r < S; r++)
                    for (int q = 0; q < S; q++) {
                        int sx = (k & 1 ? S - 1 - q : q) + dx, sy = r + dy;
                        float want =
                            sx < 0 || sy < 0 || sx >= S || sy >= S ? 0 : src[(c * S + sy) * S + sx];
                        same &= got[(c * S + r) * S + q] == want;
                    }
            if (same) found++, seen_dx[dx + PAD] = seen_dy[dy + PAD] = seen_flip[k & 1] = true;
        }
        if (found != 1) fail_msg("sample %d is %d of the crops", i, found);
    }
    for (int i = 0; i <= 2 * PAD; i++) assert_true(seen_dx[i] && seen_dy[i]);
    assert_true(seen_flip[0] && seen_flip[1]);

    /* the sample decides, not its place in the batch; the epoch and the seed change it */
    assert_int_equal(pare_dataset_batch(d, NULL, index + 10, 5, &a, &u, NULL), PARE_OK);
    assert_memory_equal(u.data, (float *)t.data + 10 * C * S * S, 5 * C * S * S * sizeof(float));
    a.epoch = 4;
    assert_int_equal(pare_dataset_batch(d, NULL, index, N, &a, &u, NULL), PARE_OK);
    assert_memory_not_equal(u.data, t.data, sizeof x);
    a.epoch = 3, a.seed = 6;
    assert_int_equal(pare_dataset_batch(d, NULL, index, N, &a, &u, NULL), PARE_OK);
    assert_memory_not_equal(u.data, t.data, sizeof x);
    a.pad = -1;
    assert_fails(pare_dataset_batch(d, NULL, index, N, &a, &u, NULL), PARE_EINVAL, "padding of -1");
    pare_tensor_free(&t);
    pare_tensor_free(&u);
    pare_dataset_free(d);
}

/* --- preprocessing --- */

static void test_preprocess(void **state)
{
    (void)state;
    char *path = text_scratch(
        "pp.json",
        "{\"a\": {\"mean\": [104, 117.5, 123], \"scale\": 0.017124753831663668, \"order\": \"BGR\","
        " \"layout\": \"NHWC\", \"skip\": 1, \"resize\": [256, 128], \"crop\": [224, 100],"
        " \"published\": null}, \"b\": {}, \"c\": {\"mean\": \"x\"}}");
    char spec[600];
    pare_preprocess pp = { 0 }, back = { 0 };
    snprintf(spec, sizeof spec, "%s:a", path);
    assert_int_equal(pare_preprocess_load(spec, &pp), PARE_OK);
    assert_int_equal(pp.n_mean, 3);
    assert_true(pp.mean[1] == 117.5f);
    assert_int_equal(pp.n_scale, 1);
    assert_true(pp.scale[0] == 0.017124753831663668f);
    assert_true(pp.bgr && pp.nhwc);
    assert_int_equal(pp.skip, 1);
    assert_int_equal(pp.resize_w * 1000 + pp.resize_h, 256128);
    assert_int_equal(pp.crop_w * 1000 + pp.crop_h, 224100);

    pare_graph *g;
    bool found = true;
    assert_int_equal(pare_graph_new(&g), PARE_OK);
    assert_int_equal(pare_preprocess_from_model(g, &back, &found), PARE_OK);
    assert_false(found);
    assert_int_equal(pare_preprocess_to_model(&pp, g), PARE_OK);
    assert_int_equal(pare_preprocess_from_model(g, &back, &found), PARE_OK);
    assert_true(found);
    assert_memory_equal(&pp, &back, sizeof pp);
    assert_int_equal(pare_graph_set_meta(g, "pare.preprocess", "{\"skip\": -1}"), PARE_OK);
    assert_fails(pare_preprocess_from_model(g, &back, &found), PARE_EINVAL,
                 "pare.preprocess: 'skip' is -1");
    pare_graph_free(g);

    snprintf(spec, sizeof spec, "%s:b", path);
    assert_int_equal(pare_preprocess_load(spec, &back), PARE_OK);
    assert_int_equal(back.n_mean + back.n_scale + back.bgr + back.nhwc + back.skip + back.crop_w,
                     0);
    snprintf(spec, sizeof spec, "%s:c", path);
    assert_fails(pare_preprocess_load(spec, &back), PARE_EINVAL, "'mean' is neither");
    snprintf(spec, sizeof spec, "%s:d", path);
    assert_fails(pare_preprocess_load(spec, &back), PARE_EINVAL, "no member 'd'");
    assert_fails(pare_preprocess_load(path, &back), PARE_EINVAL, "name one");
    static const struct {
        const char *text, *says;
        pare_status want;
    } bad[] = {
        { "[]", "not a JSON object", PARE_EINVAL },
        { "{\"mean\": []}", "0 numbers", PARE_EINVAL },
        { "{\"mean\": [1,2,3,4,5]}", "5 numbers", PARE_EINVAL },
        { "{\"mean\": 1e300}", "beyond float32", PARE_EINVAL },
        { "{\"scale\": [1, null]}", "'scale'", PARE_EINVAL },
        { "{\"order\": \"GRB\"}", "'order'", PARE_EINVAL },
        { "{\"layout\": 3}", "'layout'", PARE_EINVAL },
        { "{\"skip\": 1.5}", "'skip' is not a whole number", PARE_EINVAL },
        { "{\"resize\": [0, 3]}", "'resize' is 0", PARE_EINVAL },
        { "{\"crop\": [3]}", "'crop'", PARE_EINVAL },
        { "{\"mean\": 1, \"mean\": 2}", "duplicate", PARE_EFORMAT },
        { "{\"mean\": 1e999}", "line 1", PARE_EFORMAT },
        { "{", "line 1", PARE_EFORMAT },
        { "", "line", PARE_EFORMAT },
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        pare_status st = pare_preprocess_load(text_scratch("bad.json", bad[i].text), &back);
        if (st != bad[i].want || !strstr(pare_error(), bad[i].says))
            fail_msg("%s: status %d, '%s'", bad[i].text, (int)st, pare_error());
    }
    assert_fails(pare_preprocess_load(in_scratch("none.json"), &back), PARE_EIO, "none.json");
}

/* --- the real thing, where it is at hand --- */

static void test_real_sets(void **state)
{
    (void)state;
    const char *root = getenv("PARE_DATA");
    char path[1024];
    snprintf(path, sizeof path, "%s/cifar10", root ? root : "");
    if (!root || access(path, R_OK) != 0) skip();
    pare_dataset *d = opened(spec_of("cifar10", path), PARE_TRAIN);
    pare_dataset_info info;
    pare_dataset_about(d, &info);
    assert_int_equal(info.count, 50000);
    assert_string_equal(pare_dataset_class(d, 9), "truck");
    pare_dataset_free(d);
    snprintf(path, sizeof path, "%s/fashion", root);
    d = opened(spec_of("mnist", path), PARE_TRAIN);
    pare_dataset_about(d, &info);
    assert_int_equal(info.count, 60000);
    pare_dataset_free(d);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_cifar10),        cmocka_unit_test(test_cifar10_damaged),
        cmocka_unit_test(test_mnist),          cmocka_unit_test(test_mnist_damaged),
        cmocka_unit_test(test_npy_round_trip), cmocka_unit_test(test_npy_headers),
        cmocka_unit_test(test_npy_set),        cmocka_unit_test(test_augment),
        cmocka_unit_test(test_preprocess),     cmocka_unit_test(test_real_sets),
    };
    return cmocka_run_group_tests(tests, quiet, scratch_remove);
}
