/*
 * journal.c - an append-only file of records with checksums.
 *
 * SPDX-License-Identifier: MIT
 *
 * The file begins with eight bytes, then come records: a head, its text.  Each head says up to
 * where the file had been synced before its batch was written.  So a record that is whole
 * behind one that is not tells a torn batch, whose parts reached the disk in any order, from
 * damage.
 */
#include "deploy/serve/journal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <unistd.h>
#include <xxhash.h>

#include "base/file.h"

static const char first_bytes[8] = "RBEJRNL1";
enum { MAGIC = 0x4A424552, HELD_MOST = 64 << 10 };

struct head {
    uint32_t magic, type, size, zero;
    uint64_t safe;              /* bytes of the file that were synced before */
    uint64_t hash;              /* of the fields above and the text */
};

struct rbe_journal {
    char *folder, *path;
    int lock, fd;
    uint64_t size;              /* of the file, whole records */
    bool broken;                /* a sync failed */
    char *held;                 /* records that wait for the next sync */
    size_t held_size;
};

static uint64_t hash_of(const struct head *h, const char *text)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    if (h->hash)                /* a fuzzer cannot make them match */
        return h->hash;
#endif
    return XXH3_64bits_withSeed(text, h->size, XXH3_64bits(h, offsetof(struct head, hash)));
}

/* The record at `at` of bytes [size], or false. */
static bool whole(struct head *h, const uint8_t *bytes, size_t size, size_t at)
{
    if (size - at < sizeof *h)
        return false;
    memcpy(h, bytes + at, sizeof *h);
    return h->magic == MAGIC && h->size <= RBE_JOURNAL_RECORD_MAX &&
           h->size <= size - at - sizeof *h &&
           h->hash == hash_of(h, (const char *)bytes + at + sizeof *h);
}

/* Whether what is not whole at `at` had been synced. */
static bool was_synced(const uint8_t *bytes, size_t size, size_t at)
{
    struct head h;

    for (size_t i = at + 1; i + sizeof h <= size; i++)
        if (whole(&h, bytes, size, i) && h.safe > at)
            return true;
    return false;
}

static enum rbe_status sync_folder(const char *folder, struct rbe_diag *d)
{
    const int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    enum rbe_status err = RBE_OK;

    if (fd < 0 || fsync(fd))
        err = rbe_fail_errno(d, "%s", folder);
    if (fd >= 0)
        close(fd);
    return err;
}

/* pwrite() of all. */
static bool put(int fd, const void *bytes, size_t size, uint64_t at)
{
    const char *b = bytes;

    while (size) {
        const ssize_t n = pwrite(fd, b, size, (off_t)at);
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0) {
            errno = n ? errno : ENOSPC;
            return false;
        }
        b += n;
        at += (uint64_t)n;
        size -= (size_t)n;
    }
    return true;
}

/* Reads what is there, and takes off what is torn. */
static enum rbe_status replay(struct rbe_journal *j, rbe_journal_fn *fn, void *arg,
                              struct rbe_diag *d)
{
    struct rbe_map m;
    enum rbe_status err = rbe_map_open(&m, j->path, d);
    struct head h;
    char *text = NULL;

    if (err)
        return err;
    size_t at = m.size < sizeof first_bytes ? m.size : sizeof first_bytes;
    if (memcmp(m.bytes ? (const char *)m.bytes : "", first_bytes, at)) {
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: not a journal", j->path);
        goto out;
    }
    for (; whole(&h, m.bytes, m.size, at); at += sizeof h + h.size) {
        char *grown = realloc(text, (size_t)h.size + 1);
        if (!grown) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", j->path);
            goto out;
        }
        text = grown;
        memcpy(text, m.bytes + at + sizeof h, h.size);
        text[h.size] = 0;
        if ((err = fn(arg, (char)h.type, text, h.size, d)))
            goto out;
    }
    if (at < m.size && was_synced(m.bytes, m.size, at)) {
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: damaged at byte %zu, with records behind it",
                       j->path, at);
        goto out;
    }
    j->size = at;
    if (at < sizeof first_bytes) {      /* new, or torn as it was made */
        if (!put(j->fd, first_bytes, sizeof first_bytes, 0))
            err = rbe_fail_errno(d, "%s", j->path);
        j->size = sizeof first_bytes;
    }
    if (!err && (ftruncate(j->fd, (off_t)j->size) || fsync(j->fd)))
        err = rbe_fail_errno(d, "%s", j->path);
    if (!err)
        err = sync_folder(j->folder, d);
out:
    free(text);
    rbe_map_close(&m);
    return err;
}

