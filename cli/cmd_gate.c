/*
 * cmd_gate.c - rbe gate: two builds measured in turns, and a verdict.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/command.h"
#include "gate/replay.h"
#include "gate/turns.h"

enum { EXIT_REGRESSION = 3, EXIT_NOISY = 4, EXIT_BASE = 5, MOST_EXACT = 128 };

/* Perplexity and bytes are the same in every run: more than this is a change. */
static const double exact_limit = 0.001;

struct exact {
    char name[32];
    double base, fresh;
    bool worse;
};

struct options {
    struct rbe_turns_options t;
    char *base, *fresh, *metrics, *markdown, *append, *record, *replay, **exacts, **counts;
    char *base_name, *fresh_name, *label;
    double percent;
    int blocks, rounds, no_pin, json, quiet, seed, threads, decisions;
    struct exact exact[MOST_EXACT];
    size_t exact_count;
};

/* NAME=BASE:NEW, worse when larger by more than `limit`. */
static enum rbe_status parse_exacts(struct options *o, char **s, const char *option,
                                    double limit, struct rbe_diag *d)
{
    for (; s && *s; s++) {
        struct exact *e = &o->exact[o->exact_count];
        int end = 0;
        if (o->exact_count == MOST_EXACT ||
            sscanf(*s, "%31[a-z0-9_]=%lf:%lf%n", e->name, &e->base, &e->fresh, &end) != 3 ||
            (*s)[end] || !(e->base > 0) || !(e->fresh > 0) || isinf(e->base + e->fresh))
            return rbe_fail(d, RBE_ERR_ARG, "%s wants NAME=BASE:NEW, positive, not '%s'",
                            option, *s);
        e->worse = e->fresh / e->base > 1 + limit;
        o->exact_count++;
    }
    return RBE_OK;
}

/* --- what is written ---------------------------------------------------------------- */

static enum rbe_gate_verdict overall(const struct options *o, const struct rbe_turns *t)
{
    enum rbe_gate_verdict v = RBE_GATE_PASS;

    for (size_t i = 0; i < t->count; i++)
        if (t->metric[i].figure.verdict == RBE_GATE_REGRESSION ||
            (t->metric[i].figure.verdict == RBE_GATE_NOISY && v == RBE_GATE_PASS))
            v = t->metric[i].figure.verdict;
    for (size_t i = 0; i < o->exact_count; i++)
        if (o->exact[i].worse)
            v = RBE_GATE_REGRESSION;
    return v;
}

static const char *unit_of(const struct rbe_turns_metric *m)
{
    return m->exact ? "MB" : strncmp(m->name, "gemv", 4) ? "ms" : "us";
}

static double in_unit(const struct rbe_turns_metric *m, double v)
{
    return m->exact || strncmp(m->name, "gemv", 4) ? v / 1e6 : v / 1e3;
}

static void print_table(FILE *f, const struct options *o, const struct rbe_turns *t, bool md)
{
    const char *const head = md ? "| metric | base | new | change | interval | rounds | "
                             "verdict |\n|---|---:|---:|---:|---|---:|---|\n" : "";
    char range[64];

    fputs(head, f);
    if (!md)
        fprintf(f, "%-12s %14s %14s %9s  %-20s %6s  %s\n", "metric", "base", "new", "change",
                "interval", "rounds", "verdict");
    for (size_t i = 0; i < o->exact_count; i++) {
        const struct exact *e = &o->exact[i];
        fprintf(f, md ? "| %s | %.10g | %.10g | %+.3f %% | %s | %s | %s |\n"
                : "%-12s %14.10g %14.10g %+7.3f %%  %-20s %6s  %s\n", e->name, e->base,
                e->fresh, 100 * (e->fresh / e->base - 1), "exact", "1",
                e->worse ? "regression" : "pass");
    }
    for (size_t i = 0; i < t->count; i++) {
        const struct rbe_turns_metric *m = &t->metric[i];
        const struct rbe_gate_figure *g = &m->figure;
        if (m->exact)
            snprintf(range, sizeof range, "median");
        else
            snprintf(range, sizeof range, "%+.2f to %+.2f %%", 100 * (g->low - 1),
                     100 * (g->high - 1));
        fprintf(f, md ? "| %s | %.4g %s | %.4g %s | %+.2f %% | %s | %zu | %s |\n"
                : "%-12s %11.4g %s %11.4g %s %+7.2f %%  %-20s %6zu  %s\n", m->name,
                in_unit(m, m->base_value), unit_of(m), in_unit(m, m->fresh_value), unit_of(m),
                100 * (g->ratio - 1), range, g->rounds, rbe_gate_verdict_name(g->verdict));
    }
}

