/* Other runtimes that time the same file: found while the program runs, never linked. */
#ifndef DRIVER_PEERS_H
#define DRIVER_PEERS_H

#include "pare/eval.h"

/* A network opened in another runtime. */
typedef struct pare_peer pare_peer;
struct pare_peer {
    char name[32], version[48], path[512];
    /* Runs `runs` times on the inputs given when it was opened; ms[i] is the time of run i. */
    pare_status (*run)(pare_peer *p, int runs, double *ms);
    /* Output i of the last run, valid until the next; *t borrows the peer's memory. */
    pare_status (*output)(pare_peer *p, size_t i, pare_tensor *t);
    void (*close)(pare_peer *p);
};

/* --- peer_ort.c: ONNX Runtime through its C interface --- */
typedef struct pare_ort pare_ort;
/* Looks for the library: `path` (a file or a folder, never a name to search for) if given; else
 * $PARE_ORT; else where the system looks; else inside the package of the program `python`. *out is
 * NULL if there is none. A path that was given and leads nowhere is PARE_EIO. */
pare_status pare_ort_find(const char *path, const char *python, pare_ort **out);
void pare_ort_free(pare_ort *o);
/* Opens the file with all optimisations on `threads` threads. The tensors stay the caller's and
 * must live as long as the peer. */
pare_status pare_ort_open(pare_ort *o, const char *file, int threads, const pare_plan *plan,
                          const pare_tensor *in, pare_peer **out);

#endif
