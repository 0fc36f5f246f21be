/*
 * cmd_synth.c - `rbe synth`: a checkpoint of any size with generated weights.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "base/progress.h"
#include "cli/command.h"
#include "model/synth.h"

static const char command[] = "synth";

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

int rbe_cmd_synth(int argc, const char **argv)
{
    /* popt's copies stay reachable */
    static const char *size = "124M", *shape, *dtype = "F16";
    static char sizes[400];
    const char **args;
    long long seed = 1;
    int count, code;
    const struct poptOption table[] = {
        {"size", 0, POPT_ARG_STRING | POPT_ARGFLAG_SHOW_DEFAULT, &size, 0,
         rbe_model_config_sizes(sizes, sizeof sizes, " or "), "SIZE"},
        {"shape", 0, POPT_ARG_STRING, &shape, 0, "any other shape",
         "LAYERS,WIDTH,HEADS,CONTEXT,VOCABULARY"},
        {"dtype", 0, POPT_ARG_STRING | POPT_ARGFLAG_SHOW_DEFAULT, &dtype, 0,
         "F16, BF16 or F32", "TYPE"},
        {"seed", 's', POPT_ARG_LONGLONG | POPT_ARGFLAG_SHOW_DEFAULT, &seed, 0,
         "same seed, same bytes", "N"},
        POPT_TABLEEND};
    struct rbe_model_config c;
    struct rbe_diag d = {""};
    enum rbe_status err;
    int type = 0;

    if (!rbe_parse(argc, argv, table, "FOLDER",
                   "Writes FOLDER/config.json and FOLDER/model.safetensors with generated\n"
                   "weights, labelled synthetic: for measuring time and memory, not quality.",
                   &args, &count, &code))
        return code;
    while (type < RBE_DT_COUNT && strcmp(dtype, rbe_dtype_name((enum rbe_dtype)type)))
        type++;
    if (count != 1)
        err = rbe_fail(&d, RBE_ERR_ARG, "one folder to write, not %d", count);
    else if (type != RBE_DT_F32 && type != RBE_DT_F16 && type != RBE_DT_BF16)
        err = rbe_fail(&d, RBE_ERR_ARG, "--dtype '%s'; valid: F16, BF16, F32", dtype);
    else if (!(err = shape ? parse_shape(&c, shape, &d)
                           : rbe_model_config_size(&c, size, &d))) {
        rbe_catch_interrupt();
        err = rbe_synth(args[0], &c, (enum rbe_dtype)type, (uint64_t)seed, &d);
    }
    return rbe_report_failure(command, err, &d);
}
