/*
 * text.h - the texts that are evaluated: checked, counted, cut as each protocol wants.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_EVAL_TEXT_H
#define RBE_EVAL_TEXT_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/utf8.h"
#include "base/text.h"

struct rbe_text {
    char *name;                 /* base name of the file, or "pipe" */
    char sha256[65];            /* of the file */
    size_t file_bytes;
    char *bytes;                /* NUL-terminated; as rbe_read_text() reads */
    size_t size;
    char *raw;                  /* the file as it is (P3), where that is not the same */
    size_t raw_size;
    struct rbe_text_marks marks;        /* what was taken out of it */
};

/*
 * Reads a text file, or a pipe.  Empty files, NUL bytes and invalid UTF-8 are errors that say
 * where.  A name ending in .jsonl is JSON lines, one object with a string "text" each: the
 * texts joined by newlines; a malformed line is an error with its number, a blank one nothing.
 */
enum rbe_status rbe_text_open(struct rbe_text *t, const char *path, struct rbe_diag *d);
void rbe_text_close(struct rbe_text *t);

/* record.text: name, sha256, bytes; of a text with carriage returns or a byte-order mark also
 * bom, crs, and read_as: "bytes" when raw is set, else "lines". */
int rbe_text_record(json_t *record, const struct rbe_text *t, bool raw);

/* Runs of non-white-space characters; white space as Unicode (and Python) has it. */
size_t rbe_count_words(const char *s, size_t size);
/* Fields of a split at runs of white space, an empty one at either end counted: what
 * lm-eval's wikitext task calls words. */
size_t rbe_count_fields(const char *s, size_t size);

/*
 * P1, P2: the lines of the file joined by two newlines, each line with the newline it ends
 * with, lines of white space only as the empty string (the rows of the raw WikiText data
 * set).  Fresh string in *out, NUL-terminated.
 */
enum rbe_status rbe_text_join_rows(const char *s, size_t size, char **out, size_t *out_size,
                                   struct rbe_diag *d);

/* P4: [begin, end) of each page; a page starts at a level-1 heading, ` = Title = `. */
struct rbe_text_page {
    size_t begin, end;
};
enum rbe_status rbe_text_pages(const char *s, size_t size, struct rbe_text_page **out,
                               size_t *count, struct rbe_diag *d);

/* P4: WikiText's tokenisation undone by the rules of lm-eval's wikitext task.  Fresh string
 * in *out. */
enum rbe_status rbe_text_detokenise(const char *s, size_t size, char **out, size_t *out_size,
                                    struct rbe_diag *d);

#endif
