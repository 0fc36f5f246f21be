/*
 * perf.c - counters by libpfm4's names and perf_event_open().
 *
 * SPDX-License-Identifier: MIT
 */
#include "bench/perf.h"

#include <errno.h>
#include <linux/perf_event.h>
#include <math.h>
#include <perfmon/pfmlib.h>
#include <perfmon/pfmlib_perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/rows.h"

enum { NAME = 64 };

struct reading {
    uint64_t value, enabled, running;
};

struct event {
    char name[NAME]; /* in results */
    bool hardware;
    int *fd;              /* [threads] */
    struct reading *base; /* [threads], at the start */
};

struct rbe_perf {
    unsigned threads, count;
    struct event event[RBE_PERF_EVENTS];
    json_t *unavailable; /* name: reason */
    char reason[256];
};

/* libpfm4's name, ours, and whether the hardware counts it. */
static const struct {
    const char *pfm, *name;
    bool hardware;
} defaults[] = {
    {"perf::PERF_COUNT_HW_CPU_CYCLES", "cycles", true},
    {"perf::PERF_COUNT_HW_INSTRUCTIONS", "instructions", true},
    {"perf::PERF_COUNT_HW_BRANCH_MISSES", "branch_misses", true},
    {"perf::PERF_COUNT_HW_CACHE_L1D:READ:MISS", "l1d_read_misses", true},
    {"perf::PERF_COUNT_HW_CACHE_LL:READ:MISS", "llc_read_misses", true},
    {"perf::PERF_COUNT_HW_CACHE_DTLB:READ:MISS", "dtlb_read_misses", true},
    {"perf::PERF_COUNT_HW_STALLED_CYCLES_BACKEND", "stalled_cycles", true},
    {"perf::PERF_COUNT_SW_TASK_CLOCK", "task_clock_ns", false},
    {"perf::PERF_COUNT_SW_PAGE_FAULTS", "page_faults", false},
    {"perf::PERF_COUNT_SW_CONTEXT_SWITCHES", "context_switches", false},
    {"perf::PERF_COUNT_SW_CPU_MIGRATIONS", "cpu_migrations", false},
};
enum { DEFAULTS = sizeof defaults / sizeof defaults[0] };

static void unavailable(struct rbe_perf *p, const char *name, bool hardware, const char *why)
{
    json_object_set_new(p->unavailable, name, json_string(why));
    if (hardware && !p->reason[0])
        snprintf(p->reason, sizeof p->reason, "%.60s: %.190s", name, why);
}

static const char *errno_reason(int e)
{
    switch (e) {
    case ENOENT:
    case EOPNOTSUPP:
        return "this machine offers no such counter (a virtual machine without a virtual PMU?)";
    case EACCES:
    case EPERM:
        return "not permitted (kernel.perf_event_paranoid, or a container's filter)";
    case ENOSYS:
        return "the kernel has no perf_event_open";
    default:
        return strerror(e);
    }
}

static void close_event(struct event *e, unsigned threads)
{
    for (unsigned t = 0; e->fd && t < threads; t++)
        if (e->fd[t] >= 0)
            close(e->fd[t]);
    free(e->fd);
    free(e->base);
    e->fd = NULL;
    e->base = NULL;
}

/* User space only: the kernel's share is not the kernels'.  Software events count both. */
static enum rbe_status add_event(struct rbe_perf *p, const pid_t *tid, const char *pfm,
                                 const char *name, struct rbe_diag *d)
{
    struct perf_event_attr attr = {.size = sizeof attr};
    pfm_perf_encode_arg_t arg = {.size = sizeof arg, .attr = &attr};
    struct event *e = &p->event[p->count];

    const int rc = pfm_get_os_event_encoding(pfm, PFM_PLM3, PFM_OS_PERF_EVENT_EXT, &arg);
    if (rc != PFM_SUCCESS)
        return rbe_fail(d, RBE_ERR_ARG, "libpfm4 does not know the event '%s': %s", pfm,
                        pfm_strerror(rc));
    const bool hardware = attr.type != PERF_TYPE_SOFTWARE;
    if (p->count == RBE_PERF_EVENTS)
        return rbe_fail(d, RBE_ERR_ARG, "more than %d events", RBE_PERF_EVENTS);
    attr.disabled = 1;
    attr.exclude_kernel = hardware;
    attr.exclude_hv = 1;
    attr.read_format = PERF_FORMAT_TOTAL_TIME_ENABLED | PERF_FORMAT_TOTAL_TIME_RUNNING;
    snprintf(e->name, sizeof e->name, "%s", name);
    e->hardware = hardware;
    e->fd = malloc(p->threads * sizeof *e->fd);
    e->base = calloc(p->threads, sizeof *e->base);
    for (unsigned t = 0; e->fd && t < p->threads; t++)
        e->fd[t] = -1;
    if (!e->fd || !e->base)
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    for (unsigned t = 0; t < p->threads; t++) {
        e->fd[t] = (int)syscall(SYS_perf_event_open, &attr, tid[t], -1, -1, 0UL);
        if (e->fd[t] < 0) {
            unavailable(p, name, hardware, errno_reason(errno));
            close_event(e, p->threads);
            return RBE_OK;
        }
    }
    p->count++;
    return RBE_OK;
}

