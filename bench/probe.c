/*
 * probe.c - the list of probes, and the roofs they measure.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/probe.h"

#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include "base/progress.h"
#include "base/rows.h"
#include "bench/probe_list.h"
#include "kernels/cpu.h"

static const struct rbe_probe table[] = {
#define RBE_BENCH_PROBE(kind, kind_enum, isa, work)                                            \
    RBE_ON(isa, {"probe_" #kind "_" #isa, kind_enum, RBE_BITS(isa), work,                      \
                 rbe_probe_##kind##_##isa, #isa},)
#include "bench/probes.def"
#undef RBE_BENCH_PROBE
};
enum { PROBE_COUNT = sizeof table / sizeof table[0] };
_Static_assert((int)PROBE_COUNT <= (int)RBE_ROOF_PROBES, "raise RBE_ROOF_PROBES");

const struct rbe_probe *rbe_probe_at(size_t i)
{
    return i < PROBE_COUNT ? &table[i] : NULL;
}

struct pass {
    const struct rbe_probe *probe;
    const uint8_t *buffer;
    size_t bytes;
    uint64_t n;
};

static void run_pass(void *arg, unsigned i, unsigned threads)
{
    const struct pass *j = arg;
    uint64_t sink = 0;
    size_t begin = 0, end = RBE_PROBE_ROUNDS;

    if (j->probe->kind == RBE_PROBE_READ)
        rbe_split(j->bytes, 4096, i, threads, &begin, &end);
    for (uint64_t k = 0; k < j->n; k++)
        sink ^= j->probe->run(j->buffer + (j->probe->kind == RBE_PROBE_READ ? begin : 0),
                              end - begin);
    /* The work must look needed. */
    __asm__ volatile("" : : "r"(sink));
}

double rbe_probe_time(const struct rbe_probe *p, const struct rbe_team *team,
                      const void *buffer, size_t bytes, uint64_t n)
{
    struct pass j = {p, buffer, bytes / 4096 * 4096, n};
    const double start = rbe_now();

    rbe_pool_run(team->pool, run_pass, &j);
    return rbe_now() - start;
}

/* Work per second: passes until `seconds` are over, in eight trials, the best of which
 * counts: a roof is what the machine can do undisturbed. */
static double rate(const struct rbe_probe *p, const struct rbe_team *team, const void *buffer,
                   size_t bytes, double seconds)
{
    const double work = p->kind == RBE_PROBE_READ ? (double)(bytes / 4096 * 4096)
                                                  : p->work * RBE_PROBE_ROUNDS * team->threads;
    uint64_t n = 1;
    double t, best = 0;

    while ((t = rbe_probe_time(p, team, buffer, bytes, n)) < seconds / 16 && n < 1U << 30 &&
           !rbe_interrupted())
        n *= 2;
    n = (uint64_t)((double)n * seconds / 8 / t) + 1;
    for (int trial = 0; trial < 8 && !rbe_interrupted(); trial++) {
        t = rbe_probe_time(p, team, buffer, bytes, n);
        if (work * (double)n / t > best)
            best = work * (double)n / t;
        if (t > seconds) /* one pass is long enough already */
            trial += 2;
    }
    return best;
}

/* 16 KiB, twice that, ..., from 1 MiB on with one between, and the largest. */
static unsigned working_sets(size_t *bytes, size_t max)
{
    unsigned n = 0;

    for (size_t b = 16384; b <= max && n + 2 < RBE_CURVE_MAX; b *= 2) {
        bytes[n++] = b;
        if (b >= 1 << 20 && b * 3 / 2 <= max)
            bytes[n++] = b * 3 / 2;
    }
    if (!n || bytes[n - 1] != max)
        bytes[n++] = max;
    return n;
}

/* The first point from which on one thread is never more than 15 % faster than at the end. */
static size_t knee(const struct rbe_roofs *r)
{
    const double end = r->read[r->points - 1][1];
    unsigned i = r->points - 1;

    while (i && r->read[i - 1][1] <= 1.15 * end)
        i--;
    return r->bytes[i];
}

/* Reads are measured with the four widest probes that run here: one of them is fastest. */
static bool narrow(int k, uint32_t isa)
{
    int wider = 0;

    for (int i = k + 1; i < PROBE_COUNT; i++)
        wider += table[i].kind == RBE_PROBE_READ && !(table[i].isa & ~isa);
    return wider >= 4;
}

void rbe_roofs_plan(struct rbe_roofs *r, uint32_t isa, size_t max_bytes)
{
    memset(r, 0, sizeof *r);
    r->buffer_bytes = max_bytes;
    r->isa = isa;
    r->points = working_sets(r->bytes, max_bytes);
}

