/* ONNX files: what the parts of the reader and the writer share. The public functions are in
 * pare/model.h.
 *
 *   bytes.c -> scan.c (limits) -> lean.c (no weights) -> message.c (protobuf) -> reader.c (graph),
 * through tensors.c, external.c (weights), draft.c (nodes, attributes), upgrade.c (older opsets)
 *   graph -> writer.c, through downgrade.c (inner form -> a published opset), tensors.c -> bytes */
#ifndef ONNX_ONNX_H
#define ONNX_ONNX_H

#include "graph/graph.h"
#include "ops/op.h"

#include "onnx.pb-c.h"

enum {
    PARE_OPSET_OLDEST = 7,
    PARE_OPSET_NEWEST = 21,
    PARE_OPSET_WRITTEN = 17, /* unless a node needs a newer one */
    PARE_IR_OLDEST = 3,
    PARE_IR_NEWEST = 14,
};
/* The domain of model-local functions that stand for encoded weights. */
#define PARE_CODEC_DOMAIN "pare.codec"
/* Bytes of a model file, and of a model with its external data. */
#define PARE_ONNX_FILE_MOST ((size_t)2 << 30)
#define PARE_ONNX_DATA_MOST ((size_t)4 << 30)

/* --- reading --- */
/* Where the reader tells what is wrong when it should not stop at the first problem. pare_error()
 * holds the reason. Returns PARE_OK to go on. */
typedef struct pare_onnx_sink {
    pare_status (*problem)(void *user, const char *node, const char *op, const char *remedy);
    void *user;
} pare_onnx_sink;

/* Shapes to check the model with; none: every free dimension is 1. */
typedef struct pare_onnx_shapes {
    const pare_shape *shape;
    size_t n;
} pare_onnx_shapes;

/* `name` stands for the file in messages. `folder` is where external data may lie; NULL: refused.
 * With a sink, *out is NULL if there was a problem that leaves no graph to speak of. */
pare_status pare_onnx_read(const void *data, size_t size, const char *name, const char *folder,
                           pare_onnx_shapes shapes, const pare_onnx_sink *sink, pare_graph **out);
/* The same from a file, with external data from its folder. `stay`: weights that only packing wants
 * stay in the file. */
pare_status pare_onnx_read_file(const char *path, bool stay, pare_onnx_shapes shapes,
                                const pare_onnx_sink *sink, pare_graph **out);
/* *data is the caller's to free(). */
pare_status pare_onnx_write(const pare_graph *g, uint8_t **data, size_t *size);

/* --- bytes.c: a model's bytes, in memory or in a file --- */
/* A file is read in pieces and never mapped: one that another process truncates would end this one
 * with SIGBUS. */
typedef struct pare_onnx_bytes {
    const uint8_t *data; /* all of them, or NULL */
    int fd;              /* else */
    size_t size;
    uint8_t *window; /* `have` bytes from `from` on, of a file */
    size_t from, have;
    pare_status failed; /* what reading the file came to; the message is pare_error() */
} pare_onnx_bytes;
/* Opens a regular file of at most `limit` bytes; close it whatever this returns. */
pare_status pare_onnx_bytes_open(const char *path, size_t limit, pare_onnx_bytes *out);
void pare_onnx_bytes_close(pare_onnx_bytes *b);
/* Copies the bytes [at, at + n), which exist. */
pare_status pare_onnx_bytes_read(pare_onnx_bytes *b, size_t at, void *into, size_t n);
/* The byte at `at`, 0 once reading failed. */
uint8_t pare_onnx_byte(pare_onnx_bytes *b, size_t at);
/* False if the varint runs past `end` or past ten bytes, or reading failed. */
bool pare_onnx_varint(pare_onnx_bytes *b, size_t *at, size_t end, uint64_t *out);

/* The file kept open, for tensors whose numbers stay there until somebody reads them. Every such
 * tensor has a share of it; dropping the first one is the caller's. */
