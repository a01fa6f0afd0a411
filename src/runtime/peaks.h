/* What this machine can do at most, measured on the spot. */
#ifndef RUNTIME_PEAKS_H
#define RUNTIME_PEAKS_H

#include "pare/eval.h"

/* Takes some tenths of a second. `working_set`: bytes that a network goes through in one run; the
 * bandwidth is that of reading so many again and again, from whichever cache or memory holds them.
 * `threads` > 0. */
pare_status pare_peaks_measure(int threads, size_t working_set, pare_bench_peaks *out);

#endif
