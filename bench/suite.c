/*
 * suite.c - the cases: verify once, then time, with the validity of every sample beside it.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/suite.h"

#include <regex.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/rows.h"
#include "bench/case.h"

enum rbe_status rbe_suite_open(struct rbe_suite **out, struct rbe_data *data,
                               const struct rbe_teams *teams, struct rbe_roofs *roofs,
                               const struct rbe_suite_options *o, struct rbe_diag *d)
{
    struct rbe_suite *s = calloc(1, sizeof *s);

    *out = s;
    if (!s)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    *s = (struct rbe_suite){.data = data, .teams = teams, .roofs = roofs, .o = *o};
    return RBE_OK;
}

void rbe_case_free(struct rbe_case *c)
{
    if (c->kind->close)
        c->kind->close(c);
    free(c);
}

void rbe_suite_close(struct rbe_suite **s)
{
    if (!*s)
        return;
    for (size_t i = 0; i < (*s)->count; i++)
        rbe_case_free((*s)->cases[i]);
    free((*s)->cases);
    free((*s)->y);
    free((*s)->y_scalar);
    free(*s);
    *s = NULL;
}

size_t rbe_suite_count(const struct rbe_suite *s)
{
    return s->count;
}

const char *rbe_suite_name(const struct rbe_suite *s, size_t i)
{
    return s->cases[i]->name;
}

struct rbe_suite_result rbe_suite_result(const struct rbe_suite *s)
{
    return s->result;
}

/* As Google Benchmark filters: an extended regular expression, "-" before it negates. */
enum rbe_status rbe_suite_matches(size_t *count, const struct rbe_suite *s,
                                  const char *filter, struct rbe_diag *d)
{
    const bool negative = filter[0] == '-';
    char why[128];
    regex_t re;

    *count = 0;
    const int bad = regcomp(&re, filter + negative, REG_EXTENDED | REG_NOSUB);
    if (bad) {
        regerror(bad, &re, why, sizeof why);
        return rbe_fail(d, RBE_ERR_ARG, "the filter '%s': %s", filter, why);
    }
    for (size_t i = 0; i < s->count; i++)
        *count += !regexec(&re, s->cases[i]->name, 0, NULL, 0) != negative;
    regfree(&re);
    return *count ? RBE_OK
                  : rbe_fail(d, RBE_ERR_ARG, "the filter '%s' selects nothing of %zu "
                             "benchmarks (--benchmark_list_tests shows them)", filter,
                             s->count);
}

void rbe_suite_expect(struct rbe_suite *s, const char *filter, unsigned repetitions)
{
    struct rbe_diag unused;
    size_t count;

    rbe_suite_matches(&count, s, filter, &unused);
    s->expected = (double)count * repetitions;
    rbe_progress_start(&s->progress, "measuring", "samples", s->expected);
}

/* --- the run ------------------------------------------------------------------------------ */

static void fail_case(struct rbe_case *c, const char *why)
{
    struct rbe_suite_result *r = &c->suite->result;

    c->bad = true;
    if (!r->failed++)
        snprintf(r->first_failure, sizeof r->first_failure, "%.100s: %.150s", c->name, why);
}

static enum rbe_status make_case(struct rbe_case *c, struct rbe_diag *d)
{
    const enum rbe_status err = c->kind->make ? c->kind->make(c, d) : RBE_OK;

    c->made = !err;
    return err;
}

static void verify_case(struct rbe_case *c)
{
    struct rbe_diag d = {{0}};

    c->verified = true;
    if (!c->kind->verify)
        return;
    if (c->kind->verify(c, &d))
        fail_case(c, d.text);
    else
        c->suite->result.verified++;
}

static void run_case(struct rbe_gbench_state *g, void *arg)
{
    struct rbe_case *c = arg;
    struct rbe_diag d = {{0}};
    uint64_t n;

    if (!rbe_interrupted() && !c->made && !c->bad && make_case(c, &d) && !rbe_interrupted())
        fail_case(c, d.text);
    if (!rbe_interrupted() && !c->verified && !c->bad)
        verify_case(c);
    if (rbe_interrupted()) {
        /* All repetitions of a case must tell the same number of iterations, or the library
         * aborts; one that was never started tells none. */
        rbe_gbench_next(g, &n);
        rbe_gbench_fail(g, "interrupted");
        return;
    }
    if (c->bad) {
        rbe_gbench_fail(g, c->made ? "verification failed, not timed" : "not made, not timed");
        return;
    }
    while (rbe_gbench_next(g, &n))
        rbe_case_measure(c, g, n);
}

void rbe_suite_register(struct rbe_suite *s)
{
    for (size_t i = 0; i < s->count; i++)
        rbe_gbench_add(s->cases[i]->name, run_case, s->cases[i]);
}

/* --- registration ------------------------------------------------------------------------- */

