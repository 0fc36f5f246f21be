/*
 * memory.c - what a conversion takes at its height.
 *
 * SPDX-License-Identifier: MIT
 */
#include "convert/compensate.h"
#include "convert/convert_private.h"
#include "rbe/svd.h"

/* Of rbe_convert_weights(): *kept is the row's weights. */
static size_t weights_bytes(size_t *kept, const struct rbe_convert *c,
                            const struct rbe_convert_entry *r, unsigned threads)
{
    const struct rbe_source_tensor *t = r->tensor;
    const struct rbe_source_tensor *tokens = rbe_convert_entry_of(c, RBE_ROLE_TOKENS)->tensor;
    const size_t own = (size_t)t->rows * t->cols * sizeof(float);
    size_t more = t->transposed ? own : 0;

    *kept = own;
    if (rbe_convert_takes_means(c, r))
        more = (size_t)tokens->rows * tokens->cols * sizeof(float);
    if (c->o.low_rank > 0 && t->matrix) {
        const size_t svd = rbe_svd_memory(t->rows, t->cols, rbe_convert_rank(c, r), threads);
        more = svd > more ? svd : more;
    }
    return own + more;
}

size_t rbe_convert_bytes(const struct rbe_convert *c, const struct rbe_calibration_how *how,
                         bool allocates, unsigned threads)
{
    const struct rbe_model_config *config = &c->source->config;
    const size_t held = how ? rbe_calibration_held_bytes(config, how->metric) : 0;
    const size_t first = how ? rbe_calibration_bytes(config, *how, threads) : 0;
    const enum rbe_metric metric = how ? how->metric : RBE_METRIC_INPUTS;
    const size_t text = rbe_profile_tokens(c->o.profile);
    const size_t read = text ? text : RBE_CALIBRATION_TOKENS;
    /* No more tokens than the calibration reads. */
    const size_t compensated = c->o.compensate < read ? c->o.compensate : read;
    const size_t streams =
        how && compensated && !c->o.no_feedback
            ? rbe_compensation_bytes(config, compensated, how->bf16, threads) : 0;
    size_t most = allocates ? rbe_convert_allocate_bytes(c, threads) : 0;

    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_convert_entry *r = &c->entries[i];
        size_t kept, coding = 0;
        size_t reading = weights_bytes(&kept, c, r, threads);

        if (r->elsewhere)
            continue;
        const size_t square = (size_t)r->tensor->cols * r->tensor->cols;
        const size_t moment = how && r->tensor->matrix ? square * sizeof(float) : 0;
        const bool told = how && rbe_convert_uses_feedback(r) && !c->o.no_feedback;
        const struct rbe_encode_options o = rbe_convert_told(r, told, metric);
        const bool narrow = rbe_convert_is_narrow(c, r, &o, threads);
        const size_t height = r->tensor->rows;
        const size_t across = o.row_metric ? height * height * sizeof(float) : 0;
        if (r->encoded)
            coding = kept + moment + across +
                     rbe_encode_memory(r->tensor->rows, r->tensor->cols, &o,
                                       narrow ? 1 : threads);
        coding *= narrow ? threads : 1;
        coding += r->layer >= 0 ? streams : 0;
        reading *= narrow ? threads : 1;
        most = reading > most ? reading : most;
        most = coding > most ? coding : most;
    }
    return held + most > first ? held + most : first;
}
