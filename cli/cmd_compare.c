/*
 * cmd_compare.c - rbe compare: what changed between two result files.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/file.h"
#include "base/nearest.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "cli/paint.h"
#include "gate/compare.h"
#include "gate/logits.h"

enum { EXIT_WORSE = 3, EXIT_NOISY = 4 };

static enum rbe_paint paint_of(enum rbe_change c)
{
    return c == RBE_WORSE ? RBE_RED : c == RBE_BETTER ? RBE_GREEN
           : c == RBE_TOO_NOISY ? RBE_YELLOW : RBE_PLAIN;
}

/* The whole name in Markdown; as much as fits in a terminal's table. */
static void print_row(const struct rbe_comparison_row *r, bool md)
{
    char change[32] = "", range[64] = "exact", p[24] = "";
    const struct rbe_figure *a = r->base;

    snprintf(change, sizeof change, "%+.*f %%", a->exact ? 3 : 2, 100 * (r->ratio - 1));
    if (!isfinite(r->ratio))
        snprintf(change, sizeof change, "from 0");
    if (!a->exact) {
        snprintf(range, sizeof range, "%+.2f to %+.2f %%", 100 * (r->ci.low - 1),
                 100 * (r->ci.high - 1));
        if (isnan(r->ci.low))
            snprintf(range, sizeof range, "one sample");
        snprintf(p, sizeof p, "%.2g", r->p);
    }
    printf(md ? "| %s | %.6g %s | %.6g %s | %s | %s | %s | %zu, %zu | %s%s%s |\n"
           : "%-58.58s %10.6g %-5s %10.6g %-5s %10s  %-20s %8s %zu,%zu  %s%s%s\n", a->key,
           a->value, a->unit, r->fresh->value, a->unit, change, range, p, a->count,
           r->fresh->count, md ? "" : rbe_paint(stdout, paint_of(r->change)),
           rbe_change_name(r->change), md ? "" : rbe_paint(stdout, RBE_PLAIN));
}

static const char *machine_of(const struct rbe_figures *f)
{
    return f->machine[0] ? f->machine : "one that is not named";
}

static void print(const struct rbe_comparison *c, const struct rbe_figures *a,
                  const struct rbe_figures *b, const struct rbe_compare_args *o)
{
    const bool md = o->markdown;

    if (md)
        printf("### Comparison: %u worse, %u better, %u the same, %u too noisy\n\n",
               c->counts[RBE_WORSE], c->counts[RBE_BETTER], c->counts[RBE_SAME],
               c->counts[RBE_TOO_NOISY]);
    if (c->machines_differ)
        printf("%sDIFFERENT MACHINES%s: base on %s; new on %s. Times differ by the machines "
               "too.\n%s", md ? "**" : "", md ? "**" : "", machine_of(a), machine_of(b),
               md ? "\n" : "");
    printf("%s", md ? "| row | base | new | change | 95 % interval | p | samples | verdict |\n"
           "|---|---:|---:|---:|---|---:|---:|---|\n" : "");
    for (size_t i = 0; i < c->count; i++)
        print_row(&c->rows[i], md);
    if (md)
        putchar('\n');
    else
        printf("%u worse, %u better, %u the same, %u too noisy\n", c->counts[RBE_WORSE],
               c->counts[RBE_BETTER], c->counts[RBE_SAME], c->counts[RBE_TOO_NOISY]);
    if (c->missing || c->added || a->skipped || b->skipped)
        printf("%zu rows only in the base, %zu only in the new file; %u and %u lines hold "
               "nothing to compare.\n", c->missing, c->added, a->skipped, b->skipped);
    if (md)
        printf("Times count as changed beyond %.3g %% and %.3g ms, with at most %.2g %% of "
               "such verdicts "
               "by chance; exact figures beyond %.2g %%.\n", o->threshold, o->floor,
               100 * rbe_compare_defaults().alpha,
               o->exact);
}

static json_t *record_of(const struct rbe_comparison *c, const struct rbe_figures *a,
                         const struct rbe_figures *b, const struct rbe_compare_args *o)
{
    json_t *r = rbe_result_new(RBE_KIND(compare), 0), *rows = json_array();

    if (!r || !rows) {
        json_decref(r);
        json_decref(rows);
        return NULL;
    }
    RBE_SET(r, RBE_JSON(base_machine, rbe_result_text(a->machine)),
            RBE_JSON(new_machine, rbe_result_text(b->machine)),
            RBE_FLAG(machines_differ, c->machines_differ),
            RBE_REAL(threshold, o->threshold / 100),
            RBE_REAL(exact_threshold, o->exact / 100));
    RBE_SET(r, RBE_INT(same, c->counts[RBE_SAME]), RBE_INT(better, c->counts[RBE_BETTER]),
            RBE_INT(worse, c->counts[RBE_WORSE]), RBE_INT(too_noisy, c->counts[RBE_TOO_NOISY]),
            RBE_INT(missing, c->missing), RBE_INT(added, c->added));
    for (size_t i = 0; i < c->count; i++) {
        const struct rbe_comparison_row *x = &c->rows[i];
        json_array_append_new(
            rows, RBE_OBJECT(RBE_JSON(name, rbe_result_text(x->base->key)),
                             RBE_WORD(unit, x->base->unit), RBE_FLAG(exact, x->base->exact),
                             RBE_REAL(base, x->base->value), RBE_REAL(new, x->fresh->value),
                             RBE_REAL(ratio, x->ratio),
                             RBE_PAIR(interval, x->ci.low, x->ci.high), RBE_REAL(p, x->p),
                             RBE_JSON(samples, json_pack("[I, I]", (json_int_t)x->base->count,
                                                         (json_int_t)x->fresh->count)),
                             RBE_WORD(verdict, rbe_change_name(x->change))));
    }
    RBE_SET(r, RBE_JSON(metrics, rows));
    return r;
}

