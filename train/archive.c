/*
 * archive.c - a checksummed stream of bytes, either way.
 *
 * SPDX-License-Identifier: MIT
 */
#include "train/archive.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

#include "base/file.h"

static const char magic[8] = "RBETUNE1";

/* A fuzzer cannot make checksums match: its build takes any, and reaches what stands behind. */
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
#define CHECKSUMS_COUNT 0
#else
#define CHECKSUMS_COUNT 1
#endif

struct rbe_archive {
    FILE *in;
    struct rbe_outfile out;
    XXH3_state_t *sum;
    char *path;
    bool reading;
};

static enum rbe_status short_file(const struct rbe_archive *a, struct rbe_diag *d)
{
    if (ferror(a->in))
        return rbe_fail_errno(d, "%s", a->path);
    return rbe_fail(d, RBE_ERR_FORMAT, "%s: ends too early: not a whole checkpoint", a->path);
}

enum rbe_status rbe_archive_bytes(struct rbe_archive *a, void *data, size_t size,
                                  struct rbe_diag *d)
{
    if (!size)
        return RBE_OK;
    if (a->reading) {
        if (fread(data, 1, size, a->in) != size)
            return short_file(a, d);
    } else if (fwrite(data, 1, size, a->out.f) != size) {
        return rbe_fail_errno(d, "%s", a->path);
    }
    XXH3_64bits_update(a->sum, data, size);
    return RBE_OK;
}

enum rbe_status rbe_archive_open(struct rbe_archive **out, const char *path, bool reading,
                                 struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char head[sizeof magic];

    *out = NULL;
    struct rbe_archive *a = calloc(1, sizeof *a);
    if (!a || !(a->path = strdup(path)) || !(a->sum = XXH3_createState())) {
        err = rbe_fail(d, RBE_ERR_NOMEM, "%s: out of memory", path);
        goto out;
    }
    a->reading = reading;
    XXH3_64bits_reset(a->sum);
    if (reading)
        err = (a->in = fopen(path, "rb")) ? RBE_OK : rbe_fail_errno(d, "%s", path);
    else
        err = rbe_outfile_open(&a->out, path, d);
    if (err)
        goto out;
    memcpy(head, magic, sizeof head);
    err = rbe_archive_bytes(a, head, sizeof head, d);
    if (!err && memcmp(head, magic, sizeof head) != 0)
        err = rbe_fail(d, RBE_ERR_FORMAT, "%s: not a checkpoint of rbe tune", path);
out:
    if (err)
        rbe_archive_close(&a, false, NULL);
    *out = a;
    return err;
}

enum rbe_status rbe_archive_replaceable(const char *path, struct rbe_diag *d)
{
    char head[sizeof magic];
    struct stat st;

    if (stat(path, &st))
        return errno == ENOENT ? RBE_OK : rbe_fail_errno(d, "%s", path);
    /* Opening a pipe would wait. */
    FILE *f = S_ISREG(st.st_mode) ? fopen(path, "rb") : NULL;
    if (S_ISREG(st.st_mode) && !f)
        return rbe_fail_errno(d, "%s", path);
    const bool ours = f && fread(head, sizeof head, 1, f) == 1 &&
                      !memcmp(head, magic, sizeof head);
    if (f)
        fclose(f);
    return ours ? RBE_OK : rbe_fail(d, RBE_ERR_ARG, "%s: exists and is not a checkpoint of rbe "
                                    "tune", path);
}

bool rbe_archive_reading(const struct rbe_archive *a)
{
    return a->reading;
}

static enum rbe_status finish(struct rbe_archive *a, struct rbe_diag *d)
{
    uint64_t sum = XXH3_64bits_digest(a->sum), stored = sum;

    if (!a->reading) {
        if (fwrite(&sum, 1, sizeof sum, a->out.f) != sizeof sum)
            return rbe_fail_errno(d, "%s", a->path);
        return rbe_outfile_commit(&a->out, d);
    }
    if (fread(&stored, 1, sizeof stored, a->in) != sizeof stored)
        return short_file(a, d);
    if (CHECKSUMS_COUNT && stored != sum)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: damaged: its checksum is another", a->path);
    if (getc(a->in) != EOF)
        return rbe_fail(d, RBE_ERR_FORMAT, "%s: bytes are left after its end", a->path);
    return RBE_OK;
}

enum rbe_status rbe_archive_close(struct rbe_archive **pa, bool commit, struct rbe_diag *d)
{
    struct rbe_archive *a = *pa;
    enum rbe_status err = RBE_OK;

    if (!a)
        return RBE_OK;
    if (commit)
        err = finish(a, d);
    if (a->in)
        fclose(a->in);
    rbe_outfile_discard(&a->out);
    XXH3_freeState(a->sum);
    free(a->path);
    free(a);
    *pa = NULL;
    return err;
}
