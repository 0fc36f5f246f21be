/*
 * machine.c - topology by hwloc, pinning, and the meter of foreign work.
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/machine.h"

#include <ctype.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "base/cpus.h"
#include "base/progress.h"
#include "base/result.h"
#include "base/rows.h"
#include "bench/machine_private.h"

/* --- CPU lists ---------------------------------------------------------------------------- */

static void allowed_cpus(struct rbe_cpulist *l)
{
    cpu_set_t set;

    l->count = 0;
    if (sched_getaffinity(0, sizeof set, &set))
        return;
    for (unsigned c = 0; c < CPU_SETSIZE && l->count < RBE_MAX_CPUS; c++)
        if (CPU_ISSET(c, &set))
            l->cpu[l->count++] = c;
}

char *rbe_cpulist_string(const struct rbe_cpulist *l, char *buf, size_t size)
{
    size_t used = 0;

    buf[0] = 0;
    for (unsigned i = 0, j; i < l->count && used < size; i = j) {
        for (j = i + 1; j < l->count && l->cpu[j] == l->cpu[j - 1] + 1; j++)
            ;
        used += (size_t)snprintf(buf + used, size - used, "%s%u", i ? "," : "", l->cpu[i]);
        if (j - i > 1 && used < size)
            used += (size_t)snprintf(buf + used, size - used, "-%u", l->cpu[j - 1]);
    }
    return buf;
}

static bool contains(const struct rbe_cpulist *l, unsigned cpu)
{
    for (unsigned i = 0; i < l->count; i++)
        if (l->cpu[i] == cpu)
            return true;
    return false;
}

/* A number no longer than needed; false when there is none. */
static bool number(const char **s, unsigned *v)
{
    char *end;

    if (!isdigit((unsigned char)**s))
        return false;
    const unsigned long n = strtoul(*s, &end, 10);
    *v = n > 1U << 20 ? 1U << 20 : (unsigned)n;
    *s = end;
    return true;
}

enum rbe_status rbe_cpulist_parse(struct rbe_cpulist *l, const char *text, struct rbe_diag *d)
{
    struct rbe_cpulist allowed;
    char names[512];
    const char *s = text;

    l->count = 0;
    allowed_cpus(&allowed);
    do {
        unsigned first, last;
        if (!number(&s, &first))
            goto bad;
        last = first;
        if (*s == '-' && (s++, !number(&s, &last)))
            goto bad;
        for (unsigned c = first; c <= last; c++) {
            if (!contains(&allowed, c) || contains(l, c))
                goto bad;
            l->cpu[l->count++] = c;
        }
        if (last < first)
            goto bad;
    } while (*s == ',' && s++);
    if (!*s)
        return RBE_OK;
bad:
    return rbe_fail(d, RBE_ERR_ARG,
                    "'%s' is no list of CPUs of this process; valid: %s, each "
                    "once",
                    text, rbe_cpulist_string(&allowed, names, sizeof names));
}

/* --- topology ----------------------------------------------------------------------------- */

enum rbe_status rbe_machine_open(struct rbe_machine **out, struct rbe_diag *d)
{
    struct rbe_machine *m = calloc(1, sizeof *m);

    *out = NULL;
    if (!m)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    allowed_cpus(&m->allowed);
    if (hwloc_topology_init(&m->topology)) {
        free(m);
        return rbe_fail(d, RBE_ERR_NOMEM, "hwloc cannot start");
    }
    *out = m;
    if (hwloc_topology_load(m->topology)) {
        rbe_machine_close(out);
        return rbe_fail(d, RBE_ERR_IO, "hwloc cannot read the topology");
    }
    return RBE_OK;
}

void rbe_machine_close(struct rbe_machine **m)
{
    if (!*m)
        return;
    hwloc_topology_destroy((*m)->topology);
    free(*m);
    *m = NULL;
}

