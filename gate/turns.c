/*
 * turns.c - rounds of A B B A blocks between two workers.
 *
 * SPDX-License-Identifier: MIT
 */
#include "gate/turns.h"

#include <math.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>

#include "base/progress.h"
#include "base/stats.h"
#include "gate/worker.h"

enum { MOST_UNITS = 4096, LEAST_UNITS = 3, MOST_BLOCKS = 64 };

/* Two launches of one program differ in their peak by whole pages only. */
enum { LEAST_MEMORY_ROUNDS = 3 };

enum rbe_status rbe_turns_init(struct rbe_turns *t, const char *metrics, struct rbe_diag *d)
{
    memset(t, 0, sizeof *t);
    for (const char *s = metrics; *s;) {
        const size_t n = strcspn(s, ",");
        struct rbe_turns_metric *m = &t->metric[t->count];
        if (t->count == RBE_TURNS_METRICS)
            return rbe_fail(d, RBE_ERR_ARG, "more than %d metrics", RBE_TURNS_METRICS);
        if (n == 0 || n >= sizeof m->name || strspn(s, "abcdefghijklmnopqrstuvwxyz"
                                                    "0123456789_") < n)
            return rbe_fail(d, RBE_ERR_ARG, "'%s' is no list of metrics", metrics);
        memcpy(m->name, s, n);
        m->exact = !strcmp(m->name, "memory");
        t->count++;
        s += n + (s[n] == ',');
    }
    return t->count ? RBE_OK : rbe_fail(d, RBE_ERR_ARG, "no metric");
}

void rbe_turns_free(struct rbe_turns *t)
{
    for (size_t i = 0; i < t->count; i++)
        free(t->metric[i].x);
    memset(t, 0, sizeof *t);
}

/* One more round of m; its three columns share one allocation. */
static enum rbe_status keep(struct rbe_turns_metric *m, double x, double base, double fresh,
                            struct rbe_diag *d)
{
    if (m->rounds == m->room) {
        const size_t room = m->room ? 2 * m->room : 32;
        double *p = malloc(3 * room * sizeof *p);
        if (!p)
            return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
        for (size_t c = 0; c < 3 && m->rounds; c++)
            memcpy(p + c * room, m->x + c * m->room, m->rounds * sizeof *p);
        free(m->x);
        m->x = p;
        m->base = p + room;
        m->fresh = p + 2 * room;
        m->room = room;
    }
    m->x[m->rounds] = x;
    m->base[m->rounds] = base;
    m->fresh[m->rounds++] = fresh;
    return RBE_OK;
}

static double median_of(const double *v, size_t n)
{
    double *x = malloc((n + 1) * sizeof *x), m = NAN;

    if (!x)
        rbe_shortage_note();
    if (x && n) {
        memcpy(x, v, n * sizeof *x);
        rbe_sort(x, n);
        m = rbe_median(x, n);
    }
    free(x);
    return m;
}

struct pair {
    struct rbe_worker side[2];  /* base, fresh */
    double unit[MOST_UNITS];
};

static enum rbe_status sample(struct pair *p, int side, const struct rbe_turns_metric *m,
                              double quantile, double *ns, struct rbe_diag *d)
{
    const enum rbe_status err =
        rbe_worker_ask(&p->side[side], m->name, m->count, p->unit, m->count, d);

    if (err)
        return err;
    rbe_sort(p->unit, m->count);
    *ns = rbe_quantile(p->unit, m->count, quantile);
    /* A clock of CPU time may stand still for one unit in a virtual machine, not for many. */
    return *ns > 0 ? RBE_OK : rbe_fail(d, RBE_ERR_NUMERIC, "the worker of %s: %s took no time",
                                       p->side[side].name, m->name);
}

/* Both sides once, not counted: pages are touched, caches filled.  The first time says how
 * many units a sample has. */
