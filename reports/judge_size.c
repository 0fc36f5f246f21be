/*
 * judge_size.c - size, memory and parameters: C1, C8, C10.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/judge.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

/* --- C1: memory ------------------------------------------------------------------------ */

void rbe_judge_file(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_model_seen *m = rbe_pair_model(p, false);

    if (!m || isnan(m->bytes) || isnan(m->parameters)) {
        rbe_not_measured(c, "no row gives the bytes and parameters of an RBE model");
        return;
    }
    const double original = 4 * m->parameters, saved = 1 - m->bytes / original;
    rbe_megabytes(c->original, sizeof c->original, original);
    rbe_megabytes(c->rbe, sizeof c->rbe, m->bytes);
    SAY(c->margin, "%.2f %% saved: %+.2f points", 100 * saved, 100 * (saved - RBE_LIMIT(C1)));
    SAY(c->how, "bytes of the model file on disk against 4 bytes for each of %.0f parameters",
        m->parameters);
    const struct rbe_row *row = rbe_pair_row(p, RBE_KIND(convert), false);
    if (row || (row = rbe_pair_inference(p, false, RBE_KEY(model_bytes))) ||
        (row = rbe_pair_sized(p)))
        rbe_cite(c, row);
    const bool fits = !rbe_is_gpt2_small(m) || RBE_MEETS(C1_FILE, m->bytes);
    c->verdict = RBE_MEETS(C1, saved) && fits ? RBE_PASS : RBE_FAIL;
    if (!fits)
        SAY(c->margin, "%.2f MB over %.0f MB", m->bytes / 1e6 - RBE_LIMIT(C1_FILE) / 1e6,
            RBE_LIMIT(C1_FILE) / 1e6);
}

void rbe_judge_peak(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *a = rbe_pair_inference(p, true, RBE_KEY(peak_bytes));
    const struct rbe_row *b = rbe_pair_inference(p, false, RBE_KEY(peak_bytes));

    if (!a || !b) {
        rbe_not_measured(c, "no inference row with the peak memory of %s",
                         !b ? "the RBE model" : "the original");
        return;
    }
    const double o = RBE_NUMBER_AT(a->v, peak_bytes), x = RBE_NUMBER_AT(b->v, peak_bytes);
    rbe_megabytes(c->original, sizeof c->original, o);
    rbe_megabytes(c->rbe, sizeof c->rbe, x);
    SAY(c->margin, "%.1f %% saved: %+.1f points", 100 * (1 - x / o), 100 * (.1 - x / o));
    SAY(c->how, "peak resident bytes of a process that generates with this model only: "
                "weights, cache, program and libraries");
    c->verdict = x <= .1 * o ? RBE_PASS : RBE_FAIL;
    rbe_cite(c, b);
}

/* --- C8: edge -------------------------------------------------------------------------- */

