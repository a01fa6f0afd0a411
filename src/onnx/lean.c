/* A model's bytes without the numbers of its weights: what protobuf-c, which copies all it sees,
 * gets to unpack. The numbers are read straight into their tensors later.
 *
 * Only raw_data of the main graph's initialisers is left out, and only where it is long. A length
 * that thereby changes is written in five bytes, which is longer than needed and valid. The bytes
 * must have passed pare_onnx_scan(). They are walked twice, to count and to copy, and somebody may
 * change the file in between: what does not fit the count is an error, and what was copied is
 * scanned again. */
#include "onnx/onnx.h"

#include <stdlib.h>
#include <string.h>

enum { CUT_LEAST = 4096, MODEL_GRAPH = 7, GRAPH_INITIALIZER = 5, TENSOR_RAW_DATA = 9 };
enum { LENGTH_BYTES = 5 };

typedef struct output {
    pare_onnx_bytes *in;
    uint8_t *data;       /* NULL: only counts */
    size_t size, room;   /* room: of `data` */
    pare_onnx_cut *cut;  /* one an initialiser; NULL likewise */
    size_t n_cuts, cuts; /* cuts: room of `cut` */
} output;

typedef struct field {
    size_t start, at, end; /* of its tag; of its content; behind it */
    uint64_t number;
    int wire;
} field;

/* The field at `at`; false if reading failed. */
static bool next(output *o, size_t at, size_t end, field *f)
{
    uint64_t tag, length = 0;
    *f = (field){ .start = at };
    if (!pare_onnx_varint(o->in, &at, end, &tag)) return false;
    f->number = tag >> 3;
    f->wire = (int)(tag & 7);
    if (f->wire == 0 || f->wire == 2) {
        if (!pare_onnx_varint(o->in, &at, end, &length)) return false;
        if (f->wire == 0) length = 0;
    } else
        length = f->wire == 1 ? 8 : 4;
    if (length > end - at) return false;
    f->at = at;
    f->end = at + (size_t)length;
    return true;
}

/* A field that the scan has seen is there no more. */
static pare_status changed(output *o)
{
    PARE_TRY(o->in->failed);
    return pare_fail(PARE_EIO, "it changed while it was read");
}

static pare_status fits(output *o, size_t bytes)
{
    return o->data && bytes > o->room - o->size ? changed(o) : PARE_OK;
}

static pare_status copy(output *o, size_t from, size_t to)
{
    PARE_TRY(fits(o, to - from));
    if (o->data) PARE_TRY(pare_onnx_bytes_read(o->in, from, o->data + o->size, to - from));
    o->size += to - from;
    return PARE_OK;
}

/* The tag of f and a length to be known later; *at: where its bytes are. */
static pare_status open_message(output *o, const field *f, size_t *at)
{
    PARE_TRY(fits(o, 1 + LENGTH_BYTES));
    if (o->data) o->data[o->size] = (uint8_t)(f->number << 3 | 2);
    *at = o->size + 1;
    o->size = *at + LENGTH_BYTES;
    return PARE_OK;
}

static void close_message(output *o, size_t at)
{
    size_t length = o->size - at - LENGTH_BYTES;
    for (int i = 0; o->data && i < LENGTH_BYTES; i++)
        o->data[at + (size_t)i] =
            (uint8_t)((length >> 7 * i & 127) | (i < LENGTH_BYTES - 1 ? 128 : 0));
}

static pare_status tensor(output *o, const field *f)
{
    pare_onnx_cut cut = { 0 };
    size_t at, raw;
    PARE_TRY(open_message(o, f, &at));
    for (field g = { .end = f->at }; g.end < f->end;) {
        if (!next(o, g.end, f->end, &g)) return changed(o);
        if (g.number != TENSOR_RAW_DATA || g.wire != 2) {
            PARE_TRY(copy(o, g.start, g.end));
            continue;
        }
        /* The last one counts. */
        cut = (pare_onnx_cut){ 0 };
        if (g.end - g.at < CUT_LEAST)
            PARE_TRY(copy(o, g.start, g.end));
        else {
            cut = (pare_onnx_cut){ g.at, g.end - g.at };
            PARE_TRY(open_message(o, &g, &raw));
            close_message(o, raw);
        }
    }
    close_message(o, at);
    if (o->cut) {
        if (o->n_cuts == o->cuts) return changed(o);
        o->cut[o->n_cuts] = cut;
    }
    o->n_cuts++;
    return PARE_OK;
}

static pare_status graph(output *o, const field *f)
{
    size_t at;
    PARE_TRY(open_message(o, f, &at));
    for (field g = { .end = f->at }; g.end < f->end;) {
        if (!next(o, g.end, f->end, &g)) return changed(o);
        PARE_TRY(g.number == GRAPH_INITIALIZER && g.wire == 2 ? tensor(o, &g)
                                                              : copy(o, g.start, g.end));
    }
    close_message(o, at);
    return PARE_OK;
}

static pare_status model(output *o)
{
    size_t size = o->in->size;
    o->size = o->n_cuts = 0;
    for (field f = { 0 }; f.end < size;) {
        if (!next(o, f.end, size, &f)) return changed(o);
        PARE_TRY(f.number == MODEL_GRAPH && f.wire == 2 ? graph(o, &f) : copy(o, f.start, f.end));
    }
    return PARE_OK;
}

pare_status pare_onnx_lean(pare_onnx_bytes *in, uint8_t **data, size_t *size, pare_onnx_cut **cut,
                           size_t *n_cuts)
{
    output o = { .in = in };
    PARE_TRY(model(&o));
    uint8_t *bytes = malloc(o.size + 1);
    pare_onnx_cut *cuts = calloc(o.n_cuts + 1, sizeof *cuts);
    o.data = bytes, o.room = o.size;
    o.cut = cuts, o.cuts = o.n_cuts;
    pare_status st = bytes && cuts
                         ? model(&o)
                         : pare_fail(PARE_ENOMEM, "no memory for the %zu bytes of a model", o.size);
    pare_onnx_bytes copied = { .data = bytes, .size = o.size, .fd = -1 };
    if (st == PARE_OK) st = pare_onnx_scan(&copied);
    if (st == PARE_OK) {
        *data = bytes, *size = o.size;
        *cut = cuts, *n_cuts = o.n_cuts;
        return PARE_OK;
    }
    free(bytes);
    free(cuts);
    return st;
}
