/* The inner loops of training, once for each instruction set. */
#include "kernels/train_loops.h"
