/*
 * config.h - the shape of a GPT-2.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_MODEL_CONFIG_H
#define RBE_MODEL_CONFIG_H

#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct rbe_gpt2_config {
    uint32_t vocab, n_ctx, n_embd, n_layer, n_head, n_inner;    /* n_inner: 4 * n_embd */
    float ln_eps;
    uint32_t eos;               /* <|endoftext|> */
};

/*
 * From the text of a config.json; every field is checked, and whatever would make another
 * model of it (activation, scaling of attention, cross attention, an output layer of its own,
 * another model_type, quantised weights) must have GPT-2's value.  n_positions comes before
 * n_ctx; without eos_token_id it is GPT-2's 50256, or the last token of a smaller vocabulary.
 * The vocabulary may have more rows than the tokenizer has tokens.  `name` is for messages.
 */
enum rbe_status rbe_gpt2_config_parse(struct rbe_gpt2_config *c, const char *json, size_t size,
                                      const char *name, struct rbe_diag *d);

/* "117M" (also "124M"), "345M" ("355M"), "774M", "1558M" ("1.5B"); RBE_ERR_ARG names the
 * valid ones. */
enum rbe_status rbe_gpt2_config_size(struct rbe_gpt2_config *c, const char *size,
                                     struct rbe_diag *d);

/* Parameters in all, tied output layer counted once: 124,439,808 for GPT-2 small. */
uint64_t rbe_gpt2_config_params(const struct rbe_gpt2_config *c);

#endif
