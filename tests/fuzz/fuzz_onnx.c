/* libFuzzer target: whatever the bytes are, loading ends with a graph or an error; what loads is
 * saved and loads again.
 *
 *   cmake --preset fuzz && cmake --build --preset fuzz --target fuzz_onnx fuzz_onnx_seeds
 *   build/fuzz/tests/fuzz_onnx_seeds CORPUS && build/fuzz/tests/fuzz_onnx CORPUS */
#include "onnx/onnx.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static pare_status go_on(void *user, const char *node, const char *op, const char *remedy)
{
    return PARE_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const pare_onnx_sink sink = { go_on, NULL };
    pare_graph *g = NULL, *h = NULL;
    uint8_t *again = NULL;
    if (pare_model_load_memory(data, size, "fuzz", &g) == PARE_OK) {
        size_t n;
        pare_info info;
        if (pare_graph_check(g) != PARE_OK || pare_onnx_write(g, &again, &n) != PARE_OK ||
            pare_model_load_memory(again, n, "again", &h) != PARE_OK)
            abort();
        if (pare_model_info(g, 1, NULL, 0, &info) == PARE_OK) pare_info_free(&info);
        free(again);
        pare_graph_free(h);
    } else if (pare_onnx_read(data, size, "fuzz", NULL, (pare_onnx_shapes){ NULL, 0 }, &sink, &h) ==
               PARE_OK)
        pare_graph_free(h);
    pare_graph_free(g);
    return 0;
}
