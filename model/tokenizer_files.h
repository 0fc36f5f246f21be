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
#include "model/words.h"

/* A token whose text stands as it is; found in a text before that is cut into words. */
struct rbe_added {
    const char *content;        /* not empty */
    json_int_t id;
    bool special;               /* plain text unless special tokens are asked for */
    bool late;                  /* looked for between the others ("normalized") */
    bool idle;                  /* of no use: never found */
};

struct rbe_tokenizer_files {
    char *path;                 /* of the file with the vocabulary, for messages */
    char *merges_path, *added_path;     /* the same, or others */
    const json_t *vocab;        /* object: token in byte-level form -> id; values unchecked */
    const json_t *merges;       /* array, elements unchecked; NULL: */
    char *lines;                /* [lines_size] of merges.txt */
    size_t lines_size;
    bool listed;                /* lines are numbered merges, with no head or empty ones */
    const struct rbe_pattern *pattern;
    bool nfc;                   /* a text is brought to that form first */
    bool ignore_merges;         /* a word that is a token is that token */
    bool drops;                 /* bytes without a token are left out */
    json_int_t eos, bos;        /* -1: not said; for bos, none belongs before a text */
    const char *eos_text;       /* NULL: not said */
    struct rbe_added *added;
    size_t added_count;
    json_t *root, *added_root, *config_root;    /* what the pointers above point into */
    char *texts;
};

/*
 * From a GGUF file's metadata, or from a folder: tokenizer.json (Hugging Face) when it has one,
 * with the end of text that tokenizer_config.json names, else vocab.json or encoder.json,
 * merges.txt or vocab.bpe, and added_tokens.json if there is one.  What they ask for beyond
 * byte-level BPE with a pattern of model/patterns.def is refused by name.
 */
enum rbe_status rbe_tokenizer_files_read(struct rbe_tokenizer_files *f, const char *path,
                                         struct rbe_diag *d);
/* The part of it that reads a GGUF file (model/tokenizer_gguf.c); f is as if nothing had been
 * said. */
enum rbe_status rbe_tokenizer_gguf_read(struct rbe_tokenizer_files *f, const char *path,
                                        struct rbe_diag *d);
void rbe_tokenizer_files_free(struct rbe_tokenizer_files *f);

/* Is there a vocabulary in the folder?  1, 0, or -1 when memory has run out. */
int rbe_tokenizer_files_exist(const char *folder);
/* Is the file a GGUF file with a tokenizer, of any kind? */
bool rbe_tokenizer_gguf_has(const char *path);
/* Is this key of a GGUF file's metadata one of its tokenizer? */
bool rbe_tokenizer_is_key(const char *key);

#endif