static enum rbe_status add_named(struct rbe_perf *p, const pid_t *tid, const char *events,
                                 struct rbe_diag *d)
{
    enum rbe_status err = RBE_OK;
    char name[256];

    for (const char *s = events; *s && !err; s += *s == ',') {
        const size_t n = strcspn(s, ",");
        snprintf(name, sizeof name, "%.*s", (int)(n < 255 ? n : 255), s);
        err = add_event(p, tid, name, name, d);
        s += n;
    }
    return err;
}

enum rbe_status rbe_perf_open(struct rbe_perf **out, const pid_t *tid, unsigned threads,
                              const char *events, struct rbe_diag *d)
{
    struct rbe_perf *p = calloc(1, sizeof *p);
    enum rbe_status err = RBE_OK;

    *out = p;
    if (!p || !(p->unavailable = json_object())) {
        free(p);
        *out = NULL;
        return rbe_fail(d, RBE_ERR_NOMEM, "out of memory");
    }
    p->threads = threads;
    const int rc = pfm_initialize();
    if (rc != PFM_SUCCESS) {
        snprintf(p->reason, sizeof p->reason, "libpfm4: %s", pfm_strerror(rc));
        return RBE_OK;
    }
    if (events)
        err = add_named(p, tid, events, d);
    for (int i = 0; i < DEFAULTS && !events && !err; i++) {
        err = add_event(p, tid, defaults[i].pfm, defaults[i].name, d);
        if (err == RBE_ERR_ARG) { /* an older libpfm4 */
            unavailable(p, defaults[i].name, defaults[i].hardware, d ? d->text : "unknown");
            err = RBE_OK;
        }
    }
    if (err)
        rbe_perf_close(out);
    return err;
}

void rbe_perf_close(struct rbe_perf **pp)
{
    struct rbe_perf *p = *pp;

    if (!p)
        return;
    for (unsigned i = 0; i < RBE_PERF_EVENTS; i++)
        close_event(&p->event[i], p->threads);
    json_decref(p->unavailable);
    free(p);
    *pp = NULL;
}

unsigned rbe_perf_count(const struct rbe_perf *p)
{
    return p->count;
}

const char *rbe_perf_name(const struct rbe_perf *p, unsigned i)
{
    return p->event[i].name;
}

bool rbe_perf_hardware(const struct rbe_perf *p)
{
    for (unsigned i = 0; i < p->count; i++)
        if (p->event[i].hardware)
            return true;
    return false;
}

const char *rbe_perf_reason(const struct rbe_perf *p)
{
    return p->reason[0] ? p->reason : "none was asked for";
}

static void control(const struct rbe_perf *p, unsigned long request)
{
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned t = 0; t < p->threads; t++)
            ioctl(p->event[i].fd[t], request, 0);
}

static bool take(int fd, struct reading *r)
{
    return read(fd, r, sizeof *r) == (ssize_t)sizeof *r;
}

void rbe_perf_start(struct rbe_perf *p)
{
    for (unsigned i = 0; i < p->count; i++)
        for (unsigned t = 0; t < p->threads; t++)
            if (!take(p->event[i].fd[t], &p->event[i].base[t]))
                p->event[i].base[t] = (struct reading){0};
    control(p, PERF_EVENT_IOC_ENABLE);
}

double rbe_perf_scale(uint64_t count, uint64_t enabled_ns, uint64_t running_ns)
{
    return running_ns ? (double)count * ((double)enabled_ns / (double)running_ns) : NAN;
}

void rbe_perf_stop(struct rbe_perf *p, double value[RBE_PERF_EVENTS], double *running)
{
    control(p, PERF_EVENT_IOC_DISABLE);
    *running = 1;
    for (unsigned i = 0; i < p->count; i++) {
        value[i] = 0;
        for (unsigned t = 0; t < p->threads; t++) {
            const struct reading *b = &p->event[i].base[t];
            struct reading r;
            if (!take(p->event[i].fd[t], &r)) {
                value[i] = NAN;
                continue;
            }
            const uint64_t enabled = r.enabled - b->enabled, ran = r.running - b->running;
            /* A thread that slept all the time was not enabled and counted nothing. */
            if (enabled)
                value[i] += rbe_perf_scale(r.value - b->value, enabled, ran);
            if (enabled && (double)ran / (double)enabled < *running)
                *running = (double)ran / (double)enabled;
        }
    }
}

json_t *rbe_perf_json(const struct rbe_perf *p)
{
    json_t *counted = json_array();

    for (unsigned i = 0; i < p->count; i++)
        json_array_append_new(counted, json_string(p->event[i].name));
    return RBE_OBJECT(RBE_JSON(counted, counted), RBE_SHARED(unavailable, p->unavailable),
                      RBE_FLAG(hardware, rbe_perf_hardware(p)));
}