typedef struct pare_onnx_file pare_onnx_file;
pare_status pare_onnx_file_keep(const pare_onnx_bytes *b, pare_onnx_file **out);
void pare_onnx_file_free(pare_onnx_file *f);
/* A stored tensor (tensor.h) of the bytes from `at` on, which the file had. */
pare_status pare_onnx_file_tensor(pare_onnx_file *f, size_t at, const pare_type *type,
                                  pare_tensor *out);

/* --- scan.c: walks the bytes before protobuf-c sees them, which recurses without a limit --- */
pare_status pare_onnx_scan(pare_onnx_bytes *b);

/* --- lean.c --- */
/* raw_data of an initialiser that was left out: `size` bytes from `at` on; size 0: nothing was. */
typedef struct pare_onnx_cut {
    size_t at, size;
} pare_onnx_cut;
/* A copy without the long raw_data of the main graph's initialisers, one cut for each of them in
 * order. Both are the caller's to free(). */
pare_status pare_onnx_lean(pare_onnx_bytes *in, uint8_t **data, size_t *size, pare_onnx_cut **cut,
                           size_t *n_cuts);

/* --- message.c: protobuf-c on an arena --- */
/* All memory comes from `arena`; freeing is the arena's. */
ProtobufCAllocator pare_proto_allocator(pare_arena *arena);
/* The bytes must have passed pare_onnx_scan(). */
pare_status pare_proto_unpack(const uint8_t *data, size_t size, pare_arena *arena,
                              Onnx__ModelProto **out);
/* Packs what is left in a message from which everything that the graph holds itself was taken away.
 */
pare_status pare_proto_rest(const ProtobufCMessage *m, pare_arena *arena, pare_bytes *out);
/* The opposite: a message with that rest in it, or an empty one. NULL: out of memory. */
void *pare_proto_revive(const ProtobufCMessageDescriptor *type, pare_bytes rest, pare_arena *arena);

/* --- external.c --- */
/* Reads exactly `size` bytes at `offset` of the file `location` inside `folder`: no links, no way
 * out of it. `into` NULL: only looks whether they are there.
 */
pare_status pare_external_read(const char *folder, const char *location, uint64_t offset,
                               void *into, size_t size);

/* --- tensors.c --- */
typedef struct pare_tensor_source {
    const char *folder;       /* NULL: external data is refused */
    size_t left;              /* bytes that external data may still take */
    pare_onnx_bytes *bytes;   /* of the model, for `cut` */
    const pare_onnx_cut *cut; /* the tensor's raw_data where it was left out; NULL: it is there */
    pare_onnx_file *file;     /* where raw_data that was left out may stay; NULL: it is read */
} pare_tensor_source;
pare_status pare_tensor_read(pare_tensor_source *src, const Onnx__TensorProto *t, pare_tensor *out);
/* Fills an initialised message; the data stays the tensor's. */
pare_status pare_tensor_write(const pare_tensor *t, const char *name, pare_arena *arena,
                              Onnx__TensorProto *out);
/* Elements of 4 bits. They are read as bytes, which hold the same numbers and behave alike
 * everywhere but where QuantizeLinear clamps to its type. */
enum { PARE_ONNX_UINT4 = 21, PARE_ONNX_INT4 = 22 };
static inline bool pare_onnx_is_narrow(int64_t t)
{
    return t == PARE_ONNX_UINT4 || t == PARE_ONNX_INT4;
}
/* The name of any ONNX element type, known here or not. */
const char *pare_onnx_dtype_name(int t);

/* Constants that the file holds in 4 bits. */
typedef struct pare_narrow {
    pare_id *id;
    size_t n;
} pare_narrow;

/* --- draft.c: a node on its way from the file's form to the graph's --- */
typedef struct pare_draft {
    pare_graph *g;
    pare_tensor_source *source;
    const pare_narrow *narrow;
    int opset;
    const char *op, *name;
    uint32_t n_in, n_out; /* without absent ones at the end */
    pare_id in[PARE_MAX_IN], out[PARE_MAX_OUT];
    size_t n_attrs;
    Onnx__AttributeProto **attr; /* NULL where taken */
    /* Softmax before opset 13 works on a matrix: to be rewritten unless its axis turns out to be
     * the last. */
    bool flattens;
    int64_t axis;
    /* QuantizeLinear to elements of 4 bits: which (ONNX's number), to be clamped; else 0. */
    int narrows;
    /* Resize of opset 10, nearest, whose scales are computed: to be told how it rounds. */
    bool rounds;
} pare_draft;

