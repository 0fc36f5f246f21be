/*
 * fetch.c - brings one data file into a folder: resumed, checked, renamed when complete.
 *
 * SPDX-License-Identifier: MIT
 */
#include "datasets/fetch.h"

/* The macros that check types call by name. */
#define CURL_DISABLE_TYPECHECK
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/file.h"
#include "base/library.h"
#include "base/progress.h"

enum { ATTEMPTS = 3 };

/* libcurl, which brings some thirty libraries along. */
#define RBE_LIBRARY_PREFIX(name) curl_##name
#define CALLS(CALL)                                                                            \
    CALL(global_init) CALL(easy_init) CALL(easy_setopt) CALL(easy_perform) CALL(easy_getinfo)  \
    CALL(easy_strerror) CALL(easy_cleanup) CALL(easy_escape) CALL(free)
static struct { CALLS(RBE_LIBRARY_CALL) } curl;
static bool has_curl;

static void load_curl(void)
{
    static const char *const names[] = {CALLS(RBE_LIBRARY_NAME)};

    has_curl = rbe_library_open(&curl, "libcurl.so.4", names, sizeof names / sizeof names[0]) &&
               !curl.global_init(CURL_GLOBAL_DEFAULT);
}

/* What is being received. */
struct transfer {
    int fd;                     /* NAME.part, locked */
    uint64_t have;              /* bytes in it */
    uint64_t limit;             /* no more than these may come; 0 = not known */
    int write_errno;
    bool too_long;
    struct rbe_progress progress;
};

static size_t on_bytes(char *bytes, size_t size, size_t count, void *arg)
{
    struct transfer *t = arg;
    size_t n = size * count, done = 0;

    if (t->limit && n > t->limit - t->have) {
        t->too_long = true;
        return 0;
    }
    while (done < n) {
        const ssize_t w = write(t->fd, bytes + done, n - done);
        if (w < 0 && errno == EINTR)
            continue;
        if (w < 0) {
            t->write_errno = errno;
            return 0;
        }
        done += (size_t)w;
        t->have += (size_t)w;
    }
    return n;
}

static int on_progress(void *arg, curl_off_t total, curl_off_t now, curl_off_t a,
                       curl_off_t b)
{
    struct transfer *t = arg;

    (void)a;
    (void)b;
    /* Of a resumed transfer, curl counts what this one brings. */
    if (!t->limit && total > 0)
        t->progress.total = ((double)t->have - (double)now + (double)total) / 1e6;
    rbe_progress_update(&t->progress, (double)t->have / 1e6, NULL);
    return rbe_interrupted();
}

static bool restart(struct transfer *t)
{
    t->have = 0;
    return ftruncate(t->fd, 0) == 0 && lseek(t->fd, 0, SEEK_SET) == 0;
}

/* Is it worth asking again, from where the bytes ended? */
static bool transient(CURLcode rc)
{
    return rc == CURLE_PARTIAL_FILE || rc == CURLE_RECV_ERROR ||
           rc == CURLE_OPERATION_TIMEDOUT || rc == CURLE_COULDNT_CONNECT ||
           rc == CURLE_GOT_NOTHING || rc == CURLE_SEND_ERROR;
}

/* Receives url behind the bytes that t has. */
static enum rbe_status receive(struct transfer *t, const char *name, const char *url,
                               struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char why[CURL_ERROR_SIZE];
    CURLcode rc = CURLE_OK;
    long code = 0;
    CURL *c = curl.easy_init();

    if (!c)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: libcurl does not start", name);
    curl.easy_setopt(c, CURLOPT_URL, url);
    /* One home refuses clients that do not look like a browser. */
    curl.easy_setopt(c, CURLOPT_USERAGENT, "Mozilla/5.0 (compatible; rbe-fetch)");
    curl.easy_setopt(c, CURLOPT_FOLLOWLOCATION, 1L);
    curl.easy_setopt(c, CURLOPT_MAXREDIRS, 10L);
    curl.easy_setopt(c, CURLOPT_FAILONERROR, 1L);
    curl.easy_setopt(c, CURLOPT_CONNECTTIMEOUT, 30L);
    curl.easy_setopt(c, CURLOPT_LOW_SPEED_LIMIT, 100L);
    curl.easy_setopt(c, CURLOPT_LOW_SPEED_TIME, 60L);
    curl.easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    curl.easy_setopt(c, CURLOPT_WRITEFUNCTION, on_bytes);
    curl.easy_setopt(c, CURLOPT_WRITEDATA, t);
    curl.easy_setopt(c, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl.easy_setopt(c, CURLOPT_XFERINFODATA, t);
    curl.easy_setopt(c, CURLOPT_NOPROGRESS, 0L);
    curl.easy_setopt(c, CURLOPT_ERRORBUFFER, why);
    for (int i = 0; i < ATTEMPTS; i++) {
        if (i > 0)
            sleep(1);
        const uint64_t from = t->have;
        why[0] = 0;
        curl.easy_setopt(c, CURLOPT_RESUME_FROM_LARGE, (curl_off_t)from);
        rc = curl.easy_perform(c);
        curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &code);
        if (rc == CURLE_OK || t->write_errno || t->too_long || rbe_interrupted())
            break;
        /* A server that cannot continue, or has a shorter file now: from the start. */
        const bool no_resume = rc == CURLE_RANGE_ERROR || rc == CURLE_BAD_DOWNLOAD_RESUME ||
                               (rc == CURLE_HTTP_RETURNED_ERROR && code == 416);
        if (from > 0 && no_resume && restart(t))
            continue;
        if (!transient(rc))
            break;
    }
    if (rbe_interrupted())
        err = rbe_fail(d, RBE_ERR_INTERRUPTED, "%s: interrupted; the next run resumes", name);
    else if (t->write_errno)
        err = rbe_fail(d, RBE_ERR_IO, "%s: cannot write: %s", name,
                       strerror(t->write_errno));
    else if (t->too_long)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: %s is longer than the %" PRIu64
                       " bytes expected", name, url, t->limit);
    else if (rc != CURLE_OK)
        err = rbe_fail(d, RBE_ERR_IO, "%s: cannot fetch %s: %s", name, url,
                       why[0] ? why : curl.easy_strerror(rc));
    curl.easy_cleanup(c);
    return err;
}

