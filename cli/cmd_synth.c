/*
 * cmd_synth.c - `rbe synth`: a checkpoint of any size with generated weights.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "base/progress.h"
#include "cli/arguments.h"
#include "model/synth.h"

/* "LAYERS,WIDTH,HEADS,CONTEXT,VOCABULARY" through the same checks as a config.json. */
static enum rbe_status parse_shape(struct rbe_model_config *c, const char *shape,
                                   struct rbe_diag *d)
{
    unsigned layers, width, heads, context, vocab;
    char json[256], end;

    if (shape[strspn(shape, "0123456789,")] ||
        sscanf(shape, "%9u,%9u,%9u,%9u,%9u%c", &layers, &width, &heads, &context, &vocab,
               &end) != 5)
        return rbe_fail(d, RBE_ERR_ARG, "--shape '%s': LAYERS,WIDTH,HEADS,CONTEXT,VOCABULARY",
                        shape);
    const int n = snprintf(json, sizeof json,
                           "{\"n_layer\": %u, \"n_embd\": %u, "
                           "\"n_head\": %u, \"n_ctx\": %u, \"vocab_size\": %u}",
                           layers, width, heads, context, vocab);
    return rbe_model_config_parse(c, json, (size_t)n, "--shape", d) ? RBE_ERR_ARG : RBE_OK;
}

enum rbe_status rbe_cmd_synth(struct rbe_synth_args *a, struct rbe_diag *d)
{
    struct rbe_model_config c;
    enum rbe_status err;
    int type = 0;

    while (type < RBE_DT_COUNT && strcmp(a->dtype, rbe_dtype_name((enum rbe_dtype)type)))
        type++;
    if (a->call.count != 1)
        return rbe_fail(d, RBE_ERR_ARG, "one folder to write, not %d", a->call.count);
    if (type != RBE_DT_F32 && type != RBE_DT_F16 && type != RBE_DT_BF16)
        return rbe_fail(d, RBE_ERR_ARG, "--dtype '%s'; valid: F16, BF16, F32", a->dtype);
    if ((err = a->shape ? parse_shape(&c, a->shape, d) : rbe_model_config_size(&c, a->size, d)))
        return err;
    rbe_catch_interrupt();
    return rbe_synth(a->call.args[0], &c, (enum rbe_dtype)type, (uint64_t)a->seed, d);
}
