/* Downloads against a server of our own on this machine: resume, retries, lies, cancelling,
 * archives that attack. */
#define _XOPEN_SOURCE 700
#include "data/get.h"
#include "data_files.h"
#include "pare/data.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/file.h>
#include <sys/socket.h>

#include <archive.h>
#include <archive_entry.h>

#include <cmocka.h>

#define assert_fails(call, code, word)                    \
    do {                                                  \
        pare_status st_ = call;                           \
        if (st_ != (code) || !strstr(pare_error(), word)) \
            fail_msg("%d, '%s'", (int)st_, pare_error()); \
    } while (0)

/* --- the server: one connection at a time, one request each --- */

static struct {
    int listener, port;
    pthread_t thread;
    pthread_mutex_t lock;
    /* what it serves, whatever the path */
    const uint8_t *body;
    size_t size;
    /* how it misbehaves */
    bool no_ranges;       /* answers 200 with everything */
    size_t cut;           /* hangs up after this many bytes of a body, 0: never */
    int cuts;             /* ... in so many answers */
    int errors, code;     /* answers `code` so many times */
    const char *location; /* redirects there */
    /* what it saw */
    int requests, ranged;
    size_t served;
    char path[256];
} web;

static void answer(int s)
{
    char req[4096], head[512];
    size_t n = 0;
    while (n < sizeof req - 1) {
        ssize_t k = recv(s, req + n, sizeof req - 1 - n, 0);
        if (k <= 0) return;
        n += (size_t)k;
        req[n] = 0;
        if (strstr(req, "\r\n\r\n")) break;
    }
    pthread_mutex_lock(&web.lock);
    web.requests++;
    sscanf(req, "GET %255s", web.path);
    unsigned long long from = 0;
    char *range = strstr(req, "Range: bytes=");
    if (range) {
        web.ranged++;
        sscanf(range, "Range: bytes=%llu-", &from);
    }
    if (web.no_ranges) from = 0;
    size_t rest = from < web.size ? web.size - (size_t)from : 0, send_n = rest;
    int code = from ? 206 : 200;
    if (from && !rest) code = 416;
    if (web.errors > 0) web.errors--, code = web.code;
    if (web.location) code = 302;
    if (code != 200 && code != 206)
        rest = send_n = 9;
    else if (web.cut && web.cuts > 0 && web.cut < send_n)
        web.cuts--, send_n = web.cut;
    int h = snprintf(head, sizeof head,
                     "HTTP/1.1 %d X\r\nContent-Length: %zu\r\nConnection: close\r\n", code, rest);
    if (code == 206)
        h += snprintf(head + h, sizeof head - (size_t)h, "Content-Range: bytes %llu-%zu/%zu\r\n",
                      from, web.size - 1, web.size);
    if (web.location)
        h += snprintf(head + h, sizeof head - (size_t)h, "Location: %s\r\n", web.location);
    h += snprintf(head + h, sizeof head - (size_t)h, "\r\n");
    const uint8_t *p = code == 200 || code == 206 ? web.body + from : (const uint8_t *)"not here!";
    if (code == 200 || code == 206) web.served += send_n;
    pthread_mutex_unlock(&web.lock);
    send(s, head, (size_t)h, MSG_NOSIGNAL);
    while (send_n > 0) {
        ssize_t k = send(s, p, send_n, MSG_NOSIGNAL);
        if (k <= 0) break;
        p += k;
        send_n -= (size_t)k;
    }
    shutdown(s, SHUT_WR);
    while (recv(s, req, sizeof req, 0) > 0)
        continue; /* so that what was sent is not thrown away by a reset */
}

static void *serve(void *arg)
{
    (void)arg;
    for (int s; (s = accept(web.listener, NULL, NULL)) >= 0;) {
        answer(s);
        close(s);
    }
    return NULL;
}

static int start(void **state)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;
    setenv("no_proxy", "127.0.0.1", 1);
    setenv("NO_PROXY", "127.0.0.1", 1);
    pthread_mutex_init(&web.lock, NULL);
    web.listener = socket(AF_INET, SOCK_STREAM, 0);
    if (web.listener < 0 || bind(web.listener, (struct sockaddr *)&a, sizeof a) != 0 ||
        listen(web.listener, 16) != 0 ||
        getsockname(web.listener, (struct sockaddr *)&a, &len) != 0)
        return -1;
    web.port = ntohs(a.sin_port);
    return pthread_create(&web.thread, NULL, serve, NULL) != 0 ? -1 : scratch_make(state);
}