static void print_markdown(FILE *f, const struct options *o, const struct rbe_turns *t)
{
    const enum rbe_gate_verdict v = overall(o, t);

    fprintf(f, "### Gate: %s\n\n%s against %s, in turns on one machine, %u rounds in %.0f s.\n"
            "Fails when a time grows by more than two thirds of %.3g %% for sure, or an exact "
            "figure by %.2g %%.\n\n", rbe_gate_verdict_name(v), o->fresh_name, o->base_name,
            t->rounds, t->seconds, o->percent, 100 * exact_limit);
    print_table(f, o, t, true);
}

static json_t *record_of(const struct options *o, const struct rbe_turns *t)
{
    json_t *r = rbe_result_new("gate", (unsigned)o->threads), *list = json_array();

    if (!r || !list) {
        json_decref(r);
        json_decref(list);
        return NULL;
    }
    RBE_SET(r, RBE_TEXT(base_revision, o->base_name), RBE_TEXT(revision, o->fresh_name),
            RBE_TEXT(label, o->label), RBE_WORD(verdict, rbe_gate_verdict_name(overall(o, t))),
            RBE_REAL(threshold, o->t.threshold), RBE_INT(rounds, t->rounds),
            RBE_REAL(seconds, t->seconds));
    for (size_t i = 0; i < o->exact_count; i++) {
        const struct exact *e = &o->exact[i];
        json_array_append_new(list,
                              RBE_OBJECT(RBE_WORD(name, e->name), RBE_FLAG(exact, 1),
                                         RBE_REAL(base, e->base), RBE_REAL(new, e->fresh),
                                         RBE_REAL(ratio, e->fresh / e->base),
                                         RBE_WORD(verdict, e->worse ? "regression" : "pass")));
    }
    for (size_t i = 0; i < t->count; i++) {
        const struct rbe_turns_metric *m = &t->metric[i];
        json_array_append_new(
            list, RBE_OBJECT(RBE_WORD(name, m->name), RBE_FLAG(exact, m->exact),
                             RBE_REAL(base, m->base_value), RBE_REAL(new, m->fresh_value),
                             RBE_REAL(ratio, m->figure.ratio),
                             RBE_PAIR(interval, m->figure.low, m->figure.high),
                             RBE_INT(rounds, m->figure.rounds),
                             RBE_WORD(verdict, rbe_gate_verdict_name(m->figure.verdict))));
    }
    RBE_SET(r, RBE_JSON(metrics, list));
    return r;
}

static enum rbe_status write_markdown(const struct options *o, const struct rbe_turns *t,
                                      struct rbe_diag *d)
{
    struct rbe_outfile f = {0};
    enum rbe_status err = rbe_outfile_open(&f, o->markdown, d);

    if (!err) {
        print_markdown(f.f, o, t);
        err = rbe_outfile_commit(&f, d);
    }
    rbe_outfile_discard(&f);
    return err;
}

/* One line for each metric of each round: what --replay draws from. */
static enum rbe_status record_round(void *arg, const struct rbe_turns_metric *m,
                                    unsigned round, double seconds, struct rbe_diag *d)
{
    json_t *r = rbe_result_new("gate-round", 0);

    if (!r)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    RBE_SET(r, RBE_WORD(metric, m->name), RBE_INT(round, round),
            RBE_REAL(log_ratio, m->x[m->rounds - 1]), RBE_REAL(base, m->base[m->rounds - 1]),
            RBE_REAL(new, m->fresh[m->rounds - 1]), RBE_REAL(seconds, seconds));
    return rbe_result_append(arg, r, d);
}

/* --- the command -------------------------------------------------------------------- */

