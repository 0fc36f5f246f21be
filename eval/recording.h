/*
 * recording.h - the original's predictions in a file, so that it need not run again.
 *
 * SPDX-License-Identifier: MIT
 *
 * A file is a header of RBE_RECORDING_HEAD bytes, one JSON object and spaces up to a newline,
 * and a row for every scored token: log p of every word of the vocabulary, [vocab], IEEE half
 * precision, little-endian, and 8 bytes, the XXH3 of these whose seed is the row's number, from
 * 0.  Half precision moves a log p by at most 2^-11 of itself: a
 * divergence from a recording is not bit-equal to a direct one, and its row says so.
 */
#ifndef RBE_EVAL_RECORDING_H
#define RBE_EVAL_RECORDING_H

#include <stdbool.h>
#include <stddef.h>

#include "base/file.h"
#include "base/status.h"
#include "eval/runner.h"
#include "eval/text.h"
#include "eval/windows.h"

enum { RBE_RECORDING_HEAD = 1024 };

struct rbe_recording {
    bool writing;
    struct rbe_outfile out;     /* writing */
    FILE *in;                   /* reading */
    char *path;
    uint16_t *row;              /* [vocab] */
    size_t vocab;
    size_t rows;                /* done */
};

/* A fresh file for the first `windows` windows of base; it takes its name at commit. */
enum rbe_status rbe_recording_create(struct rbe_recording **out, const char *path,
                                     struct rbe_runner *base, const struct rbe_text *text,
                                     const struct rbe_windows *w, size_t windows,
                                     struct rbe_diag *d);
enum rbe_status rbe_recording_commit(struct rbe_recording *r, struct rbe_diag *d);

/* RBE_ERR_MISMATCH: of another model, text, protocol or context, or fewer windows than
 * wanted, or of an older format; RBE_ERR_FORMAT: no recording, or cut off. */
enum rbe_status rbe_recording_open(struct rbe_recording **out, const char *path,
                                   struct rbe_runner *base, const struct rbe_text *text,
                                   const struct rbe_windows *w, size_t windows,
                                   struct rbe_diag *d);
/* Removes an uncommitted file. */
void rbe_recording_close(struct rbe_recording **r);

/* Writes, or fills, the next count rows of logits [count][vocab]; read ones are log p.
 * RBE_ERR_FORMAT: cut off, or a row's checksum is another. */
enum rbe_status rbe_recording_rows(struct rbe_recording *r, float *logits, size_t count,
                                   struct rbe_diag *d);

#endif