static int stop(void **state)
{
    shutdown(web.listener, SHUT_RDWR);
    pthread_join(web.thread, NULL);
    close(web.listener);
    pthread_mutex_destroy(&web.lock);
    return scratch_remove(state);
}

/* The server as it should be, with nothing seen yet. */
static void well_behaved(const void *body, size_t size)
{
    pthread_mutex_lock(&web.lock);
    web.body = body;
    web.size = size;
    web.no_ranges = false;
    web.cut = web.served = 0;
    web.cuts = web.errors = web.requests = web.ranged = 0;
    web.location = NULL;
    pthread_mutex_unlock(&web.lock);
}

static char *base(void)
{
    static char text[64];
    snprintf(text, sizeof text, "http://127.0.0.1:%d/some", web.port);
    return text;
}

static char *url(void)
{
    static char text[96];
    snprintf(text, sizeof text, "%s/thing.bin", base());
    return text;
}

/* --- one file --- */

enum { SIZE = 300007 };
static uint8_t thing[SIZE + 1];
static char thing_sha[65];

static char *target(void) { return in_scratch("thing.bin"); }
static char *part(void) { return in_scratch("thing.bin.part"); }

static pare_status download(const pare_progress *p)
{
    return pare_download(url(), target(), SIZE, thing_sha, p);
}

static void fresh(void)
{
    if (!*thing_sha) {
        for (size_t i = 0; i < SIZE; i++) thing[i] = (uint8_t)(i * 2654435761u >> 11);
        assert_int_equal(pare_sha256_file(write_scratch("sum", thing, SIZE), thing_sha), PARE_OK);
    }
    unlink(target());
    unlink(part());
    well_behaved(thing, SIZE);
}

static void assert_arrived(void)
{
    char sha[65];
    if (pare_sha256_file(target(), sha) != PARE_OK) fail_msg("%s", pare_error());
    assert_string_equal(sha, thing_sha);
    assert_int_not_equal(access(part(), F_OK), 0);
}

static void assert_nothing(void)
{
    assert_int_not_equal(access(target(), F_OK), 0);
    assert_int_not_equal(access(part(), F_OK), 0);
}

