/* Writes the small models that fuzz_onnx starts from into the folder given. */
#include "base/files.h"
#include "onnx_seeds.h"

#include <stdio.h>

int main(int argc, char **argv)
{
    if (argc != 2) return 2;
    for (int s = 0; s < SEED_COUNT; s++) {
        make m;
        size_t size;
        const uint8_t *bytes = seed_bytes(s, &m, &size);
        char path[4096];
        snprintf(path, sizeof path, "%s/seed%d.onnx", argv[1], s);
        if (!bytes || pare_make_dirs(argv[1]) != PARE_OK ||
            pare_write_file(path, bytes, size, true) != PARE_OK) {
            fprintf(stderr, "%s\n", pare_error());
            return 1;
        }
        make_free(&m);
    }
    return 0;
}
