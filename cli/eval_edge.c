/*
 * eval_edge.c - `rbe eval edge`: does a generation fit a small device (criterion C8)?
 *
 * SPDX-License-Identifier: MIT
 *
 * The model runs in a process of its own whose address space is limited, so that every byte
 * counts: code, libraries, stacks, the mapped model, cache and buffers.  That is stricter than
 * a limit on resident memory.
 */
#include <stdio.h>

#include "base/result.h"
#include "base/rows.h"
#include "cli/command.h"
#include "cli/evaluations.h"
#include "cli/options.h"
#include "eval/child.h"

struct edge {
    int megabytes, tokens, threads;
};

/* The model is opened here only to name it; one that does not open ends the command. */
static enum rbe_status run_model(struct rbe_eval_options *o, const struct edge *e,
                                 const char *path, bool *passed, struct rbe_diag *d)
{
    const uint64_t limit = (uint64_t)e->megabytes << 20;
    struct rbe_runner runner;
    struct rbe_diag why = {""};
    json_t *child = NULL;
    enum rbe_status err, ran;

    ran = rbe_child_generate(&child, path, (unsigned)e->threads, 1, (unsigned)e->tokens,
                             (struct rbe_child_limits){.address_space = limit}, &why);
    if (ran && ran != RBE_ERR_LIMIT) {
        *d = why;
        return ran;
    }
    if ((err = rbe_runner_open(&runner, path, 1, o->pool, d)) ||
        (err = rbe_model_hash(runner.model, d))) {
        json_decref(child);
        rbe_runner_close(&runner);
        return err;
    }
    *passed = !ran;
    json_t *r = rbe_eval_record(o, "edge", &runner);
    if (r) {
        RBE_SET(r, RBE_WORD(limit, "RLIMIT_AS"), RBE_INT(limit_bytes, limit));
        rbe_result_set_threads(r, (unsigned)e->threads);
        RBE_SET(r, RBE_INT(threads, e->threads), RBE_INT(tokens, e->tokens), RBE_INT(batch, 1),
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
    if (r && !o->json) {
        if (*passed)
            printf("%s: runs in %d MiB: %d tokens, %d threads, peak %.1f MiB of addresses, "
                   "%.1f MiB resident, median %s ms/token\n",
                   rbe_show_model(r, "model").text, e->megabytes, e->tokens, e->threads,
                   RBE_NUMBER_AT(r, peak_virtual_bytes) / 1048576,
                   RBE_NUMBER_AT(r, peak_bytes) / 1048576,
                   rbe_show("%.2f", RBE_NUMBER_AT(r, median_ms)).text);
        else
            printf("%s: does not run in %d MiB: %s\n", rbe_show_model(r, "model").text,
                   e->megabytes, why.text);
    }
    err = rbe_eval_emit(o, r, d);
    json_decref(child);
    rbe_runner_close(&runner);
    return err;
}

int rbe_eval_edge(int argc, const char **argv)
{
    static struct rbe_eval_options o;   /* popt's copies stay reachable */
    struct edge e = {256, 256, 4};
    struct rbe_diag d = {""};
    int count, code, strict = 0;
    const char **args;
    const struct poptOption table[] = {
        RBE_EVAL_OPTIONS(&o),
        RBE_EVAL_NO_SHARD_OPTION(&o),
        {"limit", 0, POPT_ARG_INT, &e.megabytes, 0, "MiB of addresses (default 256)", "MIB"},
        {"tokens", 0, POPT_ARG_INT, &e.tokens, 0, "tokens to make (default 256)", "N"},
        {"strict", 0, POPT_ARG_NONE, &strict, 0, "exit 1 when a model does not fit", NULL},
        POPT_TABLEEND};

    if (!rbe_parse(argc, argv, table, "", "Generates with batch 1 and four threads (--threads) "
                   "in a process limited to 256 MiB.", &args, &count, &code))
        return code;
    if (o.threads)
        e.threads = o.threads;
    enum rbe_status err;
    if (count)
        err = rbe_fail(&d, RBE_ERR_ARG, "unexpected argument '%s'", args[0]);
    else if (e.megabytes < 1 || e.megabytes > 1 << 20 || e.tokens < 1 || e.threads < 1)
        err = rbe_fail(&d, RBE_ERR_ARG, "a number is out of range");
    else if (!(err = rbe_eval_refuse_shard(&o, "one generation in one process has no parts",
                                           &d)))
        err = rbe_eval_begin(&o, false, &d);
    /* With --threads it has been said. */
    if (!err && !o.threads)
        rbe_warn_threads(argv[0], (unsigned)e.threads);
    bool all = true;
    for (size_t m = 0; !err && m < o.model_count; m++) {
        bool passed = false;
        err = run_model(&o, &e, o.models[m], &passed, &d);
        all = all && passed;
    }
    if (!err && strict && !all)
        err = rbe_fail(&d, RBE_ERR_LIMIT, "a model does not fit");
    rbe_eval_end(&o);
    return rbe_report_failure(argv[0], err, &d);
}
