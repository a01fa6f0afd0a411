/* The list of operators that can be trained through. */
#include "train/fronts.h"

#define ENTRY(op, fn) { #op, fn },
const tape_front pare_tape_fronts[] = { TAPE_FRONTS(ENTRY){ NULL, NULL } };
