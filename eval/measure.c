/*
 * measure.c - what the evaluations share: records, shards, and where rows go.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/measure.h"

#include "base/rows.h"

json_t *rbe_evaluation_record(const struct rbe_evaluation *e, const char *kind,
                              struct rbe_runner *r)
{
    json_t *record = rbe_result_new(kind, rbe_pool_threads(e->pool));

    if (record && ((r && rbe_runner_record(r, record, "model")) ||
                   (e->special && RBE_SET(record, RBE_WORD(special, e->special))))) {
        json_decref(record);
        record = NULL;
    }
    return record;
}

size_t rbe_evaluation_shared(const struct rbe_evaluation *e, size_t total)
{
    return e->limit && total > e->limit ? e->limit : total;
}

enum rbe_status rbe_evaluation_share(const struct rbe_evaluation *e, size_t total,
                                     const char *unit, size_t *first, size_t *count,
                                     struct rbe_diag *d)
{
    size_t end;

    total = rbe_evaluation_shared(e, total);
    rbe_split(total, 1, e->shard_index, e->shard_count, first, &end);
    *count = end - *first;
    if (!*count)
        return rbe_fail(d, RBE_ERR_ARG, "shard %u/%u: only %zu %s to share",
                        e->shard_index + 1, e->shard_count, total, unit);
    return RBE_OK;
}

int rbe_evaluation_set_limited(const struct rbe_evaluation *e, json_t *record, size_t total)
{
    return e->limit && e->shard_count > 1
               ? RBE_SET(record, RBE_INT(limited_total, total))
               : 0;
}

enum rbe_status rbe_evaluation_emit(const struct rbe_evaluation *e, json_t *record,
                                    struct rbe_diag *d)
{
    /* Kept before it is shown: whoever reads standard output may be gone. */
    const enum rbe_status err = rbe_result_append(e->results, json_incref(record), d);

    if (!err && e->show)
        e->show(record, e->show_arg);
    json_decref(record);
    return err;
}
