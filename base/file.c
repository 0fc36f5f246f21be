/*
 * file.c - reading whole files, mapping them, and replacing them in one step.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#ifndef RBE_NO_OPENSSL
#include <openssl/crypto.h>
#include <openssl/evp.h>
#endif
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/library.h"
#include "base/progress.h"
#include "base/sha256.h"

#ifdef __APPLE__
#define st_mtim st_mtimespec
#endif

const char *rbe_base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

enum rbe_status rbe_map_open(struct rbe_map *m, const char *path, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    struct stat st;
    void *p = NULL;

    *m = (struct rbe_map){0};
    /* A pipe that nobody writes to is refused as any other is, not waited for. */
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return rbe_fail_errno(d, "%s", path);
    if (fstat(fd, &st) < 0) {
        err = rbe_fail_errno(d, "%s", path);
        goto out;
    }
    if (!S_ISREG(st.st_mode)) {
        err = rbe_fail(d, RBE_ERR_IO, "%s: not a regular file", path);
        goto out;
    }
    if (st.st_size > 0) {
        p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (p == MAP_FAILED) {
            err = rbe_fail_errno(d, "%s: cannot map", path);
            goto out;
        }
    }
    m->bytes = p;
    m->size = (size_t)st.st_size;
    const uint64_t what[] = {(uint64_t)st.st_dev, (uint64_t)st.st_ino, (uint64_t)st.st_size,
                             (uint64_t)st.st_mtim.tv_sec, (uint64_t)st.st_mtim.tv_nsec};
    m->stamp = XXH3_64bits(what, sizeof what);
out:
    close(fd);
    return err;
}

void rbe_map_close(struct rbe_map *m)
{
    if (m->bytes)
        munmap((void *)(uintptr_t)m->bytes, m->size);
    *m = (struct rbe_map){0};
}

void rbe_map_forget(const void *bytes, size_t size)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    const uintptr_t from = (uintptr_t)bytes & ~(page - 1);

    madvise((void *)from, (uintptr_t)bytes + size - from, MADV_DONTNEED);
}