void rbe_machine_one_per_core(const struct rbe_machine *m, struct rbe_cpulist *l)
{
    hwloc_obj_t core = NULL;

    l->count = 0;
    while ((core = hwloc_get_next_obj_by_type(m->topology, HWLOC_OBJ_CORE, core)))
        for (unsigned i = 0; i < m->allowed.count; i++)
            if (hwloc_bitmap_isset(core->cpuset, m->allowed.cpu[i])) {
                l->cpu[l->count++] = m->allowed.cpu[i];
                break;
            }
    if (!l->count) /* no cores known */
        *l = m->allowed;
}

static int count_of(const struct rbe_machine *m, hwloc_obj_type_t type)
{
    const int n = hwloc_get_nbobjs_by_type(m->topology, type);
    return n < 0 ? 0 : n;
}

static const hwloc_obj_type_t cache_types[] = {HWLOC_OBJ_L1CACHE, HWLOC_OBJ_L2CACHE,
                                               HWLOC_OBJ_L3CACHE, HWLOC_OBJ_L4CACHE};
enum { CACHE_LEVELS = sizeof cache_types / sizeof cache_types[0] };

size_t rbe_machine_llc_bytes(const struct rbe_machine *m)
{
    size_t bytes = 0;

    for (int i = 0; i < CACHE_LEVELS; i++) {
        const hwloc_obj_t o = hwloc_get_obj_by_type(m->topology, cache_types[i], 0);
        if (o && o->attr->cache.size > bytes)
            bytes = o->attr->cache.size;
    }
    return bytes;
}

json_t *rbe_machine_json(const struct rbe_machine *m)
{
    json_t *caches = json_array();
    char summary[512], part[64];
    const int cores = count_of(m, HWLOC_OBJ_CORE), pus = count_of(m, HWLOC_OBJ_PU);
    size_t used = (size_t)snprintf(
        summary, sizeof summary, "%d package(s), %d NUMA node(s), %d core(s), %d thread(s)",
        count_of(m, HWLOC_OBJ_PACKAGE), count_of(m, HWLOC_OBJ_NUMANODE), cores, pus);

    for (int i = 0; i < CACHE_LEVELS; i++) {
        const hwloc_obj_t o = hwloc_get_obj_by_type(m->topology, cache_types[i], 0);
        if (!o)
            continue;
        const int n = count_of(m, cache_types[i]);
        const int shared = o->cpuset ? hwloc_bitmap_weight(o->cpuset) : 1;
        json_array_append_new(
            caches, RBE_OBJECT(RBE_INT(level, i + 1), RBE_INT(bytes, o->attr->cache.size),
                               RBE_INT(count, n), RBE_INT(shared_by_threads, shared)));
        snprintf(part, sizeof part, ", L%d %d x %llu KiB", i + 1, n,
                 (unsigned long long)o->attr->cache.size >> 10);
        if (used < sizeof summary)
            used += (size_t)snprintf(summary + used, sizeof summary - used, "%s", part);
    }
    return RBE_OBJECT(RBE_WORD(summary, summary),
                      RBE_INT(packages, count_of(m, HWLOC_OBJ_PACKAGE)),
                      RBE_INT(numa_nodes, count_of(m, HWLOC_OBJ_NUMANODE)),
                      RBE_INT(cores, cores), RBE_INT(threads, pus), RBE_FLAG(smt, pus > cores),
                      RBE_JSON(caches, caches));
}

/* --- conditions --------------------------------------------------------------------------- */

/* The first line of a small system file; false when there is none. */
static bool first_line(const char *path, char *buf, size_t size)
{
    FILE *f = fopen(path, "r");
    const bool ok = f && fgets(buf, (int)size, f);

    if (f)
        fclose(f);
    if (ok)
        buf[strcspn(buf, "\n")] = 0;
    return ok;
}

static void warn(json_t *warnings, const char *text)
{
    json_array_append_new(warnings, rbe_result_string(text));
}

