/* The steps of a download: what is there already, fetching with resume, checking, unpacking. */
#define _POSIX_C_SOURCE 200809L
#include "data/get.h"

#include "base/files.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <archive.h>
#include <archive_entry.h>
#include <curl/curl.h>
#include <openssl/evp.h>

enum { ATTEMPTS = 5, BLOCK = 1 << 16 };

/* --- checksums --- */

static pare_status hash(int fd, const char *path, EVP_MD_CTX *sha, uint8_t *block, char hex[65])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned len = 0;
    bool ok = EVP_DigestInit_ex(sha, EVP_sha256(), NULL) == 1;
    while (ok) {
        ssize_t n = read(fd, block, BLOCK);
        if (n < 0 && errno == EINTR) continue;
        if (n < 0) return pare_fail(PARE_EIO, "cannot read '%s': %s", path, strerror(errno));
        if (n == 0) break;
        ok = EVP_DigestUpdate(sha, block, (size_t)n) == 1;
    }
    if (!ok || EVP_DigestFinal_ex(sha, digest, &len) != 1 || len != 32)
        return pare_fail(PARE_EINTERNAL, "libcrypto cannot compute the SHA-256 of '%s'", path);
    for (unsigned i = 0; i < len; i++) snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return PARE_OK;
}

pare_status pare_sha256_file(const char *path, char hex[65])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return pare_fail(PARE_EIO, "cannot open '%s': %s", path, strerror(errno));
    EVP_MD_CTX *sha = EVP_MD_CTX_new();
    uint8_t *block = malloc(BLOCK);
    pare_status st = sha && block ? hash(fd, path, sha, block, hex)
                                  : pare_fail(PARE_ENOMEM, "no memory to check '%s'", path);
    free(block);
    EVP_MD_CTX_free(sha);
    close(fd);
    return st;
}

static pare_status check(const char *path, const char *sha256)
{
    char hex[65];
    PARE_TRY(pare_sha256_file(path, hex));
    if (strcmp(hex, sha256) != 0)
        return pare_fail(PARE_EFORMAT, "'%s' has SHA-256 %s, not %s", path, hex, sha256);
    return PARE_OK;
}

/* --- fetching --- */

/* One attempt. */
typedef struct transfer {
    CURL *curl;
    int fd;
    const char *url, *name;
    uint64_t size; /* of the whole file */
    uint64_t have; /* bytes of it on disk */
    bool begun;    /* the body's first byte is here: the answer's code was looked at */
    bool refused;  /* the answer is not the file */
    pare_status status;
    const pare_progress *progress;
} transfer;

static pare_status write_out(int fd, const char *name, const char *p, size_t n)
{
    while (n > 0) {
        ssize_t k = write(fd, p, n);
        if (k < 0 && errno == EINTR) continue;
        if (k < 0) return pare_fail(PARE_EIO, "cannot write '%s': %s", name, strerror(errno));
        p += k;
        n -= (size_t)k;
    }
    return PARE_OK;
}

/* Starts the file over. */
static pare_status rewind_part(transfer *t)
{
    if (ftruncate(t->fd, 0) != 0 || lseek(t->fd, 0, SEEK_SET) < 0)
        return pare_fail(PARE_EIO, "cannot write '%s': %s", t->name, strerror(errno));
    t->have = 0;
    return PARE_OK;
}

static size_t receive(char *data, size_t one, size_t n, void *user)
{
    transfer *t = user;
    (void)one;
    if (!t->begun) {
        long code = 0;
        curl_easy_getinfo(t->curl, CURLINFO_RESPONSE_CODE, &code);
        t->begun = true;
        t->refused = code != 200 && code != 206;
        if (code == 200 && t->have)
            t->status = rewind_part(t); /* it does not know ranges: all of it comes again */
    }
    if (t->refused) return n; /* an error page */
    if (t->status == PARE_OK && n > t->size - t->have)
        t->status = pare_fail(PARE_EFORMAT, "'%s' is longer than its %llu bytes", t->url,
                              (unsigned long long)t->size);
    if (t->status == PARE_OK) t->status = write_out(t->fd, t->name, data, n);
    if (t->status != PARE_OK) return 0;
    t->have += n;
    return n;
}