static enum rbe_status warm_up(struct pair *p, struct rbe_turns_metric *m, double sample_ms,
                               struct rbe_diag *d)
{
    const unsigned long planned = m->count;
    enum rbe_status err = RBE_OK;
    double slower = 0, ns;

    m->count = LEAST_UNITS;
    for (int side = 0; side < 2 && !err; side++) {
        err = sample(p, side, m, 0.5, &ns, d);
        slower = !err && ns > slower ? ns : slower;
    }
    const double n = ceil(1e6 * sample_ms / (slower > 0 ? slower : 1));
    m->count = planned ? planned : n > MOST_UNITS ? MOST_UNITS
               : n > LEAST_UNITS ? (unsigned long)n : LEAST_UNITS;
    return err;
}

static enum rbe_status measure(struct pair *p, struct rbe_turns_metric *m,
                               const struct rbe_turns_options *o, int first,
                               struct rbe_diag *d)
{
    double ns[2][2 * MOST_BLOCKS];
    size_t taken[2] = {0, 0};
    enum rbe_status err = RBE_OK;

    if (m->exact) {
        for (int side = 0; side < 2 && !err; side++)
            err = rbe_worker_ask(&p->side[side], m->name, 1, ns[side], 1, d);
        return err ? err : keep(m, log(ns[1][0] / ns[0][0]), ns[0][0], ns[1][0], d);
    }
    if ((err = warm_up(p, m, o->sample_ms, d)))
        return err;
    for (unsigned b = 0; b < o->blocks && !err; b++) {
        const int a = first ^ (int)(b & 1), order[4] = {a, !a, !a, a};
        for (int i = 0; i < 4 && !err; i++) {
            const int side = order[i];
            err = sample(p, side, m, o->quantile, &ns[side][taken[side]], d);
            taken[side]++;
        }
    }
    if (err)
        return err;
    const double x = rbe_gate_round(ns[0], ns[1], o->blocks);
    return keep(m, x, median_of(ns[0], taken[0]), median_of(ns[1], taken[1]), d);
}

static bool wanted(const struct rbe_turns_metric *m, const struct rbe_turns_options *o)
{
    return o->rounds || m->exact || m->figure.verdict == RBE_GATE_GO_ON;
}

static enum rbe_status start(struct pair *p, const struct rbe_turns_options *o, int first,
                             int cpu, struct rbe_diag *d)
{
    static const char *const names[] = {"the base", "the new build"};
    const char *const commands[] = {o->base, o->fresh};
    enum rbe_status err = RBE_OK;

    for (int i = 0; i < 2 && !err; i++) {
        const int side = i ? !first : first;
        err = rbe_worker_open(&p->side[side], names[side], commands[side],
                              o->patience_s, d);
    }
    for (int side = 0; side < 2 && !err && o->pin; side++)
        err = rbe_worker_ask(&p->side[side], "cpu", (unsigned long)cpu, NULL, 0, d);
    return err;
}

/* A fresh pair, all open metrics, in an order of its own. */
static enum rbe_status one_round(struct rbe_turns *t, const struct rbe_turns_options *o,
                                 struct pair *p, uint64_t *rng, int cpu, struct rbe_diag *d)
{
    const int first = (int)(rbe_random_next(rng) >> 63);
    enum rbe_status err = start(p, o, first, cpu, d);

    for (size_t i = 0; i < t->count && !err; i++) {
        struct rbe_turns_metric *m = &t->metric[i];
        const int begins = (int)(rbe_random_next(rng) >> 63);
        if (wanted(m, o))
            err = measure(p, m, o, begins, d);
        if (!err && rbe_interrupted())
            err = rbe_fail(d, RBE_ERR_INTERRUPTED, "interrupted in round %u", t->rounds + 1);
    }
    for (int side = 0; side < 2; side++)
        rbe_worker_close(&p->side[side]);
    t->base_failed = err && err != RBE_ERR_INTERRUPTED && p->side[0].failed;
    return err;
}

