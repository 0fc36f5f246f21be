/*
 * archive.h - checkpoints: the same calls write a state and read it back.
 *
 * SPDX-License-Identifier: MIT
 *
 * A magic word, the bytes in the order of the calls, and their XXH3 checksum.  Written by
 * rename.  Numbers are the machine's own: a checkpoint goes on where it was made.
 */
#ifndef RBE_TRAIN_ARCHIVE_H
#define RBE_TRAIN_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

struct rbe_archive;

/* reading: path must be such a file.  Else it is written beside path, and takes its place at
 * rbe_archive_close() with commit. */
enum rbe_status rbe_archive_open(struct rbe_archive **out, const char *path, bool reading,
                                 struct rbe_diag *d);
/* Before a path is written: RBE_ERR_ARG when something is there that does not begin as such a
 * file, which would be lost.  A damaged checkpoint is one. */
enum rbe_status rbe_archive_replaceable(const char *path, struct rbe_diag *d);
bool rbe_archive_reading(const struct rbe_archive *a);

/* Writes size bytes from data, or reads them into it. */
enum rbe_status rbe_archive_bytes(struct rbe_archive *a, void *data, size_t size,
                                  struct rbe_diag *d);

/*
 * Writing: the checksum, then the rename.  Reading: RBE_ERR_FORMAT when the checksum is
 * another or bytes are left.  commit false: gives up, *a closed all the same.
 */
enum rbe_status rbe_archive_close(struct rbe_archive **a, bool commit, struct rbe_diag *d);

#endif