/* A folder becomes a file:// URL; the name's bytes that a URL cannot hold are escaped. */
static char *mirror_url(const char *mirror, const char *name, struct rbe_diag *d)
{
    char *real = NULL, *url = NULL, *esc = NULL, *path = NULL;
    const char *base = mirror;

    if (!strstr(mirror, "://")) {
        if (!(real = realpath(mirror, NULL))) {
            rbe_fail_errno(d, "%s", mirror);
            return NULL;
        }
        base = real;
    }
    path = rbe_path_join(real ? base : "", name);
    esc = path ? curl.easy_escape(NULL, path, 0) : NULL;
    if (esc) {
        /* curl escapes the slashes too. */
        char *to = esc;
        for (const char *s = esc; *s; s++) {
            if (!strncmp(s, "%2F", 3)) {
                *to++ = '/';
                s += 2;
            } else {
                *to++ = *s;
            }
        }
        *to = 0;
        const char *head = real ? "file://" : base;
        const size_t n = strlen(head);
        const char *slash = real || (n && head[n - 1] == '/') ? "" : "/";
        url = malloc(n + strlen(esc) + 2);
        if (url)
            sprintf(url, "%s%s%s", head, slash, esc);
    }
    if (!url)
        rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", name);
    curl.free(esc);
    free(path);
    free(real);
    return url;
}

/* Unpacks one member of a zip archive with unzip, which Debian has everywhere. */
static enum rbe_status unpack(const char *archive, const char *member, const char *to,
                              struct rbe_diag *d)
{
    extern char **environ;
    char *argv[] = {"unzip", "-p", "-qq", (char *)(uintptr_t)archive,
                    (char *)(uintptr_t)member, NULL};
    posix_spawn_file_actions_t act;
    pid_t pid;
    int status = 0;

    if (posix_spawn_file_actions_init(&act))
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", archive);
    posix_spawn_file_actions_addopen(&act, 1, to, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    posix_spawn_file_actions_addopen(&act, 2, "/dev/null", O_WRONLY, 0);
    const int rc = posix_spawnp(&pid, "unzip", &act, NULL, argv, environ);
    posix_spawn_file_actions_destroy(&act);
    if (rc)
        return rbe_fail(d, RBE_ERR_IO, "%s: cannot run unzip: %s", archive, strerror(rc));
    pid_t gone = 0;
    while (!gone || (gone < 0 && errno == EINTR)) {
        if (rbe_interrupted())
            kill(pid, SIGKILL);
        usleep(10000);
        gone = waitpid(pid, &status, WNOHANG);
    }
    if (rbe_interrupted()) {
        unlink(to);
        return rbe_fail(d, RBE_ERR_INTERRUPTED, "%s: interrupted; the next run goes on",
                        archive);
    }
    if (!WIFEXITED(status) || WEXITSTATUS(status)) {
        unlink(to);
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: unzip finds no whole '%s' in it", archive,
                        member);
    }
    return RBE_OK;
}

/* Right size and checksum?  Else says why. */
static enum rbe_status verify(const struct rbe_dataset *s, const char *path,
                              struct rbe_diag *d)
{
    enum rbe_status err;
    struct stat st;
    char hex[65];

    if (stat(path, &st) < 0)
        return rbe_fail_errno(d, "%s", path);
    if ((uint64_t)st.st_size != s->bytes)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: %lld bytes, not the %" PRIu64 " expected",
                        s->name, (long long)st.st_size, s->bytes);
    if (!s->sha256)
        return RBE_OK;
    if ((err = rbe_sha256_file(hex, path, d)))
        return err;
    if (strcmp(hex, s->sha256))
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: wrong sha256: %s, expected %s", s->name, hex,
                        s->sha256);
    return RBE_OK;
}