enum rbe_status rbe_journal_open(struct rbe_journal **out, const char *folder,
                                 rbe_journal_fn *fn, void *arg, struct rbe_diag *d)
{
    struct rbe_journal *j = calloc(1, sizeof *j);
    char *lock = rbe_path_join(folder, "lock");
    enum rbe_status err;

    *out = NULL;
    if (j)
        j->fd = j->lock = -1;
    if (!j || !lock || !(j->folder = strdup(folder)) ||
        !(j->path = rbe_path_join(folder, "journal"))) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", folder);
        goto out;
    }
    if ((err = rbe_make_dirs(folder, d)))
        goto out;
    /* What is asked is nobody else's to read. */
    if ((j->lock = open(lock, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0) {
        err = rbe_fail_errno(d, "%s", lock);
        goto out;
    }
    if (flock(j->lock, LOCK_EX | LOCK_NB)) {
        err = errno == EWOULDBLOCK
                  ? rbe_fail(d, RBE_ERR_MISMATCH, "%s: another process uses it", folder)
                  : rbe_fail_errno(d, "%s", lock);
        goto out;
    }
    if ((j->fd = open(j->path, O_RDWR | O_CREAT | O_CLOEXEC, 0600)) < 0)
        err = rbe_fail_errno(d, "%s", j->path);
    else
        err = replay(j, fn, arg, d);
out:
    free(lock);
    if (err)
        rbe_journal_close(&j);
    *out = j;
    return err;
}

/* Writes what waits. */
static enum rbe_status write_held(struct rbe_journal *j, struct rbe_diag *d)
{
    if (j->broken)
        return rbe_fail(d, RBE_ERR_IO, "%s: the disk failed before", j->path);
    if (!j->held_size)
        return RBE_OK;
    if (!put(j->fd, j->held, j->held_size, j->size)) {
        const enum rbe_status err = rbe_fail_errno(d, "%s", j->path);
        j->broken = ftruncate(j->fd, (off_t)j->size) != 0;
        return err;
    }
    if (fdatasync(j->fd)) {
        j->broken = true;
        return rbe_fail_errno(d, "%s", j->path);
    }
    j->size += j->held_size;
    j->held_size = 0;
    return RBE_OK;
}

void rbe_journal_close(struct rbe_journal **pp)
{
    struct rbe_journal *j = *pp;

    if (!j)
        return;
    if (j->fd >= 0) {
        write_held(j, NULL);
        close(j->fd);
    }
    if (j->lock >= 0)
        close(j->lock);
    free(j->held);
    free(j->folder);
    free(j->path);
    free(j);
    *pp = NULL;
}

/* A head and its text at the end of *buffer. */
static bool hold(char **buffer, size_t *held, char type, const char *text, size_t size,
                 uint64_t safe)
{
    struct head h = {.magic = MAGIC, .type = (unsigned char)type, .size = (uint32_t)size,
                     .safe = safe};
    char *grown = realloc(*buffer, *held + sizeof h + size);

    if (!grown)
        return false;
    h.hash = hash_of(&h, text);
    memcpy(grown + *held, &h, sizeof h);
    if (size)
        memcpy(grown + *held + sizeof h, text, size);
    *buffer = grown;
    *held += sizeof h + size;
    return true;
}

enum rbe_status rbe_journal_append(struct rbe_journal *j, char type, const char *text,
                                   size_t size, bool sync, struct rbe_diag *d)
{
    const size_t before = j->held_size;
    enum rbe_status err;

    if (j->broken)
        return rbe_fail(d, RBE_ERR_IO, "%s: the disk failed before", j->path);
    if (size > RBE_JOURNAL_RECORD_MAX)
        return rbe_fail(d, RBE_ERR_LIMIT, "%s: a record of %zu bytes", j->path, size);
    if (!hold(&j->held, &j->held_size, type, text, size, j->size))
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", j->path);
    if (!sync && j->held_size < HELD_MOST)
        return RBE_OK;
    /* What could wait may go on waiting. */
    if ((err = write_held(j, d)))
        j->held_size = before;
    return err;
}

uint64_t rbe_journal_bytes(const struct rbe_journal *j)
{
    return j->size + j->held_size;
}

enum rbe_status rbe_journal_rewrite(struct rbe_journal *j, rbe_journal_next_fn *next, void *arg,
                                    struct rbe_diag *d)
{
    char *tmp = rbe_path_join(j->folder, "journal.new"), *buffer = NULL;
    enum rbe_status err = RBE_OK;
    uint64_t at = sizeof first_bytes;
    size_t held = 0, size;
    const char *text;
    char type;
    int fd = -1;

    if (!tmp)
        return rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", j->path);
    errno = EIO;
    /* Never written in place: what a crash left of an earlier one is begun anew. */
    if (j->broken || (unlink(tmp) && errno != ENOENT) ||
        (fd = open(tmp, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600)) < 0 ||
        !put(fd, first_bytes, sizeof first_bytes, 0))
        goto io;
    for (bool more = true; more;) {
        if ((more = next(arg, &type, &text, &size)) &&
            !hold(&buffer, &held, type, text, size, 0)) {
            err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", tmp);
            goto out;
        }
        if (held >= HELD_MOST || !more) {
            if (!put(fd, buffer, held, at))
                goto io;
            at += held;
            held = 0;
        }
    }
    if (fsync(fd) || rename(tmp, j->path))
        goto io;
    close(j->fd);
    j->fd = fd;
    j->size = at;
    j->held_size = 0;           /* next() gave what waited, too */
    fd = -1;
    /* Until the folder knows the new name, the disk may still have the old file. */
    j->broken = sync_folder(j->folder, d) != RBE_OK;
    err = j->broken ? RBE_ERR_IO : RBE_OK;
    goto out;
io:
    err = rbe_fail_errno(d, "%s", tmp);
out:
    if (fd >= 0) {
        close(fd);
        unlink(tmp);
    }
    free(buffer);
    free(tmp);
    return err;
}