static int by_name(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

void rbe_folder_names(char *out, size_t size, const char *folder, const char *ending,
                      const char *between)
{
    enum { MOST = 64 };
    char *names[MOST];
    DIR *dir = folder ? opendir(folder) : NULL;
    const size_t end = strlen(ending);
    const struct dirent *e;
    size_t n = 0, at = 0;

    while (dir && n < MOST && (e = readdir(dir))) {
        const size_t len = strlen(e->d_name);
        if (len > end && !strcmp(e->d_name + len - end, ending) &&
            (names[n] = strndup(e->d_name, len - end)))
            n++;
    }
    if (dir)
        closedir(dir);
    qsort(names, n, sizeof *names, by_name);
    *out = 0;
    for (size_t i = 0; i < n; i++) {
        if (at < size)
            at += (size_t)snprintf(out + at, size - at, "%s%s", i ? between : "", names[i]);
        free(names[i]);
    }
}

/* Reads fd, which may be a pipe, to its end; `room`: the size to expect. */
static enum rbe_status read_all(int fd, size_t room, char **out, size_t *size,
                                const char *path, struct rbe_diag *d)
{
    char *s = malloc(room + 1);
    size_t n = 0;

    while (s) {
        const ssize_t got = read(fd, s + n, room - n);
        if (got < 0 && errno == EINTR && !rbe_interrupted())
            continue;
        if (got < 0) {
            const enum rbe_status err =
                errno == EINTR ? rbe_fail(d, RBE_ERR_INTERRUPTED, "%s: interrupted", path)
                               : rbe_fail_errno(d, "%s", path);
            free(s);
            return err;
        }
        n += (size_t)got;
        if (!got && n < room)
            break;
        /* Full: only a read of one byte more says whether that was all. */
        if (n == room) {
            char *more = realloc(s, (room += room / 2 + 4096) + 1);
            if (!more)
                free(s);
            s = more;
        }
    }
    if (!s)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    s[n] = 0;
    *out = s;
    *size = n;
    return RBE_OK;
}

enum rbe_status rbe_read_file(char **out, size_t *size, const char *path, struct rbe_diag *d)
{
    enum rbe_status err;
    struct stat st;

    *out = NULL;
    *size = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return rbe_fail_errno(d, "%s", path);
    if (fstat(fd, &st) < 0)
        err = rbe_fail_errno(d, "%s", path);
    else if (!S_ISREG(st.st_mode) && !S_ISFIFO(st.st_mode) && !S_ISSOCK(st.st_mode) &&
             !isatty(fd))
        err = rbe_fail(d, RBE_ERR_IO, "%s: neither a regular file nor a pipe", path);
    else
        /* A byte more than the file has, so that one read sees its end. */
        err = read_all(fd, S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 65536, out, size,
                       path, d);
    close(fd);
    return err;
}

mode_t rbe_file_mode(mode_t mode)
{
    const mode_t mask = umask(0);

    umask(mask);
    return (mode & ~mask) | (mode & 0700);
}

/* Whether standard output or standard error go to this file. */
static bool is_standard(const struct stat *st)
{
    struct stat own;

    for (int fd = STDOUT_FILENO; fd <= STDERR_FILENO; fd++)
        if (!fstat(fd, &own) && own.st_dev == st->st_dev && own.st_ino == st->st_ino)
            return true;
    return false;
}

enum rbe_status rbe_outfile_open(struct rbe_outfile *o, const char *path, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    struct stat st, link;

    *o = (struct rbe_outfile){0};
    /* The rename would put a file in the place of a device, a pipe, or a folder. */
    if (!stat(path, &st)) {
        if (!S_ISREG(st.st_mode))
            return rbe_fail(d, RBE_ERR_IO, "%s: cannot write: not a regular file", path);
        /* What is printed would go on into a file that has no name any more. */
        if (is_standard(&st))
            return rbe_fail(d, RBE_ERR_IO, "%s: cannot write: this program prints there", path);
    }
    /* Of a link the file behind it is replaced. */
    o->path = !lstat(path, &link) && S_ISLNK(link.st_mode) ? realpath(path, NULL)
                                                            : strdup(path);
    if (!o->path)
        return errno == ENOMEM ? rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path)
                               : rbe_fail_errno(d, "%s: cannot write", path);
    const size_t n = strlen(path = o->path);
    o->tmp = malloc(n + 12);
    /* A name as long as names may be leaves no room behind it. */
    const size_t name = strlen(rbe_base_name(path)), cut = name + 10 > NAME_MAX ? 10 : 0;
    if (!o->tmp) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    snprintf(o->tmp, n + 12, "%.*s.tmpXXXXXX", (int)(n - (cut < name ? cut : 0)), path);
    const int fd = mkstemp(o->tmp);
    if (fd < 0) {
        free(o->tmp);
        o->tmp = NULL;
        err = rbe_fail_errno(d, "%s: cannot write", path);
        goto out;
    }
    /* mkstemp makes it private; a result file is as readable as any other. */
    if (fchmod(fd, rbe_file_mode(0666)) < 0 || !(o->f = fdopen(fd, "wb"))) {
        err = rbe_fail_errno(d, "%s: cannot write", path);
        close(fd);
    }
out:
    if (err)
        rbe_outfile_discard(o);
    return err;
}

enum rbe_status rbe_outfile_commit(struct rbe_outfile *o, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    const bool bad = fflush(o->f) || ferror(o->f) || (fsync(fileno(o->f)) && errno != EINVAL);

    if (bad)
        err = rbe_fail_errno(d, "%s: cannot write", o->path);
    if (fclose(o->f) && !err)
        err = rbe_fail_errno(d, "%s: cannot write", o->path);
    o->f = NULL;
    if (!err && rename(o->tmp, o->path) < 0)
        err = rbe_fail_errno(d, "%s: cannot write", o->path);
    if (!err) {
        free(o->tmp);
        o->tmp = NULL;
    }
    rbe_outfile_discard(o);
    return err;
}

void rbe_outfile_discard(struct rbe_outfile *o)
{
    if (o->f)
        fclose(o->f);
    if (o->tmp)
        unlink(o->tmp);
    free(o->tmp);
    free(o->path);
    *o = (struct rbe_outfile){0};
}

void rbe_remove_temporaries(const char *folder, const char *prefix)
{
    DIR *dir = opendir(folder);
    const struct dirent *e;

    while (dir && (e = readdir(dir))) {
        const bool ours = !strncmp(e->d_name, prefix, strlen(prefix)) &&
                          strstr(e->d_name, ".rbe.tmp");
        char *path = ours ? rbe_path_join(folder, e->d_name) : NULL;
        if (path)
            unlink(path);
        free(path);
    }
    if (dir)
        closedir(dir);
}

/* --- what is read, what is written ------------------------------------------------------ */

struct rbe_file_id {
    char *path;
    dev_t device, folder_device;
    ino_t inode, folder_inode;
    bool there, written;        /* known by its folder and name, too, where it is not there */
};

