/* Every method of the registry: described, its options within their own ranges and refusing
 * everything else; every file that defines a method or a codec is listed. */
#include "codecs/codecs.h"
#include "methods/method.h"
#include "pare/compress.h"

#include <glob.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static pare_status parse(const pare_method *m, const char *name, const char *value)
{
    char text[200];
    pare_arena *arena = pare_arena_new(0);
    void *o = pare_arena_alloc(arena, m->options_size);
    pare_fields_default(m->options, o);
    snprintf(text, sizeof text, "%s=%s", name, value);
    pare_status st = pare_fields_parse(m->options, m->name, text, arena, o);
    pare_arena_free(arena);
    return st;
}

static pare_status parse_number(const pare_method *m, const pare_field *f, double v)
{
    char text[64];
    if (f->kind == PARE_FIELD_INT)
        snprintf(text, sizeof text, "%" PRId64, (int64_t)v);
    else
        snprintf(text, sizeof text, "%.17g", v);
    return parse(m, f->name, text);
}

static void test_options(void **state)
{
    for (const pare_method *const *p = pare_methods; *p; p++) {
        const pare_method *m = *p;
        assert_true(*m->name && *m->summary && *m->source);
        assert_true((m->layer != NULL) != (m->graph != NULL));
        assert_ptr_equal(pare_method_find(m->name), m);
        for (const pare_field *f = m->options; f->kind != PARE_FIELD_END; f++) {
            assert_true(strlen(f->help) > 0);
            for (const pare_field *g = m->options; g < f; g++)
                assert_string_not_equal(f->name, g->name);
            assert_int_equal(parse(m, f->name, "nonsense"), PARE_EINVAL);
            if (f->kind != PARE_FIELD_INT && f->kind != PARE_FIELD_REAL) continue;
            double step = f->kind == PARE_FIELD_INT ? 1 : 1e-6;
            assert_int_equal(parse_number(m, f, f->def), PARE_OK);
            assert_int_equal(parse_number(m, f, f->min), PARE_OK);
            assert_int_equal(parse_number(m, f, f->max), PARE_OK);
            assert_int_equal(parse_number(m, f, f->min - step), PARE_EINVAL);
            assert_int_equal(parse_number(m, f, f->max + step), PARE_EINVAL);
            assert_int_equal(parse(m, f->name, "nan"), PARE_EINVAL);
            assert_int_equal(parse(m, f->name, ""), PARE_EINVAL);
            if (f->kind == PARE_FIELD_INT) assert_int_equal(parse(m, f->name, "1.5"), PARE_EINVAL);
        }
    }
}

/* `pattern` finds the files; each "const TYPE TYPE_name = {" at the start of a line must be in the
 * registry.
 */
static void check_listed(const char *pattern, const char *begin, bool (*listed)(const char *name))
{
    glob_t files;
    int found = 0;
    assert_int_equal(glob(pattern, 0, NULL, &files), 0);
    for (size_t i = 0; i < files.gl_pathc; i++) {
        char line[512], name[64];
        FILE *f = fopen(files.gl_pathv[i], "r");
        assert_non_null(f);
        while (fgets(line, sizeof line, f)) {
            if (strncmp(line, begin, strlen(begin)) != 0 || !strchr(line, '{')) continue;
            assert_int_equal(sscanf(line + strlen(begin), "%63[a-z0-9_]", name), 1);
            if (!listed(name))
                fail_msg("'%s' of %s is not in its registry", name, files.gl_pathv[i]);
            found++;
        }
        fclose(f);
    }
    globfree(&files);
    assert_true(found >= 2);
}

static bool is_method(const char *name) { return pare_method_find(name) != NULL; }
static bool is_codec(const char *name) { return pare_codec_find(name) != NULL; }

static void test_every_file_is_listed(void **state)
{
    check_listed(PARE_SOURCE_DIR "/src/methods/*.c", "const pare_method pare_method_", is_method);
    check_listed(PARE_SOURCE_DIR "/src/codecs/*.c", "const pare_codec pare_codec_", is_codec);
    const char *summary, *source;
    size_t n = 0;
    while (pare_method_list(n, &summary, &source)) n++;
    assert_ptr_equal(pare_methods[n], NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_options),
        cmocka_unit_test(test_every_file_is_listed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