/* CPU seconds of the whole machine since it started, from the first line of /proc/stat. */
static bool machine_seconds(double *busy, double *idle, double *steal)
{
    unsigned long long v[8] = {0};
    char line[256];
    const double hz = (double)sysconf(_SC_CLK_TCK);

    if (!first_line("/proc/stat", line, sizeof line) ||
        sscanf(line, "cpu %llu %llu %llu %llu %llu %llu %llu %llu", v, v + 1, v + 2, v + 3,
               v + 4, v + 5, v + 6, v + 7) < 4)
        return false;
    *busy = (double)(v[0] + v[1] + v[2] + v[5] + v[6]) / hz;
    *idle = (double)(v[3] + v[4]) / hz;
    *steal = (double)v[7] / hz;
    return true;
}

void rbe_machine_conditions(const struct rbe_machine *m, json_t **facts_out,
                            json_t **warnings_out)
{
    json_t *facts = json_object(), *w = json_array();
    char line[256], text[400];
    double load[3], busy, idle, steal;

    if (first_line("/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor", line,
                   sizeof line)) {
        json_object_set_new(facts, RBE_KEY(governor), rbe_result_string(line));
        if (strcmp(line, "performance")) {
            snprintf(text, sizeof text, "the frequency governor is '%s', not 'performance'",
                     line);
            warn(w, text);
        }
    } else {
        json_object_set_new(facts, RBE_KEY(governor), json_null());
        warn(w, "the system shows no frequency governor (a virtual machine?)");
    }
    if (first_line("/sys/devices/system/cpu/intel_pstate/no_turbo", line, sizeof line)) {
        json_object_set_new(facts, RBE_KEY(turbo), json_string(line[0] == '0' ? "on" : "off"));
        if (line[0] == '0')
            warn(w, "turbo is on: the clock depends on heat and on the other cores");
    } else if (first_line("/sys/devices/system/cpu/cpufreq/boost", line, sizeof line)) {
        json_object_set_new(facts, RBE_KEY(turbo), json_string(line[0] == '1' ? "on" : "off"));
        if (line[0] == '1')
            warn(w, "boost is on: the clock depends on heat and on the other cores");
    } else {
        json_object_set_new(facts, RBE_KEY(turbo), json_null());
        warn(w, "the system does not say whether turbo is on");
    }
    const bool smt = count_of(m, HWLOC_OBJ_PU) > count_of(m, HWLOC_OBJ_CORE);
    json_object_set_new(facts, RBE_KEY(smt), json_boolean(smt));
    if (smt)
        warn(w, "cores run two threads each: work on a sibling slows a pinned one");
    if (rbe_cpu_quota() > 0 && rbe_cpu_quota() < rbe_cpus_allowed()) {
        snprintf(text, sizeof text, "a quota of %.3g CPUs for %u: threads are stopped "
                 "when it is used up", rbe_cpu_quota(), rbe_cpus_allowed());
        warn(w, text);
    }
    if (getloadavg(load, 3) == 3) {
        json_object_set_new(facts, RBE_KEY(load_1min), json_real(load[0]));
        if (load[0] > 0.3) {
            snprintf(text, sizeof text, "load average %.2f before the start: other work runs",
                     load[0]);
            warn(w, text);
        }
    }
    if (machine_seconds(&busy, &idle, &steal)) {
        const double share = steal / (busy + idle + steal + 1e-9);
        json_object_set_new(facts, RBE_KEY(steal_share_since_boot), json_real(share));
        if (share > 0.001) {
            snprintf(text, sizeof text,
                     "the host took %.1f %% of the CPU time since boot "
                     "(steal)",
                     100 * share);
            warn(w, text);
        }
    }
    json_object_set_new(facts, RBE_KEY(page_bytes), json_integer(sysconf(_SC_PAGESIZE)));
    if (first_line("/sys/kernel/mm/transparent_hugepage/enabled", line, sizeof line))
        json_object_set_new(facts, RBE_KEY(transparent_huge_pages), json_string(line));
    if (first_line("/sys/devices/system/clocksource/clocksource0/current_clocksource", line,
                   sizeof line))
        json_object_set_new(facts, RBE_KEY(clock_source), json_string(line));
    *facts_out = facts;
    *warnings_out = w;
}

