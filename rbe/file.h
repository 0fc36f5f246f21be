/*
 * file.h - reading whole files, mapping them, and replacing them in one step.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_RBE_FILE_H
#define RBE_RBE_FILE_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "rbe/status.h"

/* A file mapped read-only. */
struct rbe_map {
    const uint8_t *bytes;
    size_t size;
};

/* An empty file maps to size 0.  Directories and missing files fail. */
enum rbe_status rbe_map_open(struct rbe_map *m, const char *path, struct rbe_diag *d);
void rbe_map_close(struct rbe_map *m);

/* Reads all of path into *out (malloc, NUL added past the end, the caller frees). */
enum rbe_status rbe_read_file(char **out, size_t *size, const char *path, struct rbe_diag *d);

/*
 * A file being written beside `path`; it takes path's place only at commit, after every
 * byte was written and synced.  Write to `f` with stdio.  Only a regular file is replaced:
 * RBE_ERR_IO for a device, a pipe, a folder.
 */
struct rbe_outfile {
    FILE *f;
    char *path, *tmp;
};
enum rbe_status rbe_outfile_open(struct rbe_outfile *o, const char *path, struct rbe_diag *d);
enum rbe_status rbe_outfile_commit(struct rbe_outfile *o, struct rbe_diag *d);
/* Removes the temporary; harmless after commit or on a zeroed struct. */
void rbe_outfile_discard(struct rbe_outfile *o);

/* mkdir -p. */
enum rbe_status rbe_make_dirs(const char *path, struct rbe_diag *d);

/* "dir/name" in a fresh string, or NULL when out of memory. */
char *rbe_path_join(const char *dir, const char *name);

/* 64 hexadecimal digits and a NUL into hex; the empty string when it fails.
 * rbe_sha256() fails for want of memory only. */
enum rbe_status rbe_sha256_file(char hex[65], const char *path, struct rbe_diag *d);
enum rbe_status rbe_sha256(char hex[65], const void *bytes, size_t size);

#endif
