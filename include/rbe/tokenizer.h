/*
 * <rbe/tokenizer.h> - byte-level BPE, of GPT-2, SmolLM, Llama 3 and Qwen 2.
 *
 * SPDX-License-Identifier: MIT
 *
 * Read-only once open: several threads may use one at once.
 */
#ifndef RBE_INCLUDE_TOKENIZER_H
#define RBE_INCLUDE_TOKENIZER_H

#include <rbe/model.h>
#include <rbe/status.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rbe_tokenizer;

/*
 * From a GGUF file's metadata; or from a folder that holds tokenizer.json, or else vocab.json
 * or encoder.json, and merges.txt or vocab.bpe, with added_tokens.json if there is one.  What a
 * file asks for beyond byte-level BPE, cut as one of the models above does, is refused by name.
 */
enum rbe_status rbe_tokenizer_open(struct rbe_tokenizer **out, const char *path,
                                   struct rbe_diag *d);
/*
 * The one of a model: from `path` when given; else the GGUF file's own, or from the model's
 * folder or the folder that its file stands in; else the installed one that fits.
 * RBE_ERR_MISMATCH: it does not fit.
 */
enum rbe_status rbe_tokenizer_for(struct rbe_tokenizer **out, const struct rbe_model *m,
                                  const char *path, struct rbe_diag *d);
void rbe_tokenizer_close(struct rbe_tokenizer **t);

/* Ids are below this, added tokens among them. */
uint32_t rbe_tokenizer_vocab(const struct rbe_tokenizer *t);
uint32_t rbe_tokenizer_eos(const struct rbe_tokenizer *t);
/* The token that by the files belongs before every text, which rbe_tokenizer_encode() leaves to
 * the caller; false when there is none. */
bool rbe_tokenizer_begin(const struct rbe_tokenizer *t, uint32_t *id);

/* Ids of the text in a fresh array (*ids, the caller frees).  Invalid UTF-8 is an error that
 * names the byte offset.  "<|endoftext|>" in the text, and what else is special among the added
 * tokens, is that token only when `special` is set; added tokens that are not special are
 * always found. */
enum rbe_status rbe_tokenizer_encode(const struct rbe_tokenizer *t, const char *text,
                                     size_t size, bool special, uint32_t **ids, size_t *count,
                                     struct rbe_diag *d);

/* The bytes of one token (not NUL-terminated; may be part of a character); NULL when id is
 * not in the vocabulary. */
const char *rbe_tokenizer_bytes(const struct rbe_tokenizer *t, uint32_t id, size_t *size);

/* The text of ids in a fresh string, NUL-terminated, as valid UTF-8: what is not, such as a
 * character cut by the last token, becomes U+FFFD.  *size may be NULL.  NULL when out of
 * memory or when an id is not in the vocabulary. */
char *rbe_tokenizer_text(const struct rbe_tokenizer *t, const uint32_t *ids, size_t count,
                         size_t *size);

#endif
