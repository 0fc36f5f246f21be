/*
 * cmd_synth.c - `rbe synth`: a checkpoint of any size with generated weights.
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>
#include <string.h>

#include "base/progress.h"
#include "cli/arguments.h"
#include "model/arch.h"
#include "model/synth.h"

/* As --help has it. */
#define USUAL_SIZE "124M"
#define USUAL_ARCH "gpt2"

/* "LAYERS,WIDTH,HEADS,CONTEXT,VOCABULARY[,KV_HEADS,INNER]". */
static enum rbe_status parse_shape(struct rbe_model_config *c, const char *arch,
                                   const char *shape, struct rbe_diag *d)
{
    struct rbe_model_config wanted = {0};
    char end;
    const int found = sscanf(shape, "%9u,%9u,%9u,%9u,%9u,%9u,%9u%c", &wanted.n_layer,
                             &wanted.n_embd, &wanted.n_head, &wanted.n_ctx, &wanted.vocab,
                             &wanted.n_kv, &wanted.n_inner, &end);
    size_t numbers = 1;

    for (const char *s = shape; *s; s++)
        numbers += *s == ',';
    if (shape[strspn(shape, "0123456789,")] || (found != 5 && found != 7) ||
        numbers != (size_t)found)
        return rbe_fail(d, RBE_ERR_ARG, "--shape '%s': LAYERS,WIDTH,HEADS,CONTEXT,VOCABULARY "
                        "or these and KV_HEADS,INNER", shape);
    return rbe_model_config_shape(c, arch, &wanted, "--shape", d) ? RBE_ERR_ARG : RBE_OK;
}

/* RBE_ARCH_COUNT: not said. */
static enum rbe_status find_arch(enum rbe_arch_id *id, const char *name, struct rbe_diag *d)
{
    char valid[200] = "";
    size_t at = 0;

    *id = RBE_ARCH_COUNT;
    for (int a = 0; name && a < RBE_ARCH_COUNT; a++) {
        const char *type = rbe_arch_at((enum rbe_arch_id)a)->type;
        if (!strcmp(name, type))
            *id = (enum rbe_arch_id)a;
        if (at < sizeof valid)
            at += (size_t)snprintf(valid + at, sizeof valid - at, "%s%s", a ? ", " : "", type);
    }
    return name && *id == RBE_ARCH_COUNT
               ? rbe_fail(d, RBE_ERR_ARG, "--arch: unknown architecture '%s'; valid: %s", name,
                          valid)
               : RBE_OK;
}

/* A published size: of the architecture, if one was named. */
static enum rbe_status take_size(struct rbe_model_config *c, const struct rbe_synth_args *a,
                                 enum rbe_arch_id arch, struct rbe_diag *d)
{
    char valid[400];
    const enum rbe_status err = rbe_model_config_size(c, a->size ? a->size : USUAL_SIZE, d);

    if (err || arch == RBE_ARCH_COUNT || c->arch == arch)
        return err;
    rbe_model_config_sizes(valid, sizeof valid, arch, " or ");
    if (!a->size)
        return rbe_fail(d, RBE_ERR_ARG, "--arch %s: wants its --shape, or a --size: %s",
                        a->arch, valid);
    return rbe_fail(d, RBE_ERR_ARG, "--size %s is a %s, --arch %s has %s", a->size,
                    rbe_arch_at(c->arch)->title, a->arch, valid);
}

enum rbe_status rbe_cmd_synth(struct rbe_synth_args *a, struct rbe_diag *d)
{
    struct rbe_model_config c;
    enum rbe_arch_id arch;
    enum rbe_status err;
    int type = 0;

    while (type < RBE_DT_COUNT && strcmp(a->dtype, rbe_dtype_name((enum rbe_dtype)type)))
        type++;
    if (a->call.count != 1)
        return rbe_fail(d, RBE_ERR_ARG, "one folder to write, not %d", a->call.count);
    if (type != RBE_DT_F32 && type != RBE_DT_F16 && type != RBE_DT_BF16)
        return rbe_fail(d, RBE_ERR_ARG, "--dtype '%s'; valid: F16, BF16, F32", a->dtype);
    if (a->shape && a->size)
        return rbe_fail(d, RBE_ERR_ARG, "--shape and --size exclude each other");
    if ((err = find_arch(&arch, a->arch, d)) ||
        (err = a->shape ? parse_shape(&c, a->arch ? a->arch : USUAL_ARCH, a->shape, d)
                        : take_size(&c, a, arch, d)))
        return err;
    rbe_catch_interrupt();
    return rbe_synth(a->call.args[0], &c, (enum rbe_dtype)type, (uint64_t)a->seed, d);
}
