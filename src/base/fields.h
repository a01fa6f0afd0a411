/* One table describes every struct that meets the outside: ONNX attributes, method options, CLI
 * flags.
 *
 * A table is an array of pare_field ended by PARE_FIELDS_END. Members have fixed C types:
 *   INT int64_t, REAL double, BOOL bool, STR const char *, ENUM int (index of the choice),
 *   INTS pare_ints, REALS pare_reals, STRS pare_strs (each time it is given adds one), TENSOR
 * pare_tensor (attributes only). A member of the wrong C type does not compile. */
#ifndef BASE_FIELDS_H
#define BASE_FIELDS_H

#include "base/arena.h"
#include "base/status.h"

#include <float.h>
#include <stdio.h>

typedef enum pare_field_kind {
    PARE_FIELD_END,
    PARE_FIELD_INT,
    PARE_FIELD_REAL,
    PARE_FIELD_BOOL,
    PARE_FIELD_STR,
    PARE_FIELD_ENUM,
    PARE_FIELD_INTS,
    PARE_FIELD_REALS,
    PARE_FIELD_TENSOR,
    PARE_FIELD_STRS
} pare_field_kind;

/* v is NULL when the list was not given at all; an empty list that was given has v != NULL, n == 0.
 */
typedef struct pare_ints {
    size_t n;
    int64_t *v;
} pare_ints;
typedef struct pare_reals {
    size_t n;
    double *v;
} pare_reals;
/* v is ended by a NULL that n does not count; NULL when nothing was given. */
typedef struct pare_strs {
    size_t n;
    const char **v;
} pare_strs;

typedef struct pare_field {
    const char *name; /* the member's name; '_' reads as '-' on the command line */
    pare_field_kind kind;
    size_t offset;
    double def, min, max; /* numbers; def is 0 or 1 for BOOL, the index for ENUM */
    const char *text;     /* STR: default or NULL; ENUM: "a|b|c"; others: unit or "" */
    const char *help;
    bool per_layer; /* option of a method: may differ from layer to layer */
} pare_field;

/* Sentinel for "INT not given": outside every legal range. */
#define PARE_INT_UNSET INT64_MIN

/* The last argument of each macro is the help, and behind it `.per_layer = true` where that holds.
 */
#define PARE_FIELD_(T, M, CTYPE, KIND, DEF, MIN, MAX, TEXT, ...)                             \
    {                                                                                        \
        .name = #M, .kind = KIND,                                                            \
        .offset = offsetof(T, M) + 0 * sizeof(_Generic(((T *)0)->M, CTYPE : 1)), .def = DEF, \
        .min = MIN, .max = MAX, .text = TEXT, .help = __VA_ARGS__                            \
    }
#define PARE_INT(T, M, DEF, MIN, MAX, UNIT, ...)                                                  \
    PARE_FIELD_(T, M, int64_t, PARE_FIELD_INT, (double)(DEF), (double)(MIN), (double)(MAX), UNIT, \
                __VA_ARGS__)
#define PARE_REAL(T, M, DEF, MIN, MAX, UNIT, ...) \
    PARE_FIELD_(T, M, double, PARE_FIELD_REAL, DEF, MIN, MAX, UNIT, __VA_ARGS__)
#define PARE_FLAG(T, M, DEF, ...) \
    PARE_FIELD_(T, M, bool, PARE_FIELD_BOOL, DEF, 0, 1, "", __VA_ARGS__)
#define PARE_STR(T, M, DEF, HELP) \
    PARE_FIELD_(T, M, const char *, PARE_FIELD_STR, 0, 0, 0, DEF, HELP)
#define PARE_ENUM(T, M, DEF, CHOICES, ...) \
    PARE_FIELD_(T, M, int, PARE_FIELD_ENUM, DEF, 0, 0, CHOICES, __VA_ARGS__)
#define PARE_INTS(T, M, MIN, MAX, UNIT, HELP) \
    PARE_FIELD_(T, M, pare_ints, PARE_FIELD_INTS, 0, (double)(MIN), (double)(MAX), UNIT, HELP)
#define PARE_REALS(T, M, MIN, MAX, UNIT, HELP) \
    PARE_FIELD_(T, M, pare_reals, PARE_FIELD_REALS, 0, MIN, MAX, UNIT, HELP)
#define PARE_STRS(T, M, HELP)   PARE_FIELD_(T, M, pare_strs, PARE_FIELD_STRS, 0, 0, 0, "", HELP)
#define PARE_TENSOR(T, M, HELP) PARE_FIELD_(T, M, pare_tensor, PARE_FIELD_TENSOR, 0, 0, 0, "", HELP)
#define PARE_FIELDS_END        \
    {                          \
        .kind = PARE_FIELD_END \
    }

/* Writes every default into `object` (the struct the table describes). */
void pare_fields_default(const pare_field *fields, void *object);

/* NULL if there is none of that name; '-' in `name` matches '_'. */
const pare_field *pare_field_find(const pare_field *fields, const char *name, size_t len);

/* Parses `text` into one member. Lists are separated by `sep` in the text (',' on the command line,
 * '/' inside method options, where ',' separates options). Copies go to `arena`. PARE_EINVAL names
 * the field and the range. */
pare_status pare_field_parse(const pare_field *f, const char *text, size_t len, char sep,
                             pare_arena *arena, void *object);

/* Parses "rank=8,lambda=1e-4". A lone name sets a BOOL. `what` begins the message of an error
 * ("penni"). */
pare_status pare_fields_parse(const pare_field *fields, const char *what, const char *text,
                              pare_arena *arena, void *object);

/* Typed setters used by readers of binary forms; each checks kind and range. */
pare_status pare_field_set_int(const pare_field *f, int64_t v, void *object);
pare_status pare_field_set_real(const pare_field *f, double v, void *object);
pare_status pare_field_set_str(const pare_field *f, const char *s, size_t len, pare_arena *arena,
                               void *object);
pare_status pare_field_set_ints(const pare_field *f, const int64_t *v, size_t n, pare_arena *arena,
                                void *object);
pare_status pare_field_set_reals(const pare_field *f, const double *v, size_t n, pare_arena *arena,
                                 void *object);

/* The member's address. */
static inline void *pare_field_at(const pare_field *f, void *object)
{
    return (char *)object + f->offset;
}
static inline const void *pare_field_get(const pare_field *f, const void *object)
{
    return (const char *)object + f->offset;
}

/* Does the member hold its default? Writers leave such attributes out. */
bool pare_field_is_default(const pare_field *f, const void *object);
/* The name of choice `i` of an ENUM: its start, and its length in *len. */
const char *pare_field_choice(const pare_field *f, int i, size_t *len);

#endif
