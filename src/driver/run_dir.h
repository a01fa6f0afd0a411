/* The folder of a long run: finished stages as ONNX files, and a small file that says which they
 * are.
 *
 *   lock                     held while a process works here
 *   state.json               {"format": 1, "key": "...", "stages": [{"name", "file", "bytes",
 * "hash"}]} stage-NN-NAME.onnx       the network after each finished stage; the last one is the
 * best so far NAME.ckpt                the trainer's own, within a stage
 *
 * `key` stands for everything that decides the result: a folder is never continued with another
 * input or other options. Files appear complete or not at all; one that does not match its hash
 * counts as not there.
 */
#ifndef DRIVER_RUN_DIR_H
#define DRIVER_RUN_DIR_H

#include "graph/graph.h"

typedef struct pare_run_dir pare_run_dir;

/* Creates the folder or continues it. PARE_EINVAL if it belongs to another run, PARE_EIO if another
 * process works here. */
pare_status pare_run_dir_open(const char *path, const char *key, pare_run_dir **out);
void pare_run_dir_close(pare_run_dir *r);             /* NULL is fine */
const char *pare_run_dir_path(const pare_run_dir *r); /* NULL for NULL */

/* Keeps `g` as finished stage `stage` (letters, digits, '-'). Does nothing for NULL. */
pare_status pare_run_dir_save(pare_run_dir *r, const char *stage, const pare_graph *g);
/* Replaces *g by what a finished stage left; *found false, and *g untouched, if it is not there. */
pare_status pare_run_dir_load(pare_run_dir *r, const char *stage, pare_graph **g, bool *found);

/* 64 bits that tell contents apart (FNV-1a); not against an adversary. Begin with PARE_HASH_START.
 */
#define PARE_HASH_START UINT64_C(0xcbf29ce484222325)
uint64_t pare_hash_bytes(uint64_t h, const void *data, size_t size);

#endif
