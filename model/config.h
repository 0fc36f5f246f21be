/*
 * config.h - the shape of a model.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_CONFIG_H
#define RBE_MODEL_CONFIG_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "base/status.h"
#include "model/arch.h"

struct rbe_gguf;

/* How the frequencies of rotated positions are changed for a longer context. */
enum rbe_rope_scaling { RBE_ROPE_PLAIN, RBE_ROPE_LINEAR, RBE_ROPE_LLAMA3 };

struct rbe_model_config {
    enum rbe_arch_id arch;
    uint32_t vocab, n_ctx, n_embd, n_layer, n_head, n_inner;    /* n_inner: 4 * n_embd */
    uint32_t n_kv;              /* heads of keys and values, each for n_head / n_kv queries */
    uint32_t head;              /* outputs of one head */
    uint32_t options;           /* bits 1 << RBE_OPTION_X */
    float ln_eps;
    uint32_t eos;               /* <|endoftext|> */
    uint32_t bos;               /* as config.json says it; of a GGUF file, eos */
    /* Zeros where positions are not rotated: model/rope.h. */
    float rope_base, rope_factor, rope_low, rope_high;
    uint32_t rope_original;
    enum rbe_rope_scaling rope_scaling;
};

/* Outputs of all heads of queries; of keys, and of values; of the roles QKV and FFN_UP. */
static inline uint32_t rbe_config_queries(const struct rbe_model_config *c)
{
    return c->n_head * c->head;
}
static inline uint32_t rbe_config_keys(const struct rbe_model_config *c)
{
    return c->n_kv * c->head;
}
static inline uint32_t rbe_config_qkv(const struct rbe_model_config *c)
{
    return rbe_config_queries(c) + 2 * rbe_config_keys(c);
}
static inline uint32_t rbe_config_up(const struct rbe_model_config *c)
{
    return rbe_arch_at(c->arch)->activation == RBE_SWIGLU ? 2 * c->n_inner : c->n_inner;
}
static inline bool rbe_config_has(const struct rbe_model_config *c, enum rbe_option o)
{
    return c->options >> o & 1;
}

/*
 * From the text of a config.json, by the keys that model/arch.def lists for its model_type
 * (without one, that of the first of its architectures; without both, GPT-2's).  Every field is
 * checked, and whatever would make another model of it (activation, scaling of attention, cross
 * attention, quantised weights) must have the architecture's value.  The vocabulary may have
 * more rows than the tokenizer has tokens.  `name` is for messages.
 */
enum rbe_status rbe_model_config_parse(struct rbe_model_config *c, const char *json,
                                       size_t size, const char *name, struct rbe_diag *d);

/* The same of a GGUF file's metadata.  Options follow from its tensors. */
enum rbe_status rbe_model_config_gguf(struct rbe_model_config *c, const struct rbe_gguf *g,
                                      struct rbe_diag *d);

/* A published size, "117M" (also "124M") say; RBE_ERR_ARG names the valid ones. */
enum rbe_status rbe_model_config_size(struct rbe_model_config *c, const char *size,
                                      struct rbe_diag *d);
/* Those of the architecture, RBE_ARCH_COUNT: of all, into buf, `last` before the last one. */
const char *rbe_model_config_sizes(char *buf, size_t size, enum rbe_arch_id arch,
                                   const char *last);

/*
 * A shape of one's own, of the architecture whose model_type it is: the counts of `wanted` that
 * are not 0, which must be all that the architecture needs, and the rest as it is without being
 * said.  Checked as a config.json is.
 */
enum rbe_status rbe_model_config_shape(struct rbe_model_config *c, const char *arch,
                                       const struct rbe_model_config *wanted,
                                       const char *name, struct rbe_diag *d);

/* c as a config.json. */
void rbe_model_config_print(FILE *f, const struct rbe_model_config *c);

/* The same as metadata of a GGUF file. */
struct rbe_gguf_out;
enum rbe_status rbe_model_config_to_gguf(struct rbe_gguf_out *o,
                                         const struct rbe_model_config *c, struct rbe_diag *d);

/* What makes models of two configurations different functions of the same weights: the first
 * key of config.json by which they differ and both values, "num_key_value_heads 2 and 1", in
 * buf; NULL: nothing.  Options that are found by tensors are not looked at. */
const char *rbe_model_config_difference(char *buf, size_t size,
                                        const struct rbe_model_config *a,
                                        const struct rbe_model_config *b);

/* Parameters of the original, tied output layer counted once: 124,439,808 for GPT-2 small.  The
 * means that a conversion moves to a tensor of their own (center=on) are not counted again, so
 * that bits a parameter of the file are those of its conversion. */
uint64_t rbe_model_config_params(const struct rbe_model_config *c);

#endif