/* The attribute, which nobody else will see any more; NULL if it was not given. */
Onnx__AttributeProto *pare_draft_take(pare_draft *d, const char *name);
/* *found tells whether the attribute was given; the rest is untouched if not. PARE_EFORMAT: of
 * another type.
 */
pare_status pare_draft_take_int(pare_draft *d, const char *name, int64_t *v, bool *found);
pare_status pare_draft_take_real(pare_draft *d, const char *name, double *v, bool *found);
pare_status pare_draft_take_ints(pare_draft *d, const char *name, const int64_t **v, size_t *n,
                                 bool *found);
pare_status pare_draft_take_reals(pare_draft *d, const char *name, const float **v, size_t *n,
                                  bool *found);
pare_status pare_draft_take_text(pare_draft *d, const char *name, const char **s, bool *found);
/* Refuses the attribute unless it is absent or `only`. */
pare_status pare_draft_expect_int(pare_draft *d, const char *name, int64_t only);
/* A new constant as input `slot`; takes over `t`. */
pare_status pare_draft_constant(pare_draft *d, uint32_t slot, const char *what, pare_tensor t);
pare_status pare_draft_ints_input(pare_draft *d, uint32_t slot, const char *what, const int64_t *v,
                                  size_t n);
pare_status pare_draft_reals_input(pare_draft *d, uint32_t slot, const char *what, const float *v,
                                   size_t n, bool scalar);
static inline bool pare_draft_has(const pare_draft *d, uint32_t slot)
{
    return slot < d->n_in && d->in[slot] != PARE_NONE;
}
/* Fills op's attributes and appends the node. */
pare_status pare_draft_finish(const pare_draft *d);

/* Writes attributes that differ from their defaults into `out` (field-table order). */
pare_status pare_attrs_write(const pare_node *n, pare_arena *arena, Onnx__NodeProto *out);

/* --- functions.c: encoded weights as calls of model-local functions --- */
/* PARE_EUNSUPPORTED unless the function stands for a codec that is known. */
pare_status pare_function_known(const Onnx__FunctionProto *f);
/* The weight that a call node stands for; its parts must be constants of the graph, which are
 * shared. */
pare_status pare_function_call(const pare_graph *g, const Onnx__NodeProto *n, pare_weight *out);
pare_status pare_function_write(const pare_codec *codec, int opset, pare_arena *arena,
                                Onnx__FunctionProto **out);

/* --- upgrade.c, downgrade.c --- */
/* From the meaning of opset d->opset to the one inside. PARE_EUNSUPPORTED for what has no
 * equivalent. */
pare_status pare_upgrade(pare_draft *d);
/* Completes a Softmax of before opset 13, found by its output: `rank` of its input, -1 where
 * unknown. The graph may need sorting afterwards. */
pare_status pare_upgrade_softmax(pare_graph *g, pare_id softmax_out, int64_t axis, int rank);
/* Completes such a Resize, found by its output, now that its scales are known. */
pare_status pare_upgrade_resize(pare_graph *g, pare_id resize_out, const pare_tensor *scales);
/* Clamps what a QuantizeLinear to 4 bits, found by its output, gives in bytes. */
pare_status pare_upgrade_narrow(pare_graph *g, pare_id quantize_out, int type);
/* The oldest opset from 17 on that can express the node. */
int pare_downgrade_opset(const pare_graph *g, const pare_node *n);
/* Adapts the written message of a node to `opset`. */
pare_status pare_downgrade(const pare_graph *g, const pare_node *n, int opset, pare_arena *arena,
                           Onnx__NodeProto *p);
/* Does the written node do without the constant in this slot? */
bool pare_downgrade_drops_input(const pare_node *n, uint32_t slot, int opset);

#endif