enum rbe_status rbe_case_new(struct rbe_case **out, struct rbe_suite *s,
                             const struct rbe_case_kind *kind, unsigned threads,
                             struct rbe_diag *d)
{
    *out = NULL;
    if (!rbe_suite_has_threads(s, threads))
        return rbe_fail(d, RBE_ERR_ARG, "no team of %u threads was opened", threads);
    struct rbe_case *c = calloc(1, kind->size);
    *out = c;
    if (!c)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    c->suite = s;
    c->kind = kind;
    c->threads = threads;
    return RBE_OK;
}

enum rbe_status rbe_case_register(struct rbe_case *c, struct rbe_diag *d)
{
    struct rbe_suite *s = c->suite;

    if (s->count == s->room) {
        const size_t room = s->room ? 2 * s->room : 256;
        struct rbe_case **p = realloc(s->cases, room * sizeof *p);
        if (!p) {
            rbe_case_free(c);
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        }
        s->cases = p;
        s->room = room;
    }
    s->cases[s->count++] = c;
    return RBE_OK;
}

struct rbe_team *rbe_case_team(const struct rbe_case *c)
{
    return c->suite->teams->of[c->threads];
}

void rbe_case_name(struct rbe_case *c, const char *fmt, ...)
{
    const size_t used = strlen(c->name);
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->name + used, sizeof c->name - used, fmt, ap);
    va_end(ap);
}

void rbe_case_facts(struct rbe_case *c, const char *op, const char *format, const char *isa,
                    int used)
{
    snprintf(c->op, sizeof c->op, "%s", op);
    snprintf(c->format, sizeof c->format, "%s", format);
    snprintf(c->isa_name, sizeof c->isa_name, "%s", isa);
    c->used = used;
}

bool rbe_suite_has_threads(const struct rbe_suite *s, unsigned t)
{
    return t <= RBE_MAX_CPUS && s->teams->of[t];
}

const struct rbe_roofs *rbe_suite_roofs(const struct rbe_suite *s)
{
    return s->roofs;
}

/* --- after the run ------------------------------------------------------------------------ */

/* Google Benchmark's name of a row is that of its case and what the library adds behind '/'. */
static const struct rbe_case *case_of(const struct rbe_suite *s, const json_t *places,
                                        const char *run_name)
{
    char name[sizeof s->cases[0]->name];
    const json_t *at = NULL;

    snprintf(name, sizeof name, "%s", run_name);
    for (char *end = name; end && !(at = json_object_get(places, name));)
        if ((end = strrchr(name, '/')))
            *end = 0;
    return at ? s->cases[json_integer_value(at)] : NULL;
}

/* Of mean, median, deviations alike: all but the coefficient of variation scale. */
static void set_fraction(json_t *row, const char *rate, const char *roof_key,
                         const char *fraction_key, double roof)
{
    const json_t *v = json_object_get(row, rate);
    const char *aggregate = RBE_STRING_AT(row, aggregate_name);

    if (!json_is_number(v) || roof <= 0 || (aggregate && !strcmp(aggregate, "cv")))
        return;
    if (!aggregate || !strcmp(aggregate, "mean") || !strcmp(aggregate, "median"))
        json_object_set_new(row, roof_key, json_real(roof));
    json_object_set_new(row, fraction_key, json_real(json_number_value(v) / roof));
}

void rbe_suite_final_roofs(const struct rbe_suite *s, json_t *benchmarks)
{
    json_t *row, *places = json_object();
    size_t i;

    for (i = 0; i < s->count; i++)
        json_object_set_new(places, s->cases[i]->name, json_integer((json_int_t)i));
    json_array_foreach(benchmarks, i, row)
    {
        const char *name = RBE_STRING_AT(row, run_name);
        const struct rbe_case *c = name ? case_of(s, places, name) : NULL;
        if (!c)
            continue;
        RBE_SET(row, RBE_WORD(what, c->kind->name), RBE_WORD(op, c->op),
                RBE_WORD(format, c->format), RBE_WORD(isa, c->isa_name),
                RBE_WORD(cache, c->cold ? "cold" : "hot"),
                RBE_JSON(kernel, json_stringn(c->name, strcspn(c->name, "/"))));
        if (c->used >= 0)
            RBE_SET(row, RBE_INT(used, c->used));
        if (*c->size)
            RBE_SET(row, RBE_WORD(size, c->size));
        if (c->working_set)
            RBE_SET(row, RBE_INT(working_set, c->working_set));
        set_fraction(row, RBE_KEY(bytes_per_second), RBE_KEY(read_roof),
                     RBE_KEY(read_fraction), rbe_case_read_roof(c));
        set_fraction(row, RBE_KEY(multiply_adds_per_second), RBE_KEY(peak),
                     RBE_KEY(peak_fraction), rbe_case_peak(c));
    }
    json_decref(places);
}