void rbe_judge_edge(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_row *a = rbe_pair_row(p, RBE_KIND(edge), true),
                         *b = rbe_pair_row(p, RBE_KIND(edge), false);

    if (!b) {
        rbe_not_measured(c, "no run of the RBE model under a memory limit");
        return;
    }
    const double limit = RBE_NUMBER_AT(b->v, limit_bytes);
    const double tokens = RBE_NUMBER_AT(b->v, tokens);
    const double peak = RBE_NUMBER_AT(b->v, peak_bytes);
    const char *reason = RBE_STRING_AT(b->v, reason);
    if (a)
        SAY(c->original, "%s", RBE_TRUE_AT(a->v, passed) ? "runs" : "does not run");
    rbe_cite(c, b);
    const double threads = RBE_NUMBER_AT(b->v, threads), batch = RBE_NUMBER_AT(b->v, batch);
    const bool passed = RBE_TRUE_AT(b->v, passed);
    /* A run inside less than 256 MB shows enough; one that fails there shows nothing. */
    if (!RBE_MEETS(C8, limit) || (!passed && !RBE_MEETS(C8_LEAST, limit)) ||
        !RBE_MEETS(C8_TOKENS, tokens) || !RBE_MEETS(C8_THREADS, threads) ||
        !RBE_MEETS(C8_BATCH, batch)) {
        rbe_not_measured(c,
                         "measured with %.0f bytes, %.0f threads, batch %.0f and %.0f tokens, "
                         "not %.0f MiB, %.0f, %.0f and %.0f",
                         limit, threads, batch, tokens, RBE_LIMIT(C8) / 1048576,
                         RBE_LIMIT(C8_THREADS), RBE_LIMIT(C8_BATCH), RBE_LIMIT(C8_TOKENS));
        return;
    }
    if (!passed) {
        SAY(c->rbe, "does not run: %s", reason ? reason : "no reason given");
        SAY(c->how, "generation in a process limited to %.0f bytes of address space", limit);
        c->verdict = RBE_FAIL;
        return;
    }
    rbe_megabytes(c->rbe, sizeof c->rbe, peak);
    const double left = limit - RBE_NUMBER_AT(b->v, peak_virtual_bytes);
    const double ms = RBE_NUMBER_AT(b->v, median_ms);
    char crowd[64];
    if (!isnan(left))
        SAY(c->margin, "%.1f MB left", left / 1e6);
    /* It fits all the same; how fast it would be, such a run does not say. */
    const bool crowded = rbe_oversubscribed_row(b->v, crowd, sizeof crowd);
    const size_t said = strlen(c->margin);
    if (crowded)
        rbe_say(c->margin + said, sizeof c->margin - said, "%s%s", said ? "; " : "", crowd);
    char pace[96] = "";
    if (!isnan(ms))
        SAY(pace, " %.3g ms/token%s;", ms,
            crowded ? " (too few CPUs: not the speed of such a device)" : "");
    SAY(c->how,
        "%.0f tokens by %.0f threads in a process limited to %.0f bytes of address "
        "space;%s resident peak shown",
        tokens, threads, limit, pace);
    c->verdict = RBE_PASS;
}

/* --- C10: compressed parameters --------------------------------------------------------- */

void rbe_judge_parameters(struct rbe_criterion *c, const struct rbe_pair *p)
{
    const struct rbe_model_seen *m = rbe_pair_model(p, false);
    const double share = RBE_LIMIT(C10);

    if (!m || isnan(m->bytes) || isnan(m->parameters)) {
        rbe_not_measured(c, "no row gives the bytes and parameters of an RBE model");
        return;
    }
    const struct rbe_row *row = rbe_results_conversion(p->r, p->model);
    /* One recorded elsewhere, maybe by another version, counts for nothing. */
    if (row && row >= p->r->rows + p->r->count)
        row = NULL;
    const char *definition = row ? RBE_STRING_AT(row->v, totals, compressed_definition) : NULL;
    double words = row ? RBE_NUMBER_AT(row->v, totals, compressed_parameters) : NAN;
    const char *trained =
        row && rbe_results_model(p->r, RBE_VALUE_AT(row->v, model)) != p->model
            ? ", from the conversion: training does not change the size"
            : "";
    if (isnan(words) || !definition) {
        words = m->bytes / 4;
        definition = "32-bit words of the whole model file, header included";
        trained = "";
        row = rbe_pair_sized(p);
    }
    if (row)
        rbe_cite(c, row);
    SAY(c->original, "%.2fM parameters", m->parameters / 1e6);
    SAY(c->rbe, "%.3fM (%.2f %%)", words / 1e6, 100 * words / m->parameters);
    SAY(c->margin, "%+.3fM", (share * m->parameters - words) / 1e6);
    SAY(c->how,
        "definition: %s%s; the target is the chapter's share of the original's "
        "parameters",
        definition, trained);
    c->verdict = words < share * m->parameters ? RBE_PASS : RBE_FAIL;
}
