/*
 * model.h - what <rbe/model.h> keeps for the programs: provenance, memory, taps.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_MODEL_H
#define RBE_MODEL_MODEL_H

#include <rbe/model.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"
#include "base/threads.h"
#include "model/config.h"
#include "rbe/container.h"

/* The checksums of a container's codes are not compared when rbe_no_verify is set before
 * rbe_model_open(). */

/* Bytes rbe_model_open() takes at its height: the mapped file, f32 copies, scratch. */
enum rbe_status rbe_model_open_bytes(size_t *bytes, const char *path, struct rbe_diag *d);

const struct rbe_model_config *rbe_model_config(const struct rbe_model *m);
/* Computes the sha256 of the weight file (of shards: see rbe_safetensors_sha256) and keeps it.
 * RBE_ERR_MISMATCH when a checkpoint is no longer the file that was opened. */
enum rbe_status rbe_model_hash(struct rbe_model *m, struct rbe_diag *d);
/* What rbe_model_hash() found, or NULL. */
const char *rbe_model_sha256(const struct rbe_model *m);
/* "synthetic" metadata of a generated checkpoint, or NULL. */
const char *rbe_model_label(const struct rbe_model *m);

/* rbe_session_bytes() for a plain checkpoint of this shape. */
size_t rbe_session_plain_bytes(const struct rbe_model_config *c, struct rbe_session_limits l);

/* The codes of a container need not stay in memory: what is run next reads the file again.
 * Not while a session runs.  A plain checkpoint stays. */
void rbe_model_rest(const struct rbe_model *m);

/* What the cache of this session holds: never RBE_KV_DEFAULT. */
enum rbe_kv_cache rbe_session_kv_cache(const struct rbe_session *s);
/* "f32", "f16", "int8". */
const char *rbe_kv_cache_name(enum rbe_kv_cache k);
/* What --kv-cache says; NULL: the default. */
enum rbe_status rbe_kv_cache_parse(enum rbe_kv_cache *out, const char *name,
                                   struct rbe_diag *d);

/*
 * How many tokens one rbe_forward() may append, with one rbe_logits() of them all, so that each
 * gets the bits that it gets alone: at most RBE_FEW_MAX (kernels/kernel.h) and what the
 * limits and the room leave; 1 where a batch adds in another order.
 */
uint32_t rbe_session_alike(const struct rbe_session *s);

/* Whether an interrupt that is old (base/progress.h) ends rbe_forward() between two layers and
 * rbe_logits() before it begins: they then answer RBE_ERR_INTERRUPTED, and nothing of the batch
 * was appended.  It does not at first. */
void rbe_session_stop_early(struct rbe_session *s, bool stop);

/*
 * From now on rbe_forward() of an empty session, all n tokens in one batch, keeps the residual
 * stream before each layer in trace [n_layer][n][n_embd]; or, with a layer `from` above 0,
 * begins there with what the trace has, which is the same to the bit where nothing before it
 * differs.  Then the layers below have keys and values of other tokens: nothing may be
 * appended.  NULL: neither.
 */
void rbe_session_trace(struct rbe_session *s, float *trace, uint32_t from);

/*
 * From now on fn(arg, name, x, ldx, count, cols) is called before every product of a weight
 * matrix, with its inputs x [count][ldx] as the layer before made them (not rotated, column
 * scales not applied); name is the weight's, "h.0.attn.c_attn.weight", of one made of several
 * tensors that of the first, "layers.0.self_attn.q_proj.weight" (weight_name of
 * model/source.h).  The output layer's, "wte.weight", when logits are asked for.  fn NULL: no
 * more calls.
 */
typedef void rbe_session_tap_fn(void *arg, const char *name, const float *x, size_t ldx,
                                size_t count, size_t cols);
void rbe_session_tap(struct rbe_session *s, rbe_session_tap_fn *fn, void *arg);

/* Of the tokens of the last batch, what the output layer multiplies: [tokens][n_embd], until
 * the next one. */
const float *rbe_session_hidden(const struct rbe_session *s);

#endif
