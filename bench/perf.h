/*
 * perf.h - hardware counters of the pinned threads, by libpfm4 and perf_event_open.
 *
 * SPDX-License-Identifier: MIT
 *
 * What a machine does not offer is absent and its absence has a reason; it is never zero.
 */
#ifndef RBE_BENCH_PERF_H
#define RBE_BENCH_PERF_H

#include <jansson.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"

enum { RBE_PERF_EVENTS = 16 };

struct rbe_perf;

/*
 * Opens the events for all the threads.  events: comma-separated names that libpfm4 knows, or
 * NULL: cycles, instructions, cache and memory events, and the software events.  Events that
 * cannot be opened are left out with their reason; that is no failure.  RBE_ERR_ARG: a name
 * that libpfm4 does not know.
 */
enum rbe_status rbe_perf_open(struct rbe_perf **out, const pid_t *tid, unsigned threads,
                              const char *events, struct rbe_diag *d);
void rbe_perf_close(struct rbe_perf **p);

/* Events being counted, and their names: "cycles", "page_faults". */
unsigned rbe_perf_count(const struct rbe_perf *p);
const char *rbe_perf_name(const struct rbe_perf *p, unsigned i);

/* Whether a hardware event is among them; if not, why, in one line. */
bool rbe_perf_hardware(const struct rbe_perf *p);
const char *rbe_perf_reason(const struct rbe_perf *p);

/* Counts between start and stop, over all threads.  Where events shared the counters, a
 * count is scaled by the time it was counted; NaN if it never was.  *running: the smallest
 * share of the time that any event was counted. */
void rbe_perf_start(struct rbe_perf *p);
void rbe_perf_stop(struct rbe_perf *p, double value[RBE_PERF_EVENTS], double *running);

/* {"counted": [...], "unavailable": {name: reason}} */
json_t *rbe_perf_json(const struct rbe_perf *p);

/* count * enabled / running, NaN when running is 0. */
double rbe_perf_scale(uint64_t count, uint64_t enabled_ns, uint64_t running_ns);

#endif