static enum rbe_status present(const struct options *o, const struct rbe_turns *t,
                               struct rbe_result_file *history, struct rbe_diag *d)
{
    json_t *r = record_of(o, t);
    enum rbe_status err = r ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    if (!err && o->markdown)
        err = write_markdown(o, t, d);
    if (!err && o->append)
        err = rbe_result_append(history, json_incref(r), d);
    if (!err && o->json) {
        json_dumpf(r, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
        putchar('\n');
    } else if (!err) {
        print_table(stdout, o, t, false);
        printf("%s: %s against %s, %u rounds, %.1f s\n", rbe_gate_verdict_name(overall(o, t)),
               o->fresh_name, o->base_name, t->rounds, t->seconds);
    }
    json_decref(r);
    return err;
}

static enum rbe_status run(struct options *o, int *code, struct rbe_diag *d)
{
    struct rbe_turns t = {0};
    struct rbe_result_file *raw = NULL, *history = NULL;
    struct rbe_files files = {0};
    enum rbe_status err;

    rbe_catch_interrupt();
    if ((err = rbe_files_replace(&files, o->markdown, d)) ||
        (err = rbe_files_append(&files, o->append, d)) ||
        (err = rbe_result_open(&history, o->append, d)) ||
        (err = rbe_files_append(&files, o->record, d)) ||
        (err = rbe_result_open(&raw, o->record, d)))
        goto out;
    /* With figures given and no metric asked for, nothing is measured. */
    if (((o->metrics[0] || !o->exact_count) && (err = rbe_turns_init(&t, o->metrics, d))) ||
        (t.count &&
         (err = rbe_turns_run(&t, &o->t, o->record ? record_round : NULL, raw, d))) ||
        (err = present(o, &t, history, d)))
        goto out;
    const enum rbe_gate_verdict v = overall(o, &t);
    *code = v == RBE_GATE_PASS ? 0 : v == RBE_GATE_REGRESSION ? EXIT_REGRESSION : EXIT_NOISY;
out:
    if (t.base_failed)
        *code = EXIT_BASE;
    rbe_result_close(&raw);
    rbe_result_close(&history);
    rbe_files_free(&files);
    rbe_turns_free(&t);
    return err;
}

static enum rbe_status check(struct options *o, struct rbe_diag *d)
{
    if (!o->replay && (!o->base || !o->fresh))
        return rbe_fail(d, RBE_ERR_ARG, "wants --base COMMAND and --new COMMAND");
    if (!(o->percent > 0 && o->percent <= 100))
        return rbe_fail(d, RBE_ERR_ARG, "--threshold is in percent, above 0");
    if (!(o->t.budget_s > 0) || !(o->t.patience_s > 0) || !(o->t.sample_ms > 0) ||
        o->blocks < 1 || o->rounds < 0 || !(o->t.quantile >= 0 && o->t.quantile <= 1) ||
        o->decisions < 1)
        return rbe_fail(d, RBE_ERR_ARG, "a number is out of range");
    o->t.base = o->base;
    o->t.fresh = o->fresh;
    o->t.threshold = o->percent / 100;
    o->t.blocks = (unsigned)o->blocks;
    o->t.rounds = (unsigned)o->rounds;
    o->t.pin = !o->no_pin;
    o->t.seed = (uint64_t)o->seed;
    /* Counts repeat, so they are held to the line that separates times. */
    const struct rbe_gate_rule rule = {.threshold = o->t.threshold};
    const enum rbe_status err = parse_exacts(o, o->exacts, "--exact", exact_limit, d);
    return err ? err : parse_exacts(o, o->counts, "--count", expm1(rbe_gate_cut(&rule)), d);
}

int rbe_cmd_gate(int argc, const char **argv)
{
    static struct options o;    /* popt's copies stay reachable */
    o = (struct options){
        .t = {.budget_s = 120, .patience_s = 60, .sample_ms = 20, .quantile = 0.1},
        .blocks = 3, .percent = 3,
        .metrics = "decode,prefill,gemv_seed,gemv_int4,memory", .base_name = "base",
        .fresh_name = "new",
        .seed = 1, .threads = 1, .decisions = 1000};
    struct rbe_diag d = {""};
    int count, code;
    const char **args;
    const struct poptOption table[] = {
        {"base", 0, POPT_ARG_STRING, &o.base, 0, "command that starts the base's worker",
         "COMMAND"},
        {"new", 0, POPT_ARG_STRING, &o.fresh, 0, "command that starts the new build's worker",
         "COMMAND"},
        {"metrics", 0, POPT_ARG_STRING, &o.metrics, 0,
         "what to ask for (default decode,prefill,gemv_seed,gemv_int4,memory)", "LIST"},
        {"exact", 0, POPT_ARG_ARGV, &o.exacts, 0,
         "a figure without noise, judged at 0.1 %; repeat it", "NAME=BASE:NEW"},
        {"count", 0, POPT_ARG_ARGV, &o.counts, 0,
         "the same, judged at 2/3 of the threshold: instructions", "NAME=BASE:NEW"},
        {"threshold", 0, POPT_ARG_DOUBLE, &o.percent, 0,
         "slow-down that must be caught (default 3)", "PERCENT"},
        {"budget", 0, POPT_ARG_DOUBLE, &o.t.budget_s, 0,
         "start no round after so many seconds (default 120)", "S"},
        {"patience", 0, POPT_ARG_DOUBLE, &o.t.patience_s, 0,
         "a worker that takes longer for an answer has failed (default 60)", "S"},
        {"sample-ms", 0, POPT_ARG_DOUBLE, &o.t.sample_ms, 0,
         "how long one sample lasts (default 20)", "MS"},
        {"quantile", 0, POPT_ARG_DOUBLE, &o.t.quantile, 0,
         "of the times in a sample (default 0.1)", "Q"},
        {"blocks", 0, POPT_ARG_INT, &o.blocks, 0, "A B B A blocks a round (default 3)", "N"},
        {"rounds", 0, POPT_ARG_INT, &o.rounds, 0,
         "take exactly so many rounds instead of stopping when it is clear", "N"},
        {"no-pin", 0, POPT_ARG_NONE, &o.no_pin, 0,
         "leave the workers to the scheduler (several threads)", NULL},
        {"seed", 0, POPT_ARG_INT, &o.seed, 0, "draws who begins (default 1)", "N"},
        {"threads", 0, POPT_ARG_INT, &o.threads, 0, "threads of the workers, for the record",
         "N"},
        {"base-name", 0, POPT_ARG_STRING, &o.base_name, 0, "what to call the base", "TEXT"},
        {"new-name", 0, POPT_ARG_STRING, &o.fresh_name, 0, "what to call the new build",
         "TEXT"},
        {"label", 0, POPT_ARG_STRING, &o.label, 0, "a word for the record", "TEXT"},
        {"markdown", 0, POPT_ARG_STRING, &o.markdown, 0, "write the verdict as Markdown",
         "FILE"},
        {"append", 0, POPT_ARG_STRING, &o.append, 0, "append a line to this history", "FILE"},
        {"json", 0, POPT_ARG_NONE, &o.json, 0, "print that line instead of a table", NULL},
        {"record", 0, POPT_ARG_STRING, &o.record, 0, "append every round to this file",
         "FILE"},
        {"replay", 0, POPT_ARG_STRING, &o.replay, 0,
         "measure nothing: make decisions from rounds drawn out of such a file", "FILE"},
        {"decisions", 0, POPT_ARG_INT, &o.decisions, 0,
         "with --replay: so many (default 1000)", "N"},
        POPT_TABLEEND};

    if (!rbe_parse(argc, argv, table, "",
                   "Asks two workers (ci/gate_worker.c) in turns, A B B A, until each metric "
                   "is judged.\nExit status: 0 pass, 1 failed, 2 usage, 3 regression, 4 too "
                   "noisy to tell,\n5 the worker of the base failed.  ci/gate.sh builds both "
                   "and calls this.",
                   &args, &count, &code))
        return code;
    enum rbe_status err;
    code = 0;
    if (count)
        err = rbe_fail(&d, RBE_ERR_ARG, "unexpected argument '%s'", args[0]);
    else if (!(err = check(&o, &d)))
        err = o.replay ? rbe_replay(stdout, o.replay, o.metrics, &o.t,
                                    (unsigned)o.decisions, &d)
              : run(&o, &code, &d);
    const int failed = err ? rbe_report_failure("gate", err, &d) : 0;
    return code ? code : failed;
}
