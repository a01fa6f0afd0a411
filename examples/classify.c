/* Runs a network on zeros and prints the best class of every row. Compiles as C and as C++.
 *
 *   cc classify.c $(pkg-config --cflags --libs pare) -o classify && ./classify net.onnx */
#include <pare/pare.h>

#include <stdio.h>
#include <stdlib.h>

static pare_status classify(const char *path)
{
    pare_graph *graph = NULL;
    pare_plan *plan = NULL;
    pare_tensor in = { PARE_UNDEFINED, 0, { 0 }, NULL, NULL }, out = in;
    pare_type type;

    pare_status st = pare_model_load(path, &graph);
    if (st == PARE_OK) st = pare_plan_create(graph, NULL, &plan);
    if (st == PARE_OK && (pare_plan_inputs(plan) != 1 || pare_plan_outputs(plan) != 1)) {
        fprintf(stderr, "%s: one input and one output are expected\n", path);
        st = PARE_EUNSUPPORTED;
    }
    if (st == PARE_OK) {
        pare_plan_input(plan, 0, &type);
        st = pare_tensor_new(type.dtype, type.rank, type.dim, &in);
    }
    if (st == PARE_OK) {
        pare_plan_output(plan, 0, &type);
        st = pare_tensor_new(type.dtype, type.rank, type.dim, &out);
    }
    if (st == PARE_OK) st = pare_plan_run(plan, &in, &out);
    if (st == PARE_OK && out.dtype == PARE_F32 && out.rank == 2) {
        const float *y = (const float *)out.data;
        for (int64_t n = 0; n < out.dim[0]; n++, y += out.dim[1]) {
            int64_t best = 0;
            for (int64_t k = 1; k < out.dim[1]; k++)
                if (y[k] > y[best]) best = k;
            printf("class %lld with %g\n", (long long)best, (double)y[best]);
        }
    }
    if (st != PARE_OK) fprintf(stderr, "%s\n", pare_error());
    pare_tensor_free(&in);
    pare_tensor_free(&out);
    pare_plan_free(plan);
    pare_graph_free(graph);
    return st;
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "usage: %s MODEL.onnx (pare %s)\n", argv[0], pare_version());
        return 2;
    }
    return classify(argv[1]) == PARE_OK ? 0 : 1;
}
