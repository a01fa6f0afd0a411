/* protobuf-c on an arena: unpacking under a budget, and carrying what the graph does not hold
 * itself. */
#include "onnx/onnx.h"

#include <string.h>

static void *take(void *arena, size_t size) { return pare_arena_alloc(arena, size); }

/* Remembers that memory ran out, which protobuf-c does not tell from a malformed message. */
typedef struct counted {
    pare_arena *arena;
    bool failed;
} counted;

static void *take_counted(void *user, size_t size)
{
    counted *c = user;
    void *p = pare_arena_alloc(c->arena, size);
    if (!p) c->failed = true;
    return p;
}
static void leave(void *arena, void *p)
{
    (void)arena;
    (void)p;
}

ProtobufCAllocator pare_proto_allocator(pare_arena *arena)
{
    return (ProtobufCAllocator){ .alloc = take, .free = leave, .allocator_data = arena };
}

pare_status pare_proto_unpack(const uint8_t *data, size_t size, pare_arena *arena,
                              Onnx__ModelProto **out)
{
    counted c = { arena, false };
    ProtobufCAllocator a = { .alloc = take_counted, .free = leave, .allocator_data = &c };
    Onnx__ModelProto *m = onnx__model_proto__unpack(&a, size, data);
    if (m) {
        *out = m;
        return PARE_OK;
    }
    if (pare_arena_over_budget(arena))
        return pare_fail(PARE_ELIMIT, "its %zu bytes unpack to more than %zu", size,
                         pare_arena_used(arena));
    if (c.failed) return pare_fail(PARE_ENOMEM, "no memory to unpack %zu bytes", size);
    return pare_fail(PARE_EFORMAT, "its %zu bytes are not an ONNX model", size);
}

pare_status pare_proto_rest(const ProtobufCMessage *m, pare_arena *arena, pare_bytes *out)
{
    size_t size = protobuf_c_message_get_packed_size(m);
    *out = (pare_bytes){ NULL, 0 };
    if (size == 0) return PARE_OK;
    uint8_t *data = pare_arena_alloc(arena, size);
    if (!data) return pare_fail(PARE_ENOMEM, "no memory for %zu bytes of unknown fields", size);
    *out = (pare_bytes){ data, protobuf_c_message_pack(m, data) };
    return PARE_OK;
}

void *pare_proto_revive(const ProtobufCMessageDescriptor *type, pare_bytes rest, pare_arena *arena)
{
    ProtobufCAllocator a = pare_proto_allocator(arena);
    if (rest.size) return protobuf_c_message_unpack(type, &a, rest.size, rest.data);
    ProtobufCMessage *m = pare_arena_alloc(arena, type->sizeof_message);
    if (m) protobuf_c_message_init(type, m);
    return m;
}
