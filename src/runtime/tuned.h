/* What `pare tune-machine` found out about this machine: how much longer or shorter than modelled
 * each implementation takes. Kept in a file of the user's cache, read when a plan is made.
 *
 *   pare-tuned 1                       the version of this format
 *   cpu NAME                           of the machine that was measured
 *   isa avx512                         instruction set in use
 *   impl conv_gemm 1.07 23             factor, and the layers it comes from
 *
 * The number of threads plays no part: plans must not depend on it. */
#ifndef RUNTIME_TUNED_H
#define RUNTIME_TUNED_H

#include "pare/eval.h"

enum { PARE_TUNED_MOST = 128 };
typedef struct pare_tuned {
    size_t n;
    struct pare_tuned_entry {
        char impl[48];
        double factor;
        int layers;
    } entry[PARE_TUNED_MOST];
} pare_tuned;

/* The file: what PARE_TUNE names, else machine-<name of the processor>-<isa>.txt in the folder pare
 * of $XDG_CACHE_HOME or ~/.cache. False if there is none: PARE_TUNE=off, or no home. */
bool pare_tuned_path(const char *isa, char *path, size_t size);
bool pare_tuned_named(void); /* does PARE_TUNE name it? */
/* NULL without a file, or with one that is damaged or of another machine: that is said once in a
 * warning, as is that a named one is not there. To free(). */
pare_tuned *pare_tuned_load(const char *isa);
/* Before any work: may it be written there? Makes the folder. PARE_EINVAL: it exists. */
pare_status pare_tuned_place(const char *path, bool force);
pare_status pare_tuned_save(const pare_tuned *t, const char *isa, const char *path, bool force);
/* 1 for what was not measured, and for t NULL. */
double pare_tuned_factor(const pare_tuned *t, const char *impl);

#endif
