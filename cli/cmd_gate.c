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
#include "cli/arguments.h"
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

struct gate {
    struct rbe_gate_args *a;
    struct exact exact[MOST_EXACT];
    size_t exact_count;
};

/* NAME=BASE:NEW, worse when larger by more than `limit`. */
static enum rbe_status parse_exacts(struct gate *o, char **s, const char *option,
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

static enum rbe_gate_verdict overall(const struct gate *o, const struct rbe_turns *t)
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

static void print_table(FILE *f, const struct gate *o, const struct rbe_turns *t, bool md)
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

static void print_markdown(FILE *f, const struct gate *o, const struct rbe_turns *t)
{
    const enum rbe_gate_verdict v = overall(o, t);

    fprintf(f, "### Gate: %s\n\n%s against %s, in turns on one machine, %u rounds in %.0f s.\n"
            "Fails when a time grows by more than two thirds of %.3g %% (and of %.3g ms) for "
            "sure, or an exact figure by %.2g %%.\n\n", rbe_gate_verdict_name(v),
            o->a->new_name, o->a->base_name,
            t->rounds, t->seconds, o->a->threshold, o->a->t.floor_ms, 100 * exact_limit);
    print_table(f, o, t, true);
}

static json_t *record_of(const struct gate *o, const struct rbe_turns *t)
{
    json_t *r = rbe_result_new(RBE_KIND(gate), (unsigned)o->a->threads), *list = json_array();

    if (!r || !list) {
        json_decref(r);
        json_decref(list);
        return NULL;
    }
    RBE_SET(r, RBE_TEXT(base_revision, o->a->base_name), RBE_TEXT(revision, o->a->new_name),
            RBE_TEXT(label, o->a->label),
            RBE_WORD(verdict, rbe_gate_verdict_name(overall(o, t))),
            RBE_REAL(threshold, o->a->t.threshold), RBE_INT(rounds, t->rounds),
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

static enum rbe_status write_markdown(const struct gate *o, const struct rbe_turns *t,
                                      struct rbe_diag *d)
{
    struct rbe_outfile f = {0};
    enum rbe_status err = rbe_outfile_open(&f, o->a->markdown, d);

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
    json_t *r = rbe_result_new(RBE_KIND(gate_round), 0);

    if (!r)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    RBE_SET(r, RBE_WORD(metric, m->name), RBE_INT(round, round),
            RBE_REAL(log_ratio, m->x[m->rounds - 1]), RBE_REAL(base, m->base[m->rounds - 1]),
            RBE_REAL(new, m->fresh[m->rounds - 1]), RBE_REAL(seconds, seconds));
    return rbe_result_append(arg, r, d);
}

/* --- the command -------------------------------------------------------------------- */

static enum rbe_status present(const struct gate *o, const struct rbe_turns *t,
                               struct rbe_result_file *history, struct rbe_diag *d)
{
    json_t *r = record_of(o, t);
    enum rbe_status err = r ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    if (!err && o->a->markdown)
        err = write_markdown(o, t, d);
    if (!err && o->a->append)
        err = rbe_result_append(history, json_incref(r), d);
    if (!err && o->a->json) {
        json_dumpf(r, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
        putchar('\n');
    } else if (!err) {
        print_table(stdout, o, t, false);
        printf("%s: %s against %s, %u rounds, %.1f s\n", rbe_gate_verdict_name(overall(o, t)),
               o->a->new_name, o->a->base_name, t->rounds, t->seconds);
    }
    json_decref(r);
    return err;
}

static enum rbe_status run(struct gate *o, struct rbe_diag *d)
{
    struct rbe_turns t = {0};
    struct rbe_result_file *raw = NULL, *history = NULL;
    struct rbe_files files = {0};
    enum rbe_status err;

    rbe_catch_interrupt();
    if ((err = rbe_files_replace(&files, o->a->markdown, d)) ||
        (err = rbe_files_append(&files, o->a->append, d)) ||
        (err = rbe_result_open(&history, o->a->append, d)) ||
        (err = rbe_files_append(&files, o->a->record, d)) ||
        (err = rbe_result_open(&raw, o->a->record, d)))
        goto out;
    /* With figures given and no metric asked for, nothing is measured. */
    if (((o->a->metrics[0] || !o->exact_count) &&
         (err = rbe_turns_init(&t, o->a->metrics, d))) ||
        (t.count &&
         (err = rbe_turns_run(&t, &o->a->t, o->a->record ? record_round : NULL, raw, d))) ||
        (err = present(o, &t, history, d)))
        goto out;
    const enum rbe_gate_verdict v = overall(o, &t);
    o->a->call.code = v == RBE_GATE_PASS ? 0
                      : v == RBE_GATE_REGRESSION ? EXIT_REGRESSION : EXIT_NOISY;
out:
    if (t.base_failed)
        o->a->call.code = EXIT_BASE;
    rbe_result_close(&raw);
    rbe_result_close(&history);
    rbe_files_free(&files);
    rbe_turns_free(&t);
    return err;
}

static enum rbe_status check(struct gate *o, struct rbe_diag *d)
{
    struct rbe_gate_args *a = o->a;

    if (!a->replay && (!a->t.base || !a->t.fresh))
        return rbe_fail(d, RBE_ERR_ARG, "wants --base COMMAND and --new COMMAND");
    a->t.threshold = a->threshold / 100;
    a->t.pin = !a->no_pin;
    /* Counts repeat, so they are held to the line that separates times. */
    const struct rbe_gate_rule rule = {.threshold = a->t.threshold};
    const enum rbe_status err = parse_exacts(o, a->exact, "--exact", exact_limit, d);
    return err ? err : parse_exacts(o, a->count, "--count", expm1(rbe_gate_cut(&rule)), d);
}

enum rbe_status rbe_cmd_gate(struct rbe_gate_args *a, struct rbe_diag *d)
{
    static struct gate g;
    g.a = a;
    const enum rbe_status err = check(&g, d);

    if (err)
        return err;
    return a->replay ? rbe_replay(stdout, a->replay, a->metrics, &a->t,
                                  (unsigned)a->decisions, d)
                     : run(&g, d);
}
