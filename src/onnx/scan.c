/* A walk over the wire format that checks lengths and counts before protobuf-c sees a byte.
 *
 * protobuf-c recurses as deep as the file says (42 kB of nested subgraphs end an 8 MB stack) and
 * takes 70 times the file's size for empty nodes. The walk follows ONNX's own message types, so
 * that a tensor's raw data is not taken for a message; it keeps its own stack and never recurses.
 * It does not judge what the fields mean. */
#include "onnx/onnx.h"

enum { DEPTH_MOST = 64, NODES_MOST = 200000, ATTRIBUTES_MOST = 2000000, FIELDS_MOST = 5000000 };

static const ProtobufCFieldDescriptor *find_field(const ProtobufCMessageDescriptor *type,
                                                  uint32_t number)
{
    return protobuf_c_message_descriptor_get_field(type, number);
}

/* A packed list. Its items are not counted as fields: the budget for unpacking bounds them well
 * enough, and quantised weights may well be millions of varints. */
static pare_status packed(pare_onnx_bytes *b, size_t at, size_t end, ProtobufCType type)
{
    size_t from = at, step = 0;
    switch (type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32: step = 4; break;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64: step = 8; break;
    default: break;
    }
    if (step) {
        if ((end - at) % step)
            return pare_fail(PARE_EFORMAT,
                             "byte %zu: a list of %zu bytes is no whole number of %zu-byte items",
                             from, end - at, step);
        return PARE_OK;
    }
    for (uint64_t v; at < end;) {
        size_t item = at;
        if (!pare_onnx_varint(b, &at, end, &v))
            return pare_fail(PARE_EFORMAT, "byte %zu: an unfinished number", item);
    }
    return PARE_OK;
}

static pare_status scan(pare_onnx_bytes *b)
{
    struct {
        const ProtobufCMessageDescriptor *type;
        size_t end;
    } stack[DEPTH_MOST] = { { &onnx__model_proto__descriptor, b->size } };
    int depth = 0;
    size_t at = 0, fields = 0, nodes = 0, attributes = 0;
    if (b->size == 0) return pare_fail(PARE_EFORMAT, "the file is empty");
    while (depth >= 0) {
        size_t end = stack[depth].end, start = at;
        if (at == end) {
            depth--;
            continue;
        }
        uint64_t tag, length = 0;
        if (!pare_onnx_varint(b, &at, end, &tag))
            return pare_fail(PARE_EFORMAT, "byte %zu: an unfinished field", start);
        uint64_t number = tag >> 3;
        if (number == 0 || number > 536870911)
            return pare_fail(PARE_EFORMAT,
                             "byte %zu: field number %llu is not within 1 to 536870911", start,
                             (unsigned long long)number);
        if (++fields > FIELDS_MOST)
            return pare_fail(PARE_ELIMIT, "byte %zu: more than %d fields", start, FIELDS_MOST);
        switch (tag & 7) {
        case 0:
            if (!pare_onnx_varint(b, &at, end, &length))
                return pare_fail(PARE_EFORMAT, "byte %zu: an unfinished number", start);
            continue;
        case 1: length = 8; break;
        case 5: length = 4; break;
        case 2:
            if (!pare_onnx_varint(b, &at, end, &length))
                return pare_fail(PARE_EFORMAT, "byte %zu: an unfinished length", start);
            break;
        default:
            return pare_fail(PARE_EFORMAT, "byte %zu: wire type %d does not exist in ONNX", start,
                             (int)(tag & 7));
        }
        if (length > end - at)
            return pare_fail(PARE_EFORMAT,
                             "byte %zu: a field of %llu bytes, but %zu are left in its parent",
                             start, (unsigned long long)length, end - at);
        const ProtobufCFieldDescriptor *f = find_field(stack[depth].type, (uint32_t)number);
        if ((tag & 7) == 2 && f && f->type == PROTOBUF_C_TYPE_MESSAGE) {
            const ProtobufCMessageDescriptor *type = f->descriptor;
            if (type == &onnx__node_proto__descriptor && ++nodes > NODES_MOST)
                return pare_fail(PARE_ELIMIT, "byte %zu: more than %d nodes", start, NODES_MOST);
            if (type == &onnx__attribute_proto__descriptor && ++attributes > ATTRIBUTES_MOST)
                return pare_fail(PARE_ELIMIT, "byte %zu: more than %d attributes", start,
                                 ATTRIBUTES_MOST);
            if (depth + 1 == DEPTH_MOST)
                return pare_fail(PARE_ELIMIT, "byte %zu: messages nested deeper than %d", start,
                                 DEPTH_MOST);
            stack[++depth].type = type;
            stack[depth].end = at + (size_t)length;
            continue; /* the fields inside come next */
        }
        if ((tag & 7) == 2 && f && f->label == PROTOBUF_C_LABEL_REPEATED &&
            f->type != PROTOBUF_C_TYPE_STRING && f->type != PROTOBUF_C_TYPE_BYTES)
            PARE_TRY(packed(b, at, at + (size_t)length, f->type));
        at += (size_t)length;
    }
    return PARE_OK;
}

pare_status pare_onnx_scan(pare_onnx_bytes *b)
{
    pare_status st = scan(b);
    /* A byte that could not be read looked like a fault of the format. */
    return b->failed ? pare_fail(b->failed, "its %zu bytes cannot all be read", b->size) : st;
}
