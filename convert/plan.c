/*
 * plan.c - which codec and block each tensor gets, within the budget.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/convert_private.h"

#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/criteria.h"
#include "base/json.h"
#include "convert/compensate.h"
#include "rbe/container.h"

static enum rbe_status plan_entry(struct rbe_convert_entry *r,
                                  const struct rbe_source_tensor *t,
                                  const struct rbe_convert_options *o, struct rbe_diag *d)
{
    struct rbe_diag why = {""};
    enum rbe_status err;

    r->tensor = t;
    r->tensor_class = t->tensor_class;
    r->layer = t->layer;
    r->settings = rbe_profile_settings(o->profile, r->tensor_class, r->layer);
    r->rate_met = true;
    r->encoded = t->matrix || (t->role == RBE_ROLE_POSITIONS &&
                               !rbe_format_facts(r->settings.format)->float_bytes);
    if (!r->encoded)
        return RBE_OK;
    if ((err = rbe_settings_resolve(&r->settings, t->rows, t->cols, &r->options, &r->rate_met,
                                    &why)))
        return rbe_fail(d, err, "profile %s, tensor '%s': %s", rbe_profile_name(o->profile),
                        t->name, why.text);
    if (o->search >= 0)
        r->options.search = (enum rbe_search)o->search;
    r->options.drawn = o->drawn;
    if (r->options.hadamard)
        r->options.sign_seed = 1;
    return RBE_OK;
}

/* K where the profile names the energy to leave: that takes the weights. */
static enum rbe_status plan_energy(const struct rbe_convert *c, struct rbe_convert_entry *r,
                                   struct rbe_diag *d)
{
    struct rbe_encode_options *o = &r->options;
    enum rbe_status err;
    uint32_t k;
    float *w;

    if (!r->encoded || !(r->settings.energy > 0))
        return RBE_OK;
    if ((err = rbe_convert_weights(&w, c, r, d)))
        return err;
    if (o->hadamard)
        rbe_rotate(w, r->tensor->cols, r->tensor->rows, r->tensor->cols, o->hadamard,
                   o->sign_seed);
    err = rbe_encode_k_for_energy(&k, o->format, w, r->tensor->rows, r->tensor->cols, o->block,
                                  r->settings.energy, c->o.pool, d);
    free(w);
    o->aux |= err ? 0 : k;
    return err;
}

bool rbe_convert_is_open(const struct rbe_convert_entry *r)
{
    return r->encoded && rbe_settings_are_open(&r->settings);
}

/* Every open matrix gets block b, also where it has fewer rows. */
static void set_blocks(struct rbe_convert *c, uint32_t b)
{
    for (size_t i = 0; i < c->count; i++)
        if (rbe_convert_is_open(&c->entries[i]))
            c->entries[i].options.block = b;
}

/* The blocks that all open matrices take; false: none is open. */
static bool common_blocks(const struct rbe_convert *c, uint32_t *low, uint32_t *high)
{
    bool open = false;

    *low = 0, *high = UINT32_MAX;
    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_format_facts *f = rbe_format_facts(c->entries[i].options.format);

        if (!rbe_convert_is_open(&c->entries[i]))
            continue;
        *low = f->min_block > *low ? f->min_block : *low;
        *high = f->max_block < *high ? f->max_block : *high;
        open = true;
    }
    return open;
}

static enum rbe_status share_budget(struct rbe_convert *c, struct rbe_diag *d)
{
    uint64_t least = UINT64_MAX;
    uint32_t smallest = 0, low, high;
    enum rbe_status err;

    if (!common_blocks(c, &low, &high)) {
        if ((err = rbe_convert_size(&c->file_bytes, c, d)))
            return err;
        if (c->budget_bytes && c->file_bytes > c->budget_bytes)
            return rbe_fail(d, RBE_ERR_LIMIT, "%" PRIu64 " bytes are more than the budget of "
                            "%" PRIu64 ", and profile %s leaves nothing to choose",
                            c->file_bytes, c->budget_bytes, rbe_profile_name(c->o.profile));
        return RBE_OK;
    }
    if (!c->budget_bytes)
        return rbe_fail(d, RBE_ERR_ARG, "profile %s leaves B to a budget: give --bits or "
                        "--bytes", rbe_profile_name(c->o.profile));
    /* Every B up to 64, then in steps of a sixty-fourth. */
    for (uint32_t b = low; b <= high; b += b < 64 ? 1 : b / 64) {
        uint64_t bytes;

        set_blocks(c, b);
        if ((err = rbe_convert_size(&bytes, c, d)))
            return err;
        if (bytes < least) {
            least = bytes;
            smallest = b;
        }
        if (bytes <= c->budget_bytes) {
            c->file_bytes = bytes;
            return RBE_OK;
        }
    }
    set_blocks(c, smallest);
    return rbe_fail(d, RBE_ERR_LIMIT, "a budget of %" PRIu64 " bytes (%.4g bits a parameter) "
                    "cannot be met: the smallest possible with profile %s is %" PRIu64
                    " bytes (%.4g bits)", c->budget_bytes,
                    8 * (double)c->budget_bytes / (double)c->params,
                    rbe_profile_name(c->o.profile), least,
                    8 * (double)least / (double)c->params);
}

