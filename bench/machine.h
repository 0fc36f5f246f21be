/*
 * machine.h - where a benchmark runs: topology, CPU lists, pinned threads, and what could
 * spoil a sample.
 *
 * SPDX-License-Identifier: MIT
 */
#ifndef RBE_BENCH_MACHINE_H
#define RBE_BENCH_MACHINE_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/status.h"
#include "base/threads.h"

enum { RBE_MAX_CPUS = 256 };

struct rbe_cpulist {
    unsigned count;
    unsigned cpu[RBE_MAX_CPUS]; /* numbers of the operating system, in the order asked */
};

/* "0-3,8".  RBE_ERR_ARG, naming the CPUs this process may use, for anything else. */
enum rbe_status rbe_cpulist_parse(struct rbe_cpulist *l, const char *text, struct rbe_diag *d);

/* "0-3,8" into buf; returns buf. */
char *rbe_cpulist_string(const struct rbe_cpulist *l, char *buf, size_t size);

struct rbe_machine;

/* Reads the topology by hwloc: caches come from the operating system, never from a table of
 * CPU models. */
enum rbe_status rbe_machine_open(struct rbe_machine **out, struct rbe_diag *d);
void rbe_machine_close(struct rbe_machine **m);

/* One CPU of each core that this process may use: the default places of threads. */
void rbe_machine_one_per_core(const struct rbe_machine *m, struct rbe_cpulist *l);

/* Bytes of the largest cache a core sees, by what the system claims; 0 when it says nothing. */
size_t rbe_machine_llc_bytes(const struct rbe_machine *m);

/* {"packages":, "numa_nodes":, "cores":, "threads":, "smt":, "caches": [...], "summary":} */
json_t *rbe_machine_json(const struct rbe_machine *m);

/* What a careful reader wants to know before believing a time: governor, boost, SMT, load,
 * steal, page size.  A json object of facts and an array of warnings in plain words. */
void rbe_machine_conditions(const struct rbe_machine *m, json_t **facts, json_t **warnings);

/* A picture of the topology with the pinned CPUs marked, by rename. */
enum rbe_status rbe_machine_svg(const struct rbe_machine *m, const struct rbe_cpulist *pinned,
                                const char *path, struct rbe_diag *d);

/* A pool whose thread i stays on cpus->cpu[i]; the caller is thread 0 and is pinned too. */
struct rbe_team {
    struct rbe_pool *pool;
    unsigned threads;
    pid_t tid[RBE_MAX_CPUS];
    struct rbe_cpulist pinned; /* read back from the system, thread by thread */
};

/* RBE_ERR_ARG when there are more threads than CPUs in the list. */
enum rbe_status rbe_team_open(struct rbe_team **out, unsigned threads,
                              const struct rbe_cpulist *cpus, struct rbe_diag *d);
void rbe_team_close(struct rbe_team **t);

/* What else ran while a sample was taken. */
struct rbe_meter {
    double wall, cpu;   /* seconds: clock, and this process on all CPUs */
    double busy, steal; /* seconds of all CPUs, from /proc/stat */
    bool stat;          /* /proc/stat could be read */
};
struct rbe_validity {
    double lost;    /* share of the threads' time in which they did not run */
    double foreign; /* share of all CPUs' time used by others; -1 when unknown */
    double steal;   /* share of all CPUs' time the host took; -1 when unknown */
    double grain;   /* the share that one tick of /proc/stat amounts to */
};
void rbe_meter_start(struct rbe_meter *m);
struct rbe_validity rbe_meter_stop(const struct rbe_meter *m, unsigned threads);

/* Whether a sample is fit for use: `limit` on lost, and on foreign beyond one tick. */
bool rbe_valid(const struct rbe_validity *v, double limit);

#endif
