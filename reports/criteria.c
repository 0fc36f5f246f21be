/*
 * criteria.c - which models are judged, and by which judges.
 *
 * SPDX-License-Identifier: MIT
 *
 * Criteria and limits stand in base/criteria.def; docs/CHAPTER.md says where in the chapter
 * they come from.  The chapter speaks of GPT-2 small; on another model a size means the same
 * share of that model's f32 bytes.
 */
#include "reports/criteria.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/criteria.h"
#include "reports/judge.h"

double rbe_budget_bits(void)
{
    return RBE_LIMIT(C1_FILE) * 8 / RBE_GPT2_SMALL;
}

static struct rbe_criterion *add(struct rbe_criteria *out, const struct rbe_pair *p,
                                 const struct rbe_limit *limit)
{
    struct rbe_criterion *rows = realloc(out->rows, (out->count + 1) * sizeof *rows);

    if (!rows)
        return NULL;
    out->rows = rows;
    struct rbe_criterion *c = &rows[out->count++];
    *c = (struct rbe_criterion){.limit = limit, .id = limit->id, .what = limit->what,
                                .base = p->base, .at = p->model};
    const struct rbe_model_seen *m =
        rbe_pair_model(p, true) ? rbe_pair_model(p, true) : rbe_pair_model(p, false);
    if (m)
        SAY(c->model, "%s%s%.*s%s", m->name ? m->name : "?", m->label ? " (" : "",
            m->label ? (int)strcspn(m->label, ",") : 0, m->label ? m->label : "",
            m->label ? ")" : "");
    return c;
}

static const struct {
    enum rbe_limit_name limit;
    const char *target; /* a format of the limit, or "" */
    bool every;         /* size, speed and memory: judged on other models too */
    rbe_judge_fn *judge;
} list[] = {
#define EVERY true
#define FIRST false
#define CRITERION(name, id, section, limit, unit, sense, kind, field, what, target, ...)       \
    {RBE_LIMIT_##name, target, __VA_ARGS__},
#define CONDITION(...)
#include "base/criteria.def"
};
enum { LIST = sizeof list / sizeof *list };

static void judge(struct rbe_criterion *c, const struct rbe_pair *p, int k)
{
    const double percent = strcmp(c->limit->unit, "share") ? 1 : 100;

    rbe_say_number(c->target, list[k].target, percent * c->limit->value);
    list[k].judge(c, p);
}

/* A step of the run that was to measure this and failed is the better reason. */
static void blame(struct rbe_criterion *c, const struct rbe_results *r)
{
    for (size_t i = 0; i < r->count && c->verdict == RBE_NOT_MEASURED; i++) {
        const json_t *v = r->rows[i].v, *id;
        size_t k;
        if (strcmp(r->rows[i].kind, RBE_KIND(step)) || RBE_TRUE_AT(v, ok))
            continue;
        json_array_foreach(RBE_VALUE_AT(v, criteria), k, id)
            if (json_is_string(id) && !strcmp(json_string_value(id), c->id)) {
                const char *reason = RBE_STRING_AT(v, reason);
                char step[96];
                rbe_step_name(step, v);
                rbe_not_measured(c, "the step '%s' did not run: %s", step,
                                 reason ? reason : "no reason given");
                rbe_cite(c, &r->rows[i]);
            }
    }
}

/* How good a pair is for the first table: the whole perplexity counts most, then any, then
 * nearness to the budget. */
static double merit(const struct rbe_pair *p)
{
    const struct rbe_row *q = rbe_criteria_paired(p->r, p->base, p->model);
    const struct rbe_model_seen *m = rbe_pair_model(p, false), *b = rbe_pair_model(p, true);
    double x = 0;

    if (q)
        x += RBE_TRUE_AT(q->v, complete) ? 200 : 100;
    if (b && !b->label)
        x += 50;
    if (rbe_is_shipped(b))
        x += 50;
    if (!isnan(m->bits))
        x -= fmin(fabs(m->bits - rbe_budget_bits()), 40);
    else
        x -= 40;
    /* Of two of the same size the one within the budget, then the one converted last. */
    if (m->bits > rbe_budget_bits() * 1.005)
        x -= .5;
    return x;
}

enum rbe_status rbe_criteria_judge(struct rbe_criteria *out, const struct rbe_results *r,
                                   const char *named, struct rbe_diag *d)
{
    double best = -INFINITY;
    bool named_seen = false;

    *out = (struct rbe_criteria){.base = -1, .model = -1};
    for (size_t i = 0; i < r->model_count; i++) {
        const struct rbe_pair p = {r, r->models[i].base, (int)i};
        if (!r->models[i].rbe || !r->models[i].measured)
            continue;
        if (named && (!r->models[i].name || strcmp(named, r->models[i].name)))
            continue;
        named_seen = true;
        if (merit(&p) >= best) {
            best = merit(&p);
            out->base = p.base;
            out->model = p.model;
        }
    }
    if (named && !named_seen)
        return rbe_fail(d, RBE_ERR_ARG, "no row is about an RBE model '%s'", named);

    /* First the pair in question, all criteria; then the best model of each other original. */
    for (int first = 1; first >= 0; first--)
        for (size_t i = 0; i < r->model_count; i++) {
            struct rbe_pair p = {r, out->base, out->model};
            if (first && i > 0)
                break;
            if (!first) {
                if (r->models[i].rbe || !r->models[i].measured || (int)i == out->base)
                    continue;
                p = (struct rbe_pair){r, (int)i, -1};
                best = -INFINITY;
                for (size_t k = 0; k < r->model_count; k++) {
                    const struct rbe_pair t = {r, (int)i, (int)k};
                    if (r->models[k].base == (int)i && r->models[k].rbe &&
                        r->models[k].measured && merit(&t) >= best) {
                        best = merit(&t);
                        p.model = (int)k;
                    }
                }
                if (p.model < 0)
                    continue;
            }
            for (int k = 0; k < LIST; k++) {
                if (!first && !list[k].every && r->models[p.base].label)
                    continue;
                struct rbe_criterion *c = add(out, &p, &rbe_limits[list[k].limit]);
                if (!c)
                    return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
                c->other = !first;
                judge(c, &p, k);
                if (first)
                    blame(c, r);
                /* Said once, above, is enough, where there is no number. */
                if (!first && c->verdict == RBE_NOT_MEASURED && !c->rbe[0])
                    out->count--;
            }
        }
    for (size_t i = 0; i < out->count && !out->rows[i].other; i++) {
        out->judged++;
        out->pass += out->rows[i].verdict == RBE_PASS;
        out->fail += out->rows[i].verdict == RBE_FAIL;
        out->within_error += out->rows[i].verdict == RBE_WITHIN_ERROR;
        out->not_measured += out->rows[i].verdict == RBE_NOT_MEASURED;
    }
    return RBE_OK;
}

bool rbe_criterion_is_real(const struct rbe_results *r, const struct rbe_criterion *c)
{
    return c->other && c->base >= 0 && !r->models[c->base].label &&
           !rbe_is_shipped(&r->models[c->base]);
}

void rbe_criteria_free(struct rbe_criteria *c)
{
    free(c->rows);
    *c = (struct rbe_criteria){.base = -1, .model = -1};
}
