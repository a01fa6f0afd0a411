/* Downloads that are checked: the recipes of the public sets, and the steps they are made of. */
#ifndef DATA_GET_H
#define DATA_GET_H

#include "base/status.h"

/* A file inside an archive that is wanted; everything else in the archive is passed over. */
typedef struct pare_member {
    const char *path; /* inside the archive; the last part is its name outside. NULL ends a list */
    uint64_t size;    /* exact if sha256 is given, else the most that is taken */
    const char *sha256; /* 64 hexadecimal digits, or NULL */
} pare_member;

typedef struct pare_remote_file {
    const char *name; /* below the base address; NULL ends a list */
    uint64_t size;
    const char *sha256;
    const pare_member
        *members; /* of a tar.gz, which is removed in the end; NULL: the file itself is wanted */
} pare_remote_file;

typedef struct pare_remote {
    const char *name, *base;
    const pare_remote_file *files;
} pare_remote;

/* pare_data_get() for any recipe. */
pare_status pare_get(const pare_remote *r, const char *dir, const char *base_url,
                     const pare_progress *progress);

/* The SHA-256 of a file as 64 digits and a 0. */
pare_status pare_sha256_file(const char *path, char hex[65]);

/* Fetches `url` (http or https) into `path` through `path`.part, which survives an interruption and
 * is continued; several attempts when a connection breaks. `path` appears complete and right or not
 * at all. */
pare_status pare_download(const char *url, const char *path, uint64_t size, const char *sha256,
                          const pare_progress *progress);

/* Takes the members of a tar.gz out into `dir`. Only names in the list are ever written. */
pare_status pare_unpack(const char *archive, const pare_member *members, const char *dir);

#endif
