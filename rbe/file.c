/*
 * file.c - reading whole files, mapping them, and replacing them in one step.
 *
 * SPDX-License-Identifier: MIT
 */
#include "rbe/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum rbe_status rbe_map_open(struct rbe_map *m, const char *path, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    struct stat st;
    void *p = NULL;

    *m = (struct rbe_map){0};
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
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

enum rbe_status rbe_read_file(char **out, size_t *size, const char *path, struct rbe_diag *d)
{
    struct rbe_map m;
    enum rbe_status err;

    *out = NULL;
    *size = 0;
    if ((err = rbe_map_open(&m, path, d)))
        return err;
    char *s = malloc(m.size + 1);
    if (!s) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    } else {
        if (m.size)
            memcpy(s, m.bytes, m.size);
        s[m.size] = 0;
        *out = s;
        *size = m.size;
    }
    rbe_map_close(&m);
    return err;
}

enum rbe_status rbe_outfile_open(struct rbe_outfile *o, const char *path, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    const size_t n = strlen(path);
    struct stat st;

    *o = (struct rbe_outfile){0};
    /* The rename would put a file in the place of a device, a pipe, or a folder. */
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        return rbe_fail(d, RBE_ERR_IO, "%s: cannot write: not a regular file", path);
    o->path = strdup(path);
    o->tmp = malloc(n + 12);
    if (!o->path || !o->tmp) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    snprintf(o->tmp, n + 12, "%s.tmpXXXXXX", path);
    const int fd = mkstemp(o->tmp);
    if (fd < 0) {
        free(o->tmp);
        o->tmp = NULL;
        err = rbe_fail_errno(d, "%s: cannot write", path);
        goto out;
    }
    /* mkstemp makes it private; a result file is as readable as any other. */
    const mode_t mask = umask(0);
    umask(mask);
    if (fchmod(fd, 0666 & ~mask) < 0 || !(o->f = fdopen(fd, "wb"))) {
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

enum rbe_status rbe_make_dirs(const char *path, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    struct stat st;
    char *p = strdup(path);

    if (!p)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
    for (char *s = p + 1; !err; s++) {
        const char c = *s;
        if (c != '/' && c != 0)
            continue;
        *s = 0;
        if (mkdir(p, 0777) < 0 && errno != EEXIST)
            err = rbe_fail_errno(d, "%s: cannot create", p);
        *s = c;
        if (!c)
            break;
    }
    if (!err && (stat(path, &st) < 0 || !S_ISDIR(st.st_mode)))
        err = rbe_fail(d, RBE_ERR_IO, "%s: not a folder", path);
    free(p);
    return err;
}

char *rbe_path_join(const char *dir, const char *name)
{
    const size_t n = strlen(dir);
    char *s = malloc(n + strlen(name) + 2);

    if (s)
        sprintf(s, "%s%s%s", dir, n && dir[n - 1] == '/' ? "" : "/", name);
    return s;
}

enum rbe_status rbe_sha256(char hex[65], const void *bytes, size_t size)
{
    unsigned char md[32];

    hex[0] = 0;
    /* Without its context, for want of memory, OpenSSL 3 would go through NULL. */
    if (!OSSL_LIB_CTX_get0_global_default() ||
        !EVP_Digest(bytes, size, md, NULL, EVP_sha256(), NULL))
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
    if (rbe_sha256(hex, m.bytes, m.size))
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory for its SHA-256", path);
    rbe_map_close(&m);
    return err;
}