static int tick(void *user, curl_off_t dl_total, curl_off_t dl, curl_off_t ul_total, curl_off_t ul)
{
    transfer *t = user;
    (void)dl_total, (void)dl, (void)ul_total, (void)ul;
    if (t->status == PARE_OK)
        t->status =
            pare_report(t->progress, "download", (int64_t)t->have, (int64_t)t->size, "%s", t->name);
    return t->status != PARE_OK;
}

static void init_curl(void) { curl_global_init(CURL_GLOBAL_DEFAULT); }

/* Asks for the rest of the file. *again: the connection broke, and another attempt may do. */
static pare_status attempt(transfer *t, bool *again)
{
    char range[32], reason[CURL_ERROR_SIZE] = "";
    bool secure = strncmp(t->url, "https:", 6) == 0;
    CURL *c = t->curl;
    *again = false;
    t->begun = t->refused = false;
    curl_easy_reset(c);
    bool ok = curl_easy_setopt(c, CURLOPT_URL, t->url) == CURLE_OK;
    snprintf(range, sizeof range, "%llu-", (unsigned long long)t->have);
    if (t->have) ok &= curl_easy_setopt(c, CURLOPT_RANGE, range) == CURLE_OK;
    /* Never from a secure address to an open one, never to files or other protocols. */
    ok &= curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https") == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_REDIR_PROTOCOLS_STR, secure ? "https" : "http,https") ==
          CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_MAXREDIRS, 5L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_USERAGENT, "pare") == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 1L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_ERRORBUFFER, reason) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, receive) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_WRITEDATA, t) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_NOPROGRESS, 0L) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_XFERINFOFUNCTION, tick) == CURLE_OK;
    ok &= curl_easy_setopt(c, CURLOPT_XFERINFODATA, t) == CURLE_OK;
    if (!ok) return pare_fail(PARE_ENOMEM, "no memory to fetch '%s'", t->url);

    CURLcode got = curl_easy_perform(c);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, NULL);
    if (t->status != PARE_OK) return t->status;
    long code = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
    *again = code >= 500 || code == 429;
    if (code == 416 && t->have) { /* what was left over is longer than what they have */
        PARE_TRY(rewind_part(t));
        *again = true;
    }
    if (got == CURLE_OK && code != 200 && code != 206)
        return pare_fail(PARE_EIO, "'%s': the server answered %ld", t->url, code);
    if (got == CURLE_OUT_OF_MEMORY)
        return pare_fail(PARE_ENOMEM, "no memory to fetch '%s'", t->url);
    *again = true;
    if (got != CURLE_OK) {
        *again = got != CURLE_UNSUPPORTED_PROTOCOL && got != CURLE_URL_MALFORMAT &&
                 got != CURLE_TOO_MANY_REDIRECTS && got != CURLE_PEER_FAILED_VERIFICATION &&
                 got != CURLE_COULDNT_RESOLVE_HOST;
        return pare_fail(PARE_EIO, "'%s': %s", t->url, *reason ? reason : curl_easy_strerror(got));
    }
    if (t->have < t->size)
        return pare_fail(PARE_EIO, "'%s' ended at byte %llu of %llu", t->url,
                         (unsigned long long)t->have, (unsigned long long)t->size);
    return PARE_OK;
}

/* Until the file is whole, or ATTEMPTS in a row got no further than before. */
static pare_status fetch(transfer *t)
{
    pare_status st = PARE_OK;
    uint64_t furthest = t->have;
    for (int idle = 0; t->have < t->size && idle < ATTEMPTS;) {
        bool again;
        st = attempt(t, &again);
        if (st != PARE_OK && !again) return st;
        idle = t->have > furthest ? 0 : idle + 1;
        if (t->have > furthest) furthest = t->have;
        struct timespec pause = { (100L << idle) / 1000, (100L << idle) % 1000 * 1000000L };
        if (st != PARE_OK && idle && idle < ATTEMPTS) nanosleep(&pause, NULL);
    }
    return t->have < t->size ? st : PARE_OK;
}

