/*
 * fuzz_config.c - any bytes as a config.json.
 *
 * SPDX-License-Identifier: MIT
 */
#include <string.h>

#include "ci/fuzz/fuzz.h"
#include "model/config.h"

bool rbe_fuzz_config(const uint8_t *data, size_t size)
{
    struct rbe_model_config c;
    struct rbe_diag d = {""};

    if (!rbe_fuzz_said(rbe_model_config_parse(&c, (const char *)data, size, "input", &d), &d))
        return false;
    FUZZ_NEED(c.vocab && c.n_ctx && c.n_embd && c.n_layer && c.n_head && c.n_inner);
    FUZZ_NEED(c.head && c.n_kv && c.n_head % c.n_kv == 0 && c.eos < c.vocab && c.ln_eps > 0);
    FUZZ_NEED(rbe_model_config_params(&c) > 0);
    return true;
}