/* Made ready between two looks for an interrupt. */
#define FILL_BYTES ((size_t)16 << 20)

enum rbe_status rbe_roofs_measure(struct rbe_roofs *r, struct rbe_team *const *teams,
                                  unsigned threads, uint32_t isa, size_t max_bytes,
                                  double seconds, struct rbe_diag *d)
{
    rbe_roofs_plan(r, isa, max_bytes);
    void *p = mmap(NULL, max_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return rbe_fail_errno(d, "%zu MiB to measure the memory", max_bytes >> 20);
    r->buffer = p;
    r->threads = threads;
    /* Untouched pages would all be the one page of zeros. */
    for (size_t at = 0; at < max_bytes && !rbe_interrupted(); at += FILL_BYTES)
        memset((char *)p + at, 1, max_bytes - at < FILL_BYTES ? max_bytes - at : FILL_BYTES);
    for (unsigned t = 1; t <= r->threads; t++) {
        if (!teams[t])
            continue;
        for (int k = 0; k < PROBE_COUNT && !rbe_interrupted(); k++) {
            const struct rbe_probe *probe = &table[k];
            if (probe->isa & ~isa || (probe->kind == RBE_PROBE_READ && narrow(k, isa)))
                continue;
            if (probe->kind != RBE_PROBE_READ) {
                r->peak[k][t] = rate(probe, teams[t], p, 0, seconds);
                continue;
            }
            for (unsigned i = 0; i < r->points && !rbe_interrupted(); i++) {
                const double v = rate(probe, teams[t], p, r->bytes[i], seconds);
                if (v > r->read[i][t])
                    r->read[i][t] = v;
            }
        }
    }
    r->cache_bytes = knee(r);
    return RBE_OK;
}

void rbe_roofs_note(struct rbe_roofs *r, const struct rbe_probe *p, size_t bytes,
                    unsigned threads, double rate)
{
    if (threads > r->threads)
        return;
    if (p && p->kind != RBE_PROBE_READ) {
        double *peak = &r->peak[p - table][threads];
        *peak = rate > *peak ? rate : *peak;
        return;
    }
    for (unsigned i = 0; i < r->points; i++)
        if (r->bytes[i] == bytes && rate > r->read[i][threads])
            r->read[i][threads] = rate;
}

void rbe_roofs_close(struct rbe_roofs *r)
{
    if (r->buffer)
        munmap(r->buffer, r->buffer_bytes);
    memset(r, 0, sizeof *r);
}

double rbe_roofs_peak(const struct rbe_roofs *r, enum rbe_probe_kind kind, uint32_t isa,
                      unsigned threads)
{
    double best = 0;

    for (int k = 0; k < PROBE_COUNT && threads <= r->threads; k++)
        if (table[k].kind == kind && !(table[k].isa & ~isa) && r->peak[k][threads] > best)
            best = r->peak[k][threads];
    return best;
}

double rbe_roofs_read(const struct rbe_roofs *r, size_t bytes, unsigned threads)
{
    if (!r->points || threads > r->threads)
        return 0;
    for (unsigned i = 0; i < r->points; i++)
        if (bytes <= r->bytes[i])
            return r->read[i][threads];
    return r->read[r->points - 1][threads];
}

json_t *rbe_roofs_json(const struct rbe_roofs *r)
{
    json_t *curve = json_array(), *peaks = json_array();
    char isa[64];

    for (unsigned t = 1; t <= r->threads; t++)
        for (unsigned i = 0; i < r->points; i++)
            if (r->read[i][t] > 0)
                json_array_append_new(
                    curve, RBE_OBJECT(RBE_INT(threads, t), RBE_INT(bytes, r->bytes[i]),
                                      RBE_REAL(bytes_per_second, r->read[i][t])));
    for (unsigned t = 1; t <= r->threads; t++)
        for (int k = 0; k < PROBE_COUNT; k++)
            if (r->peak[k][t] > 0)
                json_array_append_new(
                    peaks,
                    RBE_OBJECT(RBE_WORD(probe, table[k].name),
                               RBE_WORD(isa, rbe_isa_string(table[k].isa, isa, sizeof isa)),
                               RBE_INT(threads, t),
                               RBE_REAL(multiply_adds_per_second, r->peak[k][t])));
    return RBE_OBJECT(RBE_JSON(read_curve, curve), RBE_JSON(peaks, peaks),
                      RBE_INT(measured_cache_bytes, r->cache_bytes),
                      RBE_INT(largest_set_bytes, r->buffer_bytes));
}
