/*
 * cmd_compare.c - rbe compare: what changed between two result files.
 *
 * SPDX-License-Identifier: MIT
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/result.h"
#include "base/rows.h"
#include "cli/arguments.h"
#include "gate/compare.h"

enum { EXIT_WORSE = 3, EXIT_NOISY = 4 };

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
    printf(md ? "| %s | %.6g %s | %.6g %s | %s | %s | %s | %zu, %zu | %s |\n"
           : "%-58.58s %10.6g %-5s %10.6g %-5s %10s  %-20s %8s %zu,%zu  %s\n", a->key, a->value,
           a->unit, r->fresh->value, a->unit, change, range, p, a->count, r->fresh->count,
           rbe_change_name(r->change));
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
        printf("%sDIFFERENT MACHINES%s: base on %s; new on %s. Times tell of the machines "
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
        printf("Times count as changed beyond %.3g %%, with at most %.2g %% of such verdicts "
               "by chance; exact figures beyond %.2g %%.\n", o->threshold,
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

static enum rbe_status run(struct rbe_compare_args *o, const struct rbe_compare_options *how,
                           struct rbe_diag *d)
{
    const char *base = o->call.args[0], *fresh = o->call.args[1];
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
    how.exact = a->exact / 100;
    how.other_machine = a->other_machine;
    how.missing = a->missing;
    how.seed = (uint64_t)a->seed;
    if (a->call.count != 2)
        return rbe_fail(d, RBE_ERR_ARG, "give two result files; see rbe compare --help");
    return run(a, &how, d);
}
