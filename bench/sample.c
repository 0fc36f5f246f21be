/*
 * sample.c - one sample of a case: timed, judged by what else ran, and put into its row.
 *
 * SPDX-License-Identifier: MIT
 */
#include "base/progress.h"
#include "base/rows.h"
#include "bench/case.h"

struct sample {
    uint64_t iterations;
    double seconds;
    struct rbe_validity v;
    unsigned attempts;
    bool accepted;
    double event[RBE_PERF_EVENTS], running;
};

/* Seconds that n iterations took. */
static double run_iterations(struct rbe_case *c, uint64_t n)
{
    const double start = rbe_now();

    if (c->kind->seconds)
        return c->kind->seconds(c, n);
    for (uint64_t i = 0; i < n; i++)
        c->kind->iterate(c);
    return rbe_now() - start;
}

static void log_sample(const struct rbe_case *c, const struct sample *s)
{
    FILE *f = c->suite->o.raw;

    if (!f)
        return;
    fprintf(f,
            "{\"name\": \"%s\", \"iterations\": %llu, \"seconds\": %.9g, \"lost\": %.4g, "
            "\"foreign\": %.4g, \"steal\": %.4g, \"attempt\": %u, \"accepted\": %s}\n",
            c->name, (unsigned long long)s->iterations, s->seconds, s->v.lost, s->v.foreign,
            s->v.steal, s->attempts, s->accepted ? "true" : "false");
    fflush(f);
}

/* Times n iterations, again while others used the CPUs; calibration runs, shorter than half
 * of what will be asked for, are taken as they are. */
static struct sample take_sample(struct rbe_case *c, uint64_t n)
{
    const struct rbe_suite_options *o = &c->suite->o;
    struct rbe_suite_result *r = &c->suite->result;
    struct sample s = {.iterations = n};
    struct rbe_meter m;

    for (;;) {
        struct rbe_perf *perf = c->suite->teams->perf[c->threads];
        rbe_meter_start(&m);
        if (perf)
            rbe_perf_start(perf);
        s.seconds = run_iterations(c, n);
        if (perf)
            rbe_perf_stop(perf, s.event, &s.running);
        s.v = rbe_meter_stop(&m, c->threads);
        s.attempts++;
        const bool full = s.seconds >= o->min_seconds / 2,
                   valid = rbe_valid(&s.v, o->foreign_limit);
        s.accepted = valid || !full;
        if (!full)
            return s;
        r->samples++;
        log_sample(c, &s);
        if (valid)
            return s;
        /* On a machine that is never quiet, repeating everything would take for ever. */
        const bool hopeless = r->repeated > 10 + c->suite->expected / 4;
        if (s.attempts > o->repeats_max || hopeless || rbe_interrupted()) {
            r->disturbed++;
            return s;
        }
        r->repeated++;
    }
}

double rbe_case_read_roof(const struct rbe_case *c)
{
    if (!c->suite->roofs || c->bytes <= 0)
        return 0;
    /* A hot matrix is read from the level that holds it. */
    return rbe_roofs_read(c->suite->roofs,
                          c->working_set ? c->working_set
                          : c->cold      ? SIZE_MAX
                                         : (size_t)c->bytes,
                          c->threads);
}

double rbe_case_peak(const struct rbe_case *c)
{
    if (!c->suite->roofs || c->multiply_adds <= 0)
        return 0;
    return rbe_roofs_peak(c->suite->roofs, c->arithmetic, c->isa, c->threads);
}

static void report_events(struct rbe_gbench_state *g, const struct rbe_case *c,
                          const struct sample *s)
{
    const struct rbe_perf *perf = c->suite->teams->perf[c->threads];

    for (unsigned i = 0; perf && i < rbe_perf_count(perf); i++)
        rbe_gbench_counter(g, rbe_perf_name(perf, i), s->event[i] / (double)s->iterations);
    if (perf && rbe_perf_hardware(perf))
        rbe_gbench_counter(g, RBE_KEY(counters_running_share), s->running);
}

static void report(struct rbe_gbench_state *g, const struct rbe_case *c,
                   const struct sample *s)
{
    const double per = s->seconds / (double)s->iterations;
    const double roof = rbe_case_read_roof(c), top = rbe_case_peak(c);

    char label[160];
    const int n =
        snprintf(label, sizeof label, "kind=%s op=%s format=%s isa=%s cache=%s", c->kind->name,
                 c->op, c->format, c->isa_name, c->cold ? "cold" : "hot");
    if (c->used >= 0)
        snprintf(label + n, sizeof label - (size_t)n, " used=%d", c->used);
    rbe_gbench_label(g, label);
    if (c->bytes > 0) {
        rbe_gbench_counter(g, RBE_KEY(bytes_per_second), c->bytes / per);
        rbe_gbench_counter(g, RBE_KEY(bytes), c->bytes);
    }
    if (c->weights > 0) {
        rbe_gbench_counter(g, RBE_KEY(items_per_second), c->weights / per);
        rbe_gbench_counter(g, RBE_KEY(weights), c->weights);
    }
    if (c->multiply_adds > 0) {
        rbe_gbench_counter(g, RBE_KEY(multiply_adds), c->multiply_adds);
        rbe_gbench_counter(g, RBE_KEY(multiply_adds_per_second), c->multiply_adds / per);
    }
    if (c->kind->report)
        c->kind->report(c, g, per);
    rbe_gbench_counter(g, RBE_KEY(threads_pinned), c->threads);
    if (roof > 0) {
        rbe_gbench_counter(g, RBE_KEY(read_roof), roof);
        rbe_gbench_counter(g, RBE_KEY(read_fraction), c->bytes / per / roof);
    }
    if (top > 0) {
        rbe_gbench_counter(g, RBE_KEY(peak), top);
        rbe_gbench_counter(g, RBE_KEY(peak_fraction), c->multiply_adds / per / top);
    }
    report_events(g, c, s);
    rbe_gbench_counter(g, RBE_KEY(lost_share), s->v.lost);
    if (s->v.foreign >= 0)
        rbe_gbench_counter(g, RBE_KEY(foreign_share), s->v.foreign);
    if (s->v.steal >= 0)
        rbe_gbench_counter(g, RBE_KEY(steal_share), s->v.steal);
    rbe_gbench_counter(g, RBE_KEY(repeats), s->attempts - 1);
    rbe_gbench_counter(g, RBE_KEY(disturbed), !s->accepted);
}

/* What ran faster than a roof shows that the roof was measured too low: a probe among the
 * rows, or a kernel that read cold weights. */
static void raise_roofs(const struct rbe_case *c, const struct sample *s)
{
    struct rbe_roofs *roofs = c->suite->roofs;
    const double n = (double)s->iterations / s->seconds;

    if (!roofs || s->seconds < c->suite->o.min_seconds / 2)
        return;
    if (c->kind->raise)
        c->kind->raise(c, roofs, n);
    else if (c->cold && s->accepted)
        rbe_roofs_note(roofs, NULL, roofs->bytes[roofs->points - 1], c->threads, c->bytes * n);
}

void rbe_case_measure(struct rbe_case *c, struct rbe_gbench_state *g, uint64_t iterations)
{
    const struct sample s = take_sample(c, iterations);
    struct rbe_suite *suite = c->suite;

    rbe_gbench_seconds(g, s.seconds);
    raise_roofs(c, &s);
    report(g, c, &s);
    if (s.seconds >= suite->o.min_seconds / 2 && suite->done < suite->expected)
        rbe_progress_update(&suite->progress, ++suite->done, c->name);
}
