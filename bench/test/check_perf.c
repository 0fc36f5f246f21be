/*
 * check_perf.c - counters are scaled, or absent with a reason; never zero for absent.
 *
 * SPDX-License-Identifier: MIT
 *
 * Runs alone: it judges times.
 */
#include <math.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "bench/perf.h"
#include "kernels/test/check.h"

static bool has(const struct rbe_perf *p, const char *name)
{
    for (unsigned i = 0; i < rbe_perf_count(p); i++)
        if (!strcmp(rbe_perf_name(p, i), name))
            return true;
    return false;
}

/* Every default event is either counted or has its reason. */
static void all_accounted_for(const struct rbe_perf *p)
{
    static const char *const names[] = {"cycles",        "instructions", "llc_read_misses",
                                        "task_clock_ns", "page_faults",  "context_switches"};
    json_t *j = rbe_perf_json(p);
    const json_t *gone = json_object_get(j, "unavailable");

    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const char *why = json_string_value(json_object_get(gone, names[i]));
        CHECK(has(p, names[i]) != (why != NULL));
        CHECK(!why || *why);
    }
    CHECK(rbe_perf_hardware(p) || strlen(rbe_perf_reason(p)) > 10);
    json_decref(j);
}

int main(void)
{
    /* Half of the time on the counter: twice the count. */
    CHECK_NEAR(rbe_perf_scale(1000, 200, 100), 2000, 0);
    CHECK_NEAR(rbe_perf_scale(1000, 100, 100), 1000, 0);
    CHECK(isnan(rbe_perf_scale(0, 100, 0)));

    const pid_t self = (pid_t)syscall(SYS_gettid), nobody = 0x3FFFFFFF;
    struct rbe_perf *p;
    struct rbe_diag d;
    double value[RBE_PERF_EVENTS], running;

    if (CHECK(rbe_perf_open(&p, &self, 1, NULL, &d) == RBE_OK)) {
        all_accounted_for(p);
        printf("hardware counters: %s\n", rbe_perf_hardware(p) ? "yes" : rbe_perf_reason(p));
        rbe_perf_start(p);
        uint64_t sink = 0;
        for (int i = 0; i < 20000000; i++)
            __asm__ volatile("" : "+r"(sink));
        rbe_perf_stop(p, value, &running);
        for (unsigned i = 0; i < rbe_perf_count(p); i++)
            if (!strcmp(rbe_perf_name(p, i), "task_clock_ns"))
                CHECK(value[i] > 1e6 && value[i] < 1e11);
            else if (!strcmp(rbe_perf_name(p, i), "instructions"))
                CHECK(value[i] > 4e7);
        rbe_perf_close(&p);
    }
    /* A thread that is not there: nothing is counted, everything has a reason. */
    if (CHECK(rbe_perf_open(&p, &nobody, 1, NULL, &d) == RBE_OK)) {
        CHECK(rbe_perf_count(p) == 0);
        CHECK(!rbe_perf_hardware(p));
        all_accounted_for(p);
        rbe_perf_close(&p);
    }
    CHECK(rbe_perf_open(&p, &self, 1, "no_such_event", &d) == RBE_ERR_ARG);
    CHECK(strstr(d.text, "no_such_event") != NULL);
    CHECK(p == NULL);
    return check_done();
}
