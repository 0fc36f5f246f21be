/*
 * journal.h - records that outlive the process: appended, synced, read again.
 *
 * SPDX-License-Identifier: MIT
 *
 * A folder with the files `journal` and `lock`; one process at a time uses it.  What
 * rbe_journal_append() has written with `sync` is there after any crash.  What a crash left
 * half written is taken off at the next open; damage to what had been synced is an error, for
 * accepted requests would be missing.
 */
#ifndef RBE_DEPLOY_SERVE_JOURNAL_H
#define RBE_DEPLOY_SERVE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct rbe_journal;

enum { RBE_JOURNAL_RECORD_MAX = 64 << 20 };    /* bytes of one record's text */

/* Gets every record in order; text is NUL-terminated. */
typedef enum rbe_status rbe_journal_fn(void *arg, char type, const char *text, size_t size,
                                       struct rbe_diag *d);

/* Makes the folder where it is missing.  RBE_ERR_MISMATCH: another process uses it;
 * RBE_ERR_FORMAT: damaged, or no journal. */
enum rbe_status rbe_journal_open(struct rbe_journal **out, const char *folder,
                                 rbe_journal_fn *fn, void *arg, struct rbe_diag *d);
void rbe_journal_close(struct rbe_journal **j);

/*
 * One more record; with `sync` it, and all before it, are on the disk when this returns.
 * Without, it may wait in memory for the next that is synced.  When it fails the record is not
 * in the journal; after a failed sync, where nobody knows what the disk has, every later call
 * fails too.
 */
enum rbe_status rbe_journal_append(struct rbe_journal *j, char type, const char *text,
                                   size_t size, bool sync, struct rbe_diag *d);

/* Bytes of the file. */
uint64_t rbe_journal_bytes(const struct rbe_journal *j);

/* Puts the records that `next` gives in the place of all there are, in one step; next returns
 * false at the end.  When it fails the old ones stand. */
typedef bool rbe_journal_next_fn(void *arg, char *type, const char **text, size_t *size);
enum rbe_status rbe_journal_rewrite(struct rbe_journal *j, rbe_journal_next_fn *next, void *arg,
                                    struct rbe_diag *d);

#endif