static enum rbe_status output(const struct rbe_comparison *c, const struct rbe_figures *a,
                              const struct rbe_figures *b, const struct rbe_compare_args *o,
                              struct rbe_result_file *f, struct rbe_diag *d)
{
    json_t *r = record_of(c, a, b, o);
    enum rbe_status err = r ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    if (!err && o->append)
        err = rbe_result_append(f, json_incref(r), d);
    if (!err && o->json) {
        json_dumpf(r, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
        putchar('\n');
    } else if (!err) {
        print(c, a, b, o);
    }
    json_decref(r);
    return err;
}

/* --- predictions of llama.cpp ------------------------------------------------------------- */

static enum rbe_status run_logits(struct rbe_compare_args *o, const char *base,
                                  const char *fresh, struct rbe_diag *d)
{
    struct rbe_logits_result r;
    enum rbe_status err;

    if (o->append || o->markdown)
        return rbe_fail(d, RBE_ERR_ARG, "files of predictions: no %s",
                        o->append ? "--append" : "--markdown");
    rbe_catch_interrupt();
    if ((err = rbe_logits_compare(&r, base, fresh, d)))
        return err;
    const double change = r.perplexity / r.base_perplexity - 1;
    const bool worse = change > o->exact / 100;
    if (o->json) {
        json_t *j = json_pack(
            "{s:i, s:i, s:i, s:I, s:f, s:f, s:f, s:o, s:f, s:f, s:f, s:o, s:s}", "context",
            (int)r.context, "vocabulary", (int)r.vocabulary, "chunks", (int)r.chunks,
            "scored", (json_int_t)r.scored, "base_perplexity", r.base_perplexity, "perplexity",
            r.perplexity, "kl_mean", r.kl.value, "kl_se", rbe_result_real(r.kl.se), "kl_max",
            r.kl_max, "top1_agreement", r.top1, "p_change", r.p_change.value, "p_change_se",
            rbe_result_real(r.p_change.se), "verdict", worse ? "worse" : "same");
        if (!j)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        json_dumpf(j, stdout, JSON_COMPACT | JSON_REAL_PRECISION(17));
        putchar('\n');
        json_decref(j);
    } else {
        printf("%llu tokens of %u chunks, context %u, vocabulary %u\n"
               "perplexity        base %.4f, new %.4f: %+.3f %%\n"
               "KL(base, new)     %.5f +- %.5f nats, largest %.3f\n"
               "most likely word  %.2f %% the same\n"
               "true token        %+.3f +- %.3f %% of probability\n",
               (unsigned long long)r.scored, r.chunks, r.context, r.vocabulary,
               r.base_perplexity, r.perplexity, 100 * change, r.kl.value, r.kl.se, r.kl_max,
               100 * r.top1, 100 * r.p_change.value, 100 * r.p_change.se);
    }
    o->call.code = worse ? EXIT_WORSE : 0;
    return RBE_OK;
}

/* --- baselines ---------------------------------------------------------------------------- */

static const char samples[] = ".samples.jsonl";

/* The file of a baseline, a fresh string. */
static enum rbe_status baseline_path(char **out, const struct rbe_compare_args *o,
                                     const char *name, struct rbe_diag *d)
{
    static const char letters[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-";

    *out = NULL;
    if (!*name || *name == '.' || name[strspn(name, letters)] || strlen(name) > 100)
        return rbe_fail(d, RBE_ERR_ARG, "baseline '%.100s': a name of letters, digits, '.', "
                        "'_' and '-'", name);
    *out = rbe_path_join(o->baselines, name);
    return *out ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
}

static enum rbe_status find_baseline(char **out, const struct rbe_compare_args *o,
                                     struct rbe_diag *d)
{
    const enum rbe_status err = baseline_path(out, o, o->against, d);
    struct stat st;

    if (err || !stat(*out, &st))
        return err;
    struct rbe_nearest near = rbe_nearest_to(o->against);
    rbe_nearest_try_beside(&near, *out, "");
    free(*out);
    *out = NULL;
    return rbe_fail(d, RBE_ERR_IO, "no baseline '%s' in %s%s; rbe compare --save %s FILE keeps "
                    "one", o->against, o->baselines, rbe_nearest_hint(&near).text, o->against);
}

static enum rbe_status copy(const char *from, const char *to, struct rbe_diag *d)
{
    struct rbe_outfile f = {0};
    char *bytes = NULL;
    size_t size;
    enum rbe_status err = rbe_read_file(&bytes, &size, from, d);

    if (!err && !(err = rbe_outfile_open(&f, to, d))) {
        fwrite(bytes, 1, size, f.f);
        err = rbe_outfile_commit(&f, d);
    }
    rbe_outfile_discard(&f);
    free(bytes);
    return err;
}

/* Keeps a result file, and its samples where it has them, under the name. */
static enum rbe_status save(const struct rbe_compare_args *o, const char *path,
                            struct rbe_diag *d)
{
    char *to = NULL, *own = NULL, *kept = NULL;
    struct rbe_figures checked = {0};
    struct stat st;
    enum rbe_status err = baseline_path(&to, o, o->save, d);

    if (err)
        return err;
    if (!stat(path, &st) && !S_ISREG(st.st_mode))
        err = rbe_fail(d, RBE_ERR_ARG, "%s: --save keeps files only", path);
    else if (rbe_logits_is(path) || !(err = rbe_figures_read(&checked, path, d)))
        err = rbe_make_dirs(o->baselines, d);
    if (!err && (asprintf(&own, "%s%s", path, samples) < 0 ||
                 asprintf(&kept, "%s%s", to, samples) < 0))
        err = rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    /* The samples first: what stands under the name has its own beside it. */
    if (!err && !stat(own, &st))
        err = copy(own, kept, d);
    else if (!err)
        remove(kept);
    if (!err && !(err = copy(path, to, d)) && !o->json)
        printf("baseline %s: %s\n", o->save, to);
    rbe_figures_free(&checked);
    free(own);
    free(kept);
    free(to);
    return err;
}

/* What could not be measured, a line for each file. */
static void say_failed(const struct rbe_figures *f)
{
    if (f->failed == 1)
        fprintf(stderr, "rbe compare: %s; left out\n", f->failure.text);
    else if (f->failed)
        fprintf(stderr, "rbe compare: %s; left out, and %u more\n", f->failure.text,
                f->failed - 1);
}

static enum rbe_status run(struct rbe_compare_args *o, const struct rbe_compare_options *how,
                           const char *base, const char *fresh, struct rbe_diag *d)
{
    struct rbe_figures a = {0}, b = {0};
    struct rbe_comparison c = {0};
    struct rbe_result_file *history = NULL;
    struct rbe_files files = {0};
    enum rbe_status err;

    if ((err = rbe_files_read(&files, base, d)) || (err = rbe_files_read(&files, fresh, d)) ||
        (err = rbe_files_append(&files, o->append, d)) ||
        (err = rbe_figures_read(&a, base, d)) || (err = rbe_figures_read(&b, fresh, d)) ||
        (err = rbe_result_open(&history, o->append, d)) ||
        (err = rbe_compare(&c, &a, &b, how, d)) ||
        (err = output(&c, &a, &b, o, history, d)))
        goto out;
    say_failed(&a);
    say_failed(&b);
    o->call.code = c.counts[RBE_WORSE] ? EXIT_WORSE
                   : o->strict && c.counts[RBE_TOO_NOISY] ? EXIT_NOISY : 0;
out:
    rbe_result_close(&history);
    rbe_files_free(&files);
    rbe_comparison_free(&c);
    rbe_figures_free(&a);
    rbe_figures_free(&b);
    return err;
}

enum rbe_status rbe_cmd_compare(struct rbe_compare_args *a, struct rbe_diag *d)
{
    struct rbe_compare_options how = rbe_compare_defaults();

    how.threshold = a->threshold / 100;
    how.floor_ms = a->floor;
    how.exact = a->exact / 100;
    how.other_machine = a->other_machine;
    how.missing = a->missing;
    how.seed = (uint64_t)a->seed;
    const int want = a->against ? 1 : 2;
    const bool only_save = a->save && !a->against && a->call.count == 1;
    if (a->call.count != want && !only_save)
        return rbe_fail(d, RBE_ERR_ARG, "give %s; see rbe compare --help", a->against
                        ? "one result file beside --against NAME" : "two result files");
    const char *fresh = a->call.args[a->call.count - 1], *base = a->call.args[0];
    char *kept = NULL;
    enum rbe_status err = RBE_OK;
    if (a->against && (err = find_baseline(&kept, a, d)))
        return err;
    base = kept ? kept : base;
    if (!only_save)
        err = rbe_logits_is(base) && rbe_logits_is(fresh) ? run_logits(a, base, fresh, d)
                                                          : run(a, &how, base, fresh, d);
    if (!err && a->save)
        err = save(a, fresh, d);
    free(kept);
    return err;
}
