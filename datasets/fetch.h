/*
 * fetch.h - the list of data files and getting them from their homes or from a mirror.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_DATASETS_FETCH_H
#define RBE_DATASETS_FETCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

/* One line of MANIFEST. */
struct rbe_dataset {
    const char *name;           /* path in the data folder and below a mirror */
    uint64_t bytes;
    const char *sha256;         /* 64 digits, or NULL when none is known */
    const char *licence;
    const char *embedded;       /* path below datasets/ of what ships, or NULL */
    const char *url;            /* NULL: comes from a mirror only */
    const char *member;         /* of the zip archive at url, or NULL */
};

struct rbe_manifest;

/* Reads and checks a MANIFEST; a fault names file and line. */
enum rbe_status rbe_manifest_open(struct rbe_manifest **out, const char *path,
                                  struct rbe_diag *d);
void rbe_manifest_close(struct rbe_manifest **m);
size_t rbe_manifest_count(const struct rbe_manifest *m);
const struct rbe_dataset *rbe_manifest_at(const struct rbe_manifest *m, size_t i);

/* Is to/name there with the right size and checksum? */
bool rbe_dataset_present(const struct rbe_dataset *s, const char *to);

/*
 * Brings s to the folder `to`, from `mirror` (a folder or a URL under which the file has its
 * name) or, when that is NULL, from its home.  Bytes arrive in NAME.part, which a later call
 * resumes; the file takes its name only when size and checksum are right, and a wrong one is
 * removed.  Shows progress; ends early on rbe_interrupted().
 */
enum rbe_status rbe_dataset_fetch(const struct rbe_dataset *s, const char *mirror,
                                  const char *to, struct rbe_diag *d);

#endif