struct rbe_files_guard {
    char *path;
    dev_t device;
    ino_t inode;
    bool (*belongs)(const char *name);
};

static bool same_file(const struct rbe_file_id *a, const struct rbe_file_id *b)
{
    if (a->there && b->there)
        return a->device == b->device && a->inode == b->inode;
    /* One that is there by now may not have been when it was named. */
    return a->folder_inode && a->folder_device == b->folder_device &&
           a->folder_inode == b->folder_inode &&
           !strcmp(rbe_base_name(a->path), rbe_base_name(b->path));
}

static enum rbe_status add_file(struct rbe_files *f, const char *path, bool written,
                                struct rbe_diag *d)
{
    struct rbe_file_id id = {.written = written, .path = strdup(path)};
    struct rbe_file_id *grown = realloc(f->id, (f->count + 1) * sizeof *grown);
    enum rbe_status err = RBE_OK;
    char *folder = strdup(path);
    struct stat st;

    if (grown)
        f->id = grown;
    if (written && !*path) {
        err = rbe_fail(d, RBE_ERR_ARG, "'': cannot write: a file needs a name");
        goto out;
    }
    if (!grown || !folder || !id.path) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    if (!stat(path, &st)) {
        id.there = true;
        id.device = st.st_dev;
        id.inode = st.st_ino;
        if (written && S_ISDIR(st.st_mode)) {
            err = rbe_fail(d, RBE_ERR_IO, "%s: cannot write: not a regular file", path);
            goto out;
        }
        /* A device or pipe loses nothing, however often it is written to. */
        if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
            goto out;
    }
    folder[rbe_base_name(path) - path] = 0;
    if (!stat(*folder ? folder : ".", &st)) {
        id.folder_device = st.st_dev;
        id.folder_inode = st.st_ino;
    }
    for (size_t i = 0; written && i < f->count; i++)
        if (same_file(&f->id[i], &id)) {
            err = rbe_fail(d, RBE_ERR_ARG, "%s: cannot write: it is the same file as the %s %s",
                           path, f->id[i].written ? "output" : "input", f->id[i].path);
            goto out;
        }
    for (size_t i = 0; written && i < f->guard_count; i++) {
        const struct rbe_files_guard *g = &f->guards[i];
        if (id.folder_inode && g->device == id.folder_device &&
            g->inode == id.folder_inode && g->belongs(rbe_base_name(path))) {
            err = rbe_fail(d, RBE_ERR_ARG, "%s: cannot write: a file of this name would be "
                           "read as a part of the model in %s", path, g->path);
            goto out;
        }
    }
    f->id[f->count++] = id;
    id.path = NULL;
out:
    free(id.path);
    free(folder);
    return err;
}

enum rbe_status rbe_files_guard(struct rbe_files *f, const char *folder,
                                bool (*belongs)(const char *name), struct rbe_diag *d)
{
    struct rbe_files_guard g = {.belongs = belongs};
    struct stat st;

    if (stat(folder, &st))
        return RBE_OK;          /* nothing is written there either */
    g.device = st.st_dev;
    g.inode = st.st_ino;
    struct rbe_files_guard *grown = realloc(f->guards, (f->guard_count + 1) * sizeof *grown);
    if (grown)
        f->guards = grown;
    if (!grown || !(g.path = strdup(folder)))
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
    f->guards[f->guard_count++] = g;
    return RBE_OK;
}

enum rbe_status rbe_files_read(struct rbe_files *f, const char *path, struct rbe_diag *d)
{
    return path && !access(path, F_OK) ? add_file(f, path, false, d) : RBE_OK;
}

enum rbe_status rbe_files_append(struct rbe_files *f, const char *path, struct rbe_diag *d)
{
    return path ? add_file(f, path, true, d) : RBE_OK;
}

enum rbe_status rbe_files_replace(struct rbe_files *f, const char *path, struct rbe_diag *d)
{
    struct rbe_outfile o = {0};
    enum rbe_status err;

    if (!path || (err = add_file(f, path, true, d)))
        return path ? err : RBE_OK;
    err = rbe_outfile_open(&o, path, d);
    rbe_outfile_discard(&o);
    return err;
}

void rbe_files_free(struct rbe_files *f)
{
    for (size_t i = 0; i < f->count; i++)
        free(f->id[i].path);
    for (size_t i = 0; i < f->guard_count; i++)
        free(f->guards[i].path);
    free(f->id);
    free(f->guards);
    *f = (struct rbe_files){0};
}

void rbe_hold_standard(void)
{
    /* The wrong way round: reading the output, or writing the input, says EBADF as before.
     * The lowest free number is the closed one's. */
    for (int fd = 0; fd < 3; fd++)
        if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_RDONLY : O_WRONLY) != fd)
            return;
}