static void test_sha256(void **state)
{
    (void)state;
    char hex[65];
    assert_int_equal(pare_sha256_file(text_scratch("abc", "abc"), hex),
                     PARE_OK); /* the example of FIPS 180 */
    assert_string_equal(hex, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    assert_fails(pare_sha256_file(in_scratch("nothing"), hex), PARE_EIO, "nothing");
}

static void test_whole(void **state)
{
    (void)state;
    fresh();
    if (download(NULL) != PARE_OK) fail_msg("%s", pare_error());
    assert_arrived();
    assert_int_equal(web.requests, 1);
    assert_string_equal(web.path, "/some/thing.bin");
}

static void test_broken_connections(void **state)
{
    (void)state;
    fresh();
    web.cut = 50000, web.cuts = 4;
    if (download(NULL) != PARE_OK) fail_msg("%s", pare_error());
    assert_arrived();
    assert_int_equal(web.requests, 5);
    assert_int_equal(web.ranged, 4);
    assert_int_equal(web.served, SIZE); /* nothing came twice */

    fresh(); /* a server without ranges: everything again, and still right */
    web.cut = 50000, web.cuts = 2, web.no_ranges = true;
    if (download(NULL) != PARE_OK) fail_msg("%s", pare_error());
    assert_arrived();
    assert_int_equal(web.served, SIZE + 2 * 50000);
}

static void test_left_over_part(void **state)
{
    (void)state;
    fresh();
    write_scratch("thing.bin.part", thing, 200000);
    if (download(NULL) != PARE_OK) fail_msg("%s", pare_error());
    assert_arrived();
    assert_int_equal(web.served, SIZE - 200000);

    fresh(); /* whole already: only checked */
    write_scratch("thing.bin.part", thing, SIZE);
    assert_int_equal(download(NULL), PARE_OK);
    assert_arrived();
    assert_int_equal(web.requests, 0);

    fresh(); /* of another file */
    write_scratch("thing.bin.part", "some other beginning", 20);
    assert_int_equal(download(NULL), PARE_OK);
    assert_arrived();
    assert_int_equal(web.requests, 2);

    fresh(); /* too long */
    write_scratch("thing.bin.part", thing, SIZE + 1);
    assert_int_equal(download(NULL), PARE_OK);
    assert_arrived();

    fresh(); /* somebody else is at it */
    int fd = open(part(), O_RDWR | O_CREAT, 0666);
    assert_int_equal(flock(fd, LOCK_EX), 0);
    assert_fails(download(NULL), PARE_EIO, "another pare");
    close(fd);
}

static void test_refusals(void **state)
{
    (void)state;
    fresh();
    web.errors = 1, web.code = 404;
    assert_fails(download(NULL), PARE_EIO, "answered 404");
    assert_nothing();
    assert_int_equal(web.requests, 1);

    fresh();
    web.errors = 2, web.code = 503;
    assert_int_equal(download(NULL), PARE_OK);
    assert_arrived();
    assert_int_equal(web.requests, 3);

    fresh();
    web.location = "file:///etc/passwd";
    assert_int_equal(download(NULL), PARE_EIO);
    assert_nothing();

    fresh(); /* no way on: what came is kept */
    web.cut = 1000, web.cuts = 1;
    web.errors = 0;
    write_scratch("thing.bin.part", thing, 5000);
    web.size = 4000; /* 416 for what is asked, then a file that is too short, again and again */
    assert_int_equal(download(NULL), PARE_EIO);
    assert_int_not_equal(access(target(), F_OK), 0);

    assert_fails(pare_download("ftp://127.0.0.1/x", target(), 5, thing_sha, NULL), PARE_EIO,
                 "ftp://127.0.0.1/x");
    assert_fails(pare_download(url(), in_scratch("no/folder/x"), 5, thing_sha, NULL), PARE_EIO,
                 "no/folder/x.part");
}

static void test_wrong_content(void **state)
{
    (void)state;
    fresh();
    uint8_t *other = calloc(1, SIZE);
    web.body = other;
    assert_fails(download(NULL), PARE_EFORMAT, "is not the file that is known");
    assert_nothing();
    fresh();
    web.size = SIZE + 1;
    assert_fails(download(NULL), PARE_EFORMAT, "longer than its 300007 bytes");
    assert_int_not_equal(access(target(), F_OK), 0);
    free(other);
}

static bool stop_later(void *user, const char *stage, int64_t done, int64_t total,
                       const char *detail)
{
    assert_string_equal(stage, "download");
    assert_string_equal(detail, "thing.bin");
    assert_int_equal(total, SIZE);
    *(int64_t *)user = done;
    return done < 1000;
}

static void test_cancel(void **state)
{
    (void)state;
    fresh();
    int64_t seen = 0;
    pare_progress p = { stop_later, &seen };
    web.cut = 100000, web.cuts = 1;
    assert_fails(download(&p), PARE_ECANCELLED, "download stopped at");
    assert_int_not_equal(access(target(), F_OK), 0);
    struct stat info;
    assert_int_equal(stat(part(), &info), 0);
    assert_true(info.st_size >= 1000 && info.st_size == seen);
    assert_int_equal(download(NULL), PARE_OK); /* and on from there */
    assert_arrived();
}

/* --- archives --- */

static void add(struct archive *a, const char *path, int type, const char *data, size_t size)
{
    struct archive_entry *e = archive_entry_new();
    archive_entry_set_pathname(e, path);
    archive_entry_set_filetype(e, (unsigned)type);
    archive_entry_set_perm(e, 0644);
    if (type == 0)
        archive_entry_set_hardlink(e, "/etc/passwd");
    else if (type == AE_IFLNK)
        archive_entry_set_symlink(e, "/etc/passwd");
    else
        archive_entry_set_size(e, (int64_t)size);
    assert_int_equal(archive_write_header(a, e), ARCHIVE_OK);
    if (size) archive_write_data(a, data, size);
    archive_entry_free(e);
}

static size_t hostile_archive(uint8_t *buf, size_t room, bool with_b)
{
    size_t used = 0;
    struct archive *a = archive_write_new();
    archive_write_add_filter_gzip(a);
    archive_write_set_format_ustar(a);
    archive_write_set_bytes_in_last_block(a, 1);
    assert_int_equal(archive_write_open_memory(a, buf, room, &used), ARCHIVE_OK);
    add(a, "../evil.txt", AE_IFREG, "evil", 4);
    add(a, "top/../../evil.txt", AE_IFREG, "evil", 4);
    add(a, "top/b.txt", AE_IFLNK, NULL, 0);
    add(a, "top/b.txt", 0, NULL, 0); /* a hard link */
    add(a, "top/a.bin", AE_IFREG, "abc", 3);
    add(a, "top/unwanted.txt", AE_IFREG, "x", 1);
    if (with_b) add(a, "top/b.txt", AE_IFREG, "words", 5);
    assert_int_equal(archive_write_close(a), ARCHIVE_OK);
    archive_write_free(a);
    return used;
}

static const pare_member members[] = {
    { "top/a.bin", 3, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" },
    { "top/b.txt", 100, NULL },
    { NULL, 0, NULL },
};

static void test_archive(void **state)
{
    (void)state;
    static uint8_t buf[1 << 16];
    char sha[65], *dir = in_scratch("set/deeper");
    size_t n = hostile_archive(buf, sizeof buf, true);
    assert_int_equal(pare_sha256_file(write_scratch("x.tgz", buf, n), sha), PARE_OK);
    const pare_remote_file files[] = { { "x.tar.gz", n, sha, members }, { NULL, 0, NULL, NULL } };
    const pare_remote remote = { "x", "http://unused.invalid", files };
    well_behaved(buf, n);
    if (pare_get(&remote, dir, base(), NULL) != PARE_OK) fail_msg("%s", pare_error());
    struct stat info;
    assert_int_equal(stat(in_scratch("set/deeper/a.bin"), &info), 0);
    assert_int_equal(info.st_size, 3);
    assert_int_equal(lstat(in_scratch("set/deeper/b.txt"), &info), 0);
    assert_true(S_ISREG(info.st_mode));
    assert_int_equal(info.st_size, 5);
    static const char *const absent[] = { "evil.txt",
                                          "set/evil.txt",
                                          "set/deeper/evil.txt",
                                          "set/deeper/unwanted.txt",
                                          "set/deeper/x.tar.gz",
                                          "set/deeper/x.tar.gz.part",
                                          "set/deeper/top" };
    for (size_t i = 0; i < sizeof absent / sizeof *absent; i++)
        assert_int_not_equal(access(in_scratch(absent[i]), F_OK), 0);
    assert_int_equal(web.requests, 1);
    assert_int_equal(pare_get(&remote, dir, base(), NULL), PARE_OK); /* nothing to do */
    assert_int_equal(web.requests, 1);
    text_scratch("set/deeper/a.bin", "abd"); /* damaged meanwhile: fetched again */
    assert_int_equal(pare_get(&remote, dir, base(), NULL), PARE_OK);
    assert_int_equal(web.requests, 2);

    /* damage, were the archive's own sum right */
    char *path = write_scratch("cut.tgz", buf, n / 2);
    assert_fails(pare_unpack(path, members, scratch), PARE_EFORMAT, "cut.tgz");
    path = text_scratch("text.tgz", "this is no archive");
    assert_fails(pare_unpack(path, members, scratch), PARE_EFORMAT, "text.tgz");
    n = hostile_archive(buf, sizeof buf, false);
    path = write_scratch("lacks.tgz", buf, n);
    assert_fails(pare_unpack(path, members, scratch), PARE_EFORMAT, "no member 'top/b.txt'");
    const pare_member small[] = { { "top/a.bin", 2, NULL }, { NULL, 0, NULL } };
    unlink(in_scratch("a.bin"));
    assert_fails(pare_unpack(path, small, scratch), PARE_EFORMAT, "more than 2 bytes");
    const pare_member other[] = { { "top/a.bin", 3, thing_sha }, { NULL, 0, NULL } };
    assert_fails(pare_unpack(path, other, scratch), PARE_EFORMAT, "SHA-256");
    assert_int_not_equal(access(in_scratch("a.bin"), F_OK), 0);
    assert_int_not_equal(access(in_scratch("a.bin.part"), F_OK), 0);
}

static void test_public(void **state)
{
    (void)state;
    assert_fails(pare_data_get("imagenet", scratch, NULL, NULL), PARE_EINVAL,
                 "none of cifar10, mnist, fashion-mnist");
    fresh();
    web.size = 100; /* not MNIST */
    web.errors = 1, web.code = 403;
    assert_fails(pare_data_get("mnist", in_scratch("m"), base(), NULL), PARE_EIO,
                 "/some/train-images-idx3-ubyte.gz");
    assert_int_equal(rmdir(in_scratch("m")), 0); /* nothing is left */
    make_scratch_dir("f");
    text_scratch("f/train-images-idx3-ubyte.gz", "mine");
    assert_fails(pare_data_get("fashion-mnist", in_scratch("f"), base(), NULL), PARE_EFORMAT,
                 "in the way");
    assert_fails(pare_data_get("cifar10", in_scratch("f/train-images-idx3-ubyte.gz"), base(), NULL),
                 PARE_EIO, "folder");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_whole),
        cmocka_unit_test(test_broken_connections),
        cmocka_unit_test(test_left_over_part),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_wrong_content),
        cmocka_unit_test(test_cancel),
        cmocka_unit_test(test_archive),
        cmocka_unit_test(test_public),
    };
    return cmocka_run_group_tests(tests, start, stop);
}
