/*
 * <rbe/model.h> - a GPT-2 or Llama that runs from a checkpoint, a GGUF file or an RBE model.
 *
 * SPDX-License-Identifier: MIT
 *
 * A model is read-only and may be shared, also between threads; a session holds the KV cache
 * and every buffer a forward pass needs, sized once at open: nothing is allocated per token.
 */
#ifndef RBE_INCLUDE_MODEL_H
#define RBE_INCLUDE_MODEL_H

#include <rbe/status.h>
#include <rbe/threads.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rbe_model;

/*
 * path: a folder with config.json and model.safetensors, or with model.safetensors.index.json
 * and its shards (F32, F16, BF16 or F64; names with or without "transformer.", weights
 * [in][out] as OpenAI wrote them), or such a file with config.json beside it, or an RBE
 * container (config inside), or a GGUF file.  A plain checkpoint is held as f32.  The checksums of a
 * container's codes are compared when the first tokens go through.
 */
enum rbe_status rbe_model_open(struct rbe_model **out, const char *path, struct rbe_diag *d);
void rbe_model_close(struct rbe_model **m);

/* Rows of the embedding, positions, and the token that ends a text. */
uint32_t rbe_model_vocab(const struct rbe_model *m);
uint32_t rbe_model_context(const struct rbe_model *m);
uint32_t rbe_model_eos(const struct rbe_model *m);
/* The file the weights came from, its size, and whether it is an RBE container. */
const char *rbe_model_path(const struct rbe_model *m);
size_t rbe_model_file_bytes(const struct rbe_model *m);
bool rbe_model_is_rbe(const struct rbe_model *m);
/* Bytes of weights read for one decoded token: what memory bandwidth limits. */
size_t rbe_model_bytes_per_token(const struct rbe_model *m);

struct rbe_session;

/* What the KV cache holds: f32, f16 (half the bytes; values beyond 65504 become infinite), or
 * int8, a byte times a scale of each head's vector (a little more than a quarter). */
enum rbe_kv_cache {
    RBE_KV_DEFAULT = 0,         /* int8 for RBE models, f32 for plain checkpoints */
    RBE_KV_F32,
    RBE_KV_F16,
    RBE_KV_INT8,
};

struct rbe_session_limits {
    uint32_t max_tokens;        /* KV cache positions, 1..n_ctx; 0 = n_ctx */
    uint32_t max_batch;         /* tokens a call of prefill takes at once; 0 = 64 for RBE models
                                 * (or max_logits), 512 for plain ones */
    uint32_t max_logits;        /* rows rbe_logits() fills at once; 0 = 1 */
    enum rbe_kv_cache kv_cache;
};

/* Bytes rbe_session_open() will allocate. */
size_t rbe_session_bytes(const struct rbe_model *m, struct rbe_session_limits l);

/* pool may be NULL (one thread) and must outlive the session. */
enum rbe_status rbe_session_open(struct rbe_session **out, struct rbe_model *m,
                                 struct rbe_session_limits l, struct rbe_pool *pool,
                                 struct rbe_diag *d);
void rbe_session_close(struct rbe_session **s);

/* Tokens in the cache. */
uint32_t rbe_session_length(const struct rbe_session *s);
/* Forgets all tokens from position n on (n <= length): 0 starts anew. */
void rbe_session_truncate(struct rbe_session *s, uint32_t n);

/*
 * Runs n tokens (any n up to the room left; long ones go through in batches), appends them
 * to the cache and leaves their final hidden states (after ln_f) for rbe_logits(): those of
 * the last call, at most max_batch of them (call with n <= max_batch to keep all).
 * RBE_ERR_ARG: a token outside the vocabulary, or more than max_tokens.  RBE_ERR_FORMAT: at
 * their first use, codes of a container that do not match their checksums.
 */
enum rbe_status rbe_forward(struct rbe_session *s, const uint32_t *tokens, size_t n,
                            struct rbe_diag *d);

/* Logits [count][vocab] of the kept positions first, first+1, ... of the last rbe_forward();
 * count <= max_logits.  first == RBE_LAST with count 1: the last position.
 * RBE_ERR_NUMERIC: one of them is NaN or infinite. */
#define RBE_LAST SIZE_MAX
enum rbe_status rbe_logits(struct rbe_session *s, size_t first, size_t count, float *logits,
                           struct rbe_diag *d);

#endif
