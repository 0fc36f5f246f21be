/*
 * timing.c - timed bursts of tokens, with what else the machine did meanwhile.
 *
 * SPDX-License-Identifier: MIT
 */
#include "eval/timing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/progress.h"
#include "base/result.h"
#include "base/rows.h"
#include "base/stats.h"
#include "eval/softmax.h"

struct rbe_load rbe_load_now(void)
{
    struct rbe_load l = {.wall = rbe_now(), .own_cpu = rbe_usage_now().cpu_s};
    unsigned long long user, nice, sys, idle, wait, irq, soft, steal;
    FILE *f = fopen("/proc/stat", "r");

    if (!f)
        return l;
    if (fscanf(f, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", &user, &nice, &sys, &idle,
               &wait, &irq, &soft, &steal) == 8) {
        const double hz = (double)sysconf(_SC_CLK_TCK);
        l.busy = (double)(user + nice + sys + irq + soft) / hz;
        l.steal = (double)steal / hz;
        l.cpus = (double)sysconf(_SC_NPROCESSORS_ONLN);
    }
    fclose(f);
    return l;
}

struct rbe_load_share rbe_load_between(const struct rbe_load *a, const struct rbe_load *b)
{
    struct rbe_load_share s = {NAN, NAN, NAN};
    const double wall = b->wall - a->wall, own = b->own_cpu - a->own_cpu;

    if (!(wall > 0))
        return s;
    s.own_cpus = own / wall;
    if (a->cpus > 0 && b->cpus > 0) {
        s.foreign = fmax(0, b->busy - a->busy - own) / (wall * b->cpus);
        s.steal = (b->steal - a->steal) / (wall * b->cpus);
    }
    return s;
}

void rbe_times_free(struct rbe_times *t)
{
    free(t->ms);
    memset(t, 0, sizeof *t);
}

static enum rbe_status reserve(struct rbe_times *t, size_t n, struct rbe_diag *d)
{
    if (t->count + n <= t->room)
        return RBE_OK;
    const size_t room = t->count + n + t->room;
    double *more = realloc(t->ms, room * sizeof *more);
    if (!more)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory for %zu samples", room);
    t->ms = more;
    t->room = room;
    return RBE_OK;
}

enum rbe_status rbe_time_decode(struct rbe_times *t, struct rbe_runner *r, uint32_t token,
                                size_t n, unsigned retries, struct rbe_diag *d)
{
    const uint32_t depth = rbe_session_length(r->session);
    enum rbe_status err = reserve(t, n, d);
    struct rbe_load_share share = {NAN, NAN, NAN};
    struct rbe_load before, after;

    if (err)
        return err;
    for (unsigned attempt = 0;; attempt++) {
        uint32_t next = token;
        before = rbe_load_now();
        for (size_t i = 0; i < n; i++) {
            const double start = rbe_now();
            if ((err = rbe_forward(r->session, &next, 1, d)) ||
                (err = rbe_logits(r->session, RBE_LAST, 1, r->logits, d)))
                return err;
            next = rbe_argmax(r->logits, r->vocab);
            t->ms[t->count + i] = 1e3 * (rbe_now() - start);
        }
        after = rbe_load_now();
        rbe_session_truncate(r->session, depth);
        share = rbe_load_between(&before, &after);
        if (!(share.foreign > RBE_FOREIGN_LIMIT) || attempt >= retries || rbe_interrupted())
            break;
        t->repeats++;
    }
    t->count += n;
    t->tainted += share.foreign > RBE_FOREIGN_LIMIT;
    const double wall = after.wall - before.wall;
    t->weight += wall;
    t->foreign += wall * share.foreign;
    t->steal += wall * share.steal;
    t->cpus += wall * share.own_cpus;
    return RBE_OK;
}

enum rbe_status rbe_time_prefill(struct rbe_runner *r, const uint32_t *tokens, size_t n,
                                 double *ms, double *first_ms, uint32_t *token,
                                 struct rbe_diag *d)
{
    enum rbe_status err;