/* Fetches into the open part file and checks it; a part that turns out wrong is emptied. */
static pare_status fill_part(transfer *t, const char *part, const char *sha256)
{
    struct stat info;
    if (fstat(t->fd, &info) != 0)
        return pare_fail(PARE_EIO, "cannot read '%s': %s", part, strerror(errno));
    t->have = (uint64_t)info.st_size;
    bool continued = t->have > 0;
    if (t->have > t->size) PARE_TRY(rewind_part(t));
    if (lseek(t->fd, 0, SEEK_END) < 0)
        return pare_fail(PARE_EIO, "cannot write '%s': %s", part, strerror(errno));
    PARE_TRY(fetch(t));
    pare_status st = check(part, sha256);
    if (st == PARE_EFORMAT) {
        PARE_TRY(rewind_part(t));
        if (!continued)
            return pare_fail(PARE_EFORMAT,
                             "'%s' is not the file that is known: its SHA-256 is not %s", t->url,
                             sha256);
        PARE_TRY(fetch(t)); /* what was left over from before may have been the trouble */
        if ((st = check(part, sha256)) == PARE_EFORMAT) {
            PARE_TRY(rewind_part(t));
            return pare_fail(PARE_EFORMAT,
                             "'%s' is not the file that is known: its SHA-256 is not %s", t->url,
                             sha256);
        }
    }
    if (st == PARE_OK && fsync(t->fd) != 0)
        st = pare_fail(PARE_EIO, "cannot write '%s': %s", part, strerror(errno));
    return st;
}

pare_status pare_download(const char *url, const char *path, uint64_t size, const char *sha256,
                          const pare_progress *progress)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, init_curl);
    const char *slash = strrchr(path, '/');
    transfer t = {
        .fd = -1, .url = url, .name = slash ? slash + 1 : path, .size = size, .progress = progress
    };
    char *part = pare_format("%s.part", path);
    if (!part) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", path);
    pare_status st = pare_lock_file(part, &t.fd);
    if (st == PARE_OK && !(t.curl = curl_easy_init()))
        st = pare_fail(PARE_ENOMEM, "no memory to fetch '%s'", url);
    if (st == PARE_OK) st = fill_part(&t, part, sha256);
    if (st == PARE_OK && rename(part, path) != 0)
        st = pare_fail(PARE_EIO, "cannot rename '%s' to '%s': %s", part, path, strerror(errno));
    if (st != PARE_OK && t.fd >= 0 && t.have == 0) unlink(part); /* nothing worth continuing */
    curl_easy_cleanup(t.curl);
    if (t.fd >= 0) close(t.fd);
    free(part);
    return st;
}

/* --- unpacking --- */