/* Where the profile moves the embedding's means and the source has no place for them, the file
 * gets one; without is an architecture that can have none. */
static enum rbe_status plan_means(struct rbe_convert *c, struct rbe_diag *d)
{
    struct rbe_model_config with = c->source->config;
    bool placed = !rbe_convert_is_centered(c);

    with.options |= 1U << RBE_OPTION_EMBED_MEAN;
    for (size_t i = 0; i < c->count && !placed; i++)
        placed = rbe_convert_takes_means(c, &c->entries[i]);
    for (size_t i = 0; i < rbe_source_count(&with) && !placed; i++) {
        c->embed_mean = rbe_source_tensor(&with, i);
        placed = c->embed_mean.role == RBE_ROLE_EMBED_MEAN;
        if (placed)
            return plan_entry(&c->entries[c->count++], &c->embed_mean, &c->o, d);
    }
    return placed ? RBE_OK
                  : rbe_fail(d, RBE_ERR_ARG, "profile %s, center=on: the model has no place "
                             "for the means", rbe_profile_name(c->o.profile));
}

enum rbe_status rbe_convert_plan(struct rbe_convert **out, const struct rbe_source *s,
                                 const struct rbe_convert_options *o, struct rbe_diag *d)
{
    const double profile_bits = rbe_profile_budget_bits(o->profile);
    enum rbe_status err = RBE_OK;

    *out = NULL;
    if (o->shard_count > 1 && o->compensate)
        return rbe_fail(d, RBE_ERR_ARG, "profile %s encodes one layer after another: shards "
                        "need --compensate 0", rbe_profile_name(o->profile));
    struct rbe_convert *c = calloc(1, sizeof *c);
    if (!c || !(c->entries = calloc(s->count + 1, sizeof *c->entries)) ||
        !(c->finished = calloc(s->count + 1, sizeof *c->finished))) {
        err = no_memory(d);
        goto out;
    }
    rbe_json_watch();
    c->shortages = rbe_shortages();
    c->source = s;
    c->o = *o;
    c->count = s->count;
    c->params = rbe_model_config_params(&s->config);
    if (o->budget_bytes)
        c->budget_bytes = o->budget_bytes;
    else if (o->budget_bits > 0)
        c->budget_bytes = (uint64_t)(o->budget_bits * (double)c->params / 8);
    else if (profile_bits > 0)
        c->budget_bytes = (uint64_t)(profile_bits * (double)c->params / 8);
    else
        c->budget_bytes = rbe_profile_budget_bytes(o->profile);
    for (size_t i = 0; i < c->count && !err; i++)
        err = plan_entry(&c->entries[i], &s->tensors[i], o, d);
    if (!err)
        err = plan_means(c, d);
    for (size_t i = 0; i < c->count && !err; i++)
        err = plan_energy(c, &c->entries[i], d);
    if (!err)
        err = share_budget(c, d);
    if (!err)
        err = rbe_shard_deal(c, d);
out:
    if (err)
        rbe_convert_close(&c);
    *out = c;
    return err;
}

void rbe_convert_close(struct rbe_convert **pc)
{
    struct rbe_convert *c = *pc;

    if (!c)
        return;
    for (size_t i = 0; i < c->count; i++) {
        free(c->entries[i].own_parts);
        rbe_container_close(&c->finished[i]);
    }
    rbe_compensation_close(&c->compensation);
    free(c->entries);
    free(c->finished);
    if (c->folder)
        rmdir(c->folder);       /* when nothing was finished */
    free(c->folder);
    free(c);
    *pc = NULL;
}

const char *rbe_convert_default_profile(const struct rbe_model_config *c)
{
    /* The chapter's: 45 MB. */
    if (c->arch == RBE_ARCH_GPT2 && rbe_model_config_params(c) == RBE_GPT2_SMALL)
        return "mobile-45mb";
    /* Whose compensation is not known to help. */
    if (c->arch == RBE_ARCH_GPT2 && rbe_model_config_params(c) > RBE_GPT2_SMALL)
        return "gpt2-2.89";
    return rbe_arch_at(c->arch)->profile;
}