    rbe_session_truncate(r->session, 0);
    const double start = rbe_now();
    if ((err = rbe_forward(r->session, tokens, n, d)))
        return err;
    *ms = 1e3 * (rbe_now() - start);
    if ((err = rbe_logits(r->session, RBE_LAST, 1, r->logits, d)))
        return err;
    const uint32_t next = rbe_argmax(r->logits, r->vocab);
    if (first_ms)
        *first_ms = 1e3 * (rbe_now() - start);
    if (token)
        *token = next;
    return RBE_OK;
}

double rbe_times_median(const struct rbe_times *t)
{
    double *x = malloc((t->count + 1) * sizeof *x), m = NAN;

    if (!x)
        rbe_shortage_note();
    if (x && t->count) {
        memcpy(x, t->ms, t->count * sizeof *x);
        rbe_sort(x, t->count);
        m = rbe_median(x, t->count);
    }
    free(x);
    return m;
}

double rbe_gb_per_s(double bytes, double ms)
{
    return bytes / ms / 1e6;
}

json_t *rbe_times_json(const struct rbe_times *t)
{
    double *x = malloc((2 * t->count + 1) * sizeof *x);
    const size_t n = t->count;

    if (!x) {
        rbe_shortage_note();
        return NULL;
    }
    if (n)
        memcpy(x, t->ms, n * sizeof *x);
    const double mean = rbe_mean_se(x, n).value;
    rbe_sort(x, n);
    json_t *o = RBE_OBJECT(RBE_INT(tokens, n), RBE_REAL(median_ms, rbe_median(x, n)),
                           RBE_REAL(mad_ms, rbe_mad(x, n, x + n)), RBE_REAL(mean_ms, mean),
                           RBE_REAL(p50_ms, rbe_quantile(x, n, 0.5)),
                           RBE_REAL(p95_ms, rbe_percentile_if_enough(x, n, 0.95)),
                           RBE_REAL(p99_ms, rbe_percentile_if_enough(x, n, 0.99)),
                           RBE_REAL(tokens_per_s, 1e3 / mean));
    free(x);
    return o;
}

json_t *rbe_times_validity(const struct rbe_times *t)
{
    const double w = t->weight > 0 ? t->weight : NAN;

    return RBE_OBJECT(RBE_REAL(foreign_cpu, t->foreign / w), RBE_REAL(steal, t->steal / w),
                      RBE_REAL(cpu_utilisation, t->cpus / w), RBE_INT(repeats, t->repeats),
                      RBE_INT(tainted, t->tainted), RBE_REAL(limit, RBE_FOREIGN_LIMIT));
}

struct two_lists {
    const double *base, *own;
    double *scratch;
};

static double median_ratio(const void *arg, const uint32_t *index, size_t n)
{
    const struct two_lists *l = arg;

    for (size_t i = 0; i < n; i++)
        l->scratch[i] = l->base[index[i]];
    rbe_sort(l->scratch, n);
    const double base = rbe_median(l->scratch, n);
    for (size_t i = 0; i < n; i++)
        l->scratch[i] = l->own[index[i]];
    rbe_sort(l->scratch, n);
    return base / rbe_median(l->scratch, n);
}

struct rbe_interval rbe_times_speedup_ci(const struct rbe_times *base,
                                         const struct rbe_times *own)
{
    const size_t n = base->count < own->count ? base->count : own->count;
    double *scratch = calloc(n + 1, sizeof *scratch);

    if (!scratch) {
        rbe_shortage_note();
        return (struct rbe_interval){NAN, NAN};
    }
    const struct two_lists l = {base->ms, own->ms, scratch};
    const struct rbe_interval ci =
        rbe_bootstrap(median_ratio, &l, n, 500, RBE_BOOTSTRAP_SEED);
    free(scratch);
    return ci;
}