static const char *last_part(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

/* Copies the data of the current entry. */
static pare_status copy_entry(struct archive *a, const pare_member *m, const char *to, int fd)
{
    uint64_t total = 0;
    char *block = malloc(BLOCK);
    if (!block) return pare_fail(PARE_ENOMEM, "no memory to unpack '%s'", m->path);
    pare_status st = PARE_OK;
    for (ssize_t n = 1; st == PARE_OK && n > 0;) {
        n = archive_read_data(a, block, BLOCK);
        if (n < 0)
            st = pare_fail(PARE_EFORMAT, "'%s' cannot be unpacked: %s", m->path,
                           archive_error_string(a));
        else if ((uint64_t)n > m->size - total)
            st = pare_fail(PARE_EFORMAT, "'%s' unpacks to more than %llu bytes", m->path,
                           (unsigned long long)m->size);
        else
            st = write_out(fd, to, block, (size_t)n), total += (uint64_t)n;
    }
    if (st == PARE_OK && fsync(fd) != 0)
        st = pare_fail(PARE_EIO, "cannot write '%s': %s", to, strerror(errno));
    free(block);
    return st;
}

static pare_status take_entry(struct archive *a, const pare_member *m, const char *dir)
{
    char *path = pare_format("%s/%s", dir, last_part(m->path)),
         *part = path ? pare_format("%s.part", path) : NULL;
    int fd = part ? open(part, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666) : -1;
    pare_status st = !part    ? pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", m->path)
                     : fd < 0 ? pare_fail(PARE_EIO, "cannot create '%s': %s", part, strerror(errno))
                              : copy_entry(a, m, part, fd);
    if (fd >= 0 && close(fd) != 0 && st == PARE_OK)
        st = pare_fail(PARE_EIO, "cannot write '%s': %s", part, strerror(errno));
    if (st == PARE_OK && m->sha256) st = check(part, m->sha256);
    if (st == PARE_OK && rename(part, path) != 0)
        st = pare_fail(PARE_EIO, "cannot rename '%s' to '%s': %s", part, path, strerror(errno));
    if (st != PARE_OK && fd >= 0) unlink(part);
    free(part);
    free(path);
    return st;
}

static pare_status read_archive(struct archive *a, const char *path, const pare_member *members,
                                const char *dir)
{
    uint64_t taken = 0; /* a bit for each member */
    archive_read_support_filter_gzip(a);
    archive_read_support_format_tar(a);
    if (archive_read_open_filename(a, path, BLOCK) != ARCHIVE_OK)
        return pare_fail(PARE_EFORMAT, "'%s' is not a tar.gz archive: %s", path,
                         archive_error_string(a));
    for (;;) {
        struct archive_entry *e;
        int r = archive_read_next_header(a, &e);
        if (r == ARCHIVE_EOF) break;
        if (r != ARCHIVE_OK && r != ARCHIVE_WARN)
            return pare_fail(PARE_EFORMAT, "'%s' is a damaged archive: %s", path,
                             archive_error_string(a));
        const char *name = archive_entry_pathname(e);
        if (!name || archive_entry_filetype(e) != AE_IFREG || archive_entry_hardlink(e)) continue;
        for (int i = 0; members[i].path; i++)
            if (strcmp(name, members[i].path) == 0) {
                PARE_TRY(pare_note(take_entry(a, &members[i], dir), "'%s'", path));
                taken |= UINT64_C(1) << i;
                break;
            }
    }
    for (int i = 0; members[i].path; i++)
        if (!(taken >> i & 1))
            return pare_fail(PARE_EFORMAT, "'%s' has no member '%s'", path, members[i].path);
    return PARE_OK;
}

pare_status pare_unpack(const char *archive, const pare_member *members, const char *dir)
{
    struct archive *a = archive_read_new();
    if (!a) return pare_fail(PARE_ENOMEM, "no memory to unpack '%s'", archive);
    pare_status st = read_archive(a, archive, members, dir);
    archive_read_free(a);
    return st;
}

/* --- a whole set --- */

/* Are all members there already, and right? */
static pare_status unpacked(const pare_member *members, const char *dir, bool *yes)
{
    *yes = true;
    for (const pare_member *m = members; *yes && m->path; m++) {
        char *path = pare_format("%s/%s", dir, last_part(m->path));
        if (!path) return pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", m->path);
        *yes = pare_file_exists(path) && (!m->sha256 || check(path, m->sha256) == PARE_OK);
        free(path);
    }
    pare_error_clear();
    return PARE_OK;
}

static pare_status get_file(const pare_remote_file *f, const char *dir, const char *base,
                            const pare_progress *progress)
{
    bool done = false;
    if (f->members) PARE_TRY(unpacked(f->members, dir, &done));
    size_t len = strlen(base);
    char *path = pare_format("%s/%s", dir, f->name);
    char *url = pare_format("%s%s%s", base, len && base[len - 1] == '/' ? "" : "/", f->name);
    pare_status st =
        path && url ? PARE_OK : pare_fail(PARE_ENOMEM, "no memory for the name of '%s'", f->name);
    if (st == PARE_OK && !done) {
        /* A wrong file of that name is somebody's: it is not ours to replace. */
        if (pare_file_exists(path))
            st = pare_note(check(path, f->sha256), "remove the file that is in the way");
        else
            st = pare_download(url, path, f->size, f->sha256, progress);
        if (st == PARE_OK && f->members) {
            st = pare_unpack(path, f->members, dir);
            if (st == PARE_OK) unlink(path);
        }
    }
    if (st == PARE_OK)
        st = pare_report(progress, "download", (int64_t)f->size, (int64_t)f->size, "%s", f->name);
    free(path);
    free(url);
    return st;
}

pare_status pare_get(const pare_remote *r, const char *dir, const char *base_url,
                     const pare_progress *progress)
{
    PARE_TRY(pare_make_dirs(dir));
    for (const pare_remote_file *f = r->files; f->name; f++)
        PARE_TRY(get_file(f, dir, base_url ? base_url : r->base, progress));
    return PARE_OK;
}
