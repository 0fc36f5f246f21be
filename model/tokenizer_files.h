/*
 * tokenizer_files.h - the files of a tokenizer, read into one form.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_TOKENIZER_FILES_H
#define RBE_MODEL_TOKENIZER_FILES_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>

#include "base/status.h"

/* A token that is found in the text before it is cut into words. */
struct rbe_added {
    const char *content;        /* not empty */
    json_int_t id;
    bool special;               /* plain text unless special tokens are asked for */
    bool late;                  /* looked for between the others ("normalized") */
};

struct rbe_tokenizer_files {
    char *path;                 /* of the file with the vocabulary, for messages */
    char *merges_path, *added_path;     /* the same, or others */
    const json_t *vocab;        /* object: token in byte-level form -> id; values unchecked */
    const json_t *merges;       /* array, elements unchecked; NULL: */
    char *lines;                /* [lines_size] of merges.txt */
    size_t lines_size;
    struct rbe_added *added;
    size_t added_count;
    json_t *root, *added_root;  /* what the pointers above point into */
};

/*
 * From tokenizer.json (Hugging Face) when the folder has one, else from vocab.json or
 * encoder.json, merges.txt or vocab.bpe, and added_tokens.json if there is one.  What a
 * tokenizer.json asks for beyond GPT-2's byte-level BPE is refused by name.
 */
enum rbe_status rbe_tokenizer_files_read(struct rbe_tokenizer_files *f, const char *folder,
                                         struct rbe_diag *d);
void rbe_tokenizer_files_free(struct rbe_tokenizer_files *f);

/* Is there a vocabulary in the folder?  1, 0, or -1 when memory has run out. */
int rbe_tokenizer_files_exist(const char *folder);

#endif