/* The rule for a metric: its threshold is no less than the floor is of its time. */
static struct rbe_gate_rule rule_for(const struct rbe_turns_metric *m,
                                     const struct rbe_gate_rule *rule, double floor_ms)
{
    struct rbe_gate_rule r = *rule;
    const double floor = floor_ms * 1e6 / m->base_value;

    if (floor > r.threshold)
        r.threshold = floor;
    return r;
}

/* True while a metric is open. */
static bool judge(struct rbe_turns *t, const struct rbe_gate_rule *rule, double floor_ms,
                  unsigned *look, bool at_look, bool last)
{
    bool open = false;

    for (size_t i = 0; i < t->count; i++) {
        struct rbe_turns_metric *m = &t->metric[i];
        m->base_value = median_of(m->base, m->rounds);
        m->fresh_value = median_of(m->fresh, m->rounds);
        if (m->exact) {
            const double r = m->fresh_value / m->base_value;
            m->figure = (struct rbe_gate_figure){
                r, r, r, m->rounds, m->rounds < LEAST_MEMORY_ROUNDS && !last ? RBE_GATE_GO_ON
                : r > 1 + rule->threshold ? RBE_GATE_REGRESSION : RBE_GATE_PASS};
        } else if ((at_look || last) && m->figure.verdict == RBE_GATE_GO_ON) {
            const struct rbe_gate_rule own = rule_for(m, rule, floor_ms);
            m->figure = rbe_gate_judge(&own, m->x, m->rounds, last);
        }
        open |= m->figure.verdict == RBE_GATE_GO_ON;
    }
    *look += at_look;
    return open;
}

static unsigned list_cpus(int *cpu, unsigned most)
{
    cpu_set_t set;
    unsigned n = 0;

    if (!sched_getaffinity(0, sizeof set, &set))
        for (int i = 0; i < CPU_SETSIZE && n < most; i++)
            if (CPU_ISSET(i, &set))
                cpu[n++] = i;
    if (!n)
        cpu[n++] = 0;
    return n;
}

enum rbe_status rbe_turns_run(struct rbe_turns *t, const struct rbe_turns_options *o,
                              rbe_turns_record_fn *record, void *arg, struct rbe_diag *d)
{
    struct rbe_gate_rule rule = rbe_gate_defaults(0);
    struct pair *p = calloc(1, sizeof *p);
    const double begin = rbe_now();
    int cpu[CPU_SETSIZE];
    const unsigned cpus = list_cpus(cpu, CPU_SETSIZE);
    uint64_t rng = o->seed;
    unsigned look = 0;
    bool open = true;
    enum rbe_status err = p ? RBE_OK : rbe_fail(d, RBE_ERR_NOMEM, "out of memory");

    if (!err && (o->blocks < 1 || o->blocks > MOST_BLOCKS))
        err = rbe_fail(d, RBE_ERR_ARG, "blocks: 1 to %d", MOST_BLOCKS);
    rule.threshold = o->threshold;
    for (size_t i = 0; i < t->count; i++)
        rule.metrics += !t->metric[i].exact;
    while (!err && open) {
        const double at = rbe_now();
        if ((err = one_round(t, o, p, &rng, cpu[t->rounds % cpus], d)))
            break;
        t->rounds++;
        t->seconds = rbe_now() - begin;
        for (size_t i = 0; i < t->count && record && !err; i++)
            if (wanted(&t->metric[i], o))
                err = record(arg, &t->metric[i], t->rounds, rbe_now() - at, d);
        const size_t due = rbe_gate_look_at(&rule, look), next = rbe_gate_look_at(&rule,
                                                                                  look + 1);
        const bool at_look = !o->rounds && t->rounds >= due;
        const bool last = o->rounds ? t->rounds >= o->rounds
                          : t->seconds >= o->budget_s || (at_look && !next);
        open = judge(t, &rule, o->floor_ms, &look, at_look, last) && !last;
    }
    free(p);
    return err;
}
