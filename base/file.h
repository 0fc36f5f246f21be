/*
 * file.h - reading whole files, mapping them, and replacing them in one step.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BASE_FILE_H
#define RBE_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/types.h>

#include "base/status.h"

/* A file mapped read-only. */
struct rbe_map {
    const uint8_t *bytes;
    size_t size;
    uint64_t stamp;             /* another when the file is, or was written to */
};

/* An empty file maps to size 0.  Directories and missing files fail. */
enum rbe_status rbe_map_open(struct rbe_map *m, const char *path, struct rbe_diag *d);
void rbe_map_close(struct rbe_map *m);
/* These bytes of a mapped file need not stay in memory: who reads them again reads the file. */
void rbe_map_forget(const void *bytes, size_t size);

/* Reads all of path, a regular file or a pipe, into *out (malloc, NUL added past the end, the
 * caller frees). */
enum rbe_status rbe_read_file(char **out, size_t *size, const char *path, struct rbe_diag *d);

/* The names in a folder that end so, without their end, sorted, `between` between them, into
 * out; "" for no folder. */
void rbe_folder_names(char *out, size_t size, const char *folder, const char *ending,
                      const char *between);

/* What a new file or folder may be used for, by the process's umask; always by its owner, who
 * could not read his own results otherwise. */
mode_t rbe_file_mode(mode_t mode);

/*
 * A file being written beside `path`; it takes path's place only at commit, after every
 * byte was written and synced.  Write to `f` with stdio.  Only a regular file is replaced, of a
 * link the one behind it: RBE_ERR_IO for a device, a pipe, a folder, a link to nothing, and
 * where standard output or standard error go.
 */
struct rbe_outfile {
    FILE *f;
    char *path, *tmp;
};
enum rbe_status rbe_outfile_open(struct rbe_outfile *o, const char *path, struct rbe_diag *d);
enum rbe_status rbe_outfile_commit(struct rbe_outfile *o, struct rbe_diag *d);
/* Removes the temporary; harmless after commit or on a zeroed struct. */
void rbe_outfile_discard(struct rbe_outfile *o);
/* Removes what killed processes were writing to files *.rbe of this folder whose names begin
 * so: nobody may write there now. */
void rbe_remove_temporaries(const char *folder, const char *prefix);

/*
 * The files that a command reads, and will write: no output may be an input, or another output,
 * whatever they are called.  Compared are device and inode, so hard and symbolic links count.
 * A command names what it reads first, then what it writes, before any work is done.
 */
struct rbe_files {
    struct rbe_file_id *id;
    struct rbe_files_guard *guards;
    size_t count, guard_count;
};
/* Will be read.  NULL, and what is not there, is no input. */
enum rbe_status rbe_files_read(struct rbe_files *f, const char *path, struct rbe_diag *d);
/* No output goes by a name in this folder that `belongs`, whether such a file is there or not:
 * who reads the folder would take it for a part. */
enum rbe_status rbe_files_guard(struct rbe_files *f, const char *folder,
                                bool (*belongs)(const char *name), struct rbe_diag *d);
/* Will be appended to, or made by whoever opens it next; NULL is no output. */
enum rbe_status rbe_files_append(struct rbe_files *f, const char *path, struct rbe_diag *d);
/* Will be replaced by rbe_outfile_open(), which is tried; NULL is no output. */
enum rbe_status rbe_files_replace(struct rbe_files *f, const char *path, struct rbe_diag *d);
void rbe_files_free(struct rbe_files *f);

/* Where a standard descriptor is closed, the next file opened would get its number, and what
 * is printed would go into that file.  Takes closed ones up, so that using them fails. */
void rbe_hold_standard(void);

/* mkdir -p. */
enum rbe_status rbe_make_dirs(const char *path, struct rbe_diag *d);
/* The same; *made: the first folder that was not there before, fresh, or NULL. */
enum rbe_status rbe_make_new_dirs(char **made, const char *path, struct rbe_diag *d);
/* Removes `path` and those above it down to *made, as far as they are empty; frees *made, which
 * may be NULL. */
void rbe_unmake_dirs(char **made, const char *path);

/* What stands after the last '/'. */
const char *rbe_base_name(const char *path);

/* What a file or folder is called: the last part of its path, of the real one where that ends
 * in '.' or '..'.  Fresh string, or NULL when out of memory. */
char *rbe_path_name(const char *path);

/* "dir/name" in a fresh string, or NULL when out of memory. */
char *rbe_path_join(const char *dir, const char *name);

/* 64 hexadecimal digits and a NUL into hex; the empty string when it fails.
 * rbe_sha256() fails for want of memory only. */
enum rbe_status rbe_sha256_file(char hex[65], const char *path, struct rbe_diag *d);
enum rbe_status rbe_sha256(char hex[65], const void *bytes, size_t size)
    __attribute__((warn_unused_result));

#endif