/* --- folders ---------------------------------------------------------------------------- */

enum rbe_status rbe_make_dirs(const char *path, struct rbe_diag *d)
{
    char *made;
    const enum rbe_status err = rbe_make_new_dirs(&made, path, d);

    free(made);
    return err;
}

enum rbe_status rbe_make_new_dirs(char **made, const char *path, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    struct stat st;
    char *p = strdup(path);

    *made = NULL;
    if (!p)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    for (char *s = p + 1; !err; s++) {
        const char c = *s;
        if (c != '/' && c != 0)
            continue;
        *s = 0;
        if (mkdir(p, 0777) < 0) {
            if (errno != EEXIST)
                err = rbe_fail_errno(d, "%s: cannot create", p);
        } else if (!*made && !(*made = strdup(p))) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        }
        *s = c;
        if (!c)
            break;
    }
    if (!err && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        err = rbe_fail(d, RBE_ERR_IO, "%s: not a folder", path);
    free(p);
    if (err)
        rbe_unmake_dirs(made, path);
    return err;
}

void rbe_unmake_dirs(char **made, const char *path)
{
    const size_t least = *made ? strlen(*made) : 0;
    char *p = least ? strdup(path) : NULL;

    for (size_t n = p ? strlen(p) : 0; n >= least && n; n--)
        if (!p[n] || p[n] == '/') {
            p[n] = 0;
            rmdir(p);
        }
    free(p);
    free(*made);
    *made = NULL;
}

char *rbe_path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir);
    char *s = malloc(n + strlen(name) + 2);

    if (s)
        sprintf(s, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
    return s;
}

char *rbe_path_name(const char *path)
{
    char *copy = strdup(path), *real = NULL;

    if (!copy)
        return NULL;
    for (size_t n = strlen(copy); n > 1 && copy[n - 1] == '/';)
        copy[--n] = 0;
    const char *name = rbe_base_name(copy);
    if (!strcmp(name, ".") || !strcmp(name, ".."))
        name = (real = realpath(copy, NULL)) ? rbe_base_name(real) : name;
    char *fresh = strdup(*name ? name : "/");
    free(real);
    free(copy);
    return fresh;
}

/* OpenSSL, which only a SHA-256 needs: it is several times as fast.  Devices have none. */
#ifndef RBE_NO_OPENSSL
#define RBE_LIBRARY_PREFIX(name) name
#define CALLS(CALL) CALL(OSSL_LIB_CTX_get0_global_default) CALL(EVP_Digest) CALL(EVP_sha256)
static struct { CALLS(RBE_LIBRARY_CALL) } openssl;
static bool has_openssl;

static void load_openssl(void)
{
    static const char *const names[] = {CALLS(RBE_LIBRARY_NAME)};

    has_openssl = rbe_library_open(&openssl, RBE_LIBRARY_FILE("libcrypto.so",
                                                              OPENSSL_SHLIB_VERSION),
                                   names, sizeof names / sizeof names[0]);
}

/* False: out of memory. */
static bool digest(unsigned char md[32], const void *bytes, size_t size)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load_openssl);
    if (!has_openssl) {
        rbe_sha256_plain(md, bytes, size);
        return true;
    }
    /* Without its context, for want of memory, OpenSSL 3 would go through NULL. */
    return openssl.OSSL_LIB_CTX_get0_global_default() &&
           openssl.EVP_Digest(bytes, size, md, NULL, openssl.EVP_sha256(), NULL);
}
#else
static bool digest(unsigned char md[32], const void *bytes, size_t size)
{
    rbe_sha256_plain(md, bytes, size);
    return true;
}
#endif

enum rbe_status rbe_sha256(char hex[65], const void *bytes, size_t size)
{
    unsigned char md[32];

    hex[0] = 0;
    if (!digest(md, bytes, size))
        return RBE_ERR_NOMEM;
    for (int i = 0; i < 32; i++)
        sprintf(hex + 2 * i, "%02x", md[i]);
    return RBE_OK;
}

enum rbe_status rbe_sha256_file(char hex[65], const char *path, struct rbe_diag *d)
{
    struct rbe_map m;
    enum rbe_status err;

    hex[0] = 0;
    if ((err = rbe_map_open(&m, path, d)))
        return err;
    if ((err = rbe_sha256(hex, m.bytes, m.size)))
        rbe_fail(d, err, "%s: out of memory for its SHA-256", path);
    rbe_map_close(&m);
    return err;
}
