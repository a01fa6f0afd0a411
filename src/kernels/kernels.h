/* The table of inner loops for one instruction set. A kernel gets pointers and sizes; it never fails, allocates, logs
 * or starts threads, and sees no graph types. The plain C version defines the arithmetic. */
#ifndef KERNELS_KERNELS_H
#define KERNELS_KERNELS_H

#include "kernels/penni.h"

#include <stddef.h>
#include <stdint.h>

/* Activations that kernels apply in registers on the way out. */
typedef enum pare_act { PARE_ACT_NONE, PARE_ACT_RELU, PARE_ACT_CLIP, PARE_ACT_LEAKY } pare_act;

typedef struct pare_kernels {
    const char *isa;
    pare_penni_basis_fn *penni_basis;
    pare_penni_combine_fn *penni_combine;
} pare_kernels;

/* The table for the instruction sets in `cpu` (pare_cpu_detect()). */
void pare_kernels_init(pare_kernels *k, unsigned cpu);

#endif
