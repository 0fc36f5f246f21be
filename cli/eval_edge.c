/*
 * eval_edge.c - `rbe eval edge`: does a generation fit a small device?
 *
 * SPDX-License-Identifier: MIT
 */
#include <stdio.h>

#include "base/criteria.h"
#include "base/rows.h"
#include "cli/arguments.h"

static void print_record(const json_t *r, void *unused)
{
    const struct rbe_shown name = rbe_show_model(r, "model");
    const int mib = (int)(RBE_NUMBER_AT(r, limit_bytes) / 1048576);

    (void)unused;
    if (!RBE_TRUE_AT(r, passed)) {
        printf("%s: does not run in %d MiB: %s\n", name.text, mib, RBE_STRING_AT(r, reason));
        return;
    }
    printf("%s: runs in %d MiB: %.0f tokens, %.0f threads, peak %.1f MiB of addresses, "
           "%.1f MiB resident, median %s ms/token\n",
           name.text, mib, RBE_NUMBER_AT(r, tokens), RBE_NUMBER_AT(r, threads),
           RBE_NUMBER_AT(r, peak_virtual_bytes) / 1048576,
           RBE_NUMBER_AT(r, peak_bytes) / 1048576,
           rbe_show("%.2f", RBE_NUMBER_AT(r, median_ms)).text);
}

enum rbe_status rbe_eval_edge(struct rbe_eval_edge_args *a, struct rbe_diag *d)
{
    struct rbe_eval_options *o = &a->o;
    const struct rbe_edge_plan plan = {
        .limit_bytes = (uint64_t)a->limit << 20, .tokens = (unsigned)a->tokens,
        .threads = o->threads ? (unsigned)o->threads : (unsigned)RBE_LIMIT(C8_THREADS)};
    enum rbe_status err;
    bool fits = true;

    if (!(err = rbe_eval_refuse_shard(o, "one generation in one process has no parts", d)) &&
        !(err = rbe_eval_begin(o, false, d))) {
        const struct rbe_evaluation e = rbe_eval_given(o, NULL, print_record, NULL);
        /* With --threads it has been said. */
        if (!o->threads)
            rbe_warn_threads(a->call.name, plan.threads);
        err = rbe_measure_edge(&e, &plan, &fits, d);
    }
    if (!err && a->strict && !fits)
        err = rbe_fail(d, RBE_ERR_LIMIT, "a model does not fit");
    rbe_eval_end(o);
    return err;
}
