/*
 * judge.c - rows found, texts filled and verdicts made, for all judges.
 *
 * SPDX-License-Identifier: MIT
 */
#include "reports/judge.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

const char *rbe_verdict_name(enum rbe_verdict v)
{
    static const char *const names[] = {"PASS", "FAIL", "WITHIN ERROR", "NOT MEASURED"};
    return names[v];
}

void rbe_megabytes(char *out, size_t size, double bytes)
{
    if (isnan(bytes))
        snprintf(out, size, "?");
    else
        snprintf(out, size, bytes < 99.95e6 ? "%.2f MB" : "%.1f MB", bytes / 1e6);
}

void rbe_say(char *out, size_t size, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(out, size, fmt, ap);
    va_end(ap);
}
void rbe_not_measured(struct rbe_criterion *c, const char *fmt, ...)
{
    va_list ap;

    c->verdict = RBE_NOT_MEASURED;
    va_start(ap, fmt);
    vsnprintf(c->how, sizeof c->how, fmt, ap);
    va_end(ap);
}

void rbe_cite(struct rbe_criterion *c, const struct rbe_row *row)
{
    SAY(c->source, "%s:%zu", row->file, row->line);
}

const struct rbe_model_seen *rbe_pair_model(const struct rbe_pair *p, bool base)
{
    const int i = base ? p->base : p->model;
    return i < 0 ? NULL : &p->r->models[i];
}

bool rbe_is_gpt2_small(const struct rbe_model_seen *m)
{
    /* However it is counted: 117 million as its authors did, 124 of them distinct. */
    return m && fabs(m->parameters / RBE_GPT2_SMALL - 1) < .06;
}

const struct rbe_row *rbe_pair_row(const struct rbe_pair *p, const char *kind, bool base)
{
    const int i = base ? p->base : p->model;
    return i < 0 ? NULL : rbe_results_last(p->r, kind, i);
}

const struct rbe_row *rbe_pair_inference(const struct rbe_pair *p, bool base, const char *field)
{
    const int m = base ? p->base : p->model;

    for (size_t i = p->r->count; m >= 0 && i-- > 0;) {
        const struct rbe_row *row = &p->r->rows[i];
        if (!strcmp(row->kind, RBE_KIND(inference)) && !isnan(rbe_number_at(row->v, field)) &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, model)) == m)
            return row;
    }
    return NULL;
}

void rbe_say_interval(char *out, size_t size, const json_t *v, const char *path,
                      const char *format)
{
    const json_t *ci = rbe_interval_at(v, path);
    char fmt[64];

    out[0] = 0;
    if (!ci)
        return;
    snprintf(fmt, sizeof fmt, " (%s to %s)", format, format);
    snprintf(out, size, fmt, json_number_value(json_array_get(ci, 0)),
             json_number_value(json_array_get(ci, 1)));
}

void rbe_say_number(char out[RBE_CRITERION_TEXT], const char *format, double x)
{
    out[0] = 0;
    if (isnan(x))
        return;
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-nonliteral"
    snprintf(out, RBE_CRITERION_TEXT, format, x);
#pragma GCC diagnostic pop
}

enum rbe_verdict rbe_verdict_of(double x, const json_t *ci, const struct rbe_limit *limit)
{
    const double low = ci ? json_number_value(json_array_get(ci, 0)) : x;
    const double high = ci ? json_number_value(json_array_get(ci, 1)) : x;
    const double all[] = {x, low, high};
    size_t met = 0;

    for (size_t i = 0; i < 3; i++)
        met += rbe_meets(limit, all[i]);
    return met == 3 ? RBE_PASS : met ? RBE_WITHIN_ERROR : RBE_FAIL;
}

bool rbe_oversubscribed_row(const json_t *row, char *out, size_t size)
{
    const double threads = RBE_NUMBER_AT(row, machine, threads);
    const double cores = RBE_NUMBER_AT(row, machine, cores);
    const double quota = RBE_NUMBER_AT(row, machine, cpu_quota);
    const double cpus = quota < cores || isnan(cores) ? quota : cores;

    out[0] = 0;
    if (!(threads > cpus))
        return false;
    snprintf(out, size, "%.0f thread%s on %.3g CPU%s", threads, threads > 1 ? "s" : "", cpus,
             cpus > 1 ? "s" : "");
    return true;
}

bool rbe_timed_in_vain(struct rbe_criterion *c, const struct rbe_row *row)
{
    char why[64];

    if (!rbe_oversubscribed_row(row->v, why, sizeof why))
        return false;
    rbe_not_measured(c, "timed with %s, which wait for each other", why);
    return true;
}

const struct rbe_row *rbe_pair_sized(const struct rbe_pair *p)
{
    for (size_t i = p->r->count; i-- > 0;) {
        const struct rbe_row *row = &p->r->rows[i];
        if (!isnan(RBE_NUMBER_AT(row->v, model, bytes)) &&
            strcmp(row->kind, RBE_KIND(projection)) &&
            rbe_results_model(p->r, RBE_VALUE_AT(row->v, model)) == p->model)
            return row;
    }
    return NULL;
}
