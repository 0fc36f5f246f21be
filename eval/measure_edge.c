/*
 * measure_edge.c - does a generation fit a small device (criterion C8)?
 *
 * SPDX-License-Identifier: MIT
 *
 * The model runs in a process of its own whose address space is limited, so that every byte
 * counts: code, libraries, stacks, the mapped model, cache and buffers.  That is stricter than
 * a limit on resident memory.
 */
#include "base/rows.h"
#include "eval/child.h"
#include "eval/measure.h"

/* The model is opened here only to name it; one that does not open ends the command. */
static enum rbe_status run_model(const struct rbe_evaluation *e, const struct rbe_edge_plan *p,
                                 size_t m, bool *passed, struct rbe_diag *d)
{
    const enum rbe_kv_cache kv = rbe_runner_kv(e->kv, m, e->model_count);
    const char *path = e->models[m];
    struct rbe_runner runner;
    struct rbe_diag why = {""};
    json_t *child = NULL;
    enum rbe_status err, ran;

    ran = rbe_child_generate(&child, path, p->threads, 1, p->tokens, kv,
                             (struct rbe_child_limits){.address_space = p->limit_bytes}, &why);
    if (ran && ran != RBE_ERR_LIMIT) {
        *d = why;
        return ran;
    }
    if ((err = rbe_runner_open(&runner, path, 1, kv, e->pool, d)) ||
        (err = rbe_model_hash(runner.model, d))) {
        json_decref(child);
        rbe_runner_close(&runner);
        return err;
    }
    *passed = !ran;
    json_t *r = rbe_evaluation_record(e, RBE_KIND(edge), &runner);
    if (r) {
        RBE_SET(r, RBE_WORD(limit, "RLIMIT_AS"), RBE_INT(limit_bytes, p->limit_bytes));
        rbe_result_set_threads(r, p->threads);
        RBE_SET(r, RBE_INT(threads, p->threads), RBE_INT(tokens, p->tokens), RBE_INT(batch, 1),
                RBE_FLAG(passed, *passed),
                RBE_JSON(reason, *passed ? json_null() : rbe_result_string(why.text)));
        static const char *const facts[] = {
            RBE_KEY(resident_bytes), RBE_KEY(peak_bytes), RBE_KEY(peak_virtual_bytes),
            RBE_KEY(session_bytes),  RBE_KEY(load_s),     RBE_KEY(first_token_ms)};
        for (size_t i = 0; i < sizeof facts / sizeof facts[0]; i++)
            json_object_set_new(r, facts[i],
                                child ? json_incref(json_object_get(child, facts[i]))
                                      : json_null());
        RBE_SET(
            r,
            RBE_JSON(seconds, child ? json_incref(RBE_VALUE_AT(child, wall_s)) : json_null()),
            RBE_JSON(median_ms,
                     child ? rbe_result_real(rbe_child_median(child)) : json_null()));
    }
    err = rbe_evaluation_emit(e, r, d);
    json_decref(child);
    rbe_runner_close(&runner);
    return err;
}

enum rbe_status rbe_measure_edge(const struct rbe_evaluation *e, const struct rbe_edge_plan *p,
                                 bool *fits, struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;

    *fits = true;
    for (size_t m = 0; !err && m < e->model_count; m++) {
        bool passed = false;
        err = run_model(e, p, m, &passed, d);
        *fits = *fits && passed;
    }
    return err;
}