bool rbe_dataset_present(const struct rbe_dataset *s, const char *to)
{
    char *path = rbe_path_join(to, s->name);
    const bool yes = path && !verify(s, path, NULL);

    free(path);
    return yes;
}

/* Appends a suffix in a fresh string, or NULL. */
static char *suffixed(const char *s, const char *suffix)
{
    char *p = malloc(strlen(s) + strlen(suffix) + 1);

    if (p)
        sprintf(p, "%s%s", s, suffix);
    return p;
}

/* Receives what is missing of part and checks it; `stale` tells that bytes of an earlier
 * run were in it, so that a wrong checksum may be theirs. */
static enum rbe_status complete(const struct rbe_dataset *s, const char *url, bool archive,
                                const char *part, const char *unpacked, bool *stale,
                                struct rbe_diag *d)
{
    struct transfer t = {.limit = archive ? 0 : s->bytes};
    enum rbe_status err;
    struct stat st;

    t.fd = open(part, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (t.fd < 0)
        return rbe_fail_errno(d, "%s: cannot write", part);
    if (flock(t.fd, LOCK_EX | LOCK_NB) < 0) {
        err = rbe_fail(d, RBE_ERR_IO, "%s: another process is fetching it", part);
        goto out;
    }
    if (fstat(t.fd, &st) < 0) {
        err = rbe_fail_errno(d, "%s", part);
        goto out;
    }
    t.have = (uint64_t)st.st_size;
    if ((t.limit && t.have > t.limit && !restart(&t)) || lseek(t.fd, 0, SEEK_END) < 0) {
        err = rbe_fail_errno(d, "%s", part);
        goto out;
    }
    *stale = t.have > 0;
    rbe_progress_start(&t.progress, s->name, "MB", (double)s->bytes / 1e6);
    if (archive || t.have < s->bytes) {
        if ((err = receive(&t, s->name, url, d))) {
            if (t.too_long)
                unlink(part);
            goto out;
        }
    }
    if (fsync(t.fd) < 0) {
        err = rbe_fail_errno(d, "%s: cannot write", part);
        goto out;
    }
    if (archive && (err = unpack(part, s->member, unpacked, d)))
        goto out;
    err = verify(s, archive ? unpacked : part, d);
out:
    rbe_progress_end(&t.progress);
    /* Nothing in it to go on from; if it is another's, that one has it open. */
    if (err && !fstat(t.fd, &st) && !st.st_size && !flock(t.fd, LOCK_EX | LOCK_NB))
        unlink(part);
    close(t.fd);
    return err;
}

enum rbe_status rbe_dataset_fetch(const struct rbe_dataset *s, const char *mirror,
                                  const char *to, struct rbe_diag *d)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    enum rbe_status err = RBE_ERR_NOMEM;
    const bool archive = !mirror && s->member;
    bool stale = false;
    char *path = rbe_path_join(to, s->name), *part = NULL, *unpacked = NULL, *url = NULL;
    char *made = NULL;          /* folders */

    pthread_once(&once, load_curl);
    if (!has_curl) {
        err = rbe_fail(d, RBE_ERR_IO, "%s: libcurl does not start", s->name);
        goto out;
    }
    if (!mirror && !s->url) {
        err = rbe_fail(d, RBE_ERR_ARG, "%s: has no public home; give a folder or URL that "
                       "has it with --from", s->name);
        goto out;
    }
    if (path) {
        part = suffixed(path, ".part");
        unpacked = suffixed(path, ".unpacked");
    }
    if (!part || !unpacked) {
        rbe_fail(d, err, "%s: out of memory", s->name);
        goto out;
    }
    char *slash = strrchr(path, '/');
    *slash = 0;
    err = rbe_make_new_dirs(&made, path, d);
    *slash = '/';
    if (err)
        goto out;
    url = mirror ? mirror_url(mirror, s->name, d) : strdup(s->url);
    if (!url) {
        err = RBE_ERR_IO;
        goto out;
    }
    err = complete(s, url, archive, part, unpacked, &stale, d);
    if (err == RBE_ERR_FORMAT && stale) {
        unlink(part);
        err = complete(s, url, archive, part, unpacked, &stale, d);
    }
    if (err == RBE_ERR_FORMAT) {
        /* Nothing that was found wrong stays. */
        unlink(part);
        unlink(unpacked);
        goto out;
    }
    if (err)
        goto out;
    if (rename(archive ? unpacked : part, path) < 0)
        err = rbe_fail_errno(d, "%s: cannot write", path);
    else if (archive)
        unlink(part);
out:
    /* What is kept, to go on from, keeps its folders. */
    if (err && made) {
        *strrchr(path, '/') = 0;
        rbe_unmake_dirs(&made, path);
    }
    free(made);
    free(url);
    free(unpacked);
    free(part);
    free(path);
    return err;
}