/* --- pinned threads ----------------------------------------------------------------------- */

struct pin_job {
    struct rbe_team *team;
    const struct rbe_cpulist *cpus;
};

static void pin_one(void *arg, unsigned i, unsigned n)
{
    const struct pin_job *j = arg;
    cpu_set_t set;

    (void)n;
    CPU_ZERO(&set);
    CPU_SET(j->cpus->cpu[i], &set);
    sched_setaffinity(0, sizeof set, &set);
    j->team->tid[i] = (pid_t)syscall(SYS_gettid);
    /* What was asked is not what counts: the system is asked again. */
    j->team->pinned.cpu[i] = UINT32_MAX;
    CPU_ZERO(&set);
    if (!sched_getaffinity(0, sizeof set, &set) && CPU_COUNT(&set) == 1)
        for (unsigned c = 0; c < CPU_SETSIZE; c++)
            if (CPU_ISSET(c, &set))
                j->team->pinned.cpu[i] = c;
}

enum rbe_status rbe_team_open(struct rbe_team **out, unsigned threads,
                              const struct rbe_cpulist *cpus, struct rbe_diag *d)
{
    char names[512];

    *out = NULL;
    if (!threads || threads > cpus->count)
        return rbe_fail(d, RBE_ERR_ARG, "%u threads on %u CPU(s) (%s): one each at most",
                        threads, cpus->count, rbe_cpulist_string(cpus, names, sizeof names));
    struct rbe_team *t = calloc(1, sizeof *t);
    if (!t)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    t->threads = t->pinned.count = threads;
    enum rbe_status err = rbe_pool_open(&t->pool, threads, d);
    if (err)
        goto out;
    struct pin_job job = {t, cpus};
    rbe_pool_run(t->pool, pin_one, &job);
    for (unsigned i = 0; i < threads; i++)
        if (t->pinned.cpu[i] != cpus->cpu[i]) {
            err = rbe_fail(d, RBE_ERR_IO, "thread %u could not be pinned to CPU %u", i,
                           cpus->cpu[i]);
            goto out;
        }
    *out = t;
out:
    if (err)
        rbe_team_close(&t);
    return err;
}

void rbe_team_close(struct rbe_team **t)
{
    if (!*t)
        return;
    rbe_pool_close(&(*t)->pool);
    free(*t);
    *t = NULL;
}

/* --- the meter ---------------------------------------------------------------------------- */

static double process_cpu(void)
{
    struct timespec t;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

void rbe_meter_start(struct rbe_meter *m)
{
    double idle;

    m->stat = machine_seconds(&m->busy, &idle, &m->steal);
    m->cpu = process_cpu();
    m->wall = rbe_now();
}

struct rbe_validity rbe_meter_stop(const struct rbe_meter *m, unsigned threads)
{
    const double wall = rbe_now() - m->wall, cpu = process_cpu() - m->cpu;
    struct rbe_validity v = {.foreign = -1, .steal = -1};
    double busy, idle, steal;

    v.lost = 1 - cpu / (wall * threads + 1e-12);
    if (v.lost < 0)
        v.lost = 0;
    if (m->stat && machine_seconds(&busy, &idle, &steal)) {
        const double all = wall * (double)sysconf(_SC_NPROCESSORS_ONLN) + 1e-12;
        v.grain = 1 / (double)sysconf(_SC_CLK_TCK) / all;
        v.foreign = (busy - m->busy - cpu) / all;
        v.foreign = v.foreign < 0 ? 0 : v.foreign;
        v.steal = (steal - m->steal) / all;
    }
    return v;
}

bool rbe_valid(const struct rbe_validity *v, double limit)
{
    return v->lost <= limit && v->foreign <= limit + v->grain && v->steal <= limit + v->grain;
}
